//! A contract laid over a collection: a collection with fewer fields, by the names and of the types that were agreed.
//! Fields keep their ids, so whatever goes by ids goes on to hold. Must not decide what anybody may see: policy does,
//! and a contract only takes away.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::terms::{Contract, Terms};
use crate::error::{Code, Error, Result};
use crate::query::{
    Cast, Collection, ColumnRef, ENVELOPE, FieldRef, Filter, Mask, Narrow, OnMisfit, RECORD, TOLD, column_of,
    condition, walk,
};
use crate::record::Json;
use crate::shape::{Field, Kind, Published, Scalar};

/// The field that holds what is not published.
pub(super) const REST: &str = "_rest";

/// A collection as a contract has it.
#[derive(Clone, Debug)]
pub struct Narrowed {
    /// With the fields that are in the contract.
    pub collection: Arc<Collection>,
    /// Which rows, besides those of the policies.
    pub rows: Filter,
    /// What is in, by the ids of fields and members of `_record`, with the mask that is agreed and the type that it
    /// replaces a value of.
    pub fields: BTreeMap<u32, (Option<Mask>, Scalar)>,
    /// Whether `_rest` is in.
    pub rest: bool,
}

/// Names as a tree.
#[derive(Default)]
pub(super) struct Named<'a> {
    /// All that is here.
    pub(super) all: bool,
    pub(super) below: BTreeMap<&'a str, Named<'a>>,
}

impl<'a> Named<'a> {
    pub(super) fn new(names: impl IntoIterator<Item = &'a String>) -> Self {
        let mut root = Named::default();
        for name in names {
            let mut at = &mut root;
            for part in name.split('.') {
                if part == "*" {
                    break;
                }
                at = at.below.entry(part).or_default();
            }
            at.all = true;
        }
        root
    }

    /// What is named of a field, and by which of the names that it ever had; `None` when it is not.
    pub(super) fn of(&self, field: &Field) -> Option<(&Named<'a>, Option<&'a str>)> {
        let own = field.names_ever().find_map(|name| self.below.get_key_value(name));
        match own {
            Some((name, _)) if self.all => Some((&WHOLE, Some(name))),
            Some((name, below)) => Some((below, Some(name))),
            None if self.all => Some((&WHOLE, None)),
            None => None,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.all || self.below.contains_key(name)
    }
}

/// Everything that is below a field.
static WHOLE: Named<'static> = Named { all: true, below: BTreeMap::new() };

/// Lays what a contract says of a collection over it. `pinned` is the shape of the version that the terms name.
///
/// # Errors
/// `UNPROCESSABLE` when its condition does not fit the collection any more: then nothing of it may be shown.
pub fn narrow(
    collection: &Collection,
    contract: &Contract,
    terms: &Terms,
    pinned: Option<&Published>,
) -> Result<Narrowed> {
    let named = Named::new(&terms.fields);
    let pinned = pinned.map(|pinned| by_id(&collection.shape, pinned));
    if terms.shape_version.is_some() && pinned.is_none() {
        return Err(Error::internal("a contract is pinned to a version that is not at hand"));
    }
    let mut walk = Walk { terms, pinned, fields: BTreeMap::new(), casts: BTreeMap::new() };
    let kept = walk.level(&collection.shape.fields, &named, "", None);
    let record = walk.envelope(named.below.get(RECORD));
    let rows = Filter::all([walk.rows(collection)?, walk.fitting(collection)?]);
    let rest = named.below.contains_key(REST);
    let mut shape = Published::clone(&collection.shape);
    shape.fields = kept;
    shape.union = shape.union.filter(|union| named.has(&union.name));
    shape.relations.retain(|relation| named.has(&relation.name));
    let (label, page_max) = (contract.label(), contract.limits.page_max);
    let narrow = Narrow { label, record, rest, page_max, casts: walk.casts };
    let collection = Collection { shape: shape.into(), narrow: Some(narrow.into()), ..collection.clone() };
    Ok(Narrowed { collection: collection.into(), rows, fields: walk.fields, rest })
}

/// The fields of a version that is kept by the ids that they have now.
fn by_id(now: &Published, pinned: &Published) -> BTreeMap<u32, Field> {
    let mut fields = BTreeMap::new();
    walk(pinned, &mut |_, field| {
        fields.insert(now.current(field.id), field.clone());
    });
    fields
}

struct Walk<'a> {
    terms: &'a Terms,
    pinned: Option<BTreeMap<u32, Field>>,
    fields: BTreeMap<u32, (Option<Mask>, Scalar)>,
    casts: BTreeMap<u32, Cast>,
}

impl Walk<'_> {
    /// The fields of one level that are in. `above`: what they stand in, as the contract names it, with a dot.
    fn level(&mut self, fields: &[Field], named: &Named<'_>, above: &str, mask: Option<&Mask>) -> Vec<Field> {
        let mut kept = Vec::new();
        for field in fields {
            let Some((below, written)) = named.of(field) else { continue };
            let was = match &self.pinned {
                None => None,
                Some(pinned) => match pinned.get(&field.id) {
                    Some(was) => Some(was.clone()),
                    // It came later.
                    None => continue,
                },
            };
            let own = was.as_ref().map_or(&field.name, |was| &was.name);
            let name = written.unwrap_or(own);
            let path = format!("{above}{name}");
            let own_mask = self.terms.masks.get(&path).map(|term| term.mask());
            let mask = own_mask.as_ref().or(mask);
            let Some(kind) =
                self.kind(field, &field.kind, was.as_ref().map(|was| &was.kind), &|walk, fields| {
                    walk.level(fields, below, &format!("{path}."), mask)
                })
            else {
                continue;
            };
            self.fields.insert(field.id, (mask.cloned(), kind.scalar()));
            if let Some(cast) = self.casts.get_mut(&field.id) {
                cast.misfit = misfit(self.terms, &path);
            }
            let mut next = field.clone();
            next.decided.stored = Some(field.stored().to_owned());
            if written.is_some() || was.is_some() || self.terms.rename.contains_key(&path) {
                next.decided.aliases.clear();
            }
            next.name = self.terms.rename.get(&path).map_or(name, String::as_str).to_owned();
            next.decided.union = next.decided.union.filter(|union| named.has(&union.name));
            next.kind = kind;
            kept.push(next);
        }
        kept
    }

    /// A kind as the contract has it; `None` when nothing of it is in, or it became something else altogether.
    fn kind(
        &mut self,
        field: &Field,
        now: &Kind,
        was: Option<&Kind>,
        level: &dyn Fn(&mut Self, &[Field]) -> Vec<Field>,
    ) -> Option<Kind> {
        let some = |fields: Vec<Field>| (!fields.is_empty()).then_some(fields);
        Some(match (now, was) {
            (Kind::Scalar(now), Some(Kind::Scalar(was))) if now != was => {
                // What a steward made of it may be an enum of texts; a cast knows none.
                field.enumeration().is_none().then_some(())?;
                self.casts.insert(field.id, Cast { from: *now, to: *was, misfit: OnMisfit::default() });
                Kind::Scalar(*was)
            }
            (Kind::Scalar(scalar), None | Some(Kind::Scalar(_))) => Kind::Scalar(*scalar),
            (Kind::Object(fields), None | Some(Kind::Object(_) | Kind::Packed(_))) => {
                Kind::Object(some(level(self, fields))?)
            }
            (Kind::Packed(fields), None | Some(Kind::Object(_) | Kind::Packed(_))) => {
                Kind::Packed(some(level(self, fields))?)
            }
            (Kind::List(item), None) => Kind::List(self.kind(field, item, None, level)?.into()),
            (Kind::List(item), Some(Kind::List(was))) => {
                Kind::List(self.kind(field, item, Some(was), level)?.into())
            }
            (Kind::Map(value), None) => Kind::Map(self.kind(field, value, None, level)?.into()),
            (Kind::Map(value), Some(Kind::Map(was))) => {
                Kind::Map(self.kind(field, value, Some(was), level)?.into())
            }
            (Kind::Scalar(_) | Kind::Object(_) | Kind::Packed(_) | Kind::List(_) | Kind::Map(_), Some(_)) => {
                return None;
            }
        })
    }
}

impl Walk<'_> {
    /// The members of `_record` that are in; whether any is. What can hold texts of any field is never in.
    fn envelope(&mut self, named: Option<&Named<'_>>) -> bool {
        let Some(named) = named else { return false };
        let members = ENVELOPE.iter().map(|member| (member.name, member.id, member.scalar));
        let told = TOLD.iter().filter(|told| told.classified).map(|told| (told.name, told.id, told.scalar));
        let whole = self.terms.masks.get(RECORD);
        for (name, id, scalar) in members.chain(told).filter(|(name, ..)| named.has(name)) {
            let mask = self.terms.masks.get(&format!("{RECORD}.{name}")).or(whole).map(|term| term.mask());
            self.fields.insert(id, (mask, scalar));
        }
        true
    }

    /// The rows whose values all fit where one that does not drops its row. Of a type for which no database can tell,
    /// nothing is given.
    fn fitting(&self, collection: &Collection) -> Result<Filter> {
        let drops = self.casts.iter().filter(|(_, cast)| cast.misfit == OnMisfit::DropRow);
        let all = drops.map(|(id, cast)| {
            let held = column_of(&collection.shape, *id).filter(|held| !held.list);
            let (Some(held), Some(narrowing)) = (held, cast.narrowing()) else {
                let path = collection.shape.field(*id).map_or("", |field| field.path.as_str());
                let text =
                    format!("`{path}` is not a number any more, and of no other type rows can be dropped");
                return Err(Error::new(Code::Unprocessable, text));
            };
            let column = ColumnRef::Narrowed(*id, narrowing);
            let narrowed = FieldRef { column, scalar: cast.to, ..held.clone() };
            let fits = Filter::Not(Box::new(Filter::IsNull(narrowed)));
            Ok(Filter::Or(vec![Filter::IsNull(held), fits]))
        });
        Ok(Filter::all(all.collect::<Result<Vec<_>>>()?))
    }

    /// Which rows: those of its condition.
    fn rows(&self, collection: &Collection) -> Result<Filter> {
        let agreed = match &self.terms.filter {
            None => Filter::Const(true),
            Some(value) => condition(collection, &Json::from(value.clone())).map_err(|error| {
                let text = format!("its condition does not fit the collection: {}", error.message());
                Error::new(Code::Unprocessable, text)
            })?,
        };
        Ok(agreed)
    }
}

fn misfit(terms: &Terms, path: &str) -> OnMisfit {
    let of = |path: &str| terms.misfits.get(path).copied();
    of(path).or_else(|| of("*")).unwrap_or_default()
}
