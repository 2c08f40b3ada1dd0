//! New names for published fields. A field goes on to answer to its old names until a steward takes them away, and a
//! name that it ever had is given to no other field: not among its siblings, nor among the flattened names of groups.
//! What is stored keeps the first name. Must not judge who may rename.

use std::collections::BTreeMap;

use super::names::is_reserved;
use super::{Field, Kind, Published};
use crate::config;

impl Field {
    /// The name by which texts of columns and images of rows hold its values: it never changes.
    pub fn stored(&self) -> &str {
        self.decided.stored.as_deref().unwrap_or(&self.name)
    }

    /// The names that clients may use, the present one first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.decided.aliases).map(String::as_str)
    }

    /// Every name that it ever had, the present one first.
    pub fn names_ever(&self) -> impl Iterator<Item = &str> {
        self.names().chain(self.decided.retired.iter().map(String::as_str))
    }

    /// Whether clients may call it so.
    pub fn answers_to(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    /// Whether it is or ever was called so.
    pub fn was_called(&self, name: &str) -> bool {
        self.names_ever().any(|own| own == name)
    }
}

impl Published {
    /// Gives the field at this path a new name; the old one becomes an alias.
    ///
    /// # Errors
    /// Why it cannot have the name, for people.
    pub fn rename(&mut self, path: &str, name: &str, limits: &config::Shape) -> Result<(), String> {
        is_legal(name, limits.key_bytes_max)?;
        let siblings = siblings(&self.fields, path).unwrap_or_default();
        if let Some(other) = siblings.iter().find(|field| field.path != path && field.was_called(name)) {
            return Err(format!(
                "`{name}` is or was the name of the field at `{}`, and a name is given to one field for ever",
                other.path
            ));
        }
        let root = path.rfind('/') == Some(0);
        if root && self.relations.iter().any(|relation| relation.name == name) {
            return Err(format!("`{name}` is or was the name of a relation, and is given to nothing else"));
        }
        if self.is_union_beside(path, name) {
            return Err(format!("`{name}` is the name of a union, and a name is given once for ever"));
        }
        let mut renamed = self.clone();
        let Some(field) = renamed.at_path_mut(path) else { return Ok(()) };
        field.call(name);
        let (before, after) = (flat_names(&self.fields), flat_names(&renamed.fields));
        for (flat, ids) in after {
            let own = before.get(&flat).is_some_and(|known| known.len() == ids.len());
            if ids.len() > 1 && !own {
                return Err(format!("`{flat}` would name two fields in `groupBy` and in figures"));
            }
        }
        if most_names(&renamed.fields) > limits.names_max {
            return Err(format!(
                "a field would have more than {} names with those of what it stands in: `shape.names_max`",
                limits.names_max
            ));
        }
        *self = renamed;
        Ok(())
    }

    /// Has the field at this path answer to these of its old names only.
    ///
    /// # Errors
    /// A name that is none of its aliases.
    pub fn keep_aliases(&mut self, path: &str, kept: &[String]) -> Result<(), String> {
        let Some(field) = self.at_path_mut(path) else { return Ok(()) };
        let decided = &mut field.decided;
        if let Some(unknown) = kept.iter().find(|name| !decided.aliases.contains(name)) {
            return Err(unknown.clone());
        }
        let (aliases, gone) =
            std::mem::take(&mut decided.aliases).into_iter().partition(|name| kept.contains(name));
        decided.aliases = aliases;
        let gone: Vec<String> = gone;
        decided.retired.extend(gone);
        Ok(())
    }
}

impl Field {
    fn call(&mut self, name: &str) {
        if self.name == name {
            return;
        }
        let before = std::mem::replace(&mut self.name, name.to_owned());
        let decided = &mut self.decided;
        decided.aliases.retain(|alias| alias != name);
        decided.retired.retain(|alias| alias != name);
        decided.stored.get_or_insert_with(|| before.clone());
        decided.aliases.push(before);
    }
}

/// Whether a field may have this name.
///
/// # Errors
/// Why it cannot, for people.
pub fn is_legal(name: &str, bytes_max: usize) -> Result<(), String> {
    let readable = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    if name.len() > bytes_max {
        Err(format!("a name has at most {bytes_max} bytes: `shape.key_bytes_max`"))
    } else if !readable || name.starts_with("__") || name == "_" {
        let text =
            "a name is letters `a` to `z`, digits and `_`, begins with no digit and no `__`, and is not `_`";
        Err(text.to_owned())
    } else if is_reserved(name) {
        Err(format!("`{name}` has a meaning of its own"))
    } else {
        Ok(())
    }
}

/// The fields among which the one at this path stands.
fn siblings<'a>(fields: &'a [Field], path: &str) -> Option<&'a [Field]> {
    for field in fields {
        if field.path == path {
            return Some(fields);
        }
        if path.strip_prefix(&*field.path).is_some_and(|rest| rest.starts_with('/')) {
            return siblings(field.children(), path);
        }
    }
    None
}

/// Every name that groups and figures have, or would have, for leaves, with the ids of these.
pub(super) fn flat_names(fields: &[Field]) -> BTreeMap<String, Vec<u32>> {
    fn below(fields: &[Field], above: &[String], out: &mut BTreeMap<String, Vec<u32>>) {
        for field in fields {
            let flat = flattened(above, field);
            match &field.kind {
                Kind::Object(children) => {
                    let above: Vec<String> = flat.into_iter().map(|name| name + "_").collect();
                    below(children, &above, out);
                }
                _ => flat.into_iter().for_each(|name| out.entry(name).or_default().push(field.id)),
            }
        }
    }
    let mut out = BTreeMap::new();
    below(fields, &[String::new()], &mut out);
    out
}

/// The flattened names of a field behind each of these beginnings.
pub(super) fn flattened(above: &[String], field: &Field) -> Vec<String> {
    above.iter().flat_map(|above| field.names_ever().map(move |name| format!("{above}{name}"))).collect()
}

/// The most names that a field has together with those of what it stands in.
fn most_names(fields: &[Field]) -> usize {
    let names =
        |field: &Field| field.names_ever().count().saturating_mul(most_names(field.children()).max(1));
    fields.iter().map(names).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
