//! Many collections: what they cost in time and memory, how soon something new can be asked for while records flow,
//! and what building the whole schema does to everybody else.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::{Error, Message, client::IntoClientRequest};

use crate::process::{Mode, Server, Services, spread};

const FIELDS: usize = 30;
/// Records of one request while they flow.
const BATCH: usize = 25;
const INTROSPECTION: &str = "{ __schema { types { kind name description fields { name description \
     args { name description type { ...T } defaultValue } type { ...T } } \
     inputFields { name description type { ...T } defaultValue } enumValues { name description } } } } \
     fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

fn document(n: usize, late: &str) -> String {
    let fields: Vec<String> = (0..FIELDS)
        .map(|field| match field % 5 {
            0 => format!(r#""amount{field}":{}"#, n * 7 + field),
            1 => format!(r#""label{field}":"text {n}""#),
            2 => format!(r#""rate{field}":{n}.25"#),
            3 => format!(r#""open{field}":{}"#, n.is_multiple_of(2)),
            _ => format!(r#""moment{field}":"2026-11-22T10:00:{:02}Z""#, n % 60),
        })
        .collect();
    format!("{{{}{late}}}", fields.join(","))
}

async fn send(server: &Server, collection: usize, uid: &str, body: String) {
    let url = format!("{}/source/many/c{collection}/bench/{uid}", server.url);
    loop {
        let request = server.client.post(&url).bearer_auth(&server.token);
        let answer =
            request.header("content-type", "application/json").body(body.clone()).send().await.unwrap();
        match answer.status().as_u16() {
            202 => return,
            429 => tokio::time::sleep(Duration::from_millis(20)).await,
            status => panic!("{status}: {}", answer.text().await.unwrap()),
        }
    }
}

pub async fn figures(mode: Mode, count: usize, quick: bool) {
    println!("\n## {mode:?}, {count} collections of {FIELDS} fields");
    let services = Services::start(mode);
    let server = Arc::new(Server::start(&services).await);
    let idle = server.rss_mb();
    let from = Instant::now();
    create(&server, count).await;
    let (seconds, rss) = (from.elapsed().as_secs_f64(), server.rss_mb());
    println!("made in {seconds:.1} s, {:.1} ms each", seconds * 1e3 / count as f64);
    per_collection("resident memory with them", idle, rss, count);
    drop(server);
    let server = Arc::new(Server::start(&services).await);
    println!("start to `listening`: {:.0} ms", server.started_ms);
    per_collection("resident memory after the start", idle, server.rss_mb(), count);
    let tries = if quick { 20 } else { 100 };
    println!("while records of known shapes flow:");
    let flow = Flow::start(&server, count, "");
    tokio::time::sleep(Duration::from_secs(2)).await;
    asked(&server, &flow, (count, 0), tries).await;
    let alone = lookups(&server, count, &AtomicBool::new(false), if quick { 200 } else { 1_000 }).await;
    println!("  lookups: {}", alone);
    whole_schema(&server, count).await;
    flow.stop().await;
    settled(&server).await;
    // As when a fleet of sources is deployed anew: nearly each batch widens its collection.
    println!("while records flow that add a field to {} collections a second:", 1_000 / BATCH);
    let flow = Flow::start(&server, count, r#","storm":1"#);
    tokio::time::sleep(Duration::from_secs(2)).await;
    asked(&server, &flow, (count, tries), tries).await;
    flow.stop().await;
    settled(&server).await;
    println!("{}", listed(&server).await);
    subscriptions(&server, count).await;
}

/// How soon what is new can be asked for, of fields and of collections; those of a number below `done` are there.
async fn asked(server: &Server, flow: &Flow, (count, done): (usize, usize), tries: usize) {
    let flowing = flow.since();
    new_fields(server, count, done..done + tries).await;
    println!("  meanwhile: {}", flowing.told(server).await);
    let flowing = flow.since();
    new_collections(server, count, done..done + tries).await;
    println!("  meanwhile: {}", flowing.told(server).await);
}

fn per_collection(what: &str, before: f64, after: f64, count: usize) {
    let each = (after - before) * 1024.0 / count as f64;
    println!("{what}: {after:.1} MB, before {before:.1} MB: {each:.1} KiB a collection");
}

async fn create(server: &Arc<Server>, count: usize) {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let (server, next) = (server.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed) as usize;
                if n >= count {
                    return;
                }
                send(&server, n, "0", document(n, r#","id":"0""#)).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    settled(server).await;
}

async fn settled(server: &Server) {
    loop {
        let answer = server.graphql("{ lag { outbox pending } }").await;
        if answer["data"]["lag"]["outbox"] == "0" && answer["data"]["lag"]["pending"] == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What has flowed since a moment.
struct Flowing {
    from: Instant,
    before: u64,
    sent: Arc<AtomicU64>,
}

impl Flowing {
    /// How much was taken in, and how far the effects are behind.
    async fn told(&self, server: &Server) -> String {
        let sent = self.sent.load(Ordering::Relaxed) - self.before;
        let rate = sent as f64 / self.from.elapsed().as_secs_f64();
        let lag = &server.graphql("{ lag { outbox pending } }").await["data"]["lag"];
        let (outbox, pending) = (&lag["outbox"], &lag["pending"]);
        format!("{rate:.0} records/s flowed, {outbox} in the outbox and {pending} pending")
    }
}

/// 1,000 records a second, until it is stopped.
struct Flow {
    from: Instant,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Flow {
    fn start(server: &Arc<Server>, count: usize, late: &'static str) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn(flow(server.clone(), (count, late), stop.clone(), sent.clone()));
        Flow { from: Instant::now(), stop, sent, task }
    }

    fn since(&self) -> Flowing {
        Flowing { from: Instant::now(), before: self.sent.load(Ordering::Relaxed), sent: self.sent.clone() }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        let sent = self.sent.load(Ordering::Relaxed) as f64;
        println!("  sent {:.0} records/s in all of that", sent / self.from.elapsed().as_secs_f64());
    }
}

async fn flow(
    server: Arc<Server>,
    (count, late): (usize, &'static str),
    stop: Arc<AtomicBool>,
    told: Arc<AtomicU64>,
) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 * BATCH as u64 / 1_000));
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        let collection = (sent / BATCH * 7) % count;
        let body: String =
            (sent..sent + BATCH).map(|n| document(n, &format!(r#","id":"{n}"{late}"#)) + "\n").collect();
        let url = format!("{}/source/many/c{collection}/bench?key=/id", server.url);
        let request = server.client.post(url).bearer_auth(&server.token);
        let answer = request.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        answer.bytes().await.unwrap();
        sent += BATCH;
        told.store(sent as u64, Ordering::Relaxed);
    }
}

/// Milliseconds to the first answer of a query that names what is new.
async fn visible(server: &Server, query: &str, from: Instant, good: impl Fn(&Value) -> bool) -> f64 {
    loop {
        let answer = server.graphql(query).await;
        if good(&answer["data"]) {
            return from.elapsed().as_secs_f64() * 1e3;
        }
        assert!(from.elapsed().as_secs() < 30, "never there: {answer}");
        // What is not there yet is answered with what it is like, which takes time from all others.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

async fn new_fields(server: &Server, count: usize, tries: Range<usize>) {
    let (mut times, mut receipts) = (Vec::new(), Vec::new());
    for n in tries {
        let (collection, name) = (n * 13 % count, format!("late{n}"));
        let from = Instant::now();
        send(server, collection, &format!("late{n}"), document(n, &format!(r#","{name}":{n}"#))).await;
        receipts.push(from.elapsed().as_secs_f64() * 1e3);
        let root = format!("manyC{collection}");
        let query = format!("{{ {root}(where: {{{name}: {{eq: {n}}}}}) {{ nodes {{ {name} label1 }} }} }}");
        times.push(visible(server, &query, from, |data| data[&root]["nodes"][0][&name] == n).await);
    }
    println!("  sending to a query that names the new field: {}", spread(&mut times, "ms"));
    println!("    of that, to the receipt: {}", spread(&mut receipts, "ms"));
}

async fn new_collections(server: &Server, count: usize, tries: Range<usize>) {
    let (mut times, mut receipts) = (Vec::new(), Vec::new());
    for n in tries {
        let collection = count + n;
        let from = Instant::now();
        send(server, collection, "0", document(n, "")).await;
        receipts.push(from.elapsed().as_secs_f64() * 1e3);
        let root = format!("manyC{collection}");
        let query = format!("{{ {root} {{ nodes {{ label1 }} }} }}");
        let good = |data: &Value| data[&root]["nodes"][0]["label1"].is_string();
        times.push(visible(server, &query, from, good).await);
    }
    println!("  sending to a query that names the new collection: {}", spread(&mut times, "ms"));
    println!("    of that, to the receipt: {}", spread(&mut receipts, "ms"));
}

/// Lookups one after the other until `stop`, or so many.
async fn lookups(server: &Server, count: usize, stop: &AtomicBool, most: usize) -> String {
    let mut times = Vec::new();
    while times.len() < most && !stop.load(Ordering::Relaxed) {
        let root = format!("manyC{}ByKey", times.len() % 10 % count);
        let query = format!("{{ {root}(sourceUid: \"0\") {{ amount0 label1 }} }}");
        let from = Instant::now();
        let answer = server.graphql(&query).await;
        assert!(answer["data"][&root]["label1"].is_string(), "{answer}");
        times.push(from.elapsed().as_secs_f64() * 1e3);
    }
    spread(&mut times, "ms")
}

async fn timed(server: &Server, path: &str, query: Option<&str>) -> String {
    let from = Instant::now();
    let url = format!("{}{path}", server.url);
    let request = match query {
        Some(query) => server.client.post(url).json(&json!({ "query": query })),
        None => server.client.get(url),
    };
    let answer = request.bearer_auth(&server.token).send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    let good = status.is_success() && !text.starts_with("{\"errors\"");
    let note = if good { String::new() } else { format!(" ({status}: {:.200})", text) };
    format!("{:.0} ms, {:.1} MB{note}", from.elapsed().as_secs_f64() * 1e3, text.len() as f64 / 1e6)
}

async fn whole_schema(server: &Arc<Server>, count: usize) {
    let before = server.rss_mb();
    let (stop, other) = (Arc::new(AtomicBool::new(false)), server.clone());
    let watched = stop.clone();
    let meanwhile = tokio::spawn(async move { lookups(&other, count, &watched, usize::MAX).await });
    println!("  introspection, first: {}", timed(server, "/graphql", Some(INTROSPECTION)).await);
    println!("  introspection, again: {}", timed(server, "/graphql", Some(INTROSPECTION)).await);
    let at_once =
        futures_util::future::join_all((0..4).map(|_| timed(server, "/graphql", Some(INTROSPECTION))));
    println!("  introspection, four at once: {}", at_once.await.join("; "));
    println!(
        "  a small part of it: {}",
        timed(server, "/graphql", Some("{ __type(name: \"ManyC0\") { name } }")).await
    );
    println!("  SDL, first: {}", timed(server, "/graphql/schema", None).await);
    println!("  SDL, again: {}", timed(server, "/graphql/schema", None).await);
    stop.store(true, Ordering::Relaxed);
    println!("  lookups meanwhile: {}", meanwhile.await.unwrap());
    let held = server.rss_mb();
    println!("  resident memory: {held:.1} MB, before {before:.1} MB");
    for n in 0..5 {
        send(server, 0, "again", document(n, &format!(r#","again{n}":1"#))).await;
        let query = format!("{{ manyC0 {{ nodes {{ again{n} }} }} }}");
        visible(server, &query, Instant::now(), Value::is_object).await;
        timed(server, "/graphql", Some(INTROSPECTION)).await;
    }
    println!("  resident memory after five more versions and their introspection: {:.1} MB", server.rss_mb());
}

async fn listed(server: &Server) -> String {
    let small = timed(server, "/graphql", Some("{ collections { name } }")).await;
    let large =
        "{ collections { name shape { fields { path type } } versions { version changes { path } } } }";
    format!(
        "`collections {{ name }}`: {small}; with fields and versions: {}",
        timed(server, "/graphql", Some(large)).await
    )
}

/// The next event; signs of life are none.
async fn event(socket: &mut (impl StreamExt<Item = Result<Message, Error>> + Unpin)) -> String {
    loop {
        let message = socket.next().await.unwrap().unwrap();
        let text = message.to_string();
        if message.is_text() && !text.contains(r#""type":"ping""#) {
            return text;
        }
    }
}

/// Memory while many subscriptions are open, while their collections are published, and when they have ended.
async fn subscriptions(server: &Server, count: usize) {
    let before = server.rss_mb();
    let mut sockets = Vec::new();
    for n in 0..count.min(200) {
        let mut request =
            format!("{}/graphql", server.url.replacen("http", "ws", 1)).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let token = format!("Bearer {}", server.token);
        let query = format!("subscription {{ manyC{n}(snapshot: true) {{ op node {{ label1 amount0 }} }} }}");
        for message in [
            json!({"type": "connection_init", "payload": {"authorization": token}}),
            json!({"id": "1", "type": "subscribe", "payload": {"query": query}}),
        ] {
            socket.send(Message::text(message.to_string())).await.unwrap();
        }
        while !socket.next().await.unwrap().unwrap().to_string().contains("CAUGHT_UP") {}
        sockets.push(socket);
    }
    let open = server.rss_mb();
    for n in 0..sockets.len() {
        send(server, n, "subscribed", document(n, &format!(r#","subscribed{n}":1"#))).await;
    }
    for (n, socket) in sockets.iter_mut().enumerate() {
        let text = event(socket).await;
        assert!(text.contains("UPSERT"), "{n}: {text}");
    }
    let (published, number) = (server.rss_mb(), sockets.len());
    drop(sockets);
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!(
        "{number} subscriptions: resident memory before {before:.1} MB, open {open:.1} MB, \
         after a version of each {published:.1} MB, when they have ended {:.1} MB",
        server.rss_mb()
    );
}
