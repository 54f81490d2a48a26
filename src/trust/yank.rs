//! Yank records: why a release is not taken by new resolutions.

use serde::{Deserialize, Serialize};

use crate::catalog::YankAction;
use crate::model::{PackageName, RegistryId, Sha256, Version, canonical};
use crate::trust::TrustError;
use crate::trust::wire::{Format, Unknown, refuse};

/// Largest yank record, in bytes.
pub const MAX_YANK: u64 = 16 * 1024;

const FORMAT: Format = Format {
    r#type: "mpm.yank/1",
    file: "yank record",
    limit: MAX_YANK,
    known: &[
        "action",
        "counter",
        "critical",
        "package",
        "reason",
        "registry",
        "severity",
        "statement",
        "type",
        "version",
    ],
};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something better exists.
    Notice,
    /// It does not work as promised.
    Broken,
    /// It does harm.
    Malicious,
}

/// A yank record's content; signed by a threshold of publishers or registrars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YankRecord {
    /// The registry's label.
    pub registry: RegistryId,
    /// The package.
    pub package: PackageName,
    /// Its version.
    pub version: Version,
    /// The statement that is meant.
    pub statement: Sha256,
    /// Yank or unyank.
    pub action: YankAction,
    /// Why, at most 1 KiB, for people; shown escaped.
    pub reason: String,
    /// How bad.
    pub severity: Severity,
    /// Rises with each record about this version.
    pub counter: u64,
}

#[derive(Serialize, Deserialize)]
struct YankWire {
    r#type: String,
    registry: String,
    package: String,
    version: String,
    statement: String,
    action: String,
    reason: String,
    severity: String,
    counter: u64,
    #[serde(flatten)]
    rest: Unknown,
}

impl YankRecord {
    /// Parses a record.
    ///
    /// # Errors
    /// `E0101` to `E0103`: a shape or rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        let wire: YankWire = FORMAT.parse(bytes)?;
        let action = match wire.action.as_str() {
            "yank" => YankAction::Yank,
            "unyank" => YankAction::Unyank,
            other => return FORMAT.field("action", Err(refuse(other, "is not one of yank, unyank"))),
        };
        let severity = match wire.severity.as_str() {
            "notice" => Severity::Notice,
            "broken" => Severity::Broken,
            "malicious" => Severity::Malicious,
            other => return FORMAT.field("severity", Err(refuse(other, "is not one of notice, broken, malicious"))),
        };
        let version = match Version::parse(&wire.version) {
            Ok(version) if version.build.is_empty() && wire.version.len() <= 128 => version,
            _ => return FORMAT.field("version", Err(refuse(&wire.version, "is not the version of a release"))),
        };
        Ok(Self {
            registry: FORMAT.registry(&wire.registry)?,
            package: FORMAT.field("package", PackageName::parse(&wire.package))?,
            version,
            statement: FORMAT.digest("statement", &wire.statement)?,
            action,
            reason: FORMAT.reason("reason", wire.reason)?,
            severity,
            counter: FORMAT.number("counter", wire.counter, 1)?,
        })
    }

    /// The fixed form.
    pub fn render(&self) -> Vec<u8> {
        canonical::render(&YankWire {
            r#type: FORMAT.r#type.to_owned(),
            registry: self.registry.to_string(),
            package: self.package.to_string(),
            version: self.version.to_string(),
            statement: self.statement.hex(),
            action: self.action.as_str().to_owned(),
            reason: self.reason.clone(),
            severity: self.severity.as_str().to_owned(),
            counter: self.counter,
            rest: Unknown {},
        })
    }

    /// Compares what the record is about with what a log's event names.
    ///
    /// # Errors
    /// `E0102`: another registry, package, version, statement or action.
    pub fn check_about(&self, expected: &Yanked<'_>) -> Result<(), TrustError> {
        FORMAT.same("registry", expected.registry.as_str(), self.registry.as_str())?;
        FORMAT.same("package", expected.package.as_str(), self.package.as_str())?;
        FORMAT.same("version", &expected.version.to_string(), &self.version.to_string())?;
        FORMAT.same("statement", &expected.statement.hex(), &self.statement.hex())?;
        FORMAT.same("action", expected.action.as_str(), self.action.as_str())
    }
}

/// What a yank record must be about.
#[derive(Debug, Clone, Copy)]
pub struct Yanked<'a> {
    /// The registry's label.
    pub registry: &'a RegistryId,
    /// The package, as the index writes it.
    pub package: &'a PackageName,
    /// Its version.
    pub version: &'a Version,
    /// Digest of its statement.
    pub statement: &'a Sha256,
    /// What the log says was done.
    pub action: YankAction,
}

impl Severity {
    /// The word in files and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Broken => "broken",
            Self::Malicious => "malicious",
        }
    }
}
