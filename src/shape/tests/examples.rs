//! Documents as sources send them, and what is published of them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use super::limits;
use crate::config;
use crate::record::Json;
use crate::shape::*;

fn json(text: &str) -> Json {
    Json::try_from(text).unwrap()
}

fn published(documents: &[&str]) -> Published {
    let mut shape = Shape::default();
    let mut published = Published::default();
    // As a collection that takes one record after the other.
    for text in documents {
        shape.merge(&Structure::derive(&json(text), &limits()));
        published = shape.publish(&published, &limits()).unwrap_or(published);
    }
    published
}

fn at_once(documents: &[&str]) -> Published {
    let mut shape = Shape::default();
    documents.iter().for_each(|text| shape.merge(&Structure::derive(&json(text), &limits())));
    shape.publish(&Published::default(), &limits()).unwrap_or_default()
}

/// Fields in short: `name: Type`, objects in braces, packed ones in angles, lists in brackets.
fn types(published: &Published) -> String {
    fields(&published.fields)
}

fn fields(fields: &[Field]) -> String {
    fn kind(of: &Kind) -> String {
        match of {
            Kind::Scalar(scalar) => scalar.name().to_owned(),
            Kind::List(item) => format!("[{}]", kind(item)),
            Kind::Map(value) => format!("{{*: {}}}", kind(value)),
            Kind::Object(children) => format!("{{{}}}", self::fields(children)),
            Kind::Packed(children) => format!("<{}>", self::fields(children)),
        }
    }
    let each = fields.iter().map(|field| format!("{}: {}", field.name, kind(&field.kind)));
    each.collect::<Vec<_>>().join(", ")
}

fn row(published: &Published, text: &str) -> (String, Option<String>, Vec<(String, String)>) {
    let row = conform(published, &json(text));
    let rescued = row.rescued.into_iter().map(|misfit| (misfit.path, misfit.value)).collect();
    (document(published, &row.cells), row.rest, rescued)
}

#[test]
fn movies_have_a_title_that_is_text() {
    let movies = [
        r#"{"Title":"The Land Girls","US Gross":146083,"US DVD Sales":null,"Release Date":"Jun 12 1998",
            "IMDB Rating":6.1}"#,
        r#"{"Title":1776,"US Gross":0,"US DVD Sales":null,"Release Date":"Nov 09 1972","IMDB Rating":7}"#,
        r#"{"Title":null,"US Gross":2783918982,"US DVD Sales":12,"Release Date":"1928-01-01",
            "IMDB Rating":null}"#,
    ];
    let published = published(&movies);
    let wanted = "imdbRating: Float, releaseDate: String, Title: String, usGross: BigInt, usDvdSales: Int";
    assert_eq!(types(&published), wanted);
    assert_eq!(
        row(&published, movies[1]),
        (
            r#"{"imdbRating":7,"releaseDate":"Nov 09 1972","Title":"1776","usGross":"0","usDvdSales":null}"#
                .into(),
            None,
            Vec::new()
        )
    );
    // A number first: it is text as soon as both are there before anything is published.
    assert_eq!(types(&at_once(&[r#"{"Title":1776}"#, r#"{"Title":"Slam"}"#])), "Title: String");
}

#[test]
fn webhooks_nest_and_differ() {
    let first = r#"{"event":"installation","payload":{"action":"created","installation":{"id":2,
        "created_at":1557933591,"permissions":{"issues":"write"},"events":["push"],"suspended_at":null},
        "repositories":[{"id":1296269,"node_id":"MDEwOlJlcG8=","private":false}],"labels":[],
        "sender":{"login":"octocat","url":"https://api.github.com/users/octocat"}}}"#;
    let second = r#"{"event":"installation","payload":{"action":"deleted","installation":{"id":2147483648,
        "created_at":"2017-07-08T16:18:44-04:00","permissions":{},"events":[]},
        "repositories":[{"id":2,"topics":["x"],"owner":{"email":"octo@example.org"}}],
        "labels":[{"id":208045946,"color":"fc2929","when":"2017-07-08T16:18:44-04:00"}]}}"#;
    let published = published(&[first, second]);
    let wanted = "event: String, payload: {action: String, installation: {created_at: Int, events: [String], \
                  id: BigInt, permissions: {issues: String}}, repositories: [{id: Int, node_id: String, \
                  private: Boolean, owner: {email: String}, topics: [String]}], sender: {login: String, \
                  url: String}, labels: [{color: String, id: Int, when: DateTime}]}";
    assert_eq!(types(&published), wanted);
    let (text, rest, rescued) = row(&published, second);
    let wanted = concat!(
        r#"{"event":"installation","payload":{"action":"deleted","#,
        r#""installation":{"created_at":null,"events":[],"#,
        r#""id":"2147483648","permissions":{"issues":null}},"#,
        r#""repositories":[{"id":2,"owner":{"email":"octo@example.org"},"topics":["x"]}],"sender":null,"#,
        r#""labels":[{"color":"fc2929","id":208045946,"when":"2017-07-08T20:18:44.000000Z"}]}}"#
    );
    assert_eq!(text, wanted);
    assert_eq!(rest, None);
    assert_eq!(
        rescued,
        [("/payload/installation/created_at".to_owned(), "\"2017-07-08T16:18:44-04:00\"".to_owned())]
    );
    // Both at once, before anything is published: text takes either.
    let both = at_once(&[first, second]);
    let created = both.find(&["payload", "installation", "created_at"]).unwrap();
    assert_eq!(created.kind, Kind::Scalar(Scalar::String));
    let email = both.find(&["payload", "repositories", "owner", "email"]).unwrap();
    assert_eq!(email.path, "/payload/repositories/*/owner/email");
    assert!(email.tags.contains("pii.email"));
    assert_eq!(both.find(&["payload", "sender", "url"]).unwrap().tags, ["url".to_owned()].into());
}

#[test]
fn an_object_is_not_called_by_an_underscore_alone() {
    let published = at_once(&[r#"{"_": {"_": 1, "b": 2}, "a": {"_": {"c": 3}}}"#]);
    let names: Vec<&str> = published.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["_2", "a"], "groups would have `___`");
    let alone = at_once(&[r#"{"_": 1}"#]);
    assert_eq!(alone.fields[0].name, "_");
}

#[test]
fn what_has_no_value_yet_waits() {
    let nothing = r#"{"a":null,"b":[],"c":{},"d":[null,[]],"e":{"f":null}}"#;
    assert_eq!(at_once(&[nothing]), Published::default());
    let first = published(&[nothing, r#"{"b":[1]}"#]);
    assert_eq!(types(&first), "b: [Int]");
    assert_eq!(
        row(&first, nothing),
        (r#"{"b":[]}"#.into(), Some(r#"{"c":{},"d":[null,[]],"e":{"f":null}}"#.into()), Vec::new())
    );
}

#[test]
fn conflicts_before_and_after_publication() {
    let wanted = "bool_int: String, map_or_text: JSON, nest: [[Int]], one_or_many: JSON, when: String";
    let first =
        r#"{"bool_int":1,"one_or_many":{"a":1},"map_or_text":{"a":1},"when":"2024-01-01","nest":[[1],[]]}"#;
    let second = r#"{"bool_int":true,"one_or_many":[{"a":1}],"map_or_text":"x","when":"soon","nest":[null]}"#;
    assert_eq!(types(&at_once(&[first, second])), wanted);
    let later = published(&[first, second]);
    let wanted = "bool_int: Int, map_or_text: {a: Int}, nest: [[Int]], one_or_many: {a: Int}, when: Date";
    assert_eq!(types(&later), wanted);
    assert_eq!(later.version, 1);
    let (text, rest, rescued) = row(&later, second);
    assert_eq!(text, r#"{"bool_int":null,"map_or_text":null,"nest":[null],"one_or_many":null,"when":null}"#);
    assert_eq!((rest, rescued.len()), (None, 4));
}

#[test]
fn numbers_widen_and_exact_text_survives() {
    let integers = ["{\"n\":1,\"l\":[1]}", "{\"n\":3000000000,\"l\":[3000000000]}", "{\"n\":1.5,\"l\":[]}"];
    assert_eq!(types(&published(&integers[..1])), "l: [Int], n: Int");
    assert_eq!(types(&published(&integers[..2])), "l: [Float], n: BigInt");
    let float = published(&integers);
    assert_eq!(types(&float), "l: [Float], n: Float");
    assert_eq!(types(&published(&["{\"n\":18446744073709551616}"])), "n: Float");
    let rescued = |value: &str| ("/n".to_owned(), value.to_owned());
    for (value, out, wanted) in [
        ("9007199254740993", "9007199254740992", vec![rescued("9007199254740993")]),
        ("1e400", "null", vec![rescued("1e400")]),
        ("1e-400", "0", vec![rescued("1e-400")]),
        ("9007199254740992", "9007199254740992", vec![]),
        ("0.1", "0.1", vec![]),
        ("18446744073709551616", "1.8446744073709552e19", vec![]),
        ("12345678901234567.89", "1.2345678901234568e16", vec![rescued("12345678901234567.89")]),
        ("-0.12345678901234567890", "-0.12345678901234568", vec![rescued("-0.12345678901234567890")]),
        ("0.30000000000000004", "0.30000000000000004", vec![]),
        ("-100.0000000000000000000", "-100", vec![]),
        ("123456789012345680000E-2", "1.2345678901234568e18", vec![]),
        ("0.00000000000000000e-99999999999999999999", "0", vec![]),
        ("1.2345678e-320", "1.2347e-320", vec![rescued("1.2345678e-320")]),
    ] {
        let (text, _, misfits) = row(&float, &format!("{{\"n\":{value}}}"));
        assert_eq!((text, misfits), (format!("{{\"l\":null,\"n\":{out}}}"), wanted));
    }
    // A list that holds strings in output form stays what it is.
    let big = published(&["{\"l\":[3000000000]}", "{\"l\":[1.5]}"]);
    assert_eq!(types(&big), "l: [BigInt]");
    assert_eq!(row(&big, "{\"l\":[1,1.5]}").0, "{\"l\":[\"1\",null]}");
}

#[test]
fn values_come_in_their_output_form() {
    let source = r#"{"at":"2026-11-22 22:21:19.5+01:00","day":"2026-11-22",
        "id":"0C6E2B9A-7B1D-4A7F-9C57-0F4E5A6B7C8D",
        "nul":"x","any":{"k":1},"any":[1.0]}"#;
    let published = at_once(&[source, r#"{"any":"x"}"#]);
    assert_eq!(types(&published), "any: JSON, at: DateTime, day: Date, id: UUID, nul: String");
    let tags: Vec<_> = published.fields().flat_map(|field| field.tags.iter()).collect();
    assert_eq!(tags, ["time.instant", "id.uuid"]);
    let (text, _, rescued) = row(&published, &source.replace("\"x\"", "\"\\u0000\""));
    assert_eq!(
        text,
        concat!(
            r#"{"any":[1.0],"at":"2026-11-22T21:21:19.500000Z","day":"2026-11-22","#,
            r#""id":"0c6e2b9a-7b1d-4a7f-9c57-0f4e5a6b7c8d","nul":null}"#
        )
    );
    assert_eq!(rescued, [("/any".into(), r#"{"k":1}"#.into()), ("/nul".into(), r#""\u0000""#.into())]);
    for (at, out) in [
        ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.9Z", "9999-12-31T23:59:59.900000Z"),
        ("2016-02-29t00:00:00-23:59", "2016-02-29T23:59:00.000000Z"),
    ] {
        let cells = conform(&published, &json(&format!(r#"{{"at":"{at}"}}"#))).cells;
        assert_eq!(cells.get(1), Some(&Cell::Text(out.into())), "{at}");
    }
}

#[test]
fn tags_of_personal_data_only_grow() {
    let first = published(&[r#"{"email":"unknown","contact":["x"],"phone":5550109999}"#]);
    assert!(first.fields().all(|field| field.tags.is_empty()));
    let later = published(&[
        r#"{"email":"unknown","contact":["x"],"phone":5550109999}"#,
        r#"{"email":"ada@example.org","contact":["+49 30 901820"],"phone":"4111 1111 1111 1111"}"#,
        r#"{"email":"none"}"#,
    ]);
    let tags: Vec<_> = later.fields().flat_map(|field| field.tags.iter()).collect();
    assert_eq!(tags, ["pii.phone", "pii.email", "pii.card"]);
    assert_eq!(later.version, 2);
    let number = published(&[r#"{"n":1,"l":[4111111111111111]}"#, r#"{"n":4111111111111111}"#]);
    assert_eq!(types(&number), "l: [BigInt], n: BigInt");
    assert!(number.fields().all(|field| field.tags.contains("pii.card")));
    let none = published(&[r#"{"n":4111111111111112,"t":1517966773840,"f":4111111111111111.5,"e":4e15}"#]);
    assert!(none.fields().all(|field| field.tags.is_empty()));
    // What is too deep to be published is still looked at.
    let deep = format!("{}\"ada@example.org\"{}", "{\"a\":".repeat(20), "}".repeat(20));
    let deep = published(&[&deep]);
    let last = deep.fields().last().unwrap();
    assert_eq!(last.kind, Kind::Scalar(Scalar::Json));
    assert!(last.tags.contains("pii.email"));
}

#[test]
fn what_finds_no_column_is_packed_or_rest() {
    let wide = |prefix: &str, from: usize, to: usize| {
        (from..to).map(|n| format!("\"{prefix}{n:03}\":{n}")).collect::<Vec<_>>().join(",")
    };
    // One value is unlike the others: else it would be a map.
    let inner = format!("{},\"b199\":\"x\"", wide("b", 0, 199));
    let source = format!("{{{},\"o\":{{{inner}}},\"p\":{{\"x\":1}}}}", wide("a", 0, 200));
    let first = published(&[&source]);
    let Kind::Packed(members) = &first.find(&["o"]).unwrap().kind else { panic!("it has no columns") };
    assert_eq!(
        (members.len(), types(&Published { fields: members[..2].into(), ..first.clone() })),
        (200, "b000: Int, b001: Int".into())
    );
    assert!(first.find(&["p", "x"]).is_some());
    assert_eq!(row(&first, &source).1, None);
    let late = format!("{{{}}}", wide("c", 0, 300));
    let later = published(&[&source, &late]);
    assert_eq!(later.columns().len(), limits().columns_max);
    assert!(row(&later, &late).1.unwrap().contains("\"c299\":299"));
}

#[test]
fn kinds_of_records_that_come_later_find_room() {
    let object = |from: usize, count: usize| {
        let members = (from..from + count).map(|n| format!("\"m{n}\":\"{n}\"")).collect::<Vec<_>>();
        format!("{{{}}}", members.join(","))
    };
    let first = format!("{{\"payload\":{{\"repository\":{},\"sender\":{}}}}}", object(0, 100), object(0, 20));
    let later = (0..120).map(|n| format!("{{\"payload\":{{\"event{n}\":{}}}}}", object(n, 20)));
    let documents: Vec<String> = std::iter::once(first).chain(later).collect();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    let published = published(&documents);
    assert!(published.find(&["payload", "event119", "m138"]).is_some());
    assert_eq!(published.fields().count(), at_once(&documents).fields().count());
}

#[test]
fn objects_within_text_grow_like_others() {
    let tight = config::Shape { columns_max: 4, ..limits() };
    let all = |documents: &[&str]| {
        let (mut shape, mut published) = (Shape::default(), Published::default());
        for text in documents {
            shape.merge(&Structure::derive(&json(text), &tight));
            published = shape.publish(&published, &tight).unwrap_or(published);
        }
        published
    };
    let first = r#"{"o":{"a":{"n":1},"b":"x","c":1,"d":2,"e":3},"l":[{"a":{"n":1}}]}"#;
    let published = all(&[first]);
    assert_eq!(types(&published), "l: [{a: {n: Int}}], o: <a: {n: Int}, b: String, c: Int, d: Int, e: Int>");
    // New members at every depth, and every step of widening; what is stored keeps its place.
    let second =
        r#"{"o":{"a":{"n":3000000000,"m":"ada@example.org"},"f":[1]},"l":[{"a":{"n":1.5,"m":[{}]}}]}"#;
    let third = r#"{"o":{"c":1.5},"l":[{"a":{"m":[{"k":true}]}}]}"#;
    let later = all(&[first, second, third]);
    assert_eq!(
        types(&later),
        "l: [{a: {n: Float, m: [{k: Boolean}]}}], \
         o: <a: {n: BigInt, m: String}, b: String, c: Float, d: Int, e: Int, f: [Int]>"
    );
    assert!(later.find(&["o", "a", "m"]).unwrap().tags.contains("pii.email"));
    assert_eq!(
        row(&later, second).0,
        concat!(
            r#"{"l":[{"a":{"n":1.5,"m":[{}]}}],"#,
            r#""o":{"a":{"n":"3000000000","m":"ada@example.org"},"f":[1]}}"#
        )
    );
    let (text, rest, rescued) = row(&later, r#"{"o":[1],"l":[{"a":{"z":null,"y":2}}]}"#);
    assert_eq!(text, r#"{"l":[{"a":{}}],"o":null}"#);
    assert_eq!(rest.as_deref(), Some(r#"{"l":{"0":{"a":{"y":2}}}}"#));
    assert_eq!(rescued, [("/o".to_owned(), "[1]".to_owned())]);
}

#[test]
fn the_deepest_and_longest_shape_that_may_be_is_read_again() {
    // The ceilings that the configuration holds these bounds to.
    let most = config::Shape { depth_max: 40, key_bytes_max: 4_096, ..limits() };
    let key = "k".repeat(4_096);
    for (open, close) in [(format!("{{\"{key}\":"), "}"), (format!("{{\"{key}\":["), "]}")] {
        let text = format!("{}1{}", open.repeat(45), close.repeat(45));
        let structure = Structure::derive(&json(&text), &most);
        assert_eq!(Structure::from_text(&structure.to_text()).unwrap(), structure);
        let mut shape = Shape::default();
        shape.merge(&structure);
        let mut published = shape.publish(&Published::default(), &most).unwrap();
        name_types(&mut published, "Row", &|_| false);
        assert!(published.type_names.values().all(|name| name.len() < 270));
        let stored = serde_json::to_string(&published).unwrap();
        assert_eq!(serde_json::from_str::<Published>(&stored).unwrap(), published);
    }
}

#[test]
fn what_values_mean_is_tagged_when_value_and_key_say_so() {
    let published = published(&[
        r#"{"country":"DE","state":"DE","countries":["FR","USA"],"amount":{"currency":"EUR","code":"EUR"},
            "locale":"pt-BR","language":"Go","time":1517966773840,"created_at":1557933591,"id":1557933591,
            "place":{"lat":52.5,"lng":13.4},"lat":52.5,"geometry":{"type":"Point","coordinates":[13.4,52.5]},
            "uid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","url":"https://example.org/","pay":"GB82 WEST 1234 5698 7654 32"}"#,
        r#"{"countries":["FR",1]}"#,
    ]);
    let tagged = published.fields().filter(|field| !field.tags.is_empty());
    let tagged = tagged.map(|field| (&*field.path, field.tags.iter().cloned().collect::<Vec<_>>().join(" ")));
    assert_eq!(
        tagged.collect::<Vec<_>>(),
        [
            ("/amount/currency", "code.currency"),
            ("/countries", "code.country"),
            ("/country", "code.country"),
            ("/created_at", "time.instant.seconds"),
            ("/geometry/coordinates", "geo.point"),
            ("/locale", "code.language"),
            ("/pay", "pii.iban"),
            ("/place/lat", "geo.latitude"),
            ("/place/lng", "geo.longitude"),
            ("/time", "time.instant.millis"),
            ("/uid", "id.ulid"),
            ("/url", "url"),
        ]
        .map(|(path, tags)| (path, tags.to_owned()))
    );
    // One value that is none is enough for none; a number beside texts is one, too.
    for (first, second) in [
        (r#"{"country":"DE"}"#, r#"{"country":"Utopia"}"#),
        (r#"{"url":"https://example.org/"}"#, r#"{"url":1}"#),
        (r#"{"lat":1,"lon":1}"#, r#"{"lat":91,"lon":1}"#),
    ] {
        let both = at_once(&[first, second]);
        assert!(both.fields().all(|field| field.tags.is_empty()), "{both:?}");
    }
}

#[test]
fn keys_that_are_data_make_a_map() {
    for (documents, wanted) in [
        // At the first record already.
        (&[r#"{"o":{"2026-11-22":1,"2026-11-23":2.5}}"#][..], "o: {*: Float}"),
        (&[r#"{"o":{"0C6E2B9A-7B1D-4A7F-9C57-0f4e5a6b7c8d":{"n":1}}}"#], "o: {*: {n: Int}}"),
        (&[r#"{"o":{"10001":{"n":1},"10002":{"m":"x"}}}"#], "o: {*: {m: String, n: Int}}"),
        (&[r#"{"rates":{"EUR":1.1,"USD":1,"CHF":0.9}}"#], "rates: {*: Float}"),
        (&[r#"{"o":{"2026-11-22":{"EUR":1.1,"USD":1,"CHF":0.9}}}"#], "o: {*: {*: Float}}"),
        (&[r#"{"o":[{"2026-11-22":[1]},{"2026-11-23":[2]}]}"#], "o: [{*: [Int]}]"),
        (&[r#"{"o":{"2026-11-22":1,"2026-11-23":2,"total":3}}"#], "o: {*: Int}"),
        (&[r#"{"o":{}}"#, r#"{"o":{"2026-11-22":true}}"#], "o: {*: Boolean}"),
        // Later it stays one.
        (&[r#"{"o":{"2026-11-22":1}}"#, r#"{"o":{"name":2,"size":3,"age":4}}"#], "o: {*: Int}"),
        (&[r#"{"o":{"2026-11-22":1}}"#, r#"{"o":{"2026-11-22":5000000000}}"#], "o: {*: BigInt}"),
        // What was published as an object stays an object.
        (
            &[r#"{"o":{"name":1}}"#, r#"{"o":{"2026-11-22":2}}"#, r#"{"o":{"size":3}}"#],
            "o: {name: Int, size: Int}",
        ),
        (&[r#"{"o":{"EUR":1.1,"USD":1,"CHF":0.9}}"#, r#"{"o":{"EUR":1,"USD":1}}"#], "o: {*: Float}"),
        (
            &[r#"{"o":{"name":1}}"#, r#"{"o":{"EUR":1,"USD":1,"CHF":9}}"#, r#"{"o":{"size":3}}"#],
            "o: {name: Int, size: Int}",
        ),
        (
            &[r#"{"o":{"EUR":1,"USD":2}}"#, r#"{"o":{"EUR":1.5,"USD":1,"CHF":9}}"#],
            "o: {EUR: Float, USD: Float}",
        ),
        // Fields.
        (&[r#"{"2026-11-22":1,"2026-11-23":2}"#], "_20261122: Int, _20261123: Int"),
        (&[r#"{"o":{"10001":1,"10002":"x"}}"#], "o: {_10001: Int, _10002: String}"),
        (&[r#"{"o":{"EUR":1.1,"USD":1}}"#], "o: {EUR: Float, USD: Int}"),
        (&[r#"{"o":{"id":"x","size":3,"2026-11-22":1}}"#], "o: {id: String, size: Int}"),
        (
            &[r#"{"o":{"line1":1,"line2":2,"1":3,"2019":4}}"#],
            "o: {_1: Int, _2019: Int, line1: Int, line2: Int}",
        ),
    ] {
        assert_eq!(types(&published(documents)), wanted, "{documents:?}");
    }
    let words = |count: usize, value: &str| {
        let members: Vec<_> = (0..count).map(|n| format!("\"word{n}x\":{value}")).collect();
        format!("{{\"o\":{{{}}}}}", members.join(","))
    };
    let is_map = |documents: &[&str]| types(&published(documents)).starts_with("o: {*");
    assert!(!is_map(&[&words(40, "1.5")]) && !is_map(&[&words(128, "1.5")]) && is_map(&[&words(129, "1.5")]));
    // As wide, but of values that differ.
    let unlike = words(129, "1.5").replace("\"word7x\":1.5", "\"word7x\":\"x\"");
    assert!(!is_map(&[&unlike]));
}

#[test]
fn keys_that_hardly_come_again_make_a_map_when_so_many_are_seen_at_once() {
    let orders = |more: fn(usize) -> String| -> Vec<String> {
        (0..40).map(|n| format!("{{\"stock\":{{{}}}}}", more(n))).collect()
    };
    let at_once = |documents: Vec<String>| {
        types(&at_once(&documents.iter().map(String::as_str).collect::<Vec<_>>())).starts_with("stock: {*")
    };
    assert!(at_once(orders(|n| format!("\"SKU-{n}\":{n},\"SKU-{}\":1", n + 500))));
    assert!(!at_once(orders(|n| format!("\"part{}\":{n},\"part{}\":1", n % 9, n % 7 + 9))));
    assert!(!at_once(orders(|n| format!("\"SKU-{n}\":{}", if n == 3 { "\"x\"" } else { "1" }))));
}

#[test]
fn maps_keep_their_keys_and_say_what_does_not_fit() {
    let shape = published(&[r#"{"o":{"2026-11-22":{"n":1},"2026-11-23":null}}"#]);
    let odd = concat!(
        r#"{"o":{"2026-11-22":{"n":2,"x":3},"a \"b\"/c":{"n":"y"},"k":7,"k":{"n":4},"#,
        r#""e\u0000":{"n":5},"l":null}}"#
    );
    let (text, rest, rescued) = row(&shape, odd);
    assert_eq!(
        text,
        r#"{"o":{"2026-11-22":{"n":2},"a \"b\"/c":{},"k":{"n":4},"l":null}}"#.replace("{}", r#"{"n":null}"#)
    );
    assert_eq!(rest.as_deref(), Some(r#"{"o":{"2026-11-22":{"x":3}}}"#));
    let misfit = |path: &str, value: &str| (path.to_owned(), value.to_owned());
    assert_eq!(
        rescued,
        [misfit("/o/a \"b\"~1c/n", "\"y\""), misfit("/o/k", "7"), misfit("/o/e\0", "{\"n\":5}")]
    );
    assert_eq!(row(&shape, r#"{"o":[1]}"#).2, [misfit("/o", "[1]")]);
    let paths: Vec<_> = shape.fields().map(|field| field.path.as_str()).collect();
    assert_eq!(paths, ["/o", "/o/~*/n"]);
}

#[test]
fn keys_of_persons_tag_their_map() {
    let shape = published(&[r#"{"o":{"2026-11-22":1}}"#, r#"{"o":{"ada@example.org":2}}"#]);
    assert_eq!(shape.fields[0].tags, ["pii.email".to_owned()].into());
    let shape = published(&[r#"{"o":{"10001":{"mail":"ada@example.org"}},"p":{"4111111111111111":true}}"#]);
    assert!(shape.fields[0].tags.is_empty());
    assert_eq!(shape.fields[1].tags, ["pii.card".to_owned()].into());
    // Also when they are within JSON.
    let mixed = published(&[r#"{"o":{"ada@example.org":2}}"#, r#"{"j":1}"#]);
    assert_eq!(mixed.fields[0].tags, ["pii.email".to_owned()].into());
    let json = at_once(&[r#"{"j":{"ada@example.org":2}}"#, r#"{"j":1}"#]);
    assert_eq!(types(&json), "j: JSON");
    assert_eq!(json.fields[0].tags, ["pii.email".to_owned()].into());
}
