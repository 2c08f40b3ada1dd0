//! One collection's part of a batch of effects: what is there is read, what changes is worked out, then
//! written in a few statements.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::query::{Collection, write};
use crate::record::Record;
use crate::shape::{Cell, Column, SqlType, conform};
use crate::store::db::{Dialect, Tx, Type, Value};
use crate::store::rows::image::{Images, Origin, selected};
use crate::store::rows::publish::Batch;
use crate::store::rows::{Conformed, RowEffect, columns, marks, planned, table};

/// The most keys in one statement.
const KEYS_MAX: usize = 512;

/// Columns that every table of rows has, in the order of [`meta_values`].
const META: [(&str, Type); 12] = [
    ("key", Type::Text),
    ("rev", Type::Int),
    ("pos", Type::Int),
    ("record_id", Type::Uuid),
    ("source_name", Type::Text),
    ("source_uid", Type::Text),
    ("author", Type::Text),
    ("ingested_at", Type::Text),
    ("occurred_at", Type::Text),
    ("purposes", Type::Text),
    ("rescued", Type::Text),
    ("rest", Type::Text),
];

/// What is written of a change. What it left is not: it is the image before the next change of its row, or the row.
const CHANGE: [(&str, Type); 10] = [
    ("collection_id", Type::Int),
    ("pos", Type::Int),
    ("generation", Type::Int),
    ("key", Type::Text),
    ("rev", Type::Int),
    ("record_id", Type::Uuid),
    ("op", Type::Text),
    ("before", Type::Text),
    ("at", Type::Int),
    ("prev", Type::Int),
];

/// A change without its position yet.
pub(super) struct Planned {
    key: String,
    revision: i64,
    record_id: Uuid,
    before: Option<String>,
    /// There is no row any more.
    gone: bool,
    previous: Option<Previous>,
}

/// The change that a row came from.
#[derive(Clone, Copy)]
enum Previous {
    /// At this position.
    At(i64),
    /// This one of the batch.
    Here(usize),
}

/// The state that a key ends in.
struct Last {
    /// Index of the change that left it so.
    change: usize,
    /// `None`: no row.
    row: Option<(Origin, Vec<Cell>)>,
    /// There was no row before the batch.
    fresh: bool,
}

/// What is to be written for one collection.
pub(super) struct Work {
    pub(super) collection: Arc<Collection>,
    columns: Vec<Column>,
    pub(super) changes: Vec<Planned>,
    last: BTreeMap<String, Last>,
    /// The position before the first change.
    position: i64,
}

/// The row of a key while the batch goes through it.
struct Current {
    revision: i64,
    /// `None`: the batch itself has written it.
    image: Option<String>,
    last: Previous,
}

/// Works out what the batch changes.
pub(super) async fn prepare(tx: &mut Tx, batch: &Batch<'_>, done: &mut Vec<Conformed>) -> Result<Work> {
    let collection = batch.collection.clone();
    let columns = columns(&collection.shape, tx.dialect());
    let images = Images::new(&collection.shape, &columns);
    let mut current = read(tx, batch, &columns, &images).await?;
    let there: HashSet<String> = current.keys().cloned().collect();
    let mut changes = Vec::with_capacity(batch.effects.len());
    let mut last = BTreeMap::new();
    for effect in &batch.effects {
        let record = &effect.record;
        let key = record.key.as_str();
        let (before, previous) = match current.get(key) {
            Some(row) if row.revision >= record.revision => continue,
            Some(row) => {
                let written = || last.get(key).and_then(|last: &Last| last.row.as_ref());
                let image = || written().map(|(origin, cells)| images.image(origin, cells));
                (row.image.clone().or_else(image), Some(row.last))
            }
            None => (None, None),
        };
        let row = match &effect.document {
            Some(document) => {
                let conformed = conform(&collection.shape, document);
                let misfits = (!conformed.rescued.is_empty())
                    .then(|| serde_json::to_string(&conformed.rescued).map_err(Error::internal))
                    .transpose()?;
                done.push(Conformed {
                    record_id: record.draft.id,
                    shape_version: i64::from(collection.shape.version),
                    rescued: misfits.clone(),
                });
                let origin = origin(record, misfits, conformed.rest)?;
                Some((origin, conformed.cells))
            }
            None if before.is_none() => continue,
            None => None,
        };
        let gone = row.is_none();
        if gone {
            current.remove(key);
        } else {
            let last = Previous::Here(changes.len());
            let row = Current { revision: record.revision, image: None, last };
            current.insert(key.to_owned(), row);
        }
        last.insert(key.to_owned(), Last { change: changes.len(), row, fresh: !there.contains(key) });
        changes.push(Planned {
            key: key.to_owned(),
            revision: record.revision,
            record_id: record.draft.id,
            before,
            gone,
            previous,
        });
    }
    Ok(Work { collection, columns, changes, last, position: 0 })
}

/// Brings rows that still come from these records into the form that the shape gives them now, and tells what has
/// changed as changes behind `position`, which is locked. Returns whether there are any.
pub(super) async fn again(
    tx: &mut Tx,
    collection: &Collection,
    effects: Vec<&RowEffect>,
    position: i64,
    (now, kept_max): (i64, i64),
) -> Result<bool> {
    let columns = columns(&collection.shape, tx.dialect());
    let images = Images::new(&collection.shape, &columns);
    let batch = Batch { collection: Arc::new(collection.clone()), effects };
    let current = read(tx, &batch, &columns, &images).await?;
    let mut changes = Vec::new();
    for effect in &batch.effects {
        let (record, key) = (&effect.record, effect.record.key.as_str());
        let row = current.get(key).filter(|row| row.revision == record.revision);
        let (Some(row), Some(document)) = (row, &effect.document) else { continue };
        let conformed = conform(&collection.shape, document);
        let misfits = (!conformed.rescued.is_empty())
            .then(|| serde_json::to_string(&conformed.rescued).map_err(Error::internal))
            .transpose()?;
        let origin = origin(record, misfits, conformed.rest)?;
        let image = Some(images.image(&origin, &conformed.cells));
        let seen = image != row.image;
        let mut params =
            vec![Value::from(key), Value::opt_text(origin.rescued), Value::opt_text(origin.rest)];
        let mut sets = vec!["rescued = $2".to_owned(), "rest = $3".to_owned()];
        for (cell, column) in conformed.cells.into_iter().zip(&columns) {
            params.push(value(cell, column.sql));
            sets.push(format!("{} = ${}", column.name, params.len()));
        }
        if seen {
            params.push((position + 1 + i64::try_from(changes.len()).map_err(Error::internal)?).into());
            sets.push(format!("pos = ${}", params.len()));
            changes.push(Planned {
                key: key.to_owned(),
                revision: record.revision,
                record_id: record.draft.id,
                before: row.image.clone(),
                gone: false,
                previous: Some(row.last),
            });
        }
        let sql = format!("update {} set {} where key = $1", planned(collection), sets.join(", "));
        tx.execute(&sql, &params).await?;
    }
    if changes.is_empty() {
        return Ok(false);
    }
    let collection = batch.collection;
    let work = Work { collection, columns: Vec::new(), changes, last: BTreeMap::new(), position: 0 };
    let mut works = vec![work];
    take_positions(tx, &mut works).await?;
    write_changes(tx, works, now, kept_max).await?;
    Ok(true)
}

fn origin(record: &Record, rescued: Option<String>, rest: Option<String>) -> Result<Origin> {
    let draft = &record.draft;
    let ingested_at = write::instant(draft.ingested_at)
        .ok_or_else(|| Error::internal("a record's time of arrival is out of range"))?;
    let purposes = &draft.envelope.purposes;
    let purposes = (!purposes.is_empty()).then(|| serde_json::to_string(purposes)).transpose();
    Ok(Origin {
        key: record.key.as_str().to_owned(),
        revision: record.revision,
        record_id: draft.id,
        source_name: draft.source.source_name.clone(),
        source_uid: draft.source_uid.clone(),
        author: draft.author.clone(),
        ingested_at,
        occurred_at: draft.occurred_at.and_then(write::instant),
        purposes: purposes.map_err(Error::internal)?,
        rescued,
        rest,
    })
}

/// The rows that are there now, by key.
async fn read(
    tx: &mut Tx,
    batch: &Batch<'_>,
    columns: &[Column],
    images: &Images<'_>,
) -> Result<HashMap<String, Current>> {
    let mut keys: Vec<&str> = batch.effects.iter().map(|effect| effect.record.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    let select = format!("select pos, {}", selected(columns, ""));
    let table = planned(&batch.collection);
    let mut found = HashMap::new();
    for chunk in keys.chunks(KEYS_MAX) {
        let params = padded(chunk);
        let sql = format!("{select} from {table} where key in ({})", marks(1, params.len()));
        for row in tx.query(&sql, &params).await? {
            let (origin, image) = images.read(&row, 1)?;
            let image = Some(image);
            let current = Current { revision: origin.revision, image, last: Previous::At(row.i64(0)?) };
            found.insert(origin.key, current);
        }
    }
    Ok(found)
}

/// Keys as parameters, the last one repeated up to a power of two: few statement texts, so that plans are
/// reused.
fn padded(keys: &[&str]) -> Vec<Value> {
    let mut params: Vec<Value> = keys.iter().map(|key| Value::from(*key)).collect();
    if let Some(last) = params.last().cloned() {
        params.resize(params.len().next_power_of_two(), last);
    }
    params
}

fn value(cell: Cell, sql: SqlType) -> Value {
    match (cell, sql) {
        (Cell::Bool(value), _) => Value::Bool(value),
        #[expect(clippy::cast_precision_loss, reason = "the column holds floats")]
        (Cell::Int(value), SqlType::Float) => Value::Float(value as f64),
        (Cell::Int(value), _) => Value::Int(value),
        (Cell::Float(value), _) => Value::Float(value),
        (Cell::Text(text), _) => Value::Text(text),
        (Cell::Null, sql) => Value::Null(ty(sql)),
    }
}

fn ty(sql: SqlType) -> Type {
    match sql {
        SqlType::Bool => Type::Bool,
        SqlType::Int => Type::Int,
        SqlType::Float => Type::Float,
        SqlType::Text => Type::Text,
    }
}

/// Takes as many positions of each collection as it has changes, in the order of the collections. Others who write to
/// one of them wait from here on.
pub(super) async fn take_positions(tx: &mut Tx, works: &mut [Work]) -> Result<()> {
    works.sort_by_key(|work| work.collection.id);
    let mut rows = Vec::with_capacity(works.len());
    for work in works.iter() {
        rows.push(vec![work.collection.id.into(), work.count()?.into()]);
    }
    let sql = match tx.dialect() {
        // The positions' rows are locked in order first: an update takes them as they come.
        Dialect::Postgres => {
            ", l as (select a.collection_id as id from u join collection_pos a on a.collection_id = u.id \
             order by a.collection_id for update of a) \
             update collection_pos set pos = pos + u.n from u join l on l.id = u.id \
             where collection_id = u.id returning collection_id, pos"
        }
        Dialect::Sqlite => {
            "update collection_pos set pos = pos + u.n from u where collection_id = u.id \
             returning collection_id, pos"
        }
    };
    let taken = tx.query_many(&[("id", Type::Int), ("n", Type::Int)], rows, sql).await?;
    let taken = taken.iter().map(|row| Ok((row.i64(0)?, row.i64(1)?)));
    let taken: HashMap<i64, i64> = taken.collect::<Result<_>>()?;
    for work in works {
        let last = taken.get(&work.collection.id);
        let last = last.ok_or_else(|| Error::internal("a collection has no position"))?;
        work.position = last - work.count()?;
    }
    Ok(())
}

/// Writes the changes of all these collections.
pub(super) async fn write_changes(tx: &mut Tx, works: Vec<Work>, now: i64, kept_max: i64) -> Result<()> {
    let (mut rows, mut old) = (Vec::new(), Vec::new());
    for mut work in works {
        let (id, generation, first) = (work.collection.id, work.collection.generation, work.position);
        let changes = std::mem::take(&mut work.changes);
        let head = work.position(changes.len()) - 1;
        // Now and then what is too old goes, so that the log is bounded wherever it is written.
        if first / TRIM_EVERY != head / TRIM_EVERY && head > kept_max {
            old.push([id.into(), (head - kept_max).into()]);
        }
        rows.extend(changes.into_iter().enumerate().map(|(index, change)| {
            let op = if change.gone { "delete" } else { "upsert" };
            vec![
                id.into(),
                work.position(index).into(),
                generation.into(),
                change.key.into(),
                change.revision.into(),
                change.record_id.into(),
                op.into(),
                Value::opt_text(change.before),
                now.into(),
                Value::opt_int(change.previous.map(|previous| match previous {
                    Previous::At(position) => position,
                    Previous::Here(change) => work.position(change),
                })),
            ]
        }));
    }
    tx.append_many("change", &CHANGE, rows).await?;
    for params in old {
        tx.execute("delete from change where collection_id = $1 and pos <= $2", &params).await?;
    }
    Ok(())
}

impl Work {
    fn count(&self) -> Result<i64> {
        i64::try_from(self.changes.len()).map_err(Error::internal)
    }

    fn position(&self, change: usize) -> i64 {
        self.position + 1 + i64::try_from(change).unwrap_or(i64::MAX)
    }

    /// Writes the rows that keys end in, and takes away those that are gone.
    pub(super) async fn write_rows(&mut self, tx: &mut Tx) -> Result<()> {
        let table = table(&self.collection);
        let (mut fresh, mut rows, mut gone) = (Vec::with_capacity(self.last.len()), Vec::new(), Vec::new());
        for (key, last) in std::mem::take(&mut self.last) {
            match last.row {
                Some((origin, cells)) => {
                    let mut row = meta_values(origin, self.position(last.change));
                    row.extend(
                        cells.into_iter().zip(&self.columns).map(|(cell, column)| value(cell, column.sql)),
                    );
                    let rows = if last.fresh { &mut fresh } else { &mut rows };
                    rows.push(row);
                }
                None => gone.push(key),
            }
        }
        let mut columns: Vec<(&str, Type)> = META.to_vec();
        columns.extend(self.columns.iter().map(|column| (column.name.as_str(), ty(column.sql))));
        let sets: Vec<String> =
            columns.iter().skip(1).map(|(name, _)| format!("{name} = excluded.{name}")).collect();
        let suffix =
            format!("on conflict (key) do update set {} where excluded.rev > {table}.rev", sets.join(", "));
        // PostgreSQL logs twice what may meet a row. Where another has written one meanwhile, all of it is refused.
        tx.append_many(&table, &columns, fresh).await?;
        tx.insert_many(&table, &columns, rows, &suffix).await?;
        let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
        for chunk in gone.chunks(KEYS_MAX) {
            let params = padded(chunk);
            let sql = format!("delete from {table} where key in ({})", marks(1, params.len()));
            tx.execute(&sql, &params).await?;
        }
        Ok(())
    }
}

/// After how many changes old ones are deleted.
const TRIM_EVERY: i64 = 256;

fn meta_values(origin: Origin, position: i64) -> Vec<Value> {
    vec![
        origin.key.into(),
        origin.revision.into(),
        position.into(),
        origin.record_id.into(),
        origin.source_name.into(),
        origin.source_uid.into(),
        origin.author.into(),
        origin.ingested_at.into(),
        Value::opt_text(origin.occurred_at),
        Value::opt_text(origin.purposes),
        Value::opt_text(origin.rescued),
        Value::opt_text(origin.rest),
    ]
}
