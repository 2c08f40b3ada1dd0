//! Clock, log set-up, metrics and crash points, all passed in: nothing here is global but the log subscriber
//! that the command line installs. Must not know what is measured beyond names and numbers.

mod log;
mod metrics;

pub use log::Log;
pub use metrics::{Metrics, Open};

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::config;
use crate::error::{Code, Error, Result};

/// Where the time comes from: Unix microseconds.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Clock(Arc::new(|| {
            let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
        }))
    }

    /// A clock that tests drive.
    pub fn from_fn(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Clock(Arc::new(now))
    }

    /// Now, in Unix microseconds.
    pub fn now_us(&self) -> i64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Installs the log subscriber of this process: one line per event on standard error, until what is given back is
/// dropped.
///
/// # Errors
/// `BAD_REQUEST` when the filter cannot be parsed or a subscriber is installed already.
pub fn install_log(log: &config::Log) -> Result<Log> {
    let filter = tracing_subscriber::EnvFilter::try_new(&log.filter)
        .map_err(|error| Error::bad_request(format!("`log.filter` is not a filter: {error}")))?;
    let lines = Log::begin(log)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines.writer());
    let installed = if log.format == "json" {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    } else {
        builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
    };
    let twice = |error| Error::new(Code::BadRequest, "a log subscriber is installed").with_cause(error);
    installed.map(|()| lines).map_err(twice)
}

/// Ends the process at once, as a power cut would, when `at` names this point; `at` is `store.crash_at`.
///
/// Fault tests prove with it that a crash between two durable steps loses nothing. The points are
/// `before-commit`, `after-commit`, `after-claim`, `after-append` and `after-effect`.
pub fn crash_point(at: Option<&str>, point: &str) {
    if at == Some(point) {
        tracing::error!(point, "crash point reached");
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driven_clock_gives_what_the_test_says() {
        let clock = Clock::from_fn(|| 42);
        assert_eq!(clock.now_us(), 42);
        assert!(Clock::system().now_us() > 1_700_000_000_000_000);
    }

    #[test]
    fn only_the_named_point_crashes() {
        crash_point(None, "before-commit");
        crash_point(Some("after-commit"), "before-commit");
    }
}
