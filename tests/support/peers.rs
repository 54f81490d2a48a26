//! Programs that we did not write: found where they are installed, else the test says what it skips. Under `tests/run`
//! (`MPM_PEERS=required`) a peer that is missing is a failure.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::certificates::Identity;

/// The program's path, or `None` with a line that says so.
pub fn peer(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/usr/lib/git-core"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(extra).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        missing(name);
    }
    found
}

/// Says that something is missing, or fails where it must be there.
pub fn missing(what: &str) {
    assert!(std::env::var_os("MPM_PEERS").is_none_or(|value| value != "required"), "this test needs {what}");
    skip(what);
}

/// Prints a figure that a run is asked for, past the harness, which shows only what tests that fail print.
pub fn figure(text: &str) {
    let _ = std::io::stderr().write_all(format!("figure: {text}\n").as_bytes());
}

/// Says once what is left out for want of something that nobody is asked to have. Written past the print macros: what those
/// print, the harness shows only of tests that fail.
pub fn skip(what: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned()) {
        let _ = std::io::stderr().write_all(format!("skipped, needs {what}\n").as_bytes());
    }
}

/// The Python of the peers' virtual environment, with numpy and safetensors.
pub fn python() -> Option<PathBuf> {
    let found = std::env::var_os("MPM_TEST_PYTHON").map(PathBuf::from).filter(|file| file.is_file());
    if found.is_none() {
        missing("the Python environment that tests/run makes");
    }
    found
}

/// Generations of the Hugging Face hub's client: they cannot share an environment, and each treats redirects, listings and
/// caches in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubClient {
    /// 0.36 with transformers 4: requests instead of httpx; knows nothing of listings in the cache.
    Old,
    /// 1.33: takes two ports of one host name for one host; needs a listing in the cache to read a commit offline.
    Middle,
    /// 2.4, with transformers, tokenizers, safetensors and numpy beside it.
    New,
}

impl HubClient {
    /// From the oldest.
    pub const ALL: [Self; 3] = [Self::Old, Self::Middle, Self::New];

    /// The folder of its environment's programs.
    fn programs(self) -> Option<PathBuf> {
        let variable = match self {
            Self::Old => "MPM_TEST_HF_OLD",
            Self::Middle => "MPM_TEST_HF_MIDDLE",
            Self::New => "MPM_TEST_HF_NEW",
        };
        let python = std::env::var_os(variable).map(PathBuf::from).filter(|file| file.is_file());
        if python.is_none() {
            missing(&format!("{variable}, an environment of the hub's client that tests/run makes"));
        }
        Some(python?.parent().unwrap().to_owned())
    }

    /// A program of its environment, `hf` or `python`, that has `home` for its home and its cache in `home/hub`, and finds
    /// the hub at `endpoint`. Add `HF_TOKEN` or `HF_HUB_OFFLINE` as needed.
    pub fn command(self, program: &str, home: &Path, endpoint: &str) -> Option<Command> {
        let mut command = Command::new(self.programs()?.join(program));
        command.env_clear().stdin(Stdio::null()).current_dir(home);
        // Programs look for git, and some for a home.
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
        command.env("HF_HOME", home).env("HF_HUB_CACHE", home.join("hub")).env("HF_ENDPOINT", endpoint);
        // Nothing is asked of anyone else, and nothing waits for long.
        for variable in ["HF_HUB_DISABLE_UPDATE_CHECK", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"] {
            command.env(variable, "1");
        }
        command.env("HF_HUB_DOWNLOAD_TIMEOUT", "5").env("HF_HUB_ETAG_TIMEOUT", "5").env("NO_COLOR", "1");
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "*");
        Some(command)
    }

    /// One of the programs in tests/support/python/, to be run as above.
    pub fn script(self, name: &str, home: &Path, endpoint: &str) -> Option<Command> {
        let mut command = self.command("python", home, endpoint)?;
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/python").join(name));
        Some(command)
    }
}

/// The folder of the MiniLM sentence embedder, as the hub lays it out: a real model of 91 MB.
pub fn minilm() -> Option<PathBuf> {
    let found = std::env::var_os("MPM_TEST_MINILM").map(PathBuf::from).filter(|folder| folder.is_dir());
    if found.is_none() {
        missing("MPM_TEST_MINILM, the model that tests/run fetches");
    }
    found
}

/// A server that ends with the test.
pub struct Server {
    child: Child,
    helper: Option<Child>,
    /// `http://127.0.0.1:PORT`, or `https`.
    pub url: String,
    /// Where it logs requests.
    pub log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in self.helper.iter_mut().chain([&mut self.child]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Server {
    /// Lines of the access log.
    pub fn requests(&self) -> Vec<String> {
        let Ok(file) = std::fs::File::open(&self.log) else { return Vec::new() };
        BufReader::new(file).lines().map_while(Result::ok).collect()
    }
}

/// nginx over a folder of static files; with `git` also `git http-backend` under `/git/`.
pub fn nginx(root: &Path, git: Option<&Path>) -> Option<Server> {
    start_nginx(root, git, None)
}

/// The same over TLS.
pub fn nginx_tls(root: &Path, git: Option<&Path>, identity: &Identity) -> Option<Server> {
    start_nginx(root, git, Some(identity))
}

fn start_nginx(root: &Path, git: Option<&Path>, identity: Option<&Identity>) -> Option<Server> {
    let program = peer("nginx")?;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (mut helper, mut location) = (None, String::new());
    if let Some(project_root) = git {
        let socket = at.join("fcgi.sock");
        let wrap = peer("fcgiwrap")?;
        helper = Some(
            Command::new(wrap)
                .arg("-s")
                .arg(format!("unix:{}", socket.display()))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let backend = Command::new("git").arg("--exec-path").output().unwrap();
        let backend = Path::new(String::from_utf8(backend.stdout).unwrap().trim()).join("git-http-backend");
        location = format!(
            "location ~ ^/git(/.*) {{ gzip off; fastcgi_pass unix:{socket}; fastcgi_param SCRIPT_FILENAME {backend};
             fastcgi_param GIT_PROJECT_ROOT {root}; fastcgi_param GIT_HTTP_EXPORT_ALL 1; fastcgi_param PATH_INFO $1;
             fastcgi_param QUERY_STRING $query_string; fastcgi_param REQUEST_METHOD $request_method;
             fastcgi_param CONTENT_TYPE $content_type; fastcgi_param CONTENT_LENGTH $content_length;
             fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding; fastcgi_param GIT_PROTOCOL $http_git_protocol;
             fastcgi_param GIT_CONFIG_COUNT 1; fastcgi_param GIT_CONFIG_KEY_0 safe.directory; fastcgi_param GIT_CONFIG_VALUE_0 *;
             fastcgi_param REMOTE_USER \"\"; }}",
            socket = socket.display(),
            backend = backend.display(),
            root = project_root.display(),
        );
    }
    let (scheme, tls) = match identity {
        None => ("http", String::new()),
        Some(Identity { certificate, key }) => {
            let (certificate, key) = (certificate.display(), key.display());
            ("https", format!("ssl_certificate {certificate}; ssl_certificate_key {key};"))
        }
    };
    let listen = if identity.is_some() { " ssl" } else { "" };
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let user = if is_root() { "user root;" } else { "" };
        let config = format!(
            "daemon off; master_process off; {user} pid {at}/nginx.pid; error_log {at}/error.log;
             events {{ worker_connections 256; }}
             http {{ access_log {at}/access.log; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
             fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
             server {{ listen 127.0.0.1:{port}{listen}; {tls} root {root}; sendfile on; {location} }} }}",
            at = at.display(),
            root = root.display(),
        );
        std::fs::write(at.join("nginx.conf"), config).unwrap();
        let mut child = Command::new(&program)
            .arg("-p")
            .arg(at)
            .arg("-c")
            .arg(at.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if answers(port, &mut child) {
            let log = at.join("access.log");
            return Some(Server { child, helper, url: format!("{scheme}://127.0.0.1:{port}"), log, _folder: folder });
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    panic!("nginx did not start: {}", std::fs::read_to_string(at.join("error.log")).unwrap_or_default());
}

/// Whether a server that was started answers before it ends.
pub fn answers(port: u16, child: &mut Child) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::yield_now();
    }
    false
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
