//! The texts of policies as they stand in a directory, or in the program. Must not know what they say.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use crate::error::{Code, Error, Result};
use crate::policy::text::File;

/// The policy that is in force when there are no files.
const BASE: &str = include_str!("../../policies/base.polar");

/// The embedded base.
pub(super) fn base_files() -> Vec<File> {
    vec![File { name: "policies/base.polar".into(), text: BASE.into() }]
}

/// Whether nothing at all has this name: what is there and cannot be read must not look like that.
pub(super) fn is_absent(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// The `*.polar` files of a directory in the order of their names.
///
/// # Errors
/// `UNPROCESSABLE` when there is none, or one cannot be read.
pub(super) fn read_files(directory: &Path) -> Result<Vec<File>> {
    let shown = directory.display();
    let unreadable = |cause: std::io::Error| {
        Error::new(
            Code::Unprocessable,
            format!("the policy directory `{shown}` cannot be read; check `policy.directory`"),
        )
        .with_cause(cause)
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "polar") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        let text =
            format!("there is no `*.polar` file in `{shown}`; put one there or take the directory away");
        return Err(Error::new(Code::Unprocessable, text));
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        Ok(File { name: path.display().to_string().into(), text: text.into() })
    };
    paths.into_iter().map(read).collect()
}

/// A short code of these texts and the names of their files, wherever they stand: 16 hex digits of their SHA-256.
pub(super) fn fingerprint(files: &[File]) -> Arc<str> {
    let mut hash = Sha256::new();
    for file in files {
        let name = file.name.rsplit(['/', '\\']).next().unwrap_or_default();
        for part in [name, &file.text] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    crate::record::hex(hash.finalize().iter().take(8)).into()
}
