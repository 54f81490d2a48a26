//! What Model.lock may say, and what makes it stale.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::diagnose::{Class, Diagnose};
use crate::lock::{
    Found, Lock, LockedPackage, LockedRegistry, LockedSource, LockedUnsafe, SourceFile, SourceFiles, SourceId, Target,
    check,
};
use crate::manifest::Manifest;
use crate::model::{CheckpointNumber, Fingerprint, Floor, PackageId, PackageKind, Pin, RegistryId, RelPath, Sha256};

const MANIFEST: &str = "[registries.acme]\nindex = \"builtin\"\nroot = \
    \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n[models]\n\"acme/lora\" = \
    \"1\"\nlocal = { path = \"../m\" }\n[groups.eval.datasets]\n\"acme/glue\" = \"^2.1\"\n";

fn id(text: &str) -> PackageId {
    PackageId::parse(text).unwrap()
}

fn package(kind: PackageKind, dependencies: &[&str]) -> LockedPackage {
    LockedPackage {
        kind,
        statement: Pin::of(b"statement"),
        signers: BTreeSet::from([Fingerprint::from_sha256(Sha256::of(b"key"))]),
        size: 7,
        dependencies: dependencies.iter().map(|text| id(text)).collect(),
    }
}

fn source(kind: PackageKind, files: Vec<SourceFile>) -> LockedSource {
    let revision = Sha256::of(&LockedSource::table_bytes(&files)).prefixed();
    let size = files.iter().map(|file| file.pin.size).sum();
    LockedSource { kind, revision, size, files: SourceFiles::Inline(files) }
}

fn file(path: &str) -> SourceFile {
    SourceFile { path: RelPath::parse(path).unwrap(), pin: Pin::of(path.as_bytes()) }
}

fn registry() -> LockedRegistry {
    let checkpoint = CheckpointNumber { epoch: 1, number: 7 };
    LockedRegistry { root: Sha256::of(b""), floor: Floor { root_number: 1, registrar: 2, checkpoint } }
}

/// The lock that answers MANIFEST.
fn sample() -> Lock {
    let direct = |key: &str, group: Option<&str>| (key.parse_key(), group.map(|group| group.parse().unwrap()));
    Lock {
        registries: BTreeMap::from([("acme".parse().unwrap(), registry())]),
        direct: BTreeMap::from([
            (direct("acme/lora", None), Target::Release(id("acme:acme/lora@1.2.0"))),
            (direct("local", None), Target::Source(SourceId::path("../m"))),
            (direct("acme/glue", Some("eval")), Target::Release(id("acme:acme/glue@2.1.5"))),
        ]),
        packages: BTreeMap::from([
            (id("acme:acme/lora@1.2.0"), package(PackageKind::Model, &["acme:acme/base@1.0.0"])),
            (id("acme:acme/base@1.0.0"), package(PackageKind::Model, &[])),
            (id("acme:acme/glue@2.1.5"), package(PackageKind::Dataset, &[])),
        ]),
        sources: BTreeMap::from([(
            SourceId::path("../m"),
            source(PackageKind::Model, vec![file("config.json"), file("model.safetensors")]),
        )]),
        unsafe_releases: BTreeMap::new(),
    }
}

trait ParseKey {
    fn parse_key(&self) -> crate::model::DependencyKey;
}

impl ParseKey for str {
    fn parse_key(&self) -> crate::model::DependencyKey {
        crate::model::DependencyKey::parse(self).unwrap()
    }
}

#[test]
fn a_lock_is_read_as_it_was_written() {
    let mut lock = sample();
    let allowance = LockedUnsafe { formats: BTreeSet::from(["pickle".to_owned()]), reason: "o\"ld\\".to_owned() };
    lock.unsafe_releases.insert(Target::Release(id("acme:acme/base@1.0.0")), allowance);
    let text = lock.render();
    assert_eq!(Lock::parse(&text).unwrap(), Found::Whole(lock));
    assert_eq!(Lock::parse(&text.replace('\n', "\r\n")).unwrap(), Lock::parse(&text).unwrap());
}

/// Replaces in the sample's text and compares the error's code and class.
fn check_broken(from: &str, to: &str, code: &str, class: Class) {
    let text = sample().render();
    assert!(text.contains(from), "{from}\n{text}");
    let error = Lock::parse(&text.replacen(from, to, 1)).expect_err(to);
    assert_eq!((error.code().0, error.class()), (code, class), "{error}: {from} -> {to}");
    assert!(!error.hints().is_empty());
}

#[test]
fn a_lock_that_was_tampered_with_is_refused() {
    for (from, to, code) in [
        ("version = 1", "version = ", "E0501"),
        ("version = 1", "", "E0501"),
        ("version = 1", "version = 0", "E0501"),
        ("version = 1", "version = 2", "E0503"),
        ("version = 1", "version = 1\nfuture = 3", "E0502"),
        ("signers = [", "color = \"red\"\nsigners = [", "E0502"),
        ("statement = \"sha256:", "statement = \"sha256:X", "E0501"),
        ("statement-size = 9", "statement-size = -9", "E0501"),
        ("resolved = \"acme:acme/lora@1.2.0\"", "resolved = \"acme:acme/lora\"", "E0501"),
        ("resolved = \"path:../m\"", "resolved = \"path:\"", "E0501"),
        ("resolved = \"acme:acme/lora@1.2.0\"", "resolved = \"acme:acme/lora@1.3.0\"", "E0505"),
        ("    \"acme:acme/base@1.0.0\",", "    \"acme:acme/base@1.0.1\",", "E0505"),
        ("registry = \"acme\"", "registry = \"other\"", "E0505"),
        ("key = \"local\"", "key = \"acme/lora\"", "E0504"),
        ("floor.checkpoint = [1, 7]", "floor.checkpoint = [1]", "E0501"),
        ("path = \"config.json\"", "path = \"../config.json\"", "E0501"),
        ("path = \"config.json\"", "path = \"zonfig.json\"", "E0510"),
        ("[[direct]]", "<<<<<<< HEAD\n[[direct]]", "E0506"),
        ("[[direct]]", "=======\n[[direct]]", "E0506"),
    ] {
        check_broken(from, to, code, Class::Yours);
    }
}

#[test]
fn a_file_table_that_is_not_the_one_locked_is_a_matter_of_trust() {
    check_broken("path = \"config.json\"", "path = \"confih.json\"", "E0509", Class::Trust);
    check_broken("size = 11 }", "size = 12 }", "E0509", Class::Trust);
    check_broken(
        "kind = \"model\"\nrevision = \"sha256:",
        "kind = \"model\"\nrevision = \"sha256:0",
        "E0501",
        Class::Yours,
    );
    let bytes = LockedSource::table_bytes(&[file("a"), file("b")]);
    let pin = Pin::of(&bytes);
    assert_eq!(LockedSource::parse_table(&bytes, &pin).unwrap(), vec![file("a"), file("b")]);
    assert_eq!(LockedSource::parse_table(b"{}", &pin).unwrap_err().class(), Class::Trust);
    for bad in [
        "{}",
        "{\"files\":[],\"type\":\"x\"}",
        "{\"files\":[{\"path\":\"..\",\"sha256\":\"\",\"size\":1}],\"type\":\"mpm.sources/1\"}",
    ] {
        let error = LockedSource::parse_table(bad.as_bytes(), &Pin::of(bad.as_bytes())).unwrap_err();
        assert_eq!(error.code().0, "E0510");
    }
}

/// Compares the reasons why a changed manifest and lock do not agree.
fn check_stale(manifest: &str, change: impl FnOnce(&mut Lock), expected: &[&str]) {
    let mut lock = sample();
    change(&mut lock);
    let reasons: Vec<String> =
        check(&Manifest::parse(manifest).unwrap(), &lock).iter().map(ToString::to_string).collect();
    assert_eq!(reasons.len(), expected.len(), "{reasons:#?}");
    for (reason, expected) in reasons.iter().zip(expected) {
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
}

#[test]
fn every_reason_is_named() {
    check_stale(MANIFEST, |_| {}, &[]);
    let edit = |from: &str, to: &str| MANIFEST.replacen(from, to, 1);
    check_stale(&edit("\"1\"", "\">=1.1, <2\""), |_| {}, &[]);
    check_stale(
        &edit("\"1\"", "\"2\""),
        |_| {},
        &["line 5: acme/lora asks for version 2, Model.lock has acme:acme/lora@1.2.0"],
    );
    check_stale(
        &edit("[models]\n", "[models]\n\"acme/new\" = \"1\"\n"),
        |_| {},
        &["line 5: acme/new in the main dependencies has no entry"],
    );
    check_stale(&edit("\"acme/lora\" = \"1\"", ""), |_| {}, &["has acme/lora in the main"]);
    check_stale(&edit("../m", "../n"), |_| {}, &["local asks for path:../n, Model.lock has path:../m"]);
    check_stale(&edit("groups.eval", "groups.test"), |_| {}, &["is in group test, Model.lock has it in group eval"]);
    check_stale(&edit("root = \"sha256:e", "root = \"sha256:f"), |_| {}, &["the registry acme has root sha256:f3"]);
    check_stale(
        &edit("registries.acme", "registries.other"),
        |_| {},
        &["has the registry acme, Model.toml does not", "asks for other:acme/lora", "asks for other:acme/glue"],
    );
    check_stale(
        &edit("[groups.eval.datasets]", "[groups.eval.models]"),
        |_| {},
        &["stands among the models, Model.lock says it is a dataset"],
    );
    check_stale(
        &edit(
            "[models]",
            "[policy.unsafe]\n\"acme/base@1.0.0\" = { formats = [\"pickle\"], reason = \"r\" }\n[models]",
        ),
        |_| {},
        &["line 5: what acme:acme/base@1.0.0 may carry is pickle (r), Model.lock has nothing"],
    );
    let unreached = |lock: &mut Lock| {
        lock.packages.insert(id("acme:acme/base@0.9.0"), package(PackageKind::Model, &[]));
    };
    check_stale(MANIFEST, unreached, &["has acme:acme/base@0.9.0, which nothing needs"]);
    let dangling = |lock: &mut Lock| {
        lock.packages.remove(&id("acme:acme/base@1.0.0"));
    };
    check_stale(MANIFEST, dangling, &["acme:acme/lora@1.2.0 leads to acme:acme/base@1.0.0, which has no entry"]);
    let second = |lock: &mut Lock| {
        let older = id("acme:acme/lora@1.1.0");
        lock.packages.insert(older.clone(), package(PackageKind::Model, &[]));
        lock.packages.get_mut(&id("acme:acme/base@1.0.0")).unwrap().dependencies.insert(older);
    };
    let unique = edit("\"1\"", "{ version = \"1\", unique = true }");
    check_stale(&unique, second, &["acme/lora asks for one version of acme:acme/lora, Model.lock has 2"]);
}

#[test]
fn an_orphan_says_so_and_what_it_led_to_stays_named() {
    check_stale(
        &MANIFEST.replacen("local = { path = \"../m\" }\n", "", 1),
        |_| {},
        &["Model.lock has local in the main dependencies, Model.toml does not"],
    );
}

#[test]
fn both_sides_of_a_merge_are_preferences() {
    let ours = sample().render();
    let mut other = sample();
    other.registries.get_mut(&RegistryId::parse("acme").unwrap()).unwrap().floor.checkpoint.number = 9;
    other.packages.insert(id("acme:acme/lora@1.3.0"), package(PackageKind::Model, &[]));
    other.direct.insert(("acme/lora".parse_key(), None), Target::Release(id("acme:acme/lora@1.3.0")));
    let theirs = other.render();
    for base in ["", "||||||| base\nversion = 1\n"] {
        let text = format!("<<<<<<< HEAD\n{ours}{base}=======\n{theirs}>>>>>>> branch\n");
        let Found::Conflict { merged } = Lock::parse(&text).unwrap() else { panic!("a conflict") };
        assert_eq!(merged.packages.len(), 4);
        assert_eq!(merged.registries.values().next().unwrap().floor.checkpoint.number, 9);
        assert_eq!(merged.direct, sample().direct);
    }
    // A merge by hunks: one line of a source's table differs, so that neither side's table is whole.
    let hunk = ours.replacen(
        "floor.checkpoint = [1, 7]\n",
        "<<<<<<< a\nfloor.checkpoint = [1, 7]\n=======\nfloor.checkpoint = [2, 1]\n>>>>>>> b\n",
        1,
    );
    let Found::Conflict { merged } = Lock::parse(&hunk.replacen("config.json", "confih.json", 1)).unwrap() else {
        panic!("a conflict")
    };
    assert!(merged.sources.is_empty() && merged.direct.len() == 2);
    assert_eq!(merged.registries.values().next().unwrap().floor.checkpoint, CheckpointNumber { epoch: 2, number: 1 });
    let roots = theirs.replacen("root = \"sha256:e", "root = \"sha256:f", 1);
    let error = Lock::parse(&format!("<<<<<<< a\n{ours}=======\n{roots}>>>>>>> b\n")).unwrap_err();
    assert_eq!(error.code().0, "E0507");
}

#[test]
fn too_many_entries_are_refused() {
    let text = "version = 1\n".to_owned() + &"[[unsafe]]\n".repeat(100_001);
    assert_eq!(Lock::parse(&text).unwrap_err().code().0, "E0508");
}

fn word() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9._-]{0,6}[a-z0-9])?"
}

fn kind() -> impl Strategy<Value = PackageKind> {
    prop_oneof![Just(PackageKind::Model), Just(PackageKind::Dataset)]
}

fn any_source() -> impl Strategy<Value = (SourceId, LockedSource)> {
    let files = btree_map("[a-z]{1,3}", any::<u32>(), 0..5).prop_map(|files| {
        let pin = |path: &str, size: u32| Pin { sha256: Sha256::of(path.as_bytes()), size: u64::from(size) };
        let file =
            |(path, size): (String, u32)| Some(SourceFile { pin: pin(&path, size), path: RelPath::parse(&path).ok()? });
        files.into_iter().filter_map(file).collect::<Vec<SourceFile>>()
    });
    let table = (any::<[u8; 32]>(), any::<u64>(), any::<u64>());
    ("(\\.\\./|/)?[ -~é]{1,12}", kind(), files, table, any::<bool>()).prop_map(|(path, kind, files, table, inline)| {
        let size = i64::MAX.unsigned_abs();
        let locked = if inline {
            source(kind, files)
        } else {
            let pin = Pin { sha256: Sha256::from_bytes(table.0), size: table.1 & size };
            LockedSource { kind, revision: pin.sha256.prefixed(), size: table.2 & size, files: SourceFiles::Table(pin) }
        };
        (SourceId::path(&path), locked)
    })
}

/// Locks whose edges hold.
fn any_lock() -> impl Strategy<Value = Lock> {
    let ids = btree_set(("[ab]{1,2}", word(), word(), 0_u64..3, 0_u64..12), 0..6);
    let numbers = vec(any::<u64>().prop_map(|number| number >> 1), 8);
    let reason = "[ -~é\"\\\\]{0,10}x";
    (ids, numbers, vec(any_source(), 0..3), reason, vec(word(), 6), kind()).prop_map(
        |(ids, numbers, sources, reason, keys, kind)| {
            let mut lock = Lock::default();
            for (registry, namespace, name, major, minor) in ids {
                let id = id(&format!("{registry}:{namespace}/{name}@{major}.{minor}.0"));
                let checkpoint = CheckpointNumber { epoch: numbers[0], number: numbers[1] };
                let floor = Floor { root_number: numbers[2], registrar: numbers[3], checkpoint };
                let root = Sha256::of(registry.as_bytes());
                lock.registries.insert(id.package.registry.clone(), LockedRegistry { root, floor });
                let signers = keys.iter().map(|key| Fingerprint::from_sha256(Sha256::of(key.as_bytes()))).collect();
                let statement = Pin { sha256: Sha256::of(name.as_bytes()), size: numbers[4] };
                let dependencies = lock.packages.keys().take(usize::from(minor % 3 == 0)).cloned().collect();
                let size = numbers[5];
                lock.packages.insert(id, LockedPackage { kind, statement, signers, size, dependencies });
            }
            lock.sources.extend(sources);
            let releases = lock.packages.keys().cloned().map(Target::Release);
            let targets: Vec<Target> = releases.chain(lock.sources.keys().cloned().map(Target::Source)).collect();
            for (key, target) in keys.iter().zip(targets) {
                let group = key.starts_with('a').then(|| key.parse().unwrap());
                lock.direct.insert((key.parse_key(), group), target);
            }
            let allowed = LockedUnsafe { formats: keys.into_iter().collect(), reason };
            lock.unsafe_releases =
                lock.packages.keys().take(1).map(|id| (Target::Release(id.clone()), allowed.clone())).collect();
            lock
        },
    )
}

proptest! {
    #[test]
    fn every_lock_is_read_as_it_was_written(lock in any_lock()) {
        let text = lock.render();
        let found = Lock::parse(&text);
        prop_assert!(found.is_ok(), "{:?}\n{}", found, text);
        prop_assert_eq!(found.ok(), Some(Found::Whole(lock)));
    }

    #[test]
    fn any_text_is_a_lock_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        let _ = Lock::parse(&String::from_utf8_lossy(&bytes));
        let _ = LockedSource::parse_table(&bytes, &Pin::of(&bytes));
    }

    #[test]
    fn any_mutilated_lock_is_a_lock_or_refused(at in 0_usize..2500, cut in 0_usize..40, put in "[<>=|\\[\\]{}\"a-z0-9.,\n]{0,9}") {
        let mut text = sample().render();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.replace_range(at..end, &put);
        if let Ok(Found::Whole(lock)) = Lock::parse(&text) {
            prop_assert_eq!(Lock::parse(&lock.render()).ok(), Some(Found::Whole(lock)));
        }
    }

    #[test]
    fn an_edit_that_admits_the_locked_version_changes_nothing(minor in 0_u64..3, upper in 2_u64..9) {
        let manifest = MANIFEST.replacen("\"1\"", &format!("\">=1.{minor}, <{upper}\""), 1);
        let reasons = check(&Manifest::parse(&manifest).unwrap(), &sample());
        prop_assert_eq!(reasons, Vec::new());
    }
}
