//! What is read must come back exactly, and nothing hostile may get through.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;

use super::*;

fn exact(text: &str) -> String {
    Json::try_from(text).unwrap().to_text()
}

fn refused(text: &str) -> String {
    Json::try_from(text).unwrap_err().to_string()
}

#[test]
fn what_was_written_comes_back() {
    for text in [
        r#"{"a":1e400,"b":1.0,"c":1,"d":123456789012345678901,"e":-0,"f":1E+2,"a":[]}"#,
        r#"[{},[],[[]],{"":{"":null}},true,false,"\u0000\u001f\b\f\n\r\t\"\\/é😀"]"#,
        "\"top\"",
        "0",
    ] {
        assert_eq!(exact(text), text);
    }
    assert_eq!(exact(" { \"\\u0061\\u0000\" : [ 1 , 2 ] } \n"), "{\"a\\u0000\":[1,2]}");
    assert_eq!(exact(r#""\ud83d\ude00\/""#), "\"😀/\"");
}

#[test]
fn of_duplicate_keys_the_last_is_got() {
    let json = Json::try_from(r#"{"a":1,"b":{"x/y":[7,8]},"a":2}"#).unwrap();
    assert_eq!(json.get("a"), Some(&Json::Number("2".into())));
    assert_eq!(json.pointer("/b/x~1y/1"), Some(&Json::Number("8".into())));
    assert_eq!(json.pointer("/b/none"), None);
    assert_eq!(json.pointer(""), Some(&json));
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    let place = refused("{\"a\": 1,\n \"b\": x}");
    assert!(place.contains("line 2, column 7"), "{place}");
    for text in ["", "{", "[1,]", "{\"a\":1,}", "01", "1.", "+1", "NaN", "Infinity", "-", "nul", "\"\n\""] {
        assert!(refused(text).starts_with("BAD_REQUEST: not valid JSON"), "{text}");
    }
    for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, "1 2", "{} x", r#"{1:2}"#] {
        assert!(refused(text).starts_with("BAD_REQUEST: not valid JSON"), "{text}");
    }
    assert!(parse(b"\"\xff\"", Limits::default()).is_err());
    assert!(parse(b"{\"\xff\":1}", Limits::default()).is_err());
}

#[test]
fn bounds_hold_without_recursion() {
    let deep = "[".repeat(100_000);
    assert!(refused(&deep).starts_with("TOO_LARGE"));
    let unbounded = Limits { depth_max: usize::MAX, values_max: usize::MAX };
    assert_eq!(parse(deep.as_bytes(), unbounded).unwrap_err().code(), Code::TooLarge);
    let objects = "{\"a\":".repeat(100_000);
    assert!(refused(&objects).starts_with("TOO_LARGE"));
    let limits = Limits { depth_max: 2, values_max: 3 };
    assert!(parse(b"[[1],2]", limits).is_ok());
    assert_eq!(parse(b"[[[]]]", limits).unwrap_err().code(), Code::TooLarge);
    assert_eq!(parse(b"[1,2,3,4]", limits).unwrap_err().code(), Code::TooLarge);
}

#[test]
fn numbers_that_serde_cannot_hold_lose_exactness_only_there() {
    let json = Json::try_from("[1,18446744073709551615,1e400,1.50,123456789012345678901]").unwrap();
    let value = json.to_value();
    let text = r#"[1,18446744073709551615,"1e400",1.5,1.2345678901234568e+20]"#;
    assert_eq!(value.to_string(), text);
    assert_eq!(Json::from(value).to_text(), text);
}

#[test]
fn floats_have_one_form() {
    for (value, text) in [
        (1.0, "1"),
        (-0.0, "-0.0"),
        (0.0, "0"),
        (1.5, "1.5"),
        (-3.0e9, "-3000000000"),
        (9_007_199_254_740_992.0, "9007199254740992"),
        (1e300, "1e300"),
        (f64::INFINITY, "null"),
    ] {
        let mut out = Vec::new();
        write_float(value, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_serde_json(value in any_value()) {
        let text = value.to_string();
        let json = Json::try_from(text.as_str()).unwrap();
        prop_assert_eq!(json.to_text(), text.clone());
        let again: Value = serde_json::from_str(&json.to_text()).unwrap();
        prop_assert_eq!(again, serde_json::from_str::<Value>(&text).unwrap());
    }

    #[test]
    fn agrees_with_serde_json_on_what_is_json(text in r#"[\[\]{}:,"\\u0-9a-f eE.+-]{0,24}"#) {
        // serde_json knows neither our bounds nor exact numbers: only numbers out of range may differ.
        let theirs = serde_json::from_str::<Value>(&text);
        let ours = Json::try_from(text.as_str());
        let out_of_range = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
        prop_assert!(out_of_range || theirs.is_ok() == ours.is_ok(), "{:?} {:?}", theirs, ours);
    }
}
