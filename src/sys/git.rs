//! Git through gix: bare, no work tree, no hook, no filter; files from the object database of one commit.
//!
//! A remote is fetched into a side ref of a bare copy; a repository on this machine is opened in place. No configuration
//! but the copy's own is read, no helper or prompt is started, redirects are not followed. Git adds no trust rule: what the
//! files say is for others to check.

mod metered;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use gix::bstr::ByteSlice as _;
use gix::protocol::transport::client::blocking_io as client;
use gix::protocol::transport::client::blocking_io::http as transport;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::SafeUrl;
use crate::sys::{HttpClient, HttpError, NetworkPolicy, Scope};

use metered::{Meter, MeteredHttp, MeteredTransport};

/// The ref that a fetch writes first.
const INCOMING: &str = "refs/mpm/incoming";
/// The ref that holds the last commit that was handed out.
const SEEN: &str = "refs/mpm/seen";

/// Most bytes that a remote may send in one fetch: an index of 10^6 packages, with its history (docs/decisions/0021).
pub const MAX_FETCH: u64 = 4 << 30;
/// Largest folder, in bytes of its tree object: some 10^6 files named by digest.
const MAX_TREE: u64 = 256 << 20;

/// One commit of a repository, read in place.
pub struct Commit {
    repository: gix::ThreadSafeRepository,
    id: gix::ObjectId,
    descends: bool,
}

/// Why git can't give it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The rules for addresses refuse it, or the run is offline.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An address that git must not be given.
    #[error("{url} is not an address of a git repository that is opened: {rule}")]
    Address {
        /// The address.
        url: SafeUrl,
        /// The rule.
        rule: &'static str,
    },
    /// The remote can't be reached, or is no repository.
    #[error("the git repository {url} can't be fetched: {reason}")]
    Fetch {
        /// The address.
        url: SafeUrl,
        /// What gix said, without the address.
        reason: String,
    },
    /// The remote sends without end, or more than any index needs.
    #[error("the git repository {url} sends more than the {cap} bytes that a fetch may bring")]
    TooMuch {
        /// The address.
        url: SafeUrl,
        /// Bytes allowed.
        cap: u64,
    },
    /// The repository on this machine can't be opened or has no commit.
    #[error("the git repository {place} can't be read: {reason}")]
    Open {
        /// Its place.
        place: String,
        /// What gix said.
        reason: String,
    },
    /// A file that is larger than its kind may be.
    #[error("{path} in the git commit {commit} has {found} bytes, more than the {cap} that such a file may have")]
    TooLarge {
        /// The file.
        path: String,
        /// The commit.
        commit: String,
        /// Bytes found.
        found: u64,
        /// Bytes allowed.
        cap: u64,
    },
    /// A symbolic link or submodule where a file is expected.
    #[error("{path} in the git commit {commit} is not a regular file")]
    NotAFile {
        /// The path.
        path: String,
        /// The commit.
        commit: String,
    },
}

impl Diagnose for GitError {
    fn code(&self) -> Code {
        match self {
            Self::Http(error) => error.code(),
            Self::Address { .. } => Code("E0161"),
            Self::Fetch { .. } => Code("E0162"),
            Self::Open { .. } => Code("E0163"),
            Self::TooLarge { .. } => Code("E0164"),
            Self::NotAFile { .. } => Code("E0165"),
            Self::TooMuch { .. } => Code("E0166"),
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Http(error) => error.class(),
            Self::Address { .. } => Class::Yours,
            Self::Fetch { .. } | Self::Open { .. } | Self::TooMuch { .. } => Class::Network,
            Self::TooLarge { .. } | Self::NotAFile { .. } => Class::Trust,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Http(error) => error.hints(),
            Self::Fetch { url, .. } => vec![Hint::Run(format!("git ls-remote {url} HEAD"))],
            Self::TooMuch { .. } => vec![Hint::Note(
                "what came was dropped; try another copy of the index, and tell whoever runs this one".to_owned(),
            )],
            _ => Vec::new(),
        }
    }
}

impl Commit {
    /// The commit's id, in hex.
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// Whether the commit that was seen before is among its ancestors; true where none was. A warning, no rule.
    pub fn descends(&self) -> bool {
        self.descends
    }

    /// The regular file at a path of the commit's tree, if it is there and no larger than `cap`.
    ///
    /// # Errors
    /// `E0163` to `E0165`.
    pub fn file(&self, path: &str, cap: u64) -> Result<Option<Vec<u8>>, GitError> {
        let repository = self.repository.to_thread_local();
        let fail = |error: gix::Error| GitError::Open { place: format!("commit {}", self.id), reason: reason(&error) };
        let mut folder = repository.find_commit(self.id).map_err(fail)?.tree_id().map_err(fail)?.detach();
        let mut parts = path.split('/').peekable();
        let entry = loop {
            // The header first: an object that is too large is never inflated.
            let found = repository.find_header(folder).map_err(fail)?.size();
            if found > MAX_TREE {
                return Err(GitError::TooLarge { path: path.to_owned(), commit: self.id(), found, cap: MAX_TREE });
            }
            let tree = repository.find_tree(folder).map_err(fail)?;
            let part = parts.next().unwrap_or_default();
            let Some(entry) = tree.find_entry(part).map(|entry| (entry.mode(), entry.object_id())) else {
                return Ok(None);
            };
            match parts.peek() {
                None => break entry,
                Some(_) if entry.0.is_tree() => folder = entry.1,
                Some(_) => return Ok(None),
            }
        };
        let (mode, oid) = entry;
        if !mode.is_blob() {
            return if mode.is_tree() {
                Ok(None)
            } else {
                Err(GitError::NotAFile { path: path.to_owned(), commit: self.id() })
            };
        }
        let found = repository.find_header(oid).map_err(fail)?.size();
        if found > cap {
            return Err(GitError::TooLarge { path: path.to_owned(), commit: self.id(), found, cap });
        }
        let mut object = repository.find_object(oid).map_err(fail)?;
        Ok(Some(std::mem::take(&mut object.data)))
    }
}

/// Fetches the default branch into a side ref of the bare copy in `cache`, and opens its commit. A `file:` address is
/// opened in place. A remote that sends more than `most` bytes is left.
///
/// # Errors
/// `E0161` to `E0163`, `E0166`; `E0151` and `E0152` where the client's rules refuse the address.
pub fn fetch(url: &SafeUrl, cache: &Path, http: &HttpClient, scope: Scope, most: u64) -> Result<Commit, GitError> {
    refuse_odd(url)?;
    if url.inner().scheme() == "file" {
        return open_in_place(url);
    }
    if http.policy() == NetworkPolicy::Offline {
        return Err(HttpError::Offline { url: Box::new(url.clone()) }.into());
    }
    if url.inner().scheme() != "ssh" {
        http.admit(url, scope)?;
    }
    let repository = open_copy(url, cache)?;
    let before = seen(&repository);
    let meter = Meter::new(most);
    let id = receive(url, &repository, http, scope, &meter).map_err(|error| {
        if meter.exceeded() { GitError::TooMuch { url: url.clone(), cap: most } } else { fetch_error(url, &error) }
    })?;
    let descends = before.is_none_or(|before| {
        before == id || repository.merge_base(before, id).is_ok_and(|base| base.is_some_and(|base| base == before))
    });
    let edit = repository.reference(SEEN, id, gix::refs::transaction::PreviousValue::Any, "mpm: seen");
    edit.map_err(|error| fetch_error(url, &error))?;
    Ok(Commit { repository: repository.into_sync(), id, descends })
}

/// Opens the commit that the last fetch of this address brought, without a socket.
///
/// # Errors
/// `E0161`, `E0163`.
pub fn open_last(url: &SafeUrl, cache: &Path) -> Result<Option<Commit>, GitError> {
    refuse_odd(url)?;
    if url.inner().scheme() == "file" {
        return open_in_place(url).map(Some);
    }
    if !cache.join("HEAD").exists() {
        return Ok(None);
    }
    let repository = open_copy(url, cache)?;
    let id = seen(&repository);
    Ok(id.map(|id| Commit { repository: repository.into_sync(), id, descends: true }))
}

/// Refuses what a program could take for an option, and schemes that run one.
fn refuse_odd(url: &SafeUrl) -> Result<(), GitError> {
    let inner = url.inner();
    let refuse = |rule| Err(GitError::Address { url: url.clone(), rule });
    if !matches!(inner.scheme(), "https" | "http" | "ssh" | "file") {
        return refuse("the scheme is none of https, http, ssh and file");
    }
    if inner.scheme() == "file" {
        return if inner.host_str().is_some_and(|host| host != "localhost") {
            refuse("a file has no host")
        } else {
            Ok(())
        };
    }
    let host = inner.host_str().unwrap_or_default();
    if host.is_empty() || host.starts_with('-') || inner.username().starts_with('-') {
        return refuse("the host is missing or begins with a hyphen");
    }
    let odd = |text: &str| {
        text.split('/').any(|part| part.starts_with('-') || part.starts_with("%2d")) || text.contains("::")
    };
    if odd(&inner.path().to_ascii_lowercase()) || inner.path().contains(['\\', '\n']) {
        return refuse("a part of the path begins with a hyphen or holds ::");
    }
    Ok(())
}

/// Options that read no file but the repository's own configuration, and no environment.
fn options() -> gix::open::Options {
    gix::open::Options::isolated().open_path_as_is(true).config_overrides([
        "http.followRedirects=false",
        "gitoxide.credentials.terminalPrompt=false",
        "core.askPass=",
        "credential.helper=",
        "core.hooksPath=/dev/null",
        // An object that inflates to more than a fetch may bring is no file of an index (as MAX_FETCH).
        "gitoxide.objects.allocLimit=4294967296",
    ])
}

fn open_in_place(url: &SafeUrl) -> Result<Commit, GitError> {
    let place = url.to_string();
    let fail = |error: gix::Error| GitError::Open { place: place.clone(), reason: reason(&error) };
    let path = url
        .inner()
        .to_file_path()
        .map_err(|()| GitError::Address { url: url.clone(), rule: "it is no path of this machine" })?;
    // A repository with a work tree has its database in `.git`.
    let inside = path.join(".git");
    let path = if inside.is_dir() { inside } else { path };
    let repository = gix::open_opts(path, options()).map_err(fail)?;
    let id = repository.head_id().map_err(fail)?.detach();
    Ok(Commit { repository: repository.into_sync(), id, descends: true })
}

fn open_copy(url: &SafeUrl, cache: &Path) -> Result<gix::Repository, GitError> {
    let fail = |reason: String| GitError::Open { place: format!("copy of {url}"), reason };
    if cache.join("HEAD").exists() {
        return gix::open_opts(cache, options()).map_err(|error| fail(reason(&error)));
    }
    std::fs::create_dir_all(cache).map_err(|error| fail(error.to_string()))?;
    gix::ThreadSafeRepository::init_opts(
        cache,
        gix::create::Kind::Bare,
        gix::create::Options { destination_must_be_empty: Some(false), ..Default::default() },
        options(),
    )
    .map(|repository| repository.to_thread_local())
    .map_err(|error| fail(reason(&error)))
}

fn seen(repository: &gix::Repository) -> Option<gix::ObjectId> {
    let reference = repository.try_find_reference(SEEN).ok()??;
    Some(reference.id().detach())
}

fn receive(
    url: &SafeUrl,
    repository: &gix::Repository,
    http: &HttpClient,
    scope: Scope,
    meter: &Arc<Meter>,
) -> Result<gix::ObjectId, gix::Error> {
    let refspec = format!("+HEAD:{INCOMING}");
    let address = gix::url::parse(url.inner().as_str().as_bytes().as_bstr())?;
    let remote = repository
        .remote_at_without_url_rewrite(address)?
        .with_refspecs([refspec.as_str()], gix::remote::Direction::Fetch)?
        .with_fetch_tags(gix::remote::fetch::Tags::None);
    let (address, version) = remote.sanitized_url_and_version(gix::remote::Direction::Fetch)?;
    if url.inner().scheme() == "ssh" {
        let options = client::connect::Options { version, ssh: repository.ssh_connect_options()?, trace: false };
        let ssh = client::connect::connect(address, options)?;
        bring(remote.to_connection_with_transport(MeteredTransport::new(ssh, meter)))?;
    } else {
        let over_http = transport::Transport::new_http(MeteredHttp::new(meter), address, version, false);
        let mut connection = remote.to_connection_with_transport(over_http);
        connection.set_transport_options(Box::new(transport_options(url, http, scope)));
        bring(connection)?;
    }
    Ok(repository.find_reference(INCOMING)?.into_fully_peeled_id()?.detach())
}

fn bring<T: client::Transport>(mut connection: gix::remote::Connection<'_, 'static, '_, T>) -> Result<(), gix::Error> {
    // Nobody is asked: a remote that wants a password gets the token that the user bound to it, or nothing.
    connection.set_credentials(|_| Ok(None));
    connection
        .prepare_fetch(gix::progress::Discard, gix::remote::ref_map::Options::default())?
        .receive(gix::progress::Discard, &AtomicBool::new(false))?;
    Ok(())
}

/// Options under which gix's own client keeps the rules of ours.
fn transport_options(url: &SafeUrl, http: &HttpClient, scope: Scope) -> transport::Options {
    let (client, credentials, address) = (http.clone(), http.clone(), url.clone());
    let backend = transport::reqwest::Options {
        configure_client: Some(Box::new(move |builder| {
            client.configure_blocking(&address, scope, builder).map_err(gix::Error::from_error)
        })),
        configure_request: Some(Box::new(move |request| {
            credentials.authorise_blocking(request).map_err(gix::Error::from_error)
        })),
    };
    transport::Options {
        follow_redirects: transport::options::FollowRedirects::None,
        ssl_verify: true,
        user_agent: Some(concat!("mpm/", env!("CARGO_PKG_VERSION")).to_owned()),
        backend: Some(Arc::new(Mutex::new(backend))),
        ..transport::Options::default()
    }
}

fn fetch_error(url: &SafeUrl, error: &gix::Error) -> GitError {
    GitError::Fetch { url: url.clone(), reason: reason(error) }
}

/// The chain of an error on one line, cut; addresses with credentials never get this far.
fn reason(error: &gix::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&next);
        }
        cause = error.source();
    }
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::refuse_odd;
    use crate::model::SafeUrl;

    #[test]
    fn addresses_that_could_be_options_or_programs_are_refused() {
        for (text, good) in [
            ("https://a.example/r.git", true),
            ("ssh://git@a.example/r.git", true),
            ("file:///srv/r.git", true),
            ("ssh://-oProxyCommand=x/r", false),
            ("ssh://a.example/-x", false),
            ("ssh://a.example/%2dx", false),
            ("ssh://-x@a.example/r", false),
            ("ext::sh -c x", false),
            ("https://a.example/ext::sh", false),
            ("file://other/r", false),
            ("git://a.example/r", false),
        ] {
            let refused = SafeUrl::parse(text).ok().is_none_or(|url| refuse_odd(&url).is_err());
            assert_eq!(!refused, good, "{text}");
        }
    }
}
