//! Files of an index: folder.
