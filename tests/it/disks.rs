//! Whole commands on disks that are full, over a quota, or read-only: a clear error, and one run on a better disk heals all.

use crate::flows::fixture::{ok, placed};
use crate::kills::{ends_well, machine, nothing_half_placed, registry};
use crate::support::mounts::{self, Mount};
use crate::support::peers;
use crate::support::project::{Project, Ran};

/// A machine whose store and project lie on a file system.
fn on(mount: &Mount, registry: &crate::support::registry::TestRegistry) -> Project {
    let index = registry.folder().display().to_string();
    Project::on(mount.path(), &machine(registry, &index).text("Model.toml").unwrap()).variable("MPM_LINK", "copy")
}

#[test]
fn a_disk_that_fills_up_at_any_file_is_a_clear_error_and_heals() {
    let registry = registry();
    let clean = machine(&registry, &registry.folder().display().to_string());
    ok(&clean, &["sync"]);
    let whole = placed(&clean);
    let (mut runs, mut full) = (0, 0);
    let step = if crate::scale::full() { 3 } else { 19 };
    // So many files and folders the disk takes: from too few for the store itself to enough for everything.
    for files in (12..260).step_by(step) {
        let Some(mount) = Mount::tmpfs(&format!("size=64m,nr_inodes={files}")) else { return };
        let project = on(&mount, &registry);
        let ran = project.mpm(&["sync"]);
        let when = format!("room for {files} files");
        runs += 1;
        if ran.code != 0 {
            full += 1;
            assert_eq!(ran.code, 1, "{when}: {}", ran.stderr);
            assert!(ran.stderr.contains("error[E"), "{when}: {}", ran.stderr);
            assert!(ran.stderr.contains("os error 28") || ran.stderr.contains("space"), "{when}: {}", ran.stderr);
            nothing_half_placed(&project, &whole, &when);
        }
        mount.change("nr_inodes=100000");
        ends_well(&project, &clean, &when);
    }
    assert!(full > 0 && full < runs, "{full} of {runs}");
    peers::figure(&format!("full disk: {full} of {runs} runs of sync failed with code 1, each healed by one run"));
}

#[test]
fn a_disk_without_room_is_told_before_anything_is_fetched() {
    let registry = registry();
    let Some(mount) = Mount::tmpfs("size=8m") else { return };
    let project = on(&mount, &registry);
    project.mpm(&["sync"]).expect(1).says(&["error[E0721]"]);
    assert_eq!(placed(&project).len(), 0);
    mount.change("size=64m");
    ok(&project, &["sync"]);
    ok(&project, &["verify"]);
}

#[test]
fn a_quota_that_is_used_up_is_a_clear_error_and_heals() {
    let registry = registry();
    let clean = machine(&registry, &registry.folder().display().to_string());
    ok(&clean, &["sync"]);
    let Some(btrfs) = peers::peer("btrfs") else { return };
    let Some(mount) = Mount::image("btrfs", &[]) else { return };
    let at = mount.path().join("limited");
    let btrfs = |arguments: &[&str]| {
        let arguments: Vec<&std::ffi::OsStr> = arguments.iter().map(std::ffi::OsStr::new).collect();
        mounts::run(btrfs.to_str().unwrap(), &arguments)
    };
    let (root, limited) = (mount.path().to_str().unwrap(), at.to_str().unwrap());
    assert!(btrfs(&["quota", "enable", root]) && btrfs(&["subvolume", "create", limited]));
    let index = registry.folder().display().to_string();
    let manifest = machine(&registry, &index).text("Model.toml").unwrap();
    let project = Project::on(&at, &manifest).variable("MPM_LINK", "copy");
    let mut failed = 0;
    for limit in ["1M", "3M", "5M"] {
        assert!(btrfs(&["qgroup", "limit", limit, limited]));
        let ran = project.mpm(&["sync"]);
        if ran.code != 0 {
            failed += 1;
            assert_eq!(ran.code, 1, "{limit}: {}", ran.stderr);
            assert!(ran.stderr.to_lowercase().contains("quota"), "{limit}: {}", ran.stderr);
            nothing_half_placed(&project, &placed(&clean), limit);
        }
    }
    assert!(failed > 0, "the quota counts");
    assert!(btrfs(&["qgroup", "limit", "none", limited]));
    ends_well(&project, &clean, "without a quota");
    peers::figure(&format!("quota: {failed} of 3 runs of sync failed with code 1, healed by one run"));
}

#[test]
fn a_store_that_is_read_only_is_a_clear_error_and_can_be_a_layer() {
    let registry = registry();
    let index = registry.folder().display().to_string();
    let shared = machine(&registry, &index);
    ok(&shared, &["sync"]);
    let Some(mount) = Mount::read_only(&shared.store()) else { return };
    let other = machine(&registry, &index).variable("MPM_STORE", mount.path());
    let ran = other.mpm(&["sync"]).expect(1).says(&["error[E0701]", "read-only", "MPM_STORE_LAYERS"]);
    assert!(placed(&other).is_empty(), "{}", ran.stderr);
    // What only reads works there.
    ok(&shared, &["verify"]);
    let reader: Project = machine(&registry, &index).variable("MPM_STORE", mount.path());
    ok(&reader, &["verify", "--store"]);
    ok(&reader, &["store", "size"]);
    let gc = reader.mpm(&["store", "gc"]);
    assert_eq!(gc.code, 1, "{}", gc.stderr);
    let over: Project = machine(&registry, &index).variable("MPM_STORE_LAYERS", mount.path());
    let ran: Ran = ok(&over, &["sync"]);
    assert!(placed(&over) == placed(&shared), "{}", ran.stderr);
}
