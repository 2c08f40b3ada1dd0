//! What stands in the outbox of a database, as it lies there.

use std::collections::HashMap;

use uuid::Uuid;
use wellspring::config::Config;
use wellspring::store::db::Db;

/// Key and revision of the records in the outbox, in its order: 20 bytes each, of which the first are the record's id.
pub async fn in_outbox(config: &Config) -> Vec<(String, i64)> {
    let db = Db::open_read_only(&config.store).await.unwrap();
    let records = db.query("select id, key, rev from record", &[]).await.unwrap();
    let records = records.iter().map(|row| {
        let (key, revision) = (row.text(1).unwrap().to_owned(), row.i64(2).unwrap());
        (row.uuid(0).unwrap(), (key, revision))
    });
    let records: HashMap<Uuid, _> = records.collect();
    let rows = db.query("select records from outbox order by id", &[]).await.unwrap();
    let entries = rows.iter().flat_map(|row| row.bytes(0).unwrap().as_chunks::<20>().0);
    entries.map(|entry| records[&Uuid::from_slice(&entry[..16]).unwrap()].clone()).collect()
}
