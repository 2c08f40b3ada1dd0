//! What plugins leave on a record is told with it: tags, markers, misfits, and that all of them have settled it.

use sha2::{Digest as _, Sha256};

use super::*;
use crate::plugin::{Effect, Failure, Plugin, Subject};
use crate::provisioning::{Outcome, Provisioning};

/// Gives each record two tags, one of which its source has given too.
struct Tagger;

impl Plugin for Tagger {
    fn name(&self) -> &str {
        "tagger"
    }

    fn version(&self) -> i32 {
        3
    }

    fn matches(&self, _subject: &Subject<'_>) -> bool {
        true
    }

    fn decide(&self, _subject: &Subject<'_>) -> Result<Vec<Effect>, Failure> {
        Ok(vec![Effect::Tag(vec!["seen".into(), "given".into()])])
    }
}

async fn accept(world: &World, uid: &str, text: &str) -> Uuid {
    let body = bytes::Bytes::copy_from_slice(text.as_bytes());
    let json = crate::record::parse(&body, Default::default()).unwrap();
    let structure = Structure::derive(&json, &world.config.shape);
    let id = Uuid::now_v7();
    let draft = Draft {
        id,
        source: Source::new("c", "s", "n").unwrap(),
        source_uid: uid.into(),
        author: "a".into(),
        idempotency_key: Some(format!("once-{uid}")),
        if_revision: None,
        content_type: "application/json".into(),
        payload_hash: Sha256::digest(&body).into(),
        body,
        occurred_at: None,
        ingested_at: Clock::system().now_us(),
        structure: Some((structure.fingerprint(), structure.to_text().into())),
        deleted: false,
        causation_id: None,
        hops: 0,
        envelope: Envelope {
            tags: vec!["given".into()],
            data_tracker: Some(json!([{"from": "outside"}])),
            traceparent: Some("00-1-2-01".into()),
            ..Envelope::default()
        },
    };
    let mut tx = world.store.db.begin().await.unwrap();
    let appended = world.store.append(&mut tx, &[draft]).await.unwrap();
    tx.commit().await.unwrap();
    world.store.appended(&appended);
    id
}

#[tokio::test]
async fn what_plugins_leave_is_told_with_the_record() {
    let admin = Actor { subject: "ada".into(), roles: vec!["admin".into()], ..Actor::anonymous() };
    for world in worlds("lineage").await {
        let policy = Arc::new(policy::Engine::load(&world.config.policy, &world.config.store.data).unwrap());
        let node = Provisioning::new(world.store.clone(), policy, &world.config, Clock::system()).unwrap();
        let node = node.with_plugins(vec![Arc::new(Tagger)]).unwrap();
        node.prepare().await.unwrap();
        let settle = || async {
            while (node.relay_step().await.unwrap(), node.worker_step().await.unwrap())
                != (Outcome::Idle, Outcome::Idle)
            {}
        };
        accept(&world, "1", r#"{"v":1}"#).await;
        settle().await;
        let id = accept(&world, "2", r#"{"v":{"odd":1.50}}"#).await;
        let told = || async { world.publishing.record(&admin, id).await.unwrap().to_value() };
        let before = told().await;
        assert_eq!((&before["processInd"], &before["tags"]), (&json!(false), &json!(["given"])));
        assert_eq!(before["lastUpdated"], before["ingestedAt"]);
        assert_eq!(before["idempotencyKey"], "once-2");
        assert_eq!(before["traceparent"], "00-1-2-01");
        assert_eq!(before["payloadHash"].as_str().map(str::len), Some(64));
        settle().await;
        let after = told().await;
        assert_eq!((&after["processInd"], &after["tags"]), (&json!(true), &json!(["given", "seen"])));
        assert_eq!(after["rescued"][0]["path"], "/v", "{after}");
        let chain = after["dataTracker"].as_array().unwrap();
        assert_eq!(chain.len(), 4, "the source's own, the acceptance, two plugins: {chain:?}");
        assert_eq!(chain[0], json!({"from": "outside"}));
        for (marker, next) in chain[1..].iter().zip(&chain[2..]) {
            assert_eq!(marker["hash"], next["previousHash"], "{chain:?}");
        }
        let tagger = chain.iter().find(|marker| marker["plugin"] == "tagger").unwrap();
        assert_eq!((&tagger["version"], &tagger["tags"]), (&json!(3), &json!(["given", "seen"])));
        assert!(after["lastUpdated"].as_str() > before["lastUpdated"].as_str());
    }
}
