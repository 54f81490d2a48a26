//! Bundles as a stranger brings them: cut, flipped, stuffed, renamed, of another registry. Nothing of them arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use modelpm::bundle::{Bundle, Shape, Source, Table, write};
use modelpm::model::{Pin, Sha256};
use modelpm::sys::Cancel;

use super::{Maker, Site};
use crate::flows::fixture::{folder, ok, registry, tree};
use crate::support::project::Project;

/// A bundle written again from changed contents, with a table that fits them: what whoever has the medium can do.
pub(crate) fn rewritten(
    bundle: &Path,
    to: &Path,
    change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>, &mut BTreeMap<Sha256, Vec<u8>>),
) -> PathBuf {
    let opened = Bundle::open(&[bundle.to_owned()]).unwrap();
    let table = opened.table();
    let mut files: BTreeMap<String, Vec<u8>> =
        table.files.keys().map(|path| (path.clone(), opened.file(path, 1 << 30).unwrap().unwrap())).collect();
    let mut blobs: BTreeMap<Sha256, Vec<u8>> = BTreeMap::new();
    for (digest, blob) in &table.blobs {
        let mut bytes = Vec::new();
        let pin = Pin { sha256: *digest, size: blob.size };
        opened.blob_from(&pin, 0).unwrap().unwrap().read_to_end(&mut bytes).unwrap();
        blobs.insert(*digest, bytes);
    }
    change(&mut files, &mut blobs);
    let pins: BTreeMap<String, Pin> = files.iter().map(|(path, bytes)| (path.clone(), Pin::of(bytes))).collect();
    let own: BTreeSet<Pin> = blobs.values().map(|bytes| Pin::of(bytes)).collect();
    let by_digest: BTreeMap<Sha256, Vec<u8>> = blobs.into_values().map(|bytes| (Sha256::of(&bytes), bytes)).collect();
    let laid = Table::lay_out(table.head.clone(), &pins, &own, &BTreeSet::new()).unwrap();
    let open = |source: Source<'_>| -> std::io::Result<Option<Box<dyn Read + Send>>> {
        let bytes = match source {
            Source::File(path) => files[path].clone(),
            Source::Blob(pin) => by_digest[&pin.sha256].clone(),
        };
        Ok(Some(Box::new(std::io::Cursor::new(bytes))))
    };
    let _ = std::fs::remove_file(to);
    write(&laid, (to, Shape::File), to.parent().unwrap(), &open, (&Cancel::new(), &|_| ())).unwrap();
    to.to_owned()
}

#[test]
fn a_bundle_that_was_cut_or_flipped_is_refused_and_nothing_is_shown() {
    let registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (bundle, _) = maker.make("site.mpmb", &["--all"]);
    let good = std::fs::read(&bundle).unwrap();
    let opened = Bundle::open(std::slice::from_ref(&bundle)).unwrap();
    let (data, table) = (opened.data_begin() as usize, opened.table().clone());
    let bad = maker.at("bad.mpmb");
    let site = Site::of(&registry);
    let check = |bytes: &[u8], codes: &[&str]| {
        std::fs::write(&bad, bytes).unwrap();
        let verified = maker.project.mpm(&["bundle", "verify", &bad.display().to_string()]);
        assert_ne!(verified.code, 0, "{codes:?}");
        let ran = site.import(&bad, &[]);
        assert_ne!(ran.code, 0, "{codes:?}");
        assert!(codes.iter().any(|code| ran.stderr.contains(code)), "{codes:?}: {}", ran.stderr);
        assert!(!site.folder.join("checkpoint.json").exists());
    };
    for length in [0, 40, 89, 200, data, data + 10, good.len() / 2, good.len() - 1] {
        check(&good[..length], &["E1080", "E1081", "E1082"]);
    }
    check(&[&good[..], b"x"].concat(), &["E1082"]);
    let flip = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    for at in [3, 20, 50] {
        check(&flip(at), &["E1080", "E1081"]);
    }
    for at in [95, 400, 1_000] {
        check(&flip(at), &["E1081"]);
    }
    // In a statement, and in a blob: exit 4 each time.
    let statement =
        table.files.iter().find(|(path, _)| path.starts_with("releases/") && path.ends_with(".json")).unwrap();
    check(&flip(data + statement.1.offset as usize + 30), &["E1013", "E0112"]);
    let largest = table.blobs.values().max_by_key(|blob| blob.size).unwrap();
    check(&flip(data + largest.offset as usize + 100), &["E0724", "E0711", "E0723", "sha256"]);
    // Between two entries: `verify` sees it.
    let last = table.files.values().map(|file| file.offset + file.pin.size).max().unwrap() as usize;
    std::fs::write(&bad, flip(data + last + 1)).unwrap();
    let ran = maker.project.mpm(&["bundle", "verify", &bad.display().to_string()]);
    ran.expect(4);
    site.import(&bundle, &[]).expect(0);
}

#[test]
fn entries_that_nothing_signed_leads_to_are_refused() {
    let registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (bundle, _) = maker.make("site.mpmb", &["--all"]);
    let bad = maker.at("bad.mpmb");
    let site = Site::of(&registry);
    let refused = |code: &str, text: &str| {
        site.import(&bad, &[]).expect(4).says(&[code, text, "nothing was imported"]);
        maker.project.mpm(&["bundle", "list", &bad.display().to_string()]).expect(4);
        assert!(!site.folder.exists());
    };
    for path in
        ["releases/x.json", "trust/root/9.json.aaaa.minisig", "packages/acme/none.jsonl", "checkpoint.json.0.minisig"]
    {
        rewritten(&bundle, &bad, |files, _| drop(files.insert(path.to_owned(), b"{}\n".to_vec())));
        refused("E1011", path);
    }
    let stowed = b"#!/bin/sh\n".to_vec();
    rewritten(&bundle, &bad, |_, blobs| drop(blobs.insert(Sha256::of(&stowed), stowed.clone())));
    refused("E1011", &Sha256::of(&stowed).hex());
    // A signed file that lacks, is another, or has another's name.
    let path = |begin: &str, files: &BTreeMap<String, Vec<u8>>| {
        files.keys().find(|path| path.starts_with(begin) && path.ends_with(".json")).unwrap().clone()
    };
    rewritten(&bundle, &bad, |files, _| {
        let path = path("releases/", files);
        let text = String::from_utf8(files[&path].clone()).unwrap();
        files.insert(path, text.replace("acme", "evil").into_bytes());
    });
    assert_eq!(site.import(&bad, &[]).code, 4);
    rewritten(&bundle, &bad, |files, _| {
        let path = path("trust/namespaces/", files);
        files.remove(&path);
    });
    assert_ne!(site.import(&bad, &[]).code, 0);
    // A root that does not follow from the one that is trusted is no root; a checkpoint that nobody signed is none.
    rewritten(&bundle, &bad, |files, _| {
        let text = String::from_utf8(files["checkpoint.json"].clone()).unwrap();
        files.insert("checkpoint.json".to_owned(), text.replace("\"number\": ", "\"number\": 9").into_bytes());
    });
    assert_eq!(site.import(&bad, &[]).code, 4);
    assert!(!site.folder.exists());
}

#[test]
fn a_blob_that_lacks_is_named_and_nothing_is_imported() {
    let registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (bundle, _) = maker.make("site.mpmb", &["acme/vocab@=1.1.0"]);
    let bad = maker.at("bad.mpmb");
    rewritten(&bundle, &bad, |_, blobs| blobs.clear());
    let site = Site::of(&registry);
    site.import(&bad, &[]).expect(1).says(&["E1012", "acme/vocab 1.1.0 vocab.txt", "nothing was imported"]);
    assert!(!site.folder.exists());
    let looked = ok(&maker.project, &["--json", "bundle", "list", &bad.display().to_string()]).json();
    assert_eq!(looked["missing"]["files"], 1);
}

#[test]
fn a_bundle_of_another_registry_is_refused_whatever_it_calls_itself() {
    let (ours, other) = (registry(), registry());
    let maker = Maker::of(&other, &folder(&other));
    let (bundle, _) = maker.make("site.mpmb", &["--all"]);
    let site = Site::of(&ours);
    let named = [&ours.root_sha256().to_string()[..], &other.root_sha256().to_string()];
    site.import(&bundle, &[]).expect(4).says(&["E1014", named[0], named[1]]);
    // With the trusted root in its table, the root in it tells.
    let bytes = String::from_utf8_lossy(&std::fs::read(&bundle).unwrap()).into_owned();
    assert!(bytes.contains(&other.root_sha256().hex()));
    let raw = std::fs::read(&bundle).unwrap();
    let from = other.root_sha256().hex().into_bytes();
    let at = raw.windows(from.len()).position(|window| window == from).unwrap();
    let mut forged = raw.clone();
    forged[at..at + from.len()].copy_from_slice(ours.root_sha256().hex().as_bytes());
    let end = 89 + std::str::from_utf8(&raw[13..23]).unwrap().parse::<usize>().unwrap();
    let digest = Sha256::of(&forged[89..end]).hex();
    forged[24..88].copy_from_slice(digest.as_bytes());
    let bad = maker.at("forged.mpmb");
    std::fs::write(&bad, forged).unwrap();
    site.import(&bad, &[]).expect(4).says(&["E0105", "trust/root/1.json"]);
    // Nobody who names no root is told one by the bundle, but to compare it.
    let file = bundle.display().to_string();
    let ran = site.project.mpm(&["bundle", "import", &file, "--into", "store"]);
    ran.expect(2).says(&["E0911", "--root SHA256", "Compare"]);
    // Nor does it count that some project on this machine once named that root.
    let met = Site::of(&other);
    met.import(&bundle, &[]).expect(0);
    let arguments = ["bundle", "import", &file, "--into", "elsewhere"];
    met.project.mpm(&arguments).expect(2).says(&["E0911", "--root SHA256"]);
    // What configuration lists counts under its own name.
    let listed = |name: &str| {
        Project::new().config(&format!("[trusted]\n\"{}\" = \"{name}\"\n", other.root_sha256().prefixed()))
    };
    listed("acme").mpm(&arguments).expect(0);
    listed("beta").mpm(&arguments).expect(2).says(&["E0911"]);
    // A mirror of ours stays ours.
    let own = Maker::of(&ours, &folder(&ours));
    let (mine, _) = own.make("ours.mpmb", &["--all"]);
    site.import(&mine, &[]).expect(0);
    let before = tree(&site.folder);
    let foreign = Site { folder: site.folder.clone(), ..Site::of(&other) };
    foreign.import(&bundle, &[]).expect(1).says(&["E1002"]);
    assert_eq!(tree(&site.folder), before);
}

#[test]
fn links_folders_and_extra_files_of_a_medium_are_refused() {
    let registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (whole, _) = maker.make("whole.mpmb", &["--all"]);
    let (bundle, _) = maker.make("folder", &["--all", "--folder"]);
    let site = Site::of(&registry);
    let refused = |why: &str| {
        site.import(&bundle, &[]).expect(4).says(&["E1084", why]);
        assert!(!site.folder.exists());
    };
    std::fs::write(bundle.join("autorun.sh"), "x").unwrap();
    refused("does not name it");
    std::fs::remove_file(bundle.join("autorun.sh")).unwrap();
    let checkpoint = bundle.join("checkpoint.json");
    let bytes = std::fs::read(&checkpoint).unwrap();
    std::fs::remove_file(&checkpoint).unwrap();
    refused("not there");
    std::os::unix::fs::symlink("/etc/hostname", &checkpoint).unwrap();
    refused("a link");
    std::fs::remove_file(&checkpoint).unwrap();
    std::fs::create_dir(&checkpoint).unwrap();
    refused("not there");
    std::fs::remove_dir(&checkpoint).unwrap();
    std::fs::write(&checkpoint, &bytes).unwrap();
    std::os::unix::fs::symlink("/tmp", bundle.join("more")).unwrap();
    refused("a link");
    std::fs::remove_file(bundle.join("more")).unwrap();
    // Its table with another's name, and none at all.
    std::fs::rename(bundle.join("BUNDLE"), bundle.join("bundle.txt")).unwrap();
    site.import(&bundle, &[]).expect(1).says(&["E1080", "BUNDLE"]);
    std::fs::rename(bundle.join("bundle.txt"), bundle.join("BUNDLE")).unwrap();
    // A link in the place of the file itself.
    let link = maker.at("link.mpmb");
    std::os::unix::fs::symlink(&whole, &link).unwrap();
    site.import(&link, &[]).expect(1).says(&["E1088", "symlink"]);
    site.import(&bundle, &[]).expect(0);
}

#[test]
fn a_damaged_volume_is_named() {
    let registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (_, told) = maker.make("site.mpmb", &["--all", "--volume-size", "64K"]);
    let second = told["files"][1].as_str().unwrap().to_owned();
    let good = std::fs::read(&second).unwrap();
    let mut bytes = good.clone();
    let end = bytes.len() - 2_000;
    bytes[end] ^= 4;
    std::fs::write(&second, &bytes).unwrap();
    let ran = maker.project.mpm(&["bundle", "verify", &second]);
    assert_eq!(ran.code, 4, "{}", ran.stdout);
    assert!(ran.stdout.contains("damaged") && ran.stdout.contains("site.00"), "{}", ran.stdout);
    let site = Site::of(&registry);
    assert_eq!(site.import(Path::new(&second), &[]).code, 4);
    assert!(!site.folder.join("checkpoint.json").exists());
    std::fs::write(&second, &good[..good.len() - 1]).unwrap();
    site.import(Path::new(&second), &[]).expect(4).says(&["E1082", "site.002.mpmb", "cut short"]);
    bytes = good.clone();
    bytes[20] ^= 1;
    std::fs::write(&second, &bytes).unwrap();
    site.import(Path::new(told["files"][0].as_str().unwrap()), &[]).expect(1).says(&["E108"]);
    std::fs::write(&second, &good).unwrap();
    site.import(Path::new(&second), &[]).expect(0);
}
