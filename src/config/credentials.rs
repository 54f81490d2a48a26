//! credentials.toml: tokens by host, written by `mpm login` (docs/formats/credentials.md).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::config::parse::{MAX_FILE, host, token};
use crate::config::{ConfigError, Secret};
use crate::model::tables::Source;

/// Parses the file; `path` is for messages.
///
/// # Errors
/// `E0351` to `E0354`, never with the text of a line.
pub fn parse_credentials(text: &str, path: &str) -> Result<BTreeMap<String, Secret>, ConfigError> {
    let source = Source::secret(path, text);
    let mut top = source.parse(MAX_FILE)?;
    let mut tokens = BTreeMap::new();
    if let Some(value) = top.take("tokens") {
        for (name, value) in value.table()?.into_entries() {
            let host = host(&name).map_err(|rule| value.refused(rule))?;
            tokens.insert(host, value.parse(token)?);
        }
    }
    top.finish(&["tokens"])?;
    Ok(tokens)
}

/// The file's text. Hosts and tokens hold nothing that TOML would have to escape.
pub fn render_credentials(tokens: &BTreeMap<String, Secret>) -> String {
    let mut text = "# Written by `mpm login`. Each token is sent to its host alone.\n\n[tokens]\n".to_owned();
    for (host, token) in tokens {
        // Writing into a text can't fail.
        let _ = writeln!(text, "{host:?} = {:?}", token.expose());
    }
    text
}

/// A host, or `host:port`, in lower case, as tokens are bound to it.
pub fn parse_host(text: &str) -> Option<String> {
    host(text).ok()
}

/// A token that a header can carry.
pub fn parse_token(text: &str) -> Option<Secret> {
    token(text).ok()
}
