//! What is asked for ahead: a server that answers only once all that belong together have been asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use modelpm::index::{AirGap, Expected, Gate, Opening, Registry, World};
use modelpm::manifest::IndexAddress;
use modelpm::model::{RegistryId, SafeUrl};

use super::fixture::{Index, Machine, at, name, version};

/// How long an answer is held back for what should be asked for as well.
const HELD: Duration = Duration::from_secs(30);

/// Paths that were asked for, and those that are answered only together.
struct Gathering {
    files: BTreeMap<String, Vec<u8>>,
    together: Vec<BTreeSet<String>>,
    asked: Mutex<BTreeSet<String>>,
    came: Condvar,
}

impl Gathering {
    /// Answers questions on one connection until it is closed.
    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let mut stream = stream;
        while let Some(first) = lines.next().transpose()? {
            while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
            let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            let mut asked = self.asked.lock().unwrap();
            asked.insert(path.clone());
            self.came.notify_all();
            let group = self.together.iter().find(|group| group.contains(&path)).cloned().unwrap_or_default();
            let lacks = |asked: &mut BTreeSet<String>| !group.is_subset(asked);
            let (asked, waited) = self.came.wait_timeout_while(asked, HELD, lacks).unwrap();
            drop(asked);
            let (status, body) = match self.files.get(&path) {
                _ if waited.timed_out() => ("500 Nobody else asked", &[][..]),
                Some(body) => ("200 OK", &body[..]),
                None => ("404 Not Found", &[][..]),
            };
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len())?;
            stream.write_all(body)?;
        }
        Ok(())
    }
}

fn serve(files: BTreeMap<String, Vec<u8>>, together: Vec<BTreeSet<String>>) -> String {
    let gathering = Gathering { files, together, asked: Mutex::default(), came: Condvar::new() };
    let (gathering, listener) = (Arc::new(gathering), TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let gathering = Arc::clone(&gathering);
            std::thread::spawn(move || gathering.answer(stream));
        }
    });
    url
}

#[test]
fn a_locked_release_is_verified_in_few_round_trips() {
    let mut index = Index::new();
    let pin = index.release("acme/minilm", "1.2.0");
    index.checkpoint();
    let release = format!("releases/{}.json", pin.sha256);
    let [root, head, registrar, signed] = ["trust/root/1.json", "checkpoint.json", "trust/registrar/1.json", &release]
        .map(|path| (path.to_owned(), index.path(&format!("{path}."), ".minisig")));
    let trees: BTreeSet<String> = index.files.keys().filter(|path| path.starts_with("tree/")).cloned().collect();
    let now: BTreeSet<String> = {
        let opened = Machine::new().open(&index, super::fixture::Way::Memory).unwrap();
        let checkpoint = opened.floor().checkpoint;
        assert_eq!(checkpoint.number, index.number);
        // The trees of this checkpoint alone: both of their roots are asked for together.
        let text = String::from_utf8(index.files["checkpoint.json"].clone()).unwrap();
        let registrar = String::from_utf8(index.files["trust/registrar/1.json"].clone()).unwrap();
        let named = |path: &&String| {
            let digest = path.trim_start_matches("tree/");
            text.contains(digest) || registrar.contains(digest)
        };
        trees.iter().filter(named).cloned().collect()
    };
    assert_eq!(now.len(), 2);
    let first = [&root.0, &head.0, &registrar.0, &signed.0, &signed.1]
        .into_iter()
        .cloned()
        .chain(["trust/root/2.json".to_owned(), "packages/acme/minilm.jsonl".to_owned()])
        .collect();
    let second = [root.1, head.1, registrar.1].into();
    let url = serve(index.files.clone(), vec![first, second, now]);
    let machine = Machine::new();
    let floor = machine.open(&index, super::fixture::Way::Memory).unwrap().floor();
    let opening = Opening {
        id: RegistryId::parse("acme").unwrap(),
        root: index.root_digest,
        root_at: None,
        address: IndexAddress::Sparse(SafeUrl::parse(&url).unwrap()),
        mirrors: Vec::new(),
        floor: Some(floor),
        gate: Gate::Locked,
        air_gap: AirGap::default(),
    };
    let signers = [index.publisher.public().fingerprint()].into();
    let expected = Expected { packages: [name("acme/minilm")].into(), statements: vec![(pin, signers)] };
    let http = machine.http();
    let cache = machine.folder.path().join("cache");
    let world = World { http: &http, trust: machine.trust(), cache, now: at(machine.now), progress: &machine.heard };
    let registry = Registry::open_expecting(&opening, &world, &expected).unwrap();
    registry.locked_statement(&name("acme/minilm"), &version("1.2.0"), &pin).unwrap();
}
