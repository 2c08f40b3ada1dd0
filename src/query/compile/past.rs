//! What is past: the changes of one row, from `orderClothingHistory(…)` to a [`History`], and rows as they were at a
//! position, as `asOf` asks. Must not know where they are kept.

use super::Compiler;
use crate::error::{Code, Error, Result};
use crate::query::{
    ChangeCursor, Collection, History, HistoryField, Order, PastField, Query, RECORD, envelope, selection,
};

impl Compiler<'_> {
    pub(super) fn history(&mut self) -> Result<History> {
        let cursor = self.text("after")?.map(|text| ChangeCursor::decode(text, self.collection, self.signer));
        let after = cursor.transpose()?.map(|cursor| cursor.position);
        let (limit, _) = self.page()?;
        let mut fields = Vec::with_capacity(self.selected.children.len());
        for child in self.selected.children.iter() {
            let field = match &*child.name {
                "__typename" => HistoryField::Typename(self.typename("History")),
                "endCursor" => HistoryField::EndCursor,
                "complete" => HistoryField::Complete,
                "nodes" => {
                    let mut nodes = Vec::with_capacity(child.children.len());
                    for member in child.children.iter() {
                        let field = match &*member.name {
                            "at" => PastField::At,
                            "revision" => {
                                self.used.shown.extend(envelope("revision").map(|member| member.id));
                                PastField::Revision
                            }
                            _ => PastField::Change(self.change(member, "HistoryEntry")?),
                        };
                        nodes.push((member.response_key.clone(), field));
                    }
                    HistoryField::Nodes(nodes)
                }
                name => return Err(selection::unknown(name)),
            };
            fields.push((child.response_key.clone(), field));
        }
        let text = |name: &str| self.text(name).map(|text| text.map(str::to_owned));
        let (source_name, source_uid) = (text("sourceName")?, text("sourceUid")?.unwrap_or_default());
        Ok(History { source_name, source_uid, after, limit, fields })
    }

    /// The position that `asOf` names.
    pub(super) fn as_of(&self) -> Result<Option<i64>> {
        let Some(text) = self.text("asOf")? else { return Ok(None) };
        let position = ChangeCursor::decode(text, self.collection, self.signer)?.position;
        // That of a snapshot that was not complete.
        if position < 0 {
            let text = "the cursor is of a snapshot that was not complete; take that of `CAUGHT_UP`";
            return Err(Error::new(Code::CursorTooOld, text));
        }
        Ok(Some(position))
    }
}

/// What decides between equal rows of the past, whose numbers are not known any more: the record that each came from.
/// It is compared by nobody, as the row's number is not.
pub fn by_record(collection: &Collection) -> Result<Order> {
    let field = collection.field(&[RECORD, "id"]).ok_or_else(|| Error::internal("a row has no record"))?;
    Ok(Order { through: Vec::new(), field, descending: false, nulls_first: false })
}

/// Refuses what cannot be told of the past.
pub(super) fn possible(query: &Query) -> Result<()> {
    if query.as_of.is_none() {
        return Ok(());
    }
    if !query.related.is_empty() || query.follows() {
        let text = "with `asOf` no relation can be followed, by fields, `where` or `orderBy`: related rows are as they \
                    are now; ask for them in a query of their own";
        return Err(Error::bad_request(text));
    }
    Ok(())
}
