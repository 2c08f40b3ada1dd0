//! Modes: what is held back stays unpublished, is never lost, and is there at once when it is let go.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::json_schema::fits_or_is_rescued;
use super::{document_strategy, is_sound, limits, nothing_is_lost, only_grows, tight};
use crate::config::{Mode, ModeRule, Shape as Bounds};
use crate::record::Json;
use crate::shape::*;

/// What a steward does between two documents, at a path chosen among those that there are.
#[derive(Clone, Debug)]
enum Step {
    Set(prop::sample::Index, Option<Mode>),
    Accept(prop::sample::Index),
    Decline(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let modes = [None, Some(Mode::Open), Some(Mode::Rescue), Some(Mode::Review), Some(Mode::Reject)];
    prop_oneof![
        3 => (any::<prop::sample::Index>(), prop::sample::select(modes.to_vec()))
            .prop_map(|(at, mode)| Step::Set(at, mode)),
        1 => any::<prop::sample::Index>().prop_map(Step::Accept),
        1 => any::<prop::sample::Index>().prop_map(Step::Decline),
    ]
}

/// Does a step: what is published then.
fn done(published: &Published, shape: &Shape, step: &Step, limits: &Bounds) -> Published {
    let uncovered = shape.uncovered(published, limits);
    let paths: Vec<String> =
        uncovered.fields().map(|field| field.path.clone()).chain([String::new()]).collect();
    let mut next = published.clone();
    match step {
        Step::Set(at, mode) => {
            let path = at.get(&paths).clone();
            match mode {
                Some(mode) => next.modes.insert(path, *mode),
                None => next.modes.remove(&path),
            };
            next.catch_up(shape, limits);
        }
        Step::Accept(at) => {
            let path = at.get(&paths).clone();
            let held = published.held(&uncovered);
            match next.accept(shape, &[path.clone()].into(), limits) {
                Ok(accepted) => {
                    assert!(!accepted.is_empty() && !next.declined.contains(&path));
                    // Where room is short, what is accepted may leave less to others.
                    let left = next.held(&shape.uncovered(&next, limits));
                    assert!(left.is_subset(&held) || limits.columns_max < 100, "{left:?} {held:?}");
                }
                // Nothing has changed.
                Err(_) => next = published.clone(),
            }
        }
        Step::Decline(at) => {
            let path = at.get(&paths).clone();
            if next.decline(shape, &[path].into(), limits).is_err() {
                next = published.clone();
            }
        }
    }
    next
}

/// Nothing that was held back under `previous` is published in `next`.
fn keeps_back(previous: &Published, next: &Published) {
    let open = previous.fields.is_empty() && previous.modes.values().all(|mode| *mode != Mode::Review);
    for path in previous.held(next) {
        let frozen = previous.holds_back(&path).is_some();
        assert!(!frozen || open && previous.declined.is_empty(), "{path}: {previous:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whatever_is_decided_nothing_is_lost_and_what_is_held_back_is_not_published(
        documents in prop::collection::vec((document_strategy(), prop::option::of(step())), 1..7),
        bounded in any::<bool>(),
    ) {
        let limits = if bounded { tight() } else { limits() };
        let (mut shape, mut published) = (Shape::default(), Published::default());
        for (source, step) in &documents {
            shape.merge(&Structure::derive(source, &limits));
            if let Some(next) = shape.publish(&published, &limits) {
                only_grows(&published, &next);
                keeps_back(&published, &next);
                published = next;
            }
            prop_assert_eq!(shape.publish(&published, &limits), None);
            nothing_is_lost(&published, source);
            fits_or_is_rescued(&published, source);
            let rescued = conform(&published, source).rescued;
            let refused = refusals(&published, source);
            prop_assert!(refused.iter().all(|misfit| rescued.contains(misfit)));
            prop_assert!(published.rejects() || refused.is_empty());
            if let Some(step) = step {
                let next = done(&published, &shape, step, &limits);
                only_grows(&published, &next);
                published = next;
                is_sound(&published);
            }
        }
        for (source, _) in &documents {
            nothing_is_lost(&published, source);
            fits_or_is_rescued(&published, source);
        }
        let text = serde_json::to_string(&published).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Published>(&text).unwrap(), &published);
        // Once nothing is held back any more, all is there.
        published.modes.clear();
        published.declined.clear();
        published.catch_up(&shape, &limits);
        prop_assert!(published.held(&shape.uncovered(&published, &limits)).is_empty());
    }
}

/// A collection that has seen the documents under these modes.
struct Seen {
    shape: Shape,
    published: Published,
}

impl Seen {
    fn of(document: &str) -> Self {
        let mut seen = Seen { shape: Shape::default(), published: Published::default() };
        seen.take(document);
        seen
    }

    fn take(&mut self, document: &str) -> Vec<String> {
        let document = Json::try_from(document).unwrap();
        self.shape.merge(&Structure::derive(&document, &limits()));
        self.published.catch_up(&self.shape, &limits());
        nothing_is_lost(&self.published, &document);
        let told = |misfit: Misfit| format!("{} {}: {}", misfit.path, misfit.value, misfit.reason);
        conform(&self.published, &document).rescued.into_iter().map(told).collect()
    }

    fn set(&mut self, path: &str, mode: Mode) {
        self.published.modes.insert(path.into(), mode);
        self.published.catch_up(&self.shape, &limits());
    }

    fn fields(&self) -> String {
        let fields = self.published.fields().map(|field| format!("{} {}", field.path, type_of(&field.kind)));
        fields.collect::<Vec<_>>().join(", ")
    }

    fn waiting(&self) -> Vec<String> {
        let uncovered = self.shape.uncovered(&self.published, &limits());
        self.published.held(&uncovered).into_iter().filter(|path| self.published.is_pending(path)).collect()
    }
}

fn paths(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|path| (*path).to_owned()).collect()
}

#[test]
fn a_frozen_shape_rescues_new_keys_and_numbers_that_would_widen() {
    let mut seen = Seen::of(r#"{"n":1,"o":{"k":"x"},"l":[{"m":1}]}"#);
    seen.set("", Mode::Rescue);
    let before = seen.published.clone();
    let rescued =
        seen.take(r#"{"n":1.5,"new":{"a":[]},"o":{"k":"y","later":null,"z":1},"l":[{"m":2,"q":true}]}"#);
    assert_eq!(
        rescued,
        [
            r#"/new {"a":[]}: not published: the mode here is RESCUE"#,
            "/l/0/q true: not published: the mode here is RESCUE",
            "/n 1.5: not an integer of 32 bit; the mode here is RESCUE",
            "/o/z 1: not published: the mode here is RESCUE",
        ]
    );
    assert_eq!(seen.published, before);
    assert_eq!(seen.waiting(), [""; 0]);
    // Whatever is open is published at once.
    seen.set("/o", Mode::Open);
    assert_eq!(seen.fields(), "/l [Object], /l/*/m Int, /n Int, /o Object, /o/k String, /o/z Int");
    seen.set("", Mode::Open);
    assert_eq!(
        seen.fields(),
        "/l [Object], /l/*/m Int, /l/*/q Boolean, /n Float, /o Object, /o/k String, /o/z Int"
    );
}

#[test]
fn the_nearest_path_decides_and_a_field_pins_its_type() {
    let mut seen = Seen::of(r#"{"n":1,"free":1,"o":{"k":1,"in":{"x":1}}}"#);
    seen.set("/n", Mode::Rescue);
    seen.set("/o", Mode::Review);
    seen.set("/o/in", Mode::Open);
    let rescued = seen.take(r#"{"n":3000000000,"free":0.5,"o":{"k":2,"z":1,"in":{"y":1}},"more":1}"#);
    assert_eq!(
        rescued,
        [
            "/n 3000000000: not an integer of 32 bit; the mode here is RESCUE",
            "/o/z 1: not published yet: the mode here is REVIEW",
        ]
    );
    let fields =
        "/free Float, /n Int, /o Object, /o/in Object, /o/in/x Int, /o/in/y Int, /o/k Int, /more Int";
    assert_eq!(seen.fields(), fields);
    assert_eq!(seen.waiting(), ["/o/z"]);
    assert_eq!(seen.published.mode("/o/in/y"), Mode::Open);
    assert_eq!(seen.published.mode("/other"), Mode::Open);
    assert_eq!(seen.published.mode("/nn"), Mode::Open);
}

#[test]
fn what_waits_is_accepted_or_rejected() {
    let mut seen = Seen::of(r#"{"n":1}"#);
    seen.set("", Mode::Review);
    seen.take(r#"{"n":1.5,"o":{"a":1,"b":{"c":"ada@example.org"}},"l":[{"x":1}]}"#);
    assert_eq!(seen.waiting(), ["/l", "/l/*/x", "/n", "/o", "/o/a", "/o/b", "/o/b/c"]);
    let Seen { shape, published } = &mut seen;
    let accept = |published: &mut Published, of: &[&str]| published.accept(shape, &paths(of), &limits());
    let decline = |published: &mut Published, of: &[&str]| published.decline(shape, &paths(of), &limits());
    // One of what is in an object, and nothing else of it.
    assert_eq!(accept(published, &["/o/b/c"]).unwrap(), ["/o", "/o/b", "/o/b/c"]);
    assert!(published.at_path("/o/b/c").unwrap().is_personal());
    assert_eq!(accept(published, &["/o/b/c"]), Err(Unacceptable::Unknown("/o/b/c".into())));
    assert_eq!(decline(published, &["/l", "/o"]).unwrap(), ["/l", "/o"]);
    assert_eq!(decline(published, &["/l"]).unwrap(), [""; 0]);
    assert_eq!(accept(published, &["/l/*/x"]), Err(Unacceptable::Declined("/l/*/x".into(), "/l".into())));
    assert_eq!(accept(published, &[""]).unwrap(), ["/n"]);
    assert_eq!(seen.waiting(), [""; 0]);
    // Whatever the mode is.
    seen.set("", Mode::Open);
    assert_eq!(
        seen.take(r#"{"l":[{"x":1}],"o":{"a":2},"new":1}"#),
        [
            r#"/l [{"x":1}]: not published: a steward has rejected it"#,
            "/o/a 2: not published: a steward has rejected it",
        ]
    );
    assert_eq!(seen.fields(), "/n Float, /o Object, /o/b Object, /o/b/c String, /new Int");
    seen.published.accept(&seen.shape, &paths(&["/l", "/o"]), &limits()).unwrap();
    let fields =
        "/n Float, /o Object, /o/b Object, /o/b/c String, /o/a Int, /new Int, /l [Object], /l/*/x Int";
    assert_eq!(seen.fields(), fields);
}

#[test]
fn documents_that_do_not_fit_are_refused_where_the_mode_says_so() {
    let mut seen = Seen::of(r#"{"n":1,"s":"x","at":"2026-01-02T03:04:05Z","o":{"k":1}}"#);
    seen.set("", Mode::Reject);
    seen.set("/o", Mode::Rescue);
    for (document, paths) in [
        (r#"{"n":5.0,"s":7,"at":"2026-01-02T03:04:05.1234567Z","new":null}"#, vec![]),
        (r#"{"o":{"k":"x","new":1}}"#, vec![]),
        (r#"{"o":[1]}"#, vec![]),
        (r#"{"n":1,"n":2}"#, vec![]),
        (r#"{"n":1.5,"s":"a\u0000b","at":"soon","new":{}}"#, vec!["/new", "/at", "/n", "/s"]),
    ] {
        let refused = refusals(&seen.published, &Json::try_from(document).unwrap());
        assert_eq!(refused.iter().map(|misfit| &*misfit.path).collect::<Vec<_>>(), paths, "{document}");
    }
}

#[test]
fn rules_freeze_what_the_first_documents_show_and_review_holds_from_the_start() {
    let rule = |collection: &str, path: &str, mode| ModeRule {
        collection: collection.into(),
        path: path.into(),
        mode,
    };
    let rules = Bounds {
        modes: vec![
            rule("order*", "", Mode::Reject),
            rule("orderItem", "/n", Mode::Open),
            rule("person", "", Mode::Review),
        ],
        ..limits()
    };
    let first = |collection: &str, document: &str| {
        let mut seen = Seen { shape: Shape::default(), published: Published::default() };
        seen.published.rule(collection, &rules);
        seen.take("{}");
        seen.take(document);
        seen
    };
    let mut order = first("orderItem", r#"{"n":1}"#);
    order.take(r#"{"n":1.5,"more":1}"#);
    assert_eq!(order.fields(), "/n Float");
    assert_eq!(order.published.mode("/more"), Mode::Reject);
    // What is decided stays.
    order.published.modes.insert(String::new(), Mode::Rescue);
    order.published.rule("orderItem", &rules);
    assert_eq!(order.published.mode(""), Mode::Rescue);
    let person = first("person", r#"{"n":1}"#);
    assert_eq!((person.fields().as_str(), person.waiting()), ("", vec!["/n".to_owned()]));
    assert_eq!(first("other", r#"{"n":1}"#).fields(), "/n Int");
}
