//! What a read may wait for: that records are settled, or that collections have come to positions. Must not wait.

use uuid::Uuid;

use super::cursor::{CHANGE, RECORD, VERSION, foreign, seal, take, unseal};
use crate::error::{Code, Error, Result};
use crate::record::Signer;

/// What `minCursor` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    /// Records, to be settled.
    pub records: Vec<Uuid>,
    /// Positions to be reached, each with its collection.
    pub positions: Vec<(i64, i64)>,
}

impl Awaited {
    /// The text that stands for a record, in its receipt. Sealed, so that who has only seen a record's id learns
    /// nothing of its way.
    pub fn record(id: Uuid, signer: &Signer) -> String {
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(&[VERSION, RECORD]);
        bytes.extend_from_slice(id.as_bytes());
        seal(bytes, signer)
    }

    /// Reads cursors with commas between, each sealed by one of the signers. A change's cursor holds for later builds,
    /// too: positions go on.
    ///
    /// # Errors
    /// `BAD_REQUEST` when one is not ours or of another kind, `TOO_COMPLEX` when there are more than `max`.
    pub fn read(text: &str, max: usize, signers: &[&Signer]) -> Result<Self> {
        let mut awaited = Awaited::default();
        for (index, one) in text.split(',').map(str::trim).enumerate() {
            if index >= max {
                let text = format!(
                    "`minCursor` names more cursors than `consistency.cursors_max`, which is {max}; name the latest"
                );
                return Err(Error::new(Code::TooComplex, text));
            }
            let opened = signers.iter().find_map(|signer| unseal(one, signer).ok());
            awaited.add(&opened.ok_or_else(foreign)?)?;
        }
        Ok(awaited)
    }

    fn add(&mut self, mut bytes: &[u8]) -> Result<()> {
        match take(&mut bytes)? {
            [VERSION, RECORD] => self.records.push(Uuid::from_bytes(take(&mut bytes)?)),
            [VERSION, CHANGE] => {
                let collection_id = i64::from_le_bytes(take(&mut bytes)?);
                let _generation: [u8; 8] = take(&mut bytes)?;
                self.positions.push((collection_id, i64::from_le_bytes(take(&mut bytes)?)));
            }
            _ => {
                return Err(Error::bad_request(
                    "`minCursor` is `cursor` of a receipt, of a change or of `pageInfo`; cursors of pages are for \
                     `after`",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;
    use crate::query::EventCursor;

    #[test]
    fn what_is_sealed_is_read_and_nothing_else() {
        let (ours, theirs) = (Signer::new(b"key"), Signer::new(b"other"));
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let text = format!("{}, {}", Awaited::record(one, &ours), Awaited::record(other, &theirs));
        let both = Awaited { records: vec![one, other], positions: vec![] };
        assert_eq!(Awaited::read(&text, 2, &[&theirs, &ours]).unwrap(), both);
        let code = |text: &str, max| Awaited::read(text, max, &[&ours]).unwrap_err().code();
        assert_eq!(code(&text, 2), Code::BadRequest);
        assert_eq!(code(&format!("{0},{0}", Awaited::record(one, &ours)), 1), Code::TooComplex);
        let event = EventCursor { position: 1 }.encode(&ours);
        for wrong in ["", ",", "AAAA", &event, &one.to_string(), &format!("{},", Awaited::record(one, &ours))]
        {
            assert_eq!(code(wrong, 9), Code::BadRequest, "{wrong}");
        }
    }
}
