//! An issuer's list of keys behind a URL: it counts who asks, and does what a test wants of it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// What is answered.
#[derive(Clone)]
pub enum Says {
    Keys(String),
    Status(u16),
    GoTo(String),
}

#[derive(Clone)]
struct Inner(Arc<Mutex<(Says, usize)>>);

/// Runs until its test ends.
pub struct Server {
    pub url: String,
    inner: Inner,
}

impl Server {
    pub async fn start(says: Says) -> Self {
        let inner = Inner(Arc::new(Mutex::new((says, 0))));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Server { url, inner }
    }

    pub fn says(&self, says: Says) {
        self.inner.0.lock().unwrap().0 = says;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.inner.0.lock().unwrap().1
    }
}

async fn answer(State(inner): State<Inner>) -> Response {
    let mut inner = inner.0.lock().unwrap();
    inner.1 += 1;
    match &inner.0 {
        Says::Keys(text) => text.clone().into_response(),
        Says::Status(status) => StatusCode::from_u16(*status).unwrap().into_response(),
        Says::GoTo(url) => (StatusCode::FOUND, [(header::LOCATION, url.clone())]).into_response(),
    }
}
