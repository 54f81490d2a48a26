//! What a configuration says, a line each: for people who ask where a setting comes from. No secret is ever among it.

use std::collections::BTreeSet;

use crate::config::{Config, LinkMode, RegistryRule};

/// What stands where a secret is set.
const SET: &str = "(set)";

/// One setting, or one item of a list or table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The key, as in `network.jobs` or `tokens."host"`.
    pub key: String,
    /// The value; of a secret, that it is set.
    pub value: String,
}

impl LinkMode {
    /// The word in files and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Reflink => "reflink",
            Self::Hard => "hard",
            Self::Symlink => "symlink",
            Self::Copy => "copy",
        }
    }
}

impl Config {
    /// Everything that it says, sorted by key.
    pub fn entries(&self) -> BTreeSet<Entry> {
        let mut all = BTreeSet::new();
        let mut put = |key: &str, value: String| all.extend([Entry { key: key.to_owned(), value }]);
        if let Some(rule) = self.registry_rule {
            let word = if rule == RegistryRule::Listed { "listed" } else { "any" };
            put("registries", word.to_owned());
        }
        if self.deny_unsigned {
            put("unsigned", "deny".to_owned());
        }
        let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
        for (key, value) in [
            ("minimum-age", self.minimum_age.map(|age| age.to_string())),
            ("max-staleness", self.max_staleness.map(|age| age.to_string())),
            ("import-key", self.import_key.as_ref().map(|key| key.as_str().to_owned())),
            ("store.dir", path(&self.store)),
            ("install.link", self.link.map(|link| link.as_str().to_owned())),
            ("network.jobs", self.jobs.map(|jobs| jobs.to_string())),
            ("network.limit-rate", self.limit_rate.map(|rate| rate.to_string())),
            ("network.ca-file", path(&self.ca_file)),
            ("network.netrc", path(&self.netrc)),
            ("hub.endpoint", self.hub_endpoint.clone()),
            ("credentials.helper", self.helper.as_ref().map(|helper| helper.join(" "))),
        ] {
            if let Some(value) = value {
                put(key, value);
            }
        }
        for (key, hosts) in [("network.allow-http", &self.allow_http), ("network.allow-private", &self.allow_private)] {
            for host in hosts {
                put(key, host.clone());
            }
        }
        for layer in &self.layers {
            put("store.layers", layer.display().to_string());
        }
        for base in &self.hub_mirrors {
            put("hub.mirrors", base.clone());
        }
        for host in self.tokens.keys() {
            put(&format!("tokens.{host:?}"), SET.to_owned());
        }
        for (root, id) in &self.trusted {
            put(&format!("trusted.{:?}", root.prefixed()), id.clone());
        }
        for (root, bases) in &self.mirrors {
            for base in bases {
                put(&format!("mirrors.{:?}", root.prefixed()), base.clone());
            }
        }
        for (root, places) in &self.index_mirrors {
            for place in places {
                put(&format!("index-mirrors.{:?}", root.prefixed()), place.clone());
            }
        }
        all
    }
}
