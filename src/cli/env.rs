//! The environment, read once: which variables there are, and what they say.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment and the working folder"
)]

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::Secret;
use crate::sys::EnvironmentValues;

/// A variable of the environment that changes what `mpm` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it sets.
    pub sets: &'static str,
}

const fn variable(name: &'static str, sets: &'static str) -> Variable {
    Variable { name, sets }
}

/// All of them; docs/guide/environment.md has a row for each, which a test checks.
pub const VARIABLES: &[Variable] = &[
    variable("MPM_CA_FILE", "network.ca-file"),
    variable("MPM_COLOR", "--color"),
    variable("MPM_CONFIG", "the user configuration file"),
    variable("MPM_DIRECTORY", "--directory"),
    variable("MPM_FROZEN", "--frozen"),
    variable("MPM_JOBS", "network.jobs"),
    variable("MPM_JSON", "--json"),
    variable("MPM_KEY_PASSWORD", "the password of a secret key"),
    variable("MPM_LIMIT_RATE", "network.limit-rate"),
    variable("MPM_LINK", "--link"),
    variable("MPM_LOCKED", "--locked"),
    variable("MPM_NETRC", "network.netrc"),
    variable("MPM_NO_PROGRESS", "--no-progress"),
    variable("MPM_OFFLINE", "--offline"),
    variable("MPM_PROFILE", "--profile"),
    variable("MPM_QUIET", "--quiet"),
    variable("MPM_STORE", "store.dir"),
    variable("MPM_STORE_LAYERS", "store.layers"),
    variable("MPM_VERBOSE", "--verbose"),
    variable("MPM_WAIT", "--wait"),
    variable("MPM_YES", "--yes"),
    variable("HF_ENDPOINT", "hub.endpoint"),
    variable("HF_TOKEN", "the token for the hub"),
    variable("HF_TOKEN_PATH", "the file that holds the token for the hub"),
    variable("HF_HOME", "the folder in which the hub's own tools keep token and cache"),
    variable("HF_HUB_DISABLE_IMPLICIT_TOKEN", "no token for the hub unless HF_TOKEN is set"),
    variable("HF_HUB_CACHE", "the cache of the Hugging Face hub"),
    variable("HUGGINGFACE_HUB_CACHE", "the same, by its older name"),
    variable("SOURCE_DATE_EPOCH", "the time of what sync --to places"),
    variable("HOME", "the folder below which the XDG folders lie"),
    variable("XDG_CACHE_HOME", "where copies of indexes lie"),
    variable("XDG_CONFIG_HOME", "where the user configuration and keys lie"),
    variable("XDG_DATA_HOME", "where the store lies"),
    variable("XDG_STATE_HOME", "where trust state lies"),
    variable("NO_COLOR", "no colour"),
    variable("CLICOLOR_FORCE", "colour even without a terminal"),
];

/// Variables that name proxies, as everybody reads them; the lower case comes first.
const PROXIES: &[&str] =
    &["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"];

/// What the environment says, besides what the options read for themselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    /// Errors as JSON before the options are known.
    pub(super) json: bool,
    /// For `sys::Folders`.
    pub(super) folders: EnvironmentValues,
    /// `MPM_CONFIG`.
    pub(super) config: Option<PathBuf>,
    /// `MPM_STORE_LAYERS`, as written.
    pub(super) layers: Option<OsString>,
    /// `SOURCE_DATE_EPOCH`, as written.
    pub(super) source_date: Option<OsString>,
    /// `MPM_JOBS`, as written.
    pub(super) jobs: Option<OsString>,
    /// `MPM_LIMIT_RATE`, as written.
    pub(super) limit_rate: Option<OsString>,
    /// `MPM_CA_FILE`.
    pub(super) ca_file: Option<PathBuf>,
    /// `MPM_NETRC`.
    pub(super) netrc: Option<PathBuf>,
    /// `HF_ENDPOINT`, as written.
    pub(super) hub_endpoint: Option<OsString>,
    /// `HF_TOKEN`; shown by nothing.
    pub(super) hub_token: Option<Secret>,
    /// `HF_TOKEN_PATH`, or where the hub's own tools keep it; none: no token without being asked.
    pub(super) hub_token_file: Option<PathBuf>,
    /// What the proxy variables say, which the HTTP client reads for itself: for `mpm doctor`.
    pub(super) proxies: Vec<(String, String)>,
    /// `MPM_KEY_PASSWORD`; shown by nothing.
    pub(super) key_password: Option<Secret>,
    /// The working folder; none: it is gone.
    pub(super) working_folder: Option<PathBuf>,
    /// A clock that stands, another site configuration, less patience: for tests, and only in builds made for them.
    #[cfg(feature = "faults")]
    pub(super) test: TestEnvironment,
}

/// What tests may change that no user may.
#[cfg(feature = "faults")]
#[derive(Debug, Clone, Default)]
pub(super) struct TestEnvironment {
    /// Seconds since the epoch.
    pub(super) now: Option<u64>,
    /// The site configuration.
    pub(super) site_config: Option<PathBuf>,
    /// Seconds for which an index whose files do not fit together is asked again.
    pub(super) lag: Option<u64>,
    /// Milliseconds that a server may be silent, and in which it must send what it usually has a minute for.
    pub(super) stall: Option<u64>,
}

/// Reads it.
pub(super) fn read() -> Environment {
    let get = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let word =
        |name: &str| get(name).is_some_and(|value| !matches!(value.to_str(), Some("0" | "false" | "no" | "off")));
    let folders = EnvironmentValues {
        home: get("HOME"),
        xdg_data_home: get("XDG_DATA_HOME"),
        xdg_state_home: get("XDG_STATE_HOME"),
        xdg_cache_home: get("XDG_CACHE_HOME"),
        xdg_config_home: get("XDG_CONFIG_HOME"),
        store: get("MPM_STORE"),
        hf_hub_cache: get("HF_HUB_CACHE"),
        huggingface_hub_cache: get("HUGGINGFACE_HUB_CACHE"),
        hf_home: get("HF_HOME"),
        hf_token_path: get("HF_TOKEN_PATH"),
        working_folder: std::env::current_dir().ok(),
    };
    let hub_token_file = folders.hub_token_file();
    Environment {
        json: word("MPM_JSON"),
        folders,
        config: get("MPM_CONFIG").map(PathBuf::from),
        layers: get("MPM_STORE_LAYERS"),
        source_date: get("SOURCE_DATE_EPOCH"),
        jobs: get("MPM_JOBS"),
        limit_rate: get("MPM_LIMIT_RATE"),
        ca_file: get("MPM_CA_FILE").map(PathBuf::from),
        netrc: get("MPM_NETRC").map(PathBuf::from),
        hub_endpoint: get("HF_ENDPOINT"),
        hub_token: get("HF_TOKEN")
            .and_then(|value| value.into_string().ok())
            .map(|text| Secret::new(text.trim().to_owned())),
        hub_token_file: hub_token_file.filter(|_| !word("HF_HUB_DISABLE_IMPLICIT_TOKEN")),
        proxies: PROXIES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), get(name)?.to_string_lossy().into_owned())))
            .collect(),
        key_password: get("MPM_KEY_PASSWORD").and_then(|value| value.into_string().ok()).map(Secret::new),
        working_folder: std::env::current_dir().ok(),
        #[cfg(feature = "faults")]
        test: TestEnvironment {
            now: get("MPM_TEST_NOW").and_then(|value| value.to_str().and_then(|text| text.parse().ok())),
            site_config: get("MPM_TEST_SITE_CONFIG").map(PathBuf::from),
            lag: get("MPM_TEST_LAG").and_then(|value| value.to_str().and_then(|text| text.parse().ok())),
            stall: get("MPM_TEST_STALL").and_then(|value| value.to_str().and_then(|text| text.parse().ok())),
        },
    }
}
