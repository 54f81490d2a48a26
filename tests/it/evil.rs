//! A registry whose server is the enemy, met with the real binary: by a machine that knows it, one that has the lock alone and
//! one that knows nothing, each with `sync`, `lock`, `update` and `add`.
//!
//! Whatever is served: a command that fails changes nothing, one that succeeds brought genuine releases, never an older one
//! than was known; the token went to its host alone; and once the server is honest, everybody goes on.

mod bodies;
mod git;
mod histories;
mod machines;
mod memory;
mod statements;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use modelpm::model::Sha256;

use crate::flows::fixture::tree;
use crate::support::evil::Evil;
use crate::support::project::{Project, Ran};
use crate::support::registry::{BASE_TIME, TestRegistry};
use crate::support::server::Server;
use crate::support::{blob, peers};

/// The clock: an hour after the registry's checkpoints.
const NOW: u64 = BASE_TIME + 3_600;
const TOKEN: &str = "s3cret-t0ken";
const COMMANDS: [&[&str]; 4] = [&["sync"], &["lock"], &["update"], &["add", "acme/other"]];
/// Longest that a command may take here, where a server may be silent for a fifth of a second.
const LONGEST: Duration = Duration::from_secs(20);

/// Who meets the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// It has synced before, and remembers.
    Knowing,
    /// It has Model.toml and Model.lock.
    Locked,
    /// It has Model.toml.
    Stranger,
}

use Who::{Knowing, Locked, Stranger};

/// The enemy, where its redirects lead, and the three who meet it.
struct Site {
    evil: Evil,
    spy: Server,
    victims: BTreeMap<Who, Project>,
    asked: Cell<usize>,
    _spied: tempfile::TempDir,
}

/// Bytes of `acme/tiny` by version.
fn tiny(minor: u64) -> Vec<u8> {
    blob::safetensors(10 + minor, 3_000)
}

fn other() -> Vec<u8> {
    blob::safetensors(30, 2_000)
}

fn path_of(bytes: &[u8]) -> String {
    modelpm::sys::blob_path(&Sha256::of(bytes))
}

/// An exit code: any but 0.
const ANY: i32 = -1;

/// The moments that an enemy keeps: before the victims came, when they did, and the newest.
const BEFORE: usize = 0;
const MET: usize = 1;
const NEWEST: usize = 2;

impl Site {
    /// All three. None where the binary's clock can't be set.
    fn new() -> Option<Self> {
        let mut site = Self::of_a_stranger()?;
        let (knowing, locked) = (site.project(), site.project());
        knowing.mpm(&["sync"]).expect(0);
        locked.write("Model.lock", knowing.read("Model.lock").unwrap());
        site.victims.extend([(Knowing, knowing), (Locked, locked)]);
        Some(site)
    }

    /// One that knows nothing, alone.
    fn of_a_stranger() -> Option<Self> {
        if !cfg!(feature = "faults") {
            peers::missing("a build with the feature faults, whose clock can be set");
            return None;
        }
        let mut registry = TestRegistry::new("acme");
        registry.namespace("acme");
        registry.release("acme/other", "1.0.0").file("model.safetensors", other()).publish();
        registry.release("acme/tiny", "1.0.0").file("model.safetensors", tiny(0)).publish();
        let mut evil = Evil::new(registry);
        assert_eq!(evil.keep(), BEFORE);
        for (minor, moment) in [(1, MET), (2, NEWEST)] {
            let version = format!("1.{minor}.0");
            evil.registry.release("acme/tiny", &version).file("model.safetensors", tiny(minor)).publish();
            assert_eq!(evil.keep(), moment);
        }
        let spied = tempfile::tempdir().unwrap();
        evil.registry.copy_to(spied.path());
        evil.serve(MET);
        let spy = Server::start(spied.path());
        let mut site = Self { evil, spy, victims: BTreeMap::new(), asked: Cell::new(0), _spied: spied };
        site.victims.insert(Stranger, site.project());
        Some(site)
    }

    fn project(&self) -> Project {
        let manifest = format!(
            "[project]\nname = \"demo\"\n\n[registries.acme]\nindex = \"sparse+{}\"\nroot = \"{}\"\nnamespaces = [\"acme\"]\n\n[models]\n\"acme/tiny\" = \"1\"\n",
            self.evil.server.url(),
            self.evil.registry.root_sha256().prefixed()
        );
        Project::new()
            .manifest(&manifest)
            .config(&format!("[tokens]\n\"{}\" = \"{TOKEN}\"\n", self.evil.server.host()))
            .variable("MPM_TEST_NOW", NOW.to_string())
            .variable("MPM_TEST_LAG", "0")
            .variable("MPM_TEST_STALL", "200")
            .variable("MPM_COLOR", "never")
    }

    /// Everybody meets what is served now. `refused` lists who must not get through, with which commands, and the exit code;
    /// who is not listed may get through, if all is genuine.
    #[track_caller]
    fn meet(&self, attack: &str, refused: &[(Who, &[&str], i32)]) {
        self.attack(attack, refused);
        self.recover(attack);
    }

    /// The same with a thief of the index key, who may have used up numbers: the owners answer with a new epoch.
    #[track_caller]
    fn meet_thief(&mut self, attack: &str, refused: &[(Who, &[&str], i32)]) {
        self.attack(attack, refused);
        self.recover_by_epoch(attack);
    }

    #[track_caller]
    fn attack(&self, attack: &str, refused: &[(Who, &[&str], i32)]) {
        for (who, project) in &self.victims {
            for arguments in COMMANDS {
                let told = format!("{attack}: {who:?}, {arguments:?}");
                let before = tree(&project.folder());
                let begun = Instant::now();
                let ran = project.mpm(arguments);
                assert!(begun.elapsed() < LONGEST, "{told}: {:?}\n{}", begun.elapsed(), ran.stderr);
                let must = refused.iter().find(|(whom, commands, _)| whom == who && commands.contains(&arguments[0]));
                if let Some((_, _, code)) = must {
                    let as_it_must = if *code == ANY { ran.code != 0 } else { ran.code == *code };
                    assert!(as_it_must, "{told}: {}, not {code}\n{}", ran.code, ran.stderr);
                }
                self.check(*who, project, &ran, &before, &told);
            }
        }
        self.check_tokens(attack);
    }

    #[track_caller]
    fn check(&self, who: Who, project: &Project, ran: &Ran, before: &BTreeMap<String, Vec<u8>>, told: &str) {
        assert!(matches!(ran.code, 0 | 3 | 4 | 5), "{told}: {}\n{}", ran.code, ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{told}\n{}", ran.stderr);
        let after = tree(&project.folder());
        let visible = |files: &BTreeMap<String, Vec<u8>>| {
            let mut files = files.clone();
            files.retain(|path, _| !path.starts_with(".mpm/"));
            files
        };
        if ran.code != 0 {
            assert_eq!(visible(before), visible(&after), "{told}: a failure changed the project\n{}", ran.stderr);
            assert!(ran.stderr.contains("error[E"), "{told}\n{}", ran.stderr);
        }
        let genuine = BTreeMap::from([
            ("models/acme/tiny/model.safetensors", vec![tiny(0), tiny(1), tiny(2)]),
            ("models/acme/other/model.safetensors", vec![other()]),
        ]);
        for (path, bytes) in after.iter().filter(|(path, _)| path.starts_with("models/")) {
            let good = genuine.get(path.as_str()).unwrap_or_else(|| panic!("{told}: {path} was placed"));
            assert!(good.contains(bytes), "{told}: {path} is not genuine");
        }
        let lock = after.get("Model.lock").map(|bytes| String::from_utf8(bytes.clone()).unwrap()).unwrap_or_default();
        let versions = lock.lines().filter_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
        for version in versions.filter(|version| version.contains('.')) {
            assert!(["1.0.0", "1.1.0", "1.2.0"].contains(&version), "{told}: {version} was locked");
        }
        let older = lock.contains("name = \"acme/tiny\"\nversion = \"1.0.0\"");
        assert!(who == Stranger || !older, "{told}: an older release than was known was locked");
        for text in [&ran.stdout, &ran.stderr, &lock] {
            assert!(!text.contains(TOKEN), "{told}: the token is shown");
        }
    }

    /// The token went to the host that it is for, and nobody else saw it.
    #[track_caller]
    fn check_tokens(&self, attack: &str) {
        for request in self.evil.server.requests() {
            let sent = request.headers.get("authorization").map(String::as_str);
            assert_eq!(sent, Some(&*format!("Bearer {TOKEN}")), "{attack}: {}", request.path);
        }
        let spied = self.spy.requests();
        self.asked.set(spied.len());
        for request in spied {
            assert_eq!(request.headers.get("authorization"), None, "{attack}: {}", request.path);
        }
        for project in self.victims.values() {
            for (path, bytes) in tree(&project.home()) {
                let holds = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
                assert!(!holds || path.ends_with("config.toml"), "{attack}: the token lies in {path}");
            }
        }
    }

    /// The server is honest again: everybody goes on, and what they have stored is whole.
    #[track_caller]
    fn recover(&self, attack: &str) {
        self.go_on(attack, NEWEST);
    }

    /// The same under a root with a new index key and the next epoch.
    #[track_caller]
    fn recover_by_epoch(&mut self, attack: &str) {
        self.evil.registry.rotate_root(1);
        let moment = self.evil.keep();
        self.go_on(attack, moment);
    }

    #[track_caller]
    fn go_on(&self, attack: &str, moment: usize) {
        self.evil.serve(moment);
        for (who, project) in &self.victims {
            for arguments in [&["update"][..], &["sync"], &["verify"]] {
                let ran = project.mpm(arguments);
                assert_eq!(ran.code, 0, "{attack}: {who:?} does not recover, {arguments:?}\n{}", ran.stderr);
            }
            assert_eq!(project.read("models/acme/tiny/model.safetensors"), Some(tiny(2)), "{attack}: {who:?}");
        }
    }
}
