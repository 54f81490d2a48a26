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
    /// Tokens that `mpm login` keeps: `$XDG_CONFIG_HOME/mpm/credentials.toml`.
    pub credentials: PathBuf,
    /// Secret keys: `$XDG_CONFIG_HOME/mpm/keys`.
    pub keys: PathBuf,
    /// The cache of the Hugging Face hub's clients, which may not be there; none: nobody can tell where it would be.
    pub hub_cache: Option<PathBuf>,
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
    /// `HF_HUB_CACHE`: the hub's cache.
    pub hf_hub_cache: Option<OsString>,
    /// `HUGGINGFACE_HUB_CACHE`: the same, by its older name.
    pub huggingface_hub_cache: Option<OsString>,
    /// `HF_HOME`: the folder that holds it.
    pub hf_home: Option<OsString>,
    /// `HF_TOKEN_PATH`: the file that holds the token for the hub.
    pub hf_token_path: Option<OsString>,
    /// The working folder, from which the hub's clients count relative paths.
    pub working_folder: Option<PathBuf>,
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
            credentials: config.join("credentials.toml"),
            site_config: PathBuf::from("/etc/mpm/config.toml"),
            keys: config.join("keys"),
            hub_cache: values.hub_cache(),
        })
    }
}

impl EnvironmentValues {
    /// Where the hub's own clients keep their token: one that is kept for another home is not sent.
    pub fn hub_token_file(&self) -> Option<PathBuf> {
        match set(self.hf_token_path.as_ref()) {
            Some(path) => self.whole(path),
            None => self.hub_home().map(|home| home.join("token")),
        }
        .filter(|path| path.is_absolute())
    }

    /// Where the hub's own clients keep their cache: the first of these that is set.
    fn hub_cache(&self) -> Option<PathBuf> {
        match set(self.hf_hub_cache.as_ref()).or_else(|| set(self.huggingface_hub_cache.as_ref())) {
            Some(cache) => self.whole(cache),
            None => self.hub_home().map(|home| home.join("hub")),
        }
        .filter(|path| path.is_absolute())
    }

    /// The folder of the hub's own clients.
    fn hub_home(&self) -> Option<PathBuf> {
        if let Some(home) = set(self.hf_home.as_ref()) {
            return self.whole(home);
        }
        let cache = match set(self.xdg_cache_home.as_ref()) {
            Some(cache) => self.whole(cache),
            None => set(self.home.as_ref()).map(|home| PathBuf::from(home).join(".cache")),
        };
        cache.map(|cache| cache.join("huggingface"))
    }

    /// A path as those clients take it: relative ones too, and `~`.
    fn whole(&self, value: OsString) -> Option<PathBuf> {
        let path = PathBuf::from(value);
        match path.strip_prefix("~") {
            Ok(below) => set(self.home.as_ref()).map(|home| PathBuf::from(home).join(below)),
            Err(_) if path.is_absolute() => Some(path),
            Err(_) => self.working_folder.as_ref().map(|here| here.join(path)),
        }
    }
}

fn set(value: Option<&OsString>) -> Option<OsString> {
    value.filter(|value| !value.is_empty()).cloned()
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
    fn the_cache_of_the_hub_is_where_its_clients_have_it() {
        let some = |text: &str| Some(text.into());
        let plain = EnvironmentValues { home: some("/home/a"), ..EnvironmentValues::default() };
        let check = |values: &EnvironmentValues, expected: Option<&str>| {
            let folders = Folders::from_environment(values).expect("folders");
            assert_eq!(folders.hub_cache, expected.map(PathBuf::from), "{values:?}");
        };
        check(&plain, Some("/home/a/.cache/huggingface/hub"));
        let xdg = EnvironmentValues { xdg_cache_home: some("/c"), ..plain.clone() };
        check(&xdg, Some("/c/huggingface/hub"));
        let home = EnvironmentValues { hf_home: some("~/hf"), ..xdg };
        check(&home, Some("/home/a/hf/hub"));
        let old = EnvironmentValues { huggingface_hub_cache: some("/old"), ..home };
        check(&old, Some("/old"));
        let new = EnvironmentValues { hf_hub_cache: some("cache"), working_folder: Some("/here".into()), ..old };
        check(&new, Some("/here/cache"));
        check(&EnvironmentValues { working_folder: None, ..new }, None);
    }

    #[test]
    fn the_token_of_the_hub_is_where_its_clients_have_it() {
        let some = |text: &str| Some(text.into());
        let check = |values: &EnvironmentValues, expected: Option<&str>| {
            assert_eq!(values.hub_token_file(), expected.map(PathBuf::from), "{values:?}");
        };
        let plain = EnvironmentValues { home: some("/home/a"), ..EnvironmentValues::default() };
        check(&plain, Some("/home/a/.cache/huggingface/token"));
        let xdg = EnvironmentValues { xdg_cache_home: some("/c"), ..plain };
        check(&xdg, Some("/c/huggingface/token"));
        // Whoever names another home does not mean the token of the usual one.
        let home = EnvironmentValues { hf_home: some("~/work"), ..xdg };
        check(&home, Some("/home/a/work/token"));
        let relative = EnvironmentValues { hf_home: some("work"), working_folder: Some("/here".into()), ..home };
        check(&relative, Some("/here/work/token"));
        check(&EnvironmentValues { working_folder: None, ..relative.clone() }, None);
        let named = EnvironmentValues { hf_token_path: some("secrets/token"), ..relative };
        check(&named, Some("/here/secrets/token"));
        check(&EnvironmentValues::default(), None);
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
