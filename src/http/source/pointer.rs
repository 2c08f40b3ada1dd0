//! Finds the uid of a document by a JSON pointer, reading no more of the document than it must.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Code, Error, Result};

/// A JSON pointer (RFC 6901) to a text or number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pointer {
    text: String,
    segments: Vec<String>,
}

impl Pointer {
    /// Parses `/a/b`; a name without a slash is taken as one segment.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > 512 {
            return Err(Error::bad_request("`key` must be a JSON pointer such as `/order/id`"));
        }
        let unescape = |segment: &str| segment.replace("~1", "/").replace("~0", "~");
        let segments = text.strip_prefix('/').unwrap_or(text).split('/').map(unescape).collect();
        Ok(Pointer { text: text.to_owned(), segments })
    }

    /// The uid: the text at the pointer, or the digits of the number there.
    pub(super) fn uid(&self, document: &[u8]) -> Result<String> {
        // A document that is not an object is kept as `{"value": …}`, so that is how its pointer reads.
        let object = document.trim_ascii_start().first() == Some(&b'{');
        let segments = match (self.segments.split_first(), object) {
            (Some((first, rest)), false) if first == "value" => rest,
            _ => self.segments.as_slice(),
        };
        let mut reader = serde_json::Deserializer::from_slice(document);
        let found = Seek(segments).deserialize(&mut reader).map_err(|error| {
            Error::bad_request(format!("the record is not JSON that can be read: {error}"))
        })?;
        let text = found.and_then(|raw| match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str(&raw).ok(),
            Some(b'-' | b'0'..=b'9') => Some(raw),
            _ => None,
        });
        text.ok_or_else(|| {
            let text = format!("the record has no text or number at `{}`, which `key` names", self.text);
            Error::new(Code::Unprocessable, text)
        })
    }
}

/// Looks for the value below these segments.
struct Seek<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<String>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
            return Ok(Some(raw.get().to_owned()));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let Some((first, rest)) = self.0.split_first() else { return Ok(None) };
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if key == first.as_str() {
                found = map.next_value_seed(Seek(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Some((first, rest)) = self.0.split_first() else { return Ok(None) };
        let wanted = first.parse::<usize>().ok();
        let (mut at, mut found) = (0_usize, None);
        loop {
            if Some(at) == wanted {
                match seq.next_element_seed(Seek(rest))? {
                    Some(value) => found = value,
                    None => return Ok(found),
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            at += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    fn uid(pointer: &str, document: &str) -> Result<String> {
        Pointer::parse(pointer)?.uid(document.as_bytes())
    }

    #[test]
    fn texts_and_numbers_are_uids() {
        assert_eq!(uid("/id", r#"{"a":{"id":1},"id":"x\u0041"}"#).unwrap(), "xA");
        assert_eq!(uid("/o/id", r#"{"o":{"id":1.10}}"#).unwrap(), "1.10");
        assert_eq!(uid("id", r#"{"id":-7}"#).unwrap(), "-7");
        assert_eq!(uid("/a~1b/1", r#"{"a/b":[1,2]}"#).unwrap(), "2");
        assert_eq!(uid("/value", "5").unwrap(), "5");
    }

    #[test]
    fn anything_else_is_refused() {
        for document in [r#"{"id":null}"#, r#"{"id":{}}"#, r#"{"id":true}"#, "{}", "[]", "1", r#"{"x":3}"#] {
            let error = uid("/id", document).unwrap_err();
            assert_eq!(error.code(), Code::Unprocessable, "{document}");
        }
        assert_eq!(uid("/id/x", r#"{"id":3}"#).unwrap_err().code(), Code::Unprocessable);
        assert_eq!(uid("/id", "{").unwrap_err().code(), Code::BadRequest);
        assert!(Pointer::parse("").is_err());
    }
}
