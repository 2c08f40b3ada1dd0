//! JSON kept exact: number texts, key order and duplicate keys survive. Parsing is jiter's, writing is ours.
//!
//! This file must not know what a document means, and must not recurse deeper than a bounded document nests:
//! the parser keeps its own stack, so what is hostile ends in an error and not in a stack overflow.

use std::fmt;

use jiter::{Jiter, JiterError, Peek};
use serde_json::Value;

use crate::error::{Code, Error, Result};

/// No document nests deeper than this, whatever [`Limits`] say: everything after the parser may recurse.
const DEPTH_CEILING: usize = 500;

/// A JSON value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number's exact text.
    Number(Box<str>),
    /// A string, unescaped.
    String(String),
    /// Items in order.
    Array(Vec<Json>),
    /// Members in order, duplicates included.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Calls `each` with the names of all members, at any depth.
    pub fn names<'a>(&'a self, each: &mut dyn FnMut(&'a str)) {
        match self {
            Json::Array(items) => items.iter().for_each(|item| item.names(each)),
            Json::Object(members) => members.iter().for_each(|(name, value)| {
                each(name);
                value.names(each);
            }),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
}

/// Bounds of one document.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How deep it may nest; 500 is the most.
    pub depth_max: usize,
    /// How many keys and items it may have.
    pub values_max: usize,
}

impl Limits {
    /// Of what has been accepted: it must stay readable, however the bounds of the intake change.
    pub const ACCEPTED: Limits = Limits { depth_max: DEPTH_CEILING, values_max: usize::MAX };
}

impl Default for Limits {
    /// The bounds that the configuration has by default.
    fn default() -> Self {
        Limits { depth_max: 100, values_max: 1_000_000 }
    }
}

/// Parses one document; only white space may follow it.
///
/// # Errors
/// `BAD_REQUEST` with line and column when it is not JSON, `TOO_LARGE` when it passes a bound.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Json> {
    let mut jiter = Jiter::new(bytes);
    read(&mut jiter, limits).map_err(|fault| fault.into_error(&jiter))
}

enum Fault {
    Syntax(JiterError),
    Deep(usize),
    Many(usize),
}

impl From<JiterError> for Fault {
    fn from(error: JiterError) -> Self {
        Fault::Syntax(error)
    }
}

impl Fault {
    fn into_error(self, jiter: &Jiter<'_>) -> Error {
        match self {
            Fault::Syntax(error) => {
                let at = jiter.error_position(error.index);
                let what = &error.error_type;
                Error::bad_request(format!(
                    "not valid JSON: {what} at line {}, column {}",
                    at.line, at.column
                ))
            }
            Fault::Deep(depth_max) => {
                let at = jiter.current_position();
                let text = format!(
                    "the document nests deeper than {depth_max} at line {}, column {}; send it flatter",
                    at.line, at.column
                );
                Error::new(Code::TooLarge, text)
            }
            Fault::Many(values_max) => Error::new(
                Code::TooLarge,
                format!("the document has more than {values_max} keys and items; send it in parts"),
            ),
        }
    }
}

/// A container that is still being read.
enum Open {
    Array(Vec<Json>),
    /// Members so far, and the key whose value comes next.
    Object(Vec<(String, Json)>, String),
}

fn read(jiter: &mut Jiter<'_>, limits: Limits) -> Result<Json, Fault> {
    let depth_max = limits.depth_max.min(DEPTH_CEILING);
    let mut stack: Vec<Open> = Vec::new();
    let mut values = 0;
    let mut peek = jiter.peek()?;
    loop {
        if matches!(peek, Peek::Array | Peek::Object) && stack.len() >= depth_max {
            return Err(Fault::Deep(depth_max));
        }
        let mut value = match peek {
            Peek::Array => match jiter.known_array()? {
                None => Json::Array(Vec::new()),
                Some(first) => {
                    stack.push(Open::Array(Vec::new()));
                    peek = first;
                    continue;
                }
            },
            Peek::Object => match jiter.known_object()?.map(str::to_owned) {
                None => Json::Object(Vec::new()),
                Some(key) => {
                    stack.push(Open::Object(Vec::new(), key));
                    peek = jiter.peek()?;
                    continue;
                }
            },
            _ => scalar(jiter, peek)?,
        };
        // Hand the value to what is open; what it completes is a value in its turn.
        peek = loop {
            match stack.pop() {
                None => {
                    jiter.finish()?;
                    return Ok(value);
                }
                Some(Open::Array(mut items)) => {
                    count(&mut values, limits)?;
                    items.push(value);
                    if let Some(next) = jiter.array_step()? {
                        stack.push(Open::Array(items));
                        break next;
                    }
                    value = Json::Array(items);
                }
                Some(Open::Object(mut members, key)) => {
                    count(&mut values, limits)?;
                    members.push((key, value));
                    if let Some(key) = jiter.next_key()?.map(str::to_owned) {
                        stack.push(Open::Object(members, key));
                        break jiter.peek()?;
                    }
                    value = Json::Object(members);
                }
            }
        };
    }
}

fn count(values: &mut usize, limits: Limits) -> Result<(), Fault> {
    *values += 1;
    if *values > limits.values_max { Err(Fault::Many(limits.values_max)) } else { Ok(()) }
}

fn scalar(jiter: &mut Jiter<'_>, peek: Peek) -> Result<Json, Fault> {
    Ok(match peek {
        Peek::Null => {
            jiter.known_null()?;
            Json::Null
        }
        Peek::True | Peek::False => Json::Bool(jiter.known_bool(peek)?),
        Peek::String => Json::String(jiter.known_str()?.to_owned()),
        // A number's bytes are ASCII: jiter has just checked them.
        _ => Json::Number(String::from_utf8_lossy(jiter.known_number_bytes(peek)?).into()),
    })
}

impl Json {
    /// The member of an object; of duplicates the last one.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => {
                members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// What a JSON pointer (RFC 6901) names; `""` is the whole document.
    pub fn pointer(&self, pointer: &str) -> Option<&Json> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, token| match value {
            Json::Object(_) => value.get(&token.replace("~1", "/").replace("~0", "~")),
            Json::Array(items) => items.get(token.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// Appends the value as compact JSON text, numbers as they were written.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Json::Null => out.extend_from_slice(b"null"),
            Json::Bool(true) => out.extend_from_slice(b"true"),
            Json::Bool(false) => out.extend_from_slice(b"false"),
            Json::Number(text) => out.extend_from_slice(text.as_bytes()),
            Json::String(text) => write_string(text, out),
            Json::Array(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Json::Object(members) => {
                out.push(b'{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_string(key, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// The value as compact JSON text, numbers as they were written.
    pub fn to_text(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        // Everything written came from `str`.
        String::from_utf8(out).unwrap_or_default()
    }

    /// The value for code that speaks serde_json. **Not exact**: of duplicate keys the last stays, keys are
    /// sorted, a number beyond 64 bit becomes the nearest `f64`, and one beyond `f64` a string of its text.
    pub fn to_value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(text) => number_value(text),
            Json::String(text) => Value::String(text.clone()),
            Json::Array(items) => Value::Array(items.iter().map(Json::to_value).collect()),
            Json::Object(members) => {
                Value::Object(members.iter().map(|(key, value)| (key.clone(), value.to_value())).collect())
            }
        }
    }
}

fn number_value(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return Value::from(number);
    }
    if let Ok(number) = text.parse::<u64>() {
        return Value::from(number);
    }
    let float = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
    float.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(value),
            Value::Number(number) => Json::Number(number.to_string().into()),
            Value::String(text) => Json::String(text),
            Value::Array(items) => Json::Array(items.into_iter().map(Json::from).collect()),
            Value::Object(members) => {
                Json::Object(members.into_iter().map(|(key, value)| (key, Json::from(value))).collect())
            }
        }
    }
}

impl From<&Json> for Value {
    /// See [`Json::to_value`] for what is lost.
    fn from(json: &Json) -> Self {
        json.to_value()
    }
}

impl TryFrom<&[u8]> for Json {
    type Error = Error;

    /// [`parse`] with the default bounds.
    fn try_from(bytes: &[u8]) -> Result<Self> {
        parse(bytes, Limits::default())
    }
}

impl TryFrom<&str> for Json {
    type Error = Error;

    /// [`parse`] with the default bounds.
    fn try_from(text: &str) -> Result<Self> {
        parse(text.as_bytes(), Limits::default())
    }
}

/// Appends `text` as a JSON string: quoted, and escaped where the format asks for it and nowhere else.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    for chunk in text.as_bytes().split_inclusive(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        match chunk.split_last() {
            Some((&last, plain)) if last < 0x20 || last == b'"' || last == b'\\' => {
                out.extend_from_slice(plain);
                escape(last, out);
            }
            _ => out.extend_from_slice(chunk),
        }
    }
    out.push(b'"');
}

/// Appends a finite number in the one form that rows, changes and answers have: the shortest text that reads
/// back as the same `f64`, whole numbers that are exact without a fraction. What is not finite is `null`.
pub fn write_float(value: f64, out: &mut Vec<u8>) {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if !value.is_finite() {
        return out.extend_from_slice(b"null");
    }
    let whole =
        value.trunc() == value && value.abs() <= EXACT_MAX && !(value == 0.0 && value.is_sign_negative());
    if whole {
        #[allow(clippy::cast_possible_truncation, reason = "whole and within 53 bit")]
        let whole = value as i64;
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    } else {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    }
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0C => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests;
