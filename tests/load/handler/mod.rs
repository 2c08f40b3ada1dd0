//! The handler written by hand: axum, the ideal SQL over the tables made by hand, JSON written cell by cell. It does
//! what the policy of the bench does: a token says which market's orders are shown, and names lose all but three
//! letters. As good as one would write by hand for just these five reads, and nothing more.

mod postgres;
pub mod sqlite;
mod write;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, header},
    response::IntoResponse,
    routing::get,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::{
    data,
    peers::{Peer, address},
    process::Services,
    tables,
    workloads::Kind,
};

const KEY: &[u8] = b"the key of the load programs only";

/// The handler's process; ended when dropped.
pub struct Handler {
    child: Child,
    url: String,
}

impl Handler {
    pub fn start(services: &Services) -> Handler {
        let (kind, url) = match services.postgres_url() {
            Some(url) => ("postgres", url),
            None => ("sqlite", tables::path(services).to_str().unwrap().to_owned()),
        };
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.args(["serve-handler", kind, &url]).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Handler { child, url }
    }

    pub fn peer(&self) -> Peer {
        let claims = Claims { market: data::MARKET.to_owned(), exp: u64::MAX >> 2 };
        let token =
            jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(KEY)).unwrap();
        let (address, pid) = (address(&self.url), self.child.id());
        Peer { name: "handler", kind: Kind::Handler, address, pid, token }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    market: String,
    exp: u64,
}

/// What the reads are asked for.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    before: String,
    #[serde(default)]
    first: i64,
    #[serde(default)]
    from: String,
}

enum Database {
    Postgres(sqlx::PgPool),
    Sqlite(sqlite::Connections),
}

struct Inner {
    database: Database,
    key: DecodingKey,
    validation: Validation,
}

type Shared = Arc<Inner>;

#[derive(Clone, Copy)]
pub enum Read {
    Lookup,
    List,
    Groups,
    Related,
}

/// What the child runs.
pub async fn serve(kind: &str, url: &str) {
    let database = match kind {
        "sqlite" => Database::Sqlite(sqlite::Connections::new(url)),
        _ => Database::Postgres(postgres::connect(url).await),
    };
    let inner =
        Inner { database, key: DecodingKey::from_secret(KEY), validation: Validation::new(Algorithm::HS256) };
    let route = |read: Read| get(move |state, headers, asked| answer(read, state, headers, asked));
    let app = Router::new()
        .route("/lookup", route(Read::Lookup))
        .route("/list", route(Read::List))
        .route("/groups", route(Read::Groups))
        .route("/related", route(Read::Related))
        .with_state(Arc::new(inner));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| stream.set_nodelay(true).unwrap()), app)
        .await
        .unwrap();
}

async fn answer(
    read: Read,
    State(shared): State<Shared>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> impl IntoResponse {
    let token = headers[header::AUTHORIZATION].to_str().unwrap().trim_start_matches("Bearer ");
    let claims = jsonwebtoken::decode::<Claims>(token, &shared.key, &shared.validation).unwrap().claims;
    let mut out = Vec::with_capacity(1 << 12);
    out.extend_from_slice(br#"{"data":["#);
    match &shared.database {
        Database::Postgres(pool) => postgres::read(pool, read, &asked, &claims.market, &mut out).await,
        Database::Sqlite(connections) => {
            connections.with(|connection| sqlite::read(connection, read, &asked, &claims.market, &mut out));
        }
    }
    out.extend_from_slice(b"]}");
    ([(header::CONTENT_TYPE, "application/json")], out)
}
