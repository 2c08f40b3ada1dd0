//! Numbers by their texts, compared exactly: no digit is lost to a float. Must not do arithmetic.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// A JSON number as it was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Box<str>", into = "Box<str>")]
pub(super) struct Number {
    text: Box<str>,
    /// The nearest float, infinite beyond them: rounding keeps the order, so that only equal ones are compared by
    /// their digits.
    near: f64,
}

impl Number {
    pub(super) fn new(text: &str) -> Self {
        Number { text: text.into(), near: Self::near(text) }
    }

    pub(super) fn near(text: &str) -> f64 {
        text.parse().unwrap_or_default()
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How it stands to the number with this nearest float and text. Texts of one value stand in an order, too, so
    /// that which of them is kept does not depend on which came first.
    pub(super) fn compared(&self, near: f64, text: &str) -> Ordering {
        let by_text = || {
            let value = Digits::of(&self.text).cmp(&Digits::of(text));
            value.then_with(|| (self.text.len(), &*self.text).cmp(&(text.len(), text)))
        };
        match self.near.partial_cmp(&near) {
            Some(order @ (Ordering::Less | Ordering::Greater)) => order,
            _ if *self.text == *text => Ordering::Equal,
            _ => by_text(),
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compared(other.near, &other.text)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Number {}

impl From<Box<str>> for Number {
    fn from(text: Box<str>) -> Self {
        Number { near: Self::near(&text), text }
    }
}

impl From<Number> for Box<str> {
    fn from(number: Number) -> Self {
        number.text
    }
}

/// The value `±0.d1d2d3… × 10^exponent`, where `d1` and the last digit are not zero; zero has no digits.
#[derive(PartialEq, Eq)]
struct Digits {
    negative: bool,
    exponent: i64,
    digits: String,
}

impl Digits {
    fn of(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i64 = exponent.parse().unwrap_or(match exponent.starts_with('-') {
            true => i64::MIN,
            false => i64::MAX,
        });
        let negative = mantissa.starts_with('-');
        let mantissa = mantissa.trim_start_matches('-');
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let point = i64::try_from(whole.len()).unwrap_or(i64::MAX);
        let zeros = i64::try_from(all.len() - digits.len()).unwrap_or(i64::MAX);
        let digits = digits.trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Digits { negative: false, exponent: 0, digits };
        }
        Digits { negative, exponent: exponent.saturating_add(point - zeros), digits }
    }
}

impl Ord for Digits {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = |one: &Self| (!one.digits.is_empty(), one.exponent);
        let sign = |one: &Self| match (one.digits.is_empty(), one.negative) {
            (true, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        let sizes = || size(self).cmp(&size(other)).then_with(|| self.digits.cmp(&other.digits));
        sign(self).cmp(&sign(other)).then_with(|| if self.negative { sizes().reverse() } else { sizes() })
    }
}

impl PartialOrd for Digits {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_to_the_last_digit() {
        let ascending = [
            "-1e400",
            "-1e399",
            "-9007199254740993",
            "-9007199254740992.5",
            "-9007199254740992",
            "-1.5",
            "-1e-400",
            "0",
            "1e-401",
            "0.1e-400",
            "1e-400",
            "0.1",
            "0.10000000000000000001",
            "5",
            "5.0",
            "50e-1",
            "9007199254740992",
            "9007199254740993",
            "123456789012345678901234567889",
            "123456789012345678901234567890",
            "1e308",
            "1.0E+400",
            "11e399",
            "9e99999999999999999999",
        ];
        for (a, one) in ascending.iter().enumerate() {
            for (b, other) in ascending.iter().enumerate() {
                assert_eq!(Number::new(one).cmp(&Number::new(other)), a.cmp(&b), "{one} and {other}");
            }
        }
    }
}
