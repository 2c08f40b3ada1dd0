//! Contracts: applied by administrators, told to them and to their consumers, and put in force on every node. Must not
//! decide what a contract means (`contract` does) nor what anybody may read under it (`policy` does).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Publishing, short};
use crate::config;
use crate::contract::{
    Agreed, Block, Change, Contract, Contracts, Drift, Terms, check, diff, drifts, narrow, parse,
};
use crate::error::{Code, Error, Result};
use crate::policy::Action;
use crate::query::{Collection, write};
use crate::record::Actor;
use crate::shape::{Field, Published};
use crate::store::catalog::Catalog;
use crate::store::contracts::Kept;
use crate::store::events::Drifted;

/// What was kept, read again; what cannot be read is not in force.
struct Known {
    contract: Contract,
    kept: Kept,
}

/// Versions of collections by their names, by the name and version of a contract.
pub type Seen = BTreeMap<String, BTreeMap<String, u32>>;

impl Publishing {
    /// Reads the contracts and puts those in force that are not over. Called before anything is served, and whenever
    /// they have changed or a day has begun.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away: those that were in force stay.
    pub async fn renew_contracts(&self) -> Result<()> {
        let (today, mut agreed) = (self.today(), Vec::new());
        for Known { contract, .. } in self.known().await? {
            if !contract.is_over(&today) {
                let pinned = self.pinned(&contract).await?;
                agreed.push(Agreed { contract, pinned });
            }
        }
        self.0.policy.agree(Contracts::new(agreed));
        Ok(())
    }

    /// A number that changes whenever contracts have to be [renewed](Publishing::renew_contracts).
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away.
    pub async fn contracts_state(&self) -> Result<(i64, String)> {
        Ok((self.0.store.contracts_position().await?, self.today()))
    }

    /// Applies the text of a contract, or says what that would change: the GraphQL type `ApplyContractPayload`.
    ///
    /// # Errors
    /// `FORBIDDEN`; `UNPROCESSABLE` with what is wrong with it; `CONFLICT` when another text was agreed under this
    /// version, or a later version is there.
    pub async fn apply_contract(&self, actor: &Actor, text: &str, dry: bool) -> Result<Value> {
        self.0.policy.allow(actor, Action::Administer)?;
        let limits = &self.0.contracts;
        let contract = parse(text, limits.text_bytes_max)?;
        let pinned = self.pinned(&contract).await?;
        let catalog = self.0.store.catalog.refresh().await?;
        let names = catalog.collections.keys().map(|name| &**name);
        check(&contract, |name| catalog.collections.get(name), names, &pinned)?;
        let one = kept(&contract, &catalog, &actor.subject)?;
        let mut changes = Vec::new();
        let decide = |known: &[Kept]| {
            changes = compared(known, &contract, limits)?;
            let same = known.iter().any(|before| before.body == one.body);
            Ok((!dry && !same).then_some(one))
        };
        let applied = self.0.store.agree(decide).await?;
        if applied {
            self.renew_contracts().await?;
            self.0.store.wake.notify(crate::store::wake::Topic::Catalog);
        }
        let change = |one: &Change| json!({ "path": one.path, "text": one.text, "breaking": one.breaking });
        Ok(json!({
            "name": contract.name,
            "version": contract.version,
            "applied": applied,
            "breaking": changes.iter().any(|one| one.breaking),
            "changes": changes.iter().map(change).collect::<Vec<_>>(),
        }))
    }

    /// The contracts that an actor may know of, as the GraphQL type `Contract` has them: all for who may administer or
    /// steward, with how far collections have gone from them; for others the newest of their own.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away.
    pub async fn contracts(&self, actor: &Actor) -> Result<Value> {
        let may = |action| self.0.policy.allow(actor, action).is_ok();
        if !may(Action::Administer) && !may(Action::Steward) {
            let contracts = self.0.policy.contracts();
            return Ok(contracts.of(actor).map(|agreed| told(&agreed.contract)).collect());
        }
        let (today, catalog) = (self.today(), self.0.store.catalog.load());
        let mut all = Vec::new();
        for Known { contract, kept } in self.known().await? {
            let mut one = told(&contract);
            let over = contract.is_over(&today);
            let drifts = if over { Vec::new() } else { self.drifts(&contract, &kept, &catalog).await? };
            let drift = |one: &Drift| {
                let Drift { collection, path, text, broken } = one;
                json!({ "collection": collection, "path": path, "text": text, "broken": broken })
            };
            if let Value::Object(members) = &mut one {
                let drifts: Value = drifts.iter().map(drift).collect();
                let more = json!({
                    "over": over,
                    "appliedAt": write::instant(kept.at),
                    "appliedBy": kept.subject,
                    "text": kept.body,
                    "drifts": drifts,
                });
                members.extend(more.as_object().cloned().unwrap_or_default());
            }
            all.push(one);
        }
        Ok(all.into())
    }

    /// Tells stewards how collections have gone from contracts, once of each way. `seen` has the versions of the
    /// collections of each contract that have been looked at.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away: what is not told yet is with the next call.
    pub async fn tell_drifts(&self, seen: &mut Seen) -> Result<()> {
        let (today, catalog) = (self.today(), self.0.store.catalog.load());
        let agreed = self.0.policy.contracts();
        let version = |name: &String| {
            catalog.collections.get(name.as_str()).map(|known| (name.clone(), known.shape.version))
        };
        let versions = |contract: &Contract| contract.collections.keys().filter_map(version).collect();
        let now: Seen = agreed.iter().map(|one| (one.contract.label(), versions(&one.contract))).collect();
        if now == *seen {
            return Ok(());
        }
        let mut told = Vec::new();
        for Known { contract, kept } in self.known().await? {
            let label = contract.label();
            if contract.is_over(&today) || now.get(&label) == seen.get(&label) {
                continue;
            }
            for Drift { collection, path, text, broken } in self.drifts(&contract, &kept, &catalog).await? {
                if let Some(known) = catalog.collections.get(collection.as_str()) {
                    let drifted = Drifted { contract: label.clone(), path, text, broken };
                    told.push((known.id, known.shape.version.into(), drifted));
                }
            }
        }
        self.0.store.tell_drifts(&told).await?;
        *seen = now;
        Ok(())
    }

    /// The actor under its contract: [`policy::Engine::bind`](crate::policy::Engine::bind).
    ///
    /// # Errors
    /// `NOT_FOUND`, `BAD_REQUEST`
    pub fn bind(&self, actor: Arc<Actor>, wanted: Option<&str>) -> Result<Arc<Actor>> {
        self.0.policy.bind(actor, wanted)
    }

    /// The contracts in force.
    pub fn contracts_in_force(&self) -> Arc<Contracts> {
        self.0.policy.contracts()
    }

    /// The contract under which an actor asks, null without one.
    pub fn contract(&self, actor: &Actor) -> Value {
        let contracts = self.0.policy.contracts();
        let bound = actor.contract.as_ref();
        bound
            .and_then(|bound| contracts.get(&bound.name, bound.version))
            .map_or(Value::Null, |agreed| told(&agreed.contract))
    }

    /// That no contract in force keeps stewards from deciding this about the field at a path, or what is in it; about
    /// all fields without a path.
    ///
    /// # Errors
    /// `CONFLICT` that names the contract.
    pub(super) fn unblocked(&self, collection: &Collection, path: Option<&str>, block: Block) -> Result<()> {
        let contracts = self.0.policy.contracts();
        for agreed in contracts.iter() {
            let contract = &agreed.contract;
            let terms = contract.collections.get(&collection.field_name);
            let Some(terms) = terms.filter(|terms| terms.block.contains(&block)) else { continue };
            let pinned = agreed.pinned.get(&collection.field_name).map(Arc::as_ref);
            let Ok(narrowed) = narrow(collection, contract, terms, pinned) else { continue };
            let below = |field: &Field| match path {
                None => true,
                Some(path) => {
                    let rest = field.path.strip_prefix(path);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                }
            };
            let promised = |field: &&Field| narrowed.fields.contains_key(&field.id) && below(field);
            if let Some(field) = collection.shape.fields().find(promised) {
                let text = format!(
                    "the contract `{}` promises `{}` and blocks that until its sunset; ask for an earlier one",
                    contract.label(),
                    field.path
                );
                return Err(Error::new(Code::Conflict, text));
            }
        }
        Ok(())
    }

    async fn known(&self) -> Result<Vec<Known>> {
        let mut known = Vec::new();
        for kept in self.0.store.contracts().await? {
            match serde_json::from_str(&kept.body) {
                Ok(contract) => known.push(Known { contract, kept }),
                // A later version of this program may have written it.
                Err(error) => {
                    let (name, version) = (&kept.name, kept.version);
                    tracing::error!(%name, version, %error, "a contract cannot be read and is not in force");
                }
            }
        }
        Ok(known)
    }

    /// The shapes of the versions that it names, as far as there are such.
    async fn pinned(&self, contract: &Contract) -> Result<BTreeMap<String, Arc<Published>>> {
        let catalog = self.0.store.catalog.load();
        let mut pinned = BTreeMap::new();
        for (name, terms) in &contract.collections {
            if let (Some(version), Some(collection)) =
                (terms.shape_version, catalog.collections.get(name.as_str()))
                && let Some(shape) = self.0.store.published(collection.id, version.into()).await?
            {
                pinned.insert(name.clone(), Arc::new(shape));
            }
        }
        Ok(pinned)
    }

    async fn drifts(&self, contract: &Contract, kept: &Kept, catalog: &Catalog) -> Result<Vec<Drift>> {
        let pinned = self.pinned(contract).await?;
        let mut all = Vec::new();
        for (name, terms) in &contract.collections {
            let Some(collection) = catalog.collections.get(name.as_str()) else { continue };
            let agreed = match kept.shapes.get(name) {
                Some(version) => self.0.store.published(collection.id, *version).await?,
                None => None,
            };
            let pinned = pinned.get(name).map(Arc::as_ref);
            all.extend(drifts(collection, contract, terms, pinned, agreed.as_ref()));
        }
        Ok(all)
    }

    fn today(&self) -> String {
        let now = write::instant(self.0.store.clock.now_us()).unwrap_or_default();
        now.chars().take(10).collect()
    }
}

fn kept(contract: &Contract, catalog: &Catalog, subject: &str) -> Result<Kept> {
    let shape = |name: &String| {
        let collection = catalog.collections.get(name.as_str())?;
        Some((name.clone(), i64::from(collection.shape.version)))
    };
    Ok(Kept {
        name: contract.name.clone(),
        version: contract.version.into(),
        body: serde_json::to_string(contract).map_err(Error::internal)?,
        shapes: contract.collections.keys().filter_map(shape).collect(),
        at: 0,
        subject: subject.to_owned(),
    })
}

/// What a contract changes of the version before it, or of itself. What was agreed under a version stays, but for its
/// end and its description.
fn compared(known: &[Kept], contract: &Contract, limits: &config::Contracts) -> Result<Vec<Change>> {
    let own: Vec<&Kept> = known.iter().filter(|kept| kept.name == contract.name).collect();
    let newest = own.last().map_or(0, |kept| kept.version);
    let version = i64::from(contract.version);
    let same = own.iter().find(|kept| kept.version == version);
    let Some(before) = same.or(own.last()) else {
        let names: std::collections::BTreeSet<&str> = known.iter().map(|kept| kept.name.as_str()).collect();
        return match names.len() >= limits.names_max {
            true => Err(full("contracts.names_max", limits.names_max)),
            false => Ok(Vec::new()),
        };
    };
    let earlier: Contract = serde_json::from_str(&before.body).map_err(Error::internal)?;
    let changes = diff(&earlier, contract);
    if same.is_none() {
        if version < newest {
            let text =
                format!("versions count upwards: the newest of `{}` is {newest}", short(&contract.name));
            return Err(Error::new(Code::Conflict, text));
        }
        if own.len() >= limits.versions_max {
            return Err(full("contracts.versions_max", limits.versions_max));
        }
        return Ok(changes);
    }
    let (sunset, description) = (earlier.sunset.clone(), earlier.description.clone());
    let otherwise = Contract { sunset, description, ..contract.clone() };
    if otherwise != earlier {
        let told: Vec<String> = changes.iter().map(|one| format!("{}: {}", one.path, one.text)).collect();
        let text = format!(
            "`{}` was agreed as it is, and only its `sunset` and `description` can change; apply this as version \
             {}:\n{}",
            contract.label(),
            newest + 1,
            told.join("\n")
        );
        return Err(Error::new(Code::Conflict, text));
    }
    Ok(changes)
}

fn full(bound: &str, max: usize) -> Error {
    Error::new(Code::Conflict, format!("there are as many as there may be: `{bound}` is {max}"))
}

/// What a consumer may know of its contract.
fn told(contract: &Contract) -> Value {
    let collection = |(name, terms): (&String, &Terms)| {
        let Terms { fields, shape_version, .. } = terms;
        json!({ "name": name, "fields": fields, "shapeVersion": shape_version })
    };
    let limits = &contract.limits;
    json!({
        "name": contract.name,
        "version": contract.version,
        "description": contract.description,
        "sunset": contract.sunset,
        "formats": contract.formats,
        "transports": contract.transports,
        "limits": {
            "pageMax": limits.page_max,
            "depthMax": limits.depth_max,
            "costMax": limits.cost_max.map(|cost| cost.to_string()),
            "requestsPerMinute": limits.requests_per_minute,
            "concurrentMax": limits.concurrent_max,
        },
        "freshnessSeconds": contract.freshness.as_ref().map(|freshness| freshness.seconds),
        "collections": contract.collections.iter().map(collection).collect::<Vec<_>>(),
        "over": false,
        "drifts": [],
    })
}
