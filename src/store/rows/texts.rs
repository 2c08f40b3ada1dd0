//! Which texts the rows of a collection have that an enum has not: what is to be an enum must have none. Texts in lists
//! and packed objects are looked for here, page by page, as the databases read JSON differently.

use std::collections::BTreeSet;

use super::{marks, table};
use crate::error::{Error, Result};
use crate::query::Collection;
use crate::record::{Json, Limits, parse};
use crate::shape::{Enumeration, Field, TextsAt};
use crate::store::Store;
use crate::store::db::{Db, Row, Tx, Value};

/// Rows whose lists are read at once.
const PAGE: usize = 500;

/// How far a collection's rows have been looked through.
#[derive(Clone, Copy, Debug)]
pub struct Looked {
    generation: i64,
    position: i64,
}

/// Who asks the database: itself, or one of its transactions.
enum Asked<'a> {
    Db(&'a Db),
    Tx(&'a mut Tx),
}

impl Asked<'_> {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        match self {
            Asked::Db(db) => {
                let mut rows = Vec::new();
                db.read_large(sql, params, &mut |row| {
                    rows.push(row.to_row()?);
                    Ok(())
                })
                .await?;
                Ok(rows)
            }
            Asked::Tx(tx) => tx.query(sql, params).await,
        }
    }
}

impl Store {
    /// At most `max` texts that the rows have in this field, as the collection knows it, and its enum has not; and how
    /// far that is true.
    pub async fn texts_beyond(
        &self,
        collection: &Collection,
        field: &Field,
        max: usize,
    ) -> Result<(Vec<String>, Looked)> {
        // Whatever comes after is at a later position.
        let position = self.position(collection.id).await?;
        let found = beyond(&mut Asked::Db(&self.db), collection, field, 0, max).await?;
        Ok((found, Looked { generation: collection.generation, position }))
    }
}

/// Refuses an enum when rows that came since have other texts. What is committed by a transaction that is open now
/// cannot be seen: its rows are shown without the text.
///
/// # Errors
/// `CONFLICT`
pub(super) async fn check(
    tx: &mut Tx,
    collection: &Collection,
    field: &Field,
    looked: Option<Looked>,
) -> Result<()> {
    let since = looked.filter(|looked| looked.generation == collection.generation);
    let since = since.map_or(0, |looked| looked.position);
    if beyond(&mut Asked::Tx(tx), collection, field, since, 1).await?.is_empty() {
        return Ok(());
    }
    let text = format!("rows have other values at `{}` than these; accept them, too", field.path);
    Err(Error::new(crate::error::Code::Conflict, text))
}

async fn beyond(
    asked: &mut Asked<'_>,
    collection: &Collection,
    field: &Field,
    since: i64,
    max: usize,
) -> Result<Vec<String>> {
    let Some(values) = field.enumeration() else { return Ok(Vec::new()) };
    let at = collection.shape.texts_at(field.id);
    let at = at.ok_or_else(|| Error::internal("an enum without a column"))?;
    match at.json {
        true => in_json(asked, collection, (&at, values), since, max).await,
        false => {
            let known: Vec<Value> = values.values().map(|named| named.value.as_str().into()).collect();
            let (name, table) = (format!("f{}", at.column), table(collection));
            let sql = format!(
                "select distinct {name} from {table} where pos > $1 and {name} not in ({}) limit {max}",
                marks(2, known.len())
            );
            let params: Vec<Value> = std::iter::once(since.into()).chain(known).collect();
            let rows = asked.query(&sql, &params).await?;
            rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
        }
    }
}

async fn in_json(
    asked: &mut Asked<'_>,
    collection: &Collection,
    (at, values): (&TextsAt, &Enumeration),
    since: i64,
    max: usize,
) -> Result<Vec<String>> {
    let (name, table) = (format!("f{}", at.column), table(collection));
    let sql = format!(
        "select row_id, {name} from {table} where row_id > $1 and pos > $2 and {name} is not null \
         order by row_id limit {PAGE}"
    );
    let (mut found, mut last) = (BTreeSet::new(), 0);
    loop {
        let rows = asked.query(&sql, &[last.into(), since.into()]).await?;
        for row in &rows {
            last = row.i64(0)?;
            let json: Json = parse(row.text(1)?.as_bytes(), Limits::ACCEPTED).map_err(Error::internal)?;
            at.each(&json, &mut |text| {
                if found.len() < max && values.name(text).is_none() {
                    found.insert(text.to_owned());
                }
            });
        }
        if rows.len() < PAGE || found.len() >= max {
            return Ok(found.into_iter().collect());
        }
    }
}
