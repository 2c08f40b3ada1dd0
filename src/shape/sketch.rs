//! How many distinct values there are, in bounded room: hashes that all nodes of a database agree on, and a
//! HyperLogLog sketch of them. Must not keep a value.
//!
//! The sketch is that of Flajolet, Fusy, Gandouet and Meunier ("HyperLogLog: the analysis of a near-optimal cardinality
//! estimation algorithm", 2007) over hashes of 64 bit; the estimate is the improved one of Otmar Ertl ("New
//! cardinality estimation algorithms for HyperLogLog sketches", arXiv:1702.01284, 2017, algorithms 5, 6 and 8), which
//! needs no tables and is good for small and large numbers alike.

use siphasher::sip::SipHasher13;

use crate::record::Signer;

/// Bits of a hash that choose a register.
const PRECISION: u32 = 11;
/// 2,048 registers: a standard error of 1.04 / √2,048 = 2.3 %.
const REGISTERS: usize = 1 << PRECISION;
/// The other bits: a register is at most one more than their number.
const REST: u32 = 64 - PRECISION;
/// The character of an empty register; with the 54 that follow it, none needs an escape in JSON text.
const EMPTY: u8 = b'#';

/// Hashes values: the same on every node of a database, and for nobody without its key to foresee, so that no source
/// can make values that look alike.
#[derive(Clone)]
pub struct ValueHasher {
    strings: SipHasher13,
    others: SipHasher13,
}

impl ValueHasher {
    /// The hasher of the database with this key.
    pub fn new(signer: &Signer) -> Self {
        let [strings, others] = [&b"strings"[..], b"others"].map(|of| {
            let key = signer.mark(&[b"wellspring value statistics", of]);
            SipHasher13::new_with_key(key.first_chunk().unwrap_or(&[0; 16]))
        });
        ValueHasher { strings, others }
    }

    /// Of a record, by its id.
    pub fn record(&self, id: &[u8]) -> u64 {
        self.other(id)
    }

    /// Of a string.
    pub(super) fn string(&self, text: &str) -> u64 {
        self.strings.hash(text.as_bytes())
    }

    /// Of a number's text, a boolean, or anything else that is not a string.
    pub(super) fn other(&self, text: &[u8]) -> u64 {
        self.others.hash(text)
    }
}

impl std::fmt::Debug for ValueHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ValueHasher")
    }
}

/// Registers, each with the longest run of zeros that some hash of its part began with, plus one.
#[derive(Clone, PartialEq)]
pub(super) struct Sketch(Box<[u8]>);

impl Sketch {
    pub(super) fn new() -> Self {
        Sketch(vec![0; REGISTERS].into_boxed_slice())
    }

    pub(super) fn add(&mut self, hash: u64) {
        let register = usize::try_from(hash >> REST).unwrap_or_default();
        // The bit that is set ends the run where the hash does.
        let rest = hash << PRECISION | 1 << (PRECISION - 1);
        let run = u8::try_from(rest.leading_zeros() + 1).unwrap_or(u8::MAX);
        if let Some(longest) = self.0.get_mut(register) {
            *longest = run.max(*longest);
        }
    }

    pub(super) fn merge(&mut self, other: &Sketch) {
        self.0.iter_mut().zip(&other.0).for_each(|(ours, theirs)| *ours = *theirs.max(ours));
    }

    /// Of how many of its registers the other's have all, and how many it has: all are had when all hashes were added
    /// there, too.
    pub(super) fn within(&self, other: &Sketch) -> (u32, u32) {
        let filled = self.0.iter().zip(&other.0).filter(|(ours, _)| **ours > 0);
        filled.fold((0, 0), |(had, all), (ours, theirs)| (had + u32::from(ours <= theirs), all + 1))
    }

    /// About how many distinct hashes were added.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, which is not negative"
    )]
    pub(super) fn estimate(&self) -> u64 {
        let mut counts = [0_u32; REST as usize + 2];
        for run in &self.0 {
            if let Some(count) = counts.get_mut(usize::from(*run)) {
                *count += 1;
            }
        }
        let registers = REGISTERS as f64;
        let [empty, runs @ .., full] = counts;
        let mut sum = registers * tau(1.0 - f64::from(full) / registers);
        for count in runs.iter().rev() {
            sum = 0.5 * (sum + f64::from(*count));
        }
        sum += registers * sigma(f64::from(empty) / registers);
        (registers * registers / (2.0 * std::f64::consts::LN_2 * sum)).round() as u64
    }

    /// One character a register.
    pub(super) fn to_text(&self) -> String {
        self.0.iter().map(|run| char::from(EMPTY + run)).collect()
    }

    /// `None` when it is not such a text.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let run = |byte: u8| byte.checked_sub(EMPTY).filter(|run| u32::from(*run) <= REST + 1);
        let registers = text.bytes().map(run).collect::<Option<Box<[u8]>>>()?;
        (registers.len() == REGISTERS).then_some(Sketch(registers))
    }
}

impl std::fmt::Debug for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sketch(about {})", self.estimate())
    }
}

/// What the empty registers add.
fn sigma(mut x: f64) -> f64 {
    let (mut y, mut z) = (1.0, x);
    if x >= 1.0 {
        return f64::INFINITY;
    }
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

/// What the full registers add.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::cast_precision_loss, reason = "tests")]

    use super::*;

    #[test]
    fn estimates_are_near() {
        let hasher = ValueHasher::new(&Signer::new(b"key"));
        let mut sketch = Sketch::new();
        assert_eq!(sketch.estimate(), 0);
        let mut next = 1;
        for n in 1..=200_000_u64 {
            sketch.add(hasher.string(&n.to_string()));
            if n == next {
                // Four standard errors; the key is fixed, so that this cannot fail by chance.
                let error = (sketch.estimate() as f64 - n as f64).abs();
                assert!(error <= (0.092 * n as f64).max(2.0), "{n}: {sketch:?}");
                next = next * 3 / 2 + 1;
            }
        }
    }

    #[test]
    fn what_was_added_there_too_is_within() {
        let hasher = ValueHasher::new(&Signer::new(b"key"));
        let [mut all, mut some, mut others] = [Sketch::new(), Sketch::new(), Sketch::new()];
        (0..3_000).for_each(|n: u64| all.add(hasher.string(&n.to_string())));
        (0..300).for_each(|n: u64| some.add(hasher.string(&(n * 7).to_string())));
        (0..300).for_each(|n: u64| others.add(hasher.string(&(n + 5_000).to_string())));
        let (had, of) = some.within(&all);
        assert!(had == of && of > 250, "{had} of {of}");
        let (had, of) = others.within(&all);
        assert!(had * 10 < of * 8, "{had} of {of}");
        assert_eq!(Sketch::new().within(&all), (0, 0));
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let mut sketch = Sketch::new();
        for hash in [0, 1, u64::MAX, 0x7ff << 53] {
            sketch.add(hash);
        }
        let text = sketch.to_text();
        assert!(!serde_json::Value::from(&*text).to_string().contains('\\'));
        assert_eq!(Sketch::from_text(&text), Some(sketch));
        for wrong in ["", "###", &text.replace('#', "~"), &text.replace('#', " ")] {
            assert_eq!(Sketch::from_text(wrong), None);
        }
    }

    #[test]
    fn hashes_depend_on_the_key_and_on_the_kind() {
        let [one, other] = [b"a", b"b"].map(|key| ValueHasher::new(&Signer::new(key)));
        assert_ne!(one.string("1"), other.string("1"));
        assert_ne!(one.string("1"), one.other(b"1"));
    }
}
