//! Which media type an answer has, by the `Accept` header.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::format::{self, Format};

/// The media types that GraphQL answers come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/json`: errors of the document are 200, as older clients expect.
    Json,
    /// `application/graphql-response+json`: the status says whether the request was executed.
    GraphqlResponse,
    /// `text/event-stream`: one event per result.
    EventStream,
}

impl Media {
    /// The `Content-Type` of the answer.
    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Media::Json => "application/json; charset=utf-8",
            Media::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Media::EventStream => "text/event-stream; charset=utf-8",
        })
    }
}

/// What the client prefers; `None` when it takes nothing that can be given. The first of equals wins.
pub(super) fn negotiate(headers: &HeaderMap) -> Option<Media> {
    preferred(headers, Media::Json, |name| match name {
        "application/json" | "application/*" | "*/*" => Some(Media::Json),
        "application/graphql-response+json" => Some(Media::GraphqlResponse),
        "text/event-stream" => Some(Media::EventStream),
        _ => None,
    })
}

/// The format that the client prefers for rows, likewise.
pub(super) fn format(headers: &HeaderMap) -> Option<&'static dyn Format> {
    let json = format::by_name("json")?;
    preferred(headers, json, |name| match name {
        "application/*" | "*/*" => Some(json),
        "text/*" => format::by_name("csv"),
        name => format::by_media_type(name),
    })
}

fn preferred<T: Copy>(headers: &HeaderMap, usual: T, known: impl Fn(&str) -> Option<T>) -> Option<T> {
    let mut best: Option<(u16, T)> = None;
    let mut asked = false;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            if name.is_empty() {
                continue;
            }
            asked = true;
            let Some(media) = known(&name) else { continue };
            let quality = quality(parts);
            if quality > 0 && best.is_none_or(|(other, _)| quality > other) {
                best = Some((quality, media));
            }
        }
    }
    if asked { best.map(|(_, media)| media) } else { Some(usual) }
}

/// `q` in thousandths; 1000 when it is not given or not a number.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> u16 {
    let given = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>().ok())?
    });
    let thousandths = given.unwrap_or(1.0).clamp(0.0, 1.0) * 1_000.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
    let thousandths = thousandths as u16;
    thousandths
}

/// Whether a `Content-Type` is JSON in UTF-8: `application/json` or `application/*+json`.
pub(super) fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = name == "application/json" || (name.starts_with("application/") && name.ends_with("+json"));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    json && utf8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    fn of(accept: Option<&str>) -> Option<Media> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        }
        negotiate(&headers)
    }

    #[test]
    fn the_preferred_type_wins() {
        assert_eq!(of(None), Some(Media::Json));
        assert_eq!(of(Some("*/*")), Some(Media::Json));
        assert_eq!(
            of(Some("application/graphql-response+json, application/json;q=0.9")),
            Some(Media::GraphqlResponse)
        );
        assert_eq!(of(Some("application/graphql-response+json;q=0.2, application/json")), Some(Media::Json));
        assert_eq!(of(Some("text/event-stream")), Some(Media::EventStream));
        assert_eq!(of(Some("text/html, */*;q=0.1")), Some(Media::Json));
        assert_eq!(of(Some("text/html")), None);
        assert_eq!(of(Some("application/json;q=0")), None);
    }

    #[test]
    fn only_json_in_utf8_is_json() {
        assert!(is_json("application/json"));
        assert!(is_json("Application/JSON; Charset=\"UTF-8\""));
        assert!(is_json("application/cloudevents+json"));
        assert!(!is_json("application/json; charset=latin1"));
        assert!(!is_json("text/plain"));
        assert!(!is_json("application/x-www-form-urlencoded"));
    }
}
