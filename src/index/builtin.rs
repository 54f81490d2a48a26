//! Files of an index: builtin.
