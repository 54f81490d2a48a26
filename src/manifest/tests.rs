//! What Model.toml may say.
