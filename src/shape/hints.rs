//! Formats that a value has only where its key and what stands beside it hint at it: by themselves `DE` is a word, 1.5
//! a number and 1700000000 an id. A key alone says nothing: the value must have the form, too.

use super::codes;
use super::formats::{
    COUNTRY, CURRENCY, EPOCH_MILLIS, EPOCH_SECONDS, Formats, LANGUAGE, LATITUDE, LONGITUDE, POSITION,
};
use crate::record::Json;

/// Formats of the value of `key` among the members of its object.
pub(super) fn of_member(key: impl Key, value: &Json, members: &[(String, Json)]) -> Formats {
    match value {
        Json::Number(text) => {
            let formats = epoch(key, text);
            if formats == 0 { coordinate(key, text, members) } else { formats }
        }
        Json::String(text) => code(key, text),
        Json::Array(items) if key.speaks(Topic::Position) => position(items, members),
        _ => 0,
    }
}

/// Formats of an item of the list that stands at `key`.
pub(super) fn of_item(key: impl Key, value: &Json) -> Formats {
    match value {
        Json::Number(text) => epoch(key, text),
        Json::String(text) => code(key, text),
        _ => 0,
    }
}

/// What a key speaks of, by one of its words, by its last one, or as a whole.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Topic {
    Country,
    Currency,
    Language,
    Time,
    Latitude,
    Longitude,
    Position,
}

/// A key that can be asked what it speaks of.
pub(super) trait Key: Copy {
    fn speaks(self, topic: Topic) -> bool;
}

impl Key for &str {
    fn speaks(self, topic: Topic) -> bool {
        match topic {
            Topic::Latitude => ends(self, &LATITUDES),
            Topic::Longitude => ends(self, &LONGITUDES),
            Topic::Position => self == "coordinates",
            _ => words(self).any(|word| means(word, topic)),
        }
    }
}

/// All that one key speaks of, for keys that come again and again.
#[derive(Clone, Copy)]
pub(super) struct Topics(u8);

impl Topics {
    /// Of no key.
    pub(super) const NONE: Topics = Topics(0);

    pub(super) fn of(key: &str) -> Self {
        let words = words(key).flat_map(|word| WORDS.into_iter().filter(|(known, _)| same(known, word)));
        let words = words.fold(0, |all, (_, topic)| all | bit(topic));
        let whole = [Topic::Latitude, Topic::Longitude, Topic::Position];
        Topics(
            whole.into_iter().filter(|topic| key.speaks(*topic)).fold(words, |all, topic| all | bit(topic)),
        )
    }
}

impl Key for Topics {
    fn speaks(self, topic: Topic) -> bool {
        self.0 & bit(topic) != 0
    }
}

fn bit(topic: Topic) -> u8 {
    1 << topic as u8
}

/// The words that speak of something, in small letters.
const WORDS: [(&[u8], Topic); 26] = [
    (b"country", Topic::Country),
    (b"countries", Topic::Country),
    (b"nation", Topic::Country),
    (b"nationality", Topic::Country),
    (b"currency", Topic::Currency),
    (b"currencies", Topic::Currency),
    (b"ccy", Topic::Currency),
    (b"language", Topic::Language),
    (b"languages", Topic::Language),
    (b"lang", Topic::Language),
    (b"locale", Topic::Language),
    (b"locales", Topic::Language),
    (b"at", Topic::Time),
    (b"time", Topic::Time),
    (b"date", Topic::Time),
    (b"timestamp", Topic::Time),
    (b"ts", Topic::Time),
    (b"epoch", Topic::Time),
    (b"created", Topic::Time),
    (b"updated", Topic::Time),
    (b"modified", Topic::Time),
    (b"expires", Topic::Time),
    (b"expiry", Topic::Time),
    (b"since", Topic::Time),
    (b"until", Topic::Time),
    (b"when", Topic::Time),
];

/// Codes that the value may be, when one of the key's words says which.
fn code(key: impl Key, text: &str) -> Formats {
    let tagged = matches!(text.as_bytes(), [a, b] | [a, b, b'-' | b'_', ..]
        if a.is_ascii_lowercase() && b.is_ascii_lowercase());
    let short = matches!(text.len(), 2 | 3) && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if short {
        if key.speaks(Topic::Country) {
            return if codes::is_country(text) { COUNTRY } else { 0 };
        }
        if text.len() == 3 && key.speaks(Topic::Currency) {
            return if codes::is_currency(text) { CURRENCY } else { 0 };
        }
    }
    if tagged && key.speaks(Topic::Language) && codes::is_language(text) { LANGUAGE } else { 0 }
}

/// Seconds or milliseconds since 1970, from 1990 to 2100, when one of the key's words speaks of time.
fn epoch(key: impl Key, text: &str) -> Formats {
    if !matches!(text.len(), 9 | 10 | 12 | 13) {
        return 0;
    }
    let format = match text.parse::<u64>() {
        Ok(631_152_000..=4_102_444_800) => EPOCH_SECONDS,
        Ok(631_152_000_000..=4_102_444_800_000) => EPOCH_MILLIS,
        _ => return 0,
    };
    if key.speaks(Topic::Time) { format } else { 0 }
}

/// What a key ends in, as a word of its own.
const LATITUDES: [&str; 2] = ["lat", "latitude"];
const LONGITUDES: [&str; 4] = ["lon", "lng", "long", "longitude"];

/// One of a pair: what is called a latitude and what is called a longitude in one object, both within their ranges.
fn coordinate(key: impl Key, text: &str, members: &[(String, Json)]) -> Formats {
    let (format, other, own_max, other_max) = if key.speaks(Topic::Latitude) {
        (LATITUDE, Topic::Longitude, 90.0, 180.0)
    } else if key.speaks(Topic::Longitude) {
        (LONGITUDE, Topic::Latitude, 180.0, 90.0)
    } else {
        return 0;
    };
    let paired = |(key, value): &(String, Json)| {
        key.speaks(other) && matches!(value, Json::Number(text) if within(text, other_max))
    };
    if within(text, own_max) && members.iter().any(paired) { format } else { 0 }
}

/// A GeoJSON point's `[longitude, latitude]`, with or without a height.
fn position(items: &[Json], members: &[(String, Json)]) -> Formats {
    let point = |(key, value): &(String, Json)| {
        key == "type" && matches!(value, Json::String(text) if text == "Point")
    };
    let number = |item: &Json, max: f64| matches!(item, Json::Number(text) if within(text, max));
    match items {
        [longitude, latitude] | [longitude, latitude, Json::Number(_)]
            if number(longitude, 180.0) && number(latitude, 90.0) && members.iter().any(point) =>
        {
            POSITION
        }
        _ => 0,
    }
}

fn within(text: &str, max: f64) -> bool {
    text.parse::<f64>().is_ok_and(|number| number.abs() <= max)
}

/// Whether a word of a key speaks of this.
fn means(word: &[u8], topic: Topic) -> bool {
    WORDS.iter().any(|(known, of)| *of == topic && same(known, word))
}

/// Most words differ in their length or their first byte.
fn same(known: &[u8], word: &[u8]) -> bool {
    known.len() == word.len() && known.eq_ignore_ascii_case(word)
}

/// Whether the key's last word is one of these.
fn ends(key: &str, wanted: &[&str]) -> bool {
    wanted.iter().any(|wanted| {
        let Some((before, last)) =
            key.len().checked_sub(wanted.len()).and_then(|at| key.as_bytes().split_at_checked(at))
        else {
            return false;
        };
        last.eq_ignore_ascii_case(wanted.as_bytes())
            && before.last().is_none_or(|before| parts(*before, last.first().copied().unwrap_or_default()))
    })
}

/// Whether a word ends between these two bytes: `createdAt`, `created_at` and `Created At` have the same two.
fn parts(before: u8, after: u8) -> bool {
    !is_letter(before) || !is_letter(after) || !before.is_ascii_uppercase() && after.is_ascii_uppercase()
}

/// Of a word: what is not ASCII counts as letters.
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

fn words(key: &str) -> impl Iterator<Item = &[u8]> {
    key.as_bytes()
        .chunk_by(|before, after| !parts(*before, *after))
        .filter(|word| word.first().is_some_and(|b| is_letter(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_words() {
        let words = |key| String::from_utf8(words(key).collect::<Vec<_>>().join(&b' ')).unwrap_or_default();
        assert_eq!(words("createdAt"), "created At");
        assert_eq!(words("US DVD_sales"), "US DVD sales");
        assert_eq!(words("größeÄndern__x"), "größeÄndern x");
        assert_eq!(words(""), "");
    }

    #[test]
    fn topics_are_what_a_key_speaks_of() {
        let topics = [
            Topic::Country,
            Topic::Currency,
            Topic::Language,
            Topic::Time,
            Topic::Latitude,
            Topic::Longitude,
            Topic::Position,
        ];
        for key in
            ["countryTime", "updated_at", "LAT", "belong", "startLong", "coordinates", "ccy Lang", "", "x"]
        {
            assert!(
                topics.into_iter().all(|topic| Topics::of(key).speaks(topic) == key.speaks(topic)),
                "{key}"
            );
            assert!(topics.into_iter().all(|topic| !Topics::NONE.speaks(topic)));
        }
    }

    #[test]
    fn neither_key_nor_value_says_it_alone() {
        let of = |text: &str| {
            let Ok(Json::Object(members)) = Json::try_from(text) else { return Vec::new() };
            members.iter().map(|(key, value)| of_member(key.as_str(), value, &members)).collect()
        };
        for (text, formats) in [
            (r#"{"country":"DE","billingCountry":"USA","nation":"Utopia"}"#, &[COUNTRY, COUNTRY, 0][..]),
            (r#"{"state":"DE","code":"USA","countryside":"DE","destination":"AUS"}"#, &[0, 0, 0, 0]),
            (
                r#"{"currency":"EUR","currency_code":"USD","amount":"EUR","currency2":"euro"}"#,
                &[CURRENCY, CURRENCY, 0, 0],
            ),
            (
                r#"{"lang":"en","userLocale":"pt-BR","language":"Go","slang":"en"}"#,
                &[LANGUAGE, LANGUAGE, 0, 0],
            ),
            (
                r#"{"time":1517966773840,"created_at":1557933591,"id":1557933591}"#,
                &[EPOCH_MILLIS, EPOCH_SECONDS, 0],
            ),
            (r#"{"time":120,"runtime":1557933591,"updated":15579335910,"at":-1}"#, &[0, 0, 0, 0]),
            (r#"{"lat":52.5,"lng":-13.4}"#, &[LATITUDE, LONGITUDE]),
            (r#"{"start_latitude":52.5,"startLong":-13,"flat":1,"belong":2}"#, &[LATITUDE, LONGITUDE, 0, 0]),
            (r#"{"lat":52.5,"x":1}"#, &[0, 0]),
            (r#"{"lat":91,"lon":1}"#, &[0, 0]),
            (r#"{"long":181,"lat":1,"short":3}"#, &[0, 0, 0]),
            (r#"{"type":"Point","coordinates":[13.4,52.5]}"#, &[0, POSITION]),
            (r#"{"type":"Point","coordinates":[13.4,52.5,-7]}"#, &[0, POSITION]),
            (r#"{"type":"Spot","coordinates":[13.4,52.5]}"#, &[0, 0]),
            (r#"{"type":"Point","coordinates":[52.5,130.4]}"#, &[0, 0]),
        ] {
            assert_eq!(of(text), formats, "{text}");
        }
    }
}
