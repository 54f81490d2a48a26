//! Where things are on this machine.

use std::path::PathBuf;

/// The folders of a run; all absolute, all given from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// The store: `$XDG_DATA_HOME/mpm/store`.
    pub store: PathBuf,
    /// Trust state: `$XDG_STATE_HOME/mpm/trust`; one folder a root below it.
    pub trust: PathBuf,
    /// Copies of indexes that can be made again: `$XDG_CACHE_HOME/mpm`.
    pub cache: PathBuf,
    /// `$XDG_CONFIG_HOME/mpm/config.toml`.
    pub user_config: PathBuf,
    /// `/etc/mpm/config.toml`.
    pub site_config: PathBuf,
    /// Secret keys: `$XDG_CONFIG_HOME/mpm/keys`.
    pub keys: PathBuf,
}
