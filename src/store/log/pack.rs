//! How documents are kept: packed, with the text of their structure as what is known before, so that names of members
//! take next to no room. Structures are never changed or taken away, and what a structure's text is the database itself
//! has said: whatever was packed can be unpacked. Must not know tables: they tell that a document is packed, and how
//! long it is.

use zstd::bulk::{Compressor, Decompressor};

use crate::error::{Error, Result};

/// The fastest that looks for what repeats at all: a higher one takes twice the time for a twentieth less.
const LEVEL: i32 = 1;

/// Shorter documents are kept as they are: so much is the frame of what is packed.
const BYTES_MIN: usize = 32;

/// Packs documents, one after the other.
pub(super) struct Packer {
    compressor: Compressor<'static>,
    known: String,
}

impl Packer {
    /// # Errors
    /// `INTERNAL` when there is no memory for it.
    pub(super) fn new() -> Result<Self> {
        let mut compressor = Compressor::new(LEVEL).map_err(Error::internal)?;
        compressor.include_checksum(false).map_err(Error::internal)?;
        compressor.include_contentsize(false).map_err(Error::internal)?;
        compressor.include_dictid(false).map_err(Error::internal)?;
        Ok(Packer { compressor, known: String::new() })
    }

    /// The document packed, if that is shorter; `known` is the text of its structure, or empty.
    ///
    /// # Errors
    /// `INTERNAL` when there is no memory for it.
    pub(super) fn pack(&mut self, body: &[u8], known: &str) -> Result<Option<Vec<u8>>> {
        if body.len() < BYTES_MIN {
            return Ok(None);
        }
        if self.known != known {
            self.compressor.set_dictionary(LEVEL, known.as_bytes()).map_err(Error::internal)?;
            known.clone_into(&mut self.known);
        }
        let packed = self.compressor.compress(body).map_err(Error::internal)?;
        Ok((packed.len() < body.len()).then_some(packed))
    }
}

/// Unpacks documents, one after the other.
pub(super) struct Unpacker {
    decompressor: Decompressor<'static>,
    known: String,
}

impl Unpacker {
    /// # Errors
    /// `INTERNAL` when there is no memory for it.
    pub(super) fn new() -> Result<Self> {
        let decompressor = Decompressor::new().map_err(Error::internal)?;
        Ok(Unpacker { decompressor, known: String::new() })
    }

    /// A document that was packed with `known` and has so many bytes. What cannot be unpacked was changed in the
    /// database: it is given as it is there, and its hash tells.
    ///
    /// # Errors
    /// `INTERNAL` when there is no memory for it.
    pub(super) fn unpack(&mut self, packed: Vec<u8>, known: &str, bytes: usize) -> Result<Vec<u8>> {
        if self.known != known {
            self.decompressor.set_dictionary(known.as_bytes()).map_err(Error::internal)?;
            known.clone_into(&mut self.known);
        }
        Ok(self.decompressor.decompress(&packed, bytes).unwrap_or(packed))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    const DOCUMENT: &str =
        r#"{"number":"O-1","status":"open","customer":{"name":"Ann","city":"Lisboa"},"total":5}"#;
    const KNOWN: &str =
        r#"[128,0,0,0,0,{"customer":[128,{"city":[64],"name":[64]}],"number":[64],"status":[64]}]"#;

    #[test]
    fn what_is_packed_is_unpacked_with_what_was_known() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
        let mut lengths = Vec::new();
        for known in [KNOWN, "", KNOWN, "[256]"] {
            let packed = packer.pack(DOCUMENT.as_bytes(), known).unwrap();
            lengths.push(packed.as_ref().map_or(DOCUMENT.len(), Vec::len));
            let Some(packed) = packed else { continue };
            let unpacked = unpacker.unpack(packed, known, DOCUMENT.len()).unwrap();
            assert_eq!(unpacked, DOCUMENT.as_bytes(), "{known}");
        }
        assert!(lengths[0] == lengths[2] && lengths[0] < lengths[1], "{lengths:?}");
    }

    #[test]
    fn what_would_not_be_shorter_is_not_packed() {
        let mut packer = Packer::new().unwrap();
        assert_eq!(packer.pack(b"", "").unwrap(), None);
        assert_eq!(packer.pack(b"{\"a\":1}", KNOWN).unwrap(), None);
        let noise: Vec<u8> = (0..200_u8).map(|n| n.wrapping_mul(197) ^ n.rotate_left(3)).collect();
        assert_eq!(packer.pack(&noise, "").unwrap(), None);
    }

    #[test]
    fn what_was_changed_is_given_as_it_is() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
        let packed = packer.pack(DOCUMENT.as_bytes(), KNOWN).unwrap().unwrap();
        assert_ne!(unpacker.unpack(packed.clone(), "other", DOCUMENT.len()).unwrap(), DOCUMENT.as_bytes());
        assert_eq!(unpacker.unpack(b"{}".to_vec(), KNOWN, 9).unwrap(), b"{}");
        assert_eq!(unpacker.unpack(packed.clone(), KNOWN, 3).unwrap(), packed);
    }
}
