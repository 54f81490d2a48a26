//! Making a lock.
