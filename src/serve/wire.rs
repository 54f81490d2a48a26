//! A connection's bytes, watched: a client that takes too little is given up, and none takes more than it may.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::serve::Limits;
use crate::serve::meter::Meter;

/// How finely a rate is kept.
const SLICE: Duration = Duration::from_millis(50);

/// A stream under watch.
pub(super) struct Wire<S> {
    stream: S,
    limits: Limits,
    meter: Arc<Meter>,
    /// Since when the client is waited for, and what it took since.
    waiting: Option<(Pin<Box<Sleep>>, u64)>,
    /// The end of this slice of time, and what may still be written in it.
    slice: Option<(Pin<Box<Sleep>>, u64)>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, limits: Limits, meter: Arc<Meter>) -> Self {
        Self { stream, limits, meter, waiting: None, slice: None }
    }

    /// Whether the client, which did not take all, has taken too little for too long.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let time = self.limits.slow_time;
        let least = self.limits.slow.saturating_mul(time.as_secs().max(1));
        let (sleep, taken) = self.waiting.get_or_insert_with(|| (Box::pin(tokio::time::sleep(time)), 0));
        loop {
            if sleep.as_mut().poll_elapsed(context).is_pending() {
                return Poll::Pending;
            }
            if *taken < least {
                self.meter.slow();
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            *taken = 0;
            sleep.as_mut().reset(Instant::now() + time);
        }
    }

    fn took(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if let Some((_, taken)) = &mut self.waiting {
            *taken = taken.saturating_add(bytes);
        }
        if let Some((_, left)) = &mut self.slice {
            *left = left.saturating_sub(bytes);
        }
    }

    /// How much may be written now; none: as much as goes.
    fn allowance(&mut self, context: &mut Context<'_>) -> Poll<Option<usize>> {
        let Some(rate) = self.limits.rate else { return Poll::Ready(None) };
        let each = (rate / 20).max(1);
        let (sleep, left) = self.slice.get_or_insert_with(|| (Box::pin(tokio::time::sleep(SLICE)), each));
        if sleep.as_mut().poll_elapsed(context).is_ready() {
            *left = each;
            sleep.as_mut().reset(Instant::now() + SLICE);
            // Registers for the next slice.
            let _ = sleep.as_mut().poll_elapsed(context);
        }
        if *left == 0 { Poll::Pending } else { Poll::Ready(Some(usize::try_from(*left).unwrap_or(usize::MAX))) }
    }
}

/// A sleep that is polled as what it is: a future without a value.
trait Elapsed {
    fn poll_elapsed(self, context: &mut Context<'_>) -> Poll<()>;
}

impl Elapsed for Pin<&mut Sleep> {
    fn poll_elapsed(self, context: &mut Context<'_>) -> Poll<()> {
        std::future::Future::poll(self, context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let most = ready!(self.allowance(context)).unwrap_or(usize::MAX);
        let part = bytes.get(..bytes.len().min(most)).unwrap_or(bytes);
        match Pin::new(&mut self.stream).poll_write(context, part) {
            Poll::Pending => self.wait(context),
            Poll::Ready(written) => {
                self.took(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.limits.rate.is_some() {
            let first = pieces.iter().find(|piece| !piece.is_empty());
            return self.poll_write(context, first.map_or(&[], |piece| piece));
        }
        match Pin::new(&mut self.stream).poll_write_vectored(context, pieces) {
            Poll::Pending => self.wait(context),
            Poll::Ready(written) => {
                self.took(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            // TLS holds back what the client did not take.
            Poll::Pending => self.wait(context).map_ok(|_| ()),
            Poll::Ready(flushed) => {
                // All was taken: the client owes nothing.
                self.waiting = None;
                Poll::Ready(flushed)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.wait(context).map_ok(|_| ()),
            ready @ Poll::Ready(_) => ready,
        }
    }
}
