//! The real binary ends in the midst of storing, at the named points and by SIGKILL under load: what was answered is
//! there, what is repeated is there once.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::servers::Postgres;

/// The binary as a child; killed when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(data: &Path, database: Option<&str>, crash_at: Option<&str>) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        if let Some(url) = database {
            command.args(["--database-url", url]);
        }
        command.env_remove("WELLSPRING_CRASH_AT");
        if let Some(point) = crash_at {
            command.env("WELLSPRING_CRASH_AT", point);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("it should say where it listens").unwrap();
            if let Some((_, url)) = line.split_once("listening on ") {
                break url.trim().to_owned();
            }
        };
        Server { child, url }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn token(data: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
    let output = command.args(["token", "--subject", "ada", "--role", "admin", "--data"]).arg(data).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

/// Sends one record; `None` when there was no answer.
async fn source(client: &reqwest::Client, url: &str, token: &str, uid: usize) -> Option<Value> {
    let request = client
        .post(format!("{url}/source/order/clothing/shop/{uid}"))
        .bearer_auth(token)
        .header("Idempotency-Key", format!("key-{uid}"))
        .header("Content-Type", "application/json")
        .body(format!(r#"{{"uid":{uid},"total":12.5}}"#));
    let answer = request.send().await.ok()?;
    let status = answer.status();
    let body: Value = answer.json().await.ok()?;
    assert_eq!(status, 202, "{body}");
    Some(body)
}

/// Verifies from inside that every record is settled, pending or parked.
fn verify(data: &Path, database: Option<&str>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
    command.args(["verify", "--data"]).arg(data);
    if let Some(url) = database {
        command.args(["--database-url", url]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

async fn crashes(database: Option<&str>, point: &str) {
    use std::os::unix::process::ExitStatusExt as _;

    let dir = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    let mut server = Server::start(dir.path(), database, Some(point));
    let token = token(dir.path());
    assert!(source(&client, &server.url, &token, 1).await.is_none(), "it should have crashed at {point}");
    assert!(server.child.wait().unwrap().signal().is_some());
    drop(server);

    let server = Server::start(dir.path(), database, None);
    let again = source(&client, &server.url, &token, 1).await.unwrap();
    assert_eq!(again["revision"], 1, "{again}");
    assert_eq!(again["duplicate"], point == "after-commit", "{point}: {again}");
    let third = source(&client, &server.url, &token, 1).await.unwrap();
    assert_eq!((&third["id"], &third["duplicate"]), (&again["id"], &true.into()));
    server.kill();
    verify(dir.path(), database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_around_the_commit_is_healed_by_repeating_the_request() {
    for point in ["before-commit", "after-commit"] {
        crashes(None, point).await;
        match Postgres::start_durable() {
            Some(server) => crashes(Some(&server.url("postgres")), point).await,
            None => println!("skipped on PostgreSQL: no initdb"),
        }
    }
}

async fn killed_under_load(database: Option<&str>) {
    const RECORDS: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let mut answered: HashMap<usize, String> = HashMap::new();
    for round in 0..4 {
        let client = reqwest::Client::new();
        let server = Server::start(dir.path(), database, None);
        let token = token(dir.path());
        let missing: Vec<usize> = (0..RECORDS).filter(|uid| !answered.contains_key(uid)).collect();
        let mut tasks = tokio::task::JoinSet::new();
        for lane in 0..16 {
            let (client, url, token) = (client.clone(), server.url.clone(), token.clone());
            let mine: Vec<usize> = missing.iter().copied().skip(lane).step_by(16).collect();
            tasks.spawn(async move {
                let mut done = Vec::new();
                for uid in mine {
                    match source(&client, &url, &token, uid).await {
                        Some(receipt) => done.push((uid, receipt)),
                        None => break,
                    }
                }
                done
            });
        }
        // Three times it is killed while they send; what comes first decides how far they get.
        if round < 3 {
            let first = (round + 1) * 7;
            let path = format!("{}/metrics", server.url);
            loop {
                let text = client.get(&path).send().await.unwrap().text().await.unwrap();
                let count = text.lines().find_map(|line| line.strip_prefix("wellspring_commits_total "));
                if count.and_then(|count| count.parse::<usize>().ok()).unwrap_or(0) >= first
                    || tasks.is_empty()
                {
                    break;
                }
            }
            server.kill();
            collect(&mut tasks, &mut answered).await;
        } else {
            collect(&mut tasks, &mut answered).await;
            assert_eq!(answered.len(), RECORDS);
            // Every receipt that was ever given still names the one record of its key.
            for (uid, id) in &answered {
                let again = source(&client, &server.url, &token, *uid).await.unwrap();
                assert_eq!(again["id"], id.as_str());
                assert_eq!((&again["revision"], &again["duplicate"]), (&1.into(), &true.into()));
            }
            server.kill();
        }
    }
    verify(dir.path(), database);
}

async fn collect(
    tasks: &mut tokio::task::JoinSet<Vec<(usize, Value)>>,
    answered: &mut HashMap<usize, String>,
) {
    while let Some(done) = tasks.join_next().await {
        for (uid, receipt) in done.unwrap() {
            answered.insert(uid, receipt["id"].as_str().unwrap().to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_being_killed_under_load() {
    killed_under_load(None).await;
    match Postgres::start_durable() {
        Some(server) => killed_under_load(Some(&server.url("postgres"))).await,
        None => println!("skipped on PostgreSQL: no initdb"),
    }
}
