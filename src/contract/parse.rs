//! Contracts from the text of a file, TOML or JSON. Must not judge what they say.

use super::terms::Contract;
use crate::error::{Code, Error, Result};

/// Reads the text of a contract, which is JSON when it begins with `{` and TOML otherwise.
///
/// # Errors
/// `TOO_LARGE` beyond `bytes_max`, `UNPROCESSABLE` with line and column.
pub fn parse(text: &str, bytes_max: usize) -> Result<Contract> {
    if text.len() > bytes_max {
        let text = format!("a contract has at most {bytes_max} bytes: `contracts.text_bytes_max`");
        return Err(Error::new(Code::TooLarge, text));
    }
    let read: std::result::Result<Contract, String> = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        toml::from_str(text).map_err(|error| error.to_string())
    };
    read.map_err(|reason| {
        Error::new(Code::Unprocessable, format!("the contract cannot be read: {}", reason.trim_end()))
    })
}
