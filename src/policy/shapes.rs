//! The collections that there are, as the static walk asks about them: whether a path leads to a field and whether a
//! constant has its type.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use crate::policy::value::{self, Value, Verdict};
use crate::query::{Collection, Comparison, RECORD};
use crate::shape::{Field, Kind};

/// Collections by the name of their class.
pub(super) struct Shapes(BTreeMap<String, Arc<Collection>>);

impl Shapes {
    pub(super) fn new(collections: &[Arc<Collection>]) -> Self {
        Shapes(
            collections.iter().map(|collection| (collection.type_name.clone(), collection.clone())).collect(),
        )
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn has(&self, class: &str) -> bool {
        self.0.contains_key(class)
    }

    /// Why the path leads nowhere in the collection of that class, when there is one. When something above is wrong it
    /// has been said there.
    pub(super) fn unknown(&self, class: Option<&str>, path: &[Arc<str>]) -> Option<String> {
        let class = class?;
        let (last, above) = path.split_last()?;
        let siblings = match self.find(class, above)? {
            Found::Fields(fields) => fields,
            Found::Row(fields) if last.as_ref() == RECORD || known(fields, last) => return None,
            Found::Row(fields) => fields,
            Found::Envelope => {
                let known = self.0.get(class)?.field(&[RECORD, last]).is_some();
                return (!known).then(|| format!("`{RECORD}` has no `{last}` to compare"));
            }
            Found::Column(column) if column.items.is_some() => {
                let list = shown(above);
                return Some(format!(
                    "`{list}` of `{class}` is a list; say of which item: `item in row.{list} and item.{last} = …`"
                ));
            }
            Found::Column(_) => {
                return Some(format!(
                    "`{}` of `{class}` has no fields that a filter can reach",
                    shown(above)
                ));
            }
        };
        if known(siblings, last) {
            return None;
        }
        if above.is_empty() && self.0.get(class)?.shape.relation(last).is_some() {
            let text = "is a relation, which rules do not follow; compare fields of the row itself";
            return Some(format!("`{last}` of `{class}` {text}"));
        }
        let nearest = nearest(last, siblings.iter().map(|field| field.name.as_str()));
        let hint = nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        Some(format!("`{class}` has no field `{}`{hint}", shown(path)))
    }

    /// Why a constant cannot be compared with the field.
    pub(super) fn misfit(
        &self,
        class: Option<&str>,
        path: &[Arc<str>],
        op: Comparison,
        constant: &Value<'_>,
    ) -> Option<String> {
        match self.find(class?, path)? {
            Found::Column(column) => reason(value::column_value(&column, op, constant)),
            Found::Envelope | Found::Fields(_) | Found::Row(_) => {
                Some(format!("`{}` is an object; compare its fields", shown(path)))
            }
        }
    }

    /// Why two fields of one row cannot be compared.
    pub(super) fn apart(
        &self,
        class: Option<&str>,
        a: &[Arc<str>],
        op: Comparison,
        b: &[Arc<str>],
    ) -> Option<String> {
        let class = class?;
        match (self.find(class, a)?, self.find(class, b)?) {
            (Found::Column(a), Found::Column(b)) => reason(value::column_column(&a, op, &b)),
            _ => {
                let (a, b) = (shown(a), shown(b));
                Some(format!("`{a}` and `{b}` are not both plain values; compare fields that are"))
            }
        }
    }

    /// Why the field is no text that can begin with something.
    pub(super) fn no_text(&self, class: Option<&str>, path: &[Arc<str>]) -> Option<String> {
        match self.find(class?, path)? {
            Found::Column(column) => reason(value::column_begins(&column, &Value::Text(""))),
            _ => Some(format!("`{}` is an object; only a String has `starts_with`", shown(path))),
        }
    }

    /// Why the field is no list, or, if it is asked for a plain value, no list of those.
    pub(super) fn no_list(&self, class: Option<&str>, path: &[Arc<str>], plain: bool) -> Option<String> {
        let fits = match self.find(class?, path)? {
            Found::Column(column) => column.items.is_some() && !(plain && column.opaque),
            _ => false,
        };
        let wanted = if plain { "a list of plain values" } else { "a list" };
        (!fits).then(|| format!("`{}` is not {wanted}", shown(path)))
    }

    /// What the path leads to.
    fn find(&self, class: &str, path: &[Arc<str>]) -> Option<Found<'_>> {
        let collection = self.0.get(class)?;
        let mut found = Found::Row(&collection.shape.fields);
        // Names for messages, from the row or the last item.
        let mut above: Vec<String> = Vec::new();
        for name in path {
            found = match (found, name.as_ref()) {
                (Found::Row(_), RECORD) => Found::Envelope,
                (Found::Envelope, name) => {
                    Found::Column(value::Column::envelope(collection.field(&[RECORD, name])?))
                }
                // Its number does not matter here.
                (Found::Column(list), ITEM) => of(list.item(0)?),
                (Found::Row(fields) | Found::Fields(fields), name) => {
                    let field = fields.iter().find(|field| field.was_called(name))?;
                    match &field.kind {
                        Kind::Object(children) => Found::Fields(children),
                        _ => Found::Column(value::Column::of(field, &above, None)),
                    }
                }
                (Found::Column(_), _) => return None,
            };
            match name.as_ref() {
                ITEM => above.clear(),
                name => above.push(name.to_owned()),
            }
        }
        Some(found)
    }
}

/// What stands in a path for an item of a list; no field has such a name.
pub(super) const ITEM: &str = "[]";

enum Found<'a> {
    /// The row.
    Row(&'a [Field]),
    /// An object's fields.
    Fields(&'a [Field]),
    Envelope,
    Column(value::Column<'a>),
}

fn of(item: Value<'_>) -> Found<'_> {
    match item {
        Value::Column(column) => Found::Column(Rc::unwrap_or_clone(column)),
        Value::Object(_, fields) => Found::Fields(fields),
        _ => Found::Fields(&[]),
    }
}

fn known(fields: &[Field], name: &str) -> bool {
    fields.iter().any(|field| field.was_called(name))
}

fn reason(verdict: Verdict) -> Option<String> {
    if let Verdict::Clash(reason) = verdict { Some(reason) } else { None }
}

/// A path as people write it.
fn shown(path: &[Arc<str>]) -> String {
    path.join(".").replace(&format!(".{ITEM}"), "")
}

/// The name most like it, when one is close.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let close = |other: &&str| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    known
        .map(|other| (close(&other), other))
        .filter(|(distance, _)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, other)| other)
}
