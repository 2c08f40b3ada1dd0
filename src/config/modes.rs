//! What is done about what records uncover: the modes of collections, and the rules that set them.

use serde::{Deserialize, Serialize};

/// What is done about new fields and wider types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// They are published.
    Open,
    /// Nothing is published: values that do not fit are rescued.
    Rescue,
    /// They wait for a steward; until then as `Rescue`.
    Review,
    /// A document that does not fit is refused at the door.
    Reject,
}

impl Mode {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Open => "OPEN",
            Mode::Rescue => "RESCUE",
            Mode::Review => "REVIEW",
            Mode::Reject => "REJECT",
        }
    }

    /// The mode of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        [Mode::Open, Mode::Rescue, Mode::Review, Mode::Reject].into_iter().find(|mode| mode.name() == name)
    }
}

/// The mode of a path for which nobody has decided one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeRule {
    /// The collection's name as its query field has it; `*` is any text within it.
    pub collection: String,
    /// The path as `shape { fields { path } }` tells it, with all below; empty is the whole document.
    #[serde(default)]
    pub path: String,
    /// The mode: `open`, `rescue`, `review` or `reject`.
    pub mode: Mode,
}
