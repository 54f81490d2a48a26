//! test_static_repositories: what another program, or an older version of ours, has written.

use std::collections::{BTreeMap, BTreeSet};

use modelpm::index::{Gate, Opening, Registry, World};
use modelpm::manifest::IndexAddress;
use modelpm::model::{PackageName, RegistryId, Sha256};
use modelpm::progress::Silent;

use crate::index::fixture::{Machine, NOW, at};

#[test]
fn static_repository() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("registry-index");
    let root = Sha256::of(&std::fs::read(folder.join("trust/root/1.json")).unwrap());
    let machine = Machine::new();
    let http = machine.http();
    let (trust, cache) = (machine.trust(), machine.folder.path().join("cache"));
    let world = World { http: &http, trust, cache, now: at(NOW), progress: &Silent };
    let opening = Opening {
        id: RegistryId::parse("mpm-demo").unwrap(),
        root,
        root_at: None,
        mirrors: Vec::new(),
        address: IndexAddress::Folder(folder.to_str().unwrap().to_owned()),
        floor: None,
        gate: Gate::NewTrust,
        air_gap: modelpm::index::AirGap::default(),
    };
    let registry = Registry::open(&opening, &world).unwrap();
    let names: BTreeSet<PackageName> =
        ["demo/digits", "demo/digits-lora", "demo/digits-mlp"].map(|name| PackageName::parse(name).unwrap()).into();
    let mut releases = 0;
    for (name, listing) in registry.listings(&names).unwrap() {
        for release in listing.expect("it is listed").releases.values() {
            registry.statement(&name, release).unwrap();
            registry.yank(&name, release).unwrap();
            releases += 1;
        }
    }
    assert_eq!(releases, 5);
    registry.remember(&BTreeMap::new(), &Silent).unwrap();
}
