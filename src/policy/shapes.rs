//! The collections that there are, as the static walk asks about them: whether a path leads to a field and whether a
//! constant has its type.

use std::{collections::BTreeMap, sync::Arc};

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

    /// Why the path leads nowhere in the collection of that class, when there is one.
    pub(super) fn unknown(&self, class: Option<&str>, path: &[Arc<str>]) -> Option<String> {
        let class = class?;
        let collection = self.0.get(class)?;
        let (last, above) = path.split_last()?;
        if above.is_empty() && last.as_ref() == RECORD {
            return None;
        }
        if let [record] = above
            && record.as_ref() == RECORD
        {
            let known = collection.field(&[RECORD, last]).is_some();
            return (!known).then(|| format!("`{RECORD}` has no `{last}` to compare"));
        }
        // When something above is wrong it has been said there.
        let siblings = match level(&collection.shape.fields, above)? {
            Level::Object(fields) => fields,
            Level::Leaf => {
                let parent = above.join(".");
                return Some(format!("`{parent}` of `{class}` has no fields that a filter can reach"));
            }
        };
        if siblings.iter().any(|field| field.was_called(last)) {
            return None;
        }
        let nearest = nearest(last, siblings.iter().map(|field| field.name.as_str()));
        let hint = nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        Some(format!("`{class}` has no field `{}`{hint}", path.join(".")))
    }

    /// Why a constant cannot be compared with the field.
    pub(super) fn misfit(
        &self,
        class: Option<&str>,
        path: &[Arc<str>],
        constant: &Value<'_>,
    ) -> Option<String> {
        let column = self.column(class?, path)?;
        match value::column_value(&column, Comparison::Eq, constant) {
            Verdict::Clash(reason) => Some(reason),
            _ => None,
        }
    }

    /// Why the field is no list that can be asked for a value.
    pub(super) fn no_list(&self, class: Option<&str>, path: &[Arc<str>]) -> Option<String> {
        let column = self.column(class?, path)?;
        let fits = column.field.list && !column.opaque;
        (!fits).then(|| format!("`{}` is not a list of plain values", column.field.name()))
    }

    fn column(&self, class: &str, path: &[Arc<str>]) -> Option<value::Column> {
        let collection = self.0.get(class)?;
        let (last, above) = path.split_last()?;
        let above: Vec<String> = above.iter().map(|name| name.to_string()).collect();
        let names: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
        if let [RECORD, _] = names.as_slice() {
            return Some(value::Column { field: collection.field(&names)?, opaque: false });
        }
        let parents: Vec<Arc<str>> = path.split_last()?.1.to_vec();
        match level(&collection.shape.fields, &parents)? {
            Level::Object(fields) => {
                fields.iter().find(|field| field.was_called(last)).map(|field| value::column(field, &above))
            }
            Level::Leaf => None,
        }
    }
}

enum Level<'a> {
    Object(&'a [Field]),
    Leaf,
}

fn level<'a>(fields: &'a [Field], path: &[Arc<str>]) -> Option<Level<'a>> {
    let Some((first, below)) = path.split_first() else { return Some(Level::Object(fields)) };
    match &fields.iter().find(|field| field.was_called(first))?.kind {
        Kind::Object(children) => level(children, below),
        _ if below.is_empty() => Some(Level::Leaf),
        _ => None,
    }
}

/// The name most like it, when one is close.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let close = |other: &&str| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    known
        .map(|other| (close(&other), other))
        .filter(|(distance, _)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, other)| other)
}
