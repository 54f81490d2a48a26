//! The record of a blob: its own modification time, chosen so that it vouches for digest, size and inode.
//!
//! A record beside 10^6 blobs would be 10^6 more files, or a shared file that many processes write. Instead the time's
//! fraction of a second (in steps of 100 ns) is a digest of name, size, inode and the seconds. Whoever writes to the file,
//! replaces it, or copies the store elsewhere changes one of these, and the blob is hashed before it is used. Where a file
//! system keeps whole seconds only, the low bits of the seconds carry the digest. It finds accidents; against somebody who
//! may write into the store, a record beside the blob would do no better.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use crate::model::Sha256;

/// Steps of the fraction: 100 ns, the coarsest that common file systems keep.
const STEP: u32 = 100;
/// Values of the fraction; 0 is left to whole seconds.
const FINE: u64 = 9_999_999;
/// Values of the low bits of whole seconds: some 18 hours.
const COARSE: u64 = 1 << 16;

/// The time that seals a blob, not after the time that its file has now.
pub(super) fn fine(digest: &Sha256, file: &Metadata) -> SystemTime {
    let seconds = seconds(file).saturating_sub(1);
    let step = u32::try_from(tag(digest, file, seconds) % FINE).unwrap_or(0).saturating_add(1);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, step.saturating_mul(STEP))
}

/// The same in whole seconds.
pub(super) fn coarse(digest: &Sha256, file: &Metadata) -> SystemTime {
    let now = seconds(file);
    let wanted = tag(digest, file, 0) % COARSE;
    let back = (now % COARSE + COARSE - wanted) % COARSE;
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.saturating_sub(back))
}

/// Whether the file's time seals the blob.
pub(super) fn holds(digest: &Sha256, file: &Metadata) -> bool {
    let found = SystemTime::UNIX_EPOCH
        + Duration::new(seconds(file), u32::try_from(file.mtime_nsec()).unwrap_or(0).min(999_999_999));
    if file.mtime_nsec() == 0 {
        seconds(file) % COARSE == tag(digest, file, 0) % COARSE
    } else {
        let step = u32::try_from(tag(digest, file, seconds(file)) % FINE).unwrap_or(0).saturating_add(1);
        found == SystemTime::UNIX_EPOCH + Duration::new(seconds(file), step.saturating_mul(STEP))
    }
}

fn seconds(file: &Metadata) -> u64 {
    u64::try_from(file.mtime()).unwrap_or(0)
}

fn tag(digest: &Sha256, file: &Metadata, seconds: u64) -> u64 {
    let text = format!("mpm.seal/1 {digest} {} {} {seconds}", file.len(), file.ino());
    let digest = Sha256::of(text.as_bytes());
    digest.as_bytes().iter().take(8).fold(0, |tag, byte| tag << 8 | u64::from(*byte))
}
