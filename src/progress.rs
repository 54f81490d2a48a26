//! Events of long work: facts, never prose.

/// One piece of work within a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task(pub u64);

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doing {
    /// Reads an index.
    Index,
    /// Resolves versions.
    Resolve,
    /// Brings a blob.
    Fetch,
    /// Hashes a file that is there.
    Hash,
    /// Places files in a project.
    Install,
}

/// A fact that long work reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A task began. `bytes` is the whole, if it is known.
    Started {
        /// Which.
        task: Task,
        /// What it does.
        doing: Doing,
        /// The object: a path, a package, a place.
        what: &'a str,
        /// Bytes or items in all, if known.
        bytes: Option<u64>,
    },
    /// So many bytes are needed by tasks that will fetch, and that begin later.
    Needed {
        /// Bytes of all of them.
        bytes: u64,
    },
    /// So many bytes more; the sum never exceeds `bytes` of the start. A retry takes nothing back.
    Advanced {
        /// Which.
        task: Task,
        /// Bytes since the last event.
        bytes: u64,
    },
    /// So many bytes need not come: an earlier run brought them, or the store lends them. They count in the sum as those
    /// of `Advanced` do, and say nothing about speed.
    Kept {
        /// Which.
        task: Task,
        /// Bytes since the last event.
        bytes: u64,
    },
    /// A task ended; every start has one end.
    Finished {
        /// Which.
        task: Task,
        /// Whether it did what it was for.
        ok: bool,
    },
    /// Something that the user should know, though the command goes on.
    Notice(Notice),
}

/// Things that a user should know although nothing failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// A stable word for scripts, such as `expired-checkpoint`.
    pub code: &'static str,
    /// What happened, in one sentence.
    pub text: String,
    /// Whether it is a warning, or merely worth knowing.
    pub warning: bool,
}

/// Takes events.
pub trait Progress: Send + Sync {
    /// Takes one event. Must not block.
    fn on(&self, event: &Event<'_>);
}

/// Takes events and forgets them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn on(&self, _: &Event<'_>) {}
}

impl dyn Progress + '_ {
    /// Reports a warning.
    pub fn warn(&self, code: &'static str, text: impl Into<String>) {
        self.on(&Event::Notice(Notice { code, text: text.into(), warning: true }));
    }

    /// Reports something worth knowing.
    pub fn note(&self, code: &'static str, text: impl Into<String>) {
        self.on(&Event::Notice(Notice { code, text: text.into(), warning: false }));
    }
}
