//! A real `sshd` on 127.0.0.1 with keys and configuration of its own, and an `ssh` on a search path that uses them.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::peers;

/// The server; it ends when it is dropped.
pub struct Sshd {
    child: Child,
    folder: tempfile::TempDir,
    user: String,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    /// Starts one that lets this user in by key; none where it can't be had.
    pub fn start() -> Option<Self> {
        let (sshd, keygen) = (peers::peer("sshd")?, peers::peer("ssh-keygen")?);
        peers::peer("ssh")?;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for name in ["host", "stranger", "client"] {
            let mut command = Command::new(&keygen);
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(at.join(name)).stdin(Stdio::null());
            assert!(command.status().unwrap().success(), "{command:?}");
        }
        std::fs::copy(at.join("client.pub"), at.join("authorized")).unwrap();
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            std::fs::write(at.join("sshd.conf"), server_config(at, port)).unwrap();
            let mut child = server(&sshd, at)?.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            if peers::answers(port, &mut child) {
                let started = Self { child, folder, user, port };
                started.trust("host");
                return Some(started);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("sshd did not start: {}", std::fs::read_to_string(at.join("sshd.log")).unwrap_or_default());
    }

    /// `git+ssh` address of a repository.
    pub fn address(&self, repository: &Path) -> String {
        format!("git+ssh://{}@127.0.0.1:{}{}", self.user, self.port, repository.display())
    }

    /// A search path on which `ssh` knows this server and the client's key, and nothing of this machine's.
    pub fn path(&self) -> OsString {
        let own = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.folder.path().join("bin")).chain(std::env::split_paths(&own));
        std::env::join_paths(folders).unwrap()
    }

    /// What the client believes to be the server's key: `host`, which is right, or `stranger`.
    pub fn trust(&self, key: &str) {
        self.configure(key, "client");
    }

    /// The key that the client shows: `client`, which is let in, or `stranger`.
    pub fn show(&self, key: &str) {
        self.configure("host", key);
    }

    fn configure(&self, host: &str, client: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let at = self.folder.path();
        let public = std::fs::read_to_string(at.join(format!("{host}.pub"))).unwrap();
        std::fs::write(at.join("known"), format!("[127.0.0.1]:{} {public}", self.port)).unwrap();
        let config = format!(
            "Host *\nIdentityFile {client}\nIdentitiesOnly yes\nUserKnownHostsFile {known}\nGlobalKnownHostsFile /dev/null\n\
             StrictHostKeyChecking yes\nBatchMode yes\nConnectTimeout 10\nControlMaster no\n",
            client = at.join(client).display(),
            known = at.join("known").display(),
        );
        std::fs::write(at.join("ssh.conf"), config).unwrap();
        let ssh = peers::peer("ssh").expect("it was there");
        let script = format!("#!/bin/sh\nexec '{}' -F '{}' \"$@\"\n", ssh.display(), at.join("ssh.conf").display());
        std::fs::create_dir_all(at.join("bin")).unwrap();
        std::fs::write(at.join("bin/ssh"), script).unwrap();
        std::fs::set_permissions(at.join("bin/ssh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What the server wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("sshd.log")).unwrap_or_default()
    }
}

fn server_config(at: &Path, port: u16) -> String {
    // The session finds git where this test does.
    let path = std::env::var("PATH").unwrap_or_default();
    format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized\nPidFile none\n\
         UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
         PermitUserRC no\nAllowTcpForwarding no\nX11Forwarding no\nPrintMotd no\nLogLevel VERBOSE\n\
         SetEnv PATH=\"{path}\" GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*\n",
        at = at.display(),
    )
}

/// The command; as root in a mount namespace of its own, since it then wants a folder below `/run` that packages make at boot.
fn server(sshd: &Path, at: &Path) -> Option<Command> {
    let arguments = ["-D", "-E"].map(OsString::from).into_iter().chain([at.join("sshd.log").into()]);
    let arguments: Vec<OsString> = arguments.chain(["-f".into(), at.join("sshd.conf").into()]).collect();
    let ready = !peers::is_root() || PathBuf::from("/run/sshd").is_dir();
    let mut command = Command::new(if ready { sshd } else { Path::new("unshare") });
    if !ready {
        let probe = Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs tmpfs /run"]).output();
        if !probe.is_ok_and(|output| output.status.success()) {
            peers::missing("the folder /run/sshd, or mount namespaces");
            return None;
        }
        let script = "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec \"$@\"";
        command.args(["-m", "sh", "-c", script, "sh"]).arg(sshd);
    }
    command.args(arguments);
    Some(command)
}
