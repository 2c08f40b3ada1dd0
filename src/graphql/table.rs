//! A collection as a table for transports without a document: which fields a row has, and page after page of
//! rows. Makes a document that is checked and admitted like anybody's, so that there is one way to the rows; what it
//! selects is planned once for all pages. Must not know media types.

mod past;

pub use past::Past;
pub(super) use past::asked as history_takes_source;

use super::answer::Fault;
use super::execute::locate;
use super::model::{Field, Model, TypeRef};
use super::names::Names;
use super::prepare::Transport;
use super::{Context, Engine, REPLANS_MAX, Request, manage};
use crate::error::{Error, Result};
use crate::format::Writer;
use crate::publishing::{Export, Step};
use crate::query::{Collection, PageCursor, Root};
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
    /// The most rows that are wanted; none for all.
    pub first: Option<usize>,
    /// Behind this cursor.
    pub after: Option<String>,
    /// Whether rows are wanted as cells, where they can be.
    pub cells: bool,
    /// What of the past is asked for; none for rows as they are.
    pub past: Option<Past>,
}

/// A collection as one actor may read it, with one selection.
#[derive(Debug)]
pub struct Table {
    collection_id: i64,
    /// None when it is past.
    export: Option<Export>,
    /// Where the rows of an export go on; none before the first, and when there are none.
    next: Option<PageCursor>,
    /// Whether there may be rows behind those that were read.
    more: bool,
    complete: Option<bool>,
    selection: Selection,
}

/// What is selected, as a document.
#[derive(Clone, Debug)]
struct Selection {
    columns: Vec<Vec<String>>,
    document: String,
    root: String,
    /// How many rows it asks for, as far as one document may.
    page: usize,
    ask: Ask,
}

/// A selected field with what is selected below it.
struct Selected<'a> {
    field: &'a Field,
    children: Vec<Selected<'a>>,
}

impl Selection {
    /// The request for the next rows, at most so many.
    fn request(&self, rows_max: usize) -> Request {
        let Ask { filter, order, after, past, .. } = &self.ask;
        let mut variables = vec![("first".to_owned(), Json::Number(rows_max.to_string().into()))];
        variables.extend(filter.iter().map(|filter| ("where".to_owned(), filter.clone())));
        if !order.is_empty() {
            variables.push(("orderBy".to_owned(), Json::Array(order.clone())));
        }
        variables.extend(after.iter().map(|after| ("after".to_owned(), Json::String(after.clone()))));
        variables.extend(past.iter().flat_map(Past::variables));
        Request { query: self.document.as_str().into(), operation_name: None, variables }
    }
}

impl Engine {
    /// The table of a collection, by the name of its query field: all of the question is checked, and no row read.
    ///
    /// # Errors
    /// `NOT_FOUND` when this actor has no such collection, `BAD_REQUEST` when it has no such field, and those of a
    /// query.
    pub async fn table(&self, context: &Context, name: &str, ask: Ask) -> Result<Table> {
        let publishing = &self.inner.services.publishing;
        let visible = manage::find(publishing, &context.actor, name).await.inspect_err(|_| {
            let (actor, request) = (&context.actor, &context.request_id);
            publishing.note_denied(actor, request, context.path(Root::List), std::iter::once(name));
        })?;
        let collection = visible.0.clone();
        // A row of a table has its own fields only.
        let model = self.inner.preparer.unrelated(&[visible], context.actor.contract.is_some());
        let cost_max = context.cost_max(&self.inner.services.config.graphql);
        let selection = self.select(&model, &collection, ask, cost_max)?;
        let export = match &selection.ask.past {
            None => Some(self.planned(context, &selection).await?),
            Some(_) => {
                self.possible(context, &selection).await?;
                None
            }
        };
        let collection_id = collection.id;
        Ok(Table { collection_id, export, next: None, more: false, complete: None, selection })
    }

    fn select(&self, model: &Model, collection: &Collection, ask: Ask, cost_max: u64) -> Result<Selection> {
        let names = Names::of(collection);
        let selected = match &ask.past {
            Some(Past::Of(..)) => past::selected(model, names, &ask.fields)?,
            _ => of_rows(model, names, &ask.fields)?,
        };
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
        let document = document(model, names, &ask, &text)?;
        let limits = &self.inner.services.config.graphql;
        // What stands around a row is selected, too.
        let affordable = cost_max / (fields as u64 + 8);
        let page_max =
            collection.page_max(limits).min(usize::try_from(affordable).unwrap_or(usize::MAX)).max(1);
        let page = page_max.min(ask.first.unwrap_or(usize::MAX));
        Ok(Selection { columns, document, root: names.field.to_owned(), page, ask })
    }

    /// Checks and admits the document for this actor as it sees the collection now, and plans it.
    async fn planned(&self, context: &Context, selection: &Selection) -> Result<Export> {
        let request = selection.request(selection.page);
        let prepared = self.prepare(context, &request, Transport::Single).await.map_err(Fault::first)?;
        let (node, from) = prepared
            .nodes
            .first()
            .and_then(|node| Some((node, locate(&prepared.collections, &node.name)?.0)))
            .ok_or_else(|| Error::internal("a document without its collection"))?;
        let selected = node.selected(&prepared.variables)?;
        let Ask { cursors, cells, .. } = selection.ask;
        let visible = &prepared.collections;
        self.inner.services.publishing.export(from, visible, &selected, (cursors, cells))
    }

    /// Appends the next rows, at most so many; how many there were, and whether there may be more. A table whose
    /// collection is seen otherwise since the last rows is planned anew.
    ///
    /// # Errors
    /// Those of the query; then nothing has been appended.
    pub async fn page(
        &self,
        context: &Context,
        table: &mut Table,
        step: Step,
        writer: &mut (dyn Writer + Send),
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        let Some(export) = &mut table.export else {
            return self.past_page(context, table, step, writer, out).await;
        };
        let publishing = &self.inner.services.publishing;
        let view = publishing.visible_among(&context.actor, [table.selection.root.as_str()])?;
        if !view.first().is_some_and(|view| export.is_of(view)) {
            *export = self.planned(context, &table.selection).await?;
        }
        let mut replans = 0;
        let exported = loop {
            let from = table.next.as_ref().or(export.from());
            let read = publishing.export_page(export, from, step, writer, out).await;
            match read {
                Err(error) if error.is_stale() && replans < REPLANS_MAX => replans += 1,
                read => break read?,
            }
            publishing.refresh(publishing.version()).await;
            *export = self.planned(context, &table.selection).await?;
        };
        if let Some(next) = &exported.next {
            table.selection.ask.after = Some(publishing.export_cursor(export, next)?);
        }
        table.more = exported.next.is_some();
        table.next = exported.next;
        Ok(exported.rows)
    }
}

impl Table {
    /// Where the rows behind those that were read begin; none when there are none.
    pub fn next(&self) -> Option<&str> {
        self.selection.ask.after.as_deref().filter(|_| self.more)
    }

    /// Of the history of a row, whether the last change that was read is where the row began, or came into what its
    /// reader may see.
    pub fn complete(&self) -> Option<bool> {
        self.complete
    }

    /// The leaves of a row in order, each with its names from the row's root.
    pub fn columns(&self) -> &[Vec<String>] {
        &self.selection.columns
    }

    pub(super) fn collection_id(&self) -> i64 {
        self.collection_id
    }
}

/// Whether a table can have the field: what is in a union is in its object, too.
pub(super) fn is_selectable(model: &Model, field: &Field) -> bool {
    model.possible(field.ty.name()).is_none()
}

/// The fields of a row of which none are named: all but the envelope and the rest.
fn own<'a>(model: &'a Model, ty: &str) -> Vec<Selected<'a>> {
    all(model, ty).into_iter().filter(|one| !one.field.name.starts_with('_')).collect()
}

/// Their leaves, as [`Table::columns`] has them.
pub(super) fn columns(model: &Model, ty: &str) -> Vec<String> {
    joined(&own(model, ty))
}

/// Those of a change of a row.
pub(super) fn history_columns(model: &Model, names: Names<'_>) -> Vec<String> {
    joined(&past::whole(model, names))
}

fn joined(selected: &[Selected<'_>]) -> Vec<String> {
    let mut columns = Vec::new();
    leaves(selected, &mut Vec::new(), &mut columns);
    columns.iter().map(|names| names.join(".")).collect()
}

/// What is selected of rows: these fields, or all that are their own.
///
/// # Errors
/// `BAD_REQUEST` for a field that there is not.
fn of_rows<'a>(model: &'a Model, names: Names<'_>, fields: &[String]) -> Result<Vec<Selected<'a>>> {
    if fields.is_empty() {
        return Ok(own(model, names.ty));
    }
    let mut selected = Vec::new();
    for path in fields {
        let parts: Vec<&str> = path.split('.').collect();
        choose(model, names.ty, &parts, path, &mut selected)?;
    }
    Ok(selected)
}

/// The document that selects `text` of each row.
fn document(model: &Model, names: Names<'_>, ask: &Ask, text: &str) -> Result<String> {
    if let Some(Past::Of(_, source)) = &ask.past {
        let source = past::asked(model, names, source.as_deref())?;
        return Ok(past::history(names, text, source));
    }
    let (mut declared, mut given) = (String::new(), "");
    if !ask.order.is_empty() {
        let order = names.derived("Order");
        if model.get(&order).is_none() {
            return Err(Error::bad_request(format!("`order`: `{}` has nothing to order by", names.field)));
        }
        declared = format!("$orderBy:[{order}!],");
        given = "orderBy:$orderBy,";
    }
    let head = format!("$where:{},{declared}$first:Int,$after:String,", names.derived("Filter"));
    if ask.past.is_some() {
        return Ok(past::as_of(&head, names, given, text, ask.cursors));
    }
    let (field, head) = (names.field, head.trim_end_matches(','));
    Ok(format!("query({head}){{{field}(where:$where,{given}first:$first,after:$after){{nodes{{{text}}}}}}}"))
}

/// Every field below a type, by its present name; none for a scalar.
fn all<'a>(model: &'a Model, ty: &str) -> Vec<Selected<'a>> {
    let below = |field: &'a Field| Selected { field, children: all(model, field.ty.name()) };
    let wanted = |field: &&Field| !field.is_alias && is_selectable(model, field);
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
    if !is_selectable(model, field) {
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

impl Selected<'_> {
    /// Whether anything is selected: of an object something must be.
    fn is_something(&self, model: &Model) -> bool {
        !self.children.is_empty() || model.fields(self.field.ty.name()).is_empty()
    }
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
