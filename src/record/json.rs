//! JSON kept exact: number texts, key order and duplicate keys survive. Parsing is jiter's.

/// A JSON value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number's exact text.
    Number(Box<str>),
    /// A string, unescaped.
    String(String),
    /// Items in order.
    Array(Vec<Json>),
    /// Members in order, duplicates included.
    Object(Vec<(String, Json)>),
}

/// Bounds of one document.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How deep it may nest.
    pub depth_max: usize,
    /// How many keys and items it may have.
    pub values_max: usize,
}

/// Parses one document.
///
/// # Errors
/// `BAD_REQUEST` with line and column when it is not JSON, `TOO_LARGE` when it passes a bound.
pub fn parse(_bytes: &[u8], _limits: Limits) -> crate::error::Result<Json> {
    todo!()
}
