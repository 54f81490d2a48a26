//! Files of an index: git.
