//! Work behind a staged write: hashing from the memory that was written, and early write-back.
//!
//! Both run on threads of their own, so that the thread that writes never waits for a digest or a disk. Refuses to know files
//! by name.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use crate::model::Sha256Hasher;

/// Bytes that were written and are to be hashed; their memory is given up by whoever is last.
pub type Piece = Box<dyn AsRef<[u8]> + Send>;

/// Pieces that wait for the digest.
const WAITING: usize = 2;
/// Bytes between two write-backs.
const EVERY: u64 = 64 << 20;

/// A digest that is computed on a thread of its own.
pub(super) struct Hashing {
    sender: SyncSender<Message>,
    thread: JoinHandle<Sha256Hasher>,
}

enum Message {
    Take(Piece),
    Tell(SyncSender<Sha256Hasher>),
}

impl Hashing {
    /// Goes on with a digest.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(hasher: Sha256Hasher) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let thread = thread::Builder::new().name("mpm-hash".to_owned()).spawn(move || hash(hasher, &receiver))?;
        Ok(Self { sender, thread })
    }

    /// Takes the next bytes; waits while too many are before them.
    pub(super) fn take(&self, piece: Piece) {
        // The thread ends when this end is dropped, and not before.
        let _ = self.sender.send(Message::Take(piece));
    }

    /// The digest of all that was taken so far.
    pub(super) fn so_far(&self) -> Sha256Hasher {
        let (sender, receiver) = sync_channel(1);
        let _ = self.sender.send(Message::Tell(sender));
        receiver.recv().unwrap_or_default()
    }

    /// The digest of all.
    pub(super) fn end(self) -> Sha256Hasher {
        drop(self.sender);
        match self.thread.join() {
            Ok(hasher) => hasher,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn hash(mut hasher: Sha256Hasher, receiver: &Receiver<Message>) -> Sha256Hasher {
    for message in receiver {
        match message {
            Message::Take(piece) => hasher.update((*piece).as_ref()),
            // Nobody waits for an answer any more: none is needed.
            Message::Tell(sender) => drop(sender.send(hasher.clone())),
        }
    }
    hasher
}

/// Has what is written go to the disk while more comes, so that the barrier at the end has little left to do.
pub(super) struct WriteBack {
    sender: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
    since: u64,
}

impl WriteBack {
    /// For an open file.
    ///
    /// # Errors
    /// No thread can be started, or no further handle had.
    pub(super) fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (sender, receiver) = sync_channel::<()>(1);
        let thread = thread::Builder::new()
            .name("mpm-sync".to_owned())
            .spawn(move || receiver.into_iter().try_for_each(|()| file.sync_data()))?;
        Ok(Self { sender, thread, since: 0 })
    }

    /// So many bytes more were written. Does not wait.
    pub(super) fn wrote(&mut self, bytes: u64) {
        self.since = self.since.saturating_add(bytes);
        if self.since < EVERY {
            return;
        }
        match self.sender.try_send(()) {
            // One that is still waited for does for both.
            Ok(()) | Err(TrySendError::Full(())) => self.since = 0,
            Err(TrySendError::Disconnected(())) => {}
        }
    }

    /// Waits for the last one.
    ///
    /// # Errors
    /// A write was lost. The system says so once, to whoever asks first: nobody may miss it.
    pub(super) fn end(self) -> io::Result<()> {
        drop(self.sender);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl std::fmt::Debug for WriteBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteBack").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Pin, Sha256Hasher};
    use crate::sys::behind::{EVERY, Hashing, WriteBack};

    #[test]
    fn the_digest_behind_is_that_of_all_bytes_in_order() {
        let hashing = Hashing::start(Sha256Hasher::new()).expect("a thread");
        for piece in [&b"ab"[..], b"", b"cde"] {
            hashing.take(Box::new(piece));
        }
        assert_eq!(hashing.so_far().finish(), Pin::of(b"abcde").sha256);
        hashing.take(Box::new(b"f".to_vec()));
        assert_eq!(hashing.end().finish(), Pin::of(b"abcdef").sha256);
    }

    #[test]
    fn a_write_back_ends_whether_it_had_work_or_not() {
        let file = tempfile::tempfile().expect("a file");
        for bytes in [0, EVERY, 3 * EVERY] {
            let mut back = WriteBack::start(&file).expect("a thread");
            back.wrote(bytes);
            back.wrote(1);
            assert!(back.end().is_ok());
        }
    }

    #[test]
    fn what_a_write_back_is_told_is_handed_on() {
        // A pipe is a file that can't be made durable.
        let (_reader, writer) = std::io::pipe().expect("a pipe");
        let mut back = WriteBack::start(&std::fs::File::from(std::os::fd::OwnedFd::from(writer))).expect("a thread");
        back.wrote(EVERY);
        assert!(back.end().is_err());
    }
}
