//! What is placed where.
