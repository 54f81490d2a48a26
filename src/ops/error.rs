//! The errors of verbs: what a project can lack, and every stage of the pipeline.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::fetch::FetchError;
use crate::fetch::hub::HubFetchError;
use crate::index::IndexError;
use crate::inspect::InspectError;
use crate::install::InstallError;
use crate::layout::LayoutError;
use crate::lock::LockError;
use crate::manifest::{AddressError, ManifestError};
use crate::mirror::MirrorError;
use crate::model::{Fingerprint, Namespace, PackageName, RegistryId, Sha256, Version};
use crate::policy::Refused;
use crate::resolve::NoSolution;
use crate::select::SelectError;
use crate::statement::StatementError;
use crate::store::StoreError;
use crate::sys::{HttpError, LeaseError};
use crate::verify::{GitMismatch, Mismatch};

/// Why a project can't be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No Model.toml here or above.
    #[error("no Model.toml in {} or any folder above", start.display())]
    NoManifest {
        /// Where the search began.
        start: PathBuf,
    },
    /// A file of the project can't be read.
    #[error("{} can't be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        #[source]
        #[doc = "The cause."]
        source: std::io::Error,
    },
    /// A file of the project can't be written.
    #[error("{} can't be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        #[source]
        #[doc = "The cause."]
        source: std::io::Error,
    },
    /// `init` where there is a project.
    #[error("{} is there already", path.display())]
    Exists {
        /// The Model.toml.
        path: PathBuf,
    },
    /// A file of the project that is not UTF-8.
    #[error("{} is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

impl Diagnose for ProjectError {
    fn code(&self) -> Code {
        Code(match self {
            Self::NoManifest { .. } => "E0901",
            Self::Read { .. } => "E0902",
            Self::Write { .. } => "E0903",
            Self::Exists { .. } => "E0904",
            Self::NotText { .. } => "E0905",
        })
    }

    fn class(&self) -> Class {
        Class::Yours
    }

    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::NoManifest { .. } => vec![
                Hint::Run("mpm init".to_owned()),
                Hint::Note("`mpm add NAME --init` makes the project and adds to it in one go".to_owned()),
            ],
            Self::Exists { .. } => vec![
                Hint::Note("nothing was changed; this folder is a project already".to_owned()),
                Hint::Run("mpm add NAME".to_owned()),
            ],
            Self::Write { .. } | Self::Read { .. } | Self::NotText { .. } => {
                vec![Hint::Note("nothing was changed".to_owned())]
            }
        }
    }
}

/// Why a verb that goes through the pipeline ended early.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The project's files.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// Model.toml.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Model.lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Resolving.
    #[error(transparent)]
    Resolve(#[from] NoSolution),
    /// Reading an index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A statement or file list.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Selecting.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// Laying out for another tool.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Policy.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Fetching.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Asking a hub.
    #[error(transparent)]
    Hub(#[from] HubFetchError),
    /// An address that is refused before anybody is asked.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Bytes that are not what was pinned.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// Bytes that are not those of a git id.
    #[error(transparent)]
    GitMismatch(#[from] GitMismatch),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Looking at content.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// Installing.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A mirror.
    #[error(transparent)]
    Mirror(#[from] Box<MirrorError>),
    /// Serving.
    #[error(transparent)]
    Serve(#[from] crate::serve::ServeError),
    /// What is to be served can't be read.
    #[error("{0}")]
    Serving(crate::serve::Trouble),
    /// An address of an index that is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Somebody else's lease.
    #[error(transparent)]
    Lease(#[from] LeaseError),

    /// The lock does not answer Model.toml and may not be changed.
    #[error("Model.lock does not answer Model.toml:\n{}", lines(reasons))]
    Stale {
        /// Every reason.
        reasons: Vec<String>,
    },
    /// A question that nobody could answer.
    #[error("{question}")]
    Unanswered {
        /// The question.
        question: String,
        /// The flag that would have answered.
        flag: &'static str,
    },
    /// A key that Model.toml does not have.
    #[error("Model.toml has no dependency {key:?}")]
    UnknownKey {
        /// The key.
        key: String,
        /// Keys near it.
        near: Vec<String>,
    },
    /// A file where a folder is wanted.
    #[error("{} is a file, and a folder is wanted", path.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// A name that the lock does not hold.
    #[error("Model.lock holds nothing called {name:?}")]
    NotLocked {
        /// The name.
        name: String,
        /// Names near it.
        near: Vec<String>,
    },
    /// One version for what has none, or for several things.
    #[error("{name} can't be locked at {version}: {why}")]
    NotPrecise {
        /// What was named.
        name: String,
        /// The version.
        version: Version,
        /// Why not.
        why: &'static str,
        /// What to do instead.
        instead: String,
    },
    /// A package that its registry does not have.
    #[error("registry {registry} has no package {name}")]
    UnknownPackage {
        /// The package.
        name: PackageName,
        /// The registry.
        registry: RegistryId,
        /// Which lines of Model.toml ask for it, in sentences.
        asked_by: Vec<String>,
        /// Names near it.
        near: Vec<String>,
        /// Whether only what is kept of the index was looked at.
        offline: bool,
    },
    /// Other publishers than the remembered ones signed.
    #[error(
        "{package} is signed by {}, but {namespace} was known to publish with {}",
        fingerprints(found),
        fingerprints(remembered)
    )]
    SignersChanged {
        /// The release.
        package: String,
        /// The namespace.
        namespace: Namespace,
        /// Who signed.
        found: BTreeSet<Fingerprint>,
        /// Who was remembered.
        remembered: BTreeSet<Fingerprint>,
    },
    /// Model.toml names another first root than the lock.
    #[error("registry {registry}: Model.toml names the root sha256:{found}, Model.lock was made under sha256:{locked}")]
    RootChanged {
        /// The registry.
        registry: RegistryId,
        /// Model.toml's.
        found: Sha256,
        /// The lock's.
        locked: Sha256,
    },
    /// A registry that configuration does not list.
    #[error("registry {registry} (root sha256:{root}) is not listed, and this machine's configuration refuses others")]
    NotListed {
        /// The registry.
        registry: RegistryId,
        /// Its first root.
        root: Sha256,
    },
    /// A pin of the lock that signed data contradicts.
    #[error("{package}: Model.lock pins {what} {locked}, the registry's signed files say {found}")]
    PinDisagrees {
        /// The release.
        package: String,
        /// What is pinned.
        what: &'static str,
        /// The lock's.
        locked: String,
        /// The signed one.
        found: String,
    },
    /// A folder that is a `path` source can't be used.
    #[error("source folder {}: {problem}", path.display())]
    SourceFolder {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Somebody pressed ctrl-c.
    #[error("stopped")]
    Cancelled,
    /// A dependency that is not placed, or not as the lock says.
    #[error("{key} is not placed as Model.lock says")]
    NotPlaced {
        /// The key.
        key: String,
    },
    /// Placed files that don't answer Model.toml and Model.lock as they stand.
    #[error("the project is not placed as Model.toml and Model.lock say:\n{}", lines(reasons))]
    NotCurrent {
        /// What differs.
        reasons: Vec<String>,
    },
    /// A revision that git does not know, or without a lock.
    #[error("no Model.lock at revision {revision:?}: {problem}")]
    NoRevision {
        /// The revision.
        revision: String,
        /// What git said.
        problem: String,
    },
    /// A registry that Model.toml does not configure.
    #[error("registry {registry} is not configured in Model.toml")]
    NotConfigured {
        /// The registry.
        registry: RegistryId,
    },
    /// A requirement that no release satisfies.
    #[error("no release of {name} satisfies {requirement}")]
    NoRelease {
        /// The package.
        name: PackageName,
        /// The requirement.
        requirement: String,
        /// Versions that there are, newest first.
        versions: Vec<String>,
    },
}

impl From<MirrorError> for PipelineError {
    fn from(error: MirrorError) -> Self {
        Self::Mirror(Box::new(error))
    }
}

impl From<crate::ops::bringing::Broken> for PipelineError {
    fn from(broken: crate::ops::bringing::Broken) -> Self {
        match broken {
            crate::ops::bringing::Broken::Mismatch(error) => Self::Mismatch(error),
            crate::ops::bringing::Broken::Store(error) => Self::Store(error),
        }
    }
}

fn lines(reasons: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text: Vec<String> = reasons.iter().take(SHOWN).map(|reason| format!("  - {reason}")).collect();
    if reasons.len() > SHOWN {
        text.push(format!("  - and {} more", reasons.len() - SHOWN));
    }
    text.join("\n")
}

fn fingerprints(keys: &BTreeSet<Fingerprint>) -> String {
    keys.iter().map(Fingerprint::short).collect::<Vec<_>>().join(", ")
}

impl PipelineError {
    fn inner(&self) -> Option<&dyn Diagnose> {
        Some(match self {
            Self::Project(error) => error,
            Self::Manifest(error) => error,
            Self::Lock(error) => error,
            Self::Resolve(error) => error,
            Self::Index(error) => error,
            Self::Statement(error) => error,
            Self::Select(error) => error,
            Self::Layout(error) => error,
            Self::Refused(error) => error,
            Self::Fetch(error) => error,
            Self::Hub(error) => error,
            Self::Http(error) => error,
            Self::Mismatch(error) => error,
            Self::GitMismatch(error) => error,
            Self::Store(error) => error,
            Self::Inspect(error) => error,
            Self::Install(error) => error,
            Self::Mirror(error) => &**error,
            Self::Serve(error) => error,
            Self::Serving(error) => &**error,
            Self::Address(error) => error,
            Self::Lease(error) => error,
            _ => return None,
        })
    }
}

impl Diagnose for PipelineError {
    fn code(&self) -> Code {
        if let Some(inner) = self.inner() {
            return inner.code();
        }
        Code(match self {
            Self::Stale { .. } => "E0910",
            Self::Unanswered { .. } => "E0911",
            Self::UnknownKey { .. } => "E0912",
            Self::SignersChanged { .. } => "E0913",
            Self::RootChanged { .. } => "E0914",
            Self::NotListed { .. } => "E0915",
            Self::PinDisagrees { .. } => "E0916",
            Self::SourceFolder { .. } => "E0917",
            Self::Cancelled => "E0918",
            Self::NotPlaced { .. } | Self::NotCurrent { .. } => "E0919",
            Self::NoRevision { .. } => "E0920",
            Self::NotConfigured { .. } => "E0922",
            Self::UnknownPackage { .. } => "E0923",
            Self::NotAFolder { .. } => "E0927",
            Self::NotLocked { .. } => "E0925",
            Self::NotPrecise { .. } => "E0926",
            _ => "E0924",
        })
    }

    fn class(&self) -> Class {
        if let Some(inner) = self.inner() {
            return inner.class();
        }
        match self {
            Self::Unanswered { .. } => Class::Usage,
            Self::SignersChanged { .. } | Self::RootChanged { .. } | Self::PinDisagrees { .. } => Class::Trust,
            Self::NotListed { .. } => Class::Policy,
            Self::Cancelled => Class::Interrupted,
            _ => Class::Yours,
        }
    }

    fn details(&self) -> Vec<String> {
        match self {
            Self::UnknownPackage { asked_by, .. } => asked_by.clone(),
            _ => self.inner().map(Diagnose::details).unwrap_or_default(),
        }
    }

    fn hints(&self) -> Vec<Hint> {
        if let Some(inner) = self.inner() {
            return inner.hints();
        }
        let note = |text: &str| Hint::Note(text.to_owned());
        let run = |text: &str| Hint::Run(text.to_owned());
        match self {
            Self::Stale { .. } => vec![note("nothing was changed"), run("mpm lock")],
            Self::Unanswered { flag, .. } => {
                vec![Hint::Note(format!("nobody is there to answer; pass {flag}")), note("nothing was changed")]
            }
            Self::NotAFolder { .. } => vec![note("name another one with --to; nothing was fetched or placed")],
            Self::NotPrecise { instead, .. } => vec![Hint::Note(instead.clone()), note("nothing was changed")],
            Self::UnknownKey { near, .. } | Self::NotLocked { near, .. } => {
                let mut hints = near_hint(near);
                hints.push(run("mpm list"));
                hints
            }
            Self::UnknownPackage { name, near, offline, .. } => {
                let mut hints = if near.is_empty() {
                    let last = name.as_str().rsplit('/').next().unwrap_or_default();
                    vec![Hint::Run(format!("mpm search {last}")), note("nothing was changed")]
                } else {
                    near_hint(near)
                };
                if *offline {
                    hints.push(note("this run is offline: only what is kept of the index was looked at"));
                }
                hints
            }
            Self::NoRevision { .. } => {
                vec![
                    run("git log --oneline -- Model.lock"),
                    note("nothing was changed; `mpm diff` compares with a commit that has a Model.lock"),
                ]
            }
            Self::SignersChanged { found, .. } => vec![
                note(
                    "somebody else than before publishes here: ask the publisher through another channel whether the keys changed",
                ),
                note("nothing was changed"),
                Hint::Note(format!(
                    "if the publisher confirms, pass --accept-key {}",
                    found.iter().map(Fingerprint::hex).collect::<Vec<_>>().join(" --accept-key ")
                )),
            ],
            Self::RootChanged { found, .. } => vec![
                note(
                    "another root is another registry: whoever changed Model.toml chose whom to trust; review that line like code",
                ),
                note("nothing was changed"),
                Hint::Note(format!("if the change is meant, run `mpm lock --accept-root sha256:{found}`")),
            ],
            Self::NotListed { registry, root } => {
                vec![
                    note("nothing was changed"),
                    note(
                        "compare the root with what the registry's owners say through another channel; then, if you may",
                    ),
                    Hint::Add { file: "config.toml", lines: format!("[trusted]\n\"sha256:{root}\" = \"{registry}\"") },
                ]
            }
            Self::PinDisagrees { .. } => vec![
                note("Model.lock was edited by hand, or the registry's history was: compare it with its history"),
                run("mpm diff"),
                note("nothing was placed"),
            ],
            Self::SourceFolder { .. } => vec![note("nothing was changed")],
            Self::Cancelled => vec![note("partial downloads are kept; the same command goes on where it stopped")],
            Self::NotPlaced { .. } | Self::NotCurrent { .. } => vec![run("mpm sync")],
            Self::NoRelease { name, versions, .. } => {
                let mut hints = vec![Hint::Note(there_are(versions)), note("nothing was changed")];
                let newest = versions.iter().find(|version| !version.contains(' '));
                hints.extend(newest.map(|version| Hint::Run(format!("mpm add {name}@{version}"))));
                hints
            }
            Self::NotConfigured { registry } => vec![Hint::Add {
                file: "Model.toml",
                lines: format!("[registries.{registry}]\nindex = \"…\"\nroot = \"sha256:…\""),
            }],
            _ => Vec::new(),
        }
    }
}

/// Some versions in words, and how many more there are.
fn there_are(versions: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = versions.iter().take(SHOWN).map(String::as_str).collect();
    let verb = if versions.len() == 1 { "is" } else { "are" };
    match (shown.is_empty(), versions.len().saturating_sub(SHOWN)) {
        (true, _) => "there are no releases".to_owned(),
        (false, 0) => format!("there {verb} {}", shown.join(", ")),
        (false, more) => format!("there {verb} {} and {more} older", shown.join(", ")),
    }
}

fn near_hint(near: &[String]) -> Vec<Hint> {
    let mut hints = vec![Hint::Note("nothing was changed".to_owned())];
    if !near.is_empty() {
        hints.insert(0, Hint::Note(format!("did you mean {}?", near.join(", "))));
    }
    hints
}
