//! What one option alone cannot say: bounds and options that depend on each other.

use super::Config;
use crate::error::{Error, Result};

/// Checks the configuration as a whole.
///
/// # Errors
/// `BAD_REQUEST` that names the options and what to do.
pub(super) fn check(config: &Config) -> Result<()> {
    server(config)?;
    store(config)?;
    pairs(config)?;
    bounds(config)?;
    ceilings(config)?;
    classify(config)?;
    modes(config)?;
    super::issuers::check(config)?;
    masks(config)
}

fn refuse(message: String) -> Result<()> {
    Err(Error::bad_request(message))
}

fn server(config: &Config) -> Result<()> {
    let roles = &config.server.roles;
    if roles.is_empty() {
        return refuse("`server.roles` is empty; name at least one of `api`, `relay`, `worker`".into());
    }
    if let Some(role) = roles.iter().find(|role| !["api", "relay", "worker"].contains(&role.as_str())) {
        return refuse(format!("`server.roles`: there is no role `{role}`; use `api`, `relay`, `worker`"));
    }
    let port = config.server.listen.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    if !matches!(port, Some(Ok(_))) {
        return refuse(format!(
            "`server.listen`: `{}` is not `address:port`, such as `127.0.0.1:8080`",
            config.server.listen
        ));
    }
    let (idle_ms, keepalive_ms) = (config.server.idle_timeout_ms, config.subscriptions.keepalive_ms);
    let request_ms = config.server.request_timeout_ms;
    // Nothing moves while a request is in work: its connection must not be cut before it is answered.
    if idle_ms <= keepalive_ms.max(request_ms) {
        return refuse(format!(
            "`server.idle_timeout_ms` ({idle_ms}) must be more than `server.request_timeout_ms` ({request_ms}) and \
             `subscriptions.keepalive_ms` ({keepalive_ms})"
        ));
    }
    if config.graphql.trusted_only && config.graphql.trusted_documents.is_none() {
        return refuse("`graphql.trusted_only` needs `graphql.trusted_documents`".into());
    }
    if !["json", "text"].contains(&config.log.format.as_str()) {
        return refuse(format!("`log.format`: `{}` is neither `json` nor `text`", config.log.format));
    }
    Ok(())
}

fn store(config: &Config) -> Result<()> {
    let url = config.store.database_url.as_deref();
    let known = ["sqlite:", "postgres://", "postgresql://"];
    if url.is_some_and(|url| !known.iter().any(|scheme| url.starts_with(scheme))) {
        return refuse("`store.database_url` must begin with `sqlite://` or `postgres://`".into());
    }
    let embedded = url.is_none_or(|url| url.starts_with("sqlite:"));
    let replica = config.store.replica_url.as_deref();
    let server = |url: &str| url.starts_with("postgres://") || url.starts_with("postgresql://");
    if replica.is_some_and(|url| embedded || !server(url)) {
        let text = "`store.replica_url` must begin with `postgres://`, and goes with such a `store.database_url` only";
        return refuse(text.into());
    }
    if embedded && !["api", "relay", "worker"].iter().all(|role| config.has_role(role)) {
        return refuse(
            "`server.roles` needs all of `api`, `relay`, `worker` with SQLite, which one process owns; \
             set `store.database_url` to a PostgreSQL database to split them"
                .into(),
        );
    }
    let redis = config.stream.redis_url.as_deref();
    let known = ["redis://", "rediss://", "redis+unix://", "unix://"];
    if redis.is_some_and(|url| !known.iter().any(|scheme| url.starts_with(scheme))) {
        return refuse("`stream.redis_url` must begin with `redis://`, `rediss://` or `unix://`".into());
    }
    if config.stream.lease_ms < 2 * config.stream.poll_ms {
        return refuse("`stream.lease_ms` must be at least twice `stream.poll_ms`".into());
    }
    Ok(())
}

/// Bounds of which one must not be more than the other.
fn pairs(config: &Config) -> Result<()> {
    let pairs = [
        ("graphql.page_default", config.graphql.page_default, "graphql.page_max", config.graphql.page_max),
        (
            "sourcing.commit_records_max",
            config.sourcing.commit_records_max,
            "sourcing.queue_max",
            config.sourcing.queue_max,
        ),
        (
            "sourcing.record_bytes_max",
            config.sourcing.record_bytes_max,
            "sourcing.batch_bytes_max",
            config.sourcing.batch_bytes_max,
        ),
        ("graphql.depth_max", config.graphql.depth_max, "graphql.nesting_max", config.graphql.nesting_max),
        (
            "sourcing.record_bytes_max",
            config.sourcing.record_bytes_max,
            "server.bodies_bytes_max",
            config.server.bodies_bytes_max,
        ),
        (
            "statistics.examples_max",
            config.statistics.examples_max,
            "statistics.values_max",
            config.statistics.values_max,
        ),
        (
            "graphql.body_bytes_max",
            config.graphql.body_bytes_max,
            "server.bodies_bytes_max",
            config.server.bodies_bytes_max,
        ),
    ];
    for (less, small, more, large) in pairs {
        if small > large {
            return refuse(format!("`{less}` ({small}) must not be more than `{more}` ({large})"));
        }
    }
    Ok(())
}

fn bounds(config: &Config) -> Result<()> {
    let positive = [
        ("server.request_timeout_ms", config.server.request_timeout_ms),
        ("server.requests_max", config.server.requests_max as u64),
        ("server.connections_max", config.server.connections_max as u64),
        ("server.head_timeout_ms", config.server.head_timeout_ms),
        ("store.connections_max", u64::from(config.store.connections_max)),
        ("store.readers_max", config.store.readers_max as u64),
        ("store.replica_lag_max_ms", config.store.replica_lag_max_ms),
        ("store.statement_timeout_ms", config.store.statement_timeout_ms),
        ("store.idle_in_transaction_ms", config.store.idle_in_transaction_ms),
        ("store.acquire_timeout_ms", config.store.acquire_timeout_ms),
        ("stream.batch_max", config.stream.batch_max as u64),
        ("stream.poll_ms", config.stream.poll_ms),
        ("stream.call_timeout_ms", config.stream.call_timeout_ms),
        ("sourcing.commit_records_max", config.sourcing.commit_records_max as u64),
        ("provisioning.attempts_max", u64::from(config.provisioning.attempts_max)),
        ("provisioning.retry_pause_ms", config.provisioning.retry_pause_ms),
        ("provisioning.batch_bytes_max", config.provisioning.batch_bytes_max as u64),
        ("graphql.page_default", config.graphql.page_default as u64),
        ("graphql.concurrent_max", config.graphql.concurrent_max as u64),
        ("data.exports_max", config.data.exports_max as u64),
        ("data.export_timeout_ms", config.data.export_timeout_ms),
        ("data.page_bytes", config.data.page_bytes as u64),
        ("data.page_rows_max", config.data.page_rows_max as u64),
        ("auth.token_bytes_max", config.auth.token_bytes_max as u64),
        ("auth.jwks_period_ms", config.auth.jwks_period_ms),
        ("auth.jwks_pause_ms", config.auth.jwks_pause_ms),
        ("auth.jwks_timeout_ms", config.auth.jwks_timeout_ms),
        ("statistics.flush_ms", config.statistics.flush_ms),
        ("statistics.held_max", config.statistics.held_max as u64),
        ("reads.held_max", config.reads.held_max as u64),
        ("reads.batch_max", config.reads.batch_max as u64),
        ("reads.flush_ms", config.reads.flush_ms),
        ("reads.rows_max", u64::try_from(config.reads.rows_max).unwrap_or(0)),
        ("subscriptions.init_timeout_ms", config.subscriptions.init_timeout_ms),
        ("subscriptions.id_bytes_max", config.subscriptions.id_bytes_max as u64),
        ("subscriptions.keepalive_ms", config.subscriptions.keepalive_ms),
        ("subscriptions.buffer_max", config.subscriptions.buffer_max as u64),
        ("subscriptions.tail_batch_max", config.subscriptions.tail_batch_max as u64),
    ];
    if let Some((option, _)) = positive.iter().find(|(_, value)| *value == 0) {
        return refuse(format!("`{option}` must be at least 1"));
    }
    let bounded = [
        // One statement names each of them.
        ("stream.batch_max", config.stream.batch_max as u64, 10_000),
        // A table of SQLite has room for so many.
        ("store.spare_columns", u64::from(config.store.spare_columns), 100),
        // What is kept of a field stays small enough to be read and written as one text.
        ("statistics.values_max", config.statistics.values_max as u64, 1_000),
        ("statistics.value_bytes_max", config.statistics.value_bytes_max as u64, 1_024),
        // A dead letter remembers no more of them.
        ("provisioning.attempts_max", u64::from(config.provisioning.attempts_max), 20),
    ];
    match bounded.iter().find(|(_, value, most)| value > most) {
        Some((option, _, most)) => refuse(format!("`{option}` must be at most {most}")),
        None if (0.0..=1e6).contains(&config.store.random_page_cost) => Ok(()),
        None => refuse("`store.random_page_cost` must be from 0 to 1000000".to_owned()),
    }
}

/// Of shapes more could be stored than can be read again: what is kept nests as documents do, and rows have an end.
fn ceilings(config: &Config) -> Result<()> {
    let ceilings = [
        ("shape.locations_max", config.shape.locations_max, 20_000),
        ("shape.columns_max", config.shape.columns_max, 300),
        ("shape.depth_max", config.shape.depth_max, 40),
        ("shape.key_bytes_max", config.shape.key_bytes_max, 4_096),
        ("shape.map_keys_min", config.shape.map_keys_min, 1_024),
    ];
    if let Some((option, value, ceiling)) = ceilings.iter().find(|(_, value, ceiling)| value > ceiling) {
        return refuse(format!("`{option}` ({value}) must not be more than {ceiling}"));
    }
    Ok(())
}

fn classify(config: &Config) -> Result<()> {
    let wrong = config.shape.classify.iter().find(|rule| !rule.path.starts_with('/'));
    if let Some(rule) = wrong {
        return refuse(format!(
            "`shape.classify`: `{}` is not a path; use one such as `/total`, or `/**` for everything",
            rule.path
        ));
    }
    Ok(())
}

fn modes(config: &Config) -> Result<()> {
    let is_path = |path: &str| path.is_empty() || path.starts_with('/');
    match config.shape.modes.iter().find(|rule| !is_path(&rule.path)) {
        Some(rule) => refuse(format!(
            "`shape.modes`: `{}` is not a path; use one such as `/total`, or leave it out for the whole document",
            rule.path
        )),
        None => Ok(()),
    }
}

fn masks(config: &Config) -> Result<()> {
    let masks = &config.provisioning.masks;
    for (at, mask) in masks.iter().enumerate() {
        if masks.iter().take(at).any(|other| other.name == mask.name) || mask.name == "materialize" {
            return refuse(format!("`provisioning.masks`: the name `{}` is taken", mask.name));
        }
        if mask.fields.is_empty() {
            return refuse(format!(
                "`provisioning.masks`: `{}` has no `fields` and would copy everything as it is; name what to mask",
                mask.name
            ));
        }
        if mask.subcategory == mask.to_subcategory {
            return refuse(format!(
                "`provisioning.masks`: `{}` would feed itself; give `to_subcategory` another name",
                mask.name
            ));
        }
        let (kind, count) = mask
            .mask
            .split_once(':')
            .map_or((mask.mask.as_str(), None), |(kind, count)| (kind, Some(count.parse::<usize>().is_ok())));
        let known =
            matches!((kind, count), ("null" | "hash", None) | ("keep_first" | "keep_last", Some(true)));
        if !known {
            return refuse(format!(
                "`provisioning.masks`: `{}` is not a mask; use `null`, `hash`, `keep_first:2`, `keep_last:4`",
                mask.mask
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Classify, MaskPlugin, ModeRule};

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        check(&config).err().map(|error| error.message().to_owned()).unwrap_or_default()
    }

    #[test]
    fn the_defaults_hold() {
        assert_eq!(refused(|_| ()), "");
    }

    #[test]
    fn contradictions_are_named() {
        assert!(refused(|c| c.server.roles.clear()).contains("server.roles"));
        assert!(refused(|c| c.server.roles = vec!["api".into()]).contains("SQLite"));
        assert!(refused(|c| c.server.roles.push("king".into())).contains("`king`"));
        assert!(refused(|c| c.server.listen = "8080".into()).contains("address:port"));
        assert!(refused(|c| c.store.database_url = Some("mysql://x".into())).contains("postgres://"));
        assert!(
            refused(|c| c.store.replica_url = Some("postgres://x".into())).contains("store.database_url")
        );
        assert!(refused(|c| c.graphql.page_default = 2_000).contains("`graphql.page_max` (1000)"));
        assert!(refused(|c| c.server.bodies_bytes_max = 5).contains("`sourcing.record_bytes_max`"));
        assert!(refused(|c| c.graphql.page_default = 0).contains("at least 1"));
        assert!(refused(|c| c.shape.columns_max = 301).contains("`shape.columns_max` (301)"));
        assert!(refused(|c| c.shape.depth_max = 41).contains("not be more than 40"));
        assert!(refused(|c| c.log.format = "xml".into()).contains("`xml`"));
        assert!(refused(|c| c.statistics.examples_max = 65).contains("`statistics.values_max` (64)"));
        assert!(refused(|c| c.statistics.values_max = 1_001).contains("at most 1000"));
        let cut = "`server.idle_timeout_ms` (75000) must be more than `server.request_timeout_ms` (75000)";
        assert!(refused(|c| c.server.request_timeout_ms = 75_000).contains(cut));
        assert!(refused(|c| c.subscriptions.keepalive_ms = 75_000).contains("keepalive_ms` (75000)"));
        // PostgreSQL takes zero for no bound at all.
        assert!(refused(|c| c.store.statement_timeout_ms = 0).contains("at least 1"));
    }

    #[test]
    fn what_could_not_be_kept_to_is_refused() {
        assert_eq!(refused(|c| c.provisioning.attempts_max = 20), "");
        assert!(
            refused(|c| c.provisioning.attempts_max = 21)
                .contains("`provisioning.attempts_max` must be at most 20")
        );
        assert!(
            refused(|c| c.stream.batch_max = 40_000).contains("`stream.batch_max` must be at most 10000")
        );
    }

    #[test]
    fn what_is_classified_by_itself_is_a_path() {
        let rule = |path: &str| vec![Classify { collection: "*".into(), path: path.into() }];
        assert_eq!(refused(|c| c.shape.classify = rule("/**")), "");
        assert!(refused(|c| c.shape.classify = rule("total")).contains("`total` is not a path"));
    }

    #[test]
    fn modes_are_of_paths() {
        let rule = |path: &str| {
            vec![ModeRule { collection: "*".into(), path: path.into(), mode: crate::config::Mode::Reject }]
        };
        assert_eq!(refused(|c| c.shape.modes = [rule(""), rule("/a/b")].concat()), "");
        assert!(refused(|c| c.shape.modes = rule("total")).contains("`total` is not a path"));
    }

    #[test]
    fn mask_plugins_are_checked() {
        let mask = |name: &str, to: &str, mask: &str| MaskPlugin {
            name: name.into(),
            category: "a".into(),
            subcategory: "b".into(),
            to_subcategory: to.into(),
            fields: vec!["/x".into()],
            mask: mask.into(),
        };
        assert_eq!(refused(|c| c.provisioning.masks = vec![mask("m", "c", "keep_last:4")]), "");
        let bare = MaskPlugin { fields: Vec::new(), ..mask("m", "c", "hash") };
        assert!(refused(|c| c.provisioning.masks = vec![bare]).contains("no `fields`"));
        assert!(refused(|c| c.provisioning.masks = vec![mask("m", "b", "hash")]).contains("feed itself"));
        assert!(refused(|c| c.provisioning.masks = vec![mask("m", "c", "blur")]).contains("`blur`"));
        let twice = vec![mask("m", "c", "hash"), mask("m", "d", "hash")];
        assert!(refused(|c| c.provisioning.masks = twice).contains("taken"));
    }
}
