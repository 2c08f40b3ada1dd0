//! What parser and validation say, in our words and within bounds. Suggestions come only from what the caller
//! may see anyway, and what is hidden reads exactly like what does not exist.

use async_graphql::ServerError;
use async_graphql::parser;

use super::answer::Fault;
use super::coerce::nearest;
use super::model::Model;
use super::names::Names;
use crate::publishing::Visible;

/// The longest text that is taken over from a rule; it quotes the document.
const TEXT_MAX: usize = 300;

/// The field of a connection that has its rows.
const NODES: &str = "nodes";

/// What the parser says, without the document's line, which can be a megabyte.
pub(super) fn syntax(error: &parser::Error) -> Fault {
    let text = error.to_string();
    // Pest draws the line and ends with ` = expected …`.
    let reason = text.rsplit("\n  = ").next().unwrap_or_default();
    let reason = reason.lines().last().unwrap_or_default();
    Fault::invalid(format!("syntax error: {}", cut(reason)), error.positions().collect())
}

/// Whether the executor has its own rule for this: the library refuses `[T]!` for a place of type `[T]`.
pub(super) fn is_ours(error: &ServerError) -> bool {
    error.message.contains("used in position expecting type")
}

/// Whether our own check says the same, in better words.
pub(super) fn is_worded_better(error: &ServerError) -> bool {
    error.message.starts_with("Invalid value for argument")
}

/// The root field that is not there, if it is about one: the nearest name may be any collection's.
pub(super) fn unknown_root(error: &ServerError) -> Option<&str> {
    let (field, ty) = unknown_field(&error.message)?;
    matches!(ty, "Query" | "Subscription").then_some(field)
}

/// What a rule of validation says. `alike` is the collection whose name is most like an unknown root field's, or any
/// other when there is none; `None` when nobody has looked.
pub(super) fn invalid(error: &ServerError, model: &Model, alike: Option<&[Visible]>) -> Fault {
    let text = match unknown_field(&error.message) {
        Some((field, ty)) => {
            format!("unknown field `{}` on `{ty}`{}", cut(field), hint(field, ty, model, alike))
        }
        None => cut(&error.message),
    };
    let fault = Fault::invalid(text, error.locations.clone());
    if names_unknown(&error.message) { fault.perhaps_stale() } else { fault }
}

/// Whether it is about a name that is not there: a field, type or argument.
fn names_unknown(message: &str) -> bool {
    message.starts_with("Unknown ")
}

/// Field and type of `Unknown field "a" on type "B".`
fn unknown_field(message: &str) -> Option<(&str, &str)> {
    let (field, rest) = message.strip_prefix("Unknown field \"")?.split_once("\" on type \"")?;
    Some((field, rest.split_once('"')?.0))
}

fn hint(field: &str, ty: &str, model: &Model, alike: Option<&[Visible]>) -> String {
    let mut candidates: Vec<String> = model.fields(ty).iter().map(|field| field.name.to_string()).collect();
    for (collection, _) in alike.unwrap_or_default() {
        let names = Names::of(collection);
        match ty {
            "Query" => {
                candidates.extend([names.field.to_owned(), names.by_key(), names.aggregate_field()]);
            }
            "Subscription" => candidates.push(names.field.to_owned()),
            _ => {}
        }
    }
    if let Some(nodes) = model.field(ty, NODES)
        && model.field(nodes.ty.name(), field).is_some()
    {
        return format!("; rows are in `{NODES}`: `{{ {NODES} {{ {} }} }}`", cut(field));
    }
    let nearest = nearest(field, candidates.iter().map(String::as_str));
    if nearest.is_empty() && alike.is_some_and(<[_]>::is_empty) {
        // So it is without a token, and before anything has been sourced.
        return "; there is no collection that you may see, check the token".to_owned();
    }
    nearest
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
