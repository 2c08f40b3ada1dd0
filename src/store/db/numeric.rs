//! PostgreSQL's binary form of `numeric`, which has digits to the base 10,000. Must not round.

/// Its decimal text; none when the bytes are damaged.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks_exact(2).map(|pair| <[u8; 2]>::try_from(pair).map_or(0, u16::from_be_bytes));
    let count = words.next()?;
    #[expect(clippy::cast_possible_wrap, reason = "the wire format is signed here")]
    let weight = words.next()? as i16;
    let sign = words.next()?;
    let scale = usize::from(words.next()?);
    if sign == 0xC000 {
        return Some("NaN".to_owned());
    }
    let digits: Vec<u16> = words.take(usize::from(count)).collect();
    let digit = |place: i32| -> u16 {
        usize::try_from(i32::from(weight) - place).ok().and_then(|i| digits.get(i).copied()).unwrap_or(0)
    };
    let mut text = String::new();
    if sign == 0x4000 {
        text.push('-');
    }
    let mut whole: String =
        (0..=i32::from(weight).max(0)).rev().map(|p| format!("{:04}", digit(p))).collect();
    let zeros = whole.bytes().take_while(|byte| *byte == b'0').count().min(whole.len().saturating_sub(1));
    text.push_str(&whole.split_off(zeros));
    if scale > 0 {
        let groups = i32::try_from(scale.div_ceil(4)).ok()?;
        let mut part: String = (1..=groups).map(|p| format!("{:04}", digit(-p))).collect();
        part.truncate(scale);
        text.push('.');
        text.push_str(&part);
    }
    Some(text)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn numeric(words: &[u16]) -> String {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        text(&bytes).unwrap()
    }

    #[test]
    fn numeric_becomes_its_decimal_text() {
        assert_eq!(numeric(&[0, 0, 0, 0]), "0");
        assert_eq!(numeric(&[1, 0, 0, 0, 7]), "7");
        assert_eq!(numeric(&[2, 1, 0, 0, 12, 34]), "120034");
        assert_eq!(numeric(&[1, 1, 0x4000, 0, 1]), "-10000");
        assert_eq!(numeric(&[1, 0xFFFF, 0, 2, 2500]), "0.25");
        assert_eq!(numeric(&[2, 0, 0, 5, 3, 1415]), "3.14150");
        assert_eq!(numeric(&[1, 0xFFFE, 0, 6, 1200]), "0.000012");
        assert_eq!(numeric(&[0, 0, 0xC000, 0]), "NaN");
    }
}
