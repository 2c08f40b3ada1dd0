//! Texts as their words: what `search` looks at. The database's `wellspring_words` says the same, by a migration of its
//! own: whatever is changed here needs another. Must not know a language.

/// What is no letter, digit or mark, beyond ASCII: from and to.
const SIGNS: [(u32, u32); 77] = [
    (0x0080, 0x00A9),
    (0x00AB, 0x00B1),
    (0x00B4, 0x00B4),
    (0x00B6, 0x00B8),
    (0x00BB, 0x00BB),
    (0x00BF, 0x00BF),
    (0x00D7, 0x00D7),
    (0x00F7, 0x00F7),
    (0x02C2, 0x02C5),
    (0x02D2, 0x02DF),
    (0x037E, 0x037E),
    (0x0387, 0x0387),
    (0x055A, 0x055F),
    (0x0589, 0x058F),
    (0x05BE, 0x05BE),
    (0x05C0, 0x05C0),
    (0x05C3, 0x05C3),
    (0x05F3, 0x060F),
    (0x061B, 0x061F),
    (0x066A, 0x066D),
    (0x06D4, 0x06D4),
    (0x0700, 0x070D),
    (0x0964, 0x0965),
    (0x0970, 0x0970),
    (0x0DF4, 0x0DF4),
    (0x0E3F, 0x0E3F),
    (0x0E4F, 0x0E4F),
    (0x0E5A, 0x0E5B),
    (0x0F04, 0x0F14),
    (0x0F3A, 0x0F3D),
    (0x104A, 0x104F),
    (0x10FB, 0x10FB),
    (0x1360, 0x1368),
    (0x1400, 0x1400),
    (0x166E, 0x166E),
    (0x1680, 0x1680),
    (0x17D4, 0x17D6),
    (0x17D8, 0x17DB),
    (0x1800, 0x180A),
    (0x2000, 0x206F),
    (0x207A, 0x207E),
    (0x208A, 0x208E),
    (0x20A0, 0x20FF),
    (0x2116, 0x2118),
    (0x2120, 0x2123),
    (0x2190, 0x2BFF),
    (0x2E00, 0x3004),
    (0x3008, 0x3020),
    (0x3030, 0x3030),
    (0x3036, 0x3037),
    (0x303D, 0x303F),
    (0x309B, 0x309C),
    (0x30A0, 0x30A0),
    (0x30FB, 0x30FB),
    (0x3190, 0x319F),
    (0x31C0, 0x31E3),
    (0x3200, 0x33FF),
    (0x4DC0, 0x4DFF),
    (0xA4FE, 0xA4FF),
    (0xA60D, 0xA60F),
    (0xA874, 0xA877),
    (0xA92F, 0xA92F),
    (0xA95F, 0xA95F),
    (0xA9C1, 0xA9CD),
    (0xAA5C, 0xAA5F),
    (0xABEB, 0xABEB),
    (0xFD3E, 0xFD3F),
    (0xFE00, 0xFE19),
    (0xFE30, 0xFE6B),
    (0xFEFF, 0xFF0F),
    (0xFF1A, 0xFF20),
    (0xFF3B, 0xFF40),
    (0xFF5B, 0xFF65),
    (0xFFE0, 0xFFFF),
    (0x1D000, 0x1D24F),
    (0x1F000, 0x1FBEF),
    (0xE0000, 0xE0FFF),
];

/// Letters of scripts without blanks between words: each is a word by itself, so that several are a phrase.
const ALONE: [(u32, u32); 11] = [
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3000, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x1B000, 0x1B16F),
    (0x20000, 0x3FFFF),
];

/// The words of a text, in lower case, with one blank between them, before and behind.
pub fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 2);
    words.push(' ');
    for c in text.chars() {
        if !is_word(c) {
            end(&mut words);
        } else if is_in(&ALONE, c) {
            end(&mut words);
            words.extend([c, ' ']);
        } else {
            words.push(lower(c));
        }
    }
    end(&mut words);
    words
}

/// Ends a word that has been begun.
fn end(words: &mut String) {
    if !words.ends_with(' ') {
        words.push(' ');
    }
}

/// Whether words are made of it.
pub(super) fn is_word(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() } else { !is_in(&SIGNS, c) }
}

/// Whether words have it as texts have it, but for what ASCII's lower case changes.
pub(super) fn is_plain(c: char) -> bool {
    c.is_ascii() || matches!(u32::from(c), 0x0590..0x1E00 | 0x3000..)
}

fn is_in(ranges: &[(u32, u32)], c: char) -> bool {
    let c = u32::from(c);
    let place = ranges.partition_point(|(_, to)| *to < c);
    ranges.get(place).is_some_and(|(from, _)| *from <= c)
}

/// A letter of Latin, Greek, Cyrillic or Armenian in lower case, where that is one letter.
fn lower(c: char) -> char {
    match u32::from(c) {
        0..0x80 => c.to_ascii_lowercase(),
        // The sigma at the end of a word.
        0x03C2 => 'σ',
        0x00C0..0x0250 | 0x0370..0x0557 | 0x1E00..0x1F00 => {
            let mut lower = c.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some(one), None) => one,
                _ => c,
            }
        }
        _ => c,
    }
}
