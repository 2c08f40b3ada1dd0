//! Appending: revisions, idempotency, record, structure and outbox row, in the caller's transaction and with a
//! handful of statements for any number of records.
//!
//! A key has a row in `head` from its second revision on. Raising that locks it; a batch does it first and in the order
//! of keys, so that batches of several nodes wait for each other instead of blocking each other. What is read after it
//! is current. Of a key without any revision nothing is locked: who writes its first at the same moment as another
//! breaks the unique key of records, and tries again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher as _;

use uuid::Uuid;

use super::pack::Packer;
use crate::error::{Code, Error, Result};
use crate::query::Awaited;
use crate::record::{Draft, Key, Receipt, ReceiptStatus, Signer, Source};
use crate::store::Store;
use crate::store::db::{COPIED_MIN, Dialect, Row, Tx, Type, Value};
use crate::store::outbox::{self, Entry};
use crate::store::wake::{Topic, announce};

/// What [`Store::append`] did; nothing of it holds before the commit.
#[derive(Debug, Default)]
pub struct Appended {
    /// One for each draft, in their order.
    pub receipts: Vec<Result<Receipt>>,
    /// How many records were written.
    pub written: usize,
    sources: Vec<(Source, i64)>,
    structures: Vec<(i64, u64)>,
}

/// The first link of a record's lineage.
pub fn genesis(signer: &Signer, id: Uuid, key: &Key, revision: i64, payload_hash: &[u8]) -> [u8; 32] {
    signer.mark(&[b"genesis", id.as_bytes(), key.as_str().as_bytes(), &revision.to_be_bytes(), payload_hash])
}

/// A record that is already there.
#[derive(Clone)]
struct Known {
    id: Uuid,
    key: String,
    rev: i64,
    payload_hash: Vec<u8>,
    deleted: bool,
}

impl Known {
    /// From the columns id, key, rev, payload_hash, deleted, beginning at `at`.
    fn from_row(row: &Row, at: usize) -> Result<Self> {
        Ok(Known {
            id: row.uuid(at)?,
            key: row.text(at + 1)?.to_owned(),
            rev: row.i64(at + 2)?,
            payload_hash: row.bytes(at + 3)?.to_vec(),
            deleted: row.bool(at + 4)?,
        })
    }

    fn receipt(&self, signer: &Signer) -> Receipt {
        Receipt {
            id: self.id,
            key: Key::from_stored(self.key.clone()),
            revision: self.rev,
            duplicate: true,
            status: ReceiptStatus::Accepted,
            cursor: Awaited::record(self.id, signer),
        }
    }
}

type Idempotent = (i64, String, String);

/// One batch on its way; drafts that cannot be keyed have no key.
struct Batch<'a> {
    drafts: &'a [Draft],
    keys: Vec<Option<Key>>,
    sources: HashMap<&'a Source, i64>,
    known: HashMap<Idempotent, Known>,
    derived: HashMap<Uuid, Known>,
    /// The revision before this batch, and then the last one given.
    heads: BTreeMap<Key, i64>,
    records: Vec<Vec<Value>>,
    outbox: Vec<Entry>,
    packer: Packer,
    /// Structures that this node had not seen, and what tells their texts.
    structures: BTreeMap<i64, u64>,
}

const RECORD: &[(&str, Type)] = &[
    ("id", Type::Uuid),
    ("source_id", Type::Int),
    ("source_uid", Type::Text),
    ("key", Type::Text),
    ("rev", Type::Int),
    ("partition", Type::Int),
    ("idem", Type::Text),
    ("author", Type::Text),
    ("payload_hash", Type::Bytes),
    ("body", Type::Bytes),
    ("body_bytes", Type::Int),
    ("content_type", Type::Text),
    ("occurred_at", Type::Int),
    ("ingested_at", Type::Int),
    ("structure", Type::Int),
    ("deleted", Type::Bool),
    ("cause", Type::Uuid),
    ("hops", Type::Int),
    ("envelope", Type::Text),
    ("genesis", Type::Bytes),
];

const OUTBOX: &[(&str, Type)] = &[("partition", Type::Int), ("n", Type::Int), ("records", Type::Bytes)];

impl Store {
    /// Writes records with their metadata and outbox rows in the caller's transaction. A draft that contradicts what
    /// is stored fails alone, without spoiling the transaction; an error of the whole call spoils it.
    ///
    /// After the commit call [`Store::appended`]. A repeated draft (same idempotency key, or same id for a derived
    /// one) gives the receipt of the record that is there.
    ///
    /// # Errors
    /// What the database says: `UNAVAILABLE`, or `INTERNAL` when one of the records cannot be stored.
    pub async fn append(&self, tx: &mut Tx, drafts: &[Draft]) -> Result<Appended> {
        let keys = drafts.iter().map(|draft| draft.source.key(&draft.source_uid).ok()).collect();
        let mut batch = Batch {
            drafts,
            keys,
            sources: HashMap::new(),
            known: HashMap::new(),
            derived: HashMap::new(),
            heads: BTreeMap::new(),
            records: Vec::with_capacity(drafts.len()),
            outbox: Vec::with_capacity(drafts.len()),
            packer: Packer::new()?,
            structures: BTreeMap::new(),
        };
        tx.go_by_indexes().await?;
        let asked = self.raise_heads(tx, &mut batch).await?;
        let new_sources = self.find_sources(tx, &mut batch).await?;
        find_known(tx, &mut batch).await?;
        batch.structures = self.write_structures(tx, drafts).await?;
        let before = batch.heads.clone();
        let receipts = self.number(&mut batch);
        correct_heads(tx, &batch, &before, &asked).await?;
        let structures = batch.structures.into_iter().collect();
        let written = batch.records.len();
        write_records(tx, batch.records, batch.outbox).await?;
        Ok(Appended { receipts, written, sources: new_sources, structures })
    }

    /// To be called after the commit of a transaction with [`Store::append`].
    pub fn appended(&self, appended: &Appended) {
        for (source, id) in &appended.sources {
            self.seen.sources.insert(source.clone(), *id);
        }
        for (fingerprint, telling) in &appended.structures {
            self.seen.structures.insert(*fingerprint, *telling);
        }
        if appended.written > 0 {
            self.wake.notify(Topic::Outbox);
        }
    }

    /// Raises the revision of each key that has one by how many records the batch has for it; returns these numbers and
    /// leaves the revisions before the batch in it.
    async fn raise_heads(&self, tx: &mut Tx, batch: &mut Batch<'_>) -> Result<BTreeMap<Key, i64>> {
        let mut asked: BTreeMap<Key, i64> = BTreeMap::new();
        for key in batch.keys.iter().flatten() {
            *asked.entry(key.clone()).or_default() += 1;
        }
        let rows = asked.iter().map(|(key, count)| vec![key.as_str().into(), Value::Int(*count)]).collect();
        let there = match tx.dialect() {
            // One key after the other is looked for: it could be taken for cheaper to read all keys.
            Dialect::Postgres => {
                "cross join lateral (select 1 from record r where r.key = u.key limit 1) t order by u.key collate \"C\""
            }
            Dialect::Sqlite => "where exists (select 1 from record r where r.key = u.key)",
        };
        // A key without a head has one revision.
        let sql = format!(
            "insert into head (key, rev) select u.key, u.n + 1 from u {there} \
             on conflict (key) do update set rev = head.rev + excluded.rev - 1 returning key, rev"
        );
        let raised = tx.query_many(&[("key", Type::Text), ("n", Type::Int)], rows, &sql).await?;
        batch.heads = asked.keys().map(|key| (key.clone(), 0)).collect();
        for row in &raised {
            let key = Key::from_stored(row.text(0)?.to_owned());
            let count = asked.get(&key).copied().unwrap_or_default();
            batch.heads.insert(key, row.i64(1)? - count);
        }
        Ok(asked)
    }

    /// Finds the sources' numbers, making those that are new; returns the ones this node had not seen.
    async fn find_sources(&self, tx: &mut Tx, batch: &mut Batch<'_>) -> Result<Vec<(Source, i64)>> {
        let mut missing = BTreeSet::new();
        for draft in batch.drafts {
            match self.seen.sources.get(&draft.source) {
                Some(id) => drop(batch.sources.insert(&draft.source, id)),
                None => drop(missing.insert(&draft.source)),
            }
        }
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let columns = [("category", Type::Text), ("subcategory", Type::Text), ("source_name", Type::Text)];
        let row = |source: &Source| {
            vec![
                source.category.as_str().into(),
                source.subcategory.as_str().into(),
                source.source_name.as_str().into(),
            ]
        };
        let rows: Vec<Vec<Value>> = missing.iter().map(|source| row(source)).collect();
        tx.insert_many("source", &columns, rows.clone(), "on conflict do nothing").await?;
        let sql = "select s.category, s.subcategory, s.source_name, s.id from u join source s \
                   on s.category = u.category and s.subcategory = u.subcategory and s.source_name = u.source_name";
        let mut found = Vec::new();
        for row in tx.query_many(&columns, rows, sql).await? {
            let source = Source {
                category: row.text(0)?.to_owned(),
                subcategory: row.text(1)?.to_owned(),
                source_name: row.text(2)?.to_owned(),
            };
            if let Some(own) = missing.get(&source) {
                batch.sources.insert(own, row.i64(3)?);
            }
            found.push((source, row.i64(3)?));
        }
        Ok(found)
    }

    /// Gives each draft its receipt, and its record the next revision of its key.
    fn number(&self, batch: &mut Batch<'_>) -> Vec<Result<Receipt>> {
        let keys = std::mem::take(&mut batch.keys);
        let drafts = batch.drafts.iter().zip(keys);
        drafts
            .map(|(draft, key)| match key {
                Some(key) => self.number_one(batch, draft, key),
                // The parts were checked when they were taken in; what they lack is said again.
                None => Err(draft
                    .source
                    .key(&draft.source_uid)
                    .err()
                    .unwrap_or_else(|| Error::internal("a key that could not be made can be made"))),
            })
            .collect()
    }

    fn number_one(&self, batch: &mut Batch<'_>, draft: &Draft, key: Key) -> Result<Receipt> {
        if let Some(known) = batch.derived.get(&draft.id) {
            return Ok(known.receipt(&self.signer));
        }
        let Some(source_id) = batch.sources.get(&draft.source).copied() else {
            return Err(Error::internal("a source has no number"));
        };
        let idempotent = draft.idempotency_key.clone().map(|key| (source_id, draft.author.clone(), key));
        if let Some(known) = idempotent.as_ref().and_then(|idempotent| batch.known.get(idempotent)) {
            let same = known.payload_hash == draft.payload_hash && known.deleted == draft.deleted;
            if same && known.key == key.as_str() {
                return Ok(known.receipt(&self.signer));
            }
            return Err(Error::new(
                Code::Conflict,
                "this idempotency key was used for another document; repeat that one, or take a new key",
            ));
        }
        let head = batch.heads.get_mut(&key).ok_or_else(|| Error::internal("a key has no revision"))?;
        if draft.if_revision.is_some_and(|revision| revision != *head) {
            return Err(Error::new(
                Code::Conflict,
                format!("the record has revision {head}, not the one in `ifRevision`; read it again"),
            ));
        }
        *head += 1;
        let revision = *head;
        let known = Known {
            id: draft.id,
            key: key.as_str().to_owned(),
            rev: revision,
            payload_hash: draft.payload_hash.to_vec(),
            deleted: draft.deleted,
        };
        let partition = key.partition(self.partitions);
        batch.outbox.push(Entry { partition, id: draft.id, bytes: draft.body.len() });
        let genesis = genesis(&self.signer, draft.id, &key, revision, &draft.payload_hash);
        let packed = self.packed(batch, draft)?;
        batch.records.push(record_row(draft, packed, &key, source_id, revision, partition, genesis)?);
        if draft.causation_id.is_some() {
            batch.derived.insert(draft.id, known.clone());
        }
        if let Some(idempotent) = idempotent {
            batch.known.insert(idempotent, known);
        }
        let cursor = Awaited::record(draft.id, &self.signer);
        Ok(Receipt { id: draft.id, key, revision, duplicate: false, status: ReceiptStatus::Accepted, cursor })
    }

    /// The document as it is kept, if it is packed: only where the text of its structure is what the database has.
    fn packed(&self, batch: &mut Batch<'_>, draft: &Draft) -> Result<Option<Vec<u8>>> {
        let Some((fingerprint, tree)) = &draft.structure else { return batch.packer.pack(&draft.body, "") };
        let fresh = batch.structures.get(fingerprint).copied();
        let known = fresh.or_else(|| self.seen.structures.get(fingerprint));
        if known != Some(self.seen.telling.hash_one(&**tree)) {
            return Ok(None);
        }
        batch.packer.pack(&draft.body, tree)
    }

    /// Writes structures that this node has not seen; returns their fingerprints, and what tells the texts that the
    /// database has.
    async fn write_structures(&self, tx: &mut Tx, drafts: &[Draft]) -> Result<BTreeMap<i64, u64>> {
        let mut fresh: BTreeMap<i64, &str> = BTreeMap::new();
        for (fingerprint, tree) in drafts.iter().filter_map(|draft| draft.structure.as_ref()) {
            if self.seen.structures.get(fingerprint).is_none() {
                fresh.insert(*fingerprint, tree);
            }
        }
        let columns = [("fingerprint", Type::Int), ("tree", Type::Text)];
        let rows: Vec<Vec<Value>> =
            fresh.iter().map(|(fingerprint, tree)| vec![(*fingerprint).into(), (*tree).into()]).collect();
        tx.insert_many("structure", &columns, rows, "on conflict (fingerprint) do nothing").await?;
        let rows = fresh.keys().map(|fingerprint| vec![(*fingerprint).into()]).collect();
        let sql = "select t.fingerprint, t.tree from u join structure t on t.fingerprint = u.fingerprint";
        let there = tx.query_many(&[("fingerprint", Type::Int)], rows, sql).await?;
        there.iter().map(|row| Ok((row.i64(0)?, self.seen.telling.hash_one(row.text(1)?)))).collect()
    }
}

/// Writes records and their outbox rows and wakes the relays; on PostgreSQL, of few, in one round trip.
async fn write_records(tx: &mut Tx, mut records: Vec<Vec<Value>>, outbox: Vec<Entry>) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let rows = outbox::rows_of(&outbox);
    if tx.dialect() == Dialect::Sqlite || records.len() >= COPIED_MIN {
        return write_apart(tx, records, &outbox, &rows).await;
    }
    let names: Vec<&str> = RECORD.iter().map(|(name, _)| *name).collect();
    let columns =
        RECORD.iter().copied().chain([("place", Type::Int), ("first", Type::Uuid), ("entry", Type::Bytes)]);
    for (place, (record, (entry, first))) in (0_i64..).zip(records.iter_mut().zip(outbox.iter().zip(rows))) {
        record.extend([place.into(), first.into(), Value::Bytes(entry.packed())]);
    }
    // Within a row, and from row to row, those of a key must come in the order of its revisions. Records come in the
    // order of keys, as who writes the first revision of a key waits for another who does.
    let sql = format!(
        ", o as (insert into outbox (partition, n, records) \
         select partition, count(*), string_agg(entry, ''::bytea order by place) from u group by partition, first \
         order by min(place) returning id, {} as first), \
         r as (insert into record ({}, outbox_id) select u.{}, o.id from u join o on o.first = u.first \
         order by u.key collate \"C\", u.rev) select pg_notify('wellspring', '{}')",
        outbox::first(Dialect::Postgres),
        names.join(", "),
        names.join(", u."),
        Topic::Outbox.as_str()
    );
    tx.query_many(&columns.collect::<Vec<_>>(), records, &sql).await.map(drop)
}

/// The same, first the outbox rows, then the records.
async fn write_apart(
    tx: &mut Tx,
    mut records: Vec<Vec<Value>>,
    outbox: &[Entry],
    rows: &[Uuid],
) -> Result<()> {
    let mut packed: Vec<(Uuid, u32, i64, Vec<u8>)> = Vec::new();
    for (entry, first) in outbox.iter().zip(rows) {
        match packed.iter_mut().find(|row| row.0 == *first) {
            Some((_, _, count, bytes)) => {
                *count += 1;
                bytes.extend(entry.packed());
            }
            None => packed.push((*first, entry.partition, 1, entry.packed())),
        }
    }
    let values = packed.into_iter();
    let values = values.map(|(_, partition, n, bytes)| vec![partition.into(), n.into(), Value::Bytes(bytes)]);
    let sql = format!(
        "insert into outbox (partition, n, records) select partition, n, records from u where true \
         returning id, {}",
        outbox::first(tx.dialect())
    );
    let written = tx.query_many(OUTBOX, values.collect(), &sql).await?;
    let ids = written.iter().map(|row| Ok((row.uuid(1)?, row.i64(0)?)));
    let ids: HashMap<Uuid, i64> = ids.collect::<Result<_>>()?;
    for (record, first) in records.iter_mut().zip(rows) {
        record.push(Value::opt_int(ids.get(first).copied()));
    }
    records.sort_by(|one, other| place(one).cmp(&place(other)));
    let columns: Vec<_> = RECORD.iter().copied().chain([("outbox_id", Type::Int)]).collect();
    tx.append_many("record", &columns, records).await?;
    announce(tx, Topic::Outbox).await
}

/// Key and revision among the values of [`RECORD`].
fn place(record: &[Value]) -> Option<(&str, i64)> {
    match (record.get(3)?, record.get(4)?) {
        (Value::Text(key), Value::Int(revision)) => Some((key, *revision)),
        _ => None,
    }
}

fn record_row(
    draft: &Draft,
    packed: Option<Vec<u8>>,
    key: &Key,
    source_id: i64,
    revision: i64,
    partition: u32,
    genesis: [u8; 32],
) -> Result<Vec<Value>> {
    let bytes = packed.is_some().then_some(i64::try_from(draft.body.len()).map_err(Error::internal)?);
    Ok(vec![
        draft.id.into(),
        source_id.into(),
        draft.source_uid.as_str().into(),
        key.as_str().into(),
        revision.into(),
        partition.into(),
        Value::opt_text(draft.idempotency_key.as_deref()),
        draft.author.as_str().into(),
        Value::Bytes(draft.payload_hash.to_vec()),
        Value::Bytes(packed.unwrap_or_else(|| draft.body.to_vec())),
        Value::opt_int(bytes),
        draft.content_type.as_str().into(),
        Value::opt_int(draft.occurred_at),
        draft.ingested_at.into(),
        Value::opt_int(draft.structure.as_ref().map(|(fingerprint, _)| *fingerprint)),
        draft.deleted.into(),
        Value::opt_uuid(draft.causation_id),
        draft.hops.into(),
        serde_json::to_string(&draft.envelope).map_err(Error::internal)?.into(),
        Value::Bytes(genesis.to_vec()),
    ])
}

/// Finds records with the drafts' idempotency keys, and derived ones that have been written before.
async fn find_known(tx: &mut Tx, batch: &mut Batch<'_>) -> Result<()> {
    if !batch.drafts.iter().any(|draft| draft.idempotency_key.is_some() || draft.causation_id.is_some()) {
        return Ok(());
    }
    let mut rows = Vec::new();
    for draft in batch.drafts {
        let (Some(idem), Some(source)) = (&draft.idempotency_key, batch.sources.get(&draft.source)) else {
            continue;
        };
        rows.push(vec![Value::Int(*source), draft.author.as_str().into(), idem.as_str().into()]);
    }
    let columns = [("source_id", Type::Int), ("author", Type::Text), ("idem", Type::Text)];
    let sql = "select r.source_id, r.author, r.idem, r.id, r.key, r.rev, r.payload_hash, r.deleted \
               from u join record r on r.source_id = u.source_id and r.author = u.author and r.idem = u.idem";
    for row in tx.query_many(&columns, rows, sql).await? {
        let idempotent = (row.i64(0)?, row.text(1)?.to_owned(), row.text(2)?.to_owned());
        batch.known.insert(idempotent, Known::from_row(&row, 3)?);
    }
    let derived = batch.drafts.iter().filter(|draft| draft.causation_id.is_some());
    let rows = derived.map(|draft| vec![draft.id.into()]).collect();
    let sql = "select r.id, r.key, r.rev, r.payload_hash, r.deleted from u join record r on r.id = u.id";
    for row in tx.query_many(&[("id", Type::Uuid)], rows, sql).await? {
        let known = Known::from_row(&row, 0)?;
        batch.derived.insert(known.id, known);
    }
    Ok(())
}

/// Takes back revisions that were asked for and not given, because their drafts were repeated or refused, and gives
/// heads to keys that begin with more than one revision.
async fn correct_heads(
    tx: &mut Tx,
    batch: &Batch<'_>,
    before: &BTreeMap<Key, i64>,
    asked: &BTreeMap<Key, i64>,
) -> Result<()> {
    let (mut corrected, mut fresh) = (Vec::new(), Vec::new());
    for (key, given) in &batch.heads {
        let first = before.get(key).copied().unwrap_or_default();
        let row = || vec![key.as_str().into(), Value::Int(*given)];
        if first == 0 && *given > 1 {
            fresh.push(row());
        } else if first > 0 && given - first != asked.get(key).copied().unwrap_or_default() {
            corrected.push(row());
        }
    }
    let columns = [("key", Type::Text), ("rev", Type::Int)];
    let set = "update head set rev = u.rev from u where head.key = u.key";
    tx.query_many(&columns, corrected, set).await?;
    tx.insert_many("head", &columns, fresh, "").await.map(drop)
}
