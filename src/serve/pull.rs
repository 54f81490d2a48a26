//! Blobs that are pulled through: brought once however many ask, sent when they are verified, or chunk by chunk while they come.

use std::io;
use std::ops::Range;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Response;
use futures_util::stream;

use crate::chunk::{ChunkHash, ChunkList};
use crate::diagnose::Class;
use crate::model::Pin;
use crate::serve::answer::plain;
use crate::serve::blob::busy;
use crate::serve::fill::Grown;
use crate::serve::keep::Look;
use crate::serve::site::Site;
use crate::serve::{Fill, Trouble, Wanted};
use crate::sys::Extents;

/// How often a blob that comes is looked at where no news come.
const LOOK: Duration = Duration::from_millis(200);
/// Smallest blob that is sent while it comes: a smaller one is here before that pays.
const STREAMED: u64 = 8 << 20;

impl Site {
    /// The bytes of a blob that is not here yet. Nothing leaves that was not verified.
    pub(super) async fn pulled(
        self: &Arc<Self>,
        wanted: &Wanted,
        pin: Pin,
        bytes: Range<u64>,
    ) -> Result<Body, Response<Body>> {
        let Some(fill) = self.fill.clone() else { return Err(busy("nothing brings it")) };
        // A file in a pack comes with its pack, whose size its statement has.
        let whole = match wanted.pack {
            None => pin,
            Some(place) => {
                let fill = Arc::clone(&fill);
                match self.ask(move |_| fill.promised(&place.pack)).await {
                    Ok(Some(pack)) => pack,
                    Ok(None) => return Err(busy("its pack can't be had")),
                    Err(error) => return Err(self.broken(&error)),
                }
            }
        };
        if whole.size >= STREAMED && wanted.pack.is_none() {
            let asked = Arc::clone(&fill);
            let _turn = self.fillers.acquire().await.ok();
            let list = tokio::task::spawn_blocking(move || asked.list(&whole)).await.ok().flatten();
            if let Some(list) = list {
                return Ok(self.as_it_comes(&fill, whole, list, bytes));
            }
        }
        self.filled(&fill, whole).await.map_err(|error| self.unfilled(&error))?;
        let asked = wanted.clone();
        match self.ask(move |shelf| shelf.open(&asked)).await {
            // What was brought was verified, and is looked at like everything else.
            Ok(Some(open)) => self.body(wanted, open, Look::Unknown, bytes).await,
            Ok(None) => Err(busy("it came, and went again: is the quota too small?")),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Brings a blob, unless somebody is at it.
    async fn filled(self: &Arc<Self>, fill: &Arc<dyn Fill>, pin: Pin) -> Result<(), Arc<Trouble>> {
        let grown = self.grown(&pin);
        let (fill, growing, meter) = (Arc::clone(fill), Arc::clone(&self.growing), Arc::clone(&self.meter));
        let fillers = Arc::clone(&self.fillers);
        let work = move || async move {
            let _turn = fillers.acquire_owned().await.ok();
            let brought = tokio::task::spawn_blocking(move || fill.fill(&pin, &grown)).await;
            growing.lock().unwrap_or_else(PoisonError::into_inner).remove(&pin);
            match brought {
                Ok(Ok(())) => {
                    meter.filled(pin.size);
                    None
                }
                Ok(Err(error)) => {
                    meter.unfilled();
                    Some(Arc::new(error))
                }
                Err(broken) => {
                    Some(Arc::new(Box::new(crate::serve::ServeError::Broken { reason: broken.to_string() }) as Trouble))
                }
            }
        };
        match self.filling.once(pin, work).await {
            Some(None) => Ok(()),
            Some(Some(error)) => Err(error),
            None => Err(Arc::new(Box::new(crate::serve::ServeError::Broken { reason: "stopped".to_owned() }))),
        }
    }

    fn grown(&self, pin: &Pin) -> Arc<Grown> {
        let mut growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(growing.entry(*pin).or_default())
    }

    /// A blob that comes, chunk by chunk: each is sent when its bytes are there and fit.
    fn as_it_comes(self: &Arc<Self>, fill: &Arc<dyn Fill>, pin: Pin, list: Arc<ChunkList>, bytes: Range<u64>) -> Body {
        let grown = self.grown(&pin);
        let (site, brings) = (Arc::clone(self), Arc::clone(fill));
        let bringing = tokio::spawn(async move { site.filled(&brings, pin).await });
        let state = Coming { site: Arc::clone(self), fill: Arc::clone(fill), pin, list, grown, bringing, left: bytes };
        Body::from_stream(stream::try_unfold(state, |mut state| async move {
            let piece = state.next().await?;
            Ok::<_, io::Error>(piece.map(|piece| (piece, state)))
        }))
    }

    fn unfilled(&self, error: &Arc<Trouble>) -> Response<Body> {
        self.options.progress.warn("pull-through", format!("{}: {error}", error.code()));
        let status = match error.class() {
            Class::Network | Class::Trust => axum::http::StatusCode::BAD_GATEWAY,
            _ => axum::http::StatusCode::SERVICE_UNAVAILABLE,
        };
        plain(status, &format!("{}: the blob can't be brought; the server's log says why", error.code()))
    }
}

/// A blob on its way.
struct Coming {
    site: Arc<Site>,
    fill: Arc<dyn Fill>,
    pin: Pin,
    list: Arc<ChunkList>,
    grown: Arc<Grown>,
    bringing: tokio::task::JoinHandle<Result<(), Arc<Trouble>>>,
    left: Range<u64>,
}

impl Coming {
    /// The next bytes; none: all were sent.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let chunk = self.list.at(self.left.start).and_then(|number| self.list.get(number));
        let chunk = chunk.ok_or(io::ErrorKind::UnexpectedEof)?;
        let end = chunk.offset.saturating_add(u64::from(chunk.length));
        loop {
            let done = self.bringing.is_finished();
            // What the fetcher says is a hint when to look; the chunk's own hash decides.
            if done || self.grown.bytes() >= end {
                if let Some(bytes) = self.read(chunk.offset, chunk.length, chunk.hash).await {
                    let inner = |at: u64| usize::try_from(at.saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
                    let last = end.min(self.left.end);
                    let piece = bytes.slice(inner(self.left.start)..inner(last));
                    self.left.start = last;
                    return Ok(Some(piece));
                }
                if done {
                    return Err(match (&mut self.bringing).await {
                        Ok(Err(error)) => {
                            let _ = self.site.unfilled(&error);
                            io::Error::other(error.to_string())
                        }
                        _ => io::ErrorKind::InvalidData.into(),
                    });
                }
            }
            let _ = tokio::time::timeout(LOOK, self.grown.news()).await;
        }
    }

    /// A chunk out of the blob, or out of what there is of it, if its bytes fit.
    async fn read(&self, offset: u64, length: u32, hash: ChunkHash) -> Option<Bytes> {
        let (shelf, fill, pin) = (Arc::clone(&self.site.shelf), Arc::clone(&self.fill), self.pin);
        let read = tokio::task::spawn_blocking(move || {
            let found = match shelf.open(&Wanted::pinned(&pin)) {
                Ok(Some(open)) => open.bytes,
                Ok(None) => Extents::one(Arc::new(fill.partial(&pin)?), 0, pin.size),
                Err(_) => return None,
            };
            let mut bytes = vec![0; usize::try_from(length).ok()?];
            found.read_exact_at(&mut bytes, offset).ok()?;
            (ChunkHash::of(&bytes) == hash).then(|| Bytes::from(bytes))
        });
        read.await.ok().flatten()
    }
}
