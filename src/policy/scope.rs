//! What one actor may read of one collection, and the two things that only it can make: a [`Scoped`] query and an
//! opened [`Sealed`] change.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::error::{Error, Result};
use crate::policy::filter;
use crate::query::{Change, Collection, ColumnsUsed, Extras, Filter, Mask, Rules};
use crate::record::Json;

/// The collections that there are at one moment, by field name: where relations lead.
pub type Collections = BTreeMap<Arc<str>, Arc<Collection>>;

/// What one condition or constant takes, with its field's path.
const CONDITION_BYTES: usize = 160;

/// How one field is shown to one actor.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// As it is; may be filtered, sorted and grouped.
    Visible,
    /// Replaced; may not be filtered, sorted, grouped or aggregated.
    Masked(Mask),
    /// Not there at all.
    Hidden,
}

/// What one actor may read of one collection. Immutable, cached by policy version, claims and shape version.
///
/// Fields within lists have ids of their own: a masked field within a list of objects is masked in every item, a
/// masked list of scalars has every item masked. An object, and a list of objects, is visible when anything in it is.
#[derive(Clone, Debug)]
pub struct Scope {
    pub(super) rows: Filter,
    pub(super) fields: BTreeMap<u32, Access>,
    pub(super) conditional: BTreeMap<u32, Arc<Filter>>,
    pub(super) rest: Access,
    pub(super) rescued: Access,
    /// Fields whose values are given out in another type than their columns have: no condition may name them.
    pub(super) cast: BTreeSet<u32>,
}

impl Scope {
    /// Which rows.
    pub fn rows(&self) -> &Filter {
        &self.rows
    }

    /// How the field with this id is shown; nested objects and lists have ids too. Unknown is hidden.
    pub fn access(&self, field_id: u32) -> &Access {
        self.fields.get(&field_id).unwrap_or(&Access::Hidden)
    }

    /// For fields whose access depends on the row: shown only where this holds, else null.
    pub fn condition(&self, field_id: u32) -> Option<&Filter> {
        self.conditional.get(&field_id).map(Arc::as_ref)
    }

    /// How `_rest` is shown: unpublished values, so nobody has classified them. Its field name in policies is `_rest`.
    pub fn rest(&self) -> &Access {
        &self.rest
    }

    /// How `_record.rescued` is shown: exact texts of values that did not fit, of any field, so it is hidden from whom
    /// a field is hidden or masked. Its field name in policies is `_record.rescued`.
    pub fn rescued(&self) -> &Access {
        &self.rescued
    }

    /// Which members that are no published fields are shown.
    pub fn extras(&self) -> Extras {
        Extras { rest: self.rest == Access::Visible, rescued: self.rescued == Access::Visible }
    }

    /// The memory that it takes, roughly. Conditions count for every field that has them.
    pub fn bytes(&self) -> usize {
        let fields = self.fields.len() * (size_of::<u32>() + size_of::<Access>());
        let filters = self.conditional.values().map(Arc::as_ref).chain([&self.rows]);
        fields + filters.map(|filter| filter::size(filter) * CONDITION_BYTES).sum::<usize>()
    }

    /// Scopes a query: refuses it when it compares, sorts, groups or aggregates a field that is not plainly visible,
    /// or shows a hidden one. Whoever runs it must add [`Scope::rows`] to its condition.
    ///
    /// # Errors
    /// `BAD_REQUEST`, worded as for a field that does not exist; the schema that the actor sees has no such field.
    pub fn apply<T: ColumnsUsed>(self: &Arc<Self>, query: T) -> Result<Scoped<T>> {
        let compared = query.compared().iter().all(|id| self.comparable(*id));
        let shown = query.shown().iter().all(|id| self.access(*id) != &Access::Hidden);
        if !compared || !shown {
            let text =
                "there is no such field, or it cannot be used here; ask the schema for the fields there are";
            return Err(Error::bad_request(text));
        }
        Ok(Scoped { inner: query, scope: self.clone() })
    }

    /// Whether it is of all rows.
    pub fn is_whole(&self) -> bool {
        self.rows() == &Filter::Const(true)
    }

    /// Whether conditions, orders, groups and aggregates may name this field: shown as it is, in every row.
    pub fn comparable(&self, field_id: u32) -> bool {
        self.access(field_id) == &Access::Visible
            && self.condition(field_id).is_none()
            && !self.cast.contains(&field_id)
    }
}

impl Rules for Scope {
    fn hidden(&self, field_id: u32) -> bool {
        self.access(field_id) == &Access::Hidden
    }

    fn mask(&self, field_id: u32) -> Option<&Mask> {
        match self.access(field_id) {
            Access::Masked(mask) => Some(mask),
            Access::Visible | Access::Hidden => None,
        }
    }

    fn condition(&self, field_id: u32) -> Option<&Filter> {
        Scope::condition(self, field_id)
    }
}

/// Something that the policy has scoped; only [`Scope::apply`] makes one.
#[derive(Clone, Debug)]
pub struct Scoped<T> {
    inner: T,
    scope: Arc<Scope>,
}

impl<T> Scoped<T> {
    /// What was scoped.
    pub fn get(&self) -> &T {
        &self.inner
    }

    /// The scope.
    pub fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }
}

/// Something that left the store but may be seen only through a scope.
#[derive(Clone, Debug)]
pub struct Sealed<T>(T);

impl<T> Sealed<T> {
    /// Seals it; for the store.
    pub fn new(inner: T) -> Self {
        Sealed(inner)
    }
}

/// An image that only the store can decide about: the scope, or what is asked, follows relations.
#[derive(Clone, Debug)]
pub struct Doubt {
    image: Arc<Json>,
    current: Option<(String, i64)>,
}

impl Doubt {
    /// The image; for the store, which has written it.
    pub fn image(&self) -> &Json {
        &self.image
    }

    /// Key and revision of the row, of an image that is shown only as long as the row is as it says: related rows are
    /// as they are now.
    pub fn current(&self) -> Option<(&str, i64)> {
        self.current.as_ref().map(|(key, revision)| (key.as_str(), *revision))
    }
}

/// What the store says of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Said {
    /// It is not to be seen, as far as is known.
    #[default]
    Unseen,
    /// It is to be seen.
    Seen,
    /// It would be, but the row is another by now: what comes later tells of it.
    Superseded,
}

impl<T> Scoped<T> {
    /// Whether such a row is to be seen; none when that depends on related rows.
    fn sees(&self, row: &Json, wanted: &Filter) -> Option<bool> {
        match (self.scope.rows.decide(row), wanted.decide(row)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }

    /// The row before a change, for a query that follows no relations: none when there was none, or it is not to be
    /// seen.
    pub fn before(&self, Sealed(change): Sealed<Change>, wanted: &Filter) -> Option<Arc<Json>> {
        change.before.filter(|row| self.sees(row, wanted) == Some(true))
    }

    /// The images of a change, before and after, that the store must be asked about before it is opened.
    pub fn doubts(&self, Sealed(change): &Sealed<Change>, wanted: &Filter) -> [Option<Doubt>; 2] {
        let doubt = |image: &Option<Arc<Json>>, current: Option<(String, i64)>| {
            let image = image.as_ref().filter(|row| self.sees(row, wanted).is_none())?;
            Some(Doubt { image: image.clone(), current })
        };
        [doubt(&change.before, None), doubt(&change.after, Some((change.key.clone(), change.revision)))]
    }

    /// Opens a change for a subscriber with the condition `wanted` of its own, which must be part of what was scoped.
    /// `said` is what the store says of its images before and after, where they are in doubt.
    ///
    /// A row that was not visible before and is not after is nothing; so is the deletion of an invisible one. What a
    /// row has become after it left the scope is not handed out, nor is what it was before when only related rows, as
    /// they are now, say that it was visible.
    pub fn open(&self, sealed: Sealed<Change>, wanted: &Filter, [before, after]: [Said; 2]) -> Opened {
        let said = |row: &Json, said: Said| match self.sees(row, wanted) {
            Some(true) => Said::Seen,
            Some(false) => Said::Unseen,
            None => said,
        };
        let mut change = sealed.0;
        let gone = change.after.is_none();
        let was = change.before.as_ref().map_or(Said::Unseen, |row| said(row, before)) == Said::Seen;
        let is = change.after.as_ref().map_or(Said::Unseen, |row| said(row, after));
        change.before = change.before.filter(|row| self.sees(row, wanted) == Some(true));
        if is != Said::Seen {
            change.after = None;
        }
        match (was, is) {
            (_, Said::Seen) => Opened::Upsert(change),
            (true, Said::Unseen) if gone => Opened::Delete(change),
            (true, Said::Unseen) => Opened::LeftScope(change),
            (false, Said::Unseen) | (_, Said::Superseded) => Opened::Nothing,
        }
    }
}

/// What a subscriber may see of a change; the images that it may not see are taken out. Their fields still have to be
/// masked and hidden by the scope.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// The row is in the scope now; `before` is there only when it was before.
    Upsert(Change),
    /// The row was in the scope and is gone; `before` is there when the row itself says so, `after` is not.
    Delete(Change),
    /// The row was in the scope and is no more; `before` is there when the row itself says so, `after` is not.
    LeftScope(Change),
    /// Not for this subscriber.
    Nothing,
}

impl Opened {
    /// What is told of it, by the name in the enum `ChangeOp`; none when nothing is.
    pub fn told(self) -> Option<(&'static str, Change)> {
        match self {
            Opened::Upsert(change) => Some(("UPSERT", change)),
            Opened::Delete(change) => Some(("DELETE", change)),
            Opened::LeftScope(change) => Some(("LEFT_SCOPE", change)),
            Opened::Nothing => None,
        }
    }
}
