//! Conformance: every built-in plugin, over documents of every form and over tombstones. A new plugin is tested by
//! standing in [`all`].
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::*;
use crate::config::MaskPlugin;
use crate::record::{Envelope, Limits, Source, parse};

fn mask(to: &str, fields: &[&str], how: &str) -> MaskPlugin {
    MaskPlugin {
        name: format!("hide-{to}"),
        category: "c".into(),
        subcategory: "s".into(),
        to_subcategory: to.into(),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        mask: how.into(),
    }
}

fn configured(masks: Vec<MaskPlugin>) -> Config {
    let mut config = Config::default();
    config.provisioning.masks = masks;
    config
}

fn record(text: Option<&str>) -> Arc<Record> {
    let body = bytes::Bytes::copy_from_slice(text.unwrap_or_default().as_bytes());
    let source = Source::new("c", "s", "n").unwrap();
    let key = source.key("u").unwrap();
    let draft = Draft {
        id: Uuid::from_u128(7),
        source,
        source_uid: "u".into(),
        author: "a".into(),
        idempotency_key: Some("once".into()),
        if_revision: Some(3),
        content_type: "text/csv".into(),
        payload_hash: Sha256::digest(&body).into(),
        body,
        occurred_at: Some(1),
        ingested_at: 2,
        structure: None,
        deleted: text.is_none(),
        causation_id: None,
        hops: 4,
        envelope: Envelope { tags: vec!["t".into()], ..Envelope::default() },
    };
    Arc::new(Record { draft, key, revision: 4, partition: 0 })
}

fn decide(plugin: &dyn Plugin, text: Option<&str>) -> Vec<Effect> {
    let record = record(text);
    let document = text.map(|text| Arc::new(parse(text.as_bytes(), Limits::default()).unwrap()));
    let subject = Subject { record: &record, document: document.as_ref(), hook: Hook::Sourced };
    plugin.decide(&subject).unwrap()
}

const DOCUMENTS: &[Option<&str>] = &[
    None,
    Some("{}"),
    Some("null"),
    Some("[]"),
    Some("7"),
    Some(r#"{"a":1e400,"a":"twice","":{"b":[{"c":null},{"c":"Zoë 🦊"}]}}"#),
    Some(r#"{"card":{"number":"4111111111111111"},"tags":["x",2,true,null,{"n":-0.0}]}"#),
];

#[test]
fn every_plugin_is_deterministic_and_keeps_to_its_own_key() {
    let config = configured(vec![mask("copy", &["/card/number", "/tags/*", "/a", "//b"], "hash")]);
    for plugin in all(&config, b"key").unwrap() {
        assert!(!plugin.name().is_empty() && plugin.version() > 0);
        for text in DOCUMENTS {
            let record = record(*text);
            let document = text.map(|text| Arc::new(parse(text.as_bytes(), Limits::default()).unwrap()));
            let with = Subject { record: &record, document: document.as_ref(), hook: Hook::Sourced };
            let without = Subject { record: &record, document: None, hook: Hook::Sourced };
            assert_eq!(plugin.matches(&with), plugin.matches(&without), "metadata alone decides");
            let (first, second) = (plugin.decide(&with).unwrap(), plugin.decide(&with).unwrap());
            assert_eq!(format!("{first:?}"), format!("{second:?}"), "{} decides alike twice", plugin.name());
            for effect in first {
                check(plugin.name(), &record, effect);
            }
        }
    }
}

fn check(name: &str, record: &Record, effect: Effect) {
    match effect {
        Effect::Upsert(_) => assert!(!record.draft.deleted, "{name}: a tombstone makes no row"),
        Effect::Delete => assert!(record.draft.deleted, "{name}: only a tombstone deletes"),
        Effect::Tag(tags) => assert!(!tags.is_empty(), "{name}"),
        Effect::Emit(draft) => {
            assert_ne!(draft.source.key(&draft.source_uid).unwrap(), record.key, "{name} feeds another key");
            assert_eq!(draft.causation_id, Some(record.draft.id), "{name}");
            assert_eq!(draft.hops, record.draft.hops + 1, "{name}");
            assert_eq!(draft.deleted, record.draft.deleted, "{name}");
            assert_eq!(draft.payload_hash, <[u8; 32]>::from(Sha256::digest(&draft.body)), "{name}");
            assert_eq!(draft.structure.is_none(), draft.deleted, "{name}");
            if !draft.deleted {
                parse(&draft.body, Limits::default()).unwrap();
            }
        }
    }
}

fn copy_of(mask: MaskPlugin, text: &str) -> String {
    let plugins = all(&configured(vec![mask]), b"key").unwrap();
    let Some(Effect::Emit(draft)) = decide(&**plugins.last().unwrap(), Some(text)).pop() else {
        panic!("no copy")
    };
    String::from_utf8(draft.body.to_vec()).unwrap()
}

#[test]
fn masks_replace_what_they_name_and_nothing_else() {
    let text = r#"{"card":{"number":"4111111111111111","holder":"x"},"n":12345,"mail":[{"to":"a@b.c"},{"to":"ab"}]}"#;
    let copy = |fields: &[&str], how: &str| copy_of(mask("copy", fields, how), text);
    assert_eq!(
        copy(&["/card/number"], "keep_last:4"),
        r#"{"card":{"number":"…1111","holder":"x"},"n":12345,"mail":[{"to":"a@b.c"},{"to":"ab"}]}"#
    );
    assert_eq!(
        copy(&["/mail/*/to", "/n"], "keep_first:2"),
        r#"{"card":{"number":"4111111111111111","holder":"x"},"n":"12…","mail":[{"to":"a@…"},{"to":"a…"}]}"#
    );
    assert_eq!(copy(&["/card", "/mail"], "keep_last:4"), r#"{"card":null,"n":12345,"mail":null}"#);
    assert_eq!(copy(&["/nowhere", "/card/none"], "null"), text);
    let hashed = copy(&["/card/number"], "hash");
    assert!(!hashed.contains("4111") && hashed.contains(r#""holder":"x""#), "{hashed}");
    assert_eq!(hashed, copy(&["/card/number"], "hash"), "equal values have equal hashes");
}

#[test]
fn a_masked_value_does_not_slip_through_in_another_form() {
    let secret = "a@b.example";
    for (field, text, copy) in [
        ("/contact/email", r#"{"contact":[{"email":"SECRET","n":1},[{"email":"SECRET"}]]}"#, None),
        ("/contact/email", r#"{"contact":["SECRET",["SECRET"]]}"#, None),
        ("/contact/email", r#"{"contact":"SECRET"}"#, Some(r#"{"contact":null}"#)),
        ("/contact/email/work", r#"{"contact":{"email":"SECRET"}}"#, Some(r#"{"contact":{"email":null}}"#)),
        ("/mail/0/to", r#"{"mail":[{"to":"SECRET"},{"to":"SECRET"}]}"#, None),
        ("/mail/0/to", r#"{"mail":{"0":{"to":"SECRET"}}}"#, None),
        ("/mail/0", r#"{"mail":["SECRET","SECRET"]}"#, None),
        ("/mail/*/to", r#"{"mail":{"to":"SECRET"}}"#, Some(r#"{"mail":null}"#)),
        ("/mail/*/to", r#"{"mail":[[{"to":"SECRET"}],"SECRET"]}"#, None),
        ("/mail/*", r#"{"mail":"SECRET"}"#, Some(r#"{"mail":null}"#)),
        ("/mail/to", r#"{"mail":{"to":"SECRET","to":["SECRET"]}}"#, None),
    ] {
        let text = text.replace("SECRET", secret);
        for how in ["null", "hash", "keep_first:4", "keep_last:4"] {
            let masked = copy_of(mask("copy", &[field], how), &text);
            assert!(!masked.contains(secret), "{field} by {how}: {masked}");
            if let Some(copy) = copy.filter(|_| how != "hash") {
                assert_eq!(masked, copy, "{field} by {how}");
            }
        }
    }
    let beside = copy_of(mask("copy", &["/a/b"], "null"), r#"{"a":[{"b":1,"c":2},null,[]],"b":3}"#);
    assert_eq!(beside, r#"{"a":[{"b":null,"c":2},null,[]],"b":3}"#, "what is not named stays");
}

#[test]
fn what_cannot_be_configured_is_refused_by_name() {
    for (masks, word) in [
        (vec![mask("copy", &["card"], "hash")], "JSON pointer"),
        (vec![mask("copy", &["/a"], "sha1")], "keep_last"),
        (vec![mask("copy", &[], "hash")], "`fields`"),
        (vec![mask("", &["/a"], "hash")], "hide-"),
        (vec![mask("copy", &["/a"], "hash"), mask("copy", &["/b"], "hash")], "`hide-copy`"),
        (vec![mask("s", &["/a"], "hash")], "feeds itself"),
        (
            vec![
                mask("copy", &["/a"], "hash"),
                MaskPlugin { subcategory: "copy".into(), ..mask("s", &["/a"], "hash") },
            ],
            "feeds itself",
        ),
    ] {
        let refused = all(&configured(masks), b"key").err().unwrap();
        assert!(refused.message().contains(word), "{refused} lacks {word}");
    }
}
