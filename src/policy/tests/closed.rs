//! Rules that say something else than their author thinks: they are refused, or deny, and never open a door.

use serde_json::json;

use crate::policy::tests::{actor, engine, refused, rows, scope};
use crate::policy::{Access, Action};
use crate::query::{Mask, envelope, told_member};
use crate::record::Source;

const ALL: &str = "allow(_, \"read\", _: Row);\nallow_field(_, _, _, _);\n";

/// What a consumer's scope says of a field of [`orders`](super::orders) under these rules.
fn access(rules: &str, id: u32) -> Access {
    let text = format!("{ALL}{rules}");
    scope(&engine(&text), &actor("u1", &["consumer"], json!({}))).unwrap().access(id).clone()
}

#[test]
fn an_object_of_the_claims_equals_one_that_is_written_out() {
    for (condition, expected) in [
        (r#"user.team = {name: "red", size: 4}"#, "true"),
        (r#"user.team = {name: "red", size: 4.0}"#, "true"),
        (r#"user.team != {name: "red", size: 4}"#, "never"),
        (r#"not user.team = {size: 4, name: "red"}"#, "never"),
        (r#"user.team = {name: "red"}"#, "never"),
        (r#"user.team = {name: "red", size: 5}"#, "never"),
        (r#"not {name: "red", size: 4} in [user.team, 1]"#, "never"),
        ("user.team = user.team", "true"),
        (r#"not {name: row.region, size: 4} = user.team"#, "not region = 'red'"),
    ] {
        assert_eq!(rows(condition), expected, "{condition}");
    }
}

#[test]
fn a_field_the_user_or_the_row_is_no_plain_value() {
    for (rules, reason) in [
        ("mask_field(_, _, \"email\", \"hash\");", "a field is never equal to this"),
        ("mask_field(_, _, f, \"hash\") if f = \"email\";", "compare `field.name`"),
        ("mask_field(_, _, f, \"hash\") if f in [\"email\", \"phone\"];", "compare `field.name`"),
        ("mask_field(_, _, f: Field, \"hash\") if f.tags = \"pii\";", "use `in`"),
        ("mask_field(_, _, f: Field, \"hash\") if f.parents = \"customer\";", "use `in`"),
        ("mask_field(_, _, f: Field, \"hash\") if \"pii\" in f.name;", "`in` wants a list"),
        ("mask_field(\"bob\", _, _, \"hash\");", "compare `user.subject`"),
        ("allow(u, \"read\", _) if u != \"bob\";", "compare `user.subject`"),
        ("allow(_, \"read\", row) if not row = 7;", "compare its fields"),
        ("allow(_, \"steward\", s) if s != \"hr\";", "compare `source.category`"),
    ] {
        let shown = refused(&format!("{ALL}{rules}"));
        assert!(shown.contains(reason), "{rules}: {shown}");
    }
    // What only the actor brings is found when it asks.
    let text = "allow(_, \"read\", _: Row);\nallow_field(u, _, _, f) if f != u.secret;";
    assert!(scope(&engine(text), &actor("u1", &[], json!({"secret": "region"}))).is_none());
    assert_eq!(rows("user != user.region"), "never");
    assert_eq!(rows("not row in user.groups"), "never");
}

#[test]
fn the_system_as_a_whole_is_no_source_that_a_rule_leaves_out() {
    let who = actor("s", &[], json!({}));
    for condition in ["s.category != \"hr\"", "not s.category in [\"hr\"]", "s.category = nil"] {
        let engine = engine(&format!("{ALL}allow(_, \"steward\", s: Source) if {condition};"));
        assert!(engine.allow(&who, Action::Steward).is_err(), "{condition}");
        let hr = Source::new("hr", "person", "web").unwrap();
        assert!(engine.allow_source(&who, Action::Steward, &hr).is_err(), "{condition}");
    }
    let engine = engine(&format!("{ALL}allow(_, \"steward\", s: Source) if s.category != \"hr\";"));
    assert!(engine.allow_source(&who, Action::Steward, &Source::new("shop", "a", "b").unwrap()).is_ok());
}

#[test]
fn another_mask_never_shows_more() {
    // A number's mask leaves nothing of a text, and a text's nothing of a time.
    let round = "mask_field(_, _, f: Field, {round: 10}) if f.name in [\"region\", \"at\", \"tags\"];\n";
    let both = format!(
        "{round}mask_field(_, _, f: Field, {{keep_first: 3}}) if f.name in [\"region\", \"tags\"];\n\
         mask_field(_, _, f: Field, {{truncate: \"month\"}}) if f.name = \"at\";"
    );
    for id in [1, 6, 9] {
        assert_eq!(access(&both, id), Access::Masked(Mask::Round(10.0)), "{id}");
    }
}

#[test]
fn the_key_does_not_show_a_short_uid_that_is_masked() {
    let key = envelope("key").unwrap().id;
    let uid = |mask: &str| format!("mask_field(_, _, f, {mask}) if f.name = \"_record.sourceUid\";\n");
    // Half of a short uid is kept of itself; the key is long enough to keep all of it.
    for mask in ["{keep_last: 4}", "{keep_first: 4}"] {
        assert_eq!(access(&uid(mask), key), Access::Masked(Mask::Hash), "{mask}");
    }
    let own = "mask_field(_, _, f, {keep_last: 4}) if f.name = \"_record.key\";";
    for (mask, expected) in
        [("{round: 10}", Mask::Null), ("\"hash\"", Mask::Hash), ("{keep_last: 9}", Mask::Hash)]
    {
        let rules = format!("{}{own}", uid(mask));
        assert_eq!(access(&rules, key), Access::Masked(expected), "{mask}");
    }
    assert_eq!(access(own, key), Access::Masked(Mask::KeepLast(4)));
}

/// Misfits are exact texts of values of any field.
#[test]
fn what_nobody_has_classified_is_shown_only_to_who_sees_every_field() {
    let rescued = |rules: &str| {
        let text = format!("allow(_, \"read\", _: Row);\n{rules}");
        let scope = scope(&engine(&text), &actor("u1", &[], json!({}))).unwrap();
        let hash = scope.access(told_member("payloadHash").unwrap().id).clone();
        assert_eq!(&hash, scope.rescued(), "it tells whether a guess of the whole document is right");
        hash
    };
    assert_eq!(rescued("allow_field(_, _, _, _);"), Access::Visible);
    for rules in [
        "allow_field(_, _, _, f: Field) if not f.name = \"owner\";",
        "allow_field(_, _, _, f: Field) if not f.name = \"items.email\";",
        "allow_field(_, _, _, f: Field) if not f.name = \"_record.sourceUid\";",
        "allow_field(_, _, _, _);\nmask_field(_, _, f: Field, \"hash\") if f.name = \"owner\";",
        "allow_field(_, _, row, f: Field) if not f.name = \"owner\" or row.paid;",
    ] {
        assert_eq!(rescued(rules), Access::Hidden, "{rules}");
    }
}
