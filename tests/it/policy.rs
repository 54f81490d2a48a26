//! The format gate, from Model.toml over real blobs to the verdict.

use std::collections::{BTreeMap, BTreeSet};

use modelpm::diagnose::{Class, Diagnose, Hint};
use modelpm::inspect::{InspectError, inspect};
use modelpm::lock::{Lock, LockedPackage, LockedRegistry, LockedSource, SourceFile, SourceFiles, SourceId, Target};
use modelpm::manifest::Manifest;
use modelpm::model::{
    CheckpointNumber, DependencyKey, FileClass, Fingerprint, Floor, PackageId, PackageKind, Pin, RelPath, Sha256,
};
use modelpm::policy::{Policy, Refused};
use modelpm::select::{Choice, Contents, Selected, select};
use modelpm::statement::{FileEntry, Files, ReleaseFiles, Statement};
use modelpm::store::Store;
use modelpm::sys::Cancel;

const PICKLE: &[u8] = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.";
const TENSORS: &[u8] = b"\x08\0\0\0\0\0\0\0{}      ";
const ONNX: &[u8] = b"\x08\x08\x3a\x12\x2a\x10\x6a\x0e\x0a\x08location\x12\x02ab";

/// A project with one release of the given files, or one folder.
struct World {
    _folder: tempfile::TempDir,
    store: Store,
    selected: Selected,
    policy: Policy,
}

fn id() -> PackageId {
    PackageId::parse("acme:acme/old@1.2.0").unwrap()
}

fn statement_digest() -> Sha256 {
    Sha256::of(b"statement")
}

fn manifest(dependency: &str, policy: &str) -> Manifest {
    let root = Sha256::of(b"root").prefixed();
    let text = format!(
        "[registries.acme]\nindex = \"builtin\"\nroot = \"{root}\"\ndefault = true\n[models]\n{dependency}\n{policy}\n"
    );
    Manifest::parse(&text).unwrap()
}

fn world(files: &[(&str, &[u8], FileClass)], policy: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut entries: Vec<FileEntry> = files
        .iter()
        .map(|(path, bytes, class)| FileEntry {
            path: RelPath::parse(path).unwrap(),
            pin: store.put_bytes(bytes).unwrap(),
            class: *class,
            variant: None,
            pack: None,
            chunks: None,
        })
        .collect();
    entries.sort_by(|left, right| left.path.cmp(&right.path));
    let statement = Statement {
        registry: id().package.registry,
        name: id().package.name,
        version: id().version,
        kind: PackageKind::Model,
        description: None,
        licence: None,
        default_variant: None,
        variants: BTreeMap::new(),
        files: Files::Inline(entries),
        dependencies: Vec::new(),
        base_model: None,
        trained_on: Vec::new(),
        packs: Vec::new(),
        upstream: None,
    };
    let listed = ReleaseFiles::assemble(&statement, Vec::new()).unwrap();
    let mut lock = Lock::default();
    let checkpoint = CheckpointNumber { epoch: 1, number: 1 };
    let registry =
        LockedRegistry { root: Sha256::of(b"root"), floor: Floor { root_number: 1, registrar: 1, checkpoint } };
    lock.registries.insert(id().package.registry, registry);
    lock.direct.insert((DependencyKey::parse("acme/old").unwrap(), None), Target::Release(id()));
    let package = LockedPackage {
        kind: PackageKind::Model,
        statement: Pin { sha256: statement_digest(), size: 1 },
        signers: BTreeSet::from([Fingerprint::from_sha256(Sha256::of(b"key"))]),
        size: 1,
        dependencies: BTreeSet::new(),
    };
    lock.packages.insert(id(), package);
    let contents = Contents { releases: BTreeMap::from([(id(), (statement, listed))]), sources: BTreeMap::new() };
    let manifest = manifest("\"acme/old\" = \"1\"", policy);
    let selected = select(&manifest, &lock, &contents, &Choice::default()).unwrap();
    let statements = BTreeMap::from([(id(), statement_digest())]);
    World {
        _folder: folder,
        store,
        selected,
        policy: Policy { declared: manifest.policy, statements, ..Policy::default() },
    }
}

fn data(path: &'static str, bytes: &'static [u8]) -> Vec<(&'static str, &'static [u8], FileClass)> {
    vec![(path, bytes, FileClass::Weights)]
}

impl World {
    /// The verdict: files declared as code and rules that were overridden, or the refusal.
    fn verdict(&self) -> Result<(Vec<String>, Vec<String>), Refused> {
        let approved = self.policy.judge(&self.selected)?;
        let facts = inspect(&self.store, &self.selected, &Cancel::new()).unwrap();
        let cleared = self.policy.clear(approved, &facts)?;
        let code = cleared.code().iter().map(|(_, path)| path.as_str().to_owned()).collect();
        Ok((code, cleared.overridden().values().flatten().cloned().collect()))
    }

    fn refused(&self) -> Vec<String> {
        match self.verdict() {
            Ok(_) => Vec::new(),
            Err(refused) => {
                let object = |o: &modelpm::policy::Objection| format!("{} {}", o.path.as_str(), o.rule);
                refused.objections().iter().map(object).collect()
            }
        }
    }
}

#[test]
fn only_data_is_cleared_unless_declared_or_allowed() {
    fn check(what: &str, files: &[(&str, &[u8], FileClass)], policy: &str, expected: &[&str]) {
        assert_eq!(world(files, policy).refused(), expected, "{what}");
    }
    let weights = FileClass::Weights;
    check("tensors", &data("model.safetensors", TENSORS), "", &[]);
    check("a pickle by name", &data("model.pkl", PICKLE), "", &["model.pkl pickle"]);
    check("tensors under a pickle's name", &data("m.pt", TENSORS), "", &["m.pt torch-zip"]);
    check(
        "a pickle in disguise",
        &data("model.safetensors", PICKLE),
        "",
        &["model.safetensors pickle", "model.safetensors name-mismatch"],
    );
    check(
        "all reasons",
        &[("a.pkl", PICKLE, weights), ("b.so", b"x", weights)],
        "",
        &["a.pkl pickle", "b.so native-library"],
    );
    check("undeclared code", &[("m.py", b"pass\n", FileClass::Config)], "", &["m.py script"]);
    check("declared code", &[("m.py", b"pass\n", FileClass::Code)], "", &[]);
    check("a library declared as code", &[("m.so", b"\x7fELF", FileClass::Code)], "", &["m.so native-library"]);
    check(
        "a pickle declared as code",
        &[("m.py", PICKLE, FileClass::Code)],
        "",
        &["m.py pickle", "m.py name-mismatch"],
    );
    let raw: &[u8] = b"\x01\x02\xff";
    check("listed tensors", &[("x/m.onnx", ONNX, weights), ("x/ab", raw, weights)], "", &[]);
    check("tensors that are not listed", &[("m.onnx", ONNX, weights)], "", &["m.onnx onnx-external"]);
    check(
        "tensors elsewhere",
        &[("m.onnx", ONNX, weights), ("x/ab", raw, weights)],
        "",
        &["m.onnx onnx-external", "x/ab unknown-binary"],
    );
    let allow = |formats: &str, rest: &str| {
        format!("[policy.unsafe]\n\"acme/old@1.2.0\" = {{ formats = [{formats}], {rest}reason = \"ours\" }}")
    };
    check("allowed", &data("model.pkl", PICKLE), &allow("\"pickle\"", ""), &[]);
    let pinned = format!("sha256 = \"{}\", ", statement_digest().prefixed());
    check("allowed for this statement", &data("model.pkl", PICKLE), &allow("\"pickle\"", &pinned), &[]);
    let other = format!("sha256 = \"{}\", ", Sha256::of(b"other").prefixed());
    check("for another statement", &data("model.pkl", PICKLE), &allow("\"pickle\"", &other), &["model.pkl pickle"]);
    check("another format", &data("model.pkl", PICKLE), &allow("\"torch-zip\"", ""), &["model.pkl pickle"]);
    check(
        "an allowed format in disguise",
        &data("model.safetensors", PICKLE),
        &allow("\"pickle\"", ""),
        &["model.safetensors name-mismatch"],
    );
    let elsewhere = "[policy.unsafe]\n\"acme/old@1.3.0\" = { formats = [\"pickle\"], reason = \"ours\" }";
    check("another release", &data("model.pkl", PICKLE), elsewhere, &["model.pkl pickle"]);
    check("an override that matches nothing", &data("model.safetensors", TENSORS), elsewhere, &[]);
}

#[test]
fn a_refusal_names_the_line_that_would_allow_it() {
    let world = world(&data("model.pkl", PICKLE), "");
    let refused = world.verdict().unwrap_err();
    assert_eq!((refused.code().0, refused.class()), ("E0601", Class::Policy));
    assert!(refused.to_string().starts_with("refused by policy: acme/old 1.2.0: \"model.pkl\" [pickle]"), "{refused}");
    let Some(Hint::Add { file: "Model.toml", lines }) = refused.hints().pop() else { panic!("{:?}", refused.hints()) };
    let expected = format!(
        "[policy.unsafe]\n\"acme/old@1.2.0\" = {{ formats = [\"pickle\"], sha256 = \"{}\", reason = \"…\" }}",
        statement_digest().prefixed()
    );
    assert_eq!(lines, expected);
    let told: Vec<&str> = refused.allowing_lines().iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(format!("[policy.unsafe]\n{}", told.join("\n")), expected);
    let allowed = self::world(&data("model.pkl", PICKLE), &lines);
    assert_eq!(allowed.verdict().unwrap().1, ["pickle"], "the lines do what they say");
    let text = format!("{refused} {:?}", refused.hints());
    assert!(!text.contains(" safe "), "{text}");
}

#[test]
fn what_names_give_away_is_refused_before_a_byte_travels() {
    for (path, class, expected) in [
        ("m.py", FileClass::Code, None),
        ("m.py", FileClass::Config, Some("script")),
        // Declared as code or not, only scripts are explained by it.
        ("m.so", FileClass::Code, Some("native-library")),
        ("m.pkl", FileClass::Code, Some("pickle")),
        ("m.safetensors", FileClass::Code, None),
    ] {
        let world = world(&[(path, TENSORS, class)], "");
        let judged = world.policy.judge(&world.selected);
        let rule = judged.err().map(|refused| refused.objections()[0].rule.clone());
        assert_eq!(rule.as_deref(), expected, "{path} {class:?}");
    }
}

#[test]
fn settings_that_git_would_obey_are_code() {
    fn check(what: &str, files: &[&str], class: FileClass, policy: &str, expected: &[&str]) {
        let files: Vec<(&str, &[u8], FileClass)> = files
            .iter()
            .map(|path| {
                let settings = path.to_ascii_lowercase().ends_with("config") || path.ends_with("commondir");
                (*path, b"x\n".as_slice(), if settings { class } else { FileClass::Doc })
            })
            .collect();
        let world = world(&files, policy);
        let refused = world.policy.judge(&world.selected).err();
        let objections = refused.iter().flat_map(|refused| refused.objections());
        let found: Vec<&str> = objections.map(|objection| objection.path.as_str()).collect();
        assert_eq!(found, expected, "{what}");
    }
    let whole = ["HEAD", "config", "objects/x", "refs/x"];
    let allow =
        |rule: &str| format!("[policy.unsafe]\n\"acme/old@1.2.0\" = {{ formats = [\"{rule}\"], reason = \"ours\" }}");
    let other = FileClass::Doc;
    check("a whole repository", &whole, other, "", &["config"]);
    check("declared as code", &whole, FileClass::Code, "", &[]);
    check("allowed", &whole, other, &allow("script"), &[]);
    check("something else allowed", &whole, other, &allow("pickle"), &["config"]);
    check("no head", &["config", "objects/x", "refs/x"], other, "", &[]);
    check("no objects", &["HEAD", "config", "refs/x"], other, "", &[]);
    check("no references", &["HEAD", "config", "objects/x"], other, "", &[]);
    check("references in a file", &["HEAD", "config", "objects/x", "refs"], other, "", &[]);
    check("in other letters", &["A/Config", "A/Objects/x", "A/REFS/x", "A/head"], other, "", &["A/Config"]);
    check("below", &["a/HEAD", "a/config", "a/objects/x", "a/refs/x", "config"], other, "", &["a/config"]);
    check("apart", &["HEAD", "a/config", "objects/x", "refs/x"], other, "", &[]);
    check("what leads to another folder", &["HEAD", "commondir"], other, "", &["commondir"]);
    check("what leads nowhere", &["commondir"], other, "", &[]);
}

#[test]
fn sources_that_nobody_signs_are_refused_by_the_word_deny_alone() {
    let sources = || [SourceId::path("../a"), SourceId::path("../b")];
    let declared = |policy: &str| manifest("m = { path = \"../a\" }", policy).policy;
    let allowing = Policy { declared: declared(""), ..Policy::default() };
    allowing.judge_sources(sources()).unwrap();
    let denying = Policy { declared: declared("[policy]\nunsigned = \"deny\""), ..Policy::default() };
    denying.judge_sources([]).unwrap();
    let refused = denying.judge_sources(sources()).unwrap_err();
    assert_eq!((refused.code().0, refused.class()), ("E0602", Class::Policy));
    assert!(refused.to_string().contains("nobody signs") && refused.to_string().contains("and 1 more"), "{refused}");
    assert!(refused.hints().contains(&Hint::Note("nobody signs path:../b".to_owned())), "{:?}", refused.hints());
}

#[test]
fn many_objections_are_counted_and_left_out_by_their_endings() {
    let hints = |count: usize, name: &dyn Fn(usize) -> String| {
        let names: Vec<String> = (0..count).map(name).collect();
        let files: Vec<(&str, &[u8], FileClass)> =
            names.iter().map(|name| (name.as_str(), PICKLE, FileClass::Weights)).collect();
        let refused = world(&files, "").verdict().unwrap_err();
        assert!(refused.objections().len() >= count);
        let notes = refused.hints().into_iter().filter_map(|hint| match hint {
            Hint::Note(text) => Some(text),
            _ => None,
        });
        notes.collect::<Vec<String>>()
    };
    let pickles = |number: usize| format!("m{number:02}.pkl");
    let (one, eight, nine) = (hints(1, &pickles), hints(8, &pickles), hints(9, &pickles));
    let leave_out = |notes: &[String]| notes.iter().find(|note| note.contains("exclude = [")).cloned();
    assert!(leave_out(&one).unwrap().contains("[\"m00.pkl\"]"), "{one:?}");
    assert!(leave_out(&eight).unwrap().contains("\"m07.pkl\""), "{eight:?}");
    assert!(leave_out(&nine).unwrap().contains("[\"**/*.pkl\"]"), "{nine:?}");
    // A name that is nothing but an ending is no ending.
    let dotted = hints(9, &|number| if number == 0 { ".bin".to_owned() } else { format!("m{number}.bin") });
    assert!(leave_out(&dotted).unwrap().contains("[\"**/*.bin\", \".bin\"]"), "{dotted:?}");
    // The first one is in the message, twenty more are told, the rest is counted.
    let counted = |notes: &[String]| notes.iter().find(|note| note.starts_with("and ")).cloned();
    assert_eq!(counted(&one), None);
    assert_eq!(counted(&hints(21, &pickles)), None);
    assert_eq!(counted(&hints(22, &pickles)).as_deref(), Some("and 1 more"));
    assert_eq!(counted(&hints(25, &pickles)).as_deref(), Some("and 4 more"));
    // Patterns without end help nobody.
    let many = hints(21, &|number| format!("m{number}.x{number}"));
    assert_eq!(leave_out(&many), None, "{many:?}");
}

#[test]
fn declared_code_is_cleared_and_listed() {
    let world = world(&[("m.py", b"pass\n", FileClass::Code), ("m.safetensors", TENSORS, FileClass::Weights)], "");
    assert_eq!(world.verdict().unwrap(), (vec!["m.py".to_owned()], Vec::new()));
}

#[test]
fn a_folder_passes_the_same_gate_and_can_not_be_overridden() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let file = SourceFile { path: RelPath::parse("model.pkl").unwrap(), pin: store.put_bytes(PICKLE).unwrap() };
    let source = SourceId::path("../m");
    let mut lock = Lock::default();
    lock.direct.insert((DependencyKey::parse("m").unwrap(), None), Target::Source(source.clone()));
    let files = vec![file];
    let entry = LockedSource {
        kind: PackageKind::Model,
        revision: "sha256:x".to_owned(),
        size: 1,
        files: SourceFiles::Inline(files.clone()),
    };
    lock.sources.insert(source.clone(), entry);
    let contents = Contents { releases: BTreeMap::new(), sources: BTreeMap::from([(source, files)]) };
    let manifest = manifest("m = { path = \"../m\" }", "");
    let selected = select(&manifest, &lock, &contents, &Choice::default()).unwrap();
    let policy = Policy { declared: manifest.policy, statements: BTreeMap::new(), commits: BTreeMap::new() };
    let refused = policy.judge(&selected).unwrap_err();
    assert!(refused.allowing_lines().is_empty());
    assert!(!refused.hints().iter().any(|hint| matches!(hint, Hint::Add { .. })));
    let why = "a folder has no signed statement that an exception could be bound to";
    assert!(refused.hints().contains(&Hint::Note(why.to_owned())), "{:?}", refused.hints());
}

#[test]
fn a_file_without_a_fact_is_refused() {
    let world = world(&data("model.safetensors", TENSORS), "");
    let approved = world.policy.judge(&world.selected).unwrap();
    let refused = world.policy.clear(approved, &BTreeMap::new()).unwrap_err();
    assert_eq!(refused.objections()[0].detail, "nobody looked at its content");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "damage is written as damage comes, not atomically")]
fn kept_facts_are_used_and_a_damaged_one_is_made_anew() {
    let mut large = PICKLE.to_vec();
    large.resize(2 << 20, 0);
    let large: &'static [u8] = large.leak();
    let world = world(&data("model.bin", large), "");
    let facts = || inspect(&world.store, &world.selected, &Cancel::new()).unwrap();
    let first = facts();
    let hex = Sha256::of(large).hex();
    let path = world.store.folder().join(format!("v1/facts/{}/{hex}.json", &hex[..2]));
    let kept = std::fs::read(&path).unwrap();
    assert!(String::from_utf8_lossy(&kept).contains("mpm.facts/1"));
    assert_eq!(facts(), first, "from what is kept");
    for damage in [b"{".to_vec(), kept[..kept.len() / 2].to_vec(), vec![b' '; 100_000]] {
        std::fs::write(&path, damage).unwrap();
        assert_eq!(facts(), first);
        assert_eq!(std::fs::read(&path).unwrap(), kept, "made anew");
    }
    let older = String::from_utf8(kept).unwrap().replace("\"scanner\": 1", "\"scanner\": 0");
    std::fs::write(&path, older).unwrap();
    assert_eq!(facts(), first);
}

#[test]
fn what_is_missing_or_stopped_is_an_error() {
    let world = world(&data("model.safetensors", TENSORS), "");
    let cancel = Cancel::new();
    cancel.cancel();
    let error = inspect(&world.store, &world.selected, &cancel).unwrap_err();
    assert_eq!((error.code().0, error.class()), ("E0653", Class::Interrupted));
    world.store.discard(&Sha256::of(TENSORS)).unwrap();
    let error = inspect(&world.store, &world.selected, &Cancel::new()).unwrap_err();
    assert!(matches!(error, InspectError::Missing { .. }) && error.code().0 == "E0652", "{error}");
}

#[test]
fn every_rule_is_documented() {
    let page = include_str!("../../docs/formats/formats-gate.md");
    let table = page.split("## Rules").nth(1).unwrap().split("## Allowing").next().unwrap();
    let first_cells =
        table.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|line| line.split(" | ").next());
    let mut documented: Vec<&str> =
        first_cells.flat_map(|cell| cell.split(", ")).map(|word| word.trim_matches('`')).collect();
    documented.sort_unstable();
    assert_eq!(documented, modelpm::scan::RULES);
}
