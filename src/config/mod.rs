//! The configuration: every option, its default and its sentence. Reading files and the environment is here;
//! acting on an option is not.

mod check;
mod exposure;
mod issuers;
mod load;
mod modes;
mod print;

pub use exposure::{Classify, Exposure};
pub use issuers::{Algorithm, ClaimFrom, Issuer, RESERVED_CLAIMS};
pub use load::load;
pub use modes::{Mode, ModeRule};
pub use print::print;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that can be set, from `wellspring.toml`, `WELLSPRING_SECTION__NAME` or the command line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where and how it serves.
    pub server: Server,
    /// Where data is kept.
    pub store: Store,
    /// The stream between sourcing and provisioning.
    pub stream: Stream,
    /// What sources may send.
    pub sourcing: Sourcing,
    /// How plugins run.
    pub provisioning: Provisioning,
    /// What one GraphQL request may ask for.
    pub graphql: Graphql,
    /// Rows by REST.
    pub data: Data,
    /// Live subscriptions.
    pub subscriptions: Subscriptions,
    /// Who is believed.
    pub auth: Auth,
    /// Where policies are.
    pub policy: Policy,
    /// What consumers are promised.
    pub contracts: Contracts,
    /// Limits of shape inference.
    pub shape: Shape,
    /// What is gathered about the values of fields.
    pub statistics: Statistics,
    /// How relations are looked for.
    pub relations: Relations,
    /// The audit log of reads.
    pub reads: Reads,
    /// Indexes that reads lack.
    pub advisor: Advisor,
    /// Reading what one has written, and what was before.
    pub consistency: Consistency,
    /// What is logged.
    pub log: Log,
}

/// Every section with its options and their sentences, in the order of [`Config`].
pub const SECTIONS: &[(&str, &[(&str, &str)])] = &[
    ("server", Server::OPTIONS),
    ("store", Store::OPTIONS),
    ("stream", Stream::OPTIONS),
    ("sourcing", Sourcing::OPTIONS),
    ("provisioning", Provisioning::OPTIONS),
    ("graphql", Graphql::OPTIONS),
    ("data", Data::OPTIONS),
    ("subscriptions", Subscriptions::OPTIONS),
    ("auth", Auth::OPTIONS),
    ("policy", Policy::OPTIONS),
    ("contracts", Contracts::OPTIONS),
    ("shape", Shape::OPTIONS),
    ("statistics", Statistics::OPTIONS),
    ("relations", Relations::OPTIONS),
    ("reads", Reads::OPTIONS),
    ("advisor", Advisor::OPTIONS),
    ("consistency", Consistency::OPTIONS),
    ("log", Log::OPTIONS),
];

impl Config {
    /// The file of the signing key.
    pub fn key_file(&self) -> PathBuf {
        self.auth.key_file.clone().unwrap_or_else(|| self.store.data.join("signing.key"))
    }

    /// Whether new fields are kept from everybody but stewards until somebody or something classifies them.
    pub fn is_guarded(&self) -> bool {
        let url = self.store.database_url.as_deref();
        self.shape.is_guarded(url.is_some_and(|url| !url.starts_with("sqlite:")))
    }

    /// Whether this node has the role.
    pub fn has_role(&self, role: &str) -> bool {
        self.server.roles.iter().any(|r| r == role)
    }
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $sentence:literal])+ $field:ident: $ty:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[doc = $sentence])+ pub $field: $ty,)* }

        impl $name {
            /// Every option with its sentence, in order.
            pub const OPTIONS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($field), concat!($($sentence),+)),)*];
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* }
            }
        }
    };
}

// Behind the macro that they use.
mod advisor;
mod auth;
mod consistency;
mod graphql;
mod reads;
mod shapes;
pub use advisor::{Advisor, Apply};
pub use auth::Auth;
pub use consistency::Consistency;
pub use graphql::Graphql;
pub use reads::Reads;
pub use shapes::{Relations, Statistics};

section! {
    /// Where and how it serves.
    Server {
        /// Address to listen on; port 0 takes a free one.
        listen: String = "127.0.0.1:8080".into(),
        /// Roles of this node: `api`, `relay`, `worker`.
        roles: Vec<String> = vec!["api".into(), "relay".into(), "worker".into()],
        /// The longest a request may take, in milliseconds.
        request_timeout_ms: u64 = 30_000,
        /// How long open requests may finish after a stop signal, in milliseconds.
        shutdown_grace_ms: u64 = 10_000,
        /// The most requests in work at once; more are answered `BACKPRESSURE`.
        requests_max: usize = 1_024,
        /// The most bytes of request bodies held while they are read; more are answered `BACKPRESSURE`.
        bodies_bytes_max: usize = 256 * 1024 * 1024,
        /// The most open connections.
        connections_max: usize = 8_192,
        /// How long a connection may wait with a whole request head, its idle time counted, in milliseconds.
        head_timeout_ms: u64 = 75_000,
        /// How long a connection may stay open without a byte moving, in milliseconds; more than a request.
        idle_timeout_ms: u64 = 75_000,
    }
}

section! {
    /// Where data is kept.
    Store {
        /// Directory of the embedded database, the signing key and the policies.
        data: PathBuf = PathBuf::from("./wellspring-data"),
        /// `sqlite://…` or `postgres://…`; none is the embedded SQLite file in the data directory.
        database_url: Option<String> = None,
        /// `postgres://…` of a streaming replica: lists, lookups and aggregates are read there while it is near.
        replica_url: Option<String> = None,
        /// How far behind the replica may be, in milliseconds, to be read; else, and while it is away, the database is.
        replica_lag_max_ms: u64 = 5_000,
        /// The most PostgreSQL connections of this node, to each of the two.
        connections_max: u32 = 16,
        /// The most statements that a PostgreSQL connection keeps prepared, of those that come again and again.
        statements_max: usize = 512,
        /// What PostgreSQL reckons that a page out of order costs beside one in order (`random_page_cost`). With its
        /// own 4 it sorts long lists that an index has in order, with 1.1 it groups whole tables by an index.
        random_page_cost: f64 = 2.0,
        /// The longest one statement may take, in milliseconds.
        statement_timeout_ms: u64 = 15_000,
        /// How long a node that hangs may keep a transaction and its locks from the others, in milliseconds; then
        /// PostgreSQL ends the transaction.
        idle_in_transaction_ms: u64 = 5_000,
        /// The longest wait for a free connection, in milliseconds.
        acquire_timeout_ms: u64 = 5_000,
        /// The most SQLite reader connections.
        readers_max: usize = 8,
        /// The most values that the percentiles of one statement hold at once on SQLite, 8 bytes each.
        percentile_values_max: usize = 4_000_000,
        /// The most tables that SQLite has ready for collections to come; an eighth as many as there are, at least 8.
        spare_tables_max: u32 = 256,
        /// How many columns of each table SQLite has ready for fields to come; at most 100.
        spare_columns: u32 = 16,
        /// How many partitions order the keys of a new database; 0 is 1 on SQLite and 8 on PostgreSQL.
        partitions: u32 = 0,
        /// How many changes of a collection are kept for subscriptions that resume.
        changes_kept_max: i64 = 1_000_000,
        /// For fault tests: the named point at which the process ends itself; also `WELLSPRING_CRASH_AT`.
        crash_at: Option<String> = None,
    }
}

section! {
    /// The stream between sourcing and provisioning.
    Stream {
        /// `redis://…`; none is the log in the database.
        redis_url: Option<String> = None,
        /// The most entries of a partition in one step of relay or worker; at most 10,000.
        batch_max: usize = 200,
        /// How long a node owns a partition without renewing, in milliseconds.
        lease_ms: u64 = 10_000,
        /// How often an idle loop looks without a wake-up, in milliseconds.
        poll_ms: u64 = 1_000,
        /// The longest pause between tries while the stream's service is away, in milliseconds.
        backoff_max_ms: u64 = 2_000,
        /// How long a call of the stream's service may take, in milliseconds, and connecting to it half as long.
        call_timeout_ms: u64 = 5_000,
    }
}

section! {
    /// What sources may send.
    Sourcing {
        /// The largest record, in bytes.
        record_bytes_max: usize = 8 * 1024 * 1024,
        /// How deep a record may nest.
        depth_max: usize = 100,
        /// The most values (keys and items) in one record.
        values_max: usize = 1_000_000,
        /// The most columns of a table, such as CSV.
        table_columns_max: usize = 10_000,
        /// The longest name of a table's column, in bytes; it comes again in each row's record.
        table_name_bytes_max: usize = 1_024,
        /// The largest batch body, in bytes, as it is sent and as the JSON that it becomes.
        batch_bytes_max: usize = 1024 * 1024 * 1024,
        /// The most records in one `sourceMany`.
        many_max: usize = 1_000,
        /// The most records in one commit.
        commit_records_max: usize = 1_000,
        /// The most bytes of documents in one commit.
        commit_bytes_max: usize = 16 * 1024 * 1024,
        /// The most records waiting for a commit; more are answered `BACKPRESSURE`.
        queue_max: usize = 4_096,
        /// The most bytes of documents waiting for a commit; more are answered `BACKPRESSURE`.
        queue_bytes_max: usize = 64 * 1024 * 1024,
        /// The most records that may wait to be provisioned; more are answered `BACKPRESSURE`.
        backlog_max: i64 = 10_000_000,
        /// The most rejected records that a batch answer lists.
        rejected_listed_max: usize = 1_000,
        /// The most receipts that a batch answer lists.
        receipts_listed_max: usize = 10_000,
    }
}

section! {
    /// How plugins run.
    Provisioning {
        /// How often a plugin is tried before its record is parked; at most 20.
        attempts_max: u32 = 3,
        /// The pause before a plugin's second try, in milliseconds; it doubles with each further one.
        retry_pause_ms: u64 = 200,
        /// The longest pause between two tries of a plugin, in milliseconds.
        retry_pause_max_ms: u64 = 60_000,
        /// A batch of records that plugins decide about ends with the document that passes this many bytes.
        batch_bytes_max: usize = 8 * 1024 * 1024,
        /// How many rows are gone over at once when a field gets another type, beside all other work.
        rebuild_rows_max: usize = 200,
        /// Of records that are parked, the first of each plugin, source and code in so many milliseconds is told as an
        /// event.
        parked_told_every_ms: u64 = 600_000,
        /// The most events about parked records in that time, whatever plugins, sources and codes they are of; 0 for
        /// none at all.
        parked_told_max: usize = 50,
        /// How many plugins may stand between a record and its source.
        hops_max: i32 = 16,
        /// Plugins beside the built-in `materialize`.
        masks: Vec<MaskPlugin> = Vec::new(),
    }
}

/// A `mask` plugin: it emits a masked copy of each matching record as a record of another collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskPlugin {
    /// Its name; part of the ledger, never reuse one for something else.
    pub name: String,
    /// Records of this category.
    pub category: String,
    /// Records of this subcategory.
    pub subcategory: String,
    /// The copy's subcategory.
    pub to_subcategory: String,
    /// JSON pointers of the fields to mask, one or more; lists on the way are entered, `/*` or a number is each item.
    pub fields: Vec<String>,
    /// `null`, `hash`, or `keep_last:4`, `keep_first:2`.
    pub mask: String,
}

section! {
    /// Rows by REST.
    Data {
        /// The most `GET /data` answers in work at once; more are answered `BACKPRESSURE`.
        exports_max: usize = 32,
        /// The longest an export may take, in milliseconds; it ends broken off, to be taken up after its last cursor.
        export_timeout_ms: u64 = 3_600_000,
        /// How many bytes of an export are read and held at once, for each answer in work.
        page_bytes: usize = 1024 * 1024,
        /// The most rows that one statement of an export reads.
        page_rows_max: usize = 8_192,
        /// The largest `/openapi.json`, in bytes; who sees more collections asks for some of them.
        openapi_bytes_max: usize = 32 * 1024 * 1024,
        /// About how many bytes of these documents are kept, for all who see the same.
        openapi_kept_bytes_max: usize = 64 * 1024 * 1024,
    }
}

section! {
    /// Live subscriptions.
    Subscriptions {
        /// The most open subscriptions of this node.
        open_max: usize = 10_000,
        /// The most operations on one socket.
        per_socket_max: usize = 100,
        /// The most changes of a collection at hand for its subscribers; who reads more slowly gets them from the log.
        buffer_max: usize = 1_024,
        /// The most bytes of these changes.
        buffer_bytes_max: usize = 4 * 1024 * 1024,
        /// How long a socket may wait with `connection_init`, in milliseconds.
        init_timeout_ms: u64 = 10_000,
        /// How often an idle socket or event stream gets a sign of life, in milliseconds.
        keepalive_ms: u64 = 15_000,
        /// The largest message from a client, in bytes.
        message_bytes_max: usize = 1024 * 1024,
        /// The longest id that a client may give an operation, in bytes.
        id_bytes_max: usize = 256,
        /// The most changes read from the log in one step.
        tail_batch_max: usize = 500,
        /// The most bytes of rows or changes read in one step; a single one may be larger.
        batch_bytes_max: usize = 4 * 1024 * 1024,
    }
}

section! {
    /// Where policies are.
    Policy {
        /// Directory of `*.polar` files; none is `policies` in the data directory, once it exists; else the base.
        directory: Option<PathBuf> = None,
        /// The largest policy text in sum, in bytes.
        bytes_max: usize = 256 * 1024,
        /// How deep brackets may nest in a policy.
        nesting_max: usize = 64,
        /// The most steps that compiling what one actor may read of one collection, all its fields included, may take,
        /// or deciding one action; with more, nothing is shown or allowed.
        steps_max: usize = 5_000_000,
        /// How many relations in a row a rule may follow from the row that it is about.
        relations_max: usize = 3,
        /// The most memory that the compiled scopes which are kept may take, in bytes, roughly.
        scopes_bytes_max: usize = 64 * 1024 * 1024,
        /// About how much memory what actors see under contracts may take; what was not asked for longest goes first.
        views_bytes_max: usize = 64 * 1024 * 1024,
    }
}

section! {
    /// Limits of shape inference.
    Shape {
        /// The most locations of a collection, up to 20000; what is beyond folds into `_rest`.
        locations_max: usize = 5_000,
        /// The most columns of a collection, up to 300: what a row of PostgreSQL always has room for.
        columns_max: usize = 300,
        /// How deep fields are published, up to 40; what is deeper is `JSON`.
        depth_max: usize = 12,
        /// An object with more keys than this, up to 1024, whose values are alike is a map that is asked by key, not
        /// one field a key; one whose keys are dates, UUIDs and the like is a map with any number of them.
        map_keys_min: usize = 128,
        /// The most structures that are summed up to tell how often fields are seen; those of most records first.
        structures_max: usize = 2_000,
        /// The most memory for structures that are kept to know them again at once, in bytes, roughly; a quarter of it
        /// at most is of one collection, and 0 derives each record's anew.
        known_bytes_max: usize = 32 * 1024 * 1024,
        /// The most versions of a collection that are told at once.
        versions_max: usize = 100,
        /// The longest key that gets a field, in bytes, up to 4096.
        key_bytes_max: usize = 256,
        /// The longest description that a steward may give a field, in bytes.
        description_bytes_max: usize = 2_000,
        /// The most names, old ones included, that renaming may give a field together with those of what it stands in.
        names_max: usize = 16,
        /// The most tags that a steward may give a field.
        tags_max: usize = 32,
        /// The most values of an enum.
        enum_values_max: usize = 100,
        /// The longest value of an enum, in bytes.
        enum_value_bytes_max: usize = 200,
        /// The most rows, the latest, that are looked through to tell which unions there may be.
        union_rows_max: usize = 10_000,
        /// The most bytes of such rows.
        union_bytes_max: usize = 64 * 1024 * 1024,
        /// The most variants of a union.
        union_variants_max: usize = 100,
        /// How much of which members an object has a discriminator must explain to be offered, in percent.
        union_score_min: u32 = 50,
        /// Who sees a new field: `open`, whoever may see the others; `guarded`, stewards only, until it is classified;
        /// `auto` is guarded with PostgreSQL and open with SQLite.
        exposure: Exposure = Exposure::Auto,
        /// Fields that are classified by themselves, as collection and path; in both, `*` is any text within a name.
        classify: Vec<Classify> = Vec::new(),
        /// A field whose tags all are among these, or below them, is classified by itself, such as `["time", "id"]`.
        classify_tags: Vec<String> = Vec::new(),
        /// What is done about new fields and wider types, as collection, path and mode, where nobody decides otherwise;
        /// `rescue` and `reject` hold once something is published.
        modes: Vec<ModeRule> = Vec::new(),
        /// The most paths of a collection that have modes of their own, and the most that are rejected.
        modes_max: usize = 1_000,
        /// The most misfits that are named when a document is refused.
        refusals_max: usize = 10,
    }
}

impl Shape {
    /// Whether new fields are kept from everybody but stewards, on this kind of database.
    pub fn is_guarded(&self, postgres: bool) -> bool {
        match self.exposure {
            Exposure::Auto => postgres,
            Exposure::Open => false,
            Exposure::Guarded => true,
        }
    }
}

section! {
    /// What consumers are promised.
    Contracts {
        /// The largest text of a contract, in bytes.
        text_bytes_max: usize = 256 * 1024,
        /// The most contracts; all versions of one count once.
        names_max: usize = 1_000,
        /// The most versions of one contract.
        versions_max: usize = 200,
    }
}

section! {
    /// What is logged.
    Log {
        /// A tracing filter, such as `info` or `wellspring=debug`.
        filter: String = "info,sea_orm_migration=warn,sqlx=warn".into(),
        /// `json` or `text`.
        format: String = "text".into(),
        /// How long lines below a warning wait to be written together, in milliseconds; 0 writes each at once.
        flush_ms: u64 = 20,
        /// The most bytes of lines that wait; when there are more, whoever has one writes all.
        held_bytes_max: usize = 262_144,
    }
}
