//! Puts the configuration together: defaults, then the file, then the environment, then the command line.
//! What is not known is refused with the nearest name that is. Must not read the environment by itself.

use std::path::Path;

use figment::{
    Figment,
    providers::{Format, Serialized, Toml},
};
use serde_json::{Map, Value};

use super::{Config, SECTIONS, check::check};
use crate::error::{Code, Error, Result};

/// What stands before the name of every option in the environment.
const PREFIX: &str = "WELLSPRING_";

/// Loads the configuration. `file` must exist when it is given; `environment` is the process's, only
/// `WELLSPRING_…` is looked at; `overrides` are `section.option` and value from the command line.
///
/// # Errors
/// `BAD_REQUEST` that names the option and where it was set.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[(&str, String)],
) -> Result<Config> {
    let defaults = serde_json::to_value(Config::default()).map_err(Error::internal)?;
    let mut figment = Figment::from(Serialized::defaults(&defaults));
    if let Some(file) = file {
        let text = std::fs::read_to_string(file)
            .map_err(|error| bad(format!("`{}` cannot be read: {error}; check --config", file.display())))?;
        let values: Value = Figment::from(Toml::string(&text))
            .extract()
            .map_err(|error| bad(format!("`{}`: {error}", file.display())))?;
        known(&values, &format!("`{}`", file.display()))?;
        figment = figment.merge(Toml::string(&text));
    }
    let environment = from_environment(environment, &defaults)?;
    let overrides = from_command_line(overrides, &defaults)?;
    let config: Config = figment
        .merge(Serialized::defaults(environment))
        .merge(Serialized::defaults(overrides))
        .extract()
        .map_err(|error| bad(explain(&error)))?;
    check(&config)?;
    Ok(config)
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(Code::BadRequest, message)
}

fn explain(error: &figment::Error) -> String {
    let each = error.clone().into_iter().map(|one| {
        let option = one.path.join(".");
        format!("`{option}`: {}", one.kind)
    });
    each.collect::<Vec<_>>().join("; ")
}

/// Refuses sections and options that do not exist.
fn known(values: &Value, origin: &str) -> Result<()> {
    let Some(sections) = values.as_object() else { return Ok(()) };
    for (section, options) in sections {
        let Some((_, names)) = SECTIONS.iter().find(|(name, _)| name == section) else {
            if let Some(right) = section_of(section) {
                return Err(bad(format!("{origin}: `{section}` is an option; write `[{right}]` above it")));
            }
            let nearest = nearest(section, SECTIONS.iter().map(|(name, _)| *name));
            return Err(bad(format!("{origin}: there is no section `{section}`{nearest}")));
        };
        let Some(options) = options.as_object() else {
            return Err(bad(format!(
                "{origin}: `{section}` is a section; write `[{section}]` above its options"
            )));
        };
        for option in options.keys() {
            if !names.iter().any(|(name, _)| name == option) {
                let nearest = nearest(option, names.iter().map(|(name, _)| *name));
                return Err(bad(format!("{origin}: there is no option `{section}.{option}`{nearest}")));
            }
        }
    }
    Ok(())
}

/// The first section that has an option of this name.
fn section_of(option: &str) -> Option<&'static str> {
    SECTIONS
        .iter()
        .find(|(_, options)| options.iter().any(|(name, _)| *name == option))
        .map(|(name, _)| *name)
}

fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    names
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .min()
        .map(|(_, name)| format!("; the nearest is `{name}`"))
        .unwrap_or_default()
}

fn from_environment(
    environment: impl IntoIterator<Item = (String, String)>,
    defaults: &Value,
) -> Result<Value> {
    let mut layer = Value::Object(Map::new());
    for (name, text) in environment {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        if path == "CRASH_AT" {
            put(&mut layer, "store", "crash_at", Value::String(text));
            continue;
        }
        let path = path.to_ascii_lowercase();
        let Some((section, option)) = path.split_once("__") else {
            // Other variables may begin alike; one that is an option's bare name is a mistake.
            if let Some(section) = section_of(&path) {
                let right =
                    format!("{PREFIX}{}__{}", section.to_ascii_uppercase(), path.to_ascii_uppercase());
                return Err(bad(format!("`{name}` is not an option; it is set as `{right}`")));
            }
            continue;
        };
        let value = typed(defaults, section, option, &text)
            .ok_or_else(|| bad(format!("`{name}`: `{text}` is not a value of this option")))?;
        put(&mut layer, section, option, value);
        known(&layer, &format!("`{name}`"))?;
    }
    Ok(layer)
}

fn from_command_line(overrides: &[(&str, String)], defaults: &Value) -> Result<Value> {
    let mut layer = Value::Object(Map::new());
    for (path, text) in overrides {
        let (section, option) = path.split_once('.').unwrap_or((path, ""));
        let value = typed(defaults, section, option, text)
            .ok_or_else(|| bad(format!("`{text}` is not a value of `{path}`")))?;
        put(&mut layer, section, option, value);
    }
    known(&layer, "the command line")?;
    Ok(layer)
}

fn put(layer: &mut Value, section: &str, option: &str, value: Value) {
    let Some(root) = layer.as_object_mut() else { return };
    let section = root.entry(section).or_insert_with(|| Value::Object(Map::new()));
    if let Some(section) = section.as_object_mut() {
        section.insert(option.to_owned(), value);
    }
}

/// A text as the type that the option's default has; an option without a default is text.
fn typed(defaults: &Value, section: &str, option: &str, text: &str) -> Option<Value> {
    match defaults.get(section).and_then(|s| s.get(option)) {
        Some(Value::Number(_)) => text.replace('_', "").parse::<i64>().ok().map(Value::from),
        Some(Value::Bool(_)) => text.parse::<bool>().ok().map(Value::from),
        Some(Value::Array(_)) if text.trim_start().starts_with('[') => serde_json::from_str(text).ok(),
        Some(Value::Array(_)) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        _ => Some(Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn later_layers_win() {
        let file = file("[server]\nlisten = \"0.0.0.0:1\"\nrequests_max = 7\n[log]\nformat = \"json\"\n");
        let env = env(&[
            ("WELLSPRING_SERVER__LISTEN", "0.0.0.0:2"),
            ("WELLSPRING_STORE__DATA", "123"),
            ("WELLSPRING_CRASH_AT", "after-claim"),
            ("PATH", "x"),
        ]);
        let config = load(Some(file.path()), env, &[("server.listen", "0.0.0.0:3".into())]).unwrap();
        assert_eq!(config.server.listen, "0.0.0.0:3");
        assert_eq!(config.server.requests_max, 7);
        assert_eq!(config.log.format, "json");
        assert_eq!(config.store.data, Path::new("123"));
        assert_eq!(config.store.crash_at.as_deref(), Some("after-claim"));
    }

    #[test]
    fn lists_are_comma_separated_in_the_environment() {
        let env = env(&[
            ("WELLSPRING_SERVER__ROLES", "api, worker"),
            ("WELLSPRING_STORE__DATABASE_URL", "postgres://u@h/d"),
        ]);
        let config = load(None, env, &[]).unwrap();
        assert_eq!(config.server.roles, ["api", "worker"]);
        assert!(!config.has_role("relay"));
    }

    #[test]
    fn unknown_names_are_refused_with_the_nearest() {
        let file = file("[server]\nlisen = \"0.0.0.0:1\"\n");
        let error = load(Some(file.path()), env(&[]), &[]).unwrap_err();
        assert!(error.message().contains("`server.lisen`; the nearest is `listen`"), "{error}");
        let bare = self::file("listen = \"0.0.0.0:1\"\n");
        let error = load(Some(bare.path()), env(&[]), &[]).unwrap_err();
        assert!(error.message().contains("`listen` is an option; write `[server]` above it"), "{error}");
        let error = load(None, env(&[("WELLSPRING_SERVR__LISTEN", "x")]), &[]).unwrap_err();
        assert!(error.message().contains("`servr`; the nearest is `server`"), "{error}");
        let error = load(None, env(&[("WELLSPRING_LISTEN", "x")]), &[]).unwrap_err();
        assert!(error.message().contains("`WELLSPRING_SERVER__LISTEN`"), "{error}");
        assert!(load(None, env(&[("WELLSPRING_SOMETHING", "x")]), &[]).is_ok());
    }

    #[test]
    fn wrong_types_name_the_option() {
        let file = file("[server]\nrequests_max = \"many\"\n");
        let error = load(Some(file.path()), env(&[]), &[]).unwrap_err();
        assert!(error.message().contains("`server.requests_max`"), "{error}");
        let error = load(None, env(&[("WELLSPRING_SERVER__REQUESTS_MAX", "many")]), &[]).unwrap_err();
        assert!(error.message().contains("WELLSPRING_SERVER__REQUESTS_MAX"), "{error}");
    }
}
