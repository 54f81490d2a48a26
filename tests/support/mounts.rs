//! Small file systems of a test's own, unmounted when it ends. Where mounting is not allowed, a test says that it is skipped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::peers;

/// A mounted file system.
pub struct Mount {
    at: PathBuf,
    _image: tempfile::TempDir,
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run("umount", &["-l".as_ref(), self.at.as_ref()]);
    }
}

/// Runs a program to its end; whether it went well.
pub fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

impl Mount {
    fn made(at: PathBuf, image: tempfile::TempDir, mounted: bool) -> Option<Self> {
        if !mounted {
            peers::skip("the right to mount a small file system");
            return None;
        }
        Some(Self { at, _image: image })
    }

    fn folder() -> (PathBuf, tempfile::TempDir) {
        let image = tempfile::tempdir().expect("a folder");
        let at = image.path().join("at");
        std::fs::create_dir(&at).expect("a folder");
        (at, image)
    }

    /// A file system in memory, `options` such as `size=4m`.
    pub fn tmpfs(options: &str) -> Option<Self> {
        let (at, image) = Self::folder();
        let mounted = run(
            "mount",
            &["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), options.as_ref(), "tmpfs".as_ref(), at.as_ref()],
        );
        Self::made(at, image, mounted)
    }

    /// A file system of a kind (`btrfs`, `xfs`, `ext4`) in a file that grows to 320 MiB.
    pub fn image(kind: &str, options: &[&str]) -> Option<Self> {
        let program = format!("mkfs.{kind}");
        let program = peers::peer(&program)?;
        let (at, image) = Self::folder();
        let file = image.path().join("image");
        std::fs::File::create(&file).and_then(|file| file.set_len(320 << 20)).expect("an empty image");
        let mut arguments: Vec<&std::ffi::OsStr> = vec!["-q".as_ref()];
        arguments.extend(options.iter().map(|option| std::ffi::OsStr::new(*option)));
        arguments.push(file.as_ref());
        assert!(run(program.to_str().expect("text"), &arguments), "{kind} is made");
        let mounted = run("mount", &["-o".as_ref(), "loop".as_ref(), file.as_ref(), at.as_ref()]);
        Self::made(at, image, mounted)
    }

    /// What stands at `folder`, once more and read-only.
    pub fn read_only(folder: &Path) -> Option<Self> {
        let (at, image) = Self::folder();
        let mounted = run("mount", &["--bind".as_ref(), folder.as_ref(), at.as_ref()])
            && run("mount", &["-o".as_ref(), "remount,ro,bind".as_ref(), at.as_ref()]);
        Self::made(at, image, mounted)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Mounts it again with other options.
    pub fn change(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(run("mount", &["-o".as_ref(), options.as_ref(), self.at.as_ref()]), "{options}");
    }
}
