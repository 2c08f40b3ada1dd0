//! One suite for every format, then each format's own cases.
#![allow(clippy::unwrap_used, reason = "a test that fails should stop")]

use super::*;

const LIMITS: Limits = Limits { item_bytes_max: 64 };

/// The items of `body`, sent in chunks of `size` bytes; errors as their code.
fn split(format: &dyn Format, body: &[u8], size: usize) -> Vec<String> {
    let mut items = Vec::new();
    let mut splitter = format.splitter(LIMITS);
    for chunk in body.chunks(size) {
        splitter.push(chunk, &mut items);
    }
    splitter.finish(&mut items);
    let text = |item: Bytes| String::from_utf8(item.to_vec()).unwrap();
    items.into_iter().map(|item| item.map_or_else(|error| error.code().to_string(), text)).collect()
}

/// The same items whatever the chunks.
fn check(name: &str, body: &str, expected: &[&str]) {
    let format = by_name(name).unwrap();
    for size in [1, 2, 3, 7, body.len().max(1)] {
        assert_eq!(split(format, body.as_bytes(), size), expected, "{name} in chunks of {size}: {body:?}");
    }
}

#[test]
fn every_format_is_found_by_what_it_says() {
    for format in all() {
        assert_eq!(by_name(format.name()).unwrap().name(), format.name());
        for media_type in format.media_types() {
            let found = by_media_type(&format!("{}; charset=utf-8", media_type.to_uppercase())).unwrap();
            assert_eq!(found.name(), format.name());
        }
    }
    assert_eq!(by_media_type("application/cloudevents+json").unwrap().name(), "json");
    assert!(by_media_type("application/octet-stream").is_none());
}

#[test]
fn every_format_bounds_an_item_and_goes_on() {
    let long = "x".repeat(200);
    let bodies = [
        ("json", format!(r#"[{{"a":"{long}"}}, {{"a":1}}]"#)),
        ("ndjson", format!("{{\"a\":\"{long}\"}}\n{{\"a\":1}}\n")),
        ("csv", format!("a\n{long}\n1\n")),
    ];
    assert_eq!(bodies.len(), all().len(), "each format stands here");
    for (name, body) in bodies {
        check(name, &body, &["TOO_LARGE", r#"{"a":1}"#]);
    }
}

#[test]
fn every_format_survives_any_bytes() {
    for format in all() {
        for seed in 0..200_u32 {
            let mut state = seed.wrapping_mul(2_654_435_761) | 1;
            let alphabet = b"[]{},:\"\\ \n\r019ae.-\xff\xef\xbb\xbf";
            let body: Vec<u8> = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                alphabet.iter().copied().nth(state as usize % alphabet.len()).unwrap()
            })
            .take(100)
            .collect();
            let mut whole = Vec::new();
            let mut splitter = format.splitter(LIMITS);
            splitter.push(&body, &mut whole);
            splitter.finish(&mut whole);
            let mut parts = Vec::new();
            let mut splitter = format.splitter(LIMITS);
            body.chunks(1).for_each(|chunk| splitter.push(chunk, &mut parts));
            splitter.finish(&mut parts);
            let plain = |items: Vec<Item>| -> Vec<_> {
                items.into_iter().map(|item| item.map_err(|error| error.code())).collect()
            };
            assert_eq!(plain(whole), plain(parts), "{} seed {seed}", format.name());
        }
    }
}

#[test]
fn json_items_keep_their_bytes() {
    check(
        "json",
        r#" [ {"a": 1.0, "a":1e400} ,"b]\"\\", -0,[ 1 , [2]],null ] "#,
        &[r#"{"a": 1.0, "a":1e400}"#, r#""b]\"\\""#, "-0", "[ 1 , [2]]", "null"],
    );
    check("json", "[]", &[]);
    check("json", "\u{feff}[1]", &["1"]);
    check("json", r#"{"a": [1]}"#, &[r#"{"a": [1]}"#]);
}

#[test]
fn a_syntax_error_ends_a_json_array_but_not_what_came_before() {
    check("json", "[1 2]", &["1", "BAD_REQUEST"]);
    check("json", "[1,]", &["1", "BAD_REQUEST"]);
    check("json", "[,1]", &["BAD_REQUEST"]);
    check("json", "[1] 2", &["1", "BAD_REQUEST"]);
    check("json", "[1, {\"a\":", &["1", "BAD_REQUEST"]);
    check("json", "  ", &["BAD_REQUEST"]);
    check("json", "[nonsense, 2]", &["nonsense", "2"]);
}

#[test]
fn ndjson_lines_stand_alone() {
    check("ndjson", "\u{feff}{\"a\":1}\r\n\n  \nnot json\n[2]", &["{\"a\":1}", "not json", "[2]"]);
    check("ndjson", "", &[]);
}

#[test]
fn csv_cells_get_types_that_lose_nothing() {
    check(
        "csv",
        "\u{feff}a,b,c,d\r\n1,-2.50,true,\r\n007,+1,5e10,1.5e-3\r\n",
        &[r#"{"a":1,"b":-2.50,"c":true,"d":null}"#, r#"{"a":"007","b":"+1","c":"5e10","d":1.5e-3}"#],
    );
    check(
        "csv",
        "a,b,a\n9223372036854775807,9223372036854775808,True\n",
        &[r#"{"a":9223372036854775807,"b":"9223372036854775808","a_2":"True"}"#],
    );
    check(
        "csv",
        "a,b\n\"x \"\"y\"\"\n, z\",.5\nq\n1,2,\n1,2,3\n4,5",
        &[
            "{\"a\":\"x \\\"y\\\"\\n, z\",\"b\":\".5\"}",
            r#"{"a":"q"}"#,
            r#"{"a":1,"b":2}"#,
            "UNPROCESSABLE",
            r#"{"a":4,"b":5}"#,
        ],
    );
    check("csv", "a,b\n", &[]);
    check("csv", "", &[]);
}

#[test]
fn a_row_that_is_not_utf_8_fails_alone() {
    let format = by_name("csv").unwrap();
    assert_eq!(split(format, b"a\n\xff\n1\n", 2), ["UNPROCESSABLE", r#"{"a":1}"#]);
    assert_eq!(split(format, b"\xff\n1\n", 2), ["UNPROCESSABLE"]);
}

#[test]
fn one_document_is_one() {
    let one = |name: &str, body: &'static str| {
        by_name(name).unwrap().document(Bytes::from_static(body.as_bytes()), LIMITS).map_err(|e| e.code())
    };
    assert_eq!(one("json", "[1, 2]").unwrap(), "[1, 2]");
    assert_eq!(one("json", "\u{feff}1").unwrap(), "1");
    assert_eq!(one("json", " "), Err(Code::BadRequest));
    assert_eq!(one("csv", "a\n1\n").unwrap(), r#"{"a":1}"#);
    assert_eq!(one("csv", "a\n1\n2\n"), Err(Code::BadRequest));
    assert_eq!(one("ndjson", ""), Err(Code::BadRequest));
}

#[test]
fn every_format_writes_what_it_reads() {
    let columns = [vec!["a".to_owned()], vec!["b, \"c\"".to_owned()]];
    let rows = [r#"{"a":1.50,"b, \"c\"":"x, \"y\"\n\rz"}"#, r#"{"a":null,"b, \"c\"":"007"}"#];
    for format in all() {
        let (mut out, mut writer) = (Vec::new(), format.writer(&columns));
        writer.begin(&mut out);
        for row in rows {
            writer.row(row, &mut out).unwrap();
        }
        writer.end(&mut out);
        let mut items = Vec::new();
        let mut splitter = format.splitter(Limits { item_bytes_max: 1_000 });
        splitter.push(&out, &mut items);
        splitter.finish(&mut items);
        let read: Vec<String> =
            items.into_iter().map(|item| String::from_utf8(item.unwrap().to_vec()).unwrap()).collect();
        assert_eq!(read, rows, "{}", format.name());
    }
}
