//! `mpm doctor`: whether this machine can do what `mpm` needs, found out by trying. Opens no socket.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::index::{Memory, Remembered};
use crate::manifest::IndexAddress;
use crate::model::{HumanSize, Sha256};
use crate::ops::Services;
use crate::ops::project::{self, Project};
use crate::store::Store;
use crate::sys::credentials_file::{self, CredentialsError};
use crate::sys::{files, trial};

/// Free space below which a store is tight, in bytes.
const TIGHT: u64 = 10 << 30;
/// How far ahead of the clock a checkpoint may be, in seconds, as when it is read.
const AHEAD: u64 = 86_400;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml; there may be none.
    pub start: PathBuf,
    /// Proxies as the environment names them, by variable.
    pub proxies: Vec<(String, String)>,
    /// A file that may hold the hub's token.
    pub token_file: Option<PathBuf>,
}

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Needs fixing.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// A stable word for scripts.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found, in one sentence.
    pub text: String,
    /// What to do.
    pub fix: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was looked at, in order.
    pub checks: Vec<Check>,
}

impl Outcome {
    /// Whether something needs fixing.
    pub fn is_bad(&self) -> bool {
        self.checks.iter().any(|check| check.state == State::Bad)
    }

    fn say(&mut self, name: &'static str, state: State, text: impl Into<String>, fix: Option<String>) {
        self.checks.push(Check { name, state, text: text.into(), fix });
    }
}

/// Does it.
pub fn run(services: &Services, request: &Request) -> Outcome {
    let mut outcome = Outcome::default();
    let project = project::find(&request.start).ok();
    network(services, request, &mut outcome);
    store(services, project.as_deref(), &mut outcome);
    registries(services, project.as_deref(), &mut outcome);
    hub(services, request, &mut outcome);
    credentials(services, &mut outcome);
    permissions(services, &mut outcome);
    outcome
}

fn network(services: &Services, request: &Request, outcome: &mut Outcome) {
    for (name, value) in &request.proxies {
        if name.eq_ignore_ascii_case("no_proxy") {
            outcome.say("proxy", State::Good, format!("{name} names hosts that are met directly: {value}"), None);
            continue;
        }
        match proxy(value) {
            Some(shown) => outcome.say("proxy", State::Good, format!("requests go through {shown} ({name})"), None),
            None => outcome.say(
                "proxy",
                State::Bad,
                format!("{name} is no address of a proxy: requests would ignore it"),
                Some(format!("set {name} to http://HOST:PORT, or unset it")),
            ),
        }
    }
    if request.proxies.is_empty() {
        outcome.say("proxy", State::Good, "no proxy: servers are met directly", None);
    }
    match (&services.config.ca_file, services.http.check_authorities()) {
        (None, _) => {
            outcome.say("authorities", State::Good, "certificates are judged by the system's authorities", None);
        }
        (Some(path), Ok(count)) => outcome.say(
            "authorities",
            State::Good,
            format!("{count} authorities of {} count beside the system's", path.display()),
            None,
        ),
        (Some(_), Err(error)) => outcome.say(
            "authorities",
            State::Bad,
            error.to_string(),
            Some("mend network.ca-file or MPM_CA_FILE".to_owned()),
        ),
    }
    if let Some(path) = services.config.netrc.as_ref().filter(|path| !path.is_file()) {
        let fix = Some("mend network.netrc or MPM_NETRC".to_owned());
        outcome.say("netrc", State::Bad, format!("the netrc file {} is not there", path.display()), fix);
    }
}

/// The host of a proxy; nothing of a user or password.
fn proxy(value: &str) -> Option<String> {
    let with_scheme = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = url::Url::parse(&with_scheme).ok()?;
    let good = matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h" | "socks4" | "socks4a");
    let host = url.host_str().filter(|host| good && !host.is_empty())?;
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{host}{port}", url.scheme()))
}

fn store(services: &Services, project: Option<&Path>, outcome: &mut Outcome) {
    let folder = &services.folders.store;
    let shown = folder.display();
    let opened = match Store::open(folder) {
        Ok(store) => store,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            let fix = Some("make the folder writable, or put the store elsewhere with MPM_STORE".to_owned());
            outcome.say("store", State::Bad, format!("{error}{cause}"), fix);
            return;
        }
    };
    let system = trial::file_system(folder).unwrap_or_else(|error| format!("unknown ({error})"));
    if trial::is_shared(&system) {
        let text =
            format!("the store {shown} is on {system}, which machines may share; leases do not rely on its locks");
        outcome.say("store", State::Note, text, None);
    } else {
        outcome.say("store", State::Good, format!("the store {shown} is on {system}"), None);
    }
    for layer in services.config.layers.iter().filter(|layer| !layer.is_dir()) {
        let fix = Some("mend store.layers or MPM_STORE_LAYERS".to_owned());
        outcome.say("layer", State::Bad, format!("the layer {} is no folder", layer.display()), fix);
    }
    match files::free_space(folder) {
        Ok(free) if free < TIGHT => outcome.say(
            "free-space",
            State::Note,
            format!("only {} are free where the store is", HumanSize(free)),
            Some("mpm store gc".to_owned()),
        ),
        Ok(free) => {
            outcome.say("free-space", State::Good, format!("{} are free where the store is", HumanSize(free)), None);
        }
        Err(error) => outcome.say("free-space", State::Note, format!("free space can't be told: {error}"), None),
    }
    link(services, &opened, project, outcome);
}

/// A file is written into the store's own folder for unfinished work and linked into the project: nothing tells the truth
/// but trying.
fn link(services: &Services, store: &Store, project: Option<&Path>, outcome: &mut Outcome) {
    let from = match store.begin() {
        Ok(from) => from,
        Err(error) => {
            let fix = Some("make the store writable, or put it elsewhere with MPM_STORE".to_owned());
            outcome.say("link", State::Bad, error.to_string(), fix);
            return;
        }
    };
    let to = project.unwrap_or(&from);
    let place = if project.is_some() { "into this project" } else { "within the store" };
    let wanted = services.config.link.unwrap_or_default();
    match trial::link(&from, to) {
        Ok(trial::LinkTrial::Reflink) => {
            outcome.say("link", State::Good, format!("files come {place} by reflink: no second copy"), None);
        }
        Ok(trial::LinkTrial::Hard) if wanted == crate::config::LinkMode::Reflink => outcome.say(
            "link",
            State::Bad,
            "install.link says \"reflink\", which this file system can't do",
            Some("set install.link = \"auto\"".to_owned()),
        ),
        Ok(trial::LinkTrial::Hard) => {
            outcome.say("link", State::Good, format!("files come {place} by hard link: no second copy"), None);
        }
        Ok(trial::LinkTrial::Neither) => outcome.say(
            "link",
            State::Note,
            "the store and this project are on different file systems: large files come by symbolic link, small ones are copied",
            Some("put the store on the project's file system with MPM_STORE to avoid it".to_owned()),
        ),
        Err(error) => outcome.say(
            "link",
            State::Bad,
            format!("no file can be written in {}: {error}", to.display()),
            Some("make the folder writable for you".to_owned()),
        ),
    }
}

/// The roots that this machine remembers, by the names of their folders.
fn remembered(services: &Services) -> BTreeSet<Sha256> {
    let folders = files::list(&services.folders.trust).unwrap_or_default();
    folders.into_iter().filter_map(|(name, _)| Sha256::parse(name.to_str()?).ok()).collect()
}

fn registries(services: &Services, project: Option<&Path>, outcome: &mut Outcome) {
    let mut roots = remembered(services);
    let mut newest = None;
    let declared = project.map(Project::open).transpose();
    match declared {
        Ok(project) => {
            for (id, registry) in project.iter().flat_map(|project| &project.manifest.registries) {
                if registry.index != IndexAddress::Builtin && !roots.contains(&registry.root) {
                    let text = format!("registry {id} was never met on this machine");
                    outcome.say("registry", State::Note, text, Some("mpm lock".to_owned()));
                }
            }
        }
        Err(error) => {
            let fix = Some("mpm lock --check shows the line".to_owned());
            outcome.say("project", State::Bad, error.to_string(), fix);
        }
    }
    // What is compiled in is as old as the program, and nobody can freeze it.
    roots.remove(&crate::index::builtin_root());
    for root in std::mem::take(&mut roots) {
        match Memory::load(&services.folders.trust, &root).map(|memory| memory.remembered()) {
            Ok(Some(found)) => {
                newest = newest.max(Some(found.issued));
                registry(services, &found, outcome);
            }
            Ok(None) => {}
            Err(error) => outcome.say(
                "registry",
                State::Bad,
                error.to_string(),
                Some(
                    "compare with another machine; without the folder, this machine meets the registry anew".to_owned(),
                ),
            ),
        }
    }
    let now = services.now;
    match newest {
        Some(newest) if newest.seconds() > now.seconds() + AHEAD => outcome.say(
            "clock",
            State::Bad,
            format!("the clock says {now}, but a registry signed its checkpoint at {newest}"),
            Some("set the clock".to_owned()),
        ),
        Some(newest) => {
            outcome.say(
                "clock",
                State::Good,
                format!("the clock ({now}) is not behind the newest checkpoint ({newest})"),
                None,
            );
        }
        None => outcome.say("clock", State::Good, format!("the clock says {now}; no checkpoint to compare with"), None),
    }
}

fn registry(services: &Services, found: &Remembered, outcome: &mut Outcome) {
    let now = services.now.seconds();
    let old = now.saturating_sub(found.issued.seconds());
    let head =
        format!("registry {}: checkpoint {} of {}, {} old", found.registry, found.checkpoint, found.issued, age(old));
    match found.expires {
        None => {
            outcome.say("registry", State::Note, format!("{head}; it never expires, so a freeze can't be seen"), None);
        }
        Some(expires) if expires.seconds() <= now => {
            let text = format!("{head}, expired {} ago", age(now - expires.seconds()));
            outcome.say("registry", State::Note, text, Some("mpm lock, which asks for a newer one".to_owned()));
        }
        Some(expires) => {
            outcome.say("registry", State::Good, format!("{head}, good for {}", age(expires.seconds() - now)), None);
        }
    }
}

/// Whole days, or hours below one.
fn age(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600) {
        (0, hours) => format!("{hours} h"),
        (days, _) => format!("{days} d"),
    }
}

fn hub(services: &Services, request: &Request, outcome: &mut Outcome) {
    let endpoint = services.hub.endpoint.url();
    let token = match (&services.hub.token, &request.token_file) {
        (Some(from), Some(path)) if *from == path.display().to_string() && !path.is_file() => None,
        (token, _) => token.clone(),
    };
    let token = token.map_or_else(|| "no token".to_owned(), |from| format!("a token from {from}"));
    outcome.say("hub", State::Good, format!("the hub is {endpoint}, asked with {token}"), None);
}

/// Whether what keeps tokens can be used; no token is looked at, and the helper is not started.
fn credentials(services: &Services, outcome: &mut Outcome) {
    if let Some([program, ..]) = services.config.helper.as_deref() {
        match trial::mode(Path::new(program)) {
            Ok(Some(mode)) if mode & 0o111 != 0 && Path::new(program).is_file() => {
                outcome.say("helper", State::Good, format!("tokens are kept by the helper {program}"), None);
            }
            _ => outcome.say(
                "helper",
                State::Bad,
                format!("the credential helper {program} is no program that can be started"),
                Some("mend [credentials] helper in config.toml".to_owned()),
            ),
        }
    }
    match credentials_file::read(&services.folders.credentials) {
        // Permissions are told below, with what to do.
        Ok(_) | Err(CredentialsError::Open { .. }) => {}
        Err(error) => {
            let fix = "mend the file, or remove it and log in again".to_owned();
            outcome.say("credentials", State::Bad, error.to_string(), Some(fix));
        }
    }
}

/// What only its owner may read or write.
fn permissions(services: &Services, outcome: &mut Outcome) {
    let folders = &services.folders;
    let config = folders.user_config.clone();
    let private = [
        ("trust", folders.trust.clone(), true, 0o077),
        ("credentials", folders.credentials.clone(), true, 0o077),
        ("keys", folders.keys.clone(), true, 0o077),
        // Readable by others where it holds no secret.
        ("config", config, !services.config.tokens.is_empty(), 0o077),
        ("config", folders.user_config.clone(), true, 0o022),
    ];
    let mut checked = BTreeSet::new();
    for (what, path, counts, forbidden) in private {
        match trial::mode(&path) {
            Ok(Some(mode)) if counts && mode & forbidden != 0 && checked.insert(path.clone()) => {
                let right = if path.is_dir() { "700" } else { "600" };
                let reads = if mode & 0o022 & forbidden == 0 { "read" } else { "read or change" };
                let text = format!("others may {reads} {} (mode {mode:o})", path.display());
                outcome.say("permissions", State::Bad, text, Some(format!("chmod {right} {}", quoted(&path))));
            }
            Ok(Some(_)) if counts && !checked.contains(&path) && what == "trust" => {
                let text = format!("what this machine remembers of registries is its own: {}", path.display());
                outcome.say("permissions", State::Good, text, None);
            }
            Ok(_) => {}
            Err(error) => {
                outcome.say("permissions", State::Bad, format!("{} can't be looked at: {error}", path.display()), None);
            }
        }
    }
}

fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
