//! What locked releases hold: statements and file lists.
