//! What the static walk knows of a value before any actor asks, and of the variables of a rule. Nothing here refuses.

use std::sync::Arc;

use crate::policy::program::{Goal, Kind, Rule, Term};
use crate::policy::value::Value;

/// What is known of a value before any actor asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    /// No value yet.
    Free,
    /// A constant of the policy.
    Constant(Constant),
    /// Something of the actor, or calculated.
    Ground,
    /// Such a text.
    Text,
    User,
    Source,
    Field,
    Request,
    /// The row; of one collection when a rule says so.
    Row(Option<Arc<str>>),
    /// A part of the row.
    Part(Option<Arc<str>>, Vec<Arc<str>>),
    /// A list that is written out.
    List(Vec<Known>),
    /// A dictionary that is written out, by the names of its members.
    Dict(Vec<(Arc<str>, Known)>),
}

impl Known {
    /// Whether something written out in it may have no value yet.
    pub(super) fn is_open(&self) -> bool {
        let open = |known: &Known| *known == Known::Free || *known == ANY;
        match self {
            Known::List(items) => items.iter().any(open),
            Known::Dict(members) => members.iter().any(|(_, member)| open(member)),
            _ => false,
        }
    }

    /// What a member of something that is no part of the row is. One that gets its value later may become such a part.
    pub(super) fn member(&self, name: &str) -> Known {
        let Known::Dict(members) = self else { return Known::Ground };
        match members.iter().find(|(own, _)| own.as_ref() == name) {
            Some((_, Known::Free)) => ANY,
            Some((_, known)) => known.clone(),
            None => Known::Ground,
        }
    }
}

/// What may be any part of the row.
const ANY: Known = Known::Part(None, Vec::new());

/// A plain constant; floats by their bits, so that it can be a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Constant {
    Bool(bool),
    Int(i64),
    Float(u64),
    Text(Arc<str>),
}

impl Constant {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Constant::Bool(value) => Value::Bool(*value),
            Constant::Int(n) => Value::Int(*n),
            Constant::Float(bits) => Value::Float(f64::from_bits(*bits)),
            Constant::Text(text) => Value::Text(text),
        }
    }
}

/// A rule's variables; two without a value that have been made equal share one place.
#[derive(Clone)]
pub(super) struct Frame<'a> {
    pub(super) slots: Vec<Known>,
    pub(super) same: Vec<usize>,
    pub(super) names: &'a [Arc<str>],
}

impl<'a> Frame<'a> {
    pub(super) fn new(names: &'a [Arc<str>]) -> Self {
        Frame { slots: vec![Known::Free; names.len()], same: (0..names.len()).collect(), names }
    }

    pub(super) fn root(&self, slot: usize) -> usize {
        self.same.get(slot).copied().unwrap_or(slot)
    }

    pub(super) fn alias(&mut self, a: usize, b: usize) {
        let (keep, give) = (self.root(a), self.root(b));
        self.same.iter_mut().filter(|root| **root == give).for_each(|root| *root = keep);
    }

    pub(super) fn get(&self, slot: usize) -> Known {
        self.slots.get(self.root(slot)).cloned().unwrap_or(Known::Free)
    }

    /// For messages; names that polar-core made say nothing.
    pub(super) fn name(&self, slot: usize) -> String {
        match self.names.get(slot) {
            Some(name) if !name.starts_with('_') => format!("`{name}`"),
            _ => "this".to_owned(),
        }
    }
}

pub(super) fn bind(term: &Term, known: &Known, frame: &mut Frame<'_>) {
    match (term, known) {
        (Term::Var(slot), known) => {
            let root = frame.root(*slot);
            if let Some(held) = frame.slots.get_mut(root)
                && (*held == Known::Free
                    || matches!((&*held, known), (Known::Row(None), Known::Row(Some(_)))))
            {
                *held = known.clone();
            }
        }
        (Term::List(items), Known::List(known)) => {
            items.iter().zip(known).for_each(|(t, k)| bind(t, k, frame))
        }
        (Term::List(items), known) if *known != Known::Free => {
            items.iter().for_each(|t| bind(t, &Known::Ground, frame))
        }
        (Term::Dict(members), known) if *known != Known::Free => {
            members.iter().for_each(|(name, t)| bind(t, &known.member(name), frame));
        }
        _ => {}
    }
}

/// What a value is that is one thing or another. A part of the row wins, so that nothing is missed.
pub(super) fn join(a: &Known, b: &Known) -> Known {
    match (a, b) {
        (a, b) if a == b => a.clone(),
        (Known::Free, _) | (_, Known::Free) => Known::Free,
        (part @ (Known::Part(..) | Known::Row(_)), _) | (_, part @ (Known::Part(..) | Known::Row(_))) => {
            part.clone()
        }
        (Known::List(_) | Known::Dict(_), _) | (_, Known::List(_) | Known::Dict(_)) => {
            join(&flat(a.clone()), &flat(b.clone()))
        }
        _ => Known::Ground,
    }
}

/// A list or dictionary within another is not looked into again: it would grow with every call.
pub(super) fn flat(known: Known) -> Known {
    match known {
        Known::List(items) => items.into_iter().fold(Known::Ground, |held, item| match item {
            Known::Free => ANY,
            item => join(&held, &item),
        }),
        Known::Dict(members) => members.into_iter().fold(Known::Ground, |held, (_, known)| match known {
            Known::Free => ANY,
            known => join(&held, &known),
        }),
        known => known,
    }
}

/// What an argument is after a call of which nothing is known.
pub(super) fn ground(known: &Known) -> Known {
    if *known == Known::Free { Known::Ground } else { known.clone() }
}

/// A term without variables as a value.
pub(super) fn constant(term: &Term) -> Option<Value<'_>> {
    Some(match term {
        Term::Bool(value) => Value::Bool(*value),
        Term::Int(n) => Value::Int(*n),
        Term::Float(n) => Value::Float(*n),
        Term::Text(text) => Value::Text(text),
        Term::Dict(members) => Value::Dict(
            members
                .iter()
                .map(|(name, term)| Some((name.as_ref(), constant(term)?)))
                .collect::<Option<_>>()?,
        ),
        Term::List(items) => Value::List(items.iter().map(constant).collect::<Option<_>>()?),
        Term::Var(_) | Term::Nil | Term::Refused(..) => return None,
    })
}

/// Whether a rule's body always calls the rule with its own parameters.
pub(super) fn endless(rule: &Rule, name: &str, body: &Goal) -> bool {
    match &body.kind {
        Kind::And(goals) => goals.iter().any(|goal| endless(rule, name, goal)),
        Kind::Call(callee, args) => {
            callee.as_ref() == name
                && args.len() == rule.params.len()
                && args.iter().zip(&rule.params).all(|(arg, param)| *arg == param.term)
        }
        _ => false,
    }
}
