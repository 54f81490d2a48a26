//! Further wrong input: registries, servers and symlinks that lie, and endings before the end.

use std::io::Read as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use modelpm::model::Sha256;

use super::{Site, bears_the_marks, blob_path, fails, manifest, registry, site, tree, weights};
use crate::support::blob;
use crate::support::project::Ran;
use crate::support::server::{Fault, Server};

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
        &["E0915", "registry acme", &root, "add to config.toml", "[trusted]", &entry, "nothing was changed"],
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
        "E0914",
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
    let refused = site.fails(&["add", "acme/app", "-v"], 3, &["401", "mpm login "]);
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
fn a_symlink_planted_in_the_place_of_a_projects_records() {
    let Some(site) = site() else { return };
    let site = site.wants("[models]\n\"acme/tiny\" = \"1\"");
    site.works(&["sync"]);
    std::fs::remove_dir_all(site.project.folder().join("models")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    let (victim, unfinished) = (outside.path().join("thesis.txt"), outside.path().join(".mpm-abc123.tmp"));
    for path in [&victim, &unfinished] {
        std::fs::write(path, "mine").unwrap();
    }
    for place in [".mpm/files", "Model.lock.d"] {
        let link = site.project.folder().join(place);
        std::os::unix::fs::symlink(outside.path(), &link).unwrap();
        site.fails(&["sync"], 1, &["symbolic link", place]);
        for path in [&victim, &unfinished] {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "mine", "{place}");
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 2, "{place}");
        std::fs::remove_file(&link).unwrap();
    }
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
    let ran = ran.expect(130).says(&["E0728", "stopped", "kept"]);
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
        // What was asked for ahead before is kept.
        let _ = std::fs::remove_dir_all(site.project.home().join(".cache/mpm/indexes"));
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

#[test]
fn other_mistakes_have_their_codes() {
    let Some(mut site) = site() else { return };
    let two = |number| blob::safetensors(number, 20);
    site.registry
        .release("acme/pair", "1.0.0")
        .variant("a", "m.safetensors", two(1))
        .variant("b", "m.safetensors", two(2))
        .publish();
    site.fails(&["add", "acme/pair"], 2, &["E0911", "which one?", "a (", "b (", "--variant"]);
    site.fails(&["path", "acme/tiny"], 1, &["E0912"]);
    site.works(&["add", "acme/tiny", "--no-sync"]);
    site.fails(&["path", "acme/tiny"], 1, &["E0919", "run `mpm sync`"]);
    site.fails(&["diff"], 1, &["E0920", "HEAD"]);
    let good = site.project.text("Model.toml").unwrap();
    site.project.write("Model.toml", format!("{good}ours = {{ path = \"../nowhere\" }}\n"));
    site.fails(&["sync"], 1, &["E0917", "nowhere"]);
    site.project.write("Model.toml", b"[project]\nname = \"\xff\"\n");
    site.fails(&["sync"], 1, &["E0905", "Model.toml is not UTF-8"]);
    std::fs::remove_file(site.project.folder().join("Model.toml")).unwrap();
    std::fs::create_dir(site.project.folder().join("Model.toml")).unwrap();
    let ran = site.project.mpm(&["sync"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    std::fs::remove_dir(site.project.folder().join("Model.toml")).unwrap();
    site.project.write("Model.toml", good);
    let project = site.project.variable("MPM_JOBS", "none");
    fails(&project, &["sync"], 2, &["E0995", "MPM_JOBS", "a number from 1 to 256", "none"]);
    let project = project.variable("MPM_JOBS", "2").variable("HOME", "here");
    fails(&project, &["sync"], 1, &["E0992", "set HOME"]);
    let project = project.variable("HOME", site.registry.folder()).variable("MPM_CONFIG", "/proc/self/mem");
    fails(&project, &["sync"], 1, &["E0993", "/proc/self/mem"]);
}

#[test]
fn other_signers_than_before_and_a_revocation() {
    let Some(mut site) = site() else { return };
    site.write(&site.registry.folder().display().to_string(), "[models]\n\"acme/tiny\" = \"1\"");
    site.works(&["sync"]);
    let before = site.registry.publisher("acme").public().fingerprint();
    site.registry.retire("acme");
    site.registry.release("acme/tiny", "1.1.0").file("model.safetensors", blob::safetensors(9, 10)).publish();
    let now = site.registry.publisher("acme").public().fingerprint();
    let says = ["E0913", "acme/tiny@1.1.0", &before.short(), &now.short(), "another channel", "nothing was changed"];
    site.fails(&["update"], 4, &says);
    site.works(&["update", "--accept-key", &now.hex()]);
    site.registry.revoke_release("acme/tiny", "1.1.0", "stolen key");
    // The lock stands until the index is read again; then it is refused, also where nothing else changed.
    let fresh = site.elsewhere();
    fresh.fails(&["sync", "--locked"], 4, &["acme/tiny 1.1.0", "revoked", "stolen key"]);
}
