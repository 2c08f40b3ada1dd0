//! Statistics of values: the same in any order, in any portions and however often; exact where they say so; and none of
//! personal data.

use super::*;
use crate::config::Statistics as Bounds;
use crate::record::Signer;

fn bounds() -> Bounds {
    Bounds::default()
}

/// So few that most things are over a bound.
fn narrow() -> Bounds {
    Bounds { values_max: 3, examples_max: 2, value_bytes_max: 12, fields_max: 12, ..bounds() }
}

fn published(documents: &[Json]) -> Published {
    let structures: Vec<_> = documents.iter().map(|d| Structure::derive(d, &limits())).collect();
    merged(&structures).publish(&Published::default(), &limits()).unwrap_or_default()
}

/// What the documents with these numbers give.
fn gathered(published: &Published, documents: &[(u64, &Json)], bounds: &Bounds) -> Statistics {
    let hasher = ValueHasher::new(&Signer::new(b"key"));
    let mut statistics = Statistics::default();
    for (n, document) in documents {
        statistics.observe(published, hasher.record(&n.to_be_bytes()), document, &hasher, bounds);
    }
    statistics
}

fn read_again(statistics: &Statistics) -> Statistics {
    let mut again = Statistics::default();
    for (id, text) in statistics.to_texts().unwrap() {
        again.add_text(id, &text).unwrap();
    }
    again
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn statistics_depend_neither_on_order_nor_portions_nor_repetition(
        documents in prop::collection::vec(document_strategy(), 1..8),
        order in any::<prop::sample::Index>(),
        tight in any::<bool>(),
    ) {
        let bounds = if tight { narrow() } else { bounds() };
        let published = published(&documents);
        let numbered: Vec<(u64, &Json)> = (0..).zip(&documents).collect();
        let whole = gathered(&published, &numbered, &bounds);
        let (left, right) = numbered.split_at(order.index(numbered.len()));
        let permuted: Vec<_> = right.iter().chain(left).copied().rev().collect();
        prop_assert_eq!(&gathered(&published, &permuted, &bounds), &whole);
        let repeated: Vec<_> = numbered.iter().chain(right).chain(left).copied().collect();
        prop_assert_eq!(&gathered(&published, &repeated, &bounds), &whole);
        let (left, right) = (gathered(&published, left, &bounds), gathered(&published, right, &bounds));
        for (mut sharded, other) in [(left.clone(), &right), (right.clone(), &left)] {
            sharded.merge(other, &bounds);
            prop_assert_eq!(&sharded, &whole);
            sharded.merge(&whole, &bounds);
            sharded.merge(&left, &bounds);
            prop_assert_eq!(&sharded, &whole);
        }
        prop_assert_eq!(&read_again(&whole), &whole);
        prop_assert_eq!(whole.records(), documents.len() as u64);
        prop_assert!(whole.to_texts().unwrap().iter().all(|(id, _)| *id <= bounds.fields_max));
    }

    /// The end of a range is a value of the row, and no row has one beyond.
    #[test]
    fn ranges_hold_every_number(numbers in prop::collection::vec(any::<i32>(), 1..20)) {
        let documents: Vec<Json> =
            numbers.iter().map(|n| Json::try_from(&*format!(r#"{{"n":{n}.50}}"#)).unwrap()).collect();
        let published = published(&documents);
        let statistics = gathered(&published, &(0..).zip(&documents).collect::<Vec<_>>(), &bounds());
        let ends = [numbers.iter().min(), numbers.iter().max()].map(|n| format!("{}.50", n.unwrap()));
        prop_assert_eq!(statistics.of(1).unwrap().range(), Some((&*ends[0], &*ends[1])));
    }
}

/// The statistics of the field at `path`.
fn of<'a>(published: &Published, statistics: &'a Statistics, path: &str) -> &'a Statistic {
    let field = published.fields().find(|field| field.path == path).unwrap();
    statistics.of(field.id).unwrap()
}

fn parsed(texts: &[&str]) -> Vec<Json> {
    texts.iter().map(|text| Json::try_from(*text).unwrap()).collect()
}

#[test]
fn what_is_told_of_values_is_exact() {
    let documents = parsed(&[
        r#"{"n":9007199254740993.1,"s":"né","at":"2026-01-02T00:00:00+02:00","d":"2024-02-29","l":[1,2,3],"b":true}"#,
        r#"{"n":9007199254740993.2,"s":"","at":"2026-01-01T23:00:00Z","d":"2023-02-28","o":[{"k":"x"},{"k":"yy"}]}"#,
        r#"{"n":1e3,"s":"abc","at":"2026-01-01T22:30:00.5Z","d":"2023-03-01","l":[],"n2":null,"b":null}"#,
    ]);
    let published = published(&documents);
    let statistics = gathered(&published, &(0..).zip(&documents).collect::<Vec<_>>(), &bounds());
    let of = |path| of(&published, &statistics, path);
    assert_eq!(of("/n").range(), Some(("1e3", "9007199254740993.2")));
    assert_eq!((of("/s").lengths(), of("/s").range()), (Some((0, 3)), None));
    assert_eq!(of("/s").values().unwrap(), ["", "abc", "né"]);
    assert_eq!(of("/at").range(), Some(("2026-01-01T22:00:00.000000Z", "2026-01-01T23:00:00.000000Z")));
    assert_eq!(of("/d").range(), Some(("2023-02-28", "2024-02-29")));
    assert_eq!((of("/l").items(), of("/l").range()), (Some((0, 3)), Some(("1", "3"))));
    assert_eq!((of("/o").items(), of("/o/*/k").lengths()), (Some((2, 2)), Some((1, 2))));
    assert_eq!((of("/b").values().unwrap(), of("/b").distinct()), (vec!["true".to_owned()], (1, true)));
}

#[test]
fn many_values_are_a_number_and_a_few_examples() {
    let documents: Vec<Json> =
        (0..1_000).map(|n| Json::try_from(&*format!(r#"{{"n":{n},"e":"{}"}}"#, n % 64)).unwrap()).collect();
    let published = published(&documents);
    let numbered: Vec<_> = (0..).zip(&documents).collect();
    let statistics = gathered(&published, &numbered, &bounds());
    let (few, many) = (of(&published, &statistics, "/e"), of(&published, &statistics, "/n"));
    assert_eq!((few.distinct(), few.values().map(|values| values.len())), ((64, true), Some(64)));
    assert_eq!((many.values(), many.examples(9).len()), (None, 5));
    let (distinct, exact) = many.distinct();
    assert!((900..1_100).contains(&distinct) && !exact, "{distinct}");
    let one_less = gathered(&published, &numbered, &Bounds { values_max: 63, ..bounds() });
    assert_eq!(of(&published, &one_less, "/e").values(), None);
}

#[test]
fn what_does_not_fit_is_not_told() {
    let published = published(&parsed(&[r#"{"n":1,"at":"2026-01-01T22:00:00Z","s":"x","l":[4000000000]}"#]));
    let odd = parsed(&[
        r#"{"n":"secret","at":"secret","s":"a\u0000b","l":[1.5,"secret"],"other":"secret"}"#,
        r#"{"n":"secret","n":2}"#,
        r#"["secret"]"#,
    ]);
    let statistics = gathered(&published, &(0..).zip(&odd).collect::<Vec<_>>(), &bounds());
    let texts = statistics.to_texts().unwrap();
    assert!(!texts.iter().any(|(_, text)| text.contains("secret") || text.contains("u0000")), "{texts:?}");
    assert_eq!(of(&published, &statistics, "/n").values().unwrap(), ["2"]);
}

#[test]
fn no_value_of_personal_data_is_kept() {
    let plain = parsed(&[r#"{"who":"Ada","o":{"age":36.5},"l":["Bob"]}"#]);
    let mut tagged = published(&plain);
    let numbered: Vec<_> = (0..).zip(&plain).collect();
    let before = gathered(&tagged, &numbered, &bounds());
    assert_eq!(of(&tagged, &before, "/who").values().unwrap(), ["Ada"]);
    // A tag of an object is one of everything in it.
    tagged.fields.iter_mut().for_each(|field| field.tags.extend(["pii.name".to_owned()]));
    let after = gathered(&tagged, &numbered, &bounds());
    let mut withheld = before.clone();
    withheld.withhold(&tagged);
    assert_eq!(withheld, after);
    for (mut one, other) in [(before.clone(), &after), (after.clone(), &before)] {
        one.merge(other, &bounds());
        assert_eq!(one, after);
        one.merge(&before, &bounds());
        assert_eq!(one, after);
    }
    let texts = after.to_texts().unwrap();
    assert!(
        !texts.iter().any(|(_, text)| ["Ada", "36.5", "Bob"].iter().any(|v| text.contains(v))),
        "{texts:?}"
    );
    let who = of(&tagged, &after, "/who");
    assert_eq!((who.distinct().0, who.lengths(), who.values()), (1, Some((3, 3)), None));
    assert_eq!((who.examples(5), of(&tagged, &after, "/o/age").range()), (Vec::new(), None));
}
