//! Answers of `__schema` and `__type`: written from the model straight into the answer, so that a schema of thousands
//! of collections needs no second form of itself, and no answer more memory than it may have bytes. Must not decide
//! who sees what: the model has only that.

use super::coerce::Variables;
use super::model::{EnumValue, Field, Input, Kind, Model, Type, TypeRef};
use super::plan::Node;
use super::sdl;
use crate::error::Result;
use crate::query::Budget;
use crate::record::{Json, write_string};

/// The types that GraphQL itself has.
const SYSTEM: &str = include_str!("introspection.graphql");

/// A directive that documents may use.
struct Directive {
    name: &'static str,
    description: &'static str,
    locations: &'static [&'static str],
    arguments: Vec<Input>,
}

fn directives() -> [Directive; 3] {
    let condition = |text: &str| vec![Input::new("if", TypeRef::named("Boolean").required(), text)];
    let fields = &["FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"];
    let reason = Input::new("reason", TypeRef::named("String"), "Why, and what to use instead.");
    [
        Directive {
            name: "include",
            description: "Includes this only when the argument is true.",
            locations: fields,
            arguments: condition("Included when true."),
        },
        Directive {
            name: "skip",
            description: "Leaves this out when the argument is true.",
            locations: fields,
            arguments: condition("Left out when true."),
        },
        Directive {
            name: "deprecated",
            description: "Says that something should no longer be used.",
            locations: &["FIELD_DEFINITION", "ARGUMENT_DEFINITION", "INPUT_FIELD_DEFINITION", "ENUM_VALUE"],
            arguments: vec![reason.or(Json::String("No longer supported".into()))],
        },
    ]
}

/// The arguments that a field of introspection takes.
pub(super) fn arguments(field: &str) -> Vec<Input> {
    match field {
        "__type" => vec![Input::new("name", TypeRef::named("String").required(), "The type's name.")],
        "fields" | "enumValues" | "inputFields" | "args" => {
            let deprecated =
                Input::new("includeDeprecated", TypeRef::named("Boolean"), "Deprecated ones too.");
            vec![deprecated.or(Json::Bool(false))]
        }
        _ => Vec::new(),
    }
}

/// What is described.
#[derive(Clone, Copy)]
enum Thing<'a> {
    Schema,
    Type(&'a Type),
    /// `[…]` or `…!`
    Wrapped(&'a TypeRef),
    Field(&'a Field),
    Input(&'a Input),
    Value(&'a EnumValue),
    Directive(&'a Directive),
}

/// Describes one schema.
pub(super) struct Describer<'a> {
    model: &'a Model,
    variables: &'a Variables,
    system: Model,
    directives: [Directive; 3],
    bytes_max: usize,
}

impl<'a> Describer<'a> {
    /// Of a schema, for one operation; its answers take at most so many bytes.
    ///
    /// # Errors
    /// `INTERNAL` when the types of GraphQL itself are not a schema; a test keeps that from happening.
    pub(super) fn new(model: &'a Model, variables: &'a Variables, bytes_max: usize) -> Result<Self> {
        let system = Model::from_sdl(SYSTEM)?;
        Ok(Describer { model, variables, system, directives: directives(), bytes_max })
    }

    /// The value of a root field `__schema` or `__type`.
    ///
    /// # Errors
    /// `TOO_COMPLEX` when it is larger than an answer may be.
    pub(super) fn root(&self, node: &Node) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        if &*node.name == "__schema" {
            self.object(Thing::Schema, &node.children, &mut out)?;
            return Ok(out);
        }
        let arguments = node.filled(self.variables)?;
        let name = arguments.iter().find(|(name, _)| name == "name").and_then(|(_, name)| name.as_str());
        self.optional(name.and_then(|name| self.named(name)).map(Thing::Type), &node.children, &mut out)?;
        Ok(out)
    }

    fn named(&self, name: &str) -> Option<&Type> {
        self.model.get(name).or_else(|| self.system.get(name))
    }

    fn object(&self, thing: Thing<'_>, nodes: &[Node], out: &mut Vec<u8>) -> Result<()> {
        if out.len() > self.bytes_max {
            return Err(Budget::new(self.bytes_max).spent());
        }
        out.push(b'{');
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(&node.key, out);
            out.push(b':');
            self.member(thing, node, out)?;
        }
        out.push(b'}');
        Ok(())
    }

    fn optional(&self, thing: Option<Thing<'_>>, nodes: &[Node], out: &mut Vec<u8>) -> Result<()> {
        match thing {
            Some(thing) => self.object(thing, nodes, out),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        }
    }

    fn list<'b>(
        &self,
        things: impl Iterator<Item = Thing<'b>>,
        nodes: &[Node],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        out.push(b'[');
        for (index, thing) in things.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.object(thing, nodes, out)?;
        }
        out.push(b']');
        Ok(())
    }

    /// A list without what is deprecated, unless that is asked for.
    fn members<'b>(
        &self,
        things: impl Iterator<Item = Thing<'b>>,
        node: &Node,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let arguments = node.filled(self.variables)?;
        let all = arguments.contains(&("includeDeprecated".to_owned(), Json::Bool(true)));
        self.list(things.filter(|thing| all || thing.deprecated().is_none()), &node.children, out)
    }

    fn member(&self, thing: Thing<'_>, node: &Node, out: &mut Vec<u8>) -> Result<()> {
        match (thing, &*node.name) {
            (_, "__typename") => text(Some(thing.typename()), out),
            (_, "name") => text(thing.name(), out),
            (_, "description") => text(thing.description(), out),
            (Thing::Schema, _) => return self.schema(node, out),
            (Thing::Type(_) | Thing::Wrapped(_), _) => return self.type_member(thing, node, out),
            (Thing::Field(field), "args") => {
                return self.members(field.arguments.iter().map(Thing::Input), node, out);
            }
            (Thing::Directive(directive), "args") => {
                return self.members(directive.arguments.iter().map(Thing::Input), node, out);
            }
            (Thing::Field(Field { ty, .. }) | Thing::Input(Input { ty, .. }), "type") => {
                return self.reference(ty, &node.children, out);
            }
            (Thing::Input(input), "defaultValue") => {
                text(input.default.as_ref().map(sdl::default_text).as_deref(), out);
            }
            (Thing::Directive(directive), "locations") => {
                let quoted: Vec<String> =
                    directive.locations.iter().map(|place| format!("\"{place}\"")).collect();
                out.extend_from_slice(format!("[{}]", quoted.join(",")).as_bytes());
            }
            (_, "isDeprecated") => {
                let deprecated = thing.deprecated().is_some();
                out.extend_from_slice(if deprecated { b"true" } else { b"false" });
            }
            (_, "deprecationReason") => text(thing.deprecated(), out),
            (_, "isRepeatable") => out.extend_from_slice(b"false"),
            _ => out.extend_from_slice(b"null"),
        }
        Ok(())
    }

    fn schema(&self, node: &Node, out: &mut Vec<u8>) -> Result<()> {
        let root = |name| self.model.get(name).map(Thing::Type);
        let below = &node.children;
        match &*node.name {
            "types" => {
                let types = self.model.types().chain(self.system.types());
                self.list(types.map(Thing::Type), below, out)
            }
            "queryType" => self.optional(root("Query"), below, out),
            "mutationType" => self.optional(root("Mutation"), below, out),
            "subscriptionType" => self.optional(root("Subscription"), below, out),
            "directives" => self.list(self.directives.iter().map(Thing::Directive), below, out),
            _ => self.optional(None, below, out),
        }
    }

    fn type_member(&self, thing: Thing<'_>, node: &Node, out: &mut Vec<u8>) -> Result<()> {
        let below = &node.children;
        match (thing, &*node.name) {
            (_, "kind") => text(Some(thing.kind()), out),
            (Thing::Wrapped(TypeRef::List(inner) | TypeRef::NonNull(inner)), "ofType") => {
                return self.reference(inner, below, out);
            }
            (Thing::Type(Type { kind: Kind::Object(fields), .. }), "fields") => {
                return self.members(fields.iter().map(Thing::Field), node, out);
            }
            (Thing::Type(Type { kind: Kind::Object(_), .. }), "interfaces") => out.extend_from_slice(b"[]"),
            (Thing::Type(Type { kind: Kind::Enum(values), .. }), "enumValues") => {
                return self.members(values.iter().map(Thing::Value), node, out);
            }
            (Thing::Type(Type { kind: Kind::Union(types), .. }), "possibleTypes") => {
                let types = types.iter().filter_map(|name| self.named(name));
                return self.list(types.map(Thing::Type), below, out);
            }
            (Thing::Type(Type { kind: Kind::Input(fields), .. }), "inputFields") => {
                return self.members(fields.iter().map(Thing::Input), node, out);
            }
            (Thing::Type(Type { kind: Kind::Input(_), .. }), "isOneOf") => out.extend_from_slice(b"false"),
            _ => out.extend_from_slice(b"null"),
        }
        Ok(())
    }

    fn reference(&self, ty: &TypeRef, nodes: &[Node], out: &mut Vec<u8>) -> Result<()> {
        match ty {
            TypeRef::Named(name) => self.optional(self.named(name).map(Thing::Type), nodes, out),
            wrapped => self.object(Thing::Wrapped(wrapped), nodes, out),
        }
    }
}

impl<'a> Thing<'a> {
    fn typename(self) -> &'static str {
        match self {
            Thing::Schema => "__Schema",
            Thing::Type(_) | Thing::Wrapped(_) => "__Type",
            Thing::Field(_) => "__Field",
            Thing::Input(_) => "__InputValue",
            Thing::Value(_) => "__EnumValue",
            Thing::Directive(_) => "__Directive",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Thing::Wrapped(TypeRef::List(_)) => "LIST",
            Thing::Wrapped(TypeRef::NonNull(_)) => "NON_NULL",
            Thing::Type(ty) => match ty.kind {
                Kind::Scalar => "SCALAR",
                Kind::Enum(_) => "ENUM",
                Kind::Object(_) => "OBJECT",
                Kind::Input(_) => "INPUT_OBJECT",
                Kind::Union(_) => "UNION",
            },
            _ => "",
        }
    }

    fn name(self) -> Option<&'a str> {
        match self {
            Thing::Type(ty) => Some(&ty.name),
            Thing::Field(field) => Some(&field.name),
            Thing::Input(input) => Some(&input.name),
            Thing::Value(value) => Some(&value.name),
            Thing::Directive(directive) => Some(directive.name),
            Thing::Schema | Thing::Wrapped(_) => None,
        }
    }

    /// Why it should no longer be used.
    fn deprecated(self) -> Option<&'a str> {
        match self {
            Thing::Field(field) => field.deprecated.as_deref(),
            Thing::Input(input) => input.deprecated.as_deref(),
            Thing::Value(value) => value.deprecated.as_deref(),
            Thing::Schema | Thing::Type(_) | Thing::Wrapped(_) | Thing::Directive(_) => None,
        }
    }

    fn description(self) -> Option<&'a str> {
        match self {
            Thing::Type(ty) => ty.description.as_deref(),
            Thing::Field(field) => field.description.as_deref(),
            Thing::Input(input) => input.description.as_deref(),
            Thing::Value(value) => value.description.as_deref(),
            Thing::Directive(directive) => Some(directive.description),
            Thing::Schema | Thing::Wrapped(_) => None,
        }
    }
}

fn text(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => write_string(text, out),
        None => out.extend_from_slice(b"null"),
    }
}
