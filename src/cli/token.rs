//! `wellspring token`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use super::{Answer, print};
use crate::config;
use crate::error::{Error, Result};
use crate::http::auth::Keys;
use crate::telemetry::Clock;

#[derive(Args)]
pub(super) struct Options {
    /// The data directory whose signing key is used.
    #[arg(long, value_name = "DIR", default_value = "./wellspring-data")]
    data: PathBuf,
    /// The signing key, when it is not `signing.key` in the data directory.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Who the token speaks for.
    #[arg(long)]
    subject: String,
    /// A role; may be given several times.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A further claim; the value is JSON, or else text. May be given several times.
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// How long it is good for, such as `90s`, `15m`, `1h`, `30d`.
    #[arg(long, default_value = "1h")]
    ttl: String,
}

pub(super) fn run(options: &Options) -> Result<Answer> {
    // How long a token may live is each server's to say.
    let auth = config::Auth { ttl_max_s: u64::MAX, ..config::Auth::default() };
    let file = options.key_file.clone().unwrap_or_else(|| options.data.join("signing.key"));
    let keys = Keys::read(&file, &auth)?;
    let now = Clock::system().now_us() / 1_000_000;
    let token = keys.sign(&claims(options, now)?)?;
    // What no server would take is not handed out.
    keys.verify(&token, now.saturating_mul(1_000_000))?;
    print(&token)
}

/// Claims that are given as `name=value`; those that have options of their own are refused.
pub(super) fn named(given: &[String], own: &[&str]) -> Result<Map<String, Value>> {
    let mut claims = Map::new();
    for claim in given {
        let (name, value) = claim
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Error::bad_request(format!("`--claim {claim}` must be `name=value`")))?;
        if own.contains(&name) {
            return Err(Error::bad_request(format!("the claim `{name}` has an option of its own")));
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        if claims.insert(name.to_owned(), value).is_some() {
            return Err(Error::bad_request(format!("the claim `{name}` is given twice")));
        }
    }
    Ok(claims)
}

fn claims(options: &Options, now: i64) -> Result<Map<String, Value>> {
    let mut claims = named(&options.claims, &["sub", "roles", "exp", "nbf", "iat"])?;
    let ttl = seconds(&options.ttl).ok_or_else(|| {
        Error::bad_request(format!("`{}` is not a time such as `90s`, `15m`, `1h`", options.ttl))
    })?;
    claims.insert("sub".into(), options.subject.clone().into());
    claims.insert("roles".into(), options.roles.clone().into());
    claims.insert("iat".into(), now.into());
    claims.insert("exp".into(), now.saturating_add(ttl).into());
    Ok(claims)
}

/// Seconds of `90s`, `15m`, `1h`, `30d`; a bare number is seconds.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let count = digits.parse::<i64>().ok().filter(|count| *count > 0)?;
    let unit = match text.strip_prefix(digits)? {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    count.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("15m"), Some(900));
        assert_eq!(seconds("1h"), Some(3_600));
        assert_eq!(seconds("30d"), Some(2_592_000));
        for wrong in ["", "h", "-1h", "0s", "1y", "1.5h", "1h30m"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
