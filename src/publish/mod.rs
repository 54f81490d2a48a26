//! A folder into a release: files gathered, classified, hashed, stated and signed.

use crate::diagnose::{Class, Code, Diagnose};

/// Why a folder can't be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for PublishError {
    fn code(&self) -> Code {
        Code("E0851")
    }
    fn class(&self) -> Class {
        Class::Yours
    }
}
