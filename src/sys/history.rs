//! A project's own history: one file at one revision of the git repository that holds it. Nothing is run, nothing fetched.

use std::path::Path;

/// Why a file of the past can't be had.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct HistoryError {
    /// What git says, in words.
    pub problem: String,
}

/// The bytes of `path` (absolute, in the work tree) at `revision`, at most `cap` of them; `None`: it was not there.
///
/// # Errors
/// No repository, an unknown revision, or a file that is larger.
pub fn file_at(path: &Path, revision: &str, cap: u64) -> Result<Option<Vec<u8>>, HistoryError> {
    let fail = |problem: String| HistoryError { problem };
    let folder = path.parent().unwrap_or(path);
    let mut repository = gix::discover::upwards(folder)
        .map_err(|_| fail("the project is in no git repository".to_owned()))
        .and_then(|(found, _)| {
            gix::open_opts(found.into_repository_and_work_tree_directories().0, gix::open::Options::isolated())
                .map_err(|error| fail(error.to_string()))
        })?;
    repository.object_cache_size(None);
    let root = repository.workdir().ok_or_else(|| fail("the repository has no work tree".to_owned()))?;
    let root = root.canonicalize().map_err(|error| fail(error.to_string()))?;
    let folder = folder.canonicalize().map_err(|error| fail(error.to_string()))?;
    let relative =
        folder.strip_prefix(&root).map_err(|_| fail("the project lies outside its repository".to_owned()))?;
    let relative = relative.join(path.file_name().unwrap_or_default());
    let object = repository
        .rev_parse_single(revision)
        .map_err(|_| fail("git knows no such revision".to_owned()))?
        .object()
        .map_err(|error| fail(error.to_string()))?;
    let commit = object.peel_to_commit().map_err(|_| fail("it is no commit".to_owned()))?;
    let tree = commit.tree().map_err(|error| fail(error.to_string()))?;
    let entry = tree.lookup_entry_by_path(&relative).map_err(|error| fail(error.to_string()))?;
    let Some(entry) = entry.filter(|entry| entry.mode().is_blob()) else { return Ok(None) };
    let header = repository.find_header(entry.object_id()).map_err(|error| fail(error.to_string()))?;
    if header.size() > cap {
        return Err(fail(format!("{} bytes are more than {cap}", header.size())));
    }
    let object = entry.object().map_err(|error| fail(error.to_string()))?;
    Ok(Some(object.data.clone()))
}
