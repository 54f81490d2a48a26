//! Authoring an index: roots, namespaces, releases, yanks, checkpoints (docs/formats/index.md).
//!
//! Works on a folder of files that others may have changed (a merged branch of a git repository): nothing in it counts until
//! a signature or a hash says so, and no symlink in it is followed. Git is the user's business. Refuses to know networks and
//! projects.

mod admit;
mod checkpoint;
mod error;
mod folder;
mod grant;
mod release;
mod roots;
mod solo;
mod state;
mod yank;

pub use admit::Refusal;
pub use checkpoint::{CheckpointOutcome, CheckpointRequest, Refused, checkpoint};
pub use error::RegistryError;
pub use folder::Folder;
pub use grant::{EntryChange, Issue, change_namespace, reissue, revoke_key, revoke_release};
pub use release::{Submitted, check_name, check_version, may_publish, submit};
pub use roots::{Roots, write_root};
pub use solo::{NewRegistry, create, renew};
pub use state::State;
pub use yank::write_yank;
