//! Removing what a copy no longer needs, of what earlier runs placed.

use crate::mirror::record::Record;
use crate::mirror::sync::{Amount, Rules};
use crate::mirror::{Destination, MirrorError};

/// How long nodes and checkpoints stay that the newest checkpoint does not need: readers may still follow the one before.
const GRACE: u64 = 7 * 86_400;

/// Removes what is not needed; nodes and checkpoints a week after they were last needed. Only tells, where nothing may be
/// written.
pub(super) fn prune(destination: &Destination, record: &mut Record, rules: &Rules<'_>) -> Result<Amount, MirrorError> {
    let now = rules.now.seconds();
    let due = |path: &str, since: u64| {
        let slow = path.starts_with("tree/") || path.starts_with("checkpoints/");
        !slow || now.saturating_sub(since) >= GRACE
    };
    let gone: Vec<String> =
        record.unneeded().filter(|(path, since)| due(path, *since)).map(|(path, _)| path.to_owned()).collect();
    let mut pruned = Amount::default();
    for path in gone {
        if rules.cancel.is_cancelled() {
            return Err(MirrorError::Stopped);
        }
        let place = destination.inside(&path)?;
        let Ok(found) = place.symlink_metadata() else {
            record.forget(&path);
            continue;
        };
        pruned.add(found.len());
        if !rules.dry_run {
            destination.remove(&path)?;
            record.forget(&path);
        }
    }
    Ok(pruned)
}
