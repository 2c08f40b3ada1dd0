//! One suite for every format, then each format's own cases.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that fails should stop"
)]

use super::*;

const LIMITS: Limits = Limits { item_bytes_max: 64, columns_max: 5, column_name_bytes_max: 16 };

/// The items of `body`, sent in chunks of `size` bytes.
fn items(format: &dyn Readable, limits: Limits, body: &[u8], size: usize) -> Vec<Item> {
    let mut splitter = format.splitter(limits);
    let mut items = Vec::new();
    for mut chunk in body.chunks(size) {
        items.extend(std::iter::from_fn(|| splitter.next(&mut chunk)));
    }
    items.extend(std::iter::from_fn(|| splitter.end()));
    items
}

/// The items of `body`, sent in chunks of `size` bytes; errors as their code.
fn split(format: &dyn Readable, body: &[u8], size: usize) -> Vec<String> {
    let items = items(format, LIMITS, body, size);
    let text = |item: Bytes| String::from_utf8(item.to_vec()).unwrap();
    items.into_iter().map(|item| item.map_or_else(|error| error.code().to_string(), text)).collect()
}

/// The same items whatever the chunks.
fn check(name: &str, body: &str, expected: &[&str]) {
    let format = readable_by_name(name).unwrap();
    for size in [1, 2, 3, 7, body.len().max(1)] {
        assert_eq!(split(format, body.as_bytes(), size), expected, "{name} in chunks of {size}: {body:?}");
    }
}

#[test]
fn every_format_is_found_by_what_it_says() {
    for format in all() {
        assert_eq!(by_name(format.name()).unwrap().name(), format.name());
        let reads = readable().iter().any(|readable| readable.name() == format.name());
        assert_eq!(readable_by_name(format.name()).is_some(), reads);
        for media_type in format.media_types() {
            let found = by_media_type(&format!("{}; charset=utf-8", media_type.to_uppercase())).unwrap();
            assert_eq!(found.name(), format.name());
            assert_eq!(readable_by_media_type(media_type).is_some(), reads);
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
    assert_eq!(bodies.len(), readable().len(), "each format stands here");
    for (name, body) in bodies {
        check(name, &body, &["TOO_LARGE", r#"{"a":1}"#]);
    }
}

#[test]
fn every_format_survives_any_bytes() {
    for format in readable() {
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
            let plain = |size| -> Vec<_> {
                let items = items(*format, LIMITS, &body, size).into_iter();
                items.map(|item| item.map_err(|error| error.code())).collect()
            };
            let (whole, parts) = (plain(100), plain(1));
            assert_eq!(whole, parts, "{} seed {seed}", format.name());
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
    // Lines of documents are named for what they are, and none of them is taken.
    check("json", "{\"a\":1}\n{\"a\":2}\n", &["BAD_REQUEST"]);
    check("json", "1 \"b\"", &["BAD_REQUEST"]);
    let told = items(readable_by_name("json").unwrap(), LIMITS, b"{}\n{}", 2).pop().unwrap().unwrap_err();
    assert!(told.message().contains("`application/x-ndjson`"), "{told}");
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
    let format = readable_by_name("csv").unwrap();
    assert_eq!(split(format, b"a\n\xff\n1\n", 2), ["UNPROCESSABLE", r#"{"a":1}"#]);
    assert_eq!(split(format, b"\xff\n1\n", 2), ["UNPROCESSABLE"]);
}

#[test]
fn one_document_is_one() {
    let one = |name: &str, body: &'static str| {
        readable_by_name(name)
            .unwrap()
            .document(Bytes::from_static(body.as_bytes()), LIMITS)
            .map_err(|e| e.code())
    };
    assert_eq!(one("json", "[1, 2]").unwrap(), "[1, 2]");
    assert_eq!(one("json", "\u{feff}1").unwrap(), "1");
    assert_eq!(one("json", " "), Err(Code::BadRequest));
    assert_eq!(one("csv", "a\n1\n").unwrap(), r#"{"a":1}"#);
    assert_eq!(one("csv", "a\n1\n2\n"), Err(Code::BadRequest));
    assert_eq!(one("ndjson", ""), Err(Code::BadRequest));
}

#[test]
fn documents_are_made_only_when_they_are_asked_for() {
    // So a few bytes that are many documents never stand in memory as all of them.
    for (name, body, rest_of_it) in
        [("json", "[1,2,3]", ",2,3]"), ("ndjson", "1\n2\n3\n", "2\n3\n"), ("csv", "a\n1\n2\n3\n", "2\n3\n")]
    {
        let mut rest = body.as_bytes();
        let first = readable_by_name(name).unwrap().splitter(LIMITS).next(&mut rest).unwrap();
        assert!(first.unwrap().contains(&b'1'), "{name}");
        assert_eq!(rest, rest_of_it.as_bytes(), "{name}");
    }
}

#[test]
fn a_header_of_many_equal_names_is_numbered_or_refused_at_once() {
    let csv = readable_by_name("csv").unwrap();
    let limits = |columns_max| Limits { item_bytes_max: 4_000_000, columns_max, column_name_bytes_max: 16 };
    let names = 100_000;
    let body = format!("{}\n{}\n", ",".repeat(names - 1), ",".repeat(names - 1));
    let Ok([item]) = <[Item; 1]>::try_from(items(csv, limits(names - 1), body.as_bytes(), 10_000)) else {
        panic!("one error ends it");
    };
    let error = item.unwrap_err();
    assert_eq!(error.code(), Code::TooLarge);
    assert!(error.message().contains("99999 cells; raise `sourcing.table_columns_max`"), "{error}");
    let Ok([item]) = <[Item; 1]>::try_from(items(csv, limits(names), body.as_bytes(), 10_000)) else {
        panic!("one row");
    };
    let row = item.unwrap();
    assert!(row.starts_with(br#"{"":null,"_2":null,"_3":null,"#) && row.ends_with(br#","_100000":null}"#));
    check("csv", "a,a_2,a,a,a\n1,2,3,4,5", &[r#"{"a":1,"a_2":2,"a_3":3,"a_4":4,"a_5":5}"#]);
}

#[test]
fn csv_names_columns_and_rows_are_bounded() {
    let long = "n".repeat(17);
    check("csv", &format!("a,{long}\n1,2\n3,4\n"), &["TOO_LARGE"]);
    check("csv", &format!("a,{}\n1,\n", &long[1..]), &[r#"{"a":1,"nnnnnnnnnnnnnnnn":null}"#]);
    check("csv", "a\n1,,,,\n1,,,,,\n2\n", &[r#"{"a":1}"#, "TOO_LARGE", r#"{"a":2}"#]);
    // 30 bytes as sent, 180 as JSON; and 4 cells whose names alone are too much.
    let control = "\u{1}".repeat(30);
    check("csv", &format!("a\n{control}\n1\n"), &["TOO_LARGE", r#"{"a":1}"#]);
    let wide = "x".repeat(16);
    check(
        "csv",
        &format!("{wide},{wide},{wide},{wide}\n1\n1,2,3,4\n"),
        &[r#"{"xxxxxxxxxxxxxxxx":1}"#, "TOO_LARGE"],
    );
}

#[test]
fn an_empty_cell_is_null_and_a_quoted_one_the_empty_text() {
    check(
        "csv",
        "a,b\n,\n\"\",\"\"\n\n\"\",1,\"\"\n\"x\",\"\"",
        &[r#"{"a":null,"b":null}"#, r#"{"a":"","b":""}"#, r#"{"a":"","b":1}"#, r#"{"a":"x","b":""}"#],
    );
    check("csv", "\"a\",\"b\"\n\"\",\"1\"\n", &[r#"{"a":null,"b":1}"#]);
}

/// `rows` of objects with `columns`, written and read again.
fn round(format: &dyn Readable, columns: &[Vec<String>], rows: &[String]) -> Vec<String> {
    let (mut out, mut writer) = (Vec::new(), format.writer(columns));
    writer.begin(&mut out);
    for row in rows {
        writer.row(row.as_bytes(), &mut out).unwrap();
    }
    writer.end(&mut out);
    let limits = Limits { item_bytes_max: 10_000, columns_max: 10, column_name_bytes_max: 100 };
    let read = items(format, limits, &out, 7).into_iter();
    read.map(|item| String::from_utf8(item.unwrap().to_vec()).unwrap()).collect()
}

#[test]
fn every_format_writes_what_it_reads() {
    let columns = [vec!["a".to_owned()], vec!["b, \"c\"".to_owned()]];
    let rows = [
        r#"{"a":1.50,"b, \"c\"":"x, \"y\"\n\rz"}"#,
        r#"{"a":null,"b, \"c\"":"007"}"#,
        r#"{"a":"","b, \"c\"":null}"#,
        r#"{"a":"","b, \"c\"":""}"#,
    ];
    for format in readable() {
        assert_eq!(round(*format, &columns, &rows.map(str::to_owned)), rows, "{}", format.name());
    }
    let csv = readable_by_name("csv").unwrap();
    let alone = [r#"{"a":1}"#.to_owned(), r#"{"a":null}"#.to_owned(), r#"{"a":""}"#.to_owned()];
    // Readers pass over empty lines: a row must not get lost, so its null becomes the empty text.
    assert_eq!(round(csv, &columns[..1], &alone), [r#"{"a":1}"#, r#"{"a":""}"#, r#"{"a":""}"#]);
}

mod property {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever text stands in a row comes back, and null does not become text nor text null.
        #[test]
        fn what_is_written_is_read(rows in prop::collection::vec(
            prop::array::uniform3(prop::option::of("[a \"',;\r\n\t\u{0}é🜚-]{0,6}")), 1..8,
        )) {
            let columns = ["a", "b", "c"].map(|name| vec![name.to_owned()]);
            let rows: Vec<String> = rows.into_iter().map(|[a, b, c]| {
                let text = |cell: Option<String>| serde_json::to_string(&cell).unwrap();
                format!(r#"{{"a":{},"b":{},"c":{}}}"#, text(a), text(b), text(c))
            }).collect();
            for format in readable() {
                prop_assert_eq!(round(*format, &columns, &rows), &rows[..], "{}", format.name());
            }
        }
    }
}
