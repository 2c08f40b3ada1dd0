//! Which keys are data, and that merging what was left out depends on nothing but what was seen.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use super::*;
use crate::shape::{Published, Shape, Structure};

fn derive(text: &str) -> Structure {
    Structure::derive(&Json::try_from(text).unwrap(), &config::Shape::default())
}

#[test]
fn names_are_told_from_data() {
    for key in [
        "name",
        "address_line_1",
        "sha256",
        "ipv4",
        "utmSource2",
        "customfield_10001",
        "line10",
        "2019",
        "h264_1080p",
        "deadbeefdeadbeefdead",
        "createdAtTimestampV2x1",
        "utmSource2Medium3Campaign4",
        "US DVD Sales 2004",
        "1.5",
        "x@y",
        "http://schema.org/name2",
        "",
        "größe1",
        "EUR",
        "12:30",
        "2024-13",
    ] {
        assert_eq!(class(key), Class::Word, "{key}");
    }
    for key in [
        "2026-11-22",
        "2026-11",
        "2026-11-22T10:00:00Z",
        "0c6e2b9a-7b1d-4a7f-9c57-0f4e5a6b7c8d",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "d41d8cd98f00b204e9800998ecf8427e",
        "507f1f77bcf86cd799439011",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "ada@example.org",
        "192.168.0.1",
        "2001:db8::1",
        "+493012345678",
        "DE89370400440532013000",
        "V1StGXR8Z5jdHi6BmyT",
    ] {
        assert_eq!(class(key), Class::Data, "{key}");
    }
    assert_eq!([class("12345"), class("20261122")], [Class::Number; 2]);
}

#[test]
fn a_structure_does_not_depend_on_keys_that_are_data() {
    let one = |key: &str| derive(&format!(r#"{{"o":{{"{key}":1,"2026-11-22":2}},"l":[{{"{key}":"x"}}]}}"#));
    assert_eq!(one("2026-11-23").to_text(), one("2027-01-01").to_text());
    let text = r#"[128,0,0,0,0,{"o":[128,0,0,0,0,{},0,[0,0,[4]]]}]"#;
    assert_eq!(derive(r#"{"o":{"2026-11-22":2}}"#).to_text(), text);
    assert_eq!(Structure::from_text(text).unwrap().to_text(), text);
    // Without such keys it is what it always was.
    let text = r#"[128,0,0,0,0,{"l":[256,0,0,0,0,{},[4]],"o":[128,0,0,0,0,{"a":[1]}]}]"#;
    assert_eq!(derive(r#"{"o":{"a":null},"l":[1]}"#).to_text(), text);
}

#[test]
fn ever_new_keys_end_at_the_ceiling_in_any_order() {
    let structures: Vec<_> =
        (0..600).map(|n| derive(&format!(r#"{{"o":{{"a{n}x":1,"b{n}x":{{"c":{}}}}}}}"#, n % 3))).collect();
    let merged = |from: &mut dyn Iterator<Item = &Structure>| {
        let mut shape = Shape::default();
        from.for_each(|structure| shape.merge(structure));
        shape
    };
    let all = merged(&mut structures.iter());
    assert!(all.to_text().len() < 200, "{}", all.to_text());
    assert_eq!(merged(&mut structures.iter().rev()), all);
    let (few, many) = structures.split_at(60);
    let mut parts = merged(&mut few.iter());
    parts.merge_shape(&merged(&mut many.iter()));
    parts.merge_shape(&merged(&mut few.iter()));
    assert_eq!(parts, all);
    // What was published before is known by what all of them are.
    let first = merged(&mut few.iter()).publish(&Published::default(), &config::Shape::default()).unwrap();
    assert_eq!(all.publish(&first, &config::Shape::default()), None);
    let mut wider = all.clone();
    wider.merge(&derive(r#"{"o":{"new":1.5}}"#));
    let wider = wider.publish(&first, &config::Shape::default()).unwrap();
    let name =
        |published: &Published| serde_json::to_string(&published.find(&["o", "a0x"]).unwrap().kind).unwrap();
    assert_eq!([name(&first), name(&wider)], [r#"{"Scalar":"Int"}"#, r#"{"Scalar":"Float"}"#]);
    assert_eq!(wider.fields().count(), first.fields().count());
}

#[test]
fn words_and_numbers_come_to_the_ceiling_each_by_themselves() {
    let members = |form: &dyn Fn(u32) -> String| {
        let members: Vec<String> =
            (0..600).map(|n| format!(r#""{}":{}"#, form(n), ["1", "\"x\"", "[]"][n as usize % 3])).collect();
        derive(&format!(r#"{{"o":{{{}}}}}"#, members.join(",")))
    };
    let parts = [
        members(&|n| format!("a{n}x")),
        members(&|n| format!("{}", 10_000 + n)),
        derive(r#"{"o":{"77777":1,"77778":2}}"#),
    ];
    let merged = |order: [usize; 3]| {
        let mut shape = Shape::default();
        order.iter().for_each(|at| shape.merge(&parts[*at]));
        shape
    };
    let all = merged([0, 1, 2]);
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(merged(order), all, "{order:?}");
    }
    assert!(all.to_text().contains("a599x") && !all.to_text().contains("10599"));
}
