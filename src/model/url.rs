//! Addresses that never show a credential.

use std::fmt;

/// A URL whose user part and query never reach output.
#[derive(Clone, PartialEq, Eq)]
pub struct SafeUrl(url::Url);

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It does not parse.
    #[error("the address does not parse: {0}")]
    Parse(#[from] url::ParseError),
    /// It carries a user name or password.
    #[error("an address must not carry credentials: put them into the user configuration")]
    Credentials,
}

impl SafeUrl {
    /// Parses an absolute URL.
    ///
    /// # Errors
    /// A text that is no URL, or one with credentials in it.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = url::Url::parse(text)?;
        // The user part of an ssh address names an account and is no secret; a password is.
        if url.password().is_some() || (!url.username().is_empty() && url.scheme() != "ssh") {
            return Err(UrlError::Credentials);
        }
        Ok(Self(url))
    }

    /// The URL for the client that opens it.
    pub fn inner(&self) -> &url::Url {
        &self.0
    }

    /// Resolves a reference against this URL taken as a folder.
    ///
    /// # Errors
    /// A reference that does not parse or carries credentials.
    pub fn below(&self, reference: &str) -> Result<Self, UrlError> {
        let mut folder = self.0.clone();
        if !folder.path().ends_with('/') {
            let path = format!("{}/", folder.path());
            folder.set_path(&path);
        }
        Self::parse(folder.join(reference)?.as_str())
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if shown.query().is_some() {
            shown.set_query(Some("…"));
        }
        shown.set_fragment(None);
        write!(f, "{shown}")
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafeUrl({self})")
    }
}
