//! Which files a folder holds. Nothing is skipped in silence but `.git` and `.mpm`.

use std::path::{Path, PathBuf};

use crate::model::RelPath;
use crate::publish::PublishError;
use crate::sys::files::{self, Kind};

/// Deepest folder: what is deeper has no path that may be published either.
const MAX_DEPTH: usize = 32;

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// Its path below the folder.
    pub path: RelPath,
    /// Where it is.
    pub file: PathBuf,
}

/// The files below a folder, in path order.
///
/// # Errors
/// `E0851` to `E0854`: what can't be read, is no regular file, or has a name that can't travel.
pub fn gather(folder: &Path) -> Result<Vec<Gathered>, PublishError> {
    let mut found = Vec::new();
    if folder.symlink_metadata().is_ok_and(|there| there.is_symlink()) {
        return Err(PublishError::NotRegular { path: folder.to_owned(), what: "a symlink" });
    }
    let mut waiting = vec![(folder.to_owned(), String::new(), 0_usize)];
    while let Some((place, below, depth)) = waiting.pop() {
        let entries = files::list(&place).map_err(|source| PublishError::File { path: place.clone(), source })?;
        for (name, kind) in entries {
            let file = place.join(&name);
            if name == ".git" || name == ".mpm" {
                continue;
            }
            let path = format!("{below}{}", name.to_string_lossy());
            match kind {
                Kind::Folder if depth < MAX_DEPTH => waiting.push((file, format!("{path}/"), depth + 1)),
                // A name that is no Unicode shows as one with replacement characters: its bytes would not come back.
                Kind::File | Kind::Folder => {
                    let text = if name.to_str().is_some() { path } else { format!("{path}\0") };
                    let parsed = RelPath::parse(&text);
                    let path = parsed.map_err(|source| PublishError::Path { path: file.clone(), source })?;
                    found.push(Gathered { path, file });
                }
                Kind::Symlink => return Err(PublishError::NotRegular { path: file, what: "a symlink" }),
                Kind::Other => return Err(PublishError::NotRegular { path: file, what: "a pipe, socket or device" }),
            }
        }
    }
    if found.is_empty() {
        return Err(PublishError::Empty { folder: folder.to_owned() });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
