//! Why a trust file is refused.

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::canonical::CanonicalError;
use crate::model::{DigestError, Fingerprint, KeyError, NameError, Sha256, TimeError, Timestamp, UrlError};

/// A value that breaks the rules of its field.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// Not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Not a public key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Not a point in time.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// Not an address.
    #[error(transparent)]
    Address(#[from] UrlError),
    /// Text that breaks a rule.
    #[error("{found:?} {rule}")]
    Text {
        /// What was found, cut to 80 characters.
        found: String,
        /// The rule.
        rule: &'static str,
    },
    /// A number outside its bounds.
    #[error("{found} is not between {least} and {most}")]
    Integer {
        /// What was found.
        found: u64,
        /// The smallest that would do.
        least: u64,
        /// The largest that would do.
        most: u64,
    },
}

/// Why a trust file is refused. `file` says which kind of file, in a person's words.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Larger than such a file may be; told before any signature is looked at.
    #[error("the {file} of {found} bytes is larger than {limit}")]
    TooLarge {
        /// Which file.
        file: &'static str,
        /// Bytes found.
        found: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// Not a document of the fixed JSON family, or of another shape.
    #[error("the {file} is not valid")]
    Document {
        /// Which file.
        file: &'static str,
        /// What is wrong.
        #[source]
        source: CanonicalError,
    },
    /// A value that breaks the rules of its field.
    #[error("the field {field} of the {file} does not hold what it must")]
    Value {
        /// Which file.
        file: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong.
        #[source]
        source: ValueError,
    },
    /// Entries that are not sorted or stand twice.
    #[error("{field} of the {file} is not sorted, or {entry:?} stands twice")]
    Order {
        /// Which file.
        file: &'static str,
        /// The field.
        field: &'static str,
        /// The entry.
        entry: String,
    },
    /// More entries than there may be.
    #[error("{field} of the {file} has {found} entries, at most {limit} may be")]
    TooMany {
        /// Which file.
        file: &'static str,
        /// The field.
        field: &'static str,
        /// Entries found.
        found: usize,
        /// Entries allowed.
        limit: usize,
    },
    /// A type, registry, namespace, package… other than what was asked for.
    #[error("the {file} has the {field} {found:?}, expected {expected:?}")]
    Identity {
        /// Which file.
        file: &'static str,
        /// The field.
        field: &'static str,
        /// What was asked for.
        expected: String,
        /// What it says, cut to 200 characters.
        found: String,
    },
    /// A field marked as critical that this version does not know.
    #[error("the {file} needs a reader that knows the field {name:?}")]
    Critical {
        /// Which file.
        file: &'static str,
        /// The field, cut to 80 characters.
        name: String,
    },
    /// Too few distinct authorised keys signed.
    #[error("the {file} is signed by {found} of the {threshold} {role} keys that it needs")]
    Signatures {
        /// Which file.
        file: &'static str,
        /// Whose signatures are missing.
        role: &'static str,
        /// How many must sign.
        threshold: u64,
        /// How many did.
        found: u64,
    },
    /// The first root is not the one that was pinned.
    #[error("the first root is sha256:{found}, pinned is sha256:{expected}")]
    Fingerprint {
        /// The pin.
        expected: Sha256,
        /// What was found.
        found: Sha256,
    },
    /// A number that does not follow, or is not the one that another file names.
    #[error("the {file} has the number {found}, expected {expected}")]
    Number {
        /// Which file.
        file: &'static str,
        /// What was expected.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// An epoch that was lowered, or is not the root's.
    #[error("the {file} has the epoch {found}, expected {expected}")]
    Epoch {
        /// Which file.
        file: &'static str,
        /// The root's.
        expected: u64,
        /// What it says.
        found: u64,
    },
    /// A checkpoint that was made under another root.
    #[error("the checkpoint was made under root {found}, the newest root is {expected}")]
    CheckpointRoot {
        /// The newest root's number.
        expected: u64,
        /// The number that the checkpoint names.
        found: u64,
    },
    /// A threshold outside 1 to the number of keys.
    #[error("the threshold of {role} in the {file} is {threshold}, with {keys} keys")]
    Threshold {
        /// Which file.
        file: &'static str,
        /// Of which role.
        role: &'static str,
        /// The threshold.
        threshold: u64,
        /// How many keys there are.
        keys: usize,
    },
    /// A key that stands twice, by its Ed25519 bytes.
    #[error("the key {key} stands twice in {role} of the {file}")]
    DuplicateKey {
        /// Which file.
        file: &'static str,
        /// Of which role.
        role: &'static str,
        /// The key.
        key: Fingerprint,
    },
    /// An expiry that is missing though files of this registry expire, or the reverse.
    #[error("the {file} {rule}")]
    Expiry {
        /// Which file.
        file: &'static str,
        /// The rule.
        rule: &'static str,
    },
    /// A checkpoint that lives longer than its root allows.
    #[error("the checkpoint lives {seconds} s, its root allows {limit} s")]
    Lifetime {
        /// From `issued` to `expires`.
        seconds: u64,
        /// The root's limit.
        limit: u64,
    },
    /// A checkpoint from the future.
    #[error("the checkpoint was issued at {issued}, and this machine's clock says {now}: one of the two is wrong")]
    IssuedAhead {
        /// When it says that it was made.
        issued: Timestamp,
        /// The clock.
        now: Timestamp,
    },
    /// A release that was revoked.
    #[error("the release statement {statement} was revoked: {reason:?}")]
    RevokedRelease {
        /// Its digest.
        statement: Sha256,
        /// Why, as the registrar says.
        reason: String,
    },
    /// A revocation of an older registrar file that is gone.
    #[error("the registrar file takes back the revocation of {what}")]
    RevocationWithdrawn {
        /// The key or statement.
        what: String,
    },
}

impl Diagnose for TrustError {
    fn code(&self) -> Code {
        Code(match self {
            Self::TooLarge { .. }
            | Self::Document { .. }
            | Self::Value { .. }
            | Self::Order { .. }
            | Self::TooMany { .. } => "E0101",
            Self::Identity { .. } => "E0102",
            Self::Critical { .. } => "E0103",
            Self::Signatures { .. } => "E0104",
            Self::Fingerprint { .. } | Self::Number { .. } | Self::Epoch { .. } | Self::CheckpointRoot { .. } => {
                "E0105"
            }
            Self::Threshold { .. } | Self::DuplicateKey { .. } => "E0106",
            Self::Expiry { .. } | Self::Lifetime { .. } => "E0107",
            Self::IssuedAhead { .. } => "E0108",
            Self::RevokedRelease { .. } => "E0109",
            Self::RevocationWithdrawn { .. } => "E0110",
        })
    }

    fn class(&self) -> Class {
        Class::Trust
    }

    fn hints(&self) -> Vec<Hint> {
        let note = |text: &str| vec![Hint::Note(text.to_owned())];
        match self {
            Self::Critical { .. } => note("a newer mpm reads this file; nothing was changed"),
            Self::IssuedAhead { .. } => vec![
                Hint::Run("date -u".to_owned()),
                Hint::Note("if the clock is right, the registry's is wrong; nothing was stored".to_owned()),
            ],
            Self::Fingerprint { .. } => {
                note("this is another registry than the one that Model.toml names; ask its owner which is right")
            }
            Self::Signatures { .. } => note("nobody who may change this file did; nothing was changed"),
            Self::RevokedRelease { .. } => note("the registry's registrar says so; choose another version"),
            _ => note("nothing was changed"),
        }
    }
}
