//! Documents and variables made to cost more than they are: each is refused with a typed error, before the work is
//! done. How little is done shows in the number of errors: whoever looked at everything would have found many.

use serde_json::{Value, json};

use crate::graphql::{ROWS, garden_with};
use crate::support::{TestApp, soon};

fn many(n: usize, one: &dyn Fn(usize) -> String) -> String {
    (0..n).map(one).collect()
}

/// Fragments that double at each level, with something in the last.
fn doubling(levels: usize, leaf: &str) -> String {
    let fragments = many(levels, &|i| format!(" fragment F{i} on Query {{ ...F{} ...F{} }}", i + 1, i + 1));
    format!("{{ ...F0 }}{fragments} fragment F{levels} on Query {{ {leaf} }}")
}

/// The errors that nobody in particular gets for a document which is not executed.
async fn refused(app: &TestApp, query: &str, variables: Value) -> Vec<Value> {
    let body = json!({ "query": query, "variables": variables });
    let answer = app.client.post(format!("{}/graphql", app.url)).json(&body);
    let shown: String = query.chars().take(60).collect();
    let answer = soon(&shown, async { answer.send().await.unwrap().json::<Value>().await.unwrap() }).await;
    assert!(answer.get("data").is_none(), "{shown}: {answer}");
    answer["errors"].as_array().unwrap().clone()
}

fn codes(errors: &[Value]) -> Vec<&str> {
    errors.iter().map(|error| error["extensions"]["code"].as_str().unwrap()).collect()
}

fn message(errors: &[Value]) -> &str {
    errors[0]["message"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_ask_for_too_much_are_refused_at_once() {
    let app = garden_with(|_| {}).await;
    let attacks = [
        format!("{{ gardenPlant(where: {}{}) {{ totalCount }} }}", "{not:".repeat(1_400), "}".repeat(1_400)),
        format!("{{ gardenPlant(where: {}{}) {{ totalCount }} }}", "[".repeat(2_000), "]".repeat(2_000)),
        doubling(20, "__typename"),
        doubling(30, "__typename"),
        format!(
            "{{ {} }}",
            many(40, &|i| format!(
                "a{i}: gardenPlant(first: 1000) {{ nodes {{ {} }} }} ",
                many(15, &|j| format!("n{j}: name "))
            ))
        ),
        format!(
            "{{ {} }}",
            many(40, &|i| {
                format!(
                    "a{i}: gardenPlant(first: 1000) {{ nodes {{ name height where {{ bed row }}
            _record {{ id key revision sourceName sourceUid author ingestedAt }} }}
            edges {{ cursor node {{ name }} }} }} "
                )
            })
        ),
        format!("{{ gardenPlant {{ {} }} }}", many(500, &|i| format!("a{i}: nodes {{ name }} "))),
        format!("{{ {} }}", many(10_000, &|i| format!("a{i}: __typename "))),
        format!("{{ __typename {} }}", "@skip(if: false) ".repeat(10_000)),
        format!("{{ gardenPlant {{ nodes {{ {} }} }} }}", "name ".repeat(8_000)),
        "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }".to_owned(),
    ];
    for attack in attacks {
        let shown: String = attack.chars().take(60).collect();
        assert_eq!(soon(&shown, app.codes(&app.admin(), &attack)).await, ["TOO_COMPLEX"], "{shown}");
    }
    for bomb in
        [doubling(20, "...X"), doubling(30, "...X"), "{ ...A } fragment A on Query { ...A }".to_owned()]
    {
        let errors = refused(&app, &bomb, json!({})).await;
        assert_eq!(codes(&errors), ["BAD_REQUEST"], "{errors:?}");
    }
    // The node is still well.
    app.data(ROWS).await;
}

/// One field four times, in eight fragments within each other; only the first time with arguments.
fn overlapping(arguments: usize, repeated: usize) -> String {
    let arguments = many(arguments, &|i| format!("x{i}:1 "));
    let (open, close) = ("...{ ".repeat(8), "}".repeat(8));
    format!("{{lag{{ {open} a({arguments}) {} {close} }}}}", "a ".repeat(repeated))
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_do_not_agree_are_one_error_however_often() {
    let app = garden_with(|_| {}).await;
    let errors = refused(&app, &overlapping(399, 800), json!({})).await;
    assert_eq!(codes(&errors), ["TOO_COMPLEX"]);
    assert!(message(&errors).contains("graphql.arguments_max"), "{errors:?}");
    let differing = many(2_500, &|i| format!("a(x:{i}) "));
    for text in [overlapping(30, 800), format!("{{ lag {{ {differing} }} }}")] {
        let errors = refused(&app, &text, json!({})).await;
        assert_eq!(codes(&errors), ["BAD_REQUEST"], "{errors:?}");
        assert!(message(&errors).contains("`a` stands for two different fields"), "{errors:?}");
    }
    let differing = many(8_000, &|i| format!("a(x:{i}) "));
    let errors = refused(&app, &format!("{{ lag {{ {differing} }} }}"), json!({})).await;
    assert_eq!(codes(&errors), ["TOO_COMPLEX"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_that_are_not_declared_are_one_error_however_often() {
    let app = garden_with(|_| {}).await;
    let document = |operations: usize, variables: usize| {
        let operations = many(operations, &|i| format!("query Q{i} {{ ...F }} "));
        let used = many(variables, &|i| format!("$v{i} "));
        format!("{operations} fragment F on Query {{ records(first: [{used}]) {{ key }} }}")
    };
    for (operations, code, text) in [
        (400, "TOO_COMPLEX", "graphql.operations_max"),
        (20, "BAD_REQUEST", "`$v0` is used and not declared"),
    ] {
        let body = json!({ "query": document(operations, 1_500), "operationName": "Q0" });
        let answer = app.client.post(format!("{}/graphql", app.url)).json(&body);
        let answer = soon(text, async { answer.send().await.unwrap().json::<Value>().await.unwrap() }).await;
        assert_eq!(codes(answer["errors"].as_array().unwrap()), [code], "{answer}");
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains(text), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_lists_so_many_errors_and_no_more() {
    let app = garden_with(|config| {
        config.graphql.tokens_max = 1_000_000;
        config.graphql.fields_max = 100_000;
        config.graphql.directives_max = 20_000;
        config.graphql.errors_max = 7;
    })
    .await;
    let duplicates = format!("{{ lag {} {{ outbox }} }}", "@skip(if: false) ".repeat(10_000));
    let unknown = format!("{{ lag {{ {} }} }}", many(9_000, &|i| format!("unknown{i} ")));
    for text in [duplicates, unknown] {
        let errors = refused(&app, &text, json!({})).await;
        assert_eq!(codes(&errors), ["BAD_REQUEST"; 7], "{errors:?}");
    }
    let differing = many(8_000, &|i| format!("a(x:{i}) "));
    let errors = refused(&app, &format!("{{ lag {{ {differing} }} }}"), json!({})).await;
    assert_eq!(codes(&errors), ["BAD_REQUEST"], "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_counted_whatever_says_how_many() {
    let app = garden_with(|_| {}).await;
    let rows =
        "nodes { name height where { bed row } _record { id key revision sourceName sourceUid author } }
        edges { cursor node { name } }";
    let lists = |page: &str| many(40, &|i| format!("a{i}: gardenPlant({page}) {{ {rows} }} "));
    let figures = "count group { name height } countDistinct { name height } sum { height } avg { height }
        min { name height } max { name height }";
    let aggregates = |n: usize| {
        many(n, &|i| format!("a{i}: gardenPlantAggregate(groupBy: [name, height]) {{ {figures} }} "))
    };
    let cases = [
        (format!("query($n: Int) {{ {} }}", lists("first: $n")), json!({"n": 1000}), json!({"n": 3})),
        (format!("query($n: Int = 1000) {{ {} }}", lists("first: $n")), json!({}), json!({"n": 3})),
        (format!("query($n: Int) {{ {} }}", lists("last: $n")), json!({"n": 1000}), json!({"n": 3})),
        (
            format!("query($n: Int, $m: Int) {{ {} }}", lists("first: $m, last: $n")),
            json!({"n": 1000, "m": null}),
            json!({"n": 3}),
        ),
        (
            format!(
                "query($n: Int, $s: Boolean!) {{ {} }}",
                lists("first: $n").replace("nodes", "nodes @skip(if: $s)")
            ),
            json!({"n": 1000, "s": false}),
            json!({"n": 3, "s": false}),
        ),
    ];
    for (query, costly, cheap) in cases {
        let answer = app.ask(&app.admin(), &query, costly).await;
        assert_eq!(codes(answer["errors"].as_array().unwrap()), ["TOO_COMPLEX"], "{query}: {answer}");
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains("graphql.cost_max"), "{answer}");
        let answer = app.ask(&app.admin(), &query, cheap).await;
        assert_eq!(answer["data"]["a39"]["nodes"].as_array().unwrap().len(), 3, "{query}: {answer}");
    }
    let last = format!("{{ {} }}", lists("last: 1000"));
    assert_eq!(soon("last", app.codes(&app.admin(), &last)).await, ["TOO_COMPLEX"]);
    let many = format!("{{ {} }}", aggregates(40));
    assert_eq!(soon("aggregates", app.codes(&app.admin(), &many)).await, ["TOO_COMPLEX"]);
    let few = app.data(&format!("{{ {} }}", aggregates(3))).await;
    assert_eq!(few["a2"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_that_nest_without_end_are_refused() {
    let app = garden_with(|_| {}).await;
    let query = "query($w: GardenPlantFilter) { gardenPlant(where: $w) { totalCount } }";
    let send = async |query: &str, variables: &str| {
        let body = format!("{{\"query\": {}, \"variables\": {variables}}}", json!(query));
        let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(app.admin());
        let request = request.header("content-type", "application/json").body(body);
        soon("an answer", async { request.send().await.unwrap().json::<Value>().await.unwrap() }).await
    };
    for deep in [500, 100_000] {
        for (open, close) in [("{\"not\":", "}"), ("[", "]")] {
            let text = format!("{{\"w\": {}1{}}}", open.repeat(deep), close.repeat(deep));
            let answer = send(query, &text).await;
            let errors = answer["errors"].as_array().unwrap();
            assert_eq!(codes(errors).len(), 1, "{answer}");
            assert!(message(errors).contains("deep"), "{answer}");
        }
    }
    let nested = |deep: usize| {
        let inner = json!({"name": {"eq": "Fig"}}).to_string();
        format!("{{\"w\": {}{inner}{}}}", "{\"not\":".repeat(deep), "}".repeat(deep))
    };
    let answer = send(query, &nested(64)).await;
    assert_eq!(answer["data"]["gardenPlant"]["totalCount"], 1, "{answer}");
    let answer = send(query, &nested(66)).await;
    assert_eq!(codes(answer["errors"].as_array().unwrap()), ["TOO_COMPLEX"], "{answer}");
    // The node is still well.
    app.data(ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_counts_towards_the_answer() {
    let app = garden_with(|config| config.graphql.answer_bytes_max = 2_000).await;
    app.data("{ __schema { queryType { name } } }").await;
    let types = "{ __schema { types { name description } } }";
    assert_eq!(app.codes(&app.admin(), types).await, ["TOO_COMPLEX"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_orders_and_groups_have_bounds_by_name() {
    let app = garden_with(|config| {
        config.graphql.constants_max = 3;
        config.graphql.pattern_bytes_max = 5;
        config.graphql.search_words_max = 1;
        config.graphql.order_by_max = 1;
        config.graphql.group_by_max = 1;
        config.graphql.introspection_nesting_max = 1;
    })
    .await;
    let list = |arguments: &str| format!("{{ gardenPlant({arguments}) {{ totalCount }} }}");
    let groups = |names: &str| format!("{{ gardenPlantAggregate(groupBy: [{names}]) {{ count }} }}");
    for (option, good, bad) in [
        (
            "constants_max",
            list(r#"where: {name: {in: ["a", "b"]}}"#),
            list(r#"where: {name: {in: ["a", "b", "c"]}}"#),
        ),
        (
            "pattern_bytes_max",
            list("where: {name: {like: \"Figs%\"}}"),
            list("where: {name: {like: \"Figs_%\"}}"),
        ),
        (
            "search_words_max",
            list("where: {name: {search: \"Fig\"}}"),
            list("where: {name: {search: \"Fig s\"}}"),
        ),
        ("order_by_max", list("orderBy: [{name: ASC}]"), list("orderBy: [{name: ASC}, {height: ASC}]")),
        ("group_by_max", groups("name"), groups("name, height")),
        (
            "introspection_nesting_max",
            "{ __schema { types { name } } }".to_owned(),
            "{ __schema { types { fields { name } } } }".to_owned(),
        ),
    ] {
        app.data(&good).await;
        let answer = app.ask(&app.admin(), &bad, json!({})).await;
        let errors = answer["errors"].as_array().unwrap();
        assert_eq!(codes(errors), ["TOO_COMPLEX"], "{answer}");
        assert!(message(errors).contains(&format!("`graphql.{option}`")), "{answer}");
    }
}
