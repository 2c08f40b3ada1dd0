//! What single goals mean: equality, comparison, patterns, lookups and arithmetic, over ground values and parts of the
//! row. Membership is told in `lists`.

use std::{cmp::Ordering, rc::Rc};

use crate::policy::filter;
use crate::policy::machine::{Fault, Machine};
use crate::policy::program::{Arithmetic, Compare, Goal, Inner, Kind};
use crate::policy::text::Span;
use crate::policy::value::{self, Column, Number, Root, Value, Verdict};
use crate::query::{Collection, Comparison, Filter, Literal, Operand, RECORD};
use crate::shape::{self, Field};

impl<'a> Machine<'a> {
    /// Goals without alternatives.
    pub(super) fn plain(&mut self, goal: &'a Goal, base: usize) -> Result<bool, Fault> {
        let span = goal.span;
        match &goal.kind {
            Kind::Const(value) => Ok(*value),
            Kind::Unify(a, b) => {
                let (a, b) = (self.value(a, base)?, self.value(b, base)?);
                self.unify(&a, &b, span)
            }
            Kind::Compare(op, a, b) => {
                let (a, b) = (self.value(a, base)?, self.value(b, base)?);
                self.compare(*op, &a, &b, span)
            }
            Kind::Isa(term, pattern) => {
                let value = self.value(term, base)?;
                self.matches(&value, pattern, base, span)
            }
            Kind::Get { object, name, out } => {
                let object = self.value(object, base)?;
                let object = self.known(&object, span)?;
                let out = self.value(out, base)?;
                match self.member_of(&object, name, span) {
                    Some(found) => self.unify(&found, &out, span),
                    None => Ok(false),
                }
            }
            Kind::Arithmetic { op, left, right, out } => {
                let (left, right) = (self.value(left, base)?, self.value(right, base)?);
                let (left, right) = (self.known(&left, span)?, self.known(&right, span)?);
                let out = self.value(out, base)?;
                match self.calculate(*op, &left, &right, span)? {
                    Some(result) => self.unify(&result, &out, span),
                    None => Ok(false),
                }
            }
            Kind::Refused(reason) => Err(Fault::Refused(span, reason.clone())),
            Kind::And(_)
            | Kind::Or(..)
            | Kind::Not(..)
            | Kind::In(..)
            | Kind::Begins { .. }
            | Kind::Call(..) => Err(Fault::Refused(span, "this is not a plain condition".to_owned())),
        }
    }

    /// The value behind variables, which must be there.
    pub(super) fn known(&self, value: &Value<'a>, span: Span) -> Result<Value<'a>, Fault> {
        match self.walk(value) {
            Value::Var(_) => Err(Fault::Refused(span, "this variable has no value here yet".to_owned())),
            value => Ok(value),
        }
    }

    /// Makes both sides equal, or says under which condition they are.
    pub(super) fn unify(&mut self, a: &Value<'a>, b: &Value<'a>, span: Span) -> Result<bool, Fault> {
        self.charge(1)?;
        match (self.walk(a), self.walk(b)) {
            (Value::Var(a), Value::Var(b)) if a == b => Ok(true),
            (Value::Var(variable), value) | (value, Value::Var(variable)) => {
                if self.holds(&value, variable)? {
                    return Ok(self.clash(span, "a value cannot be in itself"));
                }
                self.bind(variable, value);
                Ok(true)
            }
            (Value::List(a), Value::List(b)) => {
                let pairs: Vec<_> = a.iter().zip(b.iter()).collect();
                Ok(a.len() == b.len() && self.unify_all(&pairs, span)?)
            }
            (a, b) => match (a.members(), b.members()) {
                (Some(a), Some(b)) => {
                    self.charge(a.len())?;
                    let pairs: Vec<_> = a.values().zip(b.values()).collect();
                    Ok(a.keys().eq(b.keys()) && self.unify_all(&pairs, span)?)
                }
                _ => {
                    let verdict = equal(&a, &b);
                    Ok(self.rule_on(verdict, span))
                }
            },
        }
    }

    /// Whether a list or dictionary has the variable in it: bound to that, it would have no end.
    fn holds(&self, value: &Value<'a>, variable: usize) -> Result<bool, Fault> {
        let parts: Vec<&Value<'a>> = match value {
            Value::List(items) => items.iter().collect(),
            Value::Dict(members) => members.iter().map(|(_, member)| member).collect(),
            _ => return Ok(false),
        };
        self.charge(1)?;
        for part in
            parts.into_iter().filter(|part| matches!(part, Value::Var(_) | Value::List(_) | Value::Dict(_)))
        {
            let part = self.walk(part);
            if matches!(part, Value::Var(own) if own == variable) || self.holds(&part, variable)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn unify_all(&mut self, pairs: &[(&Value<'a>, &Value<'a>)], span: Span) -> Result<bool, Fault> {
        for (a, b) in pairs {
            if !self.unify(a, b, span)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn rule_on(&mut self, verdict: Verdict, span: Span) -> bool {
        match verdict {
            Verdict::Known(value) => value,
            Verdict::When(condition) => self.require(condition),
            Verdict::Clash(reason) => self.clash(span, reason),
        }
    }

    fn compare(&mut self, op: Compare, a: &Value<'a>, b: &Value<'a>, span: Span) -> Result<bool, Fault> {
        let (a, b) = (self.known(a, span)?, self.known(b, span)?);
        if !self.closed(&a) || !self.closed(&b) {
            return Err(Fault::Refused(span, "a variable in this list has no value here yet".to_owned()));
        }
        if matches!(op, Compare::Eq | Compare::Neq) {
            let clashes = self.clashes;
            let found = self.equality(&a, &b, span)?;
            let found = if op == Compare::Neq { filter::not(found) } else { found };
            return Ok(self.clashes == clashes && self.require(found));
        }
        Ok(self.rule_on(ordered(&a, op.comparison(), &b), span))
    }

    /// The condition under which two closed values are equal.
    pub(super) fn equality(&mut self, a: &Value<'a>, b: &Value<'a>, span: Span) -> Result<Filter, Fault> {
        let before = self.conditions.len();
        let holds = self.unify(a, b, span)?;
        let conditions = self.conditions.split_off(before.min(self.conditions.len()));
        Ok(if holds { filter::and(conditions) } else { Filter::Const(false) })
    }

    /// Whether a value is what stands behind a colon or `matches`.
    pub(super) fn matches(
        &mut self,
        value: &Value<'a>,
        wanted: &'a Inner,
        base: usize,
        span: Span,
    ) -> Result<bool, Fault> {
        let pattern = match wanted {
            Inner::Pattern(pattern) => pattern,
            Inner::Term(term) => {
                let wanted = self.value(term, base)?;
                return self.unify(value, &wanted, span);
            }
        };
        let value = self.known(value, span)?;
        if matches!(value, Value::Missing | Value::Nil) {
            return Ok(false);
        }
        if let Value::Object(column, _) = &value
            && pattern.fields.is_empty()
            && !self.require(there(column))
        {
            return Ok(false);
        }
        if let Value::Relation(relation) = &value
            && pattern.fields.is_empty()
            && self.related(relation, span).is_none()
        {
            return Ok(false);
        }
        if let Some(class) = &pattern.class
            && !self.is_a(&value, class, pattern.span)
        {
            return Ok(false);
        }
        for (name, inner) in &pattern.fields {
            let Some(member) = self.member_of(&value, name, pattern.span) else { return Ok(false) };
            if !self.matches(&member, inner, base, pattern.span)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_a(&mut self, value: &Value<'a>, class: &str, span: Span) -> bool {
        let program = self.world.program;
        match value {
            Value::User => class == "User" || class == "Actor" && program.actors.contains("User"),
            Value::Source(_) => {
                class == "Source" || class == "Resource" && program.resources.contains("Source")
            }
            Value::Field(_) => class == "Field",
            Value::Request(_) => class == "Request",
            Value::Row => {
                let own = self.world.collection.map_or("", |collection| &collection.type_name);
                let declared = || program.resources.contains(own) || program.resources.contains("Row");
                class == "Row" || class == own || class == "Resource" && declared()
            }
            Value::Bool(_) => class == "Boolean",
            Value::Int(_) => class == "Integer",
            Value::Float(_) => class == "Float",
            Value::Text(_) | Value::Names(_) => class == "String",
            Value::List(_) => class == "List",
            Value::Dict(_) | Value::Claims(_) => class == "Dictionary",
            Value::Relation(_) | Value::Related(_) => {
                self.clash(span, "a relation leads to rows of one collection; do not test which")
            }
            Value::Column(_) | Value::Object(..) | Value::Envelope(_) => {
                self.clash(span, "a field of the row has the type its collection publishes; do not test it")
            }
            Value::Var(_) | Value::Nil | Value::Missing => false,
        }
    }

    /// A member of a value; `None` when there can be none, which is noted.
    pub(super) fn member_of(&mut self, value: &Value<'a>, name: &'a str, span: Span) -> Option<Value<'a>> {
        let found = match value {
            Value::User => Some(self.world.user.get(name).map_or(Value::Missing, Value::of_json)),
            Value::Claims(members) => Some(members.get(name).map_or(Value::Missing, Value::of_json)),
            Value::Dict(members) => {
                Some(members.iter().find(|(key, _)| *key == name).map_or(Value::Missing, |(_, v)| v.clone()))
            }
            Value::Missing | Value::Nil => Some(Value::Missing),
            Value::Source(source) => match (name, source) {
                // The system as a whole has none: neither this one nor, under `not`, another.
                (_, None) => None,
                ("category", Some(source)) => Some(Value::Text(&source.category)),
                ("subcategory", Some(source)) => Some(Value::Text(&source.subcategory)),
                ("source_name", Some(source)) => Some(Value::Text(&source.source_name)),
                _ => None,
            },
            Value::Field(facts) => match name {
                "name" => Some(match facts.names.as_slice() {
                    [only] => Value::Text(only),
                    names => Value::Names(names),
                }),
                "path" => Some(Value::Text(&facts.path)),
                "classified" => Some(Value::Bool(facts.classified)),
                "published" => Some(Value::Bool(facts.published)),
                "tags" => Some(Value::List(facts.tags.iter().map(|tag| Value::Text(tag)).collect())),
                "parents" => {
                    Some(Value::List(facts.parents.iter().map(|parent| Value::Text(parent)).collect()))
                }
                _ => None,
            },
            Value::Request(request) => request.member(name),
            Value::Row if name == RECORD => Some(Value::Envelope(None)),
            Value::Row => {
                let collection = self.world.collection?;
                match part(&collection.shape.fields, name, &[], Root::Row) {
                    None => return self.relation(None, collection, name, span),
                    found => found,
                }
            }
            Value::Object(column, fields) => part(fields, name, &column.field.path, column.root()),
            Value::Envelope(None) => self.world.collection.and_then(|of| member(of, name, Root::Row)),
            Value::Envelope(Some(related)) => member(related.collection, name, Root::Related(related.number)),
            Value::Relation(relation) => {
                let related = self.related(relation, span)?;
                return self.member_of(&Value::Related(related), name, span);
            }
            Value::Related(related) if name == RECORD => Some(Value::Envelope(Some(related.clone()))),
            Value::Related(related) => {
                let collection = related.collection;
                match part(&collection.shape.fields, name, &[], Root::Related(related.number)) {
                    None => return self.relation(Some(related), collection, name, span),
                    found => found,
                }
            }
            _ => None,
        };
        if found.is_none() {
            self.clash(span, format!("{} has no `{name}`", value.kind()));
        }
        found
    }

    fn calculate(
        &mut self,
        op: Arithmetic,
        left: &Value<'a>,
        right: &Value<'a>,
        span: Span,
    ) -> Result<Option<Value<'a>>, Fault> {
        let symbolic =
            |value: &Value<'_>| matches!(value, Value::Column(_) | Value::Object(..) | Value::Envelope(_));
        if symbolic(left) || symbolic(right) {
            let reason =
                "arithmetic on a field of the row cannot become a filter; move it to the user's side";
            return Err(Fault::Refused(span, reason.to_owned()));
        }
        let result = match (left.as_number(), right.as_number()) {
            (Some(left), Some(right)) => arithmetic(op, left, right),
            _ => None,
        };
        if result.is_none() {
            self.clash(span, "this calculation has no result");
        }
        Ok(result)
    }
}

/// The field that has or ever had that name, below these names of the row or of an item.
fn part<'a>(fields: &'a [Field], name: &str, above: &[String], root: Root) -> Option<Value<'a>> {
    let field = fields.iter().find(|field| field.was_called(name))?;
    let column = Rc::new(Column::of(field, above, root));
    Some(match &field.kind {
        shape::Kind::Object(children) => Value::Object(column, children),
        _ => Value::Column(column),
    })
}

/// A member of `_record`.
fn member<'a>(collection: &'a Collection, name: &str, root: Root) -> Option<Value<'a>> {
    let field = collection.field(&[RECORD, name])?;
    Some(Value::Column(Rc::new(Column::envelope(field, root))))
}

fn equal<'a>(a: &Value<'a>, b: &Value<'a>) -> Verdict {
    match (a, b) {
        (Value::Nil, other) | (other, Value::Nil) => match other {
            Value::Column(column) => Verdict::When(Filter::IsNull(column.field.clone())),
            Value::Object(column, _) => Verdict::When(filter::not(there(column))),
            Value::Relation(relation) if relation.link.many => {
                Verdict::Clash(format!("`{}` is many rows; ask for one: `x in row.{0}`", relation.name))
            }
            Value::Relation(relation) => {
                let (link, there) = (relation.link.clone(), Box::new(Filter::Const(true)));
                Verdict::When(filter::not(Filter::Related(Box::new(link), 1, there)))
            }
            other => Verdict::Known(matches!(other, Value::Nil | Value::Missing)),
        },
        (Value::User, Value::User) | (Value::Row, Value::Row) => Verdict::Known(true),
        (Value::Field(a), Value::Field(b)) => Verdict::Known(a == b),
        (Value::Source(a), Value::Source(b)) => Verdict::Known(a == b),
        (a, b) if a.is_described() || b.is_described() => {
            Verdict::Clash(format!("{} is never equal to {}; compare its members", a.kind(), b.kind()))
        }
        (Value::Missing, _) | (_, Value::Missing) => Verdict::Known(false),
        (Value::Column(a), Value::Column(b)) => value::column_column(a, Comparison::Eq, b),
        (Value::Column(column), Value::Names(names)) | (Value::Names(names), Value::Column(column)) => {
            let names: Vec<Value<'_>> = names.iter().map(|name| Value::Text(name)).collect();
            match value::column_in(column, &names) {
                (_, Some(reason)) => Verdict::Clash(reason),
                (found, None) => Verdict::When(found),
            }
        }
        (Value::Column(column), value) | (value, Value::Column(column)) => {
            value::column_value(column, Comparison::Eq, value)
        }
        (Value::Object(..) | Value::Envelope(_), _) | (_, Value::Object(..) | Value::Envelope(_)) => {
            Verdict::Clash("an object of the row cannot be compared; compare its fields".to_owned())
        }
        (Value::Bool(a), Value::Bool(b)) => Verdict::Known(a == b),
        (Value::Text(a), Value::Text(b)) => Verdict::Known(a == b),
        (Value::Names(names), Value::Text(text)) | (Value::Text(text), Value::Names(names)) => {
            Verdict::Known(names.iter().any(|name| name == text))
        }
        (Value::Names(a), Value::Names(b)) => Verdict::Known(a.iter().any(|name| b.contains(name))),
        (a, b) => match (a.as_number(), b.as_number()) {
            (Some(a), Some(b)) => Verdict::Known(a.compare(b) == Ordering::Equal),
            _ => Verdict::Known(false),
        },
    }
}

fn ordered(a: &Value<'_>, op: Comparison, b: &Value<'_>) -> Verdict {
    let holds = |order: Ordering| {
        Verdict::Known(match op {
            Comparison::Eq => order == Ordering::Equal,
            Comparison::Lt => order == Ordering::Less,
            Comparison::Lte => order != Ordering::Greater,
            Comparison::Gt => order == Ordering::Greater,
            Comparison::Gte => order != Ordering::Less,
        })
    };
    match (a, b) {
        (Value::Missing | Value::Nil, _) | (_, Value::Missing | Value::Nil) => Verdict::Known(false),
        (Value::Column(a), Value::Column(b)) => value::column_column(a, op, b),
        (Value::Column(column), value) => value::column_value(column, op, value),
        (value, Value::Column(column)) => value::column_value(column, flipped(op), value),
        (Value::Text(a), Value::Text(b)) => holds(a.cmp(b)),
        (a, b) => match (a.as_number(), b.as_number()) {
            (Some(a), Some(b)) => holds(a.compare(b)),
            _ => Verdict::Clash(format!("{} and {} have no order", a.kind(), b.kind())),
        },
    }
}

fn flipped(op: Comparison) -> Comparison {
    match op {
        Comparison::Eq => Comparison::Eq,
        Comparison::Lt => Comparison::Gt,
        Comparison::Lte => Comparison::Gte,
        Comparison::Gt => Comparison::Lt,
        Comparison::Gte => Comparison::Lte,
    }
}

/// The condition that a nested object is there.
fn there(column: &Column<'_>) -> Filter {
    if let Root::Item(_) = column.root() {
        return filter::not(Filter::IsNull(column.field.clone()));
    }
    let field = Operand::Field(column.field.clone());
    Filter::Compare(field, Comparison::Eq, Operand::Literal(Literal::Bool(true)))
}

fn arithmetic<'a>(op: Arithmetic, left: Number, right: Number) -> Option<Value<'a>> {
    if let (Number::Int(a), Number::Int(b)) = (left, right)
        && op != Arithmetic::Div
    {
        return Some(Value::Int(match op {
            Arithmetic::Add => a.checked_add(b)?,
            Arithmetic::Sub => a.checked_sub(b)?,
            Arithmetic::Mul => a.checked_mul(b)?,
            Arithmetic::Rem => a.checked_rem(b)?,
            Arithmetic::Mod | Arithmetic::Div => a.checked_rem(b)?.checked_add(b)?.checked_rem(b)?,
        }));
    }
    let float = |number| match number {
        Number::Int(n) => n as f64,
        Number::Float(n) => n,
    };
    let (a, b) = (float(left), float(right));
    let result = match op {
        Arithmetic::Add => a + b,
        Arithmetic::Sub => a - b,
        Arithmetic::Mul => a * b,
        Arithmetic::Div => a / b,
        Arithmetic::Rem => a % b,
        Arithmetic::Mod => ((a % b) + b) % b,
    };
    result.is_finite().then_some(Value::Float(result))
}
