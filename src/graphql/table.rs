//! A collection as a table for transports without a document: which fields a row has, and page after page of
//! rows. Makes documents and has them executed like anybody's, so that there is one way to the rows. Must not
//! know media types.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::model::{Field, Model, TypeRef};
use super::names::Names;
use super::{Context, Engine, Request, Response, manage};
use crate::error::{Code, Error, Result};
use crate::query::{Collection, Root};
use crate::record::Json;

/// What is asked of a table, the same for all its pages.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// A filter as in GraphQL.
    pub filter: Option<Json>,
    /// An order as in GraphQL.
    pub order: Vec<Json>,
    /// The fields, nested ones by dots; none for all, without the envelope.
    pub fields: Vec<String>,
    /// Whether each row begins with its `_cursor`.
    pub cursors: bool,
}

/// A collection as one actor may read it, with one selection.
#[derive(Clone, Debug)]
pub struct Table {
    /// The leaves of a row in order, each with its names from the row's root.
    pub columns: Vec<Vec<String>>,
    /// The most rows of a page.
    pub page_max: usize,
    pub(super) collection_id: i64,
    document: String,
    root: String,
    filter: Option<Json>,
    order: Vec<Json>,
    cursors: bool,
}

/// Some rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Each row's JSON text.
    pub rows: Vec<String>,
    /// Where the next page begins, when there is one.
    pub next: Option<String>,
}

/// A selected field with what is selected below it.
struct Selected<'a> {
    field: &'a Field,
    children: Vec<Selected<'a>>,
}

impl Engine {
    /// The table of a collection, by the name of its query field.
    ///
    /// # Errors
    /// `NOT_FOUND` when this actor has no such collection, `BAD_REQUEST` when it has no such field.
    pub async fn table(&self, context: &Context, name: &str, ask: Ask) -> Result<Table> {
        let publishing = &self.inner.services.publishing;
        let visible = manage::find(publishing, &context.actor, name).await.inspect_err(|_| {
            let (actor, request) = (&context.actor, &context.request_id);
            publishing.note_denied(actor, request, context.path(Root::List), std::iter::once(name));
        })?;
        let collection = visible.0.clone();
        // A row of a table has its own fields only.
        let model = self.inner.preparer.unrelated(&[visible], context.actor.contract.is_some());
        self.select(&model, &collection, ask, context.cost_max(&self.inner.services.config.graphql))
    }

    fn select(&self, model: &Model, collection: &Collection, ask: Ask, cost_max: u64) -> Result<Table> {
        let names = Names::of(collection);
        let mut selected = Vec::new();
        if ask.fields.is_empty() {
            selected =
                all(model, names.ty).into_iter().filter(|one| !one.field.name.starts_with('_')).collect();
        }
        for path in &ask.fields {
            let parts: Vec<&str> = path.split('.').collect();
            choose(model, names.ty, &parts, path, &mut selected)?;
        }
        let (mut columns, mut text) = (Vec::new(), String::new());
        if ask.cursors {
            columns.push(vec!["_cursor".to_owned()]);
        }
        leaves(&selected, &mut Vec::new(), &mut columns);
        let fields = print(&selected, &mut text);
        if fields == 0 {
            let text = format!("nothing of `{}` has a type yet; name `_record.key` or `_rest`", names.field);
            return Err(Error::bad_request(text));
        }
        let node =
            if ask.cursors { format!("edges{{cursor node{{{text}}}}}") } else { format!("nodes{{{text}}}") };
        let (mut declared, mut given) = (String::new(), "");
        if !ask.order.is_empty() {
            let order = names.derived("Order");
            if model.get(&order).is_none() {
                return Err(Error::bad_request(format!(
                    "`order`: `{}` has nothing to order by",
                    names.field
                )));
            }
            declared = format!("$orderBy:[{order}!],");
            given = "orderBy:$orderBy,";
        }
        let document = format!(
            "query($where:{},{declared}$first:Int,$after:String)\
             {{{}(where:$where,{given}first:$first,after:$after)\
             {{{node} pageInfo{{hasNextPage endCursor}}}}}}",
            names.derived("Filter"),
            names.field,
        );
        let limits = &self.inner.services.config.graphql;
        // What stands around a row is selected, too.
        let affordable = cost_max / (fields as u64 + 8);
        let page_max =
            collection.page_max(limits).min(usize::try_from(affordable).unwrap_or(usize::MAX)).max(1);
        let root = names.field.to_owned();
        let Ask { filter, order, cursors, .. } = ask;
        Ok(Table { columns, page_max, collection_id: collection.id, document, root, filter, order, cursors })
    }

    /// The rows after a cursor, at most [`Table::page_max`] of them.
    ///
    /// # Errors
    /// Those of the query.
    pub async fn page(
        &self,
        context: &Context,
        table: &Table,
        first: usize,
        after: Option<&str>,
    ) -> Result<Page> {
        let mut variables = vec![("first".to_owned(), Json::Number(first.to_string().into()))];
        if let Some(filter) = &table.filter {
            variables.push(("where".to_owned(), filter.clone()));
        }
        if !table.order.is_empty() {
            variables.push(("orderBy".to_owned(), Json::Array(table.order.clone())));
        }
        if let Some(after) = after {
            variables.push(("after".to_owned(), Json::String(after.to_owned())));
        }
        let request = Request { query: table.document.clone(), operation_name: None, variables };
        table.cut(&self.execute(context.clone(), request).await)
    }
}

/// The parts of an answer that are looked at; rows stay text.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    data: Option<std::collections::HashMap<String, Option<Connection<'a>>>>,
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection<'a> {
    #[serde(borrow, default)]
    nodes: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    edges: Vec<Edge<'a>>,
    page_info: PageInfo,
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
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Fault {
    message: String,
    extensions: Extensions,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extensions {
    code: String,
    retry_after_ms: Option<u64>,
}

impl Table {
    /// Cuts the answer into rows.
    fn cut(&self, response: &Response) -> Result<Page> {
        let mut answer: Answer<'_> = serde_json::from_slice(&response.body).map_err(Error::internal)?;
        if let Some(fault) = answer.errors.into_iter().next() {
            let code = Code::by_name(&fault.extensions.code).unwrap_or(Code::Internal);
            let error = Error::new(code, fault.message);
            return Err(match fault.extensions.retry_after_ms {
                Some(ms) => error.retry_after_ms(ms),
                None => error,
            });
        }
        let connection = answer.data.as_mut().and_then(|data| data.remove(&self.root)).flatten();
        let connection = connection.ok_or_else(|| Error::internal("an answer without its root field"))?;
        let rows = if self.cursors {
            connection.edges.iter().map(with_cursor).collect()
        } else {
            connection.nodes.iter().map(|node| node.get().to_owned()).collect()
        };
        let PageInfo { has_next_page, end_cursor } = connection.page_info;
        Ok(Page { rows, next: end_cursor.filter(|_| has_next_page) })
    }
}

/// The row with its cursor as the first member; a row has always one more.
fn with_cursor(edge: &Edge<'_>) -> String {
    let members = edge.node.get().trim_start().strip_prefix('{').unwrap_or_default();
    format!("{{\"_cursor\":{},{members}", edge.cursor.get())
}

/// Every field below a type, by its present name; none for a scalar.
fn all<'a>(model: &'a Model, ty: &str) -> Vec<Selected<'a>> {
    let below = |field: &'a Field| Selected { field, children: all(model, field.ty.name()) };
    // What is in a union is in its object, too.
    let wanted = |field: &&Field| !field.is_alias && model.possible(field.ty.name()).is_none();
    model.fields(ty).iter().filter(wanted).map(below).collect()
}

/// Adds the field at `parts` below `ty`, with everything below it.
fn choose<'a>(
    model: &'a Model,
    ty: &str,
    parts: &[&str],
    path: &str,
    selected: &mut Vec<Selected<'a>>,
) -> Result<()> {
    let unknown = || Error::bad_request(format!("`fields`: there is no field `{path}`"));
    let (name, deeper) = parts.split_first().ok_or_else(unknown)?;
    let field = model.fields(ty).iter().find(|field| *field.name == **name).ok_or_else(unknown)?;
    if model.possible(field.ty.name()).is_some() {
        return Err(unknown());
    }
    let at = selected.iter().position(|one| std::ptr::eq(one.field, field)).unwrap_or_else(|| {
        selected.push(Selected { field, children: Vec::new() });
        selected.len() - 1
    });
    let Some(one) = selected.get_mut(at) else { return Err(unknown()) };
    if deeper.is_empty() {
        one.children = all(model, field.ty.name());
        return Ok(());
    }
    choose(model, field.ty.name(), deeper, path, &mut one.children)
}

fn is_list(ty: &TypeRef) -> bool {
    matches!(ty.nullable(), TypeRef::List(_))
}

/// The columns: nested objects are flattened, a list is one.
fn leaves(selected: &[Selected<'_>], above: &mut Vec<String>, columns: &mut Vec<Vec<String>>) {
    for one in selected {
        above.push(one.field.name.to_string());
        if one.children.is_empty() || is_list(&one.field.ty) {
            columns.push(above.clone());
        } else {
            leaves(&one.children, above, columns);
        }
        above.pop();
    }
}

/// Prints the selection; how many fields it has.
fn print(selected: &[Selected<'_>], out: &mut String) -> usize {
    let mut count = 0;
    for one in selected {
        out.push_str(&one.field.name);
        out.push(' ');
        count += 1;
        if !one.children.is_empty() {
            out.push('{');
            count += print(&one.children, out);
            out.push('}');
        }
    }
    count
}
