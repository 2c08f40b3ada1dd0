//! Introspection says what the library would say, and is bounded.

use serde_json::Value;

use super::{compiled_over, field, model_of, orders};
use crate::error::Code;
use crate::graphql::coerce::Variables;
use crate::graphql::collection::Shown;
use crate::graphql::describe::Describer;
use crate::graphql::model::{Field, Model, TypeRef};
use crate::graphql::schema::builder;
use crate::record::Json;
use crate::shape::{Kind, Scalar};

/// What GraphiQL and code generators ask for.
const EVERYTHING: &str = "query Introspection {
    __schema {
        queryType { name } mutationType { name kind __typename } subscriptionType { name }
        types { ...FullType }
    }
}
fragment FullType on __Type {
    kind name description specifiedByURL
    fields(includeDeprecated: true) {
        name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason
    }
    inputFields { ...InputValue }
    interfaces { ...TypeRef }
    enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason __typename }
    possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue __typename }
fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name __typename } } } }";

fn model() -> Model {
    let mut collection = orders();
    let shape = std::sync::Arc::make_mut(&mut collection.shape);
    shape.fields.push(field(90, "quoted", Kind::List(Box::new(Kind::Scalar(Scalar::Float)))));
    let mut model = model_of(&[collection], &|_| Shown::Visible);
    let mut old = Field::new("old", TypeRef::named("String"), "What it was.");
    old.deprecated = Some("use `new`".into());
    model.add_field("OrderClothing", old);
    model
}

fn told(model: &Model, text: &str) -> Value {
    let (nodes, variables) = compiled_over(model, text, "{}").unwrap();
    let describer = Describer::new(model, &variables, usize::MAX).unwrap();
    let told = nodes.iter().map(|node| {
        let value = serde_json::from_slice(&describer.root(node).unwrap()).unwrap();
        (node.key.to_string(), value)
    });
    Value::Object(told.collect())
}

/// Types by their names, without those of GraphQL itself: what is said of them is not the same everywhere.
fn ours(mut told: Value) -> Value {
    let types = told["__schema"]["types"].take();
    let own = |ty: &&Value| {
        let name = ty["name"].as_str().unwrap();
        !name.starts_with("__") && !["String", "Int", "Float", "Boolean", "ID"].contains(&name)
    };
    let types = types.as_array().unwrap().iter().filter(own);
    let sorted = |of: &Value| {
        let mut members = of.as_array().cloned().unwrap_or_default();
        members.sort_by_key(|member| member["name"].to_string());
        Value::Array(members)
    };
    let by_name = |ty: &Value| {
        let mut ty = ty.clone();
        for members in ["fields", "inputFields", "enumValues"] {
            ty[members] = sorted(&ty[members]);
        }
        (ty["name"].as_str().unwrap().to_owned(), ty)
    };
    told["__schema"]["types"] = types.map(by_name).collect();
    told
}

#[tokio::test]
async fn introspection_says_what_the_library_would_say() {
    let model = model();
    let schema = builder(&model, 64).finish().unwrap();
    let theirs = schema.execute(EVERYTHING).await;
    assert_eq!(theirs.errors, []);
    let (theirs, told) = (ours(theirs.data.into_json().unwrap()), ours(told(&model, EVERYTHING)));
    // It leaves out what nothing leads to.
    let (mut theirs, mut told) = (theirs, told);
    let (expected, types) = (theirs["__schema"]["types"].take(), told["__schema"]["types"].take());
    assert!(expected.as_object().unwrap().len() > 50);
    for (name, ty) in expected.as_object().unwrap() {
        assert_eq!(&types[name], ty, "{name}");
    }
    assert_eq!(told, theirs);
}

#[tokio::test]
async fn what_is_deprecated_is_told_to_whom_asks_for_it() {
    let (model, schema) = (model(), builder(&model(), 64).finish().unwrap());
    for (arguments, there) in
        [("", false), ("(includeDeprecated: false)", false), ("(includeDeprecated: true)", true)]
    {
        let query = format!(
            "{{ __type(name: \"OrderClothing\") {{ fields{arguments} {{ name isDeprecated deprecationReason }} }} }}"
        );
        let told = told(&model, &query);
        assert_eq!(told.to_string().contains("use `new`"), there, "{told}");
        assert_eq!(told, schema.execute(query.as_str()).await.data.into_json().unwrap());
    }
}

#[tokio::test]
async fn single_types_and_what_graphql_itself_has_are_told_too() {
    let model = model();
    let query = "{ a: __type(name: \"OrderClothing\") { kind name fields { name } inputFields { name } ofType { name } }
        b: __type(name: \"Nothing\") { name }
        c: __type(name: \"__Type\") { fields { name } }
        d: __type(name: \"Int\") { kind description }
        __schema { directives { name isRepeatable locations args { name type { ofType { name } } } } } }";
    let told = told(&model, query);
    assert_eq!((&told["a"]["kind"], &told["a"]["inputFields"]), (&"OBJECT".into(), &Value::Null), "{told}");
    assert!(told["a"]["fields"].as_array().unwrap().len() > 5, "{told}");
    assert_eq!((&told["b"], &told["d"]["kind"]), (&Value::Null, &"SCALAR".into()));
    let schema = builder(&model, 64).finish().unwrap();
    let theirs =
        schema.execute("{ c: __type(name: \"__Type\") { fields { name } } }").await.data.into_json().unwrap();
    let names = |of: &Value| {
        let fields = of["c"]["fields"].as_array().unwrap();
        fields.iter().map(|field| field["name"].to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(&told), names(&theirs));
    let directives = &told["__schema"]["directives"];
    assert_eq!(directives[0]["args"][0]["type"]["ofType"]["name"], "Boolean", "{directives}");
}

#[test]
fn an_answer_takes_no_more_than_it_may() {
    let model = model();
    let (nodes, _) = compiled_over(&model, EVERYTHING, "{}").unwrap();
    let variables = Variables::new();
    let node = &nodes[0];
    let all = Describer::new(&model, &variables, usize::MAX).unwrap().root(node).unwrap();
    let refused = Describer::new(&model, &variables, all.len() / 2).unwrap().root(node).unwrap_err();
    assert_eq!(refused.code(), Code::TooComplex);
}

#[test]
fn names_of_types_may_come_in_variables() {
    let model = model();
    let query = "query($name: String!) { __type(name: $name) { name } }";
    let (nodes, variables) = compiled_over(&model, query, "{\"name\":\"Row\"}").unwrap();
    assert_eq!(variables.get("name"), Some(&Json::String("Row".into())));
    let told = Describer::new(&model, &variables, 100).unwrap().root(&nodes[0]).unwrap();
    assert_eq!(told, b"null");
}
