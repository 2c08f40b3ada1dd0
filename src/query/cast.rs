//! Values in the type that a contract keeps: what a field held when its version was published, while its column has
//! been widened since. A value that the older type cannot hold is a misfit. Must not guess: what does not fit exactly
//! is one.

use serde::{Deserialize, Serialize};

use crate::error::{Code, Error, Result};
use crate::query::{Mask, Plain, write};
use crate::record::{Json, Signer};
use crate::shape::{Cell, Scalar, cast};

/// From the type of a column to the one that is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// What the column holds.
    pub from: Scalar,
    /// What is given out.
    pub to: Scalar,
    /// What is done about a value that does not fit.
    pub misfit: OnMisfit,
}

/// From numbers to those of a narrower type, of which the database can tell as well whether they fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Narrowing {
    /// From `BigInt` to `Int`.
    BigIntToInt,
    /// From `Float` to `Int`.
    FloatToInt,
    /// From `Float` to `BigInt`: a float beyond tells nothing of the whole number that it came from.
    FloatToBigInt,
}

impl Narrowing {
    /// The greatest number that fits, with either sign; of 32 bits the least is one more.
    pub fn bounds(self) -> (i64, i64) {
        match self {
            Narrowing::BigIntToInt | Narrowing::FloatToInt => (i32::MIN.into(), i32::MAX.into()),
            Narrowing::FloatToBigInt => (-SAFE_MAX, SAFE_MAX),
        }
    }

    /// Whether the column holds floats, of which only whole ones fit.
    pub fn is_float(self) -> bool {
        self != Narrowing::BigIntToInt
    }

    /// The number that a value of the column is, if it fits.
    pub fn number(self, value: Plain<'_>) -> Option<i64> {
        let number = match value {
            Plain::Int(number) => number,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole, and one that does not fit is out of bounds"
            )]
            Plain::Float(number) if number.fract() == 0.0 => number as i64,
            _ => return None,
        };
        let (least, most) = self.bounds();
        (least..=most).contains(&number).then_some(number)
    }
}

/// The greatest whole number up to which a float holds every one.
const SAFE_MAX: i64 = (1 << 53) - 1;

/// What is done about a value that does not fit the type that a contract keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMisfit {
    /// Null stands in its place.
    #[default]
    Null,
    /// The answer fails and says so.
    Error,
    /// The row is not there.
    DropRow,
}

impl Cast {
    /// As numbers that the database can narrow, too.
    pub fn narrowing(&self) -> Option<Narrowing> {
        match (self.from, self.to) {
            (Scalar::BigInt, Scalar::Int) => Some(Narrowing::BigIntToInt),
            (Scalar::Float, Scalar::Int) => Some(Narrowing::FloatToInt),
            (Scalar::Float, Scalar::BigInt) => Some(Narrowing::FloatToBigInt),
            _ => None,
        }
    }

    /// Appends a value of the column as the older type has it, null when that cannot hold it; whether it can.
    pub(super) fn write(
        &self,
        value: Plain<'_>,
        (mask, signer): (Option<&Mask>, &Signer),
        out: &mut Vec<u8>,
    ) -> bool {
        let held = self.held(value);
        let (plain, fits) = match &held {
            Held::Null => (Plain::Null, true),
            Held::Misfit => (Plain::Null, false),
            Held::Cell(Cell::Null) => (Plain::Null, true),
            Held::Cell(Cell::Bool(value)) => (Plain::Bool(*value), true),
            Held::Cell(Cell::Int(number)) => (Plain::Int(*number), true),
            Held::Cell(Cell::Float(number)) => (Plain::Float(*number), true),
            Held::Cell(Cell::Text(text)) => (Plain::Text(text), true),
        };
        match mask {
            Some(mask) => mask.apply(plain, self.to, signer, out),
            None => plain.write(self.to, out),
        }
        fits
    }

    fn held(&self, value: Plain<'_>) -> Held {
        if let Some(narrowing) = self.narrowing() {
            let held = |number| Held::Cell(Cell::Int(number));
            return match value {
                Plain::Null => Held::Null,
                value => narrowing.number(value).map_or(Held::Misfit, held),
            };
        }
        let json = match value {
            Plain::Null => return Held::Null,
            Plain::Bool(value) => Json::Bool(value),
            Plain::Int(number) => Json::Number(number.to_string().into()),
            Plain::Float(number) => {
                let mut text = Vec::new();
                write::float(number, &mut text);
                Json::Number(String::from_utf8_lossy(&text).into_owned().into())
            }
            // It may be the text of a number or a boolean, from before the field held texts.
            Plain::Text(text) => match self.to {
                Scalar::Boolean => match text {
                    "true" => Json::Bool(true),
                    "false" => Json::Bool(false),
                    _ => return Held::Misfit,
                },
                Scalar::Int | Scalar::BigInt | Scalar::Float => Json::Number(text.to_owned().into()),
                _ => Json::String(text.to_owned()),
            },
        };
        cast(&json, self.to).map_or(Held::Misfit, Held::Cell)
    }

    /// # Errors
    /// `UNPROCESSABLE` for a misfit by which the answer fails.
    pub(super) fn must(&self, fits: bool) -> Result<()> {
        if fits || self.misfit != OnMisfit::Error {
            return Ok(());
        }
        let text = format!(
            "a value does not fit the type {} that the contract keeps, and fails the answer by its `misfits`; \
             ask the contract's owner for a version with the type {}",
            self.to.name(),
            self.from.name()
        );
        Err(Error::new(Code::Unprocessable, text))
    }
}

/// A value in the older type.
enum Held {
    Null,
    Cell(Cell),
    Misfit,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(from: Scalar, to: Scalar, value: Plain<'_>) -> (String, bool) {
        let mut out = Vec::new();
        let cast = Cast { from, to, misfit: OnMisfit::Null };
        let fits = cast.write(value, (None, &Signer::new(b"key")), &mut out);
        (String::from_utf8_lossy(&out).into_owned(), fits)
    }

    #[test]
    fn what_the_older_type_can_hold_is_given_in_it() {
        use Scalar::*;
        let fits = |text: &str| (text.to_owned(), true);
        let misfit = ("null".to_owned(), false);
        assert_eq!(written(BigInt, Int, Plain::Int(7)), fits("7"));
        assert_eq!(written(BigInt, Int, Plain::Int(1 << 40)), misfit);
        assert_eq!(written(Float, Int, Plain::Float(3.0)), fits("3"));
        assert_eq!(written(Float, Int, Plain::Float(3.5)), misfit);
        assert_eq!(written(Float, BigInt, Plain::Float(3.0)), fits("\"3\""));
        assert_eq!(
            written(String, DateTime, Plain::Text("2026-11-22T10:00:00+01:00")),
            fits("\"2026-11-22T09:00:00.000000Z\"")
        );
        assert_eq!(written(String, DateTime, Plain::Text("soon")), misfit);
        assert_eq!(written(String, Date, Plain::Text("2026-11-22")), fits("\"2026-11-22\""));
        assert_eq!(written(String, Boolean, Plain::Text("true")), fits("true"));
        assert_eq!(written(String, Int, Plain::Text("12")), fits("12"));
        assert_eq!(written(String, Int, Plain::Text("1x")), misfit);
        assert_eq!(written(Int, String, Plain::Int(12)), fits("\"12\""));
        assert_eq!(written(Float, Int, Plain::Null), fits("null"));
    }

    #[test]
    fn only_what_was_agreed_fails_the_answer() {
        let of = |misfit| Cast { from: Scalar::Float, to: Scalar::Int, misfit };
        assert!(of(OnMisfit::Null).must(false).is_ok());
        assert!(of(OnMisfit::Error).must(true).is_ok());
        assert!(of(OnMisfit::Error).must(false).is_err());
    }
}
