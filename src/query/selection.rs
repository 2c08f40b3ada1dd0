//! What of a row is shown: a selection resolved against the published shape. Made once for a field, used for
//! rows, lists within rows, and images of changes.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::query::told::{TOLD, Told, WHOLE};
use crate::query::{ENVELOPE, Member, Rules, Selected, resolve, told_member};
use crate::shape::{Enumeration, Field, Kind, Published, Scalar};

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
        /// Its published name.
        name: String,
        /// What is shown of it.
        form: Form,
    },
    /// `_record`.
    Record(Vec<Meta>),
    /// `_rest`: what is not published.
    Rest,
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

/// Resolves the selection of a row of the type `type_name`.
pub(super) fn row(
    shape: &Published,
    type_name: &str,
    selected: &[Selected],
    shown: &mut BTreeSet<u32>,
) -> Result<Vec<Node>> {
    Reader { types: &shape.type_names, shown }.nodes(&shape.fields, type_name, selected, true)
}

struct Reader<'a> {
    types: &'a BTreeMap<u32, String>,
    shown: &'a mut BTreeSet<u32>,
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
                resolve::RECORD if root => What::Record(record(type_name, &member.children, self.shown)?),
                "_rest" if root && resolve::named(fields, "_rest").is_none() => What::Rest,
                name => {
                    let field = resolve::named(fields, name).ok_or_else(|| unknown(name))?;
                    self.shown.insert(field.id);
                    let form = self.form(field, &field.kind, &member.children)?;
                    What::Field { id: field.id, name: field.name.clone(), form }
                }
            };
            nodes.push(Node { key: member.response_key.clone(), what });
        }
        Ok(nodes)
    }

    fn form(&mut self, field: &Field, kind: &Kind, children: &[Selected]) -> Result<Form> {
        Ok(match kind {
            Kind::Scalar(scalar) => match field.enumeration() {
                Some(values) => Form::Enum(values.clone()),
                None => Form::Scalar(*scalar),
            },
            Kind::List(item) => Form::List(Box::new(self.form(field, item, children)?)),
            Kind::Object(fields) => Form::Object(self.nested(field.id, fields, children)?),
            Kind::Packed(fields) => Form::Packed(self.nested(field.id, fields, children)?),
        })
    }

    fn nested(&mut self, id: u32, fields: &[Field], children: &[Selected]) -> Result<Vec<Node>> {
        let type_name = self.types.get(&id).map_or("", String::as_str);
        self.nodes(fields, type_name, children, false)
    }
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
