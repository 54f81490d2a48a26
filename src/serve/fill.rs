//! Blobs that are not here yet and can be had: `ops` brings them, the server waits, and many who ask wait for one.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::chunk::ChunkList;
use crate::model::{Pin, Sha256};
use crate::serve::Trouble;

/// What brings blobs that a shelf lacks. Every call may block.
pub trait Fill: Send + Sync {
    /// What is promised of a blob that may be pulled through; none: no statement within what may be pulled names it.
    ///
    /// # Errors
    /// The statements can't be read.
    fn promised(&self, digest: &Sha256) -> Result<Option<Pin>, Trouble>;

    /// Brings it, verified, so that the shelf has it. `grown` is told how many of its bytes have come.
    ///
    /// # Errors
    /// It can't be had, is another than promised, or is larger than the quota.
    fn fill(&self, pin: &Pin, grown: &Arc<Grown>) -> Result<(), Trouble>;

    /// The chunks of a blob, where a statement names an index of them; it is brought first. None: there is none.
    fn list(&self, pin: &Pin) -> Option<Arc<ChunkList>>;

    /// The file that grows while a blob comes, if it can be opened. Nothing is promised of its bytes.
    fn partial(&self, pin: &Pin) -> Option<File>;
}

/// How far a blob has come.
#[derive(Debug, Default)]
pub struct Grown {
    bytes: AtomicU64,
    news: Notify,
}

impl Grown {
    /// So many bytes have come in all.
    pub fn reached(&self, bytes: u64) {
        self.bytes.fetch_max(bytes, Ordering::Relaxed);
        self.news.notify_waiters();
    }

    /// How many.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Resolves at the next news.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }
}
