//! Dead letters: records that wait at a plugin, and the queue of their key behind them. The lowest revision of a
//! (plugin, key) is its head; only a head is tried, redriven or listed. States: `parked` waits for a person, `retry`
//! and `ready` are due at a time, `queued` follows.

use std::collections::HashSet;

use uuid::Uuid;

use super::effects::{SETTLED, Settled, settled_row};
use super::{GENERATION, int};
use crate::error::{Code, Error, Result};
use crate::store::Store;
use crate::store::db::{Row, Tx, Type, Value};
use crate::store::wake::{Topic, announce};

/// A record that waits for a retry, a person, or for those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its number; 0 before it is stored.
    pub id: i64,
    /// The plugin's number.
    pub plugin_id: i64,
    /// The partition of its key.
    pub partition: u32,
    /// Its key.
    pub key: String,
    /// Its revision.
    pub rev: i64,
    /// The record.
    pub record_id: Uuid,
    /// Where the record stood.
    pub hook: String,
    /// Why, for programs.
    pub code: String,
    /// Why, for people.
    pub reason: String,
    /// How often it was tried.
    pub attempts: i64,
    /// `parked`, `retry`, `ready` or `queued`.
    pub state: String,
    /// When it is to be tried again.
    pub due: i64,
    /// What was tried, as a JSON array.
    pub history: String,
    /// Since when.
    pub at: i64,
}

/// A head as people see it.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The head.
    pub letter: Letter,
    /// Its plugin's name.
    pub plugin: String,
    /// How many records of its key queue behind it.
    pub followers: i64,
}

/// Which heads people ask for; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct Which {
    /// Older than the letter of this id.
    pub before: Option<i64>,
    /// Of the plugin of this name.
    pub plugin: Option<String>,
    /// Of records of this category.
    pub category: Option<String>,
}

/// The columns of [`Letter`], of `dead_letter d`.
pub(super) const LETTER: &str = "d.id, d.plugin_id, d.partition, d.key, d.rev, d.record_id, d.hook, d.code, d.reason, \
                      d.attempts, d.state, d.due, d.history, d.at";

pub(super) fn letter_row(row: &Row) -> Result<Letter> {
    Ok(Letter {
        id: row.i64(0)?,
        plugin_id: row.i64(1)?,
        partition: u32::try_from(row.i64(2)?).unwrap_or(u32::MAX),
        key: row.text(3)?.to_owned(),
        rev: row.i64(4)?,
        record_id: row.uuid(5)?,
        hook: row.text(6)?.to_owned(),
        code: row.text(7)?.to_owned(),
        reason: row.text(8)?.to_owned(),
        attempts: row.i64(9)?,
        state: row.text(10)?.to_owned(),
        due: row.i64(11)?,
        history: row.text(12)?.to_owned(),
        at: row.i64(13)?,
    })
}

/// Parks records: adds letters.
pub async fn park(tx: &mut Tx, letters: &[Letter]) -> Result<()> {
    let columns = [
        ("plugin_id", Type::Int),
        ("generation", Type::Int),
        ("partition", Type::Int),
        ("key", Type::Text),
        ("rev", Type::Int),
        ("record_id", Type::Uuid),
        ("hook", Type::Text),
        ("code", Type::Text),
        ("reason", Type::Text),
        ("attempts", Type::Int),
        ("state", Type::Text),
        ("due", Type::Int),
        ("history", Type::Text),
        ("at", Type::Int),
    ];
    let values = letters.iter().map(|letter| {
        vec![
            Value::Int(letter.plugin_id),
            Value::Int(GENERATION),
            int(letter.partition),
            Value::Text(letter.key.clone()),
            Value::Int(letter.rev),
            Value::Uuid(letter.record_id),
            Value::Text(letter.hook.clone()),
            Value::Text(letter.code.clone()),
            Value::Text(letter.reason.clone()),
            Value::Int(letter.attempts),
            Value::Text(letter.state.clone()),
            Value::Int(letter.due),
            Value::Text(letter.history.clone()),
            Value::Int(letter.at),
        ]
    });
    tx.insert_many("dead_letter", &columns, values.collect(), "").await.map(drop)
}

/// The letter after another try; `false` when it is no longer as it was `read`: somebody has put it back meanwhile.
pub async fn replace_letter(tx: &mut Tx, read: &Letter, letter: &Letter) -> Result<bool> {
    let sql = "update dead_letter set code = $1, reason = $2, attempts = $3, state = $4, due = $5, history = $6 \
               where id = $7 and state = $8 and history = $9";
    let params = [
        Value::Text(letter.code.clone()),
        Value::Text(letter.reason.clone()),
        Value::Int(letter.attempts),
        Value::Text(letter.state.clone()),
        Value::Int(letter.due),
        Value::Text(letter.history.clone()),
        Value::Int(letter.id),
        Value::Text(read.state.clone()),
        Value::Text(read.history.clone()),
    ];
    Ok(tx.execute(sql, &params).await? == 1)
}

/// Forgets a letter that has been settled.
pub async fn drop_letter(tx: &mut Tx, id: i64) -> Result<()> {
    tx.execute("delete from dead_letter where id = $1", &[Value::Int(id)]).await.map(drop)
}

/// Makes the first of a key's queue its head; returns whether there was one.
pub async fn promote(tx: &mut Tx, plugin_id: i64, key: &str, now: i64) -> Result<bool> {
    let sql = format!(
        "update dead_letter set state = 'ready', due = $3 where id = (select id from dead_letter \
         where plugin_id = $1 and generation = {GENERATION} and key = $2 order by rev, id limit 1) \
         and state = 'queued'"
    );
    let params = [Value::Int(plugin_id), Value::Text(key.into()), Value::Int(now)];
    Ok(tx.execute(&sql, &params).await? > 0)
}

/// The ledger rows of one record.
pub async fn history_of(tx: &mut Tx, record_id: Uuid) -> Result<Vec<Settled>> {
    let sql =
        format!("select {SETTLED} from ledger l where l.record_id = $1 and l.generation = {GENERATION}");
    tx.query(&sql, &[Value::Uuid(record_id)]).await?.iter().map(settled_row).collect()
}

impl Store {
    /// Heads of a partition that are due, the longest waiting first, and when the next one is due after them.
    pub async fn letters_due(&self, p: u32, now: i64, max: usize) -> Result<Vec<Letter>> {
        let sql = format!(
            "select {LETTER} from dead_letter d where d.partition = $1 and d.state in ('retry', 'ready') \
             and d.due <= $2 order by d.due, d.id limit {max}"
        );
        let rows = self.db.query(&sql, &[int(p), Value::Int(now)]).await?;
        rows.iter().map(letter_row).collect()
    }

    /// When the next letter of a partition is due.
    pub async fn letters_next(&self, p: u32) -> Result<Option<i64>> {
        let sql = "select min(due) from dead_letter where partition = $1 and state in ('retry', 'ready')";
        let rows = self.db.query(sql, &[int(p)]).await?;
        rows.first().map_or(Ok(None), |row| row.opt_i64(0))
    }

    /// Heads, newest first.
    pub async fn letters(&self, first: usize, which: &Which) -> Result<Vec<Waiting>> {
        let mut params = Vec::new();
        let mut filter = String::from("d.state <> 'queued'");
        for (condition, value) in [
            ("d.id <", which.before.map(Value::Int)),
            ("pl.name =", which.plugin.as_deref().map(Value::from)),
            ("s.category =", which.category.as_deref().map(Value::from)),
        ] {
            if let Some(value) = value {
                params.push(value);
                filter.push_str(&format!(" and {condition} ${}", params.len()));
            }
        }
        let sql = format!(
            "select {LETTER}, pl.name, (select count(*) from dead_letter f where f.plugin_id = d.plugin_id \
             and f.generation = d.generation and f.key = d.key and f.state = 'queued') \
             from dead_letter d join plugin pl on pl.id = d.plugin_id left join record r on r.id = d.record_id \
             left join source s on s.id = r.source_id where {filter} order by d.id desc limit {first}"
        );
        let rows = self.db.query(&sql, &params).await?;
        rows.iter()
            .map(|row| {
                let (plugin, followers) = (row.text(14)?.to_owned(), row.i64(15)?);
                Ok(Waiting { letter: letter_row(row)?, plugin, followers })
            })
            .collect()
    }

    /// How many records wait.
    pub async fn letters_count(&self) -> Result<i64> {
        let rows = self.db.query("select count(*) from dead_letter", &[]).await?;
        rows.first().map_or(Ok(0), |row| row.i64(0))
    }

    /// Puts the head of a letter's key back to work on behalf of `subject`; returns how many records go on: the head
    /// and its followers, or none when it is at work already.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no such letter, `CONFLICT` when its plugin is disabled.
    pub async fn redrive(&self, id: i64, subject: &str, now: i64) -> Result<i64> {
        let mut tx = self.db.begin().await?;
        let sql = format!(
            "select {LETTER}, p.name, p.state from dead_letter d join plugin p on p.id = d.plugin_id \
             join dead_letter a on a.plugin_id = d.plugin_id \
             and a.generation = d.generation and a.key = d.key where a.id = $1 order by d.rev, d.id limit 1"
        );
        let missing =
            || Error::not_found(format!("there is no dead letter `{id}`; it may have been settled"));
        // Tried anew while a worker changes the head between the look and the update.
        let head = loop {
            let rows = tx.query(&sql, &[Value::Int(id)]).await?;
            let row = rows.first().ok_or_else(missing)?;
            let head = letter_row(row)?;
            let again = match row.text(15)? {
                "enabled" => None,
                "removed" => Some("configure it again"),
                _ => Some("have it begin again with `enablePlugin`"),
            };
            if let Some(again) = again {
                let text = format!("plugin `{}` is not enabled; {again}, then redrive", row.text(14)?);
                return Err(Error::new(Code::Conflict, text));
            }
            if !matches!(head.state.as_str(), "parked" | "retry") {
                return Ok(0);
            }
            let mut history: Vec<serde_json::Value> = serde_json::from_str(&head.history).unwrap_or_default();
            history.push(serde_json::json!({ "at": now, "redriven": subject }));
            let history = serde_json::Value::from(history).to_string();
            let back = Letter { state: "ready".into(), due: now, history, ..head.clone() };
            if replace_letter(&mut tx, &head, &back).await? {
                break head;
            }
        };
        let sql = "select count(*) from dead_letter where plugin_id = $1 and generation = $2 and key = $3";
        let params = [Value::Int(head.plugin_id), Value::Int(GENERATION), Value::Text(head.key)];
        let rows = tx.query(sql, &params).await?;
        let count = rows.first().map_or(Ok(0), |row| row.i64(0))?;
        announce(&mut tx, Topic::Stream).await?;
        tx.commit().await?;
        self.wake.notify(Topic::Stream);
        Ok(count)
    }

    /// Which of these records wait at which plugin and hook.
    pub async fn waiting_of(&self, ids: &[Uuid]) -> Result<HashSet<(Uuid, i64, String)>> {
        let (list, params) = super::ids(ids);
        let sql = format!("select record_id, plugin_id, hook from dead_letter where record_id in ({list})");
        let rows = self.db.query(&sql, &params).await?;
        rows.iter().map(|row| Ok((row.uuid(0)?, row.i64(1)?, row.text(2)?.to_owned()))).collect()
    }
}
