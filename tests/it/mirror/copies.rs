//! Whole copies: equal to the registry, served by stock servers, kept up to date with what is new alone.

use super::{Keeper, reader, shown};
use crate::flows::fixture::{folder, ok, placed, project, registry, tree};
use crate::support::peers;
use crate::support::project::Project;
use crate::support::registry::git;
use crate::support::server::Server;
use crate::support::unshared::runs_without_sockets;

const REST: &str = "[models]\n\"acme/minilm\" = \"1\"\n\n[datasets]\n\"uci/digits\" = \"1\"\n";

#[test]
fn a_whole_copy_is_the_registry_and_stock_servers_serve_it() {
    let mut registry = registry();
    registry.yank("acme/minilm", "1.1.0", "the tokenizer is of another model");
    registry.handover("uci");
    let keeper = Keeper::of(&registry, &folder(&registry));
    let made = keeper.sync(&["--all"]);
    assert_eq!((&made["packages"], &made["releases"]), (&5.into(), &8.into()));
    // All that the registry has, but for what it keeps of earlier checkpoints and of the git that it may lie in.
    let (own, copy) = (tree(registry.folder()), shown(&keeper.folder));
    let stale: Vec<&String> = own.keys().filter(|path| !copy.contains_key(*path)).collect();
    let spent =
        |path: &&String| ["tree/", "trust/registrar/", ".mpm", ".git"].iter().any(|start| path.starts_with(start));
    assert!(stale.iter().all(spent), "{stale:?}");
    assert!(copy.iter().all(|(path, bytes)| own.get(path) == Some(bytes)), "nothing else, and no other bytes");
    keeper.verify();

    let expected = project(&registry, REST);
    ok(&expected, &["sync"]);
    let mut machines = vec![reader(&registry, &keeper.folder, REST)];
    let served = tempfile::tempdir().unwrap();
    let bare = served.path().join("bare.git");
    git(&keeper.folder, &["init", "-q", "-b", "main"]);
    git(&keeper.folder, &["add", "-A"]);
    git(&keeper.folder, &["commit", "-q", "-m", "A mirror"]);
    git(served.path(), &["clone", "-q", "--bare", &keeper.text(), bare.to_str().unwrap()]);
    let nginx = peers::nginx(&keeper.folder, Some(served.path()));
    if let Some(nginx) = &nginx {
        for index in [format!("sparse+{}/", nginx.url), format!("git+{}/git/bare.git", nginx.url)] {
            machines.push(crate::flows::fixture::project_at(&registry, &index, REST));
        }
    }
    for machine in &machines {
        ok(machine, &["sync"]);
        assert_eq!(placed(machine), placed(&expected));
        assert_eq!(
            machine.text("Model.lock"),
            expected.text("Model.lock"),
            "a lock does not know where bytes came from"
        );
    }
    // The mirror that became a work tree is one still.
    keeper.sync(&["--all"]);
}

#[test]
fn a_copy_is_kept_up_to_date_with_what_is_new_alone() {
    let mut registry = registry();
    let server = Server::start(registry.folder());
    let keeper = Keeper::of(&registry, &format!("sparse+{}", server.url()));
    let first = keeper.sync(&["--all"]);
    assert!(first["fetched"]["files"].as_u64().unwrap() > 15, "{first}");
    server.requests();

    let again = keeper.sync(&["--all"]);
    assert_eq!((&again["fetched"]["files"], &again["index-files"]), (&0.into(), &0.into()));
    assert_eq!(again["checkpoint"], again["checkpoint-before"]);
    let asked: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
    assert!(asked.iter().all(|path| !path.starts_with("blobs/") && !path.starts_with("tree/")), "{asked:?}");
    assert!(
        asked.iter().all(|path| !path.ends_with(".json") || path.starts_with("checkpoint") || path.contains("root/2")),
        "{asked:?}"
    );

    registry.release("acme/vocab", "1.2.0").file("vocab.txt", "four\n").publish();
    let told = keeper.project.mpm(&["mirror", "sync", &keeper.text(), "--all", "-n"]).expect(0);
    assert!(told.stderr.contains("Would fetch 1 blob (5 B)") && told.stderr.contains("are free"), "{}", told.stderr);
    let before = tree(&keeper.folder);
    let new = keeper.sync(&["--all"]);
    assert_eq!((&new["fetched"]["files"], &new["fetched"]["bytes"]), (&1.into(), &5.into()));
    let asked: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(asked.iter().filter(|path| path.starts_with("blobs/")).count(), 1, "{asked:?}");
    assert_eq!(asked.iter().filter(|path| path.starts_with("releases/") && path.ends_with(".json")).count(), 1);
    // What never changes was not touched: only the log, the head, new files, and the mirror's own notes are others.
    let changed: Vec<String> = before
        .iter()
        .filter(|(path, bytes)| std::fs::read(keeper.folder.join(path)).ok().as_ref() != Some(bytes))
        .map(|(path, _)| path.clone())
        .filter(|path| !path.starts_with(".mpm-mirror/"))
        .collect();
    let signature = format!("checkpoint.json.{}.minisig", registry.index.public().fingerprint().short());
    assert_eq!(changed, ["checkpoint.json", &signature, "copy.json", "packages/acme/vocab.jsonl"]);
    keeper.verify();
    let machine = reader(&registry, &keeper.folder, "[models]\n\"acme/vocab\" = \"=1.2.0\"\n");
    ok(&machine, &["sync"]);
}

#[test]
fn what_this_machine_has_does_not_travel_again() {
    let registry = registry();
    let server = Server::start(registry.folder());
    let keeper = Keeper::of(&registry, &format!("sparse+{}", server.url()));
    keeper
        .project
        .write("Model.toml", crate::flows::fixture::manifest(&registry, &format!("sparse+{}", server.url()), REST));
    ok(&keeper.project, &["sync"]);
    server.requests();
    keeper.sync(&["--lock", "Model.lock", "--variant", "f32"]);
    let asked: Vec<String> = server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(asked.iter().filter(|path| path.starts_with("blobs/")).count(), 0, "{asked:?}");
    keeper.verify();
}

#[test]
fn a_mirror_is_copied_to_another_folder_from_the_folder_alone() {
    let registry = registry();
    let first = Keeper::of(&registry, &folder(&registry));
    first.sync(&["--all"]);
    let second = Project::new();
    let to = second.home().join("second");
    let root = registry.root_sha256().prefixed();
    let arguments = ["mirror", "sync", to.to_str().unwrap(), "--all", "--from", &first.text()];
    // Nobody says which root is right.
    second.mpm(&arguments).expect(2).says(&["E0911", "--root", &root]);
    let wrong = format!("sha256:{}", "0".repeat(64));
    second.mpm(&[&arguments[..], &["--root", &wrong]].concat()).expect(4).says(&["E0105"]);
    assert!(!to.exists());
    second.mpm(&[&arguments[..], &["--root", &root]].concat()).expect(0);
    assert_eq!(shown(&to), shown(&first.folder));
    ok(&second, &["mirror", "verify", to.to_str().unwrap(), "--root", &root]);
}

#[test]
fn blobs_lie_where_a_reader_of_the_checkpoint_looks_for_them() {
    use modelpm::registry::{CheckpointRequest, checkpoint};
    let registry = registry();
    let bases = Some(vec!["https://cdn.example/acme/".to_owned(), "data".to_owned()]);
    let request = CheckpointRequest { now: registry.now(), signers: &[&registry.index], bases };
    checkpoint(&registry.handle(), &request).expect("a checkpoint");
    std::fs::create_dir(registry.folder().join("data")).unwrap();
    std::fs::rename(registry.folder().join("blobs"), registry.folder().join("data/blobs")).unwrap();
    let root = registry.root_sha256().prefixed();
    let keeper = Keeper::of(&registry, &folder(&registry));
    // The address is nowhere; the folder has them.
    let config = format!("[mirrors]\n\"{root}\" = [\"{}\"]\n", registry.folder().join("data").display());
    let keeper = Keeper { project: keeper.project.config(&config), ..keeper };
    keeper.sync(&["acme/vocab"]);
    assert!(keeper.folder.join("data/blobs/sha256").is_dir() && !keeper.folder.join("blobs").exists());
    keeper.verify();
}

#[test]
fn a_site_without_a_network_copies_verifies_and_uses_a_mirror() {
    let registry = registry();
    let keeper = Keeper::of(&registry, &folder(&registry));
    keeper.sync(&["--all"]);
    let root = registry.root_sha256().prefixed();
    let site = crate::flows::fixture::project_at(&registry, "sparse+https://models.acme.example/", REST);
    let second = site.home().join("second").display().to_string();
    let config = format!("[index-mirrors]\n\"{root}\" = [\"{second}\"]\n");
    let site = site.config(&config);
    let trace = site.home().join("trace");
    for arguments in [
        &["mirror", "sync", &second, "--all", "--from", &keeper.text()][..],
        &["mirror", "verify", &second],
        &["mirror", "status", &second],
        &["sync"],
    ] {
        if !runs_without_sockets(&site, arguments, &trace) {
            return;
        }
    }
    let expected = project(&registry, REST);
    ok(&expected, &["sync"]);
    assert_eq!(placed(&site), placed(&expected));
}
