//! Folders that are no mirrors, sources that lie or lag, copies that somebody edited: refused, or mended.

use std::os::unix::fs::symlink;

use super::{Keeper, shown};
use crate::flows::fixture::{folder, ok, registry, tree};
use crate::support::project::Project;
use crate::support::registry::TestRegistry;
use crate::support::server::{Fault, Server};

#[test]
fn a_folder_that_is_no_mirror_is_never_written_to() {
    let registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    let at = |name: &str| keeper.project.home().join(name);
    std::fs::create_dir(at("other")).unwrap();
    std::fs::write(at("other/thesis.txt"), "mine\n").unwrap();
    std::fs::write(at("file"), "mine\n").unwrap();
    // Another registry's own folder, with its keys beside.
    let second = crate::flows::fixture::registry();
    second.copy_to(&at("authored"));
    std::fs::write(at("authored/main.key"), "secret\n").unwrap();
    let before = tree(&keeper.project.home());
    for (name, what) in [("other", "other files"), ("file", "a file"), ("authored", "a registry that")] {
        let to = at(name).display().to_string();
        for more in [&["--all"][..], &["--all", "-n"]] {
            let ran = keeper.project.mpm(&[&["mirror", "sync", &to], more].concat());
            ran.expect(1).says(&["E1001", what, "nothing was changed"]);
        }
        keeper.project.mpm(&["mirror", "verify", &to]).expect(1).says(&["E1001"]);
    }
    assert_eq!(tree(&keeper.project.home()), before);
    // The registry itself, and a mirror into itself.
    let own = folder(&registry);
    let bytes = tree(registry.folder());
    keeper.project.mpm(&["mirror", "sync", &own, "--all"]).expect(2).says(&["E1009"]);
    assert_eq!(tree(registry.folder()), bytes);
    keeper.sync(&["--all"]);
    let arguments = ["mirror", "sync", &keeper.text(), "--all", "--from", &keeper.text()];
    keeper.project.mpm(&arguments).expect(2).says(&["E1009"]);
    // An empty folder will do, and one that is reached through a link.
    std::fs::create_dir(at("disk")).unwrap();
    symlink(at("disk"), at("way")).unwrap();
    ok(&keeper.project, &["mirror", "sync", at("way").to_str().unwrap(), "--all"]);
    assert!(at("disk/checkpoint.json").exists());
}

#[test]
fn what_is_asked_for_must_be_said_and_be_there() {
    let registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    let text = keeper.text();
    let run = |more: &[&str]| keeper.project.mpm(&[&["mirror", "sync", &text], more].concat());
    run(&[]).expect(2).says(&["E0911", "--lock FILE", "--all"]);
    for (asked, why) in
        [("acme/nothing", "no such package"), ("acme/minilm@9", "no version"), ("nobody/*", "no name matches")]
    {
        run(&[asked]).expect(1).says(&["E1008", asked, why]);
    }
    run(&["--lock", "none.lock"]).expect(1).says(&["E0902"]);
    run(&["--all", "--from", "ftp://x.example/"]).expect(2).says(&["E0314"]);
    run(&["--all", "--registry", "other"]).expect(1).says(&["E0922"]);
    let bare = Project::new();
    bare.mpm(&["mirror", "sync", &text, "--all"]).expect(2).says(&["E0911", "--registry"]);
    assert!(!keeper.folder.exists());
}

#[test]
fn a_mirror_of_another_registry_is_left_alone() {
    let (first, second) = (registry(), registry());
    let keeper = Keeper::of(&first, &folder(&first));
    keeper.sync(&["acme/vocab"]);
    let before = tree(&keeper.folder);
    // The same label under another root is another registry.
    let other = Keeper::of(&second, &folder(&second));
    let ran = other.project.mpm(&["mirror", "sync", &keeper.text(), "--all"]);
    ran.expect(1).says(&["E1002", &first.root_sha256().to_string(), &second.root_sha256().to_string()]);
    let root = second.root_sha256().prefixed();
    other.project.mpm(&["mirror", "status", &keeper.text(), "--root", &root]).expect(1).says(&["E1002"]);
    assert_eq!(tree(&keeper.folder), before);
}

#[test]
fn a_source_that_shows_less_than_the_mirror_is_refused() {
    let mut registry = registry();
    let old = tempfile::tempdir().unwrap();
    registry.copy_to(old.path());
    registry.release("acme/vocab", "1.2.0").file("vocab.txt", "four\n").publish();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["--all"]);
    let before = tree(&keeper.folder);
    // Another machine, which has no memory of its own: the mirror remembers.
    let other = Keeper::of(&registry, &old.path().display().to_string());
    let arguments = ["mirror", "sync", &keeper.text(), "--all", "--prune"];
    other.project.mpm(&arguments).expect(4).says(&["E1003", "checkpoint", "left as it is"]);
    assert_eq!(tree(&keeper.folder), before);
    // The machine that made the mirror remembers too, and has no other place.
    let same = Keeper { project: keeper.project, folder: other.folder.clone() };
    same.project.write("Model.toml", other.project.text("Model.toml").unwrap());
    same.project.mpm(&["mirror", "sync", &same.text(), "--all"]).expect(4).says(&["E0114"]);
    assert!(!same.folder.join("checkpoint.json").exists());
}

#[test]
fn two_checkpoints_of_one_number_are_refused() {
    let mut registry = registry();
    let fork = tempfile::tempdir().unwrap();
    registry.copy_to(fork.path());
    registry.release("acme/vocab", "1.2.0").file("vocab.txt", "four\n").publish();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["--all"]);
    // The holder of the index key signs another history under the same number.
    let request = modelpm::registry::CheckpointRequest {
        now: modelpm::model::Timestamp::from_seconds(registry.now().seconds() + 60).unwrap(),
        signers: &[&registry.index],
        bases: None,
    };
    modelpm::registry::checkpoint(&modelpm::registry::Folder::at(fork.path()), &request).unwrap();
    let other = Keeper::of(&registry, &fork.path().display().to_string());
    let before = tree(&keeper.folder);
    other.project.mpm(&["mirror", "sync", &keeper.text(), "--all"]).expect(4).says(&["E1003", "different histories"]);
    assert_eq!(tree(&keeper.folder), before);
}

#[test]
fn an_index_that_lies_places_nothing() {
    let registry = registry();
    let server = Server::start(registry.folder());
    let keeper = Keeper::of(&registry, &format!("sparse+{}", server.url()));
    keeper.sync(&["acme/vocab"]);
    let before = shown(&keeper.folder);
    let statement = registry.statement_sha256("acme/minilm", "1.0.0");
    for (path, fault) in [
        (format!("releases/{statement}.json"), Fault::Flip(40)),
        ("packages/acme/minilm.jsonl".to_owned(), Fault::Flip(40)),
        ("checkpoint.json".to_owned(), Fault::Flip(60)),
        (format!("releases/{statement}.json"), Fault::Endless),
    ] {
        let fresh = Keeper::of(&registry, &format!("sparse+{}", server.url()));
        let project = fresh.project.variable("MPM_TEST_LAG", "0");
        server.fault(&path, usize::MAX, fault);
        let ran = project.mpm(&["mirror", "sync", &keeper.text(), "acme/minilm"]);
        server.mend();
        assert_eq!(ran.code, 4, "{path}: {}", ran.stderr);
        assert_eq!(shown(&keeper.folder), before, "{path}");
    }
    // A blob with other bytes: no place has the right ones.
    let weights = modelpm::model::Sha256::of(&crate::support::blob::safetensors(1, 3_000));
    let path = modelpm::sys::blob_path(&weights);
    server.fault(&path, usize::MAX, Fault::Flip(100));
    keeper.project.mpm(&["mirror", "sync", &keeper.text(), "acme/minilm@=1.0.0"]).expect(4).says(&["E0724"]);
    assert!(!keeper.folder.join(&path).exists());
    server.mend();
    keeper.sync(&["acme/minilm@=1.0.0"]);
    keeper.verify();
}

#[test]
fn what_somebody_edited_is_found_and_mended() {
    let registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["--all"]);
    let good = shown(&keeper.folder);
    let place = |path: &str| keeper.folder.join(path);
    let blobs: Vec<String> = good.keys().filter(|path| path.starts_with("blobs/")).cloned().collect();
    let statements: Vec<String> =
        good.keys().filter(|path| path.starts_with("releases/") && path.ends_with(".json")).cloned().collect();
    let edit = |path: &str, bytes: &[u8]| {
        std::fs::remove_file(place(path)).unwrap();
        std::fs::write(place(path), bytes).unwrap();
    };
    // Of the same size and of another, a link to good bytes, a log that goes on, a signature, the head.
    let mut flipped = good[&blobs[0]].clone();
    flipped[0] ^= 1;
    edit(&blobs[0], &flipped);
    edit(&blobs[1], b"");
    std::fs::rename(place(&blobs[2]), keeper.project.home().join("elsewhere")).unwrap();
    symlink(keeper.project.home().join("elsewhere"), place(&blobs[2])).unwrap();
    edit(&statements[0], b"{}\n");
    edit("packages/uci/digits.jsonl", &[&good["packages/uci/digits.jsonl"][..], b"{\"event\":\"yank\"}\n"].concat());
    edit("packages/acme/vocab.jsonl", b"");
    std::fs::remove_file(place(&statements[1])).unwrap();
    edit("checkpoint.json", b"{}\n");
    // Without a head there is nothing to look at.
    keeper.project.mpm(&["mirror", "verify", &keeper.text()]).expect(4).says(&["checkpoint.json"]);
    let made = keeper.project.mpm(&["--json", "mirror", "sync", &keeper.text(), "--all", "--check"]).expect(0);
    assert!(made.stderr.contains("mirror-damaged") && made.stderr.contains("bad-blob"), "{}", made.stderr);
    assert_eq!(made.json()["damaged"], 1);
    assert_eq!(shown(&keeper.folder), good);
    assert!(!place(&blobs[2]).is_symlink());
    assert_eq!(std::fs::read(keeper.project.home().join("elsewhere")).unwrap(), good[&blobs[2]], "not written through");
    keeper.verify();
}

#[test]
fn nothing_is_written_or_removed_through_a_link() {
    let registry = registry();
    for link in ["blobs", "blobs/sha256", "tree", "releases", "trust", ".mpm-mirror"] {
        let keeper = Keeper::of(&registry, &folder(&registry));
        let outside = keeper.project.home().join("outside");
        std::fs::create_dir_all(outside.join("sha256")).unwrap();
        if link == ".mpm-mirror" {
            std::fs::create_dir(&keeper.folder).unwrap();
        } else {
            keeper.sync(&["uci/digits"]);
            std::fs::remove_dir_all(keeper.folder.join(link)).unwrap();
        }
        symlink(&outside, keeper.folder.join(link)).unwrap();
        let ran = keeper.project.mpm(&["mirror", "sync", &keeper.text(), "--all", "--prune"]);
        ran.expect(1).says(&["E1006", "written through no link"]);
        assert_eq!(tree(&outside).len(), 0, "{link}");
        assert!(outside.join("sha256").is_dir(), "{link}");
    }
}

#[test]
fn a_note_that_somebody_wrote_removes_nothing_outside() {
    let registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["uci/digits"]);
    let outside = keeper.project.home().join("thesis.txt");
    std::fs::write(&outside, "mine\n").unwrap();
    let placed = keeper.folder.join(".mpm-mirror/placed");
    let before = std::fs::read_to_string(&placed).unwrap();
    for line in ["../thesis.txt", "/etc/hostname", "blobs/../../thesis.txt", ".mpm-mirror/registry", "x\tsoon"] {
        std::fs::write(&placed, format!("{before}{line}\n")).unwrap();
        let ran = keeper.project.mpm(&["mirror", "sync", &keeper.text(), "acme/vocab", "--prune"]);
        ran.expect(1).says(&["E1007", "placed"]);
        assert!(outside.exists() && keeper.folder.join("packages/uci/digits.jsonl").exists(), "{line}");
    }
    std::fs::write(&placed, before).unwrap();
    std::fs::write(keeper.folder.join(".mpm-mirror/registry"), "mpm.mirror/9\n").unwrap();
    keeper.project.mpm(&["mirror", "sync", &keeper.text(), "--all"]).expect(1).says(&["E1007", "registry"]);
}

#[test]
fn a_copy_that_has_expired_is_told_and_still_copied() {
    let registry = TestRegistry::of_late("acme", 200 * 86_400);
    let keeper = Keeper::of(&registry, &folder(&registry));
    let ran = keeper.project.mpm(&["mirror", "sync", &keeper.text(), "--all"]);
    ran.expect(0).says(&["the checkpoint of registry acme expired", "signed 200 days ago"]);
    let told = ok(&keeper.project, &["mirror", "status", &keeper.text()]);
    assert!(told.stderr.contains("It expired") && told.stderr.contains("200 days ago"), "{}", told.stderr);
}

#[test]
fn a_folder_in_a_files_place_is_named_and_a_wish_to_stop_is_heard() {
    let registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["uci/digits"]);
    let log = keeper.folder.join("packages/acme/vocab.jsonl");
    std::fs::create_dir_all(log.join("deep")).unwrap();
    let ran = keeper.project.mpm(&["mirror", "sync", &keeper.text(), "acme/vocab"]);
    ran.expect(1).says(&["E1005", "still shows"]);
    std::fs::remove_dir_all(&log).unwrap();
    keeper.sync(&["acme/vocab"]);

    // A source that is slow, and somebody who has waited enough.
    let server = Server::start(registry.folder());
    let slow = Keeper::of(&registry, &format!("sparse+{}", server.url()));
    let weights = modelpm::sys::blob_path(&modelpm::model::Sha256::of(&crate::support::blob::safetensors(1, 3_000)));
    server.fault(&weights, usize::MAX, Fault::Drip(std::time::Duration::from_millis(20)));
    let mut command = slow.project.command(&["mirror", "sync", &slow.text(), "--all"]);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let (_sender, clock) = std::sync::mpsc::channel::<()>();
    let _ = clock.recv_timeout(std::time::Duration::from_millis(700));
    assert!(crate::support::mounts::run("kill", &["-INT".as_ref(), child.id().to_string().as_ref()]));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("E1010") && said.contains("goes on where it stopped"), "{said}");
    assert!(!slow.folder.join("checkpoint.json").exists());
    server.mend();
    slow.sync(&["--all"]);
    slow.verify();
}
