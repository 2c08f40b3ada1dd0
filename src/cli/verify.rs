//! `wellspring verify`: conservation and lineage, seen from inside.

use std::fmt::Write as _;

use super::{Answer, Settings, print, runtime};
use crate::error::Result;
use crate::http::auth::Keys;
use crate::provisioning::{Finding, Report, Unchecked, verify};
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
    let Report { records, settled, pending, parked, .. } = report;
    let mut out = format!("records {records}: settled {settled}, pending {pending}, parked {parked}\n");
    for (title, findings) in [
        ("unaccounted", &report.unaccounted),
        ("phantom", &report.phantoms),
        ("disordered", &report.disordered),
        ("broken", &report.broken),
    ] {
        for Finding { record_id, key, what } in findings {
            out.push_str(title);
            if let Some(id) = record_id {
                let _ = write!(out, " {id}");
            }
            if let Some(key) = key {
                let _ = write!(out, " {key}");
            }
            let _ = writeln!(out, ": {what}");
        }
    }
    for Unchecked { plugin, state, records } in &report.unchecked {
        let _ = writeln!(
            out,
            "unchecked plugin `{plugin}`, {state}: it is not in this configuration, and {records} records may be \
             its own; give the server's --config"
        );
    }
    if report.is_sound() {
        out.push_str("nothing is lost, lineage holds\n");
    }
    out
}
