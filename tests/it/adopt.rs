//! `mpm store adopt`: files that are there already come into the store without a second copy, or not at all.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use modelpm::model::{Pin, Sha256, Timestamp};
use modelpm::progress::Silent;
use modelpm::store::{DryRun, Store};
use modelpm::sys::Cancel;
use serde_json::Value;

use crate::fetch::blob;
use crate::support::project::{Project, Ran};

/// Files of fewer bytes are records, whose blocks are not counted.
const COUNTED: u64 = 64 * 1024;
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const DAY: u64 = 86_400;

/// A Hugging Face cache as its clients write it.
struct Cache(PathBuf);

impl Cache {
    fn of(project: &Project) -> Self {
        Self(project.home().join(".cache/huggingface/hub"))
    }

    fn put(&self, path: &str, bytes: &[u8]) -> PathBuf {
        put(&self.0.join(path), bytes)
    }

    /// A blob of a repository under `name`, and a snapshot that links to it.
    fn file(&self, repository: &str, path: &str, name: &str, bytes: &[u8]) -> PathBuf {
        let blob = self.put(&format!("{repository}/blobs/{name}"), bytes);
        self.link(repository, path, name);
        blob
    }

    fn link(&self, repository: &str, path: &str, name: &str) {
        let link = self.0.join(repository).join("snapshots").join(COMMIT).join(path);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        let up = "../".repeat(2 + path.matches('/').count());
        symlink(format!("{up}blobs/{name}"), link).unwrap();
    }

    /// What a client keeps beside the blobs.
    fn records(&self, repository: &str) {
        self.put(&format!("{repository}/refs/main"), COMMIT.as_bytes());
        self.put(&format!("{repository}/trees/{COMMIT}.json"), b"{\"format_version\":1,\"files\":{}}");
        self.put(&format!("{repository}/.no_exist/{COMMIT}/adapter_config.json"), b"");
        self.put(&format!(".locks/{repository}/x.lock"), b"");
        self.put("CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55");
    }
}

fn put(path: &Path, bytes: &[u8]) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    path.to_owned()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::of(bytes).hex()
}

fn git(bytes: &[u8]) -> String {
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    hasher.update(format!("blob {}\0", bytes.len()).as_bytes());
    hasher.update(bytes);
    hasher.try_finalize().unwrap().to_string()
}

/// Blocks of all files of some size, each inode once.
fn blocks(folder: &Path) -> u64 {
    files(folder)
        .values()
        .filter(|file| file.len() >= COUNTED)
        .map(|file| (file.ino(), file.blocks()))
        .collect::<BTreeMap<_, _>>()
        .into_values()
        .sum()
}

fn files(folder: &Path) -> BTreeMap<PathBuf, std::fs::Metadata> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_file() {
                found.insert(path, metadata);
            }
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn adopt(project: &Project, more: &[&str]) -> Ran {
    project.mpm(&[&["store", "adopt", "--json"], more].concat())
}

/// Files and bytes that were adopted, whatever the way.
fn adopted(document: &Value) -> (u64, u64) {
    let number = |value: &Value| value.as_u64().unwrap();
    let ways = document["adopted"].as_object().unwrap().values();
    ways.fold((0, 0), |sum, way| (sum.0 + number(&way["files"]), sum.1 + number(&way["bytes"])))
}

fn paths(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect()
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn day(days: u64) -> Timestamp {
    Timestamp::from_seconds(now() + days * DAY).unwrap()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[test]
fn a_cache_is_adopted_without_a_second_copy() {
    let project = Project::new();
    let cache = Cache::of(&project);
    let (weights, tensor, config, plain) = (blob(300_000, 1), blob(200_000, 2), blob(700, 3), blob(90_000, 4));
    let model = "models--org--Name-1B";
    let weights_blob = cache.file(model, "model.safetensors", &sha256(&weights), &weights);
    cache.file(model, "sub/folder/config.json", &git(&config), &config);
    cache.put(&format!("{model}/snapshots/{COMMIT}/plain.txt"), &plain);
    cache.put(&format!("{model}/blobs/{}.incomplete", sha256(b"x")), &blob(80_000, 9));
    cache.records(model);
    // The same bytes in another repository, and one that lies in what all repositories share.
    let dataset = "datasets--org--set";
    let twin_blob = cache.file(dataset, "weights.bin", &sha256(&weights), &weights);
    let xet = sha256(b"what Xet calls it");
    cache.put("blobs/.huggingface-shared-blobs", b"1\n");
    cache.put(&format!("blobs/{}/{xet}", &xet[..2]), &tensor);
    cache.put(&format!("blobs/{}/{xet}.refs", &xet[..2]), b"datasets--org--set/blobs/x\n");
    cache.put(&format!("blobs/{}/{xet}.lock", &xet[..2]), b"");
    symlink(format!("../../blobs/{}/{xet}", &xet[..2]), cache.0.join(dataset).join("blobs").join(sha256(&tensor)))
        .unwrap();
    cache.link(dataset, "tensor.bin", &sha256(&tensor));

    let before = blocks(&project.home());
    let ran = adopt(&project, &[]).expect(0);
    let document = ran.json();
    // A clone shares its blocks, and counts them a second time all the same.
    let cloned = document["adopted"]["reflink"]["files"] != 0;
    let unchanged = || cloned || blocks(&project.home()) == before;
    assert!(unchanged(), "no byte of a blob was written twice");
    assert_eq!(document["schema"], "mpm.store-adopt/1");
    assert_eq!(adopted(&document), (4, 300_000 + 200_000 + 700 + 90_000), "{document}");
    assert_eq!(document["already"]["files"], 1, "the same bytes under another name");
    assert_eq!((document["hub-cache"].as_bool(), document["adopted"]["copy"]["files"].as_u64()), (Some(true), Some(0)));

    let store = Store::open(&project.store()).unwrap();
    assert_eq!(store.size().unwrap().0, 4);
    for bytes in [&weights, &tensor, &config, &plain] {
        assert!(store.find(&Pin::of(bytes)).unwrap().is_some());
    }
    project.mpm(&["verify", "--store"]).expect(0);
    // The cache is what it was, and nobody writes to a blob by accident.
    let snapshot = cache.0.join(model).join("snapshots").join(COMMIT).join("model.safetensors");
    assert_eq!(std::fs::read(snapshot).unwrap(), weights);
    if document["adopted"]["hard-link"]["files"] == 4 {
        // One of the two is the store's too; the other stays as it was.
        let modes = std::collections::BTreeSet::from([mode(&weights_blob), mode(&twin_blob)]);
        assert_eq!(modes, [0o444, 0o644].into());
    }
    assert_eq!(std::fs::read_dir(store.staging()).unwrap().count(), 0, "nothing staged is left");

    let again = adopt(&project, &[]).expect(0).json();
    assert_eq!(adopted(&again), (0, 0), "{again}");
    assert_eq!(again["already"]["files"], 5);
    assert!(unchanged());
    // One repository alone, named by its folder; and the folder above the cache, which also holds a token.
    let one = adopt(&project, &[cache.0.join(dataset).to_str().unwrap()]).expect(0).json();
    assert_eq!((adopted(&one), one["already"]["files"].as_u64()), ((0, 0), Some(2)), "{one}");
    let kept = store.collect(day(0), DryRun::No).unwrap();
    assert_eq!((kept.blobs, kept.kept_blobs), (0, 4), "what was adopted from one says nothing of the others");
    put(&project.home().join(".cache/huggingface/token"), b"hf_secret");
    let above = adopt(&project, &[project.home().join(".cache/huggingface").to_str().unwrap()]).expect(0).json();
    assert_eq!((adopted(&above), above["already"]["files"].as_u64()), ((0, 0), Some(5)), "{above}");
}

#[test]
fn what_is_not_what_its_name_says_is_named_and_not_adopted() {
    let project = Project::new();
    let cache = Cache::of(&project);
    let (good, truncated, flipped, small) = (blob(100_000, 1), blob(100_000, 2), blob(100_000, 3), blob(500, 4));
    let model = "models--org--name";
    cache.file(model, "good.bin", &sha256(&good), &good);
    cache.file(model, "truncated.bin", &sha256(&truncated), &truncated[..70_000]);
    let mut other = flipped.clone();
    other[50_000] ^= 1;
    cache.file(model, "flipped.bin", &sha256(&flipped), &other);
    let mut edited = small.clone();
    edited[7] ^= 1;
    let git_blob = cache.file(model, "config.json", &git(&small), &edited);

    let ran = adopt(&project, &[]).expect(4);
    let document = ran.json();
    assert_eq!(adopted(&document), (1, 100_000), "the rest is adopted all the same");
    let mut expected = vec![sha256(&truncated), sha256(&flipped), git(&small)];
    expected.sort();
    let mut named: Vec<&str> =
        paths(&document["refused"]).iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    named.sort();
    assert_eq!(named, expected);
    let bytes = |document: &Value, name: &str| {
        let refused = document["refused"].as_array().unwrap();
        let one = refused.iter().find(|one| one["path"].as_str().unwrap().ends_with(name)).unwrap();
        (one["promised"].as_str().unwrap().to_owned(), one["found"]["size"].as_u64().unwrap())
    };
    assert_eq!(bytes(&document, &sha256(&truncated)), (format!("sha256 {}", sha256(&truncated)), 70_000));
    assert_eq!(bytes(&document, &git(&small)).0, format!("git blob {}", git(&small)));
    assert_eq!(Store::open(&project.store()).unwrap().size().unwrap(), (1, 100_000));
    assert_eq!(mode(&git_blob), 0o644, "what is refused is not touched");

    let told = project.mpm(&["store", "adopt"]).expect(4);
    assert!(told.stdout.contains(&sha256(&truncated)), "{}", told.stdout);
    told.says(&["3 files are not what the name promises", "1 file (97.65 KiB) is in the store already"]);
    // A client that fetches anew replaces the file.
    std::fs::remove_file(&git_blob).unwrap();
    std::fs::write(&git_blob, &small).unwrap();
    assert_eq!(adopted(&adopt(&project, &[]).expect(4).json()), (1, 500));
}

#[test]
fn any_folder_gives_its_regular_files_and_their_modes_only_lose_the_right_to_write() {
    let project = Project::new();
    let folder = project.home().join("weights");
    let (public, private, program) = (blob(1000, 1), blob(1001, 2), blob(1002, 3));
    let public_file = put(&folder.join("a/model.gguf"), &public);
    let private_file = put(&folder.join("private.bin"), &private);
    let program_file = put(&folder.join("tool.sh"), &program);
    std::fs::set_permissions(&private_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(&program_file, std::fs::Permissions::from_mode(0o755)).unwrap();
    put(&folder.join(".git/config"), b"[core]");
    put(&folder.join(".cache/huggingface/download/model.gguf.metadata"), b"x");
    let outside = put(&project.home().join("secret"), b"secret");
    symlink(&outside, folder.join("link")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());

    let document = adopt(&project, &[folder.to_str().unwrap()]).expect(0).json();
    assert_eq!((adopted(&document), document["hub-cache"].as_bool()), ((3, 3003), Some(false)), "{document}");
    let store = Store::open(&project.store()).unwrap();
    assert!(store.find(&Pin::of(b"secret")).unwrap().is_none(), "no link was followed");
    if document["adopted"]["hard-link"]["files"] == 3 {
        assert_eq!((mode(&public_file), mode(&private_file), mode(&program_file)), (0o444, 0o400, 0o555));
    }
    let kept = store.find(&Pin::of(&private)).unwrap().unwrap();
    assert_eq!(mode(&kept.path), 0o400, "a private file does not become public");
    // A folder that is named from where one stands.
    let ran = project.mpm(&["-C", project.home().to_str().unwrap(), "store", "adopt", "weights"]).expect(0);
    ran.says(&["3 files (2.93 KiB) are in the store already"]);
}

#[test]
fn nothing_is_written_when_it_is_only_told() {
    let project = Project::new();
    let cache = Cache::of(&project);
    let bytes = blob(100_000, 1);
    let file = cache.file("models--a--b", "x.bin", &sha256(&bytes), &bytes);
    cache.file("models--a--c", "x.bin", &sha256(&bytes), &bytes);
    cache.file("models--a--c", "y.bin", &sha256(b"y"), b"z");
    let before = (mode(&file), file.metadata().unwrap().ctime_nsec(), files(&project.home()).len());
    let document = adopt(&project, &["--dry-run"]).expect(4).json();
    assert_eq!((document["dry-run"].as_bool(), adopted(&document)), (Some(true), (1, 100_000)));
    assert_eq!(paths(&document["refused"]).len(), 1);
    assert_eq!((mode(&file), file.metadata().unwrap().ctime_nsec(), files(&project.home()).len()), before);
    assert!(!project.store().exists(), "not even an empty store");
    project.mpm(&["store", "adopt", "-n"]).expect(4).says(&["Would adopt 1 file (97.65 KiB) by hard link"]);
    adopt(&project, &[]).expect(4);
    let after = adopt(&project, &["--dry-run"]).expect(4).json();
    assert_eq!((adopted(&after), after["already"]["files"].as_u64()), ((0, 0), Some(2)));
}

#[test]
fn adopted_blobs_are_kept_for_thirty_days_and_the_cache_keeps_its_own() {
    let project = Project::new();
    let cache = Cache::of(&project);
    let bytes = blob(100_000, 1);
    let file = cache.file("models--a--b", "x.bin", &sha256(&bytes), &bytes);
    adopt(&project, &[]).expect(0);
    project.mpm(&["store", "gc"]).expect(0).says(&["Removed 0 blobs", "Kept 1 blob"]);
    let store = || Store::open(&project.store()).unwrap();
    assert_eq!(store().collect(day(29), DryRun::No).unwrap().kept_blobs, 1);
    let collected = store().collect(day(31), DryRun::No).unwrap();
    assert_eq!((collected.blobs, collected.kept_blobs), (1, 0));
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "a link less, and no byte");
    assert_eq!(adopted(&adopt(&project, &[]).expect(0).json()), (1, 100_000));
    // What a project needs is kept for its sake.
    let lock = project.folder().join("Model.lock");
    std::fs::write(lock, "").unwrap();
    store().keep(&project.folder(), &[Sha256::of(&bytes)].into(), day(0)).unwrap();
    assert_eq!(store().collect(day(31), DryRun::No).unwrap().kept_blobs, 1);
}

#[test]
fn a_file_that_is_written_to_after_it_was_adopted_is_noticed() {
    let project = Project::new();
    let cache = Cache::of(&project);
    let bytes = blob(100_000, 1);
    let file = cache.file("models--a--b", "x.bin", &sha256(&bytes), &bytes);
    let document = adopt(&project, &[]).expect(0).json();
    let shared = document["adopted"]["hard-link"]["files"] == 1;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let opened = std::fs::File::options().write(true).open(&file).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&opened, b"other", 5).unwrap();
    drop(opened);
    let store = Store::open(&project.store()).unwrap();
    let pin = Pin::of(&bytes);
    if shared {
        assert_eq!(store.verify(&Cancel::new(), &Silent).unwrap().len(), 1);
        assert!(store.find(&pin).unwrap().is_none(), "it is never given out");
        project.mpm(&["verify", "--store"]).expect(0);
    } else {
        assert!(store.find(&pin).unwrap().is_some(), "a clone does not change with the file");
    }
    let again = adopt(&project, &[]).expect(4).json();
    assert_eq!(paths(&again["refused"]), [file.to_str().unwrap()]);
}

#[test]
fn what_lies_on_another_file_system_is_copied_only_if_somebody_was_told() {
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: there is no /dev/shm");
        return;
    };
    let project = Project::new();
    if other.path().metadata().unwrap().dev() == project.home().metadata().unwrap().dev() {
        eprintln!("skipped: /dev/shm is the same file system");
        return;
    }
    let cache = Cache(other.path().join("hub"));
    let project = project.variable("HF_HUB_CACHE", cache.0.as_os_str());
    let small = blob(1000, 1);
    let small_file = cache.file("models--a--b", "small.bin", &sha256(&small), &small);
    let document = adopt(&project, &[]).expect(0).json();
    assert_eq!(document["adopted"]["copy"], serde_json::json!({ "files": 1, "bytes": 1000 }));
    assert_eq!(mode(&small_file), 0o644, "a copied file is left as it was");

    let mut large = blob(20 << 20, 2);
    large[1 << 20..10 << 20].fill(0);
    cache.file("models--a--b", "large.bin", &sha256(&large), &large);
    let ran = adopt(&project, &[]).expect(2);
    let error = &ran.json_error()["error"];
    assert_eq!((error["code"].as_str(), error["class"].as_str()), (Some("E0963"), Some("usage")), "{error}");
    assert!(ran.stderr.contains("--copy"), "{}", ran.stderr);
    assert_eq!(Store::open(&project.store()).unwrap().size().unwrap().0, 1);
    let ran = adopt(&project, &["--copy"]).expect(0);
    assert!(ran.stderr.contains("large-copy"), "{}", ran.stderr);
    assert_eq!(ran.json()["adopted"]["copy"]["files"], 1);
    let store = Store::open(&project.store()).unwrap();
    let entry = store.find(&Pin::of(&large)).unwrap().unwrap();
    assert_eq!(std::fs::read(&entry.path).unwrap(), large);
    assert!(entry.path.metadata().unwrap().blocks() * 512 < 16 << 20, "zeros stay a hole");
    let again = adopt(&project, &["--copy"]).expect(0).json();
    assert_eq!((adopted(&again), again["already"]["files"].as_u64()), ((0, 0), Some(2)));
}

#[test]
fn a_copy_that_does_not_fit_is_refused_before_the_first_byte() {
    let (project, small) = (Project::new(), tempfile::tempdir().unwrap());
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(small.path()).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a small file system can't be mounted here (no root)");
        return;
    }
    let project = project.variable("MPM_STORE", small.path().join("store").as_os_str());
    let cache = Cache::of(&project);
    let large = blob(20 << 20, 2);
    cache.file("models--a--b", "large.bin", &sha256(&large), &large);
    let ran = adopt(&project, &["--copy"]);
    let _ = Command::new("umount").arg("-l").arg(small.path()).status();
    let ran = ran.expect(1);
    assert_eq!(ran.json_error()["error"]["code"], "E0964", "{}", ran.stderr);
}

#[test]
fn a_file_of_somebody_else_is_copied_and_never_shared() {
    if !is_root() {
        eprintln!("skipped: only root can make files of others");
        return;
    }
    let project = Project::new();
    let cache = Cache::of(&project);
    let bytes = blob(100_000, 1);
    let file = cache.file("models--a--b", "x.bin", &sha256(&bytes), &bytes);
    std::os::unix::fs::chown(&file, Some(65_534), Some(65_534)).unwrap();
    let document = adopt(&project, &[]).expect(0).json();
    assert_eq!(document["adopted"]["hard-link"]["files"], 0, "{document}");
    assert_eq!(adopted(&document), (1, 100_000));
    assert_eq!((mode(&file), file.metadata().unwrap().nlink()), (0o644, 1));
}

#[test]
fn links_that_lead_out_of_the_folder_are_not_followed() {
    let project = Project::new();
    let cache = Cache::of(&project);
    let secret = put(&project.home().join("secret.key"), b"a secret");
    cache.file("models--a--b", "x.bin", &sha256(b"x"), b"x");
    symlink(&secret, cache.0.join("models--a--b/blobs").join(sha256(b"a secret"))).unwrap();
    symlink("../../../../../secret.key", cache.0.join("models--a--b/blobs/relative")).unwrap();
    let document = adopt(&project, &[]).expect(0).json();
    assert_eq!((adopted(&document), document["links-out"].as_u64()), ((1, 1), Some(2)), "{document}");
    assert!(Store::open(&project.store()).unwrap().find(&Pin::of(b"a secret")).unwrap().is_none());
    assert_eq!(mode(&secret), 0o644);
}

#[test]
fn a_cache_that_is_not_there_is_a_clear_error() {
    let project = Project::new();
    let ran = adopt(&project, &[]).expect(1);
    assert_eq!(ran.json_error()["error"]["code"], "E0961");
    assert!(!project.store().exists());
    let elsewhere = project.home().join("elsewhere");
    let project = project.variable("HF_HOME", elsewhere.as_os_str());
    let ran = adopt(&project, &[]).expect(1);
    assert!(ran.stderr.contains("elsewhere/hub"), "{}", ran.stderr);
    put(&elsewhere.join("hub/models--a--b/blobs").join(sha256(b"x")), b"x");
    assert_eq!(adopted(&adopt(&project, &[]).expect(0).json()), (1, 1));

    let homeless = project.variable("HF_HUB_CACHE", "~/cache");
    let mut command = homeless.command(&["--json", "store", "adopt"]);
    command.env_remove("HOME");
    for variable in ["XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"] {
        command.env(variable, homeless.home().join("xdg"));
    }
    let ran = Ran::of(&command.output().unwrap()).expect(2);
    assert_eq!(ran.json_error()["error"]["code"], "E0962", "{}", ran.stderr);
}
