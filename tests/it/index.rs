//! Reading an index: each rule of docs/trust.md for the client, over all ways to get files.
#![allow(clippy::disallowed_methods, clippy::struct_field_names, reason = "tests write plain files, and keys by role")]

mod ahead;
mod attacks;
mod endless;
pub mod fixture;
mod freshness;
mod kept;
mod network;
mod repository;
mod signers;
mod smart;

use std::collections::BTreeSet;

use modelpm::index::{Base, Memory};
use modelpm::progress::Silent;
use modelpm::sys::NetworkPolicy;

use fixture::{Index, Machine, WAYS, Way, name, version};

#[test]
fn a_release_is_found_and_checked_over_every_way() {
    let mut index = Index::new();
    for number in 0..90 {
        index.release(&format!("acme/p{number}"), "0.1.0");
    }
    index.checkpoint();
    for way in WAYS {
        let machine = Machine::new();
        let registry = machine.open(&index, way).unwrap();
        let wanted = BTreeSet::from([name("acme/minilm"), name("acme/p7"), name("acme/p_7"), name("acme/none")]);
        let listings = registry.listings(&wanted).unwrap();
        let minilm = listings[&name("acme/minilm")].as_ref().unwrap();
        assert_eq!(minilm.releases.keys().collect::<Vec<_>>(), [&version("1.0.0"), &version("1.1.0")], "{way:?}");
        assert!(listings[&name("acme/none")].is_none());
        assert!(listings[&name("acme/p7")].is_some() && listings[&name("acme/p_7")].is_none());
        let release = &minilm.releases[&version("1.1.0")];
        let verified = registry.statement(&name("acme/minilm"), release).unwrap();
        assert_eq!(verified.signers, BTreeSet::from([index.publisher.public().fingerprint()]));
        assert!(registry.yank(&name("acme/minilm"), release).unwrap().is_none());
        let locked = registry.locked_statement(&name("acme/minilm"), &version("1.1.0"), &release.event.statement);
        assert_eq!(locked.unwrap().bytes, verified.bytes);
    }
}

#[test]
fn names_that_count_as_equal_are_one_package_under_its_published_name() {
    let mut index = Index::new();
    index.release("acme/two_words", "1.0.0");
    index.checkpoint();
    let machine = Machine::new();
    let registry = machine.open(&index, Way::Folder).unwrap();
    let asked = name("acme/two-words");
    let listings = registry.listings(&BTreeSet::from([asked.clone()])).unwrap();
    let listing = listings[&asked].as_ref().unwrap();
    assert_eq!(listing.package.name, name("acme/two_words"));
    registry.statement(&asked, &listing.releases[&version("1.0.0")]).unwrap();
    assert_eq!(registry.names_near(&name("acme/minilmm")), [name("acme/minilm")]);
}

#[test]
fn relative_bases_are_read_where_the_index_is() {
    let mut index = Index::new();
    index.bases = vec![".".to_owned(), "data".to_owned(), "https://blobs.example/x/".to_owned()];
    index.put("blobs/sha256/2d/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", b"x".to_vec());
    index.checkpoint();
    for way in [Way::Folder, Way::Git, Way::Sparse] {
        let machine = Machine::new();
        let bases = machine.open(&index, way).unwrap().bases().unwrap();
        assert_eq!(bases.len(), 3);
        match (way, &bases[0], &bases[1]) {
            (Way::Folder, Base::Folder(first), Base::Folder(second)) => {
                assert!(first.join("checkpoint.json").exists() && second.ends_with("data"));
            }
            (Way::Git, Base::Objects(first), Base::Objects(second)) => {
                let pin = modelpm::model::Pin::of(b"x");
                assert_eq!(first.blob(&pin).unwrap(), Some(b"x".to_vec()));
                assert_eq!(second.blob(&pin).unwrap(), None);
            }
            (Way::Sparse, Base::Http(first, _), Base::Http(second, _)) => {
                assert_eq!(first.inner().as_str(), machine.server.url());
                assert_eq!(second.inner().as_str(), format!("{}data", machine.server.url()));
            }
            _ => panic!("{way:?}"),
        }
        assert!(matches!(&bases[2], Base::Http(url, _) if url.inner().host_str() == Some("blobs.example")));
    }
}

#[test]
fn a_base_of_another_scheme_is_refused() {
    for (base, expected) in [("file:///etc", "E0101"), ("ftp://x.example/", "E0124"), ("ext://x", "E0124")] {
        let mut index = Index::new();
        index.bases = vec![base.to_owned()];
        index.checkpoint();
        let machine = Machine::new();
        let refused = machine.open(&index, Way::Folder).and_then(|registry| registry.bases().map(drop));
        let code = refused.err().map(|error| modelpm::diagnose::Diagnose::code(&error).0);
        assert_eq!(code, Some(expected), "{base}");
    }
}

#[test]
fn memory_holds_what_was_verified_and_serves_offline() {
    let index = Index::new();
    let mut machine = Machine::new();
    let registry = machine.open(&index, Way::Sparse).unwrap();
    let wanted = BTreeSet::from([name("acme/minilm")]);
    let listings = registry.listings(&wanted).unwrap();
    let release = &listings[&name("acme/minilm")].as_ref().unwrap().releases[&version("1.0.0")];
    let verified = registry.statement(&name("acme/minilm"), release).unwrap();
    registry.remember(&[(fixture::namespace("acme"), verified.signers.clone())].into(), &Silent).unwrap();
    let memory = Memory::load(&machine.trust(), &index.root_digest).unwrap();
    assert_eq!(memory.verified(&release.event.statement.sha256).unwrap(), Some(verified.signers));
    assert!(memory.revocations().keys.is_empty());

    machine.server.requests();
    machine.network = NetworkPolicy::Offline;
    let registry = machine.reopen(&index, Way::Sparse).unwrap();
    assert_eq!(registry.listings(&wanted).unwrap(), listings);
    registry.statement(&name("acme/minilm"), release).unwrap();
    assert!(machine.server.requests().is_empty(), "offline opens no socket");
}

#[test]
fn memory_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let index = Index::new();
    let machine = Machine::new();
    machine.open(&index, Way::Folder).unwrap().remember(&[].into(), &Silent).unwrap();
    let folder = machine.trust().join(index.root_digest.hex());
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("checkpoint.json")), 0o600);
}

#[test]
fn offline_without_copies_is_a_network_matter() {
    use modelpm::diagnose::{Class, Diagnose as _};
    let index = Index::new();
    let machine = Machine { network: NetworkPolicy::Offline, ..Machine::new() };
    let error = machine.open(&index, Way::Sparse).err().unwrap();
    assert_eq!(error.class(), Class::Network);
    assert_eq!(error.code().0, "E0151");
    // A folder needs no network.
    machine.reopen(&index, Way::Folder).unwrap();
}
