//! A certificate authority of a test, and what servers show: good, expired, of another name, signed by nobody else.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::peers::peer;

/// A certificate and its secret key, in PEM.
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// An authority in a temporary folder.
pub struct Authority {
    folder: tempfile::TempDir,
    own: Identity,
}

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    Nothing,
    Expired,
    OtherName,
    SelfSigned,
}

const SERVER: &str =
    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n";

impl Authority {
    /// A new authority; none where `openssl` is missing.
    pub fn new() -> Option<Self> {
        peer("openssl")?;
        let folder = tempfile::tempdir().expect("a folder");
        let own = identity(folder.path(), "authority");
        let extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";
        let authority = Self { folder, own };
        authority.sign(&authority.own, "an authority of a test", extensions, &authority.own, None);
        Some(authority)
    }

    /// Its own certificate, for clients that shall believe it.
    pub fn certificate(&self) -> &Path {
        &self.own.certificate
    }

    /// A certificate of a server on 127.0.0.1; none where `faketime` is missing and needed.
    pub fn identity(&self, flaw: Flaw) -> Option<Identity> {
        let server = identity(self.folder.path(), &format!("{flaw:?}"));
        let name = if flaw == Flaw::OtherName { "DNS:other.example" } else { "IP:127.0.0.1,DNS:localhost" };
        let extensions = format!("{SERVER}subjectAltName={name}\n");
        let signer = if flaw == Flaw::SelfSigned { &server } else { &self.own };
        // Signed when it was valid: for thirty days, long ago.
        let then = if flaw == Flaw::Expired { Some((peer("faketime")?, "2020-01-01 00:00:00")) } else { None };
        self.sign(&server, "a server of a test", &extensions, signer, then);
        Some(server)
    }

    fn sign(&self, of: &Identity, name: &str, extensions: &str, signer: &Identity, then: Option<(PathBuf, &str)>) {
        let (request, file) = (of.key.with_extension("csr"), of.key.with_extension("ext"));
        std::fs::write(&file, extensions).expect("written");
        let new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj"];
        let mut command = Command::new("openssl");
        command.arg("req").args(new).arg(format!("/CN={name}"));
        run(command.arg("-keyout").arg(&of.key).arg("-out").arg(&request));
        let mut command = match then {
            None => Command::new("openssl"),
            Some((faketime, time)) => {
                let mut command = Command::new(faketime);
                command.args([time, "openssl"]);
                command
            }
        };
        command.args(["x509", "-req", "-days", "30", "-extfile"]).arg(file).arg("-in").arg(&request);
        if signer.key == of.key {
            command.arg("-signkey").arg(&of.key);
        } else {
            command.arg("-CA").arg(&signer.certificate).arg("-CAkey").arg(&signer.key).arg("-CAcreateserial");
        }
        run(command.arg("-out").arg(&of.certificate));
    }
}

fn identity(folder: &Path, name: &str) -> Identity {
    Identity { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) }
}

fn run(command: &mut Command) {
    // No configuration of the machine's: an empty file says nothing.
    let output = command.env("OPENSSL_CONF", "/dev/null").stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
