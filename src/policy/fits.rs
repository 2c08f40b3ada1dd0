//! The static walk at goals with two sides: what may be compared with what, be in what, and begin with what. With the
//! catalog also whether types fit.

use std::sync::Arc;

use crate::policy::check::Walk;
use crate::policy::known::{Constant, Frame, Known, bind, join};
use crate::policy::program::Term;
use crate::policy::shapes::ITEM;
use crate::policy::text::Span;
use crate::query::Comparison;

const NO_WHOLE: &str =
    "a field of the row cannot be compared with a whole list or dictionary; use `in`, or compare its parts";
const NO_ROW_IN_LIST: &str =
    "a list of the row holds neither rows nor objects of the user; compare what is in them";
const NO_FIELD_BEGINS: &str =
    "a field of the row begins with a text of the policy or of the user, not with another field";

impl<'a> Walk<'a> {
    pub(super) fn member(&mut self, item: &'a Term, list: &'a Term, frame: &mut Frame<'a>, span: Span) {
        let known = self.term(item, frame);
        let container = self.valued(list, frame, span);
        match (&known, &container) {
            (Known::Free, Known::Part(class, path)) => {
                self.listed(class, path, false, span);
                bind(item, &within(class, path), frame);
            }
            (Known::Row(_) | Known::Dict(_) | Known::List(_), Known::Part(..)) => {
                self.refuse(span, NO_ROW_IN_LIST)
            }
            (Known::Free, Known::List(items)) => {
                let joined =
                    items.iter().skip(1).fold(items.first().cloned(), |held, next| Some(join(&held?, next)));
                bind(item, &joined.unwrap_or(Known::Ground), frame);
            }
            (Known::Free, _) => bind(item, &Known::Ground, frame),
            (known, Known::List(items)) => {
                items.iter().for_each(|item| self.comparable(known, Comparison::Eq, item, span));
            }
            (
                _,
                Known::Constant(_)
                | Known::Text
                | Known::User
                | Known::Source
                | Known::Field
                | Known::Request
                | Known::Row(_)
                | Known::Dict(_),
            ) => {
                self.refuse(span, "`in` wants a list on its right");
            }
            (known, Known::Part(class, path)) if self.listed(class, path, true, span) => {
                self.comparable(known, Comparison::Eq, &within(class, path), span);
            }
            _ => {}
        }
    }

    /// Whether the field may be a list, of plain values if such a one is asked for.
    fn listed(&mut self, class: &Option<Arc<str>>, path: &[Arc<str>], plain: bool, span: Span) -> bool {
        if !plain {
            self.followed(class.as_ref(), path);
        }
        let reason = self.shapes.and_then(|shapes| shapes.no_list(class.as_deref(), path, plain));
        let fits = reason.is_none();
        reason.into_iter().for_each(|reason| self.misfit(span, reason, class.as_ref()));
        fits
    }

    pub(super) fn begins(&mut self, text: &Known, prefix: &Known, span: Span) {
        let plain =
            |known: &Known| matches!(known, Known::Ground | Known::Text | Known::Constant(Constant::Text(_)));
        match (text, prefix) {
            (_, Known::Part(..) | Known::Row(_)) => self.refuse(span, NO_FIELD_BEGINS),
            (_, prefix) if !plain(prefix) => self.refuse(span, "`starts_with` takes a text"),
            (Known::Part(class, path), _) => {
                if let Some(reason) = self.shapes.and_then(|shapes| shapes.no_text(class.as_deref(), path)) {
                    self.misfit(span, reason, class.as_ref());
                }
            }
            (text, _) if !plain(text) => self.refuse(span, "only a text has `starts_with`"),
            _ => {}
        }
    }

    /// What may not stand on both sides of a comparison: a field and a whole list, or a constant of another type.
    pub(super) fn comparable(&mut self, a: &Known, op: Comparison, b: &Known, span: Span) {
        if let (Some(shapes), Known::Part(one, a), Known::Part(other, b)) = (self.shapes, a, b)
            && one == other
            && let Some(reason) = shapes.apart(one.as_deref(), a, op, b)
        {
            self.misfit(span, reason, one.as_ref());
        }
        for (one, other) in [(a, b), (b, a)] {
            if matches!((one, other), (Known::Part(..), Known::List(_) | Known::Dict(_))) {
                self.refuse(span, NO_WHOLE);
            }
            self.never_equal(one, other, span);
            if let (Some(shapes), Known::Part(class, path), Known::Constant(constant)) =
                (self.shapes, one, other)
                && let Some(reason) = shapes.misfit(class.as_deref(), path, op, &constant.value())
            {
                self.misfit(span, reason, class.as_ref());
            }
        }
    }

    /// What no value of the policy equals: such a rule would never hold, and under `not` always.
    pub(super) fn never_equal(&mut self, one: &Known, other: &Known, span: Span) {
        let reason = match (one, other) {
            (Known::List(_), Known::Constant(_)) => "a list is never equal to this; use `in`",
            (_, Known::Constant(_) | Known::Text | Known::List(_) | Known::Dict(_)) => match one {
                Known::User => "the user is never equal to this; compare `user.subject`, or `in user.roles`",
                Known::Source => "a source is never equal to this; compare `source.category` and the like",
                Known::Field => "a field is never equal to this; compare `field.name`, or `in field.tags`",
                Known::Request => {
                    "a request is never equal to this; compare `request.transport` and the like"
                }
                Known::Row(_) => "the row is never equal to this; compare its fields",
                _ => return,
            },
            _ => return,
        };
        self.refuse(span, reason);
    }
}

/// An item of a list of the row.
fn within(class: &Option<Arc<str>>, path: &[Arc<str>]) -> Known {
    Known::Part(class.clone(), path.iter().cloned().chain([ITEM.into()]).collect())
}
