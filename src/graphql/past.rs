//! What root fields have about time: from when on a read is good. Must not know how they are answered.

use super::model::{Field, Input, TypeRef};

/// A root field that can wait for what its reader has written.
pub(super) fn awaiting(field: Field) -> Field {
    let text = "Not before this has happened: `cursor` of a receipt, of a change or of `pageInfo`, or several of them \
                with commas between.";
    field.argument(Input::new("minCursor", TypeRef::named("String"), text))
}
