//! Which commit a revision is, and what files it has.

use crate::fetch::hub::{Hub, HubFetchError};
use crate::hub::{HubError, Listing, MAX_FILES, MAX_INFO, MAX_PAGE, Pages, parse_commit, parse_tree};
use crate::model::{HubCommit, HubId, SafeUrl, UrlError};

impl Hub<'_> {
    /// The commit that a revision names now. A full commit names itself: a branch may be called like one, and moves.
    ///
    /// # Errors
    /// `E0671` to `E0674`, and those of the HTTP client.
    pub fn commit(&self, id: &HubId) -> Result<HubCommit, HubFetchError> {
        let url = address(id, self.endpoint.revision(id))?;
        let found = parse_commit(id, &self.ask(id, &url, MAX_INFO)?.body)?;
        match id.revision.commit() {
            Some(asked) if asked != found => {
                let problem = format!("asked for the commit {asked} it names {found}, as for a branch of that name");
                Err(HubError::Strange { id: id.clone(), problem }.into())
            }
            _ => Ok(found),
        }
    }

    /// All files of a commit, sorted.
    ///
    /// # Errors
    /// `E0671` to `E0675`, and those of the HTTP client.
    pub fn listing(&self, id: &HubId, commit: HubCommit) -> Result<Listing, HubFetchError> {
        let (mut files, mut query, mut pages) = (Vec::new(), None, Pages::default());
        loop {
            let url = address(id, self.endpoint.tree(id, &commit, query.as_deref()))?;
            let reply = self.ask(id, &url, MAX_PAGE)?;
            files.extend(parse_tree(id, &reply.body)?);
            if files.len() > MAX_FILES {
                return Err(HubError::Count { id: id.clone(), found: files.len() }.into());
            }
            match pages.after(id, reply.link.as_deref())? {
                Some(next) => query = Some(next),
                None => return Ok(Listing::new(id, commit, files)?),
            }
        }
    }
}

/// An address made of checked words.
pub(super) fn address(id: &HubId, url: Result<SafeUrl, UrlError>) -> Result<SafeUrl, HubFetchError> {
    url.map_err(|error| HubError::Strange { id: id.clone(), problem: error.to_string() }.into())
}
