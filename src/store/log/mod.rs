//! The raw log: records, revisions, idempotency, outbox, partitions, ledger and dead letters. Closed to publishing's
//! consumers, graphql and http: only sourcing, provisioning and publishing's scoped raw reads come here.
