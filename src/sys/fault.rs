//! Named fault points, compiled in under the feature `faults` alone: tests end a process between two steps.
//!
//! `MPM_FAULT` is `NAME:kill` or `NAME:error:` and `ENOSPC`, `EIO`, `EDQUOT` or `EROFS`; `NAME@3:…` acts at the third passage
//! only.

/// Every point, each just before the step that it names. A test compares it with the code, and others end a process at each.
pub const POINTS: &[(&str, &str)] = &[
    ("atomic-rename", "any file replaced atomically gets its name"),
    ("blob-rename", "a blob gets its name in the store"),
    ("blob-sync", "staged bytes are made durable"),
    ("bundle-rename", "a bundle that is whole gets its name"),
    ("fetch-write", "a piece of a blob is written to its partial download"),
    ("gc-remove", "a blob is removed by a collection"),
    ("lease-link", "a lease that is written gets its name"),
    ("lock-write", "Model.lock is written"),
    ("many-rename", "one of many files that share their barriers gets its name"),
    ("name-sync", "names in a folder, or all that a file system was told, are made durable"),
    ("pending-clear", "what was about to be placed is forgotten"),
    ("place-file", "a file is placed in a project"),
    ("place-remove", "a file that no longer belongs is removed from a project"),
    ("receipt-write", "the receipt is written"),
    ("statement-write", "a release statement goes into the store"),
    ("trust-state-write", "trust state is written"),
];

/// Ends the process with SIGKILL, or fails with an I/O error, if the environment's `MPM_FAULT` names this point.
///
/// # Errors
/// The injected error.
#[cfg(not(feature = "faults"))]
#[inline]
pub fn point(_name: &'static str) -> std::io::Result<()> {
    Ok(())
}

/// Ends the process with SIGKILL, or fails with an I/O error, if the environment's `MPM_FAULT` names this point.
///
/// # Errors
/// The injected error.
#[cfg(feature = "faults")]
pub fn point(name: &'static str) -> std::io::Result<()> {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Some(wanted) = WANTED.get_or_init(Wanted::read) else { return Ok(()) };
    if wanted.name != name || PASSED.fetch_add(1, Ordering::SeqCst).wrapping_add(1) != wanted.passage {
        return Ok(());
    }
    match wanted.fault {
        Fault::Kill => {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The signal arrives before this thread runs on, or soon after; nothing may happen meanwhile.
            loop {
                std::thread::park();
            }
        }
        Fault::Error(error) => Err(error.into()),
    }
}

#[cfg(feature = "faults")]
struct Wanted {
    name: String,
    passage: u64,
    fault: Fault,
}

#[cfg(feature = "faults")]
enum Fault {
    Kill,
    Error(rustix::io::Errno),
}

#[cfg(feature = "faults")]
impl Wanted {
    fn read() -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "a test's own variable, never a setting")]
        let text = std::env::var("MPM_FAULT").ok()?;
        let (point, fault) = text.split_once(':')?;
        let (name, passage) = point.split_once('@').unwrap_or((point, "1"));
        let fault = match fault {
            "kill" => Fault::Kill,
            "error:ENOSPC" => Fault::Error(rustix::io::Errno::NOSPC),
            "error:EIO" => Fault::Error(rustix::io::Errno::IO),
            "error:EDQUOT" => Fault::Error(rustix::io::Errno::DQUOT),
            "error:EROFS" => Fault::Error(rustix::io::Errno::ROFS),
            _ => return None,
        };
        Some(Self { name: name.to_owned(), passage: passage.parse().ok()?, fault })
    }
}
