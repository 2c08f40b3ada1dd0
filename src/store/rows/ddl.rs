//! The tables of collections' rows: made, and widened when a shape is published. Names come from numbers,
//! never from a user's text.

use std::collections::{BTreeSet, HashMap};

use crate::error::Result;
use crate::query::{Collection, ColumnRef};
use crate::shape::{Column, Field, Kind, Published, Scalar, SqlType};
use crate::store::db::{Dialect, Tx};
use crate::store::rows::{columns, room, table};

/// How long a change of a table waits for those who use it, in milliseconds.
const LOCK_TIMEOUT_MS: &str = "2000";

/// Up to here every integer is a float.
const FLOAT_EXACT_MAX: i64 = 1 << 53;

/// The types of PostgreSQL; columns of SQLite have none.
fn sql_type(ty: SqlType) -> &'static str {
    match ty {
        SqlType::Bool => "boolean",
        SqlType::Int => "bigint",
        SqlType::Float => "double precision",
        SqlType::Text => "text collate \"C\"",
    }
}

/// Makes the table of a collection's current generation; on SQLite with so many spare columns.
pub(super) async fn create(tx: &mut Tx, collection: &Collection, spare: u32) -> Result<()> {
    match tx.dialect() {
        Dialect::Sqlite => room::cover(tx, collection, spare).await?,
        Dialect::Postgres => create_typed(tx, collection).await?,
    }
    for relation in collection.shape.relations() {
        if let Some(end) = collection.end(relation.field, &mut BTreeSet::new()) {
            index(tx, collection, &end.column).await?;
        }
    }
    Ok(())
}

/// PostgreSQL finds a column by walking over those before it, so that what conditions, groups and figures take stands
/// first and what may be long, or is seldom asked for, last: to group 100,000 rows of 38 columns took a third longer in
/// the order of the document. Columns that come later stand behind all.
async fn create_typed(tx: &mut Tx, collection: &Collection) -> Result<()> {
    let (int, text) = (sql_type(SqlType::Int), sql_type(SqlType::Text));
    let table = table(collection);
    let mut all = vec![
        "row_id bigint generated always as identity primary key".to_owned(),
        format!("rev {int} not null, pos {int} not null, record_id uuid not null"),
    ];
    let mut columns = columns(&collection.shape, Dialect::Postgres);
    let place = |column: &Column| {
        let field = collection.shape.field(column.field_id);
        let is_scalar = |field: &Field| matches!(field.kind, Kind::Scalar(scalar) if scalar != Scalar::Json);
        match column.sql {
            SqlType::Int | SqlType::Float => (0, 0),
            SqlType::Bool => (1, 0),
            SqlType::Text => match field.filter(|field| is_scalar(field)) {
                Some(field) => (2, field.path.matches('/').count()),
                None => (3, 0),
            },
        }
    };
    columns.sort_by_cached_key(place);
    all.extend(columns.iter().map(|column| format!("{} {}", column.name, sql_type(column.sql))));
    all.push(format!(
        "key {text} not null unique, source_name {text} not null, source_uid {text} not null, author {text} not null, \
         ingested_at {text} not null, occurred_at {text}, purposes {text}, rescued {text}, rest {text}"
    ));
    tx.execute(&format!("create table {table} ({})", all.join(", ")), &[]).await?;
    // Rows that came behind a position are looked for now and then; they stand about together, so that ranges of pages
    // will do, which take nothing.
    tx.execute(&format!("create index {table}_pos on {table} using brin (pos)"), &[]).await?;
    tx.execute(&format!("create index {table}_uid on {table} (source_uid)"), &[]).await.map(drop)
}

/// Has an index lead to rows by a column, unless one does. A text can be longer than what PostgreSQL's ordered indexes
/// take, and then the row could not be written: there it is one of hashes.
pub(super) async fn index(tx: &mut Tx, collection: &Collection, column: &ColumnRef) -> Result<()> {
    let ColumnRef::Field(id) = column else { return Ok(()) };
    let column = columns(&collection.shape, tx.dialect()).into_iter().find(|column| column.field_id == *id);
    let Some(column) = column else { return Ok(()) };
    let (table, name, dialect) = (table(collection), &column.name, tx.dialect());
    let method = if dialect == Dialect::Postgres && column.sql == SqlType::Text { "using hash " } else { "" };
    if dialect == Dialect::Postgres {
        tx.query("select set_config('lock_timeout', $1, true)", &[LOCK_TIMEOUT_MS.into()]).await?;
        // It takes as long as there are rows; whoever ended it would only have it begun again.
        tx.execute("set local statement_timeout = 0", &[]).await?;
    }
    let sql = format!("create index if not exists {table}_{name} on {table} {method}({name})");
    tx.execute(&sql, &[]).await?;
    if dialect == Dialect::Postgres {
        tx.execute("set local lock_timeout to default", &[]).await?;
        tx.execute("set local statement_timeout to default", &[]).await?;
    }
    Ok(())
}

/// Drops an index, if it is there; who reads or writes its table is waited for.
pub(super) async fn drop_index(tx: &mut Tx, name: &str) -> Result<()> {
    if tx.dialect() == Dialect::Postgres {
        tx.query("select set_config('lock_timeout', $1, true)", &[LOCK_TIMEOUT_MS.into()]).await?;
    }
    let of_words = tx.dialect() == Dialect::Sqlite
        && !tx
            .query("select 1 from sqlite_schema where type = 'table' and name = $1", &[name.into()])
            .await?
            .is_empty();
    if of_words {
        for end in ["i", "u", "d"] {
            tx.execute(&format!("drop trigger if exists {name}_{end}"), &[]).await?;
        }
        tx.execute(&format!("drop table {name}"), &[]).await?;
    } else {
        tx.execute(&format!("drop index if exists {name}"), &[]).await?;
    }
    if tx.dialect() == Dialect::Postgres {
        tx.execute("set local lock_timeout to default", &[]).await?;
    }
    Ok(())
}

/// Brings the table from one published shape to the next: columns are only added, so many spare ones with them on
/// SQLite, or widened. `partitions` are those whose worker does it; a decision is nobody's.
pub(super) async fn widen(
    tx: &mut Tx,
    collection: &Collection,
    (from, spare): (&Published, u32),
    partitions: &BTreeSet<u32>,
) -> Result<()> {
    let dialect = tx.dialect();
    let old: HashMap<String, Column> =
        columns(from, dialect).into_iter().map(|column| (column.name.clone(), column)).collect();
    let (mut changes, mut floats, mut rewrites) = (Vec::new(), Vec::new(), false);
    let columns = columns(&collection.shape, dialect);
    for column in &columns {
        let ty = sql_type(column.sql);
        match old.get(&column.name) {
            None => changes.push(format!("add column {} {ty}", column.name)),
            // SQLite's columns take every number as it is.
            Some(old)
                if old.sql == SqlType::Int && column.sql == SqlType::Float && dialect == Dialect::Sqlite =>
            {
                floats.push(&column.name);
            }
            Some(old) if old.sql != column.sql && dialect == Dialect::Postgres => {
                rewrites = true;
                changes.push(format!("alter column {0} type {ty} using {0}::{ty}", column.name));
            }
            Some(_) => {}
        }
    }
    let table = table(collection);
    match dialect {
        Dialect::Sqlite => {
            if !changes.is_empty() {
                room::cover(tx, collection, spare).await?;
            }
            // SQLite compares an integer with a float exactly; what a float cannot hold must not stay.
            for name in floats {
                let beyond = format!("{name} > {FLOAT_EXACT_MAX} or {name} < -{FLOAT_EXACT_MAX}");
                tx.execute(&format!("update {table} set {name} = cast({name} as real) where {beyond}"), &[])
                    .await?;
            }
        }
        Dialect::Postgres if !changes.is_empty() && !rewrites => {
            let wait = format!("set local lock_timeout = {LOCK_TIMEOUT_MS}");
            let change = format!("alter table {table} {}", changes.join(", "));
            tx.execute_all(&[&wait, &change, "set local lock_timeout to default"]).await?;
        }
        Dialect::Postgres if !changes.is_empty() => {
            tx.query("select set_config('lock_timeout', $1, true)", &[LOCK_TIMEOUT_MS.into()]).await?;
            // Every row is written anew, which takes as long as there are many; whoever ended it would only have it
            // begun again. So nothing limits it, and no other node can take the partitions meanwhile.
            for partition in partitions {
                let hold = "update partition set worker_until = worker_until where p = $1";
                tx.execute(hold, &[(*partition).into()]).await?;
            }
            tx.execute("set local statement_timeout = 0", &[]).await?;
            tx.execute(&format!("alter table {table} {}", changes.join(", ")), &[]).await?;
            tx.execute("set local lock_timeout to default", &[]).await?;
            tx.execute("set local statement_timeout to default", &[]).await?;
        }
        Dialect::Postgres => {}
    }
    Ok(())
}
