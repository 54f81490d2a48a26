//! Each rule of the trust files, with real signatures.

mod bounds;
mod told;

use std::collections::BTreeMap;
use std::io::Cursor;

use crate::catalog::YankAction;
use crate::diagnose::Diagnose as _;
use crate::model::{
    CheckpointNumber, Namespace, PackageName, PublicKey, RegistryId, Sha256, Signature, Timestamp, Version,
};
use crate::trust::{
    Checkpoint, Freshness, MAX_NUMBER, NamespaceEntry, Registrar, RetiredKey, RetiredPrefix, Revocations, Role,
    RoleKeys, Severity, TrustError, TrustRoot, YankRecord, Yanked, count_signers,
};

const DAY: u64 = 86_400;

/// A key that signs as minisign does.
struct Signer {
    pair: minisign::KeyPair,
    public: PublicKey,
}

impl Signer {
    fn new() -> Self {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key");
        let public = PublicKey::parse(&pair.pk.to_base64()).expect("a key");
        Self { pair, public }
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let signed = minisign::sign(None, &self.pair.sk, Cursor::new(message), Some("x"), None).expect("signs");
        Signature::parse(signed.to_string().as_bytes()).expect("strict")
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).expect("a time")
}

fn id() -> RegistryId {
    RegistryId::parse("acme").expect("an id")
}

fn role(keys: &[&Signer], threshold: u64) -> RoleKeys {
    RoleKeys { keys: keys.iter().map(|key| key.public.clone()).collect(), threshold }
}

/// A registry of four keys: root and its second, registrar, index.
struct House {
    root: Signer,
    second: Signer,
    registrar: Signer,
    index: Signer,
}

impl House {
    fn new() -> Self {
        Self { root: Signer::new(), second: Signer::new(), registrar: Signer::new(), index: Signer::new() }
    }

    fn root(&self) -> TrustRoot {
        TrustRoot {
            registry: id(),
            epoch: 1,
            number: 1,
            roles: BTreeMap::from([
                (Role::Root, role(&[&self.root, &self.second], 2)),
                (Role::Registrar, role(&[&self.registrar], 1)),
                (Role::Index, role(&[&self.index], 1)),
            ]),
            checkpoint_max_days: 90,
            freshness: Freshness::Normal,
            expires: Some(at(1_000 * DAY)),
            demo: false,
        }
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            registry: id(),
            at: CheckpointNumber { epoch: 1, number: 5 },
            issued: at(100 * DAY),
            expires: Some(at(190 * DAY)),
            root: 1,
            registrar: 3,
            packages: Sha256::of(b""),
            bases: vec![".".to_owned(), "https://blobs.acme.example/x".to_owned()],
        }
    }

    fn registrar() -> Registrar {
        Registrar {
            registry: id(),
            number: 3,
            issued: at(100 * DAY),
            expires: Some(at(400 * DAY)),
            namespaces: Sha256::of(b""),
            revocations: Revocations::default(),
        }
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, TrustError>) -> &'static str {
    result.map_or_else(|error| error.code().0, |_| "")
}

#[test]
fn the_first_root_is_pinned_and_signs_itself() {
    let house = House::new();
    let bytes = house.root().render();
    let pin = Sha256::of(&bytes);
    let both = [house.root.sign(&bytes), house.second.sign(&bytes)];
    assert_eq!(TrustRoot::first(&bytes, &both, &pin, &id()).expect("counts"), house.root());
    assert_eq!(code(TrustRoot::first(&bytes, &both[..1], &pin, &id())), "E0104");
    assert_eq!(code(TrustRoot::first(&bytes, &both, &Sha256::of(b"x"), &id())), "E0105");
    let other = RegistryId::parse("other").expect("an id");
    assert_eq!(code(TrustRoot::first(&bytes, &both, &pin, &other)), "E0102");
    let second = TrustRoot { number: 2, ..house.root() }.render();
    let signed = [house.root.sign(&second), house.second.sign(&second)];
    assert_eq!(code(TrustRoot::first(&second, &signed, &Sha256::of(&second), &id())), "E0105");
}

#[test]
fn the_next_root_is_signed_by_the_old_and_the_new() {
    let house = House::new();
    let (third, fourth) = (Signer::new(), Signer::new());
    let rotated = || {
        let mut next = TrustRoot { number: 2, ..house.root() };
        next.roles.insert(Role::Root, role(&[&third, &fourth], 2));
        next
    };
    let check = |next: TrustRoot, signers: &[&Signer], expected: &str| {
        let bytes = next.render();
        let signatures: Vec<Signature> = signers.iter().map(|signer| signer.sign(&bytes)).collect();
        assert_eq!(code(house.root().next(&bytes, &signatures)), expected);
    };
    let all = [&house.root, &house.second, &third, &fourth];
    check(rotated(), &all, "");
    check(rotated(), &all[..2], "E0104");
    check(rotated(), &all[2..], "E0104");
    check(rotated(), &all[..3], "E0104");
    check(rotated(), &[&house.root, &house.root, &third, &fourth], "E0104");
    check(TrustRoot { number: 3, ..rotated() }, &all, "E0105");
    check(TrustRoot { number: 1, ..rotated() }, &all, "E0105");
    check(TrustRoot { epoch: 0, ..rotated() }, &all, "E0105");
    check(TrustRoot { epoch: 2, ..rotated() }, &all, "");
    check(TrustRoot { registry: RegistryId::parse("other").expect("an id"), ..rotated() }, &all, "E0102");
    assert_eq!(code(house.root().next(&vec![b' '; 65 * 1024], &[])), "E0101");
    assert_eq!(code(house.root().next(b"not JSON", &[])), "E0104");
}

#[test]
fn roots_that_break_a_rule_do_not_parse() {
    let house = House::new();
    let with = |change: &dyn Fn(&mut TrustRoot)| {
        let mut root = house.root();
        change(&mut root);
        code(TrustRoot::parse(&root.render()))
    };
    let mut twin = house.root.public.as_str().to_owned();
    // Another id before the same Ed25519 bytes is the same key.
    twin.replace_range(4..6, if twin.get(4..6) == Some("AA") { "BB" } else { "AA" });
    let twin = PublicKey::parse(&twin).expect("a key");
    assert_ne!(twin.minisign_id(), house.root.public.minisign_id());
    assert_eq!(twin, house.root.public);
    let keys = |keys: Vec<PublicKey>, threshold| {
        with(&|root: &mut TrustRoot| {
            root.roles.insert(Role::Root, RoleKeys { keys: keys.clone(), threshold });
        })
    };
    let own = || house.root.public.clone();
    assert_eq!(keys(vec![own()], 1), "");
    assert_eq!(keys(vec![own()], 0), "E0106");
    assert_eq!(keys(vec![own()], 2), "E0106");
    assert_eq!(keys(vec![own()], u64::MAX), "E0106");
    assert_eq!(keys(vec![], 0), "E0106");
    assert_eq!(keys(vec![own(), own()], 1), "E0106");
    assert_eq!(keys(vec![own(), twin], 2), "E0106");
    assert_eq!(keys((0..65).map(|_| Signer::new().public).collect(), 1), "E0101");
    assert_eq!(with(&|root| root.expires = None), "E0107");
    assert_eq!(with(&|root| root.freshness = Freshness::None), "E0107");
    assert_eq!(with(&|root| (root.freshness, root.expires) = (Freshness::None, None)), "");
    assert_eq!(with(&|root| root.checkpoint_max_days = 0), "E0101");
    assert_eq!(with(&|root| root.checkpoint_max_days = 3_651), "E0101");
    assert_eq!(with(&|root| root.number = 0), "E0101");
    assert_eq!(with(&|root| root.number = u64::MAX), "E0101");
    assert_eq!(with(&|root| root.number = MAX_NUMBER), "");
    assert_eq!(with(&|root| root.epoch = u64::MAX), "E0101");
    assert_eq!(house.root().expired(at(1_000 * DAY - 1)), None);
    assert_eq!(house.root().expired(at(1_000 * DAY + 7)), Some(7));
}

#[test]
fn a_threshold_counts_distinct_keys() {
    let (one, two, stranger) = (Signer::new(), Signer::new(), Signer::new());
    let message = b"message";
    let keys = [one.public.clone(), two.public.clone()];
    let signed = |signers: &[&Signer]| -> Vec<Signature> { signers.iter().map(|s| s.sign(message)).collect() };
    assert_eq!(count_signers(&keys, 2, message, &signed(&[&one, &two])).expect("both").signers().len(), 2);
    assert!(count_signers(&keys, 2, message, &signed(&[&one, &one, &stranger])).is_none());
    assert!(count_signers(&keys, 0, message, &signed(&[&one])).is_none());
    assert!(count_signers(&[], 0, message, &[]).is_none());
    assert!(count_signers(&keys, 1, b"another", &signed(&[&one])).is_none());
    // The same key listed twice, even under another id, counts once.
    let doubled = [one.public.clone(), one.public.clone()];
    assert!(count_signers(&doubled, 2, message, &signed(&[&one, &one])).is_none());
    // A stranger's key that took over the id of an authorised one signs nothing.
    let forged = forge_id(&stranger.sign(message), one.public.minisign_id());
    assert!(count_signers(&keys, 1, message, &[forged]).is_none());
    // What is signed under an id that is not the key's is not found: the crate selects by id.
    let renamed = forge_id(&one.sign(message), stranger.public.minisign_id());
    assert!(count_signers(&keys, 1, message, &[renamed]).is_none());
}

/// The signature with another 8-byte id: bytes 2 to 10 of the 74.
fn forge_id(signature: &Signature, id: &[u8]) -> Signature {
    let mut lines: Vec<String> = signature.as_str().lines().map(str::to_owned).collect();
    let mut bytes = base64(lines.get(1).expect("four lines"));
    bytes.get_mut(2..10).expect("long").copy_from_slice(id);
    *lines.get_mut(1).expect("four lines") = encode(&bytes);
    Signature::parse(format!("{}\n", lines.join("\n")).as_bytes()).expect("strict")
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(text: &str) -> Vec<u8> {
    let mut bits = text.bytes().filter(|byte| *byte != b'=').flat_map(|byte| {
        let value = ALPHABET.iter().position(|letter| *letter == byte).expect("base64");
        (0..6).rev().map(move |bit| value >> bit & 1)
    });
    let mut bytes = Vec::new();
    loop {
        let byte: Vec<usize> = bits.by_ref().take(8).collect();
        if byte.len() < 8 {
            return bytes;
        }
        bytes.push(u8::try_from(byte.iter().fold(0, |sum, bit| sum << 1 | bit)).expect("a byte"));
    }
}

fn encode(bytes: &[u8]) -> String {
    let digit = |value: u32| char::from(ALPHABET[usize::try_from(value & 63).expect("small")]);
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let value = chunk.iter().chain([&0, &0]).take(3).fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
            let text: String = (0..4).map(|i| digit(value >> (18 - 6 * i))).collect();
            let kept = chunk.len() + 1;
            format!("{:=<4}", text.get(..kept).expect("ASCII").to_owned()).chars().collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn a_checkpoint_counts_under_its_root() {
    let house = House::new();
    let now = at(120 * DAY);
    let check = |checkpoint: Checkpoint, root: &TrustRoot, signer: &Signer| {
        let bytes = checkpoint.render();
        code(Checkpoint::check(&bytes, &[signer.sign(&bytes)], root, now))
    };
    let (root, good) = (house.root(), House::checkpoint());
    assert_eq!(check(good.clone(), &root, &house.index), "");
    assert_eq!(check(good.clone(), &root, &house.root), "E0104");
    assert_eq!(check(good.clone(), &root, &house.registrar), "E0104");
    let with = |change: &dyn Fn(&mut Checkpoint)| {
        let mut checkpoint = good.clone();
        change(&mut checkpoint);
        check(checkpoint, &root, &house.index)
    };
    assert_eq!(with(&|c| c.registry = RegistryId::parse("other").expect("an id")), "E0102");
    assert_eq!(with(&|c| c.at.epoch = 2), "E0105");
    assert_eq!(with(&|c| c.at.epoch = 0), "E0105");
    assert_eq!(with(&|c| c.root = 2), "E0105");
    assert_eq!(with(&|c| c.at.number = u64::MAX), "E0101");
    assert_eq!(with(&|c| c.expires = None), "E0107");
    assert_eq!(with(&|c| c.expires = Some(c.issued)), "E0107");
    assert_eq!(with(&|c| c.expires = Some(c.issued.plus(90 * DAY + 1))), "E0107");
    let future = |ahead| with(&|c| (c.issued, c.expires) = (now.plus(ahead), Some(now.plus(ahead + 1))));
    assert_eq!(future(DAY), "");
    assert_eq!(future(DAY + 1), "E0108");
    let still = TrustRoot { freshness: Freshness::None, expires: None, ..house.root() };
    assert_eq!(check(good.clone(), &still, &house.index), "E0107");
    assert_eq!(check(Checkpoint { expires: None, ..good.clone() }, &still, &house.index), "");
    assert_eq!(good.expired(at(190 * DAY - 1)), None);
    assert_eq!(good.expired(at(190 * DAY)), Some(0));
    let bytes = good.render();
    assert_eq!(code(Checkpoint::check(&bytes, &[], &root, now)), "E0104");
    assert_eq!(code(Checkpoint::check(&vec![b' '; 17 * 1024], &[], &root, now)), "E0101");
    let (message, registrar) = (House::registrar().render(), house.index.sign(&bytes));
    assert_eq!(code(Checkpoint::check(&message, &[registrar], &root, now)), "E0104");
    // One key in two roles: the type tells the files apart.
    let mut shared = house.root();
    shared.roles.insert(Role::Registrar, role(&[&house.index], 1));
    let signed = [house.index.sign(&message)];
    assert_eq!(code(Checkpoint::check(&message, &signed, &shared, now)), "E0102");
}

#[test]
fn bases_are_relative_or_addresses() {
    for (base, good) in [
        (".", true),
        ("blobs", true),
        ("https://x.example/a", true),
        ("s3://bucket/a", true),
        ("http://127.0.0.1:8000", true),
        ("", false),
        ("..", false),
        ("../x", false),
        ("/etc", false),
        ("a\nb", false),
        ("https://user:secret@x.example", false),
        ("https://x.example/?token=1", false),
        ("file:/etc", false),
        ("file:///etc", false),
    ] {
        let bytes = Checkpoint { bases: vec![base.to_owned()], ..House::checkpoint() }.render();
        assert_eq!(code(Checkpoint::parse(&bytes)), if good { "" } else { "E0101" }, "{base}");
    }
    let bytes = Checkpoint { bases: vec![".".to_owned(); 33], ..House::checkpoint() }.render();
    assert_eq!(code(Checkpoint::parse(&bytes)), "E0101");
}

#[test]
fn a_registrar_file_is_the_one_that_the_checkpoint_names() {
    let house = House::new();
    let check = |registrar: &Registrar, number| {
        let bytes = registrar.render();
        code(Registrar::check(&bytes, &[house.registrar.sign(&bytes)], &house.root(), number))
    };
    let good = House::registrar();
    assert_eq!(check(&good, 3), "");
    assert_eq!(check(&good, 2), "E0105");
    assert_eq!(check(&good, 4), "E0105");
    assert_eq!(check(&Registrar { expires: None, ..good.clone() }, 3), "E0107");
    assert_eq!(check(&Registrar { expires: Some(at(1)), ..good.clone() }, 3), "E0107");
    assert_eq!(check(&Registrar { registry: RegistryId::parse("b").expect("an id"), ..good.clone() }, 3), "E0102");
    let bytes = good.render();
    assert_eq!(code(Registrar::check(&bytes, &[house.index.sign(&bytes)], &house.root(), 3)), "E0104");
}

#[test]
fn revocations_only_grow() {
    let house = House::new();
    let key = BTreeMap::from([(house.root.public.fingerprint(), "stolen".to_owned())]);
    let release = BTreeMap::from([(Sha256::of(b"x"), "malware".to_owned())]);
    let full = Revocations { keys: key.clone(), releases: release.clone() };
    let now = Registrar { revocations: full.clone(), ..House::registrar() };
    assert_eq!(Registrar::parse(&now.render()).expect("parses"), now);
    assert_eq!(code(now.grows_from(&Revocations::default())), "");
    assert_eq!(code(now.grows_from(&full)), "");
    for less in [
        Revocations { keys: key, ..Revocations::default() },
        Revocations { releases: release, ..Revocations::default() },
    ] {
        let lost = Registrar { revocations: less, ..House::registrar() };
        assert_eq!(code(lost.grows_from(&full)), "E0110");
    }
    let mut long = now.clone();
    long.revocations.releases.insert(Sha256::of(b"y"), "x".repeat(1_025));
    assert_eq!(code(Registrar::parse(&long.render())), "E0101");
    let text = String::from_utf8(now.render()).expect("text");
    let line = format!("\"key\": \"{}\"", house.root.public.fingerprint());
    let twice = text.replace(&line, &format!("{line}, \"reason\": \"a\"}}, {{{line}"));
    assert_eq!(code(Registrar::parse(twice.as_bytes())), "E0101");
}

fn entry(keys: &[&Signer], threshold: u64) -> NamespaceEntry {
    NamespaceEntry {
        registry: id(),
        namespace: Namespace::parse("acme").expect("a name"),
        number: 1,
        previous: None,
        keys: keys.iter().map(|key| key.public.clone()).collect(),
        threshold,
        retired: Vec::new(),
    }
}

fn retired(key: &Signer, package: &str) -> RetiredKey {
    let package = PackageName::parse(package).expect("a name");
    RetiredKey { key: key.public.clone(), prefixes: vec![RetiredPrefix { package, size: 10, sha256: Sha256::of(b"") }] }
}

#[test]
fn a_release_counts_by_a_threshold_of_publishers() {
    let (one, two, old, stranger) = (Signer::new(), Signer::new(), Signer::new(), Signer::new());
    let message = b"statement";
    let mut entry = entry(&[&one, &two], 2);
    entry.retired = vec![retired(&old, "acme/x")];
    let nothing = Revocations::default();
    let check = |signers: &[&Signer], revoked: &Revocations, within: bool| {
        let signatures: Vec<Signature> = signers.iter().map(|signer| signer.sign(message)).collect();
        code(entry.check(message, &signatures, revoked, &|_| within))
    };
    assert_eq!(check(&[&one, &two], &nothing, false), "");
    assert_eq!(check(&[&one], &nothing, false), "E0104");
    assert_eq!(check(&[&one, &one], &nothing, false), "E0104");
    assert_eq!(check(&[&one, &stranger], &nothing, true), "E0104");
    assert_eq!(check(&[&one, &old], &nothing, true), "");
    assert_eq!(check(&[&one, &old], &nothing, false), "E0104");
    let key = |signer: &Signer| Revocations {
        keys: BTreeMap::from([(signer.public.fingerprint(), "stolen".to_owned())]),
        ..Revocations::default()
    };
    assert_eq!(check(&[&one, &two], &key(&two), true), "E0104");
    assert_eq!(check(&[&one, &old], &key(&old), true), "E0104");
    let releases = BTreeMap::from([(Sha256::of(message), "malware".to_owned())]);
    let release = Revocations { releases, ..Revocations::default() };
    assert_eq!(check(&[&one, &two], &release, true), "E0109");
}

#[test]
fn entries_that_break_a_rule_do_not_parse() {
    let (one, two) = (Signer::new(), Signer::new());
    let acme = Namespace::parse("acme").expect("a name");
    let with = |change: &dyn Fn(&mut NamespaceEntry)| {
        let mut entry = entry(&[&one], 1);
        change(&mut entry);
        code(NamespaceEntry::parse(&entry.render(), &id(), &acme))
    };
    assert_eq!(with(&|_| ()), "");
    assert_eq!(with(&|e| e.registry = RegistryId::parse("b").expect("an id")), "E0102");
    assert_eq!(with(&|e| e.namespace = Namespace::parse("b").expect("a name")), "E0102");
    assert_eq!(with(&|e| e.number = 2), "E0101");
    assert_eq!(with(&|e| e.previous = Some(Sha256::of(b""))), "E0101");
    assert_eq!(with(&|e| (e.number, e.previous) = (2, Some(Sha256::of(b"")))), "");
    assert_eq!(with(&|e| e.threshold = 0), "E0106");
    assert_eq!(with(&|e| e.keys.push(one.public.clone())), "E0106");
    assert_eq!(with(&|e| e.retired = vec![retired(&two, "acme/x")]), "");
    assert_eq!(with(&|e| e.retired = vec![retired(&one, "acme/x")]), "E0106");
    assert_eq!(with(&|e| e.retired = vec![retired(&two, "acme/x"), retired(&two, "acme/y")]), "E0106");
    assert_eq!(with(&|e| e.retired = vec![retired(&two, "other/x")]), "E0101");
    let mut twice = retired(&two, "acme/x");
    twice.prefixes.extend(twice.prefixes.clone());
    assert_eq!(with(&|e| e.retired = vec![twice.clone()]), "E0101");
    let mut huge = retired(&two, "acme/x");
    huge.prefixes.iter_mut().for_each(|prefix| prefix.size = u64::MAX);
    assert_eq!(with(&|e| e.retired = vec![huge.clone()]), "E0101");
}

#[test]
fn a_handover_is_signed_by_those_who_hand_over() {
    let (old, new) = (Signer::new(), Signer::new());
    let first = entry(&[&old], 1);
    let digest = Sha256::of(&first.render());
    let next = NamespaceEntry { number: 2, previous: Some(digest), ..entry(&[&new], 1) };
    let check = |next: &NamespaceEntry, signer: &Signer, revoked: &Revocations| {
        let bytes = next.render();
        first.hands_over_to(&digest, &bytes, &[signer.sign(&bytes)], revoked)
    };
    let nothing = Revocations::default();
    assert!(check(&next, &old, &nothing));
    assert!(!check(&next, &new, &nothing));
    assert!(!check(&NamespaceEntry { number: 3, ..next.clone() }, &old, &nothing));
    assert!(!check(&NamespaceEntry { previous: Some(Sha256::of(b"x")), ..next.clone() }, &old, &nothing));
    assert!(!check(
        &NamespaceEntry { namespace: Namespace::parse("b").expect("a name"), ..next.clone() },
        &old,
        &nothing
    ));
    let keys = BTreeMap::from([(old.public.fingerprint(), "stolen".to_owned())]);
    assert!(!check(&next, &old, &Revocations { keys, ..nothing }));
}

#[test]
fn a_yank_record_is_about_one_release() {
    let record = YankRecord {
        registry: id(),
        package: PackageName::parse("acme/x").expect("a name"),
        version: Version::new(1, 0, 0),
        statement: Sha256::of(b"x"),
        action: YankAction::Yank,
        reason: "wrong labels\nin row 7".to_owned(),
        severity: Severity::Broken,
        counter: 1,
    };
    assert_eq!(YankRecord::parse(&record.render()).expect("parses"), record);
    let (registry, other) = (id(), RegistryId::parse("other").expect("an id"));
    let (package, version, statement) = (record.package.clone(), Version::new(1, 0, 0), Sha256::of(b"x"));
    let (elsewhere, later, another) =
        (PackageName::parse("acme/y").expect("a name"), Version::new(2, 0, 0), Sha256::of(b"y"));
    let about = Yanked {
        registry: &registry,
        package: &package,
        version: &version,
        statement: &statement,
        action: YankAction::Yank,
    };
    assert_eq!(code(record.check_about(&about)), "");
    for lie in [
        Yanked { registry: &other, ..about },
        Yanked { package: &elsewhere, ..about },
        Yanked { version: &later, ..about },
        Yanked { statement: &another, ..about },
        Yanked { action: YankAction::Unyank, ..about },
    ] {
        assert_eq!(code(record.check_about(&lie)), "E0102", "{lie:?}");
    }
    for bad in [
        YankRecord { reason: "x".repeat(1_025), ..record.clone() },
        YankRecord { counter: 0, ..record.clone() },
        YankRecord { counter: u64::MAX, ..record.clone() },
    ] {
        assert_eq!(code(YankRecord::parse(&bad.render())), "E0101");
    }
}

#[test]
fn critical_fields_must_be_known() {
    let house = House::new();
    let with = |names: &str| {
        let text = String::from_utf8(house.root().render()).expect("text");
        code(TrustRoot::parse(text.replacen('{', &format!("{{\"critical\":[{names}],\"witness\":1,"), 1).as_bytes()))
    };
    assert_eq!(with(""), "");
    assert_eq!(with("\"roles\""), "");
    assert_eq!(with("\"witness\""), "E0103");
}
