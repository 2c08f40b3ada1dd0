//! Goals about what a value consists of, and that may hold in several ways: membership in lists of the actor, of the
//! policy and of the row, and how a text begins.

use std::rc::Rc;

use crate::policy::filter;
use crate::policy::machine::{Fault, Goals, Machine, Task, on};
use crate::policy::text::Span;
use crate::policy::value::{self, Column, Value, Verdict};
use crate::query::Filter;

impl<'a> Machine<'a> {
    /// `item in list`.
    pub(super) fn member(
        &mut self,
        item: &Value<'a>,
        list: &Value<'a>,
        span: Span,
        depth: usize,
        next: &Goals<'a>,
    ) -> Result<Vec<Goals<'a>>, Fault> {
        let (item, list) = (self.walk(item), self.known(list, span)?);
        match (&item, &list) {
            (_, Value::List(items)) => {
                self.charge(items.len())?;
                // One that has no value yet gets another one in each way.
                if !self.closed(&item) || !self.closed(&list) {
                    let each = |value: &Value<'a>| Task::Unify(item.clone(), value.clone(), span);
                    return Ok(items.iter().map(|value| Goals::before(each(value), depth, next)).collect());
                }
                let found = self.one_of(&item, items, span)?;
                Ok(on(self.require(found), next))
            }
            (Value::Missing, Value::Column(_) | Value::Relation(_)) => Ok(Vec::new()),
            (item, Value::Relation(relation)) if relation.link.many => match self.one_related(relation, span)
            {
                Some(own) => {
                    let same = Task::Unify(item.clone(), Value::Related(own), span);
                    Ok(vec![Goals::before(same, depth, next)])
                }
                None => Ok(Vec::new()),
            },
            (
                Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Names(_),
                Value::Column(list),
            ) => {
                let found = self.list_has(list, &item);
                Ok(on(self.rule_on(found, span), next))
            }
            (item, Value::Column(list)) => match self.item(list, span) {
                Some(own) => {
                    let same = Task::Unify(item.clone(), own, span);
                    Ok(vec![Goals::before(same, depth, next)])
                }
                None => Ok(Vec::new()),
            },
            (_, Value::Missing | Value::Nil) => Ok(Vec::new()),
            (_, other) => {
                let reason = format!("`in` wants a list, this is {}", other.kind());
                Ok(on(self.clash(span, reason), next))
            }
        }
    }

    fn list_has(&self, list: &Column<'a>, item: &Value<'a>) -> Verdict {
        let Value::Names(names) = item else { return value::list_has(list, item) };
        let mut found = Vec::with_capacity(names.len());
        for name in *names {
            match value::list_has(list, &Value::Text(name)) {
                Verdict::When(when) => found.push(when),
                Verdict::Known(_) => {}
                clash @ Verdict::Clash(_) => return clash,
            }
        }
        Verdict::When(filter::or(found))
    }

    /// `text.starts_with(prefix)`: `out` becomes whether it does, in rows where it is so.
    pub(super) fn begins(
        &mut self,
        (text, prefix, out): (&Value<'a>, &Value<'a>, &Value<'a>),
        span: Span,
        depth: usize,
        next: &Goals<'a>,
    ) -> Result<Vec<Goals<'a>>, Fault> {
        let (text, prefix) = (self.known(text, span)?, self.known(prefix, span)?);
        let verdict = match (&text, &prefix) {
            (Value::Missing | Value::Nil, _) | (Value::Text(_), Value::Missing | Value::Nil) => {
                Verdict::Known(false)
            }
            (Value::Text(text), Value::Text(prefix)) => Verdict::Known(text.starts_with(prefix)),
            (Value::Names(names), Value::Text(prefix)) => {
                Verdict::Known(names.iter().any(|name| name.starts_with(prefix)))
            }
            (Value::Column(column), prefix) => value::column_begins(column, prefix),
            (text, prefix) => Verdict::Clash(format!("{} cannot begin with {}", text.kind(), prefix.kind())),
        };
        let found = match verdict {
            Verdict::Known(value) => Filter::Const(value),
            Verdict::When(condition) => condition,
            Verdict::Clash(reason) => return Ok(on(self.clash(span, reason), next)),
        };
        let mut ways = Vec::with_capacity(2);
        for (holds, when) in [(true, found.clone()), (false, filter::not(found))] {
            if when != Filter::Const(false) {
                let same = Task::Unify(Value::Bool(holds), out.clone(), span);
                ways.push(Goals::before(Task::Require(when), depth, &Goals::before(same, depth, next)));
            }
        }
        Ok(ways)
    }

    fn one_of(&mut self, item: &Value<'a>, items: &Rc<[Value<'a>]>, span: Span) -> Result<Filter, Fault> {
        let items: Vec<Value<'a>> = items.iter().map(|value| self.walk(value)).collect();
        let scalar = |value: &Value<'_>| {
            matches!(
                value,
                Value::Missing | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_)
            )
        };
        if let (Value::Column(column), true) = (item, items.iter().all(scalar)) {
            let (found, clash) = value::column_in(column, &items);
            if let Some(reason) = clash {
                self.clash(span, reason);
            }
            return Ok(found);
        }
        let mut found = Vec::new();
        for value in &items {
            match self.equality(item, value, span)? {
                Filter::Const(true) => return Ok(Filter::Const(true)),
                condition => found.push(condition),
            }
        }
        Ok(filter::or(found))
    }
}
