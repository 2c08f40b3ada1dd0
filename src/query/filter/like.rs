//! Patterns of SQL's LIKE in memory. Must say what both databases say.

/// SQL LIKE, case-sensitive: `%` any text, `_` one character, `\` takes the next character as it is.
pub fn like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut wanted = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        wanted.push(match c {
            '%' => Wild::Any,
            '_' => Wild::One,
            '\\' => Wild::Char(chars.next().unwrap_or('\\')),
            c => Wild::Char(c),
        });
    }
    // Greedy with one point to come back to: linear in most cases, never exponential.
    let (mut at, mut of, mut back) = (0, 0, None);
    while let Some(&c) = text.get(at) {
        match wanted.get(of) {
            Some(Wild::Any) => {
                back = Some((at, of));
                of += 1;
            }
            Some(Wild::One) => (at, of) = (at + 1, of + 1),
            Some(Wild::Char(wanted)) if *wanted == c => (at, of) = (at + 1, of + 1),
            _ => {
                let Some((from, star)) = back else { return false };
                back = Some((from + 1, star));
                (at, of) = (from + 1, star + 1);
            }
        }
    }
    wanted.iter().skip(of).all(|wild| matches!(wild, Wild::Any))
}

enum Wild {
    Any,
    One,
    Char(char),
}
