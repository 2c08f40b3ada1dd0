//! `wellspring serve`.

use super::{Answer, Settings, print, runtime};
use crate::app::{App, stop_signal};
use crate::error::Result;
use crate::telemetry::{self, Clock};

pub(super) fn run(settings: &Settings) -> Result<Answer> {
    let config = settings.load()?;
    let _log = telemetry::install_log(&config.log)?;
    runtime()?.block_on(async {
        let app = App::build(config, Clock::system()).await?;
        print(&format!("listening on http://{}", app.address()))?;
        app.run_until(stop_signal()).await?;
        Ok(Answer::Yes)
    })
}
