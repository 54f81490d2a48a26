//! Leases: locks that do not trust flock. A created file with host, process, boot id, nonce and heartbeat.
//!
//! The file is created whole (a hard link of a written one), so it appears with its holder in it or not at all. Its last
//! line is a counter that the holder raises through its open handle: a waiter that sees it stand still by its own clock
//! takes the lease over, and no two clocks are ever compared. Whoever removes a lease, its holder included, first creates
//! a file named by the lease's nonce: so exactly one process removes it, and nobody removes the lease that follows.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::diagnose::{Class, Code, Diagnose, Hint};
use crate::model::Timestamp;
use crate::sys::holder::{Holder, Life};
use crate::sys::{Clock as _, SystemClock};
use crate::sys::{fault, files};

/// Time between two beats.
const BEAT: Duration = Duration::from_secs(5);
/// A lease whose counter stood still for so long, watched by the waiter, is taken over.
const STILL: Duration = Duration::from_mins(1);
/// Time between two beats, and how long a heartbeat must stand still.
#[cfg(not(feature = "faults"))]
fn rhythm() -> (Duration, Duration) {
    (BEAT, STILL)
}

/// The same; tests may have a faster heart, so that they need not wait for a minute.
#[cfg(feature = "faults")]
fn rhythm() -> (Duration, Duration) {
    static RHYTHM: std::sync::OnceLock<(Duration, Duration)> = std::sync::OnceLock::new();
    *RHYTHM.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "a test's own variable, never a setting")]
        let text = std::env::var("MPM_TEST_HEARTBEAT").unwrap_or_default();
        let parse = |text: &str| text.parse().ok().map(Duration::from_millis);
        let both = text.split_once(',').and_then(|(beat, still)| Some((parse(beat)?, parse(still)?)));
        both.unwrap_or((BEAT, STILL))
    })
}

/// Largest lease file that is read.
const CAP: u64 = 4096;
/// How the name of a lease in the making begins.
const PREFIX: &str = ".lease-";
/// How the name of the right to remove a dead one's lease ends.
const ENDING: &str = ".ending";

/// A held lease; dropping it gives it up.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    holder: Holder,
}

/// How a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether its holder lives.
    pub life: Life,
    /// Since when it is held, by its holder's clock.
    pub since: Option<Timestamp>,
}

/// Why a lease can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else held it all the time.
    #[error("{} is held by {holder}; waited {} seconds", path.display(), waited.as_secs())]
    Held {
        /// The lease.
        path: PathBuf,
        /// Host, process and since when.
        holder: String,
        /// How long was waited.
        waited: Duration,
    },
    /// Its file can't be made or read.
    #[error("can't take the lease {}", path.display())]
    Unusable {
        /// The lease.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Diagnose for LeaseError {
    fn code(&self) -> Code {
        match self {
            Self::Held { .. } => Code("E0171"),
            Self::Unusable { .. } => Code("E0172"),
        }
    }
    fn class(&self) -> Class {
        match self {
            Self::Held { .. } => Class::Busy,
            Self::Unusable { .. } => Class::Yours,
        }
    }
    fn hints(&self) -> Vec<Hint> {
        match self {
            Self::Held { .. } => vec![
                Hint::Note("nothing was changed; run the command again when the other one has ended".to_owned()),
                Hint::Note("a lease whose process has died is taken over by itself".to_owned()),
            ],
            Self::Unusable { .. } => vec![Hint::Note("nothing was changed".to_owned())],
        }
    }
}

impl Lease {
    /// Takes the lease at `path`, waiting at most `wait`. `waiting` is told once who holds it. A lease whose process is
    /// dead on this host and boot, or whose heartbeat stands still, is taken over. Its folder is made if it is missing.
    ///
    /// # Errors
    /// `E0171`: it was held too long. `E0172`: its folder can't be written.
    pub fn take(path: &Path, wait: Duration, waiting: &dyn Fn(&str)) -> Result<Self, LeaseError> {
        Self::take_watching(path, wait, rhythm().1, waiting)
    }

    /// A lease of a name that nobody else uses, in a folder that exists: a mark that this process is at work.
    ///
    /// # Errors
    /// `E0172`: the folder can't be written.
    pub fn mark(folder: &Path) -> Result<Self, LeaseError> {
        let holder = Holder::ourselves(SystemClock.now());
        let path = folder.join(holder.nonce());
        let made = create(&path, &holder).and_then(|made| made.ok_or_else(|| io::ErrorKind::AlreadyExists.into()));
        match made {
            Ok(file) => Ok(Self::held(&path, holder, file)),
            Err(source) => Err(LeaseError::Unusable { path, source }),
        }
    }

    /// [`Lease::take`] with another limit for a heartbeat that stands still.
    fn take_watching(path: &Path, wait: Duration, still: Duration, waiting: &dyn Fn(&str)) -> Result<Self, LeaseError> {
        let mut attempt = Attempt { still, ..Attempt::new(path) };
        let begun = Instant::now();
        let mut told = false;
        let mut pause = Duration::from_millis(5);
        loop {
            if let Some(lease) = attempt.try_now()? {
                return Ok(lease);
            }
            let waited = begun.elapsed();
            // Most leases are free again before anybody wonders.
            if !told && waited >= wait.min(Duration::from_millis(200)) {
                told = true;
                waiting(&attempt.held_by());
            }
            if waited >= wait {
                return Err(attempt.given_up(waited));
            }
            std::thread::sleep(pause.min(wait.saturating_sub(waited)));
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    fn held(path: &Path, holder: Holder, file: File) -> Self {
        static HEART: Once = Once::new();
        let beating = Beating { file, offset: holder.text().len() as u64, count: 0 };
        BEATING.lock().unwrap_or_else(PoisonError::into_inner).insert(holder.nonce().to_owned(), beating);
        // One thread beats for all leases of the process. A lease without a heartbeat still tells the living from the dead
        // on this machine, so a thread that can't be had is no reason to fail.
        HEART.call_once(|| {
            let _ = std::thread::Builder::new().name("mpm-leases".to_owned()).spawn(|| {
                loop {
                    std::thread::sleep(rhythm().0);
                    beat();
                }
            });
        });
        Self { path: path.to_owned(), holder }
    }

    /// Whether the lease is still ours: after a long sleep of the machine another process may have taken it over.
    pub fn is_ours(&self) -> bool {
        matches!(read(&self.path), Ok(Some(seen)) if Holder::nonce_of(&seen).as_deref() == Some(self.holder.nonce()))
    }

    /// Where its file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the lease at `path` stands; `None` if nobody holds it.
    ///
    /// # Errors
    /// Its file can't be read.
    pub fn standing(path: &Path) -> io::Result<Option<Standing>> {
        Ok(read(path)?.map(|seen| match Holder::parse(&seen) {
            Some(holder) => Standing { life: holder.life(), since: holder.since() },
            None => Standing { life: Life::Unknown, since: None },
        }))
    }

    /// Whether somebody who is not known to be dead holds the lease at `path`.
    pub fn is_held(path: &Path) -> bool {
        !matches!(Self::standing(path), Ok(None | Some(Standing { life: Life::Dead, .. })))
    }

    /// Whether a file of this name belongs to a lease that is just being taken or taken over.
    pub fn is_passing(name: &OsStr) -> bool {
        name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) || name.as_encoded_bytes().ends_with(ENDING.as_bytes())
    }

    /// Removes what dead processes that were about to take a lease left in a folder.
    pub fn clear_unfinished(folder: &Path) {
        for (name, _) in files::list(folder).unwrap_or_default().into_iter().filter(|(name, _)| Self::is_passing(name))
        {
            let path = folder.join(name);
            // One that says nothing was killed before it could. If it is being written, its maker takes the long way: see
            // `create`.
            if let Ok(Some(Standing { life: Life::Dead, .. } | Standing { since: None, .. })) = Self::standing(&path) {
                // Nobody can act on one that stays.
                let _ = files::remove(&path);
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        BEATING.lock().unwrap_or_else(PoisonError::into_inner).remove(self.holder.nonce());
        if let Ok(Some(seen)) = read(&self.path)
            && Holder::nonce_of(&seen).as_deref() == Some(self.holder.nonce())
        {
            // A lease that can't be removed is taken over when this process has ended.
            let _ = remove(&self.path, &seen, &self.holder);
        }
    }
}

/// An attempt to take a lease, kept over the time that somebody else holds it: it watches the heartbeat.
#[derive(Debug)]
pub struct Attempt {
    path: PathBuf,
    still: Duration,
    watch: Option<Watch>,
}

/// A lease that is watched: its text, and since when it has not changed.
#[derive(Debug)]
struct Watch {
    seen: String,
    since: Instant,
}

impl Attempt {
    /// Nothing is tried yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), still: rhythm().1, watch: None }
    }

    /// Takes the lease if it is free, or its holder dead; `None` if it is held.
    ///
    /// # Errors
    /// `E0172`: its folder can't be made or written.
    pub fn try_now(&mut self) -> Result<Option<Lease>, LeaseError> {
        self.try_once().map_err(|source| LeaseError::Unusable { path: self.path.clone(), source })
    }

    fn try_once(&mut self) -> io::Result<Option<Lease>> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let ourselves = Holder::ourselves(SystemClock.now());
        loop {
            if let Some(file) = create(&self.path, &ourselves)? {
                return Ok(Some(Lease::held(&self.path, ourselves, file)));
            }
            let Some(seen) = read(&self.path)? else { continue };
            let dead = Holder::parse(&seen).is_some_and(|holder| holder.life() == Life::Dead);
            let still_for = match &self.watch {
                Some(watch) if watch.seen == seen => watch.since.elapsed(),
                _ => Duration::ZERO,
            };
            if (dead || still_for >= self.still) && remove(&self.path, &seen, &ourselves)? {
                continue;
            }
            if self.watch.as_ref().is_none_or(|watch| watch.seen != seen) {
                self.watch = Some(Watch { seen, since: Instant::now() });
            }
            return Ok(None);
        }
    }

    /// Who held it when it was tried last.
    pub fn held_by(&self) -> String {
        let holder = self.watch.as_ref().and_then(|watch| Holder::parse(&watch.seen));
        holder.map_or_else(|| "an unknown process".to_owned(), |holder| holder.to_string())
    }

    /// The error for having waited so long in vain.
    pub fn given_up(&self, waited: Duration) -> LeaseError {
        LeaseError::Held { path: self.path.clone(), holder: self.held_by(), waited }
    }
}

/// The leases of this process by nonce.
static BEATING: Mutex<BTreeMap<String, Beating>> = Mutex::new(BTreeMap::new());

/// A lease's open file: through it, a beat can only ever touch this lease's own.
struct Beating {
    file: File,
    offset: u64,
    count: u64,
}

fn beat() {
    for lease in BEATING.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
        lease.count = lease.count.saturating_add(1);
        let _ = lease.file.write_all_at(counter(lease.count).as_bytes(), lease.offset);
    }
}

fn counter(count: u64) -> String {
    format!("{count:020}\n")
}

/// Creates the lease's file with its holder in it; `None` if there is one.
fn create(path: &Path, holder: &Holder) -> io::Result<Option<File>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Other users of a shared store must be able to read who holds it.
    let mut builder = tempfile::Builder::new();
    let mut temporary = builder
        .prefix(PREFIX)
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(|error| files::bare(&error))?;
    io::Write::write_all(&mut temporary, format!("{}{}", holder.text(), counter(0)).as_bytes())
        .map_err(|error| files::bare(&error))?;
    let (file, name) = temporary.into_parts();
    fault::point("lease-link")?;
    match std::fs::hard_link(&name, path) {
        Ok(()) => name.close().map(|()| Some(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        // No hard links here: created empty and then written. A reader may see it empty for a moment, and waits.
        Err(_) => match File::options().write(true).create_new(true).open(path) {
            Ok(file) => {
                file.write_all_at(format!("{}{}", holder.text(), counter(0)).as_bytes(), 0)?;
                Ok(Some(file))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        },
    }
}

/// The text of the lease's file; `None` if there is none.
fn read(path: &Path) -> io::Result<Option<String>> {
    Ok(files::read_capped(path, CAP)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Removes the lease whose text was `seen`, unless another process is doing so or it changed. Says whether it is gone.
fn remove(path: &Path, seen: &str, ourselves: &Holder) -> io::Result<bool> {
    let nonce = Holder::nonce_of(seen).unwrap_or_else(|| "unknown".to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{nonce}{ENDING}"));
    let right = path.with_file_name(name);
    if create(&right, ourselves)?.is_none() {
        // Another process is removing it. If that one died on the way, its right goes first, and we ask again.
        if let Some(other) = read(&right)?
            && Holder::parse(&other).is_some_and(|holder| holder.life() == Life::Dead)
        {
            take_away(&right, Holder::nonce_of(&other).as_deref(), ourselves)?;
        }
        return Ok(false);
    }
    let result = match read(path) {
        Ok(Some(now)) if Holder::nonce_of(&now) == Holder::nonce_of(seen) && still_removable(&now, seen, ourselves) => {
            take_away(path, Holder::nonce_of(seen).as_deref(), ourselves)
        }
        Ok(Some(_)) => Ok(false),
        Ok(None) => Ok(true),
        Err(error) => Err(error),
    };
    files::remove(&right)?;
    result
}

/// Renames a lease to a name that only we use, and looks whose it was: a wrong one goes back.
fn take_away(path: &Path, nonce: Option<&str>, ourselves: &Holder) -> io::Result<bool> {
    let aside = path.with_file_name(format!(".lease-{}-gone", ourselves.nonce()));
    match std::fs::rename(path, &aside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    }
    let right = matches!(read(&aside), Ok(Some(text)) if Holder::nonce_of(&text).as_deref() == nonce);
    if !right {
        let _ = std::fs::hard_link(&aside, path);
    }
    files::remove(&aside)?;
    Ok(right)
}

/// Our own lease goes whatever its counter says; another's only if it did not beat meanwhile.
fn still_removable(now: &str, seen: &str, ourselves: &Holder) -> bool {
    now == seen || Holder::nonce_of(now).as_deref() == Some(ourselves.nonce())
}

#[cfg(test)]
#[path = "lease/tests.rs"]
mod tests;
