//! User and site configuration, with the origin of each setting (docs/formats/config.md).
//!
//! Pure: texts in, values out. Refuses to know the environment and files; `ops` reads those. A project can set none of this.

mod credentials;
mod entries;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::tables::{Spot, TomlError};
use crate::model::{Age, PublicKey, Sha256};

pub use credentials::{parse_credentials, parse_host, parse_token, render_credentials};
pub use entries::Entry;
pub use parse::{parse, parse_rate, parse_site};

/// Whether registries that no configuration lists may be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegistryRule {
    /// Any that a project names.
    #[default]
    Any,
    /// Only those whose roots `[trusted]` lists.
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
    /// `store.layers`: stores of others, which are asked first and never written.
    pub layers: Vec<PathBuf>,
    /// `install.link`.
    pub link: Option<LinkMode>,
    /// `network.jobs`: blobs in parallel.
    pub jobs: Option<usize>,
    /// `network.limit-rate`: bytes a second.
    pub limit_rate: Option<u64>,
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
    /// `credentials.helper`: a program that keeps tokens, with its arguments.
    pub helper: Option<Vec<String>>,
    /// `registries = "any" | "listed"`.
    pub registry_rule: Option<RegistryRule>,
    /// `[trusted]`: roots that are listed, with their ids.
    pub trusted: BTreeMap<Sha256, String>,
    /// `[mirrors]`: by registry root, bases that are tried before the registry's own.
    pub mirrors: BTreeMap<Sha256, Vec<String>>,
    /// `[index-mirrors]`: by registry root, copies of the index that are asked before the registry's own.
    pub index_mirrors: BTreeMap<Sha256, Vec<String>>,
    /// `unsigned = "deny"`: sources, where nobody signs, are refused whatever a project says.
    pub deny_unsigned: bool,
    /// `minimum-age`: how long a release must have been in its index, whatever a project says.
    pub minimum_age: Option<Age>,
    /// `max-staleness`, in the site's file alone: how old a file of an index may be that has expired.
    pub max_staleness: Option<Age>,
    /// `import-key`, in the site's file alone: who signs import records; then only checkpoints that one names are accepted.
    pub import_key: Option<PublicKey>,
    /// `hub.endpoint`: where the Hugging Face hub is, or what stands in for it.
    pub hub_endpoint: Option<String>,
    /// `hub.mirrors`: bases of blobs that are tried before the hub.
    pub hub_mirrors: Vec<String>,
}

/// Why a configuration file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML, an unknown key, a value of the wrong type or one that breaks a rule.
    #[error(transparent)]
    Toml(#[from] TomlError),
}

impl ConfigError {
    /// Where it is, if it is in one place.
    pub fn spot(&self) -> Option<&Spot> {
        let Self::Toml(error) = self;
        error.spot()
    }
}

impl Diagnose for ConfigError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Toml(TomlError::TooLarge { .. } | TomlError::Syntax { .. }) => "E0351",
            Self::Toml(TomlError::UnknownKey { .. }) => "E0352",
            Self::Toml(TomlError::MissingKey { .. } | TomlError::WrongType { .. }) => "E0353",
            Self::Toml(TomlError::Value { .. }) => "E0354",
        })
    }

    fn class(&self) -> Class {
        Class::Yours
    }

    fn hints(&self) -> Vec<Hint> {
        let Self::Toml(error) = self;
        let mut hints = Vec::new();
        if !error.nearest().is_empty() {
            hints.push(Hint::Note(format!("did you mean {}?", error.nearest().join(" or "))));
        }
        hints.push(Hint::Note("the line is not shown, because it may hold a secret".to_owned()));
        hints
    }
}

impl Config {
    /// Lays `over` on top: scalars of `over` win, lists join with those of `over` first. But where this says
    /// `registries = "listed"`, `over` can neither take that back nor list more roots; nor take back `unsigned = "deny"`.
    #[must_use]
    pub fn under(self, over: Self) -> Self {
        let closed = self.registry_rule == Some(RegistryRule::Listed);
        let registry_rule = if closed { self.registry_rule } else { over.registry_rule.or(self.registry_rule) };
        let mut trusted = self.trusted;
        if !closed {
            trusted.extend(over.trusted);
        }
        let mut mirrors = over.mirrors;
        for (root, bases) in self.mirrors {
            mirrors.entry(root).or_default().extend(bases);
        }
        let mut index_mirrors = over.index_mirrors;
        for (root, places) in self.index_mirrors {
            index_mirrors.entry(root).or_default().extend(places);
        }
        Self {
            store: over.store.or(self.store),
            layers: over.layers.into_iter().chain(self.layers).collect(),
            link: over.link.or(self.link),
            jobs: over.jobs.or(self.jobs),
            limit_rate: over.limit_rate.or(self.limit_rate),
            ca_file: over.ca_file.or(self.ca_file),
            allow_http: self.allow_http.into_iter().chain(over.allow_http).collect(),
            allow_private: self.allow_private.into_iter().chain(over.allow_private).collect(),
            netrc: over.netrc.or(self.netrc),
            tokens: self.tokens.into_iter().chain(over.tokens).collect(),
            helper: over.helper.or(self.helper),
            registry_rule,
            trusted,
            mirrors,
            index_mirrors,
            deny_unsigned: self.deny_unsigned || over.deny_unsigned,
            // The longer one counts.
            minimum_age: self.minimum_age.max(over.minimum_age),
            // Only the site's file can say these: nothing lies over it that does.
            max_staleness: self.max_staleness.or(over.max_staleness),
            import_key: self.import_key.or(over.import_key),
            hub_endpoint: over.hub_endpoint.or(self.hub_endpoint),
            hub_mirrors: over.hub_mirrors.into_iter().chain(self.hub_mirrors).collect(),
        }
    }
}
