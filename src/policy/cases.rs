//! Policy tests: who is given which rows sees which of them, and how their fields, as people write it down in YAML.
//! Asks the engine that decides and the projector that answers; holds no rule of its own, and needs no database.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::config;
use crate::error::{Code, Error, Result};
use crate::policy::explain::{filter_text, mask_text};
use crate::policy::shapes::nearest;
use crate::policy::{Access, Action, Engine, Scope};
use crate::query::{
    Ask, Collection, Extras, Projector, RECORD, Root, Selected, compile, envelope, told_member,
};
use crate::record::{Actor, Json, Limits, Signer, Source, parse};
use crate::shape::{Field, Published, Shape, Structure, collection_names, conform, document};

/// What a value is projected with: the same codes for the same values in every run.
const SECRET: &[u8] = b"policy tests";
/// Stands for all fields that are not named.
const OTHERS: &str = "*";

/// How one case went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// What was expected and what was seen instead; none when it holds.
    pub failures: Vec<String>,
}

/// Runs the cases of one file. Shapes are those of `live` where there are such collections, else what the given
/// documents show.
///
/// # Errors
/// `UNPROCESSABLE` when the file says something that no case can.
pub fn run_cases(
    engine: &Engine,
    config: &config::Config,
    live: &[Arc<Collection>],
    (file, text): (&str, &str),
) -> Result<Vec<Outcome>> {
    let wrong = |reason: String| Error::new(Code::Unprocessable, format!("{file}: {reason}"));
    let value: Value = serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let suite = object(&value, "the file", &["given", "cases"]).map_err(wrong)?;
    let mut given = BTreeMap::new();
    for (kind, documents) in suite
        .get("given")
        .map(|given| members(given, "`given`"))
        .transpose()
        .map_err(wrong)?
        .into_iter()
        .flatten()
    {
        let known = Given::read(kind, documents, config, live, given.len());
        given.insert(kind.clone(), known.map_err(|reason| wrong(format!("given `{kind}`: {reason}")))?);
    }
    let cases =
        suite.get("cases").and_then(Value::as_array).ok_or_else(|| wrong("`cases` is a list".to_owned()))?;
    let mut outcomes = Vec::with_capacity(cases.len());
    for (place, case) in cases.iter().enumerate() {
        let at = |reason: String| wrong(format!("case {}: {reason}", place + 1));
        outcomes.push(Case { engine, config, given: &given }.run(case).map_err(at)?);
    }
    Ok(outcomes)
}

/// Who is written as `subject`, `roles` and each claim beside them.
///
/// # Errors
/// What is wrong with it.
pub fn actor(members: Map<String, Value>) -> Result<Actor, String> {
    for wrong in ["sub", "role", "claims"] {
        if members.contains_key(wrong) {
            let right = "write `subject`, `roles` and each claim beside them";
            return Err(format!("there is no `{wrong}`; {right}"));
        }
    }
    let subject = match members.get("subject") {
        None => Actor::anonymous().subject,
        Some(Value::String(subject)) => subject.clone(),
        Some(_) => return Err("`subject` is a text".to_owned()),
    };
    let roles = match members.get("roles") {
        None => Vec::new(),
        Some(roles) => texts(roles, "`roles`")?,
    };
    Ok(Actor { subject, roles, claims: members, contract: None, key: None })
}

fn members<'v>(value: &'v Value, what: &str) -> Result<&'v Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{what} has names and values"))
}

/// An object that has no other members than these.
fn object<'v>(value: &'v Value, what: &str, known: &[&str]) -> Result<&'v Map<String, Value>, String> {
    let members = members(value, what)?;
    if let Some(unknown) = members.keys().find(|name| !known.contains(&name.as_str())) {
        let hint = nearest(unknown, known.iter().copied());
        let hint = hint.map_or_else(
            || format!("; there are `{}`", known.join("`, `")),
            |near| format!("; did you mean `{near}`?"),
        );
        return Err(format!("{what} has no `{unknown}`{hint}"));
    }
    Ok(members)
}

fn texts(value: &Value, what: &str) -> Result<Vec<String>, String> {
    let text = |item: &Value| match item {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let items = value.as_array().and_then(|items| items.iter().map(text).collect());
    items.ok_or_else(|| format!("{what} is a list of texts"))
}

/// A collection with the rows that a file gives.
struct Given {
    collection: Arc<Collection>,
    /// By what their source calls them: images as changes have them.
    rows: BTreeMap<String, Json>,
}

impl Given {
    fn read(
        kind: &str,
        documents: &Value,
        config: &config::Config,
        live: &[Arc<Collection>],
        number: usize,
    ) -> Result<Self, String> {
        let parts = kind.split_once('/').filter(|(category, rest)| !category.is_empty() && !rest.is_empty());
        let (category, subcategory) = parts.ok_or("name it `CATEGORY/SUBCATEGORY`")?;
        let documents = members(documents, "it")?;
        let bodies: Vec<(&String, Json, Option<&Value>)> = documents
            .iter()
            .map(|(uid, document)| {
                let mut body = members(document, &format!("`{uid}`"))?.clone();
                body.remove(RECORD);
                Ok((uid, Json::from(Value::Object(body)), document.get(RECORD)))
            })
            .collect::<Result<_, String>>()?;
        let of = |one: &&Arc<Collection>| one.category == category && one.subcategory == subcategory;
        let collection = match live.iter().find(of) {
            Some(live) => live.clone(),
            None => {
                let shape = inferred(bodies.iter().map(|(uid, body, _)| (uid.as_str(), body)), &config.shape);
                let (field_name, type_name) = collection_names(category, subcategory, &|_| false);
                Arc::new(Collection {
                    id: i64::try_from(number).unwrap_or(0) + 1,
                    category: category.to_owned(),
                    subcategory: subcategory.to_owned(),
                    field_name,
                    type_name,
                    generation: 1,
                    shape: Arc::new(shape),
                    narrow: None,
                })
            }
        };
        let mut rows = BTreeMap::new();
        for (uid, body, record) in bodies {
            rows.insert(uid.clone(), image(&collection, uid, &body, record)?);
        }
        Ok(Given { collection, rows })
    }
}

/// What documents show, as it would be published; all of it classified.
fn inferred<'d>(documents: impl Iterator<Item = (&'d str, &'d Json)>, limits: &config::Shape) -> Published {
    let (mut shape, mut none) = (Shape::default(), Published::default());
    for (uid, document) in documents {
        shape.merge(&Structure::derive(document, limits));
        none.tag_envelope("sourceUid", uid);
    }
    shape.publish(&none, limits).unwrap_or(none)
}

/// A row of the collection, as its changes carry it; `record` says what is told of its record.
fn image(collection: &Collection, uid: &str, body: &Json, record: Option<&Value>) -> Result<Json, String> {
    let text = document(&collection.shape, &conform(&collection.shape, body).cells);
    let parsed = parse(text.as_bytes(), Limits::ACCEPTED).map_err(|error| error.message().to_owned())?;
    let Json::Object(mut row) = parsed else { return Err("it is no object".to_owned()) };
    let mut told = Map::new();
    let key = format!("{}~{}~test~{uid}", collection.category, collection.subcategory);
    let usual = [("key", key.as_str()), ("sourceName", "test"), ("sourceUid", uid), ("author", "test")];
    told.extend(usual.map(|(name, value)| (name.to_owned(), value.into())));
    told.insert("ingestedAt".to_owned(), "2026-01-01T00:00:00.000000Z".into());
    told.insert("revision".to_owned(), 1.into());
    for (name, value) in record.map(|record| members(record, "`_record`")).transpose()?.into_iter().flatten()
    {
        if envelope(name).is_none() {
            return Err(format!("`_record` has no `{name}`"));
        }
        told.insert(name.clone(), value.clone());
    }
    row.push((RECORD.to_owned(), Json::from(Value::Object(told))));
    Ok(Json::Object(row))
}

struct Case<'a> {
    engine: &'a Engine,
    config: &'a config::Config,
    given: &'a BTreeMap<String, Given>,
}

const CASE: [&str; 8] = ["name", "actor", "reads", "rows", "fields", "values", "may", "may_not"];

impl Case<'_> {
    fn run(&self, case: &Value) -> Result<Outcome, String> {
        let case = object(case, "it", &CASE)?;
        let name = case.get("name").and_then(Value::as_str).ok_or("`name` is a text")?.to_owned();
        let who = case.get("actor").map(|actor| members(actor, "`actor`")).transpose()?;
        let actor =
            actor(who.cloned().unwrap_or_default()).map_err(|reason| format!("`{name}`: {reason}"))?;
        let mut failures = Vec::new();
        for (list, expected) in [("may", true), ("may_not", false)] {
            for what in case.get(list).map(|what| texts(what, list)).transpose()?.unwrap_or_default() {
                if self.may(&actor, &what).map_err(|reason| format!("`{name}`: {reason}"))? != expected {
                    let (wanted, seen) = if expected { ("allowed", "denied") } else { ("denied", "allowed") };
                    failures.push(format!("{what}: expected {wanted}, is {seen}"));
                }
            }
        }
        let asks = ["rows", "fields", "values"].iter().any(|part| case.contains_key(*part));
        if let Some(kind) = case.get("reads") {
            let kind = kind.as_str().ok_or("`reads` is `CATEGORY/SUBCATEGORY`")?;
            self.reads(&actor, kind, case, &mut failures).map_err(|reason| format!("`{name}`: {reason}"))?;
        } else if asks {
            return Err(format!("`{name}`: say of what by `reads: CATEGORY/SUBCATEGORY`"));
        } else if !["may", "may_not"].iter().any(|part| case.contains_key(*part)) {
            return Err(format!("`{name}` expects nothing; say `reads` with `rows`, or `may`"));
        }
        Ok(Outcome { name, failures })
    }

    /// Whether the actor may do what is written as `ACTION`, or `ACTION CATEGORY/SUBCATEGORY/NAME`.
    fn may(&self, actor: &Actor, what: &str) -> Result<bool, String> {
        let (name, source) =
            what.split_once(' ').map_or((what, None), |(name, source)| (name, Some(source.trim())));
        let all = [Action::Source, Action::Retract, Action::Steward, Action::Administer];
        let action = all.into_iter().find(|action| action.as_str() == name).ok_or_else(|| {
            let hint = nearest(name, all.into_iter().map(Action::as_str));
            let hint = hint.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            format!("there is no action `{name}`{hint}")
        })?;
        let Some(source) = source else { return Ok(self.engine.allow(actor, action).is_ok()) };
        let parts: Vec<&str> = source.split('/').collect();
        let [category, subcategory, name] = parts.as_slice() else {
            return Err(format!("`{source}` is no source; write `CATEGORY/SUBCATEGORY/NAME`"));
        };
        let source =
            Source::new(*category, *subcategory, *name).map_err(|error| error.message().to_owned())?;
        Ok(self.engine.allow_source(actor, action, &source).is_ok())
    }

    fn reads(
        &self,
        actor: &Actor,
        kind: &str,
        case: &Map<String, Value>,
        failures: &mut Vec<String>,
    ) -> Result<(), String> {
        let given = self.given.get(kind).ok_or_else(|| {
            let hint = nearest(kind, self.given.keys().map(String::as_str));
            let hint = hint.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            format!("`given` has no `{kind}`{hint}")
        })?;
        let scope = self
            .engine
            .scope(actor, &Default::default(), &given.collection)
            .map_err(|error| error.message().to_owned())?;
        if let Some(rows) = case.get("rows") {
            let mut expected = texts(rows, "`rows`")?;
            expected.sort();
            if let Some(unknown) = expected.iter().find(|uid| !given.rows.contains_key(*uid)) {
                return Err(format!("`given` has no row `{unknown}` in `{kind}`"));
            }
            let holds = |row: &Json| scope.as_ref().is_some_and(|scope| scope.rows().eval(row));
            let seen: Vec<&String> =
                given.rows.iter().filter(|(_, row)| holds(row)).map(|(uid, _)| uid).collect();
            if seen != expected.iter().collect::<Vec<_>>() {
                let filter =
                    scope.as_ref().map_or_else(|| "nothing".to_owned(), |scope| filter_text(scope.rows()));
                failures.push(format!("rows: expected {expected:?}, seen {seen:?} ({filter})"));
            }
        }
        if let Some(fields) = case.get("fields") {
            fields_as(given, scope.as_deref(), members(fields, "`fields`")?, failures)?;
        }
        for (uid, values) in
            case.get("values").map(|rows| members(rows, "`values`")).transpose()?.into_iter().flatten()
        {
            let row = given.rows.get(uid).ok_or_else(|| format!("`given` has no row `{uid}` in `{kind}`"))?;
            self.values(given, scope.as_ref(), (uid, row), members(values, "`values`")?, failures)?;
        }
        Ok(())
    }

    /// Holds what is given out of a row to what is expected.
    fn values(
        &self,
        given: &Given,
        scope: Option<&Arc<Scope>>,
        (uid, row): (&str, &Json),
        expected: &Map<String, Value>,
        failures: &mut Vec<String>,
    ) -> Result<(), String> {
        let known = leaves(&given.collection);
        let shown = match scope.filter(|scope| scope.rows().eval(row)) {
            Some(scope) => {
                self.projected(&given.collection, scope, row).map_err(|error| error.message().to_owned())?
            }
            None => Value::Null,
        };
        for (name, expected) in expected {
            find(&known, name)?;
            let seen =
                name.split('.').try_fold(&shown, |value, part| value.get(part)).unwrap_or(&Value::Null);
            if seen != expected {
                failures.push(format!("{uid} {name}: expected {expected}, seen {seen}"));
            }
        }
        Ok(())
    }

    /// A row as the API gives it out, as far as its fields are shown.
    fn projected(&self, collection: &Arc<Collection>, scope: &Scope, row: &Json) -> Result<Value> {
        let signer = Signer::new(SECRET);
        let selected = Selected {
            response_key: "row".into(),
            name: "row".into(),
            arguments: vec![("sourceUid".to_owned(), Json::String(String::new()))],
            children: selected(&collection.shape.fields, scope).into(),
        };
        if selected.children.is_empty() {
            return Ok(Value::Null);
        }
        let query = compile(collection, Root::ByKey, &selected, &self.config.graphql, &signer)?;
        let Ask::ByKey(nodes) = query.ask() else { return Ok(Value::Null) };
        let mut out = Vec::new();
        let extras = Extras { rest: false, rescued: false };
        Projector { rules: scope, extras, signer: &signer, bytes_max: usize::MAX }.row(nodes, row, &mut out);
        serde_json::from_slice(&out).map_err(Error::internal)
    }
}

/// All fields that are shown; of maps, which are asked by key, none.
fn selected(fields: &[Field], scope: &Scope) -> Vec<Selected> {
    let one = |field: &Field| {
        let children = selected(field.children(), scope);
        let is_shown = scope.access(field.id) != &Access::Hidden && field.kind.maps() == 0;
        let is_whole = field.children().is_empty() || !children.is_empty();
        let [response_key, name] = [(); 2].map(|()| field.name.as_str().into());
        let children = children.into();
        (is_shown && is_whole).then_some(Selected { response_key, name, arguments: Vec::new(), children })
    };
    fields.iter().filter_map(one).collect()
}

/// The fields that hold values, by their names.
fn leaves(collection: &Collection) -> BTreeMap<String, u32> {
    fn walk(fields: &[Field], above: &str, all: &mut BTreeMap<String, u32>) {
        for field in fields {
            let name = format!("{above}{}", field.name);
            walk(field.children(), &format!("{name}."), all);
            if field.holds_values() {
                all.insert(name, field.id);
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(&collection.shape.fields, "", &mut all);
    all
}

fn find(known: &BTreeMap<String, u32>, name: &str) -> Result<u32, String> {
    let own = name.strip_prefix(RECORD).and_then(|name| name.strip_prefix('.'));
    let found = known.get(name).copied().or_else(|| {
        own.and_then(|own| envelope(own).map(|member| member.id).or(told_member(own).map(|told| told.id)))
    });
    found.ok_or_else(|| {
        let hint = nearest(name, known.keys().map(String::as_str));
        let hint = hint.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        format!("there is no field `{name}`{hint}")
    })
}

/// Holds how fields are shown to what is expected.
fn fields_as(
    given: &Given,
    scope: Option<&Scope>,
    expected: &Map<String, Value>,
    failures: &mut Vec<String>,
) -> Result<(), String> {
    let known = leaves(&given.collection);
    for (name, value) in expected.iter().filter(|(name, _)| *name != OTHERS) {
        field_as(name, find(&known, name)?, scope, &wanted(value)?, failures);
    }
    if let Some(value) = expected.get(OTHERS) {
        let wanted = wanted(value)?;
        for (name, id) in known.iter().filter(|(name, _)| !expected.contains_key(*name)) {
            field_as(name, *id, scope, &wanted, failures);
        }
    }
    Ok(())
}

fn field_as(name: &str, id: u32, scope: Option<&Scope>, expected: &str, failures: &mut Vec<String>) {
    let seen = match scope.map(|scope| (scope.access(id), scope.condition(id))) {
        None | Some((Access::Hidden, _)) => "hidden".to_owned(),
        Some((Access::Masked(mask), _)) => mask_text(mask),
        Some((Access::Visible, None)) => "shown".to_owned(),
        Some((Access::Visible, Some(_))) => "sometimes".to_owned(),
    };
    if seen != expected {
        failures.push(format!("{name}: expected {expected}, is {seen}"));
    }
}

/// How a field is to be shown: `shown`, `hidden`, `sometimes` or a mask as rules write it.
fn wanted(value: &Value) -> Result<String, String> {
    let plain = ["shown", "hidden", "sometimes", "hash", "null"];
    match value {
        Value::Null => Ok("null".to_owned()),
        Value::String(text) if plain.contains(&text.as_str()) => Ok(text.clone()),
        Value::Object(members) if members.len() == 1 => {
            Ok(members.iter().map(|(name, value)| format!("{{{name}: {value}}}")).collect())
        }
        other => {
            Err(format!("{other} is not `{}`, nor a mask such as `{{keep_first: 2}}`", plain.join("`, `")))
        }
    }
}
