//! What stewards accept as enums: only texts that the rows have no others than, and never personal data, as whoever may
//! see the field reads the values in the schema.

use super::Publishing;
use crate::config;
use crate::error::{Code, Error, Result};
use crate::query::Collection;
use crate::record::Actor;
use crate::shape::{Field, Wish, type_of};
use crate::store::rows::Looked;

/// So many values that are missing are told at once.
const TOLD_MAX: usize = 10;

impl Publishing {
    /// Looks through the rows for texts that the values which are wished for lack.
    ///
    /// # Errors
    /// `CONFLICT` when there are some; it names them to whom statistics would tell them.
    pub(super) async fn look(
        &self,
        actor: &Actor,
        collection: &Collection,
        path: &str,
        wish: &Wish,
    ) -> Result<Option<Looked>> {
        let field = collection.shape.fields().find(|field| field.path == path);
        let (Some(field), Some([_, ..])) = (field, wish.values.as_deref()) else { return Ok(None) };
        may_be_enum(field)?;
        let mut wished = field.clone();
        wished.decide(&Wish { values: wish.values.clone(), ..Wish::default() });
        let (mut beyond, looked) = self.0.store.texts_beyond(collection, &wished, TOLD_MAX + 1).await?;
        if beyond.is_empty() {
            return Ok(Some(looked));
        }
        let mut text =
            format!("rows have other values at `{}` than these; accept them, too", super::short(path));
        let scope = self.0.policy.scope(actor, &self.0.store.catalog.load().collections, collection)?;
        if scope.is_some_and(|scope| scope.is_whole() && scope.comparable(field.id)) {
            let more = if beyond.len() > TOLD_MAX { " and others" } else { "" };
            beyond.truncate(TOLD_MAX);
            let told: Vec<String> = beyond.iter().map(|value| format!("`{}`", super::short(value))).collect();
            text = format!("{text}: {}{more}", told.join(", "));
        }
        Err(Error::new(Code::Conflict, text))
    }
}

/// Whether a field can be an enum at all.
///
/// # Errors
/// `BAD_REQUEST` that says why not.
pub(super) fn may_be_enum(field: &Field) -> Result<()> {
    let path = super::short(&field.path);
    if !field.holds_texts() {
        let ty = type_of(&field.kind);
        let text = format!("`{path}` is of type `{ty}`; only a `String`, or a list of them, can be an enum");
        return Err(Error::bad_request(text));
    }
    if field.is_personal() {
        let text =
            format!("`{path}` is personal data, which must not stand in the schema as the values of an enum");
        return Err(Error::bad_request(text));
    }
    Ok(())
}

/// Checks values against their bounds.
///
/// # Errors
/// `BAD_REQUEST`
pub(super) fn check(values: &[String], limits: &config::Shape) -> Result<()> {
    let (values_max, bytes_max) = (limits.enum_values_max, limits.enum_value_bytes_max);
    if values.len() > values_max {
        let text = format!("an enum has at most {values_max} values: `shape.enum_values_max`");
        return Err(Error::bad_request(text));
    }
    if values.iter().any(|value| value.len() > bytes_max) {
        let text = format!("a value of an enum has at most {bytes_max} bytes: `shape.enum_value_bytes_max`");
        return Err(Error::bad_request(text));
    }
    if values.iter().any(|value| value.contains('\0')) {
        return Err(Error::bad_request("a value of an enum must not contain NUL: no row has such text"));
    }
    Ok(())
}
