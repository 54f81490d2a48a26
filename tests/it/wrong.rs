//! Wrong input, as users meet it: the real binary, its exit code, its words, and that nothing was lost.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use modelpm::model::Sha256;

use crate::support::project::{Project, Ran};
use crate::support::registry::{BASE_TIME, TestRegistry};
use crate::support::server::{Fault, Server};
use crate::support::{blob, peers};

/// The clock of most tests: an hour after the registry's checkpoints.
const NOW: u64 = BASE_TIME + 3_600;
const DAY: u64 = 86_400;

/// A registry and a project that names it.
struct Site {
    registry: TestRegistry,
    project: Project,
}

/// The small model that most tests ask for.
fn weights() -> Vec<u8> {
    blob::safetensors(1, 50_000)
}

/// A registry with a few packages; none where the binary's clock can't be set.
fn registry() -> Option<TestRegistry> {
    if !cfg!(feature = "faults") {
        peers::missing("a build with the feature faults, whose clock can be set");
        return None;
    }
    let mut registry = TestRegistry::new("acme");
    registry.namespace("acme");
    registry.release("acme/tiny", "1.0.0").file("model.safetensors", weights()).file("README.md", "# tiny\n").publish();
    registry
        .release("acme/app", "1.0.0")
        .file("head.safetensors", blob::safetensors(2, 100))
        .depends("acme/tiny", "^1")
        .publish();
    registry
        .release("acme/multi", "1.0.0")
        .variant("f32", "model.safetensors", blob::safetensors(3, 300))
        .variant("int8", "model.safetensors", blob::safetensors(4, 100))
        .default_variant("f32")
        .publish();
    Some(registry)
}

fn site() -> Option<Site> {
    Some(Site::of(registry()?))
}

/// Model.toml of a project that takes its registry from `index`.
fn manifest(registry: &TestRegistry, index: &str, rest: &str) -> String {
    format!(
        "[project]\nname = \"demo\"\n\n[registries.acme]\nindex = \"{index}\"\nroot = \"{}\"\nnamespaces = [\"acme\"]\n\n{rest}\n",
        registry.root_sha256().prefixed()
    )
}

/// Files of a folder with their bytes, but for what mpm keeps for itself.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_symlink() {
                found.insert(
                    entry.path(),
                    std::fs::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes(),
                );
            } else if kind.is_file() {
                found.insert(entry.path(), std::fs::read(entry.path()).unwrap());
            } else if entry.file_name() != ".mpm" {
                folders.push(entry.path());
            }
        }
    }
    found
}

impl Site {
    fn of(registry: TestRegistry) -> Self {
        let index = registry.folder().display().to_string();
        let project = Project::new().variable("MPM_TEST_NOW", NOW.to_string()).variable("MPM_COLOR", "never");
        project.write("Model.toml", manifest(&registry, &index, ""));
        Self { registry, project }
    }

    fn write(&self, index: &str, rest: &str) {
        self.project.write("Model.toml", manifest(&self.registry, index, rest));
    }

    /// Dependencies in Model.toml, the index in its folder.
    fn wants(self, rest: &str) -> Self {
        self.write(&self.registry.folder().display().to_string(), rest);
        self
    }

    /// The same, the index behind a server.
    fn served(&self, rest: &str) -> Server {
        let server = Server::start(self.registry.folder());
        self.write(&format!("sparse+{}", server.url()), rest);
        server
    }

    /// The same project on a machine that knows nothing.
    fn elsewhere(&self) -> Self {
        let project = Project::new().variable("MPM_TEST_NOW", NOW.to_string()).variable("MPM_COLOR", "never");
        for file in ["Model.toml", "Model.lock"] {
            if let Some(bytes) = self.project.read(file) {
                project.write(file, bytes);
            }
        }
        let registry = TestRegistry::new("unused");
        Self { registry, project }
    }

    /// Fails with this code, says all this, and leaves the project as it was.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, says: &[&str]) -> Ran {
        fails(&self.project, arguments, code, says)
    }

    fn works(&self, arguments: &[&str]) -> Ran {
        self.project.mpm(arguments).expect(0)
    }

    fn installed(&self) -> bool {
        self.project.folder().join("models").exists()
    }

    fn replace(&self, file: &str, from: &str, to: &str) {
        let text = self.project.text(file).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        self.project.write(file, text.replace(from, to));
    }
}

#[track_caller]
fn fails(project: &Project, arguments: &[&str], code: i32, says: &[&str]) -> Ran {
    let before = tree(&project.folder());
    let ran = project.mpm(arguments).expect(code).says(says);
    let after = tree(&project.folder());
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>(),
        "files came or went\n{}",
        ran.stderr
    );
    assert!(before == after, "a file of the project changed\n{}", ran.stderr);
    bears_the_marks(&ran);
    ran
}

/// What holds for each error: a code, something to do or to know, no bypass first, no foreign words.
#[track_caller]
fn bears_the_marks(ran: &Ran) {
    let text = &ran.stderr;
    assert!(ran.stdout.is_empty(), "stdout: {}", ran.stdout);
    assert!(text.lines().any(|line| line.starts_with("error[E")), "no code:\n{text}");
    assert!(text.contains("\n\nhint: "), "no hint:\n{text}");
    assert!(text.lines().count() < 40, "endless:\n{text}");
    for word in [" safe ", "panicked", "RUST_BACKTRACE", "Some(", "os error 2)", "Error {", "s3cret"] {
        assert!(!text.contains(word), "{word:?} in:\n{text}");
    }
    if ran.code == 4 {
        for word in ["can't be reached", "offline", "connection", "network"] {
            assert!(!text.contains(word), "worded as a network error, {word:?}:\n{text}");
        }
        let first = text.lines().find(|line| line.starts_with("hint: ")).unwrap();
        assert!(!first.contains("--accept") && !first.contains("unsafe"), "the bypass first:\n{text}");
    }
    if ran.code == 3 {
        for word in ["signature", "attack"] {
            assert!(!text.contains(word), "worded as a trust error, {word:?}:\n{text}");
        }
    }
}

fn blob_path(bytes: &[u8]) -> String {
    modelpm::sys::blob_path(&Sha256::of(bytes))
}

// The lines of "Wrong input".

#[test]
fn no_manifest() {
    let project = Project::new();
    for command in [vec!["sync"], vec!["add", "demo/digits-mlp"], vec!["list"], vec!["lock", "--check"], vec!["verify"]]
    {
        let ran = project.mpm(&command).expect(1).says(&["error[E0901]: no Model.toml in ", "hint: run `mpm init`"]);
        bears_the_marks(&ran);
        assert_eq!(tree(&project.folder()), BTreeMap::new());
    }
}

#[test]
fn a_typo_in_a_name_offers_the_nearest() {
    let Some(site) = site() else { return };
    let says = ["acme has no package acme/tinny", "did you mean acme/tiny?", "nothing was changed"];
    site.fails(&["add", "acme/tinny"], 1, &says);
    let site = site.wants("[models]\n\"acme/tinny\" = \"1\"");
    site.fails(&["sync"], 1, &says);
    site.fails(&["info", "acme/tinny"], 1, &says[..2]);
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    site.works(&["sync"]);
    site.fails(&["remove", "acme/tinny"], 1, &["no dependency \"acme/tinny\"", "did you mean acme/tiny?"]);
    site.fails(&["path", "acme/tinny"], 1, &["acme/tinny", "did you mean acme/tiny?"]);
}

#[test]
fn a_requirement_that_nothing_satisfies() {
    let Some(mut site) = site() else { return };
    site.registry.release("acme/tiny", "2.0.0").file("model.safetensors", blob::safetensors(9, 10)).publish();
    site.registry.yank("acme/tiny", "2.0.0", "wrong tokenizer");
    let site = site.wants("[models]\n\"acme/tiny\" = \"^9\"");
    let says = ["acme/tiny", "^9", "Model.toml line 10", "1.0.0", "Model.lock is unchanged", "run `mpm add"];
    site.fails(&["sync"], 1, &says);
    site.fails(&["lock"], 1, &says);
    let site = site.wants("[models]\n\"acme/tiny\" = \"2\"");
    site.fails(&["sync"], 1, &["acme/tiny", "2.0.0", "yanked"]);
    let site = site.wants("");
    site.fails(&["add", "acme/tiny@^9"], 1, &["acme/tiny", "^9", "1.0.0"]);
    let clash = "[models]\n\"acme/app\" = \"9\"\n\"acme/tiny\" = \"1\"";
    site.wants(clash).fails(&["sync"], 1, &["acme/app", "Model.toml line 10"]);
}

#[test]
fn a_variant_that_does_not_exist() {
    let Some(site) = site() else { return };
    let says = ["acme/multi has no variant \"q4\"", "f32 (1.2", "int8 (", "nothing was placed"];
    site.fails(&["add", "acme/multi", "--variant", "q4"], 1, &says);
    let site = site.wants("[models]\n\"acme/multi\" = { version = \"1\", variant = \"q4\" }");
    site.fails(&["sync"], 1, &says);
    assert!(!site.installed());
}

#[test]
fn a_stale_lock_under_locked() {
    let Some(site) = site() else { return };
    site.fails(&["sync", "--locked"], 1, &["there is no Model.lock", "run `mpm lock`"]);
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    site.fails(&["sync", "--locked"], 1, &["there is no Model.lock", "nothing was changed", "run `mpm lock`"]);
    site.works(&["sync"]);
    site.replace("Model.toml", "\"acme/tiny\" = \"1\"", "\"acme/tiny\" = \"=2.0.0\"");
    let says = ["Model.toml line 10", "asks for version =2.0.0", "1.0.0", "nothing was changed", "run `mpm lock`"];
    site.fails(&["sync", "--locked"], 1, &says);
    site.fails(&["sync", "--frozen"], 1, &says);
    let ran = site.project.mpm(&["lock", "--check"]).expect(1);
    let text = format!("{}{}", ran.stdout, ran.stderr);
    assert!(text.contains("asks for version =2.0.0"), "{text}");
}

#[test]
fn an_unknown_flag() {
    let project = Project::new();
    project.mpm(&["sync", "--nonsense"]).expect(2).says(&["--nonsense", "Usage: mpm sync"]);
    project.mpm(&["synk"]).expect(2).says(&["'synk'", "sync"]);
    project.mpm(&["add"]).expect(2).says(&["NAME"]);
    let ran = project.mpm(&["sync", "--nonsense", "--json"]).expect(2);
    assert_eq!(ran.json_error()["error"]["code"], "E0991");
}

#[test]
fn a_server_that_can_not_be_reached() {
    let Some(site) = site() else { return };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    site.write(&format!("sparse+http://127.0.0.1:{port}/"), "[models]\n\"acme/tiny\" = \"1\"");
    let place = format!("http://127.0.0.1:{port}/");
    site.fails(&["sync"], 3, &["registry acme", &place, "nothing was changed"]);
    site.fails(&["add", "acme/app"], 3, &["registry acme", &place]);
    site.fails(&["sync", "--offline"], 3, &["offline", "without --offline"]);
}

#[test]
fn a_flipped_byte_in_a_blob_after_all_other_bases() {
    let Some(site) = site() else { return };
    let server = site.served("[models]\n\"acme/tiny\" = \"1\"");
    let mirror = Server::start(site.registry.folder());
    let (root, path) = (site.registry.root_sha256().prefixed(), blob_path(&weights()));
    let config = format!("[mirrors]\n\"{root}\" = [\"{}\"]\n", mirror.url());
    let site = Site { project: site.project.config(&config), ..site };
    for place in [&server, &mirror] {
        place.fault(&path, 9, Fault::Flip(1_000));
    }
    let wrong = {
        let mut bytes = weights();
        bytes[1_000] ^= 1;
        Sha256::of(&bytes).hex()
    };
    let ran = site.fails(
        &["sync"],
        4,
        &[
            "acme/tiny",
            "model.safetensors",
            &Sha256::of(&weights()).hex(),
            &wrong,
            &mirror.host(),
            &server.host(),
            "nothing was placed",
        ],
    );
    assert!(ran.stderr.find(&mirror.host()) < ran.stderr.find(&server.host()), "{}", ran.stderr);
    assert!(!site.installed() && site.project.read("Model.lock").is_none());
    for place in [&server, &mirror] {
        assert!(place.requests().iter().any(|request| request.path == path));
    }
    // One good place is enough.
    server.mend();
    site.works(&["sync"]);
    assert_eq!(site.project.read("models/acme/tiny/model.safetensors").unwrap(), weights());
}

#[test]
fn a_pin_of_the_lock_changed_by_hand() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/app\" = \"1\"");
    site.works(&["sync"]);
    let (registry, lock) = (&site.registry, site.project.text("Model.lock").unwrap());
    let (statement, other) = (
        registry.statement_sha256("acme/tiny", "1.0.0").prefixed(),
        registry.statement_sha256("acme/multi", "1.0.0").prefixed(),
    );
    let signer = registry.publisher("acme").public().fingerprint().hex();
    let stranger = registry.main.public().fingerprint().hex();
    let tiny = &lock[lock.find("name = \"acme/tiny\"").unwrap()..];
    let line = |text: &str, start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    let size = line(tiny, "size = ");
    let statement_size = line(tiny, "statement-size = ");
    let tail = |from: &str, to: &str| {
        let (head, _) = lock.split_at(lock.len() - tiny.len());
        format!("{head}{}", tiny.replacen(from, to, 1))
    };
    for (what, changed, says) in [
        ("statement", lock.replace(&statement, &other), vec!["acme/tiny", "pinned as", &statement, &other]),
        ("statement size", tail(&statement_size, "statement-size = 9"), vec!["acme/tiny", "9"]),
        ("size", tail(&size, "size = 7"), vec!["acme/tiny", "size", "7"]),
        ("kind", tail("kind = \"model\"", "kind = \"dataset\""), vec!["acme/tiny", "kind", "dataset", "model"]),
        ("signer", tail(&signer, &stranger), vec!["acme/tiny", "signer"]),
        (
            "dependency",
            lock[..lock.find("\n[[package]]\nname = \"acme/tiny\"").unwrap()]
                .replace("dependencies = [\n    \"acme:acme/tiny@1.0.0\",\n]\n", ""),
            vec!["acme/app", "dependenc"],
        ),
    ] {
        assert_ne!(changed, lock, "{what}");
        for site in [&site, &site.elsewhere()] {
            site.project.write("Model.lock", &changed);
            for arguments in [&["sync", "--locked"][..], &["sync"]] {
                eprintln!("{what}: {arguments:?}");
                site.fails(arguments, 4, &says).says(&["nothing was "]);
            }
        }
    }
    site.project.write("Model.lock", &lock);
    site.works(&["sync", "--locked"]);
}

#[test]
fn a_signature_of_another_package() {
    let Some(site) = site() else { return };
    let registry = &site.registry;
    let signature = |name: &str| {
        let path = format!("releases/{}.json", registry.statement_sha256(name, "1.0.0"));
        registry.folder().join(modelpm::keys::signature_path(&path, registry.publisher("acme").public()))
    };
    std::fs::copy(signature("acme/app"), signature("acme/tiny")).unwrap();
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    site.fails(&["sync"], 4, &["acme/tiny", "1.0.0", "0 of the 1 publisher", "nothing was changed"]);
    site.fails(&["add", "acme/tiny"], 4, &["acme/tiny"]);
    assert!(!site.installed());
}

#[test]
fn an_index_that_was_rolled_back() {
    let Some(mut site) = site() else { return };
    let place = tempfile::tempdir().unwrap();
    let (old, new) = (place.path().join("old"), place.path().join("new"));
    site.registry.copy_to(&old);
    site.registry.release("acme/tiny", "1.1.0").file("model.safetensors", blob::safetensors(9, 10)).publish();
    site.registry.copy_to(&new);
    site.write(&new.display().to_string(), "[models]\n\"acme/tiny\" = \"1\"");
    site.works(&["sync"]);
    let lock = site.project.text("Model.lock").unwrap();
    assert!(lock.contains("1.1.0"));
    site.write(&old.display().to_string(), "[models]\n\"acme/tiny\" = \"1\"");
    // With this machine's memory. What it verified before would do, but the old copy lacks its files.
    let says = ["is behind", "the checkpoint of registry acme", "seen by this machine", "nothing was changed"];
    for arguments in [&["add", "acme/app"][..], &["update"]] {
        site.fails(arguments, 4, &says);
    }
    assert_eq!(site.project.text("Model.lock").unwrap(), lock);
    site.works(&["sync"]);
    // With the lock alone.
    let fresh = site.elsewhere();
    let says = ["is behind", "the checkpoint of registry acme", "Model.lock", "nothing was changed"];
    for arguments in [&["add", "acme/app"][..], &["update"], &["sync", "--locked"]] {
        fresh.fails(arguments, 4, &says);
    }
}

#[test]
fn an_expired_checkpoint() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    site.works(&["lock"]);
    let late = (BASE_TIME + 100 * DAY).to_string();
    let site = Site { project: site.project.variable("MPM_TEST_NOW", late), ..site };
    site.fails(&["add", "acme/app"], 4, &["the checkpoint of registry acme expired 10 days ago", "`mpm sync`"]);
    site.fails(&["update"], 4, &["expired 10 days ago"]);
    // What is locked still installs.
    site.works(&["sync", "--locked"]).says(&["warning", "the checkpoint of registry acme expired 10 days ago"]);
    assert_eq!(site.project.read("models/acme/tiny/model.safetensors").unwrap(), weights());
    let quiet = site.works(&["sync"]);
    assert!(!quiet.stderr.contains("expired"), "a no-op reads no index: {}", quiet.stderr);
}

#[test]
fn a_pickle_and_the_lines_that_allow_it() {
    let Some(mut site) = site() else { return };
    site.registry.release("acme/old", "1.0.0").file("model.pkl", blob::pickle()).publish();
    let statement = site.registry.statement_sha256("acme/old", "1.0.0").prefixed();
    let site = site.wants("[models]\n\"acme/old\" = \"1\"");
    let line = format!("\"acme/old@1.0.0\" = {{ formats = [\"pickle\"], sha256 = \"{statement}\", reason = \"…\" }}");
    let ran = site.fails(
        &["sync"],
        5,
        &["acme/old 1.0.0", "model.pkl", "[pickle]", "nothing was placed", "[policy.unsafe]", &line],
    );
    assert!(ran.stderr.find("nothing was placed") < ran.stderr.find("[policy.unsafe]"), "{}", ran.stderr);
    assert!(!site.installed());
    // The lines as they were told.
    let added: String =
        ran.stderr.lines().filter_map(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect();
    let text = site.project.text("Model.toml").unwrap();
    site.project.write("Model.toml", format!("{text}\n{}", added.replace('…', "reviewed by us")));
    site.works(&["sync"]);
    assert_eq!(site.project.read("models/acme/old/model.pkl").unwrap(), blob::pickle());
    let lock = site.project.text("Model.lock").unwrap();
    assert!(
        lock.contains("[[unsafe]]\npackage = \"acme:acme/old@1.0.0\"") && lock.contains("reviewed by us"),
        "{lock}"
    );
    // Taken away again, what stands is refused again.
    site.replace("Model.toml", "\"acme/old@1.0.0\"", "\"acme/old@1.0.1\"");
    site.fails(&["sync"], 5, &["acme/old 1.0.0"]);
}

/// Runs a script in a mount namespace of its own, then `mpm` in it; none where that is not possible.
fn in_mounts(project: &Project, script: &str, arguments: &[&str]) -> Option<Ran> {
    let namespace: &[&str] = if peers::is_root() { &["-m"] } else { &["-rm"] };
    let probe = Command::new("unshare").args(namespace).args(["sh", "-c", "mount -t tmpfs tmpfs /mnt"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        peers::missing("mount namespaces");
        return None;
    }
    let mpm = project.command(arguments);
    let mut command = Command::new("unshare");
    command.args(namespace).args(["sh", "-ec", &format!("{script}\nexec \"$@\""), "sh"]);
    command.arg(mpm.get_program()).args(mpm.get_args()).current_dir(project.folder()).env_clear().stdin(Stdio::null());
    command.envs(mpm.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(Ran::of(&command.output().unwrap()))
}

#[test]
fn a_full_disk() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    let store = site.project.home().join(".local/share/mpm/store");
    std::fs::create_dir_all(&store).unwrap();
    // Told before the first byte.
    let small = format!("mount -t tmpfs -o size=1m tmpfs '{}'", store.display());
    let Some(ran) = in_mounts(&site.project, &small, &["sync"]) else { return };
    let ran = ran.expect(1).says(&["fetched", "free", &store.display().to_string(), "KiB", "mpm store gc"]);
    bears_the_marks(&ran);
    assert!(!site.installed() && site.project.read("Model.lock").is_none());
    // The project's own disk is full: copies fail.
    let folder = site.project.folder();
    let full = format!(
        "cp '{0}/Model.toml' /mnt/../tmp/.$$.toml; mount -t tmpfs -o size=128k tmpfs '{0}'; mv /tmp/.$$.toml '{0}/Model.toml'; cd '{0}'",
        folder.display()
    );
    let ran = in_mounts(&site.project, &full, &["sync", "--link", "copy"]).unwrap().expect(1);
    let ran = ran.says(&["model.safetensors", "o space left", "free some space", "mpm sync"]);
    bears_the_marks(&ran);
    site.works(&["sync"]);
}

#[test]
fn a_project_that_can_not_be_written() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    let folder = site.project.folder().display().to_string();
    let script = format!("mount --bind '{folder}' '{folder}'; mount -o remount,bind,ro '{folder}'; cd '{folder}'");
    for arguments in [&["sync"][..], &["lock"], &["add", "acme/app"]] {
        let before = tree(&site.project.folder());
        let Some(ran) = in_mounts(&site.project, &script, arguments) else { return };
        let ran = ran.expect(1).says(&[&folder, "ead-only file system"]);
        bears_the_marks(&ran);
        assert!(before == tree(&site.project.folder()));
    }
    // Reading still works, and so does syncing where nothing has to be done.
    site.works(&["sync"]);
    for arguments in [&["list"][..], &["tree"], &["sync"], &["sync", "--frozen"], &["verify"], &["path", "acme/tiny"]] {
        in_mounts(&site.project, &script, arguments).unwrap().expect(0);
    }
}

#[test]
fn an_unknown_key_in_the_manifest() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = { version = \"1\", varient = \"f32\" }");
    let says = ["Model.toml", "line 10", "column 32", "varient", "did you mean variant or variants?"];
    for arguments in [&["sync"][..], &["add", "acme/app"], &["list"]] {
        site.fails(arguments, 1, &says);
    }
    site.project.write("Model.toml", "[modles]\n\"acme/tiny\" = \"1\"\n");
    site.fails(&["sync"], 1, &["line 1", "column 2", "modles", "did you mean models?"]);
    site.project.write("Model.toml", "[models]\n\"acme/tiny\" = \n");
    site.fails(&["sync"], 1, &["Model.toml", "line 2", "column"]);
}

// Further wrong input.

#[test]
fn a_dataset_among_the_models() {
    let Some(mut site) = site() else { return };
    site.registry.release("acme/data", "1.0.0").file("rows.csv", "a,b\n1,2\n").dataset().publish();
    let site = site.wants("[models]\n\"acme/data\" = \"1\"");
    site.fails(&["sync"], 1, &["line 10", "acme/data is a dataset", "[datasets]", "nothing was "]);
    let site = site.wants("");
    site.works(&["add", "acme/data"]);
    assert!(site.project.text("Model.toml").unwrap().contains("[datasets]"));
    assert!(site.project.read("datasets/acme/data/rows.csv").is_some());
}

#[test]
fn a_dependency_in_a_registry_that_nobody_configured() {
    let Some(mut site) = site() else { return };
    site.registry
        .release("acme/cross", "1.0.0")
        .file("model.safetensors", blob::safetensors(7, 10))
        .depends_on_foreign("other", "other/base", "^1")
        .publish();
    let site = site.wants("[models]\n\"acme/cross\" = \"1\"");
    site.fails(
        &["sync"],
        5,
        &["acme/cross@1.0.0", "other/base", "registry other", "add to Model.toml:", "[registries.other]"],
    );
}

#[test]
fn two_registries_with_one_claim_or_one_root() {
    let Some(site) = site() else { return };
    let (text, zeros) = (site.project.text("Model.toml").unwrap(), "0".repeat(64));
    let second = |root: &str, rest: &str| {
        format!("{text}\n[registries.other]\nindex = \"../other\"\nroot = \"{root}\"\n{rest}\n")
    };
    site.project
        .write("Model.toml", second(&format!("sha256:{zeros}"), "namespaces = [\"ACME\"]").replace("ACME", "acme"));
    site.fails(&["add", "acme/tiny"], 1, &["line 11", "\"acme\"", "\"other\"", "namespace acme"]);
    site.project.write("Model.toml", second(&site.registry.root_sha256().prefixed(), ""));
    site.fails(&["add", "acme/tiny"], 1, &["\"acme\"", "\"other\"", "the root sha256:"]);
    site.project.write("Model.toml", second(&format!("sha256:{zeros}"), ""));
    site.fails(&["add", "third/thing"], 1, &["no registry answers third/thing", "acme, other", "registry = "]);
    site.fails(&["add", "third/thing", "--registry", "nowhere"], 1, &["nowhere", "acme, other"]);
}

#[test]
fn registries_that_configuration_does_not_list() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    let root = site.registry.root_sha256().prefixed();
    let config = site.project.home().join("site.toml");
    std::fs::write(&config, "registries = \"listed\"\n").unwrap();
    let project = site.project.variable("MPM_TEST_SITE_CONFIG", config.clone());
    // A user can't loosen what the site forbids.
    let site = Site { project: project.config("registries = \"any\"\n"), ..site };
    let entry = format!("\"{root}\" = \"acme\"");
    site.fails(
        &["sync"],
        5,
        &["registry acme", &root, "add to config.toml", "[trusted]", &entry, "nothing was changed"],
    );
    std::fs::write(&config, format!("registries = \"listed\"\n[trusted]\n{entry}\n")).unwrap();
    site.works(&["sync"]);
}

#[test]
fn a_project_can_not_set_what_belongs_to_the_machine() {
    let Some(site) = site() else { return };
    let index = site.registry.folder().display().to_string();
    let text = manifest(&site.registry, &index, "");
    for (line, key) in [
        ("[store]\ndir = \"/tmp/evil\"", "store"),
        ("[network]\nproxy = \"http://evil.example\"", "network"),
        ("[tokens]\n\"a.example\" = \"s3cret\"", "tokens"),
        ("[install]\nlink = \"symlink\"", "link"),
    ] {
        site.project.write("Model.toml", format!("{text}\n{line}\n"));
        site.fails(&["sync"], 1, &["a project's file can't set", key, "config.toml", "line "]);
    }
    site.project.write("Model.toml", text.replace("namespaces", "token = \"s3cret\"\nnamespaces"));
    site.fails(&["sync"], 1, &["can't set \"token\""]);
    site.write("sparse+https://user:s3cret@models.example/", "");
    site.fails(&["sync"], 1, &["Model.toml", "line 5"]);
}

#[test]
fn a_changed_root() {
    let (Some(site), Some(other)) = (site(), registry()) else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    site.works(&["sync"]);
    let (old, new) = (site.registry.root_sha256().prefixed(), other.root_sha256().prefixed());
    site.replace("Model.toml", &old, &new);
    let index = site.registry.folder().display().to_string();
    site.replace("Model.toml", &index, &other.folder().display().to_string());
    let says = [
        "registry acme",
        new.as_str(),
        old.as_str(),
        "another root is another registry",
        "nothing was changed",
        "--accept-root",
    ];
    site.fails(&["sync"], 4, &says);
    site.fails(&["lock"], 4, &says);
    site.fails(&["sync", "--locked"], 1, &["the registry acme", &new, &old, "nothing was changed"]);
    site.works(&["lock", "--accept-root", &new]);
    assert!(site.project.text("Model.lock").unwrap().contains(&new));
    site.works(&["sync"]);
    // A root that the index does not have.
    site.replace("Model.toml", &new, &old);
    let says = ["the first root is sha256:", "pinned is sha256:", "another registry"];
    site.elsewhere().fails(&["lock", "--accept-root", &old], 4, &says);
}

#[test]
fn a_page_of_html_with_status_200() {
    let Some(site) = site() else { return };
    let server = site.served("[models]\n\"acme/tiny\" = \"1\"");
    let page = b"<!doctype html><title>Please log in</title>".to_vec();
    let statement = format!("releases/{}.json", site.registry.statement_sha256("acme/tiny", "1.0.0"));
    for path in ["trust/root/1.json".to_owned(), statement, blob_path(&weights())] {
        server.fault(&path, 99, Fault::Body(page.clone()));
        let ran = site.fails(&["sync"], 4, &["sha256"]);
        assert!(ran.stderr.contains("acme"), "{}", ran.stderr);
        server.mend();
    }
    site.works(&["sync"]);
}

#[test]
fn a_redirect_to_where_it_may_not_lead() {
    let Some(site) = site() else { return };
    let server = site.served("[models]\n\"acme/tiny\" = \"1\"");
    let path = blob_path(&weights());
    for (to, says) in [
        ("file:///etc/passwd", "file"),
        ("http://10.0.0.1/x", "10.0.0.1"),
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254"),
        ("https://192.168.1.1/x", "192.168.1.1"),
        ("ftp://127.0.0.1/x", "ftp"),
    ] {
        server.fault(&path, 99, Fault::Redirect(302, to.to_owned()));
        site.fails(&["sync"], 5, &["is not opened", says, "nothing was placed"]);
    }
    // Round and round.
    server.fault(&path, 99, Fault::Redirect(302, format!("/{path}")));
    site.fails(&["sync"], 5, &["redirects"]);
    assert!(!site.installed());
}

#[test]
fn a_token_goes_to_its_host_alone_and_is_never_shown() {
    let Some(site) = site() else { return };
    let server = site.served("[models]\n\"acme/tiny\" = \"1\"");
    let other = Server::start(site.registry.folder());
    let site =
        Site { project: site.project.config(&format!("[tokens]\n\"{}\" = \"s3cret\"\n", server.host())), ..site };
    let path = blob_path(&weights());
    server.fault(&path, 1, Fault::Redirect(302, format!("{}{path}", other.url())));
    let ran = site.works(&["sync", "-v"]);
    let authorization = |server: &Server| {
        server.requests().into_iter().map(|request| request.headers.get("authorization").cloned()).collect::<Vec<_>>()
    };
    let sent = authorization(&server);
    assert!(!sent.is_empty() && sent.iter().all(|header| header.as_deref() == Some("Bearer s3cret")), "{sent:?}");
    let strayed = authorization(&other);
    assert!(!strayed.is_empty() && strayed.iter().all(Option::is_none), "{strayed:?}");
    let lock = site.project.text("Model.lock").unwrap();
    let unauthorised = site.registry.statement_sha256("acme/app", "1.0.0");
    server.fault(&format!("releases/{unauthorised}.json"), 9, Fault::Status(401, None));
    let refused = site.fails(&["add", "acme/app", "-v"], 3, &["401", "[tokens]"]);
    for text in [&ran.stdout, &ran.stderr, &refused.stderr, &lock] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    // Nor does anything below the home hold it, but for the configuration.
    for (path, bytes) in tree(&site.project.home()) {
        let holds = bytes.windows(6).any(|window| window == b"s3cret");
        assert!(!holds || path.ends_with("config.toml"), "{}", path.display());
    }
}

#[test]
fn a_symlink_planted_in_the_project() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    let outside = tempfile::tempdir().unwrap();
    let models = site.project.folder().join("models");
    std::os::unix::fs::symlink(outside.path(), &models).unwrap();
    site.fails(&["sync"], 1, &["symbolic link", "models", "nothing in the project was changed"]);
    std::fs::remove_file(&models).unwrap();
    std::fs::create_dir_all(models.join("acme/tiny")).unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "mine").unwrap();
    std::os::unix::fs::symlink(&victim, models.join("acme/tiny/README.md")).unwrap();
    site.fails(&["sync"], 1, &["models/acme/tiny/README.md", "in the way", "nothing in the project was changed"]);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    std::fs::remove_file(models.join("acme/tiny/README.md")).unwrap();
    site.works(&["sync"]);
}

#[test]
fn a_symlink_planted_in_the_store() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    site.works(&["sync"]);
    std::fs::remove_dir_all(site.project.folder().join("models")).unwrap();
    let blob = site.project.store().join("v1").join(blob_path(&weights()));
    assert!(blob.is_file(), "{}", blob.display());
    let victim = site.project.home().join("victim");
    std::fs::write(&victim, "mine").unwrap();
    std::fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink(&victim, &blob).unwrap();
    let ran = site.project.mpm(&["sync"]);
    assert!(matches!(ran.code, 0 | 1 | 4), "{ran:?}");
    let placed = site.project.read("models/acme/tiny/model.safetensors");
    assert_eq!(placed, (ran.code == 0).then(weights), "{ran:?}");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
}

#[test]
fn an_index_folder_with_a_symlink() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    for path in ["checkpoint.json", "trust/root/1.json", "packages/acme/tiny.jsonl"] {
        let (real, aside) = (site.registry.folder().join(path), site.project.home().join("aside"));
        std::fs::rename(&real, &aside).unwrap();
        std::os::unix::fs::symlink(&aside, &real).unwrap();
        let ran = site.fails(&["sync"], 4, &["registry acme", path, "nothing was changed"]);
        assert!(ran.stderr.contains("not a regular file"), "{}", ran.stderr);
        std::fs::remove_file(&real).unwrap();
        std::fs::rename(&aside, &real).unwrap();
    }
    site.works(&["sync"]);
}

/// Waits until something holds; the test fails if it never does.
fn until(what: &str, child: &mut Child, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(30), "never: {what}");
        if child.try_wait().unwrap().is_some() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("ended before {what}: {said}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn an_interrupt_keeps_what_came_and_the_next_run_goes_on() {
    let Some(mut site) = site() else { return };
    // Large enough to be kept in part.
    let large = blob::safetensors(5, 500_000);
    site.registry.release("acme/large", "1.0.0").file("model.safetensors", &large).publish();
    let server = site.served("[models]\n\"acme/large\" = \"1\"");
    let path = blob_path(&large);
    server.fault(&path, 1, Fault::Drip(Duration::from_micros(1)));
    let part = site.project.store().join(format!("v1/partial/{}.part", Sha256::of(&large)));
    let length = || part.metadata().map_or(0, |file| file.len());
    let mut command = site.project.command(&["sync"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("a part of the blob", &mut child, || length() > 0);
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let ran = Ran::of(&child.wait_with_output().unwrap());
    let ran = ran.expect(130).says(&["stopped", "kept"]);
    bears_the_marks(&ran);
    assert!(!site.installed() && site.project.read("Model.lock").is_none());
    let kept = length();
    assert!(kept > 0 && kept < large.len() as u64, "{kept}");
    let _ = server.requests();
    site.works(&["sync"]);
    assert_eq!(site.project.read("models/acme/large/model.safetensors").unwrap(), large);
    let asked: Vec<_> = server.requests().into_iter().filter(|request| request.path == path).collect();
    let [again] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((again.status, again.headers.get("range")), (206, Some(&format!("bytes={kept}-"))), "{again:?}");
}

#[test]
fn a_body_that_never_ends() {
    let Some(site) = site() else { return };
    let server = site.served("[models]\n\"acme/tiny\" = \"1\"");
    let statement = format!("releases/{}.json", site.registry.statement_sha256("acme/tiny", "1.0.0"));
    for path in ["trust/root/1.json".to_owned(), "checkpoint.json".to_owned(), statement, blob_path(&weights())] {
        server.fault(&path, 99, Fault::Endless);
        let begin = Instant::now();
        let ran = site.fails(&["sync"], 4, &["acme", "bytes"]);
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", ran.stderr);
        server.mend();
    }
    assert!(!site.installed());
    site.works(&["sync"]);
}

#[test]
fn a_server_that_asks_to_come_back() {
    let Some(site) = site() else { return };
    let server = site.served("[models]\n\"acme/tiny\" = \"1\"");
    server.fault("checkpoint.json", 1, Fault::Status(503, Some(1)));
    server.fault(&blob_path(&weights()), 1, Fault::Status(503, Some(1)));
    let begin = Instant::now();
    site.works(&["sync"]);
    assert!(begin.elapsed() >= Duration::from_secs(2), "it was asked to wait");
    let busy = server.requests().into_iter().filter(|request| request.status == 503).count();
    assert_eq!(busy, 2);
}

#[test]
fn a_pipe_that_nobody_reads() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    site.works(&["sync"]);
    for arguments in [&["list"][..], &["tree"], &["list", "--json"], &["--help"], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = site.project.command(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let ran = Ran::of(&output);
        assert!(matches!(ran.code, 0 | 141), "{arguments:?} {ran:?}");
        assert_eq!(ran.stderr, "", "{arguments:?}");
    }
}
