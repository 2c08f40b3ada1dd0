//! Room for what will be published, on SQLite: columns of tables and whole tables that are there before a record needs
//! them. With thousands of tables a change of the schema takes as long as reading all of it, for the writer and for
//! each reader anew; so what is made is made for many at once, and beside the way of records. Must not judge what is
//! published: where room is missing, [`cover`] makes it at once.
//!
//! Whoever changes the tables of rows in a migration drops those that no collection has yet.

use std::collections::{BTreeSet, HashMap};

use tokio_util::sync::CancellationToken;

use super::table;
use crate::error::{Error, Result};
use crate::query::Collection;
use crate::store::Store;
use crate::store::db::{Dialect, Row, Tx};
use crate::store::wake::Topic;

/// How many fields have a column in a table that is made before its collection is known, not counting spare ones.
const FIELDS: u32 = 32;

/// The fewest tables that are kept ready.
const TABLES_MIN: i64 = 8;

/// A table with more columns gets spare ones no more: SQLite takes 2,000, and fields without a column of their own, as
/// those of objects in lists, leave their number's unused.
const COLUMNS_MAX: usize = 1_000;

/// What a table has beside the columns of its fields. Only what orders rows by itself has a type: a column without one
/// keeps each value as it is given, and what is given is of the field's type. Short, as it is read again and again.
fn text(table: &str, columns: &str) -> String {
    format!(
        "create table {table}(row_id integer primary key autoincrement,key not null unique,rev,pos unique,record_id,\
         source_name,source_uid,author,ingested_at,occurred_at,purposes,rescued,rest{columns}{KEYED})"
    )
}

/// Ends the text of a table. It is the index that leads from a source's own name of a row to the row.
const KEYED: &str = ",unique(source_uid,source_name)";

/// Makes sure that there is a table for the collection with all columns of its shape.
pub(super) async fn cover(tx: &mut Tx, collection: &Collection, spare: u32) -> Result<()> {
    let (table, there) = (table(collection), columns(tx, &table(collection)).await?);
    let needed = super::columns(&collection.shape, Dialect::Sqlite).into_iter().map(|column| column.name);
    let missing: Vec<String> = needed.filter(|name| !there.contains(name)).collect();
    if there.is_empty() {
        let columns = with_spare(missing, collection, &there, spare);
        return tx.execute(&text(&table, &list(&columns)), &[]).await.map(drop);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let columns = with_spare(missing, collection, &there, spare);
    tx.add_columns(&[(table, list(&columns))], KEYED)
}

/// These columns and those that the next fields will have, as far as they are not there.
fn with_spare(
    mut columns: Vec<String>,
    collection: &Collection,
    there: &BTreeSet<String>,
    spare: u32,
) -> Vec<String> {
    let last = collection.shape.last_field_id;
    let room = COLUMNS_MAX.saturating_sub(there.len() + columns.len());
    let next = (1..=spare).map(|n| format!("f{}", last.saturating_add(n)));
    columns.extend(next.filter(|name| !there.contains(name)).take(room));
    columns
}

/// Columns as they stand behind others in the text of a table.
fn list(columns: &[String]) -> String {
    columns.iter().map(|name| format!(",{name}")).collect()
}

/// The columns that a table has; none when there is no such table.
async fn columns(tx: &mut Tx, table: &str) -> Result<BTreeSet<String>> {
    let rows = tx.query(COLUMNS, &[table.into()]).await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// Makes room whenever something is published, until `stop`. Returns at once where it is not needed.
pub(in crate::store) async fn run(store: Store, stop: CancellationToken) {
    if store.db.dialect() != Dialect::Sqlite {
        return;
    }
    let (mut published, mut looked) = (store.wake.subscribe(Topic::Catalog), HashMap::new());
    loop {
        // What is not made now is made when a record needs it.
        if let Err(error) = store.make_room(&mut looked).await {
            tracing::warn!(%error, "no room could be made for what will be published");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            heard = published.changed() => if heard.is_err() { return },
        }
    }
}

impl Store {
    /// Makes tables and columns ready where half of them are used up. `looked` has the version of each collection that
    /// was looked at.
    pub(crate) async fn make_room(&self, looked: &mut HashMap<i64, u32>) -> Result<()> {
        let (catalog, limits) = (self.catalog.load(), self.catalog.limits());
        let mut short = Vec::new();
        for collection in catalog.all() {
            let version = collection.shape.version;
            if looked.insert(collection.id, version) == Some(version) {
                continue;
            }
            let rows = self.db.query(COLUMNS, &[table(collection).into()]).await?;
            let number = |row: &Row| row.text(0).ok()?.strip_prefix('f')?.parse::<u32>().ok();
            let highest = rows.iter().filter_map(number).max().unwrap_or(0);
            let left = highest.saturating_sub(collection.shape.last_field_id);
            if left < limits.spare_columns.div_ceil(2) && rows.len() < COLUMNS_MAX {
                short.push(collection);
            }
            // Each takes some microseconds on this thread.
            tokio::task::yield_now().await;
        }
        let tables = i64::try_from(catalog.all().len()).map_err(Error::internal)? / 8;
        let tables = tables.max(TABLES_MIN).min(limits.spare_tables_max);
        let half = named(last(&self.db.query(LAST, &[]).await?)? + (tables + 1) / 2);
        let enough = tables == 0 || !self.db.query(COLUMNS, &[half.into()]).await?.is_empty();
        if enough && short.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        if !enough {
            let columns: Vec<String> = (1..=FIELDS + limits.spare_columns).map(|n| format!("f{n}")).collect();
            let last = last(&tx.query(LAST, &[]).await?)?;
            for table in (last + 1..=last + tables).map(named) {
                if self::columns(&mut tx, &table).await?.is_empty() {
                    tx.execute(&text(&table, &list(&columns)), &[]).await?;
                    tokio::task::yield_now().await;
                }
            }
        }
        let mut wider = Vec::with_capacity(short.len());
        for collection in short {
            let there = columns(&mut tx, &table(collection)).await?;
            let columns = with_spare(Vec::new(), collection, &there, limits.spare_columns);
            if !columns.is_empty() && !there.is_empty() {
                wider.push((table(collection), list(&columns)));
            }
        }
        if !wider.is_empty() {
            tx.add_columns(&wider, KEYED)?;
        }
        tx.commit().await?;
        // One reader is ready again before somebody asks.
        self.db.read_large(LAST, &[], &mut |_| Ok(())).await
    }
}

/// The table of the collection that gets this number.
fn named(number: i64) -> String {
    format!("c_{number}_g1")
}

fn last(rows: &[Row]) -> Result<i64> {
    rows.first().map_or(Ok(0), |row| row.i64(0))
}

/// The last number that a collection got.
const LAST: &str = "select seq from sqlite_sequence where name = 'collection'";

const COLUMNS: &str = "select name from pragma_table_info($1)";
