//! Values within JSON of no single type: where they are, and what is asked of them. Typed and two-valued: a value of
//! another type, null and what is not there are like nothing, and only of a value that is there something else can be
//! said. What is said here must be what the store says as SQL. Must not read anything.

use std::fmt;
use std::str::FromStr;

use super::{Comparison, Literal, Value, constant, ends_alone, holds, like, no_nul};
use crate::error::{Error, Result};
use crate::record::Json;

/// A place in JSON: of RFC 9535 a singular query, without indexes from the end.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

/// A step of a [`JsonPath`].
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// To the member of an object with this name.
    Name(String),
    /// To the item of a list at this place, from 0.
    Index(u32),
}

/// What is asked of the value at a [`JsonPath`].
#[derive(Clone, Debug, PartialEq)]
pub enum PathTest {
    /// It is there, and not null.
    Exists,
    /// It compares so with a constant of its type; numbers are floats, and booleans have no order.
    Compare(Comparison, Literal),
    /// It is one of these.
    In(Vec<Literal>),
    /// It is a text of this pattern, as in [`Filter::Like`](crate::query::Filter::Like).
    Like(String),
    /// It is a text that begins so.
    StartsWith(String),
}

impl JsonPath {
    /// From the outside to the inside.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    fn at<'a>(&self, value: &'a Json) -> Option<&'a Json> {
        self.0.iter().try_fold(value, |value, step| match (step, value) {
            (Step::Name(name), value) => value.get(name),
            (Step::Index(index), Json::Array(items)) => items.get(usize::try_from(*index).ok()?),
            (Step::Index(_), _) => None,
        })
    }

    /// Whether something is there that is not null.
    pub fn is_there(&self, value: &Json) -> bool {
        self.at(value).is_some_and(|found| *found != Json::Null)
    }

    /// The text that is there.
    pub fn text<'a>(&self, value: &'a Json) -> Option<&'a str> {
        self.at(value)?.as_str()
    }

    /// The number that is there.
    pub fn number(&self, value: &Json) -> Option<f64> {
        match self.at(value)? {
            Json::Number(text) => number(text),
            _ => None,
        }
    }

    /// The boolean that is there.
    pub fn boolean(&self, value: &Json) -> Option<bool> {
        match self.at(value)? {
            Json::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

/// The most signs of a number before its exponent, and the most digits of that: others are numbers that nothing is
/// compared with.
pub const NUMBER_SIGNS_MAX: usize = 100;
const EXPONENT_DIGITS_MAX: usize = 3;

/// A number as the nearest float; none where that is none, or only 0 is near.
fn number(text: &str) -> Option<f64> {
    let plain = text.strip_prefix('-').unwrap_or(text);
    let (digits, exponent) = plain.split_once(['e', 'E']).unwrap_or((plain, ""));
    let exponent = exponent.trim_start_matches(['+', '-']).trim_start_matches('0');
    if digits.len() > NUMBER_SIGNS_MAX || exponent.len() > EXPONENT_DIGITS_MAX {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    let vanishes = number == 0.0 && digits.contains(|c: char| !matches!(c, '0' | '.'));
    (number.is_finite() && !vanishes).then_some(number)
}

impl PathTest {
    /// A comparison with a constant.
    ///
    /// # Errors
    /// `BAD_REQUEST` when nothing can be compared so with it.
    pub fn compare(comparison: Comparison, constant: &Json) -> Result<Self> {
        let literal = scalar(constant)?;
        match &literal {
            Literal::Bool(_) if comparison != Comparison::Eq => {
                return Err(Error::bad_request("a Boolean has no order; use `eq`"));
            }
            // PostgreSQL does not read U+0000, the only character before it: where that stands is then its place.
            Literal::Text(text) if comparison != Comparison::Eq && text.contains('\u{1}') => {
                let told = "a text with U+0001 cannot be compared by order; use `eq` or `startsWith`";
                return Err(Error::bad_request(told));
            }
            _ => {}
        }
        Ok(PathTest::Compare(comparison, literal))
    }

    /// The value is one of these constants.
    ///
    /// # Errors
    /// As [`PathTest::compare`].
    pub fn one_of(constants: &[Json]) -> Result<Self> {
        Ok(PathTest::In(constants.iter().map(scalar).collect::<Result<_>>()?))
    }

    /// The value is a text of this pattern.
    ///
    /// # Errors
    /// `BAD_REQUEST` when the pattern has NUL or ends in a lone `\`.
    pub fn matches(pattern: &str) -> Result<Self> {
        no_nul(pattern)?;
        ends_alone(pattern)?;
        Ok(PathTest::Like(pattern.to_owned()))
    }

    /// The value is a text that begins so.
    ///
    /// # Errors
    /// `BAD_REQUEST` when it has NUL.
    pub fn begins(prefix: &str) -> Result<Self> {
        no_nul(prefix)?;
        Ok(PathTest::StartsWith(prefix.to_owned()))
    }

    pub(super) fn holds(&self, path: &JsonPath, value: &Json) -> bool {
        let compare = |comparison, literal: &Literal| {
            let found = match literal {
                Literal::Bool(_) => path.boolean(value).map(Value::Bool),
                Literal::Int(_) | Literal::Float(_) => path.number(value).map(Value::Float),
                Literal::Text(_) => path.text(value).map(Value::Text),
            };
            found.is_some_and(|found| holds(comparison, &found, &constant(literal)))
        };
        match self {
            PathTest::Exists => path.is_there(value),
            PathTest::Compare(comparison, literal) => compare(*comparison, literal),
            PathTest::In(literals) => literals.iter().any(|literal| compare(Comparison::Eq, literal)),
            PathTest::Like(pattern) => path.text(value).is_some_and(|text| like(text, pattern)),
            PathTest::StartsWith(prefix) => {
                path.text(value).is_some_and(|text| text.starts_with(prefix.as_str()))
            }
        }
    }
}

/// A constant.
fn scalar(constant: &Json) -> Result<Literal> {
    Ok(match constant {
        Json::Bool(value) => Literal::Bool(*value),
        Json::Number(text) => {
            let number = number(text).ok_or_else(|| {
                Error::bad_request(format!("numbers are compared as floats, and none is near `{text}`"))
            })?;
            Literal::Float(number)
        }
        Json::String(text) => {
            no_nul(text)?;
            Literal::Text(text.clone())
        }
        Json::Null => return Err(Error::bad_request("nothing is compared with null; use `exists: false`")),
        Json::Array(_) | Json::Object(_) => {
            return Err(Error::bad_request(
                "a value of JSON is compared with a text, a number or a Boolean; of what is in a list or an object \
                 ask by a longer path each, such as `$.a.b` and `$.a.c[0]`",
            ));
        }
    })
}

impl FromStr for JsonPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut left = Left { text, chars: text.char_indices().peekable() };
        left.take('$', "a path begins with `$`")?;
        let mut steps = Vec::new();
        while let Some((_, sign)) = left.chars.next() {
            steps.push(match sign {
                '.' => Step::Name(left.name()?),
                '[' => left.bracketed()?,
                _ => return Err(left.fault("expected `.name`, `['name']` or `[0]`", 1)),
            });
        }
        Ok(JsonPath(steps))
    }
}

/// What of a path has not been read yet.
struct Left<'a> {
    text: &'a str,
    chars: std::iter::Peekable<std::str::CharIndices<'a>>,
}

impl Left<'_> {
    /// Refuses the path at the place that is reached, or so many characters before.
    fn fault(&mut self, what: &str, before: usize) -> Error {
        let reached = self.chars.peek().map_or(self.text.len(), |(at, _)| *at);
        let read = self.text.get(..reached).unwrap_or_default().chars().count().saturating_sub(before);
        let good: String = self.text.chars().take(read).collect();
        let place = read + 1;
        Error::bad_request(format!(
            "`at` is no path of JSONPath that is known here: {what} at character {place}, behind `{good}`"
        ))
    }

    fn take(&mut self, sign: char, what: &str) -> Result<()> {
        match self.chars.next_if(|(_, next)| *next == sign) {
            Some(_) => Ok(()),
            None => Err(self.fault(what, 0)),
        }
    }

    /// A name behind a point.
    fn name(&mut self) -> Result<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
        let mut name = String::new();
        while let Some((_, c)) = self.chars.next_if(|(_, c)| plain(*c)) {
            name.push(c);
        }
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            let what = "expected a name of letters, digits and `_`; write others as `['the name']`";
            return Err(self.fault(what, name.len()));
        }
        Ok(name)
    }

    /// A name or a place in brackets, the first of which has been read.
    fn bracketed(&mut self) -> Result<Step> {
        let step = match self.chars.next_if(|(_, c)| matches!(c, '\'' | '"')) {
            Some((_, quote)) => Step::Name(self.quoted(quote)?),
            None => Step::Index(self.index()?),
        };
        self.take(']', "expected `]`")?;
        Ok(step)
    }

    fn quoted(&mut self, quote: char) -> Result<String> {
        let mut name = String::new();
        loop {
            let next = self.chars.next().map(|(_, c)| c);
            match next {
                None => return Err(self.fault(&format!("expected `{quote}`"), 0)),
                // Keys with U+0000 are not found by any path, see `PathTest::compare`.
                Some('\0' | '\u{1}') => return Err(self.fault("a name must not have U+0000 or U+0001", 1)),
                Some('\\') => match self.chars.next_if(|(_, c)| matches!(c, '\\' | '\'' | '"')) {
                    Some((_, c)) => name.push(c),
                    None => return Err(self.fault("behind `\\` expected `\\` or a quotation mark", 0)),
                },
                Some(c) if c == quote => return Ok(name),
                Some(c) => name.push(c),
            }
        }
    }

    fn index(&mut self) -> Result<u32> {
        let mut digits = String::new();
        while let Some((_, digit)) = self.chars.next_if(|(_, c)| c.is_ascii_digit()) {
            digits.push(digit);
        }
        // PostgreSQL counts in 31 bits.
        let index = digits.parse().ok().filter(|index| *index <= i32::MAX.unsigned_abs());
        let plain = digits == "0" || !digits.starts_with('0');
        match index {
            Some(index) if plain => Ok(index),
            _ => {
                Err(self
                    .fault("expected a place in a list, from 0, or a name in quotation marks", digits.len()))
            }
        }
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.0.iter().try_for_each(|step| match step {
            Step::Name(name) => write!(f, "['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")),
            Step::Index(index) => write!(f, "[{index}]"),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn json(text: &str) -> Json {
        Json::try_from(text).unwrap()
    }

    #[test]
    fn paths_lead_to_members_and_items() {
        let value = json(r#"{"a":{"b.c":[10,{"d'e\\":"x"}],"ä":true},"":1,"a1":2}"#);
        for (path, found) in [
            ("$", value.to_text()),
            ("$.a1", "2".into()),
            ("$['']", "1".into()),
            ("$.a.ä", "true".into()),
            ("$.a['b.c'][0]", "10".into()),
            (r#"$["a"]["b.c"][1]['d\'e\\']"#, "\"x\"".into()),
            ("$.a[0]", String::new()),
            ("$.a1.x", String::new()),
            ("$.a['b.c'].x", String::new()),
            ("$.a['b.c'][2]", String::new()),
        ] {
            let read: JsonPath = path.parse().unwrap();
            assert_eq!(read.at(&value).map(Json::to_text).unwrap_or_default(), found, "{path}");
            assert_eq!(read.to_string().parse::<JsonPath>().unwrap(), read, "{path}");
        }
    }

    #[test]
    fn paths_that_are_none_are_refused_where_they_go_wrong() {
        for (path, what) in [
            ("", "begins with `$` at character 1"),
            ("a", "begins with `$` at character 1"),
            ("$a", "`.name`, `['name']` or `[0]` at character 2, behind `$`"),
            ("$.", "a name of letters"),
            ("$..a", "at character 3, behind `$.`"),
            ("$.a-b", "at character 4, behind `$.a`"),
            ("$.1", "at character 3"),
            ("$.ä[*]", "at character 5, behind `$.ä[`"),
            ("$[-1]", "at character 3"),
            ("$[01]", "at character 3"),
            ("$[4294967296]", "at character 3"),
            ("$['a]", "expected `'` at character 6"),
            ("$['a'", "expected `]` at character 6"),
            (r"$['\n']", "behind `\\`"),
            ("$['\0']", "U+0000"),
        ] {
            let error = path.parse::<JsonPath>().unwrap_err();
            assert!(error.to_string().contains(what), "{path}: {error}");
        }
    }

    #[test]
    fn numbers_are_floats_as_far_as_there_are_any() {
        for (text, expected) in [
            ("1", Some(1.0)),
            ("9007199254740993", Some(9_007_199_254_740_992.0)),
            ("-0.0", Some(0.0)),
            ("0e999", Some(0.0)),
            ("5E-324", Some(5e-324)),
            ("1e0000308", Some(1e308)),
            ("1e-400", None),
            ("1e400", None),
            ("-1e400", None),
            ("1e9999", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        assert_eq!(number(&"1".repeat(NUMBER_SIGNS_MAX)).map(f64::is_finite), Some(true));
        assert_eq!(number(&"1".repeat(NUMBER_SIGNS_MAX + 1)), None);
    }

    #[test]
    fn constants_are_scalars() {
        for (constant, what) in [
            ("null", "exists"),
            ("[]", "$.a.c[0]"),
            ("{}", "longer path"),
            ("1e400", "1e400"),
            ("\"\\u0000\"", "NUL"),
        ] {
            let error = PathTest::compare(Comparison::Eq, &json(constant)).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
            assert!(PathTest::one_of(&[json("1"), json(constant)]).is_err());
        }
        assert!(PathTest::compare(Comparison::Lt, &json("true")).is_err());
        assert!(PathTest::compare(Comparison::Lt, &json("\"\\u0001\"")).is_err());
        assert!(PathTest::compare(Comparison::Eq, &json("\"\\u0001\"")).is_ok());
        assert!(PathTest::matches("a\\").is_err() && PathTest::begins("\0").is_err());
    }
}
