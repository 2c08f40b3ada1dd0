//! What of a row is shown: a selection resolved against the published shape. Made once for a field, used for
//! rows, lists within rows, and images of changes.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::query::told::{TOLD, Told, WHOLE};
use crate::query::{Collection, ENVELOPE, FieldRef, Member, Related, Rules, Selected, resolve, told_member};
use crate::record::Json;
use crate::shape::{Enumeration, Field, Kind, Relation, Scalar, entry_type};

/// The GraphQL type of `_record`.
const RECORD_TYPE: &str = "RecordMeta";
/// The GraphQL type of `_record.shape`.
const RECORD_SHAPE: &str = "RecordShape";

/// One selected member of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The key in the response.
    pub key: String,
    /// What stands there.
    pub what: What,
}

/// What a selected member shows.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The type's name.
    Typename(String),
    /// A published field.
    Field {
        /// The field's id.
        id: u32,
        /// The name by which its values are stored.
        name: String,
        /// What is shown of it.
        form: Form,
    },
    /// `_record`.
    Record(Vec<Meta>),
    /// `_rest`: what is not published.
    Rest,
    /// What the relation at this place of the query leads to, by the value of a column.
    Related(usize, FieldRef),
}

/// What is shown of a field's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// A scalar.
    Scalar(Scalar),
    /// A text by the name that its enum has for it, null when it has none.
    Enum(Enumeration),
    /// An object's members.
    Object(Vec<Node>),
    /// The members of an object that one column holds as text.
    Packed(Vec<Node>),
    /// Each item of a list.
    List(Box<Form>),
    /// The entries of a map.
    Map(Box<Entries>),
}

/// What is shown of a map: its entries, in the order of the document.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries {
    /// Only those with these keys.
    pub keys: Option<BTreeSet<String>>,
    /// At most so many.
    pub first: usize,
    /// The selected members of each by their keys in the response.
    pub parts: Vec<(String, EntryPart)>,
}

/// A selected member of an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum EntryPart {
    /// The type's name.
    Typename(String),
    /// The key.
    Key,
    /// The value.
    Value(Form),
}

impl Entries {
    /// Whether the entry with this key may be shown.
    pub fn has(&self, key: &str) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(key))
    }
}

/// One selected member of `_record`.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// The key in the response.
    pub key: String,
    /// What stands there.
    pub what: MetaField,
}

/// What a member of `_record` shows.
#[derive(Clone, Debug, PartialEq)]
pub enum MetaField {
    /// The name of the type that shows less than the whole envelope.
    Typename(String),
    /// A column.
    Column(&'static Member),
    /// What the record tells.
    Told(&'static Told),
    /// Of an object that the record tells, the selected members.
    Parts(&'static Told, Vec<(String, Part)>),
    /// What did not fit the published types.
    Rescued,
}

/// A member of an object that the record tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// The name of the object's type.
    Typename(&'static str),
    /// One of its parts, by its place.
    Value(u8),
}

/// What a selection uses of rows.
#[derive(Default)]
pub(super) struct Used {
    /// Fields whose values are shown.
    pub(super) shown: BTreeSet<u32>,
    /// Fields that are compared.
    pub(super) compared: BTreeSet<u32>,
    /// Relations that are followed.
    pub(super) related: Vec<Related>,
}

/// Resolves the selection of a row.
pub(super) fn row(collection: &Collection, selected: &[Selected], used: &mut Used) -> Result<Vec<Node>> {
    let shape = &collection.shape;
    Reader { collection, types: &shape.type_names, used }.nodes(
        &shape.fields,
        &collection.type_name,
        selected,
        true,
    )
}

struct Reader<'a> {
    collection: &'a Collection,
    types: &'a BTreeMap<u32, String>,
    used: &'a mut Used,
}

impl Reader<'_> {
    fn nodes(
        &mut self,
        fields: &[Field],
        type_name: &str,
        selected: &[Selected],
        root: bool,
    ) -> Result<Vec<Node>> {
        let mut nodes = Vec::with_capacity(selected.len());
        for member in selected {
            let what = match member.name.as_str() {
                "__typename" => What::Typename(type_name.to_owned()),
                resolve::RECORD if root => {
                    What::Record(record(type_name, &member.children, &mut self.used.shown)?)
                }
                "_rest" if root && resolve::named(fields, "_rest").is_none() => What::Rest,
                name => {
                    let relation = self.collection.shape.relation(name).filter(|_| root);
                    if let Some(relation) = relation {
                        let what = self.related(relation, member)?;
                        nodes.push(Node { key: member.response_key.clone(), what });
                        continue;
                    }
                    let field = resolve::named(fields, name).ok_or_else(|| unknown(name))?;
                    self.used.shown.insert(field.id);
                    let form = self.form((field, 0), &field.kind, member)?;
                    What::Field { id: field.id, name: field.stored().to_owned(), form }
                }
            };
            nodes.push(Node { key: member.response_key.clone(), what });
        }
        Ok(nodes)
    }

    fn related(&mut self, relation: &Relation, member: &Selected) -> Result<What> {
        let key = self.collection.end(relation.field, &mut self.used.compared);
        let key = key.ok_or_else(|| unknown(&member.name))?;
        self.used.related.push(Related { relation: relation.clone(), selected: member.clone() });
        Ok(What::Related(self.used.related.len() - 1, key))
    }

    /// What `selected` asks of a value of this kind; `maps` stand around it within the field.
    fn form(&mut self, (field, maps): (&Field, usize), kind: &Kind, selected: &Selected) -> Result<Form> {
        Ok(match kind {
            Kind::Scalar(scalar) => match field.enumeration() {
                Some(values) => Form::Enum(values.clone()),
                None => Form::Scalar(*scalar),
            },
            Kind::List(item) => Form::List(Box::new(self.form((field, maps), item, selected)?)),
            Kind::Object(fields) => Form::Object(self.nested(field.id, fields, &selected.children)?),
            Kind::Packed(fields) => Form::Packed(self.nested(field.id, fields, &selected.children)?),
            Kind::Map(value) => Form::Map(Box::new(self.entries((field, maps + 1), value, selected)?)),
        })
    }

    fn entries(
        &mut self,
        (field, depth): (&Field, usize),
        value: &Kind,
        selected: &Selected,
    ) -> Result<Entries> {
        let mut entries = Entries { keys: None, first: usize::MAX, parts: Vec::new() };
        for (name, argument) in &selected.arguments {
            match (name.as_str(), argument) {
                (_, Json::Null) => {}
                ("keys", keys) => entries.keys = Some(texts(keys)?),
                ("first", Json::Number(first)) if first.parse::<usize>().is_ok() => {
                    entries.first = first.parse().unwrap_or(usize::MAX);
                }
                ("first", _) => return Err(Error::bad_request("`first` is a number from 0 on")),
                (name, _) => return Err(Error::bad_request(format!("a map has no argument `{name}`"))),
            }
        }
        for member in &selected.children {
            let part = match member.name.as_str() {
                "__typename" => EntryPart::Typename(entry_type(
                    self.types.get(&field.id).map_or("", String::as_str),
                    depth,
                )),
                "key" => EntryPart::Key,
                "value" => EntryPart::Value(self.form((field, depth), value, member)?),
                name => return Err(unknown(name)),
            };
            entries.parts.push((member.response_key.clone(), part));
        }
        Ok(entries)
    }

    fn nested(&mut self, id: u32, fields: &[Field], children: &[Selected]) -> Result<Vec<Node>> {
        let type_name = self.types.get(&id).map_or("", String::as_str);
        self.nodes(fields, type_name, children, false)
    }
}

fn texts(keys: &Json) -> Result<BTreeSet<String>> {
    let keys = match keys {
        Json::Array(keys) => keys.as_slice(),
        single => std::slice::from_ref(single),
    };
    let text = |key: &Json| key.as_str().map(str::to_owned);
    let texts: Option<BTreeSet<String>> = keys.iter().map(text).collect();
    texts.ok_or_else(|| Error::bad_request("`keys` takes texts"))
}

fn record(type_name: &str, selected: &[Selected], shown: &mut BTreeSet<u32>) -> Result<Vec<Meta>> {
    let mut members = Vec::with_capacity(selected.len());
    for member in selected {
        let what = match member.name.as_str() {
            "__typename" => MetaField::Typename(format!("{type_name}{RECORD_TYPE}")),
            "rescued" => MetaField::Rescued,
            name => match (resolve::envelope(name), told_member(name)) {
                (Some(column), _) => {
                    shown.insert(column.id);
                    MetaField::Column(column)
                }
                (None, Some(told)) => {
                    // What is not classified is there for everybody, as null.
                    shown.extend(told.classified.then_some(told.id));
                    match told.parts {
                        [] => MetaField::Told(told),
                        _ => MetaField::Parts(told, parts(told, &member.children)?),
                    }
                }
                (None, None) => return Err(unknown(name)),
            },
        };
        members.push(Meta { key: member.response_key.clone(), what });
    }
    Ok(members)
}

fn parts(told: &Told, selected: &[Selected]) -> Result<Vec<(String, Part)>> {
    let part = |member: &Selected| match member.name.as_str() {
        "__typename" => Some(Part::Typename(RECORD_SHAPE)),
        name => {
            let place = told.parts.iter().position(|(part, _)| *part == name)?;
            Some(Part::Value(u8::try_from(place).unwrap_or(WHOLE)))
        }
    };
    let named = |member: &Selected| Some((member.response_key.clone(), part(member)?));
    selected.iter().map(|member| named(member).ok_or_else(|| unknown(&member.name))).collect()
}

/// The name of the type of `_record`: of all collections when all of it is shown as it is, else the collection's `own`.
pub(super) fn record_type<'a>(own: &'a str, rules: &dyn Rules) -> &'a str {
    let plain = |id| !rules.hidden(id) && rules.mask(id).is_none() && rules.condition(id).is_none();
    let told = TOLD.iter().filter(|told| told.classified).map(|told| told.id);
    if ENVELOPE.iter().map(|member| member.id).chain(told).all(plain) { RECORD_TYPE } else { own }
}

/// The error for a field that is not there.
pub(super) fn unknown(name: &str) -> Error {
    Error::bad_request(format!("there is no field `{name}`; ask the schema for the fields there are"))
}
