//! The state that all requests share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::{Namespace, Pin, RegistryId, Sha256};
use crate::serve::body::Frames;
use crate::serve::chunked::Chunks;
use crate::serve::fill::Grown;
use crate::serve::flights::Flights;
use crate::serve::keep::{Keeper, Look};
use crate::serve::log::Log;
use crate::serve::meter::Meter;
use crate::serve::tls::Tls;
use crate::serve::tokens::{Token, Tokens, presented};
use crate::serve::{Content, Fill, Options, ServeError, Shelf, Trouble};

/// Requests that may take long at a time.
const FAR: usize = 16;
/// MiB of large files of an index that are held at a time: one of the largest kind fits.
const HEAVY: usize = 64;
/// How long room is waited for.
const ROOM: Duration = Duration::from_secs(30);
/// Blobs that are brought at a time.
const FILLS: usize = 8;

/// What a request works with.
pub(super) struct Site {
    pub(super) shelf: Arc<dyn Shelf>,
    pub(super) fill: Option<Arc<dyn Fill>>,
    pub(super) options: Options,
    pub(super) frames: Arc<Frames>,
    pub(super) chunks: Arc<Chunks>,
    pub(super) keeper: Arc<Keeper>,
    pub(super) meter: Arc<Meter>,
    pub(super) log: Arc<Log>,
    pub(super) tls: Option<Tls>,
    /// What the hub's role remembers.
    pub(super) hub: crate::serve::hub::Memory,
    tokens: Option<Tokens>,
    /// Blobs that are being hashed because somebody asks for them.
    pub(super) hashing: Arc<Flights<Sha256, Option<Look>>>,
    /// How many of these at a time.
    pub(super) hashers: Arc<Semaphore>,
    /// Blobs that are being brought.
    pub(super) filling: Arc<Flights<Pin, Option<Arc<Trouble>>>>,
    /// How far they are.
    pub(super) growing: Arc<std::sync::Mutex<std::collections::BTreeMap<Pin, Arc<Grown>>>>,
    /// How many may take long.
    pub(super) far: Semaphore,
    /// Room for large files of an index, in MiB.
    pub(super) heavy: Arc<Semaphore>,
    /// How many blobs are brought at a time.
    pub(super) fillers: Arc<Semaphore>,
    /// The server ends.
    pub(super) stop: Arc<AtomicBool>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// Nobody who says so.
    Anonymous,
    /// Somebody with a token of this server's.
    Token(Arc<Token>),
}

/// Why somebody is not let in at all: a token that is none of this server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Denied;

impl Caller {
    /// The token's name.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Self::Anonymous => None,
            Self::Token(token) => Some(token.name.clone()),
        }
    }
}

impl Site {
    pub(super) fn new(content: Content, options: Options) -> Result<Self, ServeError> {
        let Content { shelf, fill } = content;
        let meter = Arc::new(Meter::default());
        let progress = Arc::clone(&options.progress);
        let keeper =
            Keeper::open(&options.state, Arc::clone(&options.clock), Arc::clone(&progress), Arc::clone(&meter))?;
        let tls = options.tls.clone().map(|files| Tls::open(files, Arc::clone(&progress))).transpose()?;
        let tokens = options.tokens.as_deref().map(|path| Tokens::open(path, Arc::clone(&progress))).transpose()?;
        let log = Log::open(options.log.as_ref(), Arc::clone(&options.clock), Arc::clone(&meter))?;
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Ok(Self {
            shelf,
            fill,
            frames: Frames::new(),
            chunks: Chunks::new(),
            keeper: Arc::new(keeper),
            meter,
            log,
            tls,
            hub: crate::serve::hub::Memory::default(),
            tokens,
            hashing: Flights::new(),
            hashers: Arc::new(Semaphore::new(cores)),
            filling: Flights::new(),
            growing: Arc::default(),
            far: Semaphore::new(FAR),
            heavy: Arc::new(Semaphore::new(HEAVY)),
            fillers: Arc::new(Semaphore::new(FILLS)),
            stop: Arc::default(),
            options,
        })
    }

    /// Who asks, by the `Authorization` of a request. Where the server has no tokens, everybody is anonymous, whatever they say.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Denied> {
        let Some(tokens) = &self.tokens else { return Ok(Caller::Anonymous) };
        match presented(headers) {
            None => Ok(Caller::Anonymous),
            Some(text) => tokens.find(&text, self.options.clock.now()).map(Caller::Token).ok_or(Denied),
        }
    }

    /// Whether somebody may read what a namespace of a registry holds.
    pub(super) fn may_read(&self, caller: &Caller, registry: &RegistryId, namespace: &Namespace) -> bool {
        match caller {
            Caller::Token(token) => token.rights().cover(registry, namespace),
            // What came with a credential is nobody's without a token, whatever a file says of the anonymous.
            Caller::Anonymous if self.shelf.is_guarded(registry) => false,
            Caller::Anonymous => {
                self.tokens.as_ref().is_none_or(|tokens| tokens.anonymous().cover(registry, namespace))
            }
        }
    }

    /// Whether somebody may read what locks pin of the hub.
    pub(super) fn may_read_sources(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Token(token) => token.rights().hold_for_hub(),
            Caller::Anonymous => self.tokens.as_ref().is_none_or(|tokens| tokens.anonymous().hold_for_hub()),
        }
    }

    /// Whether somebody may read everything, so that nobody need ask what a blob belongs to.
    fn may_read_all(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Token(token) => token.rights().are_all(),
            Caller::Anonymous if self.shelf.registries().iter().any(|id| self.shelf.is_guarded(id)) => false,
            Caller::Anonymous => self.tokens.as_ref().is_none_or(|tokens| tokens.anonymous().are_all()),
        }
    }

    /// Whether somebody may read anything of a registry: lists of its names are for them.
    pub(super) fn may_enter(&self, caller: &Caller, registry: &RegistryId) -> bool {
        match caller {
            Caller::Token(token) => token.rights().touch(registry),
            Caller::Anonymous if self.shelf.is_guarded(registry) => false,
            Caller::Anonymous => self.tokens.as_ref().is_none_or(|tokens| tokens.anonymous().touch(registry)),
        }
    }

    /// Whether somebody may read a blob, a statement or a yank record, of which only the digest is known.
    pub(super) async fn may_read_digest(&self, caller: &Caller, digest: Sha256) -> Result<bool, Trouble> {
        if self.may_read_all(caller) {
            return Ok(true);
        }
        if self.may_read_sources(caller) && self.shelf.is_of_a_source(&digest) {
            return Ok(true);
        }
        let owners: BTreeSet<(RegistryId, Namespace)> = self.ask_far(move |shelf| shelf.owners(&digest)).await?;
        Ok(owners.iter().any(|(registry, namespace)| self.may_read(caller, registry, namespace)))
    }

    /// The same where it may take long, since statements are read, or others are asked on the network: only so many at a time wait
    /// for that, so that blobs that are here go on being served.
    pub(super) async fn ask_far<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Shelf) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let _turn = self.far.acquire().await.ok();
        self.ask(question).await
    }

    /// Room for so many MiB of an index; a small file needs none. `None`: there is none for long.
    pub(super) async fn room(&self, mebibytes: u32) -> Option<Option<OwnedSemaphorePermit>> {
        if mebibytes == 0 {
            return Some(None);
        }
        let room = Arc::clone(&self.heavy).acquire_many_owned(mebibytes.min(64));
        tokio::time::timeout(ROOM, room).await.ok()?.ok().map(Some)
    }

    /// Asks the shelf, on a thread that may wait.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Shelf) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let shelf = Arc::clone(&self.shelf);
        match tokio::task::spawn_blocking(move || question(&*shelf)).await {
            Ok(answer) => answer,
            Err(broken) => Err(Box::new(ServeError::Broken { reason: broken.to_string() })),
        }
    }
}
