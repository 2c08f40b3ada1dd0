//! The crate `oso` as an oracle of the base policy's actions: the same text, the same decisions.

use oso::{Class, Oso, PolarClass, PolarValue, ToPolar};
use serde_json::json;
use wellspring::config;
use wellspring::policy::{Action, Engine};
use wellspring::record::{Actor, Source};

#[derive(Clone)]
struct User {
    roles: Vec<String>,
    /// A list, or nil.
    categories: PolarValue,
}

#[derive(Clone, PolarClass)]
#[polar(class_name = "Source")]
struct OsoSource {
    #[polar(attribute)]
    category: String,
}

#[derive(Clone, PolarClass)]
struct Row {}

#[derive(Clone, PolarClass)]
struct Field {}

impl PolarClass for User {
    fn get_polar_class() -> Class {
        Class::builder::<User>()
            .name("User")
            .add_attribute_getter("roles", |user| user.roles.clone())
            .add_attribute_getter("categories", |user| user.categories.clone())
            .build()
    }
}

#[test]
fn the_base_policy_decides_actions_as_oso_does() {
    let text = include_str!("../../../policies/base.polar");
    let engine = Engine::from_texts(&config::Policy::default(), &[("base.polar", text)]).unwrap();
    let mut oso = Oso::new();
    for class in [
        User::get_polar_class(),
        OsoSource::get_polar_class(),
        Row::get_polar_class(),
        Field::get_polar_class(),
    ] {
        oso.register_class(class).unwrap();
    }
    oso.load_str(text).unwrap();
    let roles: [&[&str]; 7] =
        [&[], &["admin"], &["steward"], &["source"], &["consumer"], &["pii"], &["source", "steward"]];
    for roles in roles {
        for categories in [None, Some(vec![]), Some(vec!["order"]), Some(vec!["movie", "order"])] {
            for category in ["order", "geo"] {
                let mut claims = serde_json::Map::new();
                if let Some(categories) = &categories {
                    claims.insert("categories".into(), json!(categories));
                }
                let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
                let actor =
                    Actor { subject: "u".into(), roles: owned(roles), claims, contract: None, key: None };
                let listed = categories.as_deref().map(|names| owned(names).to_polar());
                let categories = listed.unwrap_or_else(|| None::<bool>.to_polar());
                let user = User { roles: owned(roles), categories };
                for action in [Action::Source, Action::Retract, Action::Steward, Action::Administer] {
                    let source = Source::new(category, "any", "one").unwrap();
                    let ours = engine.allow_source(&actor, action, &source).is_ok();
                    let theirs = oso
                        .is_allowed(user.clone(), action.as_str(), OsoSource { category: category.into() })
                        // What it cannot decide it denies.
                        .unwrap_or(false);
                    assert_eq!(ours, theirs, "{roles:?} {:?} {action:?} {category}", actor.claims);
                }
            }
        }
    }
}
