//! A project in a folder of its own, with a home of its own, and the real binary run in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A project folder and the home of its user.
pub struct Project {
    root: tempfile::TempDir,
    variables: Vec<(String, OsString)>,
}

/// How a run of `mpm` ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; 128 + n after a signal.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Project {
    /// An empty folder.
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("temporary folder");
        for folder in ["project", "home"] {
            std::fs::create_dir(root.path().join(folder)).expect("folder");
        }
        Self { root, variables: Vec::new() }
    }

    /// The same on another file system, with a Model.toml.
    pub fn on(folder: &Path, manifest: &str) -> Self {
        let root = tempfile::tempdir_in(folder).expect("temporary folder");
        for folder in ["project", "home"] {
            std::fs::create_dir(root.path().join(folder)).expect("folder");
        }
        Self { root, variables: Vec::new() }.manifest(manifest)
    }

    /// Writes Model.toml.
    pub fn manifest(self, text: &str) -> Self {
        self.file("Model.toml", text)
    }

    /// Writes Model.lock.
    pub fn lock(self, text: &str) -> Self {
        self.file("Model.lock", text)
    }

    /// Writes a file of the project, with its folders.
    pub fn file(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        self.write(path, text);
        self
    }

    /// Writes the user configuration.
    pub fn config(self, text: &str) -> Self {
        put(&self.home().join(".config/mpm/config.toml"), text.as_bytes());
        self
    }

    /// Sets a variable for every run.
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// The project's folder.
    pub fn folder(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// The home folder, empty but for what `mpm` keeps there.
    pub fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.home().join(".local/share/mpm/store")
    }

    /// Writes a file of the project; one that stands there is replaced, not written through.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        put(&self.folder().join(path), text.as_ref());
    }

    /// A file of the project, if it is there.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder().join(path)).ok()
    }

    /// The same as text.
    pub fn text(&self, path: &str) -> Option<String> {
        self.read(path).map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    /// The command with a clean environment, in the project's folder; the caller adds what it likes.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mpm"));
        command.args(arguments).current_dir(self.folder()).env_clear().stdin(Stdio::null());
        // The search path is for git and ssh, which some indexes need.
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `mpm` to its end.
    pub fn mpm(&self, arguments: &[&str]) -> Ran {
        let output = self.command(arguments).output().expect("mpm starts");
        Ran::of(&output)
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

impl Ran {
    /// How it ended.
    pub fn of(output: &std::process::Output) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let code = output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal));
        Self {
            code: code.expect("a code or a signal"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code, and shows everything where it is another.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that stderr holds each text.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not in:\n{}", self.stderr);
        }
        self
    }

    /// The document on stdout, which is what its schema says.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let document = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr));
        super::schema::assert_valid(&document);
        document
    }

    /// The error document, the last line on stderr.
    #[track_caller]
    pub fn json_error(&self) -> serde_json::Value {
        let line = self.stderr.lines().last().unwrap_or_default();
        let document = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}", self.stderr));
        super::schema::assert_valid(&document);
        document
    }
}

fn put(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("folder");
    let _ = std::fs::remove_file(path);
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(path, bytes).expect("write");
}
