//! Values at paths of JSON as SQL. What is said here must be what `query::PathTest` says. Texts are our own, compact,
//! and may be anything that a source has sent: no number and no text of it may make a statement fail.

use super::items::readable;
use super::sql::{Sql, symbol, value};
use crate::query::{FieldRef, JsonPath, Literal, NUMBER_SIGNS_MAX, PathTest, Step};
use crate::store::db::Dialect;

/// The least and the greatest number, by size, that has a float near which is neither 0 nor infinite: just beyond half
/// way to those, in as many digits as a number may have here.
const LEAST: &str = "2.47032822920623272088284396434110686182529901307162382212792841250337\
     7536351043759326499181808179962e-324";
const MOST: &str = "1.79769313486231580793728971405303415079934132710037826936173778980444\
     9682927647509466490179775872070e308";

impl Sql {
    /// Whether this holds for the value at a path; null may stand for false.
    pub(super) fn at(&mut self, field: &FieldRef, path: &JsonPath, test: &PathTest) -> String {
        match test {
            PathTest::Exists => self.found(field, path, Wanted::Any),
            PathTest::Compare(comparison, literal) => {
                let found = self.found(field, path, Wanted::like(literal));
                format!("{found} {} {}", symbol(*comparison), self.param(value(literal)))
            }
            PathTest::In(literals) => self.one_of_at(field, path, literals),
            PathTest::Like(pattern) => match self.dialect {
                Dialect::Postgres => {
                    let text = self.found(field, path, Wanted::Text(pattern));
                    format!("{text} like {}", self.param(pattern.as_str().into()))
                }
                // SQLite's own end a text at U+0000.
                Dialect::Sqlite => {
                    let text = self.found(field, path, Wanted::Text(pattern));
                    format!("wellspring_like({text}, {})", self.param(pattern.as_str().into()))
                }
            },
            PathTest::StartsWith(prefix) => {
                let text = self.found(field, path, Wanted::Text(prefix));
                self.begins(&text, prefix)
            }
        }
    }

    fn one_of_at(&mut self, field: &FieldRef, path: &JsonPath, literals: &[Literal]) -> String {
        let texts: Vec<&str> = literals
            .iter()
            .filter_map(|literal| match literal {
                Literal::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let mut parts = Vec::new();
        for wanted in [Wanted::Text(&texts.concat()), Wanted::Number, Wanted::Boolean] {
            let some: Vec<&Literal> = literals.iter().filter(|literal| wanted.is_for(literal)).collect();
            if !some.is_empty() {
                let found = self.found(field, path, wanted);
                let marks: Vec<String> = some.into_iter().map(|literal| self.param(value(literal))).collect();
                // Of another type it is null, which must not hide that another part holds.
                parts.push(format!("coalesce({found} in ({}), false)", marks.join(",")));
            }
        }
        if parts.is_empty() { "false".into() } else { format!("({})", parts.join(" or ")) }
    }

    /// The value at a path if it is what is wanted, else null.
    fn found(&mut self, field: &FieldRef, path: &JsonPath, wanted: Wanted<'_>) -> String {
        let name = self.field(field);
        if self.dialect == Dialect::Sqlite {
            let function = match wanted {
                Wanted::Any => "wellspring_is_at",
                Wanted::Text(_) => "wellspring_text_at",
                Wanted::Number => "wellspring_number_at",
                Wanted::Boolean => "wellspring_boolean_at",
            };
            let path = self.param(path.to_string().into());
            return format!("{function}({name}, {path})");
        }
        let readable = readable(&name, stand_in(path, wanted));
        let mut steps = String::new();
        for step in path.steps() {
            match step {
                Step::Name(name) => {
                    steps.push_str(&format!("->cast({} as text)", self.param(name.as_str().into())));
                }
                Step::Index(index) => steps.push_str(&format!("->{index}")),
            }
        }
        let text = "(v #>> '{}')";
        let found = match wanted {
            Wanted::Any => "k <> 'null'".to_owned(),
            Wanted::Text(_) => format!("case when k = 'string' then {text} end collate \"C\""),
            Wanted::Boolean => format!("case when k = 'boolean' then {text}::boolean end"),
            Wanted::Number => number(text),
        };
        // What has an offset is computed once.
        let value = format!("select ({readable})::json{steps} as v offset 0");
        format!("(select {found} from (select v, json_typeof(v) as k from ({value}) j offset 0) j)")
    }
}

/// What the value at a path is wanted as.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Any,
    /// To be compared with this.
    Text(&'a str),
    Number,
    Boolean,
}

impl<'a> Wanted<'a> {
    fn like(literal: &'a Literal) -> Self {
        match literal {
            Literal::Bool(_) => Wanted::Boolean,
            Literal::Int(_) | Literal::Float(_) => Wanted::Number,
            Literal::Text(text) => Wanted::Text(text),
        }
    }

    /// Whether it is compared with such constants.
    fn is_for(self, literal: &Literal) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&Wanted::like(literal))
    }
}

/// The character that stands for U+0000, which PostgreSQL does not read: one that no constant has, so that nothing is
/// taken for what has it, and the first of those, so that in an order it comes first, too.
fn stand_in(path: &JsonPath, wanted: Wanted<'_>) -> char {
    let names = path.steps().iter().filter_map(|step| match step {
        Step::Name(name) => Some(name.as_str()),
        Step::Index(_) => None,
    });
    let text = if let Wanted::Text(text) = wanted { text } else { "" };
    let texts: Vec<&str> = names.chain([text]).collect();
    ('\u{1}'..'\u{d7ff}').find(|c| !texts.iter().any(|text| text.contains(*c))).unwrap_or('\u{d7ff}')
}

/// A number as the nearest float; null where PostgreSQL would find that none is near, and fail.
fn number(text: &str) -> String {
    let most = NUMBER_SIGNS_MAX;
    let (common, any) = (
        format!("'^-?[0-9.]{{1,{most}}}([eE][-+]?[0-9]{{1,2}})?$'"),
        format!("'^-?[0-9.]{{1,{most}}}([eE][-+]?0*[0-9]{{1,3}})?$'"),
    );
    let near = format!("{text}::numeric = 0 or abs({text}::numeric) between {LEAST} and {MOST}");
    let float = format!("{text}::double precision");
    format!(
        "case when k <> 'number' then null when {text} ~ {common} then {float} \
         when {text} ~ {any} then case when {near} then {float} end end"
    )
}
