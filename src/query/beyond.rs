//! What conditions and orders may follow beyond a collection's own rows: relations as the one who asks sees them. Must
//! not judge that: whoever implements it does.

use std::sync::Arc;

use super::{Collection, Link};

/// Where relations lead for the one who asks.
pub trait Beyond: Sync {
    /// The relation with this name of a collection, with the rows that the one who asks may see there; none when there
    /// is none for it.
    fn follow(&self, from: &Collection, name: &str) -> Option<Followed<'_>>;
}

/// A relation that is followed.
pub struct Followed<'a> {
    /// Where it leads, to rows that are to be seen only.
    pub link: Link,
    /// The collection of these rows.
    pub collection: &'a Arc<Collection>,
    /// Whether the field with this id is shown there as it is, in every row.
    pub comparable: Box<dyn Fn(u32) -> bool + 'a>,
}

/// Nothing is followed.
#[derive(Debug)]
pub struct Alone;

impl Beyond for Alone {
    fn follow(&self, _: &Collection, _: &str) -> Option<Followed<'_>> {
        None
    }
}
