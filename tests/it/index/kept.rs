//! What a machine keeps of an index, damaged or written by somebody else: told, or asked for again, and never believed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use modelpm::diagnose::Diagnose as _;
use modelpm::index::{IndexError, VerifiedStatement};
use modelpm::progress::Silent;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::fixture::{Index, Machine, Way, name, version};
use crate::formats::{any_changes, mutate};

/// Opens, looks up, takes a statement, and remembers it all.
fn use_it(machine: &Machine, index: &Index, way: Way) -> Result<VerifiedStatement, IndexError> {
    let registry = machine.reopen(index, way)?;
    let listings = registry.listings(&BTreeSet::from([name("acme/minilm")]))?;
    let listing = listings[&name("acme/minilm")].as_ref().expect("it is listed");
    let found = registry.statement(&name("acme/minilm"), &listing.releases[&version("1.1.0")])?;
    registry.remember(&BTreeMap::new(), &Silent)?;
    Ok(found)
}

/// All files below a folder.
fn below(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(entry.path(), std::fs::read(entry.path()).expect("readable"));
            }
        }
    }
    found
}

/// Changes one kept file at a time and uses the index again.
fn check(way: Way, kept: &str, judge: impl Fn(&str, Result<VerifiedStatement, IndexError>)) {
    let (machine, index) = (Machine::new(), Index::new());
    index.write(&machine.folder.path().join("index"));
    use_it(&machine, &index, way).expect("good");
    let folder = machine.folder.path().join(kept);
    let good = below(&folder);
    assert!(good.len() > 5, "{kept} holds {:?}", good.keys());
    let paths: Vec<&PathBuf> = good.keys().collect();
    // Each case makes files durable: an eighth of the usual number is some seconds.
    let config = Config::default();
    let mut runner = TestRunner::new(Config { cases: config.cases.div_ceil(8), failure_persistence: None, ..config });
    let result = runner.run(&(any::<prop::sample::Index>(), any_changes()), |(which, changes)| {
        let path = *which.get(&paths);
        let mut bytes = good[path].clone();
        for (at, how, with) in changes {
            mutate(&mut bytes, at, how, &with);
        }
        for (path, bytes) in &good {
            std::fs::write(path, bytes).expect("restored");
        }
        std::fs::write(path, &bytes).expect("written");
        judge(&format!("{}: {:?}", path.display(), String::from_utf8_lossy(&bytes)), use_it(&machine, &index, way));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_changed_memory_is_told_or_harmless() {
    let honest = Index::new().statement("acme/minilm", "1.1.0");
    check(Way::Folder, "trust", |what, found| match found {
        Ok(found) => assert_eq!(found.statement.files, honest.files, "{what}"),
        Err(error) => {
            let code = error.code().0;
            // A root that was changed and still is one names other keys or numbers: what the index signed is refused then.
            let told = matches!(code, "E0104" | "E0105" | "E0112" | "E0114" | "E0115" | "E0117" | "E0125");
            assert!(told, "{code} {error}: {what}");
        }
    });
}

#[test]
fn a_changed_copy_is_asked_for_again() {
    let honest = Index::new().statement("acme/minilm", "1.1.0");
    check(Way::Sparse, "cache", |what, found| {
        let found = found.unwrap_or_else(|error| panic!("{} {error}: {what}", error.code().0));
        assert_eq!(found.statement.files, honest.files, "{what}");
    });
}
