//! Package logs: append-only JSON lines.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::canonical::{self, CanonicalError};
use crate::model::{CheckpointNumber, PackageKind, Pin, Sha256, Timestamp, Version};
use crate::statement::{
    Dependency, DependencyWire, FieldError, MAX_STATEMENT, Statement, StatementError, Unknown, bare_digest, cut,
    dependency_set, integer, sorted, version,
};

/// Largest log, in bytes.
pub const MAX_LOG: u64 = 64 << 20;
/// Longest line of a log, in bytes.
pub const MAX_LOG_LINE: u64 = 1 << 20;
/// Most events of a log.
pub const MAX_EVENTS: usize = 200_000;

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
        Self {
            version: statement.version.clone(),
            statement: pin,
            kind: statement.kind,
            dependencies: sorted(&statement.dependencies),
            size: statement.total_size(),
            admitted,
        }
    }

    /// Checks that this event says of a statement what the statement says of itself.
    ///
    /// # Errors
    /// `E0217`: a version, pin, kind, size or dependency that differs.
    pub fn check(&self, statement: &Statement, pin: Pin) -> Result<(), LogError> {
        let expected = Self::of(statement, pin, self.admitted);
        let field = if self.version != expected.version {
            "version"
        } else if self.statement != expected.statement {
            "statement"
        } else if self.kind != expected.kind {
            "kind"
        } else if self.size != expected.size {
            "size"
        } else if self.dependencies != expected.dependencies {
            "dependencies"
        } else {
            return Ok(());
        };
        Err(LogError::Differs { version: Box::new(self.version.clone()), field })
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

impl YankAction {
    /// The word in files and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yank => "yank",
            Self::Unyank => "unyank",
        }
    }
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
    /// A line that is not a document of the fixed JSON family, or of another shape.
    #[error("line {line} of the package log is not valid")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: CanonicalError,
    },
    /// The log does not end with a newline: it was cut.
    #[error("the package log ends within line {line}")]
    Cut {
        /// Counted from 1.
        line: u64,
    },
    /// A value that breaks the rules of its field.
    #[error("the field {field} in line {line} of the package log does not hold what it must")]
    Field {
        /// Counted from 1.
        line: u64,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: FieldError,
    },
    /// Dependencies that are no set.
    #[error("the dependencies in line {line} of the package log are not valid")]
    Dependencies {
        /// Counted from 1.
        line: u64,
        /// What is wrong with them.
        #[source]
        source: Box<StatementError>,
    },
    /// A version that was released before.
    #[error("line {line} of the package log releases {version} again")]
    Twice {
        /// Counted from 1.
        line: u64,
        /// The version.
        version: Box<Version>,
    },
    /// A yank of what no earlier line releases.
    #[error("line {line} of the package log yanks {version}, which no line before it releases")]
    Unreleased {
        /// Counted from 1.
        line: u64,
        /// The version.
        version: Box<Version>,
    },
    /// More than a log may have.
    #[error("the package log has more than {limit} {what}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many may be.
        limit: u64,
    },
    /// An event that a reader must know and this one does not.
    #[error("line {line} of the package log needs a reader that knows the event {event:?}")]
    Critical {
        /// Counted from 1.
        line: u64,
        /// The event, cut to 80 characters.
        event: String,
    },
    /// An event that says of a statement what the statement does not.
    #[error("the package log's event for {version} and its release statement differ in {field}")]
    Differs {
        /// The version.
        version: Box<Version>,
        /// In what.
        field: &'static str,
    },
}

impl Diagnose for LogError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Line { .. } | Self::Cut { .. } | Self::Field { .. } | Self::Dependencies { .. } => "E0211",
            Self::Twice { .. } => "E0213",
            Self::Unreleased { .. } => "E0214",
            Self::TooLarge { .. } => "E0215",
            Self::Critical { .. } => "E0216",
            Self::Differs { .. } => "E0217",
        })
    }
    fn class(&self) -> Class {
        Class::Trust
    }
    fn hints(&self) -> Vec<Hint> {
        vec![Hint::Note(match self {
            Self::Critical { .. } => "a newer mpm reads this log; nothing was changed".to_owned(),
            _ => "nothing of this package's log was used or changed".to_owned(),
        })]
    }
}

#[derive(Deserialize)]
struct EventWire {
    event: String,
    #[serde(default)]
    critical: bool,
    #[serde(flatten)]
    _rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct ReleaseWire {
    checkpoint: (u64, u64),
    dependencies: Vec<DependencyWire>,
    event: String,
    kind: String,
    size: u64,
    statement: PinWire,
    time: u64,
    version: String,
    #[serde(flatten)]
    rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct PinWire {
    sha256: String,
    size: u64,
    #[serde(flatten)]
    rest: Unknown,
}

#[derive(Serialize, Deserialize)]
struct YankWire {
    event: String,
    record: String,
    version: String,
    #[serde(flatten)]
    rest: Unknown,
}

impl PackageLog {
    /// Parses exactly the pinned prefix of a log.
    ///
    /// # Errors
    /// `E0211` to `E0216`: a line that does not parse, a version that stands twice, a yank of what was never released.
    pub fn parse(bytes: &[u8]) -> Result<Self, LogError> {
        if bytes.len() as u64 > MAX_LOG {
            return Err(LogError::TooLarge { what: "bytes", limit: MAX_LOG });
        }
        let mut log = Self::default();
        let mut released = BTreeSet::new();
        let mut end = 0_u64;
        for (number, text) in (1_u64..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            if number > MAX_EVENTS as u64 {
                return Err(LogError::TooLarge { what: "events", limit: MAX_EVENTS as u64 });
            }
            end = end.saturating_add(text.len() as u64);
            if text.last() != Some(&b'\n') {
                return Err(LogError::Cut { line: number });
            }
            let line = Line { number, text };
            let event: EventWire =
                canonical::parse(text, MAX_LOG_LINE).map_err(|source| LogError::Line { line: number, source })?;
            match event.event.as_str() {
                "release" => {
                    let release = line.release()?;
                    if !released.insert(release.version.clone()) {
                        return Err(LogError::Twice { line: number, version: Box::new(release.version) });
                    }
                    log.releases.push((release, end));
                }
                "yank" => log.yanks.push(line.yank(YankAction::Yank, &released)?),
                "unyank" => log.yanks.push(line.yank(YankAction::Unyank, &released)?),
                other if event.critical => {
                    return Err(LogError::Critical { line: number, event: other.chars().take(80).collect() });
                }
                _ => {}
            }
        }
        Ok(log)
    }

    /// One line for a release.
    pub fn render_release(event: &ReleaseEvent) -> Vec<u8> {
        canonical::render_line(&ReleaseWire {
            checkpoint: (event.admitted.checkpoint.epoch, event.admitted.checkpoint.number),
            dependencies: sorted(&event.dependencies).iter().map(DependencyWire::of).collect(),
            event: "release".to_owned(),
            kind: event.kind.to_string(),
            size: event.size,
            statement: PinWire { sha256: event.statement.sha256.hex(), size: event.statement.size, rest: Unknown {} },
            time: event.admitted.time.seconds(),
            version: event.version.to_string(),
            rest: Unknown {},
        })
    }

    /// One line for a yank.
    pub fn render_yank(event: &YankEvent) -> Vec<u8> {
        canonical::render_line(&YankWire {
            event: event.action.as_str().to_owned(),
            record: event.record.hex(),
            version: event.version.to_string(),
            rest: Unknown {},
        })
    }
}

/// One line of a log, with its final newline.
struct Line<'a> {
    number: u64,
    text: &'a [u8],
}

impl Line<'_> {
    /// Reads a line that has been walked by the rules already, to tell its event.
    fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, LogError> {
        serde_json::from_slice(self.text).map_err(|error| LogError::Line { line: self.number, source: error.into() })
    }

    fn field<T, E: Into<FieldError>>(&self, field: &'static str, value: Result<T, E>) -> Result<T, LogError> {
        value.map_err(|error| LogError::Field { line: self.number, field, source: error.into() })
    }

    fn release(&self) -> Result<ReleaseEvent, LogError> {
        let wire: ReleaseWire = self.parse()?;
        let mut dependencies = Vec::new();
        for dependency in &wire.dependencies {
            dependencies.push(self.field("dependencies", dependency.read())?);
        }
        dependency_set(&dependencies)
            .map_err(|source| LogError::Dependencies { line: self.number, source: Box::new(source) })?;
        let (epoch, number) = wire.checkpoint;
        let checkpoint = CheckpointNumber {
            epoch: self.field("checkpoint", integer(epoch))?,
            number: self.field("checkpoint", integer(number))?,
        };
        let bounds = |found| FieldError::Integer { found, least: 1, most: MAX_STATEMENT };
        let size = wire.statement.size;
        let size =
            self.field("statement", if (1..=MAX_STATEMENT).contains(&size) { Ok(size) } else { Err(bounds(size)) })?;
        Ok(ReleaseEvent {
            version: self.field("version", version(&wire.version))?,
            statement: Pin { sha256: self.field("statement", bare_digest(&wire.statement.sha256))?, size },
            kind: self.field("kind", cut(&wire.kind).parse::<PackageKind>())?,
            dependencies,
            size: self.field("size", integer(wire.size))?,
            admitted: Admitted { checkpoint, time: self.field("time", Timestamp::from_seconds(wire.time))? },
        })
    }

    fn yank(&self, action: YankAction, released: &BTreeSet<Version>) -> Result<YankEvent, LogError> {
        let wire: YankWire = self.parse()?;
        let version = self.field("version", version(&wire.version))?;
        if !released.contains(&version) {
            return Err(LogError::Unreleased { line: self.number, version: Box::new(version) });
        }
        Ok(YankEvent { action, version, record: self.field("record", bare_digest(&wire.record))? })
    }
}
