//! PostGraphile as a peer: installed from npm once, with the Node that it wants, and started in production mode.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    peers::{Peer, address},
    workloads::Kind,
};

/// Its process; ended when dropped.
pub struct PostGraphile {
    child: Child,
    url: String,
}

impl PostGraphile {
    pub fn start(database_url: &str) -> PostGraphile {
        let dir = installed();
        let mut command = Command::new(dir.join("node_modules/.bin/node"));
        command.arg("server.mjs").current_dir(&dir).env("DATABASE_URL", database_url);
        command.env("NODE_ENV", "production").env("GRAPHILE_ENV", "production");
        let mut child = command.stdout(Stdio::piped()).spawn().expect("node should start");
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        assert!(url.starts_with("http://"), "PostGraphile has not started");
        PostGraphile { child, url }
    }

    pub fn peer(&self) -> Peer {
        Peer {
            name: "PostGraphile 5",
            kind: Kind::PostGraphile,
            address: address(&self.url),
            pid: self.child.id(),
            token: String::new(),
        }
    }
}

impl Drop for PostGraphile {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directory that it is installed in; npm does it when the list of packages is another one.
fn installed() -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/load/postgraphile");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgraphile");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::copy(from.join("server.mjs"), dir.join("server.mjs")).unwrap();
    let wanted = std::fs::read(from.join("package.json")).unwrap();
    let done = dir.join("installed.json");
    if std::fs::read(&done).is_ok_and(|installed| installed == wanted) {
        return dir;
    }
    std::fs::write(dir.join("package.json"), &wanted).unwrap();
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&dir);
    let ended = npm.status().expect("npm is needed for PostGraphile; or say --without-postgraphile");
    assert!(ended.success(), "npm could not install PostGraphile in {}", dir.display());
    std::fs::write(done, wanted).unwrap();
    dir
}
