//! Rows full of canaries, actors, and the truth about who may see what, written down a second time by hand.

use serde_json::{Value, json};

use crate::policy::random::Random;
use crate::support::{Backend, TestApp, write_policies};

const POLICY: &str = r#"
has_role(user: User, role) if role in user.roles;
has_role(user: User, _role) if "admin" in user.roles;

allow(u: User, "read", _: Row) if "admin" in u.roles;
allow_field(u: User, "read", _: Row, _: Field) if "admin" in u.roles;

allow(u: User, "read", row: VaultItem) if "near" in u.roles and row.region = u.region;
allow(u: User, "read", row: VaultItem) if "calm" in u.roles and not row.blocked = true and row.level < u.level;
allow(u: User, "read", row: VaultItem) if "mine" in u.roles and (row.owner = u.subject or row.shared = true);

allow_field(_: User, "read", _: VaultItem, f: Field) if
  f.name in ["region", "level", "blocked", "owner", "shared", "name", "email", "code", "amount", "box",
    "box.open", "labels", "notes", "notes.text", "_record.id", "_record.key", "_record.revision",
    "_record.sourceName", "_record.sourceUid", "_record.ingestedAt"];
allow_field(u: User, "read", row: VaultItem, f: Field) if f.name = "salary" and row.owner = u.subject;

mask_field(u: User, _: Row, f: Field, "hash") if "pii" in f.tags and not "admin" in u.roles;
mask_field(u: User, _: VaultItem, f: Field, {keep_last: 2}) if f.name = "code" and not "admin" in u.roles;
mask_field(u: User, _: VaultItem, f: Field, {round: 1000000}) if f.name = "amount" and not "admin" in u.roles;
mask_field(u: User, _: VaultItem, f: Field, "hash") if f.name = "notes.text" and not "admin" in u.roles;

allow(u: User, "source", _: Source) if has_role(u, "source");
allow(u: User, "retract", _: Source) if has_role(u, "source");
allow(u: User, "steward", _: Source) if has_role(u, "steward");
allow(u: User, "administer", _: Source) if has_role(u, "admin");
"#;

/// Names that only an admin may ever read.
pub const HIDDEN_NAMES: [&str; 7] =
    ["zqsource", "zqhidden", "zqclosed", "zqinner", "OtherThing", "otherThing", "zqother"];

/// One version of a row.
#[derive(Clone, Debug)]
pub struct Row {
    pub uid: String,
    pub version: usize,
    pub region: Option<&'static str>,
    pub level: Option<i64>,
    pub blocked: Option<bool>,
    pub owner: Option<&'static str>,
    pub shared: Option<bool>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Actor {
    pub role: &'static str,
    pub subject: String,
    pub region: Option<&'static str>,
    pub level: Option<i64>,
}

fn chosen<T: Copy>(random: &mut Random, from: &[Option<T>]) -> Option<T> {
    from[random.below(from.len())]
}

/// What a source calls the row with this canary.
pub fn address(uid: &str) -> String {
    format!("{uid}@example.org")
}

impl Row {
    pub fn random(random: &mut Random, number: usize, version: usize) -> Self {
        Row {
            uid: format!("zquid{number:02}q"),
            version,
            region: chosen(random, &[Some("eu"), Some("us"), None]),
            level: chosen(random, &[Some(0), Some(1), Some(2), Some(3), None]),
            blocked: chosen(random, &[Some(true), Some(false), None]),
            owner: chosen(random, &[Some("ann"), Some("bob"), None]),
            shared: chosen(random, &[Some(true), Some(false), None, None]),
        }
    }

    /// The uid that the source gives: personal data, as in every row of the collection.
    pub fn address(&self) -> String {
        address(&self.uid)
    }

    /// A unique text for one of its fields.
    pub fn text(&self, field: &str) -> String {
        format!("zq{field}{}v{}q", self.uid.trim_matches(['z', 'q']), self.version)
    }

    /// A unique number of ten digits for one of its fields.
    pub fn number(&self, field: usize) -> i64 {
        let uid: i64 = self.uid.trim_start_matches("zquid").trim_end_matches('q').parse().unwrap();
        1_810_000_003 + uid * 10_000 + i64::try_from(self.version * 100 + field * 7).unwrap()
    }

    pub fn document(&self) -> Value {
        let mut document = json!({
            "region": self.region, "level": self.level, "blocked": self.blocked, "owner": self.owner,
            "shared": self.shared, "name": self.text("name"), "zqhidden": self.text("hidden"),
            "email": format!("{}@example.org", self.text("mail")), "code": self.text("code"),
            "amount": self.number(1), "salary": self.number(2),
            "box": {"open": self.text("open"), "zqclosed": self.text("closed")},
            "labels": [self.text("label")], "notes": [{"text": self.text("note"), "zqinner": self.text("inner")}],
            // Of another type than all others: it is rescued.
            "odd": {"misfit": self.text("odd")},
        });
        if self.version == 0 && self.uid == "zquid00q" {
            document["odd"] = json!("a text");
        }
        // What has no value is sometimes null and sometimes missing.
        if self.version.is_multiple_of(2) {
            document.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        document
    }

    /// Every canary of this version, and whether the actor may see it once the row is visible.
    fn canaries(&self, actor: &Actor) -> Vec<(String, bool)> {
        let own = self.owner == Some(actor.subject.as_str());
        vec![
            (self.text("name"), true),
            (self.text("open"), true),
            (self.text("label"), true),
            (self.text("hidden"), false),
            (self.text("mail"), false),
            (self.text("code"), false),
            (self.number(1).to_string(), false),
            (self.number(2).to_string(), own),
            (self.text("closed"), false),
            (self.text("note"), false),
            (self.text("inner"), false),
            (self.text("odd"), false),
        ]
    }
}

impl Actor {
    pub fn random(random: &mut Random, role: &'static str, number: usize) -> Self {
        let subject = match role {
            "mine" => ["ann", "bob", "eve"][number % 3].to_owned(),
            _ => format!("{role}{number}"),
        };
        // Without its claim a collection is not even there for an actor whose rule needs one.
        let region = chosen(random, &[Some("eu"), Some("us"), None]).or((role == "near").then_some("eu"));
        let level = chosen(random, &[Some(1), Some(2), None]).or((role == "calm").then_some(3));
        Actor { role, subject, region, level }
    }

    pub fn token(&self, app: &TestApp) -> String {
        let mut claims = json!({"sub": self.subject, "roles": [self.role]});
        if let Some(region) = self.region {
            claims["region"] = json!(region);
        }
        if let Some(level) = self.level {
            claims["level"] = json!(level);
        }
        app.token(self.role, claims)
    }

    /// The truth about rows.
    pub fn sees(&self, row: &Row) -> bool {
        match self.role {
            "near" => row.region.is_some() && row.region == self.region,
            "calm" => {
                let lower = row.level.zip(self.level).is_some_and(|(row, own)| row < own);
                row.blocked != Some(true) && lower
            }
            _ => row.owner == Some(self.subject.as_str()) || row.shared == Some(true),
        }
    }

    /// A version that this actor sees.
    pub fn seen_row(&self, number: usize) -> Option<Row> {
        let uid = format!("zquid{number:02}q");
        let owner = ["ann", "bob"].into_iter().find(|name| *name == self.subject);
        let shared = (self.role == "mine").then_some(true);
        let row = Row { uid, version: 0, region: self.region, level: Some(0), blocked: None, owner, shared };
        self.sees(&row).then_some(row)
    }
}

/// Everything that is not granted, of all that was ever there.
pub struct Truth {
    forbidden: Vec<String>,
    granted: Vec<String>,
}

impl Truth {
    pub fn new(forbidden: Vec<String>, granted: Vec<String>) -> Self {
        Truth { forbidden, granted }
    }

    /// Of all these versions: what was visible once may be seen.
    pub fn of(actor: &Actor, versions: &[Row]) -> Self {
        let (mut forbidden, mut granted) = (Vec::new(), Vec::new());
        for row in versions {
            let seen = actor.sees(row);
            for (canary, may) in row.canaries(actor) {
                if seen && may { granted.push(canary) } else { forbidden.push(canary) }
            }
            // Nobody but an admin sees a uid, also of a row that is granted.
            forbidden.push(row.uid.clone());
        }
        forbidden.extend(HIDDEN_NAMES.map(str::to_owned));
        Truth { forbidden, granted }
    }

    /// Nothing in this answer may be forbidden, also not in what it has encoded.
    pub fn check(&self, what: &str, answer: &str) {
        let mut texts = vec![answer.to_owned()];
        for token in answer.split(|c: char| !c.is_ascii_alphanumeric() && !"-_+/=".contains(c)) {
            if token.len() >= 12 {
                texts.extend(decoded(token));
            }
        }
        for text in &texts {
            for canary in &self.forbidden {
                assert!(!text.contains(canary.as_str()), "{canary} leaks through {what}: {answer}");
            }
        }
    }

    /// Everything that is granted is there: an oracle that shows nothing proves nothing.
    pub fn complete(&self, what: &str, answer: &str) {
        for canary in &self.granted {
            assert!(answer.contains(canary.as_str()), "{canary} is missing in {what}: {answer}");
        }
    }
}

/// What a token of base 64 says.
fn decoded(token: &str) -> Option<String> {
    let digit = |c: u8| -> Option<u32> {
        let place = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        Some(place.into())
    };
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for c in token.trim_end_matches('=').bytes() {
        bits = bits << 6 | digit(c)?;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A node with the policy.
pub async fn guarded(backend: Backend) -> TestApp {
    TestApp::start_with(backend, |config| write_policies(config, &[("vault.polar", POLICY)])).await
}

/// A node with the policy, and the rows that are in it.
pub async fn vault(backend: Backend, random: &mut Random, count: usize) -> (TestApp, Vec<Row>) {
    let app = guarded(backend).await;
    let rows: Vec<Row> = (0..count).map(|number| Row::random(random, number, 0)).collect();
    for row in &rows {
        app.source(&format!("vault/item/web/{}", row.address()), &row.document()).await;
        app.settled().await;
    }
    app.source("other/thing/zqsource/1", &json!({"zqother": "zqotherq"})).await;
    app.settled().await;
    (app, rows)
}
