//! Policy text to [`Program`]: polar-core parses, validates and expands resource blocks; its rules are then read into
//! our own form. The only file that names polar-core. polar-core may panic or abort on hostile text: the guard of
//! `text` runs first, and every call stands under `catch_unwind`.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use polar_core::{
    diagnostic::Diagnostic as PolarDiagnostic,
    kb::KnowledgeBase,
    parser::{self, Line},
    polar::Polar,
    rules as polar_rules,
    sources::{Context, Source, SourceInfo},
    terms::{self, ExternalInstance, Numeric, Operation, Operator, Symbol, Value},
    warning::{PolarWarning, ValidationWarning},
};

use crate::config;
use crate::policy::program::{
    Arithmetic, Compare, Goal, Inner, Kind, Param, Pattern, Program, Rule, Term, count,
};
use crate::policy::text::{self, Diagnostic, File, Span};

/// Classes that are always there. `Actor` and `Resource` are polar-core's unions.
pub(super) const BUILT_IN: [&str; 13] = [
    "User",
    "Request",
    "Source",
    "Row",
    "Field",
    "Boolean",
    "Integer",
    "Float",
    "String",
    "List",
    "Dictionary",
    "Actor",
    "Resource",
];

/// Reads policy files. What cannot be parsed is a complaint; what cannot become a filter is a refused goal, reported
/// by the static walk when it can be reached.
pub(super) fn load(files: Vec<File>, config: &config::Policy) -> Result<Program, Vec<Diagnostic>> {
    text::guard(&files, config).map_err(|diagnostic| vec![diagnostic])?;
    let loaded = catch_unwind(AssertUnwindSafe(|| load_guarded(&files)));
    let mut program = loaded.unwrap_or_else(|_| {
        Err(vec![Diagnostic::new(
            &files,
            Span::default(),
            "the policy parser gave up on this text; simplify it",
        )])
    })?;
    program.files = files;
    Ok(program)
}

fn load_guarded(files: &[File]) -> Result<Program, Vec<Diagnostic>> {
    let tags = collect_tags(files)?;
    let polar = Polar::new();
    register(&polar, &tags).map_err(|e| vec![Diagnostic::new(files, Span::default(), e)])?;
    let sources = files.iter().map(|f| Source::new_with_name(f.name.as_ref(), f.text.as_ref())).collect();
    let complaints: Vec<Diagnostic> =
        polar.diagnostic_load(sources).iter().map(|diagnostic| complaint(files, diagnostic)).collect();
    if !complaints.is_empty() {
        return Err(complaints);
    }
    let kb = polar.kb.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(query) = kb.inline_queries.first() {
        let reason = "inline queries (`?=`) are not run; put the case into a policy test";
        return Err(vec![Diagnostic::new(files, term_span(files, query), reason)]);
    }
    Ok(read(files, &kb, tags))
}

fn complaint(files: &[File], diagnostic: &PolarDiagnostic) -> Diagnostic {
    let reason = match diagnostic {
        PolarDiagnostic::Error(e) => e.0.to_string(),
        PolarDiagnostic::Warning(PolarWarning(ValidationWarning::AmbiguousPrecedence { .. })) => {
            "`and` and `or` are mixed; put parentheses around the part that belongs together".to_owned()
        }
        PolarDiagnostic::Warning(PolarWarning(ValidationWarning::MissingAllowRule)) => {
            "there is no `allow` rule, so nobody may do anything; add one".to_owned()
        }
        PolarDiagnostic::Warning(w) => w.0.to_string(),
    };
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let span = diagnostic.get_context().map_or(Span::default(), |context| context_span(files, &context));
    Diagnostic::new(files, span, reason)
}

/// Every class that any file names, with its first place.
fn collect_tags(files: &[File]) -> Result<BTreeMap<String, Span>, Vec<Diagnostic>> {
    let mut tags = BTreeMap::new();
    let mut errors = Vec::new();
    for file in files {
        match parser::parse_lines(Source::new_with_name(file.name.as_ref(), file.text.as_ref())) {
            Ok(lines) => lines.iter().for_each(|line| line_tags(files, line, &mut tags)),
            Err(e) => errors.push(complaint(files, &PolarDiagnostic::Error(e))),
        }
    }
    if errors.is_empty() { Ok(tags) } else { Err(errors) }
}

fn line_tags(files: &[File], line: &Line, tags: &mut BTreeMap<String, Span>) {
    match line {
        Line::Rule(rule) | Line::RuleType(rule) => {
            for param in &rule.params {
                term_tags(files, &param.parameter, tags);
                param.specializer.iter().for_each(|pattern| term_tags(files, pattern, tags));
            }
            term_tags(files, &rule.body, tags);
        }
        Line::Query(term) => term_tags(files, term, tags),
        Line::ResourceBlock { resource, .. } => {
            if let Value::Variable(Symbol(name)) = resource.value() {
                tags.entry(name.clone()).or_insert_with(|| term_span(files, resource));
            }
        }
    }
}

fn term_tags(files: &[File], term: &terms::Term, tags: &mut BTreeMap<String, Span>) {
    match term.value() {
        Value::Pattern(terms::Pattern::Instance(literal)) => {
            tags.entry(literal.tag.0.clone()).or_insert_with(|| term_span(files, term));
            literal.fields.fields.values().for_each(|field| term_tags(files, field, tags));
        }
        Value::Pattern(terms::Pattern::Dictionary(fields)) | Value::Dictionary(fields) => {
            fields.fields.values().for_each(|field| term_tags(files, field, tags));
        }
        Value::List(items) => items.iter().for_each(|item| term_tags(files, item, tags)),
        Value::Call(call) => call.args.iter().for_each(|arg| term_tags(files, arg, tags)),
        Value::Expression(operation) => operation.args.iter().for_each(|arg| term_tags(files, arg, tags)),
        _ => {}
    }
}

/// Makes every class known to polar-core; each collection is a `Row`.
fn register(polar: &Polar, tags: &BTreeMap<String, Span>) -> Result<(), String> {
    let class = |name: &str, parent: Option<u64>| -> Result<u64, String> {
        let id = polar.get_external_id();
        let instance = ExternalInstance {
            instance_id: id,
            constructor: None,
            repr: Some(name.to_owned()),
            class_repr: Some(name.to_owned()),
            class_id: Some(id),
        };
        let symbol = Symbol(name.to_owned());
        polar.register_constant(symbol.clone(), terms::Term::from(instance)).map_err(|e| e.to_string())?;
        polar.register_mro(symbol, std::iter::once(id).chain(parent).collect()).map_err(|e| e.to_string())?;
        Ok(id)
    };
    let mut row = None;
    for name in BUILT_IN.iter().filter(|name| !matches!(**name, "Actor" | "Resource")) {
        let id = class(name, None)?;
        row = if *name == "Row" { Some(id) } else { row };
    }
    for name in tags.keys().filter(|name| !BUILT_IN.contains(&name.as_str())) {
        class(name, row)?;
    }
    let nil = ExternalInstance {
        instance_id: polar.get_external_id(),
        constructor: None,
        repr: Some("nil".to_owned()),
        class_repr: None,
        class_id: None,
    };
    polar.register_constant(Symbol::new("nil"), terms::Term::from(nil)).map_err(|e| e.to_string())
}

fn context_span(files: &[File], context: &Context) -> Span {
    let name = context.source.filename.as_deref();
    let file = files.iter().position(|file| Some(file.name.as_ref()) == name).unwrap_or(0);
    Span { file, start: context.left, end: context.right }
}

/// Where a term stands. polar-core tells it only through its diagnostics, so one is made for it.
fn term_span(files: &[File], term: &terms::Term) -> Span {
    let probe = ValidationWarning::UnknownSpecializer { term: term.clone(), sym: Symbol(String::new()) };
    PolarWarning(probe).get_context().map_or(Span::default(), |context| context_span(files, &context))
}

fn read(files: &[File], kb: &KnowledgeBase, tags: BTreeMap<String, Span>) -> Program {
    let union = |name: &str| -> BTreeSet<String> {
        let members = kb.get_union_members(&terms::Term::from(Symbol::new(name)));
        let name = |term: &terms::Term| match term.value() {
            Value::Variable(Symbol(name)) => Some(name.clone()),
            _ => None,
        };
        members.iter().filter_map(name).collect()
    };
    let mut program = Program {
        actors: union("Actor"),
        resources: union("Resource"),
        collections: tags.into_iter().filter(|(tag, _)| !BUILT_IN.contains(&tag.as_str())).collect(),
        ..Program::default()
    };
    for (name, generic) in kb.get_rules() {
        let ordered: BTreeMap<_, _> = generic.rules.iter().collect();
        for rule in ordered.values() {
            let mut reader = Reader::new(files, kb, &mut program.members);
            let rule = reader.rule(rule);
            program.rules.entry((name.0.clone(), rule.params.len())).or_default().push(rule);
        }
    }
    program
}

/// Reads one rule; numbers its variables.
struct Reader<'a> {
    files: &'a [File],
    kb: &'a KnowledgeBase,
    members: &'a mut BTreeSet<String>,
    slots: Vec<Arc<str>>,
    fallback: Span,
}

impl<'a> Reader<'a> {
    fn new(files: &'a [File], kb: &'a KnowledgeBase, members: &'a mut BTreeSet<String>) -> Self {
        Reader { files, kb, members, slots: Vec::new(), fallback: Span::default() }
    }

    fn rule(&mut self, rule: &polar_rules::Rule) -> Rule {
        if let SourceInfo::Parser(context) = &rule.source_info {
            self.fallback = context_span(self.files, context);
        }
        let span = self.fallback;
        let params: Vec<Param> = rule
            .params
            .iter()
            .map(|param| {
                let place = param.specializer.as_ref().unwrap_or(&param.parameter);
                Param {
                    span: self.span(place),
                    term: self.term(&param.parameter),
                    pattern: param.specializer.as_ref().map(|pattern| self.inner(pattern)),
                }
            })
            .collect();
        let mut body = self.goal(&rule.body);
        let mut vars = Vec::new();
        for param in &params {
            param.term.vars(&mut vars);
            param.pattern.iter().for_each(|pattern| pattern.vars(&mut vars));
        }
        body.vars(&mut vars);
        body.mark_outer(&count(&vars));
        Rule { params, body, slots: std::mem::take(&mut self.slots), span }
    }

    /// A term's own place, or its rule's for what polar-core has made.
    fn span(&self, term: &terms::Term) -> Span {
        let span = term_span(self.files, term);
        if span == Span::default() { self.fallback } else { span }
    }

    fn slot(&mut self, name: &str) -> usize {
        if let Some(slot) = self.slots.iter().position(|known| known.as_ref() == name) {
            return slot;
        }
        self.slots.push(name.into());
        self.slots.len() - 1
    }

    fn term(&mut self, term: &terms::Term) -> Term {
        let refused = |reader: &Self, reason: &str| Term::Refused(reader.span(term), reason.to_owned());
        match term.value() {
            Value::Number(Numeric::Integer(n)) => Term::Int(*n),
            Value::Number(Numeric::Float(n)) if n.is_finite() => Term::Float(*n),
            Value::Number(_) => refused(self, "this number is not finite"),
            Value::String(text) => Term::Text(text.as_str().into()),
            Value::Boolean(value) => Term::Bool(*value),
            Value::Variable(Symbol(name)) if name == "nil" => Term::Nil,
            Value::Variable(symbol) if self.kb.is_constant(symbol) => {
                refused(self, "a class is not a value; test with `x matches Class`")
            }
            Value::Variable(Symbol(name)) => Term::Var(self.slot(name)),
            Value::List(items) => Term::List(items.iter().map(|item| self.term(item)).collect()),
            Value::Dictionary(fields) => Term::Dict(
                fields
                    .fields
                    .iter()
                    .map(|(name, value)| (name.0.as_str().into(), self.term(value)))
                    .collect(),
            ),
            Value::RestVariable(_) => refused(self, "lists cannot be taken apart; use `x in list`"),
            Value::Pattern(_) => refused(self, "a pattern is not a value; test with `x matches …`"),
            Value::Call(_) => refused(self, "a rule has no value; call it on its own, with `and`"),
            Value::Expression(_) | Value::ExternalInstance(_) => {
                refused(self, "this cannot be used as a value")
            }
        }
    }

    /// What stands behind a colon or `matches`.
    fn inner(&mut self, term: &terms::Term) -> Inner {
        let (class, members) = match term.value() {
            Value::Pattern(terms::Pattern::Dictionary(members)) => (None, members),
            Value::Pattern(terms::Pattern::Instance(literal)) => {
                (Some(literal.tag.0.as_str().into()), &literal.fields)
            }
            _ => return Inner::Term(self.term(term)),
        };
        let mut fields = Vec::with_capacity(members.fields.len());
        for (name, wanted) in &members.fields {
            self.members.insert(name.0.clone());
            fields.push((name.0.as_str().into(), self.inner(wanted)));
        }
        Inner::Pattern(Pattern { class, fields, span: self.span(term) })
    }

    fn goal(&mut self, term: &terms::Term) -> Goal {
        let span = self.span(term);
        let kind = match term.value() {
            Value::Boolean(value) => Kind::Const(*value),
            // A value alone is a condition: it must be true.
            Value::Variable(_) => Kind::Unify(self.term(term), Term::Bool(true)),
            Value::Call(call) if call.kwargs.is_some() => {
                Kind::Refused("rules take no named arguments".to_owned())
            }
            Value::Call(call) => {
                Kind::Call(call.name.0.as_str().into(), call.args.iter().map(|arg| self.term(arg)).collect())
            }
            Value::Expression(operation) => self.operation(operation, span),
            _ => Kind::Refused("this is not a condition".to_owned()),
        };
        Goal { kind, span }
    }

    fn operation(&mut self, operation: &Operation, span: Span) -> Kind {
        let compare = |op| Some(Kind::Compare as fn(Compare, Term, Term) -> Kind).map(|make| (make, op));
        let comparison = match operation.operator {
            Operator::Eq => compare(Compare::Eq),
            Operator::Neq => compare(Compare::Neq),
            Operator::Lt => compare(Compare::Lt),
            Operator::Leq => compare(Compare::Lte),
            Operator::Gt => compare(Compare::Gt),
            Operator::Geq => compare(Compare::Gte),
            _ => None,
        };
        match (operation.operator, operation.args.as_slice()) {
            (Operator::And, args) => Kind::And(self.flat(args)),
            (Operator::Or, args) => Kind::Or(args.iter().map(|arg| self.goal(arg)).collect(), Vec::new()),
            (Operator::Not, [arg]) => Kind::Not(Box::new(self.goal(arg)), Vec::new()),
            (Operator::ForAll, [each, test]) => {
                let test = self.quantified(test);
                let broken = Goal { span: test.span, kind: Kind::Not(Box::new(test), Vec::new()) };
                let found = Goal { span, kind: Kind::And(vec![self.quantified(each), broken]) };
                Kind::Not(Box::new(found), Vec::new())
            }
            (Operator::Unify | Operator::Assign, [a, b]) => Kind::Unify(self.term(a), self.term(b)),
            (Operator::In, [item, list]) => Kind::In(self.term(item), self.term(list)),
            (Operator::Isa, [value, pattern]) => Kind::Isa(self.term(value), self.inner(pattern)),
            (Operator::Dot, [object, name, out]) => self.get(object, name, out),
            (op, [left, right, out]) => self.arithmetic(op, [left, right, out]),
            (op, [a, b]) => match comparison {
                Some((make, op)) => make(op, self.term(a), self.term(b)),
                None => refused_operator(op),
            },
            (op, _) => refused_operator(op),
        }
    }

    /// A part of `forall`: there polar-core puts the lookups that it takes out of an expression behind it.
    fn quantified(&mut self, term: &terms::Term) -> Goal {
        let (mut inner, mut lookups) = (term, Vec::new());
        while let Value::Expression(Operation { operator: Operator::And, args }) = inner.value()
            && let [first, lookup] = args.as_slice()
            && matches!(lookup.value(), Value::Expression(taken) if taken.args.len() == 3)
        {
            lookups.push(lookup);
            inner = first;
        }
        let mut goals: Vec<Goal> = lookups.into_iter().rev().map(|lookup| self.goal(lookup)).collect();
        goals.push(self.goal(inner));
        Goal { kind: Kind::And(goals), span: self.span(term) }
    }

    /// polar-core nests a conjunction for each lookup that it takes out of an expression.
    fn flat(&mut self, args: &[terms::Term]) -> Vec<Goal> {
        let mut goals = Vec::with_capacity(args.len());
        for arg in args {
            match self.goal(arg) {
                Goal { kind: Kind::And(inner), .. } => goals.extend(inner),
                goal => goals.push(goal),
            }
        }
        goals
    }

    fn get(&mut self, object: &terms::Term, name: &terms::Term, out: &terms::Term) -> Kind {
        match name.value() {
            Value::String(member) => {
                self.members.insert(member.clone());
                Kind::Get { object: self.term(object), name: member.as_str().into(), out: self.term(out) }
            }
            Value::Call(call) => match call.args.as_slice() {
                [prefix] if call.name.0 == "starts_with" && call.kwargs.is_none() => {
                    Kind::Begins { text: self.term(object), prefix: self.term(prefix), out: self.term(out) }
                }
                _ => Kind::Refused(format!(
                    "the method `{}` cannot be called: of methods only `text.starts_with(prefix)` becomes a filter",
                    call.name.0
                )),
            },
            _ => Kind::Refused("a field's name must be written out".to_owned()),
        }
    }

    fn arithmetic(&mut self, op: Operator, [left, right, out]: [&terms::Term; 3]) -> Kind {
        let op = match op {
            Operator::Add => Arithmetic::Add,
            Operator::Sub => Arithmetic::Sub,
            Operator::Mul => Arithmetic::Mul,
            Operator::Div => Arithmetic::Div,
            Operator::Mod => Arithmetic::Mod,
            Operator::Rem => Arithmetic::Rem,
            other => return refused_operator(other),
        };
        Kind::Arithmetic { op, left: self.term(left), right: self.term(right), out: self.term(out) }
    }
}

fn refused_operator(op: Operator) -> Kind {
    let reason = match op {
        Operator::Cut => {
            "`cut` makes the order of rules matter; a filter has none: say the condition in each rule"
        }
        Operator::New => "`new` makes objects; a filter has none",
        Operator::Print | Operator::Debug => "`print` and `debug` are not run here; take it out",
        _ => "this operator cannot become a filter",
    };
    Kind::Refused(reason.to_owned())
}
