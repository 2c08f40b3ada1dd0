//! Quarantine: which published fields somebody or something has classified. In guarded mode a new field is not, and
//! only stewards see it until a rule, its tags or a steward says so. Must not decide who sees what: policies do.

use std::collections::BTreeSet;

use super::{Field, Published};
use crate::config;

impl Published {
    /// Keeps what is new since `previous` in quarantine when `guarded`, and lets go what rules classify. Returns how
    /// many new fields stay in it.
    pub fn guard(
        &mut self,
        previous: &Published,
        collection: &str,
        guarded: bool,
        rules: &config::Shape,
    ) -> usize {
        let mut kept = 0;
        leaves(&mut self.fields, &mut |field| {
            if field.id > previous.last_field_id {
                field.unclassified = guarded && !is_classified_by(rules, collection, field);
                kept += usize::from(field.unclassified);
            }
        });
        self.release(collection, rules);
        kept
    }

    /// Classifies what the rules say about a collection of this name. Returns the paths of the fields that were not.
    pub fn release(&mut self, collection: &str, rules: &config::Shape) -> Vec<String> {
        let mut released = Vec::new();
        leaves(&mut self.fields, &mut |field| {
            if field.unclassified && is_classified_by(rules, collection, field) {
                field.unclassified = false;
                released.push(field.path.clone());
            }
        });
        let whole = rules.classify.iter().any(|rule| matches(rule, collection, ""));
        self.unclassified &= !whole && !self.any_classified();
        released
    }

    /// Classifies the fields at these paths, with all that is in them, or takes that back; no paths are all fields,
    /// and the path of the document itself is empty. Fields that are younger than `last_field_id` stay as they are.
    /// Returns the paths of the fields that have changed.
    ///
    /// # Errors
    /// A path that no field has.
    pub fn classify(
        &mut self,
        paths: Option<&[String]>,
        classified: bool,
        last_field_id: u32,
    ) -> Result<Vec<String>, String> {
        let known: BTreeSet<&str> = self.fields().map(|field| field.path.as_str()).collect();
        if let Some(unknown) =
            paths.into_iter().flatten().find(|path| !path.is_empty() && !known.contains(&***path))
        {
            return Err(unknown.clone());
        }
        let chosen: Option<BTreeSet<String>> = paths.map(|paths| paths.iter().cloned().collect());
        let whole = chosen.as_ref().is_none_or(|paths| paths.contains(""));
        let mut changed = Vec::new();
        below(&mut self.fields, whole, chosen.as_ref(), &mut |field| {
            if field.id <= last_field_id && field.unclassified == classified {
                field.unclassified = !classified;
                changed.push(field.path.clone());
            }
        });
        self.unclassified = match (self.any_classified(), self.fields.is_empty()) {
            (true, _) => false,
            (false, false) => self.unclassified || !classified,
            (false, true) if whole => !classified,
            (false, true) => self.unclassified,
        };
        Ok(changed)
    }

    /// The field at this path, to decide about it.
    pub fn at_path_mut(&mut self, path: &str) -> Option<&mut Field> {
        at_path(&mut self.fields, path)
    }

    /// The field at this path.
    pub fn at_path(&self, path: &str) -> Option<&Field> {
        let mut fields = self.fields.as_slice();
        loop {
            let above = |field: &&Field| {
                path.strip_prefix(&*field.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let field = fields.iter().find(above)?;
            if field.path == path {
                return Some(field);
            }
            fields = field.children();
        }
    }

    fn any_classified(&self) -> bool {
        self.fields().any(|field| field.holds_values() && !field.unclassified)
    }
}

/// What is to be decided about a field; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// What it is, for people; empty is no description.
    pub description: Option<String>,
    /// All its tags.
    pub tags: Option<BTreeSet<String>>,
    /// Whether it is for stewards only, with all that is in it.
    pub hidden: Option<bool>,
    /// The texts that it may have as an enum; none is no enum.
    pub values: Option<Vec<String>>,
    /// Why it is to be used no longer; empty takes that back.
    pub deprecated: Option<String>,
    /// Its new type: [`Published::retype`] begins to give it.
    pub retype: Option<String>,
    /// Its new name: [`Published::rename`] gives it.
    pub name: Option<String>,
    /// The old names that it answers to from now on: [`Published::keep_aliases`] takes away the others.
    pub aliases: Option<Vec<String>>,
}

impl Field {
    /// Decides about the field, so that inference keeps to it.
    pub fn decide(&mut self, wish: &Wish) {
        if let Some(text) = &wish.description {
            self.decided.description = Some(text.clone()).filter(|text| !text.is_empty());
        }
        if let Some(tags) = &wish.tags {
            // What it had once may be inferred again.
            self.decided.untagged.extend(std::mem::take(&mut self.tags));
            self.decided.untagged.retain(|tag| !tags.contains(tag));
            self.tags.clone_from(tags);
        }
        if let Some(text) = &wish.deprecated {
            self.decided.deprecated = Some(text.clone()).filter(|text| !text.is_empty());
        }
        self.decided.hidden = wish.hidden.unwrap_or(self.decided.hidden);
        if let Some(values) = &wish.values {
            self.decided.values = self.decided.values.accept(values);
        }
    }

    /// Whether it is classified; of one with fields below, whether all of these are.
    pub fn is_classified(&self) -> bool {
        !(self.holds_values() && self.unclassified) && self.children().iter().all(Field::is_classified)
    }
}

fn at_path<'a>(fields: &'a mut [Field], path: &str) -> Option<&'a mut Field> {
    for field in fields {
        if field.path == path {
            return Some(field);
        }
        let inside = path.strip_prefix(&*field.path).is_some_and(|rest| rest.starts_with('/'));
        if inside {
            return at_path(field.children_mut()?, path);
        }
    }
    None
}

/// Visits the fields that hold values.
fn leaves(fields: &mut [Field], each: &mut impl FnMut(&mut Field)) {
    below(fields, true, None, each);
}

/// Visits the fields that hold values: all, or those at or below the chosen paths.
fn below(
    fields: &mut [Field],
    whole: bool,
    chosen: Option<&BTreeSet<String>>,
    each: &mut impl FnMut(&mut Field),
) {
    for field in fields {
        let whole = whole || chosen.is_some_and(|paths| paths.contains(&field.path));
        if whole && field.holds_values() {
            each(field);
        }
        if let Some(children) = field.children_mut() {
            below(children, whole, chosen, each);
        }
    }
}

fn is_classified_by(rules: &config::Shape, collection: &str, field: &Field) -> bool {
    let listed = |tag: &String| {
        let mut listed = rules.classify_tags.iter();
        listed.any(|of| {
            tag.strip_prefix(of.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let by_tags = !field.tags.is_empty() && field.tags.iter().all(listed);
    by_tags || rules.classify.iter().any(|rule| matches(rule, collection, &field.path))
}

fn matches(rule: &config::Classify, collection: &str, path: &str) -> bool {
    let parts = |path| -> Vec<String> { str::split(path, '/').skip(1).map(str::to_owned).collect() };
    is_like(&rule.collection, collection) && are_like(&parts(&rule.path), &parts(path))
}

/// Whether the parts of a path are like those of a pattern. `**` is any number of them.
fn are_like(pattern: &[String], parts: &[String]) -> bool {
    walk(pattern, parts, |part| part == "**", |pattern, part| is_like(pattern, part))
}

/// Whether a text is like a pattern, in which `*` is any text.
pub(super) fn is_like(pattern: &str, text: &str) -> bool {
    let chars = |text: &str| text.chars().collect::<Vec<_>>();
    walk(&chars(pattern), &chars(text), |c| *c == '*', |a, b| a == b)
}

/// Matches with a wildcard for any number of items, in time of at most the product of both lengths: on a mismatch the
/// last wildcard takes one item more.
fn walk<T>(pattern: &[T], items: &[T], wild: impl Fn(&T) -> bool, same: impl Fn(&T, &T) -> bool) -> bool {
    let (mut p, mut i) = (0, 0);
    let mut back = None;
    loop {
        match (pattern.get(p), items.get(i)) {
            (Some(part), _) if wild(part) => {
                back = Some((p + 1, i));
                p += 1;
            }
            (Some(part), Some(item)) if same(part, item) => (p, i) = (p + 1, i + 1),
            (None, None) => return true,
            (_, None) => return false,
            _ => match back {
                Some((after, from)) => {
                    back = Some((after, from + 1));
                    (p, i) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests;
