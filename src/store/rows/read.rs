//! Scoped queries out: one statement for a root field, its rows written straight into the answer by a plan.
//! Nothing is read here but through a [`Scoped`] query.

use std::ops::ControlFlow;

use uuid::Uuid;

use super::planned;
use super::sql::Sql;
use crate::error::{Code, Error, Result};
use crate::policy::Scoped;
use crate::query::{
    Ask, Budget, Collection, ColumnRef, Columns, Comparison, Filter, Node, Operand, Plan, Query, Source,
};
use crate::record::Signer;
use crate::store::Store;
use crate::store::db::{Near, RowRef, is_missing_table};

/// Pages of up to this many rows are read on the calling thread, when an index leads to them.
pub(super) const INLINE_ROWS_MAX: usize = 100;

/// Where the columns of a planned statement begin: behind the shape's version. Those of a gated one begin at 0.
pub(super) const OFFSET: usize = 1;

/// A row of the statement, its selected columns beginning at `offset`.
pub(super) struct Cells<'a, 'r> {
    pub(super) row: &'a RowRef<'r>,
    pub(super) offset: usize,
}

impl Columns for Cells<'_, '_> {
    fn text(&self, index: usize) -> Result<Option<&str>> {
        self.row.text(self.offset + index)
    }

    fn int(&self, index: usize) -> Result<Option<i64>> {
        self.row.i64(self.offset + index)
    }

    fn float(&self, index: usize) -> Result<Option<f64>> {
        self.row.f64(self.offset + index)
    }

    fn bool(&self, index: usize) -> Result<Option<bool>> {
        self.row.bool(self.offset + index)
    }

    fn uuid(&self, index: usize) -> Result<Option<Uuid>> {
        self.row.uuid(self.offset + index)
    }
}

/// Compiles a selection, its columns added to those that the statement has already.
pub(super) fn plan(query: &Scoped<Query>, nodes: &[Node], sources: &mut Vec<Source>) -> Plan {
    let scope = query.scope();
    let mut plan = Plan::compile(nodes, scope.as_ref(), scope.extras(), std::mem::take(sources));
    *sources = plan.into_sources();
    plan
}

/// The rows that the client wants and may see.
pub(super) fn rows_filter(query: &Scoped<Query>) -> Filter {
    Filter::all([query.scope().rows().clone(), query.get().filter().clone()])
}

/// Whether an index leads to the rows: they are few, or of one source's id.
pub(super) fn is_indexed(filter: &Filter) -> bool {
    match filter {
        Filter::And(all) => all.iter().any(is_indexed),
        Filter::Compare(Operand::Field(field), Comparison::Eq, Operand::Literal(_)) => {
            matches!(field.column, ColumnRef::Key | ColumnRef::SourceUid)
        }
        _ => false,
    }
}

/// The select list of a plan's columns.
pub(super) fn select_list(sql: &mut Sql, sources: &[Source]) -> Result<Vec<String>> {
    sources.iter().map(|source| sql.source(source)).collect()
}

/// The version of the shape that the collection has; none that there is when one of related rows has another than the
/// statement was planned for.
fn version(collection: &Collection, sql: &Sql) -> String {
    let own = format!("select shape_version from collection where id = {}", collection.id);
    if sql.related.is_empty() {
        return own;
    }
    let known: Vec<String> = sql
        .related
        .iter()
        .map(|(id, version)| format!("(id = {id} and shape_version = {version})"))
        .collect();
    format!(
        "select case when (select count(*) from collection where {}) = {} then ({own}) else -1 end",
        known.join(" or "),
        known.len()
    )
}

/// What stands behind the conditions of a statement's rows so that there are none where a shape is another than it was
/// planned for: then no row carries the version. All conditions must have been written, and it must be in every part of
/// the statement that gives rows.
pub(super) fn gate(sql: &mut Sql, collection: &Collection) -> String {
    sql.gated = true;
    format!(" and ({}) = {}", version(collection, sql), collection.shape.version)
}

/// Whether the shape is the one that something was planned for.
///
/// # Errors
/// A stale one when it is not.
pub(super) fn check_shape(collection: &Collection, found: Option<i64>) -> Result<()> {
    if found == Some(i64::from(collection.shape.version)) {
        return Ok(());
    }
    Err(Error::stale("the shape is newer than what the statement was planned for"))
}

/// A lookup that does not say which row.
pub(super) fn several() -> Error {
    let text = "several sources have a record with this `sourceUid`; say which by `sourceName`";
    Error::new(Code::Conflict, text)
}

impl Store {
    /// Answers a root field: appends its JSON value. Returns how many rows or groups that has.
    ///
    /// # Errors
    /// `CONFLICT` when a lookup finds several rows, `TOO_COMPLEX` when an aggregate has too many groups or
    /// the answer would pass its budget.
    pub async fn fetch(
        &self,
        query: &Scoped<Query>,
        signer: &Signer,
        budget: &Budget,
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        match query.get().ask() {
            Ask::List(list) => self.list(query, list, signer, budget, out).await,
            Ask::ByKey(nodes) => self.by_key(query, nodes, signer, budget, out).await,
            Ask::Aggregate(aggregate) => self.aggregate(query, aggregate, signer, budget, out).await,
            Ask::Join(_) => Err(Error::internal("a join is read with the keys that it is for")),
            Ask::Changes(_) => Err(Error::internal("changes are tailed, not fetched")),
            Ask::History(_) => Err(Error::internal("changes are opened one by one")),
        }
    }

    /// Runs what was planned with a collection's shape, `select` being what follows that word, and hands on its rows.
    /// Their columns begin at [`OFFSET`], those of a [gated](gate) statement at 0. An `inline` one takes well under a
    /// millisecond.
    ///
    /// # Errors
    /// A stale one when the statement finds a newer shape: a scope of the older one may show what it hides.
    pub(super) async fn read_planned(
        &self,
        collection: &Collection,
        select: &str,
        sql: &Sql,
        inline: bool,
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        self.read_from(None, collection, (select, sql), inline, each).await
    }

    /// The same, on the replica while that is near. What fails there before there is a row, as for a table, a column or
    /// a version of the shape that it does not have yet, is asked of the database.
    pub(super) async fn read_near(
        &self,
        collection: &Collection,
        select: &str,
        sql: &Sql,
        inline: bool,
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        if let Some(near) = self.db.near() {
            let mut handed = false;
            let mut noted = |row: &RowRef<'_>| {
                handed = true;
                each(row)
            };
            match self.read_from(Some(&near), collection, (select, sql), inline, &mut noted).await {
                Err(error) if !handed => {
                    tracing::debug!(%error, cause = ?error.cause(), "the replica did not answer; asking the database");
                }
                done => return done,
            }
        }
        self.read_from(None, collection, (select, sql), inline, each).await
    }

    async fn read_from(
        &self,
        near: Option<&Near>,
        collection: &Collection,
        (select, sql): (&str, &Sql),
        inline: bool,
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        let version = version(collection, sql);
        let text = match sql.gated {
            true => format!("select {select}"),
            false => format!("select ({version}), {select}"),
        };
        if let Some(recorder) = &self.recorder {
            recorder.note(collection, &text, &sql.params);
        }
        let mut empty = true;
        let mut checked = |row: &RowRef<'_>| {
            if std::mem::take(&mut empty) && !sql.gated {
                check_shape(collection, row.i64(0)?)?;
            }
            each(row)
        };
        self.metrics.record_row_statement();
        let read = match near {
            Some(near) => near.read(&text, &sql.params, &mut checked).await,
            None if inline => self.db.read(&text, &sql.params, &mut checked).await,
            None => self.db.read_large(&text, &sql.params, &mut checked).await,
        };
        match read {
            // The index of words that it was to be led by has just gone.
            Err(error) if !sql.words.is_empty() && is_missing_table(&error) => {
                self.watch.forget(collection.id);
                return Err(Error::stale(error));
            }
            read => read?,
        }
        if empty {
            // That there is no such row is an answer, too. Versions only rise: what is none now was none then.
            self.metrics.record_row_statement();
            let rows = self.db.query(&version, &[]).await?;
            check_shape(collection, rows.first().map(|row| row.i64(0)).transpose()?)?;
        }
        Ok(())
    }

    async fn by_key(
        &self,
        query: &Scoped<Query>,
        nodes: &[Node],
        signer: &Signer,
        budget: &Budget,
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        if let Some(position) = query.get().as_of() {
            return Box::pin(self.by_key_as_of(query, nodes, position, (signer, budget), out)).await;
        }
        let mut sql = Sql::new(self.db.dialect(), query.get().collection());
        let mut sources = Vec::new();
        let plan = plan(query, nodes, &mut sources);
        let mut columns = select_list(&mut sql, &sources)?;
        if columns.is_empty() {
            columns.push("row_id".into());
        }
        let filter = sql.condition(&rows_filter(query), false)?;
        let collection = query.get().collection();
        let gate = gate(&mut sql, collection);
        let (columns, table) = (columns.join(", "), planned(collection));
        let select = format!("{columns} from {table} where {filter}{gate} limit 2");
        let from = out.len();
        let mut found = 0;
        let mut each = |row: &RowRef<'_>| {
            found += 1;
            if found == 1 { plan.write(&Cells { row, offset: 0 }, signer, budget, out) } else { Ok(()) }
        };
        self.read_near(collection, &select, &sql, true, &mut each).await?;
        match found {
            0 => out.extend_from_slice(b"null"),
            1 => {}
            _ => {
                out.truncate(from);
                return Err(several());
            }
        }
        Ok(found)
    }

    /// The position of a collection's last change.
    pub async fn position(&self, collection_id: i64) -> Result<i64> {
        let sql = "select pos from collection_pos where collection_id = $1";
        let rows = self.db.query(sql, &[collection_id.into()]).await?;
        rows.first().map_or(Ok(0), |row| row.i64(0))
    }

    /// One page of a snapshot: rows behind `after` in the order of their numbers that were last changed at
    /// `position` or before. Each selection of a row is handed to `each` with the row's key. Returns the last
    /// row's number, `Continue` when there may be more.
    pub async fn snapshot_page(
        &self,
        query: &Scoped<Query>,
        selections: &[&[Node]],
        page: SnapshotPage<'_>,
        each: &mut EachRow<'_>,
    ) -> Result<ControlFlow<(), i64>> {
        let mut sql = Sql::new(self.db.dialect(), query.get().collection());
        let mut sources = Vec::new();
        let plans: Vec<Plan> = selections.iter().map(|nodes| plan(query, nodes, &mut sources)).collect();
        let mut columns = vec!["row_id".to_owned(), "key".to_owned()];
        columns.extend(select_list(&mut sql, &sources)?);
        let filter = sql.condition(&rows_filter(query), false)?;
        let (after, position) = (sql.param(page.after.into()), sql.param(page.position.into()));
        let limit = i64::try_from(page.limit).map_err(Error::internal)?;
        let collection = query.get().collection();
        let select = format!(
            "{} from {} where {filter} and row_id > {after} and pos <= {position} \
             order by row_id limit {limit}",
            columns.join(", "),
            planned(collection)
        );
        let (mut last, mut count, mut bytes, mut full) = (page.after, 0, 0, false);
        let mut each = |row: &RowRef<'_>| {
            if bytes >= page.bytes_max {
                full = true;
                return Err(Error::internal("the page is full"));
            }
            count += 1;
            last = row.i64(OFFSET)?.unwrap_or(last);
            let budget = Budget::new(page.row_bytes_max);
            let mut written = Vec::with_capacity(plans.len());
            for plan in &plans {
                let mut out = Vec::with_capacity(256);
                plan.write(&Cells { row, offset: OFFSET + 2 }, page.signer, &budget, &mut out)?;
                bytes += out.len();
                written.push(out);
            }
            each(row.text(OFFSET + 1)?.unwrap_or_default(), &written)
        };
        match self.read_planned(collection, &select, &sql, false, &mut each).await {
            Err(_) if full => return Ok(ControlFlow::Continue(last)),
            read => read?,
        }
        Ok(if count < limit { ControlFlow::Break(()) } else { ControlFlow::Continue(last) })
    }
}

/// Takes a row's key and its selections in.
pub type EachRow<'a> = dyn FnMut(&str, &[Vec<u8>]) -> Result<()> + Send + 'a;

/// Which page of a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotPage<'a> {
    /// Behind the row with this number.
    pub after: i64,
    /// As of this position.
    pub position: i64,
    /// The most rows.
    pub limit: usize,
    /// The page ends with the row that reaches this many bytes.
    pub bytes_max: usize,
    /// The most bytes of one row.
    pub row_bytes_max: usize,
    /// Hashes masked values.
    pub signer: &'a Signer,
}
