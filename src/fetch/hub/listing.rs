//! Which commit a revision is, and what files it has.

use crate::fetch::hub::{Hub, HubFetchError};
use crate::hub::{HubError, Listing, MAX_FILES, MAX_INFO, MAX_PAGE, next_query, parse_commit, parse_tree};
use crate::model::{HubCommit, HubId, PathSet, SafeUrl, UrlError};

/// Most pages of one listing: the hub puts 1,000 entries on one, folders among them.
const MAX_PAGES: usize = 10_000;

impl Hub<'_> {
    /// The commit that a revision names now. A full commit is taken at its word: its listing shows whether it is there.
    ///
    /// # Errors
    /// `E0671` to `E0674`, and those of the HTTP client.
    pub fn commit(&self, id: &HubId) -> Result<HubCommit, HubFetchError> {
        if let Some(commit) = id.revision.commit() {
            return Ok(commit);
        }
        let url = address(id, self.endpoint.revision(id))?;
        Ok(parse_commit(id, &self.ask(id, &url, MAX_INFO)?.body)?)
    }

    /// All files of a commit, sorted.
    ///
    /// # Errors
    /// `E0671` to `E0675`, and those of the HTTP client.
    pub fn listing(&self, id: &HubId, commit: HubCommit) -> Result<Listing, HubFetchError> {
        let (mut files, mut query, mut pages) = (Vec::new(), None, 0);
        loop {
            let url = address(id, self.endpoint.tree(id, &commit, query.as_deref()))?;
            let reply = self.ask(id, &url, MAX_PAGE)?;
            files.extend(parse_tree(id, &reply.body)?);
            pages += 1;
            if files.len() > MAX_FILES || pages > MAX_PAGES {
                return Err(HubError::Count { id: id.clone(), found: files.len() }.into());
            }
            match reply.link.as_deref().and_then(next_query) {
                Some(next) if query.as_ref() != Some(&next) => query = Some(next),
                Some(_) => {
                    let problem = "a page of its listing leads to itself".to_owned();
                    return Err(HubError::Strange { id: id.clone(), problem }.into());
                }
                None => break,
            }
        }
        if files.is_empty() {
            return Err(HubError::Count { id: id.clone(), found: 0 }.into());
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        let mut paths = PathSet::new();
        for file in &files {
            paths.insert(&file.path).map_err(|source| HubError::Path { id: id.clone(), source })?;
        }
        Ok(Listing { commit, files })
    }
}

/// An address made of checked words.
pub(super) fn address(id: &HubId, url: Result<SafeUrl, UrlError>) -> Result<SafeUrl, HubFetchError> {
    url.map_err(|error| HubError::Strange { id: id.clone(), problem: error.to_string() }.into())
}
