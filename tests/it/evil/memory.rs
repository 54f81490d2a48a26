//! How much memory a hostile file takes: a line of a gigabyte, ten million lines, a document that opens and never closes.

use std::path::Path;
use std::process::Stdio;

use super::{NEWEST, Site, Stranger};
use crate::support::project::{Project, Ran};
use crate::support::server::Fault;

/// What a hostile file may take above what an honest one does, in KiB.
const ALLOWED: u64 = 64 * 1024;

/// Runs `mpm sync` and watches its peak, as the kernel counts it.
fn peak(project: &Project) -> (Ran, u64) {
    let mut command = project.command(&["sync"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut highest = 0;
    // The peak never falls, so each look is at least as good as the one before.
    while child.try_wait().unwrap().is_none() {
        highest = highest.max(high_water(Path::new(&status)).unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    (Ran::of(&child.wait_with_output().unwrap()), highest)
}

fn high_water(status: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

#[test]
fn hostile_files_take_little_memory() {
    let Some(site) = Site::of_a_stranger() else { return };
    site.evil.serve(NEWEST);
    let (ran, baseline) = peak(&site.project());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(baseline > 1_000, "{baseline} KiB: the peak is not what it was taken for");
    let files =
        ["checkpoint.json", "trust/root/1.json", "trust/registrar/", "tree/", "packages/", "releases/", "blobs/"];
    for fault in [
        Fault::Repeat(b"x", 1 << 30),
        Fault::Repeat(b"{}\n", 30_000_000),
        Fault::Repeat(b"[", 100_000_000),
        Fault::Repeat(b"{\"a\":", 50_000),
        Fault::Endless,
    ] {
        for start in files {
            site.evil.server.mend();
            site.evil.with_all(|path| path.starts_with(start) && !path.ends_with(".minisig"), &fault);
            let (ran, highest) = peak(&site.project());
            assert!(matches!(ran.code, 3 | 4), "{start} {fault:?}: {}\n{}", ran.code, ran.stderr);
            let more = highest.saturating_sub(baseline);
            assert!(more < ALLOWED, "{start} {fault:?} took {more} KiB more than {baseline}");
        }
    }
    site.evil.server.mend();
    site.victims[&Stranger].mpm(&["sync"]).expect(0);
}

#[test]
fn hostile_files_in_a_folder_take_little_memory() {
    let Some(site) = Site::of_a_stranger() else { return };
    site.evil.serve(NEWEST);
    let manifest = |folder: &Path| {
        let text = site.victims[&Stranger].text("Model.toml").unwrap();
        text.replace(&format!("sparse+{}", site.evil.server.url()), folder.to_str().unwrap())
    };
    let honest = site.project();
    honest.write("Model.toml", manifest(site.evil.registry.folder()));
    let (ran, baseline) = peak(&honest);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for start in ["checkpoint.json", "trust/root/1.json", "packages/", "releases/", "tree/", "blobs/"] {
        let copy = tempfile::tempdir().unwrap();
        site.evil.registry.copy_to(copy.path());
        for path in site.evil.paths(|path| path.starts_with(start) && !path.ends_with(".minisig")) {
            // A gigabyte of nothing, which takes no room on the disk.
            std::fs::File::create(copy.path().join(path)).unwrap().set_len(1 << 30).unwrap();
        }
        let project = site.project();
        project.write("Model.toml", manifest(copy.path()));
        let (ran, highest) = peak(&project);
        assert!(matches!(ran.code, 3 | 4), "{start}: {}\n{}", ran.code, ran.stderr);
        let more = highest.saturating_sub(baseline);
        assert!(more < ALLOWED, "{start} took {more} KiB more than {baseline}");
    }
}
