//! Conditions that follow relations: read as those of the other collection, and refused where one names what could not
//! be compared in a query of its own. Must not judge which rows there are: that comes with the relation.

use super::{At, FIRST_NUMBER, Reader, members};
use crate::error::{Code, Error, Result};
use crate::query::arguments::within_bound;
use crate::query::{Filter, Followed, selection};
use crate::record::Json;

impl<'a> Reader<'a> {
    /// A condition on the rows that a relation leads to.
    pub(super) fn followed(
        &mut self,
        followed: Followed<'a>,
        name: &'a str,
        value: &'a Json,
        depth: usize,
    ) -> Result<Filter> {
        if !followed.link.many {
            return self.related(&followed, (name, value), depth);
        }
        let mut all = Vec::new();
        for (quantifier, value) in members(value, name)? {
            let when = self.related(&followed, (quantifier, value), depth)?;
            all.push(match (quantifier.as_str(), when) {
                ("some", some) => some,
                ("none", some) => some.opposite(),
                ("every", Filter::Related(link, number, when)) => {
                    Filter::Related(link, number, Box::new(when.opposite())).opposite()
                }
                _ => {
                    return Err(Error::bad_request(format!(
                        "there is no condition `{quantifier}` for `{name}`"
                    )));
                }
            });
        }
        Ok(Filter::all(all))
    }

    /// Whether the relation leads to a row for which this holds.
    fn related(
        &mut self,
        followed: &Followed<'a>,
        (name, value): (&'a str, &'a Json),
        depth: usize,
    ) -> Result<Filter> {
        self.relations += 1;
        within_bound(self.depth + 1, self.limits)?;
        let max = self.limits.relations_in_all_max;
        if self.relations > max {
            let text = format!(
                "`where` follows more relations than `graphql.relations_in_all_max`, which is {max}; ask in parts"
            );
            return Err(Error::new(Code::TooComplex, text));
        }
        let number = FIRST_NUMBER + self.within;
        let mut link = followed.link.clone();
        if let Some(row) = self.row {
            link.from = link.from.of_related(row);
        }
        let collection = std::mem::replace(&mut self.collection, followed.collection);
        let row = self.row.replace(number);
        let ids = std::mem::take(&mut self.ids);
        (self.within, self.depth) = (self.within + 1, self.depth + 1);
        let when = self.object(&At::Row(Vec::new()), value, name, depth + 1);
        (self.within, self.depth) = (self.within - 1, self.depth - 1);
        let asked = std::mem::replace(&mut self.ids, ids);
        (self.collection, self.row) = (collection, row);
        let when = when?;
        // What is named of related rows must be comparable there, which their own scope says.
        if !asked.iter().all(|id| (followed.comparable)(*id)) {
            return Err(selection::unknown(name));
        }
        Ok(Filter::Related(Box::new(link), number, Box::new(when)))
    }
}
