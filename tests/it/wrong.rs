//! Wrong input, as users meet it: the real binary, its exit code, its words, and that nothing was lost. The other file has
//! what comes from servers, symlinks and registries that lie.

mod further;
mod machine;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    for word in [" safe ", "panicked", "RUST_BACKTRACE", "Some(", "Error {", "s3cret"] {
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
    let says = ["E0923", "acme has no package acme/tinny", "did you mean acme/tiny?", "nothing was changed"];
    site.fails(&["add", "acme/tinny"], 1, &says);
    let site = site.wants("[models]\n\"acme/tinny\" = \"1\"");
    site.fails(&["sync"], 1, &says);
    site.fails(&["info", "acme/tinny"], 1, &says[..3]);
    site.fails(
        &["lock", "--offline"],
        1,
        &["E0923", "this run is offline: only what is kept of the index was looked at"],
    );
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    site.works(&["sync"]);
    site.fails(&["remove", "acme/tinny"], 1, &["E0912", "no dependency \"acme/tinny\"", "did you mean acme/tiny?"]);
    site.fails(&["path", "acme/tinny"], 1, &["acme/tinny", "did you mean acme/tiny?"]);
}

#[test]
fn words_that_are_nearly_right_get_a_way_on() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"\n\n[groups.eval.models]\n\"acme/app\" = \"1\"");
    site.works(&["sync"]);
    site.project.mpm(&["add", "tiny"]).expect(2).says(&["write namespace/name", "`mpm search tiny`"]);
    site.fails(&["info", "acme/wholly-other"], 1, &["E0923", "run `mpm search wholly-other`"]);
    for command in ["sync", "list"] {
        site.fails(&[command, "--group", "test"], 1, &["E0551", "no group \"test\"", "it has eval"]);
        site.fails(&[command, "--profile", "gpu"], 1, &["E0551", "no profile \"gpu\"", "it has no profile at all"]);
    }
    site.project.write("file", "");
    site.fails(&["get", "acme/tiny", "--to", "file"], 1, &["E0927", "file is a file", "name another one with --to"]);
    site.fails(&["diff"], 1, &["E0920", "git log --oneline -- Model.lock"]);
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
    site.fails(&["add", "acme/tiny@^9"], 1, &["E0924", "acme/tiny", "^9", "1.0.0", "nothing was changed"]);
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
    site.fails(&["sync", "--locked"], 1, &["E0910", "there is no Model.lock", "run `mpm lock`"]);
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
        ("statement", lock.replace(&statement, &other), vec!["E0118", "acme/tiny", "pinned as", &statement, &other]),
        ("statement size", tail(&statement_size, "statement-size = 9"), vec!["acme/tiny", "9"]),
        ("size", tail(&size, "size = 7"), vec!["acme/tiny", "size", "7"]),
        (
            "kind",
            tail("kind = \"model\"", "kind = \"dataset\""),
            vec!["E0916", "acme/tiny", "kind", "dataset", "model"],
        ),
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
fn an_expired_checkpoint_where_the_project_requires_a_fresh_one() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"\n\n[policy]\nrequire-fresh = true");
    site.works(&["sync"]);
    site.works(&["sync", "--frozen"]);
    let late = (BASE_TIME + 100 * DAY).to_string();
    let site = Site { project: site.project.variable("MPM_TEST_NOW", late), ..site };
    for arguments in [&["sync"][..], &["sync", "--frozen"], &["fetch"]] {
        site.fails(arguments, 4, &["the checkpoint of registry acme expired 10 days ago"]);
    }
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
pub fn in_mounts(project: &Project, script: &str, arguments: &[&str]) -> Option<Ran> {
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
    let ran = ran.says(&["model.safetensors", "E0751", "o space left", "free some space", "mpm sync"]);
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
    let says = ["Model.toml", "line 10", "column 32", "varient", "did you mean variant"];
    for arguments in [&["sync"][..], &["add", "acme/app"], &["list"]] {
        site.fails(arguments, 1, &says);
    }
    site.project.write("Model.toml", "[modles]\n\"acme/tiny\" = \"1\"\n");
    site.fails(&["sync"], 1, &["line 1", "column 2", "modles", "did you mean models?"]);
    site.project.write("Model.toml", "[models]\n\"acme/tiny\" = \n");
    site.fails(&["sync"], 1, &["Model.toml", "line 2", "column"]);
}
