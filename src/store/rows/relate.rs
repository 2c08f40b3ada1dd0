//! Relations published by decision: both collections' sides in one transaction, and indexes on the columns that they
//! are followed by. Must not judge who may decide.

use super::publish::Cover;
use super::{Applied, Decision, ddl};
use crate::error::Result;
use crate::query::{Collection, FieldRef};
use crate::shape::Published;
use crate::store::Store;
use crate::store::db::Dialect;
use crate::store::events::EventKind;

/// Which side of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Whose field has the values.
    From,
    /// Whose field is the key.
    To,
}

impl Store {
    /// Publishes what `change` makes of the shapes of both sides, first of the one that it leads from, and writes down
    /// who decided it, in one transaction. Both sides may be one collection.
    ///
    /// # Errors
    /// Those of `change`, and `UNAVAILABLE` when another transaction stands in the way for too long.
    pub async fn relate(
        &self,
        (from, to): (&Collection, &Collection),
        subject: &str,
        (what, cause): (&str, &str),
        change: &mut (dyn FnMut(Side, &mut Published) -> Result<Decision> + Send),
    ) -> Result<()> {
        let (mut tx, mut applied) = (self.db.begin().await?, Applied::default());
        if tx.dialect() == Dialect::Postgres {
            let sql = "select id from collection where id in ($1, $2) order by id for update";
            tx.query(sql, &[from.id.into(), to.id.into()]).await?;
        }
        for (side, collection) in [(Side::From, from), (Side::To, to)] {
            let kind = (collection.category.as_str(), collection.subcategory.as_str());
            let mut decision = None;
            let mut cover = Cover { store: self, tx: &mut tx, applied: &mut applied };
            let revised = cover
                .revise(kind, cause, None, |shape, _| {
                    decision = Some(change(side, shape)?);
                    Ok(())
                })
                .await?;
            if let Some(decision) = decision {
                self.write_down(&mut tx, &revised, (subject, what), &decision).await?;
            }
        }
        for one in &mut applied.happened {
            (one.kind, one.subject) = (EventKind::Decided, Some(subject.to_owned()));
        }
        self.publish_decided(tx, &applied).await
    }

    /// Has an index lead to rows by this column, if none does yet. Who writes to the collection waits meanwhile.
    ///
    /// # Errors
    /// `UNAVAILABLE`: it is slower without, and right.
    pub async fn index(&self, collection: &Collection, field: &FieldRef) -> Result<()> {
        let mut tx = self.db.begin().await?;
        ddl::index(&mut tx, collection, &field.column).await?;
        tx.commit().await
    }
}
