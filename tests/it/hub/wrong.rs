//! Wrong input, and hubs that answer wrongly: each ends with its exit code and a message, and nothing is placed.

use super::{count, machine, qwen, weights};
use crate::support::http::Fault;
use crate::support::hub::{Access, Hub};
use crate::support::project::{Project, Ran};

const NAME: &str = "hf:Qwen/Qwen3-0.6B";

/// Nothing of the project changed.
#[track_caller]
fn untouched(project: &Project) {
    assert_eq!(project.text("Model.toml").unwrap(), "[project]\nname = \"p\"\n");
    assert!(!project.folder().join("Model.lock").exists());
    assert!(!project.folder().join("models").exists());
}

#[track_caller]
fn check(project: &Project, arguments: &[&str], code: i32, word: &str) -> Ran {
    let ran = project.mpm(arguments).expect(code);
    let ran = ran.says(&[&format!("[{word}]")]);
    untouched(project);
    ran
}

#[test]
fn what_is_not_there_is_told_as_such() {
    let hub = Hub::start();
    qwen(&hub);
    hub.model("org/gone").private().commit("main");
    let project = machine(&hub);
    check(&project, &["add", "hf:Qwen/Qwen3-0.6b"], 1, "E0671").says(&["no such repository", "capitals included"]);
    check(&project, &["add", "hf:datasets/Qwen/Qwen3-0.6B"], 1, "E0671");
    check(&project, &["add", "hf:org/gone"], 1, "E0671").says(&["HF_TOKEN"]);
    check(&project, &["add", &format!("{NAME}@v9")], 1, "E0671").says(&["no such branch, tag or commit"]);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    check(&project, &["add", &format!("{NAME}@{commit}")], 1, "E0671").says(&["no such branch, tag or commit"]);
    for typed in ["hf:a/b/c", "hf:", "hf:a/b@../x", "hf:a/b@--upload-pack=x"] {
        project.mpm(&["add", typed]).expect(2);
    }
    untouched(&project);
}

#[test]
fn a_gated_repository_names_the_page_to_visit() {
    let hub = Hub::start();
    hub.token("hf_known", Access::Public);
    hub.token("hf_access", Access::All);
    hub.model("meta/gated").file("config.json", "{}\n").lfs("w.safetensors", weights(50_000, 1)).gated().commit("main");
    let page = format!("{}/meta/gated", hub.url());
    let stranger = machine(&hub);
    check(&stranger, &["add", "hf:meta/gated"], 1, "E0672").says(&["gated", &page, "HF_TOKEN"]);
    let known = machine(&hub).variable("HF_TOKEN", "hf_known");
    check(&known, &["add", "hf:meta/gated"], 1, "E0672").says(&[&page, "the token from HF_TOKEN was sent"]);
    let refused = machine(&hub).variable("HF_TOKEN", "hf_expired");
    check(&refused, &["add", "hf:meta/gated"], 1, "E0672").says(&["does not accept the token", "HF_TOKEN"]);

    // A second machine that has the lock and no access is told the same.
    let first = machine(&hub).variable("HF_TOKEN", "hf_access");
    first.mpm(&["add", "hf:meta/gated"]).expect(0);
    let second = machine(&hub).manifest(&first.text("Model.toml").unwrap()).lock(&first.text("Model.lock").unwrap());
    second.mpm(&["sync", "--locked"]).expect(1).says(&["gated", &page]);
    assert!(!second.folder().join("models").exists());
}

#[test]
fn other_bytes_of_the_same_length_are_refused() {
    let hub = Hub::start();
    qwen(&hub);
    let project = machine(&hub);
    // A large file: its sha256 is listed. A small one: git's id is.
    hub.fault("model.safetensors", 9, Fault::Flip(2_999_999));
    check(&project, &["add", NAME], 4, "E0724").says(&["model.safetensors", "expected sha256", "found sha256"]);
    hub.mend();
    hub.fault("config.json", 9, Fault::Flip(3));
    check(&project, &["add", NAME], 4, "E0712").says(&["config.json", "expected git blob", "found git blob"]);
    hub.mend();
    project.mpm(&["add", NAME]).expect(0);

    // With a lock, small files are pinned as well.
    let second =
        machine(&hub).manifest(&project.text("Model.toml").unwrap()).lock(&project.text("Model.lock").unwrap());
    hub.fault("config.json", 9, Fault::Flip(3));
    second.mpm(&["sync", "--locked"]).expect(4);
    assert!(!second.folder().join("models").exists());
    hub.mend();
    second.mpm(&["sync", "--locked"]).expect(0);
}

#[test]
fn a_web_page_in_the_place_of_an_answer_is_told() {
    let hub = Hub::start();
    let commit = qwen(&hub);
    let page = || Fault::Body(b"<!DOCTYPE html><html><body>Sign in to the network</body></html>".to_vec());
    let project = machine(&hub);
    for (path, code, word) in [
        ("revision/main", 3, "E0674"),
        (&*format!("tree/{commit}"), 3, "E0674"),
        ("config.json", 4, "E0712"),
        ("model.safetensors", 4, "E0724"),
    ] {
        hub.fault(path, 20, page());
        let ran = check(&project, &["add", NAME], code, word);
        if word != "E0724" {
            ran.says(&["web page"]);
        }
        hub.mend();
    }
}

#[test]
fn a_branch_that_is_called_like_a_commit_is_not_taken_for_it() {
    let hub = Hub::start();
    let commit = qwen(&hub);
    let project = machine(&hub);
    let other = format!("{{\"sha\":\"{}\"}}", "ab".repeat(20));
    hub.fault(&format!("revision/{commit}"), 9, Fault::Body(other.into_bytes()));
    check(&project, &["add", &format!("{NAME}@{commit}")], 3, "E0674").says(&[&commit, "branch"]);
    hub.mend();
    project.mpm(&["add", &format!("{NAME}@{commit}")]).expect(0);
}

#[test]
fn small_files_that_do_not_fit_are_refused_before_the_first_byte() {
    let hub = Hub::start();
    let commit = qwen(&hub);
    let project = machine(&hub);
    for (size, word) in [(1_u64 << 60, "E0721"), (u64::MAX, "E0674")] {
        let listing = format!("[{{\"type\":\"file\",\"path\":\"config.json\",\"oid\":\"{commit}\",\"size\":{size}}}]");
        hub.fault(&format!("tree/{commit}"), 9, Fault::Body(listing.into_bytes()));
        let code = if word == "E0721" { 1 } else { 3 };
        check(&project, &["add", NAME], code, word);
        check(&project, &["add", NAME, "--no-sync"], code, word);
        hub.mend();
        assert_eq!(count(&hub.requests(), "/resolve/"), 0, "{size}");
    }
}

#[test]
fn redirects_to_files_and_inner_addresses_are_not_followed() {
    let hub = Hub::start();
    qwen(&hub);
    let project = machine(&hub);
    for target in
        ["file:///etc/passwd", "http://10.0.0.1/x", "http://169.254.169.254/latest/meta-data", "ftp://127.0.0.1/"]
    {
        for path in ["revision/main", "config.json", "model.safetensors"] {
            hub.fault(path, 20, Fault::Redirect(302, target.to_owned()));
            let ran = project.mpm(&["add", NAME]).expect(5);
            assert!(ran.stderr.contains("is not opened"), "{}", ran.stderr);
            untouched(&project);
            hub.mend();
        }
    }
}

#[test]
fn cut_and_failing_answers_are_asked_for_again() {
    let hub = Hub::start();
    let commit = qwen(&hub);
    hub.fault("revision/main", 1, Fault::Status(503, None));
    hub.fault("config.json", 1, Fault::Status(500, None));
    hub.fault("README.md", 1, Fault::Cut(3));
    hub.fault("model.safetensors", 1, Fault::Cut(1_500_000));
    let project = machine(&hub);
    project.mpm(&["add", NAME]).expect(0);
    assert!(count(&hub.requests(), &format!("/resolve/{commit}/model.safetensors")) >= 2);
    project.mpm(&["verify"]).expect(0);
}

#[test]
fn a_lock_that_was_edited_by_hand_is_refused() {
    let hub = Hub::start();
    qwen(&hub);
    let project = machine(&hub);
    project.mpm(&["add", NAME, "--no-sync"]).expect(0);
    let lock = project.text("Model.lock").unwrap();
    let line = lock.lines().find(|line| line.contains("config.json")).unwrap();
    let digest = line.split('"').nth(3).unwrap();
    let edited = lock.replace(digest, &format!("sha256:{}", "0".repeat(64)));
    project.write("Model.lock", edited);
    for arguments in [&["sync", "--locked"][..], &["sync"], &["lock"]] {
        project.mpm(arguments).expect(4).says(&["[E0509]"]);
    }
    let other = lock.replace("revision = \"", "revision = \"0");
    project.write("Model.lock", other);
    project.mpm(&["sync"]).expect(1).says(&["[E0501]", "40 lowercase hex digits"]);
}

#[test]
fn nobody_is_asked_offline() {
    let hub = Hub::start();
    qwen(&hub);
    let project = machine(&hub);
    check(&project, &["add", NAME, "--offline"], 3, "E0151");
    assert_eq!(hub.requests().len(), 0);
    let dead = Project::new().manifest("[project]\nname = \"p\"\n").variable("HF_ENDPOINT", "http://127.0.0.1:9");
    check(&dead, &["add", NAME], 3, "E0153");
    let odd = machine(&hub).variable("HF_ENDPOINT", "ftp://x");
    odd.mpm(&["add", NAME]).expect(2).says(&["HF_ENDPOINT"]);
}
