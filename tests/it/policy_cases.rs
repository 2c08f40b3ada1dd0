//! `wellspring policy test`: the cases that are shipped hold, and what does not hold, or is not known, is told.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::cli::{Said, place, run};
use crate::support::{TestApp, on_every_backend};

const BASE: &str = include_str!("../../policies/base.polar");

/// A directory with these files as policies.
fn test(files: &[(&str, &str)], args: &[&str]) -> Said {
    let place = place();
    let policies = place.path().join("rules");
    fs::create_dir(&policies).unwrap();
    for (name, text) in files {
        fs::write(policies.join(name), text).unwrap();
    }
    run(place.path(), &[&["policy", "test", "--policies", "rules"], args].concat())
}

#[test]
fn the_cases_that_are_shipped_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    // The base is in force without a directory.
    let place = place();
    let cases = root.join("base.test.yaml").display().to_string();
    let said = run(place.path(), &["policy", "test", &cases]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    assert!(
        said.out.contains("  ok      an admin has every role\n") && said.out.contains("7 passed, 0 failed")
    );
    let text = |name: &str| fs::read_to_string(root.join("examples").join(name)).unwrap();
    let (rules, cases) = (text("regions.polar"), text("regions.test.yaml"));
    let said = test(&[("base.polar", BASE), ("regions.polar", &rules), ("regions.test.yaml", &cases)], &[]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
    assert!(said.out.contains("4 passed, 0 failed"), "{}", said.out);
}

const CASES: &str = r#"
given:
  shop/order:
    A1: {region: eu, email: a@example.org, _record: {purposes: [billing]}}
    A2: {region: us, email: b@example.org}
cases:
  - name: wrong in every way
    actor: {subject: ann, roles: [consumer]}
    reads: shop/order
    rows: [A1]
    fields: {region: hidden, email: shown, "*": hash}
    values: {A1: {region: us}}
    may: [administer]
    may_not: [steward]
  - name: right
    actor: {subject: ann, roles: [consumer]}
    reads: shop/order
    rows: [A2, A1]
"#;

#[test]
fn what_does_not_hold_is_told_with_what_was_seen() {
    let said = test(&[("base.polar", BASE), ("own.test.yaml", CASES)], &[]);
    assert_eq!((said.code, said.err.as_str()), (1, ""), "{}", said.out);
    for text in [
        "  FAILED  wrong in every way\n",
        "rows: expected [\"A1\"], seen [\"A1\", \"A2\"] (true)",
        "region: expected hidden, is shown",
        "email: expected shown, is hash",
        "A1 region: expected \"us\", seen \"eu\"",
        "administer: expected allowed, is denied",
        "  ok      right\n",
        "1 passed, 1 failed",
    ] {
        assert!(said.out.contains(text), "{text}: {}", said.out);
    }
    assert!(!said.out.contains("steward"), "{}", said.out);
}

#[test]
fn what_no_case_can_say_is_refused_with_the_nearest() {
    for (from, to, says) in [
        ("rows: [A1]", "row: [A1]", "has no `row`; did you mean `rows`?"),
        (
            "reads: shop/order\n    rows: [A1]",
            "reads: shop/ordr\n    rows: [A1]",
            "did you mean `shop/order`?",
        ),
        ("region: hidden", "regoin: hidden", "there is no field `regoin`; did you mean `region`?"),
        ("email: shown", "email: shwn", "\"shwn\" is not `shown`"),
        ("rows: [A1]", "rows: [A7]", "has no row `A7`"),
        ("administer", "administr", "did you mean `administer`?"),
        ("roles: [consumer]}\n    reads", "role: consumer}\n    reads", "there is no `role`"),
        ("purposes", "purpose", "`_record` has no `purpose`"),
        ("given:", "givn:", "did you mean `given`?"),
        ("cases:", "cases: {", "own.test.yaml"),
    ] {
        assert!(CASES.contains(from), "{from}");
        let cases = CASES.replacen(from, to, 1);
        let said = test(&[("base.polar", BASE), ("own.test.yaml", &cases)], &[]);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{to}: {said:?}");
        assert!(said.err.contains(says) && said.err.contains("own.test.yaml"), "{to}: {}", said.err);
    }
    let said = test(&[("base.polar", BASE)], &[]);
    assert!(said.code == 2 && said.err.contains("there is no `*.test.yaml` in `rules`"), "{said:?}");
}

#[test]
fn rules_about_rows_fields_and_purposes_are_held_to_what_they_say() {
    let rules = "allow(user: User, \"read\", row: ShopOrder) if user.purpose in row._record.purposes;\n\
        allow_field(_: User, \"read\", _: ShopOrder, f: Field) if f.name = \"region\";\n\
        allow_field(_: User, \"read\", row: ShopOrder, f: Field) if f.name = \"email\" and row.region = \"eu\";\n";
    let cases = "given:\n  shop/order:\n    A1: {region: eu, email: a@b.org, _record: {purposes: [care]}}\n    \
        A2: {region: us, email: c@d.org, _record: {purposes: [care, billing]}}\ncases:\n  \
        - {name: one, actor: {purpose: care}, reads: shop/order, rows: [A1, A2],\n     \
        fields: {email: sometimes}, values: {A1: {email: a@b.org}, A2: {email: null}}}\n  \
        - {name: two, actor: {purpose: billing}, reads: shop/order, rows: [A2]}\n";
    let said = test(&[("own.polar", rules), ("own.test.yaml", cases)], &[]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
}

on_every_backend! {
    async fn the_shapes_of_a_database_hold_where_it_is_given(backend) {
        let app = TestApp::start(backend).await;
        // What came later than the cases: of another type, and one field more.
        app.source("shop/order/web/1", &json!({"region": "eu", "total": 1.5, "margin": 3})).await;
        app.settled().await;
        let cases = "given:\n  shop/order:\n    A1: {region: eu, total: 2}\ncases:\n  - name: all\n    \
            actor: {roles: [consumer]}\n    reads: shop/order\n    fields: {margin: shown}\n    \
            values: {A1: {total: 2, margin: null}}\n";
        let data = app.config().store.data.display().to_string();
        let mut args = vec!["--data", &data];
        if let Some(url) = &app.config().store.database_url {
            args.extend(["--database-url", url]);
        }
        let files = [("base.polar", BASE), ("own.test.yaml", cases)];
        let said = test(&files, &args);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
        let said = test(&files, &[]);
        assert!(said.code == 1 && said.err.contains("there is no field `margin`"), "{said:?}");
    }
}
