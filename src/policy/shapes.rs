//! The collections that there are, as the static walk asks about them: whether a path leads to a field and whether a
//! constant has its type.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use crate::policy::value::{self, Root, Value, Verdict};
use crate::query::{Collection, Comparison, Link, RECORD};
use crate::shape::{Field, Kind, Relation};

/// Collections by the name of their class.
pub(super) struct Shapes {
    by_class: BTreeMap<String, Arc<Collection>>,
    /// The same by the names of their query fields, as relations name them.
    by_field: BTreeMap<String, Arc<Collection>>,
    relations_max: usize,
}

/// What is said of a name that leads nowhere.
pub(super) enum Unknown {
    /// Why it is wrong.
    Wrong(String),
    /// There is none, so far.
    Absent(String),
}

impl Shapes {
    pub(super) fn new(collections: &[Arc<Collection>], relations_max: usize) -> Self {
        let by = |name: fn(&Collection) -> &String| {
            collections.iter().map(|collection| (name(collection).clone(), collection.clone())).collect()
        };
        Shapes { by_class: by(|one| &one.type_name), by_field: by(|one| &one.field_name), relations_max }
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = &str> {
        self.by_class.keys().map(String::as_str)
    }

    pub(super) fn has(&self, class: &str) -> bool {
        self.by_class.contains_key(class)
    }

    /// Why the path leads nowhere in the collection of that class, when there is one. When something above is wrong it
    /// has been said there.
    pub(super) fn unknown(&self, class: &str, path: &[Arc<str>]) -> Option<Unknown> {
        let (last, above) = path.split_last()?;
        let list = shown(above);
        let wrong = |reason: String| Some(Unknown::Wrong(reason));
        let siblings = match self.find(class, above)? {
            Found::Fields(fields) => fields,
            Found::Row(at) => match self.of_row(at, last) {
                Ok(true) => return None,
                Ok(false) => at.collection.shape.fields.as_slice(),
                Err(reason) => return wrong(reason),
            },
            Found::Envelope(collection) => {
                let known = collection.field(&[RECORD, last]).is_some();
                return if known { None } else { wrong(format!("`{RECORD}` has no `{last}` to compare")) };
            }
            Found::Rows(_) => {
                return wrong(format!(
                    "`{list}` of `{class}` is many rows; say of which: `x in row.{list} and x.{last} = …`"
                ));
            }
            Found::Column(column) if column.items.is_some() => {
                return wrong(format!(
                    "`{list}` of `{class}` is a list; say of which item: `item in row.{list} and item.{last} = …`"
                ));
            }
            Found::Column(_) => {
                return wrong(format!("`{list}` of `{class}` has no fields that a filter can reach"));
            }
        };
        if known(siblings, last) {
            return None;
        }
        let nearest = nearest(last, siblings.iter().map(|field| field.name.as_str()));
        let hint = nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        Some(Unknown::Absent(format!("`{class}` has no field `{}`{hint}", shown(path))))
    }

    /// Whether a row has something of that name; else why what it has leads nowhere.
    fn of_row(&self, at: Row<'_>, name: &str) -> Result<bool, String> {
        let (collection, class) = (at.collection, &at.collection.type_name);
        if name == RECORD || known(&collection.shape.fields, name) {
            return Ok(true);
        }
        let Some(relation) = collection.shape.relations.iter().find(|relation| relation.name == name) else {
            return Ok(false);
        };
        if relation.removed {
            return Err(format!(
                "the relation `{name}` of `{class}` was removed; accept it again, or leave it out"
            ));
        }
        if at.depth >= self.relations_max {
            let max = self.relations_max;
            return Err(format!(
                "rules follow at most {max} relations in a row, as `policy.relations_max` says"
            ));
        }
        match self.leads(collection, relation) {
            Some(_) => Ok(true),
            None => Err(format!("the relation `{name}` of `{class}` leads nowhere any more")),
        }
    }

    fn leads(&self, from: &Collection, relation: &Relation) -> Option<&Collection> {
        let to = self.by_field.get(&relation.other)?;
        Link::new(from, relation, to).map(|_| to.as_ref())
    }

    /// Whether the last name is that of a relation.
    pub(super) fn is_relation(&self, class: &str, path: &[Arc<str>]) -> bool {
        matches!(self.find(class, path), Some(Found::Row(_) | Found::Rows(_)))
    }

    /// What is said when more is asked of a name that leads nowhere: a relation may not be accepted yet; an error when
    /// there is something of which more can be asked that has a name like it.
    pub(super) fn no_relation(&self, class: &str, path: &[Arc<str>]) -> Option<Result<String, String>> {
        let (last, above) = path.split_last()?;
        let (collection, siblings) = match self.find(class, above)? {
            Found::Row(at) => (Some(at.collection), at.collection.shape.fields.as_slice()),
            Found::Fields(fields) => (None, fields),
            _ => return None,
        };
        let more = |field: &&Field| !matches!(field.kind, Kind::Scalar(_));
        let fields = siblings.iter().filter(more).map(|field| field.name.as_str());
        let relations = collection.into_iter().flat_map(|one| one.shape.relations());
        let path = shown(path);
        Some(match nearest(last, fields.chain(relations.map(|relation| relation.name.as_str()))) {
            Some(name) => Err(format!("`{class}` has no field or relation `{path}`; did you mean `{name}`?")),
            None if collection.is_none() => return None,
            None => Ok(format!("`{class}` has no field or relation `{path}` yet, so this rule sleeps")),
        })
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
            Found::Envelope(_) | Found::Fields(_) => {
                Some(format!("`{}` is an object; compare its fields", shown(path)))
            }
            Found::Row(_) | Found::Rows(_) => {
                Some(format!("`{}` leads to other rows; compare their fields", shown(path)))
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
            Found::Rows(_) => !plain,
            Found::Column(column) => column.items.is_some() && !(plain && column.opaque),
            _ => false,
        };
        let wanted = if plain { "a list of plain values" } else { "a list" };
        (!fits).then(|| format!("`{}` is not {wanted}", shown(path)))
    }

    /// What the path leads to.
    fn find(&self, class: &str, path: &[Arc<str>]) -> Option<Found<'_>> {
        let mut found = Found::Row(Row { collection: self.by_class.get(class)?, depth: 0 });
        // Names for messages, from the row or the last item.
        let mut above: Vec<String> = Vec::new();
        for name in path {
            found = match (found, name.as_ref()) {
                (Found::Row(at), RECORD) => Found::Envelope(at.collection),
                (Found::Envelope(collection), name) => {
                    Found::Column(value::Column::envelope(collection.field(&[RECORD, name])?, Root::Row))
                }
                // Its number does not matter here.
                (Found::Column(list), ITEM) => of(list.item(0)?),
                (Found::Rows(row), ITEM) => Found::Row(row),
                (Found::Row(at), name) => match field(&at.collection.shape.fields, name, &above) {
                    Some(found) => found,
                    None => self.related(at, name)?,
                },
                (Found::Fields(fields), name) => field(fields, name, &above)?,
                (Found::Column(_) | Found::Rows(_), _) => return None,
            };
            match (&found, name.as_ref()) {
                (_, ITEM) | (Found::Row(_), _) => above.clear(),
                (_, name) => above.push(name.to_owned()),
            }
        }
        Some(found)
    }

    fn related(&self, at: Row<'_>, name: &str) -> Option<Found<'_>> {
        let relation = at.collection.shape.relation(name)?;
        let depth = at.depth + 1;
        let row = Row { collection: self.leads(at.collection, relation)?, depth };
        let near = depth <= self.relations_max;
        near.then_some(if relation.many { Found::Rows(row) } else { Found::Row(row) })
    }
}

/// What stands in a path for an item of a list; no field has such a name.
pub(super) const ITEM: &str = "[]";

/// A row, and how many relations lead there.
#[derive(Clone, Copy)]
struct Row<'a> {
    collection: &'a Collection,
    depth: usize,
}

enum Found<'a> {
    Row(Row<'a>),
    /// Many related rows.
    Rows(Row<'a>),
    /// An object's fields.
    Fields(&'a [Field]),
    Envelope(&'a Collection),
    Column(value::Column<'a>),
}

fn field<'a>(fields: &'a [Field], name: &str, above: &[String]) -> Option<Found<'a>> {
    let field = fields.iter().find(|field| field.was_called(name))?;
    Some(match &field.kind {
        Kind::Object(children) => Found::Fields(children),
        _ => Found::Column(value::Column::of(field, above, Root::Row)),
    })
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
