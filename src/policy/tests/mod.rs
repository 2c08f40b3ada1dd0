//! What the policy engine promises, rule by rule.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod accepted;
mod attacks;
mod base;
mod bound;
mod closed;
mod fields;
mod items;
mod maps;
mod refusals;
mod related;
mod rows;

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;

use crate::config;
pub(super) use crate::policy::filter_text as short;
use crate::policy::{Engine, Scope};
use crate::query::Collection;
use crate::record::Actor;
use crate::shape::{Field, Kind, Published, Scalar};

pub(super) fn engine(text: &str) -> Engine {
    Engine::from_texts(&config::Policy::default(), &[("p.polar", text)])
        .unwrap_or_else(|e| panic!("{}", e.message()))
}

/// The complaints about a policy, as they are shown.
pub(super) fn refused(text: &str) -> String {
    match Engine::from_texts(&config::Policy::default(), &[("p.polar", text)]) {
        Ok(_) => panic!("accepted: {text}"),
        Err(e) => e.message().to_owned(),
    }
}

pub(super) fn actor(subject: &str, roles: &[&str], claims: serde_json::Value) -> Actor {
    let serde_json::Value::Object(claims) = claims else { panic!("claims must be an object") };
    let roles = roles.iter().map(|r| (*r).to_owned()).collect();
    Actor { subject: subject.to_owned(), roles, claims, contract: None, key: None }
}

pub(super) fn field(id: u32, name: &str, kind: Kind, tags: &[&str]) -> Field {
    let tags: BTreeSet<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let (key, path, name) = (name.to_owned(), format!("/{name}"), name.to_owned());
    Field { id, key, path, name, kind, tags, unclassified: false, decided: Default::default() }
}

/// A collection with a field of every type.
pub(super) fn orders() -> Collection {
    let scalar = Kind::Scalar;
    let item = Kind::Object(vec![
        field(21, "sku", scalar(Scalar::String), &[]),
        field(22, "email", scalar(Scalar::String), &["pii.email"]),
    ]);
    let fields = vec![
        field(1, "region", scalar(Scalar::String), &[]),
        field(2, "amount", scalar(Scalar::Int), &[]),
        field(3, "total", scalar(Scalar::Float), &[]),
        field(4, "paid", scalar(Scalar::Boolean), &[]),
        field(5, "owner", scalar(Scalar::String), &[]),
        field(6, "at", scalar(Scalar::DateTime), &[]),
        field(7, "day", scalar(Scalar::Date), &[]),
        field(8, "ref", scalar(Scalar::Uuid), &[]),
        field(9, "tags", Kind::List(Box::new(scalar(Scalar::String))), &[]),
        field(
            10,
            "customer",
            Kind::Object(vec![
                field(11, "email", scalar(Scalar::String), &["pii.email"]),
                field(12, "country", scalar(Scalar::String), &["geo.country"]),
            ]),
            &[],
        ),
        field(20, "items", Kind::List(Box::new(item)), &[]),
        field(30, "meta", scalar(Scalar::Json), &[]),
        field(31, "big", scalar(Scalar::BigInt), &[]),
    ];
    Collection {
        id: 1,
        category: "order".into(),
        subcategory: "clothing".into(),
        field_name: "orderClothing".into(),
        type_name: "OrderClothing".into(),
        generation: 1,
        shape: Arc::new(Published { version: 1, last_field_id: 31, fields, ..Published::default() }),
        narrow: None,
    }
}

pub(super) fn scope(engine: &Engine, actor: &Actor) -> Option<Arc<Scope>> {
    engine.scope(actor, &Default::default(), &orders()).unwrap()
}

/// The row filter of one rule body for a user `u1` with some claims, in a short notation.
pub(super) fn rows(condition: &str) -> String {
    let text = format!(
        "allow(user: User, \"read\", row: OrderClothing) if ({condition}) and user = user and row = row;\n\
         allow_field(_, _, _, _);"
    );
    rows_of(&text)
}

/// The row filter of a whole policy.
pub(super) fn rows_of(text: &str) -> String {
    let who = actor(
        "u1",
        &["consumer"],
        json!({
            "region": "eu", "level": 3, "groups": ["a", "b"], "admin": false, "ratio": 0.5, "nothing": null,
            "team": {"name": "red", "size": 4}
        }),
    );
    scope(&engine(text), &who).map_or_else(|| "never".to_owned(), |scope| short(scope.rows()))
}
