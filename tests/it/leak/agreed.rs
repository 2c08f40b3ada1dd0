//! Random contracts over the rows full of canaries. The test knows by itself what each grants: the rows, fields and
//! names that actor and contract have in common. Two contracts of one actor are asked for in turns, so that nothing
//! of the one is answered under the other.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::world::{Actor, HIDDEN_NAMES, Row, Truth, address, vault};
use crate::policy::random::Random;
use crate::support::{Subscription, TestApp, on_every_backend};

/// What a contract may name, each with what the policies leave of it.
const FIELDS: [(&str, Left); 13] = [
    ("region", Left::Whole),
    ("level", Left::Whole),
    ("blocked", Left::Whole),
    ("owner", Left::Whole),
    ("shared", Left::Whole),
    ("name", Left::Whole),
    ("email", Left::Masked),
    ("code", Left::Masked),
    ("amount", Left::Masked),
    ("salary", Left::OfSomeRows),
    ("box.open", Left::Whole),
    ("labels", Left::Whole),
    ("notes.text", Left::Masked),
];
/// Names of the same lengths that nobody has.
const NOBODY: &str = "qqqqqqqqqqqq";

#[derive(Clone, Copy, PartialEq)]
enum Left {
    Whole,
    Masked,
    OfSomeRows,
}

/// Which rows a contract gives: its condition, and the same once more.
type Condition = (fn() -> Value, fn(&Row) -> bool);

const CONDITIONS: [Condition; 6] = [
    (|| Value::Null, |_| true),
    (|| json!({"region": {"eq": "eu"}}), |row| row.region == Some("eu")),
    (|| json!({"level": {"gt": 0}}), |row| row.level.is_some_and(|level| level > 0)),
    (|| json!({"not": {"blocked": {"eq": true}}}), |row| row.blocked != Some(true)),
    (|| json!({"owner": {"isNull": true}}), |row| row.owner.is_none()),
    (
        || json!({"or": [{"shared": {"eq": true}}, {"zqhidden": {"like": "%0v_q"}}]}),
        |row| row.shared == Some(true) || row.text("hidden").trim_end_matches('q').ends_with(&even(row)),
    ),
];

/// How the hidden text of a row ends whose number ends with 0.
fn even(row: &Row) -> String {
    format!("0v{}", row.version)
}

/// A contract, and what it grants.
struct Agreed {
    name: String,
    all: bool,
    fields: BTreeSet<&'static str>,
    masks: BTreeSet<&'static str>,
    renamed: BTreeSet<&'static str>,
    condition: Condition,
}

impl Agreed {
    fn random(random: &mut Random, name: String) -> Self {
        let all = random.below(6) == 0;
        let mut fields: BTreeSet<_> =
            FIELDS.iter().map(|(name, _)| *name).filter(|_| random.below(2) == 0).collect();
        // Without anything that is shown there would be no collection.
        fields.insert(random.pick(&["level", "name"]));
        let mut some = |from: &[&'static str]| -> BTreeSet<&'static str> {
            from.iter()
                .copied()
                .filter(|name| (all || fields.contains(name)) && random.below(3) == 0)
                .collect()
        };
        let masks = some(&["name", "box.open", "labels"]);
        let renamed = some(&["region", "level", "owner", "name", "salary", "box.open", "labels", "code"]);
        let condition = CONDITIONS[random.below(CONDITIONS.len())];
        Agreed { name, all, fields, masks, renamed, condition }
    }

    fn text(&self, actor: &Actor) -> String {
        let mut fields: Vec<&str> = self.fields.iter().copied().collect();
        fields.extend(self.all.then_some("*"));
        let renames: Vec<_> =
            self.renamed.iter().map(|name| (*name, json!(self.called(name).rsplit('.').next()))).collect();
        let masks: Vec<_> = self.masks.iter().map(|name| (*name, json!("hash"))).collect();
        let mut terms = json!({
            "fields": fields,
            "rename": renames.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            "masks": masks.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        });
        let condition = (self.condition.0)();
        if !condition.is_null() {
            terms["where"] = condition;
        }
        json!({
            "name": self.name, "version": 1, "collections": {"vaultItem": terms},
            "consumers": [{"claim": "subject", "value": actor.subject}],
        })
        .to_string()
    }

    fn has(&self, name: &str) -> bool {
        self.all || self.fields.contains(name)
    }

    /// By which name it is given.
    fn called(&self, name: &str) -> String {
        if !self.renamed.contains(name) {
            return name.to_owned();
        }
        match name.split_once('.') {
            Some((object, inner)) => format!("{object}.xy{}", inner.len()),
            None => format!("xy{name}xy").to_uppercase(),
        }
    }

    /// Whether its values are given as they are, in every row.
    fn whole(&self, name: &str, left: Left) -> bool {
        self.has(name) && left == Left::Whole && !self.masks.contains(name)
    }

    fn sees(&self, actor: &Actor, row: &Row) -> bool {
        actor.sees(row) && (self.condition.1)(row)
    }

    /// What may be seen of these versions, and what not.
    fn truth(&self, actor: &Actor, rows: &[Row]) -> Truth {
        let (mut forbidden, mut granted) = (Vec::new(), Vec::new());
        for row in rows {
            let seen = self.sees(actor, row);
            let own = row.owner == Some(actor.subject.as_str());
            let canaries = [
                (row.text("name"), self.whole("name", Left::Whole)),
                (row.text("open"), self.whole("box.open", Left::Whole)),
                (row.text("label"), self.whole("labels", Left::Whole)),
                (row.number(2).to_string(), self.has("salary") && own),
                (row.text("hidden"), false),
                (row.text("mail"), false),
                (row.text("code"), false),
                (row.number(1).to_string(), false),
                (row.text("closed"), false),
                (row.text("note"), false),
                (row.text("inner"), false),
                (row.text("odd"), false),
                (row.uid.clone(), false),
            ];
            for (canary, may) in canaries {
                if seen && may { granted.push(canary) } else { forbidden.push(canary) }
            }
        }
        forbidden.extend(HIDDEN_NAMES.map(str::to_owned));
        Truth::new(forbidden, granted)
    }

    /// All fields that are given, as a selection.
    fn selection(&self) -> String {
        let given = FIELDS.iter().filter(|(name, _)| self.has(name));
        given.map(|(name, _)| nested(&self.called(name), "", " { ", " }")).collect::<Vec<_>>().join(" ")
    }
}

/// `a.b` as `a { b … }`, with `leaf` behind the innermost name.
fn nested(name: &str, leaf: &str, open: &str, close: &str) -> String {
    match name.split_once('.') {
        Some((object, inner)) => format!("{object}{open}{inner}{leaf}{close}"),
        None => format!("{name}{leaf}"),
    }
}

struct Asker<'a> {
    app: &'a TestApp,
    actor: &'a Actor,
    agreed: &'a Agreed,
    token: String,
    truth: Truth,
}

impl Asker<'_> {
    async fn send(&self, request: reqwest::RequestBuilder) -> String {
        let request = request.bearer_auth(&self.token).header("wellspring-contract", &self.agreed.name);
        request.send().await.unwrap().text().await.unwrap()
    }

    async fn raw(&self, query: &str) -> String {
        let request =
            self.app.client.post(format!("{}/graphql", self.app.url)).json(&json!({"query": query}));
        self.send(request).await
    }

    /// An answer that has nothing which is not granted; of errors the words that were asked with are left out.
    async fn ask(&self, query: &str) -> Value {
        let text = self.raw(query).await;
        let words = HIDDEN_NAMES.iter().filter(|name| query.contains(*name));
        let told = words.fold(text.clone(), |text, name| text.replace(name, "?"));
        self.truth
            .check(&format!("{query} under {} of {:?}", self.agreed.text(self.actor), self.actor), &told);
        serde_json::from_str(&text).unwrap()
    }

    async fn rows(&self, query: &str) -> Value {
        let mut answer = self.ask(query).await;
        let text = self.agreed.text(self.actor);
        assert!(answer.get("errors").is_none(), "{query} under {text} of {:?}: {answer}", self.actor);
        answer["data"].take()
    }

    async fn refused(&self, query: &str) {
        let answer = self.ask(query).await;
        let good = answer["errors"].is_array() && answer["data"].is_null();
        assert!(good, "{query} under {} of {:?}: {answer}", self.agreed.text(self.actor), self.actor);
    }
}

async fn lists(asker: &Asker<'_>, rows: &[Row]) {
    let (agreed, visible) = (asker.agreed, rows.iter().filter(|row| asker.agreed.sees(asker.actor, row)));
    let (visible, selection) = (visible.count(), agreed.selection());
    let all =
        asker.rows(&format!("{{ vaultItem(first: 100) {{ totalCount nodes {{ {selection} }} }} }}")).await;
    assert_eq!(all["vaultItem"]["totalCount"], visible, "{}", agreed.text(asker.actor));
    asker.truth.complete("the list", &all.to_string());
    let counted = asker.rows("{ vaultItemAggregate { count } }").await;
    assert_eq!(counted["vaultItemAggregate"][0]["count"], visible);
    let (mut seen, mut place) = (0, String::new());
    loop {
        let query = format!(
            "{{ vaultItem(first: 3{place}) {{ edges {{ cursor }} pageInfo {{ hasNextPage endCursor }} }} }}"
        );
        let page = asker.rows(&query).await;
        let page = &page["vaultItem"];
        seen += page["edges"].as_array().unwrap().len();
        place = format!(", after: {}", page["pageInfo"]["endCursor"]);
        assert!(seen <= rows.len(), "pages without end");
        if page["pageInfo"]["hasNextPage"] != true {
            break;
        }
    }
    assert_eq!(seen, visible);
}

/// Conditions, orders, groups and sums: of what is given as it is they tell what is seen, of all else nothing.
async fn probes(asker: &Asker<'_>, rows: &[Row]) {
    let agreed = asker.agreed;
    for (name, left) in FIELDS {
        let called = agreed.called(name);
        let whole = agreed.whole(name, left);
        // Lists and what is in them are compared by other conditions.
        let single = name != "labels" && name != "notes.text";
        let condition = nested(&called, ": {isNull: false}", ": {", "}");
        let order = nested(&called, ": ASC", ": {", "}");
        let joined = called.replace('.', "_");
        let probes = [
            format!("{{ vaultItem(where: {{{condition}}}) {{ totalCount }} }}"),
            format!("{{ vaultItem(where: {{not: {{{condition}}}}}) {{ totalCount }} }}"),
            format!("{{ vaultItemAggregate(where: {{{condition}}}) {{ count }} }}"),
            format!("{{ vaultItem(orderBy: [{{{order}}}]) {{ totalCount }} }}"),
            format!("{{ vaultItemAggregate(groupBy: [{joined}]) {{ count }} }}"),
            format!("{{ vaultItemAggregate {{ countDistinct {{ {joined} }} }} }}"),
        ];
        for probe in &probes {
            if whole && single {
                asker.rows(probe).await;
            } else if !whole && name != "labels" {
                asker.refused(probe).await;
            }
        }
        if !agreed.has(name) || agreed.renamed.contains(name) {
            asker
                .refused(&format!("{{ vaultItem {{ nodes {{ {} }} }} }}", nested(name, "", " { ", " }")))
                .await;
            unknown(asker, name).await;
        }
    }
    if agreed.whole("name", Left::Whole) {
        let called = agreed.called("name");
        for row in rows {
            let condition = format!("{{{called}: {{eq: \"{}\"}}}}", row.text("name"));
            let query = format!("{{ vaultItem(where: {condition}) {{ totalCount }} }}");
            // The condition has the text itself; the answer is only a number.
            let found = asker.raw(&query).await;
            let expected = usize::from(agreed.sees(asker.actor, row));
            assert!(found.contains(&format!("\"totalCount\":{expected}")), "{query}: {found}");
        }
    }
}

/// What is not in the contract is answered like what does not exist.
async fn unknown(asker: &Asker<'_>, name: &str) {
    let innermost = name.rsplit('.').next().unwrap();
    let fake = name.replace(innermost, &NOBODY[..innermost.len()]);
    for template in ["{ vaultItem { nodes { {} } } }", "{ vaultItem(orderBy: [{{}: ASC}]) { totalCount } }"] {
        let mut answers = Vec::new();
        for name in [name, &fake] {
            let text = asker.raw(&template.replace("{}", &nested(name, "", " { ", " }"))).await;
            let answer: Value = serde_json::from_str(&text).unwrap();
            let innermost = name.rsplit('.').next().unwrap();
            let fault = &answer["errors"][0];
            let message = fault["message"].as_str().unwrap().replace(&format!("`{innermost}`"), "?");
            // What it is like is told of names that are given only.
            let (message, hint) = message.split_once("; did you mean").unwrap_or((&message, ""));
            let given = FIELDS.iter().filter(|(name, _)| asker.agreed.has(name));
            let mut given = given.flat_map(|(name, _)| {
                asker.agreed.called(name).split('.').map(str::to_owned).collect::<Vec<_>>()
            });
            let like = hint.split('`').nth(1);
            assert!(like.is_none_or(|like| given.any(|name| name == like)), "{name}: {text}");
            answers.push((message.to_owned(), fault["extensions"]["code"].clone()));
        }
        assert_eq!(answers[0], answers[1], "{name} can be told from {fake}");
    }
}

/// What the schema says that there is, exactly.
async fn schema(asker: &Asker<'_>) {
    let agreed = asker.agreed;
    let names = async |kind: &str, name: &str| -> BTreeSet<String> {
        let query =
            format!("{{ __type(name: \"{name}\") {{ {kind}(includeDeprecated: true) {{ name }} }} }}");
        let answer = asker.rows(&query).await;
        let all = answer["__type"][kind].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let first = |name: &str| agreed.called(name).split('.').next().unwrap().to_owned();
    let given = |wanted: &dyn Fn(&str, Left) -> bool| -> BTreeSet<String> {
        FIELDS.iter().filter(|(name, left)| wanted(name, *left)).map(|(name, _)| first(name)).collect()
    };
    assert_eq!(names("fields", "VaultItem").await, given(&|name, _| agreed.has(name)));
    let mut compared = names("inputFields", "VaultItemFilter").await;
    compared.retain(|name| !["and", "or", "not"].contains(&name.as_str()));
    // Of a list of objects it can be asked whether it is there.
    let mut may = given(&|name, left| agreed.whole(name, left));
    may.extend(agreed.has("notes.text").then(|| "notes".to_owned()));
    assert!(compared.is_subset(&may), "{compared:?}");
    let ordered = names("inputFields", "VaultItemOrder").await;
    assert!(ordered.is_subset(&given(&|name, left| agreed.whole(name, left))), "{ordered:?}");
    let all = asker.rows("{ __schema { types { name } queryType { fields { name } } } }").await.to_string();
    for absent in ["Thing", "otherThing", "VaultItemRecordMeta", "records", "collections"] {
        assert!(!all.contains(&format!("\"{absent}\"")), "{absent}: {all}");
    }
    let request = asker.app.client.get(format!("{}/graphql/schema", asker.app.url));
    let sdl = asker.send(request).await;
    asker.truth.check("the SDL", &sdl);
    assert!(sdl.contains("type VaultItem "), "{sdl}");
}

async fn others(asker: &Asker<'_>, ids: &[String], cursor: &str) {
    for query in [
        "{ collections { name } }",
        "{ sources { category } }",
        "{ records { key dataObj } }",
        "{ deadLetters { key } }",
        "{ plugins { name } }",
        "{ otherThing { totalCount } }",
        "{ vaultItemByKey(sourceUid: \"zquid00q@example.org\") { __typename } }",
        "{ vaultItem { nodes { _rest } } }",
        "{ vaultItem { nodes { _record { rescued } } } }",
        "mutation { retract(input: {category: \"vault\", subcategory: \"item\", sourceName: \"web\", \
            sourceUid: \"1\"}) { id } }",
    ] {
        asker.refused(query).await;
    }
    for id in ids {
        asker.refused(&format!("{{ record(id: \"{id}\") {{ key dataObj }} }}")).await;
    }
    // A cursor that an admin was given for another order and other rows.
    let selection = asker.agreed.selection();
    asker.ask(&format!("{{ vaultItem(first: 50, after: {cursor}) {{ nodes {{ {selection} }} }} }}")).await;
    for path in [
        "vaultItem",
        "vaultItem.csv",
        "vaultItem.ndjson",
        "vaultItem?fields=zqhidden",
        "vaultItem?order=salary",
        "vaultItem?order=email",
        "vaultItem.csv?fields=_record.key,_rest",
        "vaultItem?where={\"zqhidden\":{\"isNull\":false}}",
        "otherThing",
    ] {
        let text = asker.send(asker.app.client.get(format!("{}/data/{path}", asker.app.url))).await;
        let told = ["otherThing", "zqhidden"].iter().fold(text, |text, word| text.replace(word, "?"));
        asker.truth.check(path, &told);
    }
    let csv = asker.send(asker.app.client.get(format!("{}/data/vaultItem.ndjson", asker.app.url))).await;
    asker.truth.complete("the rows by REST", &csv);
}

/// The event of a row that everybody sees comes last: until then, all of them.
async fn events(asker: &Asker<'_>, live: &mut Subscription, rows: &[Row], last: usize) {
    let mut told = Vec::new();
    while told.len() < last {
        told.push(live.next().await);
    }
    for event in &told {
        asker.truth.check(&format!("an event for {:?}", asker.actor), &event.to_string());
        match event["op"].as_str().unwrap() {
            "LEFT_SCOPE" | "DELETE" => assert!(event["node"].is_null(), "{event}"),
            "UPSERT" => assert!(event["node"].is_object(), "{event}"),
            op => panic!("{op}: {event}"),
        }
    }
    if asker.agreed.whole("name", Left::Whole) {
        let all = told.iter().map(|event| event["node"].to_string()).collect::<String>();
        for row in rows.iter().filter(|row| row.version > 0 && asker.agreed.sees(asker.actor, row)) {
            assert!(all.contains(&row.text("name")), "{row:?} was not told to {:?}", asker.actor);
        }
    }
}

/// How many events the change from one version of a row to the next makes.
fn told(asker: &Asker<'_>, before: &Row, after: &Row) -> usize {
    usize::from(asker.agreed.sees(asker.actor, before) || asker.agreed.sees(asker.actor, after))
}

on_every_backend! {
    async fn no_contract_shows_what_it_does_not_grant(backend) {
        let mut random = Random::new(37);
        let (app, mut rows) = vault(backend, &mut random, 11).await;
        let ids = app.data("{ records(first: 3) { id } }").await;
        let ids: Vec<String> = ids["records"].as_array().unwrap().iter()
            .map(|record| record["id"].as_str().unwrap().to_owned()).collect();
        let cursor = app.data("{ vaultItem(first: 2) { pageInfo { endCursor } } }").await;
        let cursor = cursor["vaultItem"]["pageInfo"]["endCursor"].to_string();
        let actors: Vec<Actor> = ["near", "calm", "mine"].into_iter()
            .flat_map(|role| (0..2).map(move |number| (role, number)))
            .map(|(role, number)| Actor::random(&mut random, role, number)).collect();
        let mut pairs = Vec::new();
        for (number, actor) in actors.iter().enumerate() {
            for which in ["one", "two"] {
                let agreed = Agreed::random(&mut random, format!("c{number}-{which}"));
                let query = "mutation($text: String!) { applyContract(input: {text: $text}) { applied } }";
                let answer = app.ask(&app.admin(), query, json!({"text": agreed.text(actor)})).await;
                assert!(answer.get("errors").is_none(), "{}: {answer}", agreed.text(actor));
                pairs.push((actor, agreed));
            }
        }
        let askers: Vec<Asker<'_>> = pairs.iter().map(|(actor, agreed)| Asker {
            app: &app, actor, agreed, token: actor.token(&app), truth: agreed.truth(actor, &rows),
        }).collect();
        for asker in &askers {
            lists(asker, &rows).await;
        }
        let mut live = Vec::new();
        for asker in &askers {
            probes(asker, &rows).await;
            schema(asker).await;
            others(asker, &ids, &cursor).await;
            // Another's contract is there for nobody else.
            let other = askers.iter().find(|other| other.actor.subject != asker.actor.subject).unwrap();
            let theirs = Asker { agreed: other.agreed, token: asker.token.clone(), actor: asker.actor,
                truth: asker.agreed.truth(asker.actor, &rows), app: &app };
            theirs.refused("{ vaultItem { totalCount } }").await;
            let images = format!("node {{ {0} }} before {{ {0} }}", asker.agreed.selection());
            let query = format!("subscription {{ vaultItem(snapshot: true) {{ op {images} }} }}");
            let mut open = Subscription::open_under(&app.url, &asker.token, Some(&asker.agreed.name), &query).await;
            let snapshot = open.until_op("CAUGHT_UP").await;
            assert_eq!(snapshot.len(), rows.iter().filter(|row| asker.agreed.sees(asker.actor, row)).count());
            live.push((open, 0));
        }
        // Every row comes anew, and some are taken back.
        for number in 0..rows.len() {
            let next = Row::random(&mut random, number, 1);
            app.source(&format!("vault/item/web/{}", next.address()), &next.document()).await;
            for (asker, (_, count)) in askers.iter().zip(&mut live) {
                *count += told(asker, &rows[number], &next);
            }
            rows.push(next);
        }
        for number in [11, 14] {
            let gone: Row = rows[number].clone();
            app.retract(&format!("vault/item/web/{}", address(&gone.uid))).await;
            for (asker, (_, count)) in askers.iter().zip(&mut live) {
                *count += usize::from(asker.agreed.sees(asker.actor, &gone));
            }
        }
        app.settled().await;
        for (asker, (mut open, count)) in askers.iter().zip(live) {
            let truth = asker.agreed.truth(asker.actor, &rows);
            let (token, agreed, actor) = (asker.token.clone(), asker.agreed, asker.actor);
            events(&Asker { app: &app, actor, agreed, token, truth }, &mut open, &rows, count).await;
        }
        let seen = askers.iter().map(|asker| rows.iter().filter(|row| asker.agreed.sees(asker.actor, row)).count());
        assert!(seen.filter(|count| *count > 0).count() * 2 > askers.len(), "most see something");
    }
}
