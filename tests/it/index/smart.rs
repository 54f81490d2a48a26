//! A git index over HTTP: git's own `http-backend` behind a few lines of CGI. Skipped, aloud, where git is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use modelpm::index::{Base, Gate, Opening, Registry, World};
use modelpm::manifest::IndexAddress;
use modelpm::model::{Pin, RegistryId, SafeUrl};
use modelpm::sys::NetworkPolicy;

use super::fixture::{Index, Machine, at, name, version};
use crate::support::peers;

/// Serves the repositories below a folder until the process ends; its address.
fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            std::thread::spawn(move || drop(answer(&stream, &folder)));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: &TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (method, target) = (line.split(' ').next().unwrap().to_owned(), line.split(' ').nth(1).unwrap().to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().unwrap().write_all(&body)?;
    let output = child.wait_with_output()?.stdout;
    let status = if output.starts_with(b"Status: ") { "404 x" } else { "200 x" };
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n")?;
    stream.write_all(&output)
}

#[test]
fn a_git_index_over_http_is_fetched_read_and_followed() {
    if !Command::new("git")
        .arg("http-backend")
        .env("REQUEST_METHOD", "GET")
        .output()
        .is_ok_and(|o| !o.stdout.is_empty())
    {
        peers::missing("git with its http-backend");
        return;
    }
    let mut machine = Machine::new();
    let place = machine.folder.path().join("served");
    std::fs::create_dir_all(&place).unwrap();
    let mut index = Index::new();
    index.put("blobs/sha256/2d/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", b"x".to_vec());
    super::repository::commit(&place.join("index.git"), &index.files);
    let url = format!("{}/index.git", serve(place.clone()));
    let open = |machine: &Machine, index: &Index| {
        let opening = Opening {
            id: RegistryId::parse("acme").unwrap(),
            root: index.root_digest,
            root_at: None,
            mirrors: Vec::new(),
            address: IndexAddress::Git(SafeUrl::parse(&url).unwrap()),
            floor: None,
            gate: Gate::NewTrust,
            air_gap: modelpm::index::AirGap::default(),
        };
        let http = machine.http();
        let cache = machine.folder.path().join("cache");
        let world =
            World { http: &http, trust: machine.trust(), cache, now: at(machine.now), progress: &machine.heard };
        Registry::open(&opening, &world)
    };
    let versions = |registry: &Registry| {
        let listings = registry.listings(&BTreeSet::from([name("acme/minilm")])).unwrap();
        listings[&name("acme/minilm")].as_ref().unwrap().releases.keys().cloned().collect::<Vec<_>>()
    };
    let registry = open(&machine, &index).unwrap();
    assert_eq!(versions(&registry), [version("1.0.0"), version("1.1.0")]);
    match registry.bases().unwrap().as_slice() {
        [Base::Objects(reader)] => assert_eq!(reader.blob(&Pin::of(b"x")).unwrap(), Some(b"x".to_vec())),
        _ => panic!("one base"),
    }
    index.release("acme/minilm", "1.2.0");
    index.checkpoint();
    super::repository::commit(&place.join("index.git"), &index.files);
    assert_eq!(versions(&open(&machine, &index).unwrap()).len(), 3);
    assert!(!machine.heard.take().contains("git-rewritten"));
    // Offline, the last commit will do.
    machine.network = NetworkPolicy::Offline;
    assert_eq!(versions(&open(&machine, &index).unwrap()).len(), 3);
    // History is rewritten: a warning, and the checkpoint decides.
    machine.network = NetworkPolicy::Online;
    std::fs::remove_dir_all(place.join("index.git")).unwrap();
    index.put("README", b"new".to_vec());
    super::repository::commit(&place.join("index.git"), &index.files);
    open(&machine, &index).unwrap();
    assert!(machine.heard.take().contains("git-rewritten"));
    // A repository that is gone is a matter of the network.
    std::fs::remove_dir_all(place.join("index.git")).unwrap();
    let error = open(&machine, &index).err().unwrap();
    assert_eq!(modelpm::diagnose::Diagnose::code(&error).0, "E0162", "{error}");
}
