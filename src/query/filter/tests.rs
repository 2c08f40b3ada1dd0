//! Filters in memory. That databases agree is shown in publishing's differential test.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;

fn field(scalar: Scalar) -> FieldRef {
    FieldRef { column: ColumnRef::Field(1), scalar, list: false, path: ["a".to_owned()].into() }
}

fn json(text: &str) -> Json {
    Json::try_from(text).unwrap()
}

#[test]
fn like_is_sql_like() {
    for (text, pattern, expected) in [
        ("abc", "abc", true),
        ("abc", "ABC", false),
        ("abc", "a%", true),
        ("abc", "%c", true),
        ("abc", "%b%", true),
        ("abc", "a_c", true),
        ("aéc", "a_c", true),
        ("abc", "a_", false),
        ("", "%", true),
        ("", "_", false),
        ("a%c", r"a\%c", true),
        ("abc", r"a\%c", false),
        ("aaaaab", "%a%a%b", true),
        ("mississippi", "%iss%ip%", true),
        ("mississippi", "%iss%ix%", false),
    ] {
        assert_eq!(like(text, pattern), expected, "{text} {pattern}");
    }
}

#[test]
fn whole_numbers_are_compared_with_any_number() {
    let check = |comparison, constant: &str, row: &str| {
        Filter::compare(field(Scalar::Int), comparison, &json(constant)).unwrap().eval(&json(row))
    };
    assert!(check(Comparison::Gt, "1.5", r#"{"a":2}"#));
    assert!(!check(Comparison::Gt, "1.5", r#"{"a":1}"#));
    assert!(check(Comparison::Lte, "-1.5", r#"{"a":-2}"#));
    assert!(!check(Comparison::Lt, "-1.5", r#"{"a":-1}"#));
    assert!(check(Comparison::Lt, "1e300", r#"{"a":2}"#));
    assert!(!check(Comparison::Lt, "1e300", r#"{"a":null}"#));
    assert!(!check(Comparison::Gt, "1e300", r#"{"a":2}"#));
    assert!(check(Comparison::Gt, "-1e300", r#"{"a":2}"#));
    assert!(check(Comparison::Eq, "2.0", r#"{"a":2}"#));
    assert!(!check(Comparison::Eq, "2.5", r#"{"a":2}"#));
    assert!(check(Comparison::Gte, "2e0", r#"{"a":2}"#));
}

#[test]
fn constants_take_the_form_of_the_field() {
    let eq = |scalar, constant: &str| Filter::compare(field(scalar), Comparison::Eq, &json(constant));
    let text = |filter: Result<Filter>| match filter.unwrap() {
        Filter::Compare(_, _, Operand::Literal(Literal::Text(text))) => text,
        other => format!("{other:?}"),
    };
    assert_eq!(text(eq(Scalar::DateTime, r#""2026-11-22T22:21:19+01:00""#)), "2026-11-22T21:21:19.000000Z");
    assert_eq!(
        text(eq(Scalar::DateTime, r#""1969-12-31T23:59:59.9999999Z""#)),
        "1969-12-31T23:59:59.999999Z"
    );
    assert_eq!(text(eq(Scalar::Date, r#""2026-11-22""#)), "2026-11-22");
    let uuid = r#""6BA7B8109DAD11D180B400C04FD430C8""#;
    assert_eq!(text(eq(Scalar::Uuid, uuid)), "6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    for (scalar, constant) in [
        (Scalar::Int, "\"x\""),
        (Scalar::Int, "null"),
        (Scalar::Boolean, "1"),
        (Scalar::Float, "1e999"),
        (Scalar::String, "1"),
        (Scalar::String, "\"\\u0000\""),
        (Scalar::DateTime, "\"yesterday\""),
        (Scalar::Date, "\"2026-02-30\""),
        (Scalar::Json, "1"),
    ] {
        assert!(eq(scalar, constant).is_err(), "{scalar:?} {constant}");
    }
}

#[test]
fn null_matches_nothing_but_is_null() {
    let row = json(r#"{"a":null}"#);
    let constant = Json::Number("1".into());
    assert!(!Filter::compare(field(Scalar::Int), Comparison::Eq, &constant).unwrap().eval(&row));
    assert!(!Filter::differs(field(Scalar::Int), &constant).unwrap().eval(&row));
    assert!(Filter::compare(field(Scalar::Int), Comparison::Eq, &constant).unwrap().opposite().eval(&row));
    assert!(Filter::IsNull(field(Scalar::Int)).eval(&json("{}")));
    assert!(!Filter::IsNull(field(Scalar::Json)).eval(&json(r#"{"a":[]}"#)));
}

#[test]
fn a_search_is_read_as_people_write_it() {
    let bike = "The red BIKE, well-kept; sold as-is (rusty) or swapped.";
    for (search, text, expected) in [
        ("red bike", bike, true),
        ("Bike RED", bike, true),
        ("red boat", bike, false),
        ("bik", bike, false),
        ("bik*", bike, true),
        ("*ike", bike, false),
        ("\"red bike\"", bike, true),
        ("\"bike red\"", bike, false),
        ("\"the re\"", bike, false),
        ("\"the re\"*", bike, true),
        ("“red bike”", bike, true),
        ("\"red bike", bike, true),
        ("well-kept", bike, true),
        ("kept-well", bike, false),
        ("red -rust", bike, true),
        ("red -rust*", bike, false),
        ("-boat", bike, true),
        ("-\"red bike\"", bike, false),
        ("-\"bike red\"", bike, true),
        ("boat or bike", bike, true),
        ("boat OR car", bike, false),
        ("boat or -car", bike, true),
        // Either stands closer than both.
        ("red boat or bike", bike, true),
        ("boat or bike blue", bike, false),
        // Where it joins nothing it is a word.
        ("or", bike, true),
        ("or", "red", false),
        ("red or", "red", false),
        ("or swapped", bike, true),
        ("\"or\" swapped", bike, true),
        ("blue or or", bike, true),
        ("red & - ! bike", bike, true),
        ("red or & bike", "bike", true),
        ("ÄRGER", "großer ärger", true),
        ("arger", "großer ärger", false),
        ("ελλας", "ΕΛΛΑΣ", true),
        ("ёлка", "Ёлка", true),
        ("東京", "新しい東京タワー", true),
        ("京東", "新しい東京タワー", false),
        ("東京*", "新しい東京タワー", true),
        ("서울", "서울에서", true),
        ("x", "", false),
        ("-x", "", true),
    ] {
        assert_eq!(Search::parse(search).unwrap().finds(text), expected, "{search} in {text}");
    }
    for none in ["", " ", "\"\"", "- ! *", "-\"…\""] {
        assert_eq!(Search::parse(none), None, "{none}");
    }
    assert_eq!(Search::parse("a \"b c\" or -d* e-mail").unwrap().count(), 6);
}

#[test]
fn words_are_letters_digits_and_marks_in_lower_case() {
    for (text, expected) in [
        ("", " "),
        ("…", " "),
        ("Ab, cD", " ab cd "),
        ("a1_b²", " a1 b² "),
        ("don’t", " don t "),
        ("e\u{301}T", " e\u{301}t "),
        ("ÀŸЀԱẠ İ", " àÿѐաạ İ "),
        ("日本go語", " 日 本 go 語 "),
        ("a\0b😀c", " a b c "),
    ] {
        assert_eq!(words(text), expected, "{text}");
    }
}
