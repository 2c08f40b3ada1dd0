//! Cursors: where a page or a subscription goes on. Sealed, because row numbers and positions count what the client may
//! not see, and bound to one collection and build.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Code, Error, Result};
use crate::query::{Collection, Literal};
use crate::record::Signer;

pub(super) const VERSION: u8 = 2;
const PAGE: u8 = 1;
pub(super) const CHANGE: u8 = 2;
const EVENT: u8 = 3;
pub(super) const RECORD: u8 = 4;
const MAC_BYTES: usize = 16;
/// The longest cursor: it has to fit into a request with the rest of a query.
const TEXT_BYTES_MAX: usize = 512 * 1024;

/// Where a page ends: the last row's place in the order.
#[derive(Clone, Debug, PartialEq)]
pub struct PageCursor {
    /// Which order it belongs to.
    pub order: u64,
    /// The row's values of the order's columns; `None` is null.
    pub values: Vec<Option<Literal>>,
    /// The row's number; decides between equal values. Of a group 0: no two have equal ones.
    pub row_id: i64,
}

impl PageCursor {
    /// The text that clients get.
    ///
    /// # Errors
    /// `TOO_COMPLEX` when the values of the order are too long for one that could be sent back.
    pub fn encode(&self, collection: &Collection, signer: &Signer) -> Result<String> {
        let mut bytes = head(PAGE, of(collection));
        bytes.extend_from_slice(&self.order.to_le_bytes());
        bytes.extend_from_slice(&self.row_id.to_le_bytes());
        for value in &self.values {
            match value {
                None => bytes.push(0),
                Some(Literal::Bool(value)) => bytes.extend_from_slice(&[1, u8::from(*value)]),
                Some(Literal::Int(value)) => {
                    bytes.push(2);
                    bytes.extend_from_slice(&value.to_le_bytes());
                }
                Some(Literal::Float(value)) => {
                    bytes.push(3);
                    bytes.extend_from_slice(&value.to_bits().to_le_bytes());
                }
                Some(Literal::Text(value)) => {
                    bytes.push(4);
                    bytes.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
                    bytes.extend_from_slice(value.as_bytes());
                }
            }
        }
        // Three bytes become four characters.
        if (bytes.len() + MAC_BYTES).div_ceil(3) * 4 > TEXT_BYTES_MAX {
            let text = format!(
                "a text that the rows are ordered by is too long for a cursor of {TEXT_BYTES_MAX} bytes; order by \
                 another field, or ask for no cursor"
            );
            return Err(Error::new(Code::TooComplex, text));
        }
        Ok(seal(bytes, signer))
    }

    /// Reads a client's cursor.
    ///
    /// # Errors
    /// `BAD_REQUEST` when it is not ours, of another collection or order; `CURSOR_TOO_OLD` when its build is
    /// gone.
    pub fn decode(text: &str, collection: &Collection, order: u64, signer: &Signer) -> Result<Self> {
        let bytes = open(text, PAGE, of(collection), signer)?;
        let mut bytes = bytes.as_slice();
        let found = u64::from_le_bytes(take(&mut bytes)?);
        if found != order {
            return Err(Error::bad_request(
                "the cursor belongs to another `orderBy`; ask for the first page in this order",
            ));
        }
        let row_id = i64::from_le_bytes(take(&mut bytes)?);
        let mut values = Vec::new();
        while !bytes.is_empty() {
            let [tag] = take(&mut bytes)?;
            values.push(match tag {
                0 => None,
                1 => Some(Literal::Bool(take::<1>(&mut bytes)? != [0])),
                2 => Some(Literal::Int(i64::from_le_bytes(take(&mut bytes)?))),
                3 => Some(Literal::Float(f64::from_bits(u64::from_le_bytes(take(&mut bytes)?)))),
                _ => {
                    let length = u32::from_le_bytes(take(&mut bytes)?) as usize;
                    let (text, rest) = bytes.split_at_checked(length).ok_or_else(foreign)?;
                    bytes = rest;
                    Some(Literal::Text(String::from_utf8(text.to_vec()).map_err(|_| foreign())?))
                }
            });
        }
        Ok(PageCursor { order, values, row_id })
    }
}

/// Where a subscription goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeCursor {
    /// Behind the change at this position.
    pub position: i64,
    /// The [fingerprint](crate::query::Filter::fingerprint) of the rows that the client was allowed: with other ones,
    /// what it holds is not what it would have been told of.
    pub rows: u64,
}

impl ChangeCursor {
    /// The text that clients get.
    pub fn encode(self, collection: &Collection, signer: &Signer) -> String {
        let mut bytes = head(CHANGE, of(collection));
        bytes.extend_from_slice(&self.position.to_le_bytes());
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        seal(bytes, signer)
    }

    /// Reads a client's cursor.
    ///
    /// # Errors
    /// `BAD_REQUEST` when it is not ours or of another collection; `CURSOR_TOO_OLD` when its build is gone.
    pub fn decode(text: &str, collection: &Collection, signer: &Signer) -> Result<Self> {
        let bytes = open(text, CHANGE, of(collection), signer)?;
        let mut bytes = bytes.as_slice();
        let position = i64::from_le_bytes(take(&mut bytes)?);
        Ok(ChangeCursor { position, rows: u64::from_le_bytes(take(&mut bytes)?) })
    }
}

/// Where a subscription to events goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCursor {
    /// Behind the event at this position.
    pub position: i64,
}

impl EventCursor {
    /// The text that clients get.
    pub fn encode(self, signer: &Signer) -> String {
        let mut bytes = head(EVENT, NO_COLLECTION);
        bytes.extend_from_slice(&self.position.to_le_bytes());
        seal(bytes, signer)
    }

    /// Reads a client's cursor.
    ///
    /// # Errors
    /// `BAD_REQUEST` when it is not ours or of another kind.
    pub fn decode(text: &str, signer: &Signer) -> Result<Self> {
        let bytes = open(text, EVENT, NO_COLLECTION, signer)?;
        Ok(EventCursor { position: i64::from_le_bytes(take(&mut bytes.as_slice())?) })
    }
}

/// The number of a collection, and of its build.
type Of = (i64, i64);

const NO_COLLECTION: Of = (0, 0);

fn of(collection: &Collection) -> Of {
    (collection.id, collection.generation)
}

fn head(kind: u8, (id, generation): Of) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&[VERSION, kind]);
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes
}

/// What tells that the bytes are ours. It is also what they are encrypted by, which makes equal cursors of equal places
/// and different ones of different places: a synthetic initialization vector.
fn mac(bytes: &[u8], signer: &Signer) -> [u8; MAC_BYTES] {
    let mark = signer.mark(&[b"wellspring cursor", bytes]);
    std::array::from_fn(|place| mark.get(place).copied().unwrap_or_default())
}

/// Encrypts, or decrypts, with the key stream of this mac.
fn cross(bytes: &mut [u8], mac: &[u8], signer: &Signer) {
    for (number, block) in (0_u64..).zip(bytes.chunks_mut(32)) {
        let stream = signer.mark(&[b"wellspring cursor stream", mac, &number.to_le_bytes()]);
        block.iter_mut().zip(stream).for_each(|(byte, other)| *byte ^= other);
    }
}

pub(super) fn seal(mut bytes: Vec<u8>, signer: &Signer) -> String {
    let mac = mac(&bytes, signer);
    cross(&mut bytes, &mac, signer);
    bytes.extend(mac);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What was sealed.
pub(super) fn unseal(text: &str, signer: &Signer) -> Result<Vec<u8>> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(foreign());
    }
    let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| foreign())?;
    let length = bytes.len().checked_sub(MAC_BYTES).ok_or_else(foreign)?;
    let given = bytes.split_off(length);
    cross(&mut bytes, &given, signer);
    // Compared whole, so that the time tells nothing of where it differs.
    let differs = mac(&bytes, signer).iter().zip(&given).fold(0, |differs, (a, b)| differs | (a ^ b));
    if differs != 0 {
        return Err(foreign());
    }
    Ok(bytes)
}

fn open(text: &str, kind: u8, of: Of, signer: &Signer) -> Result<Vec<u8>> {
    let bytes = unseal(text, signer)?;
    let mut rest = bytes.as_slice();
    let [version, found] = take(&mut rest)?;
    let id = i64::from_le_bytes(take(&mut rest)?);
    let generation = i64::from_le_bytes(take(&mut rest)?);
    if version != VERSION || found != kind || id != of.0 {
        return Err(Error::bad_request(
            "the cursor is of another kind or collection: pages go on by `startCursor` and `endCursor`, \
             subscriptions by `cursor`",
        ));
    }
    if generation != of.1 {
        return Err(Error::new(
            Code::CursorTooOld,
            "the cursor is of a build of the collection that is gone; start again without it",
        ));
    }
    Ok(rest.to_vec())
}

pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or_else(foreign)?;
    *bytes = rest;
    Ok(*first)
}

pub(super) fn foreign() -> Error {
    Error::bad_request("the cursor is not one of this database; take it from an answer as it is")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn collection(id: i64, generation: i64) -> Collection {
        Collection {
            id,
            category: "a".into(),
            subcategory: "b".into(),
            field_name: "aB".into(),
            type_name: "AB".into(),
            generation,
            shape: std::sync::Arc::default(),
            narrow: None,
        }
    }

    #[test]
    fn cursors_come_back_and_only_ours_do() {
        let signer = Signer::new(b"key");
        let here = collection(7, 1);
        let values = vec![
            None,
            Some(Literal::Bool(true)),
            Some(Literal::Int(-5)),
            Some(Literal::Float(0.1)),
            Some(Literal::Text("é".into())),
        ];
        let cursor = PageCursor { order: 9, values, row_id: 3 };
        let text = cursor.encode(&here, &signer).unwrap();
        assert_eq!(PageCursor::decode(&text, &here, 9, &signer).unwrap(), cursor);
        let code = |result: Result<PageCursor>| result.unwrap_err().code();
        assert_eq!(code(PageCursor::decode(&text, &here, 8, &signer)), Code::BadRequest);
        assert_eq!(code(PageCursor::decode(&text, &collection(8, 1), 9, &signer)), Code::BadRequest);
        assert_eq!(code(PageCursor::decode(&text, &collection(7, 2), 9, &signer)), Code::CursorTooOld);
        assert_eq!(code(PageCursor::decode(&text, &here, 9, &Signer::new(b"other"))), Code::BadRequest);
        for bad in ["", "x", "AAAA", "ä", text.get(1..).unwrap(), &format!("{text}A")] {
            assert_eq!(code(PageCursor::decode(bad, &here, 9, &signer)), Code::BadRequest, "{bad}");
        }
        let change = ChangeCursor { position: 42, rows: 7 };
        let position = change.encode(&here, &signer);
        assert_eq!(ChangeCursor::decode(&position, &here, &signer).unwrap(), change);
        assert!(ChangeCursor::decode(&text, &here, &signer).is_err());
        let event = EventCursor { position: 42 }.encode(&signer);
        assert_eq!(EventCursor::decode(&event, &signer).unwrap().position, 42);
        assert!(EventCursor::decode(&position, &signer).is_err());
        assert!(EventCursor::decode(&event, &Signer::new(b"other")).is_err());
        assert!(ChangeCursor::decode(&event, &here, &signer).is_err());
    }

    #[test]
    fn a_cursor_that_is_made_is_taken() {
        let signer = Signer::new(b"key");
        let here = collection(7, 1);
        let of = |length: usize| PageCursor {
            order: 9,
            values: vec![Some(Literal::Text("x".repeat(length)))],
            row_id: 3,
        };
        let fixed = 2 + 4 * 8 + 5 + MAC_BYTES;
        let longest = TEXT_BYTES_MAX / 4 * 3 - fixed;
        let text = of(longest).encode(&here, &signer).unwrap();
        assert_eq!(text.len(), TEXT_BYTES_MAX);
        assert_eq!(PageCursor::decode(&text, &here, 9, &signer).unwrap(), of(longest));
        assert_eq!(of(longest + 1).encode(&here, &signer).unwrap_err().code(), Code::TooComplex);
    }

    #[test]
    fn a_cursor_does_not_tell_how_much_a_client_may_not_see() {
        let signer = Signer::new(b"key");
        let bytes = |position: i64| {
            let text = ChangeCursor { position, rows: 7 }.encode(&collection(7, 1), &signer);
            URL_SAFE_NO_PAD.decode(text).unwrap()
        };
        let (one, next) = (bytes(1_000), bytes(1_001));
        // Of cursors that are only signed, all bytes but the signature and the position's last one are equal.
        let equal = one.iter().zip(&next).filter(|(a, b)| a == b).count();
        assert!(equal < one.len() / 4, "{equal} of {}", one.len());
        assert_eq!(one, bytes(1_000));
    }
}
