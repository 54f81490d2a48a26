//! What is placed where.

use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::{any, prop_assert, proptest};

use crate::diagnose::Diagnose;
use crate::lock::{Lock, LockedPackage, LockedRegistry, LockedSource, SourceFile, SourceFiles, SourceId, Target};
use crate::manifest::Manifest;
use crate::model::{
    CheckpointNumber, DependencyKey, FileClass, Fingerprint, Floor, GroupName, PackageId, PackageKind, Pin, RelPath,
    Sha256, VariantName,
};
use crate::select::{Choice, Contents, Groups, SelectError, Selected, needed, select, variant_sizes};
use crate::statement::{FileEntry, Files, ReleaseFiles, Statement, Variant};

const REGISTRIES: &str = "[registries.acme]\nindex = \"builtin\"\nroot = \
    \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\ndefault = true\n";

/// A project under test: its lock and contents are built beside its manifest.
#[derive(Default)]
struct World {
    lock: Lock,
    contents: Contents,
}

fn id(text: &str) -> PackageId {
    PackageId::parse(text).unwrap()
}

impl World {
    /// A release with files written as `path` or `path:variant`; the first variant named with `!` is the default.
    fn release(mut self, text: &str, kind: PackageKind, files: &[&str], dependencies: &[&str]) -> Self {
        let id = id(text);
        let mut default_variant = None;
        let mut entries = Vec::new();
        for file in files {
            let (path, variant) = file.split_once(':').map_or((*file, None), |(path, variant)| (path, Some(variant)));
            let name = variant.map(|variant| VariantName::parse(variant.trim_end_matches('!')).unwrap());
            if variant.is_some_and(|variant| variant.ends_with('!')) {
                default_variant = name.clone();
            }
            let pin = Pin { sha256: Sha256::of(file.as_bytes()), size: 10 };
            entries.push(FileEntry {
                path: RelPath::parse(path).unwrap(),
                pin,
                class: FileClass::Weights,
                variant: name,
                pack: None,
                chunks: None,
            });
        }
        entries.sort_by(|left, right| (&left.path, &left.variant).cmp(&(&right.path, &right.variant)));
        let variants: BTreeSet<VariantName> = entries.iter().filter_map(|entry| entry.variant.clone()).collect();
        let statement = Statement {
            registry: id.package.registry.clone(),
            name: id.package.name.clone(),
            version: id.version.clone(),
            kind,
            description: None,
            licence: None,
            default_variant,
            variants: variants.into_iter().map(|name| (name, Variant::default())).collect(),
            files: Files::Inline(entries),
            dependencies: Vec::new(),
            base_model: None,
            trained_on: Vec::new(),
            packs: Vec::new(),
            upstream: None,
        };
        let files = ReleaseFiles::assemble(&statement, Vec::new()).unwrap();
        self.contents.releases.insert(id.clone(), (statement, files));
        let checkpoint = CheckpointNumber { epoch: 1, number: 1 };
        let floor = Floor { root_number: 1, registrar: 1, checkpoint };
        self.lock.registries.insert(id.package.registry.clone(), LockedRegistry { root: Sha256::of(b""), floor });
        let package = LockedPackage {
            kind,
            statement: Pin::of(text.as_bytes()),
            signers: BTreeSet::from([Fingerprint::from_sha256(Sha256::of(b"key"))]),
            size: 1,
            dependencies: dependencies.iter().map(|text| self::id(text)).collect(),
        };
        self.lock.packages.insert(id, package);
        self
    }

    fn model(self, text: &str, files: &[&str]) -> Self {
        self.release(text, PackageKind::Model, files, &[])
    }

    fn direct(self, key: &str, to: &str) -> Self {
        self.grouped(key, None, to)
    }

    fn grouped(mut self, key: &str, group: Option<&str>, to: &str) -> Self {
        let group = group.map(|group| GroupName::parse(group).unwrap());
        let key = (DependencyKey::parse(key).unwrap(), group);
        let target = to
            .strip_prefix("path:")
            .map_or_else(|| Target::Release(id(to)), |path| Target::Source(SourceId::path(path)));
        self.lock.direct.insert(key, target);
        self
    }

    fn source(mut self, path: &str, files: &[&str]) -> Self {
        let files: Vec<SourceFile> = files
            .iter()
            .map(|path| SourceFile { path: RelPath::parse(path).unwrap(), pin: Pin::of(path.as_bytes()) })
            .collect();
        let revision = Sha256::of(&LockedSource::table_bytes(&files)).prefixed();
        let locked =
            LockedSource { kind: PackageKind::Model, revision, size: 1, files: SourceFiles::Inline(files.clone()) };
        self.lock.sources.insert(SourceId::path(path), locked);
        self.contents.sources.insert(SourceId::path(path), files);
        self
    }

    fn select(&self, manifest: &str, choice: &Choice) -> Result<Selected, SelectError> {
        let manifest = Manifest::parse(&format!("{REGISTRIES}{manifest}")).unwrap();
        let selected = select(&manifest, &self.lock, &self.contents, choice)?;
        let needed = needed(&manifest, &self.lock, choice);
        for package in selected.packages() {
            match &package.origin {
                crate::select::Origin::Release(id) => assert!(needed.0.contains(id)),
                crate::select::Origin::Source(id) => assert!(needed.1.contains(id)),
            }
        }
        Ok(selected)
    }
}

/// Compares the paths in the project, all of them.
fn check(world: &World, manifest: &str, choice: &Choice, expected: &[&str]) {
    let selected = world.select(manifest, choice).unwrap();
    let paths: Vec<String> = selected
        .packages()
        .iter()
        .flat_map(|package| package.files.iter().map(|file| format!("{}/{}", package.folder, file.path)))
        .collect();
    assert_eq!(paths, expected);
}

/// Compares the code of the refusal.
fn check_refused(world: &World, manifest: &str, choice: &Choice, code: &str) {
    let error = world.select(manifest, choice).expect_err(manifest);
    assert_eq!(error.code().0, code, "{error}");
    assert!(!error.hints().is_empty());
}

fn all() -> Choice {
    Choice { groups: Groups::All, ..Choice::default() }
}

fn variants() -> World {
    World::default()
        .model("acme:acme/m@1.0.0", &["README.md", "w.st:f32!", "w.st:int8", "w.onnx:onnx"])
        .direct("acme/m", "acme:acme/m@1.0.0")
}

#[test]
fn direct_dependencies_land_at_their_keys() {
    let world = World::default()
        .release("acme:acme/lora@1.0.0", PackageKind::Model, &["a"], &["acme:acme/base@1.0.0", "acme:acme/data@1.0.0"])
        .model("acme:acme/base@1.0.0", &["b"])
        .release("acme:acme/data@1.0.0", PackageKind::Dataset, &["c"], &[])
        .direct("acme/lora", "acme:acme/lora@1.0.0")
        .source("../m", &["x"])
        .direct("local", "path:../m");
    let manifest = "[models]\n\"acme/lora\" = \"1\"\nlocal = { path = \"../m\" }\n";
    let expected =
        ["datasets/.deps/acme/data@1.0.0/c", "models/.deps/acme/base@1.0.0/b", "models/acme/lora/a", "models/local/x"];
    check(&world, manifest, &all(), &expected);
    let only = |key: &str| Choice { only: BTreeSet::from([DependencyKey::parse(key).unwrap()]), ..Choice::default() };
    check(&world, manifest, &only("local"), &["models/local/x"]);
    check_refused(&world, manifest, &only("acme/lara"), "E0551");
    let elsewhere =
        "[models]\n\"acme/lora\" = { version = \"1\", to = \"weights/lora\" }\n[install]\ndatasets = \"d\"\n";
    let expected = ["d/.deps/acme/data@1.0.0/c", "models/.deps/acme/base@1.0.0/b", "weights/lora/a"];
    check(&world, elsewhere, &all(), &expected);
}

#[test]
fn a_release_that_is_direct_too_lands_once_whatever_is_chosen() {
    let world = World::default()
        .release("acme:acme/lora@1.0.0", PackageKind::Model, &["a"], &["acme:acme/base@1.0.0"])
        .model("acme:acme/base@1.0.0", &["b"])
        .direct("acme/lora", "acme:acme/lora@1.0.0")
        .grouped("base", Some("eval"), "acme:acme/base@1.0.0")
        .grouped("again", Some("eval"), "acme:acme/base@1.0.0");
    let manifest = "[models]\n\"acme/lora\" = \"1\"\n[groups.eval.models]\nbase = { package = \"acme/base\", version = \
                    \"1\" }\nagain = { package = \"acme/base\", version = \"1\" }\n";
    check(&world, manifest, &Choice::default(), &["models/acme/lora/a", "models/again/b"]);
    check(&world, manifest, &all(), &["models/acme/lora/a", "models/again/b", "models/base/b"]);
    let group = |name: &str| Groups::Some(BTreeSet::from([GroupName::parse(name).unwrap()]));
    let chosen = Choice { groups: group("eval"), ..Choice::default() };
    check(&world, manifest, &chosen, &["models/acme/lora/a", "models/again/b", "models/base/b"]);
    check_refused(&world, manifest, &Choice { groups: group("evil"), ..Choice::default() }, "E0551");
}

#[test]
fn two_registries_with_one_name_get_their_ids_in_front() {
    let world = World::default()
        .release("acme:acme/a@1.0.0", PackageKind::Model, &["a"], &["acme:x/y@1.0.0", "other:x/y@1.0.0"])
        .model("acme:x/y@1.0.0", &["y"])
        .model("other:x/y@1.0.0", &["y"])
        .direct("acme/a", "acme:acme/a@1.0.0");
    let expected = ["models/.deps/acme/x/y@1.0.0/y", "models/.deps/other/x/y@1.0.0/y", "models/acme/a/a"];
    check(&world, "[models]\n\"acme/a\" = \"1\"\n", &all(), &expected);
}

#[test]
fn variants_are_chosen_by_profile_then_declaration_then_default() {
    let world = variants();
    check(&world, "[models]\n\"acme/m\" = \"1\"\n", &all(), &["models/acme/m/README.md", "models/acme/m/w.st"]);
    let declared =
        "[models]\n\"acme/m\" = { version = \"1\", variant = \"onnx\" }\n[profiles.cpu]\n\"acme/m\" = \"int8\"\n";
    check(&world, declared, &all(), &["models/acme/m/README.md", "models/acme/m/w.onnx"]);
    let profile = |name: &str| Choice { profile: Some(name.to_owned()), ..Choice::default() };
    let selected = world.select(declared, &profile("cpu")).unwrap();
    assert_eq!(selected.packages()[0].variants, ["int8".parse().unwrap()]);
    check_refused(&world, declared, &profile("gpu"), "E0551");
    check_refused(&world, "[models]\n\"acme/m\" = { version = \"1\", variant = \"f16\" }\n", &all(), "E0554");
    let no_default = World::default().model("acme:acme/m@1.0.0", &["w:a", "w:b"]).direct("acme/m", "acme:acme/m@1.0.0");
    check_refused(&no_default, "[models]\n\"acme/m\" = \"1\"\n", &all(), "E0555");
    let (statement, files) = &world.contents.releases[&id("acme:acme/m@1.0.0")];
    let sizes: Vec<(String, u64)> =
        variant_sizes(statement, files).into_iter().map(|(name, size)| (name.to_string(), size)).collect();
    assert_eq!(sizes, [("f32".to_owned(), 20), ("int8".to_owned(), 20), ("onnx".to_owned(), 20)]);
}

#[test]
fn several_variants_that_share_a_path_get_folders() {
    let several = |names: &str| format!("[models]\n\"acme/m\" = {{ version = \"1\", variants = [{names}] }}\n");
    let shared = [
        "models/acme/m/f32/README.md",
        "models/acme/m/f32/w.st",
        "models/acme/m/int8/README.md",
        "models/acme/m/int8/w.st",
    ];
    check(&variants(), &several("\"int8\", \"f32\""), &all(), &shared);
    let apart = ["models/acme/m/README.md", "models/acme/m/w.onnx", "models/acme/m/w.st"];
    check(&variants(), &several("\"onnx\", \"f32\""), &all(), &apart);
    let selected = variants().select(&several("\"int8\", \"f32\""), &all()).unwrap();
    assert_eq!((selected.placed_bytes(), selected.distinct_bytes()), (40, 30));
}

#[test]
fn globs_look_at_release_paths_and_exclude_wins() {
    let world = World::default()
        .model("acme:acme/m@1.0.0", &["a/x.bin", "a/y.md", "b.md"])
        .direct("acme/m", "acme:acme/m@1.0.0");
    let with = |globs: &str| format!("[models]\n\"acme/m\" = {{ version = \"1\", {globs} }}\n");
    check(&world, &with("include = [\"a/**\"]"), &all(), &["models/acme/m/a/x.bin", "models/acme/m/a/y.md"]);
    check(&world, &with("include = [\"**\"], exclude = [\"**/*.md\"]"), &all(), &["models/acme/m/a/x.bin"]);
    check(&world, &with("include = [\"*.md\"]"), &all(), &["models/acme/m/b.md"]);
    check_refused(&world, &with("include = [\"c/**\"]"), &all(), "E0556");
    check_refused(&world, &with("exclude = [\"*.mb\"]"), &all(), "E0556");
    check_refused(&world, &with("exclude = [\"**\"]"), &all(), "E0557");
}

#[test]
fn what_cannot_be_placed_is_refused() {
    let world = World::default()
        .release("acme:acme/d@1.0.0", PackageKind::Dataset, &["a"], &[])
        .model("acme:acme/m@1.0.0", &["a"])
        .direct("acme/d", "acme:acme/d@1.0.0")
        .direct("acme/m", "acme:acme/m@1.0.0")
        .direct("acme", "acme:acme/m@1.0.0")
        .direct("con", "acme:acme/m@1.0.0");
    check_refused(&world, "[models]\n\"acme/d\" = \"1\"\n", &all(), "E0553");
    check_refused(&world, "[models]\n\"acme/new\" = \"1\"\n", &all(), "E0552");
    let nested = "[models]\n\"acme/m\" = \"1\"\nacme = { package = \"acme/m\", version = \"1\" }\n";
    check_refused(&world, nested, &all(), "E0558");
    let same = "[models]\n\"acme/m\" = \"1\"\n[datasets]\n\"acme/d\" = { version = \"1\", to = \"models/Acme/m\" }\n";
    check_refused(&world, same, &all(), "E0558");
    check_refused(&world, "[models]\ncon = { package = \"acme/m\", version = \"1\" }\n", &all(), "E0559");
    let unloaded = World { contents: Contents::default(), ..world };
    check_refused(&unloaded, "[models]\n\"acme/m\" = \"1\"\n", &all(), "E0560");
}

proptest! {
    #[test]
    fn no_selection_places_two_files_at_one_path(
        edges in vec(any::<bool>(), 36),
        keys in btree_set(0_usize..6, 1..6),
        files in vec(btree_set("[ab]/?[cd]?", 1..4), 6),
    ) {
        let name = |n: usize| format!("acme:x/p{n}@1.{n}.0");
        let mut world = World::default();
        let mut manifest = "[models]\n".to_owned();
        for (n, files) in files.iter().enumerate() {
            let paths: Vec<&str> = files.iter().map(String::as_str).filter(|path| path.len() == 3).collect();
            let to: Vec<String> = (0..n).filter(|m| edges[n * 6 + m]).map(name).collect();
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            world = world.release(&name(n), PackageKind::Model, &paths, &to);
        }
        for n in keys {
            world = world.direct(&format!("x/p{n}"), &name(n));
            manifest = format!("{manifest}\"x/p{n}\" = \"1\"\n");
        }
        let selected = world.select(&manifest, &all());
        prop_assert!(selected.is_ok(), "{:?}", selected);
        let mut seen = BTreeSet::new();
        let mut origins = BTreeSet::new();
        for package in selected.unwrap_or_default().packages() {
            prop_assert!(origins.insert(package.origin.clone()), "each release lands once");
            for file in &package.files {
                let placed = format!("{}/{}", package.folder, file.path);
                prop_assert!(seen.insert(placed), "each path is placed once");
            }
        }
    }
}
