//! The contract that a visit is under: which one, whether it is served on this way and in this format, how often, and
//! until when. Must not know what is in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Shared;
use crate::contract::{Contract, Format, Transport};
use crate::error::{Code, Error, Result};
use crate::record::{Actor, Bound};

/// By which header a request says under which contract it is.
pub(super) static HEADER: HeaderName = HeaderName::from_static("wellspring-contract");
static SUNSET: HeaderName = HeaderName::from_static("sunset");
const MINUTE_US: i64 = 60_000_000;

/// When the next request of each contract is due, in Unix microseconds, by its name: the generic cell rate algorithm of
/// ITU-T I.371, with room for a minute's requests at once.
#[derive(Default)]
pub(super) struct Rates(Mutex<HashMap<String, i64>>);

impl Rates {
    /// Counts a request.
    ///
    /// # Errors
    /// `RATE_LIMITED` with the time after which it would not be.
    fn take(&self, contract: &str, per_minute: u32, now_us: i64) -> Result<()> {
        let each = MINUTE_US / i64::from(per_minute.max(1));
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = due.entry(contract.to_owned()).or_insert(now_us);
        let next = (*known).max(now_us).saturating_add(each);
        let early = next.saturating_sub(now_us).saturating_sub(MINUTE_US);
        if early > 0 {
            let text =
                format!("the contract `{contract}` has {per_minute} requests a minute; try again later");
            let wait_ms = u64::try_from(early / 1_000).unwrap_or(0).max(1);
            return Err(Error::new(Code::RateLimited, text).retry_after_ms(wait_ms));
        }
        *known = next;
        Ok(())
    }
}

/// The actor under the contract that it asks for or has anyway; `format` is that of an answer that has data.
///
/// # Errors
/// `NOT_FOUND` and `BAD_REQUEST` as to which one; `FORBIDDEN` when that is not served on this way or in this format;
/// `RATE_LIMITED`.
pub(super) fn bind(
    shared: &Shared,
    actor: Arc<Actor>,
    wanted: Option<&str>,
    transport: Transport,
    format: impl Into<Option<Format>>,
) -> Result<Arc<Actor>> {
    let actor = shared.engine.bind(actor, wanted)?;
    let Some(bound) = &actor.contract else { return Ok(actor) };
    let Some(agreed) = shared.engine.contracts().get(&bound.name, bound.version).cloned() else {
        // It has ended a moment ago.
        return Err(Error::not_found(format!("there is no contract `{}` any more", bound.name)));
    };
    let contract = &agreed.contract;
    if !contract.serves(transport) {
        let ways = names(contract.transports.iter().map(|transport| transport.as_str()));
        return Err(refused(contract, transport.as_str(), &ways));
    }
    if let Some(format) = format.into().filter(|format| !contract.gives(*format)) {
        let formats = names(contract.formats.iter().map(|format| format.as_str()));
        return Err(refused(contract, format.as_str(), &formats));
    }
    if let Some(per_minute) = contract.limits.requests_per_minute {
        shared.0.rates.take(&contract.name, per_minute, shared.clock.now_us())?;
    }
    Ok(actor)
}

fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    all.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn refused(contract: &Contract, what: &str, instead: &str) -> Error {
    Error::forbidden(format!(
        "the contract `{}` is not served as `{what}`; ask by {instead}",
        contract.label()
    ))
}

/// What a request says about its contract.
///
/// # Errors
/// `BAD_REQUEST` when it says it twice or not in letters.
pub(super) fn wanted(headers: &HeaderMap) -> Result<Option<String>> {
    let mut values = headers.get_all(&HEADER).iter();
    let (first, second) = (values.next(), values.next());
    match (first.map(HeaderValue::to_str), second) {
        (None, _) => Ok(None),
        (Some(Ok(name)), None) => Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty())),
        _ => Err(Error::bad_request("send one `Wellspring-Contract: NAME` or `NAME@VERSION`")),
    }
}

/// Tells caches what an answer goes by, and clients when their contract ends (RFC 8594).
pub(super) fn tell(shared: &Shared, bound: Option<&Bound>, headers: &mut HeaderMap) {
    headers.insert(
        header::VARY,
        HeaderValue::from_static("accept, authorization, x-api-key, wellspring-contract"),
    );
    let Some(bound) = bound else { return };
    let contracts = shared.engine.contracts();
    let sunset =
        contracts.get(&bound.name, bound.version).and_then(|agreed| agreed.contract.sunset.as_deref());
    let day = sunset.and_then(|day| day.parse::<jiff::civil::Date>().ok());
    let text = day.map(|day| day.strftime("%a, %d %b %Y 00:00:00 GMT").to_string());
    if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(SUNSET.clone(), value);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_minutes_requests_may_come_at_once_and_then_one_after_the_other() {
        let rates = Rates::default();
        let take = |now_us| rates.take("acme", 3, now_us);
        assert!((0..3).all(|_| take(0).is_ok()));
        assert_eq!(take(0).unwrap_err().code(), Code::RateLimited);
        assert!(take(19_999_000).is_err());
        assert!(take(20_000_000).is_ok());
        assert!(take(20_000_000).is_err());
        assert!(rates.take("other", 1, 0).is_ok());
        assert!((0..3).all(|_| take(600_000_000).is_ok()));
    }
}
