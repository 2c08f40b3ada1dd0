//! Actors as people write them down. Must not ask the engine anything.

use serde_json::{Map, Value};

use crate::record::Actor;

/// Who is written as `subject`, `roles` and each claim beside them.
///
/// # Errors
/// What is wrong with it.
pub fn actor(members: Map<String, Value>) -> Result<Actor, String> {
    for (wrong, right) in [("sub", "subject"), ("role", "roles"), ("claims", "each claim")] {
        if members.contains_key(wrong) {
            return Err(format!(
                "there is no `{wrong}`; write `subject`, `roles` and each claim beside them: {right}"
            ));
        }
    }
    let subject = match members.get("subject") {
        None => Actor::anonymous().subject,
        Some(Value::String(subject)) => subject.clone(),
        Some(_) => return Err("`subject` is a text".to_owned()),
    };
    let text = |role: &Value| role.as_str().map(str::to_owned);
    let roles = match members.get("roles") {
        None => Some(Vec::new()),
        Some(Value::Array(roles)) => roles.iter().map(text).collect(),
        Some(_) => None,
    };
    let roles = roles.ok_or_else(|| "`roles` is a list of texts".to_owned())?;
    Ok(Actor { subject, roles, claims: members, contract: None, key: None })
}
