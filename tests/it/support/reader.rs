//! Reads a node's database beside the node, through publishing, for scopes of the test's own making.

use std::sync::Arc;

use serde_json::Value;
use wellspring::{
    config::Config,
    policy::{Engine, Opened, Scope},
    publishing::Publishing,
    query::{Collection, Root, Selected, compile},
    record::{Actor, Json, Signer},
    store::Store,
    telemetry::Clock,
};

use super::TestApp;

/// The reading side of a node's database.
pub struct Reader {
    pub store: Store,
    publishing: Publishing,
    config: Config,
}

impl Reader {
    pub async fn of(app: &TestApp) -> Self {
        let config = app.config().clone();
        let signer = app.keys().signer();
        let store = Store::open_read_only(&config.store, signer, Clock::system()).await.unwrap();
        let policy = Arc::new(Engine::from_texts(&config.policy, &[("all.polar", ALL)]).unwrap());
        let publishing = Publishing::new(store.clone(), policy, &config, b"secret", Clock::system());
        Reader { store, publishing, config }
    }

    /// The only collection.
    pub fn collection(&self) -> Arc<Collection> {
        self.store.catalog.load().collections.values().next().unwrap().clone()
    }

    /// The answer to a root field.
    pub async fn read(&self, scope: &Arc<Scope>, root: Root, field: &Selected) -> String {
        let mut out = Vec::new();
        let collection = self.collection();
        self.publishing.read((&collection, scope), root, field, &mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The images of all rows, by key, in order: what events are filtered by.
    pub async fn images(&self) -> Vec<(String, Json)> {
        let collection = self.collection();
        let (_, scope) = self.publishing.visible(&Actor::anonymous()).unwrap().into_iter().next().unwrap();
        let asked = field(&collection.field_name, Value::Null, vec![leaf("op")]);
        let query = compile(&collection, Root::Changes, &asked, &self.config.graphql, &Signer::new(b"s"));
        let query = scope.apply(query.unwrap()).unwrap();
        let mut images = Vec::new();
        for tailed in self.store.tail(collection.id, 0, 100_000).await.unwrap() {
            if let Opened::Upsert(change) = query.open(tailed.change, query.get().filter()) {
                images.push((change.key, Json::clone(change.after.as_deref().unwrap())));
            }
        }
        images.sort_by(|a, b| a.0.cmp(&b.0));
        images
    }
}

const ALL: &str = "allow(_, \"read\", _: Row);\nallow_field(_, \"read\", _: Row, _: Field);";

/// A field of a selection.
pub fn field(name: &str, arguments: Value, children: Vec<Selected>) -> Selected {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    Selected {
        response_key: name.into(),
        name: name.into(),
        arguments: arguments.into_iter().map(|(name, value)| (name, Json::from(value))).collect(),
        children,
    }
}

/// A field without arguments and selection.
pub fn leaf(name: &str) -> Selected {
    field(name, Value::Null, Vec::new())
}
