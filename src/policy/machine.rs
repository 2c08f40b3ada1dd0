//! The solver's machine: goals, choice points, bindings. It runs a query over ground values and one unknown row, and
//! answers with the conditions on the row under which the query holds. Own loop instead of Rust's stack, with a
//! budget of steps: no policy can stall or overflow it.
//!
//! A goal whose variables are all bound is solved on its own, and its solutions become one condition; so neither
//! alternatives multiply nor does a helper rule's choice leak into `not`.

use std::{cell::Cell, rc::Rc};

use crate::policy::filter;
use crate::policy::program::{Goal, Kind, Program, Rule, Term};
use crate::policy::scope::Collections;
use crate::policy::text::Span;
use crate::policy::value::{Claims, Value};
use crate::query::{Collection, Filter};

/// How deep rules may call each other, `not` and `or` included.
const DEPTH_MAX: usize = 64;
/// The most remarks kept of one run.
const REMARKS_MAX: usize = 16;

/// Why a query has no answer; the caller denies.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    /// The policy says what no filter can say.
    Refused(Span, String),
    /// Too many steps or too deep.
    Budget,
}

/// What a run knows.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) program: &'a Program,
    pub(super) user: &'a Claims,
    pub(super) collection: Option<&'a Collection>,
    /// Where relations lead; none where rules follow none.
    pub(super) around: Option<Around<'a>>,
}

/// The collections around one, and how far rules follow relations to them.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) collections: &'a Collections,
    pub(super) relations_max: usize,
}

/// One way in which a query holds.
pub(super) struct Solution<'a> {
    pub(super) when: Filter,
    pub(super) value: Option<Value<'a>>,
}

pub(super) struct Machine<'a> {
    pub(super) world: World<'a>,
    heap: Vec<Option<Value<'a>>>,
    trail: Vec<usize>,
    pub(super) conditions: Vec<Filter>,
    /// How often types did not fit or a field was unknown: such a goal is false, and so is a `not` around it.
    pub(super) clashes: usize,
    pub(super) remarks: Vec<(Span, String)>,
    /// In a cell, so that looking at a value can be paid for, too.
    steps_left: Cell<usize>,
    /// How many items of lists and related rows have got a number.
    pub(super) numbered: u32,
}

/// A list of goals that shares its tail with others.
#[derive(Clone, Default)]
pub(super) struct Goals<'a>(Option<Rc<Node<'a>>>);

pub(super) struct Node<'a> {
    task: Task<'a>,
    depth: usize,
    next: Goals<'a>,
}

#[derive(Clone)]
pub(super) enum Task<'a> {
    /// A goal of a rule whose variables start there in the heap.
    Goal(&'a Goal, usize),
    /// Trying a rule on arguments.
    Enter(&'a Rule, Rc<[Value<'a>]>),
    Unify(Value<'a>, Value<'a>, Span),
    /// Adding a condition, on one of several ways.
    Require(Filter),
}

struct Choice<'a> {
    goals: Goals<'a>,
    mark: Mark,
}

#[derive(Clone, Copy)]
struct Mark {
    trail: usize,
    heap: usize,
    conditions: usize,
}

impl Drop for Goals<'_> {
    /// A long list would be dropped by recursion otherwise.
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(node) = next {
            next = Rc::try_unwrap(node).ok().and_then(|mut node| node.next.0.take());
        }
    }
}

impl<'a> Goals<'a> {
    pub(super) fn before(task: Task<'a>, depth: usize, next: &Goals<'a>) -> Self {
        Goals(Some(Rc::new(Node { task, depth, next: next.clone() })))
    }
}

impl<'a> Machine<'a> {
    pub(super) fn new(world: World<'a>, steps_max: usize) -> Self {
        Machine {
            world,
            heap: Vec::new(),
            trail: Vec::new(),
            conditions: Vec::new(),
            clashes: 0,
            remarks: Vec::new(),
            steps_left: Cell::new(steps_max),
            numbered: 0,
        }
    }

    /// What is left of the budget.
    pub(super) fn steps_left(&self) -> usize {
        self.steps_left.get()
    }

    /// The condition under which the rule `name` holds for closed arguments.
    pub(super) fn ask(&mut self, name: &str, args: Vec<Value<'a>>) -> Result<Filter, Fault> {
        let alternatives = self.alternatives(name, args.into(), 0, &Goals::default())?;
        self.test(alternatives)
    }

    /// All values of one more argument for which the rule holds, with their conditions.
    pub(super) fn ask_last(
        &mut self,
        name: &str,
        mut args: Vec<Value<'a>>,
    ) -> Result<Vec<Solution<'a>>, Fault> {
        let wanted = self.fresh();
        args.push(wanted.clone());
        let alternatives = self.alternatives(name, args.into(), 0, &Goals::default())?;
        self.run(alternatives, Some(&wanted))
    }

    pub(super) fn fresh(&mut self) -> Value<'a> {
        self.heap.push(None);
        Value::Var(self.heap.len() - 1)
    }

    /// Pays for some work.
    pub(super) fn charge(&self, steps: usize) -> Result<(), Fault> {
        let left = self.steps_left.get().checked_sub(steps);
        self.steps_left.set(left.unwrap_or(0));
        left.map(drop).ok_or(Fault::Budget)
    }

    /// Notes that types do not fit or a field is unknown; the goal is false.
    pub(super) fn clash(&mut self, span: Span, reason: impl Into<String>) -> bool {
        self.clashes += 1;
        if self.remarks.len() < REMARKS_MAX {
            self.remarks.push((span, reason.into()));
        }
        false
    }

    pub(super) fn bind(&mut self, variable: usize, value: Value<'a>) {
        if let Some(slot) = self.heap.get_mut(variable) {
            *slot = Some(value);
            self.trail.push(variable);
        }
    }

    /// The value behind variables.
    pub(super) fn walk(&self, value: &Value<'a>) -> Value<'a> {
        let mut value = value.clone();
        while let Value::Var(variable) = value {
            match self.heap.get(variable) {
                Some(Some(bound)) => value = bound.clone(),
                _ => break,
            }
        }
        value
    }

    /// Whether no variable without a value is in it. Lists that share their parts can be huge to look at: when the
    /// budget ends it says no, and the next step fails.
    pub(super) fn closed(&self, value: &Value<'a>) -> bool {
        if self.charge(1).is_err() {
            return false;
        }
        match self.walk(value) {
            Value::Var(_) => false,
            Value::List(items) => items.iter().all(|item| self.closed(item)),
            Value::Dict(members) => members.iter().all(|(_, member)| self.closed(member)),
            _ => true,
        }
    }

    pub(super) fn value(&self, term: &'a Term, base: usize) -> Result<Value<'a>, Fault> {
        Ok(match term {
            Term::Var(slot) => Value::Var(base + slot),
            Term::Nil => Value::Nil,
            Term::Bool(value) => Value::Bool(*value),
            Term::Int(n) => Value::Int(*n),
            Term::Float(n) => Value::Float(*n),
            Term::Text(text) => Value::Text(text),
            Term::List(items) => {
                Value::List(items.iter().map(|item| self.value(item, base)).collect::<Result<_, _>>()?)
            }
            Term::Dict(members) => Value::Dict(
                members
                    .iter()
                    .map(|(name, term)| Ok((name.as_ref(), self.value(term, base)?)))
                    .collect::<Result<_, Fault>>()?,
            ),
            Term::Refused(span, reason) => return Err(Fault::Refused(*span, reason.clone())),
        })
    }

    /// The condition under which one of the alternatives holds.
    pub(super) fn test(&mut self, alternatives: Vec<Goals<'a>>) -> Result<Filter, Fault> {
        let solutions = self.run(alternatives, None)?;
        Ok(filter::or(solutions.into_iter().map(|solution| solution.when)))
    }

    /// Every solution. With `wanted`, its value in each; without, it stops at the first that holds always.
    pub(super) fn run(
        &mut self,
        alternatives: Vec<Goals<'a>>,
        wanted: Option<&Value<'a>>,
    ) -> Result<Vec<Solution<'a>>, Fault> {
        let start = self.mark();
        let mut choices: Vec<Choice<'a>> =
            alternatives.into_iter().rev().map(|goals| Choice { goals, mark: start }).collect();
        let mut solutions = Vec::new();
        while let Some(Choice { goals, mark }) = choices.pop() {
            self.undo(mark);
            let mut goals = Some(goals);
            while let Some(current) = goals.take() {
                self.charge(1)?;
                let Some(node) = &current.0 else {
                    let found = self.conditions.get(start.conditions..).unwrap_or_default().to_vec();
                    let passes = 1 + found.iter().filter(|part| filter::opens(part)).count();
                    self.charge(passes * found.iter().map(filter::size).sum::<usize>())?;
                    let when = filter::closed(found);
                    let always = when == Filter::Const(true);
                    solutions.push(Solution { when, value: wanted.map(|value| self.walk(value)) });
                    if always && wanted.is_none() {
                        choices.clear();
                    }
                    break;
                };
                let node = node.clone();
                let mark = self.mark();
                let mut next = self.advance(&node)?.into_iter();
                goals = next.next();
                choices.extend(next.rev().map(|goals| Choice { goals, mark }));
            }
        }
        self.undo(start);
        Ok(solutions)
    }

    fn mark(&self) -> Mark {
        Mark { trail: self.trail.len(), heap: self.heap.len(), conditions: self.conditions.len() }
    }

    fn undo(&mut self, mark: Mark) {
        for variable in self.trail.drain(mark.trail.min(self.trail.len())..) {
            if let Some(slot) = self.heap.get_mut(variable) {
                *slot = None;
            }
        }
        self.heap.truncate(mark.heap);
        self.conditions.truncate(mark.conditions);
    }

    /// Does one task; answers the ways on: none when it fails.
    fn advance(&mut self, node: &Node<'a>) -> Result<Vec<Goals<'a>>, Fault> {
        let next = &node.next;
        let (goal, base) = match &node.task {
            Task::Goal(goal, base) => (*goal, *base),
            Task::Unify(a, b, span) => return Ok(on(self.unify(a, b, *span)?, next)),
            Task::Require(condition) => return Ok(on(self.require(condition.clone()), next)),
            Task::Enter(rule, args) => return self.enter(rule, args, node),
        };
        let push = |goal: &'a Goal, next: &Goals<'a>| Goals::before(Task::Goal(goal, base), node.depth, next);
        match &goal.kind {
            Kind::And(goals) => {
                Ok(vec![goals.iter().rev().fold(next.clone(), |next, goal| push(goal, &next))])
            }
            Kind::Or(goals, outer) if outer.iter().all(|slot| self.closed(&Value::Var(base + slot))) => {
                let depth = deeper(node.depth)?;
                let alone = |goal| Goals::before(Task::Goal(goal, base), depth, &Goals::default());
                let found = self.test(goals.iter().map(alone).collect())?;
                Ok(on(self.require(found), next))
            }
            Kind::Or(goals, _) => Ok(goals.iter().map(|goal| push(goal, next)).collect()),
            Kind::Not(inner, outer) => {
                let holds = self.not(goal, inner, outer, base, node.depth)?;
                Ok(on(holds, next))
            }
            Kind::Call(name, args) => {
                let args = args.iter().map(|arg| self.value(arg, base)).collect::<Result<Vec<_>, _>>()?;
                self.call(name, args, node)
            }
            Kind::In(item, list) => {
                let (item, list) = (self.value(item, base)?, self.value(list, base)?);
                self.member(&item, &list, goal.span, node.depth, next)
            }
            Kind::Begins { text, prefix, out } => {
                let values = [text, prefix, out].map(|term| self.value(term, base));
                let [text, prefix, out] = values;
                self.begins((&text?, &prefix?, &out?), goal.span, node.depth, next)
            }
            _ => Ok(on(self.plain(goal, base)?, next)),
        }
    }

    /// Adds a condition; false when it can never hold.
    pub(super) fn require(&mut self, condition: Filter) -> bool {
        match condition {
            Filter::Const(value) => value,
            condition => {
                self.conditions.push(condition);
                true
            }
        }
    }

    fn not(
        &mut self,
        goal: &'a Goal,
        inner: &'a Goal,
        outer: &[usize],
        base: usize,
        depth: usize,
    ) -> Result<bool, Fault> {
        if outer.iter().any(|slot| !self.closed(&Value::Var(base + slot))) {
            let reason = "a variable in `not` has no value here yet; give it one in a condition before";
            return Err(Fault::Refused(goal.span, reason.to_owned()));
        }
        let clashes = self.clashes;
        let alone = Goals::before(Task::Goal(inner, base), deeper(depth)?, &Goals::default());
        let found = self.test(vec![alone])?;
        Ok(self.clashes == clashes && self.require(filter::not(found)))
    }

    fn call(&mut self, name: &str, args: Vec<Value<'a>>, node: &Node<'a>) -> Result<Vec<Goals<'a>>, Fault> {
        let depth = deeper(node.depth)?;
        if args.iter().all(|arg| self.closed(arg)) {
            let alternatives = self.alternatives(name, args.into(), depth, &Goals::default())?;
            let found = self.test(alternatives)?;
            return Ok(on(self.require(found), &node.next));
        }
        self.alternatives(name, args.into(), depth, &node.next)
    }

    fn alternatives(
        &mut self,
        name: &str,
        args: Rc<[Value<'a>]>,
        depth: usize,
        next: &Goals<'a>,
    ) -> Result<Vec<Goals<'a>>, Fault> {
        let rules = self.world.program.named(name, args.len());
        self.charge(rules.len())?;
        Ok(rules.iter().map(|rule| Goals::before(Task::Enter(rule, args.clone()), depth, next)).collect())
    }

    fn enter(
        &mut self,
        rule: &'a Rule,
        args: &[Value<'a>],
        node: &Node<'a>,
    ) -> Result<Vec<Goals<'a>>, Fault> {
        let base = self.heap.len();
        self.heap.extend(rule.slots.iter().map(|_| None));
        for (param, arg) in rule.params.iter().zip(args) {
            let wanted = self.value(&param.term, base)?;
            let fits = self.unify(&wanted, arg, param.span)?
                && match &param.pattern {
                    Some(pattern) => self.matches(arg, pattern, base, param.span)?,
                    None => true,
                };
            if !fits {
                return Ok(Vec::new());
            }
        }
        Ok(vec![Goals::before(Task::Goal(&rule.body, base), node.depth, &node.next)])
    }
}

fn deeper(depth: usize) -> Result<usize, Fault> {
    if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(Fault::Budget) }
}

/// The way on after a goal that has no alternatives.
pub(super) fn on<'a>(holds: bool, next: &Goals<'a>) -> Vec<Goals<'a>> {
    if holds { vec![next.clone()] } else { Vec::new() }
}
