//! The files of the registry that is compiled in, sorted by path. Written by a program; not edited by hand.

/// Fingerprint of its first root.
pub(super) const ROOT: &str = "";

/// Paths and bytes.
pub(super) static FILES: &[(&str, &[u8])] = &[];
