//! What is refused at load, with its place.

use std::sync::Arc;

use crate::config;
use crate::policy::Engine;
use crate::policy::tests::{actor, engine, orders, refused, scope};

fn rule(condition: &str) -> String {
    format!(
        "allow_field(_, _, _, _);\n\
         allow(user: User, \"read\", row: OrderClothing) if\n\x20 {condition} and user = user and row = row;\n"
    )
}

#[test]
fn a_refusal_shows_its_place() {
    let text = refused(&rule("row.amount + 1 = 3"));
    assert_eq!(
        text,
        "the policies are refused:\n\
         p.polar:3:3: arithmetic on a field of the row cannot become a filter; \
         move it to the other side of the comparison\n\
         \x20 |\n\
         3 |   row.amount + 1 = 3 and user = user and row = row;\n\
         \x20 |   ^^^^^^^^^^^^^^"
    );
}

#[test]
fn what_no_filter_can_say() {
    for (condition, reason, column) in [
        (r#"row.region.ends_with("e")"#, "method `ends_with`", 3),
        ("cut", "`cut`", 3),
        ("print(row)", "`print`", 3),
        ("row.tags = [\"a\"]", "whole list", 3),
        ("row.customer = {country: \"FR\"}", "whole list or dictionary", 3),
        ("row.region matches String", "do not test it", 22),
        ("x < 3 and x = 2", "`x` has no value here yet", 3),
        ("not x = row.region and x = 1", "`x` has no value here yet", 3),
        ("[x, *_rest] = user.groups and x = 1", "lists cannot be taken apart", 7),
        ("user.(\"region\") = row.region and user = new User()", "`new`", 0),
        ("OrderClothing = row", "a class is not a value", 3),
    ] {
        let text = refused(&rule(condition));
        assert!(text.contains(reason), "{condition}: {text}");
        if column > 0 {
            assert!(text.contains(&format!("p.polar:3:{column}: ")), "{condition}: {text}");
        }
        assert!(text.contains('^'), "{condition}: {text}");
    }
}

/// A rule behind a claim that few have is refused just so.
#[test]
fn rules_that_a_sample_actor_would_not_reach() {
    let text = refused(
        "allow(user: User, \"read\", row: OrderClothing) if \"rare\" in user.roles and helper(row.amount);\n\
         allow_field(_, _, _, _);\n\
         helper(x) if deeper(x, 1);\n\
         deeper(x, y) if x - y = 3;",
    );
    assert!(text.contains("p.polar:4:17: arithmetic"), "{text}");
    engine("allow(_, \"read\", _: Row);\nallow_field(_, _, _, _);\nunreached(x) if x.method(1) and cut;");
}

#[test]
fn mistakes_in_heads() {
    for (text, reason) in [
        ("allow(_: User, \"raed\", _: Row);", "there is no action `raed`"),
        ("allow(_: Usr, \"read\", _: Row);", "the class here is `User`"),
        ("allow(_: User, \"read\", _: Row);\nmask_field(_, _, _, \"hsah\");", "there is no such mask"),
        (
            "allow(_: User, \"read\", _: Row);\nmask_field(_, _, _, {keep_last: \"4\"});",
            "there is no such mask",
        ),
        (
            "allow(_: User, \"read\", _: Row);\nmask_field(_, _, \"hash\");",
            "nothing uses this rule; `mask_field` has 4",
        ),
        (
            "allow(_: User, \"read\", _: Row);\nmask_feild(_, _, _, \"hash\");",
            "nothing uses this rule; `mask_field`",
        ),
        (
            "allow(_: User, \"read\", _: Row);\nallow_field(_, _, _, f: Field) if f.tag = \"x\";",
            "there is no `tag` here",
        ),
        ("allow(_: User, \"source\", s: Source) if s.categroy = \"x\";", "there is no `categroy` here"),
        ("allow(_, \"read\");", "Must match"),
        ("allow(user, \"read\", _);", "Singleton variable"),
        ("allow(user, \"read\", r) if undefined(user, r);", "undefined rule"),
        ("allow(_, \"read\", r) if r.a = 1 and r.b = 2 or r.c = 3;", "put parentheses"),
        ("allow(_, \"read\", r) if r.a = ;", "did not expect"),
        ("f(1);", "no `allow` rule"),
        ("allow(_, \"read\", _);\n?= allow(1, \"read\", 2);", "inline queries"),
    ] {
        let shown = refused(text);
        assert!(shown.contains(reason), "{text}: {shown}");
    }
}

#[test]
fn the_catalog_checks_names_and_types() {
    let check = |text: &str| engine(text).check(&[Arc::new(orders())]);
    let wrong = |condition: &str| {
        let found = check(&rule(condition)).misfits;
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let sound = check(&rule("row.region = user.region and row._record.author = user.subject"));
    assert!(sound.misfits.is_empty() && sound.sleeping.is_empty(), "{sound:?}");
    for (condition, reason) in [
        ("row.regoin = 1", "`OrderClothing` has no field `regoin`; did you mean `region`?"),
        ("row.customer.contry = 1", "has no field `customer.contry`; did you mean `country`?"),
        ("row._record.data = 1", "`_record` has no `data`"),
        ("row.items.sku = \"x\"", "say of which item"),
        ("row.amount = \"x\"", "`amount` is Int"),
        ("not row.paid = 1", "`paid` is Boolean"),
        ("row.at > \"yesterday\"", "`at` is compared with"),
        ("\"x\" in row.region", "not a list"),
        ("row.meta = \"x\"", "`meta` is Json"),
        ("row matches {amount: \"x\"}", "`amount` is Int"),
    ] {
        let shown = wrong(condition);
        assert!(shown.contains(reason), "{condition}: {shown}");
    }
}

#[test]
fn a_rule_about_no_collection_sleeps_with_a_warning() {
    let engine =
        engine("allow(_: User, \"read\", row: OrderClothin) if row.any = 1;\nallow_field(_, _, _, _);");
    let warnings = engine.check(&[Arc::new(orders())]).sleeping;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("p.polar:1:29: there is no collection of class `OrderClothin` yet"),
        "{}",
        warnings[0]
    );
    assert!(warnings[0].contains("the nearest is `OrderClothing`"), "{}", warnings[0]);
}

/// One look at the files, and what it sees in force.
fn reload(engine: &Engine) -> crate::error::Result<bool> {
    match engine.look()? {
        Some(files) => engine.put_in_force(files).map(|()| true),
        None => Ok(false),
    }
}

#[test]
fn a_broken_file_never_replaces_a_good_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.polar");
    let good = "allow(_, \"read\", _: Row);\nallow_field(_, _, _, _);\n";
    std::fs::write(&file, good).unwrap();
    let config = config::Policy { directory: Some(directory.path().to_owned()), ..Default::default() };
    let engine = Engine::load(&config, directory.path()).unwrap();
    assert!(!reload(&engine).unwrap(), "nothing changed");
    std::fs::write(&file, "allow(_, \"read\", _: Row").unwrap();
    let shown = reload(&engine).unwrap_err().to_string();
    assert!(shown.contains("a.polar:1:"), "{shown}");
    assert_eq!(engine.version(), 1);
    std::fs::write(&file, format!("{good}# more\n")).unwrap();
    assert!(reload(&engine).unwrap());
    assert_eq!(engine.version(), 2);
    engine.check(&[Arc::new(orders())]);
    std::fs::write(&file, "allow(_, \"read\", r: OrderClothing) if r.absent = 1;").unwrap();
    assert!(reload(&engine).unwrap_err().to_string().contains("has no field `absent`"));
    std::fs::remove_file(&file).unwrap();
    assert!(reload(&engine).unwrap_err().to_string().contains("no `*.polar` file"));
    assert_eq!(engine.version(), 2);
}

#[test]
fn a_directory_that_appears_takes_over_and_one_that_vanishes_stays_in_force() {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::load(&config::Policy::default(), data.path()).unwrap();
    assert!(!reload(&engine).unwrap(), "the embedded base stays");
    let directory = data.path().join("policies");
    std::fs::create_dir(&directory).unwrap();
    assert!(reload(&engine).unwrap_err().to_string().contains("no `*.polar` file"));
    assert_eq!(engine.version(), 1);
    std::fs::write(directory.join("a.polar"), "allow(_, \"read\", _: Row);\nallow_field(_, _, _, _);\n")
        .unwrap();
    assert!(reload(&engine).unwrap());
    let everybody = |engine: &Engine| scope(engine, &actor("u", &[], serde_json::json!({}))).is_some();
    assert!(everybody(&engine));
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(reload(&engine).unwrap_err().to_string().contains("cannot be read"));
    assert!(everybody(&engine));
    assert_eq!(engine.version(), 2);
}

#[test]
fn a_policy_directory_that_is_no_directory_is_not_taken_for_none() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("policies"), "").unwrap();
    let error = Engine::load(&config::Policy::default(), data.path()).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn a_reload_is_refused_for_what_it_changes_only() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.polar");
    let write = |rules: &str| {
        std::fs::write(&file, format!("allow_field(_, _, _, _);\n{rules}")).unwrap();
    };
    let old = "allow(_, \"read\", r: OrderClothing) if r.absent = 1;\n";
    write(old);
    let config = config::Policy { directory: Some(directory.path().to_owned()), ..Default::default() };
    let engine = Engine::load(&config, directory.path()).unwrap();
    // The collection appears without the field: the rule denies, and that is told.
    let found = engine.check(&[Arc::new(orders())]);
    let misfit = &found.misfits[0];
    assert!(misfit.to_string().contains("a.polar:2:"), "{found:?}");
    assert_eq!((misfit.class.as_deref(), misfit.at.line), (Some("OrderClothing"), 2));
    assert_eq!(misfit.rule, "allow(_, \"read\", r: OrderClothing) if r.absent = 1");
    assert!(scope(&engine, &actor("u", &[], serde_json::json!({}))).is_none());

    // Moved by other rules, it holds none of them up.
    let good = "allow(_, \"read\", r: OrderClothing) if r.region = \"eu\";\n";
    write(&format!("{good}{old}"));
    assert!(reload(&engine).unwrap());
    assert!(scope(&engine, &actor("u", &[], serde_json::json!({}))).is_some());
    // Changed, it must fit; so must one that is new.
    for changed in [
        "allow(_, \"read\", r: OrderClothing) if r.absent = 2;\n".to_owned(),
        format!("{old}allow(_, \"read\", r: OrderClothing) if r.regoin = 1;\n"),
    ] {
        write(&changed);
        let shown = reload(&engine).unwrap_err().to_string();
        assert!(shown.contains("`OrderClothing` has no field"), "{shown}");
        assert_eq!(engine.version(), 2);
    }
    write(good);
    assert!(reload(&engine).unwrap());
    assert!(engine.check(&[Arc::new(orders())]).misfits.is_empty());
}
