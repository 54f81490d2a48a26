//! Files of an index: sparse.
