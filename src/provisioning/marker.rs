//! Lineage markers: one per settled (record, plugin, hook), chained per record, signed. Pure.
//!
//! A marker covers the payload's hash, the plugin with its version, the outcome and the marker before it; so neither
//! document nor history can be changed without the key.

use crate::record::{Record, Signer};
use crate::store::ledger::Settled;

/// The signature of a ledger row.
pub(super) fn sign(signer: &Signer, row: &Settled, plugin: &str, record: &Record) -> Vec<u8> {
    let tags = row.tags.as_deref().unwrap_or_default();
    let parts: [&[u8]; 10] = [
        b"wellspring marker 1",
        record.draft.id.as_bytes(),
        &record.draft.payload_hash,
        plugin.as_bytes(),
        &row.version.to_be_bytes(),
        row.hook.as_bytes(),
        row.outcome.as_bytes(),
        tags.as_bytes(),
        &row.settled_at.to_be_bytes(),
        &row.prev_hash,
    ];
    signer.mark(&parts).to_vec()
}

/// The first link of a record's chain, made when it was accepted.
pub(super) fn genesis(signer: &Signer, record: &Record) -> Vec<u8> {
    let draft = &record.draft;
    crate::store::log::genesis(signer, draft.id, &record.key, record.revision, &draft.payload_hash).to_vec()
}

/// A marker in its chain: the one before it, and itself.
pub(super) type Link = (Vec<u8>, Vec<u8>);

/// The last marker of a chain given in any order as (previous, own): the one that none follows.
pub(super) fn tail(chain: &[Link]) -> Option<Vec<u8>> {
    let last = chain.iter().find(|(_, hash)| !chain.iter().any(|(prev, _)| prev == hash));
    last.map(|(_, hash)| hash.clone())
}
