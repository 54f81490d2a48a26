//! Stores on the file systems and under the rights that people have: umasks, groups, links that are forbidden or used up, clones.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::flows::fixture::{manifest, ok, placed, tree};
use crate::kills::{machine, registry};
use crate::support::blob;
use crate::support::mounts::Mount;
use crate::support::peers;
use crate::support::project::{Project, Ran};
use crate::support::registry::TestRegistry;

fn index(registry: &TestRegistry) -> String {
    registry.folder().display().to_string()
}

/// A machine whose files all lie on a file system.
fn on(mount: &Mount, registry: &TestRegistry) -> Project {
    Project::on(mount.path(), &machine(registry, &index(registry)).text("Model.toml").unwrap())
}

fn modes(folder: &Path) -> Vec<(PathBuf, bool, u32)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            if meta.is_dir() {
                folders.push(path.clone());
            }
            found.push((path, meta.is_dir(), meta.mode() & 0o7777));
        }
    }
    found
}

#[test]
fn no_umask_opens_the_store_to_others_or_closes_it_to_its_readers() {
    let registry = registry();
    for umask in ["000", "022", "077"] {
        let project = machine(&registry, &index(&registry));
        let mut command = Command::new("sh");
        command.args(["-c", "umask $0 && exec \"$@\"", umask, env!("CARGO_BIN_EXE_mpm"), "sync"]);
        command.current_dir(project.folder()).env_clear().env("HOME", project.home()).stdin(Stdio::null());
        Ran::of(&command.output().unwrap()).expect(0);
        for (path, folder, mode) in modes(&project.store().join("v1")) {
            let wanted: &[u32] = if folder { &[0o755] } else { &[0o444, 0o644] };
            assert!(wanted.contains(&mode), "umask {umask}: {} has {mode:o}", path.display());
        }
        for (path, folder, mode) in modes(&project.home().join(".local/state")) {
            assert!(folder || mode == 0o600, "umask {umask}: {} has {mode:o}", path.display());
        }
        for path in placed(&project).into_keys() {
            assert_eq!(project.folder().join(&path).metadata().unwrap().mode() & 0o777, 0o444, "umask {umask}: {path}");
        }
    }
}

/// Another user of the machine, with a home and a project, and `mpm` run as them. None where tests are not root.
struct Other {
    root: tempfile::TempDir,
    variables: Vec<(&'static str, PathBuf)>,
}

const GROUP: &str = "64999";

impl Other {
    fn new(registry: &TestRegistry) -> Option<Self> {
        if !peers::is_root() {
            peers::skip("root, to be another user as well");
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        for folder in ["home", "project"] {
            let folder = root.path().join(folder);
            std::fs::create_dir(&folder).unwrap();
            std::os::unix::fs::chown(&folder, Some(65_534), Some(65_534)).unwrap();
        }
        let text = manifest(
            registry,
            &index(registry),
            "[models]\n\"acme/big\" = \"1\"\n\n[datasets]\n\"acme/small\" = \"1\"\n",
        );
        std::fs::write(root.path().join("project/Model.toml"), text.replace(", \"uci\"", "")).unwrap();
        Some(Self { root, variables: Vec::new() })
    }

    fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    fn mpm(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--groups", GROUP, env!("CARGO_BIN_EXE_mpm")]);
        command.args(arguments).current_dir(self.project()).env_clear().env("HOME", self.root.path().join("home"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        Ran::of(&command.output().unwrap())
    }
}

/// A registry that another user may read.
fn readable(registry: &TestRegistry) {
    let mut folders: Vec<PathBuf> = registry.folder().ancestors().take(2).map(Path::to_path_buf).collect();
    folders.extend(modes(registry.folder()).into_iter().filter(|(_, folder, _)| *folder).map(|(path, _, _)| path));
    for folder in folders.iter().filter(|folder| *folder != &std::env::temp_dir()) {
        std::fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_group_shares_a_store_that_is_setgid() {
    let mut registry = registry();
    let large = blob::safetensors(77, 400_000);
    registry.release("acme/large", "1.0.0").file("model.safetensors", large.clone()).publish();
    readable(&registry);
    let Some(mut other) = Other::new(&registry) else { return };
    let store = other.root.path().join("team");
    std::fs::create_dir(&store).unwrap();
    std::os::unix::fs::chown(&store, None, Some(GROUP.parse().unwrap())).unwrap();
    std::fs::set_permissions(&store, Permissions::from_mode(0o2775)).unwrap();
    other.variables.push(("MPM_STORE", store.clone()));
    // Root adds the old release, the other user what is new; what root left half fetched is no obstacle.
    let first = machine(&registry, &index(&registry)).variable("MPM_STORE", &store);
    let text = first.text("Model.toml").unwrap();
    first.write("Model.toml", text.replace("\"acme/big\" = \"1\"", "\"acme/big\" = \"=1.0.0\""));
    ok(&first, &["sync"]);
    let wants = other.project().join("Model.toml");
    let text = std::fs::read_to_string(&wants).unwrap().replace("[models]", "[models]\n\"acme/large\" = \"1\"");
    std::fs::write(&wants, text).unwrap();
    let hex = modelpm::model::Sha256::of(&large).hex();
    for ending in ["part", "journal"] {
        let path = store.join(format!("v1/partial/{hex}.{ending}"));
        std::fs::write(&path, "half").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    other.mpm(&["sync"]).expect(0);
    for (path, folder, mode) in modes(&store.join("v1")) {
        let meta = path.symlink_metadata().unwrap();
        assert!(!folder || (mode == 0o2775 && meta.gid().to_string() == GROUP), "{}: {mode:o}", path.display());
        assert!(folder || mode & 0o222 == 0 || mode == 0o644, "{}: {mode:o}", path.display());
    }
    let owners: std::collections::BTreeSet<u32> =
        modes(&store.join("v1/blobs")).iter().map(|(path, _, _)| path.symlink_metadata().unwrap().uid()).collect();
    assert_eq!(owners, [0, 65_534].into(), "both have added");
    // Where the kernel protects links, those of the other owner's are copies, and one's own are links all the same.
    let placed = tree(&other.project().join("models"));
    assert_eq!(placed.len(), 5);
    let links = |name: &str| other.project().join(name).metadata().unwrap().nlink();
    assert_eq!(links("models/acme/big/part-0.safetensors"), 2, "one's own");
    let protected = std::fs::read_to_string("/proc/sys/fs/protected_hardlinks").is_ok_and(|text| text.trim() == "1");
    if protected {
        assert_eq!(links("datasets/acme/small/rows/00.txt"), 1, "root's");
    }
    other.mpm(&["verify"]).expect(0);
    other.mpm(&["store", "gc"]).expect(0);
    ok(&first, &["verify"]);
    ok(&first, &["store", "gc"]);
    ok(&first, &["sync", "--check"]).says(&["Nothing to do"]);
}

#[test]
fn a_store_of_another_user_can_be_a_layer_and_not_a_store() {
    let registry = registry();
    readable(&registry);
    let Some(mut other) = Other::new(&registry) else { return };
    let store = other.root.path().join("theirs");
    let first = machine(&registry, &index(&registry)).variable("MPM_STORE", &store);
    ok(&first, &["sync"]);
    other.variables.push(("MPM_STORE", store.clone()));
    other.mpm(&["sync"]).expect(1).says(&["error[E0701]", "ermission denied"]);
    other.variables = vec![("MPM_STORE_LAYERS", store)];
    let ran = other.mpm(&["sync"]).expect(0);
    assert!(!ran.stderr.contains("Fetched"), "{}", ran.stderr);
    other.mpm(&["verify"]).expect(0);
}

#[test]
fn a_blob_whose_links_are_used_up_is_copied() {
    let Some(mount) = Mount::image("ext4", &["-F"]) else { return };
    let registry = registry();
    let project = on(&mount, &registry);
    ok(&project, &["fetch"]);
    let bytes = blob::safetensors(60, 200_000);
    let hex = modelpm::model::Sha256::of(&bytes).hex();
    let stored = project.store().join("v1/blobs/sha256").join(&hex[..2]).join(&hex);
    let folder = mount.path().join("links");
    std::fs::create_dir(&folder).unwrap();
    let linked =
        (0..70_000).take_while(|number| std::fs::hard_link(&stored, folder.join(number.to_string())).is_ok()).count();
    assert!(linked > 60_000 && linked < 70_000, "{linked}");
    for link in ["hard", "auto"] {
        ok(&project, &["sync", "--link", link]);
        let links = |name: &str| project.folder().join("models/acme/big").join(name).metadata().unwrap().nlink();
        assert_eq!(links("part-0.safetensors"), 1, "{link}: a copy");
        assert!(links("part-1.safetensors") > 1, "{link}: others are linked");
        assert_eq!(project.read("models/acme/big/part-0.safetensors").unwrap(), bytes);
        std::fs::remove_dir_all(project.folder().join("models")).unwrap();
    }
    peers::figure(&format!("links used up: after {linked} links to one blob the next place is a copy"));
}

#[test]
fn a_store_on_another_file_system_gives_copies_and_says_so_where_links_are_asked() {
    let Some(mount) = Mount::tmpfs("size=64m") else { return };
    let registry = registry();
    let project = machine(&registry, &index(&registry));
    let command = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env_remove("MPM_LINK").env("MPM_STORE", mount.path().join("store"));
        Ran::of(&command.output().unwrap())
    };
    command(&["sync", "--link", "hard"]).expect(1).says(&["error[E0758]", "ross-device"]);
    assert!(placed(&project).is_empty());
    command(&["sync"]).expect(0).says(&["by copy"]);
    command(&["verify"]).expect(0);
    command(&["sync", "--link", "symlink"]).expect(0);
    command(&["verify"]).expect(0);
}

#[test]
fn root_hashes_a_blob_before_it_is_used() {
    if !peers::is_root() {
        peers::skip("root, who hashes again");
        return;
    }
    let registry = registry();
    let project = machine(&registry, &index(&registry));
    ok(&project, &["fetch"]);
    let hex = modelpm::model::Sha256::of(&blob::safetensors(60, 200_000)).hex();
    let stored = project.store().join("v1/blobs/sha256").join(&hex[..2]).join(&hex);
    // A disk that flips a bit changes no time: the seal holds.
    let before = stored.metadata().unwrap();
    let mut bytes = std::fs::read(&stored).unwrap();
    bytes[100_000] ^= 1;
    std::fs::File::options()
        .write(true)
        .open(&stored)
        .and_then(|file| {
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0)?;
            file.set_modified(before.modified()?)
        })
        .unwrap();
    let after = stored.metadata().unwrap();
    assert_eq!((before.ino(), before.mtime_nsec(), before.size()), (after.ino(), after.mtime_nsec(), after.size()));
    ok(&project, &["sync"]).says(&["Fetched 1 blob"]);
    ok(&project, &["verify"]);
}

#[test]
fn clones_are_made_where_the_file_system_has_them() {
    let registry = registry();
    for kind in ["btrfs", "xfs"] {
        let Some(mount) = Mount::image(kind, &[]) else { continue };
        let project = on(&mount, &registry);
        let done = ok(&project, &["sync", "--json"]).json();
        assert_eq!(done["applied"]["link"], "reflink", "{kind}: {done}");
        for path in placed(&project).into_keys() {
            let file = project.folder().join(&path).metadata().unwrap();
            assert_eq!((file.nlink(), file.mode() & 0o777), (1, 0o444), "{kind}: {path}");
        }
        ok(&project, &["verify"]);
        ok(&project, &["sync", "--link", "reflink"]);
        // What is done to a clone stays there.
        let path = project.folder().join("models/acme/big/part-0.safetensors");
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&path, "mine").unwrap();
        ok(&project, &["verify", "--store"]);
        project.mpm(&["verify"]).expect(4);
        ok(&project, &["verify", "--repair"]);
        peers::figure(&format!("clones on {kind}: {} files by reflink", done["applied"]["placed"]));
    }
}
