//! User and site configuration, with the origin of each setting (docs/formats/config.md).
//!
//! Pure: texts in, values out. Refuses to know the environment and files; `ops` reads those. A project can set none of this.

mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::diagnose::{Class, Code, Diagnose};
use crate::model::Sha256;

pub use parse::parse;

/// Whether registries that no configuration lists may be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegistryRule {
    /// Any that a project names.
    #[default]
    Any,
    /// Only those whose roots `registries.trusted` lists.
    Listed,
}

/// How files come from the store into a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkMode {
    /// Reflink, else hard link, else symlink (large files), else copy.
    #[default]
    Auto,
    /// Copy on write.
    Reflink,
    /// Hard link.
    Hard,
    /// Symbolic link.
    Symlink,
    /// A full copy.
    Copy,
}

/// A credential for one host; its text never reaches output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: String) -> Self {
        Self(text)
    }
    /// The text, for the header that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What one configuration file, or several merged, say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// `store.dir`.
    pub store: Option<PathBuf>,
    /// `install.link`.
    pub link: Option<LinkMode>,
    /// `network.jobs`: blobs in parallel.
    pub jobs: Option<usize>,
    /// `network.ca-file`.
    pub ca_file: Option<PathBuf>,
    /// `network.allow-http`: hosts (with port if any) that may be met without TLS.
    pub allow_http: BTreeSet<String>,
    /// `network.allow-private`: hosts that may stand on private addresses.
    pub allow_private: BTreeSet<String>,
    /// `network.netrc`.
    pub netrc: Option<PathBuf>,
    /// `[tokens]`: bearer tokens by host (with port if any).
    pub tokens: BTreeMap<String, Secret>,
    /// `registries = "any" | "listed"`.
    pub registry_rule: Option<RegistryRule>,
    /// `[trusted]`: roots that are listed, with their ids.
    pub trusted: BTreeMap<Sha256, String>,
    /// `[mirrors]`: by registry root, bases that are tried before the registry's own.
    pub mirrors: BTreeMap<Sha256, Vec<String>>,
}

/// Why a configuration file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for ConfigError {
    fn code(&self) -> Code {
        Code("E0351")
    }
    fn class(&self) -> Class {
        Class::Yours
    }
}

impl Config {
    /// Lays `over` on top: scalars of `over` win, lists join, but a site's `registries = "listed"` can't be loosened.
    #[must_use]
    pub fn under(self, over: Self) -> Self {
        todo!()
    }
}
