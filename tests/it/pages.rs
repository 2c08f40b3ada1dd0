//! Pages both ways: whatever the order, the condition and the size, forward pages, backward pages and the whole list
//! are the same rows; a row that is there all the time is in exactly one page, whatever happens to others meanwhile.

use serde_json::{Value, json};

use crate::policy::random::Random;
use crate::support::{TestApp, on_every_backend};

const TEXTS: [&str; 8] = ["a", "A", "", "ä", "b", "\u{1f71a}", "a%", "aa"];
const FLOATS: [f64; 6] = [0.5, -1.5, 1e300, -0.0, 0.0, 2.25];
/// What rows can be ordered by; the first ones are the same in many rows.
const ORDERS: [&str; 9] =
    ["yes", "word", "few", "size", "big", "day", "inner: {deep", "_record: {sourceUid", "no"];
const DIRECTIONS: [&str; 4] = ["ASC", "DESC", "ASC_NULLS_FIRST", "DESC_NULLS_FIRST"];
pub const CONDITIONS: [&str; 8] = [
    "{}",
    "{few: {gte: 2}}",
    "{word: {isNull: false}}",
    "{or: [{yes: {eq: true}}, {size: {lt: 1}}]}",
    "{not: {word: {startsWith: \"a\"}}}",
    "{inner: {deep: {in: [1, 2]}}, yes: {ne: true}}",
    "{list: {contains: \"a\"}}",
    "{no: {lt: 0}}",
];

/// A value for most rows, nothing or null for others.
fn maybe(random: &mut Random, value: Value) -> Value {
    if random.below(4) == 0 { Value::Null } else { value }
}

pub fn document(random: &mut Random, no: usize) -> Value {
    let (word, size, few) = (TEXTS[random.below(8)], FLOATS[random.below(6)], random.below(4));
    let (yes, deep, day) = (random.below(2) == 0, random.below(3), random.below(3) + 1);
    let big = 3_000_000_000_i64 + i64::try_from(random.below(2)).unwrap();
    let mut document = json!({
        "no": no, "word": maybe(random, json!(word)), "size": maybe(random, json!(size)),
        "few": maybe(random, json!(few)), "yes": maybe(random, json!(yes)), "big": maybe(random, json!(big)),
        "inner": maybe(random, json!({"deep": deep})), "list": [word],
        "day": maybe(random, json!(format!("2026-01-0{day}"))),
    });
    if random.below(2) == 0 {
        document.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    }
    document
}

/// A document that has all of it.
pub fn whole() -> Value {
    json!({
        "no": 0, "word": "a", "size": 0.5, "few": 1, "yes": true, "big": 3_000_000_000_i64, "inner": {"deep": 1},
        "list": ["a"], "day": "2026-01-01",
    })
}

/// An order of up to three fields, the number of each row in it or not.
pub fn order(random: &mut Random) -> String {
    let mut parts = Vec::new();
    for _ in 0..random.below(4) {
        let (field, direction) = (ORDERS[random.below(ORDERS.len())], DIRECTIONS[random.below(4)]);
        let close = if field.contains('{') { "}" } else { "" };
        parts.push(format!("{{{field}: {direction}{close}}}"));
    }
    format!("[{}]", parts.join(", "))
}

struct Walk<'a> {
    app: &'a TestApp,
    token: String,
    /// Condition and order.
    asked: String,
}

/// One page: its rows' numbers and cursors, and what it says of itself.
struct Page {
    numbers: Vec<i64>,
    cursors: Vec<String>,
    info: Value,
}

impl Walk<'_> {
    async fn page(&self, arguments: &str) -> Page {
        let query = format!(
            "{{ aB({}, {arguments}) {{ edges {{ cursor node {{ no }} }} \
             pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}",
            self.asked
        );
        let mut answer = self.app.data_as(&self.token, &query).await;
        let edges = answer["aB"]["edges"].as_array().unwrap().clone();
        Page {
            numbers: edges.iter().map(|edge| edge["node"]["no"].as_i64().unwrap()).collect(),
            cursors: edges.iter().map(|edge| edge["cursor"].as_str().unwrap().to_owned()).collect(),
            info: answer["aB"]["pageInfo"].take(),
        }
    }

    /// All pages of this size, in the order of the list.
    async fn all(&self, backward: bool, size: usize) -> Vec<i64> {
        let (count, cursor, edge, more) = if backward {
            ("last", "before", "startCursor", "hasPreviousPage")
        } else {
            ("first", "after", "endCursor", "hasNextPage")
        };
        let (mut pages, mut at) = (Vec::new(), String::new());
        loop {
            let page = self.page(&format!("{count}: {size}{at}")).await;
            assert!(page.numbers.len() <= size);
            assert_eq!(page.info["startCursor"].as_str(), page.cursors.first().map(String::as_str));
            assert_eq!(page.info["endCursor"].as_str(), page.cursors.last().map(String::as_str));
            pages.push(page.numbers);
            assert!(pages.len() < 1_000, "pages without end");
            if page.info[more] != true {
                break;
            }
            at = format!(", {cursor}: {}", page.info[edge]);
        }
        if backward {
            pages.reverse();
        }
        pages.concat()
    }
}

on_every_backend! {
    async fn forward_and_backward_are_the_same_list(backend) {
        let app = TestApp::start(backend).await;
        let mut random = Random::new(7);
        let mut lines = String::new();
        for no in 0..50 {
            lines.push_str(&document(&mut random, no).to_string());
            lines.push('\n');
        }
        app.post("a/b/c?key=/no", "application/x-ndjson", lines, &[]).await;
        app.settled().await;
        for _ in 0..40 {
            let asked = format!("where: {}, orderBy: {}", CONDITIONS[random.below(8)], order(&mut random));
            let walk = Walk { app: &app, token: app.admin(), asked };
            let whole = walk.page("first: 1000").await;
            assert_eq!(walk.page("last: 1000").await.numbers, whole.numbers, "{}", walk.asked);
            let size = random.below(9) + 1;
            for backward in [false, true] {
                assert_eq!(walk.all(backward, size).await, whole.numbers, "{} {backward} {size}", walk.asked);
            }
            if whole.numbers.is_empty() {
                continue;
            }
            // From the midst: what is before, and what is behind.
            let place = random.below(whole.numbers.len());
            let cursor = &whole.cursors[place];
            let before = walk.page(&format!("last: 1000, before: \"{cursor}\"")).await;
            let behind = walk.page(&format!("first: 1000, after: \"{cursor}\"")).await;
            let parts = [&before.numbers[..], &whole.numbers[place..=place], &behind.numbers[..]].concat();
            assert_eq!(parts, whole.numbers, "{} {place}", walk.asked);
            assert_eq!(before.info["hasNextPage"], true);
            assert_eq!(behind.info["hasPreviousPage"], true);
        }
    }

    async fn rows_that_stay_are_in_one_page_while_others_come_and_go(backend) {
        let app = TestApp::start(backend).await;
        let mut random = Random::new(19);
        let mut lines = String::new();
        for no in 0..60 {
            lines.push_str(&document(&mut random, no).to_string());
            lines.push('\n');
        }
        app.post("a/b/c?key=/no", "application/x-ndjson", lines, &[]).await;
        app.settled().await;
        let mut others = Random::new(23);
        // Every third row stays as it is; the others are written anew, taken back, and joined by new ones.
        let disturb = async {
            loop {
                let no = others.below(120);
                if no.is_multiple_of(3) && no < 60 {
                    continue;
                }
                let path = format!("a/b/c/{no}");
                if others.below(3) == 0 {
                    app.retract(&path).await;
                } else {
                    app.source(&path, &document(&mut others, no)).await;
                }
            }
        };
        let walks = async {
            for _ in 0..25 {
                let asked = format!("orderBy: {}", order(&mut random));
                let walk = Walk { app: &app, token: app.admin(), asked };
                let size = random.below(6) + 2;
                for backward in [false, true] {
                    let found = walk.all(backward, size).await;
                    let mut staying: Vec<i64> =
                        found.into_iter().filter(|no| *no < 60 && no % 3 == 0).collect();
                    staying.sort_unstable();
                    let expected: Vec<i64> = (0..60).step_by(3).collect();
                    assert_eq!(staying, expected, "{} {backward} {size}", walk.asked);
                }
            }
        };
        tokio::select! {
            () = disturb => {}
            () = walks => {}
        }
    }
}
