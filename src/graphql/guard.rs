//! What a document may ask for, checked before the parser sees it and again before it is validated. The
//! parser recurses over nested literals and would overflow the stack, several rules expand fragments: nothing
//! gets that far that passes a bound. Linear in the document's size, however often fragments are spread.

use std::collections::HashMap;

use async_graphql::Pos;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

use super::coerce::short;
use super::plan::Misplaced;
use super::words::{Readable, Words};
use crate::config;
use crate::error::{Code, Error, Result};

/// A bound that was passed, by the name it has in the configuration.
pub(super) fn too_complex(bound: &str, value: impl std::fmt::Display, what: &str) -> Error {
    Error::new(Code::TooComplex, format!("the document has too many {what}: `graphql.{bound}` is {value}"))
}

fn too_deep(value: usize) -> Error {
    let text = format!("the document nests too deep: `graphql.nesting_max` is {value}");
    Error::new(Code::TooComplex, text)
}

/// Checks the text: nesting of brackets, number of tokens, numbers that a literal cannot keep. What is returned can be
/// parsed.
///
/// # Errors
/// `TOO_COMPLEX` with the bound, `BAD_REQUEST` for a number.
pub(super) fn scan<'a>(text: &'a str, limits: &config::Graphql) -> Result<Readable<'a>> {
    let mut rest = text.as_bytes();
    let (mut depth, mut tokens, mut words) = (0_usize, 0_usize, Words::default());
    while let Some((&byte, after)) = rest.split_first() {
        let length = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' | 0xEF | 0xBB | 0xBF => {
                rest = after;
                continue;
            }
            b'#' => {
                rest = rest.get(line(rest)..).unwrap_or_default();
                continue;
            }
            b'"' => string(rest)?,
            b'{' | b'[' | b'(' => {
                depth += 1;
                1
            }
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                1
            }
            b'-' | b'0'..=b'9' => {
                let length =
                    run(rest, |b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'_'));
                exact(rest.get(..length).unwrap_or_default())?;
                length
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => run(rest, |b| b.is_ascii_alphanumeric() || b == b'_'),
            b'.' => run(rest, |b| b == b'.').min(3),
            b'!' | b'$' | b'&' | b':' | b'=' | b'@' | b'|' => 1,
            // No token begins so: the parser stops here and says where.
            _ => break,
        };
        tokens += 1;
        if depth > limits.nesting_max {
            return Err(too_deep(limits.nesting_max));
        }
        if tokens > limits.tokens_max {
            return Err(too_complex("tokens_max", limits.tokens_max, "tokens"));
        }
        let (token, after) = rest.split_at_checked(length.max(1)).unwrap_or((rest, &[]));
        words.token(text.len() - rest.len(), token);
        rest = after;
    }
    words.readable(text)
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !belongs(*byte)).unwrap_or(bytes.len())
}

fn line(bytes: &[u8]) -> usize {
    run(bytes, |byte| byte != b'\n' && byte != b'\r')
}

/// The length of a string or block string.
///
/// A block string without an end is refused here: the parser would read its first two quotes as an empty
/// string and try again at every later place, each time to the document's end.
fn string(bytes: &[u8]) -> Result<usize> {
    if bytes.starts_with(b"\"\"\"") {
        let text = "a block string is not closed; end it with three quotes";
        return block(bytes).ok_or_else(|| Error::bad_request(text));
    }
    let mut at = 1;
    loop {
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') => return Ok(at + 1),
            None | Some(b'\n' | b'\r') => return Ok(at),
            Some(_) => at += 1,
        }
    }
}

fn block(bytes: &[u8]) -> Option<usize> {
    let mut at = 3;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(b"\"\"\"") {
            return Some(at + 3);
        }
        at += if rest.starts_with(b"\\\"\"\"") { 4 } else { 1 };
    }
    None
}

/// The parser keeps literals as 64-bit numbers. One that would be changed by that belongs in the variables,
/// which keep texts.
fn exact(number: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(number).unwrap_or_default();
    let plain = text.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
    if plain && (text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()) {
        return Ok(());
    }
    let shown = short(text);
    // The parser would see several: `0-0` is two.
    let number: f64 = text
        .parse()
        .map_err(|_| Error::bad_request(format!("`{shown}` is not a number; put blanks between values")))?;
    if digits(text) == digits(&format!("{number:e}")) {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "the number `{shown}` does not survive in a document; send it in the variables"
    )))
}

/// The digits that count.
fn digits(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').trim_end_matches('0').to_owned()
}

/// What a selection comes to with its fragments expanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    fields: usize,
    directives: usize,
    aliases: usize,
    /// Fields at the top.
    roots: usize,
    /// Selection sets inside each other, fields and fragments alike.
    nesting: usize,
    /// Fields inside each other.
    depth: usize,
}

struct Measure<'a> {
    document: &'a ExecutableDocument,
    limits: &'a config::Graphql,
    known: HashMap<&'a str, Option<Size>>,
}

/// Checks the parsed document: operations, arguments, fields after fragments are expanded, root fields, depth,
/// aliases, directives. Fragments that are unknown, unused or contain themselves end here too: what the library's
/// rules do with them is not measured by any of these bounds.
///
/// # Errors
/// `TOO_COMPLEX` with the bound, `BAD_REQUEST` for fragments.
pub(super) fn measure(document: &ExecutableDocument, limits: &config::Graphql) -> Result<usize, Misplaced> {
    if document.operations.iter().count() > limits.operations_max {
        return Err(too_complex("operations_max", limits.operations_max, "operations").into());
    }
    let mut measure = Measure { document, limits, known: HashMap::new() };
    let mut sum = Size::default();
    for (_, operation) in document.operations.iter() {
        let mut size = measure.selection(&operation.node.selection_set.node, 1)?;
        size.directives = size.directives.saturating_add(operation.node.directives.len());
        let of_variables = operation.node.variable_definitions.iter().map(|v| v.node.directives.len());
        size.directives = size.directives.saturating_add(of_variables.sum());
        sum.fields = sum.fields.saturating_add(size.fields);
        sum.directives = sum.directives.saturating_add(size.directives);
        sum.aliases = sum.aliases.saturating_add(size.aliases);
        sum.roots = sum.roots.max(size.roots);
        sum.depth = sum.depth.max(size.depth);
    }
    if let Some((name, fragment)) =
        document.fragments.iter().find(|(name, _)| !measure.known.contains_key(name.as_str()))
    {
        let text = format!("the fragment `{}` is not used; spread it, or take it out", short(name));
        return Err(Misplaced { error: Error::bad_request(text), locations: vec![fragment.pos] });
    }
    let bounds = [
        (sum.fields, limits.fields_max, "fields_max", "fields"),
        (sum.directives, limits.directives_max, "directives_max", "directives"),
        (sum.aliases, limits.aliases_max, "aliases_max", "aliases"),
        (sum.roots, limits.root_fields_max, "root_fields_max", "root fields"),
        (sum.depth, limits.depth_max, "depth_max", "fields inside each other"),
    ];
    match bounds.into_iter().find(|(value, bound, _, _)| value > bound) {
        Some((_, bound, name, what)) => Err(too_complex(name, bound, what).into()),
        None => Ok(sum.depth),
    }
}

impl<'a> Measure<'a> {
    /// `level` counts the selection sets around this one, so that this function's own recursion is bounded.
    fn selection(&mut self, set: &'a SelectionSet, level: usize) -> Result<Size, Misplaced> {
        if level > self.limits.nesting_max {
            return Err(too_deep(self.limits.nesting_max).into());
        }
        let mut sum = Size { nesting: 1, ..Size::default() };
        for item in &set.items {
            let mut size = match &item.node {
                Selection::Field(field) => {
                    let max = self.limits.arguments_max;
                    if field.node.arguments.len() > max {
                        let error = too_complex("arguments_max", max, "arguments of one field");
                        return Err(Misplaced { error, locations: vec![field.pos] });
                    }
                    let mut size = Size::default();
                    if !field.node.selection_set.node.items.is_empty() {
                        size = self.selection(&field.node.selection_set.node, level + 1)?;
                    }
                    size.fields = size.fields.saturating_add(1);
                    size.aliases = size.aliases.saturating_add(usize::from(field.node.alias.is_some()));
                    Size { roots: 1, depth: size.depth + 1, ..size }
                }
                Selection::InlineFragment(inline) => {
                    self.selection(&inline.node.selection_set.node, level + 1)?
                }
                Selection::FragmentSpread(spread) => {
                    self.fragment(spread.node.fragment_name.node.as_str(), spread.pos, level + 1)?
                }
            };
            size.directives = size.directives.saturating_add(item.node.directives().len());
            sum.fields = sum.fields.saturating_add(size.fields);
            sum.directives = sum.directives.saturating_add(size.directives);
            sum.aliases = sum.aliases.saturating_add(size.aliases);
            sum.roots = sum.roots.saturating_add(size.roots);
            sum.nesting = sum.nesting.max(size.nesting + 1);
            sum.depth = sum.depth.max(size.depth);
        }
        Ok(sum)
    }

    fn fragment(&mut self, name: &'a str, pos: Pos, level: usize) -> Result<Size, Misplaced> {
        let wrong = |what: &str| {
            let text = format!("the fragment `{}` {what}", short(name));
            Misplaced { error: Error::bad_request(text), locations: vec![pos] }
        };
        match self.known.get(name) {
            Some(Some(size)) if level + size.nesting > self.limits.nesting_max + 1 => {
                Err(too_deep(self.limits.nesting_max).into())
            }
            Some(Some(size)) => Ok(*size),
            Some(None) => Err(wrong("contains itself; take the spread out")),
            None => {
                let fragment = self.document.fragments.get(name);
                let fragment = fragment.ok_or_else(|| wrong("is not in the document; define it"))?;
                self.known.insert(name, None);
                let mut size = self.selection(&fragment.node.selection_set.node, level)?;
                size.directives = size.directives.saturating_add(fragment.node.directives.len());
                self.known.insert(name, Some(size));
                Ok(size)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::{Duration, Instant};

    use super::*;

    fn limits() -> config::Graphql {
        config::Graphql::default()
    }

    /// What the guard says of a document, and that it says so at once.
    fn check(text: &str) -> Result<()> {
        let start = Instant::now();
        let limits = limits();
        let outcome = scan(text, &limits).and_then(|readable| match readable.parse() {
            Ok(document) => measure(&document, &limits).map(drop).map_err(|misplaced| misplaced.error),
            Err(error) => Err(Error::bad_request(error.to_string())),
        });
        assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
        outcome
    }

    fn refused(text: &str) -> String {
        let error = check(text).unwrap_err();
        assert_eq!(error.code(), Code::TooComplex, "{error}");
        error.message().to_owned()
    }

    #[test]
    fn ordinary_documents_pass() {
        check("{ a(x: \"{{{{\", y: \"\"\"[[[[\"\"\") { b } # ((((\n }").unwrap();
        check("query Q($a: [Int!]! = [1, 2]) @live { ...F } fragment F on Query { a @skip(if: true) }")
            .unwrap();
    }

    #[test]
    fn nested_literals_are_refused_before_the_parser() {
        for deep in [1_400, 2_000, 300_000] {
            for (open, close) in [("{not:", "}"), ("[", "]")] {
                let text = format!("{{ a(x: {}1{}) }}", open.repeat(deep), close.repeat(deep));
                assert!(refused(&text).contains("nesting_max"));
                let hidden = format!("{{ a(x: [\"\" {}", open.repeat(deep));
                assert!(refused(&hidden).contains("nesting_max"));
            }
        }
        assert!(refused(&format!("query($a: {}Int) {{ a }}", "[".repeat(2_000))).contains("nesting_max"));
        assert!(refused(&"{a".repeat(2_000)).contains("nesting_max"));
    }

    #[test]
    fn an_open_block_string_hides_nothing() {
        let text = format!("{{ a(x: [\"\"\" \" {}", "[".repeat(5_000));
        assert!(check(&text).unwrap_err().message().contains("block string"));
        let text = format!("{{ a(x: [{}] }} # {}", "\"\"\" \\\"\"\"\"\"".repeat(6_000), "x".repeat(900_000));
        assert_eq!(check(&text).unwrap_err().code(), Code::BadRequest);
    }

    fn doubling(levels: usize, leaf: &str) -> String {
        let links = (0..levels).map(|i| format!(" fragment F{i} on Query {{ ...F{} ...F{} }}", i + 1, i + 1));
        format!("{{ ...F0 }}{} fragment F{levels} on Query {{ {leaf} }}", links.collect::<String>())
    }

    #[test]
    fn doubling_fragments_are_counted_without_expanding_them() {
        for levels in [20, 30, 1_000] {
            refused(&doubling(levels, "a"));
        }
    }

    #[test]
    fn doubling_fragments_that_end_in_an_unknown_one_are_refused() {
        for levels in [20, 30, 62] {
            let error = check(&doubling(levels, "...X")).unwrap_err();
            assert_eq!(error.code(), Code::BadRequest);
            assert_eq!(error.message(), "the fragment `X` is not in the document; define it");
        }
        refused(&doubling(1_000, "...X"));
        for text in ["{ a { ... { ...X } } }", "{ ...A } fragment A on Query { b { ...X } }"] {
            assert!(check(text).unwrap_err().message().contains("`X` is not in the document"), "{text}");
        }
    }

    #[test]
    fn fragments_that_contain_themselves_are_refused() {
        for text in [
            "{ ...A } fragment A on Query { ...A }",
            "{ ...A } fragment A on Query { ... { ... on Query { b { ... { ...A } } } } }",
            "{ a { ...A } } fragment A on Query { b { ...B } } fragment B on Query { ... { ...A } }",
        ] {
            assert!(check(text).unwrap_err().message().contains("contains itself"), "{text}");
        }
    }

    #[test]
    fn fragments_that_nobody_spreads_are_refused() {
        for text in [
            "{ a } fragment A on Query { a }",
            "{ a ...C } fragment A on Query { ...B } fragment B on Query { ...A } fragment C on Query { a }",
        ] {
            assert!(check(text).unwrap_err().message().contains("is not used"), "{text}");
        }
        check("query A { ...A } query B { ...B } fragment A on Query { a } fragment B on Query { a }")
            .unwrap();
    }

    #[test]
    fn operations_and_arguments_have_bounds() {
        let operations = |n: usize| (0..n).map(|i| format!("query Q{i} {{ a }} ")).collect::<String>();
        check(&operations(limits().operations_max)).unwrap();
        assert!(refused(&operations(limits().operations_max + 1)).contains("graphql.operations_max"));
        let arguments = |n: usize| {
            let list: String = (0..n).map(|i| format!("x{i}: 1 ")).collect();
            format!("{{ b {{ ... {{ a({list}) }} }} }}")
        };
        check(&arguments(limits().arguments_max)).unwrap();
        assert!(refused(&arguments(limits().arguments_max + 1)).contains("graphql.arguments_max"));
    }

    #[test]
    fn long_chains_of_fragments_are_refused() {
        let chain = |first: &str| {
            let links = (0..3_000).map(|i| format!(" fragment F{i} on Query {{ ...F{} }}", i + 1));
            format!("{first}{} fragment F3000 on Query {{ a }}", links.collect::<String>())
        };
        refused(&chain("{ ...F0 }"));
        refused(&chain("{ ...F2980 ...F2950 ...F0 }"));
    }

    #[test]
    fn aliases_fields_roots_directives_and_depth_have_bounds() {
        let many = |n: usize, one: &dyn Fn(usize) -> String| (0..n).map(one).collect::<String>();
        let text = format!("{{ a {{ {} }} }}", many(500, &|i| format!("x{i}: b(first: 1000) {{ c }} ")));
        assert!(refused(&text).contains("aliases_max"));
        refused(&format!("{{ {} }}", many(10_000, &|i| format!("x{i}: b "))));
        refused(&format!("{{ a {} }}", many(10_000, &|_| "@skip(if: false) ".into())));
        let text = format!("{{ a {} }}", many(200, &|_| "@skip(if: false) ".into()));
        assert!(refused(&text).contains("directives_max"));
        refused(&format!("{{ a {{ {} }} }}", many(8_000, &|_| "b ".into())));
        assert!(refused(&format!("{{ {} }}", many(60, &|_| "b ".into()))).contains("root_fields_max"));
        let text = format!("{{ {} a {} }}", "a { ".repeat(25), "}".repeat(25));
        assert!(refused(&text).contains("depth_max"));
        assert!(refused(&format!("{{ a(x: [{}]) }}", "1 ".repeat(30_000))).contains("tokens_max"));
    }

    #[test]
    fn numbers_that_a_literal_would_change_are_refused() {
        for kept in
            ["1", "-7", "9223372036854775807", "18446744073709551615", "0.1", "1e23", "-12.50", "1.0e-7"]
        {
            check(&format!("{{ a(x: {kept}) }}")).unwrap();
        }
        for changed in ["18446744073709551616", "0.12345678901234567890", "123456789012345678.5"] {
            assert!(check(&format!("{{ a(x: {changed}) }}")).unwrap_err().message().contains("variables"));
        }
        let long = format!("{{ a(x: 1{}) }}", "2".repeat(500_000));
        assert!(check(&long).unwrap_err().message().len() < 500);
    }

    #[test]
    fn numbers_that_run_into_each_other_are_not_one_token() {
        for text in ["0-0", "-0-0-0", "0.0-0.0"] {
            let error = check(&format!("{{ a(x: [{text}]) }}")).unwrap_err();
            assert!(error.message().contains("is not a number"), "{error}");
        }
    }
}
