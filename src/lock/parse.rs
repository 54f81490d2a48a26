//! Reading Model.lock, conflict markers included.

use crate::lock::{Found, LockError};

pub(super) fn parse(text: &str) -> Result<Found, LockError> {
    todo!()
}
