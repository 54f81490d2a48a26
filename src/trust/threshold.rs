//! The one function that counts signatures.

use crate::model::{PublicKey, Signature};
use crate::trust::Fingerprints;

/// Proof that so many of the authorised keys signed some bytes. Only [`count_signers`] makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBy {
    signers: Fingerprints,
}

impl SignedBy {
    /// The distinct authorised keys whose signatures hold.
    pub fn signers(&self) -> &Fingerprints {
        &self.signers
    }
}

/// The distinct keys among `keys` of which a signature of `message` is among `signatures`, if they reach `threshold`.
/// Distinct means distinct Ed25519 bytes; minisign's ids decide nothing; a threshold of 0 is never reached.
pub fn count_signers(keys: &[PublicKey], threshold: u64, message: &[u8], signatures: &[Signature]) -> Option<SignedBy> {
    todo!()
}
