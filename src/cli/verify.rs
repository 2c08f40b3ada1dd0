//! `wellspring verify`: conservation and lineage, seen from inside.

use std::fmt::Write as _;

use super::{Answer, Settings, print, runtime};
use crate::error::Result;
use crate::http::auth::Keys;
use crate::provisioning::{Finding, Report, verify};
use crate::store::Store;
use crate::telemetry::Clock;

pub(super) fn run(settings: &Settings) -> Result<Answer> {
    let config = settings.load()?;
    let keys = Keys::read(&config.key_file(), &config.auth)?;
    let report = runtime()?.block_on(async {
        let store = Store::open_read_only(&config.store, keys.signer(), Clock::system()).await?;
        verify(&store, &config).await
    })?;
    print(&text(&report))?;
    Ok(if report.is_sound() { Answer::Yes } else { Answer::No })
}

fn text(report: &Report) -> String {
    let Report { records, settled, pending, parked, unaccounted, broken } = report;
    let mut out = format!("records {records}: settled {settled}, pending {pending}, parked {parked}\n");
    for (title, findings) in [("unaccounted", unaccounted), ("broken", broken)] {
        for Finding { record_id, key, what } in findings {
            let _ = writeln!(out, "{title} {record_id} {key}: {what}");
        }
    }
    if report.is_sound() {
        out.push_str("nothing is lost, lineage holds\n");
    }
    out
}
