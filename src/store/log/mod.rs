//! The raw log: records, revisions, idempotency, outbox, partitions, ledger and dead letters. Closed to publishing's
//! consumers, graphql and http: only sourcing, provisioning and publishing's scoped raw reads come here.

/// What this node knows to be committed, so that it need not be written again.
#[derive(Clone, Default)]
pub(super) struct Seen;
