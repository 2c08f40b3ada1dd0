//! `wellspring policy explain`: prints why somebody may see or do something. Only who has the database and its key can
//! run it, so it tells all.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::{Answer, Engine, Error, Result, Settings, loaded, opened, print, runtime, who::Who};
use crate::config::Config;
use crate::policy::{Access, Action, Explanation, Ruling, Shown, filter_text, mask_text, nearest, parts};
use crate::publishing::Publishing;
use crate::query::{Collection, Filter};
use crate::record::{Actor, Source};
use crate::store::Store;

#[derive(Args)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    who: Who,
    /// The collection, by the name of its query field; needed for `read`.
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// A row of it: its key, or what its source calls it.
    #[arg(long, requires = "collection")]
    key: Option<String>,
    /// `read`, `source`, `retract`, `steward` or `administer`.
    #[arg(long, default_value = "read", value_parser = ["read", "source", "retract", "steward", "administer"])]
    action: String,
    /// The source that is acted on, as `CATEGORY/SUBCATEGORY/NAME`; without it the system as a whole.
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// The contract under which it is asked: `NAME` or `NAME@VERSION`.
    #[arg(long, value_name = "NAME")]
    contract: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<Answer> {
    let config = loaded(&options.settings)?;
    let actor = options.who.actor()?;
    let engine = Arc::new(Engine::load(&config.policy, &config.store.data)?);
    let told = match action(&options.action) {
        Some(action) => acting(&engine, &actor, action, options)?,
        None => runtime()?.block_on(reading(&engine, &config, actor, options))?,
    };
    let text = if options.json {
        serde_json::to_string_pretty(&told).map_err(Error::internal)?
    } else {
        text(&told)
    };
    print(&text)?;
    Ok(if at(&told, "/allowed") == true { Answer::Yes } else { Answer::No })
}

fn action(name: &str) -> Option<Action> {
    [Action::Source, Action::Retract, Action::Steward, Action::Administer]
        .into_iter()
        .find(|action| action.as_str() == name)
}

/// A member, by its JSON pointer.
fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn policies(engine: &Engine) -> Value {
    json!({ "files": engine.file_names(), "fingerprint": &*engine.fingerprint() })
}

fn who(actor: &Actor) -> Value {
    let mut who = actor.claims.clone();
    who.insert("subject".to_owned(), json!(actor.subject));
    who.insert("roles".to_owned(), json!(actor.roles));
    Value::Object(who)
}

fn acting(engine: &Engine, actor: &Actor, action: Action, options: &Options) -> Result<Value> {
    let wrong = || Error::bad_request("`--source` is `CATEGORY/SUBCATEGORY/NAME`");
    let source = match &options.source {
        None => None,
        Some(text) => match text.split('/').collect::<Vec<_>>().as_slice() {
            [category, subcategory, name] => Some(Source::new(*category, *subcategory, *name)?),
            _ => return Err(wrong()),
        },
    };
    let (allowed, rules) = engine.explain_action(actor, action, source.as_ref());
    Ok(json!({
        "policies": policies(engine),
        "actor": who(actor),
        "action": action.as_str(),
        "source": options.source,
        "allowed": allowed,
        "rules": rules.iter().map(ruling).collect::<Vec<_>>(),
    }))
}

async fn reading(engine: &Arc<Engine>, config: &Config, actor: Actor, options: &Options) -> Result<Value> {
    let name = options.collection.as_deref();
    let name =
        name.ok_or_else(|| Error::bad_request("name the collection that is read by `--collection`"))?;
    let store = opened(config).await?;
    let publishing = Publishing::new(store.clone(), engine.clone(), config, &[]);
    publishing.renew_contracts().await?;
    let catalog = store.catalog.load();
    let collection = catalog.collections.get(name).ok_or_else(|| {
        let near = nearest(name, catalog.collections.keys().map(|name| &**name));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Error::bad_request(format!("there is no collection `{name}`{hint}"))
    })?;
    let actor = engine.bind(actor.into(), options.contract.as_deref())?;
    let told = engine.explain(&actor, &catalog.collections, collection)?;
    let row = match &options.key {
        Some(key) => Some(row(&store, collection, key, &told).await?),
        None => None,
    };
    let seen = told.rows.is_some();
    let allowed = row.as_ref().map_or(seen, |row| at(row, "/visible") == true);
    let contract = actor.contract.as_ref().map(|bound| format!("{}@{}", bound.name, bound.version));
    let mut rules = Vec::new();
    for rule in &told.rules {
        rules.push(ruling(rule));
    }
    Ok(json!({
        "policies": policies(engine),
        "contract": contract,
        "actor": who(&actor),
        "action": "read",
        "collection": collection.field_name,
        "class": collection.type_name,
        "shapeVersion": collection.shape.version,
        "allowed": allowed,
        "fault": told.fault,
        "rows": told.rows.as_ref().map(|rows| condition(&store, collection, rows)).transpose()?,
        "rules": rules,
        "row": row,
        "fields": told.fields.iter().map(field).collect::<Vec<_>>(),
    }))
}

fn condition(store: &Store, collection: &Collection, filter: &Filter) -> Result<Value> {
    let (database, sql, constants) = store.condition_sql(collection, filter)?;
    Ok(json!({ "filter": filter_text(filter), "database": database, "sql": sql, "constants": constants }))
}

/// Whether a row is in the scope, and what of each rule holds for it.
async fn row(store: &Store, collection: &Collection, key: &str, told: &Explanation) -> Result<Value> {
    let mut asked: Vec<(Option<&Ruling>, Filter)> = Vec::new();
    for rule in told.rules.iter().filter(|rule| rule.when != Filter::Const(false)) {
        asked.extend(parts(&rule.when).into_iter().map(|part| (Some(rule), part)));
    }
    // Those of the contract are among them.
    asked.extend(told.rows.iter().flat_map(parts).map(|part| (None, part)));
    let conditions: Vec<Filter> = asked.iter().map(|(_, part)| part.clone()).collect();
    let Some(held) = store.holding(collection, key, &conditions).await? else {
        return Ok(json!({ "key": key, "exists": false, "visible": false, "conditions": [] }));
    };
    let each = asked.iter().zip(&held).map(|((rule, part), holds)| {
        let by = rule.map_or("the scope as a whole", |rule| rule.place.as_str());
        json!({ "of": by, "condition": filter_text(part), "holds": holds })
    });
    let mut whole = asked.iter().zip(&held).filter(|((rule, _), _)| rule.is_none());
    let visible = told.rows.is_some() && whole.all(|(_, holds)| *holds);
    Ok(json!({ "key": key, "exists": true, "visible": visible, "conditions": each.collect::<Vec<_>>() }))
}

fn ruling(rule: &Ruling) -> Value {
    json!({
        "at": rule.place,
        "rule": rule.rule,
        "when": filter_text(&rule.when),
        "failed": rule.failed.as_ref().map(ToString::to_string),
    })
}

fn field(shown: &Shown) -> Value {
    let access = match &shown.access {
        Access::Visible => "shown".to_owned(),
        Access::Hidden => "hidden".to_owned(),
        Access::Masked(mask) => format!("masked {}", mask_text(mask)),
    };
    let masked = shown.masked.iter().map(|(rule, mask)| {
        json!({
            "at": rule.place,
            "rule": rule.rule,
            "when": filter_text(&rule.when),
            "mask": mask.as_ref().map(mask_text),
            "failed": rule.failed.as_ref().map(ToString::to_string),
        })
    });
    json!({
        "name": shown.name,
        "access": access,
        "when": shown.when.as_ref().map(filter_text),
        "allowedBy": shown.allowed.iter().map(ruling).collect::<Vec<_>>(),
        "maskedBy": masked.collect::<Vec<_>>(),
        "note": shown.note,
    })
}

/// The same for people.
fn text(told: &Value) -> String {
    let mut out = String::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let files: Vec<String> = list(at(told, "/policies/files")).iter().map(word).collect();
    let _ = writeln!(out, "policies    {} ({})", files.join(", "), word(at(told, "/policies/fingerprint")));
    let _ = writeln!(out, "actor       {}", at(told, "/actor"));
    if at(told, "/action") != "read" {
        let what = at(told, "/source").as_str().map_or("the system as a whole", |source| source);
        let verdict = if at(told, "/allowed") == true { "allowed" } else { "denied" };
        let _ = writeln!(out, "{verdict:<11} {} of {what}", word(at(told, "/action")));
        rules(&list(at(told, "/rules")), &mut out);
        return out;
    }
    let _ = writeln!(out, "contract    {}", at(told, "/contract").as_str().unwrap_or("none"));
    let (name, class) = (word(at(told, "/collection")), word(at(told, "/class")));
    let _ = writeln!(
        out,
        "collection  {name} (class {class}), version {} of its shape",
        at(told, "/shapeVersion")
    );
    if let Some(fault) = at(told, "/fault").as_str() {
        let _ = writeln!(out, "\nthe policies cannot be decided, so nothing is shown: {fault}");
    }
    match at(told, "/rows") {
        Value::Null => out.push_str("\nrows        none\n"),
        rows => {
            let _ = writeln!(out, "\nrows        {}", word(at(rows, "/filter")));
            let _ = writeln!(out, "  {}: {}", word(at(rows, "/database")), word(at(rows, "/sql")));
            for (place, constant) in list(at(rows, "/constants")).iter().enumerate() {
                let _ = writeln!(out, "    ${} = {}", place + 1, word(constant));
            }
        }
    }
    rules(&list(at(told, "/rules")), &mut out);
    if at(told, "/row").is_object() {
        row_text(at(told, "/row"), &list(at(told, "/row/conditions")), &mut out);
    }
    out.push_str("\nfields\n");
    for field in list(at(told, "/fields")) {
        field_text(&field, &mut out);
    }
    out
}

fn rules(rules: &[Value], out: &mut String) {
    if rules.is_empty() {
        out.push_str("  no rule is about this\n");
    }
    for rule in rules {
        let place = at(rule, "/at").as_str().unwrap_or_default();
        let when = at(rule, "/when").as_str().unwrap_or_default();
        let _ = match when {
            "true" => writeln!(out, "  yes  {place}"),
            "false" => writeln!(out, "  no   {place}"),
            when => writeln!(out, "  yes  {place} where {when}"),
        };
        for line in at(rule, "/rule").as_str().unwrap_or_default().lines() {
            let _ = writeln!(out, "         {}", line.trim_end());
        }
        for line in at(rule, "/failed").as_str().unwrap_or_default().lines() {
            let _ = writeln!(out, "       {line}");
        }
    }
}

fn row_text(row: &Value, conditions: &[Value], out: &mut String) {
    let key = at(row, "/key").as_str().unwrap_or_default();
    let verdict = match (at(row, "/exists") == true, at(row, "/visible") == true) {
        (false, _) => "there is no such row",
        (_, true) => "in the scope",
        (_, false) => "not in the scope",
    };
    let _ = writeln!(out, "\nrow         {key}: {verdict}");
    for one in conditions {
        let holds = if at(one, "/holds") == true { "yes" } else { "no " };
        let (condition, of) =
            (at(one, "/condition").as_str().unwrap_or_default(), at(one, "/of").as_str().unwrap_or_default());
        let _ = writeln!(out, "  {holds}  {condition}  ({of})");
    }
}

fn field_text(field: &Value, out: &mut String) {
    let word = |name: &str| field[name].as_str().unwrap_or_default().to_owned();
    let list = |name: &str| field[name].as_array().cloned().unwrap_or_default();
    let place = |rule: &Value| at(rule, "/at").as_str().unwrap_or_default().to_owned();
    let held =
        list("allowedBy").iter().filter(|rule| at(rule, "/when") != "false").map(place).collect::<Vec<_>>();
    let mut why = Vec::new();
    match held.as_slice() {
        [] if word("access") == "hidden" && at(field, "/note").is_null() => {
            why.push("no rule allows it".to_owned())
        }
        [] => {}
        held => why.push(format!("by {}", held.join(", "))),
    }
    for rule in list("maskedBy") {
        why.push(match at(&rule, "/mask").as_str() {
            Some(mask) => format!("{mask} by {}", place(&rule)),
            None => format!("undecided at {}", place(&rule)),
        });
    }
    why.extend(at(field, "/when").as_str().map(|when| format!("only where {when}")));
    why.extend(at(field, "/note").as_str().map(str::to_owned));
    let _ = writeln!(out, "  {:<28} {:<16} {}", word("name"), word("access"), why.join("; "));
}
