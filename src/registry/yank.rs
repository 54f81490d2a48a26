//! Yank records: written here, applied by the next checkpoint.

use crate::keys::SecretKey;
use crate::model::Sha256;
use crate::registry::{Folder, RegistryError};
use crate::trust::YankRecord;

/// Writes a yank record, signed. It counts once a checkpoint admitted it. Returns its digest.
///
/// # Errors
/// `E0827`: the record breaks a rule. What writing can break.
pub fn write_yank(folder: &Folder, record: &YankRecord, signers: &[&SecretKey]) -> Result<Sha256, RegistryError> {
    let bytes = record.render();
    let digest = Sha256::of(&bytes);
    let file = yank_path(&digest);
    YankRecord::parse(&bytes).map_err(|source| RegistryError::Trust { file: file.clone(), source })?;
    folder.sign(&file, &bytes, signers)?;
    folder.write_once(&file, &bytes)?;
    Ok(digest)
}

pub(super) fn yank_path(digest: &Sha256) -> String {
    format!("yanks/{digest}.json")
}
