//! Why somebody may see or do something: the rules one by one, asked of the same machine that decides. For operators,
//! as it tells what the policies keep from everybody else; decides nothing itself.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use crate::error::Result;
use crate::policy::engine::{Action, Engine, describe, known_claims};
use crate::policy::fields::{Built, explained, mask_of};
use crate::policy::machine::{Around, Fault, Goals, Machine, Task, World};
use crate::policy::program::{Goal, Kind, Program, Rule};
use crate::policy::scope::{Access, Collections, Scope};
use crate::policy::text::Diagnostic;
use crate::policy::value::{FieldFacts, Value};
use crate::query::{Collection, ENVELOPE, Filter, Mask, RECORD, TOLD};
use crate::record::{Actor, Source};
use crate::shape::Field;

/// A rule, and what it says of what was asked.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// `file:line`
    pub place: String,
    /// Its text.
    pub rule: String,
    /// The rows of which it holds: of all, of some, of none.
    pub when: Filter,
    /// The first condition that cannot hold for this actor, with its place; or why the rule cannot be decided.
    pub failed: Option<Diagnostic>,
}

/// How one field is shown, and why.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its names, joined by dots.
    pub name: String,
    /// How it is shown, the contract counted in.
    pub access: Access,
    /// The rows in which it is shown; all when there is none.
    pub when: Option<Filter>,
    /// The rules that allow it.
    pub allowed: Vec<Ruling>,
    /// The rules that mask it, or what it stands in, each with its mask; none for one that cannot be decided.
    pub masked: Vec<(Ruling, Option<Mask>)>,
    /// What else there is to say.
    pub note: Option<&'static str>,
}

/// What an actor may read of a collection, and why.
#[derive(Debug)]
pub struct Explanation {
    /// The rules about reading these rows.
    pub rules: Vec<Ruling>,
    /// Which rows, the contract counted in; none when nothing is seen.
    pub rows: Option<Filter>,
    /// How each field is shown.
    pub fields: Vec<Shown>,
    /// Why the policies as a whole cannot be decided.
    pub fault: Option<String>,
}

impl Engine {
    /// The names of the policy files in force.
    pub fn file_names(&self) -> Vec<String> {
        self.loaded.load().program.files.iter().map(|file| file.name.to_string()).collect()
    }

    /// What `actor`, which is [bound](Engine::bind) already, may read of `collection`, and why.
    ///
    /// # Errors
    /// Those of [`Engine::view`].
    pub fn explain(
        &self,
        actor: &Actor,
        collections: &Collections,
        collection: &Arc<Collection>,
    ) -> Result<Explanation> {
        let loaded = self.loaded.load();
        let program = &loaded.program;
        let user = known_claims(actor, program);
        let around = Some(Around { collections, relations_max: self.config.relations_max });
        let world = World { program, user: &user, collection: Some(collection), around };
        let asked = Asked { world, steps_max: self.config.steps_max };
        let rules = asked.row_rulings();
        let view = self.view(actor, collections, collection)?;
        let (built, fault) = match explained(world, collection, self.config.steps_max) {
            Ok(built) => (Some(built), None),
            Err(fault) => (None, Some(describe(program, &fault))),
        };
        let fields = match &built {
            Some(Built { facts, scope, .. }) => {
                let view = view.as_ref().map(|(_, scope)| scope.as_ref());
                let bound = actor.contract.is_some();
                // Rules about fields follow no relation.
                let asked = Asked { world: World { around: None, ..world }, ..asked };
                Seen { asked, facts, alone: scope.as_ref(), view, bound }.fields(collection)
            }
            None => Vec::new(),
        };
        Ok(Explanation { rules, rows: view.map(|(_, scope)| scope.rows().clone()), fields, fault })
    }

    /// The rules by which `actor` may read rows of `collection`, of some rows at least.
    pub fn row_rules(
        &self,
        actor: &Actor,
        collections: &Collections,
        collection: &Arc<Collection>,
    ) -> Vec<Ruling> {
        let loaded = self.loaded.load();
        let user = known_claims(actor, &loaded.program);
        let around = Some(Around { collections, relations_max: self.config.relations_max });
        let world = World { program: &loaded.program, user: &user, collection: Some(collection), around };
        let mut rules = Asked { world, steps_max: self.config.steps_max }.row_rulings();
        rules.retain(|rule| rule.failed.is_none());
        rules
    }

    /// Whether `actor` may do `action`, to a source or to the system as a whole, and the rules about that.
    pub fn explain_action(
        &self,
        actor: &Actor,
        action: Action,
        source: Option<&Source>,
    ) -> (bool, Vec<Ruling>) {
        let loaded = self.loaded.load();
        let user = known_claims(actor, &loaded.program);
        let world = World { program: &loaded.program, user: &user, collection: None, around: None };
        let asked = Asked { world, steps_max: self.config.steps_max };
        let args = [Value::User, Value::Text(action.as_str()), Value::Source(source)];
        let may = match source {
            Some(source) => self.allow_source(actor, action, source),
            None => self.allow(actor, action),
        };
        (may.is_ok(), asked.rulings("allow", &args))
    }
}

/// Questions to single rules.
#[derive(Clone, Copy)]
struct Asked<'a> {
    world: World<'a>,
    steps_max: usize,
}

impl<'a> Asked<'a> {
    /// What each rule of this name that is about these arguments says of them.
    fn rulings(self, name: &str, args: &[Value<'a>]) -> Vec<Ruling> {
        let rules = self.world.program.named(name, args.len());
        rules.iter().filter_map(|rule| self.ruling(rule, args)).collect()
    }

    /// What each rule about reading rows says.
    fn row_rulings(self) -> Vec<Ruling> {
        self.rulings("allow", &[Value::User, Value::Text("read"), Value::Row])
    }

    fn ruling(self, rule: &Rule, args: &[Value<'a>]) -> Option<Ruling> {
        let none = Filter::Const(false);
        let (when, failed) = match self.holds(rule, args) {
            Ok(when) if when != none => (when, None),
            Ok(_) => (none, Some(self.failing(rule, args)?)),
            Err(fault) => (none, Some(self.faulty(rule, &fault))),
        };
        Some(ruling(self.world.program, rule, when, failed))
    }

    fn holds(self, rule: &Rule, args: &[Value<'a>]) -> Result<Filter, Fault> {
        let mut machine = Machine::new(self.world, self.steps_max);
        machine.test(vec![entered(rule, args)])
    }

    fn faulty(self, rule: &Rule, fault: &Fault) -> Diagnostic {
        let (span, reason) = match fault {
            Fault::Refused(span, reason) => (*span, reason.as_str()),
            Fault::Budget => (rule.span, "more steps or deeper calls than `policy.steps_max` allows"),
        };
        Diagnostic::new(&self.world.program.files, span, reason)
    }

    /// The first condition of a rule with which it does not hold any more; none of a rule that is about something else.
    fn failing(self, rule: &Rule, args: &[Value<'a>]) -> Option<Diagnostic> {
        let goals: Vec<Goal> = match &rule.body.kind {
            Kind::And(goals) => goals.clone(),
            _ => vec![rule.body.clone()],
        };
        for count in 0..=goals.len() {
            let begun = goals.iter().take(count).cloned().collect();
            let body = Goal { kind: Kind::And(begun), span: rule.body.span };
            let begun = Rule { body, ..rule.clone() };
            match self.holds(&begun, args) {
                Ok(when) if when != Filter::Const(false) => {}
                Err(fault) => return Some(self.faulty(rule, &fault)),
                Ok(_) => {
                    let span = count.checked_sub(1).and_then(|at| goals.get(at))?.span;
                    let reason = "this does not hold for the actor";
                    return Some(Diagnostic::new(&self.world.program.files, span, reason));
                }
            }
        }
        None
    }

    /// The masks that single rules name for a field.
    fn masks(self, facts: &'a FieldFacts) -> Vec<(Ruling, Option<Mask>)> {
        let args = [Value::User, Value::Row, Value::Field(facts)];
        let rules = self.world.program.named("mask_field", args.len() + 1);
        rules.iter().flat_map(|rule| self.masks_of(rule, &args)).collect()
    }

    fn masks_of(self, rule: &Rule, args: &[Value<'a>]) -> Vec<(Ruling, Option<Mask>)> {
        let program = self.world.program;
        let mut machine = Machine::new(self.world, self.steps_max);
        let wanted = machine.fresh();
        let args: Vec<Value<'_>> = args.iter().cloned().chain([wanted.clone()]).collect();
        let found = match machine.run(vec![entered(rule, &args)], Some(&wanted)) {
            Ok(found) => found,
            Err(fault) => {
                let failed = Some(self.faulty(rule, &fault));
                return vec![(ruling(program, rule, Filter::Const(true), failed), None)];
            }
        };
        let held = found.into_iter().filter(|solution| solution.when != Filter::Const(false));
        let mut masks: Vec<(Ruling, Option<Mask>)> = held
            .map(|solution| {
                let mask = solution.value.as_ref().and_then(|value| mask_of(value));
                (ruling(program, rule, solution.when, None), mask)
            })
            .collect();
        if let Some((span, reason)) = machine.remarks.first() {
            let failed = Some(Diagnostic::new(&program.files, *span, reason.as_str()));
            masks.push((ruling(program, rule, Filter::Const(true), failed), None));
        }
        masks
    }
}

fn entered<'a>(rule: &'a Rule, args: &[Value<'a>]) -> Goals<'a> {
    let args: Rc<[Value<'a>]> = args.into();
    Goals::before(Task::Enter(rule, args), 0, &Goals::default())
}

fn ruling(program: &Program, rule: &Rule, when: Filter, failed: Option<Diagnostic>) -> Ruling {
    let Diagnostic { file, line, .. } = Diagnostic::new(&program.files, rule.span, "");
    Ruling { place: format!("{file}:{line}"), rule: program.rule_text(rule.span).to_owned(), when, failed }
}

/// Asks about fields.
struct Seen<'a> {
    asked: Asked<'a>,
    facts: &'a BTreeMap<u32, FieldFacts>,
    /// What the policies alone show.
    alone: Option<&'a Scope>,
    /// What is shown in the end.
    view: Option<&'a Scope>,
    bound: bool,
}

impl Seen<'_> {
    fn fields(&self, collection: &Collection) -> Vec<Shown> {
        let mut all = Vec::new();
        self.level(&collection.shape.fields, &mut Vec::new(), &mut Vec::new(), &mut all);
        let envelope = ENVELOPE.iter().map(|member| (member.id, member.name));
        for (id, name) in envelope.chain(TOLD.iter().map(|told| (told.id, told.name))) {
            all.push(self.field(format!("{RECORD}.{name}"), &[id]));
        }
        let told = |access: Option<&Access>, name: &str| Shown {
            name: name.to_owned(),
            access: access.cloned().unwrap_or(Access::Hidden),
            when: None,
            allowed: Vec::new(),
            masked: Vec::new(),
            note: Some(
                "it can hold anything, so it is shown only to whom a rule without conditions on rows shows it",
            ),
        };
        all.push(told(self.view.map(Scope::rest), "_rest"));
        all.push(told(self.view.map(Scope::rescued), "_record.rescued"));
        all
    }

    fn level<'f>(
        &self,
        fields: &'f [Field],
        names: &mut Vec<&'f str>,
        ids: &mut Vec<u32>,
        all: &mut Vec<Shown>,
    ) {
        for field in fields {
            names.push(&field.name);
            ids.push(field.id);
            if field.holds_values() {
                all.push(self.field(names.join("."), ids));
            }
            self.level(field.children(), names, ids, all);
            names.pop();
            ids.pop();
        }
    }

    /// `ids` are those of what it stands in, and its own.
    fn field(&self, name: String, ids: &[u32]) -> Shown {
        let Some((id, facts)) = ids.last().and_then(|id| Some((*id, self.facts.get(id)?))) else {
            let note = Some("it is not asked about, as no row or not every other field is shown");
            return Shown {
                name,
                access: Access::Hidden,
                when: None,
                allowed: Vec::new(),
                masked: Vec::new(),
                note,
            };
        };
        let args = [Value::User, Value::Text("read"), Value::Row, Value::Field(facts)];
        let allowed = self.asked.rulings("allow_field", &args);
        let above = ids.iter().filter_map(|id| self.facts.get(id));
        let masked: Vec<_> = above.flat_map(|facts| self.asked.masks(facts)).collect();
        let access = self.view.map_or(&Access::Hidden, |scope| scope.access(id)).clone();
        let alone = self.alone.map_or(&Access::Hidden, |scope| scope.access(id));
        let note = if *alone != access && self.bound {
            Some(if access == Access::Hidden {
                "the contract does not name it"
            } else {
                "the contract masks it"
            })
        } else if masked.iter().any(|(_, mask)| mask.is_none()) && access == Access::Hidden {
            Some("a rule about its mask cannot be decided")
        } else {
            None
        };
        let when = self.view.and_then(|scope| scope.condition(id)).cloned();
        Shown { name, access, when, allowed, masked, note }
    }
}

/// A mask as policies write it.
pub fn mask_text(mask: &Mask) -> String {
    use crate::query::Unit;
    match mask {
        Mask::Null => "null".to_owned(),
        Mask::Hash => "hash".to_owned(),
        Mask::KeepFirst(n) => format!("{{keep_first: {n}}}"),
        Mask::KeepLast(n) => format!("{{keep_last: {n}}}"),
        Mask::Round(step) => format!("{{round: {step}}}"),
        Mask::Truncate(unit) => {
            let unit = match unit {
                Unit::Year => "year",
                Unit::Month => "month",
                Unit::Day => "day",
                Unit::Hour => "hour",
            };
            format!("{{truncate: \"{unit}\"}}")
        }
    }
}

/// A filter as people read it, by stored names.
pub fn filter_text(filter: &Filter) -> String {
    use crate::query::{ColumnRef, Comparison, FieldRef, Literal, Operand, PathTest};
    let literal = |l: &Literal| match l {
        Literal::Bool(b) => b.to_string(),
        Literal::Int(n) => n.to_string(),
        Literal::Float(n) => format!("{n:?}"),
        Literal::Text(t) => format!("'{t}'"),
    };
    let name = |f: &FieldRef| match f.column {
        ColumnRef::Item(number, _) => {
            std::iter::once(format!("i{number}")).chain(f.path.iter().cloned()).collect::<Vec<_>>().join(".")
        }
        ColumnRef::Of(number, _) => {
            std::iter::once(format!("r{number}")).chain(f.path.iter().cloned()).collect::<Vec<_>>().join(".")
        }
        ColumnRef::EntryKey(number) => format!("key of i{number}"),
        _ => f.path.join("."),
    };
    let sign = |op: &Comparison| match op {
        Comparison::Eq => "=",
        Comparison::Lt => "<",
        Comparison::Lte => "<=",
        Comparison::Gt => ">",
        Comparison::Gte => ">=",
    };
    let operand = |o: &Operand| match o {
        Operand::Field(f) => name(f),
        Operand::Literal(l) => literal(l),
    };
    let list = |parts: &[Filter], word: &str| {
        format!("({})", parts.iter().map(filter_text).collect::<Vec<_>>().join(word))
    };
    match filter {
        Filter::Const(value) => value.to_string(),
        Filter::And(parts) => list(parts, " and "),
        Filter::Or(parts) => list(parts, " or "),
        Filter::Not(part) => format!("not {}", filter_text(part)),
        Filter::Compare(a, op, b) => format!("{} {} {}", operand(a), sign(op), operand(b)),
        Filter::In(f, ls) => {
            format!("{} in [{}]", name(f), ls.iter().map(literal).collect::<Vec<_>>().join(", "))
        }
        Filter::IsNull(f) => format!("{} is null", name(f)),
        Filter::Like(f, p) => format!("{} like '{p}'", name(f)),
        Filter::StartsWith(f, p) => format!("{} starts '{p}'", name(f)),
        Filter::Search(f, search) => format!("{} search '{}'", name(f), search.text()),
        Filter::Contains(f, l) => format!("{} has {}", name(f), literal(l)),
        Filter::HasKey(f, key) => format!("{} has key '{key}'", name(f)),
        Filter::Length(f, op, length) => format!("length of {} {} {length}", name(f), sign(op)),
        Filter::Place(f, area) => format!("{} is within {area:?}", name(f)),
        Filter::At(f, path, test) => {
            let told = match test {
                PathTest::Exists => "is there".to_owned(),
                PathTest::Compare(op, l) => format!("{} {}", sign(op), literal(l)),
                PathTest::In(ls) => format!("in [{}]", ls.iter().map(literal).collect::<Vec<_>>().join(", ")),
                PathTest::Like(p) => format!("like '{p}'"),
                PathTest::StartsWith(p) => format!("starts '{p}'"),
            };
            format!("{} at {path} {told}", name(f))
        }
        Filter::SomeItem(f, number, when) => {
            format!("some i{number} of {}: {}", name(f), filter_text(when))
        }
        Filter::Related(link, number, when) => {
            let (word, from, to) = (if link.many { "some" } else { "one" }, name(&link.from), name(&link.to));
            format!("{word} r{number} of {} by {from} = {to}: {}", link.collection, filter_text(when))
        }
    }
}

/// The conditions of which all must hold.
pub fn parts(filter: &Filter) -> Vec<Filter> {
    match filter {
        Filter::And(parts) => parts.clone(),
        other => vec![other.clone()],
    }
}
