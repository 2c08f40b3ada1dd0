//! The policies in force: loaded from files, replaced as a whole while the system runs, and their compiled scopes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use quick_cache::{Weighter, sync::Cache};

use crate::config;
use crate::error::{Error, Result};
use crate::policy::bound::{Held, View};
use crate::policy::check::{self, Checked, Wrong};
use crate::policy::complaints::{Findings, Misfit, compile, complain, dormant, misfits, placed};
use crate::policy::fields::{self, Built};
use crate::policy::files::{base_files, fingerprint, is_absent, read_files};
use crate::policy::machine::{Around, Fault, Machine, World};
use crate::policy::program::Program;
use crate::policy::scope::{Collections, Scope};
use crate::policy::shapes::Shapes;
use crate::policy::text::{Diagnostic, File, Span};
use crate::policy::value::{Claims, Value};
use crate::query::{Collection, Filter};
use crate::record::{Actor, Source};

/// How many scopes the cache makes room for at first.
const SCOPES_GUESS: usize = 1_024;

/// What is done, beside reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send records.
    Source,
    /// Send tombstones.
    Retract,
    /// Change shapes, redrive, see raw records of a source.
    Steward,
    /// Everything else.
    Administer,
}

impl Action {
    /// The name in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Source => "source",
            Action::Retract => "retract",
            Action::Steward => "steward",
            Action::Administer => "administer",
        }
    }
}

/// Policy files as one look found them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files(Vec<File>);

/// The policies in force, replaceable while the system runs.
pub struct Engine {
    pub(super) config: config::Policy,
    /// Where the files are; `None` for texts that were given.
    directory: Option<PathBuf>,
    pub(super) loaded: ArcSwap<Loaded>,
    /// The collections as of the last [`Engine::check`].
    known: ArcSwap<Vec<Arc<Collection>>>,
    scopes: Cache<ScopeKey, Option<Arc<Scope>>, Bytes>,
    pub(super) bound: Held,
}

pub(super) struct Loaded {
    version: u64,
    /// Whether this is the embedded base, which a directory takes over from as soon as it is there.
    base: bool,
    pub(super) program: Program,
    /// The same wherever the same texts are in force.
    pub(super) fingerprint: Arc<str>,
}

impl Loaded {
    fn new(version: u64, base: bool, program: Program) -> Self {
        let fingerprint = fingerprint(&program.files);
        Loaded { version, base, program, fingerprint }
    }
}

/// What a scope depends on: of the actor only what the policy can read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ScopeKey {
    policy: u64,
    collection: i64,
    generation: i64,
    shape: u32,
    /// Of the collections that relations lead to, as far as rules may follow them: number, build and version.
    around: Box<[(i64, i64, u32)]>,
    claims: Arc<str>,
}

/// One actor, as the policies in force at one moment know it.
pub struct Viewer<'a> {
    engine: &'a Engine,
    loaded: Arc<Loaded>,
    actor: &'a Actor,
    /// Where relations lead.
    collections: &'a Collections,
    user: Claims,
    claims: Arc<str>,
    /// It has a contract, and asks without: since before that, or past it. It is shown nothing.
    unbound: bool,
}

impl Viewer<'_> {
    /// As [`Engine::view`].
    ///
    /// # Errors
    /// None today; callers must treat one as `None`.
    pub fn view(&self, collection: &Arc<Collection>) -> Result<Option<View>> {
        if self.unbound {
            return Ok(None);
        }
        let scope = self.engine.scope_of(self, collection)?;
        Ok(match (&self.actor.contract, scope) {
            (_, None) => None,
            (None, Some(scope)) => Some((collection.clone(), scope)),
            (Some(bound), Some(scope)) => {
                self.engine.bound.view(bound, self.key(collection), collection, &scope)
            }
        })
    }

    fn key(&self, collection: &Collection) -> ScopeKey {
        ScopeKey {
            policy: self.loaded.version,
            collection: collection.id,
            generation: collection.generation,
            shape: collection.shape.version,
            around: self.around(collection),
            claims: self.claims.clone(),
        }
    }
}

impl Viewer<'_> {
    /// What a scope depends on beside its own collection.
    fn around(&self, collection: &Collection) -> Box<[(i64, i64, u32)]> {
        let mut around: Vec<(i64, i64, u32)> = Vec::new();
        let mut level = vec![collection];
        for _ in 0..self.engine.config.relations_max {
            let mut next = Vec::new();
            let relations = level.iter().flat_map(|one| one.shape.relations());
            for relation in relations.filter(|one| self.loaded.program.members.contains(&one.name)) {
                let Some(to) = self.collections.get(relation.other.as_str()) else { continue };
                let state = (to.id, to.generation, to.shape.version);
                if !around.contains(&state) {
                    around.push(state);
                    next.push(to.as_ref());
                }
            }
            level = next;
        }
        around.into()
    }
}

/// Weighs scopes by the memory that they take, roughly.
#[derive(Clone)]
struct Bytes;

impl Weighter<ScopeKey, Option<Arc<Scope>>> for Bytes {
    fn weight(&self, key: &ScopeKey, scope: &Option<Arc<Scope>>) -> u64 {
        let bytes = size_of::<ScopeKey>()
            + size_of_val(&*key.around)
            + key.claims.len()
            + scope.as_ref().map_or(0, |scope| scope.bytes());
        bytes as u64
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Reads, checks and compiles the policy files of the configured directory, else of `policies` in the data
    /// directory, else the embedded base.
    ///
    /// # Errors
    /// `UNPROCESSABLE` with file, line, column and caret.
    pub fn load(config: &config::Policy, data: &Path) -> Result<Self> {
        let directory = config.directory.clone().unwrap_or_else(|| data.join("policies"));
        let base = config.directory.is_none() && is_absent(&directory);
        let files = if base { base_files() } else { read_files(&directory)? };
        Self::build(config, Some(directory), base, files)
    }

    /// Checks and compiles policies that are given as name and text.
    ///
    /// # Errors
    /// `UNPROCESSABLE` with file, line, column and caret.
    pub fn from_texts(config: &config::Policy, texts: &[(&str, &str)]) -> Result<Self> {
        let file = |(name, text): &(&str, &str)| File { name: (*name).into(), text: (*text).into() };
        Self::build(config, None, false, texts.iter().map(file).collect())
    }

    fn build(
        config: &config::Policy,
        directory: Option<PathBuf>,
        base: bool,
        files: Vec<File>,
    ) -> Result<Self> {
        let program = compile(files, config)?;
        Ok(Engine {
            known: ArcSwap::default(),
            config: config.clone(),
            directory,
            loaded: ArcSwap::from_pointee(Loaded::new(1, base, program)),
            scopes: Cache::with_weighter(SCOPES_GUESS, config.scopes_bytes_max as u64, Bytes),
            bound: Held::new(config.views_bytes_max),
        })
    }

    /// The files as they are now, when they are others than those in force; none when their directory has vanished, as
    /// the base may allow more. Whoever looks while they are being written
    /// sees a part of them, maybe without the rules that mask: two looks in a row should agree before they are
    /// [put in force](Engine::put_in_force).
    ///
    /// # Errors
    /// `UNPROCESSABLE` when they cannot be read.
    pub fn look(&self) -> Result<Option<Files>> {
        let held = self.loaded.load();
        let Some(directory) = self.directory.as_deref().filter(|path| !held.base || !is_absent(path)) else {
            return Ok(None);
        };
        let files = read_files(directory)?;
        Ok((held.program.files != files).then_some(Files(files)))
    }

    /// Puts these files in force as a whole. On an error the policies that were in force stay.
    ///
    /// # Errors
    /// `UNPROCESSABLE` with file, line, column and caret.
    pub fn put_in_force(&self, Files(files): Files) -> Result<()> {
        let held = self.loaded.load();
        let program = compile(files, &self.config)?;
        let shapes = Shapes::new(&self.known.load(), self.config.relations_max);
        // What did not fit before denies and is known; what is new must fit.
        let before: BTreeSet<_> = misfits(&held.program, &shapes)
            .into_iter()
            .map(|wrong| (held.program.rule_text(wrong.span).to_owned(), wrong.reason))
            .collect();
        let mut wrong = misfits(&program, &shapes);
        let known = |one: &Wrong| (program.rule_text(one.span).to_owned(), one.reason.clone());
        wrong.retain(|one| !before.contains(&known(one)));
        complain(&program, &wrong)?;
        self.loaded.store(Arc::new(Loaded::new(held.version + 1, false, program)));
        Ok(())
    }

    /// Checks the policies in force against the collections that there are, and remembers these for
    /// [`Engine::put_in_force`].
    /// Nothing that it finds stops anything: such a rule denies.
    pub fn check(&self, collections: &[Arc<Collection>]) -> Findings {
        self.known.store(Arc::new(collections.to_vec()));
        let loaded = self.loaded.load();
        let shapes = Shapes::new(collections, self.config.relations_max);
        let Checked { wrong, asleep } = check::check(&loaded.program, Some(&shapes));
        let misfit = |wrong: Wrong| Misfit {
            at: placed(&loaded.program, &wrong),
            rule: loaded.program.rule_text(wrong.span).to_owned(),
            class: wrong.class,
        };
        Findings {
            misfits: wrong.into_iter().map(misfit).collect(),
            sleeping: dormant(&loaded.program, &shapes, &asleep),
        }
    }

    /// A short code of the texts in force, the same on every node that has them.
    pub fn fingerprint(&self) -> Arc<str> {
        self.loaded.load().fingerprint.clone()
    }

    /// Raised by every change of the policies or contracts; scopes of another version must be asked for again.
    pub fn version(&self) -> u64 {
        self.loaded.load().version + self.bound.serial()
    }

    /// What `actor` may read of `collection`; `None` when nothing: then the collection does not exist for it. Under a
    /// contract it is a collection with less in it, so only what is given back here goes with the scope.
    ///
    /// A policy that cannot be decided for this actor shows nothing, and the log says why.
    ///
    /// # Errors
    /// None today; callers must treat one as `None`.
    pub fn view(
        &self,
        actor: &Actor,
        collections: &Collections,
        collection: &Arc<Collection>,
    ) -> Result<Option<View>> {
        self.viewer(actor, collections)?.view(collection)
    }

    /// What the policies alone let `actor` read of `collection`, for whoever manages it: nothing under a contract.
    ///
    /// # Errors
    /// As [`Engine::view`].
    pub fn scope(
        &self,
        actor: &Actor,
        collections: &Collections,
        collection: &Collection,
    ) -> Result<Option<Arc<Scope>>> {
        if actor.contract.is_some() {
            return Ok(None);
        }
        self.scope_of(&self.viewer(actor, collections)?, collection)
    }

    /// Who asks for the scopes of many collections. `collections` are those that there are, as relations lead to them.
    ///
    /// # Errors
    /// None today.
    pub fn viewer<'a>(&'a self, actor: &'a Actor, collections: &'a Collections) -> Result<Viewer<'a>> {
        let loaded = self.loaded.load_full();
        let user = known_claims(actor, &loaded.program);
        let claims = serde_json::to_string(&user).map_err(Error::internal)?.into();
        let unbound = actor.contract.is_none() && self.is_bound(actor);
        Ok(Viewer { engine: self, loaded, actor, collections, user, claims, unbound })
    }

    /// Appends what decides what an actor is shown of collections that stay as they are: the policies and contracts in
    /// force, its contract, and what policies can know of it. Actors for whom that is the same have the same views.
    ///
    /// # Errors
    /// Only when a claim cannot be written as JSON.
    pub fn standing(&self, actor: &Actor, out: &mut Vec<u8>) -> Result<()> {
        let loaded = self.loaded.load();
        let program = &loaded.program;
        out.extend_from_slice(&loaded.version.to_le_bytes());
        out.extend_from_slice(&self.bound.serial().to_le_bytes());
        match &actor.contract {
            None => out.push(u8::from(self.is_bound(actor))),
            Some(bound) => {
                out.push(2);
                out.extend_from_slice(&bound.version.to_le_bytes());
                json(&bound.name, out)?;
            }
        }
        if program.members.contains("subject") {
            out.push(b's');
            json(&actor.subject, out)?;
        }
        if program.members.contains("roles") {
            out.push(b'r');
            json(&actor.roles, out)?;
        }
        for (name, value) in &actor.claims {
            if program.members.contains(name) {
                json(name, out)?;
                json(value, out)?;
            }
        }
        Ok(())
    }

    fn scope_of(&self, viewer: &Viewer<'_>, collection: &Collection) -> Result<Option<Arc<Scope>>> {
        let Viewer { loaded, actor, collections, user, .. } = viewer;
        let key = viewer.key(collection);
        if let Some(scope) = self.scopes.get(&key) {
            return Ok(scope);
        }
        let around = Some(Around { collections, relations_max: self.config.relations_max });
        let world = World { program: &loaded.program, user, collection: Some(collection), around };
        let scope = match fields::build(world, collection, self.config.steps_max) {
            Ok(Built { scope, remarks, .. }) => {
                log_remarks(&loaded.program, collection, &remarks);
                scope.map(Arc::new)
            }
            Err(fault) => {
                let reason = describe(&loaded.program, &fault);
                tracing::error!(collection = %collection.field_name, subject = %actor.subject, %reason,
                    "policy cannot be decided; nothing is shown");
                None
            }
        };
        self.scopes.insert(key, scope.clone());
        Ok(scope)
    }

    /// Whether `actor` may do `action` to `source`.
    ///
    /// # Errors
    /// `FORBIDDEN` that says which permission is missing.
    pub fn allow_source(&self, actor: &Actor, action: Action, source: &Source) -> Result<()> {
        if self.decide(actor, action, Some(source)) {
            return Ok(());
        }
        let (category, subcategory, name) = (&source.category, &source.subcategory, &source.source_name);
        Err(Error::forbidden(format!(
            "`{}` may not `{}` records of `{category}/{subcategory}` from `{name}`; {}",
            actor.subject,
            action.as_str(),
            advice(actor),
        )))
    }

    /// Whether `actor` may do `action` to the system: a rule that asks for a certain source does not allow it.
    ///
    /// # Errors
    /// `FORBIDDEN` that says which permission is missing.
    pub fn allow(&self, actor: &Actor, action: Action) -> Result<()> {
        if self.decide(actor, action, None) {
            return Ok(());
        }
        let (subject, action, advice) = (&actor.subject, action.as_str(), advice(actor));
        Err(Error::forbidden(format!("`{subject}` may not `{action}`; {advice}")))
    }

    fn decide(&self, actor: &Actor, action: Action, source: Option<&Source>) -> bool {
        if actor.contract.is_some() {
            // It promises to read, and nothing else.
            return false;
        }
        let loaded = self.loaded.load();
        let user = known_claims(actor, &loaded.program);
        let world = World { program: &loaded.program, user: &user, collection: None, around: None };
        let mut machine = Machine::new(world, self.config.steps_max);
        let args = vec![Value::User, Value::Text(action.as_str()), Value::Source(source)];
        match machine.ask("allow", args) {
            Ok(decision) => decision == Filter::Const(true),
            Err(fault) => {
                let reason = describe(&loaded.program, &fault);
                tracing::error!(action = action.as_str(), subject = %actor.subject, %reason,
                    "policy cannot be decided; the action is denied");
                false
            }
        }
    }
}

fn json(value: &impl serde::Serialize, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, value).map_err(Error::internal)
}

/// What one who may not can do about it.
fn advice(actor: &Actor) -> &'static str {
    if *actor == Actor::anonymous() {
        "send a token as `Authorization: Bearer TOKEN`"
    } else {
        "ask an administrator for the role"
    }
}

/// The claims that the policy names; the others cannot matter, so actors that differ only in them share a scope.
pub(super) fn known_claims(actor: &Actor, program: &Program) -> Claims {
    let mut known: Claims = actor
        .claims
        .iter()
        .filter(|(name, _)| program.members.contains(*name))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    known.insert("subject".to_owned(), actor.subject.clone().into());
    known.insert("roles".to_owned(), actor.roles.clone().into());
    for name in ["subject", "roles"] {
        if !program.members.contains(name) {
            known.remove(name);
        }
    }
    known
}

pub(super) fn describe(program: &Program, fault: &Fault) -> String {
    match fault {
        Fault::Refused(span, reason) => Diagnostic::new(&program.files, *span, reason.as_str()).to_string(),
        Fault::Budget => "more steps or deeper calls than `policy.steps_max` allows".to_owned(),
    }
}

fn log_remarks(program: &Program, collection: &Collection, remarks: &BTreeMap<Span, String>) {
    for (span, reason) in remarks {
        let place = Diagnostic::new(&program.files, *span, reason.as_str());
        tracing::warn!(collection = %collection.field_name, %place, "a policy condition is never true");
    }
}
