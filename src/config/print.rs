//! Prints the effective configuration as TOML, every option under its sentence, secrets left out.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Config, SECTIONS};
use crate::error::{Error, Result};

/// The effective configuration as a `wellspring.toml`. Passwords in URLs are not printed.
///
/// # Errors
/// Only when a value cannot be written as text.
pub fn print(config: &Config) -> Result<String> {
    let values = serde_json::to_value(config).map_err(Error::internal)?;
    let mut out = String::new();
    for (section, options) in SECTIONS {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "[{section}]");
        for (option, sentence) in *options {
            let _ = writeln!(out, "# {}", sentence.trim());
            match values.get(section).and_then(|s| s.get(option)) {
                None | Some(Value::Null) => {
                    let _ = writeln!(out, "# {option} =");
                }
                Some(Value::String(text)) if option.ends_with("_url") => {
                    let _ = writeln!(out, "{option} = {}", Value::String(without_password(text)));
                }
                Some(value) => {
                    let _ = writeln!(out, "{option} = {}", toml(value));
                }
            }
        }
    }
    Ok(out)
}

/// A URL with its password, and the parameters that may hold one, replaced.
fn without_password(text: &str) -> String {
    let Ok(mut url) = url::Url::parse(text) else { return "***".into() };
    if url.password().is_some() {
        let _ = url.set_password(Some("***"));
    }
    if url.query_pairs().any(|(name, _)| name.to_ascii_lowercase().contains("password")) {
        url.set_query(Some("***"));
    }
    url.to_string()
}

fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            let pairs = members.map(|(name, value)| format!("{name} = {}", toml(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;
    use crate::config;

    #[test]
    fn every_option_has_a_sentence_and_the_print_loads_again() {
        let mut config = Config::default();
        config.provisioning.masks.push(config::MaskPlugin {
            name: "m".into(),
            category: "a".into(),
            subcategory: "b".into(),
            to_subcategory: "c".into(),
            fields: vec!["/x".into()],
            mask: "hash".into(),
        });
        config.shape.exposure = config::Exposure::Guarded;
        config.shape.classify.push(config::Classify { collection: "a*".into(), path: "/**".into() });
        let mode = config::Mode::Review;
        config.shape.modes.push(config::ModeRule { collection: "b".into(), path: "/n".into(), mode });
        let issuer = serde_json::json!({
            "issuer": "https://id", "audiences": ["w"], "jwks_url": "https://id/keys", "roles": ["consumer"],
            "claims": {"region": "/region", "tier": {"from": "tier", "default": "free"}}, "claims_from": "",
        });
        config.auth.issuers.push(serde_json::from_value(issuer).unwrap());
        let text = print(&config).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        assert_eq!(config::load(Some(file.path()), Vec::new(), &[]).unwrap(), config);
        let values = serde_json::to_value(&config).unwrap();
        let sections: Vec<_> = values.as_object().unwrap().keys().map(String::as_str).collect();
        for section in &sections {
            let listed = SECTIONS.iter().find(|(name, _)| name == section).unwrap().1;
            let fields = values.get(section).unwrap().as_object().unwrap();
            assert!(fields.keys().all(|field| listed.iter().any(|(name, _)| name == field)), "{section}");
            assert!(listed.iter().all(|(_, sentence)| sentence.trim().ends_with('.')), "{section}");
        }
        assert_eq!(sections.len(), SECTIONS.len());
    }

    #[test]
    fn passwords_are_not_printed() {
        let mut config = Config::default();
        config.store.database_url = Some("postgres://me:geheim@h/d".into());
        config.stream.redis_url = Some("redis://:geheim@h".into());
        let text = print(&config).unwrap();
        assert!(!text.contains("geheim"), "{text}");
        assert!(text.contains("postgres://me:***@h/d"), "{text}");
    }
}
