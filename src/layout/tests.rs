//! What a selection becomes as another tool expects it.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnose::Diagnose;
use crate::layout::{Layout, LayoutError, lay_out};
use crate::lock::{Lock, LockedPackage, LockedSource, SourceFile, SourceFiles, SourceId, Target};
use crate::manifest::Manifest;
use crate::model::{
    DependencyKey, FileClass, HubCommit, HubId, HubRepository, PackageId, PackageKind, Pin, RelPath, VariantName,
};
use crate::select::{Choice, Contents, Groups, Selected, select};
use crate::statement::{FileEntry, Files, ReleaseFiles, Statement, Upstream, Variant};

/// A project under test, built beside its manifest.
#[derive(Default)]
struct World {
    manifest: String,
    lock: Lock,
    contents: Contents,
}

fn commit(digit: char) -> String {
    digit.to_string().repeat(40)
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).expect(text)
}

/// `path=bytes`, or `path:variant=bytes`.
fn parts(file: &str) -> (RelPath, Option<VariantName>, Pin) {
    let (name, bytes) = file.split_once('=').expect(file);
    let (name, variant) = name.split_once(':').map_or((name, None), |(name, variant)| (name, Some(variant)));
    (path(name), variant.map(|variant| VariantName::parse(variant).expect(variant)), Pin::of(bytes.as_bytes()))
}

impl World {
    fn new(manifest: &str) -> Self {
        Self { manifest: manifest.to_owned(), ..Self::default() }
    }

    fn direct(mut self, key: &str, target: Target) -> Self {
        self.lock.direct.insert((DependencyKey::parse(key).expect(key), None), target);
        self
    }

    /// A locked source of the hub, with the files that the repository has there.
    fn hub(mut self, key: &str, id: &str, commit: &str, files: &[&str]) -> Self {
        let hub = HubId::parse(id).expect(id);
        let files: Vec<SourceFile> =
            files.iter().map(|file| parts(file)).map(|(path, _, pin)| SourceFile { path, pin }).collect();
        let source = SourceId::of_hub(hub.clone());
        let locked = LockedSource {
            kind: hub.kind,
            revision: commit.to_owned(),
            size: files.iter().map(|file| file.pin.size).sum(),
            files: SourceFiles::Inline(files.clone()),
        };
        self.lock.sources.insert(source.clone(), locked);
        self.contents.sources.insert(source.clone(), files);
        self.direct(key, Target::Source(source))
    }

    fn release(mut self, text: &str, upstream: Option<(&str, &str)>, files: &[&str]) -> Self {
        let id = PackageId::parse(text).expect(text);
        let entries: Vec<FileEntry> = files
            .iter()
            .map(|file| parts(file))
            .map(|(path, variant, pin)| FileEntry {
                path,
                pin,
                class: FileClass::Weights,
                variant,
                pack: None,
                chunks: None,
            })
            .collect();
        let variants: BTreeSet<VariantName> = entries.iter().filter_map(|entry| entry.variant.clone()).collect();
        let statement = Statement {
            registry: id.package.registry.clone(),
            name: id.package.name.clone(),
            version: id.version.clone(),
            kind: PackageKind::Model,
            description: None,
            licence: None,
            default_variant: None,
            variants: variants.into_iter().map(|name| (name, Variant::default())).collect(),
            files: Files::Inline(entries),
            dependencies: Vec::new(),
            base_model: None,
            trained_on: Vec::new(),
            packs: Vec::new(),
            upstream: upstream.map(|(repository, commit)| Upstream {
                repository: HubRepository::parse(repository).expect(repository),
                commit: HubCommit::parse(commit).expect(commit),
            }),
        };
        let files = ReleaseFiles::assemble(&statement, Vec::new()).expect("files");
        self.contents.releases.insert(id.clone(), (statement, files));
        let locked = LockedPackage {
            kind: PackageKind::Model,
            statement: Pin::of(text.as_bytes()),
            signers: BTreeSet::new(),
            size: 0,
            dependencies: BTreeSet::new(),
        };
        self.lock.packages.insert(id, locked);
        self
    }

    fn resolved(self, key: &str, text: &str) -> Self {
        let id = PackageId::parse(text).expect(text);
        self.direct(key, Target::Release(id))
    }

    fn selected(&self, install: &str) -> (Manifest, Selected) {
        let manifest = Manifest::parse(&format!("{}\n[install]\n{install}\n", self.manifest)).expect("a manifest");
        let choice = Choice { groups: Groups::All, ..Choice::default() };
        let selected = select(&manifest, &self.lock, &self.contents, &choice).expect("selects");
        (manifest, selected)
    }

    fn lay_out(&self) -> Result<(Layout, Selected), LayoutError> {
        self.lay_out_in("layouts = [\"huggingface\"]")
    }

    fn lay_out_in(&self, install: &str) -> Result<(Layout, Selected), LayoutError> {
        let (manifest, selected) = self.selected(install);
        let mut layouts = lay_out(&manifest.install.layouts, &self.lock, &self.contents, &selected)?;
        Ok((layouts.remove(0), selected))
    }

    fn refused(&self, code: &str, words: &[&str]) {
        let error = self.lay_out().expect_err(code);
        assert_eq!(error.code().0, code, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
    }
}

/// All files of a layout, by their path below its root: the text of what is made, the digest of what is selected.
fn files(layout: &Layout, selected: &Selected) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in &layout.folders {
        for (path, content) in &folder.files {
            let below = path.strip_prefix(&layout.root).expect("lies below the root");
            let text = match content {
                crate::layout::Content::Made(bytes) => String::from_utf8(bytes.clone()).expect("text"),
                content @ crate::layout::Content::Selected { .. } => {
                    content.pin(selected).expect("is there").sha256.hex()
                }
            };
            found.insert(below.to_string(), text);
        }
    }
    found
}

/// What stands in the layout but trees, each as `path text`.
fn check(world: &World, expected: &[(&str, &str)]) {
    let (layout, selected) = world.lay_out().expect("lays out");
    let found: Vec<(String, String)> =
        files(&layout, &selected).into_iter().filter(|(path, _)| !path.contains("/trees/")).collect();
    let expected: Vec<(String, String)> =
        expected.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    assert_eq!(found, expected);
}

fn hex(bytes: &str) -> String {
    Pin::of(bytes.as_bytes()).sha256.hex()
}

#[test]
fn a_source_lies_under_its_own_name_and_commit() {
    let world = World::new(
        "[models]\nq = { hf = \"Qwen/Qwen3-0.6B\" }\n[datasets]\nd = { hf = \"squad\", revision = \"v1.0\" }\n",
    )
    .hub("q", "hf:Qwen/Qwen3-0.6B", &commit('a'), &["config.json={}", "sub/x.safetensors=xx"])
    .hub("d", "hf:datasets/squad@v1.0", &commit('b'), &["train.csv=1"]);
    let (a, b) = (commit('a'), commit('b'));
    check(
        &world,
        &[
            ("datasets--squad/refs/main", &b),
            ("datasets--squad/refs/v1.0", &b),
            (&format!("datasets--squad/snapshots/{b}/train.csv"), &hex("1")),
            ("models--Qwen--Qwen3-0.6B/refs/main", &a),
            (&format!("models--Qwen--Qwen3-0.6B/snapshots/{a}/config.json"), &hex("{}")),
            (&format!("models--Qwen--Qwen3-0.6B/snapshots/{a}/sub/x.safetensors"), &hex("xx")),
        ],
    );
    let (layout, selected) = world.lay_out().expect("lays out");
    assert_eq!(layout.root.as_str(), ".mpm/hf");
    let ids: Vec<&str> = layout.folders.iter().map(|folder| folder.id.as_str()).collect();
    assert_eq!(ids, ["huggingface:datasets/squad", "huggingface:Qwen/Qwen3-0.6B"]);
    let tree = &files(&layout, &selected)[&format!("models--Qwen--Qwen3-0.6B/trees/{a}.json")];
    let expected = serde_json::json!({
        "format_version": 1,
        "files": {
            "config.json": {"size": 2, "blob_id": &hex("{}")[..40], "lfs_sha256": hex("{}"), "lfs_size": 2},
            "sub/x.safetensors": {"size": 2, "blob_id": &hex("xx")[..40], "lfs_sha256": hex("xx"), "lfs_size": 2},
        },
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(tree).expect("JSON"), expected);
    assert!(tree.starts_with("{\"format_version\":1,\"files\":{\"config.json\":"), "the same bytes every time: {tree}");
}

#[test]
fn a_commit_has_no_ref_of_its_own_and_main_leads_there() {
    let a = commit('a');
    let world = World::new(&format!("[models]\nq = {{ hf = \"o/q\", revision = \"{a}\" }}\n")).hub(
        "q",
        &format!("hf:o/q@{a}"),
        &a,
        &["x=1"],
    );
    check(&world, &[("models--o--q/refs/main", &a), (&format!("models--o--q/snapshots/{a}/x"), &hex("1"))]);
}

#[test]
fn main_belongs_to_who_asked_for_it_else_to_the_first_key() {
    let (a, b) = (commit('a'), commit('b'));
    let snapshots = [format!("models--o--q/snapshots/{a}/x"), format!("models--o--q/snapshots/{b}/x")];
    let world = World::new("[models]\na = { hf = \"o/q\", revision = \"refs/pr/1\" }\nb = { hf = \"o/q\" }\n")
        .hub("a", "hf:o/q@refs/pr/1", &a, &["x=1"])
        .hub("b", "hf:o/q", &b, &["x=2"]);
    let laid = [("models--o--q/refs/main", &*b), ("models--o--q/refs/refs/pr/1", &*a)];
    check(&world, &[laid[0], laid[1], (&snapshots[0], &hex("1")), (&snapshots[1], &hex("2"))]);
    let world =
        World::new("[models]\nz = { hf = \"o/q\", revision = \"v1\" }\nb = { hf = \"o/q\", revision = \"v2\" }\n")
            .hub("z", "hf:o/q@v1", &a, &["x=1"])
            .hub("b", "hf:o/q@v2", &b, &["x=2"]);
    let laid = [("models--o--q/refs/main", &*b), ("models--o--q/refs/v1", &*a), ("models--o--q/refs/v2", &*b)];
    check(&world, &[laid[0], laid[1], laid[2], (&snapshots[0], &hex("1")), (&snapshots[1], &hex("2"))]);
}

#[test]
fn parts_of_one_commit_come_together() {
    let a = commit('a');
    let manifest = "[models]\nall = { hf = \"o/q\", include = [\"x\", \"y\"] }\npart = { hf = \"o/q\", revision = \"v1\", include = [\"y\", \"z\"] }\n";
    let world = World::new(manifest).hub("all", "hf:o/q", &a, &["x=1", "y=2", "z=3", "w=4"]).hub(
        "part",
        "hf:o/q@v1",
        &a,
        &["x=1", "y=2", "z=3", "w=4"],
    );
    let at = |path: &str| format!("models--o--q/snapshots/{a}/{path}");
    check(
        &world,
        &[
            ("models--o--q/refs/main", &a),
            ("models--o--q/refs/v1", &a),
            (&at("x"), &hex("1")),
            (&at("y"), &hex("2")),
            (&at("z"), &hex("3")),
        ],
    );
    let (layout, selected) = world.lay_out().expect("lays out");
    let tree: serde_json::Value =
        serde_json::from_str(&files(&layout, &selected)[&format!("models--o--q/trees/{a}.json")]).expect("JSON");
    let listed: Vec<&String> = tree["files"].as_object().expect("files").keys().collect();
    assert_eq!(listed, ["x", "y", "z"], "exactly what is there");
}

const REGISTRY: &str = "[registries.acme]\nindex = \"builtin\"\nroot = \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n[models]\n";

#[test]
fn a_release_lies_under_its_name_and_its_statement() {
    let first: String = hex("acme:acme/m@1.0.0").chars().take(40).collect();
    let second: String = hex("acme:acme/m@2.0.0").chars().take(40).collect();
    let third: String = hex("acme:acme/m@3.0.0").chars().take(40).collect();
    let mut world =
        World::new(&format!("{REGISTRY}old = {{ package = \"acme/m\", version = \"1\" }}\n\"acme/m\" = \"2\"\n"))
            .release("acme:acme/m@1.0.0", None, &["x=1"])
            .release("acme:acme/m@2.0.0", None, &["x=2"])
            .release("acme:acme/m@3.0.0", None, &["x=3"])
            .resolved("old", "acme:acme/m@1.0.0")
            .resolved("acme/m", "acme:acme/m@2.0.0");
    // A release that only others need never takes `main` from one that the project asked for.
    let needed = PackageId::parse("acme:acme/m@3.0.0").expect("an id");
    let direct = PackageId::parse("acme:acme/m@2.0.0").expect("an id");
    world.lock.packages.get_mut(&direct).expect("is there").dependencies.insert(needed);
    let snapshot = |commit: &str| format!("models--acme--m/snapshots/{commit}/x");
    let mut expected = [
        ("models--acme--m/refs/1.0.0".to_owned(), first.clone()),
        ("models--acme--m/refs/2.0.0".to_owned(), second.clone()),
        ("models--acme--m/refs/3.0.0".to_owned(), third.clone()),
        ("models--acme--m/refs/main".to_owned(), second.clone()),
        (snapshot(&first), hex("1")),
        (snapshot(&second), hex("2")),
        (snapshot(&third), hex("3")),
    ];
    expected.sort();
    let expected: Vec<(&str, &str)> = expected.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    check(&world, &expected);
}

#[test]
fn a_release_that_declares_an_upstream_lies_there() {
    let a = commit('a');
    let world = World::new(&format!("{REGISTRY}\"acme/m\" = \"1\"\nq = {{ hf = \"Org/M\", revision = \"1.0.0\" }}\n"))
        .release("acme:acme/m@1.0.0", Some(("Org/M", &a)), &["x=1"])
        .resolved("acme/m", "acme:acme/m@1.0.0")
        .hub("q", "hf:Org/M@1.0.0", &commit('b'), &["x=2"]);
    let b = commit('b');
    check(
        &world,
        &[
            // What the hub calls 1.0.0 goes before a release that is called so.
            ("models--Org--M/refs/1.0.0", &b),
            ("models--Org--M/refs/main", &b),
            (&format!("models--Org--M/snapshots/{a}/x"), &hex("1")),
            (&format!("models--Org--M/snapshots/{b}/x"), &hex("2")),
        ],
    );
}

#[test]
fn a_name_that_a_publisher_borrows_takes_no_main_from_its_owner() {
    let (own, borrowed) = (hex("acme:acme/m@1.0.0").chars().take(40).collect::<String>(), commit('b'));
    for (owner, borrower) in [("a", "b"), ("b", "a")] {
        let world = World::new(&format!(
            "{REGISTRY}{owner} = {{ package = \"acme/m\", version = \"1\" }}\n{borrower} = {{ package = \"evil/x\", version = \"9\" }}\n"
        ))
        .release("acme:acme/m@1.0.0", None, &["x=1"])
        .release("acme:evil/x@9.0.0", Some(("acme/m", &borrowed)), &["x=2"])
        .resolved(owner, "acme:acme/m@1.0.0")
        .resolved(borrower, "acme:evil/x@9.0.0");
        check(
            &world,
            &[
                ("models--acme--m/refs/1.0.0", &own),
                ("models--acme--m/refs/9.0.0", &borrowed),
                ("models--acme--m/refs/main", &own),
                (&format!("models--acme--m/snapshots/{own}/x"), &hex("1")),
                (&format!("models--acme--m/snapshots/{borrowed}/x"), &hex("2")),
            ],
        );
    }
}

#[test]
fn variants_of_one_dependency_lie_side_by_side_and_of_two_they_clash() {
    let files = ["w:a=1", "w:b=2"];
    let world = World::new(&format!("{REGISTRY}\"acme/m\" = {{ version = \"1\", variants = [\"a\", \"b\"] }}\n"))
        .release("acme:acme/m@1.0.0", None, &files)
        .resolved("acme/m", "acme:acme/m@1.0.0");
    let (layout, selected) = world.lay_out().expect("lays out");
    let found = self::files(&layout, &selected);
    assert!(
        found.keys().any(|path| path.ends_with("/a/w")) && found.keys().any(|path| path.ends_with("/b/w")),
        "{found:?}"
    );
    let two = "\"acme/m\" = { version = \"1\", variant = \"a\" }\nother = { package = \"acme/m\", version = \"1\", variant = \"b\" }\n";
    World::new(&format!("{REGISTRY}{two}"))
        .release("acme:acme/m@1.0.0", None, &files)
        .resolved("acme/m", "acme:acme/m@1.0.0")
        .resolved("other", "acme:acme/m@1.0.0")
        .refused("E0781", &["acme/m and other", "\"w\" differs"]);
}

#[test]
fn what_cannot_live_side_by_side_is_refused() {
    let (a, b) = (commit('a'), commit('b'));
    // A branch and a folder of branches.
    World::new("[models]\na = { hf = \"o/q\", revision = \"v1\" }\nb = { hf = \"o/q\", revision = \"v1/x\" }\n")
        .hub("a", "hf:o/q@v1", &a, &["x=1"])
        .hub("b", "hf:o/q@v1/x", &b, &["x=1"])
        .refused("E0782", &["models--o--q"]);
    // Two spellings that some file systems cannot tell apart.
    World::new("[models]\na = { hf = \"o/q\" }\nb = { hf = \"O/q\" }\n")
        .hub("a", "hf:o/q", &a, &["x=1"])
        .hub("b", "hf:O/q", &b, &["x=1"])
        .refused("E0782", &["models--o--q"]);
    let world = World::new("[models]\nq = { hf = \"o/q\" }\n").hub("q", "hf:o/q", &a, &["x=1"]);
    for to in ["models", "models/q", "Models/q/x"] {
        let install = format!("layouts = [{{ layout = \"huggingface\", to = \"{to}\" }}]");
        let error = world.lay_out_in(&install).expect_err(to);
        assert_eq!(error.code().0, "E0782", "{error}");
    }
    let install = "layouts = [{ layout = \"huggingface\", to = \"hf-cache\" }]";
    assert_eq!(world.lay_out_in(install).expect("lays out").0.root.as_str(), "hf-cache");
}

#[test]
fn a_path_that_does_not_fit_is_refused() {
    let deep = format!("{}x=1", "d/".repeat(28));
    World::new("[models]\nq = { hf = \"o/q\" }\n")
        .hub("q", "hf:o/q", &commit('a'), &[&deep])
        .refused("E0783", &["of q"]);
}

#[test]
fn a_version_that_means_two_releases_is_refused() {
    let two = "[registries.other]\nindex = \"builtin\"\nroot = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n[models]\na = { package = \"acme/m\", version = \"1\", registry = \"acme\" }\nb = { package = \"acme/m\", version = \"1\", registry = \"other\" }\n";
    World::new(&format!("{}{two}", REGISTRY.replace("[models]\n", "")))
        .release("acme:acme/m@1.0.0", None, &["x=1"])
        .release("other:acme/m@1.0.0", None, &["x=2"])
        .resolved("a", "acme:acme/m@1.0.0")
        .resolved("b", "other:acme/m@1.0.0")
        .refused("E0784", &["a and b", "1.0.0"]);
}

#[test]
fn a_folder_of_the_project_has_no_name_to_lie_under() {
    let manifest = "[models]\nmine = { path = \"source\" }\n";
    let source = SourceId::path("source");
    let mut world = World::new(manifest).direct("mine", Target::Source(source.clone()));
    let files = vec![SourceFile { path: path("x"), pin: Pin::of(b"1") }];
    let locked = LockedSource {
        kind: PackageKind::Model,
        revision: String::new(),
        size: 1,
        files: SourceFiles::Inline(files.clone()),
    };
    world.lock.sources.insert(source.clone(), locked);
    world.contents.sources.insert(source, files);
    assert_eq!(world.lay_out().expect("lays out").0.folders, []);
}
