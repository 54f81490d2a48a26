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
    let signers = signers_of(keys, message, signatures);
    (threshold > 0 && signers.len() as u64 >= threshold).then_some(SignedBy { signers })
}

/// The distinct keys of which a signature holds. The crate tries a signature only against a key of the same id; where the
/// ids agree by choice and the keys do not, the signature does not hold.
pub(super) fn signers_of(keys: &[PublicKey], message: &[u8], signatures: &[Signature]) -> Fingerprints {
    let signatures: Vec<minisign_verify::Signature> =
        signatures.iter().filter_map(|signature| minisign_verify::Signature::decode(signature.as_str()).ok()).collect();
    let signed = |key: &&PublicKey| {
        minisign_verify::PublicKey::from_base64(key.as_str())
            // `false`: legacy signatures, whose algorithm tag is not signed, never count.
            .is_ok_and(|key| signatures.iter().any(|signature| key.verify(message, signature, false).is_ok()))
    };
    keys.iter().filter(signed).map(PublicKey::fingerprint).collect()
}
