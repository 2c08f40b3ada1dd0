//! `wellspring demo`.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{Answer, Settings, runtime};
use crate::app::{demo, stop_signal};
use crate::error::Result;
use crate::telemetry::{self, Clock};

/// Every demo tells the same story, at a pace that people can follow.
const STORY: demo::Story = demo::Story { seed: 7, pace: Duration::from_millis(600) };

pub(super) fn run(settings: &Settings) -> Result<Answer> {
    let mut config = settings.load()?;
    if config.log.filter == crate::config::Log::default().filter {
        // People read this terminal: the lines of single requests would drown the story.
        config.log.filter = "warn,wellspring::app::policies=error".into();
    }
    let _log = telemetry::install_log(&config.log)?;
    runtime()?.block_on(async {
        let say = |text: &str| {
            // A closed terminal is no reason to stop serving.
            let _ = writeln!(io::stdout().lock(), "{text}");
        };
        demo::run(config, Clock::system(), STORY, stop_signal(), say).await?;
        Ok(Answer::Yes)
    })
}
