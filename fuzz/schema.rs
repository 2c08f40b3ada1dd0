//! What must hold of the API that is made of collections, whatever they are made of and however they are called: it
//! parses and validates, nothing in it replaces anything else, and all of it can be asked for by documents that become
//! queries. A broken property panics.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(unreachable_pub, reason = "fuzz targets call it from outside")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use async_graphql::dynamic::Schema;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{ExecutableDocument, Type as ParsedType, TypeKind, TypeSystemDefinition};
use async_graphql::{Name, Positioned, Request};

use crate::config;
use crate::graphql::coerce::Variables;
use crate::graphql::collection::{Shown, add};
use crate::graphql::model::{Input, Kind, Model, Type, TypeRef};
use crate::graphql::reach::{Mentioned, ROOTS, part};
use crate::graphql::{guard, plan, schema::register, sdl};
use crate::query::{Collection, Root, compile};
use crate::record::Signer;
use crate::shape::{Field, Kind as ShapedKind, Published, Wish, name_types};

/// Made once: it is the same for all, and takes longer than all the rest.
static MANAGEMENT: LazyLock<Model> = LazyLock::new(|| Model::management().unwrap());

/// Members of inputs deeper than this are not given: inputs stand in themselves.
const DEPTH_MAX: usize = 4;

/// The collection whose records have these documents, as [`super::properties::inference`] publishes them; a steward has
/// accepted what stands in quotes as the values of each text, and as the variants of the rows.
pub fn documents(data: &[u8], mut published: Published) {
    let text = String::from_utf8_lossy(data);
    // Those with U+0000 are refused, as no row has them.
    let texts = text.split('"').skip(1).step_by(2).take(8).filter(|text| !text.contains('\0'));
    let texts: BTreeSet<String> = texts.map(str::to_owned).collect();
    let wish = Wish { values: Some(texts.iter().cloned().collect()), ..Wish::default() };
    let decidable = published.fields().filter(|field| field.holds_texts() && field.id % 3 != 0);
    let paths: Vec<String> = decidable.map(|field| field.path.clone()).collect();
    for path in &paths {
        published.at_path_mut(path).unwrap().decide(&wish);
    }
    let members: BTreeSet<u32> = published.fields.iter().map(|field| field.id).collect();
    let seen = texts.into_iter().map(|text| (text, members.clone())).collect();
    // What tells nothing apart is refused.
    let _ = paths.iter().find(|path| published.accept_union("", path, &seen).is_ok());
    name_types(&mut published, "DataRow", &|_| false);
    schema(&[Collection {
        id: 1,
        category: "data".into(),
        subcategory: "row".into(),
        field_name: "dataRow".into(),
        type_name: "DataRow".into(),
        generation: 1,
        shape: Arc::new(published),
        narrow: None,
    }]);
}

/// The schema of these collections.
pub fn schema(collections: &[Collection]) {
    let (mut model, mut given) = (MANAGEMENT.clone(), HashSet::new());
    for collection in collections {
        add(&mut model, collection, &|_| Shown::Visible);
        stands_by_itself(collection, &mut given);
        members_are_fields(&model, collection, &collection.shape.fields);
    }
    let part = part(&model, &MANAGEMENT, &Mentioned::default());
    is_read_as_it_is_printed(&part);
    let schema = register(&part, 64).unwrap();
    for collection in collections {
        answers(&part, &schema, collection);
    }
}

/// Every name that the collection brings is its own.
fn stands_by_itself(collection: &Collection, given: &mut HashSet<String>) {
    let mut alone = MANAGEMENT.clone();
    add(&mut alone, collection, &|_| Shown::Visible);
    for ty in alone.types() {
        let name = &*ty.name;
        if !ROOTS.contains(&name) {
            match MANAGEMENT.get(name) {
                Some(ours) => assert_eq!(ours, ty, "a type of the management part is replaced"),
                None => assert!(given.insert(name.to_owned()), "{name} is of two collections"),
            }
            continue;
        }
        for field in alone.fields(name).iter().filter(|field| MANAGEMENT.field(name, &field.name).is_none()) {
            assert!(given.insert(format!("{name}.{}", field.name)), "{} is of two collections", field.name);
        }
    }
    let roots = ["", "ByKey", "Aggregate"].map(|suffix| format!("Query.{}{suffix}", collection.field_name));
    assert!(roots.iter().all(|root| given.contains(root)), "{roots:?}");
}

/// What joins conditions on an item.
const JOINING: &[&str] = &["and", "or", "not"];

/// The type of each object has its fields, and so has its filter: nothing else was put in their place.
fn members_are_fields(model: &Model, collection: &Collection, fields: &[Field]) {
    for field in fields.iter().filter(|field| !field.children().is_empty()) {
        let name = collection.shape.type_names.get(&field.id).unwrap();
        if field.kind.maps() == 0 {
            let names: HashSet<&str> = field.children().iter().flat_map(Field::names).collect();
            let members: HashSet<&str> = model.fields(name).iter().map(|member| &*member.name).collect();
            assert_eq!(members, names, "{name}");
            if let Some(ty) = model.get(&format!("{name}Filter")) {
                let Kind::Input(inputs) = &ty.kind else { panic!("{name}Filter is no input") };
                let joining = if matches!(field.kind, ShapedKind::List(_)) { JOINING } else { &[] };
                let known = |name: &str| names.contains(name) || joining.contains(&name);
                assert!(inputs.iter().all(|input| known(&input.name)), "{name}Filter");
            }
        }
        members_are_fields(model, collection, field.children());
    }
}

/// What is printed of each type is read again as the same. The parser cannot read values of enums that begin with a
/// literal, which SDL may have; they stand there by other names.
fn is_read_as_it_is_printed(model: &Model) {
    let mut readable = model.clone();
    for ty in model.types() {
        let Kind::Enum(values) = &ty.kind else { continue };
        let mut values = values.clone();
        for value in &mut values {
            if ["true", "false", "null"].iter().any(|word| value.name.starts_with(word)) {
                value.name = format!("x{}", value.name).into();
            }
        }
        readable.insert(Type { kind: Kind::Enum(values), ..ty.clone() });
    }
    let printed = sdl::print(&readable);
    let read = parse_schema(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
    let definitions = read.definitions.iter().filter_map(|definition| match definition {
        TypeSystemDefinition::Type(ty) => Some((ty.node.name.node.to_string(), parsed(&ty.node.kind))),
        _ => None,
    });
    let printed_types = readable.types().map(|ty| (ty.name.to_string(), members(ty)));
    assert_eq!(definitions.collect::<BTreeMap<_, _>>(), printed_types.collect(), "{printed}");
}

/// What a type has, and of which types.
fn members(ty: &Type) -> Vec<String> {
    match &ty.kind {
        Kind::Scalar => Vec::new(),
        Kind::Enum(values) => values.iter().map(|value| value.name.to_string()).collect(),
        Kind::Object(fields) => fields.iter().map(|field| format!("{}: {}", field.name, field.ty)).collect(),
        Kind::Input(inputs) => inputs.iter().map(|input| format!("{}: {}", input.name, input.ty)).collect(),
        Kind::Union(types) => types.iter().map(ToString::to_string).collect(),
    }
}

/// The same of a type as it is read.
fn parsed(kind: &TypeKind) -> Vec<String> {
    match kind {
        TypeKind::Scalar => Vec::new(),
        TypeKind::Enum(ty) => ty.values.iter().map(|value| value.node.value.node.to_string()).collect(),
        TypeKind::Object(ty) => {
            ty.fields.iter().map(|field| member(&field.node.name, &field.node.ty)).collect()
        }
        TypeKind::InputObject(ty) => {
            ty.fields.iter().map(|input| member(&input.node.name, &input.node.ty)).collect()
        }
        TypeKind::Union(ty) => ty.members.iter().map(|name| name.node.to_string()).collect(),
        TypeKind::Interface(_) => panic!("there are no interfaces"),
    }
}

fn member(name: &Positioned<Name>, ty: &Positioned<ParsedType>) -> String {
    format!("{}: {}", name.node, ty.node)
}

/// Documents that select, compare, order by and group by whatever there is are valid and become queries.
fn answers(model: &Model, schema: &Schema, collection: &Collection) {
    // All that there is at once is more than anybody may ask.
    let wide = usize::MAX;
    let limits = config::Graphql {
        tokens_max: wide,
        fields_max: wide,
        arguments_max: wide,
        order_by_max: wide,
        group_by_max: wide,
        constants_max: wide,
        ..config::Graphql::default()
    };
    let (collection, signer) = (Arc::new(collection.clone()), Signer::new(b"fuzz"));
    for (operation, suffix, root) in [
        ("Query", "", Root::List),
        ("Query", "ByKey", Root::ByKey),
        ("Query", "Aggregate", Root::Aggregate),
        ("Subscription", "", Root::Changes),
    ] {
        let name = format!("{}{suffix}", collection.field_name);
        let field = model.field(operation, &name).unwrap();
        let mut text = format!("{} {{ {name}", operation.to_ascii_lowercase());
        let arguments: Vec<String> = field
            .arguments
            .iter()
            .filter_map(|argument| {
                let value = match &*argument.name {
                    "where" => given(model, &argument.ty, 0)?,
                    "sourceUid" => "\"\"".to_owned(),
                    "orderBy" | "groupBy" => format!("[{}]", every(model, &argument.ty).join(", ")),
                    _ => return None,
                };
                Some(format!("{}: {value}", argument.name))
            })
            .collect();
        if !arguments.is_empty() {
            write!(text, "({})", arguments.join(", ")).unwrap();
        }
        select(model, &field.ty, &mut text);
        text.push('}');
        let document = guard::scan(&text, &limits).unwrap().parse();
        let document = document.unwrap_or_else(|error| panic!("{error}: {text}"));
        validates(schema, document.clone(), &text);
        let (_, parsed) = document.operations.iter().next().unwrap();
        let nodes = plan::compile(model, &document, &parsed.node, operation, &Variables::new());
        let nodes = nodes.unwrap_or_else(|misplaced| panic!("{}: {text}", misplaced.error));
        let selected = nodes.first().unwrap().selected(&Variables::new()).unwrap();
        let query = compile(&collection, root, &selected, &limits, &signer);
        assert!(query.is_ok(), "{:?}: {text}", query.err());
    }
}

fn validates(schema: &Schema, document: ExecutableDocument, text: &str) {
    let mut request = Request::new("");
    request.set_parsed_query(document);
    let answer = match pin!(schema.execute(request)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a schema that executes nothing waits"),
    };
    assert!(answer.errors.is_empty(), "{:?}: {text}", answer.errors);
}

/// Every value of the enum, or an object for each member of the input, that a list of this type may have.
fn every(model: &Model, ty: &TypeRef) -> Vec<String> {
    match model.get(ty.name()).map(|ty| &ty.kind) {
        Some(Kind::Enum(values)) => values.iter().map(|value| value.name.to_string()).collect(),
        Some(Kind::Input(inputs)) => {
            let nested = |input: &Input| {
                let values = every(model, &input.ty);
                values
                    .into_iter()
                    .take(2)
                    .map(|value| format!("{{{}: {value}}}", input.name))
                    .collect::<Vec<_>>()
            };
            inputs.iter().flat_map(nested).collect()
        }
        _ => Vec::new(),
    }
}

/// A literal of this type that has all that it can have.
fn given(model: &Model, ty: &TypeRef, depth: usize) -> Option<String> {
    let listed = matches!(ty.nullable(), TypeRef::List(_));
    let one = match (model.get(ty.name()).map(|ty| &ty.kind), ty.name()) {
        (Some(Kind::Enum(values)), _) => {
            let all: Vec<&str> = values.iter().map(|value| &*value.name).collect();
            if listed { all.join(" ") } else { (*all.last()?).to_owned() }
        }
        (Some(Kind::Input(inputs)), _) if depth < DEPTH_MAX => {
            let member =
                |input: &Input| Some(format!("{}: {}", input.name, given(model, &input.ty, depth + 1)?));
            format!("{{{}}}", inputs.iter().filter_map(member).collect::<Vec<_>>().join(", "))
        }
        (_, "Boolean") => "true".to_owned(),
        // What areas and paths of JSON cannot be without.
        (_, "Float") if ty.is_required() => "0".to_owned(),
        (_, "String") if ty.is_required() => "\"$\"".to_owned(),
        _ => return None,
    };
    Some(if listed { format!("[{one}]") } else { one })
}

fn select(model: &Model, ty: &TypeRef, text: &mut String) {
    match model.get(ty.name()).map(|ty| &ty.kind) {
        Some(Kind::Object(fields)) => {
            text.push('{');
            for field in fields {
                text.push_str(&field.name);
                select(model, &field.ty, text);
                text.push(' ');
            }
            text.push('}');
        }
        Some(Kind::Union(types)) => {
            text.push_str("{ __typename ");
            for name in types {
                write!(text, "... on {name} ").unwrap();
                select(model, &TypeRef::named(name.clone()), text);
            }
            text.push('}');
        }
        _ => {}
    }
}
