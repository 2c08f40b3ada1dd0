//! How single values are written into JSON. The same forms stand in list columns and in the images of
//! changes.

/// Appends a finite float: integral ones below 2^53 as integers, others as short as possible; not finite is
/// null.
pub fn float(number: f64, out: &mut Vec<u8>) {
    if !number.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        #[allow(clippy::cast_possible_truncation, reason = "integral and below 2^53")]
        return int(number as i64, out);
    }
    out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
}

/// Appends an integer.
pub fn int(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends an integer as a string, as BigInt is.
pub fn big_int(number: i64, out: &mut Vec<u8>) {
    out.push(b'"');
    int(number, out);
    out.push(b'"');
}

/// Appends a boolean.
pub fn bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Appends a text as a JSON string.
pub fn text(text: &str, out: &mut Vec<u8>) {
    let odd = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    out.reserve(text.len() + 2);
    out.push(b'"');
    // All bytes are looked at, without leaving at the first: that is done many at once.
    if text.bytes().fold(false, |any, byte| any | odd(byte)) {
        text.bytes().for_each(|byte| escaped(byte, out));
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
}

/// Appends `"key":`, with what must stand before it in an object.
pub fn member(key: &str, first: bool, out: &mut Vec<u8>) {
    out.push(if first { b'{' } else { b',' });
    text(key, out);
    out.push(b':');
}

fn escaped(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..0x20 => {
            let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
        _ => return out.push(byte),
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Unix microseconds as `2026-11-22T21:21:19.000000Z`; `None` outside of the years 0 to 9999.
pub fn instant(micros: i64) -> Option<String> {
    let instant = jiff::Timestamp::from_microsecond(micros).ok()?;
    let time = instant.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    (0..=9999).contains(&time.year()).then(|| {
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            time.year(),
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.subsec_nanosecond() / 1_000
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_short_and_integral_ones_integers() {
        let written = |number| {
            let mut out = Vec::new();
            float(number, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        assert_eq!(
            [1.0, -0.0, 0.1, 1e300, 9_007_199_254_740_992.0].map(written),
            ["1", "0", "0.1", "1e300", "9007199254740992.0"]
        );
        assert_eq!(written(f64::NAN), "null");
    }

    #[test]
    fn instants_have_fixed_width() {
        assert_eq!(instant(1_795_382_479_000_001).as_deref(), Some("2026-11-22T21:21:19.000001Z"));
        assert_eq!(instant(-1).as_deref(), Some("1969-12-31T23:59:59.999999Z"));
    }
}
