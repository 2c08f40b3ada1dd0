//! Which row filter each construct becomes.

use crate::policy::tests::{rows, rows_of};

#[test]
fn comparisons_with_constants_and_claims() {
    for (condition, expected) in [
        (r#"row.region = "eu""#, "region = 'eu'"),
        ("row.region = user.region", "region = 'eu'"),
        ("row.region == user.region", "region = 'eu'"),
        ("row.region != user.region", "not region = 'eu'"),
        ("row.amount < user.level", "amount < 3"),
        ("user.level <= row.amount", "amount >= 3"),
        ("row.amount > 2.5", "amount > 2"),
        ("row.amount = 2.5", "never"),
        ("row.total >= 2", "total >= 2.0"),
        ("row.big = 9007199254740993", "big = 9007199254740993"),
        ("row.paid", "paid = true"),
        ("row.paid = false", "paid = false"),
        ("not row.paid", "not paid = true"),
        (r#"row.at >= "2026-11-01""#, "at >= '2026-11-01T00:00:00.000000Z'"),
        (r#"row.at < "2026-11-01T01:00:00+01:00""#, "at < '2026-11-01T00:00:00.000000Z'"),
        (r#"row.day = "2026-11-01""#, "day = '2026-11-01'"),
        (
            r#"row.ref = "6BA7B810-9DAD-11D1-80B4-00C04FD430C8""#,
            "ref = '6ba7b810-9dad-11d1-80b4-00c04fd430c8'",
        ),
        (r#"row.customer.country = "FR""#, "customer.country = 'FR'"),
        ("row.customer.country = row.region", "region = customer.country"),
        ("row.amount < row.big", "amount < big"),
        ("row._record.sourceName = user.team.name", "_record.sourceName = 'red'"),
        ("row._record.revision > 1", "_record.revision > 1"),
        ("row.amount < user.level + 1 * 2", "amount < 5"),
        ("row.amount < user.level / 2", "amount <= 1"),
        ("x = row.region and x in user.groups", "region in ['a', 'b']"),
    ] {
        assert_eq!(rows(condition), expected, "{condition}");
    }
}

#[test]
fn missing_is_equal_to_nothing_but_nil() {
    for (condition, expected) in [
        ("row.region = user.absent", "never"),
        ("row.region = user.nothing", "never"),
        ("row.region != user.absent", "true"),
        ("user.absent = user.nothing", "never"),
        ("user.absent.deeper = nil", "true"),
        ("row.region = nil", "region is null"),
        ("not row.region = nil", "not region is null"),
        ("row.customer = nil", "not customer = true"),
        ("row.customer != nil", "customer = true"),
        ("user.absent = nil", "true"),
        ("user.nothing = nil", "true"),
        ("user.region = nil", "never"),
        ("row.amount < user.absent", "never"),
        ("not row.amount < user.absent", "true"),
        ("row.region in user.absent", "never"),
        ("row.amount < nil", "never"),
    ] {
        assert_eq!(rows(condition), expected, "{condition}");
    }
}

#[test]
fn lists() {
    for (condition, expected) in [
        (r#"row.region in ["eu", "us", "eu"]"#, "region in ['eu', 'us']"),
        ("row.region in user.groups", "region in ['a', 'b']"),
        (r#"not row.region in ["eu"]"#, "not region = 'eu'"),
        (r#""x" in row.tags"#, "tags has 'x'"),
        ("t in user.groups and t in row.tags", "(tags has 'a' or tags has 'b')"),
        (r#""a" in user.groups"#, "true"),
        (r#""z" in user.groups"#, "never"),
        ("user.region in [row.region, row.owner]", "(region = 'eu' or owner = 'eu')"),
        (r#"row.region in [user.region, "us"]"#, "region in ['eu', 'us']"),
        ("forall(t in user.groups, t in row.tags)", "not (not tags has 'a' or not tags has 'b')"),
        ("row.region in []", "never"),
        // A variable in a list is bound in one way, and not in the others.
        ("row.amount in [x, 2] and x = 5", "amount in [5, 2]"),
        ("not (row.amount in [x, 2] and x = 5)", "not amount in [5, 2]"),
        (r#"row.region in ["eu", nil]"#, "(region = 'eu' or region is null)"),
    ] {
        assert_eq!(rows(condition), expected, "{condition}");
    }
}

#[test]
fn connectives_fold() {
    for (condition, expected) in [
        (
            r#"(row.region = "eu" or row.region = "us") and row.paid"#,
            "(region in ['eu', 'us'] and paid = true)",
        ),
        (r#"user.region = "eu" or row.paid"#, "true"),
        (r#"user.region = "us" and row.paid"#, "never"),
        (r#"not (row.paid or row.region = "eu")"#, "not (paid = true or region = 'eu')"),
    ] {
        assert_eq!(rows(condition), expected, "{condition}");
    }
}

#[test]
fn helper_rules_several_rules_and_facts() {
    let text = r#"
        allow(user: User, "read", row: OrderClothing) if near(user, row) or shared(user, row);
        near(user, row) if row.region = user.region;
        near(user, row) if role_of(user.subject, role) and may_see(role, row.amount);
        shared(user, row) if not closed(row) and t in user.groups and t in row.tags;
        closed(row) if row.paid;
        role_of("u1", "clerk");
        role_of("u2", "boss");
        may_see("clerk", amount) if amount < 10;
        may_see("boss", _);
        allow_field(_, _, _, _);
    "#;
    assert_eq!(
        rows_of(text),
        "(region = 'eu' or amount < 10 or (not paid = true and tags has 'a') or (not paid = true and tags has 'b'))"
    );
}

/// Note 4.3, bug B: a helper's alternatives must all count under `not`.
#[test]
fn not_of_a_helper_with_alternatives_is_exact() {
    let text = r#"
        allow(user: User, "read", row: OrderClothing) if not barred(user, row);
        barred(user, row) if t in user.groups and t in row.tags;
        allow_field(_, _, _, _);
    "#;
    assert_eq!(rows_of(text), "not (tags has 'a' or tags has 'b')");
}

/// Note 4.3, bugs A and C.
#[test]
fn bounds_that_meet_stay_apart() {
    assert_eq!(rows("3 <= row.amount and row.amount > 3"), "(amount >= 3 and amount > 3)");
    assert_eq!(rows("not user.level + 1 = 4"), "never");
}

#[test]
fn patterns_and_classes() {
    for (head, expected) in [
        (
            r#"allow(_: User{region: "eu"}, "read", _: OrderClothing{region: "x", paid: true})"#,
            "(paid = true and region = 'x')",
        ),
        (r#"allow(_: User, "read", _: {region: "x"})"#, "region = 'x'"),
        (r#"allow(_: {region: r}, "read", _: {region: r})"#, "region = 'eu'"),
        (r#"allow(_, "read", _: OrderClothing{customer: {country: "FR"}})"#, "customer.country = 'FR'"),
        (r#"allow(_: User, "read", _: Row)"#, "true"),
        (r#"allow(_: User, "read", _: MovieTitle)"#, "never"),
        (r#"allow(_: User, "read", _: Source)"#, "never"),
        (r#"allow(_: User{region: "us"}, "read", _: Row)"#, "never"),
        (r#"allow(_, action, _) if action in ["read"]"#, "true"),
        (
            r#"allow(user, "read", row) if row matches OrderClothing{paid: true} and user matches User"#,
            "paid = true",
        ),
        (r#"allow(user, "read", _) if user.level matches Integer and not user.level matches String"#, "true"),
    ] {
        assert_eq!(rows_of(&format!("{head};\nallow_field(_, _, _, _);")), expected, "{head}");
    }
}

#[test]
fn resource_blocks() {
    let text = r#"
        actor User {}
        resource OrderClothing {
            permissions = ["read"];
            roles = ["viewer", "owner"];
            "read" if "viewer";
            "viewer" if "owner";
        }
        allow(actor, action, resource) if has_permission(actor, action, resource);
        has_role(user: User, "viewer", row: OrderClothing) if row.region = user.region;
        has_role(user: User, "owner", row: OrderClothing) if row.owner = user.subject;
        allow_field(_, _, _, _);
    "#;
    assert_eq!(rows_of(text), "(region = 'eu' or owner = 'u1')");
}

/// Types that do not fit are false, and so is a `not` around them; also when a claim brings the type.
#[test]
fn a_type_clash_is_never_true() {
    for condition in [
        "row.amount = user.region",
        "row.amount != user.region",
        "not row.amount = user.region",
        "not (row.paid or row.amount = user.region)",
        "row.paid = user.level",
        "row.region < user.level",
        "row.at > user.region",
        "row.region = row.amount",
        "not row.region = row.at",
        "not row.amount in user.groups",
        "row.meta != user.region",
        "row.tags != user.region",
        "not user.region in row.region",
        "not user.level < user.region",
        "not row.region in user.region",
        "row.amount != user.absent + 1",
        "row.paid < true and user.level = 3",
    ] {
        assert_eq!(rows(condition), "never", "{condition}");
    }
    // The alternatives beside it hold.
    assert_eq!(rows("row.amount = user.region or row.paid"), "paid = true");
    assert_eq!(rows("not (row.amount = user.region and user.region = \"us\")"), "never");
}

/// A rule for every row that names a field which this collection lacks does not hold here, nor does its opposite.
#[test]
fn an_unknown_field_is_never_true() {
    for condition in [
        "row.absent = 1",
        "row.absent != 1",
        "not row.absent = 1",
        "row.customer.absent = nil",
        "row.absent = nil",
    ] {
        let text = format!("allow(_, \"read\", row: Row) if {condition};\nallow_field(_, _, _, _);");
        assert_eq!(rows_of(&text), "never", "{condition}");
    }
}

#[test]
fn the_order_of_rules_does_not_matter() {
    let rules = [
        r#"allow(_, "read", row: OrderClothing) if row.paid;"#,
        r#"allow(_, "read", row: OrderClothing) if row.amount > 1;"#,
    ];
    let one = rows_of(&format!("{}\n{}\nallow_field(_, _, _, _);", rules[0], rules[1]));
    let other = rows_of(&format!("{}\n{}\nallow_field(_, _, _, _);", rules[1], rules[0]));
    assert_eq!(one, "(paid = true or amount > 1)");
    assert_eq!(other, "(paid = true or amount > 1)");
}
