//! What `search` asks of a text, as people write it for a search engine: `red "old bike" or car* -rust`. Must not read
//! anything but the words of texts.

use super::words::{is_plain, is_word, words};

/// A text that is searched for, as it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    text: String,
    clauses: Vec<Vec<Term>>,
}

/// A word, a phrase or the beginning of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// It must not be there.
    pub absent: bool,
    /// What the words of a text contain where it is there: its words, each with a blank before and behind it, the last
    /// without one behind where only its beginning is given.
    pub needle: String,
}

impl Search {
    /// Reads what is searched for; none when it has no word.
    pub fn parse(text: &str) -> Option<Self> {
        let mut clauses: Vec<Vec<Term>> = Vec::new();
        let mut either = false;
        let mut tokens = tokens(text).into_iter().filter_map(Token::term).peekable();
        while let Some((term, or)) = tokens.next() {
            if or && !either && !clauses.is_empty() && tokens.peek().is_some() {
                either = true;
                continue;
            }
            match clauses.last_mut() {
                Some(terms) if either => terms.push(term),
                _ => clauses.push(vec![term]),
            }
            either = false;
        }
        (!clauses.is_empty()).then(|| Search { text: text.to_owned(), clauses })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Of each of these at least one term must hold.
    pub fn clauses(&self) -> &[Vec<Term>] {
        &self.clauses
    }

    /// How many words it has.
    pub fn count(&self) -> usize {
        self.clauses.iter().flatten().map(|term| term.words().count()).sum()
    }

    /// Whether a text has what is searched for.
    pub fn finds(&self, text: &str) -> bool {
        let words = words(text);
        let holds = |term: &Term| words.contains(&term.needle) != term.absent;
        self.clauses.iter().all(|terms| terms.iter().any(holds))
    }

    /// The clauses that lead to texts: those of terms that must be there.
    pub fn leading(&self) -> impl Iterator<Item = &[Term]> {
        let lead = |terms: &&[Term]| terms.iter().all(|term| !term.absent);
        self.clauses.iter().map(Vec::as_slice).filter(lead)
    }

    /// The terms that must be there.
    pub fn required(&self) -> impl Iterator<Item = &Term> {
        self.clauses.iter().filter_map(|terms| match terms.as_slice() {
            [term] if !term.absent => Some(term),
            _ => None,
        })
    }
}

impl Term {
    /// Its words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.needle.split_ascii_whitespace()
    }

    /// Its longest word, or beginning of one, that stands just so in the text, in ASCII's lower case, where it holds.
    pub fn plain(&self) -> Option<&str> {
        self.words().filter(|word| word.chars().all(is_plain)).max_by_key(|word| word.len())
    }
}

/// What stands between blanks or quotes.
#[derive(Default)]
struct Token {
    text: String,
    quoted: bool,
    absent: bool,
    /// A `*` stands behind it.
    star: bool,
}

impl Token {
    /// What it asks for, and whether it may be the word that joins two; none when it has no word.
    fn term(self) -> Option<(Term, bool)> {
        let mut needle = words(&self.text);
        if needle.len() < 2 {
            return None;
        }
        if self.star && self.text.chars().next_back().is_some_and(is_word) {
            needle.truncate(needle.trim_end().len());
        }
        let or = !self.quoted && !self.absent && !self.star && self.text.eq_ignore_ascii_case("or");
        Some((Term { absent: self.absent, needle }, or))
    }
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '“' | '”' | '„')
}

fn tokens(text: &str) -> Vec<Token> {
    let (mut tokens, mut chars) = (Vec::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut token = Token::default();
        let mut next = Some(c);
        if c == '-' {
            token.absent = true;
            next = chars.next_if(|c| !c.is_whitespace());
        }
        let Some(first) = next else { continue };
        token.quoted = is_quote(first);
        if token.quoted {
            token.text.extend(chars.by_ref().take_while(|c| !is_quote(*c)));
            token.star = chars.next_if_eq(&'*').is_some();
        } else {
            token.text.push(first);
            while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !is_quote(*c)) {
                token.text.push(c);
            }
            token.star = token.text.ends_with('*');
            if token.star {
                token.text.pop();
            }
        }
        tokens.push(token);
    }
    tokens
}
