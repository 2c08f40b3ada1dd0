//! Keys that change while requests run, lists that cannot be had, and tokens with keys that nobody knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::server::{Says, Server};
use super::signer::Signer;
use super::{Later, Node, ask, claims, issuer, node, set};
use crate::support::eventually;

/// Asks without a pause with whatever token is good now, and counts those who were turned away.
struct Clients {
    token: watch::Sender<String>,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    running: Vec<tokio::task::JoinHandle<Vec<Value>>>,
}

impl Clients {
    fn start(node: &Arc<Node>, token: String) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let token = watch::Sender::new(token);
        let client = |_| {
            let (node, stop, asked) = (node.clone(), stop.clone(), asked.clone());
            let token = token.subscribe();
            tokio::spawn(async move {
                let mut refused = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let token = token.borrow().clone();
                    let (status, answer) = ask(&node, &token).await;
                    if status != 200 {
                        refused.push(answer);
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                refused
            })
        };
        Clients { running: (0..4).map(client).collect(), token, stop, asked }
    }

    /// Waits until each of them has surely asked with the token of now.
    async fn have_asked(&self) {
        let enough = self.asked.load(Ordering::Relaxed) + 3 * self.running.len();
        eventually("requests in the meantime", async || {
            let asked = self.asked.load(Ordering::Relaxed);
            if asked >= enough { Ok(()) } else { Err(asked) }
        })
        .await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.running {
            assert_eq!(client.await.unwrap(), Vec::<Value>::new(), "nobody may be turned away");
        }
    }
}

/// Claims that last longer than what these tests put the clock forward.
fn lasting() -> Map<String, Value> {
    claims(json!({"exp": super::now() + 20 * 86_400}))
}

async fn node_at(server: &Server, later: &Later) -> Node {
    let url = server.url.clone();
    Node::with_clock(later.clock(), |config| {
        config.auth.issuers = vec![issuer(json!({ "jwks_url": url }))];
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_a_file_rotate_while_requests_run() {
    let mut old = Signer::ed("first");
    let (node, directory) = node(&[&old], json!({}), |_| ()).await;
    let (node, file) = (Arc::new(node), directory.path().join("jwks.json"));
    let clients = Clients::start(&node, old.sign(&lasting()));
    for turn in 0..4 {
        clients.have_asked().await;
        let new =
            if turn % 2 == 0 { Signer::ec(&format!("k{turn}")) } else { Signer::ed(&format!("k{turn}")) };
        let beside = directory.path().join("next.json");
        std::fs::write(&beside, set(&[&old, &new])).unwrap();
        std::fs::rename(&beside, &file).unwrap();
        clients.token.send_replace(new.sign(&lasting()));
        clients.have_asked().await;
        std::fs::write(&beside, set(&[&new])).unwrap();
        std::fs::rename(&beside, &file).unwrap();
        let gone = old.sign(&lasting());
        eventually("the old key to be gone", async || {
            let (status, _) = ask(&node, &gone).await;
            if status == 401 { Ok(()) } else { Err(status) }
        })
        .await;
        old = new;
    }
    clients.have_asked().await;
    clients.end().await;
    // A file that is broken or gone changes nothing; one without keys does.
    std::fs::write(&file, "{").unwrap();
    assert_eq!(ask(&node, &Signer::ed("unknown").sign(&lasting())).await.0, 401);
    assert_eq!(ask(&node, &old.sign(&lasting())).await.0, 200);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ask(&node, &Signer::ed("unknown").sign(&lasting())).await.0, 401);
    assert_eq!(ask(&node, &old.sign(&lasting())).await.0, 200);
    std::fs::write(&file, r#"{"keys": []}"#).unwrap();
    eventually("no keys", async || {
        let (status, _) = ask(&node, &old.sign(&lasting())).await;
        if status == 401 { Ok(()) } else { Err(status) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_at_a_url_rotate_while_requests_run() {
    let mut old = Signer::rsa("first");
    let server = Server::start(Says::Keys(set(&[&old]))).await;
    let later = Later::default();
    let node = Arc::new(node_at(&server, &later).await);
    let clients = Clients::start(&node, old.sign(&lasting()));
    for turn in 0..4 {
        clients.have_asked().await;
        let new = Signer::ed(&format!("k{turn}"));
        server.says(Says::Keys(set(&[&old, &new])));
        later.seconds(11);
        clients.token.send_replace(new.sign(&lasting()));
        clients.have_asked().await;
        old = new;
    }
    clients.end().await;
    // The first, and one for each key that was new.
    assert_eq!(server.asked(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_nobody_knows_cause_no_storm() {
    let signer = Signer::ed("known");
    let server = Server::start(Says::Keys(set(&[&signer]))).await;
    let later = Later::default();
    let node = node_at(&server, &later).await;
    assert_eq!(ask(&node, &signer.sign(&lasting())).await.0, 200);
    assert_eq!(server.asked(), 1);
    for round in 0..3 {
        let tokens: Vec<String> = (0..100)
            .map(|n| signer.sign_with(&json!({"alg": "EdDSA", "kid": format!("{round}-{n}")}), &lasting()))
            .collect();
        let answers = join_all(tokens.iter().map(|token| ask(&node, token))).await;
        assert!(answers.iter().all(|(status, _)| *status == 401));
        // In the time of one pause there is one question at most.
        assert_eq!(server.asked(), 1 + round);
        assert_eq!(ask(&node, &signer.sign(&lasting())).await.0, 200);
        later.seconds(11);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_stay_good_for_a_while_when_they_cannot_be_had() {
    let signer = Signer::ed("d");
    let server = Server::start(Says::Keys(set(&[&signer]))).await;
    let later = Later::default();
    let node = node_at(&server, &later).await;
    let good = signer.sign(&lasting());
    assert_eq!(ask(&node, &good).await.0, 200);
    let stranger = Signer::ed("unknown").sign(&lasting());
    for says in
        [Says::Status(500), Says::Keys("oh".into()), Says::Keys("x".repeat(300_000)), Says::Status(204)]
    {
        server.says(says);
        later.seconds(11);
        assert_eq!(ask(&node, &stranger).await.0, 401);
        assert_eq!(ask(&node, &good).await.0, 200);
    }
    later.seconds(86_400);
    let (status, answer) = ask(&node, &good).await;
    assert_eq!(status, 401, "{answer}");
    server.says(Says::Keys(set(&[&signer])));
    later.seconds(11);
    assert_eq!(ask(&node, &good).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_does_not_send_on_to_another_server() {
    let signer = Signer::ed("d");
    let other = Server::start(Says::Keys(set(&[&signer]))).await;
    let server = Server::start(Says::GoTo(other.url.clone())).await;
    let later = Later::default();
    let node = node_at(&server, &later).await;
    assert_eq!(ask(&node, &signer.sign(&lasting())).await.0, 401);
    assert_eq!((server.asked(), other.asked()), (1, 0));
    // It may move its list, though; a list of itself alone ends.
    server.says(Says::GoTo(format!("{}/there", server.url)));
    later.seconds(11);
    assert_eq!(ask(&node, &signer.sign(&lasting())).await.0, 401);
    assert!(server.asked() <= 6);
}
