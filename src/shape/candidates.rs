//! Which fields could refer to which keys, as far as statistics of values and names tell. Pure, and only a guess:
//! whether the values of one are in the other is counted in the database.

use super::{Scalar, Statistic, names_agree};

/// A column that could be an end of a relation.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The field's own name.
    pub name: &'a str,
    /// The name of its collection's type.
    pub type_name: &'a str,
    /// What it holds.
    pub scalar: Scalar,
    /// What is known of its values; nothing of a key that the source gives.
    pub statistic: Option<&'a Statistic>,
    /// About how many records were looked at for that.
    pub records: u64,
    /// Whether all of them were looked at, and not a sample.
    pub whole: bool,
}

/// Below this nobody is told of a candidate.
pub const SCORE_MIN: f64 = 0.5;
/// More values than so many speak for no more.
const VALUES_TOLD: i32 = 20;
/// What a name that agrees is as good as, when the values tell nothing.
const NAME_EVIDENCE: f64 = 0.6;

impl Candidate<'_> {
    fn distinct(&self) -> u64 {
        self.statistic.map_or(self.records, |statistic| statistic.distinct().0)
    }

    /// Whether each value may stand in one row only: sketches are a little off, and a field need not be in every row.
    pub fn may_be_key(&self) -> bool {
        let of_type = matches!(self.scalar, Scalar::String | Scalar::Uuid | Scalar::Int | Scalar::BigInt);
        let distinct = self.distinct();
        of_type && distinct >= 2 && distinct.saturating_mul(2) >= self.records
    }

    /// The least and the greatest integer.
    fn range(&self) -> Option<(i64, i64)> {
        let (least, greatest) = self.statistic?.range()?;
        Some((least.parse().ok()?, greatest.parse().ok()?))
    }

    /// Whether so large a share of this column's values may be among those of the key.
    pub fn may_refer(&self, key: &Candidate<'_>, share: f64) -> bool {
        let typed = matches!(self.scalar, Scalar::String | Scalar::Uuid | Scalar::Int | Scalar::BigInt);
        if !typed || !self.scalar.joins(key.scalar) || self.distinct() == 0 {
            return false;
        }
        let Some((own, its)) = self.statistic.zip(key.statistic) else { return true };
        let fewer = own.distinct().0 as f64 <= its.distinct().0 as f64 * 1.2 + 2.0;
        let common = || match (own.values(), its.values()) {
            (Some(own), Some(its)) => own.iter().filter(|value| its.contains(value)).count() * 2 >= own.len(),
            _ => true,
        };
        // Numbers and texts have other hashes, also where they look alike.
        let alike = self.scalar.sql() == key.scalar.sql();
        let sketched = || !alike || !key.whole || own.may_be_within(its, share);
        let within = |own: Option<(u64, u64)>, its: Option<(u64, u64)>| match (own, its) {
            (Some(own), Some(its)) => own.0.max(its.0) <= own.1.min(its.1),
            _ => true,
        };
        fewer
            && within(own.lengths(), its.lengths())
            && overlap(self.range(), key.range())
            && common()
            && sketched()
    }

    /// How much speaks for this column referring to the key, when `contained` of its `values` distinct values are among
    /// the key's: from 0 to 1. That numbers are among numbers that are nearly all there are says nothing by itself; a
    /// name that agrees helps.
    pub fn score(&self, key: &Candidate<'_>, values: u64, contained: f64) -> f64 {
        let number = self.scalar.sql() == super::SqlType::Int;
        // Which numbers a source takes as its uids is not known.
        let chance = if key.statistic.is_none() && number { 1.0 } else { key.density() };
        let told = i32::try_from(values).unwrap_or(VALUES_TOLD).min(VALUES_TOLD);
        // Few values say little, whatever they are.
        let few = values as f64 / (values as f64 + 1.0);
        let evidence = (1.0 - chance.powi(told)) * few;
        let agree = f64::from(u8::from(names_agree(self.name, key.type_name)));
        contained * (0.8 * evidence.max(NAME_EVIDENCE * agree) + 0.2 * agree)
    }

    /// By which chance any value of its kind is among its values.
    fn density(&self) -> f64 {
        let distinct = self.distinct() as f64;
        let room = match (self.range(), self.statistic.and_then(Statistic::lengths)) {
            (Some((least, greatest)), _) => greatest as f64 - least as f64 + 1.0,
            // Of so many letters and digits, as codes have.
            (None, Some((_, longest))) => 26_f64.powi(i32::try_from(longest).unwrap_or(20).min(20)),
            (None, None) => f64::INFINITY,
        };
        (distinct / room).clamp(0.0, 1.0)
    }
}

fn overlap(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.0.max(other.0) <= one.1.min(other.1),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config;
    use crate::record::Json;
    use crate::shape::{Published, Shape, Statistics, Structure, ValueHasher};

    fn gathered(documents: &[String]) -> (Published, Statistics) {
        let limits = config::Shape::default();
        let documents: Vec<Json> =
            documents.iter().map(|text| Json::try_from(text.as_str()).unwrap()).collect();
        let mut shape = Shape::default();
        documents.iter().for_each(|document| shape.merge(&Structure::derive(document, &limits)));
        let published = shape.publish(&Published::default(), &limits).unwrap();
        let (mut statistics, hasher) =
            (Statistics::default(), ValueHasher::new(&crate::record::Signer::new(b"key")));
        for (n, document) in documents.iter().enumerate() {
            let record = hasher.record(n.to_string().as_bytes());
            statistics.observe(&published, record, document, &hasher, &config::Statistics::default());
        }
        (published, statistics)
    }

    fn candidate<'a>(of: &'a (Published, Statistics), name: &'a str, type_name: &'a str) -> Candidate<'a> {
        let field = of.0.fields.iter().find(|field| field.name == name).unwrap();
        let crate::shape::Kind::Scalar(scalar) = field.kind else { unreachable!() };
        let statistic = of.1.of(field.id);
        Candidate { name, type_name, scalar, statistic, records: of.1.records(), whole: true }
    }

    #[test]
    fn codes_tell_by_their_values_and_dense_numbers_by_names_only() {
        let code =
            |n: usize| format!("{}{}X", char::from(b'A' + (n / 26) as u8), char::from(b'A' + (n % 26) as u8));
        let keys: Vec<String> = (0..200)
            .map(|n| format!(r#"{{"code": "{}", "no": {n}, "kind": "{}"}}"#, code(n), n % 3))
            .collect();
        let rows: Vec<String> = (0..100)
            .map(|n| {
                let (from, far) = (code(n % 50), code(n % 50) + "Y");
                format!(
                    r#"{{"from": "{from}", "far": "{far}", "seats": {n}, "airport_id": {n}, "big": {}}}"#,
                    n + 10_000
                )
            })
            .collect();
        let (keys, rows) = (gathered(&keys), gathered(&rows));
        let key = |name| candidate(&keys, name, "GeoAirports");
        let row = |name| candidate(&rows, name, "AirFlights");
        assert!(key("code").may_be_key() && key("no").may_be_key() && !key("kind").may_be_key());
        assert!(row("from").may_refer(&key("code"), 0.9));
        assert!(!row("far").may_refer(&key("code"), 0.9) && !row("big").may_refer(&key("no"), 0.9));
        assert!(row("from").score(&key("code"), 50, 1.0) > 0.7);
        assert!(row("seats").score(&key("no"), 100, 1.0) < 0.1);
        assert!(row("airport_id").score(&key("no"), 100, 1.0) > SCORE_MIN);
        assert!(row("from").score(&key("code"), 1, 1.0) < SCORE_MIN);
        assert!(row("from").score(&key("code"), 50, 0.5) < SCORE_MIN);
    }
}
