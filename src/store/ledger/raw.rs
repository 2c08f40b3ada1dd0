//! Records as the worker needs them.

use std::sync::Arc;

use uuid::Uuid;

use super::ids;
use crate::error::{Error, Result};
use crate::record::{Draft, Key, Record, Source};
use crate::store::Store;
use crate::store::db::{Row, Tx};

impl Store {
    /// The records with these ids, in any order.
    pub async fn load_records(&self, records: &[Uuid]) -> Result<Vec<Arc<Record>>> {
        let (list, params) = ids(records);
        let sql = format!(
            "select r.id, s.category, s.subcategory, s.source_name, r.source_uid, r.author, r.idem, \
             r.content_type, r.body, r.payload_hash, r.occurred_at, r.ingested_at, r.structure, t.tree, \
             r.deleted, r.cause, r.hops, r.envelope, r.key, r.rev, r.partition from record r \
             join source s on s.id = r.source_id left join structure t on t.fingerprint = r.structure \
             where r.id in ({list})"
        );
        self.db.query(&sql, &params).await?.iter().map(|row| record(row).map(Arc::new)).collect()
    }

    /// Appends derived records in the caller's transaction.
    pub async fn emit(&self, _tx: &mut Tx, _drafts: Vec<Draft>) -> Result<()> {
        Err(Error::internal("derived records cannot be stored yet"))
    }
}

fn record(row: &Row) -> Result<Record> {
    let hash = row.bytes(9)?;
    let structure = match (row.opt_i64(12)?, row.opt_text(13)?) {
        (Some(fingerprint), Some(tree)) => Some((fingerprint, tree.to_owned())),
        _ => None,
    };
    let draft = Draft {
        id: row.uuid(0)?,
        source: Source {
            category: row.text(1)?.to_owned(),
            subcategory: row.text(2)?.to_owned(),
            source_name: row.text(3)?.to_owned(),
        },
        source_uid: row.text(4)?.to_owned(),
        author: row.text(5)?.to_owned(),
        idempotency_key: row.opt_text(6)?.map(str::to_owned),
        if_revision: None,
        content_type: row.text(7)?.to_owned(),
        body: bytes::Bytes::copy_from_slice(row.bytes(8)?),
        payload_hash: hash.try_into().map_err(|_| Error::internal("a payload hash has another length"))?,
        occurred_at: row.opt_i64(10)?,
        ingested_at: row.i64(11)?,
        structure,
        deleted: row.bool(14)?,
        causation_id: row.opt_uuid(15)?,
        hops: i32::try_from(row.i64(16)?).unwrap_or(i32::MAX),
        envelope: serde_json::from_str(row.text(17)?).map_err(Error::internal)?,
    };
    Ok(Record {
        draft,
        key: Key::from_stored(row.text(18)?.to_owned()),
        revision: row.i64(19)?,
        partition: u32::try_from(row.i64(20)?).unwrap_or(u32::MAX),
    })
}
