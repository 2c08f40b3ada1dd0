//! Rows that are past, as a table: as they were at a position, or the changes of one row. Each page is the answer to a
//! document, taken apart. Must not know how the past is kept.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Selected, Selection, Table, all, choose, own};
use crate::error::{Code, Error, Result};
use crate::format::Writer;
use crate::graphql::answer::Fault;
use crate::graphql::model::{Field, Model};
use crate::graphql::names::Names;
use crate::graphql::prepare::Transport;
use crate::graphql::{Context, Engine};
use crate::publishing::Step;
use crate::record::Json;

/// What of the past is asked for.
#[derive(Clone, Debug)]
pub enum Past {
    /// Rows as they were at this cursor.
    At(String),
    /// The changes of one row, the newest first, by its uid and its source.
    Of(String, Option<String>),
}

/// An answer; the names are those of the documents that ask.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Option<Data<'a>>,
    #[serde(default)]
    errors: Vec<Refused>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    page: Option<Page<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow, default)]
    nodes: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    edges: Vec<Edge<'a>>,
    page_info: Option<PageInfo>,
    end_cursor: Option<String>,
    complete: Option<bool>,
}

#[derive(Deserialize)]
struct Edge<'a> {
    #[serde(borrow)]
    cursor: &'a RawValue,
    #[serde(borrow)]
    node: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    end_cursor: Option<String>,
    has_next_page: bool,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
    extensions: Extensions,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extensions {
    code: String,
    retry_after_ms: Option<u64>,
}

impl Refused {
    fn into_error(self) -> Error {
        let Some(code) = Code::by_name(&self.extensions.code) else { return Error::internal(self.message) };
        let error = Error::new(code, self.message);
        self.extensions.retry_after_ms.into_iter().fold(error, Error::retry_after_ms)
    }
}

/// The document of rows as they were, of this selection.
pub(super) fn as_of(head: &str, names: Names<'_>, order: &str, rows: &str, cursors: bool) -> String {
    let rows = if cursors { format!("edges{{cursor node{{{rows}}}}}") } else { format!("nodes{{{rows}}}") };
    format!(
        "query({head}$asOf:String){{page:{}(where:$where,{order}first:$first,after:$after,asOf:$asOf)\
         {{{rows}pageInfo{{endCursor hasNextPage}}}}}}",
        names.field
    )
}

/// The document of a row's changes, of this selection; `source` is whether a source can be named.
pub(super) fn history(names: Names<'_>, rows: &str, source: bool) -> String {
    let (declared, given) = match source {
        true => ("$sourceName:String,", "sourceName:$sourceName,"),
        false => ("", ""),
    };
    format!(
        "query({declared}$sourceUid:String!,$first:Int,$after:String){{page:{}({given}sourceUid:$sourceUid,\
         first:$first,after:$after){{nodes{{{rows}}}endCursor complete}}}}",
        names.history_field()
    )
}

/// The field of a row's changes, and whether it takes the name of a source.
///
/// # Errors
/// `NOT_FOUND` where uids are not shown, `BAD_REQUEST` where sources are not.
pub(in crate::graphql) fn asked(model: &Model, names: Names<'_>, source_name: Option<&str>) -> Result<bool> {
    let field = model.field("Query", &names.history_field()).ok_or_else(|| {
        Error::not_found(format!(
            "rows of `{}` have no history for you: you do not see their uids",
            names.field
        ))
    })?;
    let source = field.arguments.iter().any(|argument| &*argument.name == "sourceName");
    if source_name.is_some() && !source {
        return Err(Error::bad_request("`sourceName` cannot be named: you do not see it"));
    }
    Ok(source)
}

/// What is selected of a change: these fields, or all of it with the row as it is without a selection.
///
/// # Errors
/// `BAD_REQUEST` for a field that a change does not have.
pub(super) fn selected<'a>(
    model: &'a Model,
    names: Names<'_>,
    fields: &[String],
) -> Result<Vec<Selected<'a>>> {
    // What is not there has nothing to select.
    asked(model, names, None)?;
    let entry = names.derived("HistoryEntry");
    let mut selected = Vec::new();
    for path in fields {
        let parts: Vec<&str> = path.split('.').collect();
        choose(model, &entry, &parts, path, &mut selected)?;
    }
    if selected.is_empty() { Ok(whole(model, names)) } else { Ok(selected) }
}

/// All of a change; of an image what a row has of which nothing is selected.
pub(super) fn whole<'a>(model: &'a Model, names: Names<'_>) -> Vec<Selected<'a>> {
    let below = |field: &'a Field| match field.ty.name() {
        ty if ty == names.ty => own(model, ty),
        ty => all(model, ty),
    };
    let of = |field| Selected { field, children: below(field) };
    model
        .fields(&names.derived("HistoryEntry"))
        .iter()
        .map(of)
        .filter(|one| one.is_something(model))
        .collect()
}

impl Engine {
    /// Checks and admits the document, as nobody may ask in another way than a document could.
    pub(super) async fn possible(&self, context: &Context, selection: &Selection) -> Result<()> {
        let request = selection.request(selection.page);
        let prepared = self.prepare(context, &request, Transport::Single).await;
        prepared.map(drop).map_err(Fault::first)
    }

    /// Appends the next rows of a table that is past; how many there were.
    pub(super) async fn past_page(
        &self,
        context: &Context,
        table: &mut Table,
        step: Step,
        writer: &mut (dyn Writer + Send),
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        let request = table.selection.request(step.rows_max.min(table.selection.page));
        let prepared = self.prepare(context, &request, Transport::Single).await.map_err(Fault::first)?;
        let response = self.fresh(context, &request, &prepared).await;
        let answer: Answer<'_> = serde_json::from_slice(&response.body).map_err(Error::internal)?;
        if let Some(refused) = answer.errors.into_iter().next() {
            return Err(refused.into_error());
        }
        let page = answer.data.and_then(|data| data.page);
        let page = page.ok_or_else(|| Error::internal("an answer without its page"))?;
        let rows = page.nodes.len() + page.edges.len();
        for row in page.nodes {
            writer.row(row.get().as_bytes(), out)?;
        }
        let mut row = Vec::new();
        for Edge { cursor, node } in page.edges {
            row.clear();
            row.extend_from_slice(b"{\"_cursor\":");
            row.extend_from_slice(cursor.get().as_bytes());
            row.push(b',');
            row.extend_from_slice(node.get().as_bytes().strip_prefix(b"{").unwrap_or_default());
            writer.row(&row, out)?;
        }
        let next = match page.page_info {
            Some(info) => info.end_cursor.filter(|_| info.has_next_page),
            None => page.end_cursor,
        };
        table.complete = page.complete;
        table.more = next.is_some();
        if let Some(next) = next {
            table.selection.ask.after = Some(next);
        }
        Ok(rows)
    }
}

impl Past {
    /// What the document's variables are.
    pub(super) fn variables(&self) -> Vec<(String, Json)> {
        let text = |name: &str, text: &str| (name.to_owned(), Json::String(text.to_owned()));
        match self {
            Past::At(cursor) => vec![text("asOf", cursor)],
            Past::Of(uid, source) => {
                let source = source.iter().map(|source| text("sourceName", source));
                std::iter::once(text("sourceUid", uid)).chain(source).collect()
            }
        }
    }
}
