//! What a refusal says: which file, who should have signed, and what to do.

use super::{DAY, House, Signer, at, id};
use crate::diagnose::{Diagnose as _, Hint};
use crate::model::{Sha256, Signature};
use crate::trust::{Checkpoint, NamespaceEntry, Revocations, Role, TrustError, TrustRoot};

/// The message and the hints as one text.
fn told(error: &TrustError) -> String {
    let hints = error.hints().into_iter().map(|hint| match hint {
        Hint::Note(text) | Hint::Run(text) => text,
        other => format!("{other:?}"),
    });
    hints.fold(error.to_string(), |all, hint| format!("{all}\n{hint}"))
}

#[test]
fn missing_signatures_name_the_file_and_the_role() {
    let house = House::new();
    let root = house.root();
    let check = |role: Role, expected: &str| {
        let error = root.check(role, b"message", &[house.root.sign(b"message")]).expect_err("too few");
        assert_eq!(
            told(&error),
            format!("{expected} that it needs\nnobody who may change this file did; nothing was changed")
        );
    };
    check(Role::Root, "the root file is signed by 1 of the 2 root keys");
    check(Role::Registrar, "the registrars' file is signed by 0 of the 1 registrar keys");
    check(Role::Index, "the checkpoint is signed by 0 of the 1 index keys");
}

#[test]
fn each_refusal_says_what_to_do() {
    let house = House::new();
    let root = house.root();
    let bytes = root.render();
    let both: [Signature; 2] = [house.root.sign(&bytes), house.second.sign(&bytes)];
    let other = TrustRoot::first(&bytes, &both, &Sha256::of(b"x"), &id()).expect_err("another registry");
    assert!(told(&other).contains("ask its owner"), "{}", told(&other));

    let text = String::from_utf8(bytes).expect("text").replacen('{', "{\"critical\":[\"x\"],", 1);
    let newer = TrustRoot::parse(text.as_bytes()).expect_err("not known");
    assert!(told(&newer).contains("a newer mpm reads this file"), "{}", told(&newer));

    let bytes = House::checkpoint().render();
    let early = Checkpoint::check(&bytes, &[house.index.sign(&bytes)], &root, at(98 * DAY)).expect_err("too early");
    assert!(told(&early).contains("date -u"), "{}", told(&early));

    let publisher = Signer::new();
    let entry = super::entry(&[&publisher], 1);
    let reason = "malware".to_owned();
    let revoked = Revocations { releases: [(Sha256::of(b"release"), reason)].into(), ..Revocations::default() };
    let gone = entry.check(b"release", &[publisher.sign(b"release")], &revoked, &|_| false).expect_err("revoked");
    assert!(told(&gone).contains("malware") && told(&gone).contains("choose another version"), "{}", told(&gone));

    let broken = NamespaceEntry::parse(b"", &id(), &entry.namespace).expect_err("nothing");
    assert!(told(&broken).ends_with("nothing was changed"), "{}", told(&broken));
}
