//! Reads the keys of issuers: files and URLs, again and again, and sooner when a token names a key that is not known.
//! What cannot be read changes nothing; the log says so once. Must not decide which tokens are good.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, redirect};
use tokio_util::sync::CancellationToken;

use super::files;
use crate::config;
use crate::error::{Error, Result};
use crate::http::auth::{Auth, Issuer, Whence};
use crate::telemetry::Clock;

/// How often files are looked at.
const FILE_PERIOD: Duration = Duration::from_millis(500);
/// How often a URL may send on to another of the same server.
const REDIRECTS_MAX: usize = 3;

/// The option that bounds a list of keys.
const BYTES_MAX: &str = "auth.jwks_bytes_max";

/// What reads the keys of one issuer.
pub(super) struct Reader {
    issuer: Arc<Issuer>,
    whence: Whence,
    client: Client,
    bounds: config::Auth,
    clock: Clock,
    /// What the log has of the keys.
    told: Told,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Good,
    Unread,
    Stale,
}

/// One reader for each issuer. The keys in files are in force from here on.
///
/// # Errors
/// `BAD_REQUEST` when a file cannot be read or is no list of keys.
pub(super) async fn readers(auth: &Auth, bounds: &config::Auth, clock: &Clock) -> Result<Vec<Reader>> {
    let mut readers = Vec::new();
    for issuer in auth.issuers() {
        let Some(whence) = issuer.whence() else { continue };
        let (issuer, bounds, clock) = (issuer.clone(), bounds.clone(), clock.clone());
        let client = client(Duration::from_millis(bounds.jwks_timeout_ms))?;
        let mut reader = Reader { issuer, whence, client, bounds, clock, told: Told::Good };
        if matches!(reader.whence, Whence::File(_)) {
            reader.step().await?;
        }
        readers.push(reader);
    }
    Ok(readers)
}

/// A client that stays at the server that it was sent to.
fn client(timeout: Duration) -> Result<Client> {
    let same = |attempt: redirect::Attempt<'_>| {
        let of = |url: &url::Url| url.origin();
        let stays = attempt.previous().last().is_some_and(|from| of(from) == of(attempt.url()));
        if stays && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
    };
    let builder = Client::builder().no_proxy().timeout(timeout).redirect(redirect::Policy::custom(same));
    builder.build().map_err(Error::internal)
}

impl Reader {
    /// Reads until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let usual = match self.whence {
            Whence::File(_) => FILE_PERIOD,
            Whence::Url(_) => Duration::from_millis(self.bounds.jwks_period_ms),
        };
        let pause = Duration::from_millis(self.bounds.jwks_pause_ms);
        loop {
            let read = tokio::select! {
                () = stop.cancelled() => return,
                read = self.step() => read,
            };
            let period = if read.is_ok() { usual } else { usual.min(pause) };
            self.tell(read);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(period) => {}
                () = self.issuer.asked() => {}
            }
        }
    }

    async fn step(&mut self) -> Result<()> {
        self.issuer.begin(self.clock.now_us());
        let read = match &self.whence {
            Whence::File(path) => files::read(path, self.bounds.jwks_bytes_max, BYTES_MAX).await,
            Whence::Url(url) => self.fetch(url).await,
        };
        let now_us = self.clock.now_us();
        let taken = read.and_then(|text| self.issuer.take(&text, now_us));
        self.issuer.end();
        let whence = self.place();
        let taken = taken.map_err(|error| {
            let text =
                format!("the keys of the issuer `{}` at `{whence}`: {}", self.issuer.name(), error.message());
            Error::bad_request(text)
        })?;
        for remark in taken.iter().flatten() {
            tracing::warn!(issuer = self.issuer.name(), "{remark}");
        }
        if taken.is_some() {
            tracing::info!(
                issuer = self.issuer.name(),
                keys = self.issuer.keys(),
                "keys of an issuer are in force"
            );
        }
        Ok(())
    }

    fn place(&self) -> String {
        match &self.whence {
            Whence::File(path) => path.display().to_string(),
            Whence::Url(url) => url.clone(),
        }
    }

    /// Says what has changed since it was said last.
    fn tell(&mut self, read: Result<()>) {
        let stale = self.issuer.is_stale(self.clock.now_us());
        let now = match &read {
            Ok(()) => Told::Good,
            Err(_) if stale => Told::Stale,
            Err(_) => Told::Unread,
        };
        if now == self.told {
            return;
        }
        match read {
            Ok(()) => tracing::info!(issuer = self.issuer.name(), "keys of an issuer can be read again"),
            Err(error) if stale => tracing::error!("{}; its tokens are refused", error.message()),
            Err(error) => {
                let age = self.bounds.jwks_age_max_s;
                tracing::warn!(
                    "{}; those of before are good for {age} s since they were read",
                    error.message()
                );
            }
        }
        self.told = now;
    }

    async fn fetch(&self, url: &str) -> Result<Vec<u8>> {
        let away = |error: reqwest::Error| {
            Error::unavailable(format!("it does not answer: {}", causes(&error)), error)
        };
        let mut answer =
            self.client.get(url).header("accept", "application/json").send().await.map_err(away)?;
        if !answer.status().is_success() {
            return Err(Error::bad_request(format!("it answers {}", answer.status().as_u16())));
        }
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(away)? {
            text.extend_from_slice(&chunk);
            files::bounded(&text, self.bounds.jwks_bytes_max, BYTES_MAX)?;
        }
        Ok(text)
    }
}

/// What is behind an error, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
