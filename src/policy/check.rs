//! The static walk: follows every rule that can be reached from `allow`, `allow_field` and `mask_field`, with what
//! is known of each variable, and refuses what could not become a filter for some actor. With the catalog it also
//! checks field names and the types of constants. Sample actors would not do: a rule behind a claim would pass.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::policy::beyond::NO_FOLLOWING;
use crate::policy::fields;
use crate::policy::known::{Constant, Frame, Known, bind, constant, endless, flat, ground, join};
use crate::policy::load::BUILT_IN;
use crate::policy::program::{Goal, Inner, Kind, Param, Pattern, Program, Rule, Term};
use crate::policy::request;
use crate::policy::shapes::{Shapes, Unknown, nearest};
use crate::policy::text::Span;
use crate::query::Comparison;

/// How deep calls and conditions may nest together.
const DEPTH_MAX: usize = 120;
/// The most goals that the walk looks at.
const GOALS_MAX: usize = 200_000;
/// What can be done.
const ACTIONS: [&str; 5] = ["read", "source", "retract", "steward", "administer"];

const NO_ARITHMETIC: &str =
    "arithmetic on a field of the row cannot become a filter; move it to the other side of the comparison";
const NO_OPEN: &str = "a variable within it has no value here yet; give it one in a condition before this";
const NO_SUCH_MASK: &str = "there is no such mask; there are \"null\", \"hash\", {keep_first: n}, {keep_last: n}, \
     {round: n}, {truncate: \"year\" | \"month\" | \"day\" | \"hour\"}";

/// What is wrong with a program at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wrong {
    pub(super) span: Span,
    pub(super) reason: String,
    /// The class whose collection it does not fit, if it is that.
    pub(super) class: Option<Arc<str>>,
}

/// What the walk has found, in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) wrong: Vec<Wrong>,
    /// Rules that follow a relation which is not accepted yet.
    pub(super) asleep: Vec<Wrong>,
}

/// Walks the program.
pub(super) fn check(program: &Program, shapes: Option<&Shapes>) -> Checked {
    let mut walk = Walk {
        program,
        shapes,
        wrong: BTreeSet::new(),
        seen: BTreeMap::new(),
        used: BTreeSet::new(),
        absent: BTreeMap::new(),
        followed: BTreeSet::new(),
        fields: false,
        goals: 0,
    };
    let row = || Known::Row(None);
    let text = |text: &str| Known::Constant(Constant::Text(text.into()));
    walk.call("allow", vec![Known::User, text("read"), row()], Span::default(), 0);
    for action in ACTIONS.iter().skip(1) {
        walk.call("allow", vec![Known::User, text(action), Known::Source], Span::default(), 0);
    }
    walk.fields = true;
    walk.call("allow_field", vec![Known::User, text("read"), row(), Known::Field], Span::default(), 0);
    walk.call("mask_field", vec![Known::User, row(), Known::Field, Known::Free], Span::default(), 0);
    walk.call("allow_request", vec![Known::User, Known::Request], Span::default(), 0);
    walk.entries();
    walk.unused();
    walk.finished()
}

/// A rule's name, what its arguments are, and whether it decides about fields.
type Call = (String, Vec<Known>, bool);
/// A path of a class.
type Path = (Arc<str>, Vec<Arc<str>>);
/// What a call leaves its arguments as; `None` when it can never hold.
type Left = Option<Vec<Known>>;

pub(super) struct Walk<'a> {
    program: &'a Program,
    pub(super) shapes: Option<&'a Shapes>,
    wrong: BTreeSet<Wrong>,
    /// What calls leave their arguments as; `None` while they are walked.
    seen: BTreeMap<Call, Option<Left>>,
    used: BTreeSet<(String, usize)>,
    /// Names that lead nowhere, each with where it stands and why.
    absent: BTreeMap<Path, BTreeSet<(Span, String)>>,
    /// Paths of which something more is asked than their value: a relation that is not accepted yet may be there.
    followed: BTreeSet<Path>,
    /// It is about rules that decide about fields, with one row at hand.
    fields: bool,
    goals: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn refuse(&mut self, span: Span, reason: impl Into<String>) {
        self.misfit(span, reason, None);
    }

    /// The same of what does not fit the collection of a class.
    pub(super) fn misfit(&mut self, span: Span, reason: impl Into<String>, class: Option<&Arc<str>>) {
        self.wrong.insert(Wrong { span, reason: reason.into(), class: class.cloned() });
    }

    /// What leads nowhere is wrong, unless more is asked of it and nothing that there is has a name like it.
    fn finished(mut self) -> Checked {
        let mut asleep = BTreeSet::new();
        for ((class, path), places) in std::mem::take(&mut self.absent) {
            let followed = self.followed.contains(&(class.clone(), path.clone()));
            let sleeps =
                self.shapes.filter(|_| followed).and_then(|shapes| shapes.no_relation(&class, &path));
            for (span, reason) in places {
                match &sleeps {
                    Some(Ok(reason)) => {
                        let (reason, class) = (reason.clone(), Some(class.clone()));
                        asleep.insert(Wrong { span, reason, class });
                    }
                    Some(Err(reason)) => self.misfit(span, reason.clone(), Some(&class)),
                    None => self.misfit(span, reason, Some(&class)),
                }
            }
        }
        Checked { wrong: self.wrong.into_iter().collect(), asleep: asleep.into_iter().collect() }
    }

    /// More is asked of what the path leads to than its value.
    pub(super) fn followed(&mut self, class: Option<&Arc<str>>, path: &[Arc<str>]) {
        if let (Some(class), false) = (class, path.is_empty()) {
            self.followed.insert((class.clone(), path.to_vec()));
        }
    }

    /// The heads of the entry rules: actions and masks that there are.
    fn entries(&mut self) {
        for (name, count, action, mask) in
            [("allow", 3, Some(1), None), ("allow_field", 4, Some(1), None), ("mask_field", 4, None, Some(3))]
        {
            for rule in self.program.named(name, count) {
                if let Some(Param { term: Term::Text(text), span, .. }) =
                    action.and_then(|at| rule.params.get(at))
                    && !ACTIONS.contains(&text.as_ref())
                {
                    self.refuse(
                        *span,
                        format!("there is no action `{text}`; there are {}", ACTIONS.join(", ")),
                    );
                }
                if let Some(Param { term, span, .. }) = mask.and_then(|at| rule.params.get(at))
                    && constant(term).is_some_and(|value| fields::mask_of(&value).is_none())
                {
                    self.refuse(*span, NO_SUCH_MASK);
                }
            }
        }
    }

    /// Rules that nothing reaches although their name says that they were meant to.
    fn unused(&mut self) {
        for ((name, count), rules) in &self.program.rules {
            if self.used.contains(&(name.clone(), *count)) {
                continue;
            }
            let (entry, expected) = match name.as_str() {
                "mask_field" => ("mask_field", 4),
                _ => match nearest(name, ["allow", "allow_field", "mask_field", "allow_request"].into_iter())
                {
                    Some("allow") => ("allow", 3),
                    Some("allow_request") => ("allow_request", 2),
                    Some(entry) => (entry, 4),
                    None => continue,
                },
            };
            if let Some(rule) = rules.first() {
                let reason = format!(
                    "nothing uses this rule; `{entry}` has {expected} parameters and is asked by that name"
                );
                self.refuse(rule.span, reason);
            }
        }
    }

    /// Walks all rules of that name; answers what the arguments are afterwards.
    ///
    /// `None` when none can hold for such arguments.
    fn call(&mut self, name: &str, args: Vec<Known>, span: Span, depth: usize) -> Option<Vec<Known>> {
        if depth > DEPTH_MAX || self.goals > GOALS_MAX {
            self.refuse(span, "rules call each other too deeply here; make them simpler");
            return None;
        }
        self.used.insert((name.to_owned(), args.len()));
        let key = (name.to_owned(), args.clone(), self.fields);
        match self.seen.get(&key) {
            Some(Some(after)) => return after.clone(),
            // It calls itself; what it leaves is found by its other ways.
            Some(None) => return Some(args.iter().map(ground).collect()),
            None => drop(self.seen.insert(key.clone(), None)),
        }
        let mut after: Option<Vec<Known>> = None;
        for rule in self.program.named(name, args.len()) {
            if let Some(left) = self.rule(rule, name, &args, depth) {
                after = Some(match after {
                    None => left,
                    Some(held) => held.iter().zip(&left).map(|(a, b)| join(a, b)).collect(),
                });
            }
        }
        self.seen.insert(key, Some(after.clone()));
        after
    }

    /// `None` when the rule cannot apply to such arguments.
    fn rule(&mut self, rule: &'a Rule, name: &str, args: &[Known], depth: usize) -> Option<Vec<Known>> {
        let mut frame = Frame::new(&rule.slots);
        for (param, arg) in rule.params.iter().zip(args) {
            let wanted = self.term(&param.term, &frame);
            if let (Known::Constant(Constant::Text(a)), Known::Constant(Constant::Text(b))) = (&wanted, arg)
                && a != b
            {
                return None;
            }
            self.never_equal(arg, &wanted, param.span);
            let arg = match &param.pattern {
                Some(pattern) => self.matches(arg, pattern, &mut frame, param.span)?,
                None => arg.clone(),
            };
            bind(&param.term, &arg, &mut frame);
        }
        if endless(rule, name, &rule.body) {
            self.refuse(rule.span, format!("`{name}` calls itself with the same arguments and never ends"));
            return None;
        }
        let holds = self.goal(&rule.body, &mut frame, depth + 1);
        holds.then(|| rule.params.iter().map(|param| self.term(&param.term, &frame)).collect())
    }

    /// Walks a goal; false when it can never hold for what is known.
    fn goal(&mut self, goal: &'a Goal, frame: &mut Frame<'a>, depth: usize) -> bool {
        self.goals += 1;
        if depth > DEPTH_MAX {
            self.refuse(goal.span, "conditions nest too deeply here; make them simpler");
            return true;
        }
        match &goal.kind {
            Kind::Const(value) => return *value,
            Kind::And(goals) => return goals.iter().all(|goal| self.goal(goal, frame, depth + 1)),
            Kind::Or(goals, _) => return self.either(goals, frame, depth),
            Kind::Not(inner, outer) => {
                if let Some(slot) = outer.iter().find(|slot| frame.get(**slot) == Known::Free) {
                    let name = frame.name(*slot);
                    let reason = format!(
                        "{name} has no value here yet; give it one before this `not`, or another name"
                    );
                    self.refuse(goal.span, reason);
                }
                self.goal(inner, &mut frame.clone(), depth + 1);
            }
            Kind::Unify(a, b) => self.unify(a, b, frame, goal.span),
            Kind::Compare(op, a, b) => {
                let (left, right) = (self.valued(a, frame, goal.span), self.valued(b, frame, goal.span));
                if left.is_open() || right.is_open() {
                    self.refuse(goal.span, NO_OPEN);
                }
                self.comparable(&left, op.comparison(), &right, goal.span);
            }
            Kind::Begins { text, prefix, out } => {
                let (text, prefix) =
                    (self.valued(text, frame, goal.span), self.valued(prefix, frame, goal.span));
                self.begins(&text, &prefix, goal.span);
                bind(out, &Known::Ground, frame);
            }
            Kind::In(item, list) => self.member(item, list, frame, goal.span),
            Kind::Isa(term, pattern) => {
                let value = self.valued(term, frame, goal.span);
                match self.matches(&value, pattern, frame, goal.span) {
                    Some(value) => bind(term, &value, frame),
                    None => return false,
                }
            }
            Kind::Get { object, name, out } => {
                let object = self.valued(object, frame, goal.span);
                let found = self.lookup(&object, name, goal.span);
                let wanted = self.term(out, frame);
                self.comparable(&wanted, Comparison::Eq, &found, goal.span);
                bind(out, &found, frame);
            }
            Kind::Arithmetic { left, right, out, .. } => {
                for term in [left, right] {
                    if matches!(self.valued(term, frame, goal.span), Known::Part(..) | Known::Row(_)) {
                        self.refuse(goal.span, NO_ARITHMETIC);
                    }
                }
                bind(out, &Known::Ground, frame);
            }
            Kind::Call(name, args) => {
                let known = args.iter().map(|arg| self.term(arg, frame)).collect();
                let Some(after) = self.call(name, known, goal.span, depth + 1) else { return false };
                args.iter().zip(&after).for_each(|(arg, known)| bind(arg, known, frame));
            }
            Kind::Refused(reason) => self.refuse(goal.span, reason.clone()),
        }
        true
    }

    fn either(&mut self, goals: &'a [Goal], frame: &mut Frame<'a>, depth: usize) -> bool {
        let mut joined: Option<Vec<Known>> = None;
        for goal in goals {
            let mut own = frame.clone();
            if self.goal(goal, &mut own, depth + 1) {
                let left: Vec<Known> = (0..own.slots.len()).map(|slot| own.get(slot)).collect();
                joined = Some(match joined {
                    None => left,
                    Some(held) => held.iter().zip(&left).map(|(a, b)| join(a, b)).collect(),
                });
            }
        }
        let Some(slots) = joined else { return false };
        *frame = Frame { slots, same: (0..frame.names.len()).collect(), names: frame.names };
        true
    }

    fn unify(&mut self, a: &'a Term, b: &'a Term, frame: &mut Frame<'a>, span: Span) {
        let (left, right) = (self.term(a, frame), self.term(b, frame));
        self.comparable(&left, Comparison::Eq, &right, span);
        if let (Term::Var(a), Term::Var(b), Known::Free, Known::Free) = (a, b, &left, &right) {
            frame.alias(*a, *b);
        }
        bind(a, &right, frame);
        bind(b, &left, frame);
    }

    /// What a value is when it is what the pattern wants; `None` when it cannot be.
    fn matches(
        &mut self,
        value: &Known,
        wanted: &'a Inner,
        frame: &mut Frame<'a>,
        span: Span,
    ) -> Option<Known> {
        let pattern = match wanted {
            Inner::Pattern(pattern) => pattern,
            Inner::Term(term) => {
                let wanted = self.term(term, frame);
                self.comparable(value, Comparison::Eq, &wanted, span);
                bind(term, value, frame);
                return Some(value.clone());
            }
        };
        let value = match &pattern.class {
            Some(class) => self.of_class(value, class, pattern)?,
            None => value.clone(),
        };
        for (name, inner) in &pattern.fields {
            let member = self.lookup(&value, name, pattern.span);
            self.matches(&member, inner, frame, pattern.span);
        }
        Some(value)
    }

    fn of_class(&mut self, value: &Known, class: &Arc<str>, pattern: &Pattern) -> Option<Known> {
        let collection = !BUILT_IN.contains(&class.as_ref());
        match value {
            Known::User | Known::Field | Known::Request
                if collection || matches!(class.as_ref(), "Source" | "Row") =>
            {
                let right = match value {
                    Known::User => "User",
                    Known::Field => "Field",
                    _ => "Request",
                };
                self.refuse(pattern.span, format!("this is never a `{class}`; the class here is `{right}`"));
                None
            }
            Known::User => matches!(class.as_ref(), "User" | "Actor").then(|| value.clone()),
            Known::Field => (class.as_ref() == "Field").then(|| value.clone()),
            Known::Request => (class.as_ref() == "Request").then(|| value.clone()),
            Known::Source => matches!(class.as_ref(), "Source" | "Resource").then(|| value.clone()),
            Known::Row(None) if collection => Some(Known::Row(Some(class.clone()))),
            Known::Row(Some(own)) if collection => (own == class).then(|| value.clone()),
            Known::Row(_) => matches!(class.as_ref(), "Row" | "Resource").then(|| value.clone()),
            Known::Part(..) => {
                self.refuse(
                    pattern.span,
                    "a field of the row has the type that its collection publishes; do not test it",
                );
                None
            }
            Known::Ground
            | Known::Text
            | Known::Constant(_)
            | Known::List(_)
            | Known::Dict(_)
            | Known::Free => Some(value.clone()),
        }
    }

    fn lookup(&mut self, object: &Known, name: &Arc<str>, span: Span) -> Known {
        let members: &[&str] = match object {
            Known::Source => &["category", "subcategory", "source_name"],
            Known::Field => &["name", "path", "tags", "parents", "classified", "published"],
            Known::Request => &request::MEMBERS,
            _ => &[],
        };
        match object {
            Known::Source | Known::Field | Known::Request if !members.contains(&name.as_ref()) => {
                self.refuse(span, format!("there is no `{name}` here; there are {}", members.join(", ")));
                Known::Ground
            }
            Known::Source => Known::Text,
            Known::Request if !matches!(name.as_ref(), "page" | "depth") => Known::Text,
            Known::Field if matches!(name.as_ref(), "name" | "path") => Known::Text,
            Known::Field if matches!(name.as_ref(), "tags" | "parents") => Known::List(vec![Known::Text]),
            Known::Row(class) | Known::Part(class, _) => {
                let mut path = if let Known::Part(_, path) = object { path.clone() } else { Vec::new() };
                self.followed(class.as_ref(), &path);
                path.push(name.clone());
                self.named(class.as_ref(), &path, span);
                Known::Part(class.clone(), path)
            }
            known => known.member(name),
        }
    }

    /// Looks at a name of the row, or of what the names before it lead to.
    fn named(&mut self, class: Option<&Arc<str>>, path: &[Arc<str>], span: Span) {
        let (Some(shapes), Some(class)) = (self.shapes, class) else { return };
        match shapes.unknown(class, path) {
            Some(Unknown::Wrong(reason)) => self.misfit(span, reason, Some(class)),
            Some(Unknown::Absent(reason)) => {
                self.absent.entry((class.clone(), path.to_vec())).or_default().insert((span, reason));
            }
            None if self.fields && shapes.is_relation(class, path) => {
                self.misfit(span, NO_FOLLOWING, Some(class));
            }
            None => {}
        }
    }

    pub(super) fn term(&mut self, term: &Term, frame: &Frame<'_>) -> Known {
        match term {
            Term::Var(slot) => frame.get(*slot),
            Term::List(items) => Known::List(items.iter().map(|item| flat(self.term(item, frame))).collect()),
            Term::Dict(members) => {
                let known =
                    |(name, member): &(Arc<str>, Term)| (name.clone(), flat(self.term(member, frame)));
                Known::Dict(members.iter().map(known).collect())
            }
            Term::Refused(span, reason) => {
                self.refuse(*span, reason.clone());
                Known::Ground
            }
            Term::Nil => Known::Ground,
            Term::Text(text) => Known::Constant(Constant::Text(text.clone())),
            Term::Bool(value) => Known::Constant(Constant::Bool(*value)),
            Term::Int(n) => Known::Constant(Constant::Int(*n)),
            Term::Float(n) => Known::Constant(Constant::Float(n.to_bits())),
        }
    }

    /// The term, which must have a value.
    pub(super) fn valued(&mut self, term: &Term, frame: &Frame<'_>, span: Span) -> Known {
        let known = self.term(term, frame);
        if known == Known::Free {
            let name = if let Term::Var(slot) = term { frame.name(*slot) } else { "this".to_owned() };
            self.refuse(
                span,
                format!("{name} has no value here yet; give it one in a condition before this"),
            );
            return Known::Ground;
        }
        known
    }
}
