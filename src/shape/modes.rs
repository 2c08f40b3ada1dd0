//! Modes: whether what records uncover at a path is published, held back, put to a steward or refused. What is held
//! back is merged into the shape all the same, so that it can be published later. Must not touch rows: what is not
//! published of a document is [`conform`](fn@super::conform)'s.

use std::collections::{BTreeMap, BTreeSet};

use super::publish::{Choice, choose, pointer_token};
use super::structure::Node;
use super::{Field, Kind, Published, Shape};
use crate::config::{self, Mode};

/// Why paths cannot be accepted or rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unacceptable {
    /// Nothing is held back at or below this path.
    Unknown(String),
    /// What is to be accepted, and the rejected path that it is below.
    Declined(String, String),
    /// Nothing of it found room among the columns and locations.
    NoRoom,
}

impl Published {
    /// What is done about what records uncover at this path: the mode of the nearest path above that has one.
    pub fn mode(&self, path: &str) -> Mode {
        if self.modes.is_empty() {
            return Mode::Open;
        }
        upwards(path).find_map(|above| self.modes.get(above)).copied().unwrap_or(Mode::Open)
    }

    /// Whether anything may be held back.
    pub fn holds(&self) -> bool {
        !self.declined.is_empty() || self.modes.values().any(|mode| *mode != Mode::Open)
    }

    /// Whether documents may be refused.
    pub fn rejects(&self) -> bool {
        self.modes.values().any(|mode| *mode == Mode::Reject)
    }

    /// Gives the paths that have no mode of their own those that rules say.
    pub fn rule(&mut self, collection: &str, rules: &config::Shape) {
        for rule in rules.modes.iter().filter(|rule| super::classify::is_like(&rule.collection, collection)) {
            if self.modes.len() < rules.modes_max {
                self.modes.entry(rule.path.clone()).or_insert(rule.mode);
            }
        }
    }

    /// Publishes what was seen and is held back no more. `shape` is all that was seen.
    pub fn catch_up(&mut self, shape: &Shape, limits: &config::Shape) {
        if let Some(next) = shape.publish(self, limits) {
            *self = next;
        }
    }

    /// Why what is new at this path is not published; `None` when it is.
    pub(super) fn holds_back(&self, path: &str) -> Option<&'static str> {
        if self.declined(path).is_some() {
            return Some("not published: a steward has rejected it");
        }
        match self.mode(path) {
            Mode::Open => None,
            Mode::Rescue => Some("not published: the mode here is RESCUE"),
            Mode::Review => Some("not published yet: the mode here is REVIEW"),
            Mode::Reject => Some("not published: the mode here is REJECT"),
        }
    }

    /// The field at this path, or else the nearest one above.
    pub fn nearest(&self, path: &str) -> Option<&Field> {
        upwards(path).find_map(|above| self.at_path(above))
    }

    /// Whether what is held back at this path waits for a steward.
    pub fn is_pending(&self, path: &str) -> bool {
        self.mode(path) == Mode::Review && self.declined(path).is_none()
    }

    /// The rejected path at or above this one.
    fn declined<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.declined.is_empty() {
            return None;
        }
        upwards(path).find(|above| self.declined.contains(*above))
    }

    /// Has nothing at or below these paths published, or asked for, until it is accepted. `shape` is all that was seen.
    /// Returns the paths for which that is new.
    ///
    /// # Errors
    /// A path at and below which nothing is held back.
    pub fn decline(
        &mut self,
        shape: &Shape,
        paths: &BTreeSet<String>,
        limits: &config::Shape,
    ) -> Result<Vec<String>, Unacceptable> {
        self.check_held(shape, paths, limits)?;
        let new = paths.iter().filter(|path| self.declined.insert((*path).clone()));
        Ok(new.cloned().collect())
    }

    /// Publishes what was seen at and below these paths, whatever the mode. `shape` is all that was seen. What was
    /// rejected has to be named itself. Returns the paths of what is published or wider now.
    ///
    /// # Errors
    /// A path at and below which nothing is held back, or which a rejected one is above; that there was no room.
    pub fn accept(
        &mut self,
        shape: &Shape,
        paths: &BTreeSet<String>,
        limits: &config::Shape,
    ) -> Result<Vec<String>, Unacceptable> {
        self.check_held(shape, paths, limits)?;
        self.declined.retain(|declined| !paths.contains(declined));
        for path in paths {
            if let Some(above) = self.declined(path) {
                return Err(Unacceptable::Declined(path.clone(), above.to_owned()));
            }
        }
        let next =
            shape.publish_through(self, limits, Accepted::These(paths)).unwrap_or_else(|| self.clone());
        let accepted = self.held(&next);
        if accepted.is_empty() {
            return Err(Unacceptable::NoRoom);
        }
        *self = next;
        Ok(accepted.into_iter().collect())
    }

    /// Whether something is held back at or below each of these paths.
    fn check_held(
        &self,
        shape: &Shape,
        paths: &BTreeSet<String>,
        limits: &config::Shape,
    ) -> Result<(), Unacceptable> {
        let held = self.held(&shape.uncovered(self, limits));
        let unknown = paths.iter().find(|path| !held.contains(*path) && !is_above_any(path, &held));
        unknown.map_or(Ok(()), |path| Err(Unacceptable::Unknown(path.clone())))
    }

    /// The paths of what `uncovered`, which follows this, publishes more: fields and wider types.
    pub fn held(&self, uncovered: &Published) -> BTreeSet<String> {
        let known: BTreeMap<u32, &Kind> = self.fields().map(|field| (field.id, &field.kind)).collect();
        let more = |field: &&Field| known.get(&field.id).is_none_or(|known| !same(known, &field.kind));
        uncovered.fields().filter(more).map(|field| field.path.clone()).collect()
    }
}

/// Whether two kinds are the same, but for what is in them.
fn same(one: &Kind, other: &Kind) -> bool {
    match (one, other) {
        (Kind::Scalar(one), Kind::Scalar(other)) => one == other,
        (Kind::List(one), Kind::List(other)) | (Kind::Map(one), Kind::Map(other)) => same(one, other),
        (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

fn is_above_any(path: &str, paths: &BTreeSet<String>) -> bool {
    let below = format!("{path}/");
    paths.range(below.clone()..).next().is_some_and(|first| first.starts_with(&below))
}

/// The path, those above it, and that of the document itself.
fn upwards(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rfind('/').and_then(|at| path.get(..at)))
}

/// What is published although modes hold it back.
#[derive(Clone, Copy)]
pub(super) enum Accepted<'a> {
    /// Nothing.
    Nothing,
    /// What is at and below these paths, and what they are in.
    These(&'a BTreeSet<String>),
    /// Everything.
    All,
}

/// What may be published where.
pub(super) struct Gate<'a> {
    limits: &'a config::Shape,
    previous: &'a Published,
    accepted: Accepted<'a>,
    /// Everything may.
    open: bool,
}

impl<'a> Gate<'a> {
    pub(super) fn new(previous: &'a Published, accepted: Accepted<'a>, limits: &'a config::Shape) -> Self {
        let open = matches!(accepted, Accepted::All) || !previous.holds();
        Gate { limits, previous, accepted, open }
    }

    /// Whether what is new at this path may be published.
    pub(super) fn lets(&self, path: &str) -> bool {
        if self.open {
            return true;
        }
        if self.previous.declined(path).is_some() {
            return false;
        }
        let accepted = match self.accepted {
            Accepted::These(paths) => {
                upwards(path).any(|above| paths.contains(above)) || is_above_any(path, paths)
            }
            Accepted::Nothing | Accepted::All => false,
        };
        accepted
            || match self.previous.mode(path) {
                Mode::Open => true,
                // What freezes a shape does so from the time that there is one.
                Mode::Rescue | Mode::Reject => self.previous.fields.is_empty(),
                Mode::Review => false,
            }
    }

    /// Whether a new member may be published, with something in it if it is one that others are in.
    pub(super) fn lets_in(&self, above: &str, key: &str, node: &Node, choice: Choice) -> bool {
        self.open || self.lets_member(&format!("{above}/{}", pointer_token(key)), node, choice)
    }

    fn lets_member(&self, path: &str, node: &Node, choice: Choice) -> bool {
        if !self.lets(path) {
            return false;
        }
        match choice {
            Choice::Scalar(_) => true,
            Choice::Object | Choice::Packed => {
                let mut members = node.members.iter();
                members.any(|(key, member)| {
                    choose(member, self.limits).is_some_and(|choice| self.lets_in(path, key, member, choice))
                })
            }
            Choice::List => {
                node.items.as_deref().is_none_or(|items| self.lets_inner(&format!("{path}/*"), items))
            }
            Choice::Map => self.lets_inner(&format!("{path}/~*"), &node.values()),
        }
    }

    /// Whether what stands in a list or a map may be published.
    fn lets_inner(&self, path: &str, node: &Node) -> bool {
        choose(node, self.limits).is_none_or(|choice| self.lets_member(path, node, choice))
    }
}
