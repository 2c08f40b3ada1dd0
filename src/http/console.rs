//! GraphiQL, every byte from the binary: nothing is fetched from elsewhere, and the page's policy forbids it.

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};

use super::answer::Refusal;
use crate::error::Error;

/// A file of the console.
struct File {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    gzip: bool,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const INDEX: &str = include_str!("../../assets/graphiql/index.html");
const ICON: &str = include_str!("../../assets/graphiql/favicon.svg");

/// What the page may load and where it may connect: `'self'` has the server's WebSocket in it. Styles are set by the
/// editor's own script, hence inline.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

const FILES: [File; 6] = [
    File {
        name: "graphiql.min.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../assets/graphiql/graphiql.min.js.gz"),
        gzip: true,
    },
    File {
        name: "graphiql.min.css",
        content_type: STYLE,
        bytes: include_bytes!("../../assets/graphiql/graphiql.min.css.gz"),
        gzip: true,
    },
    File {
        name: "react.production.min.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../assets/graphiql/react.production.min.js.gz"),
        gzip: true,
    },
    File {
        name: "react-dom.production.min.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../assets/graphiql/react-dom.production.min.js.gz"),
        gzip: true,
    },
    File {
        name: "boot.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../../assets/graphiql/boot.js"),
        gzip: false,
    },
    File {
        name: "page.css",
        content_type: STYLE,
        bytes: include_bytes!("../../assets/graphiql/page.css"),
        gzip: false,
    },
];

/// `/`: until there is more to show, GraphiQL.
pub(super) async fn root() -> Redirect {
    Redirect::temporary("/graphiql")
}

/// The page.
pub(super) async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, INDEX).into_response()
}

/// The icon.
pub(super) async fn favicon() -> Response {
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, ICON).into_response()
}

/// One of the page's files. Their names stay while their bytes change with the program, so the tag is its
/// version.
pub(super) async fn file(Path(name): Path<String>, asked: HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        let name: String = name.chars().take(100).collect();
        return Refusal::new(Error::not_found(format!("GraphiQL has no file `{name}`"))).into_response();
    };
    let tag = format!("\"{}-{}\"", env!("CARGO_PKG_VERSION"), file.bytes.len());
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    if asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (axum::http::StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    if file.gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    (headers, file.bytes).into_response()
}
