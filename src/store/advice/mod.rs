//! Indexes that reads lack: what this node notes of reads, what all nodes have noted, which indexes that advises, and
//! what became of them. Must not decide which are worth it.

mod watch;
mod way;

use watch::Index;
pub use watch::Noted;
pub(crate) use watch::Watch;
pub(in crate::store) use way::id as indexed_field;
pub use way::{Sorted, Way};

use std::collections::{BTreeMap, HashMap};

use super::Store;
use super::db::{Row, Tx, Type, Value};
use super::events::{EventKind, IndexTold, tell_index};
use super::wake::{Topic, announce};
use crate::error::{Code, Error, Result};
use crate::query::Collection;

/// How far an advised index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It would help.
    Proposed,
    /// It is decided, and made as soon as it can be.
    Creating,
    /// It is there.
    Created,
    /// It was there.
    Dropped,
    /// It cannot be made, or cannot stay.
    Refused,
}

impl State {
    const ALL: [State; 5] =
        [State::Proposed, State::Creating, State::Created, State::Dropped, State::Refused];

    /// As the API and the database name it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Proposed => "PROPOSED",
            State::Creating => "CREATING",
            State::Created => "CREATED",
            State::Dropped => "DROPPED",
            State::Refused => "REFUSED",
        }
    }
}

/// An index that was advised.
#[derive(Clone, Debug)]
pub struct Advice {
    /// Its number, by which the index is called.
    pub id: i64,
    /// Of which collection.
    pub collection_id: i64,
    /// What it is for.
    pub way: Way,
    /// How far it is.
    pub state: State,
    /// Why it is so, a sentence.
    pub reason: String,
    /// What it was made of, as the statement had it; none while there is none.
    pub made: Option<String>,
    /// How large it was when it was looked at last, in bytes.
    pub size_bytes: Option<i64>,
    /// How often it was used, as far as is known.
    pub uses: i64,
    /// When it was seen to be used, or made, Unix microseconds.
    pub used_at: i64,
    /// Who decided that it is so; none when nobody did.
    pub subject: Option<String>,
    /// Since when it is so, Unix microseconds.
    pub at: i64,
}

const READ: &str = "select id, collection_id, way, state, reason, made, size_bytes, uses, used_at, subject, at \
     from index_advice";

const WAYS: [(&str, Type); 6] = [
    ("collection_id", Type::Int),
    ("way", Type::Text),
    ("times", Type::Int),
    ("spent_us", Type::Int),
    ("given", Type::Int),
    ("at", Type::Int),
];
const SUM_UP: &str = "on conflict (collection_id, way) do update set times = read_way.times + excluded.times, \
     spent_us = read_way.spent_us + excluded.spent_us, given = read_way.given + excluded.given, at = excluded.at";
const FORGET: &str = "delete from read_way where collection_id = $1 and way not in (select way from read_way \
     where collection_id = $1 order by at desc, spent_us desc limit $2)";

impl Store {
    /// Notes reads from now on, at most so many statements at once until they are written.
    pub fn watch_reads(&self, held_max: usize) {
        self.watch.begin(held_max);
    }

    /// Waits until the indexes should be looked at on this node.
    pub async fn called_to_indexes(&self) {
        self.watch.called().await;
    }

    /// The advice whose indexes may not have taken rows which this node was to write, since this was last asked.
    pub fn refusing_indexes(&self) -> Vec<i64> {
        self.watch.refusing()
    }

    /// Writes what this node has noted of reads, of each collection at most `ways_max` ways: those that were not taken
    /// for longest go first. What cannot be written is lost. Returns it.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away or busy.
    pub async fn write_ways(&self, ways_max: usize) -> Result<BTreeMap<(i64, Way), Noted>> {
        let noted = self.watch.take();
        if noted.is_empty() {
            return Ok(noted);
        }
        let (now, mut rows) = (self.clock.now_us(), Vec::with_capacity(noted.len()));
        for ((collection_id, way), sum) in &noted {
            let way = serde_json::to_string(way).map_err(Error::internal)?;
            let figures = [sum.times, sum.spent_us, sum.given, now].map(Value::from);
            rows.push([vec![(*collection_id).into(), way.into()], figures.to_vec()].concat());
        }
        let mut tx = self.db.begin().await?;
        tx.insert_many("read_way", &WAYS, rows, SUM_UP).await?;
        let mut collections: Vec<i64> = noted.keys().map(|(id, _)| *id).collect();
        collections.dedup();
        let most = i64::try_from(ways_max).unwrap_or(i64::MAX);
        for id in collections {
            tx.execute(FORGET, &[id.into(), most.into()]).await?;
        }
        tx.commit().await?;
        Ok(noted)
    }

    /// The ways that reads of collections have taken so long together, summed up by what an index for them is made of.
    pub async fn ways(&self, spent_min_us: i64) -> Result<BTreeMap<i64, BTreeMap<Way, Noted>>> {
        let sql = "select collection_id, way, times, spent_us, given from read_way where spent_us >= $1";
        let mut ways: BTreeMap<i64, BTreeMap<Way, Noted>> = BTreeMap::new();
        for row in self.db.query(sql, &[spent_min_us.into()]).await? {
            let way: Way = serde_json::from_str(row.text(1)?).map_err(Error::internal)?;
            let noted = Noted { times: row.i64(2)?, spent_us: row.i64(3)?, given: row.i64(4)? };
            ways.entry(row.i64(0)?).or_default().entry(way.indexed()).or_default().add(noted);
        }
        Ok(ways)
    }

    /// All advice, of one collection or of all, the oldest first.
    pub async fn advice(&self, collection_id: Option<i64>) -> Result<Vec<Advice>> {
        let rows = match collection_id {
            Some(id) => {
                let sql = format!("{READ} where collection_id = $1 order by id");
                self.db.query(&sql, &[id.into()]).await?
            }
            None => self.db.query(&format!("{READ} order by id"), &[]).await?,
        };
        rows.iter().map(read).collect()
    }

    /// The advice of this number.
    ///
    /// # Errors
    /// `NOT_FOUND`
    pub async fn advice_of(&self, id: i64) -> Result<Advice> {
        let rows = self.db.query(&format!("{READ} where id = $1"), &[id.into()]).await?;
        read(rows.first().ok_or_else(unknown)?)
    }

    /// Has this node know which advised indexes there are: SQLite's reads that one leads to take little time, and what
    /// PostgreSQL does not write may not fit into one.
    pub async fn know_indexes(&self) -> Result<()> {
        let mut made: HashMap<i64, Vec<Index>> = HashMap::new();
        for Advice { id, collection_id, way, state, made: text, .. } in self.advice(None).await? {
            if matches!(state, State::Created | State::Creating) {
                let whole = state == State::Created;
                made.entry(collection_id).or_default().push(Index { id, way, whole, made: text });
            }
        }
        self.watch.know(made);
        self.led.forget();
        Ok(())
    }

    /// Whether an index waits to be made.
    pub async fn is_index_wanted(&self) -> Result<bool> {
        let sql = "select 1 from index_advice where state = 'CREATING' limit 1";
        Ok(!self.db.query(sql, &[]).await?.is_empty())
    }

    /// Proposes an index; one that was proposed before, or was dropped as nobody used it, is proposed anew.
    pub async fn propose_index(&self, collection_id: i64, way: &Way, reason: &str) -> Result<()> {
        let (way, now) = (serde_json::to_string(way).map_err(Error::internal)?, self.clock.now_us());
        let sql = "insert into index_advice (collection_id, way, state, reason, uses, used_at, at) \
             values ($1, $2, 'PROPOSED', $3, 0, $4, $4) on conflict (collection_id, way) do update set \
             state = excluded.state, reason = excluded.reason, uses = 0, used_at = excluded.used_at, at = excluded.at \
             where index_advice.subject is null and index_advice.state in ('PROPOSED', 'DROPPED')";
        let mut tx = self.db.begin().await?;
        tx.execute(sql, &[collection_id.into(), way.into(), reason.into(), now.into()]).await?;
        tx.commit().await
    }

    /// Decides that an index is to be made; one that is there stays. `subject` is who decides it, if anybody does.
    ///
    /// # Errors
    /// `NOT_FOUND`
    pub async fn want_index(&self, id: i64, reason: &str, subject: Option<&str>) -> Result<Advice> {
        let sql = "update index_advice set state = 'CREATING', reason = $2, subject = $3, at = $4 \
             where id = $1 and state not in ('CREATING', 'CREATED')";
        let now = self.clock.now_us();
        let mut tx = self.db.begin().await?;
        tx.execute(sql, &[id.into(), reason.into(), Value::opt_text(subject), now.into()]).await?;
        announce(&mut tx, Topic::Catalog).await?;
        tx.commit().await?;
        self.watch.call();
        self.advice_of(id).await
    }

    /// Notes how large an index is and how often it was used.
    pub async fn note_uses(&self, id: i64, size_bytes: i64, uses: i64, used_at: i64) -> Result<()> {
        let sql = "update index_advice set size_bytes = $2, uses = $3, used_at = $4 where id = $1";
        let mut tx = self.db.begin().await?;
        tx.execute(sql, &[id.into(), size_bytes.into(), uses.into(), used_at.into()]).await?;
        tx.commit().await
    }

    /// Says that an index is there now, in the transaction that made it or after it was made.
    pub(in crate::store) async fn tell_created(
        &self,
        mut tx: Tx,
        (advice, collection): (&Advice, &Collection),
        (made, size_bytes): (&str, i64),
    ) -> Result<()> {
        let now = self.clock.now_us();
        let sql = "update index_advice set state = 'CREATED', made = $2, size_bytes = $3, uses = 0, used_at = $4, \
             at = $4 where id = $1";
        tx.execute(sql, &[advice.id.into(), made.into(), size_bytes.into(), now.into()]).await?;
        let what = (EventKind::IndexCreated, advice.reason.as_str(), advice.subject.as_deref());
        self.tell_of(tx, (advice, collection), what).await
    }

    /// Says that an index is not there any more, or will not be, in the transaction that drops it. What was noted of
    /// reads that it was for is forgotten: whether it is missed is seen anew.
    pub(in crate::store) async fn tell_gone(
        &self,
        mut tx: Tx,
        (advice, collection): (&Advice, &Collection),
        (state, reason, subject): (State, &str, Option<&str>),
    ) -> Result<()> {
        let now = self.clock.now_us();
        let sql = "update index_advice set state = $2, reason = $3, subject = $4, at = $5, made = null, \
             size_bytes = null where id = $1";
        let subject_value = Value::opt_text(subject);
        let params = [advice.id.into(), state.as_str().into(), reason.into(), subject_value, now.into()];
        tx.execute(sql, &params).await?;
        for row in
            tx.query("select way from read_way where collection_id = $1", &[collection.id.into()]).await?
        {
            let way: Way = serde_json::from_str(row.text(0)?).map_err(Error::internal)?;
            if way.indexed() == advice.way {
                let sql = "delete from read_way where collection_id = $1 and way = $2";
                tx.execute(sql, &[collection.id.into(), row.text(0)?.into()]).await?;
            }
        }
        if advice.made.is_none() {
            return tx.commit().await;
        }
        self.tell_of(tx, (advice, collection), (EventKind::IndexDropped, reason, subject)).await
    }

    async fn tell_of(
        &self,
        mut tx: Tx,
        (advice, collection): (&Advice, &Collection),
        (kind, reason, subject): (EventKind, &str, Option<&str>),
    ) -> Result<()> {
        let (fields, reason) = (advice.way.fields(), reason.to_owned());
        let told = IndexTold { id: advice.id, fields, reason };
        tell_index(&mut tx, kind, (collection.id, &told), (self.clock.now_us(), subject)).await?;
        announce(&mut tx, Topic::Catalog).await?;
        tx.commit().await?;
        self.told(true);
        Ok(())
    }
}

fn unknown() -> Error {
    Error::not_found("there is no advice of this id; `indexAdvice` lists them")
}

fn read(row: &Row) -> Result<Advice> {
    let state = row.text(3)?;
    let odd = || Error::new(Code::Conflict, format!("the database has indexes in the state `{state}`"));
    Ok(Advice {
        id: row.i64(0)?,
        collection_id: row.i64(1)?,
        way: serde_json::from_str(row.text(2)?).map_err(Error::internal)?,
        state: State::ALL.into_iter().find(|known| known.as_str() == state).ok_or_else(odd)?,
        reason: row.text(4)?.to_owned(),
        made: row.opt_text(5)?.map(str::to_owned),
        size_bytes: row.opt_i64(6)?,
        uses: row.i64(7)?,
        used_at: row.i64(8)?,
        subject: row.opt_text(9)?.map(str::to_owned),
        at: row.i64(10)?,
    })
}
