//! Package logs: append-only JSON lines.

use crate::diagnose::{Class, Code, Diagnose};
use crate::model::{CheckpointNumber, PackageKind, Pin, Sha256, Timestamp, Version};
use crate::statement::{Dependency, Statement};

/// Largest log, in bytes.
pub const MAX_LOG: u64 = 64 << 20;

/// When the index admitted a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// The checkpoint that did.
    pub checkpoint: CheckpointNumber,
    /// That checkpoint's `issued`.
    pub time: Timestamp,
}

/// A release as a log tells it: all derived from the statement, and when it was admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseEvent {
    /// The version.
    pub version: Version,
    /// The statement's bytes.
    pub statement: Pin,
    /// Model or dataset.
    pub kind: PackageKind,
    /// What is installed along.
    pub dependencies: Vec<Dependency>,
    /// Bytes of all files.
    pub size: u64,
    /// When.
    pub admitted: Admitted,
}

impl ReleaseEvent {
    /// The event that a statement gives rise to.
    pub fn of(statement: &Statement, pin: Pin, admitted: Admitted) -> Self {
        todo!()
    }
}

/// Yank or its undoing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YankAction {
    /// New resolutions leave the release alone.
    Yank,
    /// They may take it again.
    Unyank,
}

/// A change of a release's standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YankEvent {
    /// Yank or unyank.
    pub action: YankAction,
    /// The version.
    pub version: Version,
    /// Digest of the signed record.
    pub record: Sha256,
}

/// A package's log, parsed: one release a version, for ever; later events about a version decide its standing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackageLog {
    /// Release events in log order, each with the byte offset at which its line ends.
    pub releases: Vec<(ReleaseEvent, u64)>,
    /// Yank and unyank events in log order.
    pub yanks: Vec<YankEvent>,
}

/// Why bytes are not a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for LogError {
    fn code(&self) -> Code {
        Code("E0211")
    }
    fn class(&self) -> Class {
        Class::Trust
    }
}

impl PackageLog {
    /// Parses exactly the pinned prefix of a log.
    ///
    /// # Errors
    /// A line that does not parse, a version that stands twice, a yank of what was never released.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogError> {
        todo!()
    }

    /// One line for a release.
    pub fn render_release(event: &ReleaseEvent) -> Vec<u8> {
        todo!()
    }

    /// One line for a yank.
    pub fn render_yank(event: &YankEvent) -> Vec<u8> {
        todo!()
    }
}
