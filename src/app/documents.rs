//! Reads the file of trusted documents, again when it changes. One that cannot be read leaves those in force that were;
//! the log says so once. Must not know what is in documents.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::files;
use crate::config;
use crate::error::{Error, Result};
use crate::graphql::{Engine, Trusted};

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// What reads the file.
pub(super) struct Reader {
    path: PathBuf,
    bytes_max: usize,
    engine: Engine,
    /// Of the file whose documents are in force, or that was refused: when it was changed, and its length.
    seen: Option<(SystemTime, u64)>,
}

/// The reader of the file that the configuration names, if it does. Its documents are in force from here on.
///
/// # Errors
/// `BAD_REQUEST` when it cannot be read or has another form.
pub(super) async fn reader(config: &config::Graphql, engine: &Engine) -> Result<Option<Reader>> {
    let Some(path) = config.trusted_documents.clone() else { return Ok(None) };
    let bytes_max = config.trusted_bytes_max;
    let mut reader = Reader { path, bytes_max, engine: engine.clone(), seen: None };
    reader.step().await?;
    Ok(Some(reader))
}

impl Reader {
    /// Puts in force what the file has, when it is another than before; whether it was.
    async fn step(&mut self) -> Result<bool> {
        self.look().await.map_err(|error| {
            let (path, why) = (self.path.display(), error.message());
            Error::bad_request(format!("`graphql.trusted_documents`: `{path}`: {why}"))
        })
    }

    async fn look(&mut self) -> Result<bool> {
        let cannot = |error: std::io::Error| Error::bad_request(format!("it cannot be read: {error}"));
        let file = tokio::fs::metadata(&self.path).await.map_err(cannot)?;
        let now = (file.modified().map_err(cannot)?, file.len());
        if self.seen == Some(now) {
            return Ok(false);
        }
        self.seen = Some(now);
        let text = files::read(&self.path, self.bytes_max, "graphql.trusted_bytes_max").await?;
        self.engine.trust(Trusted::parse(&text)?);
        Ok(true)
    }
}

/// Looks at the file until `stop`.
pub(super) async fn watch(mut reader: Reader, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refused = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match reader.step().await {
            Ok(true) => {
                tracing::info!("trusted documents changed and are in force");
                refused = None;
            }
            Ok(false) => {}
            Err(error) => {
                let text = error.message().to_owned();
                if refused.as_ref() != Some(&text) {
                    tracing::error!("trusted documents not changed, the old ones stay in force: {text}");
                    refused = Some(text);
                }
            }
        }
    }
}
