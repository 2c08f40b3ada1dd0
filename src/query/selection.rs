//! What of a row is shown: a selection resolved against the published shape. Made once for a field, used for
//! rows, lists within rows, and images of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::query::told::{TOLD, Told, WHOLE};
use crate::query::{
    Cast, Collection, ENVELOPE, FieldRef, Member, Related, Rules, Selected, resolve, told_member,
};
use crate::record::Json;
use crate::shape::{Enumeration, Field, Kind, Relation, Scalar, Union, entry_type};

/// The GraphQL type of `_record`.
const RECORD_TYPE: &str = "RecordMeta";
/// The GraphQL type of `_record.shape`.
const RECORD_SHAPE: &str = "RecordShape";

/// One selected member of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The key in the response.
    pub key: Arc<str>,
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
    /// The row as one of its variants.
    Cases(Cases),
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
    /// A scalar in the type that a contract keeps.
    Cast(Cast),
    /// A text by the name that its enum has for it, null when it has none.
    Enum(Enumeration),
    /// An object's members.
    Object(Vec<Node>),
    /// The members of an object that one column holds as text.
    Packed(Vec<Node>),
    /// An object's members by which variant it is.
    Cases(Cases),
    /// The same, of one that stands in the text of a column.
    PackedCases(Cases),
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
    pub parts: Vec<(Arc<str>, EntryPart)>,
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

/// What is shown of the variants of an object; null of others.
#[derive(Clone, Debug, PartialEq)]
pub struct Cases {
    /// Where the text is that says which one it is.
    pub by: By,
    /// The members by that text.
    pub nodes: Vec<(String, Vec<Node>)>,
}

/// Where the text of a discriminator is.
#[derive(Clone, Debug, PartialEq)]
pub enum By {
    /// In a column of the row.
    Column(FieldRef),
    /// In the object itself, by this name.
    Member(String),
}

/// One selected member of `_record`.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// The key in the response.
    pub key: Arc<str>,
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
    Parts(&'static Told, Vec<(Arc<str>, Part)>),
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
        Place::Root,
    )
}

struct Reader<'a> {
    collection: &'a Collection,
    types: &'a BTreeMap<u32, String>,
    used: &'a mut Used,
}

/// Where the members of an object are.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// They are the row's.
    Root,
    /// In columns.
    Columns,
    /// In the text of a column.
    Text,
}

impl Reader<'_> {
    fn nodes(
        &mut self,
        fields: &[Field],
        type_name: &str,
        selected: &[Selected],
        place: Place,
    ) -> Result<Vec<Node>> {
        let root = place == Place::Root;
        let mut nodes = Vec::with_capacity(selected.len());
        for member in selected {
            let what = match &*member.name {
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
                    match resolve::named(fields, name) {
                        Some(field) => {
                            self.used.shown.insert(field.id);
                            let form = self.form((field, 0), &field.kind, (member, place))?;
                            What::Field { id: field.id, name: field.stored().to_owned(), form }
                        }
                        None => self.variants(fields, name, &member.children, place)?,
                    }
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
    fn form(
        &mut self,
        (field, maps): (&Field, usize),
        kind: &Kind,
        (selected, place): (&Selected, Place),
    ) -> Result<Form> {
        let within = if place == Place::Text { Place::Text } else { Place::Columns };
        let children = &*selected.children;
        Ok(match kind {
            Kind::Scalar(scalar) => match (field.enumeration(), self.collection.cast(field.id)) {
                (_, Some(cast)) => Form::Cast(cast),
                (Some(values), None) => Form::Enum(values.clone()),
                (None, None) => Form::Scalar(*scalar),
            },
            Kind::List(item) => {
                Form::List(Box::new(self.form((field, maps), item, (selected, Place::Text))?))
            }
            Kind::Object(fields) => Form::Object(self.nested(field.id, fields, children, within)?),
            Kind::Packed(fields) => Form::Packed(self.nested(field.id, fields, children, Place::Text)?),
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
        for member in selected.children.iter() {
            let part = match &*member.name {
                "__typename" => EntryPart::Typename(entry_type(
                    self.types.get(&field.id).map_or("", String::as_str),
                    depth,
                )),
                "key" => EntryPart::Key,
                "value" => EntryPart::Value(self.form((field, depth), value, (member, Place::Text))?),
                name => return Err(unknown(name)),
            };
            entries.parts.push((member.response_key.clone(), part));
        }
        Ok(entries)
    }

    fn nested(
        &mut self,
        id: u32,
        fields: &[Field],
        children: &[Selected],
        place: Place,
    ) -> Result<Vec<Node>> {
        let type_name = self.types.get(&id).map_or("", String::as_str);
        self.nodes(fields, type_name, children, place)
    }

    /// The union that stands beside one of the fields, or is that of the row.
    fn variants(
        &mut self,
        fields: &[Field],
        name: &str,
        children: &[Selected],
        place: Place,
    ) -> Result<What> {
        let beside = |field: &&Field| field.union().is_some_and(|union| union.name == name);
        if let Some(field) = fields.iter().find(beside)
            && let Some(union) = field.union()
        {
            self.used.shown.insert(field.id);
            let form = self.united(&field.kind, union, (children, place))?;
            return Ok(What::Field { id: field.id, name: field.stored().to_owned(), form });
        }
        let own =
            self.collection.shape.own_union().filter(|union| place == Place::Root && union.name == name);
        let own = own.ok_or_else(|| unknown(name))?;
        Ok(What::Cases(self.cases(fields, own, children, Place::Columns)?))
    }

    fn united(
        &mut self,
        kind: &Kind,
        union: &Union,
        (children, place): (&[Selected], Place),
    ) -> Result<Form> {
        Ok(match kind {
            Kind::List(item) => Form::List(Box::new(self.united(item, union, (children, Place::Text))?)),
            Kind::Object(fields) if place != Place::Text => {
                Form::Cases(self.cases(fields, union, children, Place::Columns)?)
            }
            Kind::Object(fields) | Kind::Packed(fields) => {
                Form::PackedCases(self.cases(fields, union, children, Place::Text)?)
            }
            Kind::Scalar(_) | Kind::Map(_) => return Err(unknown(&union.name)),
        })
    }

    /// What is selected of each variant, by the name of its type.
    fn cases(
        &mut self,
        fields: &[Field],
        union: &Union,
        children: &[Selected],
        place: Place,
    ) -> Result<Cases> {
        let own = fields.iter().find(|field| field.id == union.discriminator && place == Place::Text);
        let by = match own {
            Some(field) => By::Member(field.stored().to_owned()),
            None => By::Column(
                // Given another type, it tells nothing apart any more.
                resolve::column_of(&self.collection.shape, union.discriminator)
                    .filter(|field| field.scalar == Scalar::String && !field.list)
                    .ok_or_else(|| unknown(&union.name))?,
            ),
        };
        // It says what it is compared with.
        self.used.compared.insert(union.discriminator);
        let mut nodes = Vec::with_capacity(children.len());
        for selected in children {
            let case = union.cases().find(|case| *case.type_name == *selected.name);
            let case = case.ok_or_else(|| unknown(&selected.name))?;
            let known = |id: &u32| fields.iter().any(|field| field.id == *id && case.fields.contains(id));
            let of_case = self.nodes(fields, &case.type_name, &selected.children, place)?;
            let foreign = of_case.iter().find_map(|node| match &node.what {
                What::Field { id, name, .. } if !known(id) => Some(name),
                _ => None,
            });
            if let Some(name) = foreign {
                return Err(unknown(name));
            }
            nodes.push((case.value.clone(), of_case));
        }
        Ok(Cases { by, nodes })
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
        let what = match &*member.name {
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

fn parts(told: &Told, selected: &[Selected]) -> Result<Vec<(Arc<str>, Part)>> {
    let part = |member: &Selected| match &*member.name {
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
