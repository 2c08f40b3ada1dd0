//! The commands as people run them: the real binary, what it prints and where, its exit codes.
//! 0 done, 1 the answer is no, 2 usage or configuration, 3 a service is unreachable.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::{Router, extract::Request, http::StatusCode, routing::post};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    faults::server::Stand,
    support::{Backend, eventually},
};

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The binary, in a directory of its own, without the options of the test's environment.
fn wellspring(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WELLSPRING_")) {
        command.env_remove(name);
    }
    command.current_dir(directory).args(args).stdin(Stdio::null());
    command
}

fn ended(mut command: Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

pub fn run(directory: &Path, args: &[&str]) -> Said {
    ended(wellspring(directory, args))
}

/// `wellspring source` of one file as the shop's orders, with further options.
fn load(directory: &Path, url: &str, token: &str, args: &[&str]) -> Said {
    let mut all = vec!["source", "--category", "shop", "--subcategory", "order", "--source", "web"];
    all.extend(["--url", url, "--token", token]);
    all.extend(args);
    run(directory, &all)
}

/// Nothing listens there: the port was free a moment ago.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

pub fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn ask(url: &str, token: &str, query: &str) -> Value {
    let request = reqwest::Client::builder().no_proxy().build().unwrap().post(format!("{url}/graphql"));
    let answer = request.bearer_auth(token).json(&json!({"query": query})).send().await.unwrap();
    answer.json().await.unwrap()
}

/// Waits until the shop has so many orders.
async fn orders(url: &str, token: &str, count: usize) {
    eventually("the orders", async || {
        let answer = ask(url, token, "{ shopOrder { totalCount } }").await;
        if answer["data"]["shopOrder"]["totalCount"] == count { Ok(()) } else { Err(answer) }
    })
    .await;
}

#[test]
fn wrong_usage_is_2_and_names_the_nearest() {
    let place = place();
    for (args, nearest) in [
        (&["sevre"][..], "serve"),
        (&["serve", "--lisen", "x"], "--listen"),
        (&["demo", "--dat", "x"], "--data"),
        (&["source", "--categry", "x"], "--category"),
        (&["token", "--subjct", "x"], "--subject"),
        (&["schema", "--ur", "x"], "--url"),
        (&["policy", "chek"], "check"),
        (&["policy", "check", "--polices", "x"], "--policies"),
        (&["dead-letter", "lst"], "list"),
        (&["dead-letter", "list", "--frist", "1"], "--first"),
        (&["dead-letter", "redrive", "--tokn", "x"], "--token"),
        (&["verify", "--database-ulr", "x"], "--database-url"),
        (&["config", "--confg", "x"], "--config"),
    ] {
        let said = run(place.path(), args);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{args:?}: {said:?}");
        assert!(said.err.contains(&format!("'{nearest}'")), "{args:?}: {}", said.err);
    }
    let help = run(place.path(), &["help"]);
    assert_eq!(help.code, 0, "{help:?}");
    for command in ["demo", "serve", "source", "token", "schema", "policy", "dead-letter", "verify", "config"]
    {
        assert!(
            help.out.lines().any(|line| line.trim_start().starts_with(command)),
            "{command}: {}",
            help.out
        );
    }
}

#[test]
fn config_prints_each_option_and_a_wrong_one_is_2() {
    let place = place();
    let mut command = wellspring(place.path(), &["config", "--listen", "127.0.0.1:7"]);
    command.env("WELLSPRING_SOURCING__TABLE_COLUMNS_MAX", "77");
    fs::write(place.path().join("wellspring.toml"), "[graphql]\npage_max = 123\n").unwrap();
    let said = ended(command);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    for line in
        ["listen = \"127.0.0.1:7\"", "table_columns_max = 77", "page_max = 123", "# The most rows of a page."]
    {
        assert!(said.out.contains(line), "{line}: {}", said.out);
    }
    // What is printed is a configuration again.
    fs::write(place.path().join("again.toml"), &said.out).unwrap();
    assert_eq!(run(place.path(), &["config", "--config", "again.toml"]).out, said.out);

    fs::write(place.path().join("wellspring.toml"), "[graphql]\npage_maxx = 123\n").unwrap();
    let said = run(place.path(), &["config"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    assert!(said.err.contains("`wellspring.toml`: there is no option `graphql.page_maxx`"), "{said:?}");
    assert!(said.err.contains("the nearest is `page_max`"), "{said:?}");
    let said = run(place.path(), &["config", "--config", "not-there.toml"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("`not-there.toml` cannot be read"), "{said:?}");
}

#[test]
fn a_broken_policy_refuses_to_start_and_says_where() {
    let place = place();
    let policies = place.path().join("rules");
    fs::create_dir(&policies).unwrap();
    let broken =
        "allow(user: User, \"read\", _: Row) if\n  \"x\" in user.roles;\nallow(user: User \"read\");\n";
    fs::write(policies.join("mine.polar"), broken).unwrap();
    let said = run(place.path(), &["serve", "--listen", "127.0.0.1:0", "--data", "d", "--policies", "rules"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    for part in ["mine.polar:3:", "allow(user: User \"read\");", "^"] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    let said = run(place.path(), &["policy", "check", "--policies", "rules", "--data", "d"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("mine.polar:3:") && said.err.contains('^'), "{said:?}");
    fs::write(policies.join("mine.polar"), "allow(user: User, \"read\", _: Row) if \"x\" in user.roles;\n")
        .unwrap();
    let said = run(place.path(), &["policy", "check", "--policies", "rules", "--data", "d"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{said:?}");
    let said = run(place.path(), &["policy", "check", "--policies", "rules", "--data", "elsewhere"]);
    assert!(said.err.contains("warning: nothing has been served from `elsewhere`"), "{said:?}");
    let said = run(place.path(), &["policy", "check", "--policies", "nowhere", "--data", "d"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("nowhere"), "{said:?}");
}

#[test]
fn what_cannot_be_served_is_2_or_3() {
    let place = place();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = run(place.path(), &["serve", "--listen", &address, "--data", "d"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    assert!(said.err.contains(&address), "{said:?}");
    // What is made for the data is its owner's alone.
    let said = run(place.path(), &["demo", "--listen", &address, "--data", "e"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    for made in ["d", "e"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(place.path().join(made)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{made}");
    }
    let database = format!("postgres://nobody@{}/x", nowhere().trim_start_matches("http://"));
    for args in [
        &["serve", "--listen", "127.0.0.1:0", "--data", "d", "--database-url", &database][..],
        &["verify", "--data", "d", "--database-url", &database],
    ] {
        let said = run(place.path(), args);
        assert_eq!((said.code, said.out.as_str()), (3, ""), "{args:?}: {said:?}");
    }
}

#[test]
fn a_token_is_printed_and_nothing_else() {
    let place = place();
    let token =
        |args: &[&str]| run(place.path(), &[&["token", "--subject", "ann", "--data", "d"], args].concat());
    let said = token(&[]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    assert!(said.err.contains("start the server once"), "{said:?}");
    fs::create_dir(place.path().join("d")).unwrap();
    fs::write(place.path().join("d/signing.key"), "k".repeat(40)).unwrap();
    let said = token(&["--role", "consumer", "--claim", "region=eu", "--claim", "level=3"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let [_, claims, _] = said.out.trim().split('.').collect::<Vec<_>>()[..] else { panic!("{said:?}") };
    use base64::Engine as _;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["sub"], &claims["roles"]), (&json!("ann"), &json!(["consumer"])));
    assert_eq!((&claims["region"], &claims["level"]), (&json!("eu"), &json!(3)));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3_600);
    for (args, says) in [
        (&["--ttl", "soon"][..], "`soon` is not a time such as"),
        (&["--claim", "region"], "must be `name=value`"),
        (&["--claim", "sub=x"], "has an option of its own"),
        (&["--claim", "nbf=99999999999"], "has an option of its own"),
    ] {
        let said = token(args);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{args:?}: {said:?}");
        assert!(said.err.contains(says), "{args:?}: {said:?}");
    }
    // No server would take it.
    let said = run(place.path(), &["token", "--subject", "", "--data", "d"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    assert!(said.err.contains("`sub` must have 1 to 512 bytes"), "{said:?}");
}

#[test]
fn a_server_that_is_away_is_3() {
    let place = place();
    fs::write(place.path().join("a.ndjson"), "{\"n\":1}\n").unwrap();
    let away = nowhere();
    let source = ["source", "a.ndjson", "--category", "a", "--subcategory", "b", "--source", "c"];
    for args in
        [&source[..], &["schema"], &["dead-letter", "list"], &["dead-letter", "redrive", "--token", "x", "1"]]
    {
        let said = run(place.path(), &[args, &["--url", &away]].concat());
        assert_eq!((said.code, said.out.as_str()), (3, ""), "{args:?}: {said:?}");
        assert!(said.err.contains(&format!("`{away}` does not answer; check --url")), "{args:?}: {said:?}");
        assert!(said.err.contains("Connection refused"), "down to the last cause: {said:?}");
        for wrong in [away.trim_start_matches("http://"), "localhost:8080", "ftp://localhost"] {
            let said = run(place.path(), &[args, &["--url", wrong]].concat());
            assert_eq!((said.code, said.out.as_str()), (2, ""), "{args:?}: {said:?}");
            assert!(said.err.contains("write --url http://"), "{args:?}: {said:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_loaded_and_what_is_refused_stands_in_a_file() {
    let stand = Stand::new(Backend::Embedded);
    let (server, place) = (stand.start(), place());
    let (url, token) = (server.url.as_str(), stand.token());
    fs::write(
        place.path().join("a.ndjson"),
        "{\"id\":1,\"n\":1}\n{\"n\":\nnot json\n{\"n\":2}\n{\"id\":2}\n",
    )
    .unwrap();
    fs::write(place.path().join("b.csv"), "id,n\n3,1\n4,\n5,1,2\n").unwrap();
    fs::write(place.path().join("c.json"), "[{\"id\":6},\n {\"id\":7}]").unwrap();
    let all = ["a.ndjson", "b.csv", "c.json", "--key", "/id", "--errors", "bad.ndjson"];
    let said = load(place.path(), url, &token, &all);
    assert_eq!(said.code, 1, "{said:?}");
    let first = "accepted 6 (0 of them known already), rejected 4; see bad.ndjson\n";
    assert_eq!((said.out.as_str(), said.err.as_str()), (first, ""));
    let bad = fs::read_to_string(place.path().join("bad.ndjson")).unwrap();
    let bad: Vec<Value> = bad.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown: Vec<_> = bad.iter().map(|line| (&line["index"], &line["code"], &line["record"])).collect();
    let (lost, odd, bare) = (json!("{\"n\":"), json!("not json"), json!({"n": 2}));
    let refused = [json!("BAD_REQUEST"), json!("UNPROCESSABLE")];
    assert_eq!(shown.len(), 4, "{bad:?}");
    assert_eq!((shown[0].0, shown[0].2), (&json!(1), &lost), "{bad:?}");
    assert_eq!((shown[1].0, shown[1].2), (&json!(2), &odd), "{bad:?}");
    assert_eq!(shown[2], (&json!(3), &refused[1], &bare), "{bad:?}");
    assert_eq!(shown[3], (&json!(2), &refused[1], &Value::Null), "{bad:?}");
    assert!(bad.iter().all(|line| line["message"].as_str().is_some_and(|text| text.len() > 10)), "{bad:?}");
    orders(url, &token, 6).await;

    // Run again it repeats nothing, and says so only when nothing at all was new.
    let said = load(place.path(), url, &token, &["c.json", "--key", "/id"]);
    assert_eq!((said.code, said.out.as_str()), (0, "accepted 2 (2 of them known already), rejected 0\n"));
    assert!(said.err.contains("nothing has changed") && said.err.contains("--again"), "{said:?}");
    let retract = r#"mutation { retract(input: {category: "shop", subcategory: "order", sourceName: "web",
        sourceUid: "6"}) { id } }"#;
    assert!(ask(url, &token, retract).await["errors"].is_null());
    orders(url, &token, 5).await;
    let said = load(place.path(), url, &token, &["c.json", "--key", "/id", "--again"]);
    assert_eq!((said.code, said.out.as_str()), (0, "accepted 2 (0 of them known already), rejected 0\n"));
    assert_eq!(said.err, "");
    orders(url, &token, 6).await;

    for (args, says) in [
        (&["nothing.ndjson"][..], "`nothing.ndjson` cannot be read"),
        (&["a.xls"], "`xls` is not a format; set --format to one of `json`, `ndjson`, `csv`"),
        (&["a.ndjson", "--key", ""], "JSON pointer"),
        (&["a.ndjson", "--again"], "--key"),
    ] {
        let said = load(place.path(), url, &token, args);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{args:?}: {said:?}");
        assert!(said.err.contains(says), "{args:?}: {said:?}");
    }
    let said = load(place.path(), url, "wrong", &["c.json"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    assert!(said.err.contains("UNAUTHENTICATED"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_lives_through_a_restarted_database() {
    let mut stand = Stand::new(Backend::Postgres);
    let (server, place) = (stand.start(), place());
    let token = stand.token();
    let args =
        ["source", "-", "--category", "shop", "--subcategory", "order", "--source", "web", "--key", "/id"];
    let mut command =
        wellspring(place.path(), &[&args[..], &["--url", &server.url, "--token", &token]].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines =
        |from: usize, to: usize| -> String { (from..to).map(|n| format!("{{\"id\":{n}}}\n")).collect() };
    // Two whole batches, which do not wait for more.
    input.write_all(lines(0, 2_000).as_bytes()).unwrap();
    input.flush().unwrap();
    orders(&server.url, &token, 2_000).await;
    let postgres = stand.postgres.as_mut().unwrap();
    std::thread::scope(|scope| {
        let written = scope.spawn(|| input.write_all(lines(2_000, 10_000).as_bytes()).unwrap());
        postgres.restart();
        written.join().unwrap();
    });
    drop(input);
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        out.starts_with("accepted 10000 (") && out.ends_with("rejected 0\n"),
        "{out} {:?}",
        output.stderr
    );
    assert_eq!(output.status.code(), Some(0));
    assert!(!place.path().join("wellspring-rejected.ndjson").exists());
    orders(&server.url, &token, 10_000).await;
}

/// What a scripted server was sent: idempotency key and body.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// A server that answers one batch after the other with what stands here, then for ever with the last.
async fn scripted(answers: Vec<(u16, Value)>) -> (String, Seen) {
    let seen = Seen::default();
    let keep = seen.clone();
    let answer = async move |request: Request| {
        let key = request.headers()["idempotency-key"].to_str().unwrap().to_owned();
        let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
        let mut seen = keep.lock().unwrap();
        let (status, answer) = &answers[seen.len().min(answers.len() - 1)];
        seen.push((key, String::from_utf8(body.to_vec()).unwrap()));
        (StatusCode::from_u16(*status).unwrap(), axum::Json(answer.clone()))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/source/{*path}", post(answer));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, seen)
}

fn refused(index: usize, code: &str) -> Value {
    json!({"index": index, "code": code, "message": "said the server", "retryAfterMs": 1})
}

fn outcome(fresh: usize, known: usize, rejected: &[Value], total: usize) -> (u16, Value) {
    let receipt = |duplicate: bool| json!({"duplicate": duplicate});
    let receipts = [vec![receipt(false); fresh], vec![receipt(true); known]].concat();
    let answer = json!({"accepted": fresh + known, "receipts": receipts, "rejected": rejected, "rejectedTotal": total});
    (202, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_cannot_take_now_is_sent_again_and_not_dumped() {
    let place = place();
    fs::write(place.path().join("a.ndjson"), "1\n2\n3\n").unwrap();
    let busy = (429, json!({"error": {"code": "BACKPRESSURE", "message": "full", "retryAfterMs": 1}}));
    let answers = vec![
        busy,
        outcome(1, 0, &[refused(1, "UNAVAILABLE"), refused(2, "UNPROCESSABLE")], 2),
        outcome(0, 1, &[refused(1, "BACKPRESSURE"), refused(2, "UNPROCESSABLE")], 2),
        outcome(1, 1, &[refused(2, "UNPROCESSABLE")], 1),
    ];
    let (url, seen) = scripted(answers).await;
    let said = load(place.path(), &url, "t", &["a.ndjson"]);
    let text = "accepted 2 (0 of them known already), rejected 1; see wellspring-rejected.ndjson\n";
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (1, text, ""));
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|one| *one == seen[0] && one.1 == "[1,2,3]"), "{seen:?}");
    let bad = fs::read_to_string(place.path().join("wellspring-rejected.ndjson")).unwrap();
    assert_eq!(bad.lines().count(), 1, "{bad}");
    assert!(bad.contains("UNPROCESSABLE") && bad.contains("\"record\":3"), "{bad}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_never_writes_over_what_it_reads() {
    let place = place();
    fs::write(place.path().join("wellspring-rejected.ndjson"), "1\n").unwrap();
    let (url, seen) = scripted(vec![outcome(0, 0, &[refused(0, "UNPROCESSABLE")], 1)]).await;
    let said = load(place.path(), &url, "t", &["./wellspring-rejected.ndjson"]);
    assert_eq!((said.code, seen.lock().unwrap().len()), (2, 0), "{said:?}");
    assert!(said.err.contains("`--errors`"), "{said:?}");
    assert_eq!(fs::read_to_string(place.path().join("wellspring-rejected.ndjson")).unwrap(), "1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_gives_up_says_how_to_go_on() {
    let place = place();
    fs::write(place.path().join("a.ndjson"), "1\n2\n").unwrap();
    let (url, seen) = scripted(vec![outcome(1, 0, &[refused(1, "UNAVAILABLE")], 1)]).await;
    let said = load(place.path(), &url, "t", &["a.ndjson", "--patience", "0"]);
    assert_eq!((said.code, said.out.as_str(), seen.lock().unwrap().len()), (3, "", 1), "{said:?}");
    assert!(said.err.contains("UNAVAILABLE") && said.err.contains("run the command again later"), "{said:?}");
    assert!(!place.path().join("wellspring-rejected.ndjson").exists());
    // What is refused without being named is counted.
    let (url, _) = scripted(vec![outcome(0, 0, &[refused(0, "UNPROCESSABLE")], 2)]).await;
    let said = load(place.path(), &url, "t", &["a.ndjson"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("rejected 2") && said.out.contains("1 were not named"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_asked_for_schema_dead_letters_and_conservation() {
    let stand = Stand::new(Backend::Embedded);
    let (server, place) = (stand.start(), place());
    let (url, token) = (server.url.as_str(), stand.token());
    let data = stand.path("data");
    fs::write(place.path().join("o.ndjson"), "{\"lane\":\"a\"}\n").unwrap();
    let order = ["source", "o.ndjson", "--category", "order", "--subcategory", "clothing", "--source", "web"];
    let said = run(place.path(), &[&order[..], &["--url", url, "--token", &token]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    let letters = || run(place.path(), &["dead-letter", "list", "--url", url, "--token", &token]);
    // A copy of a copy is one hop too far.
    let list = eventually("the dead letter", async || {
        let said = letters();
        if said.out.lines().count() == 2 { Ok(said) } else { Err(said) }
    })
    .await;
    assert_eq!((list.code, list.err.as_str()), (0, ""));
    let letter: Vec<&str> = list.out.lines().nth(1).unwrap().split('\t').collect();
    assert_eq!((letter[3], letter[5]), ("too-far", "1"), "{list:?}");
    let redrive =
        |id: &str| run(place.path(), &["dead-letter", "redrive", id, "--url", url, "--token", &token]);
    let said = redrive(letter[0]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "1 records are back at work\n", ""));
    let said = redrive("999999");
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    for (url, token, says) in [
        (url, "wrong", "get a new one from its issuer (UNAUTHENTICATED)"),
        (&format!("{url}/nowhere"), &token, "there is nothing at `/nowhere/graphql`"),
        (&format!("{url}/nowhere"), "wrong", "this server does not take the token"),
    ] {
        let said = run(place.path(), &["dead-letter", "list", "--url", url, "--token", token]);
        assert_eq!((said.code, said.out.as_str()), (if token == "wrong" { 2 } else { 1 }, ""), "{said:?}");
        assert!(said.err.contains(says), "{said:?}");
    }
    let said = run(place.path(), &["dead-letter", "list", "--url", url]);
    assert!(said.err.contains("send a token") && said.err.contains("(FORBIDDEN)"), "{said:?}");

    let management = run(place.path(), &["schema"]);
    assert_eq!((management.code, management.out.as_str()), (0, include_str!("../../schema.graphql")));
    let own = run(place.path(), &["schema", "--url", url, "--token", &token]);
    assert_eq!(own.code, 0, "{own:?}");
    assert!(own.out.contains("type OrderClothing ") && !management.out.contains("type OrderClothing "));
    let said = run(place.path(), &["schema", "--url", url, "--token", "wrong"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
    assert_eq!(run(place.path(), &["schema", "--token", &token]).code, 2);

    // Against the collections that there are; a rule about a field that one lacks is refused.
    let rules = place.path().join("rules");
    fs::create_dir(&rules).unwrap();
    let rule = |field: &str| {
        let text = format!("allow(user: User, \"read\", row: OrderClothing) if row.{field} = user.lane;\n");
        fs::write(rules.join("own.polar"), text).unwrap();
        let mut command = wellspring(place.path(), &["policy", "check", "--policies", "rules", "--data"]);
        command.arg(&data).env("WELLSPRING_AUTH__KEY_FILE", stand.path("signing.key"));
        ended(command)
    };
    assert_eq!(rule("lane").code, 0);
    let said = rule("lain");
    assert_eq!((said.code, said.out.as_str()), (1, ""), "{said:?}");
    assert!(said.err.contains("own.polar:1:") && said.err.contains("lane"), "{said:?}");

    // It fails as before, so it is parked anew, and that is accounted for.
    eventually("everything is settled", async || {
        let said = stand.verify();
        if said.0 && said.1.contains("settled 1, pending 0, parked 1") { Ok(()) } else { Err(said) }
    })
    .await;
    let said = run(place.path(), &["verify", "--data", "nowhere"]);
    assert_eq!((said.code, said.out.as_str()), (2, ""), "{said:?}");
}
