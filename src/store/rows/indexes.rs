//! Advised indexes as the database has them: what they are made of, how they are made beside all other work, and how
//! they go. One node at a time makes them. Must not judge which are worth it.

use super::area::latitude;
use super::sql::column;
use super::table;
use crate::error::{Code, Error, Result};
use crate::query::{Collection, ColumnRef, ENVELOPE};
use crate::shape::{Kind, Scalar};
use crate::store::Store;
use crate::store::advice::{Advice, State, Way};
use crate::store::db::{Dialect, Refusal, Session, refusal};

/// Held by the node that makes indexes, until its connection ends.
const LEAD: &str = "select pg_try_advisory_lock(7305804402566817908)";

/// What PostgreSQL has of them. One that was not made to its end is none that reads use, but costs every write.
const THERE: &str = "select c.relname, i.indisvalid, pg_relation_size(c.oid), coalesce(s.idx_scan, 0) \
     from pg_index i join pg_class c on c.oid = i.indexrelid \
     left join pg_stat_all_indexes s on s.indexrelid = c.oid \
     where c.relname ~ '^c_[0-9]+_g[0-9]+_a[0-9]+$' and pg_table_is_visible(c.oid)";
/// Of SQLite's, those of words are virtual tables, which have no page of their own.
const THERE_SQLITE: &str = "select name from sqlite_schema where name glob 'c_*_g*_a[0-9]*' \
     and (type = 'index' or type = 'table' and coalesce(rootpage, 0) = 0)";

/// What an entry of an index takes beside its columns, and what a column takes, in bytes, roughly.
const ENTRY_BYTES: i64 = 16;
const COLUMN_BYTES: i64 = 16;
/// What one of words takes for a text.
const WORDS_BYTES: i64 = 400;

/// An advised index as the database has it.
#[derive(Clone, Debug)]
pub struct There {
    /// Its name.
    pub name: String,
    /// Whether it was made to its end.
    pub whole: bool,
    /// How large it is, in bytes, and how often it was used; none where the database does not say.
    pub figures: Option<(i64, i64)>,
}

/// How making an index ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is there.
    Yes,
    /// It cannot be made.
    Refused,
    /// Nobody has the fields any more.
    Gone,
}

/// Makes indexes and drops them; there is one at a time.
pub struct Maker {
    store: Store,
    /// PostgreSQL's: it makes indexes outside of transactions.
    session: Option<Session>,
}

/// The name of an advised index.
pub fn index_name(advice: &Advice, collection: &Collection) -> String {
    named(collection, advice.id)
}

/// The same by the number of the advice.
pub(super) fn named(collection: &Collection, number: i64) -> String {
    format!("{}_a{number}", table(collection))
}

/// How large an index may become for so many rows, in bytes, roughly.
pub fn index_bytes(way: &Way, rows: i64) -> i64 {
    if way.words.is_some() {
        return rows.saturating_mul(WORDS_BYTES);
    }
    let columns = i64::try_from(way.fields().len()).unwrap_or(i64::MAX);
    rows.saturating_mul(columns.saturating_mul(COLUMN_BYTES).saturating_add(ENTRY_BYTES))
}

/// A column and whether it holds texts of any length; none when the field has none any more.
fn column_of(dialect: Dialect, collection: &Collection, id: u32) -> Option<(String, bool)> {
    if let Some(member) = ENVELOPE.iter().find(|member| member.id == id) {
        return Some((column(dialect, &member.column), member.scalar == Scalar::String));
    }
    let id = collection.shape.current(id);
    match &collection.shape.field(id)?.kind {
        Kind::Scalar(scalar) if *scalar != Scalar::Json => {
            Some((column(dialect, &ColumnRef::Field(id)), *scalar == Scalar::String))
        }
        // Only positions are looked for by bounds, and then by their latitude.
        Kind::List(item) if matches!(**item, Kind::Scalar(Scalar::Int | Scalar::BigInt | Scalar::Float)) => {
            let list = column(dialect, &ColumnRef::Field(id));
            Some((format!("({})", latitude(dialect, &list)), false))
        }
        _ => None,
    }
}

/// The column whose words an index has, and what that is made of.
pub(super) fn words_body(dialect: Dialect, collection: &Collection, id: u32) -> Option<(String, String)> {
    let (column, _) = column_of(dialect, collection, id).filter(|(_, text)| *text)?;
    let body = match dialect {
        Dialect::Postgres => format!("on {} using gin (wellspring_tsvector({column}))", table(collection)),
        Dialect::Sqlite => format!("on {} using fts5 (wellspring_words({column}))", table(collection)),
    };
    Some((column, body))
}

/// Makes an index of words on SQLite: a table of FTS5 that has the words of each row's text and no more, and what keeps
/// it so. To its tokenizer a word is what stands between blanks, as all other signs are gone.
fn words_index(name: &str, table: &str, column: &str) -> String {
    let put = |row: &str| {
        format!("insert into {name}(rowid, words) select {row}row_id, wellspring_words({row}{column})")
    };
    let (there, new, take) = (put(""), put("new."), format!("delete from {name} where rowid = old.row_id"));
    format!(
        "create virtual table {name} using \
         fts5(words, content='', contentless_delete=1, detail=none, tokenize='ascii'); \
         {there} from {table} where {column} is not null; \
         create trigger {name}_i after insert on {table} when new.{column} is not null begin {new}; end; \
         create trigger {name}_u after update of {column} on {table} when old.{column} is not new.{column} \
         begin {take}; {new} where new.{column} is not null; end; \
         create trigger {name}_d after delete on {table} when old.{column} is not null begin {take}; end"
    )
}

/// What an index is made of, as it stands behind its name. Texts of any length that are only compared are hashed on
/// PostgreSQL, whose ordered indexes refuse long ones.
fn index_body(dialect: Dialect, collection: &Collection, way: &Way) -> Option<String> {
    if let Some(id) = way.words {
        return words_body(dialect, collection, id).map(|(_, body)| body);
    }
    let (mut parts, mut free) = (Vec::new(), false);
    for id in way.equal.iter().chain(&way.range) {
        let (name, text) = column_of(dialect, collection, *id)?;
        free = text;
        parts.push(name);
    }
    for one in &way.order {
        let (name, _) = column_of(dialect, collection, one.field)?;
        let direction = if one.descending { " desc" } else { "" };
        let nulls = match (dialect, one.nulls_first) {
            (Dialect::Sqlite, _) => "",
            (Dialect::Postgres, true) => " nulls first",
            (Dialect::Postgres, false) => " nulls last",
        };
        parts.push(format!("{name}{direction}{nulls}"));
    }
    let compared = way.range.is_none() && way.order.is_empty();
    let mut method = "";
    match dialect {
        // The row's number stands at the end of each by itself.
        Dialect::Sqlite => {}
        Dialect::Postgres if compared && free && parts.len() == 1 => method = "using hash ",
        // Pages go by it where the order leaves rows equal.
        Dialect::Postgres if way.range.is_none() => parts.push("row_id".to_owned()),
        Dialect::Postgres => {}
    }
    Some(format!("on {} {method}({})", table(collection), parts.join(", ")))
}

impl Store {
    /// What makes indexes, unless another node is at it. On PostgreSQL it waits so long for locks, in milliseconds.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away.
    pub async fn index_maker(&self, lock_timeout_ms: u64) -> Result<Option<Maker>> {
        let Some(mut session) = self.db.session().await? else {
            return Ok(Some(Maker { store: self.clone(), session: None }));
        };
        let leads = session.query(LEAD).await?;
        if !leads.first().map_or(Ok(false), |row| row.bool(0))? {
            return Ok(None);
        }
        // It takes as long as there are rows; whoever ended it would only have it begun again.
        session.run(&format!("set statement_timeout = 0; set lock_timeout = {lock_timeout_ms}")).await?;
        Ok(Some(Maker { store: self.clone(), session: Some(session) }))
    }

    /// What the advice's index is made of now, as the statement has it; none when a field has no column any more.
    pub fn index_made_of(&self, advice: &Advice, collection: &Collection) -> Option<String> {
        index_body(self.db.dialect(), collection, &advice.way)
    }

    /// About how many rows a collection has.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away.
    pub async fn rows_about(&self, collection: &Collection) -> Result<i64> {
        let table = table(collection);
        if self.db.dialect() == Dialect::Postgres {
            let sql = "select reltuples::bigint from pg_class where oid = to_regclass($1)";
            let rows = self.db.query(sql, &[table.as_str().into()]).await?;
            let counted = rows.first().map_or(Ok(0), |row| row.i64(0))?;
            if counted > 0 {
                return Ok(counted);
            }
        }
        let rows = self.db.query(&format!("select coalesce(max(row_id), 0) from {table}"), &[]).await?;
        rows.first().map_or(Ok(0), |row| row.i64(0))
    }

    /// Drops an index that is there, or withdraws one that is not, in the transaction that says so.
    ///
    /// # Errors
    /// `UNAVAILABLE` when reads or writes stand in the way for too long.
    pub async fn drop_index(
        &self,
        (advice, collection): (&Advice, &Collection),
        (state, reason, subject): (State, &str, Option<&str>),
    ) -> Result<()> {
        // What is asked from now on does not name it.
        self.watch.forget(collection.id);
        let mut tx = self.db.begin().await?;
        super::ddl::drop_index(&mut tx, &index_name(advice, collection)).await?;
        self.tell_gone(tx, (advice, collection), (state, reason, subject)).await
    }

    /// The error of a transaction that writes rows of these categories and subcategories. Where it is that an advised
    /// index does not take one, the index is to go, and waiting heals it. Which index it is may not be told; then it is
    /// looked for only once a row is alone, as it will be.
    pub(super) fn refused<'a>(
        &self,
        error: Error,
        mut kinds: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    ) -> Error {
        let suspects: Vec<i64> = match refusal(&error) {
            Some(Refusal::By(name)) => {
                let number = name.rsplit_once("_a").and_then(|(_, number)| number.parse::<i64>().ok());
                number.into_iter().collect()
            }
            Some(Refusal::BySome) if kinds.len() == 1 => {
                let catalog = self.catalog.load();
                let of = |(category, subcategory): (&str, &str)| catalog.fed_by(category, subcategory);
                kinds.next().and_then(of).map_or_else(Vec::new, |one| self.watch.ordered(one.id))
            }
            _ => return error,
        };
        if suspects.is_empty() {
            return error;
        }
        suspects.into_iter().for_each(|id| self.watch.refuses(id));
        Error::unavailable("an index does not take a row; it is dropped, and the row is tried again", error)
    }
}

impl Maker {
    /// The advised indexes that there are.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away.
    pub async fn there(&mut self) -> Result<Vec<There>> {
        match &mut self.session {
            Some(session) => {
                let there = session.query(THERE).await?;
                let one = |row: &crate::store::db::Row| {
                    let (name, whole) = (row.text(0)?.to_owned(), row.bool(1)?);
                    Ok(There { name, whole, figures: Some((row.i64(2)?, row.i64(3)?)) })
                };
                there.iter().map(one).collect()
            }
            None => {
                let there = self.store.db.query(THERE_SQLITE, &[]).await?;
                let name = |row: &crate::store::db::Row| row.text(0).map(str::to_owned);
                let one = |name: String| There { name, whole: true, figures: None };
                there.iter().map(|row| name(row).map(one)).collect()
            }
        }
    }

    /// Makes an index beside all other work and says that it is there. On SQLite who writes waits for it.
    ///
    /// # Errors
    /// `UNAVAILABLE` when something stands in the way for too long: nothing that costs remains once
    /// `sweep` was called.
    pub async fn make(&mut self, advice: &Advice, collection: &Collection) -> Result<Made> {
        let store = self.store.clone();
        let Some(body) = store.index_made_of(advice, collection) else { return Ok(Made::Gone) };
        let name = index_name(advice, collection);
        let mut tx = match &mut self.session {
            Some(session) => {
                let made =
                    session.run(&format!("create index concurrently if not exists {name} {body}")).await;
                store.crash_point("after-index");
                match made {
                    // Without an analysis its columns would be thought to have a few hundred values each.
                    Ok(()) => session.run(&format!("analyze {}", table(collection))).await?,
                    Err(error) if heals(&error) => return Err(error),
                    Err(error) => {
                        tracing::warn!(%error, cause = ?error.cause(), index = name, "an index cannot be made");
                        return Ok(Made::Refused);
                    }
                }
                store.db.begin().await?
            }
            None => store.db.begin().await?,
        };
        let size = match &mut self.session {
            Some(session) => {
                let sizes = session.query(&format!("select pg_relation_size('{name}'::regclass)")).await?;
                sizes.first().map_or(Ok(0), |row| row.i64(0))?
            }
            None => {
                let words = advice.way.words.and_then(|id| words_body(Dialect::Sqlite, collection, id));
                let sql = match words {
                    Some((column, _)) => words_index(&name, &table(collection), &column),
                    None => format!("create index if not exists {name} {body}"),
                };
                tx.execute_long(&sql).await?;
                index_bytes(&advice.way, store.rows_about(collection).await?)
            }
        };
        store.tell_created(tx, (advice, collection), (&body, size)).await?;
        Ok(Made::Yes)
    }

    /// Drops an index that nobody answers for: one that was not made to its end, or whose advice is another by now.
    ///
    /// # Errors
    /// `UNAVAILABLE` when something stands in the way for too long.
    pub async fn sweep(&mut self, name: &str) -> Result<()> {
        match &mut self.session {
            Some(session) => session.run(&format!("drop index concurrently if exists {name}")).await,
            None => {
                let mut tx = self.store.db.begin().await?;
                super::ddl::drop_index(&mut tx, name).await?;
                tx.commit().await
            }
        }
    }

    /// Lets another node make them.
    pub async fn end(self) {
        if let Some(session) = self.session {
            session.close().await;
        }
    }
}

fn heals(error: &Error) -> bool {
    matches!(error.code(), Code::Unavailable | Code::Timeout)
}
