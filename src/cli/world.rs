//! The world of a run, built once: folders, configuration, clock, client.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::ask::Terminal;
use crate::cli::bars::Bars;
use crate::cli::env::Environment;
use crate::cli::errors::{CliError, Failed};
use crate::config::{self, Config, ConfigError, Secret};
use crate::model::Timestamp;
use crate::ops::config_show::{self, Origin};
use crate::ops::{HubSettings, Services};
use crate::sys::{self, Cancel, Clock as _, Folders, HttpClient, HttpSettings, NetworkPolicy, Patience, SystemClock};

/// Largest configuration file, in bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// Builds it; what the command line says counts before everything else.
pub(super) fn services(
    environment: &Environment,
    network: NetworkPolicy,
    bars: &Arc<Bars>,
    options: Config,
    cancel: Cancel,
) -> Result<Services, Failed> {
    let (folders, config) = places(environment)?;
    let config = config.under(options);
    let hub = hub(environment, &config, &folders)?;
    let mut tokens = config.tokens.clone();
    if let Some(token) = &environment.hub_token {
        tokens.insert(hub.endpoint.host(), token.clone());
    }
    let token_file = environment.hub_token_file.as_ref().map(|path| (hub.endpoint.host(), path.clone()));
    let http = HttpClient::new(HttpSettings {
        policy: network,
        ca_file: config.ca_file.clone(),
        allow_http: config.allow_http.clone(),
        allow_private: config.allow_private.clone(),
        tokens,
        token_file,
        credentials: Some(folders.credentials.clone()),
        helper: config.helper.clone(),
        netrc: config.netrc.clone(),
        patience: patience(environment),
        limit_rate: config.limit_rate,
    })?;
    let ask = Arc::new(Terminal::new(Arc::clone(bars)));
    let progress = Arc::clone(bars);
    Ok(Services { now: now(environment), folders, config, http, hub, progress, ask, cancel })
}

/// Which hub is asked, and as whom: what the environment says counts before the configuration.
fn hub(environment: &Environment, config: &Config, folders: &Folders) -> Result<HubSettings, CliError> {
    let named = environment.hub_endpoint.as_ref().map(|text| text.to_string_lossy().into_owned());
    // What the configuration says was checked when it was read.
    let mut hub =
        HubSettings::at(named.as_deref().or(config.hub_endpoint.as_deref())).map_err(|_| CliError::Variable {
            name: "HF_ENDPOINT",
            expected: "an https or http address without credentials and query",
            found: "another text".to_owned(),
        })?;
    let host = hub.endpoint.host();
    hub.token = match (&environment.hub_token, &environment.hub_token_file) {
        (Some(_), _) => Some("HF_TOKEN".to_owned()),
        (None, _) if config.tokens.contains_key(&host) => Some("[tokens] in config.toml".to_owned()),
        // One that can't be read says so when it is needed.
        (None, _) if sys::credentials_file::read(&folders.credentials).is_ok_and(|kept| kept.contains_key(&host)) => {
            Some("credentials.toml".to_owned())
        }
        (None, _) if config.helper.is_some() => Some("the credential helper".to_owned()),
        (None, Some(path)) => Some(path.display().to_string()),
        (None, None) => None,
    };
    Ok(hub)
}

/// What `mpm config show` looks at: each layer of the configuration by itself, lowest first.
pub(super) fn settings(environment: &Environment) -> Result<config_show::Request, Failed> {
    let (folders, config) = places(environment)?;
    let hub = hub(environment, &config, &folders)?.endpoint;
    let one = |token: &Secret| Config { tokens: [(hub.host(), token.clone())].into(), ..Config::default() };
    let mut found = Vec::new();
    if let Some(path) = environment.hub_token_file.as_ref().filter(|path| path.is_file()) {
        found.push((Origin::File(path.clone()), one(&Secret::new(String::new()))));
    }
    let stored = sys::credentials_file::read(&folders.credentials)?;
    found.push((Origin::File(folders.credentials.clone()), Config { tokens: stored, ..Config::default() }));
    found.push((Origin::Site(folders.site_config.clone()), read_config(&folders.site_config, config::parse_site)?));
    found.push((Origin::User(folders.user_config.clone()), read_config(&folders.user_config, config::parse)?));
    let said = from_environment(environment)?;
    let mut variable = |name, config| found.push((Origin::Environment(name), config));
    variable("MPM_JOBS", Config { jobs: said.jobs, ..Config::default() });
    variable("MPM_LIMIT_RATE", Config { limit_rate: said.limit_rate, ..Config::default() });
    variable("MPM_CA_FILE", Config { ca_file: said.ca_file, ..Config::default() });
    variable("MPM_NETRC", Config { netrc: said.netrc, ..Config::default() });
    let store = environment.folders.store.as_ref().map(std::path::PathBuf::from);
    variable("MPM_STORE", Config { store, ..Config::default() });
    let endpoint = environment.hub_endpoint.as_ref().map(|text| text.to_string_lossy().into_owned());
    variable("HF_ENDPOINT", Config { hub_endpoint: endpoint, ..Config::default() });
    variable("HF_TOKEN", environment.hub_token.as_ref().map(one).unwrap_or_default());
    if let Some(named) = &environment.layers {
        variable("MPM_STORE_LAYERS", Config { layers: layers(named)?, ..Config::default() });
    }
    let mut merged = found.iter().fold(Config::default(), |under, (_, config)| under.under(config.clone()));
    if environment.layers.is_some() {
        // The environment's layers stand in the place of the others.
        merged.layers = config.layers;
    }
    Ok(config_show::Request { layers: found, merged, folders, hub: hub.url().to_string() })
}

/// Folders and configuration: the site's, the user's over it, the environment over both.
pub(super) fn places(environment: &Environment) -> Result<(Folders, Config), Failed> {
    let mut folders = Folders::from_environment(&environment.folders).map_err(|source| CliError::Folders { source })?;
    if let Some(path) = &environment.config {
        folders.user_config = absolute(environment, path)?;
    }
    #[cfg(feature = "faults")]
    if let Some(path) = &environment.test.site_config {
        folders.site_config.clone_from(path);
    }
    let site = read_config(&folders.site_config, config::parse_site)?;
    let user = read_config(&folders.user_config, config::parse)?;
    let mut config = site.under(user).under(from_environment(environment)?);
    if let Some(named) = &environment.layers {
        // Instead of the configured ones, not besides them: a variable wins.
        config.layers = layers(named)?;
    }
    if let (None, Some(store)) = (&environment.folders.store, &config.store) {
        folders.store.clone_from(store);
    }
    Ok((folders, config))
}

/// The time that whoever builds wants on everything, as reproducible builds know it.
pub(super) fn source_date(environment: &Environment) -> Result<Option<Timestamp>, CliError> {
    let parse = |text: &OsStr| Timestamp::from_seconds(text.to_str()?.parse().ok()?).ok();
    let named = environment.source_date.as_deref();
    named
        .map(|text| {
            parse(text).ok_or_else(|| CliError::Variable {
                name: "SOURCE_DATE_EPOCH",
                expected: "seconds since 1970",
                found: text.to_string_lossy().into_owned(),
            })
        })
        .transpose()
}

/// Folders with `:` between them.
fn layers(named: &OsStr) -> Result<Vec<PathBuf>, CliError> {
    let folders = std::env::split_paths(named).filter(|folder| !folder.as_os_str().is_empty());
    let absolute = |folder: PathBuf| {
        if folder.is_absolute() {
            return Ok(folder);
        }
        Err(CliError::Variable {
            name: "MPM_STORE_LAYERS",
            expected: "absolute folders with `:` between them",
            found: folder.to_string_lossy().into_owned(),
        })
    };
    folders.map(absolute).collect()
}

fn absolute(environment: &Environment, path: &Path) -> Result<PathBuf, CliError> {
    if path.is_absolute() {
        return Ok(path.to_owned());
    }
    environment.working_folder.as_ref().map(|here| here.join(path)).ok_or(CliError::NoWorkingFolder)
}

fn read_config(path: &Path, parse: fn(&str, &str) -> Result<Config, ConfigError>) -> Result<Config, Failed> {
    let unreadable = |source| CliError::Config { path: path.to_owned(), source };
    let Some(bytes) = sys::files::read_capped(path, MAX_CONFIG).map_err(unreadable)? else {
        return Ok(Config::default());
    };
    let text = String::from_utf8(bytes)
        .map_err(|_| unreadable(std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8 text")))?;
    Ok(parse(&text, &path.to_string_lossy())?)
}

fn from_environment(environment: &Environment) -> Result<Config, CliError> {
    let number = |text: &std::ffi::OsString| {
        let jobs = text.to_str().and_then(|text| text.parse().ok()).filter(|jobs| (1..=256).contains(jobs));
        jobs.ok_or_else(|| CliError::Variable {
            name: "MPM_JOBS",
            expected: "a number from 1 to 256",
            found: text.to_string_lossy().into_owned(),
        })
    };
    let jobs = environment.jobs.as_ref().map(number).transpose()?;
    let rate = |text: &std::ffi::OsString| {
        text.to_str().and_then(config::parse_rate).ok_or_else(|| CliError::Variable {
            name: "MPM_LIMIT_RATE",
            expected: "bytes a second, at least 1K, such as 500K or 20M",
            found: text.to_string_lossy().into_owned(),
        })
    };
    let limit_rate = environment.limit_rate.as_ref().map(rate).transpose()?;
    let path = |path: &Option<PathBuf>| path.as_deref().map(|path| absolute(environment, path)).transpose();
    Ok(Config {
        jobs,
        limit_rate,
        ca_file: path(&environment.ca_file)?,
        netrc: path(&environment.netrc)?,
        ..Config::default()
    })
}

#[cfg(feature = "faults")]
/// How long to wait for what a server owes.
fn patience(environment: &Environment) -> Patience {
    let usual = Patience::default();
    let stall = environment.test.stall.map(std::time::Duration::from_millis);
    Patience {
        lag: environment.test.lag.map_or(usual.lag, std::time::Duration::from_secs),
        stall: stall.unwrap_or(usual.stall),
        window: stall.unwrap_or(usual.window),
        pause: stall.unwrap_or(usual.pause),
        ..usual
    }
}

#[cfg(not(feature = "faults"))]
/// How long to wait for what a server owes.
fn patience(_: &Environment) -> Patience {
    Patience::default()
}

/// The clock, for what lives longer than a run.
pub(super) fn clock(environment: &Environment) -> Arc<dyn sys::Clock> {
    #[cfg(feature = "faults")]
    if environment.test.now.is_some() {
        return Arc::new(sys::FixedClock(now(environment)));
    }
    #[cfg(not(feature = "faults"))]
    let _ = environment;
    Arc::new(SystemClock)
}

#[cfg(feature = "faults")]
/// The time: read once a run.
fn now(environment: &Environment) -> Timestamp {
    let fixed = environment.test.now.and_then(|seconds| Timestamp::from_seconds(seconds).ok());
    fixed.unwrap_or_else(|| SystemClock.now())
}

#[cfg(not(feature = "faults"))]
/// The time: read once a run.
fn now(_: &Environment) -> Timestamp {
    SystemClock.now()
}
