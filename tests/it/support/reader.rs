//! Reads a node's database beside the node, through publishing, for scopes of the test's own making.

use std::sync::Arc;

use serde_json::Value;
use wellspring::{
    config::Config,
    http::auth::Keys,
    policy::{Engine, Opened, Scope},
    publishing::Publishing,
    query::{Budget, Change, Collection, Root, Selected, compile},
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
    /// Reads the database of a node in this process.
    pub async fn of(app: &TestApp) -> Self {
        Self::new(app.config().clone(), app.keys()).await
    }

    /// Reads the database of this configuration.
    pub async fn new(config: Config, keys: &Keys) -> Self {
        let store = Store::open_read_only(&config.store, keys.signer(), Clock::system()).await.unwrap();
        let policy = Arc::new(Engine::from_texts(&config.policy, &[("all.polar", ALL)]).unwrap());
        let publishing = Publishing::new(store.clone(), policy, &config, b"secret");
        Reader { store, publishing, config }
    }

    /// The only collection.
    pub fn collection(&self) -> Arc<Collection> {
        self.store.catalog.load().collections.values().next().unwrap().clone()
    }

    /// The answer to a root field.
    pub async fn read(&self, scope: &Arc<Scope>, root: Root, field: &Selected) -> String {
        let mut out = Vec::new();
        let from = (self.collection(), scope.clone());
        self.publishing.read(&from, &[], root, field, &Budget::new(1 << 30), &mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The images of all rows of the only collection, by key, in order: what events are filtered by.
    pub async fn images(&self) -> Vec<(String, Json)> {
        let changes = self.changes(&self.collection().field_name).await.into_iter();
        let image = |change: Change| (change.key, Json::clone(change.after.as_deref().unwrap()));
        let mut images: Vec<_> = changes.map(image).collect();
        images.sort_by(|a, b| a.0.cmp(&b.0));
        images
    }

    /// Every change of a collection, from its first.
    pub async fn changes(&self, field_name: &str) -> Vec<Change> {
        let visible = self.publishing.visible(&Actor::anonymous()).unwrap();
        let found = visible.into_iter().find(|(collection, _)| collection.field_name == field_name);
        let (collection, scope) = found.unwrap_or_else(|| panic!("there is no collection {field_name}"));
        let asked = field(field_name, Value::Null, vec![leaf("op")]);
        let query = compile(&collection, Root::Changes, &asked, &self.config.graphql, &Signer::new(b"s"));
        let query = scope.apply(query.unwrap()).unwrap();
        let tailed = self.store.tail(collection.id, 0, 100_000, usize::MAX).await.unwrap().0.into_iter();
        let opened =
            tailed.map(|tailed| match query.open(tailed.change, query.get().filter(), Default::default()) {
                Opened::Upsert(change) | Opened::Delete(change) => change,
                other => panic!("who may see everything is told {other:?}"),
            });
        opened.collect()
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
        children: children.into(),
    }
}

/// A field without arguments and selection.
pub fn leaf(name: &str) -> Selected {
    field(name, Value::Null, Vec::new())
}
