//! Leases: locks that do not trust flock. A created file with host, process, boot id, nonce and heartbeat.

use std::path::Path;
use std::time::Duration;

use crate::diagnose::{Class, Code, Diagnose};

/// A held lease; dropping it gives it up.
#[derive(Debug)]
pub struct Lease {
    path: std::path::PathBuf,
}

/// Why a lease can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for LeaseError {
    fn code(&self) -> Code {
        Code("E0171")
    }
    fn class(&self) -> Class {
        Class::Busy
    }
}

impl Lease {
    /// Takes the lease at `path`, waiting at most `wait`. `waiting` is told once who holds it. A lease whose process is
    /// dead on this host and boot, or whose heartbeat stands still, is taken over.
    ///
    /// # Errors
    /// It was held too long, or its folder can't be written.
    pub fn take(path: &Path, wait: Duration, waiting: &dyn Fn(&str)) -> Result<Self, LeaseError> {
        todo!()
    }
}
