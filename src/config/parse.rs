//! The grammar of config.toml.

use crate::config::{Config, ConfigError};

/// Parses a configuration file; `path` is for messages.
///
/// # Errors
/// Syntax and unknown keys, with line and column.
pub fn parse(text: &str, path: &str) -> Result<Config, ConfigError> {
    todo!()
}
