//! What the statements do that answer a scoped query: each is noted as it was run, and the database is asked for its
//! plan. Gives no row out.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;

use super::explain::shown;
use crate::error::Result;
use crate::query::Collection;
use crate::store::Store;
use crate::store::db::Value;

/// A statement that was run.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The number of the collection whose rows it reads.
    pub collection_id: i64,
    /// Its text.
    pub text: String,
    params: Vec<Value>,
}

impl Statement {
    /// What is bound to its parameters, in their order, as a person reads it.
    pub fn constants(&self) -> Vec<String> {
        self.params.iter().map(shown).collect()
    }
}

/// How the database runs a statement.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As the database tells it.
    pub told: Json,
    /// The names of the indexes that it uses, in order, each once.
    pub indexes: Vec<String>,
}

/// Where statements are noted.
#[derive(Debug, Default)]
pub(in crate::store) struct Recorder(Mutex<Vec<Statement>>);

impl Recorder {
    pub(super) fn note(&self, collection: &Collection, text: &str, params: &[Value]) {
        let statement =
            Statement { collection_id: collection.id, text: text.to_owned(), params: params.to_vec() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(statement);
    }
}

impl Store {
    /// The same store, which notes the statements that read rows from now on.
    #[must_use]
    pub fn recording(&self) -> Self {
        Store { recorder: Some(Arc::default()), ..self.clone() }
    }

    /// The statements that were noted since it was last asked.
    pub fn recorded(&self) -> Vec<Statement> {
        let Some(Recorder(noted)) = self.recorder.as_deref() else { return Vec::new() };
        std::mem::take(&mut *noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the database how it runs a statement. PostgreSQL runs it for that, in a transaction that can only read.
    ///
    /// # Errors
    /// Those of the statement.
    pub async fn plan(&self, statement: &Statement) -> Result<Plan> {
        let told = self.db.explain(&statement.text, &statement.params).await?;
        let mut indexes = Vec::new();
        named(&told, &mut indexes);
        Ok(Plan { told, indexes })
    }
}

/// Finds the names of indexes, in the words of either database.
fn named(told: &Json, indexes: &mut Vec<String>) {
    match told {
        Json::Array(items) => items.iter().for_each(|item| named(item, indexes)),
        Json::Object(members) => {
            let own = members.get("Index Name").and_then(Json::as_str);
            let detail = members.get("detail").and_then(Json::as_str).and_then(used);
            let new = own.or(detail).filter(|name| !indexes.iter().any(|known| known == name));
            indexes.extend(new.map(str::to_owned));
            members.values().for_each(|member| named(member, indexes));
        }
        _ => {}
    }
}

/// The index that a line of SQLite's plan names; one that is made for the statement alone has no name.
fn used(detail: &str) -> Option<&str> {
    if let Some((table, _)) = detail.split_once(" VIRTUAL TABLE INDEX ") {
        // One of words; others are no indexes.
        return table.split_whitespace().last().filter(|name| name.starts_with("c_"));
    }
    let (_, behind) = detail.split_once(" INDEX ")?;
    behind.split_whitespace().next().filter(|name| !name.starts_with('('))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn indexes_are_found_in_the_plans_of_both_databases() {
        let mut indexes = Vec::new();
        named(
            &json!([{ "Plan": { "Plans": [
                { "Index Name": "c_1_g1_a2" },
                { "Node Type": "Bitmap Heap Scan", "Plans": [{ "Index Name": "c_1_g1_a1" }] },
                { "Index Name": "c_1_g1_a2" },
            ] } }]),
            &mut indexes,
        );
        assert_eq!(indexes, ["c_1_g1_a2", "c_1_g1_a1"]);
        let lines = [
            "SEARCH c_1_g1 USING INDEX c_1_g1_a1 (f3=? AND f4<?)",
            "SEARCH c_1_g1 USING COVERING INDEX c_1_g1_a2 (f3=?)",
            "SEARCH c_2_g1 USING AUTOMATIC COVERING INDEX (f3=?)",
            "SCAN c_1_g1",
            "SCAN c_1_g1_a3 VIRTUAL TABLE INDEX 0:M1",
            "SCAN json_each VIRTUAL TABLE INDEX 1:",
            "SEARCH c_1_g1 USING INTEGER PRIMARY KEY (rowid=?)",
        ];
        let mut indexes = Vec::new();
        named(&lines.iter().map(|line| json!({ "id": 1, "detail": line })).collect(), &mut indexes);
        assert_eq!(indexes, ["c_1_g1_a1", "c_1_g1_a2", "c_1_g1_a3"]);
    }
}
