//! Conditions on the words of texts as SQL. What is said here must be what `query::Search::finds` says: SQLite asks
//! just that, PostgreSQL has the words by a function of its own. Must not make indexes.

use super::indexes::{named, words_body};
use super::sql::Sql;
use crate::error::Result;
use crate::query::{Collection, FieldRef, Filter, Search, Term};
use crate::store::Store;
use crate::store::advice::indexed_field;
use crate::store::db::Dialect;

/// So many letters of a word PostgreSQL's indexes have.
const LETTERS_MAX: usize = 64;

impl Store {
    /// A statement about a collection's rows that is led by the indexes of words that this node knows of.
    pub(super) fn sql(&self, collection: &Collection) -> Sql {
        let mut sql = Sql::new(self.db.dialect(), collection);
        for (number, field, made) in self.watch.words(collection.id) {
            // One that was made for another column or table leads nowhere.
            if words_body(sql.dialect, collection, field).is_some_and(|(_, body)| body == made) {
                sql.words.push((collection.shape.current(field), named(collection, number)));
            }
        }
        sql
    }
}

impl Sql {
    /// A condition on rows behind what leads to them by an index of words: it holds of them all, and of others.
    pub(super) fn rows(&mut self, filter: &Filter) -> Result<String> {
        if !self.is_led(filter) {
            return self.condition(filter, false);
        }
        let led = self.leading(filter);
        Ok(format!("({led} and {})", self.condition(filter, false)?))
    }

    fn is_led(&self, filter: &Filter) -> bool {
        match filter {
            Filter::And(parts) => parts.iter().any(|part| self.is_led(part)),
            Filter::Or(parts) => !parts.is_empty() && parts.iter().all(|part| self.is_led(part)),
            Filter::Search(field, search) => {
                self.index_of(field).is_some() && search.leading().next().is_some()
            }
            _ => false,
        }
    }

    fn leading(&mut self, filter: &Filter) -> String {
        let (parts, word) = match filter {
            Filter::And(parts) => (parts, " and "),
            Filter::Or(parts) => (parts, " or "),
            Filter::Search(field, search) => return self.led_by_words(field, search),
            _ => return "true".to_owned(),
        };
        let led: Vec<&Filter> = parts.iter().filter(|part| self.is_led(part)).collect();
        let led: Vec<String> = led.into_iter().map(|part| self.leading(part)).collect();
        format!("({})", led.join(word))
    }

    fn led_by_words(&mut self, field: &FieldRef, search: &Search) -> String {
        let index = self.index_of(field).unwrap_or_default().to_owned();
        match self.dialect {
            Dialect::Sqlite => {
                let asked = self.param(fts5(search).into());
                format!("row_id in (select rowid from {index} where {index} match {asked})")
            }
            Dialect::Postgres => {
                let (text, asked) = (self.field(field), self.param(tsquery(search).into()));
                format!("wellspring_tsvector({text}) @@ cast(cast({asked} as text) as tsquery)")
            }
        }
    }

    /// The index that leads by the words of a field.
    fn index_of(&self, field: &FieldRef) -> Option<&str> {
        let id = indexed_field(field)?;
        self.words.iter().find(|(known, _)| *known == id).map(|(_, name)| name.as_str())
    }

    /// Whether a text has what is searched for; null of null.
    pub(super) fn search(&mut self, field: &FieldRef, search: &Search) -> String {
        let text = self.field(field);
        match self.dialect {
            Dialect::Sqlite => format!("wellspring_search({text}, {})", self.param(search.text().into())),
            Dialect::Postgres => self.searched(&text, search),
        }
    }

    fn searched(&mut self, text: &str, search: &Search) -> String {
        // To look for a word in the text as it is takes a hundredth of the time that it takes to tell its words.
        let plain: Vec<&str> = search.required().filter_map(Term::plain).collect();
        let mut parts: Vec<String> = Vec::with_capacity(plain.len() + 1);
        for word in plain {
            parts.push(format!("strpos(lower({text} collate \"C\"), {}) > 0", self.param(word.into())));
        }
        let words = format!("wellspring_words({text})");
        if let [terms] = search.clauses()
            && let [term] = terms.as_slice()
        {
            parts.push(self.term(&words, term));
        } else {
            let clauses: Vec<String> = search
                .clauses()
                .iter()
                .map(|terms| {
                    let terms: Vec<String> = terms.iter().map(|term| self.term("w", term)).collect();
                    format!("({})", terms.join(" or "))
                })
                .collect();
            // They are told once, however many terms there are.
            let clauses = clauses.join(" and ");
            parts.push(format!("(select {clauses} from (select {words} as w offset 0) words)"));
        }
        format!("({})", parts.join(" and "))
    }

    fn term(&mut self, words: &str, term: &Term) -> String {
        let is = if term.absent { "=" } else { ">" };
        format!("strpos({words}, {}) {is} 0", self.param(term.needle.as_str().into()))
    }
}

/// What an index of words is asked on SQLite: of phrases it knows the words alone.
fn fts5(search: &Search) -> String {
    let word = |word: &str, begins: bool| format!("\"{word}\"{}", if begins { " *" } else { "" });
    asked(search, " AND ", " OR ", word)
}

/// The same on PostgreSQL, where words that are long are cut, and texts that are too long have one that is none.
fn tsquery(search: &Search) -> String {
    let word = |word: &str, begins: bool| {
        let letters: String = word.chars().take(LETTERS_MAX).collect();
        let begins = begins && letters.chars().count() < LETTERS_MAX;
        format!("'{letters}'{}", if begins { ":*" } else { "" })
    };
    format!("({}) | '*'", asked(search, " & ", " | ", word))
}

fn asked(search: &Search, and: &str, or: &str, word: impl Fn(&str, bool) -> String) -> String {
    let term = |term: &Term| {
        let (count, begins) = (term.words().count(), !term.needle.ends_with(' '));
        let words = term.words().enumerate().map(|(place, text)| word(text, begins && place + 1 == count));
        format!("({})", words.collect::<Vec<_>>().join(and))
    };
    let clauses = search.leading().map(|terms| {
        let terms: Vec<String> = terms.iter().map(term).collect();
        format!("({})", terms.join(or))
    });
    clauses.collect::<Vec<_>>().join(and)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn indexes_are_asked_for_what_must_be_there() {
        let search = Search::parse("red -rust \"old bike\" or ca* x or -y").unwrap();
        assert_eq!(fts5(&search), r#"(("red")) AND (("old" AND "bike") OR ("ca" *))"#);
        assert_eq!(tsquery(&search), "((('red')) & (('old' & 'bike') | ('ca':*))) | '*'");
        let long = format!("{}é", "a".repeat(64));
        let cut = format!("((('{}'))) | '*'", "a".repeat(64));
        assert_eq!(tsquery(&Search::parse(&long).unwrap()), cut);
        assert_eq!(tsquery(&Search::parse(&format!("{long}*")).unwrap()), cut);
    }
}
