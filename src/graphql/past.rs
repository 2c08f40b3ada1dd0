//! What root fields have about time: from when on a read is good, and what rows were before. Must not know how they are
//! answered.

use super::collection::Shown;
use super::model::{Field, Input, Kind, Model, Type, TypeRef};
use super::names::Names;

/// A root field that can wait for what its reader has written.
pub(super) fn awaiting(field: Field) -> Field {
    let text = "Not before this has happened: `cursor` of a receipt, of a change or of `pageInfo`, or several of them \
                with commas between.";
    field.argument(Input::new("minCursor", TypeRef::named("String"), text))
}

/// A root field that can be asked for what was.
pub(super) fn as_of(field: Field) -> Field {
    let text = "As it was at this position: `cursor` of a change, of `pageInfo` or of `CAUGHT_UP`.";
    field.argument(Input::new("asOf", TypeRef::named("String"), text))
}

/// Adds the types of a row's history, and gives the field for it; with how key, revision and
/// source are shown.
pub(super) fn history(
    model: &mut Model,
    names: Names<'_>,
    of: &str,
    [key, revision, source]: [Shown; 3],
) -> Field {
    let row = || TypeRef::named(names.ty);
    let (text, uid) = (|| TypeRef::named("String"), "The uid that the source gave.");
    let mut entry = vec![
        Field::new(
            "cursor",
            text().required(),
            "For `after`, for older ones; also of a subscription, to go on.",
        ),
        Field::new("op", TypeRef::named("ChangeOp").required(), "What happened."),
        Field::new("at", TypeRef::named("DateTime").required(), "When it was committed."),
    ];
    if key != Shown::Hidden {
        entry.push(Field::new("key", text(), "The row's key."));
    }
    if revision != Shown::Hidden {
        let text = "The record's revision; of a deletion, the tombstone's.";
        entry.push(Field::new("revision", TypeRef::named("Int"), text));
    }
    entry.extend([
        Field::new("node", row(), "The row as it was then, of the types that it has now."),
        Field::new("before", row(), "The row as it was before."),
    ]);
    let entries = names.derived("HistoryEntry");
    let description = "A change of a row that is past, as you may see the row now.";
    model.insert(Type::new(entries.as_str(), description, Kind::Object(entry)));
    let complete = "Whether the last of these is where the row began, or came into what you may see; else older ones \
                    follow, or are no longer kept.";
    let history = names.derived("History");
    let members = vec![
        Field::new("nodes", TypeRef::named(entries).required().list().required(), "The newest first."),
        Field::new("endCursor", text(), "For `after`, when there may be older ones."),
        Field::new("complete", TypeRef::named("Boolean").required(), complete),
    ];
    model.insert(Type::new(history.as_str(), "What has become of a row.", Kind::Object(members)));
    let mut field = Field::new(
        names.history_field(),
        TypeRef::named(history).required(),
        format!("The changes of one row of {of}, also of one that is gone, as far as they are kept."),
    );
    if source == Shown::Visible {
        field =
            field.argument(Input::new("sourceName", text(), "Needed when several sources have this uid."));
    }
    let field = field
        .argument(Input::new("sourceUid", text().required(), uid))
        .argument(Input::new("first", TypeRef::named("Int"), "This many changes."))
        .argument(Input::new("after", text(), "Older than the one with this cursor."));
    awaiting(field)
}
