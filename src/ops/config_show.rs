//! `mpm config show`: each setting, and where it comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::{Config, Entry, LinkMode};
use crate::ops::bringing::JOBS;
use crate::sys::Folders;

/// Where a setting comes from, the later ones laid over the earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The site's file.
    Site(PathBuf),
    /// The user's file.
    User(PathBuf),
    /// A variable of the environment.
    Environment(&'static str),
    /// A file that `mpm login` writes, or another tool.
    File(PathBuf),
}

/// What is asked: the layers of this machine's configuration, lowest first.
#[derive(Debug, Clone)]
pub struct Request {
    /// What each of them says.
    pub layers: Vec<(Origin, Config)>,
    /// All of them together.
    pub merged: Config,
    /// Where things are.
    pub folders: Folders,
    /// Where the hub is.
    pub hub: String,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its key, as config.toml has it.
    pub key: String,
    /// Its value; of a secret, that it is set.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Settings, by key.
    pub settings: Vec<Setting>,
}

/// Does it.
pub fn run(request: &Request) -> Outcome {
    let said: Vec<_> = request.layers.iter().map(|(origin, config)| (origin, config.entries())).collect();
    let origin = |entry: &Entry| {
        let found = said.iter().rev().find(|(_, entries)| entries.contains(entry));
        found.map_or(Origin::Default, |(origin, _)| (*origin).clone())
    };
    let mut settings: Vec<Setting> = request
        .merged
        .entries()
        .into_iter()
        .map(|entry| Setting { origin: origin(&entry), key: entry.key, value: entry.value })
        .collect();
    for (key, value) in defaults(request) {
        if !settings.iter().any(|setting| setting.key == key) {
            settings.push(Setting { key: key.to_owned(), value, origin: Origin::Default });
        }
    }
    settings.sort_by(|a, b| (&a.key, &a.value).cmp(&(&b.key, &b.value)));
    Outcome { settings }
}

/// What counts where nobody says anything.
fn defaults(request: &Request) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("hub.endpoint", request.hub.clone()),
        ("install.link", LinkMode::default().as_str().to_owned()),
        ("network.jobs", JOBS.to_string()),
        ("registries", "any".to_owned()),
        ("store.dir", request.folders.store.display().to_string()),
        ("unsigned", "allow".to_owned()),
    ])
}
