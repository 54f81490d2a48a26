//! `mpm login` and `mpm logout`: a token for one host, kept by a helper or in credentials.toml, and sent to that host alone.

use std::path::PathBuf;

use crate::config::{Secret, parse_host, parse_token};
use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::manifest::{IndexAddress, Manifest};
use crate::model::{RegistryId, nearest};
use crate::ops::project::{self, Project};
use crate::ops::{PipelineError, Services};
use crate::sys::credentials_file::{self, CredentialsError};
use crate::sys::{HelperAction, HelperError, ask_helper};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for Model.toml; there may be none.
    pub start: PathBuf,
    /// A host, or a registry of Model.toml.
    pub subject: String,
}

/// Where a token is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeper {
    /// The helper, by its program.
    Helper(String),
    /// The file.
    File(PathBuf),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The host.
    pub host: String,
    /// Who keeps its token.
    pub keeper: Keeper,
    /// `logout`: whether there was one. A helper does not say.
    pub removed: Option<bool>,
    /// Where else a token for the host stands, which counts before this one.
    pub shadowed_by: Option<&'static str>,
}

/// Why there is no login.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Model.toml.
    #[error(transparent)]
    Project(#[from] PipelineError),
    /// Neither a registry nor a host.
    #[error("{subject:?} is neither a registry of Model.toml nor a host")]
    Subject {
        /// What was typed.
        subject: String,
        /// Registries near it.
        near: Vec<String>,
    },
    /// A registry that no server answers for.
    #[error("registry {registry} is {place}: there is no host that could want a token")]
    NoHost {
        /// The registry.
        registry: RegistryId,
        /// Where its index is.
        place: &'static str,
    },
    /// No token came.
    #[error("no token for {host}: {problem}")]
    NoToken {
        /// The host.
        host: String,
        /// What came instead.
        problem: &'static str,
    },
    /// The file.
    #[error(transparent)]
    File(#[from] CredentialsError),
    /// The helper.
    #[error("the credential helper {program} failed for {host}")]
    Helper {
        /// The program.
        program: String,
        /// The host.
        host: String,
        /// Why.
        source: HelperError,
    },
}

impl Diagnose for LoginError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Project(error) => return error.code(),
            Self::File(error) => return error.code(),
            Self::Subject { .. } => "E0971",
            Self::NoHost { .. } => "E0972",
            Self::NoToken { .. } => "E0973",
            Self::Helper { .. } => "E0974",
        })
    }

    fn class(&self) -> Class {
        match self {
            Self::Project(error) => error.class(),
            Self::File(error) => error.class(),
            Self::NoToken { .. } => Class::Usage,
            _ => Class::Yours,
        }
    }

    fn hints(&self) -> Vec<Hint> {
        let note = |text: &str| Hint::Note(text.to_owned());
        match self {
            Self::Project(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Subject { near, .. } if near.is_empty() => {
                vec![note("a host is written like models.acme.example or 127.0.0.1:8000; nothing was stored")]
            }
            Self::Subject { near, .. } => {
                vec![Hint::Note(format!("did you mean {}?", near.join(" or "))), note("nothing was stored")]
            }
            Self::NoHost { .. } => vec![note("nothing was stored, and nothing is needed")],
            Self::NoToken { host, .. } => vec![
                Hint::Run(format!("mpm login {host} < FILE")),
                note(
                    "the token is the first line of standard input, or what is typed at the prompt; nothing was stored",
                ),
            ],
            Self::Helper { .. } => vec![note(
                "[credentials] helper in config.toml names it; docs/formats/credentials.md says what it must answer",
            )],
        }
    }
}

/// The host that a login is for.
///
/// # Errors
/// `E0971`, `E0972`, and a Model.toml that does not parse.
pub fn host(services: &Services, request: &Request) -> Result<String, LoginError> {
    let manifest = match project::find(&request.start) {
        Ok(folder) => Project::open(&folder)?.manifest,
        Err(_) => Manifest::default(),
    };
    if let Ok(id) = RegistryId::parse(&request.subject)
        && let Some(registry) = manifest.registries.get(&id)
    {
        return match &registry.index {
            IndexAddress::Sparse(url) | IndexAddress::Git(url) if matches!(url.inner().scheme(), "https" | "http") => {
                Ok(host_of(url.inner()))
            }
            IndexAddress::Builtin => Err(LoginError::NoHost { registry: id, place: "in the binary" }),
            IndexAddress::Folder(_) => Err(LoginError::NoHost { registry: id, place: "a folder" }),
            _ => Err(LoginError::NoHost { registry: id, place: "reached by git's own means" }),
        };
    }
    if request.subject == "hf" {
        return Ok(services.hub.endpoint.host());
    }
    // A word without a dot or a port is far more often a registry that is not there than a host.
    let like_a_host = request.subject.contains(['.', ':']) || request.subject == "localhost";
    parse_host(&request.subject).filter(|_| like_a_host).ok_or_else(|| LoginError::Subject {
        subject: request.subject.clone(),
        near: nearest(&request.subject, manifest.registries.keys().map(RegistryId::as_str))
            .into_iter()
            .map(str::to_owned)
            .collect(),
    })
}

fn host_of(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

/// Keeps a token for a host, read as text.
///
/// # Errors
/// `E0973` for what is no token, `E0974` for a helper that fails, and those of the file.
pub fn login(services: &Services, host: &str, typed: Option<&str>) -> Result<Outcome, LoginError> {
    let refused = |problem| LoginError::NoToken { host: host.to_owned(), problem };
    let typed = typed.map(str::trim).ok_or_else(|| refused("nobody typed one"))?;
    if typed.is_empty() {
        return Err(refused("what came is empty"));
    }
    let token = parse_token(typed).ok_or_else(|| refused("what came is not printable ASCII without spaces"))?;
    let keeper = keeper(services);
    match &keeper {
        Keeper::Helper(program) => drop(ask(services, program, host, HelperAction::Store(&token))?),
        Keeper::File(path) => drop(credentials_file::change(path, |tokens| tokens.insert(host.to_owned(), token))?),
    }
    Ok(Outcome { host: host.to_owned(), keeper, removed: None, shadowed_by: shadowed_by(services, host) })
}

/// Forgets the token of a host.
///
/// # Errors
/// `E0974` for a helper that fails, and those of the file.
pub fn logout(services: &Services, host: &str) -> Result<Outcome, LoginError> {
    let keeper = keeper(services);
    let removed = match &keeper {
        Keeper::Helper(program) => {
            ask(services, program, host, HelperAction::Erase)?;
            None
        }
        Keeper::File(path) if path.exists() => {
            Some(credentials_file::change(path, |tokens| tokens.remove(host).is_some())?)
        }
        Keeper::File(_) => Some(false),
    };
    Ok(Outcome { host: host.to_owned(), keeper, removed, shadowed_by: shadowed_by(services, host) })
}

fn keeper(services: &Services) -> Keeper {
    match services.config.helper.as_deref() {
        Some([program, ..]) => Keeper::Helper(program.clone()),
        _ => Keeper::File(services.folders.credentials.clone()),
    }
}

fn ask(services: &Services, program: &str, host: &str, action: HelperAction<'_>) -> Result<Option<Secret>, LoginError> {
    let helper = services.config.helper.as_deref().unwrap_or_default();
    ask_helper(helper, host, action).map_err(|source| LoginError::Helper {
        program: program.to_owned(),
        host: host.to_owned(),
        source,
    })
}

/// What counts before a stored token.
fn shadowed_by(services: &Services, host: &str) -> Option<&'static str> {
    if services.config.tokens.contains_key(host) {
        Some("[tokens] in config.toml")
    } else if services.http.settings().tokens.contains_key(host) {
        Some("HF_TOKEN")
    } else {
        None
    }
}
