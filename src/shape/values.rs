//! Single values: what a scalar of a document becomes under a published type, and how it is written.

use jiff::{SignedDuration, civil};

use super::{Cell, Scalar, formats};
use crate::record::{Json, write_float, write_string};

/// A value under its published type.
pub(super) enum Fit {
    /// It fits.
    Cell(Cell),
    /// It fits, but the exact text says more and must be rescued.
    Nearly(Cell, &'static str),
    /// It does not fit.
    Misfit(String),
}

/// A value, which is not null, under another type than it was published as; `None` when that cannot hold it exactly.
pub fn cast(value: &Json, scalar: Scalar) -> Option<Cell> {
    match fit(value, scalar) {
        Fit::Cell(cell) => Some(cell),
        Fit::Nearly(..) | Fit::Misfit(_) => None,
    }
}

/// Puts `value`, which is not null, under a type.
pub(super) fn fit(value: &Json, scalar: Scalar) -> Fit {
    match (scalar, value) {
        (Scalar::Json, value) => Fit::Cell(Cell::Text(value.to_text())),
        (Scalar::String, Json::String(text)) => plain(text.clone()),
        (Scalar::String, Json::Number(text)) => plain(text.to_string()),
        (Scalar::String, Json::Bool(value)) => plain(value.to_string()),
        (Scalar::Boolean, Json::Bool(value)) => Fit::Cell(Cell::Bool(*value)),
        (Scalar::Int, Json::Number(text)) => match integer(text) {
            Some(number) if i32::try_from(number).is_ok() => Fit::Cell(Cell::Int(number)),
            _ => Fit::Misfit("not an integer of 32 bit".into()),
        },
        (Scalar::BigInt, Json::Number(text)) => match integer(text) {
            Some(number) => Fit::Cell(Cell::Int(number)),
            None => Fit::Misfit("not an integer of 64 bit".into()),
        },
        (Scalar::Float, Json::Number(text)) => float(text),
        (Scalar::DateTime, Json::String(text)) => date_time(text),
        (Scalar::Date, Json::String(text)) if formats::is_date(text.as_bytes()) => {
            Fit::Cell(Cell::Text(text.clone()))
        }
        (Scalar::Uuid, Json::String(text)) if formats::is_uuid(text.as_bytes()) => {
            Fit::Cell(Cell::Text(text.to_ascii_lowercase()))
        }
        (scalar, value) => Fit::Misfit(format!("published as {}, this is {}", scalar.name(), called(value))),
    }
}

/// What people call a value of this kind.
pub(super) fn called(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "other text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

fn plain(text: String) -> Fit {
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Fit::Misfit("text with U+0000, which databases cannot hold".into());
    }
    Fit::Cell(Cell::Text(text))
}

/// The integer that the text is; `5.0` is one, `5.1` and `5e1` are not.
fn integer(text: &str) -> Option<i64> {
    match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole.parse().ok(),
        _ => text.parse().ok(),
    }
}

fn float(text: &str) -> Fit {
    let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) else {
        return Fit::Misfit("a number beyond what 64 bit floating point holds".into());
    };
    // Up to 15 digits survive the way through a float, unless it is too small to be told apart from others.
    let plain = text.len() <= 15 && number.is_normal();
    let whole = || text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    // Rust prints an f64 without a fraction digit for digit.
    let exact = || whole() && format!("{number:.0}") == text;
    if plain || decimal(text) == decimal(&format!("{number:e}")) || exact() {
        return Fit::Cell(Cell::Float(number));
    }
    Fit::Nearly(Cell::Float(number), "kept as the nearest 64 bit floating point number")
}

/// The digits of a number from the first to the last that is not zero, and how many places before the point they begin.
fn decimal(text: &str) -> (Vec<u8>, Option<i64>) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = whole.trim_start_matches('-').trim_start_matches('0');
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    digits.truncate(digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1));
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.drain(..zeros);
    if digits.is_empty() {
        return (digits, None);
    }
    let before = i64::try_from(whole.len()).ok().zip(i64::try_from(zeros).ok());
    let begins = before.zip(exponent.parse::<i64>().ok());
    (digits, begins.and_then(|((whole, zeros), exponent)| exponent.checked_add(whole - zeros)))
}

fn date_time(text: &str) -> Fit {
    match formats::is_date_time(text.as_bytes()).then(|| utc_micros(text)).flatten() {
        None => Fit::Misfit("not a time with its offset, such as 2026-11-22T21:21:19Z".into()),
        Some((utc, true)) => Fit::Nearly(Cell::Text(utc), "kept to the microsecond"),
        Some((utc, false)) => Fit::Cell(Cell::Text(utc)),
    }
}

/// A date-time in the one form that is stored, and whether it was finer than that. Civil times, as jiff's
/// instants end a day before the year 9999 does, and that last day is what sources write for "never".
fn utc_micros(text: &str) -> Option<(String, bool)> {
    let local = format!("{}T{}", text.get(..10)?, text.get(11..19)?).parse::<civil::DateTime>().ok()?;
    let mut rest = text.get(19..)?;
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        let length = after.bytes().take_while(u8::is_ascii_digit).count();
        (fraction, rest) = after.split_at_checked(length)?;
    }
    let seconds = match rest.strip_prefix(['+', '-']).and_then(|offset| offset.split_once(':')) {
        Some((hours, minutes)) => hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60,
        None => 0,
    };
    let offset = SignedDuration::from_secs(if rest.starts_with('-') { -seconds } else { seconds });
    let utc = local.checked_sub(offset).ok()?.strftime("%Y-%m-%dT%H:%M:%S");
    let (micros, finer) = fraction.split_at_checked(6).unwrap_or((fraction, ""));
    Some((format!("{utc}.{micros:0<6}Z"), finer.bytes().any(|byte| byte != b'0')))
}

/// Appends a cell in output form: JSON as readers get it.
pub(super) fn write(cell: &Cell, scalar: Scalar, out: &mut Vec<u8>) {
    match (cell, scalar) {
        (Cell::Null, _) => out.extend_from_slice(b"null"),
        (Cell::Bool(true), _) => out.extend_from_slice(b"true"),
        (Cell::Bool(false), _) => out.extend_from_slice(b"false"),
        (Cell::Int(number), Scalar::BigInt) => {
            out.push(b'"');
            out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
            out.push(b'"');
        }
        #[allow(
            clippy::cast_precision_loss,
            reason = "the field is a Float: an older row had an integer column"
        )]
        (Cell::Int(number), Scalar::Float) => write_float(*number as f64, out),
        (Cell::Int(number), _) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        (Cell::Float(number), _) => write_float(*number, out),
        (Cell::Text(text), Scalar::Json) => out.extend_from_slice(text.as_bytes()),
        (Cell::Text(text), _) => write_string(text, out),
    }
}
