//! What the README says of issuers: its commands make a key and a token, its configuration takes that.

use std::process::Command;

use serde_json::Value;
use wellspring::config;

use super::{Node, ask};

const README: &str = include_str!("../../../../README.md");

/// The only block of this language that has this text.
fn block(language: &str, with: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let blocks = README.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    let found: Vec<_> = blocks.filter(|block| block.contains(with)).collect();
    assert_eq!(found.len(), 1, "one block with {with}");
    found[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_with_openssl_signs_a_token_that_is_taken() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: the machine has no openssl");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = block("bash", "openssl");
    let ran = Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(&directory).output();
    let ran = ran.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let token = std::fs::read_to_string(directory.path().join("token")).unwrap();
    let file = directory.path().join("wellspring.toml");
    let keys = directory.path().join("jwks.json").display().to_string();
    std::fs::write(&file, block("toml", "[[auth.issuers]]").replace("jwks.json", &keys)).unwrap();
    let issuers = config::load(Some(&file), Vec::new(), &[]).unwrap().auth.issuers;
    let node = Node::with(|config| config.auth.issuers = issuers).await;
    assert_eq!(ask(&node, token.trim()).await.0, 200);
    // The token gives the role that its issuer may give.
    let query = serde_json::json!({"query": "{ sources { category } }"});
    let answer = node.post("/graphql").bearer_auth(token.trim()).json(&query).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["data"]["sources"], serde_json::json!([]), "{answer}");
}
