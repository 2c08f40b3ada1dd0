//! What is different between two versions of a contract, and which of it breaks whoever relies on the earlier one.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::terms::{Contract, Terms};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of what, as the file names it, such as `collections.orderClothing.fields`.
    pub path: String,
    /// What became of it.
    pub text: String,
    /// Whether a client of the earlier version may break by it.
    pub breaking: bool,
}

/// The differences from `before` to `after`. What takes something away, or gives it another name, type or value,
/// breaks.
pub fn diff(before: &Contract, after: &Contract) -> Vec<Change> {
    let mut all = Diff(Vec::new());
    let consumers = |of: &Contract| -> BTreeSet<String> {
        of.consumers.iter().map(|one| format!("{} = {}", one.claim, one.value)).collect()
    };
    all.sets("consumers", &consumers(before), &consumers(after));
    all.offers("formats", &before.formats, &after.formats, |format| format.as_str());
    all.offers("transports", &before.transports, &after.transports, |transport| transport.as_str());
    all.sunset(before.sunset.as_deref(), after.sunset.as_deref());
    let (was, is) = (&before.limits, &after.limits);
    all.bound("limits.page_max", was.page_max, is.page_max);
    all.bound("limits.depth_max", was.depth_max, is.depth_max);
    all.bound("limits.cost_max", was.cost_max, is.cost_max);
    all.bound("limits.requests_per_minute", was.requests_per_minute, is.requests_per_minute);
    all.bound("limits.concurrent_max", was.concurrent_max, is.concurrent_max);
    let seconds = |of: &Contract| of.freshness.as_ref().map(|freshness| freshness.seconds);
    // To be told later than promised breaks, sooner does not.
    match (seconds(before), seconds(after)) {
        (was, is) if was == is => {}
        (was, is) => {
            let breaking = was.is_some_and(|was| is.is_none_or(|is| is > was));
            all.add("freshness.seconds", changed(was, is), breaking);
        }
    }
    for (name, terms) in &before.collections {
        match after.collections.get(name) {
            None => all.add(&format!("collections.{name}"), "removed".to_owned(), true),
            Some(next) => all.terms(&format!("collections.{name}"), terms, next),
        }
    }
    for name in after.collections.keys().filter(|name| !before.collections.contains_key(*name)) {
        all.add(&format!("collections.{name}"), "added".to_owned(), false);
    }
    all.0
}

struct Diff(Vec<Change>);

impl Diff {
    fn add(&mut self, path: &str, text: String, breaking: bool) {
        self.0.push(Change { path: path.to_owned(), text, breaking });
    }

    fn terms(&mut self, path: &str, before: &Terms, after: &Terms) {
        self.sets(&format!("{path}.fields"), &before.fields, &after.fields);
        self.values(&format!("{path}.rename"), &before.rename, &after.rename, |_, _| true);
        if before.filter != after.filter {
            let text = changed(before.filter.as_ref(), after.filter.as_ref());
            // Without a condition there are all rows that there were.
            self.add(&format!("{path}.where"), text, after.filter.is_some());
        }
        if before.shape_version != after.shape_version {
            let text = changed(before.shape_version, after.shape_version);
            self.add(&format!("{path}.shape_version"), text, true);
        }
        // A mask that is taken away shows more.
        let shown = |after: Option<&String>| after.is_some();
        let told = |terms: &Terms| -> std::collections::BTreeMap<String, String> {
            terms.masks.iter().map(|(name, mask)| (name.clone(), format!("{mask:?}"))).collect()
        };
        self.values(&format!("{path}.masks"), &told(before), &told(after), |_, after| shown(after));
        self.values(&format!("{path}.misfits"), &before.misfits, &after.misfits, |_, _| true);
        self.sets_quietly(&format!("{path}.block"), &before.block, &after.block);
    }

    fn values<T: PartialEq + std::fmt::Debug>(
        &mut self,
        path: &str,
        before: &std::collections::BTreeMap<String, T>,
        after: &std::collections::BTreeMap<String, T>,
        breaks: impl Fn(Option<&T>, Option<&T>) -> bool,
    ) {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            let (was, is) = (before.get(name), after.get(name));
            if was != is {
                let show = |value: Option<&T>| value.map(|value| format!("{value:?}"));
                self.add(&format!("{path}.{name}"), changed(show(was), show(is)), breaks(was, is));
            }
        }
    }

    /// What is in it is given: less breaks.
    fn sets(&mut self, path: &str, before: &BTreeSet<String>, after: &BTreeSet<String>) {
        for gone in before.difference(after) {
            self.add(path, format!("`{gone}` removed"), !after.contains("*") || path == "consumers");
        }
        for new in after.difference(before) {
            self.add(path, format!("`{new}` added"), false);
        }
    }

    fn sets_quietly<T: Ord + std::fmt::Debug>(
        &mut self,
        path: &str,
        before: &BTreeSet<T>,
        after: &BTreeSet<T>,
    ) {
        if before != after {
            self.add(path, format!("from {before:?} to {after:?}"), false);
        }
    }

    /// As [`Diff::sets`], where none stands for all.
    fn offers<T: Ord>(
        &mut self,
        path: &str,
        before: &BTreeSet<T>,
        after: &BTreeSet<T>,
        name: impl Fn(&T) -> &'static str,
    ) {
        if before == after {
            return;
        }
        let breaking = match (before.is_empty(), after.is_empty()) {
            (_, true) => false,
            (true, false) => true,
            (false, false) => !before.is_subset(after),
        };
        let show = |set: &BTreeSet<T>| match set.is_empty() {
            true => "all".to_owned(),
            false => set.iter().map(&name).collect::<Vec<_>>().join(", "),
        };
        self.add(path, format!("from {} to {}", show(before), show(after)), breaking);
    }

    /// A bound: less breaks, and so does one where there was none.
    fn bound<T: Ord + Copy + Display>(&mut self, path: &str, before: Option<T>, after: Option<T>) {
        if before != after {
            let breaking = after.is_some_and(|after| before.is_none_or(|before| after < before));
            self.add(path, changed(before, after), breaking);
        }
    }

    fn sunset(&mut self, before: Option<&str>, after: Option<&str>) {
        if before != after {
            let breaking = after.is_some_and(|after| before.is_none_or(|before| after < before));
            self.add("sunset", changed(before, after), breaking);
        }
    }
}

fn changed(before: Option<impl Display>, after: Option<impl Display>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("from {before} to {after}"),
        (Some(before), None) => format!("{before} removed"),
        (None, Some(after)) => format!("{after} added"),
        (None, None) => String::new(),
    }
}
