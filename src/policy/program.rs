//! A policy in the form that the solver runs: rules, goals and terms of our own, with the place of each in the text.
//! `load` makes it from what polar-core has parsed; nothing here evaluates.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::policy::text::{File, Span};
use crate::query::Comparison;

/// All rules of all files.
#[derive(Debug, Default)]
pub(super) struct Program {
    /// By name and number of parameters, in the order of the text.
    pub(super) rules: BTreeMap<(String, usize), Vec<Rule>>,
    /// Every member name that any rule reads: claims that are not among them cannot matter.
    pub(super) members: BTreeSet<String>,
    /// Classes that are none of the built-in ones: collections, with where each is first named.
    pub(super) collections: BTreeMap<String, Span>,
    /// The classes that are declared as `actor` and `resource`.
    pub(super) actors: BTreeSet<String>,
    pub(super) resources: BTreeSet<String>,
    pub(super) files: Vec<File>,
}

impl Program {
    /// The text of the rule in which something stands, from its head to its semicolon.
    pub(super) fn rule_text(&self, place: Span) -> &str {
        // A rule's own span may end with its head, so the head that stands last before the place is its rule's.
        let heads = self.rules.values().flatten().map(|rule| rule.span);
        let before = heads.filter(|head| head.file == place.file && head.start <= place.start);
        let start = before.map(|head| head.start).max().unwrap_or(place.start);
        let text = self.files.get(place.file).map_or("", |file| &file.text);
        let end =
            text.get(place.end..).and_then(|rest| rest.find(';')).map_or(text.len(), |at| place.end + at);
        text.get(start..end).unwrap_or_default()
    }

    pub(super) fn named(&self, name: &str, parameters: usize) -> &[Rule] {
        // A lookup by borrowed pair is not possible; policies have few rule names.
        self.rules
            .iter()
            .find(|((rule, count), _)| rule == name && *count == parameters)
            .map_or(&[], |(_, rules)| rules.as_slice())
    }
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) params: Vec<Param>,
    pub(super) body: Goal,
    /// The variables' names; a variable is an index into it.
    pub(super) slots: Vec<Arc<str>>,
    pub(super) span: Span,
}

#[derive(Clone, Debug)]
pub(super) struct Param {
    pub(super) term: Term,
    pub(super) pattern: Option<Inner>,
    pub(super) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Var(usize),
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    List(Vec<Term>),
    Dict(Vec<(Arc<str>, Term)>),
    /// What cannot be a value here; says why.
    Refused(Span, String),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    /// `None` for a dictionary pattern.
    pub(super) class: Option<Arc<str>>,
    pub(super) fields: Vec<(Arc<str>, Inner)>,
    pub(super) span: Span,
}

/// What a pattern wants of one field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Inner {
    Term(Term),
    Pattern(Pattern),
}

#[derive(Clone, Debug)]
pub(super) struct Goal {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Eq,
    Neq,
    Lt,
    Lte,
    Gt,
    Gte,
}

impl Compare {
    /// What values must be fit for.
    pub(super) fn comparison(self) -> Comparison {
        match self {
            Compare::Eq | Compare::Neq => Comparison::Eq,
            Compare::Lt => Comparison::Lt,
            Compare::Lte => Comparison::Lte,
            Compare::Gt => Comparison::Gt,
            Compare::Gte => Comparison::Gte,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Rem,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Const(bool),
    And(Vec<Goal>),
    /// With the variables that also stand outside of it.
    Or(Vec<Goal>, Vec<usize>),
    /// With the variables that also stand outside of it.
    Not(Box<Goal>, Vec<usize>),
    Unify(Term, Term),
    Compare(Compare, Term, Term),
    In(Term, Term),
    Isa(Term, Inner),
    Get {
        object: Term,
        name: Arc<str>,
        out: Term,
    },
    Arithmetic {
        op: Arithmetic,
        left: Term,
        right: Term,
        out: Term,
    },
    /// `text.starts_with(prefix)`, with what it comes to.
    Begins {
        text: Term,
        prefix: Term,
        out: Term,
    },
    Call(Arc<str>, Vec<Term>),
    /// What polar-core can run but a filter cannot say; the reason.
    Refused(String),
}

impl Term {
    pub(super) fn vars(&self, out: &mut Vec<usize>) {
        match self {
            Term::Var(slot) => out.push(*slot),
            Term::List(items) => items.iter().for_each(|item| item.vars(out)),
            Term::Dict(members) => members.iter().for_each(|(_, member)| member.vars(out)),
            _ => {}
        }
    }
}

impl Pattern {
    pub(super) fn vars(&self, out: &mut Vec<usize>) {
        self.fields.iter().for_each(|(_, inner)| inner.vars(out));
    }
}

impl Inner {
    pub(super) fn vars(&self, out: &mut Vec<usize>) {
        match self {
            Inner::Term(term) => term.vars(out),
            Inner::Pattern(pattern) => pattern.vars(out),
        }
    }
}

impl Goal {
    /// Every occurrence of every variable.
    pub(super) fn vars(&self, out: &mut Vec<usize>) {
        match &self.kind {
            Kind::Const(_) | Kind::Refused(_) => {}
            Kind::And(goals) | Kind::Or(goals, _) => goals.iter().for_each(|goal| goal.vars(out)),
            Kind::Not(goal, _) => goal.vars(out),
            Kind::Unify(a, b) | Kind::Compare(_, a, b) | Kind::In(a, b) => {
                [a, b].iter().for_each(|t| t.vars(out))
            }
            Kind::Isa(term, pattern) => {
                term.vars(out);
                pattern.vars(out);
            }
            Kind::Get { object, out: result, .. } => [object, result].iter().for_each(|t| t.vars(out)),
            Kind::Arithmetic { left, right, out: result, .. } => {
                [left, right, result].iter().for_each(|t| t.vars(out));
            }
            Kind::Begins { text, prefix, out: result } => {
                [text, prefix, result].iter().for_each(|t| t.vars(out));
            }
            Kind::Call(_, args) => args.iter().for_each(|arg| arg.vars(out)),
        }
    }

    /// Fills in, for each `or` and `not`, which of its variables also stand outside of it; `total` counts all
    /// occurrences in the rule.
    pub(super) fn mark_outer(&mut self, total: &BTreeMap<usize, usize>) {
        match &mut self.kind {
            Kind::And(goals) => goals.iter_mut().for_each(|goal| goal.mark_outer(total)),
            Kind::Or(goals, outer) => {
                goals.iter_mut().for_each(|goal| goal.mark_outer(total));
                let mut inside = Vec::new();
                goals.iter().for_each(|goal| goal.vars(&mut inside));
                *outer = outer_of(&inside, total);
            }
            Kind::Not(goal, outer) => {
                goal.mark_outer(total);
                let mut inside = Vec::new();
                goal.vars(&mut inside);
                *outer = outer_of(&inside, total);
            }
            _ => {}
        }
    }
}

/// Counts the occurrences of each variable.
pub(super) fn count(vars: &[usize]) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    vars.iter().for_each(|slot| *counts.entry(*slot).or_insert(0) += 1);
    counts
}

fn outer_of(inside: &[usize], total: &BTreeMap<usize, usize>) -> Vec<usize> {
    count(inside)
        .into_iter()
        .filter(|(slot, n)| total.get(slot).is_some_and(|all| all > n))
        .map(|(slot, _)| slot)
        .collect()
}
