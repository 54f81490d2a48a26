//! Who holds a lease, and whether that process still lives.
//!
//! A process is known to be dead only where it can be seen: same host, same boot, same process namespace. Everywhere else
//! its heartbeat decides.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Pid, getpid, test_kill_process};
use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// The holder of a lease, as its file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Holder {
    host: String,
    process: i32,
    since: u64,
    nonce: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    /// The process namespace: numbers mean nothing outside theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// The kernel's start time of the process: numbers are used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<u64>,
}

/// Whether a holder's process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs on this machine.
    Alive,
    /// It ran on this machine, in this boot, and is gone.
    Dead,
    /// It can't be seen from here.
    Unknown,
}

impl Holder {
    /// This process, under a new nonce.
    pub(crate) fn ourselves(now: Timestamp) -> Self {
        let machine = Machine::this();
        let process = getpid();
        Self {
            host: machine.host.clone(),
            process: process.as_raw_nonzero().get(),
            since: now.seconds(),
            nonce: nonce(),
            boot: machine.boot.clone(),
            namespace: machine.namespace.clone(),
            started: started(process),
        }
    }

    /// The holder in a lease's text; `None` if it is not written yet or damaged.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text.lines().next()?).ok()
    }

    /// One line.
    pub(crate) fn text(&self) -> String {
        // A struct of strings and numbers always has a JSON form.
        serde_json::to_string(self).map(|line| line + "\n").unwrap_or_default()
    }

    /// What tells this lease from all others.
    pub(crate) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The nonce in a lease's text, if it is fit for a file name.
    pub(crate) fn nonce_of(text: &str) -> Option<String> {
        let nonce = Self::parse(text)?.nonce;
        let fit = nonce.len() == 32 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit());
        fit.then_some(nonce)
    }

    /// Since when it holds the lease, by its own clock.
    pub(crate) fn since(&self) -> Option<Timestamp> {
        Timestamp::from_seconds(self.since).ok()
    }

    /// Whether the process lives.
    pub(crate) fn life(&self) -> Life {
        let machine = Machine::this();
        let seen_from_here = self.host == machine.host
            && self.boot.is_some()
            && self.boot == machine.boot
            && self.namespace.is_some()
            && self.namespace == machine.namespace;
        // A number that is none of a process would ask about a whole group of them.
        let number = Some(self.process).filter(|number| seen_from_here && *number > 0);
        let Some(process) = number.and_then(Pid::from_raw) else { return Life::Unknown };
        match test_kill_process(process) {
            Err(Errno::SRCH) => Life::Dead,
            // It exists; where it belongs to another user, its start time may be hidden.
            Ok(()) | Err(_) => match (self.started, started(process)) {
                (Some(then), Some(now)) if then != now => Life::Dead,
                (Some(_), Some(_)) if is_zombie(process) => Life::Dead,
                _ => Life::Alive,
            },
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The file is another process's word: nothing of it reaches a terminal raw.
        let host: String =
            self.host.chars().map(|letter| if letter.is_ascii_graphic() { letter } else { '?' }).take(64).collect();
        write!(f, "process {} on host {host}", self.process)?;
        match Timestamp::from_seconds(self.since) {
            Ok(since) => write!(f, ", since {since}"),
            Err(_) => Ok(()),
        }
    }
}

/// What tells this machine, boot and process namespace from others.
struct Machine {
    host: String,
    boot: Option<String>,
    namespace: Option<String>,
    /// Whether `/proc` counts processes as this one's namespace does; in some containers it is another's.
    proc_is_ours: bool,
}

impl Machine {
    fn this() -> &'static Self {
        static THIS: OnceLock<Machine> = OnceLock::new();
        THIS.get_or_init(|| Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned()),
            namespace: std::fs::read_link("/proc/self/ns/pid").ok().map(|link| link.to_string_lossy().into_owned()),
            proc_is_ours: std::fs::read_link("/proc/self")
                .is_ok_and(|link| link.to_str() == Some(&getpid().as_raw_nonzero().to_string())),
        })
    }
}

fn stat(process: Pid) -> Option<Vec<String>> {
    // Elsewhere the number is another process's, whose age and death say nothing.
    if !Machine::this().proc_is_ours {
        return None;
    }
    let text = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// When the process started, in the kernel's ticks since boot.
fn started(process: Pid) -> Option<u64> {
    stat(process)?.get(19)?.parse().ok()
}

fn is_zombie(process: Pid) -> bool {
    stat(process).and_then(|fields| fields.first().cloned()).is_some_and(|state| state == "Z" || state == "X")
}

/// 128 random bits from the keys of the standard library's hasher; they tell leases apart and protect nothing.
fn nonce() -> String {
    let half = || RandomState::new().build_hasher().finish();
    let mut other = RandomState::new().build_hasher();
    other.write_i32(getpid().as_raw_nonzero().get());
    format!("{:016x}{:016x}", half(), other.finish())
}
