//! What a file system can do, found out by trying: its kind, whether files can be written, and which links it makes.

use std::io;
use std::path::Path;

use crate::sys::files;

/// How a file came from one folder into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkTrial {
    /// Copy on write.
    Reflink,
    /// Hard link.
    Hard,
    /// Neither: another file system, or one that refuses. A symbolic link or a copy remains.
    Neither,
}

impl LinkTrial {
    /// The word in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reflink => "reflink",
            Self::Hard => "hard",
            Self::Neither => "neither",
        }
    }
}

/// Bytes of the trial: more than any file system packs into a directory entry.
const BYTES: &[u8] = &[0x6d; 8192];

/// The kind of the file system that holds a folder, or its nearest parent that exists, as people call it.
///
/// # Errors
/// The file system can't be asked.
#[cfg(target_os = "linux")]
pub fn file_system(path: &Path) -> io::Result<String> {
    let asked = path.ancestors().find(|at| at.exists()).unwrap_or(Path::new("/"));
    let magic = u64::try_from(rustix::fs::statfs(asked)?.f_type).unwrap_or_default() & 0xffff_ffff;
    let known = [
        (0xef53, "ext4"),
        (0x5846_5342, "xfs"),
        (0x9123_683e, "btrfs"),
        (0x0102_1994, "tmpfs"),
        (0x794c_7630, "overlayfs"),
        (0x2fc1_2fc1, "zfs"),
        (0x6969, "nfs"),
        (0xff53_4d42, "cifs"),
        (0xfe53_4d42, "smb2"),
        (0x6573_5546, "fuse"),
        (0x0bd0_0bd0, "lustre"),
        (0x4750_4653, "gpfs"),
        (0x00c3_6400, "ceph"),
        (0xf2f5_2010, "f2fs"),
        (0x0102_1997, "9p"),
        (0xca45_1a4e, "bcachefs"),
        (0x4d44, "vfat"),
        (0x2011_bab0, "exfat"),
    ];
    let name = known.iter().find(|(number, _)| *number == magic).map(|(_, name)| (*name).to_owned());
    Ok(name.unwrap_or_else(|| format!("unknown (0x{magic:x})")))
}

/// The kind of the file system that holds a folder.
///
/// # Errors
/// None here.
#[cfg(not(target_os = "linux"))]
pub fn file_system(_: &Path) -> io::Result<String> {
    Ok("unknown".to_owned())
}

/// Whether a file system is shared between machines, so that its own locks can't be trusted.
pub fn is_shared(name: &str) -> bool {
    matches!(name, "nfs" | "cifs" | "smb2" | "lustre" | "gpfs" | "ceph" | "fuse" | "9p")
}

/// Writes a file into `from` and links it into `to`; both are gone again afterwards. `from` must exist.
///
/// # Errors
/// A folder that can't be written.
pub fn link(from: &Path, to: &Path) -> io::Result<LinkTrial> {
    let source = files::unfinished(from, 0o600)?;
    io::Write::write_all(&mut source.as_file(), BYTES)?;
    // A name that nothing else takes: it is made and freed again.
    let place = files::unfinished(to, 0o600)?.into_temp_path();
    let target = place.to_path_buf();
    place.close()?;
    let made = if reflink_copy::reflink(source.path(), &target).is_ok() {
        LinkTrial::Reflink
    } else if std::fs::hard_link(source.path(), &target).is_ok() {
        LinkTrial::Hard
    } else {
        LinkTrial::Neither
    };
    files::remove(&target)?;
    Ok(made)
}

/// The permission bits of a file or folder; `None`: it is not there.
///
/// # Errors
/// It can't be asked.
pub fn mode(path: &Path) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt as _;
    match path.metadata() {
        Ok(found) => Ok(Some(found.permissions().mode() & 0o7777)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use crate::sys::trial::{file_system, link, mode};

    #[test]
    fn a_trial_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        link(folder.path(), folder.path()).expect("tried");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        assert!(!file_system(&folder.path().join("not/there")).expect("told").is_empty());
        assert_eq!(mode(&folder.path().join("not")).expect("asked"), None);
        assert!(link(&folder.path().join("not"), folder.path()).is_err());
    }
}
