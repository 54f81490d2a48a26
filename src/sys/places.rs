//! Where things are on this machine.
//!
//! A pure function of values that were read from the environment elsewhere. Refuses to read the environment itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

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

/// What the environment says about folders, as it was read; nothing is checked yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentValues {
    /// `HOME`.
    pub home: Option<OsString>,
    /// `XDG_DATA_HOME`.
    pub xdg_data_home: Option<OsString>,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<OsString>,
    /// `XDG_CACHE_HOME`.
    pub xdg_cache_home: Option<OsString>,
    /// `XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<OsString>,
    /// `MPM_STORE`: the store itself.
    pub store: Option<OsString>,
}

/// Why the folders of a run can't be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldersError {
    /// Neither a home folder nor all the folders that stand for it.
    #[error("there is no home folder: HOME is not an absolute path, and {missing} is not set either")]
    NoHome {
        /// The variable that would do.
        missing: &'static str,
    },
    /// `MPM_STORE` is relative.
    #[error("MPM_STORE must be an absolute path, found {}", .found.display())]
    RelativeStore {
        /// What was found.
        found: PathBuf,
    },
}

impl Folders {
    /// Folders by the XDG base directory specification: values that are empty or not absolute count as not set.
    ///
    /// # Errors
    /// No home folder where one is needed, or a relative `MPM_STORE`.
    pub fn from_environment(values: &EnvironmentValues) -> Result<Self, FoldersError> {
        let absolute = |value: &Option<OsString>| value.as_ref().map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute(&values.home);
        let base = |value: &Option<OsString>, missing: &'static str, below: &str| {
            absolute(value)
                .or_else(|| home.as_deref().map(|home| home.join(below)))
                .map(|folder| folder.join("mpm"))
                .ok_or(FoldersError::NoHome { missing })
        };
        let store = match values.store.as_ref().filter(|value| !value.is_empty()) {
            Some(value) if Path::new(value).is_absolute() => PathBuf::from(value),
            Some(value) => return Err(FoldersError::RelativeStore { found: PathBuf::from(value) }),
            None => base(&values.xdg_data_home, "XDG_DATA_HOME", ".local/share")?.join("store"),
        };
        let config = base(&values.xdg_config_home, "XDG_CONFIG_HOME", ".config")?;
        Ok(Self {
            store,
            trust: base(&values.xdg_state_home, "XDG_STATE_HOME", ".local/state")?.join("trust"),
            cache: base(&values.xdg_cache_home, "XDG_CACHE_HOME", ".cache")?,
            user_config: config.join("config.toml"),
            site_config: PathBuf::from("/etc/mpm/config.toml"),
            keys: config.join("keys"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::sys::places::{EnvironmentValues, Folders, FoldersError};

    fn check(values: &EnvironmentValues, store: Result<&str, &str>, keys: &str) {
        match (Folders::from_environment(values), store) {
            (Ok(found), Ok(expected)) => {
                assert_eq!((found.store, found.keys), (PathBuf::from(expected), PathBuf::from(keys)));
            }
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn folders_follow_xdg_and_relative_values_count_as_not_set() {
        let home = || Some("/home/a".into());
        let plain = EnvironmentValues { home: home(), ..EnvironmentValues::default() };
        check(&plain, Ok("/home/a/.local/share/mpm/store"), "/home/a/.config/mpm/keys");
        let data = EnvironmentValues { xdg_data_home: Some("/data".into()), ..plain.clone() };
        check(&data, Ok("/data/mpm/store"), "/home/a/.config/mpm/keys");
        let relative = EnvironmentValues { xdg_data_home: Some("data".into()), ..plain.clone() };
        check(&relative, Ok("/home/a/.local/share/mpm/store"), "/home/a/.config/mpm/keys");
        let store = EnvironmentValues { store: Some("/s".into()), xdg_config_home: Some("/c".into()), ..plain.clone() };
        check(&store, Ok("/s"), "/c/mpm/keys");
        let bad = EnvironmentValues { store: Some("s".into()), ..plain };
        check(&bad, Err("MPM_STORE must be an absolute path"), "");
        check(&EnvironmentValues::default(), Err("XDG_DATA_HOME"), "");
        assert!(matches!(Folders::from_environment(&EnvironmentValues::default()), Err(FoldersError::NoHome { .. })));
    }
}
