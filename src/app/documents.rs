//! Reads the file of trusted documents, again when it changes. One that cannot be read leaves those in force that were;
//! the log says so once. Must not know what is in documents.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::error::{Code, Error, Result};
use crate::graphql::{Engine, Trusted};

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// What reads the file.
pub(super) struct Reader {
    path: PathBuf,
    bytes_max: u64,
    engine: Engine,
    /// Of the file whose documents are in force, or that was refused: when it was changed, and its length.
    seen: Option<(SystemTime, u64)>,
}

/// The reader of the file that the configuration names, if it does. Its documents are in force from here on.
///
/// # Errors
/// `BAD_REQUEST` when it cannot be read or has another form.
pub(super) fn reader(config: &config::Graphql, engine: &Engine) -> Result<Option<Reader>> {
    let Some(path) = config.trusted_documents.clone() else { return Ok(None) };
    let bytes_max = config.trusted_bytes_max;
    let mut reader = Reader { path, bytes_max, engine: engine.clone(), seen: None };
    reader.step()?;
    Ok(Some(reader))
}

impl Reader {
    /// Puts in force what the file has, when it is another than before; whether it was.
    fn step(&mut self) -> Result<bool> {
        let path = self.path.display();
        let cannot = |error| {
            let text = format!("`graphql.trusted_documents`: `{path}` cannot be read");
            Error::bad_request(text).with_cause(error)
        };
        let file = std::fs::metadata(&self.path).map_err(cannot)?;
        let now = (file.modified().map_err(cannot)?, file.len());
        if self.seen == Some(now) {
            return Ok(false);
        }
        self.seen = Some(now);
        if file.len() > self.bytes_max {
            let most = self.bytes_max;
            let text = format!("`{path}` is larger than `graphql.trusted_bytes_max`, which is {most} bytes");
            return Err(Error::new(Code::TooLarge, text));
        }
        let text = std::fs::read_to_string(&self.path).map_err(cannot)?;
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
        match reader.step() {
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
