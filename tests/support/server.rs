//! A static file server on 127.0.0.1 that can be told to misbehave, and remembers what it was asked.

use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use modelpm::model::Sha256;

use super::http::{Answer, Content, Listener, Port};
pub use super::http::{Fault, Request};

/// The server; it ends when it is dropped.
pub struct Server(Listener);

impl Server {
    /// Serves the files below a folder.
    pub fn start(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self(Port::pick().answer(move |request| match read(&folder, &request.path) {
            Some(bytes) => {
                let etag = format!("\"{}\"", Sha256::of(&bytes).short());
                Answer::file(Content::bytes(bytes), &etag)
            }
            None => Answer::text(404, ""),
        }))
    }

    /// `http://127.0.0.1:<port>/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.0.address())
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        self.0.address().to_string()
    }

    /// Misbehaves with the next `times` requests for a path (without the leading slash).
    pub fn fault(&self, path: &str, times: usize, fault: Fault) {
        self.0.fault(path, times, fault);
    }

    /// Behaves again.
    pub fn mend(&self) {
        self.0.mend();
    }

    /// What was asked so far; forgets it.
    pub fn requests(&self) -> Vec<Request> {
        self.0.requests()
    }
}

fn read(folder: &Path, path: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(path.split('?').next()?);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let mut bytes = Vec::new();
    std::fs::File::open(folder.join(path)).ok().filter(|_| plain)?.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
