//! Policy texts: where in them something stands, how a complaint about it is shown, and the guard that must pass
//! before the parser sees them (deeply nested text would overflow the parser's stack and end the process).

use std::{fmt, sync::Arc};

use crate::config;

/// The most operators that one rule may have; bounds the depth of its syntax tree.
const OPERATORS_MAX: usize = 400;
/// How much of a long line is shown before and behind the place.
const SHOWN: usize = 80;

/// One policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: Arc<str>,
    pub(super) text: Arc<str>,
}

/// A stretch of one file, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) file: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A complaint about one place of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file's name.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong and what to do.
    pub reason: String,
    excerpt: String,
    width: usize,
}

impl Diagnostic {
    pub(super) fn new(files: &[File], span: Span, reason: impl Into<String>) -> Self {
        let file = files.get(span.file);
        let text = file.map_or("", |file| &file.text);
        let at = |wanted: usize| {
            (0..=wanted.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
        };
        let (start, end) = (at(span.start), at(span.end.max(span.start)));
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let excerpt = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let marked = text.get(start..end).unwrap_or_default().lines().next().unwrap_or_default();
        Diagnostic {
            file: file.map_or_else(|| "policy".into(), |file| file.name.clone()),
            line: before.matches('\n').count() + 1,
            column,
            reason: reason.into(),
            excerpt: excerpt.to_owned(),
            width: marked.chars().count().max(1),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let before = self.column.saturating_sub(1);
        let skipped = before.saturating_sub(SHOWN);
        let excerpt: String = self.excerpt.chars().skip(skipped).take(2 * SHOWN).collect();
        let tabs: String =
            excerpt.chars().take(before - skipped).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let width = self.width.min(SHOWN);
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.reason)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {excerpt}")?;
        write!(f, "{margin} | {tabs}{}", "^".repeat(width))
    }
}

/// Checks size, bracket nesting and rule length of all files.
pub(super) fn guard(files: &[File], config: &config::Policy) -> Result<(), Diagnostic> {
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    if bytes > config.bytes_max {
        let reason = format!(
            "the policies have {bytes} bytes, more than `policy.bytes_max` = {} allows",
            config.bytes_max
        );
        return Err(Diagnostic::new(files, Span::default(), reason));
    }
    files.iter().enumerate().try_for_each(|(index, file)| {
        guard_one(&file.text, config.nesting_max).map_err(|(at, reason)| {
            Diagnostic::new(files, Span { file: index, start: at, end: at + 1 }, reason)
        })
    })
}

/// A scan over tokens that knows only strings, comments, brackets, words and the end of a rule.
fn guard_one(text: &str, nesting_max: usize) -> Result<(), (usize, String)> {
    let mut bytes = text.bytes().enumerate().peekable();
    let (mut depth, mut operators) = (0_usize, 0_usize);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                while let Some((_, inside)) = bytes.next() {
                    match inside {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'#' => while bytes.next_if(|&(_, inside)| inside != b'\n').is_some() {},
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' => operators = 0,
            b'.' | b'+' | b'-' | b'*' | b'/' | b'=' | b'<' | b'>' | b'!' => operators += 1,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let mut end = at + 1;
                while let Some((inside, _)) = bytes.next_if(|&(_, b)| b.is_ascii_alphanumeric() || b == b'_')
                {
                    end = inside + 1;
                }
                let word = text.get(at..end).unwrap_or_default();
                operators +=
                    usize::from(matches!(word, "and" | "or" | "not" | "in" | "matches" | "mod" | "rem"));
            }
            _ => {}
        }
        if depth > nesting_max {
            return Err((
                at,
                format!("brackets nest deeper than `policy.nesting_max` = {nesting_max} allows"),
            ));
        }
        if operators > OPERATORS_MAX {
            return Err((
                at,
                format!("this rule has more than {OPERATORS_MAX} operators; split it into helper rules"),
            ));
        }
    }
    Ok(())
}
