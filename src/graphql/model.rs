//! The schema as data: what our executor coerces and projects by, and what the dynamic schema is registered
//! from. The management part is read from `schema.graphql`. Must not know collections or async-graphql's
//! registry.

use std::collections::{HashMap, HashSet};
use std::{fmt, sync::Arc};

use async_graphql::{
    Value,
    parser::{
        parse_schema,
        types::{BaseType, Type as ParsedType, TypeKind, TypeSystemDefinition},
    },
};

use crate::error::{Error, Result};
use crate::record::Json;

/// The management part, word for word.
pub(super) const SDL: &str = include_str!("../../schema.graphql");

/// A reference to a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TypeRef {
    /// A type by its name.
    Named(Arc<str>),
    /// A list of them.
    List(Box<TypeRef>),
    /// Never null.
    NonNull(Box<TypeRef>),
}

impl TypeRef {
    /// A nullable type by name.
    pub(super) fn named(name: impl Into<Arc<str>>) -> Self {
        TypeRef::Named(name.into())
    }

    /// The same, in a list.
    pub(super) fn list(self) -> Self {
        TypeRef::List(Box::new(self))
    }

    /// The same, never null.
    pub(super) fn required(self) -> Self {
        TypeRef::NonNull(Box::new(self))
    }

    /// Whether null is refused.
    pub(super) fn is_required(&self) -> bool {
        matches!(self, TypeRef::NonNull(_))
    }

    /// The same without the outermost `!`.
    pub(super) fn nullable(&self) -> &TypeRef {
        match self {
            TypeRef::NonNull(inner) => inner,
            other => other,
        }
    }

    /// The name at the core.
    pub(super) fn name(&self) -> &str {
        match self {
            TypeRef::Named(name) => name,
            TypeRef::List(inner) | TypeRef::NonNull(inner) => inner.name(),
        }
    }

    /// As the parser has it.
    pub(super) fn from_parsed(parsed: &ParsedType) -> Self {
        let base = match &parsed.base {
            BaseType::Named(name) => TypeRef::named(name.as_str()),
            BaseType::List(inner) => TypeRef::from_parsed(inner).list(),
        };
        if parsed.nullable { base } else { base.required() }
    }
}

impl fmt::Display for TypeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TypeRef::Named(name) => f.write_str(name),
            TypeRef::List(inner) => write!(f, "[{inner}]"),
            TypeRef::NonNull(inner) => write!(f, "{inner}!"),
        }
    }
}

/// An argument or a field of an input object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Input {
    /// Its name.
    pub(super) name: Arc<str>,
    /// For people.
    pub(super) description: Option<String>,
    /// Its type.
    pub(super) ty: TypeRef,
    /// What it is when it is not given.
    pub(super) default: Option<Json>,
    /// Why it is to be used no longer.
    pub(super) deprecated: Option<String>,
}

impl Input {
    /// One without a default.
    pub(super) fn new(name: impl Into<Arc<str>>, ty: TypeRef, description: impl Into<String>) -> Self {
        Input {
            name: name.into(),
            description: Some(description.into()),
            ty,
            default: None,
            deprecated: None,
        }
    }

    /// With a default.
    pub(super) fn or(mut self, default: Json) -> Self {
        self.default = Some(default);
        self
    }
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    /// Its name.
    pub(super) name: Arc<str>,
    /// For people.
    pub(super) description: Option<String>,
    /// Its type.
    pub(super) ty: TypeRef,
    /// Its arguments.
    pub(super) arguments: Vec<Input>,
    /// Why it is to be used no longer.
    pub(super) deprecated: Option<String>,
    /// It is an old name of another field.
    pub(super) is_alias: bool,
}

impl Field {
    /// One without arguments.
    pub(super) fn new(name: impl Into<Arc<str>>, ty: TypeRef, description: impl Into<String>) -> Self {
        Field {
            name: name.into(),
            description: Some(description.into()),
            ty,
            arguments: Vec::new(),
            deprecated: None,
            is_alias: false,
        }
    }

    /// With one more argument.
    pub(super) fn argument(mut self, argument: Input) -> Self {
        self.arguments.push(argument);
        self
    }
}

/// A named value of an enum.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EnumValue {
    /// Its name.
    pub(super) name: Arc<str>,
    /// For people.
    pub(super) description: Option<String>,
    /// Why it is to be used no longer.
    pub(super) deprecated: Option<String>,
}

/// What a type is made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// One value.
    Scalar,
    /// One of these.
    Enum(Vec<EnumValue>),
    /// Fields to select.
    Object(Vec<Field>),
    /// Fields to give.
    Input(Vec<Input>),
    /// One of these types.
    Union(Vec<Arc<str>>),
}

/// A named type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Type {
    /// Its name.
    pub(super) name: Arc<str>,
    /// For people.
    pub(super) description: Option<String>,
    /// What it is made of.
    pub(super) kind: Kind,
}

impl Type {
    /// A type with its description.
    pub(super) fn new(name: impl Into<Arc<str>>, description: impl Into<String>, kind: Kind) -> Self {
        Type { name: name.into(), description: Some(description.into()), kind }
    }
}

/// All types of a schema, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    /// A type that models share is copied when one of them changes it.
    types: Vec<Arc<Type>>,
    by_name: HashMap<Arc<str>, usize>,
    /// The names of the members of types that fields were added to.
    added: HashMap<usize, HashSet<Arc<str>>>,
}

impl Model {
    /// The management part.
    ///
    /// # Errors
    /// `INTERNAL` when `schema.graphql` is not a schema; a test keeps that from happening.
    pub(super) fn management() -> Result<Self> {
        Self::from_sdl(SDL)
    }

    /// What of the management part is there under a contract: the root field that tells of it, and the types that
    /// collections use.
    ///
    /// # Errors
    /// As [`Model::management`].
    pub(super) fn under_contract() -> Result<Self> {
        let mut model = Self::management()?;
        let told = model.field("Query", "contract").cloned().into_iter().collect();
        let name: Arc<str> = "Query".into();
        model.insert(Type { name, description: None, kind: Kind::Object(told) });
        for root in ["Mutation", "Subscription"] {
            model.insert(Type { name: root.into(), description: None, kind: Kind::Object(Vec::new()) });
        }
        Ok(model)
    }

    /// A schema from its text.
    pub(super) fn from_sdl(sdl: &str) -> Result<Self> {
        let document = parse_schema(sdl).map_err(Error::internal)?;
        let mut model = Model::default();
        for definition in document.definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let definition = definition.node;
            let kind = kind_from_parsed(definition.kind)?;
            let description = definition.description.map(|text| text.node);
            model.insert(Type { name: definition.name.node.as_str().into(), description, kind });
        }
        Ok(model)
    }

    /// All types, in order.
    pub(super) fn types(&self) -> impl Iterator<Item = &Type> {
        self.types.iter().map(Arc::as_ref)
    }

    /// How many fields and values the types have: what a schema costs goes by that.
    pub(super) fn members(&self) -> usize {
        let members = |ty: &Type| match &ty.kind {
            Kind::Scalar => 1,
            Kind::Enum(values) => values.len(),
            Kind::Object(fields) => fields.len(),
            Kind::Input(fields) => fields.len(),
            Kind::Union(types) => types.len(),
        };
        self.types().map(members).sum()
    }

    /// A type by its name.
    pub(super) fn get(&self, name: &str) -> Option<&Type> {
        self.by_name.get(name).and_then(|index| self.types.get(*index)).map(Arc::as_ref)
    }

    /// The fields of an object type; none for anything else.
    pub(super) fn fields(&self, name: &str) -> &[Field] {
        match self.get(name).map(|ty| &ty.kind) {
            Some(Kind::Object(fields)) => fields,
            _ => &[],
        }
    }

    /// The types that a union is of; none for anything else.
    pub(super) fn possible(&self, name: &str) -> Option<&[Arc<str>]> {
        match self.get(name).map(|ty| &ty.kind) {
            Some(Kind::Union(types)) => Some(types),
            _ => None,
        }
    }

    /// A field of an object type.
    pub(super) fn field(&self, type_name: &str, field: &str) -> Option<&Field> {
        self.fields(type_name).iter().find(|candidate| &*candidate.name == field)
    }

    /// Adds a type; one of the same name is replaced. A member's name counts once: async-graphql panics at a
    /// second.
    pub(super) fn insert(&mut self, mut ty: Type) {
        let mut seen = HashSet::new();
        match &mut ty.kind {
            Kind::Scalar | Kind::Union(_) => {}
            Kind::Enum(values) => values.retain(|value| seen.insert(value.name.clone())),
            Kind::Object(fields) => fields.retain(|field| seen.insert(field.name.clone())),
            Kind::Input(fields) => fields.retain(|field| seen.insert(field.name.clone())),
        }
        self.put(Arc::new(ty));
    }

    /// Adds a type that another model has.
    pub(super) fn share(&mut self, other: &Model, name: &str) {
        if let Some(ty) = other.by_name.get(name).and_then(|index| other.types.get(*index)) {
            self.put(ty.clone());
        }
    }

    fn put(&mut self, ty: Arc<Type>) {
        let index = self.by_name.get(&ty.name).copied();
        match index.and_then(|index| self.types.get_mut(index)) {
            Some(slot) => *slot = ty,
            None => {
                self.by_name.insert(ty.name.clone(), self.types.len());
                self.types.push(ty);
            }
        }
        if let Some(index) = index {
            self.added.remove(&index);
        }
    }

    /// Adds a member to an input type, if there is that.
    pub(super) fn add_input(&mut self, type_name: &str, input: Input) {
        let index = self.by_name.get(type_name).copied();
        if let Some(ty) = index.and_then(|index| self.types.get_mut(index))
            && let Kind::Input(inputs) = &mut Arc::make_mut(ty).kind
        {
            inputs.push(input);
        }
    }

    /// Adds a field to an object type, which is made when it is missing.
    pub(super) fn add_field(&mut self, type_name: &str, field: Field) {
        if self.get(type_name).is_none() {
            let kind = Kind::Object(Vec::new());
            self.insert(Type { name: type_name.into(), description: None, kind });
        }
        let Some(index) = self.by_name.get(type_name).copied() else { return };
        let Some(Kind::Object(fields)) = self.types.get_mut(index).map(|ty| &mut Arc::make_mut(ty).kind)
        else {
            return;
        };
        let names = || fields.iter().map(|field| field.name.clone()).collect();
        if self.added.entry(index).or_insert_with(names).insert(field.name.clone()) {
            fields.push(field);
        }
    }
}

fn kind_from_parsed(kind: TypeKind) -> Result<Kind> {
    Ok(match kind {
        TypeKind::Scalar => Kind::Scalar,
        TypeKind::Enum(values) => Kind::Enum(
            values
                .values
                .into_iter()
                .map(|value| EnumValue {
                    name: value.node.value.node.as_str().into(),
                    description: value.node.description.map(|text| text.node),
                    deprecated: None,
                })
                .collect(),
        ),
        TypeKind::Object(object) => Kind::Object(
            object
                .fields
                .into_iter()
                .map(|field| Field {
                    name: field.node.name.node.as_str().into(),
                    description: field.node.description.map(|text| text.node),
                    ty: TypeRef::from_parsed(&field.node.ty.node),
                    arguments: field.node.arguments.into_iter().map(|arg| input(arg.node)).collect(),
                    deprecated: None,
                    is_alias: false,
                })
                .collect(),
        ),
        TypeKind::InputObject(object) => {
            Kind::Input(object.fields.into_iter().map(|field| input(field.node)).collect())
        }
        TypeKind::Interface(_) | TypeKind::Union(_) => {
            return Err(Error::internal(
                "schema.graphql has an interface or union, which the executor lacks",
            ));
        }
    })
}

fn input(parsed: async_graphql::parser::types::InputValueDefinition) -> Input {
    Input {
        name: parsed.name.node.as_str().into(),
        description: parsed.description.map(|text| text.node),
        ty: TypeRef::from_parsed(&parsed.ty.node),
        default: parsed.default_value.map(|value| literal(&value.node)),
        deprecated: None,
    }
}

/// A constant of a document as JSON; enum values become strings.
pub(super) fn literal(value: &Value) -> Json {
    match value {
        Value::Null | Value::Binary(_) => Json::Null,
        Value::Boolean(value) => Json::Bool(*value),
        Value::Number(number) => Json::Number(number.to_string().into()),
        Value::String(text) => Json::String(text.clone()),
        Value::Enum(name) => Json::String(name.to_string()),
        Value::List(items) => Json::Array(items.iter().map(literal).collect()),
        Value::Object(members) => {
            Json::Object(members.iter().map(|(name, value)| (name.to_string(), literal(value))).collect())
        }
    }
}
