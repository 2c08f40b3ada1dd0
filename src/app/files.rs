//! Files that are read again and again while the node runs, each bounded. Must not know what is in them.

use std::path::Path;

use tokio::io::AsyncReadExt as _;

use crate::error::{Error, Result};

/// The bytes of a file, at most as many as the option says.
///
/// # Errors
/// `BAD_REQUEST` when it cannot be read, or has more.
pub(super) async fn read(path: &Path, bytes_max: usize, option: &str) -> Result<Vec<u8>> {
    let unreadable = |error: std::io::Error| Error::bad_request(format!("it cannot be read: {error}"));
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let mut text = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut text).await.map_err(unreadable)?;
    bounded(&text, bytes_max, option)?;
    Ok(text)
}

/// Refuses what is longer than the option says.
///
/// # Errors
/// `BAD_REQUEST`
pub(super) fn bounded(text: &[u8], bytes_max: usize, option: &str) -> Result<()> {
    if text.len() > bytes_max {
        return Err(Error::bad_request(format!("it has more than {bytes_max} bytes (`{option}`)")));
    }
    Ok(())
}
