//! Addresses of a hub's interface.

use crate::model::{HubCommit, HubId, PackageKind, RelPath, SafeUrl, UrlError};

/// Where a hub answers: the hub itself, or whatever `HF_ENDPOINT` names instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(SafeUrl);

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no address, or carries credentials.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// It has a query or another scheme.
    #[error("an endpoint is an https or http address without a query")]
    Form,
}

impl Endpoint {
    /// Parses an address; it may have a path below which the interface lies.
    ///
    /// # Errors
    /// A text that is no address, or one with credentials, a query or another scheme than http or https.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let url = SafeUrl::parse(text.trim_end_matches('/'))?;
        let plain = url.inner().query().is_none() && url.inner().fragment().is_none();
        let good = plain && matches!(url.inner().scheme(), "https" | "http");
        if good { Ok(Self(url)) } else { Err(EndpointError::Form) }
    }

    /// The address.
    pub fn url(&self) -> &SafeUrl {
        &self.0
    }

    /// `host` or `host:port`: what a token is bound to.
    pub fn host(&self) -> String {
        let url = self.0.inner();
        let host = url.host_str().unwrap_or_default();
        url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// What a repository is at a revision: it names the commit.
    ///
    /// # Errors
    /// None in practice: the parts are checked words.
    pub fn revision(&self, id: &HubId) -> Result<SafeUrl, UrlError> {
        self.below(["api", plural(id.kind)], &id.repository_parts(), &["revision", id.revision.as_str()], None)
    }

    /// The files of a commit; `query` from an earlier page asks for the next one.
    ///
    /// # Errors
    /// As for [`Endpoint::revision`].
    pub fn tree(&self, id: &HubId, commit: &HubCommit, query: Option<&str>) -> Result<SafeUrl, UrlError> {
        let query = query.unwrap_or("recursive=true&expand=false");
        self.below(["api", plural(id.kind)], &id.repository_parts(), &["tree", commit.as_str()], Some(query))
    }

    /// The bytes of one file.
    ///
    /// # Errors
    /// As for [`Endpoint::revision`].
    pub fn file(&self, id: &HubId, commit: &HubCommit, path: &RelPath) -> Result<SafeUrl, UrlError> {
        let mut rest = vec!["resolve", commit.as_str()];
        rest.extend(path.components());
        match id.kind {
            PackageKind::Model => self.below([], &id.repository_parts(), &rest, None),
            PackageKind::Dataset => self.below(["datasets"], &id.repository_parts(), &rest, None),
        }
    }

    /// The page on which a person sees the repository and asks for access.
    pub fn page(&self, id: &HubId) -> String {
        let folder = if id.kind == PackageKind::Dataset { "datasets/" } else { "" };
        format!("{}/{folder}{}", self.0.to_string().trim_end_matches('/'), id.repository)
    }

    fn below<const N: usize>(
        &self,
        first: [&str; N],
        repository: &[&str],
        rest: &[&str],
        query: Option<&str>,
    ) -> Result<SafeUrl, UrlError> {
        let mut url = self.0.inner().clone();
        // Parts are escaped one by one: a revision with a slash stays one part, as the hub wants it.
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(first).extend(repository).extend(rest);
        }
        url.set_query(query);
        SafeUrl::parse(url.as_str())
    }
}

impl HubId {
    fn repository_parts(&self) -> Vec<&str> {
        self.repository.as_str().split('/').collect()
    }
}

fn plural(kind: PackageKind) -> &'static str {
    match kind {
        PackageKind::Model => "models",
        PackageKind::Dataset => "datasets",
    }
}
