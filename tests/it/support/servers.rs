//! Real servers for tests: PostgreSQL and Redis as the machine has them, each in a directory of its own, on Unix
//! sockets, ended with the process that started it. Standard library only; must not know Wellspring.
//!
//! A shell stands between the test process and each server and reads orders from a pipe. When the process dies,
//! in whatever way, the pipe closes: then the shell ends the server and removes its directory.

use std::{
    env, fs,
    io::Write,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        net::UnixStream,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to come or go.
const PATIENCE: Duration = Duration::from_secs(60);

/// PostgreSQL with one superuser `wellspring` and a UTF-8 locale.
pub struct Postgres {
    guard: Guard,
}

impl Postgres {
    /// One that trades durability for speed; `None` when the machine has no PostgreSQL.
    pub fn start() -> Option<Self> {
        Self::start_with("-c fsync=off -c synchronous_commit=off -c full_page_writes=off")
    }

    /// One that keeps what it has committed, as in production.
    pub fn start_durable() -> Option<Self> {
        Self::start_with("")
    }

    /// The same with memory for a million rows and more.
    #[allow(dead_code, reason = "for the load programs")]
    pub fn start_roomy() -> Option<Self> {
        Self::start_with("-c shared_buffers=2GB -c max_wal_size=8GB")
    }

    fn start_with(options: &str) -> Option<Self> {
        let initdb = find("initdb").or_else(|| missing("PostgreSQL"))?;
        let initdb = initdb.canonicalize().expect("it was found");
        let user = unprivileged();
        let dir = fresh_dir("pg", user);
        make_database(&initdb, &dir, user);
        Some(Self::serve(&initdb, dir, user, options))
    }

    /// A streaming replica of it.
    #[allow(dead_code, reason = "not for the load programs")]
    pub fn replica(&self) -> Self {
        // Beside the server: what the search path has may be a script that wants a client's package.
        let initdb = find("initdb").expect("there is a server").canonicalize().expect("it was found");
        let program = initdb.with_file_name("pg_basebackup");
        let user = unprivileged();
        let dir = fresh_dir("pg", user);
        let mut command = as_user(Command::new(&program), user);
        command.args(["-D", "data", "-U", "wellspring", "-R", "-X", "stream", "-c", "fast", "-h"]);
        let made = command.arg(&self.guard.dir).current_dir(&dir).output().expect("pg_basebackup should run");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self::serve(&program, dir, user, "-c fsync=off")
    }

    /// Serves what is in the directory by the server beside this program.
    fn serve(program: &Path, dir: PathBuf, user: Option<(u32, u32)>, options: &str) -> Self {
        let bin = program.parent().expect("a program is in a directory");
        let server = format!(
            "{}/postgres -D data -k {} -h '' -c shared_buffers=32MB -c max_connections=300 {options}",
            bin.display(),
            dir.display(),
        );
        let postgres = Postgres { guard: Guard::new(&server, dir, user) };
        postgres.wait_until_ready();
        postgres
    }

    /// Ends it at once, cutting its clients off.
    pub fn stop(&mut self) {
        self.guard.order("stop");
        until("PostgreSQL has ended", || self.pid_file().is_empty());
    }

    /// Starts it again on what it had kept.
    pub fn start_again(&mut self) {
        self.guard.order("start");
        self.wait_until_ready();
    }

    /// The address of one of its databases; `postgres` is always there.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://wellspring@localhost/{database}?host={}", self.guard.dir.display())
    }

    /// The process id of its postmaster.
    #[allow(dead_code, reason = "the figures measure its processes")]
    pub fn pid(&self) -> u32 {
        let line = self.pid_file().lines().next().map(str::to_owned);
        line.and_then(|line| line.parse().ok()).expect("it should have written its process id")
    }

    /// Ends it at once, cutting its clients off, and starts it again on what it had kept.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    fn wait_until_ready(&self) {
        let ready = || self.pid_file().lines().nth(7).is_some_and(|line| line.trim() == "ready");
        until(&format!("PostgreSQL is ready in {}", self.guard.dir.display()), ready);
    }

    fn pid_file(&self) -> String {
        fs::read_to_string(self.guard.dir.join("data/postmaster.pid")).unwrap_or_default()
    }
}

/// Redis, or a server of the same protocol, that keeps nothing on disk.
pub struct Redis {
    guard: Guard,
}

impl Redis {
    /// Redis, or Valkey where there is no Redis; `None` when the machine has neither.
    pub fn start() -> Option<Self> {
        Self::installed().into_iter().next().or_else(|| missing("Redis or Valkey")).map(Self::start_program)
    }

    /// The programs of this protocol that the machine has, at least one if services are required.
    pub fn every_installed() -> Vec<&'static str> {
        let found = Self::installed();
        if found.is_empty() {
            missing::<()>("Redis or Valkey");
        }
        found
    }

    fn installed() -> Vec<&'static str> {
        ["redis-server", "valkey-server"].into_iter().filter(|name| find(name).is_some()).collect()
    }

    /// One of [`Redis::every_installed`].
    pub fn start_program(name: &str) -> Self {
        let program = find(name).expect("it is installed");
        let dir = fresh_dir("rd", None);
        let server = format!(
            "{} --port 0 --unixsocket {dir}/s --dir {dir} --save '' --appendonly no",
            program.display(),
            dir = dir.display(),
        );
        let redis = Redis { guard: Guard::new(&server, dir, None) };
        redis.wait_until_ready();
        redis
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Ends it; what it held is gone.
    pub fn stop(&mut self) {
        self.guard.order("stop");
        until("Redis has ended", || UnixStream::connect(self.socket()).is_err());
    }

    /// Starts it again after [`Redis::stop`], empty.
    pub fn start_again(&mut self) {
        self.guard.order("start");
        self.wait_until_ready();
    }

    fn socket(&self) -> PathBuf {
        self.guard.dir.join("s")
    }

    fn wait_until_ready(&self) {
        until("Redis accepts connections", || UnixStream::connect(self.socket()).is_ok());
    }
}

/// The shell that owns a server.
struct Guard {
    shell: Child,
    dir: PathBuf,
}

impl Guard {
    fn new(server: &str, dir: PathBuf, user: Option<(u32, u32)>) -> Self {
        let script = format!(
            "start() {{ {server} >>log 2>&1 </dev/null & p=$!; }}\n\
             stop() {{ kill -INT $p 2>/dev/null; wait $p; }}\n\
             start; while read order; do $order; done; stop; cd /; rm -rf '{}'",
            dir.display(),
        );
        let mut shell = as_user(Command::new("sh"), user);
        shell.arg("-c").arg(script).current_dir(&dir).stdin(Stdio::piped()).process_group(0);
        Guard { shell: shell.spawn().expect("a shell should start"), dir }
    }

    fn order(&mut self, order: &str) {
        let pipe = self.shell.stdin.as_mut().expect("the pipe is open until the guard is dropped");
        writeln!(pipe, "{order}").expect("the guarding shell should be there");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ended = self.shell.wait();
    }
}

/// Looks until `done` holds; fails the test when it takes too long.
fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "waited too long until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A program of the search path, or of the place where Debian keeps PostgreSQL's, newest version first.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    dirs.extend(versions.into_iter().rev());
    dirs.into_iter().map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Whom to be: PostgreSQL refuses to run as root.
fn unprivileged() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").is_ok_and(|process| process.uid() != 0) {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|wanted| {
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = fields.into_iter().find(|fields| fields.first() == Some(wanted))?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    })
}

fn as_user(mut command: Command, user: Option<(u32, u32)>) -> Command {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// A new directory; its path is short because a Unix socket's path has at most 107 bytes.
fn fresh_dir(kind: &str, user: Option<(u32, u32)>) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let dir = env::temp_dir().join(format!("ws-{kind}-{}-{number}", std::process::id()));
    fs::create_dir_all(&dir).expect("the temporary directory should be writable");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("it is ours");
    if let Some((uid, gid)) = user {
        chown(&dir, Some(uid), Some(gid)).expect("root may give it away");
    }
    dir
}

/// Makes the files of a database whose default collation orders text unlike code points do, so that a forgotten
/// collation shows: by ICU where the server has it (PostgreSQL 15), by the C library's English else.
fn make_database(initdb: &Path, dir: &Path, user: Option<(u32, u32)>) {
    let icu = ["--locale-provider=icu", "--icu-locale=en-US", "--locale=C"];
    let tries = [&icu[..], &["--locale=en_US.UTF-8"], &["--locale=C.UTF-8"], &["--locale=C"]];
    let mut said = String::new();
    for locale in tries {
        let mut command = as_user(Command::new(initdb), user);
        command.args(["-D", "data", "-A", "trust", "-U", "wellspring", "-N", "-E", "UTF8"]);
        let made = command.args(locale).current_dir(dir).output().expect("initdb should run");
        if made.status.success() {
            return;
        }
        said.push_str(&String::from_utf8_lossy(&made.stderr));
    }
    panic!("initdb failed: {said}");
}

/// What a test must do without: it says so and passes, unless `WELLSPRING_REQUIRE_SERVICES` is set.
fn missing<T>(what: &str) -> Option<T> {
    let required = env::var_os("WELLSPRING_REQUIRE_SERVICES").is_some();
    assert!(!required, "{what} is not installed, and WELLSPRING_REQUIRE_SERVICES is set");
    println!("skipped: {what} is not installed");
    None
}
