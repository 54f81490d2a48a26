//! Blobs from places: scheduling, hashing while streaming, resume, failover.
//!
//! One synchronous face that takes many jobs; async stays inside. Refuses to know the store: what it can lend is a [`Seed`].

use std::path::PathBuf;
use std::sync::Arc;

use crate::diagnose::{Class, Code, Diagnose};
use crate::model::{Pin, SafeUrl};
use crate::progress::Progress;
use crate::sys::{BlobReader, Cancel, HttpClient, Staged};

/// Where blobs can be had. Each reads a range of a pin as a stream.
#[derive(Clone)]
pub enum Place {
    /// `<base>/blobs/sha256/ab/<64 hex>` over HTTP(S).
    Http(SafeUrl),
    /// The same below a folder.
    Folder(PathBuf),
    /// An object database or the binary itself.
    Objects(Arc<dyn BlobReader>),
}

/// One blob to bring.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its bytes.
    pub pin: Pin,
    /// What it is for messages: `demo/digits-mlp 1.1.0 model.safetensors`.
    pub what: String,
    /// Which of the given lists of places has it.
    pub places: usize,
}

/// What fetching works with.
pub struct Fetcher<'a> {
    /// The client; offline, it opens nothing.
    pub http: &'a HttpClient,
    /// Folder for partial downloads, on the store's file system.
    pub staging: PathBuf,
    /// Blobs at a time.
    pub jobs: usize,
    /// Stops between chunks.
    pub cancel: &'a Cancel,
    /// Takes events.
    pub progress: &'a dyn Progress,
}

/// Why a blob can't be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Placeholder variant; the room's owner replaces it.
    #[error("placeholder")]
    Placeholder,
}

impl Diagnose for FetchError {
    fn code(&self) -> Code {
        Code("E0721")
    }
    fn class(&self) -> Class {
        Class::Network
    }
}

impl Fetcher<'_> {
    /// Brings every job's blob and hands each to `done` as it lands (from one thread at a time). Free disk is checked
    /// before the first byte. The first error of `done`, or a blob that no place can give, ends the rest; what landed
    /// stays, partial downloads are kept.
    ///
    /// # Errors
    /// `E0721` and following; trust (exit 4) if a place answered with wrong bytes and no other had the right ones.
    pub fn fetch<E>(
        &self,
        jobs: &[Job],
        places: &[Vec<Place>],
        done: &mut dyn FnMut(&Job, Staged) -> Result<(), E>,
    ) -> Result<(), FetchOutcome<E>> {
        todo!()
    }
}

/// Fetching failed, or what was done with a blob did.
#[derive(Debug)]
pub enum FetchOutcome<E> {
    /// Fetching failed.
    Fetch(FetchError),
    /// The caller's own error.
    Done(E),
}
