//! Repositories of the Hugging Face hub as sources, against a stand-in with the real headers.

mod clients;
mod limits;
mod readme;
mod wrong;

use crate::support::hub::{Access, Hub, Life};
use crate::support::project::Project;

/// A machine of its own that asks the stand-in.
pub fn machine(hub: &Hub) -> Project {
    Project::new().manifest("[project]\nname = \"p\"\n").variable("HF_ENDPOINT", hub.url())
}

/// A file in safetensors' format with one tensor of so many bytes.
pub fn weights(bytes: usize, salt: u8) -> Vec<u8> {
    let header = format!("{{\"w\":{{\"dtype\":\"U8\",\"shape\":[{bytes}],\"data_offsets\":[0,{bytes}]}}}}");
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    let mut state = u32::from(salt) + 1;
    file.extend((0..bytes).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }));
    file
}

/// A repository as they are: settings, a card, weights.
fn qwen(hub: &Hub) -> String {
    hub.model("Qwen/Qwen3-0.6B")
        .file(".gitattributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
        .file("README.md", "# Qwen3\n")
        .file("config.json", "{\"model_type\": \"qwen3\"}\n")
        .lfs("model.safetensors", weights(3_000_000, 1))
        .commit("main")
}

/// How many requests the endpoint had whose path holds this.
pub fn count(requests: &[crate::support::http::Request], part: &str) -> usize {
    requests.iter().filter(|request| request.path.contains(part)).count()
}

#[test]
fn a_model_is_added_locked_and_synced_and_a_second_machine_gets_the_same() {
    let hub = Hub::start();
    let commit = qwen(&hub);
    let first = machine(&hub);
    first.mpm(&["add", "hf:Qwen/Qwen3-0.6B", "--as", "qwen"]).expect(0).says(&["hf:Qwen/Qwen3-0.6B@main"]);
    assert_eq!(first.read("models/qwen/model.safetensors").unwrap(), weights(3_000_000, 1));
    assert!(first.text("Model.toml").unwrap().contains("qwen = { hf = \"Qwen/Qwen3-0.6B\", revision = \"main\" }"));
    let lock = first.text("Model.lock").unwrap();
    assert!(lock.contains(&format!("id = \"hf:Qwen/Qwen3-0.6B@main\"\nkind = \"model\"\nrevision = \"{commit}\"\n")));
    assert!(!lock.contains("127.0.0.1") && !lock.contains("localhost"), "{lock}");
    let requests = hub.requests();
    assert_eq!(count(&requests, "api/models/Qwen/Qwen3-0.6B/revision/main"), 1);
    assert_eq!(count(&requests, "/tree/"), 1);
    for file in [".gitattributes", "README.md", "config.json", "model.safetensors"] {
        assert_eq!(count(&requests, &format!("/resolve/{commit}/{file}")), 1, "{file}");
    }
    assert_eq!((requests.len(), hub.downloads().len()), (6, 1));

    // What is satisfied makes no call at all.
    for arguments in [&["sync"][..], &["sync", "--locked"], &["lock", "--check"], &["sync", "--check"], &["verify"]] {
        first.mpm(arguments).expect(0);
    }
    std::fs::remove_dir_all(first.folder().join("models")).unwrap();
    std::fs::remove_dir_all(first.folder().join(".mpm")).unwrap();
    first.mpm(&["sync", "--frozen"]).expect(0);
    assert_eq!((hub.requests().len(), hub.downloads().len()), (0, 0));

    let second = machine(&hub).manifest(&first.text("Model.toml").unwrap()).lock(&lock);
    second.mpm(&["sync", "--locked"]).expect(0);
    assert_eq!(second.read("models/qwen/model.safetensors"), first.read("models/qwen/model.safetensors"));
    assert_eq!(second.text("Model.lock").unwrap(), lock);
    let requests = hub.requests();
    assert_eq!((requests.len(), count(&requests, "/resolve/"), hub.downloads().len()), (4, 4, 1), "{requests:#?}");
}

#[test]
fn ids_are_kept_and_revisions_of_every_kind_are_found() {
    let hub = Hub::start();
    let old = hub.model("gpt2").file("config.json", "{\"n\": 1}\n").commit("main");
    hub.model("gpt2").tag("v1.0", &old);
    let new = hub.model("gpt2").file("config.json", "{\"n\": 2}\n").commit("main");
    let request = hub.model("gpt2").file("config.json", "{\"n\": 3}\n").commit("refs/pr/1");
    hub.dataset("Org/Rows_1").file("rows.csv", "a,b\n1,2\n").commit("main");
    let project = machine(&hub);
    for (id, key, commit) in
        [("hf:gpt2", "gpt2", &new), ("hf:gpt2@v1.0", "tagged", &old), ("hf:gpt2@refs/pr/1", "request", &request)]
    {
        project.mpm(&["add", id, "--as", key]).expect(0);
        assert!(project.text("Model.lock").unwrap().contains(&format!("revision = \"{commit}\"")), "{id}");
    }
    project.mpm(&["add", &format!("hf:gpt2@{old}"), "--as", "pinned"]).expect(0);
    assert_eq!(project.text("models/pinned/config.json").unwrap(), "{\"n\": 1}\n");
    project.mpm(&["add", "hf:datasets/Org/Rows_1"]).expect(0);
    assert_eq!(project.text("datasets/org/rows_1/rows.csv").unwrap(), "a,b\n1,2\n");
    let manifest = project.text("Model.toml").unwrap();
    assert!(
        manifest.contains("[datasets]\n\"org/rows_1\" = { hf = \"Org/Rows_1\", revision = \"main\" }"),
        "{manifest}"
    );
    // The key alone is enough to take a dependency out again.
    project.mpm(&["remove", "tagged"]).expect(0);
    assert!(!project.folder().join("models/tagged").exists());
    project.mpm(&["verify"]).expect(0);
}

#[test]
fn a_branch_that_moved_changes_nothing_before_update() {
    let hub = Hub::start();
    let old = qwen(&hub);
    let project = machine(&hub);
    project.mpm(&["add", "hf:Qwen/Qwen3-0.6B"]).expect(0);
    let new = hub
        .model("Qwen/Qwen3-0.6B")
        .file("config.json", "{\"model_type\": \"qwen4\"}\n")
        .file("extra.json", "{}\n")
        .without("README.md")
        .commit("main");
    hub.requests();
    project.mpm(&["sync"]).expect(0);
    project.mpm(&["lock"]).expect(0);
    assert_eq!(hub.requests().len(), 0);
    let before = project.text("Model.lock").unwrap();
    let told = project.mpm(&["update", "--dry-run"]).expect(0);
    for text in [&old, &new, "config.json", "extra.json", "README.md"] {
        assert!(told.stderr.contains(text), "{text}: {}", told.stderr);
    }
    assert_eq!(project.text("Model.lock").unwrap(), before);
    let json = project.mpm(&["update", "hf:Qwen/Qwen3-0.6B", "--json"]).expect(0).json();
    let files = &json["changes"][0]["files"];
    assert_eq!(files["changed"][0], "config.json");
    assert_eq!((&files["added"][0], &files["removed"][0]), (&"extra.json".into(), &"README.md".into()));
    let lock = project.text("Model.lock").unwrap();
    assert!(lock.contains(&new) && !lock.contains(&old));
    let requests = hub.requests();
    // Twice: once told, once locked. What did not change was not read again.
    assert_eq!(count(&requests, "/resolve/"), 4, "{requests:#?}");
    assert_eq!(count(&requests, ".gitattributes"), 0);
    project.mpm(&["sync", "--locked"]).expect(0);
    assert_eq!(project.text("models/qwen/qwen3-0.6b/config.json").unwrap(), "{\"model_type\": \"qwen4\"}\n");
    assert!(!project.folder().join("models/qwen/qwen3-0.6b/README.md").exists());
    // What changed was read when it was locked; the weights are the same and stay.
    assert_eq!(hub.requests().len(), 0);
    project.mpm(&["update", "qwen/qwen3-0.6b"]).expect(0).says(&["Nothing newer"]);
    project.mpm(&["update", "qwen/qwen3-0.6"]).expect(1).says(&["did you mean"]);
}

#[test]
fn more_files_than_a_lock_should_hold_stand_beside_it() {
    let hub = Hub::start();
    hub.page_size(100);
    let mut draft = hub.dataset("org/many");
    for number in 0..450 {
        draft = draft.file(&format!("part-{}/{number}.txt", number % 7), format!("{number}\n"));
    }
    draft.commit("main");
    let first = machine(&hub);
    first.mpm(&["add", "hf:datasets/org/many"]).expect(0);
    assert!(count(&hub.requests(), "/tree/") > 4);
    let lock = first.text("Model.lock").unwrap();
    assert!(lock.contains("table-size = ") && !lock.contains("449.txt"), "{lock}");
    let tables: Vec<_> = std::fs::read_dir(first.folder().join("Model.lock.d")).unwrap().collect();
    assert_eq!(tables.len(), 1);
    let second = machine(&hub).manifest(&first.text("Model.toml").unwrap()).lock(&lock);
    let table = tables[0].as_ref().unwrap().file_name().into_string().unwrap();
    second.write(&format!("Model.lock.d/{table}"), first.read(&format!("Model.lock.d/{table}")).unwrap());
    second.mpm(&["sync", "--locked"]).expect(0);
    assert_eq!(second.text("datasets/org/many/part-1/449.txt").unwrap(), "449\n");
    assert_eq!(count(&hub.requests(), "/resolve/"), 450);
}

#[test]
fn globs_choose_what_travels() {
    let hub = Hub::start();
    let mut draft = hub.model("org/quants").file("README.md", "# q\n");
    for name in ["a", "b", "c"] {
        draft = draft.lfs(&format!("{name}.safetensors"), weights(200_000, name.as_bytes()[0]));
    }
    draft.commit("main");
    let project = machine(&hub);
    project.mpm(&["add", "hf:org/quants", "--include", "b.*"]).expect(0);
    assert_eq!(hub.downloads().len(), 1);
    assert!(project.folder().join("models/org/quants/b.safetensors").exists());
    assert!(!project.folder().join("models/org/quants/a.safetensors").exists());
    // The lock has all of the commit: another choice changes nothing in it and asks nobody what there is.
    let lock = project.text("Model.lock").unwrap();
    hub.requests();
    let manifest = project.text("Model.toml").unwrap().replace("b.*", "{b,c}.*");
    project.write("Model.toml", manifest);
    project.mpm(&["sync", "--locked"]).expect(0);
    assert_eq!((count(&hub.requests(), "api/"), hub.downloads().len()), (0, 1));
    assert_eq!(project.text("Model.lock").unwrap(), lock);
}

#[test]
fn a_token_goes_to_the_endpoint_alone() {
    let hub = Hub::start();
    hub.token("hf_secret", Access::All);
    hub.model("org/private")
        .file("config.json", "{}\n")
        .lfs("w.safetensors", weights(100_000, 1))
        .private()
        .commit("main");
    let project = machine(&hub).variable("HF_TOKEN", "hf_secret");
    let ran = project.mpm(&["add", "hf:org/private", "-v"]).expect(0);
    assert!(!ran.stderr.contains("hf_secret") && !project.text("Model.lock").unwrap().contains("hf_secret"));
    let requests = hub.requests();
    assert!(!requests.is_empty());
    for request in &requests {
        assert_eq!(request.headers.get("authorization").map(String::as_str), Some("Bearer hf_secret"), "{request:?}");
    }
    for download in hub.downloads() {
        assert!(!download.headers.contains_key("authorization"), "{download:?}");
    }

    // The file in which the hub's own tools keep it does as well.
    let kept = machine(&hub);
    let folder = kept.home().join(".cache/huggingface");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("token"), "hf_secret\n").unwrap();
    kept.mpm(&["add", "hf:org/private"]).expect(0);
    let without = machine(&hub).variable("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1").variable("HOME", kept.home());
    without.mpm(&["update"]).expect(0);
    without.mpm(&["add", "hf:org/private", "--as", "other"]).expect(1).says(&["a private repository needs a token"]);
}

#[test]
fn signed_addresses_that_expire_in_the_middle_are_asked_for_again() {
    let hub = Hub::start();
    let bytes = weights(5_000_000, 9);
    let commit = hub.model("org/large").lfs("w.safetensors", bytes.clone()).commit("main");
    hub.signature_life(Life::Bytes(2_000_000));
    let project = machine(&hub);
    project.mpm(&["add", "hf:org/large"]).expect(0);
    assert_eq!(project.read("models/org/large/w.safetensors").unwrap(), bytes);
    let (asked, downloads) = (count(&hub.requests(), &format!("/resolve/{commit}/")), hub.downloads());
    assert!(asked >= 3, "{asked}");
    let sent: u64 = downloads.iter().map(|download| download.sent).sum();
    assert!(sent < 6_000_000, "what came was not asked for again: {sent}");
}

#[test]
fn a_mirror_that_has_the_digest_will_do() {
    let hub = Hub::start();
    qwen(&hub);
    let first = machine(&hub);
    first.mpm(&["add", "hf:Qwen/Qwen3-0.6B"]).expect(0);
    let (manifest, lock) = (first.text("Model.toml").unwrap(), first.text("Model.lock").unwrap());
    drop(hub);
    let blobs = first.store().join("v1");
    let second = Project::new()
        .manifest(&manifest)
        .lock(&lock)
        .variable("HF_ENDPOINT", "http://127.0.0.1:9")
        .config(&format!("[hub]\nmirrors = [\"{}\"]\n", blobs.display()));
    second.mpm(&["sync", "--locked"]).expect(0);
    assert_eq!(second.text("models/qwen/qwen3-0.6b/config.json").unwrap(), "{\"model_type\": \"qwen3\"}\n");
}

#[test]
fn what_nobody_signed_can_be_refused() {
    let hub = Hub::start();
    qwen(&hub);
    let refusing = machine(&hub).manifest("[policy]\nunsigned = \"deny\"\n");
    let error = refusing.mpm(&["add", "hf:Qwen/Qwen3-0.6B", "--json"]).expect(5).json_error();
    assert_eq!(error["error"]["code"], "E0602");
    assert_eq!(refusing.text("Model.toml").unwrap(), "[policy]\nunsigned = \"deny\"\n");
    assert_eq!(hub.requests().len(), 0, "nobody is asked for what would be refused");

    // What the machine denies no project allows.
    let site = machine(&hub).manifest("[policy]\nunsigned = \"allow\"\n").config("unsigned = \"deny\"\n");
    site.mpm(&["add", "hf:Qwen/Qwen3-0.6B"]).expect(5).says(&["nobody signs hf:Qwen/Qwen3-0.6B@main"]);
    let locked = machine(&hub);
    locked.mpm(&["add", "hf:Qwen/Qwen3-0.6B", "--no-sync"]).expect(0);
    let locked = locked.config("unsigned = \"deny\"\n");
    hub.requests();
    locked.mpm(&["update"]).expect(5).says(&["[E0602]"]);
    assert_eq!(hub.requests().len(), 0, "nobody is asked for what would be refused");
    locked.mpm(&["sync", "--locked"]).expect(5);
    assert!(!locked.folder().join("models").exists());
}

#[test]
fn code_among_the_files_is_refused_left_out_or_allowed_for_one_commit() {
    let hub = Hub::start();
    let commit = hub
        .model("org/old")
        .file("config.json", "{}\n")
        .lfs("model.safetensors", weights(100_000, 1))
        .lfs("pytorch_model.bin", b"\x80\x02cos\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.".to_vec())
        .commit("main");
    let project = machine(&hub);
    let refused = project.mpm(&["add", "hf:org/old"]).expect(5);
    let refused = refused.says(&["pytorch_model.bin", "exclude = [\"pytorch_model.bin\"]", "[policy.unsafe]"]);
    assert_eq!(hub.downloads().len(), 0, "a name that gives code away is refused before a byte travels");
    let line = refused.stderr.lines().find(|line| line.contains("formats = [")).unwrap().trim().to_owned();
    assert!(line.starts_with(&format!("\"hf:org/old@{commit}\"")), "{line}");

    project.mpm(&["add", "hf:org/old", "--exclude", "pytorch_model.bin"]).expect(0);
    assert!(!project.folder().join("models/org/old/pytorch_model.bin").exists());

    let allowing = machine(&hub).manifest(&format!("[policy.unsafe]\n{}\n", line.replace('…', "reviewed")));
    let mut ran = allowing.mpm(&["add", "hf:org/old"]);
    if ran.code == 5 {
        // The name says one thing, the content another: both rules must be listed.
        let line =
            ran.stderr.lines().find(|line| line.contains("formats = [")).unwrap().trim().replace('…', "reviewed");
        allowing.write("Model.toml", format!("[policy.unsafe]\n{line}\n"));
        ran = allowing.mpm(&["add", "hf:org/old"]);
    }
    ran.expect(0).says(&["[policy.unsafe] allows"]);
    assert!(allowing.text("Model.lock").unwrap().contains("[[unsafe]]\npackage = \"hf:org/old@main\"\n"));
    allowing.mpm(&["sync", "--locked"]).expect(0);
    // It was for exactly these files.
    let manifest = allowing.text("Model.toml").unwrap();
    let at = manifest.find("sha256:").unwrap();
    let other = manifest.replace(&manifest[at..at + 71], &format!("sha256:{}", "0".repeat(64)));
    allowing.write("Model.toml", other);
    allowing.mpm(&["sync"]).expect(5).says(&["but for sha256 000000000000"]);
    allowing.write("Model.toml", &manifest);
    allowing.mpm(&["sync"]).expect(0);
    // It was for that commit: the next one asks again.
    hub.model("org/old").file("config.json", "{\"n\": 2}\n").commit("main");
    allowing.mpm(&["update"]).expect(0);
    assert!(!allowing.text("Model.lock").unwrap().contains("[[unsafe]]"));
    allowing.mpm(&["sync"]).expect(5);
}

#[test]
fn get_brings_what_is_asked_for_and_says_how_to_pin_it() {
    let hub = Hub::start();
    let mut draft = hub.model("org/quants").file("README.md", "# twenty\n").file("config.json", "{}\n");
    for number in 0..20 {
        draft = draft.lfs(&format!("q{number}.safetensors"), weights(50_000 + number, number as u8));
    }
    let commit = draft.commit("main");
    let nowhere = Project::new().variable("HF_ENDPOINT", hub.url());
    let ran = nowhere.mpm(&["get", "hf:org/quants", "--include", "q7.*", "--to", "here"]).expect(0);
    let pin = format!("mpm add hf:org/quants@{commit} --include 'q7.*'");
    let ran = ran.says(&[&pin, "signed by nobody"]);
    assert_eq!(nowhere.read("here/q7.safetensors").unwrap(), weights(50_007, 7));
    let left: Vec<_> = std::fs::read_dir(nowhere.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["here"], "no project, no records: {}", ran.stderr);
    assert_eq!(std::fs::read_dir(nowhere.folder().join("here")).unwrap().count(), 1);
    // Bytes fetched are the bytes needed.
    let (requests, downloads) = (hub.requests(), hub.downloads());
    assert_eq!((count(&requests, "/resolve/"), downloads.len()), (1, 1), "{requests:#?}");
    assert_eq!(downloads[0].sent, weights(50_007, 7).len() as u64);

    // Again: it is there. Something else in its place is not touched.
    let links = nowhere.mpm(&["get", "hf:org/quants", "--include", "q7.*", "--to", "links", "--link", "symlink"]);
    links.expect(0).says(&["links into the store", "mpm store gc"]);
    let again = nowhere.mpm(&["get", "hf:org/quants", "--include", "q7.*", "--to", "here", "--json"]).expect(0).json();
    assert_eq!((&again["applied"]["placed"], &again["travel"]["blobs"]), (&0.into(), &0.into()));
    nowhere.write("here/config.json", "mine");
    nowhere.mpm(&["get", "hf:org/quants", "--to", "here"]).expect(1).says(&["[E0754]", "config.json"]);
    assert_eq!(nowhere.text("here/config.json").unwrap(), "mine");
    assert!(!nowhere.folder().join("here/README.md").exists());
    assert_eq!(hub.downloads().len(), 0, "what would not be placed does not travel");
    nowhere.mpm(&["get", "hf:org/quants", "--include", "Q7.*", "--to", "x"]).expect(1).says(&["[E0556]"]);
    nowhere.mpm(&["get", "hf:org/nothing", "--to", "x"]).expect(1).says(&["[E0671]"]);
    assert!(!nowhere.folder().join("x").exists());
    let told = nowhere.mpm(&["get", "hf:org/quants", "--to", "x", "--dry-run"]).expect(0);
    told.says(&["Would fetch 21 blobs"]);
    assert!(!nowhere.folder().join("x").exists());
}

#[test]
fn a_receipt_that_comes_with_a_project_proves_nothing() {
    let hub = Hub::start();
    qwen(&hub);
    let made = machine(&hub).manifest("[project]\nname = \"p\"\n\n[install]\nlayouts = []\n");
    made.mpm(&["add", "hf:Qwen/Qwen3-0.6B", "--as", "qwen"]).expect(0);
    let (good, evil) = (weights(3_000_000, 1), weights(3_000_000, 9));
    let sha256 = |bytes: &[u8]| modelpm::model::Sha256::of(bytes).hex();
    let lock = made.text("Model.lock").unwrap();
    let receipt = made.text(".mpm/receipt.json").unwrap().replace(&sha256(&good), &sha256(&evil));
    let bare = {
        let mut bare: serde_json::Value = serde_json::from_str(&receipt).unwrap();
        for package in bare["packages"].as_array_mut().unwrap() {
            package["files"] = serde_json::json!([]);
        }
        bare.to_string()
    };
    for receipt in [receipt, bare] {
        let clone = machine(&hub).manifest(&made.text("Model.toml").unwrap()).lock(&lock);
        for file in ["README.md", "config.json", ".gitattributes"] {
            clone.write(&format!("models/qwen/{file}"), made.read(&format!("models/qwen/{file}")).unwrap());
        }
        clone.write("models/qwen/model.safetensors", &evil);
        clone.write(".mpm/receipt.json", &receipt);
        // A command that believes it does not make it this machine's own.
        let ran = clone.mpm(&["run", "--", "true"]);
        assert_eq!(ran.code, i32::from(!receipt.contains(&sha256(&evil))), "{ran:?}");
        let ran = clone.mpm(&["sync", "--locked"]);
        // What has the bytes of a receipt that lies counts as placed, and gives way to the right ones; what it does not name is in
        // the way.
        assert_ne!(clone.read("models/qwen/model.safetensors") == Some(evil.clone()), ran.code == 0, "{ran:?}");
    }
}

#[test]
fn a_repository_that_holds_a_git_repository_is_refused() {
    let hub = Hub::start();
    let bare = |id: &str, below: &str, settings: &str| {
        let draft = hub.model(id).file("config.json", "{}\n");
        let draft = draft.file(&format!("{below}HEAD"), "ref: refs/heads/main\n").file(settings, "[core]\n");
        draft.file(&format!("{below}objects/x"), "x\n").file(&format!("{below}refs/x"), "x\n").commit("main")
    };
    bare("org/whole", "", "config");
    bare("org/below", "a/b/", "a/b/config");
    hub.model("org/linked").file("HEAD", "ref: refs/heads/main\n").file("commondir", "c\n").commit("main");
    for (id, file) in [("org/whole", "config"), ("org/below", "a/b/config"), ("org/linked", "commondir")] {
        let id = format!("hf:{id}");
        machine(&hub).mpm(&["add", &id]).expect(5).says(&["[E0601]", file, "git takes the folder"]);
        machine(&hub).mpm(&["get", &id, "--to", "x"]).expect(5).says(&["[E0601]"]);
    }
    let project = machine(&hub);
    project.mpm(&["add", "hf:org/whole", "--exclude", "HEAD"]).expect(0);
    bare("org/apart", "a/", "config");
    project.mpm(&["add", "hf:org/apart"]).expect(0);
}

#[test]
fn get_brings_no_records_into_a_project() {
    let hub = Hub::start();
    hub.model("org/records").file("a.json", "{}\n").file(".mpm/receipt.json", "{}\n").commit("main");
    hub.model("org/git").file("a.json", "{}\n").file("sub/.git/config", "[core]\n").commit("main");
    let project = machine(&hub);
    let ran = project.mpm(&["get", "hf:org/records", "--to", "."]).expect(1);
    ran.says(&["[E0751]", ".mpm/receipt.json", "--exclude"]);
    assert!(!project.folder().join("a.json").exists() && !project.folder().join(".mpm/receipt.json").exists());
    project.mpm(&["get", "hf:org/records", "--exclude", ".mpm/**", "--to", "."]).expect(0);
    assert_eq!(project.text("a.json").unwrap(), "{}\n");
    project.mpm(&["get", "hf:org/git", "--to", "git"]).expect(1).says(&["[E0675]", "sub/.git/config"]);
    project.mpm(&["add", "hf:org/git"]).expect(1).says(&["[E0675]", "sub/.git/config"]);
}

#[test]
fn get_takes_releases_of_registries_too() {
    let nowhere = Project::new();
    let ran = nowhere.mpm(&["get", "demo/digits-mlp@^1.0", "--variant", "int8", "--to", "mlp"]).expect(0);
    let ran = ran.says(&["mpm add demo/digits-mlp@=1.1.0 --variant int8", "signed by"]);
    assert!(!ran.stderr.contains("nobody"), "{}", ran.stderr);
    assert!(nowhere.folder().join("mlp/model.safetensors").exists());
    assert!(!nowhere.folder().join("Model.toml").exists() && !nowhere.folder().join(".mpm").exists());
    nowhere.mpm(&["get", "demo/digits-mlp@^9", "--to", "x"]).expect(1).says(&["[E0924]"]);
    nowhere.mpm(&["get", "demo/digits-mpl", "--to", "x"]).expect(1).says(&["did you mean"]);
    nowhere.mpm(&["get", "demo/digits-mlp", "--variant", "f8", "--to", "x"]).expect(1).says(&["[E0554]"]);
    nowhere.mpm(&["get", "acme/x", "--to", "x"]).expect(1).says(&["no registry answers acme/x"]);
    nowhere.mpm(&["get", "demo/digits-mlp"]).expect(2);
    // The same files as in a project.
    let project = Project::new().manifest("");
    project.mpm(&["add", "demo/digits-mlp@=1.1.0", "--variant", "int8"]).expect(0);
    assert_eq!(project.read("models/demo/digits-mlp/model.safetensors"), nowhere.read("mlp/model.safetensors"));
}
