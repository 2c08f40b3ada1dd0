//! A collection as a table for transports without a document: which fields a row has, and page after page of
//! rows. Makes a document that is checked and admitted like anybody's, so that there is one way to the rows; what it
//! selects is planned once for all pages. Must not know media types.

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
}

/// A collection as one actor may read it, with one selection.
#[derive(Debug)]
pub struct Table {
    export: Export,
    /// Where the rows go on; none before the first, and when there are none.
    next: Option<PageCursor>,
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
        let export = self.planned(context, &selection).await?;
        Ok(Table { export, next: None, selection })
    }

    fn select(&self, model: &Model, collection: &Collection, ask: Ask, cost_max: u64) -> Result<Selection> {
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
             {{{}(where:$where,{given}first:$first,after:$after){{nodes{{{text}}}}}}}",
            names.derived("Filter"),
            names.field,
        );
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
        let Selection { document, page, ask, .. } = selection;
        let mut variables = vec![("first".to_owned(), Json::Number(page.to_string().into()))];
        if let Some(filter) = &ask.filter {
            variables.push(("where".to_owned(), filter.clone()));
        }
        if !ask.order.is_empty() {
            variables.push(("orderBy".to_owned(), Json::Array(ask.order.clone())));
        }
        if let Some(after) = &ask.after {
            variables.push(("after".to_owned(), Json::String(after.clone())));
        }
        let request = Request { query: document.as_str().into(), operation_name: None, variables };
        let prepared = self.prepare(context, &request, Transport::Single).await;
        let prepared = prepared.map_err(|faults| {
            let first = faults.into_iter().next().map(Fault::into_error);
            first.unwrap_or_else(|| Error::internal("a document is refused without a reason"))
        })?;
        let (node, from) = prepared
            .nodes
            .first()
            .and_then(|node| Some((node, locate(&prepared.collections, &node.name)?.0)))
            .ok_or_else(|| Error::internal("a document without its collection"))?;
        let selected = node.selected(&prepared.variables)?;
        self.inner.services.publishing.export(from, &selected, (ask.cursors, ask.cells))
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
        let publishing = &self.inner.services.publishing;
        let view = publishing.visible_among(&context.actor, [table.selection.root.as_str()])?;
        if !view.first().is_some_and(|view| table.export.is_of(view)) {
            table.export = self.planned(context, &table.selection).await?;
        }
        let mut replans = 0;
        let exported = loop {
            let from = table.next.as_ref().or(table.export.from());
            let read = publishing.export_page(&table.export, from, step, writer, out).await;
            match read {
                Err(error) if error.is_stale() && replans < REPLANS_MAX => replans += 1,
                read => break read?,
            }
            publishing.refresh(publishing.version()).await;
            table.export = self.planned(context, &table.selection).await?;
        };
        if let Some(next) = &exported.next {
            table.selection.ask.after = Some(publishing.export_cursor(&table.export, next)?);
        }
        table.next = exported.next;
        Ok(exported.rows)
    }
}

impl Table {
    /// Where the rows behind those that were read begin; none when there are none.
    pub fn next(&self) -> Option<&str> {
        self.next.as_ref().and(self.selection.ask.after.as_deref())
    }

    /// The leaves of a row in order, each with its names from the row's root.
    pub fn columns(&self) -> &[Vec<String>] {
        &self.selection.columns
    }

    pub(super) fn collection_id(&self) -> i64 {
        self.export.collection_id()
    }
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
