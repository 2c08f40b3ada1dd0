//! Coercion of variables and literals, and validation through the gate.

use async_graphql::parser::parse_query;

use super::{compiled, model_of, orders};
use crate::graphql::collection::Shown;
use crate::graphql::schema::register;
use crate::graphql::{faults, guard, rules};

/// The argument `input` of `source`, or what is wrong.
fn source(ty: &str, variables: &str, literal: &str) -> Result<String, String> {
    let text = format!("mutation($v: {ty}) {{ source(input: {literal}) {{ id }} }}");
    let (nodes, variables) = compiled(&text, variables)?;
    let filled = nodes[0].filled(&variables).map_err(|error| error.message().to_owned())?;
    Ok(filled[0].1.to_text())
}

const BASE: &str = "category: \"a\", subcategory: \"b\", sourceName: \"c\"";

#[test]
fn number_texts_of_json_variables_survive() {
    let data = r#"{"v":{"big":12345678901234567890123,"exact":1.10,"twice":1,"twice":2}}"#;
    let written = source("JSON!", data, &format!("{{{BASE}, data: $v}}")).unwrap();
    assert!(
        written.ends_with(r#""data":{"big":12345678901234567890123,"exact":1.10,"twice":1,"twice":2}}"#),
        "{written}"
    );
}

#[test]
fn variables_stand_anywhere_in_literals() {
    let written =
        source("Int", r#"{"v":5}"#, &format!("{{{BASE}, data: {{a: [1, $v, RED, {{b: $v}}]}}}}")).unwrap();
    assert!(written.ends_with(r#""data":{"a":[1,5,"RED",{"b":5}]}}"#), "{written}");
    // An absent variable leaves its member out, and is null in a list.
    let written =
        source("Int", "{}", &format!("{{{BASE}, data: {{a: [1, $v], b: $v}}, ifRevision: $v}}")).unwrap();
    assert!(written.ends_with(r#""data":{"a":[1,null]}}"#), "{written}");
    let missing = source("JSON = 1", r#"{"v":null}"#, &format!("{{{BASE}, data: $v}}")).unwrap_err();
    assert!(missing.contains("`$v` must have a value"), "{missing}");
}

#[test]
fn one_value_is_a_list_of_one() {
    let written = source("Int", "{}", &format!("{{{BASE}, data: 1, tags: \"x\"}}")).unwrap();
    assert!(written.ends_with(r#""tags":["x"]}"#), "{written}");
    let input = r#"{"v":{"category":"a","subcategory":"b","sourceName":"c","data":[],"tags":"x"}}"#;
    assert!(source("SourceInput!", input, "$v").unwrap().ends_with(r#""tags":["x"]}"#));
}

#[test]
fn what_is_not_of_its_type_is_refused_by_name() {
    let cases = [
        ("SourceInput!", "{}", "missing"),
        ("SourceInput!", r#"{"v":null}"#, "must not be null"),
        ("SourceInput!", r#"{"v":5}"#, "must be of type"),
        ("SourceInput!", r#"{"v":{"category":"a","subcategory":"b","sourceName":"c"}}"#, "lacks `data`"),
        ("SourceInput!", r#"{"v":{"categry":"a"}}"#, "did you mean `category`?"),
        ("SourceInput!", r#"{"v":{"category":"a","category":"b"}}"#, "twice"),
        ("SourceInput!", r#"{"v":{"category":1}}"#, "`$v.category` must be of type `String`"),
    ];
    for (ty, variables, expected) in cases {
        let text = source(ty, variables, "$v").unwrap_err();
        assert!(text.contains(expected), "{text}");
    }
    for (literal, expected) in [
        ("5", "must be of type"),
        ("{category: RED}", "must be of type"),
        ("{data: 1}", "lacks `category`"),
        ("{category: null}", "must not be null"),
    ] {
        let text = source("Int", "{}", literal).unwrap_err();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn scalars_are_checked_exactly() {
    let filter = |field: &str, json: &str| {
        let text = "query($w: OrderClothingFilter) { orderClothing(where: $w) { totalCount } }";
        compiled(text, &format!(r#"{{"w":{{"{field}":{json}}}}}"#))
            .map(|(_, variables)| variables["w"].to_text())
    };
    for good in [r#"{"eq":1}"#, r#"{"eq":-2147483648}"#, r#"{"eq":null}"#] {
        let text = "query($n: Int) { orderClothing(first: $n) { totalCount } }";
        let number = good.trim_start_matches(r#"{"eq":"#).trim_end_matches('}');
        compiled(text, &format!(r#"{{"n":{number}}}"#)).unwrap();
    }
    for bad in ["2147483648", "99999999999", "1.5", "\"1\"", "true", "1e400", "[1]"] {
        let text = "query($n: Int) { orderClothing(first: $n) { totalCount } }";
        assert!(compiled(text, &format!(r#"{{"n":{bad}}}"#)).is_err(), "{bad}");
        assert!(
            compiled(&format!("{{ orderClothing(first: {bad}) {{ totalCount }} }}"), "{}").is_err(),
            "{bad}"
        );
    }
    assert_eq!(filter("total", r#"{"gt":1e3}"#).unwrap(), r#"{"total":{"gt":1e3}}"#);
    assert!(filter("total", r#"{"gt":1e400}"#).is_err());
    assert!(filter("total", r#"{"gt":"1"}"#).is_err());
    assert!(filter("status", r#"{"eq":1}"#).is_err());
    assert!(filter("and", r#"[{"not":{"total":{"isNull":true}}}]"#).is_ok());
    assert!(filter("customer", r#"{"name":{"like":"a%"}}"#).is_ok());
    assert!(filter("customer", r#"{"phone":{"like":"a%"}}"#).is_err());
}

#[test]
fn enums_are_names_in_documents_and_texts_in_variables() {
    let order = |literal: &str, variables: &str| {
        let text = format!(
            "query($o: [OrderClothingOrder!]) {{ orderClothing(orderBy: {literal}) {{ totalCount }} }}"
        );
        compiled(&text, variables).map(|_| ())
    };
    order("{total: DESC}", "{}").unwrap();
    order("$o", r#"{"o":[{"total":"DESC_NULLS_FIRST"},{"customer":{"name":"ASC"}}]}"#).unwrap();
    assert!(order("{total: \"DESC\"}", "{}").is_err());
    assert!(order("{total: DES}", "{}").unwrap_err().contains("did you mean `DESC`?"));
    assert!(order("$o", r#"{"o":{"total":"desc"}}"#).is_err());
}

#[test]
fn variables_fit_their_places() {
    let by = |ty: &str| {
        let text =
            format!("query($v: {ty}) {{ orderClothingAggregate(groupBy: $v) {{ count }} lag {{ outbox }} }}");
        compiled(&text, r#"{"v":["total"]}"#).map(|_| ())
    };
    for good in ["[OrderClothingField!]", "[OrderClothingField!]!"] {
        by(good).unwrap();
    }
    for bad in ["[OrderClothingField]", "OrderClothingField!", "[String!]", "JSON"] {
        assert!(by(bad).is_err(), "{bad}");
    }
    let first = |ty: &str| {
        compiled(&format!("query($n: {ty}) {{ deadLetters(first: $n) {{ id }} }}"), r#"{"n":"1"}"#)
            .map(|_| ())
    };
    assert!(first("String").unwrap_err().contains("does not fit"));
    assert!(first("ID").unwrap_err().contains("does not fit"));
    let key = |ty: &str, variables: &str| {
        let text = format!("query($k: {ty}) {{ orderClothingByKey(sourceUid: $k) {{ total }} }}");
        let (nodes, variables) = compiled(&text, variables)?;
        nodes[0].filled(&variables).map(|_| ()).map_err(|error| error.message().to_owned())
    };
    assert!(key("String", r#"{"k":"1"}"#).is_err());
    key("String = \"x\"", "{}").unwrap();
    assert!(key("String = \"x\"", r#"{"k":null}"#).unwrap_err().contains("`$k`"));
    let undeclared = compiled("{ orderClothing(where: {total: {eq: $x}}) { totalCount } }", "{}");
    assert!(undeclared.err().unwrap().contains("not declared"));
}

#[test]
fn whole_numbers_come_in_one_form() {
    let id = |variables: &str| {
        let (nodes, variables) = compiled("query($i: ID!) { receipt(id: $i) { id } }", variables)?;
        Ok::<_, String>(nodes[0].filled(&variables).unwrap()[0].1.to_text())
    };
    assert_eq!(id(r#"{"i":7}"#).unwrap(), r#""7""#);
    assert_eq!(id(r#"{"i":"x"}"#).unwrap(), r#""x""#);
    assert!(id(r#"{"i":1.5}"#).is_err());
    assert!(id(r#"{"i":null}"#).is_err());
}

/// What validation says of a document, first message.
fn validated(text: &str) -> Option<String> {
    let model = model_of(&[orders()], &|id| if id == 1 { Shown::Hidden } else { Shown::Visible });
    let schema = register(&model, 64).unwrap();
    let document = parse_query(text).unwrap();
    let mut request = async_graphql::Request::new("");
    request.set_parsed_query(document);
    let answer = futures_util::FutureExt::now_or_never(schema.execute(request)).unwrap();
    let fault = answer.errors.first().map(|error| faults::invalid(error, &model, None))?;
    Some(fault.message().to_owned())
}

#[test]
fn the_gate_validates_and_executes_nothing() {
    for good in [
        "{ orderClothing { nodes { total _record { key } } } }",
        "query($n: Int) { orderClothing(first: $n) { totalCount } }",
        "mutation($i: SourceInput!) { source(input: $i) { id } }",
        "subscription { orderClothing { op } }",
        "{ __schema { types { name } } }",
    ] {
        assert_eq!(validated(good), None, "{good}");
    }
    for bad in [
        "{ orderClothing }",
        "{ lag { outbox { x } } }",
        "query($n: Int!, $m: Int) { orderClothing(first: $n) { totalCount } }",
        "{ orderClothing(first: $n) { totalCount } }",
        "{ ...F } fragment F on OrderClothing { total }",
        "{ orderClothingByKey { total } }",
    ] {
        assert!(validated(bad).is_some(), "{bad}");
    }
}

#[test]
fn what_is_hidden_reads_like_what_does_not_exist() {
    let at = |name: &str| {
        let texts = [
            format!("{{ orderClothing {{ nodes {{ {name} }} }} }}"),
            format!("{{ orderClothing(where: {{{name}: {{isNull: true}}}}) {{ totalCount }} }}"),
            format!("{{ orderClothing(orderBy: {{{name}: ASC}}) {{ totalCount }} }}"),
            format!("{{ orderClothingAggregate(groupBy: [{name}]) {{ count }} }}"),
        ];
        texts.map(|text| {
            let said = validated(&text).unwrap_or_else(|| compiled_hidden(&text));
            said.replace(name, "X")
        })
    };
    assert_eq!(at("status"), at("stotus"));
    assert!(at("status").iter().all(|said| !said.is_empty()));
}

fn compiled_hidden(text: &str) -> String {
    let model = model_of(&[orders()], &|id| if id == 1 { Shown::Hidden } else { Shown::Visible });
    let document = parse_query(text).unwrap();
    let (_, operation) = document.operations.iter().next().unwrap();
    let compiled =
        crate::graphql::plan::compile(&model, &document, &operation.node, "Query", &Default::default());
    compiled.err().map(|misplaced| misplaced.error.message().to_owned()).unwrap_or_default()
}

/// What guard and early rules say of a document.
fn early(text: &str) -> Result<(), crate::error::Error> {
    let limits = crate::config::Graphql::default();
    let document = guard::scan(text, &limits)?.parse().unwrap();
    guard::measure(&document, &limits)
        .and_then(|_| rules::check(&document))
        .map_err(|misplaced| misplaced.error)
}

#[test]
fn fields_that_do_not_agree_end_validation_before_the_library_sees_them() {
    for text in [
        "{ a b: a a: b }",
        "{ x { ... { ... { a(x: 1) a } } } }",
        "{ x { a(x: 1) ...F } } fragment F on X { y { a(x: 1) a(x: 2) } }",
        "{ ...F ... on Query { x } } fragment F on Query { x(a: 1) }",
        "{ x { ... on X { a(x: 1) ... { a(x: 2) } } } }",
        "query A { a } query B { a: b a }",
    ] {
        let error = early(text).unwrap_err();
        assert!(error.message().contains("stands for two different fields"), "{text}: {error}");
    }
    for text in
        ["{ a(x: 1, y: [{z: 2}]) a(y: [{z: 2}], x: 1) }", "{ x { ... on A { a } ... on B { a: b } } }"]
    {
        early(text).unwrap();
    }
}

#[test]
fn variables_that_are_not_declared_end_validation_before_the_library_sees_them() {
    for text in [
        "query Q($a: Int) { a(x: [{y: $b}]) }",
        "query Q @on(x: $b) { a }",
        "{ a @skip(if: $b) }",
        "query P($b: Int) { ...F } query Q { ...F }
            fragment F on Query { x { ... { ...G } } } fragment G on X { a(x: $b) }",
        "{ ...F } fragment F on Query @on(x: $b) { a }",
    ] {
        let error = early(text).unwrap_err();
        assert!(error.message().contains("`$b` is used and not declared"), "{text}: {error}");
    }
    early("query Q($b: Int) { ...F } fragment F on Query { a(x: $b) @skip(if: $b) }").unwrap();
}

#[test]
fn the_library_finds_nothing_in_what_the_early_rules_have_passed() {
    // Every mixture of three selections within and without fragments: what the early rules pass must leave nothing
    // for the library's rule to multiply.
    let schema = register(&model_of(&[], &|_| Shown::Visible), 64).unwrap();
    let fields = ["a: outbox", "a: pending", "a: outbox(x: 1)", "a: outbox(x: 1, y: 2)"];
    let wraps = [
        ("", ""),
        ("... {", "}"),
        ("... on Lag {", "}"),
        ("... on Lag { ... {", "} }"),
        ("... { ... on Lag {", "} }"),
        ("... on Shape {", "}"),
    ];
    let selections: Vec<String> = fields
        .iter()
        .flat_map(|field| wraps.iter().map(move |(open, close)| format!("{open} {field} {close}")))
        .chain(["...F".to_owned(), "...G".to_owned()])
        .collect();
    let mut passed = 0;
    for first in &selections {
        for second in &selections {
            let mut text = format!("{{ lag {{ {first} {second} }} }}");
            for (name, definition) in
                [("F", "fragment F on Lag { a: outbox ...G }"), ("G", "fragment G on Lag { a: pending }")]
            {
                if text.contains(&format!("...{name}")) {
                    text.push_str(definition);
                }
            }
            let answer = futures_util::FutureExt::now_or_never(schema.execute(&*text)).unwrap();
            let conflict = answer.errors.iter().any(|error| error.message.contains("conflict because"));
            assert!(early(&text).is_err() || !conflict, "{text}: {:?}", answer.errors);
            passed += usize::from(early(&text).is_ok());
        }
    }
    assert!(passed > 50, "{passed}");
}
