//! What provisioning keeps: leases of partitions, claims, the ledger, dead letters and how far a partition is
//! settled. Closed to publishing, graphql and http. Must not know what a plugin decides, only what became of it.
//!
//! A fence is checked at the end of a transaction, by the update that moves the partition on: whoever lost the lease
//! changes no row there and rolls everything back. So the partition's row is locked for an instant only, and relay
//! and worker do not wait for each other.

mod audit;
mod checks;
mod effects;
mod letters;
mod plugins;

pub use audit::Lag;
pub use checks::Contradiction;
pub(super) use effects::previous;
pub use effects::{Settled, Stretch, advance, hold, settle, settled_of, waiting_at};
pub use letters::{Letter, Waiting, Which, drop_letter, history_of, park, promote, replace_letter};
pub use plugins::Registered;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Store;
use super::db::{Dialect, Row, Type, Value};
use super::outbox;
use super::wake::{Topic, announce};
use crate::error::Result;

/// Which of a partition's two leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Claims outbox rows and appends them.
    Relay,
    /// Lets plugins decide and settles.
    Worker,
}

impl Role {
    fn prefix(self) -> &'static str {
        match self {
            Role::Relay => "relay",
            Role::Worker => "worker",
        }
    }
}

/// A partition as one look at the database found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub p: u32,
    /// Who holds the lease that was asked about.
    pub owner: Option<String>,
    /// That lease's fence.
    pub fence: i64,
    /// Whether that lease may be taken.
    pub free: bool,
    /// The last number given to an outbox row.
    pub claimed: i64,
    /// Everything up to this number is settled.
    pub settled: i64,
    /// Whether there are outbox rows without a number; only for the relay.
    pub unclaimed: bool,
    /// When the next dead letter is to be tried again; only for the worker.
    pub due: Option<i64>,
}

/// An outbox row on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Its number within the partition.
    pub pseq: i64,
    /// The record.
    pub record_id: Uuid,
    /// Where the record stands.
    pub hook: String,
    /// How large its document is.
    pub bytes: i64,
    /// When it got its number, Unix microseconds.
    pub claimed_at: Option<i64>,
}

/// When the oldest record that is not settled was taken in: of each partition's first claimed row, or unclaimed one.
pub(super) fn oldest(dialect: Dialect) -> String {
    let first = outbox::first(dialect);
    format!(
        "select min(r.ingested_at) from (\
         select (select {first} from outbox o where o.partition = a.p and o.pseq > a.settled \
         order by o.pseq limit 1) as id from partition a union all \
         select (select {first} from outbox o where o.partition = a.p and o.pseq is null order by o.id limit 1) \
         from partition a) f join record r on r.id = f.id"
    )
}

/// The build that live records go to.
pub const GENERATION: i64 = 0;

/// Microseconds now, by the database's own clock where nodes share one: their clocks may differ.
fn now_sql(dialect: Dialect, now_us: i64) -> String {
    match dialect {
        Dialect::Postgres => "(extract(epoch from clock_timestamp()) * 1000000)::bigint".into(),
        Dialect::Sqlite => now_us.to_string(),
    }
}

fn int(value: u32) -> Value {
    Value::Int(i64::from(value))
}

/// `$1, $2, …` and the parameters for it.
pub(super) fn ids(records: &[Uuid]) -> (String, Vec<Value>) {
    let list: Vec<String> = (1..=records.len()).map(|n| format!("${n}")).collect();
    (list.join(", "), records.iter().map(|id| Value::Uuid(*id)).collect())
}

/// How many of these sizes, from the first on, are together no more than `bytes_max`; at least one.
pub fn fitting(sizes: impl Iterator<Item = i64>, bytes_max: i64) -> usize {
    let mut bytes = 0_i64;
    let fits = sizes.take_while(|size| {
        bytes = bytes.saturating_add(*size);
        bytes <= bytes_max
    });
    fits.count().max(1)
}

fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

impl Store {
    /// One look at all partitions from the side of `role`: the only statement of an idle loop.
    pub async fn partition_states(&self, role: Role, now_us: i64) -> Result<Vec<Partition>> {
        let (role_name, now) = (role.prefix(), now_sql(self.db.dialect(), now_us));
        let extra = match role {
            Role::Relay => {
                "exists (select 1 from outbox o where o.partition = a.p and o.pseq is null), cast(null as bigint)"
            }
            Role::Worker => {
                "false, (select min(d.due) from dead_letter d where d.partition = a.p \
                 and d.state in ('retry', 'ready'))"
            }
        };
        let sql = format!(
            "select a.p, a.{role_name}_owner, a.{role_name}_fence, \
             (a.{role_name}_owner is null or a.{role_name}_until < {now}), a.pseq, a.settled, {extra} \
             from partition a order by a.p"
        );
        let rows = self.db.query(&sql, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(Partition {
                    p: u32::try_from(row.i64(0)?).unwrap_or(u32::MAX),
                    owner: row.opt_text(1)?.map(str::to_owned),
                    fence: row.i64(2)?,
                    free: row.bool(3)?,
                    claimed: row.i64(4)?,
                    settled: row.i64(5)?,
                    unclaimed: row.bool(6)?,
                    due: row.opt_i64(7)?,
                })
            })
            .collect()
    }

    /// Takes the leases of these partitions for `lease_ms` where they are free, or whoever has them with `force`.
    pub async fn take(
        &self,
        role: Role,
        partitions: &[u32],
        owner: &str,
        lease_ms: u64,
        force: bool,
        now_us: i64,
    ) -> Result<Vec<(u32, i64)>> {
        let (role, now) = (role.prefix(), now_sql(self.db.dialect(), now_us));
        let free =
            if force { "true".into() } else { format!("({role}_owner is null or {role}_until < {now})") };
        let sql = format!(
            "update partition set {role}_owner = $1, {role}_fence = {role}_fence + 1, \
             {role}_until = {now} + {lease} where p in ({list}) and {free} returning p, {role}_fence",
            lease = lease_ms.saturating_mul(1_000),
            list = list(partitions),
        );
        self.leased(&sql, partitions, owner).await
    }

    /// Keeps the leases that `owner` still has; returns them.
    pub async fn renew(
        &self,
        role: Role,
        partitions: &[u32],
        owner: &str,
        lease_ms: u64,
        now_us: i64,
    ) -> Result<Vec<(u32, i64)>> {
        let (role, now) = (role.prefix(), now_sql(self.db.dialect(), now_us));
        let sql = format!(
            "update partition set {role}_until = {now} + {lease} where p in ({list}) and {role}_owner = $1 \
             returning p, {role}_fence",
            lease = lease_ms.saturating_mul(1_000),
            list = list(partitions),
        );
        self.leased(&sql, partitions, owner).await
    }

    /// Says that node `owner` is here until its lease ends, and returns how many nodes of this role are: so that they
    /// can share the partitions. For databases that nodes share.
    pub async fn attend(&self, role: Role, owner: &str, lease_ms: u64, now_us: i64) -> Result<i64> {
        let (role, now) = (role.prefix(), now_sql(self.db.dialect(), now_us));
        let mut tx = self.db.begin().await?;
        // Microseconds have sixteen digits for the next centuries: as texts they stand in order of time.
        let sql = format!(
            "insert into meta (name, value) values ($1, cast({now} + {lease} as text)) \
             on conflict (name) do update set value = excluded.value",
            lease = lease_ms.saturating_mul(1_000),
        );
        tx.execute(&sql, &[Value::Text(format!("node/{role}/{owner}"))]).await?;
        let sql = format!(
            "select count(*) from meta where name like 'node/{role}/%' and value > cast({now} as text)"
        );
        let rows = tx.query(&sql, &[]).await?;
        tx.commit().await?;
        rows.first().map_or(Ok(1), |row| row.i64(0))
    }

    /// Takes node `owner` off the list, and those that have not said anything for long.
    pub async fn leave(&self, role: Role, owner: &str, now_us: i64) -> Result<()> {
        let (role, now) = (role.prefix(), now_sql(self.db.dialect(), now_us));
        let mut tx = self.db.begin().await?;
        let sql = format!(
            "delete from meta where name = $1 or (name like 'node/%' and value < cast({now} - 3600000000 as text))"
        );
        tx.execute(&sql, &[Value::Text(format!("node/{role}/{owner}"))]).await?;
        tx.commit().await
    }

    /// Gives leases back, so that another node need not wait for their end.
    pub async fn give_back(&self, role: Role, partitions: &[u32], owner: &str) -> Result<()> {
        let role = role.prefix();
        let sql = format!(
            "update partition set {role}_owner = null where p in ({}) and {role}_owner = $1 returning p, {role}_fence",
            list(partitions)
        );
        self.leased(&sql, partitions, owner).await.map(drop)
    }

    async fn leased(&self, sql: &str, partitions: &[u32], owner: &str) -> Result<Vec<(u32, i64)>> {
        let mut tx = self.db.begin().await?;
        if partitions.len() > 1 && tx.dialect() == Dialect::Postgres {
            // In order, as everybody does who takes several: an update takes them as they come.
            let sql =
                format!("select p from partition where p in ({}) order by p for update", list(partitions));
            tx.query(&sql, &[]).await?;
        }
        let rows = tx.query(sql, &[Value::Text(owner.into())]).await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok((u32::try_from(row.i64(0)?).unwrap_or(u32::MAX), row.i64(1)?))).collect()
    }

    /// Gives the oldest outbox rows of a partition the numbers after `claimed`, up to the row that brings them to
    /// `max`; returns how many, or `None` when the fence is no longer `fence`.
    pub async fn claim(&self, p: u32, fence: i64, claimed: i64, max: usize) -> Result<Option<i64>> {
        let mut tx = self.db.begin().await?;
        let sql = format!(
            "with c as (select id, cast(sum(n) over (order by id) as bigint) - n as before from \
             (select id, n from outbox where partition = $1 and pseq is null order by id limit {max}) f) \
             update outbox set pseq = $2 + c.before + 1, claimed_at = $3 from c \
             where outbox.id = c.id and c.before < {max} returning n"
        );
        let params = [int(p), Value::Int(claimed), Value::Int(self.clock.now_us())];
        let count: i64 = tx.query(&sql, &params).await?.iter().map(|row| row.i64(0)).sum::<Result<_>>()?;
        let sql = "update partition set pseq = pseq + $1 where p = $2 and relay_fence = $3 and pseq = $4";
        let params = [Value::Int(count), int(p), Value::Int(fence), Value::Int(claimed)];
        if tx.execute(sql, &params).await? == 0 {
            return Ok(None);
        }
        if count > 0 {
            announce(&mut tx, Topic::Stream).await?;
            tx.commit().await?;
        }
        Ok(Some(count))
    }

    /// As [`Store::claim`], for several partitions in one transaction: each with its fence and the last number that was
    /// given. `None` when one of the fences is no longer what it was, which changes nothing. Not for SQLite, where one
    /// partition after the other costs the same.
    pub async fn claim_each(&self, each: &[(u32, i64, i64)], max: usize) -> Result<Option<Vec<(u32, i64)>>> {
        let mut tx = self.db.begin_by_indexes().await?;
        let sql = format!(
            ", c as (select o.id, u.claimed + o.before + 1 as first, u.at from u cross join lateral \
             (select id, cast(sum(n) over (order by id) as bigint) - n as before from (select id, n from outbox \
             where partition = u.p and pseq is null order by id limit {max}) f) o where o.before < {max}), \
             m as (update outbox set pseq = c.first, claimed_at = c.at from c where outbox.id = c.id \
             returning partition, n) \
             select partition, cast(sum(n) as bigint) from m group by partition"
        );
        let columns = [("p", Type::Int), ("claimed", Type::Int), ("at", Type::Int)];
        let now = self.clock.now_us();
        let rows = each.iter().map(|(p, _, claimed)| vec![int(*p), (*claimed).into(), now.into()]).collect();
        let mut counts = Vec::with_capacity(each.len());
        for row in tx.query_many(&columns, rows, &sql).await? {
            counts.push((u32::try_from(row.i64(0)?).unwrap_or(u32::MAX), row.i64(1)?));
        }
        counts.sort_unstable();
        let given = |(p, fence, claimed): &(u32, i64, i64)| {
            let (_, count) = counts.iter().find(|(with, _)| with == p)?;
            Some(vec![int(*p), (*fence).into(), (*claimed).into(), (*count).into()])
        };
        let rows: Vec<Vec<Value>> = each.iter().filter_map(given).collect();
        let columns = [("p", Type::Int), ("fence", Type::Int), ("claimed", Type::Int), ("n", Type::Int)];
        let sql = ", l as (select a.p from u join partition a on a.p = u.p order by a.p for update of a) \
             update partition set pseq = pseq + u.n from u join l on l.p = u.p \
             where partition.p = u.p and relay_fence = u.fence and pseq = u.claimed returning partition.p";
        if tx.query_many(&columns, rows, sql).await?.len() != counts.len() {
            return Ok(None);
        }
        if !counts.is_empty() {
            announce(&mut tx, Topic::Stream).await?;
            tx.commit().await?;
        }
        Ok(Some(counts))
    }

    /// The claimed rows of a partition with numbers in `(above, upto]`, at most `max`, in order; also those whose
    /// record is gone.
    pub async fn claimed(&self, p: u32, above: i64, upto: i64, max: usize) -> Result<Vec<Claimed>> {
        let upto = upto.min(above.saturating_add(i64::try_from(max).unwrap_or(i64::MAX)));
        let mut each = self.claimed_in(&[(p, above, upto)]).await?;
        Ok(each.remove(&p).unwrap_or_default())
    }

    /// As [`Store::claimed`], of several partitions. Numbers are dense: a stretch has no more records than numbers.
    pub async fn claimed_in(&self, each: &[(u32, i64, i64)]) -> Result<BTreeMap<u32, Vec<Claimed>>> {
        let columns = [("p", Type::Int), ("above", Type::Int), ("upto", Type::Int)];
        let rows = each.iter().map(|(p, above, upto)| vec![int(*p), (*above).into(), (*upto).into()]);
        let sql = format!(
            "select {OUTBOX}, u.above, u.upto from u join outbox o on o.partition = u.p and {} \
             order by o.partition, o.pseq",
            overlaps("u.above", "u.upto")
        );
        let mut found: BTreeMap<u32, Vec<Claimed>> = BTreeMap::new();
        for row in self.db.query_many(&columns, rows.collect(), &sql).await? {
            let p = u32::try_from(row.i64(0)?).unwrap_or(u32::MAX);
            found.entry(p).or_default().extend(numbered(&row)?);
        }
        Ok(found)
    }

    /// As [`Store::claimed_in`], the first `max` of all, in the order of the stretches. One statement for all of them:
    /// an idle look costs next to nothing.
    pub async fn claimed_first(&self, each: &[(u32, i64, i64)], max: usize) -> Result<Vec<(u32, Claimed)>> {
        let mut params = Vec::with_capacity(each.len() * 3);
        let mut terms = Vec::with_capacity(each.len());
        for (p, above, upto) in each {
            let n = params.len();
            let (above_mark, upto_mark) = (format!("${}", n + 2), format!("${}", n + 3));
            let within = overlaps(&above_mark, &upto_mark);
            terms.push(format!(
                "select * from (select {OUTBOX}, cast({above_mark} as bigint), cast({upto_mark} as bigint) \
                 from outbox o where o.partition = ${} and {within} order by o.pseq limit {max}) t{n}",
                n + 1
            ));
            params.extend([int(*p), Value::Int(*above), Value::Int(*upto)]);
        }
        let sql = format!("{} order by 1, 2 limit {max}", terms.join(" union all "));
        let mut found = Vec::new();
        for row in self.db.query(&sql, &params).await? {
            let p = u32::try_from(row.i64(0)?).unwrap_or(u32::MAX);
            found.extend(numbered(&row)?.into_iter().map(|one| (p, one)));
        }
        found.truncate(max);
        Ok(found)
    }
}

/// What [`numbered`] reads of `outbox o`, before the bounds.
const OUTBOX: &str = "o.partition, o.pseq, o.records, o.hook, o.claimed_at";

/// Says that a row of the outbox has a number in `(above, upto]`.
fn overlaps(above: &str, upto: &str) -> String {
    // The first part is what an index leads to.
    format!("o.pseq > {above} - {} and o.pseq <= {upto} and o.pseq + o.n - 1 > {above}", outbox::RECORDS_MAX)
}

/// The records of a row of the outbox whose numbers are within the bounds.
fn numbered(row: &Row) -> Result<Vec<Claimed>> {
    let (first, above, upto) = (row.i64(1)?, row.i64(5)?, row.i64(6)?);
    let (hook, claimed_at) = (row.text(3)?, row.opt_i64(4)?);
    let records = (first..).zip(outbox::entries(row.bytes(2)?)?);
    let within = records.filter(|(pseq, _)| *pseq > above && *pseq <= upto);
    let claimed =
        |(pseq, (record_id, bytes))| Claimed { pseq, record_id, hook: hook.into(), bytes, claimed_at };
    Ok(within.map(claimed).collect())
}
