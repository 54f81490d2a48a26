use std::collections::BTreeMap;
use std::path::Path;

use crate::diagnose::{Class, Diagnose as _};
use crate::manifest::{PackageDeclaration, VariantDeclaration};
use crate::model::{FileClass, Glob, PackageKind, Pin, RelPath, Version};
use crate::progress::Silent;
use crate::publish::blobs::{Drafts, hash_all, place};
use crate::publish::indexing::Indexes;
use crate::publish::{Assigned, PublishError, assign, gather};
use crate::registry::Folder;
use crate::sys::{Cancel, blob_path};

fn package(variants: &[(&str, Option<&str>, &[&str])]) -> PackageDeclaration {
    let glob = |text: &&str| Glob::parse(text).expect("a glob");
    let declare = |(name, dir, include): &(&str, Option<&str>, &[&str])| {
        let declaration = VariantDeclaration {
            dir: dir.map(|dir| RelPath::parse(dir).expect("a path")),
            include: include.iter().map(glob).collect(),
            ..VariantDeclaration::default()
        };
        (name.parse().expect("a name"), declaration)
    };
    PackageDeclaration {
        name: "acme/x".parse().expect("a name"),
        version: Version::new(1, 0, 0),
        kind: PackageKind::Model,
        description: None,
        license: None,
        dir: RelPath::parse("out").expect("a path"),
        requires: Vec::new(),
        base_model: None,
        trained_on: Vec::new(),
        default_variant: None,
        variants: variants.iter().map(declare).collect::<BTreeMap<_, _>>(),
        code: vec![glob(&"tools/*.py")],
    }
}

fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for file in files {
        crate::sys::files::write_atomic(&folder.path().join(file), b"x").expect("written");
    }
    folder
}

fn assigned(files: &[&str], package: &PackageDeclaration) -> Result<Vec<Assigned>, PublishError> {
    assign(&gather(folder(files).path())?, package)
}

fn indexes() -> Indexes {
    Indexes::new(&Folder::at(&std::env::temp_dir())).expect("a file")
}

#[test]
fn files_find_their_variant_path_and_class() {
    let package = package(&[("f32", Some("f32"), &[]), ("int8", None, &["int8/**"])]);
    let files =
        ["README.md", "f32/m.safetensors", "int8/m.safetensors", "config.json", "tools/a.py", ".git/x", "LICENSE"];
    let found = assigned(&files, &package).expect("assigned");
    let shown: Vec<String> = found
        .iter()
        .map(|file| format!("{} {} {}", file.path, file.class, file.variant.as_ref().map_or("-", |name| name.as_str())))
        .collect();
    let expected = [
        "LICENSE doc -",
        "README.md doc -",
        "config.json config -",
        "int8/m.safetensors weights int8",
        "m.safetensors weights f32",
        "tools/a.py code -",
    ];
    assert_eq!(shown, expected);
    assert_eq!(found.iter().filter(|file| file.class == FileClass::Code).count(), 1);
}

#[test]
fn what_can_not_be_published_is_refused() {
    let check = |files: &[&str], package: &PackageDeclaration, code: &str| {
        let error = assigned(files, package).expect_err("refused");
        assert_eq!(error.code().0, code, "{error}");
    };
    let plain = package(&[]);
    check(&[], &plain, "E0852");
    check(&[".git/config"], &plain, "E0852");
    check(&["a:b"], &plain, "E0854");
    check(&["A.txt", "a.txt"], &plain, "E0855");
    check(&["run.py"], &plain, "E0859");
    check(&["lib.so.1"], &plain, "E0859");
    check(&["a.txt"], &package(&[("f32", Some("f32"), &[])]), "E0857");
    check(&["v/a.txt"], &package(&[("one", Some("v"), &[]), ("two", None, &["v/*"])]), "E0856");
    check(&["v/a.txt", "a.txt"], &package(&[("one", Some("v"), &[])]), "E0855");
    let mut wrong = package(&[("one", Some("v"), &[])]);
    wrong.default_variant = Some("two".parse().expect("a name"));
    check(&["v/a.txt"], &wrong, "E0858");
}

#[test]
fn links_and_pipes_are_refused() {
    let there = folder(&["a.txt"]);
    std::os::unix::fs::symlink("/etc/passwd", there.path().join("link")).expect("linked");
    assert_eq!(gather(there.path()).expect_err("a symlink").code().0, "E0853");
    std::os::unix::fs::symlink(there.path(), there.path().join("../link-to-folder-of-test")).ok();
    let link = there.path().join("../link-to-folder-of-test");
    assert_eq!(gather(&link).expect_err("a symlink").code().0, "E0853");
    std::fs::remove_file(link).expect("removed");
    assert_eq!(gather(Path::new("/nonexistent/folder")).expect_err("nothing").code().0, "E0852");
}

#[test]
fn what_can_not_be_read_stops_publishing() {
    let there = folder(&["a.txt"]);
    let error = gather(&there.path().join("a.txt")).expect_err("no folder");
    assert_eq!((error.code().0, error.class()), ("E0851", Class::Yours), "{error}");
    let mut files = assign(&gather(there.path()).expect("gathered"), &package(&[])).expect("assigned");
    std::fs::remove_file(there.path().join("a.txt")).expect("removed");
    let error = hash_all(&files, &indexes(), &Cancel::new(), &Silent).expect_err("gone");
    assert_eq!(error.code().0, "E0851", "{error}");
    // A pipe in its place would be waited for, for ever, if it were opened as a file.
    if let Some(file) = files.first_mut() {
        file.file = "/dev/null".into();
    }
    assert_eq!(hash_all(&files, &indexes(), &Cancel::new(), &Silent).expect_err("a device").code().0, "E0851");
}

#[test]
fn a_file_that_changes_while_it_is_published_is_not_placed() {
    let (there, registry) = (folder(&["a.txt"]), tempfile::tempdir().expect("a folder"));
    let index = Folder::at(registry.path());
    let hashed = Pin::of(b"other bytes than are there now");
    let drafts = Drafts::new(&index).expect("a folder");
    let error = place(&index, &drafts, &there.path().join("a.txt"), &hashed, &Cancel::new()).expect_err("changed");
    assert_eq!((error.code().0, error.class()), ("E0860", Class::Yours), "{error}");
    assert!(!registry.path().join(blob_path(&hashed.sha256)).exists(), "the name that was hashed stays free");
    assert!(!registry.path().join(blob_path(&Pin::of(b"x").sha256)).exists());
}

#[test]
fn stopping_ends_hashing_and_placing() {
    let (there, registry) = (folder(&["a.txt"]), tempfile::tempdir().expect("a folder"));
    let files = assign(&gather(there.path()).expect("gathered"), &package(&[])).expect("assigned");
    let cancel = Cancel::new();
    cancel.cancel();
    let index = Folder::at(registry.path());
    let drafts = Drafts::new(&index).expect("a folder");
    let placed = place(&index, &drafts, &there.path().join("a.txt"), &Pin::of(b"x"), &cancel);
    for error in [
        hash_all(&files, &indexes(), &cancel, &Silent).map(drop).expect_err("stopped"),
        placed.map(drop).expect_err("stopped"),
    ] {
        assert_eq!((error.code().0, error.class()), ("E0861", Class::Interrupted), "{error}");
    }
    assert!(!registry.path().join(blob_path(&Pin::of(b"x").sha256)).exists());
}
