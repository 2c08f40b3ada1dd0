//! The history of a row: its changes, the newest first, each opened by the scope that its reader has now and shown as
//! in a subscription. Must not know how a change is found.

use std::sync::Arc;

use super::Publishing;
use super::subscribe::{fingerprint, projector};
use crate::error::{Code, Error, Result};
use crate::policy::Scoped;
use crate::query::{
    Budget, Change, ChangeCursor, ChangeField, History, HistoryField, PastField, Plain, Query, write,
};
use crate::record::Json;
use crate::store::rows::Past;

/// Changes read at once.
const BATCH: usize = 200;

/// A change as its reader may see it.
struct Seen {
    op: &'static str,
    change: Change,
}

/// Some changes of one row.
#[derive(Default)]
struct Page {
    seen: Vec<Seen>,
    /// Where older ones may be.
    end: Option<i64>,
}

impl Page {
    /// Whether nothing older is missing, as far as its reader can tell: the row began here, or came into its scope.
    fn complete(&self) -> bool {
        let began = |last: &Seen| last.op == "UPSERT" && last.change.before.is_none();
        self.end.is_none() && self.seen.last().is_some_and(began)
    }
}

impl Publishing {
    /// Appends the history that is asked for; how many changes it has.
    ///
    /// # Errors
    /// `CONFLICT` when several sources have such a row; `CURSOR_TOO_OLD`; a stale one when the shape is newer.
    pub(super) async fn history(
        &self,
        query: &Scoped<Query>,
        asked: &History,
        budget: &Budget,
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        let collection = query.get().collection();
        let keys = self.0.store.keys(collection, asked.source_name.as_deref(), &asked.source_uid).await?;
        let mut page = Page::default();
        for key in &keys {
            let one = self.past_of(query, asked, key.as_str()).await?;
            if one.seen.is_empty() && one.end.is_none() {
                continue;
            }
            if !page.seen.is_empty() || page.end.is_some() {
                let text = "several sources have a record with this `sourceUid`; say which by `sourceName`";
                return Err(Error::new(Code::Conflict, text));
            }
            page = one;
        }
        for (index, (name, field)) in asked.fields.iter().enumerate() {
            write::member(name, index == 0, out);
            match field {
                HistoryField::Typename(name) => write::text(name, out),
                HistoryField::Complete => write::bool(page.complete(), out),
                HistoryField::EndCursor => match page.end {
                    Some(position) => write::text(&self.cursor(query, position), out),
                    None => out.extend_from_slice(b"null"),
                },
                HistoryField::Nodes(fields) => {
                    out.push(b'[');
                    for (index, seen) in page.seen.iter().enumerate() {
                        if index > 0 {
                            out.push(b',');
                        }
                        let from = out.len();
                        self.entry(query, fields, seen, budget, out)?;
                        budget.take(out.len() - from)?;
                    }
                    out.push(b']');
                }
            }
        }
        if asked.fields.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(page.seen.len())
    }

    /// The changes of one key that may be seen; those that may not count only against what is looked at.
    async fn past_of(&self, query: &Scoped<Query>, asked: &History, key: &str) -> Result<Page> {
        let collection = query.get().collection();
        let mut page = Page::default();
        let (mut before, mut left) = (asked.after, self.0.consistency.history_changes_max.max(1));
        loop {
            let max = asked.limit.saturating_add(1).saturating_sub(page.seen.len()).min(BATCH).min(left);
            let bytes_max = self.0.subscriptions.batch_bytes_max;
            let (changes, more) = self.0.store.past(collection, Past { key, before, max, bytes_max }).await?;
            let said = self.judged(query, &changes).await?;
            for (tailed, said) in changes.iter().zip(said) {
                if tailed.generation != collection.generation {
                    continue;
                }
                let opened = query.open(tailed.change.clone(), query.get().filter(), said);
                let Some((op, change)) = opened.told() else { continue };
                if page.seen.len() == asked.limit {
                    page.end = page.seen.last().map(|last| last.change.pos).or(asked.after);
                    return Ok(page);
                }
                page.seen.push(Seen { op, change });
            }
            left = left.saturating_sub(changes.len());
            before = changes.last().map(|last| last.pos).or(before);
            if !more {
                return Ok(page);
            }
            if left == 0 {
                page.end = before;
                return Ok(page);
            }
        }
    }

    fn entry(
        &self,
        query: &Scoped<Query>,
        fields: &[(Arc<str>, PastField)],
        seen: &Seen,
        budget: &Budget,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let bytes_max = self.0.limits.answer_bytes_max.saturating_add(out.len());
        let projector = projector(query, &self.0.signer, bytes_max);
        let change = &seen.change;
        for (index, (name, field)) in fields.iter().enumerate() {
            write::member(name, index == 0, out);
            if out.len() > bytes_max {
                return Err(budget.spent());
            }
            let image = |row: &Option<Arc<Json>>, nodes, out: &mut Vec<u8>| match row {
                Some(row) => projector.row(nodes, row, out),
                None => out.extend_from_slice(b"null"),
            };
            match field {
                PastField::At => match write::instant(change.at) {
                    Some(at) => write::text(&at, out),
                    None => out.extend_from_slice(b"null"),
                },
                PastField::Revision => projector.alone("revision", Plain::Int(change.revision), out),
                PastField::Change(ChangeField::Typename(name)) => write::text(name, out),
                PastField::Change(ChangeField::Cursor) => write::text(&self.cursor(query, change.pos), out),
                PastField::Change(ChangeField::Op) => write::text(seen.op, out),
                PastField::Change(ChangeField::Key) => projector.key(Some(&change.key), out),
                PastField::Change(ChangeField::Node(nodes)) => image(&change.after, nodes, out),
                PastField::Change(ChangeField::Before(nodes)) => image(&change.before, nodes, out),
            }
        }
        if fields.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
        if out.len() > bytes_max { Err(budget.spent()) } else { Ok(()) }
    }

    fn cursor(&self, query: &Scoped<Query>, position: i64) -> String {
        let cursor = ChangeCursor { position, rows: fingerprint(query) };
        cursor.encode(query.get().collection(), &self.0.signer)
    }
}
