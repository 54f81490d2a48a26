//! The four ways to get a file of an index.

use crate::diagnose::{Class, Code, Diagnose};

/// Whether a copy that may be old will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The file never changes: named by hash or number.
    Immutable,
    /// It changes: ask whether it did.
    Revalidate,
    /// Ask past every cache.
    PastCaches,
}

/// A way to get files of an index.
pub trait Origin: Send + Sync {
    /// The file at a path, if it is there and no larger than `cap`.
    ///
    /// # Errors
    /// The place can't be reached, or the file is larger.
    fn get(&self, path: &str, cap: u64, freshness: Freshness) -> Result<Option<Vec<u8>>, OriginError>;

    /// Many at once, in parallel where that helps; answers in order.
    ///
    /// # Errors
    /// The first that fails.
    fn get_many(&self, paths: &[(String, u64)], freshness: Freshness) -> Result<Vec<Option<Vec<u8>>>, OriginError> {
        paths.iter().map(|(path, cap)| self.get(path, *cap, freshness)).collect()
    }

    /// What to call it in messages; no credentials.
    fn describe(&self) -> String;
}

/// Why a file can't be had.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for OriginError {
    fn code(&self) -> Code {
        Code("E0141")
    }
    fn class(&self) -> Class {
        Class::Network
    }
}
