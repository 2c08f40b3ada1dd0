//! What a value looks like: one bit for each format that the whole of it matches. Decided by form and checksum only; of
//! the formats that need a hint from the key, `hints` decides. Runs on every string that is sourced, so each test first
//! looks at what is cheap.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::codes;

/// A set of formats. The bits are stored in canonical texts: never give one a new meaning.
pub(super) type Formats = u32;

/// RFC 3339 with time and offset.
pub(super) const DATE_TIME: Formats = 1;
/// `2026-11-22`
pub(super) const DATE: Formats = 2;
/// Hyphenated UUID.
pub(super) const UUID: Formats = 4;
/// One e-mail address.
pub(super) const EMAIL: Formats = 8;
/// `scheme://…`
pub(super) const URI: Formats = 16;
/// Dotted quad.
pub(super) const IPV4: Formats = 32;
/// Any text form of RFC 4291.
pub(super) const IPV6: Formats = 64;
/// A telephone number that shows it is one.
pub(super) const PHONE: Formats = 128;
/// A payment card number with its checksum.
pub(super) const CARD: Formats = 256;
/// An international bank account number with its checksum.
pub(super) const IBAN: Formats = 512;
/// 26 digits of Crockford's base 32 that begin with a time from 2000 to 2100.
pub(super) const ULID: Formats = 1_024;
/// A number of seconds since 1970, by its key too.
pub(super) const EPOCH_SECONDS: Formats = 2_048;
/// A number of milliseconds since 1970, by its key too.
pub(super) const EPOCH_MILLIS: Formats = 4_096;
/// ISO 4217, by its key too.
pub(super) const CURRENCY: Formats = 8_192;
/// ISO 3166-1, by its key too.
pub(super) const COUNTRY: Formats = 16_384;
/// BCP 47, by its key too.
pub(super) const LANGUAGE: Formats = 32_768;
/// Degrees beside a longitude.
pub(super) const LATITUDE: Formats = 65_536;
/// Degrees beside a latitude.
pub(super) const LONGITUDE: Formats = 131_072;
/// A number of a GeoJSON point.
pub(super) const POSITION: Formats = 262_144;

/// The semantic tag of each format that marks personal data, from a single match on.
const PERSONAL: [(Formats, &str); 5] = [
    (EMAIL, "pii.email"),
    (PHONE, "pii.phone"),
    (IPV4 | IPV6, "pii.ip"),
    (CARD, "pii.card"),
    (IBAN, "pii.iban"),
];

/// All formats that mark personal data.
pub(super) const PERSONAL_ANY: Formats = EMAIL | PHONE | IPV4 | IPV6 | CARD | IBAN;

/// The semantic tag of each format that says something about a field when all its texts and numbers match.
const MEANING: [(Formats, &str); 12] = [
    (DATE_TIME, "time.instant"),
    (EPOCH_SECONDS, "time.instant.seconds"),
    (EPOCH_MILLIS, "time.instant.millis"),
    (UUID, "id.uuid"),
    (ULID, "id.ulid"),
    (URI, "url"),
    (CURRENCY, "code.currency"),
    (COUNTRY, "code.country"),
    (LANGUAGE, "code.language"),
    (LATITUDE, "geo.latitude"),
    (LONGITUDE, "geo.longitude"),
    (POSITION, "geo.point"),
];

/// Tags of a location: `any` value matched, `all` texts and numbers matched.
pub(super) fn tags(any: Formats, all: Formats) -> impl Iterator<Item = &'static str> {
    let personal = PERSONAL.into_iter().filter(move |(format, _)| any & format != 0);
    personal.chain(MEANING.into_iter().filter(move |(format, _)| all & format != 0)).map(|(_, tag)| tag)
}

/// The name of each format, as JSON Schema has it where it has one.
const NAMES: [(Formats, &str); 19] = [
    (DATE_TIME, "date-time"),
    (DATE, "date"),
    (UUID, "uuid"),
    (EMAIL, "email"),
    (URI, "uri"),
    (IPV4, "ipv4"),
    (IPV6, "ipv6"),
    (PHONE, "phone"),
    (CARD, "card"),
    (IBAN, "iban"),
    (ULID, "ulid"),
    (EPOCH_SECONDS, "unix-seconds"),
    (EPOCH_MILLIS, "unix-milliseconds"),
    (CURRENCY, "iso-4217"),
    (COUNTRY, "iso-3166-1"),
    (LANGUAGE, "bcp-47"),
    (LATITUDE, "latitude"),
    (LONGITUDE, "longitude"),
    (POSITION, "geojson-point"),
];

/// Names of these formats.
pub(super) fn names(formats: Formats) -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().filter(move |(format, _)| formats & format != 0).map(|(_, name)| name)
}

/// The longest text that can have a format; a URI may be longer but says nothing then.
const BYTES_MAX: usize = 2_048;

/// Every format that the whole of `text` matches. What marks personal data may have white space around it.
pub(super) fn of(text: &str) -> Formats {
    if text.len() < 2 || text.len() > BYTES_MAX {
        return 0;
    }
    let bytes = text.as_bytes();
    let digit = bytes.first().is_some_and(u8::is_ascii_digit);
    let mut formats = match bytes.len() {
        10 if digit && is_date(bytes) => DATE,
        26 if is_ulid(bytes) => ULID,
        36 if is_uuid(bytes) => UUID,
        _ if digit && is_date_time(bytes) => DATE_TIME,
        _ => 0,
    };
    let trimmed = text.trim();
    if trimmed.contains('@') {
        if is_email(trimmed) {
            formats |= EMAIL;
        }
    } else if formats == 0 && trimmed.len() <= 45 {
        formats |= of_number_like(trimmed);
        if codes::is_iban(trimmed) {
            formats |= IBAN;
        }
    }
    if formats & EMAIL == 0 && is_uri(text) {
        formats |= URI;
    }
    formats
}

/// Formats of a JSON number: CSV, for one, makes numbers of all digits.
pub(super) fn of_number(text: &str) -> Formats {
    if is_card(text.as_bytes()) { CARD } else { 0 }
}

/// Formats made of digits and a few signs.
fn of_number_like(text: &str) -> Formats {
    let Some(&first) = text.as_bytes().first() else { return 0 };
    if !(first.is_ascii_hexdigit() || matches!(first, b'+' | b'(' | b':')) {
        return 0;
    }
    let mut formats = 0;
    if text.contains('.') && text.parse::<Ipv4Addr>().is_ok() {
        formats |= IPV4;
    } else if text.contains(':') && text.parse::<Ipv6Addr>().is_ok() {
        formats |= IPV6;
    }
    if is_phone(text.as_bytes()) {
        formats |= PHONE;
    }
    if is_card(text.as_bytes()) {
        formats |= CARD;
    }
    formats
}

/// The number that these digits make; `None` when one is not a digit or it has more than 32 bit.
fn digits(bytes: Option<&[u8]>) -> Option<u32> {
    bytes?.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// `YYYY-MM-DD` of a day that there was or will be, from year 1 on.
pub(super) fn is_date(bytes: &[u8]) -> bool {
    let separated = bytes.len() == 10 && bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-');
    let parts = (digits(bytes.get(..4)), digits(bytes.get(5..7)), digits(bytes.get(8..)));
    let (true, (Some(year), Some(month), Some(day))) = (separated, parts) else { return false };
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    year >= 1 && (1..=days).contains(&day)
}

/// RFC 3339 with a time and an offset. Not accepted: leap seconds, and on the first and last day that can be
/// written any other offset than zero, as the UTC form may need a year before 0001 or after 9999.
pub(super) fn is_date_time(bytes: &[u8]) -> bool {
    let (Some(date), Some(time)) = (bytes.get(..10), bytes.get(11..)) else { return false };
    if !is_date(date) || !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
        return false;
    }
    let colons = time.get(2) == Some(&b':') && time.get(5) == Some(&b':');
    let parts = (digits(time.get(..2)), digits(time.get(3..5)), digits(time.get(6..8)));
    let (true, (Some(0..=23), Some(0..=59), Some(0..=59))) = (colons, parts) else { return false };
    let mut rest = time.get(8..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&length) {
            return false;
        }
        rest = fraction.get(length..).unwrap_or_default();
    }
    match rest {
        b"Z" | b"z" => true,
        [b'+' | b'-', offset @ ..] => {
            let parts = (digits(offset.get(..2)), digits(offset.get(3..)));
            let whole = offset.len() == 5 && offset.get(2) == Some(&b':');
            let edge = date == b"0001-01-01" || date == b"9999-12-31";
            whole
                && matches!(parts, (Some(0..=23), Some(0..=59)))
                && (!edge || matches!(parts, (Some(0), Some(0))))
        }
        _ => false,
    }
}

/// Eight, four, four, four and twelve hex digits of any case.
pub(super) fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A ULID's first ten digits are milliseconds: those of this century begin with `00` to `03`.
fn is_ulid(bytes: &[u8]) -> bool {
    bytes.len() == 26
        && matches!(bytes, [b'0', b'0'..=b'3', ..])
        && bytes
            .iter()
            .all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'Z') && !matches!(b, b'I' | b'L' | b'O' | b'U'))
        && !bytes.iter().all(u8::is_ascii_digit)
}

/// `local@domain.tld`: what mail systems take, without comments, quotes and address literals.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let atom = |c: char| c.is_alphanumeric() || (c.is_ascii() && "!#$%&'*+-/=?^_`{|}~.".contains(c));
    let dots = |part: &str| !part.starts_with('.') && !part.ends_with('.') && !part.contains("..");
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let Some((_, tld)) = domain.rsplit_once('.') else { return false };
    !local.is_empty()
        && local.len() <= 64
        && domain.len() <= 253
        && dots(local)
        && local.chars().all(atom)
        && domain.split('.').all(label)
        && tld.chars().count() >= 2
        && !tld.chars().all(|c| c.is_ascii_digit())
}

/// A scheme, `://`, and something without spaces and without what a URI must escape.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let Some(rest) = rest.strip_prefix("//") else { return false };
    let plain =
        |b: u8| b > b' ' && !matches!(b, b'<' | b'>' | b'"' | b'{' | b'}' | b'|' | b'\\' | b'^' | b'`' | 127);
    scheme.len() <= 32
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && !rest.is_empty()
        && rest.bytes().all(plain)
        && (rest.is_ascii() || !rest.contains(|c: char| c.is_control() || c.is_whitespace()))
}

/// `+` and 8 to 15 digits in groups (E.164), or a North American number with its separators. Plain digits are
/// never one: they are ids, amounts and dates far more often.
fn is_phone(bytes: &[u8]) -> bool {
    if let Some(rest) = bytes.strip_prefix(b"+") {
        let count = rest.iter().filter(|byte| byte.is_ascii_digit()).count();
        let ends = matches!(rest, [b'1'..=b'9', .., b'0'..=b'9']);
        let signs = rest.iter().all(|byte| byte.is_ascii_digit() || b" -.()/".contains(byte));
        let doubled = rest
            .windows(2)
            .any(|pair| !pair.iter().any(u8::is_ascii_digit) && !matches!(pair, b") " | b" (" | b")-"));
        // A decimal number with a plus sign has one point and nothing else.
        let decimal = rest.iter().filter(|byte| !byte.is_ascii_digit()).eq([&b'.']);
        return (8..=15).contains(&count) && ends && signs && !doubled && !decimal;
    }
    let (area, rest) = match bytes {
        [b'(', a, b, c, b')', b' ', rest @ ..] | [b'(', a, b, c, b')', rest @ ..] => ([*a, *b, *c], rest),
        [a, b, c, b'-', rest @ ..] => ([*a, *b, *c], rest),
        _ => return false,
    };
    let part = |part: &[u8]| part.iter().all(u8::is_ascii_digit) && matches!(part, [b'2'..=b'9', ..]);
    match rest {
        [exchange @ .., b'-', a, b, c, d] => {
            exchange.len() == 3 && part(&area) && part(exchange) && digits(Some(&[*a, *b, *c, *d])).is_some()
        }
        _ => false,
    }
}

/// 13 to 19 digits, plain or in groups by one kind of separator, of a known issuer and with Luhn's checksum.
fn is_card(bytes: &[u8]) -> bool {
    if bytes.len() < 13 || bytes.len() > 23 || !bytes.iter().all(|b| b.is_ascii_digit() || b" -".contains(b))
    {
        return false;
    }
    let mut groups = bytes.split(|byte| !byte.is_ascii_digit());
    let mixed = bytes.contains(&b' ') && bytes.contains(&b'-');
    let grouped = bytes.iter().all(u8::is_ascii_digit) || groups.all(|group| (3..=7).contains(&group.len()));
    let digits: Vec<u8> = bytes.iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0').collect();
    !mixed && grouped && issued(&digits) && luhn(&digits)
}

/// Whether an issuer has cards of this beginning and length.
fn issued(digits: &[u8]) -> bool {
    let head = |length: usize| digits.iter().take(length).fold(0_u32, |n, d| n * 10 + u32::from(*d));
    let (two, three, four) = (head(2), head(3), head(4));
    match digits.len() {
        13 => head(1) == 4,
        14 => (300..=305).contains(&three) || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37),
        16 => {
            matches!(two, 40..=49 | 51..=55 | 62 | 65)
                || (2221..=2720).contains(&four)
                || (3528..=3589).contains(&four)
                || (644..=649).contains(&three)
                || four == 6011
        }
        17..=19 => two == 62 || (digits.len() == 19 && head(1) == 4),
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match u32::from(*digit) {
            digit if index % 2 == 0 => digit,
            digit => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_known_by_its_form() {
        for (text, formats) in [
            ("2021-08-19T12:16:32.000-04:00", DATE_TIME),
            ("2021-08-19t12:16:32z", DATE_TIME),
            ("2021-08-19T12:16:32-11:11111111111111", 0),
            ("2021-08-19T12:16:32-1111111111111111", 0),
            ("2021-08-19 12:16:32.123456789+00:00", DATE_TIME),
            ("2024-02-29", DATE),
            ("0C6E2B9A-7B1D-4A7F-9C57-0f4e5a6b7c8d", UUID),
            ("ada@example.org", EMAIL),
            (" ada+tag@mail.example.org ", EMAIL),
            ("jörg@bücher.example", EMAIL),
            ("https://example.org/a?b=c#d", URI),
            ("git://github.com/octo/repo.git", URI),
            ("192.168.0.1", IPV4),
            ("2001:db8::1", IPV6),
            ("::1", IPV6),
            ("+1 (555) 010-9999", PHONE),
            ("+49 30 901820", PHONE),
            ("+493012345678", PHONE),
            ("(212) 555-0123", PHONE),
            ("212-555-0123", PHONE),
            ("4111 1111 1111 1111", CARD),
            ("4111-1111-1111-1111", CARD),
            ("378282246310005", CARD),
            (" GB82 WEST 1234 5698 7654 32", IBAN),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", ULID),
        ] {
            assert_eq!(of(text), formats, "{text}");
        }
    }

    #[test]
    fn what_only_resembles_a_format_is_none() {
        for text in [
            "",
            "2021-08-19T12:16:32",
            "2021-08-19T24:00:00Z",
            "2021-08-19T23:59:60Z",
            "2021-08-19T12:16:32.0000000001Z",
            "2021-08-19T12:16:32+0000",
            "9999-12-31T23:59:59-01:00",
            "2023-02-29",
            "2023-2-9",
            "0000-01-01",
            "Jun 12 1998",
            "0c6e2b9a7b1d4a7f9c570f4e5a6b7c8d",
            "a@b",
            "@octocat",
            "git@github.com:octo/repo.git",
            "two ada@example.org addresses bob@example.org",
            "https://example.org/{id}",
            "://x",
            "256.1.1.1",
            "1.2.3",
            "12:30:45",
            "5550109999",
            "20211101",
            "+123456",
            "+1.23456789",
            "+0 123 456 789",
            "17966781617123",
            "4111111111111112",
            "1517966773840",
            "-118.6671667",
            "123-45-6789",
            "GB82 WEST 1234 5698 7654 33",
            "01arz3ndektsv4rrffq69g5fav",
            "71ARZ3NDEKTSV4RRFFQ69G5FAV",
            "00000000000000000000000001",
        ] {
            assert_eq!(of(text), 0, "{text}");
        }
    }

    #[test]
    fn tags_grow_from_one_match_and_meanings_need_all() {
        assert_eq!(tags(EMAIL | IPV6 | URI, 0).collect::<Vec<_>>(), ["pii.email", "pii.ip"]);
        assert_eq!(tags(URI, URI).collect::<Vec<_>>(), ["url"]);
    }
}
