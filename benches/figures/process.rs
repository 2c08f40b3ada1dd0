//! The real binary as a child, its services, and what `/proc` says of them.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use sqlx::Row;

use crate::servers;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    Embedded,
    Postgres,
    Scaled,
}

impl Mode {
    pub fn parse(text: &str) -> Option<Mode> {
        match text {
            "embedded" => Some(Mode::Embedded),
            "postgres" => Some(Mode::Postgres),
            "scaled" => Some(Mode::Scaled),
            _ => None,
        }
    }
}

/// The database and Redis of one mode, with durable settings.
pub struct Services {
    pub mode: Mode,
    pub data: tempfile::TempDir,
    pub postgres: Option<servers::Postgres>,
    pub redis: Option<servers::Redis>,
}

impl Services {
    pub fn start(mode: Mode) -> Services {
        let postgres = (mode != Mode::Embedded)
            .then(|| servers::Postgres::start_durable().expect("PostgreSQL is needed for this mode"));
        let redis =
            (mode == Mode::Scaled).then(|| servers::Redis::start().expect("Redis is needed for this mode"));
        Services { mode, data: tempfile::tempdir().unwrap(), postgres, redis }
    }

    /// As [`Services::start`], PostgreSQL with memory for all of the data.
    #[allow(dead_code, reason = "for the load programs")]
    pub fn start_roomy(mode: Mode) -> Services {
        assert!(mode != Mode::Scaled, "Redis has no part in reads");
        let postgres = (mode == Mode::Postgres)
            .then(|| servers::Postgres::start_roomy().expect("PostgreSQL is needed for this mode"));
        Services { mode, data: tempfile::tempdir().unwrap(), postgres, redis: None }
    }

    pub fn postgres_url(&self) -> Option<String> {
        self.postgres.as_ref().map(|p| p.url("postgres"))
    }

    /// Gives the collection's table the index that the list workload wants, as the bare table has it; nobody makes one
    /// by itself yet.
    pub async fn index_by_hand(&self, collection: &str) {
        let find = format!(
            "select c.id, c.generation, v.published from collection c join shape_version v \
             on v.collection_id = c.id and v.version = c.shape_version where c.field_name = '{collection}'"
        );
        let index = |id: i64, generation: i64, published: &str| {
            let shape: serde_json::Value = serde_json::from_str(published).unwrap();
            let column = |key: &str| {
                let mut fields = shape["fields"].as_array().unwrap().iter();
                format!("f{}", fields.find(|field| field["key"] == key).unwrap()["id"])
            };
            let table = format!("c_{id}_g{generation}");
            (table, column("status"), column("placedAt"))
        };
        match self.postgres_url() {
            None => {
                let db = rusqlite::Connection::open(self.data.path().join("wellspring.db")).unwrap();
                let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                let (id, generation, published): (i64, i64, String) = db.query_row(&find, [], row).unwrap();
                let (table, status, placed) = index(id, generation, &published);
                let sql = format!("create index by_hand on {table} ({status}, {placed}, row_id); analyze");
                db.execute_batch(&sql).unwrap();
            }
            Some(url) => {
                let pool = sqlx::PgPool::connect(&url).await.unwrap();
                let row = sqlx::query(sqlx::AssertSqlSafe(find)).fetch_one(&pool).await.unwrap();
                let (table, status, placed) = index(row.get(0), row.get(1), row.get(2));
                let order = format!("({status}, {placed} desc nulls last, row_id desc)");
                for sql in
                    [format!("create index by_hand on {table} {order}"), format!("vacuum analyze {table}")]
                {
                    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
                }
            }
        }
    }

    /// CPU milliseconds of all PostgreSQL processes, ended ones included.
    pub fn database_cpu_ms(&self) -> f64 {
        self.postgres.as_ref().map_or(0.0, |p| {
            let root = p.pid();
            children(root).into_iter().map(cpu_ms).sum::<f64>() + ended_children_cpu_ms(root)
        })
    }
}

/// The server under measurement; ended when dropped.
pub struct Server {
    child: Child,
    pub url: String,
    pub token: String,
    pub started_ms: f64,
    pub client: reqwest::Client,
    data: PathBuf,
}

impl Server {
    pub async fn start(services: &Services) -> Server {
        let mut command = binary(services.data.path());
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--data".as_ref(), services.data.path().as_os_str()]);
        if let Some(url) = services.postgres_url() {
            command.args(["--database-url", &url]);
        }
        if let Some(redis) = &services.redis {
            command.args(["--redis-url", &redis.url()]);
        }
        let log = std::fs::File::create(services.data.path().join("server.log")).unwrap();
        let from = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("the server ended; see server.log").unwrap();
            if let Some((_, url)) = line.split_once("listening on ") {
                break url.trim().to_owned();
            }
        };
        let started_ms = from.elapsed().as_secs_f64() * 1e3;
        std::thread::spawn(move || lines.for_each(drop));
        let client = reqwest::Client::builder().pool_max_idle_per_host(256).build().unwrap();
        let data = services.data.path().to_owned();
        let mut server = Server { child, url, token: String::new(), started_ms, client, data };
        server.token = server.token_of("admin", &[]);
        server
    }

    /// A token of one role, with claims as `name=value`.
    pub fn token_of(&self, role: &str, claims: &[&str]) -> String {
        let mut command = binary(&self.data);
        command.args(["token", "--subject", "figures", "--role", role, "--data"]).arg(&self.data);
        for claim in claims {
            command.args(["--claim", claim]);
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned()
    }

    pub fn rss_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    #[allow(dead_code, reason = "for the load programs")]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn cpu_ms(&self) -> f64 {
        cpu_ms(self.child.id())
    }

    /// Sends documents in batches of 1,000 over four connections.
    pub async fn source(
        &self,
        path: &str,
        count: u64,
        document: impl Fn(u64) -> String + Send + Sync + 'static,
    ) {
        let (next, document) = (Arc::new(AtomicU64::new(0)), Arc::new(document));
        let url = format!("{}/source/{path}", self.url);
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (client, token, next) = (self.client.clone(), self.token.clone(), next.clone());
                let (url, document) = (url.clone(), document.clone());
                tokio::spawn(async move {
                    loop {
                        let first = next.fetch_add(1_000, Ordering::Relaxed);
                        if first >= count {
                            return;
                        }
                        let body: String =
                            (first..count.min(first + 1_000)).map(|n| document(n) + "\n").collect();
                        loop {
                            let request = client.post(&url).bearer_auth(&token).body(body.clone());
                            let answer = request.header("content-type", "application/x-ndjson").send().await;
                            let answer: serde_json::Value = answer.unwrap().json().await.unwrap();
                            // Refused for back-pressure: the same batch again, as a client does. Revisions stay apart.
                            if answer["rejected"].as_array().is_some_and(Vec::is_empty) {
                                break;
                            }
                            assert!(answer.to_string().contains("BACKPRESSURE"), "{answer}");
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }

    pub async fn graphql(&self, query: &str) -> serde_json::Value {
        let answer = self.client.post(format!("{}/graphql", self.url)).bearer_auth(&self.token);
        let answer = answer.json(&serde_json::json!({ "query": query })).send().await.unwrap();
        answer.json().await.unwrap()
    }
}

impl Drop for Server {
    /// Asks it to end, as an operator does: it gives its leases back, so that the next one need not wait for them.
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn binary(_data: &Path) -> Command {
    Command::new(PathBuf::from(env!("CARGO_BIN_EXE_wellspring")))
}

/// User and system CPU of one process, in milliseconds, at the scheduler's precision.
pub fn cpu_ms(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let live: f64 = tasks.filter_map(|t| schedstat(&t.path())).sum();
    if live > 0.0 { live } else { 0.0 }
}

fn schedstat(path: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
    Some(text.split_whitespace().next()?.parse::<f64>().ok()? / 1e6)
}

fn children(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.1)))
        .collect();
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(all.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

fn stat(pid: u32) -> Option<(Vec<String>, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<String> = text.rsplit_once(") ")?.1.split_whitespace().map(str::to_owned).collect();
    let parent = fields.get(1)?.parse().ok()?;
    Some((fields, parent))
}

fn ended_children_cpu_ms(root: u32) -> f64 {
    let Some((fields, _)) = stat(root) else { return 0.0 };
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(13) + ticks(14)) * 10.0
}

/// `p50 … p99 … max …` of times.
pub fn spread(values: &mut [f64], unit: &str) -> String {
    values.sort_by(f64::total_cmp);
    let at = |q: f64| values[((values.len() - 1) as f64 * q).round() as usize];
    format!(
        "p50 {:.1} {unit}, p99 {:.1} {unit}, min {:.1}, max {:.1} ({} tries)",
        at(0.5),
        at(0.99),
        at(0.0),
        at(1.0),
        values.len()
    )
}
