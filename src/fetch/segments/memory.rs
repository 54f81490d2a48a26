//! The memory of a run: what all its downloads together may hold, and buffers that are used again.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fetch::segments::SEGMENT;

/// Bytes that wait for their turn to be written, over all downloads of a run. A segment may be larger than usual where a
/// chunk is: the largest that is possible must fit.
pub(super) const BUDGET: usize = 32 << 20;
/// Bytes that a permit stands for.
const GRAIN: usize = 1 << 10;

/// Memory for segments.
pub(in crate::fetch) struct Memory {
    permits: Arc<Semaphore>,
    free: Mutex<Vec<Vec<u8>>>,
}

/// Memory of one segment; it goes back when it is dropped.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    memory: Arc<Memory>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Memory {
    pub(in crate::fetch) fn new() -> Arc<Self> {
        Arc::new(Self { permits: Arc::new(Semaphore::new(BUDGET / GRAIN)), free: Mutex::default() })
    }

    /// So many bytes, as soon as they are free.
    pub(super) async fn take(self: &Arc<Self>, length: usize) -> Buffer {
        // It is never closed.
        let permit = Arc::clone(&self.permits).acquire_many_owned(grains(length)).await.ok();
        Buffer { bytes: self.bytes(length), memory: Arc::clone(self), _permit: permit }
    }

    /// So many bytes, if they are free now.
    pub(super) fn take_now(self: &Arc<Self>, length: usize) -> Option<Buffer> {
        let permit = Arc::clone(&self.permits).try_acquire_many_owned(grains(length)).ok()?;
        Some(Buffer { bytes: self.bytes(length), memory: Arc::clone(self), _permit: Some(permit) })
    }

    /// So many bytes now, beside the budget: for one second request a download.
    pub(super) fn spare(self: &Arc<Self>, length: usize) -> Buffer {
        Buffer { bytes: self.bytes(length), memory: Arc::clone(self), _permit: None }
    }

    fn bytes(&self, length: usize) -> Vec<u8> {
        if length > SEGMENT {
            return vec![0; length];
        }
        let mut bytes =
            self.free.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(|| vec![0; SEGMENT]);
        bytes.resize(length, 0);
        bytes
    }
}

/// Permits for so many bytes.
fn grains(length: usize) -> u32 {
    u32::try_from(length.div_ceil(GRAIN).min(BUDGET / GRAIN)).unwrap_or(u32::MAX)
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The first bytes alone.
    pub(super) fn cut(&mut self, length: usize) {
        self.bytes.truncate(length);
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() == SEGMENT {
            let mut free = self.memory.free.lock().unwrap_or_else(PoisonError::into_inner);
            if free.len() < BUDGET / SEGMENT {
                free.push(bytes);
            }
        }
    }
}
