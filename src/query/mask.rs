//! Masks: how a value is replaced before anybody sees it. The only implementation; the database masks
//! nothing.

use crate::query::{Mask, Unit, write};
use crate::record::{Json, Signer, hex};
use crate::shape::{Enumeration, Scalar};

/// A scalar value on its way out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plain<'a> {
    /// Nothing.
    Null,
    /// For `Boolean`.
    Bool(bool),
    /// For `Int` and `BigInt`.
    Int(i64),
    /// For `Float`.
    Float(f64),
    /// For the text types, and the text of `JSON`.
    Text(&'a str),
}

impl<'a> Plain<'a> {
    /// The value of a scalar in a document.
    pub fn of(value: Option<&'a Json>, scalar: Scalar) -> Self {
        match (value, scalar) {
            (Some(Json::Bool(value)), Scalar::Boolean) => Plain::Bool(*value),
            (Some(Json::Number(text)), Scalar::Int | Scalar::BigInt) => {
                text.parse().map_or(Plain::Null, Plain::Int)
            }
            (Some(Json::String(text)), Scalar::Int | Scalar::BigInt) => {
                text.parse().map_or(Plain::Null, Plain::Int)
            }
            (Some(Json::Number(text)), Scalar::Float) => text.parse().map_or(Plain::Null, Plain::Float),
            // A BigInt, before it was widened.
            (Some(Json::String(text)), Scalar::Float) => text.parse().map_or(Plain::Null, Plain::Float),
            (Some(Json::String(text)), Scalar::String | Scalar::DateTime | Scalar::Date | Scalar::Uuid) => {
                Plain::Text(text)
            }
            _ => Plain::Null,
        }
    }

    /// The name that an enum has for the text; null when it has none, as that of a row which was written while the enum
    /// was accepted may.
    pub fn named(self, values: &'a Enumeration) -> Self {
        match self {
            Plain::Text(text) => values.name(text).map_or(Plain::Null, Plain::Text),
            other => other,
        }
    }

    /// Appends the value as its type is written.
    pub fn write(self, scalar: Scalar, out: &mut Vec<u8>) {
        match (self, scalar) {
            (Plain::Null, _) => out.extend_from_slice(b"null"),
            (Plain::Bool(value), _) => write::bool(value, out),
            (Plain::Int(number), Scalar::BigInt) => write::big_int(number, out),
            (Plain::Int(number), _) => write::int(number, out),
            (Plain::Float(number), _) => write::float(number, out),
            (Plain::Text(text), Scalar::Json) => out.extend_from_slice(text.as_bytes()),
            (Plain::Text(text), _) => write::text(text, out),
        }
    }
}

impl Mask {
    /// Whether the type can hold what the mask leaves; else that is null.
    pub fn fits(&self, scalar: Scalar) -> bool {
        match self {
            Mask::Null => true,
            Mask::Hash => matches!(scalar, Scalar::String | Scalar::Json),
            Mask::KeepFirst(_) | Mask::KeepLast(_) => scalar == Scalar::String,
            Mask::Round(_) => matches!(scalar, Scalar::Int | Scalar::BigInt | Scalar::Float),
            Mask::Truncate(_) => matches!(scalar, Scalar::DateTime | Scalar::Date),
        }
    }

    /// Appends what stands in the value's place; null when its type cannot hold that.
    pub fn apply(&self, value: Plain<'_>, scalar: Scalar, signer: &Signer, out: &mut Vec<u8>) {
        let masked = match (self, value) {
            _ if !self.fits(scalar) => Plain::Null,
            (Mask::Hash, Plain::Text(text)) => return write::text(&hash(text, signer), out),
            (Mask::KeepFirst(count), Plain::Text(text)) => {
                let end = text.char_indices().nth(kept(text, *count)).map_or(text.len(), |(at, _)| at);
                let kept = text.get(..end).unwrap_or_default();
                return write::text(&[kept, "…"].concat(), out);
            }
            (Mask::KeepLast(count), Plain::Text(text)) => {
                let skip = text.chars().count() - kept(text, *count);
                let kept: String = std::iter::once('…').chain(text.chars().skip(skip)).collect();
                return write::text(&kept, out);
            }
            (Mask::Round(step), Plain::Int(number)) => {
                round_int(number, *step).map_or(Plain::Null, Plain::Int)
            }
            (Mask::Round(step), Plain::Float(number)) => {
                let rounded = (number / step).round() * step;
                if *step > 0.0 && rounded.is_finite() { Plain::Float(rounded) } else { Plain::Null }
            }
            (Mask::Truncate(unit), Plain::Text(text)) => {
                if let Some(text) = truncate(text, scalar, *unit) {
                    return write::text(&text, out);
                }
                Plain::Null
            }
            _ => Plain::Null,
        };
        masked.write(scalar, out);
    }
}

/// Of a short text at most half is kept: else it would be kept whole.
fn kept(text: &str, count: usize) -> usize {
    count.min(text.chars().count() / 2)
}

fn hash(text: &str, signer: &Signer) -> String {
    let mark = signer.mark(&[b"wellspring mask", text.as_bytes()]);
    hex(mark.iter().take(16))
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a mask is coarse by intent")]
fn round_int(number: i64, step: f64) -> Option<i64> {
    let rounded = ((number as f64) / step).round() * step;
    let fits = step > 0.0 && rounded.abs() < 9_007_199_254_740_992.0;
    fits.then_some(rounded.round() as i64)
}

/// Stored forms have fixed width: what is cut off is replaced by the least there is.
fn truncate(text: &str, scalar: Scalar, unit: Unit) -> Option<String> {
    let least = match scalar {
        Scalar::DateTime => "0000-01-01T00:00:00.000000Z",
        Scalar::Date => "0000-01-01",
        _ => return None,
    };
    let keep = match unit {
        Unit::Year => 4,
        Unit::Month => 7,
        Unit::Day => 10,
        Unit::Hour => 13,
    };
    let kept = text.get(..keep.min(text.len()))?;
    Some(format!("{kept}{}", least.get(kept.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(mask: &Mask, value: Plain<'_>, scalar: Scalar) -> String {
        let mut out = Vec::new();
        mask.apply(value, scalar, &Signer::new(b"key"), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn texts() {
        let text = Plain::Text("ann@example.org");
        assert_eq!(masked(&Mask::KeepFirst(3), text, Scalar::String), "\"ann…\"");
        assert_eq!(masked(&Mask::KeepLast(3), text, Scalar::String), "\"…org\"");
        assert_eq!(masked(&Mask::KeepFirst(3), Plain::Text("abc"), Scalar::String), "\"a…\"");
        assert_eq!(masked(&Mask::Null, text, Scalar::String), "null");
        assert_eq!(masked(&Mask::Hash, text, Scalar::String).len(), 34);
        assert_eq!(masked(&Mask::Hash, text, Scalar::Uuid), "null");
        assert_eq!(masked(&Mask::KeepFirst(3), Plain::Int(7), Scalar::Int), "null");
        assert_eq!(masked(&Mask::Hash, Plain::Null, Scalar::String), "null");
    }

    #[test]
    fn numbers_and_times() {
        assert_eq!(masked(&Mask::Round(10.0), Plain::Int(17), Scalar::Int), "20");
        assert_eq!(masked(&Mask::Round(10.0), Plain::Int(17), Scalar::BigInt), "\"20\"");
        assert_eq!(masked(&Mask::Round(0.5), Plain::Float(1.3), Scalar::Float), "1.5");
        assert_eq!(masked(&Mask::Round(0.0), Plain::Float(1.3), Scalar::Float), "null");
        let time = Plain::Text("2026-11-22T21:21:19.000000Z");
        let month = Mask::Truncate(Unit::Month);
        assert_eq!(masked(&month, time, Scalar::DateTime), "\"2026-11-01T00:00:00.000000Z\"");
        assert_eq!(
            masked(&Mask::Truncate(Unit::Hour), time, Scalar::DateTime),
            "\"2026-11-22T21:00:00.000000Z\""
        );
        assert_eq!(
            masked(&Mask::Truncate(Unit::Year), Plain::Text("2026-11-22"), Scalar::Date),
            "\"2026-01-01\""
        );
        assert_eq!(masked(&month, time, Scalar::String), "null");
    }
}
