//! Layouts, through the real binary: the placed files once more as the cache of the hub's clients. What lies where is tested
//! beside the room.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use modelpm::lock::{Found, Lock};
use modelpm::model::{PackageId, Sha256};

use crate::support::hub::Hub;
use crate::support::project::{Project, Ran};
use crate::support::registry::TestRegistry;

const ON: &str = "[project]\nname = \"x\"\n\n[install]\nlayouts = [\"huggingface\"]\n";
const HF: &str = ".mpm/hf";

/// A project with the layout on and these of the demo registry.
fn project(names: &[&str]) -> Project {
    let project = Project::new().manifest(ON);
    let mut words = vec!["add"];
    words.extend(names);
    project.mpm(&words).expect(0);
    project
}

/// What stands for the commit of a release: the beginning of its statement's digest.
fn commit(project: &Project, id: &str) -> String {
    let Found::Whole(lock) = Lock::parse(&project.text("Model.lock").expect("a lock")).expect("parses") else {
        panic!("a whole lock");
    };
    let digest = lock.packages[&PackageId::parse(id).expect("an id")].statement.sha256.hex();
    digest[..40].to_owned()
}

/// Every file below a folder of the project, by path.
fn files(project: &Project, below: &str) -> BTreeSet<String> {
    let root = project.folder().join(below);
    let mut found = BTreeSet::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(&root).expect("below").to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// Bytes that files take on disk, each inode counted once.
fn blocks(folders: &[&Path]) -> u64 {
    let mut inodes = BTreeMap::new();
    let mut waiting: Vec<_> = folders.iter().map(|folder| folder.to_path_buf()).collect();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let found = path.symlink_metadata().expect("is there");
            if found.is_dir() {
                waiting.push(path);
            } else if found.is_file() {
                inodes.insert((found.dev(), found.ino()), found.blocks() * 512);
            }
        }
    }
    inodes.values().sum()
}

fn inode(project: &Project, path: &str) -> u64 {
    project.folder().join(path).symlink_metadata().expect(path).ino()
}

#[test]
fn the_layout_holds_what_is_placed_and_says_so() {
    let project = project(&["demo/digits-lora", "demo/digits"]);
    let lora = commit(&project, "mpm-demo:demo/digits-lora@1.0.0");
    // The adapter's base is only needed by it, and lies there too.
    let mlp = commit(&project, "mpm-demo:demo/digits-mlp@1.0.0");
    let digits = commit(&project, "mpm-demo:demo/digits@1.0.0");
    let mut expected = BTreeSet::new();
    for (folder, commit, placed) in [
        ("models--demo--digits-lora", &lora, "models/demo/digits-lora"),
        ("models--demo--digits-mlp", &mlp, "models/.deps/demo/digits-mlp@1.0.0"),
        ("datasets--demo--digits", &digits, "datasets/demo/digits"),
    ] {
        for name in ["main", "1.0.0"] {
            let at = format!("{folder}/refs/{name}");
            assert_eq!(project.text(&format!("{HF}/{at}")).as_deref(), Some(commit.as_str()), "no line end");
            expected.insert(at);
        }
        let tree: serde_json::Value =
            serde_json::from_str(&project.text(&format!("{HF}/{folder}/trees/{commit}.json")).expect("a tree"))
                .unwrap();
        assert_eq!(tree["format_version"], 1);
        expected.insert(format!("{folder}/trees/{commit}.json"));
        let files = files(&project, placed);
        let listed: BTreeSet<String> = tree["files"].as_object().expect("files").keys().cloned().collect();
        assert_eq!(listed, files, "exactly the files that are there");
        for file in files {
            let bytes = project.read(&format!("{placed}/{file}")).expect("placed");
            let sha256 = Sha256::of(&bytes).hex();
            let entry = serde_json::json!({
                "size": bytes.len(), "blob_id": &sha256[..40], "lfs_sha256": sha256, "lfs_size": bytes.len(),
            });
            assert_eq!(tree["files"][&file], entry, "{file}");
            let laid = format!("{HF}/{folder}/snapshots/{commit}/{file}");
            assert_eq!(
                inode(&project, &laid),
                inode(&project, &format!("{placed}/{file}")),
                "one file on disk: {laid}"
            );
            expected.insert(format!("{folder}/snapshots/{commit}/{file}"));
        }
    }
    assert_eq!(files(&project, HF), expected);
    // The layout's entries are no packages.
    let listed = project.mpm(&["list", "--json"]).expect(0).json();
    assert_eq!(listed["packages"].as_array().expect("packages").len(), 3);
    let document = project.mpm(&["sync", "--frozen", "--json"]).expect(0).json();
    assert_eq!((&document["up-to-date"], document["packages"].as_array().map(Vec::len)), (&true.into(), Some(3)));
    assert_eq!(document["layouts"], serde_json::json!([{"layout": "huggingface", "folder": HF}]));
    project.mpm(&["sync", "--frozen"]).expect(0).says(&["Nothing to do: 3 packages as locked"]);
    project.mpm(&["tree"]).expect(0);
    project.mpm(&["path", "demo/digits"]).expect(0);
}

#[test]
fn a_release_lies_under_the_name_that_its_publisher_gives_it() {
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    registry.release("acme/mini", "1.2.0").file("config.json", "{}\n").upstream("Org/Mini_LM", commit).publish();
    let root = registry.root_sha256().prefixed();
    let index = registry.folder().display().to_string();
    let manifest =
        format!("{ON}\n[registries.acme]\nindex = \"{index}\"\nroot = \"{root}\"\nnamespaces = [\"acme\"]\n");
    let project = Project::new().manifest(&manifest);
    project.mpm(&["add", "acme/mini"]).expect(0);
    let names =
        ["refs/1.2.0", "refs/main", &format!("snapshots/{commit}/config.json"), &format!("trees/{commit}.json")];
    let expected: BTreeSet<String> = names.iter().map(|name| format!("models--Org--Mini_LM/{name}")).collect();
    assert_eq!(files(&project, HF), expected);
    assert_eq!(project.text(&format!("{HF}/models--Org--Mini_LM/refs/main")).as_deref(), Some(commit));
}

#[test]
fn a_repository_of_the_hub_lies_under_its_own_id_and_commit() {
    let hub = Hub::start();
    let old =
        hub.model("Org/Mini_LM").file("config.json", "{\"n\": 1}\n").file("x/notes.txt", "notes\n").commit("main");
    hub.model("Org/Mini_LM").tag("v1.0", &old);
    let rows = hub.dataset("Rows").file("rows.csv", "a,b\n1,2\n").commit("main");
    let project = Project::new().manifest(ON).variable("HF_ENDPOINT", hub.url());
    project.mpm(&["add", "hf:Org/Mini_LM", "--as", "mini"]).expect(0);
    project.mpm(&["add", "hf:datasets/Rows", "--as", "rows"]).expect(0);
    let check = |main: &str, more: &[&str]| {
        let mut expected: BTreeSet<String> = more.iter().map(|name| format!("models--Org--Mini_LM/{name}")).collect();
        for name in ["refs/main", &format!("snapshots/{main}/config.json"), &format!("trees/{main}.json")] {
            expected.insert(format!("models--Org--Mini_LM/{name}"));
        }
        for name in ["refs/main", &format!("snapshots/{rows}/rows.csv"), &format!("trees/{rows}.json")] {
            expected.insert(format!("datasets--Rows/{name}"));
        }
        assert_eq!(files(&project, HF), expected);
        assert_eq!(project.text(&format!("{HF}/models--Org--Mini_LM/refs/main")).as_deref(), Some(main));
        let config = format!("{HF}/models--Org--Mini_LM/snapshots/{main}/config.json");
        assert_eq!(inode(&project, &config), inode(&project, "models/mini/config.json"));
        project.mpm(&["sync", "--frozen"]).expect(0).says(&["Nothing to do"]);
        project.mpm(&["run", "--", "true"]).expect(0);
    };
    check(&old, &[&format!("snapshots/{old}/x/notes.txt")]);
    // Another commit of the branch; the one that a tag names stays beside it.
    let new = hub.model("Org/Mini_LM").file("config.json", "{\"n\": 2}\n").without("x/notes.txt").commit("main");
    project.mpm(&["update"]).expect(0);
    project.mpm(&["run", "--", "true"]).expect(1).says(&["error[E0919]", "run `mpm sync`"]);
    project.mpm(&["sync"]).expect(0);
    check(&new, &[]);
    project.mpm(&["add", "hf:Org/Mini_LM@v1.0", "--as", "tagged", "--include", "*.json"]).expect(0);
    check(&new, &["refs/v1.0", &format!("snapshots/{old}/config.json"), &format!("trees/{old}.json")]);
    project.mpm(&["sync"]).expect(0).says(&["3 of 3 packages are signed by nobody"]);
    project.mpm(&["remove", "tagged"]).expect(0);
    check(&new, &[]);
}

#[test]
fn there_is_no_second_copy_however_files_come() {
    for link in ["auto", "copy", "symlink"] {
        let project = Project::new().manifest("[project]\nname = \"x\"\n").variable("MPM_LINK", link);
        project.mpm(&["add", "demo/digits-mlp", "demo/digits"]).expect(0);
        let (folder, store) = (project.folder(), project.store().join("v1/blobs"));
        let before = blocks(&[&folder, &store]);
        project.write("Model.toml", project.text("Model.toml").unwrap() + "\n[install]\nlayouts = [\"huggingface\"]\n");
        let document = project.mpm(&["sync", "--json"]).expect(0).json();
        assert_eq!(document["applied"]["placed"], 0, "{link}");
        assert_eq!(document["applied"]["laid"], 12, "{link}: three files and three more for each of two");
        // Three files of less than a block for each repository, in the store and in the layout, and a longer receipt.
        let grown = blocks(&[&folder, &store]) - before;
        assert!(grown <= 16 * 4096, "{link}: {grown} bytes more for 280 KiB of files");
        project.mpm(&["sync"]).expect(0).says(&["Nothing to do"]);
        project.mpm(&["verify"]).expect(0);
    }
}

#[test]
fn what_is_made_never_leads_into_the_store() {
    let project = project(&["demo/digits-mlp"]);
    for name in files(&project, HF).iter().filter(|name| name.contains("/refs/") || name.contains("/trees/")) {
        let found = project.folder().join(HF).join(name).symlink_metadata().expect("is there");
        assert_eq!((found.nlink(), found.permissions().mode() & 0o777), (1, 0o444), "{name}");
    }
}

#[test]
fn another_variant_or_version_takes_its_place() {
    let project = project(&["demo/digits-mlp@=1.0.0"]);
    let old = commit(&project, "mpm-demo:demo/digits-mlp@1.0.0");
    project.mpm(&["add", "demo/digits-mlp@^1.1"]).expect(0);
    let new = commit(&project, "mpm-demo:demo/digits-mlp@1.1.0");
    let repository = format!("{HF}/models--demo--digits-mlp");
    assert_eq!(project.text(&format!("{repository}/refs/main")).as_ref(), Some(&new));
    assert_eq!(project.text(&format!("{repository}/refs/1.0.0")), None);
    assert!(!project.folder().join(format!("{repository}/snapshots/{old}")).exists());
    let weights = format!("{repository}/snapshots/{new}/model.safetensors");
    let before = project.read(&weights);
    project
        .mpm(&["add", "demo/digits-mlp@^1.1", "--variant", "int8"])
        .expect(0)
        .says(&["Laid out 2 files for huggingface in .mpm/hf"]);
    assert_ne!(project.read(&weights), before);
    assert_eq!(project.read(&weights), project.read("models/demo/digits-mlp/model.safetensors"));
    project.mpm(&["sync"]).expect(0).says(&["Nothing to do: 1 package as locked"]);
    project.mpm(&["verify"]).expect(0);
}

#[test]
fn a_layout_goes_with_its_package_and_when_nobody_wants_it() {
    let project = project(&["demo/digits-mlp", "demo/digits"]);
    // What a client left there is nobody's business.
    project.write(&format!("{HF}/.locks/models--demo--digits-mlp/x.lock"), "");
    project.write(&format!("{HF}/datasets--demo--digits/.no_exist/x"), "");
    let removed = project.mpm(&["remove", "demo/digits"]).expect(0);
    assert!(!removed.stderr.contains("huggingface:"), "a layout is no package: {}", removed.stderr);
    let left = files(&project, &format!("{HF}/datasets--demo--digits"));
    assert_eq!(left.into_iter().collect::<Vec<_>>(), [".no_exist/x"]);
    assert!(project.folder().join(format!("{HF}/models--demo--digits-mlp/refs/main")).exists());
    let manifest = project.text("Model.toml").expect("there").replace("layouts = [\"huggingface\"]", "");
    project.write("Model.toml", &manifest);
    project.mpm(&["sync"]).expect(0).says(&["Removed 6 files of layouts"]);
    let left = files(&project, HF);
    assert_eq!(
        left.into_iter().collect::<Vec<_>>(),
        [".locks/models--demo--digits-mlp/x.lock", "datasets--demo--digits/.no_exist/x"]
    );
    project.mpm(&["sync"]).expect(0).says(&["Nothing to do"]);
}

#[test]
fn a_changed_file_of_the_layout_is_found_and_mended() {
    let project = project(&["demo/digits-mlp"]);
    let main = format!("{HF}/models--demo--digits-mlp/refs/main");
    let commit = project.text(&main).expect("a ref");
    project.write(&main, "0".repeat(40));
    project.mpm(&["sync"]).expect(1).says(&["error[E0755]", &main]);
    let found = project.mpm(&["verify"]).expect(4);
    assert!(found.stdout.contains(&format!("{main}: changed")), "{}", found.stdout);
    project.mpm(&["run", "--", "true"]).expect(1).says(&["error[E0919]", &main, "mpm sync"]);
    project.mpm(&["verify", "--repair"]).expect(0);
    assert_eq!(project.text(&main).as_deref(), Some(commit.as_str()));
    project.mpm(&["verify"]).expect(0);
    // One inode under two names: what is written through one is found at both, and both are mended.
    let laid = format!("{HF}/models--demo--digits-mlp/snapshots/{commit}/config.json");
    let path = project.folder().join(&laid);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("writable");
    std::fs::write(&path, "{}").expect("written");
    let found = project.mpm(&["verify"]).expect(4);
    assert!(
        found.stdout.contains(&laid) && found.stdout.contains("models/demo/digits-mlp/config.json"),
        "{}",
        found.stdout
    );
    project.mpm(&["verify", "--repair"]).expect(0);
    project.mpm(&["verify"]).expect(0);
    assert_eq!(inode(&project, &laid), inode(&project, "models/demo/digits-mlp/config.json"));
    // A missing one comes back without a word.
    std::fs::remove_file(project.folder().join(&main)).expect("removed");
    project.mpm(&["sync", "--offline"]).expect(0).says(&["Laid out 1 file"]);
}

#[test]
fn what_the_layout_needs_is_kept_by_a_collection() {
    let project = project(&["demo/digits-mlp"]);
    project.mpm(&["store", "gc"]).expect(0);
    std::fs::remove_dir_all(project.folder().join(HF)).expect("removed");
    project.mpm(&["sync", "--frozen"]).expect(0).says(&["Laid out 6 files"]);
    project.mpm(&["verify"]).expect(0);
}

#[test]
fn what_stands_in_the_way_is_left_alone() {
    let project =
        Project::new().manifest(&ON.replace("[\"huggingface\"]", "[{ layout = \"huggingface\", to = \"cache/hf\" }]"));
    let mine = "cache/hf/models--demo--digits-mlp/refs/main";
    project.write(mine, "mine");
    project.mpm(&["add", "demo/digits-mlp"]).expect(1).says(&["error[E0754]", mine]);
    assert_eq!(project.text(mine).as_deref(), Some("mine"));
    std::fs::remove_dir_all(project.folder().join("cache")).expect("removed");
    symlink(project.home(), project.folder().join("cache")).expect("a link");
    project.mpm(&["add", "demo/digits-mlp"]).expect(1).says(&["error[E0756]", "cache"]);
    std::fs::remove_file(project.folder().join("cache")).expect("removed");
    project.mpm(&["add", "demo/digits-mlp"]).expect(0).says(&["for huggingface in cache/hf"]);
    assert!(project.folder().join(mine).exists() && !project.folder().join(HF).exists());
}

#[test]
fn collisions_are_found_when_the_lock_is_made() {
    let project = project(&["demo/digits-mlp@=1.1.0"]);
    let more = "\n[groups.small.models]\nsmall = { package = \"demo/digits-mlp\", version = \"=1.1.0\", variant = \"int8\" }\n";
    let manifest = project.text("Model.toml").expect("there") + more;
    project.write("Model.toml", manifest);
    let refused = project.mpm(&["lock"]).expect(1);
    refused.says(&["error[E0781]", "demo/digits-mlp and small", "variants = ", "nothing was placed"]);
    let within = ON.replace("[\"huggingface\"]", "[{ layout = \"huggingface\", to = \"models/demo\" }]");
    Project::new().manifest(&within).mpm(&["add", "demo/digits-mlp"]).expect(1).says(&["error[E0782]", "models/demo"]);
}

#[test]
fn unchanged_code_is_led_there() {
    let project = project(&["demo/digits-mlp"])
        .variable("TRANSFORMERS_CACHE", "/elsewhere")
        .variable("PYTORCH_TRANSFORMERS_CACHE", "/elsewhere")
        .variable("PYTORCH_PRETRAINED_BERT_CACHE", "/elsewhere")
        .variable("SENTENCE_TRANSFORMERS_HOME", "/elsewhere")
        .variable("LLAMA_CACHE", "/elsewhere")
        .variable("HF_HUB_CACHE", "/elsewhere")
        .variable("HF_HOME", "/kept");
    let script = "cat \"$HF_HUB_CACHE/models--demo--digits-mlp/refs/main\"; echo; env | grep -E 'HF_|HUGGING|ANSFORM|BERT|LLAMA' | sort";
    let ran = project.mpm(&["run", "--", "sh", "-c", script]).expect(0);
    let cache = project.folder().join(HF);
    let cache = cache.to_string_lossy();
    let expected = format!(
        "{}\nHF_HOME=/kept\nHF_HUB_CACHE={cache}\nHF_HUB_OFFLINE=1\nHUGGINGFACE_HUB_CACHE={cache}\n",
        commit(&project, "mpm-demo:demo/digits-mlp@1.1.0")
    );
    assert_eq!(ran.stdout, expected);
    // Without the layout nothing of it is set, and nothing removed.
    let manifest = project.text("Model.toml").expect("there").replace("[\"huggingface\"]", "[]");
    project.write("Model.toml", manifest);
    project.mpm(&["sync"]).expect(0);
    let ran =
        project.mpm(&["run", "--", "sh", "-c", "echo $HF_HUB_CACHE $TRANSFORMERS_CACHE $HF_HUB_OFFLINE"]).expect(0);
    assert_eq!(ran.stdout, "/elsewhere /elsewhere\n");
}

#[test]
fn run_begins_only_where_files_are_placed_as_the_lock_says() {
    let project = project(&["demo/digits-mlp@^1.0"]);
    let refused = |words: &[&str]| {
        project.mpm(&["run", "--", "true"]).expect(1).says(words).says(&["error[E0919]", "run `mpm sync`"]);
    };
    let begins = || project.mpm(&["run", "--", "true"]).expect(0);
    let edit = |from: &str, to: &str| {
        let manifest = project.text("Model.toml").expect("there");
        assert!(manifest.contains(from), "{manifest}");
        project.write("Model.toml", manifest.replace(from, to));
    };
    let sync = |words: &[&str]| -> Ran {
        let mut all = vec!["sync"];
        all.extend(words);
        project.mpm(&all).expect(0)
    };
    begins();
    // How files are linked and which groups were asked for make nothing stale, nor does an edit that means nothing.
    sync(&["--link", "copy", "--all-groups"]);
    begins();
    edit("[project]\n", "# a comment\n[project]\n");
    begins();
    edit("name = \"x\"", "name = \"y\"");
    begins();
    // What decides about files does.
    edit("= \"^1.0\"", "= { version = \"^1.0\", exclude = [\"README.md\"] }");
    refused(&["they changed since files were placed"]);
    sync(&[]);
    begins();
    // A lock that somebody else wrote.
    project.mpm(&["add", "demo/digits", "--no-sync"]).expect(0);
    refused(&["demo/digits"]);
    sync(&[]);
    begins();
    // A lock that is behind the manifest.
    edit("[datasets]", "[datasets]\n\"demo/other\" = \"1\"");
    refused(&["demo/other"]);
    edit("\n\"demo/other\" = \"1\"", "");
    begins();
    // Files that are gone or were changed.
    let card = project.folder().join("datasets/demo/digits/README.md");
    let bytes = std::fs::read(&card).expect("placed");
    std::fs::remove_file(&card).expect("removed");
    refused(&["datasets/demo/digits/README.md: missing"]);
    std::fs::write(&card, bytes).expect("restored");
    // Read once, and noted.
    begins();
    assert!(
        project
            .text(".mpm/receipt.json")
            .expect("a receipt")
            .contains(&card.metadata().expect("there").ino().to_string())
    );
    std::fs::write(&card, "other").expect("changed");
    refused(&["datasets/demo/digits/README.md: changed"]);
    project.mpm(&["verify", "--repair"]).expect(0);
    begins();
    std::fs::remove_dir_all(project.folder().join(HF).join("datasets--demo--digits")).expect("removed");
    refused(&["missing"]);
    std::fs::remove_file(project.folder().join(".mpm/receipt.json")).expect("removed");
    refused(&["not placed"]);
}

#[test]
fn a_summary_counts_what_nobody_signed() {
    let project = Project::new()
        .manifest("[models]\nmine = { path = \"mine\" }\nyours = { path = \"yours\" }\n")
        .file("mine/config.json", "{}\n")
        .file("yours/config.json", "{}\n");
    let all = "3 packages are signed by nobody: path:mine, path:yours";
    let added = project.mpm(&["add", "demo/digits-mlp", "--json"]).expect(0).json();
    assert_eq!(added["sync"]["unsigned"], 2);
    let said = format!("2 of {all}");
    project.mpm(&["sync"]).expect(0).says(&["Nothing to do: 3 packages as locked", &said]);
    project.mpm(&["list"]).expect(0).says(&[&said]);
    project.mpm(&["verify"]).expect(0).says(&[&said]);
    for verb in ["sync", "list", "verify"] {
        assert_eq!(project.mpm(&[verb, "--json"]).expect(0).json()["unsigned"], 2, "{verb}");
    }
    let quiet = project.mpm(&["sync", "--quiet"]).expect(0);
    assert_eq!(quiet.stderr, "");
    project.mpm(&["remove", "yours"]).expect(0).says(&["1 of 2 packages is signed by nobody: path:mine"]);
    let signed = project.mpm(&["remove", "mine"]).expect(0);
    assert!(!signed.stderr.contains("nobody"), "{}", signed.stderr);
    assert_eq!(project.mpm(&["list", "--json"]).expect(0).json()["unsigned"], 0);
}
