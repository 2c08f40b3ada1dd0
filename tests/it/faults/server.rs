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
        command.arg("--config").arg(self.directory.path().join("wellspring.toml"));
        command.arg("--data").arg(self.directory.path().join("data"));
        if let Some(postgres) = &self.postgres {
            command.args(["--database-url", &postgres.url("postgres")]);
        }
        command
    }

    /// Starts a node and waits until it listens.
    pub fn start(&self, crash_at: Option<&str>) -> Server {
        let mut command = self.command("serve");
        command.args(["--listen", "127.0.0.1:0"]);
        if let Some(redis) = &self.redis {
            command.args(["--redis-url", &redis.url()]);
        }
        if let Some(point) = crash_at {
            command.env("WELLSPRING_CRASH_AT", point);
        }
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
        command.args(["token", "--subject", "ada", "--role", "admin", "--data"]);
        let output = command.arg(self.directory.path().join("data")).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What `wellspring verify` says, and whether it says yes.
    pub fn verify(&self) -> (bool, String) {
        let output = self.command("verify").output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    /// The configuration and the key of its servers, to read their database beside them.
    pub fn reading(&self) -> (Config, Keys) {
        let mut config = Config::default();
        config.store.data = self.directory.path().join("data");
        config.store.database_url = self.postgres.as_ref().map(|postgres| postgres.url("postgres"));
        let keys = Keys::read(&config.key_file(), &config.auth).unwrap();
        (config, keys)
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
