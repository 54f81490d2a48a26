//! The grammar of config.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError, LinkMode, RegistryRule, Secret};
use crate::model::tables::{Source, Table, TomlError, Value};
use crate::model::{Age, HumanSize, PublicKey, RegistryId, SafeUrl, Sha256, UrlError};

/// Largest file, in bytes.
pub(super) const MAX_FILE: usize = 1 << 20;
/// Most blobs in parallel that can be asked for.
const MAX_JOBS: u64 = 256;
/// Least rate that can be asked for, in bytes a second: below it, servers would hang up.
const LEAST_RATE: u64 = 1024;
/// Longest token and longest host, in bytes.
const MAX_TOKEN: usize = 16 << 10;
const MAX_HOST: usize = 260;

/// A rule that a single value breaks. No variant holds the value: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Rule {
    #[error("a path here is absolute; ~ and variables are not replaced")]
    Path,
    #[error("write \"auto\", \"reflink\", \"hard\", \"symlink\" or \"copy\"")]
    Link,
    #[error("write \"any\" or \"listed\"")]
    Registries,
    #[error("write a number from 1 to 256")]
    Jobs,
    #[error("write bytes a second, at least 1K, such as \"500K\" or \"20M\"")]
    Rate,
    #[error("write a host, or host:port, without scheme and path")]
    Host,
    #[error("a token is printable ASCII without spaces, at most 16 KiB")]
    Token,
    #[error("write \"allow\" or \"deny\"")]
    Unsigned,
    #[error("an endpoint is an https or http address without a query")]
    Endpoint,
    #[error("this stands in the site's file alone, /etc/mpm/config.toml: whoever keeps the machine says it")]
    SiteAlone,
    #[error("a helper is a list: the absolute path of a program, then its arguments, without control characters")]
    Helper,
    #[error("a mirror is an https or http address, or an absolute folder")]
    Mirror,
    #[error("a mirror of an index is `sparse+https://…`, `sparse+http://…`, or an absolute folder")]
    IndexMirror,
}

/// Parses a configuration file; `path` is for messages.
///
/// # Errors
/// `E0351` to `E0354`: syntax, unknown keys, types and values, with line and column, never with the line's text.
pub fn parse(text: &str, path: &str) -> Result<Config, ConfigError> {
    file(text, path, Whose::User)
}

/// The same for the site's file, which may say more.
///
/// # Errors
/// As for [`parse`].
pub fn parse_site(text: &str, path: &str) -> Result<Config, ConfigError> {
    file(text, path, Whose::Site)
}

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    User,
    Site,
}

fn air_gap(top: &mut Table<'_>, whose: Whose, config: &mut Config) -> Result<(), TomlError> {
    let refused = |value: &Value<'_>| if whose == Whose::User { Err(value.refused(Rule::SiteAlone)) } else { Ok(()) };
    if let Some(value) = top.take("max-staleness") {
        refused(&value)?;
        config.max_staleness = Some(value.parse(Age::parse)?);
    }
    if let Some(value) = top.take("import-key") {
        refused(&value)?;
        config.import_key = Some(value.parse(PublicKey::parse)?);
    }
    Ok(())
}

fn file(text: &str, path: &str, whose: Whose) -> Result<Config, ConfigError> {
    let source = Source::secret(path, text);
    let mut top = source.parse(MAX_FILE)?;
    let mut config = Config::default();
    if let Some(value) = top.take("registries") {
        config.registry_rule = Some(value.parse(registry_rule)?);
    }
    if let Some(value) = top.take("unsigned") {
        config.deny_unsigned = value.parse(unsigned)?;
    }
    if let Some(value) = top.take("minimum-age") {
        config.minimum_age = Some(value.parse(Age::parse)?);
    }
    air_gap(&mut top, whose, &mut config)?;
    if let Some(value) = top.take("hub") {
        let mut table = value.table()?;
        config.hub_endpoint = table.take("endpoint").map(|value| value.parse(endpoint)).transpose()?;
        if let Some(mirrors) = table.take("mirrors") {
            config.hub_mirrors = mirrors.parse_list(mirror)?;
        }
        table.finish(&["endpoint", "mirrors"])?;
    }
    if let Some(value) = top.take("store") {
        let mut table = value.table()?;
        config.store = table.take("dir").map(|value| value.parse(absolute)).transpose()?;
        if let Some(layers) = table.take("layers") {
            config.layers = layers.parse_list(absolute)?;
        }
        table.finish(&["dir", "layers"])?;
    }
    if let Some(value) = top.take("install") {
        let mut table = value.table()?;
        config.link = table.take("link").map(|value| value.parse(link)).transpose()?;
        table.finish(&["link"])?;
    }
    if let Some(value) = top.take("network") {
        network(value.table()?, &mut config)?;
    }
    if let Some(value) = top.take("tokens") {
        for (name, value) in value.table()?.into_entries() {
            let host = host(&name).map_err(|rule| value.refused(rule))?;
            config.tokens.insert(host, value.parse(token)?);
        }
    }
    if let Some(value) = top.take("credentials") {
        let mut table = value.table()?;
        config.helper = table.take("helper").map(helper).transpose()?;
        table.finish(&["helper"])?;
    }
    if let Some(value) = top.take("trusted") {
        for (root, value) in value.table()?.into_entries() {
            let root = Sha256::parse(&root).map_err(|error| value.refused(error))?;
            config.trusted.insert(root, value.parse(RegistryId::parse)?.to_string());
        }
    }
    if let Some(value) = top.take("mirrors") {
        config.mirrors = mirrors(value.table()?, mirror)?;
    }
    if let Some(value) = top.take("index-mirrors") {
        config.index_mirrors = mirrors(value.table()?, index_mirror)?;
    }
    top.finish(&[
        "registries",
        "unsigned",
        "minimum-age",
        "max-staleness",
        "import-key",
        "store",
        "install",
        "network",
        "tokens",
        "credentials",
        "trusted",
        "mirrors",
        "index-mirrors",
        "hub",
    ])?;
    Ok(config)
}

/// A program by its absolute path: what a search path finds is whoever wrote to it last.
fn helper(value: Value<'_>) -> Result<Vec<String>, TomlError> {
    let empty = value.refused(Rule::Helper);
    let plain = |text: &str| if text.chars().any(char::is_control) { Err(Rule::Helper) } else { Ok(text.to_owned()) };
    let words = value.parse_list(plain)?;
    let good = words.first().is_some_and(|program| Path::new(program).is_absolute());
    if good { Ok(words) } else { Err(empty) }
}

fn network(mut table: Table<'_>, config: &mut Config) -> Result<(), TomlError> {
    if let Some(value) = table.take("jobs") {
        let jobs = value.number()?;
        let jobs = usize::try_from(jobs).ok().filter(|_| (1..=MAX_JOBS).contains(&jobs));
        config.jobs = Some(jobs.ok_or_else(|| value.refused(Rule::Jobs))?);
    }
    config.limit_rate = table.take("limit-rate").map(|value| value.parse(rate)).transpose()?;
    config.ca_file = table.take("ca-file").map(|value| value.parse(absolute)).transpose()?;
    config.netrc = table.take("netrc").map(|value| value.parse(absolute)).transpose()?;
    config.allow_http = hosts(table.take("allow-http"))?;
    config.allow_private = hosts(table.take("allow-private"))?;
    table.finish(&["jobs", "limit-rate", "ca-file", "netrc", "allow-http", "allow-private"])
}

/// Bytes a second.
fn rate(text: &str) -> Result<u64, Rule> {
    parse_rate(text).ok_or(Rule::Rate)
}

/// A rate in bytes a second: a number with or without a unit, at least 1024.
pub fn parse_rate(text: &str) -> Option<u64> {
    HumanSize::parse(text).ok().map(|size| size.0).filter(|rate| *rate >= LEAST_RATE)
}

fn hosts(value: Option<Value<'_>>) -> Result<BTreeSet<String>, TomlError> {
    value.map_or(Ok(BTreeSet::new()), |value| Ok(value.parse_list(host)?.into_iter().collect()))
}

fn mirrors(
    table: Table<'_>,
    parse: fn(&str) -> Result<String, MirrorError>,
) -> Result<BTreeMap<Sha256, Vec<String>>, TomlError> {
    let mut mirrors = BTreeMap::new();
    for (root, value) in table.into_entries() {
        let root = Sha256::parse(&root).map_err(|error| value.refused(error))?;
        mirrors.insert(root, value.parse_list(parse)?);
    }
    Ok(mirrors)
}

fn registry_rule(text: &str) -> Result<RegistryRule, Rule> {
    match text {
        "any" => Ok(RegistryRule::Any),
        "listed" => Ok(RegistryRule::Listed),
        _ => Err(Rule::Registries),
    }
}

/// Whether what nobody signed is refused.
fn unsigned(text: &str) -> Result<bool, Rule> {
    match text {
        "allow" => Ok(false),
        "deny" => Ok(true),
        _ => Err(Rule::Unsigned),
    }
}

fn endpoint(text: &str) -> Result<String, Rule> {
    let url = SafeUrl::parse(text).map_err(|_| Rule::Endpoint)?;
    let good = matches!(url.inner().scheme(), "https" | "http")
        && url.inner().query().is_none()
        && url.inner().fragment().is_none();
    if good { Ok(text.to_owned()) } else { Err(Rule::Endpoint) }
}

fn link(text: &str) -> Result<LinkMode, Rule> {
    match text {
        "auto" => Ok(LinkMode::Auto),
        "reflink" => Ok(LinkMode::Reflink),
        "hard" => Ok(LinkMode::Hard),
        "symlink" => Ok(LinkMode::Symlink),
        "copy" => Ok(LinkMode::Copy),
        _ => Err(Rule::Link),
    }
}

fn absolute(text: &str) -> Result<PathBuf, Rule> {
    let good = Path::new(text).is_absolute() && !text.chars().any(char::is_control);
    if good { Ok(PathBuf::from(text)) } else { Err(Rule::Path) }
}

/// Hosts are compared in lower case.
pub(super) fn host(text: &str) -> Result<String, Rule> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let good = !text.is_empty() && text.len() <= MAX_HOST && text.chars().all(plain);
    if good { Ok(text.to_ascii_lowercase()) } else { Err(Rule::Host) }
}

pub(super) fn token(text: &str) -> Result<Secret, Rule> {
    let good = !text.is_empty() && text.len() <= MAX_TOKEN && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(Secret::new(text.to_owned())) } else { Err(Rule::Token) }
}

#[derive(Debug, thiserror::Error)]
enum MirrorError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error(transparent)]
    Rule(#[from] Rule),
}

fn index_mirror(text: &str) -> Result<String, MirrorError> {
    match text.strip_prefix("sparse+") {
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => drop(SafeUrl::parse(url)?),
        _ => drop(absolute(text).map_err(|_| Rule::IndexMirror)?),
    }
    Ok(text.to_owned())
}

fn mirror(text: &str) -> Result<String, MirrorError> {
    if text.starts_with("https://") || text.starts_with("http://") {
        SafeUrl::parse(text)?;
    } else {
        absolute(text).map_err(|_| Rule::Mirror)?;
    }
    Ok(text.to_owned())
}
