//! Counting what a git remote sends: beyond a limit, reading ends with an error.
//!
//! Over HTTP every byte of every body is counted where it leaves the client, before anything of git looks at it. The
//! streams of `ssh` are out of reach; there, lines and packs are counted where git hands them on.

use std::any::Any;
use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gix::bstr::BStr;
use gix::protocol::transport::client::blocking_io::http::{
    GetResponse, Http, PostBodyDataKind, PostResponse, reqwest::Remote,
};
use gix::protocol::transport::client::blocking_io::{
    ExtendedBufRead, HandleProgress, ReadlineBufRead, RequestWriter, SetServiceResponse, Transport,
};
use gix::protocol::transport::client::{Error, MessageKind, TransportWithoutIO, WriteMode};
use gix::protocol::transport::packetline::PacketLineRef;
use gix::protocol::transport::packetline::read::ProgressAction;
use gix::protocol::transport::{Protocol, Service};

/// Bytes of a packet line's own length.
const LENGTH: usize = 4;

/// How much may still come.
#[derive(Debug)]
pub(super) struct Meter {
    left: AtomicU64,
    exceeded: AtomicBool,
}

impl Meter {
    pub(super) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(most), exceeded: AtomicBool::new(false) })
    }

    /// Whether more came than may.
    pub(super) fn exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: usize) {
        let bytes = bytes as u64;
        let before =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(bytes)));
        if before.is_ok_and(|left| left < bytes) {
            self.exceeded.store(true, Ordering::Relaxed);
        }
    }

    fn check(&self) -> io::Result<()> {
        if self.exceeded() { Err(io::Error::other("more bytes came than a fetch may bring")) } else { Ok(()) }
    }
}

/// A reader whose bytes are counted.
pub(super) struct Metered<R> {
    inner: R,
    meter: Arc<Meter>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.meter.check()?;
        let count = self.inner.read(buffer)?;
        self.meter.count(count);
        self.meter.check()?;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.meter.check()?;
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.meter.count(count);
        self.inner.consume(count);
    }
}

impl<R: ReadlineBufRead> ReadlineBufRead for Metered<R> {
    fn readline(&mut self) -> Option<io::Result<Result<PacketLineRef<'_>, gix::Error>>> {
        if let Err(error) = self.meter.check() {
            return Some(Err(error));
        }
        let line = self.inner.readline();
        if let Some(Ok(Ok(line))) = &line {
            self.meter.count(line.as_slice().map_or(0, <[u8]>::len).saturating_add(LENGTH));
        }
        line
    }

    fn readline_str(&mut self, line: &mut String) -> io::Result<usize> {
        self.meter.check()?;
        let count = self.inner.readline_str(line)?;
        self.meter.count(count.saturating_add(LENGTH));
        Ok(count)
    }
}

impl<'a, R: ExtendedBufRead<'a>> ExtendedBufRead<'a> for Metered<R> {
    fn set_progress_handler(&mut self, handler: Option<HandleProgress<'a>>) {
        let meter = Arc::clone(&self.meter);
        self.inner.set_progress_handler(handler.map(|mut handler| -> HandleProgress<'a> {
            Box::new(move |is_error, text| {
                meter.count(text.len().saturating_add(LENGTH));
                if meter.exceeded() { ProgressAction::Break(()) } else { handler(is_error, text) }
            })
        }));
    }

    fn peek_data_line(&mut self) -> Option<io::Result<Result<&[u8], Error>>> {
        self.inner.peek_data_line()
    }

    fn reset(&mut self, version: Protocol) {
        self.inner.reset(version);
    }

    fn stopped_at(&self) -> Option<MessageKind> {
        self.inner.stopped_at()
    }
}

/// The HTTP client of gix, its bodies counted.
pub(super) struct MeteredHttp {
    inner: Remote,
    meter: Arc<Meter>,
}

impl MeteredHttp {
    pub(super) fn new(meter: &Arc<Meter>) -> Self {
        Self { inner: Remote::default(), meter: Arc::clone(meter) }
    }

    fn metered<R>(&self, inner: R) -> Metered<R> {
        Metered { inner, meter: Arc::clone(&self.meter) }
    }
}

impl Http for MeteredHttp {
    type Headers = Metered<<Remote as Http>::Headers>;
    type ResponseBody = Metered<<Remote as Http>::ResponseBody>;
    type PostBody = <Remote as Http>::PostBody;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<GetResponse<Self::Headers, Self::ResponseBody>, gix::Error> {
        let GetResponse { headers, body } = self.inner.get(url, base_url, headers)?;
        Ok(GetResponse { headers: self.metered(headers), body: self.metered(body) })
    }

    fn post(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        body: PostBodyDataKind,
    ) -> Result<PostResponse<Self::Headers, Self::ResponseBody, Self::PostBody>, gix::Error> {
        let PostResponse { post_body, headers, body } = self.inner.post(url, base_url, headers, body)?;
        Ok(PostResponse { post_body, headers: self.metered(headers), body: self.metered(body) })
    }

    fn configure(&mut self, config: &dyn Any) -> Result<(), gix::Error> {
        self.inner.configure(config)
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.inner.redirected_base_url()
    }
}

/// A transport whose answers are counted.
pub(super) struct MeteredTransport<T> {
    inner: T,
    meter: Arc<Meter>,
}

impl<T: Transport> MeteredTransport<T> {
    pub(super) fn new(inner: T, meter: &Arc<Meter>) -> Self {
        Self { inner, meter: Arc::clone(meter) }
    }
}

impl<T: Transport> TransportWithoutIO for MeteredTransport<T> {
    fn to_url(&self) -> Cow<'_, BStr> {
        self.inner.to_url()
    }

    fn supported_protocol_versions(&self) -> &[Protocol] {
        self.inner.supported_protocol_versions()
    }

    fn connection_persists_across_multiple_requests(&self) -> bool {
        self.inner.connection_persists_across_multiple_requests()
    }

    fn configure(&mut self, config: &dyn Any) -> Result<(), gix::Error> {
        self.inner.configure(config)
    }
}

impl<T: Transport> Transport for MeteredTransport<T> {
    fn handshake<'a>(
        &mut self,
        service: Service,
        extra_parameters: &'a [(&'a str, Option<&'a str>)],
    ) -> Result<SetServiceResponse<'_>, Error> {
        let meter = Arc::clone(&self.meter);
        let SetServiceResponse { actual_protocol, capabilities, refs } =
            self.inner.handshake(service, extra_parameters)?;
        let refs = refs.map(|inner| -> Box<dyn ReadlineBufRead + '_> { Box::new(Metered { inner, meter }) });
        Ok(SetServiceResponse { actual_protocol, capabilities, refs })
    }

    fn request(
        &mut self,
        write_mode: WriteMode,
        on_into_read: MessageKind,
        trace: bool,
    ) -> Result<RequestWriter<'_>, Error> {
        let meter = Arc::clone(&self.meter);
        let (writer, inner) = self.inner.request(write_mode, on_into_read, trace)?.into_parts();
        Ok(RequestWriter::new_from_bufread(writer, Box::new(Metered { inner, meter }), write_mode, on_into_read, trace))
    }
}
