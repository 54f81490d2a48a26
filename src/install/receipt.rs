//! What a receipt says, as values; `wire` owns its text.

use crate::model::{Pin, RelPath, Sha256};
use crate::select::Choice;

/// Most files of a package that stand in the receipt itself, and that `Quick` looks at one by one.
pub const MAX_INLINE_FILES: usize = 2_000;

/// What `mpm` placed in a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What the receipt answers: digest over manifest bytes, lock bytes and choice. A no-op compares this first.
    pub inputs: Option<Sha256>,
    /// What was chosen: a repair brings back this, not something else.
    pub choice: Choice,
    /// Digest over what of manifest, lock and choice decides which files are placed: edits that change none of it leave it
    /// alone.
    pub meaning: Option<Sha256>,
    /// Placed packages and folders of layouts, sorted by folder.
    pub packages: Vec<PlacedPackage>,
}

/// A package as it was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedPackage {
    /// The key, for direct dependencies.
    pub key: Option<String>,
    /// `registry:ns/name@version` or a source id; for a folder of a layout, the layout and a name.
    pub id: String,
    /// The layout that it belongs to; none: it is a package.
    pub layout: Option<String>,
    /// The folder, relative to the project.
    pub folder: RelPath,
    /// Statement digest, for releases.
    pub statement: Option<Sha256>,
    /// Variants chosen.
    pub variants: Vec<String>,
    /// Bytes placed.
    pub size: u64,
    /// Number of files placed.
    pub count: u64,
    /// The files.
    pub files: PlacedFiles,
}

/// The files of a placed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacedFiles {
    /// In the receipt, sorted by path.
    Inline(Vec<PlacedFile>),
    /// In `.mpm/files/<sha256>.jsonl`.
    Table {
        /// Digest of the table.
        digest: Sha256,
        /// The folders that hold the files, sorted: an unchanged folder has lost and gained no entry.
        folders: Vec<PlacedFolder>,
    },
}

/// A file as it was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedFile {
    /// Relative to the package's folder.
    pub path: RelPath,
    /// Its bytes.
    pub pin: Pin,
    /// How it stood on disk when it was placed.
    pub stat: Stat,
    /// How it came there.
    pub link: Link,
}

/// A folder as it was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedFolder {
    /// Relative to the project.
    pub path: RelPath,
    /// Modification time in nanoseconds since the epoch.
    pub mtime: i64,
    /// Inode number.
    pub inode: u64,
}

/// What the file system says about a file (of a symlink: about the link itself).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Modification time in nanoseconds since the epoch.
    pub mtime: i64,
    /// Inode number.
    pub inode: u64,
    /// Device number: told, not compared, since it changes from mount to mount.
    pub device: u64,
}

/// How a file came into the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Copy on write.
    Reflink,
    /// The store's inode.
    Hard,
    /// A symbolic link into the store.
    Symlink,
    /// A copy.
    Copy,
    /// It stood there already, with the right bytes.
    Adopted,
}

impl PlacedPackage {
    /// Whether it names anything whose looks can be compared.
    pub fn is_tangible(&self) -> bool {
        match &self.files {
            PlacedFiles::Inline(files) => !files.is_empty(),
            PlacedFiles::Table { folders, .. } => !folders.is_empty(),
        }
    }
}

impl Stat {
    /// Whether a file that looks like `other` may be taken for this one unread.
    pub fn agrees(&self, other: &Self) -> bool {
        self.size == other.size && self.mtime == other.mtime && self.inode == other.inode
    }
}

impl Link {
    /// The words in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reflink => "reflink",
            Self::Hard => "hard link",
            Self::Symlink => "symlink",
            Self::Copy => "copy",
            Self::Adopted => "adopted",
        }
    }
}

impl Receipt {
    /// What was placed for dependencies: all but the folders of layouts.
    pub fn dependencies(&self) -> impl Iterator<Item = &PlacedPackage> {
        self.packages.iter().filter(|package| package.layout.is_none())
    }

    /// The package placed for a key.
    pub fn package(&self, key: &str) -> Option<&PlacedPackage> {
        self.dependencies().find(|package| package.key.as_deref() == Some(key))
    }
}
