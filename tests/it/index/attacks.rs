//! Wrong bytes, wrong signatures, wrong identities: each refused over every way, as a matter of trust.

use std::collections::BTreeSet;

use modelpm::diagnose::{Class, Diagnose as _};
use modelpm::index::{IndexError, VerifiedStatement};
use modelpm::keys::SecretKey;
use modelpm::model::{Pin, RegistryId};
use modelpm::statement::Statement;

use super::fixture::{Index, Machine, WAYS, Way, name, version};

/// Opens, looks up and takes the statement of `acme/minilm` 1.1.0.
fn take(machine: &Machine, index: &Index, way: Way) -> Result<VerifiedStatement, IndexError> {
    let registry = machine.open(index, way)?;
    let listings = registry.listings(&BTreeSet::from([name("acme/minilm")]))?;
    let listing = listings[&name("acme/minilm")].as_ref().expect("it is listed");
    registry.statement(&name("acme/minilm"), &listing.releases[&version("1.1.0")])
}

/// Refused over every way; the codes.
fn check(index: &Index, what: &str, class: Class) -> BTreeSet<&'static str> {
    let mut codes = BTreeSet::new();
    for way in WAYS {
        let error =
            take(&Machine::new(), index, way).err().unwrap_or_else(|| panic!("{what} over {way:?} was accepted"));
        assert_eq!(error.class(), class, "{what} over {way:?}: {error}");
        assert!(!error.hints().is_empty(), "{what}: {error}");
        codes.insert(error.code().0);
    }
    codes
}

#[test]
fn one_flipped_byte_anywhere_is_refused() {
    let good = Index::new();
    let newest = good.path("trust/namespaces/", ".json");
    let statement = Pin::of(&good.statement("acme/minilm", "1.1.0").render()).sha256;
    let mut paths = vec![
        "trust/root/1.json".to_owned(),
        good.path("trust/root/1.json.", ".minisig"),
        "trust/registrar/1.json".to_owned(),
        good.path("trust/registrar/1.json.", ".minisig"),
        newest,
        "checkpoint.json".to_owned(),
        good.path("checkpoint.json.", ".minisig"),
        "packages/acme/minilm.jsonl".to_owned(),
        format!("releases/{statement}.json"),
        good.path(&format!("releases/{statement}.json."), ".minisig"),
    ];
    paths.extend(good.files.keys().filter(|path| path.starts_with("tree/")).cloned());
    for path in paths {
        let mut index = Index { files: good.files.clone(), ..Index::new() };
        index.root_digest = good.root_digest;
        // In a signature file, a byte of the signature itself; elsewhere any byte.
        let bytes = index.files.get_mut(&path).unwrap();
        let place = if path.ends_with(".minisig") { bytes.iter().position(|b| *b == b'\n').unwrap() + 60 } else { 30 };
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let codes = check(&index, &path, Class::Trust);
        assert!(!path.starts_with("tree/") || codes == BTreeSet::from(["E0112"]), "{path}: {codes:?}");
    }
}

#[test]
fn what_is_missing_is_not_in_this_copy() {
    let good = Index::new();
    for path in ["trust/root/1.json", "trust/registrar/1.json", "checkpoint.json", "packages/acme/minilm.jsonl"] {
        let mut index = Index { files: good.files.clone(), ..Index::new() };
        index.root_digest = good.root_digest;
        index.files.remove(path);
        assert_eq!(check(&index, path, Class::Network), BTreeSet::from(["E0111"]));
    }
}

#[test]
fn a_signature_of_another_file_or_key_counts_for_nothing() {
    let good = Index::new();
    let other = SecretKey::generate().unwrap();
    let statement = |number: &str| Pin::of(&good.statement("acme/minilm", number).render()).sha256;
    let signature = |path: &str| good.path(&format!("{path}."), ".minisig");
    let newer = signature(&format!("releases/{}.json", statement("1.1.0")));
    let older = signature(&format!("releases/{}.json", statement("1.0.0")));
    let mut swapped = Index { files: good.files.clone(), ..Index::new() };
    swapped.root_digest = good.root_digest;
    swapped.files.insert(newer.clone(), good.files[&older].clone());
    check(&swapped, "the signature of 1.0.0 for 1.1.0", Class::Trust);

    let mut foreign = Index { files: good.files.clone(), ..Index::new() };
    foreign.root_digest = good.root_digest;
    let bytes = &good.files[&format!("releases/{}.json", statement("1.1.0"))];
    foreign.files.insert(newer, other.sign(bytes, "test").unwrap().into_bytes());
    check(&foreign, "another key under the publisher's name", Class::Trust);

    let mut role = Index { files: good.files.clone(), ..Index::new() };
    role.root_digest = good.root_digest;
    let bytes = &good.files["checkpoint.json"];
    role.files.insert(signature("checkpoint.json"), good.publisher.sign(bytes, "test").unwrap().into_bytes());
    check(&role, "a publisher's key on the checkpoint", Class::Trust);
}

/// Replaces the statement of 1.1.0 by a changed one that the publisher signed and the log lists.
fn with_statement(change: impl Fn(&mut Statement)) -> Index {
    let mut index = Index::new();
    let honest = index.statement("acme/minilm", "1.1.0");
    let mut changed = honest.clone();
    change(&mut changed);
    let bytes = changed.render();
    let pin = Pin::of(&bytes);
    index.put_signed(&format!("releases/{}.json", pin.sha256), bytes, |index| vec![&index.publisher]);
    index.logs.clear();
    index.release("acme/minilm", "1.0.0");
    // The event is the honest one, but for the pin.
    index.log_release("acme/minilm", &honest, pin);
    index.checkpoint();
    index
}

#[test]
fn a_statement_of_another_identity_is_refused() {
    let codes = check(&with_statement(|s| s.version = version("1.2.0")), "another version", Class::Trust);
    assert_eq!(codes, BTreeSet::from(["E0113"]));
    check(&with_statement(|s| s.name = name("acme/other")), "another package", Class::Trust);
    check(&with_statement(|s| s.registry = RegistryId::parse("other").unwrap()), "another registry", Class::Trust);
}

#[test]
fn an_event_that_says_more_than_its_statement_is_refused() {
    check(&with_statement(|s| s.kind = modelpm::model::PackageKind::Dataset), "another kind", Class::Trust);
    check(&with_statement(|s| s.files = modelpm::statement::Files::Inline(Vec::new())), "another size", Class::Trust);
}

#[test]
fn a_lock_that_pins_other_bytes_is_refused_and_says_both() {
    let index = Index::new();
    let machine = Machine::new();
    let registry = machine.open(&index, Way::Folder).unwrap();
    let error = registry.locked_statement(&name("acme/minilm"), &version("1.1.0"), &Pin::of(b"x")).unwrap_err();
    assert_eq!(error.code().0, "E0118", "{error}");
    assert!(error.to_string().contains(&Pin::of(b"x").sha256.hex()));
    let gone = registry.locked_statement(&name("acme/minilm"), &version("9.0.0"), &Pin::of(b"x")).unwrap_err();
    assert_eq!(gone.code().0, "E0119");
}

#[test]
fn files_larger_than_their_kind_are_refused_unread() {
    for path in ["trust/root/1.json", "checkpoint.json", "trust/registrar/1.json"] {
        let mut index = Index::new();
        index.put(path, vec![b' '; 2 << 20]);
        assert_eq!(check(&index, path, Class::Trust), BTreeSet::from(["E0143"]));
    }
    let mut index = Index::new();
    let path = index.path("checkpoint.json.", ".minisig");
    index.put(&path, vec![b'x'; 10 << 20]);
    check(&index, "a large signature", Class::Trust);
}

#[test]
fn a_log_that_is_ahead_still_verifies_and_an_error_page_does_not() {
    let mut index = Index::new();
    let mut ahead = index.files["packages/acme/minilm.jsonl"].clone();
    ahead.extend_from_slice(b"{\"event\":\"release\", half a line");
    index.put("packages/acme/minilm.jsonl", ahead);
    for way in WAYS {
        take(&Machine::new(), &index, way).unwrap();
    }
    index.put("packages/acme/minilm.jsonl", b"<html>not found</html>".repeat(200));
    check(&index, "an error page", Class::Trust);
    index.put("packages/acme/minilm.jsonl", b"<html>".to_vec());
    check(&index, "a short log", Class::Trust);
}

#[test]
fn a_wrong_root_is_another_registry() {
    let index = Index::new();
    let other = Index { root_digest: Index::new().root_digest, ..index };
    check(&other, "another first root", Class::Trust);
}
