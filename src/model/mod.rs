//! The words: names, versions, digests, pins, paths, keys, signatures, addresses and time as values.
//!
//! Owns what every other room speaks in. Refuses to know files, sockets, clocks and formats of whole documents;
//! `canonical` and `tables` are the exceptions: the fixed JSON form and the places in a TOML text belong to no one document.

mod age;
pub mod canonical;
mod digest;
mod floor;
mod git;
mod glob;
mod hub;
mod key;
mod kind;
mod name;
mod path;
mod requirement;
#[cfg(test)]
pub(crate) mod shaken;
mod signature;
mod size;
mod span;
pub mod tables;
mod time;
mod url;

pub use age::{Age, AgeError};
pub use digest::{DigestError, Pin, Sha256, Sha256Hasher};
pub use floor::{CheckpointNumber, Floor};
pub use git::{GitBlobId, GitBlobIdError};
pub use glob::{Glob, GlobError};
pub use hub::{HubCommit, HubId, HubIdError, HubRepository, HubRevision, hub_cache_folder};
pub use key::{Fingerprint, KeyError, PublicKey};
pub use kind::{FileClass, KindError, PackageKind};
pub use name::{
    DependencyKey, GroupName, NameError, Namespace, PackageId, PackageName, PackageRef, RegistryId, VariantName,
    nearest,
};
pub use path::{PathError, PathSet, RelPath};
pub use requirement::{Requirement, RequirementError};
pub use semver::Version;
pub use signature::{Signature, SignatureError};
pub use size::{HumanSize, SizeError};
pub use span::{SpanError, parse_span};
pub use time::{TimeError, Timestamp};
pub use url::{SafeUrl, UrlError};
