//! The real binary as a child process, on what one mode needs.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
};

use tempfile::TempDir;
use wellspring::{config::Config, http::auth::Keys};

use crate::support::{
    Backend,
    servers::{Postgres, Redis},
};

/// Every copy in `masked` is copied once more, one hop too far: it is parked there, its key's followers behind it.
const CONFIG: &str = r#"
[store]
idle_in_transaction_ms = 2000
[stream]
lease_ms = 1000
poll_ms = 200
backoff_max_ms = 100
[provisioning]
hops_max = 1
[[provisioning.masks]]
name = "copy"
category = "order"
subcategory = "clothing"
to_subcategory = "masked"
fields = ["/lane"]
mask = "hash"
[[provisioning.masks]]
name = "too-far"
category = "order"
subcategory = "masked"
to_subcategory = "twice"
fields = ["/lane"]
mask = "hash"
"#;

/// What a server stands on; it outlives the server.
pub struct Stand {
    directory: TempDir,
    pub postgres: Option<Postgres>,
    pub redis: Option<Redis>,
}

impl Stand {
    pub fn new(backend: Backend) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("wellspring.toml"), CONFIG).unwrap();
        let postgres =
            (backend != Backend::Embedded).then(|| Postgres::start_durable().expect("it is available"));
        let redis = (backend == Backend::Scaled).then(|| Redis::start().expect("it is available"));
        Stand { directory, postgres, redis }
    }

    /// A command of the binary with the options that name the database.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
        command.env_remove("WELLSPRING_CRASH_AT").arg(name);
        // One key for all nodes of the database.
        command.env("WELLSPRING_AUTH__KEY_FILE", self.directory.path().join("signing.key"));
        command.arg("--config").arg(self.directory.path().join("wellspring.toml"));
        if let Some(postgres) = &self.postgres {
            command.args(["--database-url", &postgres.url("postgres")]);
        }
        command
    }

    /// Starts a node and waits until it listens.
    pub fn start(&self) -> Server {
        self.start_with("data", |command| command)
    }

    /// Starts a node that ends at the named point.
    pub fn start_to_crash(&self, point: &str) -> Server {
        self.start_with("data", |command| command.env("WELLSPRING_CRASH_AT", point))
    }

    /// Starts a node with a data directory of this name, its command changed.
    pub fn start_with(&self, data: &str, change: impl FnOnce(&mut Command) -> &mut Command) -> Server {
        let mut command = self.command("serve");
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(self.directory.path().join(data));
        if let Some(redis) = &self.redis {
            command.args(["--redis-url", &redis.url()]);
        }
        change(&mut command);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said =
            lines.find_map(|line| Some(line.unwrap().split_once("listening on ")?.1.trim().to_owned()));
        let url = said.unwrap_or_else(|| panic!("it did not start:\n{}", self.log()));
        Server { child, url }
    }

    /// A token of an administrator, made by the binary.
    pub fn token(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
        command.args(["token", "--subject", "ada", "--role", "admin", "--key-file"]);
        let output = command.arg(self.directory.path().join("signing.key")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What `wellspring verify` says, and whether it says yes.
    pub fn verify(&self) -> (bool, String) {
        let mut command = self.command("verify");
        let output = command.arg("--data").arg(self.directory.path().join("data")).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    /// What stands in its directory under this name: `data`, `signing.key`.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// The configuration and the key of its servers, to read their database beside them.
    pub fn reading(&self) -> (Config, Keys) {
        let mut config = Config::default();
        config.store.data = self.directory.path().join("data");
        config.auth.key_file = Some(self.directory.path().join("signing.key"));
        config.store.database_url = self.postgres.as_ref().map(|postgres| postgres.url("postgres"));
        let keys = Keys::read(&config.key_file(), &config.auth).unwrap();
        (config, keys)
    }

    /// A connection to its Redis, as an operator or a fault has one.
    pub fn redis(&self) -> redis::Connection {
        let url = self.redis.as_ref().expect("it has a Redis").url();
        redis::Client::open(url).unwrap().get_connection().unwrap()
    }

    /// What its servers have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> std::path::PathBuf {
        self.directory.path().join("log")
    }
}

/// A node; killed when dropped.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// Ends it at once, as a power cut ends a process.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end (`TERM`), stops it where it is (`STOP`) or lets it go on (`CONT`).
    pub fn signal(&self, name: &str) {
        let order = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &order]).status().unwrap().success(), "{order}");
    }

    /// How it has ended by itself; waits until it has.
    pub fn ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
