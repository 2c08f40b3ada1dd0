//! Options of GraphQL requests: how much one may ask for, and which documents. Must not read anything.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

section! {
    /// What one GraphQL request may ask for.
    Graphql {
        /// The largest request body, in bytes.
        body_bytes_max: usize = 1024 * 1024,
        /// How deep selections may nest.
        depth_max: usize = 20,
        /// How deep brackets of any kind may nest in a document, and conditions in a `where`; how many steps a path of
        /// JSON may have there.
        nesting_max: usize = 64,
        /// The most operations in a document.
        operations_max: usize = 20,
        /// The most arguments of one field.
        arguments_max: usize = 32,
        /// The most fields after fragments are expanded.
        fields_max: usize = 5_000,
        /// The most root fields, aliases counted.
        root_fields_max: usize = 50,
        /// The most aliases.
        aliases_max: usize = 200,
        /// The most cost: rows asked for times fields selected, summed over the document.
        cost_max: u64 = 500_000,
        /// The largest answer, in bytes; the exports of `GET /data` take smaller pages instead.
        answer_bytes_max: usize = 32 * 1024 * 1024,
        /// The most tokens a document may have.
        tokens_max: usize = 20_000,
        /// Rows of a page when none are asked for.
        page_default: usize = 50,
        /// The most rows of a page.
        page_max: usize = 1_000,
        /// Up to how many rows `totalCountEstimate` counts.
        count_exact_max: i64 = 10_000,
        /// The most constants in one `where`.
        constants_max: usize = 2_000,
        /// The longest `like` pattern, the longest text of a `search` and the longest `at` of a path of JSON, in
        /// bytes.
        pattern_bytes_max: usize = 4_096,
        /// The most words of a `search`.
        search_words_max: usize = 64,
        /// How many relations in a row a `where` or an `orderBy` may follow.
        relations_max: usize = 3,
        /// How many relations a `where` may follow in all.
        relations_in_all_max: usize = 32,
        /// The most fields in one `orderBy`.
        order_by_max: usize = 16,
        /// The most fields in one `groupBy`.
        group_by_max: usize = 16,
        /// The most groups of an aggregate.
        groups_max: usize = 10_000,
        /// The most validated schema slices of common size kept (1,024 fields and values); larger ones count more.
        slices_max: usize = 256,
        /// The most compiled documents of common size kept (4 KiB of text); larger ones count more.
        documents_max: usize = 1_024,
        /// The most directives, fragments expanded.
        directives_max: usize = 100,
        /// The most queries and mutations of one actor in work at once on this node; more are answered `RATE_LIMITED`.
        concurrent_max: usize = 64,
        /// The most bytes of documents that clients register by their hash (automatic persisted queries); 0 for none.
        registered_bytes_max: usize = 16 * 1024 * 1024,
        /// A file of trusted documents: a JSON object of texts by their ids, or a manifest of `operations`, each with
        /// `id` and `body`. It is read again when it changes.
        trusted_documents: Option<PathBuf> = None,
        /// Whether only trusted documents are executed, but for those who may administer.
        trusted_only: bool = false,
        /// The largest file of trusted documents, in bytes.
        trusted_bytes_max: usize = 16 * 1024 * 1024,
        /// The most errors that one answer lists.
        errors_max: usize = 20,
        /// The most root fields of one query that are answered at once.
        roots_at_once_max: usize = 8,
        /// About how many bytes of whole schemas are kept for introspection, one for all actors that see the same; one
        /// that is larger is built anew each time.
        schemas_bytes_max: usize = 64 * 1024 * 1024,
        /// How deep lists of types and fields may nest in an introspection; tools ask for 2.
        introspection_nesting_max: usize = 2,
        /// The most lists of types, fields or values that one introspection may name.
        introspection_lists_max: usize = 30,
    }
}
