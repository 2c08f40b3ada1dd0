//! The audit log of reads as the database has it: written in batches, asked newest first, the oldest taken away. Must
//! not decide who may know, nor what is kept.

use std::borrow::Cow;
use std::sync::Arc;

use super::Store;
use super::db::{Row, Type, Value};
use crate::error::{Error, Result};

/// One collection that one request has read, or was refused. Claims are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Unix microseconds.
    pub at: i64,
    /// The request's id.
    pub request: String,
    /// Who asked.
    pub subject: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// The contract with its version.
    pub contract: Option<String>,
    /// The code of the policies that were in force.
    pub policy: Arc<str>,
    /// The collection.
    pub collection_id: i64,
    /// By which way, such as `QUERY`.
    pub path: Cow<'static, str>,
    /// Whether it was allowed.
    pub allowed: bool,
    /// How many rows, groups or events were given out; none when the read failed.
    pub rows: Option<i64>,
}

/// Which reads are asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// How many at most.
    pub first: usize,
    /// Only those before the one with this number.
    pub before: Option<i64>,
    /// Only those of this subject.
    pub subject: Option<String>,
    /// Only those of these collections.
    pub collections: Option<Vec<i64>>,
    /// Only those that were allowed, or denied.
    pub allowed: Option<bool>,
}

const COLUMNS: [(&str, Type); 10] = [
    ("at", Type::Int),
    ("request", Type::Text),
    ("subject", Type::Text),
    ("roles", Type::Text),
    ("contract", Type::Text),
    ("policy", Type::Text),
    ("collection_id", Type::Int),
    ("path", Type::Text),
    ("allowed", Type::Bool),
    ("rows", Type::Int),
];
/// How many of the oldest are looked at in one transaction.
const PRUNED_AT_ONCE: i64 = 5_000;

impl Store {
    /// Keeps these reads.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away or busy: none of them is kept.
    pub async fn keep_reads(&self, reads: &[Read]) -> Result<()> {
        let mut rows = Vec::with_capacity(reads.len());
        for read in reads {
            let roles = serde_json::to_string(&read.roles).map_err(Error::internal)?;
            rows.push(vec![
                read.at.into(),
                read.request.as_str().into(),
                read.subject.as_str().into(),
                roles.into(),
                Value::opt_text(read.contract.as_deref()),
                (&*read.policy).into(),
                read.collection_id.into(),
                (&*read.path).into(),
                Value::Bool(read.allowed),
                Value::opt_int(read.rows),
            ]);
        }
        let mut tx = self.db.begin().await?;
        tx.append_many("data_read", &COLUMNS, rows).await?;
        tx.commit().await
    }

    /// Takes the oldest away, those beyond `rows_max` and those from before `before`; says whether there may be more.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away or busy.
    pub async fn prune_reads(&self, rows_max: i64, before: i64) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let sql = format!(
            "delete from data_read where id in (select id from data_read order by id limit {PRUNED_AT_ONCE}) \
             and (at < $1 or id <= (select max(id) from data_read) - $2)"
        );
        let gone = tx.execute(&sql, &[before.into(), rows_max.into()]).await?;
        tx.commit().await?;
        Ok(i64::try_from(gone).is_ok_and(|gone| gone == PRUNED_AT_ONCE))
    }

    /// Reads with their numbers, the newest first.
    pub async fn kept_reads(&self, wanted: &Wanted) -> Result<Vec<(i64, Read)>> {
        let mut params = vec![Value::from(wanted.before.unwrap_or(i64::MAX))];
        let mut conditions = "id < $1".to_owned();
        if let Some(subject) = &wanted.subject {
            params.push(subject.as_str().into());
            conditions.push_str(&format!(" and subject = ${}", params.len()));
        }
        if let Some(allowed) = wanted.allowed {
            params.push(Value::Bool(allowed));
            conditions.push_str(&format!(" and allowed = ${}", params.len()));
        }
        if let Some(ids) = &wanted.collections {
            // Numbers of our own.
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let list = if ids.is_empty() { "null".to_owned() } else { ids.join(",") };
            conditions.push_str(&format!(" and collection_id in ({list})"));
        }
        let names = COLUMNS.map(|(name, _)| name).join(", ");
        let first = wanted.first;
        let sql =
            format!("select id, {names} from data_read where {conditions} order by id desc limit {first}");
        self.db.query(&sql, &params).await?.iter().map(kept).collect()
    }
}

fn kept(row: &Row) -> Result<(i64, Read)> {
    let read = Read {
        at: row.i64(1)?,
        request: row.text(2)?.to_owned(),
        subject: row.text(3)?.to_owned(),
        roles: serde_json::from_str(row.text(4)?).map_err(Error::internal)?,
        contract: row.opt_text(5)?.map(str::to_owned),
        policy: row.text(6)?.into(),
        collection_id: row.i64(7)?,
        path: row.text(8)?.to_owned().into(),
        allowed: row.bool(9)?,
        rows: row.opt_i64(10)?,
    };
    Ok((row.i64(0)?, read))
}
