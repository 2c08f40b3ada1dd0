//! Rules that follow relations: which filter each becomes, what is refused, and what sleeps or denies.

use std::sync::Arc;

use serde_json::json;

use crate::policy::tests::{actor, engine, field, orders, short};
use crate::policy::{Collections, Findings};
use crate::query::{Collection, Filter};
use crate::record::Json;
use crate::shape::{Kind, Published, Relation, Scalar};

fn relation(name: &str, field: u32, other: &str, other_field: u32, many: bool) -> Relation {
    let (id, name, other) = (format!("{name}.1"), name.to_owned(), other.to_owned());
    Relation { id, name, field, other, other_field, many, removed: false }
}

fn with(mut collection: Collection, relations: Vec<Relation>) -> Collection {
    let shape = Published { relations, ..Published::clone(&collection.shape) };
    collection.shape = Arc::new(shape);
    collection
}

/// Orders with their buyer, buyers with their orders and company, companies with their owner.
fn world(change: impl Fn(&mut Vec<Collection>)) -> Vec<Arc<Collection>> {
    let scalar = |id, name: &str, scalar| field(id, name, Kind::Scalar(scalar), &[]);
    let made = |id, field_name: &str, type_name: &str, fields| Collection {
        id,
        field_name: field_name.into(),
        type_name: type_name.into(),
        shape: Arc::new(Published { version: 1, last_field_id: 99, fields, ..Published::default() }),
        ..orders()
    };
    let tags = field(5, "tags", Kind::List(Box::new(Kind::Scalar(Scalar::String))), &[]);
    let address = field(6, "address", Kind::Object(vec![scalar(7, "city", Scalar::String)]), &[]);
    let buyer = made(
        2,
        "shopBuyer",
        "ShopBuyer",
        vec![
            scalar(1, "uid", Scalar::String),
            scalar(2, "region", Scalar::String),
            scalar(3, "blocked", Scalar::Boolean),
            scalar(4, "level", Scalar::Int),
            tags,
            address,
            scalar(8, "firm", Scalar::String),
        ],
    );
    let firm = made(
        3,
        "shopFirm",
        "ShopFirm",
        vec![scalar(1, "code", Scalar::String), scalar(2, "land", Scalar::String)],
    );
    let mut all = vec![
        with(orders(), vec![relation("buyer", 5, "shopBuyer", 1, false)]),
        with(
            buyer,
            vec![
                relation("orders", 1, "orderClothing", 5, true),
                relation("company", 8, "shopFirm", 1, false),
            ],
        ),
        with(firm, vec![relation("people", 1, "shopBuyer", 8, true)]),
    ];
    change(&mut all);
    all.into_iter().map(Arc::new).collect()
}

fn by_name(all: &[Arc<Collection>]) -> Collections {
    all.iter().map(|one| (one.field_name.as_str().into(), one.clone())).collect()
}

fn rule(class: &str, condition: &str) -> String {
    format!(
        "allow_field(_, _, _, _);\n\
         allow(user: User, \"read\", row: {class}) if {condition} and user = user and row = row;\n"
    )
}

fn rows_of(all: &[Arc<Collection>], place: usize, text: &str) -> Filter {
    let who = actor("u1", &[], json!({"region": "eu", "level": 3, "groups": ["a", "b"]}));
    let scope = engine(text).scope(&who, &by_name(all), &all[place]).unwrap();
    scope.map_or(Filter::Const(false), |scope| scope.rows().clone())
}

fn rows(place: usize, condition: &str) -> String {
    let all = world(|_| {});
    short(&rows_of(&all, place, &rule(&all[place].type_name, condition)))
}

#[test]
fn a_relation_to_one_row_is_one_condition_on_it() {
    for (condition, expected) in [
        ("row.buyer.region = user.region", "one r1 of 2 by owner = uid: r1.region = 'eu'"),
        (
            "row.buyer.region = user.region and row.buyer.level > user.level",
            "one r1 of 2 by owner = uid: (r1.region = 'eu' and r1.level > 3)",
        ),
        (
            r#"(row.buyer.region = "a" or row.buyer.region = "b")"#,
            "one r1 of 2 by owner = uid: r1.region in ['a', 'b']",
        ),
        // Of a row that is not there nothing holds, and `not` is the plain opposite.
        (r#"row.buyer.region != "eu""#, "one r1 of 2 by owner = uid: not r1.region = 'eu'"),
        (r#"not row.buyer.region = "eu""#, "not one r1 of 2 by owner = uid: r1.region = 'eu'"),
        ("row.buyer.region = nil", "one r1 of 2 by owner = uid: r1.region is null"),
        ("row.buyer = nil", "not one r1 of 2 by owner = uid: true"),
        ("row.buyer != nil", "one r1 of 2 by owner = uid: true"),
        ("not row.buyer = nil", "one r1 of 2 by owner = uid: true"),
        ("row.buyer.region = row.region", "one r1 of 2 by owner = uid: region = r1.region"),
        (
            "b = row.buyer and b.region = \"x\" and not b.blocked = true",
            "one r1 of 2 by owner = uid: (r1.region = 'x' and not r1.blocked = true)",
        ),
        (
            "row.buyer matches {region: \"x\", level: 1}",
            "one r1 of 2 by owner = uid: (r1.level = 1 and r1.region = 'x')",
        ),
        ("row.buyer.region in user.groups", "one r1 of 2 by owner = uid: r1.region in ['a', 'b']"),
        (
            "t in row.buyer.tags and t in user.groups",
            "one r2 of 2 by owner = uid: some i1 of r2.tags: i1 in ['a', 'b']",
        ),
        (
            "row.buyer.address.city.starts_with(\"P\")",
            "one r1 of 2 by owner = uid: r1.address.city starts 'P'",
        ),
        ("row.buyer.address = nil", "one r1 of 2 by owner = uid: not r1.address = true"),
        (
            "row.buyer._record.sourceName = \"crm\"",
            "one r1 of 2 by owner = uid: r1._record.sourceName = 'crm'",
        ),
        (
            "row.buyer.company.land = user.region",
            "one r2 of 2 by owner = uid: one r1 of 3 by r2.firm = code: r1.land = 'eu'",
        ),
        ("row.buyer.company = nil", "one r2 of 2 by owner = uid: not one r1 of 3 by r2.firm = code: true"),
        ("row.buyer.region = user.absent", "false"),
    ] {
        assert_eq!(rows(0, condition), expected, "{condition}");
    }
}

#[test]
fn of_many_related_rows_each_is_one_of_its_own() {
    for (condition, expected) in [
        (r#"o in row.orders and o.region = "x""#, "some r1 of 1 by uid = owner: r1.region = 'x'"),
        (
            "o in row.orders and o.region = row.region and o.amount > 3",
            "some r1 of 1 by uid = owner: (region = r1.region and r1.amount > 3)",
        ),
        ("_o in row.orders", "some r1 of 1 by uid = owner: true"),
        ("forall(o in row.orders, o.paid = true)", "not some r1 of 1 by uid = owner: not r1.paid = true"),
        (
            "a in row.orders and b in row.orders and a.region = b.owner",
            "some r2 of 1 by uid = owner: some r1 of 1 by uid = owner: r1.owner = r2.region",
        ),
        (
            "o in row.orders and item in o.items and item.sku = o.region",
            "some r2 of 1 by uid = owner: some i1 of r2.items: r2.region = i1.sku",
        ),
        (
            "o in row.orders and o.buyer.level > 3",
            "some r2 of 1 by uid = owner: one r1 of 2 by r2.owner = uid: r1.level > 3",
        ),
    ] {
        assert_eq!(rows(1, condition), expected, "{condition}");
    }
}

#[test]
fn helper_rules_and_alternatives_are_about_the_row_that_they_are_given() {
    let text = r#"
        allow(user: User, "read", row: OrderClothing) if near(user, row.buyer) and not bad(row.buyer);
        near(user, buyer) if buyer.region = user.region;
        near(user, buyer) if g in user.groups and buyer.company.land = g;
        bad(buyer) if buyer.blocked = true;
        allow_field(_, _, _, _);
    "#;
    let all = world(|_| {});
    let shown = short(&rows_of(&all, 0, text));
    assert!(shown.contains("r1.land in ['a', 'b']") && shown.contains("r1.region = 'eu'"), "{shown}");
    assert!(shown.contains("not one r1 of 2 by owner = uid: r1.blocked = true"), "{shown}");
}

fn found(all: &[Arc<Collection>], text: &str) -> Findings {
    engine(text).check(all)
}

fn wrong(place: usize, condition: &str) -> String {
    let all = world(|_| {});
    let found = found(&all, &rule(&all[place].type_name, condition));
    assert!(found.sleeping.is_empty(), "{condition}: {:?}", found.sleeping);
    found.misfits.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn names_and_types_behind_a_relation_are_checked() {
    for (place, condition, reason) in [
        (0, "row.buyer.regoin = 1", "`OrderClothing` has no field `buyer.regoin`; did you mean `region`?"),
        (0, "row.byer.region = 1", "has no field or relation `byer`; did you mean `buyer`?"),
        (0, "row.buyer.level = \"x\"", "`level` is Int"),
        (0, "row.buyer = \"x\"", "`buyer` leads to other rows"),
        (0, "row.buyer.level = row.region", "have types that are not compared"),
        (0, "b in row.buyer and b = 1", "`buyer` is not a list"),
        (1, "row.orders.region = \"x\"", "`x in row.orders and x.region = …`"),
        (1, "o in row.orders and o.region = 1", "`region` is String"),
        (1, "o in row.orders and o = 1", "leads to other rows"),
        (1, "o in row.orders and o.buyr.level = 1", "did you mean `buyer`?"),
        (
            2,
            "p in row.people and o in p.orders and q in o.buyer.orders and q.paid",
            "at most 3 relations in a row",
        ),
        (0, "row.region.name = \"x\"", "no fields that a filter can reach"),
    ] {
        let shown = wrong(place, condition);
        assert!(shown.contains(reason) && shown.contains('^'), "{condition}: {shown}");
        // What does not fit denies, also around a `not`.
        let all = world(|_| {});
        let class = &all[place].type_name;
        if !condition.contains("= 1 ") {
            let denied = rows_of(&all, place, &rule(class, &format!("not ({condition})")));
            assert_eq!(denied, Filter::Const(false), "{condition}");
        }
    }
    assert_eq!(wrong(0, "row.buyer.company.land = user.region and row.buyer.address.city = \"x\""), "");
    assert_eq!(wrong(1, "o in row.orders and item in o.items and item.sku = o.region"), "");
}

#[test]
fn a_relation_that_is_not_accepted_yet_sleeps_and_a_removed_one_denies() {
    let text = rule("OrderClothing", "row.shop.name = \"x\"");
    let all = world(|_| {});
    let sleeps = found(&all, &text);
    assert!(sleeps.misfits.is_empty(), "{:?}", sleeps.misfits);
    let warning = &sleeps.sleeping[0];
    assert!(warning.contains("has no field or relation `shop` yet, so this rule sleeps"), "{warning}");
    assert_eq!(rows_of(&all, 0, &text), Filter::Const(false));
    let many = found(&all, &rule("OrderClothing", "s in row.shops and s.name = \"x\""));
    assert!(many.misfits.is_empty() && many.sleeping.len() == 1, "{many:?}");
    // Of a name of which nothing more is asked it cannot be a relation.
    let plain = found(&all, &rule("OrderClothing", "row.shop = \"x\""));
    assert!(plain.misfits.len() == 1 && plain.sleeping.is_empty(), "{plain:?}");

    let text = rule("OrderClothing", "not row.buyer.blocked = true");
    let removed = |all: &mut Vec<Collection>| {
        let mut buyer = relation("buyer", 5, "shopBuyer", 1, false);
        buyer.removed = true;
        all[0] = with(all[0].clone(), vec![buyer]);
    };
    let gone = |all: &mut Vec<Collection>| drop(all.remove(1));
    let retyped = |all: &mut Vec<Collection>| {
        let mut shape = Published::clone(&all[1].shape);
        shape.fields[0].kind = Kind::Scalar(Scalar::Float);
        all[1].shape = Arc::new(shape);
    };
    for (all, reason) in [
        (world(removed), "the relation `buyer` of `OrderClothing` was removed"),
        (world(gone), "the relation `buyer` of `OrderClothing` leads nowhere any more"),
        (world(retyped), "the relation `buyer` of `OrderClothing` leads nowhere any more"),
    ] {
        let found = found(&all, &text);
        assert!(found.misfits[0].to_string().contains(reason), "{:?}", found.misfits);
        assert_eq!(rows_of(&all, 0, &text), Filter::Const(false), "{reason}");
    }
}

#[test]
fn rules_about_fields_follow_no_relation() {
    let text = r#"
        allow(_, "read", _: Row);
        allow_field(_, _, row: OrderClothing, f: Field) if f.name = "region" and near(row);
        allow_field(_, _, _, f: Field) if f.name = "amount";
        mask_field(_, row: OrderClothing, f: Field, "hash") if f.name = "amount" and row.buyer.blocked = true;
        near(row) if row.buyer.region = "eu";
    "#;
    let all = world(|_| {});
    let found = found(&all, text);
    assert_eq!(found.misfits.len(), 2, "{:?}", found.misfits);
    for misfit in &found.misfits {
        assert!(misfit.to_string().contains("follows relations; this looks at the row itself"), "{misfit}");
    }
    let scope = engine(text).scope(&actor("u", &[], json!({})), &by_name(&all), &all[0]).unwrap();
    assert!(scope.is_none(), "a field whose rules are not decided is hidden");
}

/// Scopes are kept by what they depend on: also by the collections that relations lead to.
#[test]
fn a_scope_is_compiled_anew_when_a_related_collection_changes() {
    let text = rule("OrderClothing", "row.buyer.region = user.region");
    let (engine, who) = (engine(&text), actor("u", &[], json!({"region": "eu"})));
    let seen = |all: &[Arc<Collection>]| {
        let scope = engine.scope(&who, &by_name(all), &all[0]).unwrap();
        scope.map_or_else(|| "never".to_owned(), |scope| short(scope.rows()))
    };
    let all = world(|_| {});
    assert!(seen(&all).starts_with("one r1 of 2"));
    let other = |version: u32, kind: Kind| {
        world(move |all| {
            let mut shape = Published::clone(&all[1].shape);
            shape.version = version;
            shape.fields[1].kind = kind.clone();
            all[1].shape = Arc::new(shape);
        })
    };
    assert_eq!(seen(&other(2, Kind::Scalar(Scalar::Int))), "never");
    assert!(seen(&other(3, Kind::Scalar(Scalar::String))).starts_with("one r1 of 2"));
    assert_eq!(seen(&all[..1]), "never");
}

/// Memory does not see other rows: what depends on them is not known, and never holds.
#[test]
fn memory_decides_what_does_not_depend_on_other_rows() {
    let all = world(|_| {});
    let decide = |condition: &str, row: &str| {
        let filter = rows_of(&all, 0, &rule("OrderClothing", condition));
        (filter.decide(&Json::try_from(row).unwrap()), filter.eval(&Json::try_from(row).unwrap()))
    };
    let own = r#"{"region":"eu"}"#;
    for condition in [r#"row.buyer.region = "eu""#, r#"not row.buyer.region = "eu""#] {
        assert_eq!(decide(condition, own), (None, false), "{condition}");
    }
    let both = r#"row.region = "eu" and row.buyer.region = "eu""#;
    assert_eq!((decide(both, own), decide(both, "{}")), ((None, false), (Some(false), false)));
    let either = r#"(row.region = "eu" or row.buyer.region = "eu")"#;
    assert_eq!((decide(either, own), decide(either, "{}")), ((Some(true), true), (None, false)));
}
