//! Contracts as the database keeps them: every version for ever, as texts. Must not know what they mean, nor who may
//! change them.

use std::collections::BTreeMap;

use super::Store;
use super::db::{Row, Type};
use super::wake::{Topic, announce};
use crate::error::{Error, Result};

/// One version of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// Its JSON text.
    pub body: String,
    /// The versions of the shapes of its collections when it was applied, by the names of their query fields.
    pub shapes: BTreeMap<String, i64>,
    /// When it was applied or last changed, Unix microseconds.
    pub at: i64,
    /// Who did that.
    pub subject: String,
}

const COLUMNS: [(&str, Type); 6] = [
    ("name", Type::Text),
    ("version", Type::Int),
    ("body", Type::Text),
    ("shapes", Type::Text),
    ("at", Type::Int),
    ("subject", Type::Text),
];
const HOLD: &str = "update contract_pos set pos = pos + 1";
const POSITION: &str = "select pos from contract_pos";
const READ: &str = "select name, version, body, shapes, at, subject from contract order by name, version";
const WRITE: &str = "on conflict (name, version) do update \
     set body = excluded.body, shapes = excluded.shapes, at = excluded.at, subject = excluded.subject";

impl Store {
    /// A number that every change of a contract raises.
    pub async fn contracts_position(&self) -> Result<i64> {
        let rows = self.db.query(POSITION, &[]).await?;
        rows.first().map_or(Ok(0), |row| row.i64(0))
    }

    /// All versions of all contracts.
    pub async fn contracts(&self) -> Result<Vec<Kept>> {
        self.db.query(READ, &[]).await?.iter().map(kept).collect()
    }

    /// Writes what `decide` makes of the contracts that there are, one decision after the other on all nodes; nothing
    /// when it makes nothing. Its time is set here.
    ///
    /// # Errors
    /// Those of `decide`: then nothing is changed.
    pub async fn agree(&self, decide: impl FnOnce(&[Kept]) -> Result<Option<Kept>> + Send) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        tx.execute(HOLD, &[]).await?;
        let known: Vec<Kept> = tx.query(READ, &[]).await?.iter().map(kept).collect::<Result<_>>()?;
        let Some(one) = decide(&known)? else { return Ok(false) };
        let shapes = serde_json::to_string(&one.shapes).map_err(Error::internal)?;
        let row = vec![
            one.name.into(),
            one.version.into(),
            one.body.into(),
            shapes.into(),
            self.clock.now_us().into(),
            one.subject.into(),
        ];
        tx.insert_many("contract", &COLUMNS, vec![row], WRITE).await?;
        announce(&mut tx, Topic::Catalog).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn kept(row: &Row) -> Result<Kept> {
    Ok(Kept {
        name: row.text(0)?.to_owned(),
        version: row.i64(1)?,
        body: row.text(2)?.to_owned(),
        shapes: serde_json::from_str(row.text(3)?).map_err(Error::internal)?,
        at: row.i64(4)?,
        subject: row.text(5)?.to_owned(),
    })
}
