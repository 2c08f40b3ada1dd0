//! XML 1.0: rows on their way out. One element `row` for each, in an element `rows`.
//!
//! A member is an element of its name; a list is an element with an `item` for each of its items; null is
//! `xsi:nil="true"`. What XML cannot say is said so: a name that is no XML name, as keys of `JSON` values may be, is an
//! element `_` whose attribute `name` has it; a text or a name with characters that XML 1.0 cannot hold (controls,
//! U+FFFE, U+FFFF) stands with the escapes of a JSON string, and the attribute `escaped`, or `escapedName` in the place
//! of `name`, says so. Must not hold more than one row, and does not read.

use quick_xml::Writer as Events;
use quick_xml::escape::partial_escape;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use crate::error::{Error, Result};
use crate::format::{Format, Writer};
use crate::record::{self, Json};

/// `application/xml`.
pub(super) struct Xml;

impl Format for Xml {
    fn name(&self) -> &'static str {
        "xml"
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["application/xml", "text/xml"]
    }

    fn writer(&self, _: &[Vec<String>]) -> Box<dyn Writer + Send> {
        Box::new(Rows)
    }
}

/// The namespace of `xsi:nil`.
const XSI: (&str, &str) = ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance");

struct Rows;

impl Writer for Rows {
    fn begin(&mut self, out: &mut Vec<u8>) {
        let mut events = Events::new(&mut *out);
        let rows = Event::Start(BytesStart::new("rows").with_attributes([XSI]));
        // Nothing of this can fail: it goes to memory.
        let begun = events
            .write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))
            .and_then(|()| events.write_event(rows));
        debug_assert!(begun.is_ok(), "{begun:?}");
        out.push(b'\n');
    }

    fn row(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let row = record::parse(row, record::Limits { depth_max: 500, values_max: usize::MAX })
            .map_err(Error::internal)?;
        let mut events = Events::new(&mut *out);
        element(&mut events, &BytesStart::new("row"), &row).map_err(Error::internal)?;
        out.push(b'\n');
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"</rows>\n");
    }
}

type Out<'a> = Events<&'a mut Vec<u8>>;

/// Writes a value as the content of this element.
fn element(out: &mut Out<'_>, start: &BytesStart<'_>, value: &Json) -> std::io::Result<()> {
    match value {
        Json::Null => {
            let mut nil = start.borrow();
            nil.push_attribute(("xsi:nil", "true"));
            return out.write_event(Event::Empty(nil));
        }
        Json::String(text) if !text.chars().all(is_xml) => {
            let mut escaped = start.borrow();
            escaped.push_attribute(("escaped", "true"));
            out.write_event(Event::Start(escaped))?;
            content(out, &json_escaped(text))?;
        }
        Json::String(text) => {
            out.write_event(Event::Start(start.borrow()))?;
            content(out, text)?;
        }
        Json::Bool(_) | Json::Number(_) => {
            out.write_event(Event::Start(start.borrow()))?;
            content(out, &value.to_text())?;
        }
        Json::Array(items) => {
            out.write_event(Event::Start(start.borrow()))?;
            for item in items {
                element(out, &BytesStart::new("item"), item)?;
            }
        }
        Json::Object(members) => {
            out.write_event(Event::Start(start.borrow()))?;
            for (name, value) in members {
                element(out, &named(name), value)?;
            }
        }
    }
    out.write_event(Event::End(BytesEnd::new(start.name().as_ref())))
}

fn content(out: &mut Out<'_>, text: &str) -> std::io::Result<()> {
    out.write_event(Event::Text(BytesText::from_escaped(partial_escape(text))))
}

/// The element of a member.
fn named(name: &str) -> BytesStart<'_> {
    if is_name(name) {
        return BytesStart::new(name);
    }
    let mut start = BytesStart::new("_");
    let (attribute, value) = match name.chars().all(is_xml) {
        true => ("name", name.to_owned()),
        false => ("escapedName", json_escaped(name)),
    };
    start.push_attribute((attribute, value.as_str()));
    start
}

/// Whether XML 1.0 can hold the character.
fn is_xml(character: char) -> bool {
    !matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether an element may be called so: an ASCII name without a colon, as those of fields are; all others are
/// attributes.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        // Names that begin so are the W3C's.
        && !name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("xml"))
}

/// The text as it stands between the quotes of a JSON string; what only XML cannot hold is escaped, too.
fn json_escaped(text: &str) -> String {
    let mut quoted = Vec::with_capacity(text.len() + 8);
    record::write_string(text, &mut quoted);
    let quoted = String::from_utf8_lossy(&quoted);
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    inner.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

    use proptest::prelude::*;
    use quick_xml::Reader;
    use serde_json::{Value, json};

    use super::*;

    fn written(rows: &[Value]) -> String {
        let (mut out, mut writer) = (Vec::new(), Xml.writer(&[]));
        writer.begin(&mut out);
        rows.iter().for_each(|row| writer.row(row.to_string().as_bytes(), &mut out).unwrap());
        writer.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// An element as another reader sees it.
    #[derive(Debug, Default)]
    struct Element {
        name: String,
        attributes: Vec<(String, String)>,
        text: String,
        below: Vec<Element>,
    }

    impl Element {
        fn of(start: &BytesStart<'_>) -> Self {
            let attribute = |one: quick_xml::events::attributes::Attribute<'_>| {
                let key = one.key.as_ref().to_owned();
                (key, one.normalized_value(quick_xml::XmlVersion::Implicit1_0).unwrap().into_owned())
            };
            Element {
                name: start.name().as_ref().to_owned(),
                attributes: start.attributes().map(|one| attribute(one.unwrap())).collect(),
                ..Element::default()
            }
        }

        fn attribute(&self, name: &str) -> Option<&str> {
            self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        }

        fn member(&self) -> String {
            let escaped = |text: &str| serde_json::from_str(&format!("\"{text}\"")).unwrap();
            match (self.attribute("name"), self.attribute("escapedName")) {
                (Some(name), _) => name.to_owned(),
                (_, Some(name)) => escaped(name),
                _ => self.name.clone(),
            }
        }

        /// The value, as one of the type that `like` has.
        fn value(&self, like: &Value) -> Value {
            if self.attribute("xsi:nil") == Some("true") {
                return Value::Null;
            }
            match like {
                Value::Array(items) => {
                    assert!(self.below.iter().all(|item| item.name == "item"));
                    assert_eq!(self.below.len(), items.len());
                    self.below.iter().zip(items).map(|(item, like)| item.value(like)).collect()
                }
                Value::Object(members) => {
                    let value = |one: &Element| {
                        let name = one.member();
                        let value = one.value(members.get(&name).unwrap_or(&Value::Null));
                        (name, value)
                    };
                    Value::Object(self.below.iter().map(value).collect())
                }
                Value::String(_) if self.attribute("escaped") == Some("true") => {
                    serde_json::from_str(&format!("\"{}\"", self.text)).unwrap()
                }
                Value::String(_) => json!(self.text),
                _ => serde_json::from_str(&self.text).unwrap(),
            }
        }
    }

    fn read(text: &str) -> Element {
        let mut reader = Reader::from_str(text);
        let mut open = vec![Element::default()];
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => open.push(Element::of(&start)),
                Event::Empty(start) => open.last_mut().unwrap().below.push(Element::of(&start)),
                Event::End(_) => {
                    let done = open.pop().unwrap();
                    open.last_mut().unwrap().below.push(done);
                }
                Event::Text(text) => open.last_mut().unwrap().text.push_str(&text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let character = match reference.resolve_char_ref().unwrap() {
                        Some(character) => character.to_string(),
                        None => quick_xml::escape::resolve_predefined_entity(&reference).unwrap().to_owned(),
                    };
                    open.last_mut().unwrap().text.push_str(&character);
                }
                Event::Eof => return open.pop().unwrap().below.pop().unwrap(),
                _ => {}
            }
        }
    }

    #[test]
    fn rows_are_elements() {
        let row = json!({"name": "a <b> & \"c\"\r\n", "none": null, "ok": true, "size": {"mm": 1.5},
            "tags": ["x", null, []]});
        let odd = json!({"any": {"": 1, "US Gross": 2, "\u{1}<": "\u{0}\\", "xmlns": ""}});
        assert_eq!(
            written(&[row, odd]),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <rows xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n\
             <row><name>a &lt;b&gt; &amp; \"c\"&#13;\n</name><none xsi:nil=\"true\"/><ok>true</ok>\
             <size><mm>1.5</mm></size><tags><item>x</item><item xsi:nil=\"true\"/><item></item></tags></row>\n\
             <row><any><_ name=\"\">1</_><_ escapedName=\"\\u0001&lt;\" escaped=\"true\">\\u0000\\\\</_>\
             <_ name=\"US Gross\">2</_><_ name=\"xmlns\"></_></any></row>\n\
             </rows>\n"
        );
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = "[a-z<>&'\"\\\\;\\[\\] \r\n\t\u{0}\u{1f}\u{7f}\u{85}\u{2028}\u{fffe}\u{ffff}é🜚]{0,8}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(|value| json!(value)),
            any::<i64>().prop_map(|value| json!(value)),
            text.prop_map(Value::String),
        ];
        leaf.prop_recursive(3, 20, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::hash_map(text, inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever JSON stands in a row comes back, whatever XML can hold of it.
        #[test]
        fn what_is_written_can_be_read(rows in prop::collection::vec(value(), 0..4)) {
            let rows: Vec<Value> = rows.into_iter().map(|value| json!({ "any": value })).collect();
            let text = written(&rows);
            let root = read(&text);
            prop_assert_eq!(&root.name, "rows");
            prop_assert_eq!(root.below.len(), rows.len());
            for (element, row) in root.below.iter().zip(&rows) {
                prop_assert_eq!(&element.name, "row");
                prop_assert_eq!(&element.value(row), row, "{}", text);
            }
        }
    }
}
