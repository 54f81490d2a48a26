//! Small files in packs: published once, fetched in few requests, judged one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use modelpm::manifest::Manifest;
use modelpm::model::{Pin, Sha256};
use modelpm::progress::Silent;
use modelpm::publish::{Facts, Published, Source, publish};
use modelpm::registry::Submitted;
use modelpm::statement::Statement;
use modelpm::sys::{Cancel, blob_path};

use crate::flows::fixture::{elsewhere, manifest, ok, placed, tree};
use crate::support::project::{Project, Ran};
use crate::support::registry::TestRegistry;
use crate::support::server::{Fault, Request, Server};

const FILES: usize = 300;
const SIZE: usize = 4_000;
const REST: &str = "[datasets]\n\"acme/rows\" = \"1\"\n";

/// Bytes of a file of rows: as long as all the others, and like none of them.
fn rows(number: usize) -> Vec<u8> {
    let line = format!("{number},{}\n", Sha256::of(&number.to_le_bytes()).hex());
    line.into_bytes().into_iter().cycle().take(SIZE).collect()
}

fn path(number: usize) -> String {
    format!("part-{}/{number:04}.csv", number / 100)
}

/// A release in a registry, published as a folder is.
fn publish_to(registry: &TestRegistry, name: &str, files: &BTreeMap<String, Vec<u8>>, more: &str) -> Published {
    let project = tempfile::tempdir().expect("a folder");
    for (path, bytes) in files {
        let file = project.path().join("out").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).expect("made");
        std::fs::write(file, bytes).expect("written");
    }
    let text = format!(
        "[package]\nname = \"acme/{name}\"\nversion = \"1.0.0\"\nkind = \"dataset\"\nlicense = \"CC0-1.0\"\ndir = \"out\"\n{more}"
    );
    let package = Manifest::parse(&text).expect("a manifest").package.expect("a package");
    let source = Source { project: project.path(), package: &package, facts: &Facts::default() };
    let published =
        publish(&registry.handle(), &source, registry.publisher("acme"), &Cancel::new(), &Silent).expect("published");
    registry.checkpoint_now();
    published
}

fn files() -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = (0..FILES).map(|number| (path(number), rows(number))).collect();
    // Every tenth file stands there twice, and there is an empty one and a large one.
    files.extend((0..FILES / 10).map(|number| (format!("again/{number:04}.csv"), rows(number * 10))));
    files.insert("empty.csv".to_owned(), Vec::new());
    files.insert("large.csv".to_owned(), (0..600).flat_map(rows).collect());
    files
}

/// A registry with `acme/rows`, and what its statement says.
struct Site {
    registry: TestRegistry,
    statement: Statement,
    server: Server,
}

impl Site {
    fn new() -> Self {
        let mut registry = TestRegistry::of_late("acme", 3_600);
        registry.namespace("acme");
        let published = publish_to(&registry, "rows", &files(), "");
        let statement = statement(&registry, &published);
        let server = Server::start(registry.folder());
        Self { registry, statement, server }
    }

    fn pack(&self) -> Pin {
        assert_eq!(self.statement.packs.len(), 1);
        self.statement.packs[0]
    }

    /// The pack's path below a base.
    fn path(&self) -> String {
        blob_path(&self.pack().sha256)
    }

    fn machine(&self, rest: &str) -> Project {
        let index = format!("sparse+{}", self.server.url());
        Project::new().manifest(&manifest(&self.registry, &index, rest).replace(", \"uci\"", ""))
    }

    /// A locked machine, with what it asked meanwhile forgotten.
    fn locked(&self, rest: &str) -> Project {
        let machine = self.machine(rest);
        ok(&machine, &["lock"]);
        self.server.requests();
        machine
    }

    /// The same with a mirror that is asked first.
    fn behind(&self, mirror: &Server) -> Project {
        let root = self.registry.root_sha256().prefixed();
        let machine = self.machine(REST).config(&format!("[mirrors]\n\"{root}\" = [\"{}\"]\n", mirror.url()));
        ok(&machine, &["lock"]);
        self.server.requests();
        mirror.requests();
        machine
    }

    /// Where a file's bytes begin in the pack.
    fn offset(&self, path: &str) -> usize {
        let modelpm::statement::Files::Inline(entries) = &self.statement.files else { panic!("inline") };
        let entry = entries.iter().find(|entry| entry.path.as_str() == path).expect("a file");
        usize::try_from(entry.pack.expect("in a pack").offset).unwrap()
    }
}

fn statement(registry: &TestRegistry, published: &Published) -> Statement {
    let file = registry.folder().join(format!("releases/{}.json", published.statement.hex()));
    Statement::parse(&std::fs::read(file).expect("a statement")).expect("parses")
}

/// Requests for blobs, and the bytes of their answers.
fn blobs(server: &Server) -> (Vec<Request>, u64) {
    let requests: Vec<Request> =
        server.requests().into_iter().filter(|request| request.path.contains("blobs/sha256")).collect();
    let bytes = requests.iter().map(|request| request.sent).sum();
    (requests, bytes)
}

fn whole(project: &Project) {
    let expected: BTreeMap<String, Vec<u8>> =
        files().into_iter().map(|(path, bytes)| (format!("datasets/acme/rows/{path}"), bytes)).collect();
    assert!(placed(project) == expected, "{:?}", placed(project).keys());
}

/// Names of the blobs that a project's store holds.
fn stored(project: &Project) -> BTreeSet<String> {
    let paths = tree(&project.store().join("v1/blobs/sha256")).into_keys();
    paths.map(|path| path.rsplit('/').next().unwrap().to_owned()).collect()
}

fn distinct() -> BTreeSet<String> {
    files().values().map(|bytes| Sha256::of(bytes).hex()).collect()
}

#[test]
fn small_files_are_published_in_packs_and_only_there() {
    let site = Site::new();
    let folder = site.registry.folder().join("blobs/sha256");
    let names: BTreeSet<String> =
        tree(&folder).into_keys().map(|path| path.rsplit('/').next().unwrap().to_owned()).collect();
    let expected = [Sha256::of(b""), Sha256::of(&files()["large.csv"]), site.pack().sha256].map(|digest| digest.hex());
    assert_eq!(names, BTreeSet::from(expected));
    assert_eq!(site.pack().size, (FILES * SIZE) as u64, "each content once");
    let text = String::from_utf8(site.statement.render()).unwrap();
    assert!(text.contains("\"critical\": [\n    \"packs\"\n  ]"), "who does not know packs is told so: {text:.200}");
    // The same input gives the same bytes, and nothing is written twice.
    let again = publish_to(&site.registry, "rows", &files(), "");
    assert_eq!((again.submitted, again.new_blobs), (Submitted::Standing, 0));
    assert_eq!(statement(&site.registry, &again), site.statement);
    let other = TestRegistry::of_late("acme", 3_600);
    let mut other = other;
    other.namespace("acme");
    let elsewhere = publish_to(&other, "rows", &files(), "");
    assert_eq!(statement(&other, &elsewhere).packs, site.statement.packs);
    // No draft is left.
    let drafts = std::fs::read_dir(&folder).unwrap().flatten().filter(|entry| entry.file_name().len() != 2).count();
    assert_eq!(drafts, 0);
}

#[test]
fn a_dataset_of_small_files_comes_in_few_requests_and_each_content_once() {
    let site = Site::new();
    let machine = site.locked(REST);
    let told = ok(&machine, &["sync", "--dry-run", "--json"]).json();
    let sum = site.pack().size + files()["large.csv"].len() as u64;
    assert_eq!(told["travel"]["bytes"].as_u64(), Some(sum), "{told}");
    ok(&machine, &["sync"]);
    let (requests, bytes) = blobs(&site.server);
    assert!(requests.len() <= 4, "{} requests", requests.len());
    assert_eq!(bytes, sum);
    whole(&machine);
    let mut expected = distinct();
    expected.insert(Sha256::of(&site.statement.render()).hex());
    assert_eq!(stored(&machine), expected, "and the pack is not kept");
    ok(&machine, &["verify"]);
    assert_eq!(ok(&machine, &["store", "gc", "--json"]).json()["blobs"].as_u64(), Some(0));
    // Another project of this machine asks nobody.
    let other = elsewhere(&machine).variable("MPM_STORE", machine.store());
    other.write("Model.toml", machine.text("Model.toml").unwrap());
    ok(&other, &["sync"]);
    assert_eq!(blobs(&site.server).0.len(), 0);
    whole(&other);
}

#[test]
fn a_folder_gives_packs_too() {
    let site = Site::new();
    let index = site.registry.folder().display().to_string();
    let machine = Project::new().manifest(&manifest(&site.registry, &index, REST).replace(", \"uci\"", ""));
    ok(&machine, &["sync"]);
    whole(&machine);
    let to = tempfile::tempdir().expect("a folder");
    let at = to.path().join("rows");
    ok(&machine, &["get", "acme/rows", "--to", at.to_str().unwrap()]);
    assert_eq!(tree(&at), files());
}

#[test]
fn three_files_of_a_pack_are_asked_for_by_range() {
    let site = Site::new();
    let include: Vec<String> = [3, 120, 299].map(|number| format!("\"{}\"", path(number))).to_vec();
    let rest = format!("[datasets]\n\"acme/rows\" = {{ version = \"1\", include = [{}] }}\n", include.join(", "));
    let machine = site.locked(&rest);
    let told = ok(&machine, &["sync", "--dry-run", "--json"]).json();
    assert_eq!(told["travel"]["bytes"].as_u64(), Some(3 * SIZE as u64), "{told}");
    ok(&machine, &["sync"]);
    let (requests, bytes) = blobs(&site.server);
    let ranges: BTreeSet<String> = requests.iter().map(|request| request.headers["range"].clone()).collect();
    let expected = [3, 120, 299].map(|number| {
        let at = site.offset(&path(number));
        format!("bytes={at}-{}", at + SIZE - 1)
    });
    assert_eq!((ranges, bytes), (BTreeSet::from(expected), 3 * SIZE as u64));
    assert_eq!(placed(&machine).len(), 3);
}

#[test]
fn a_server_without_ranges_gives_the_whole_pack_once() {
    let site = Site::new();
    let include: Vec<String> = [3, 120, 299].map(|number| format!("\"{}\"", path(number))).to_vec();
    let rest = format!("[datasets]\n\"acme/rows\" = {{ version = \"1\", include = [{}] }}\n", include.join(", "));
    for fault in [Fault::NoRange, Fault::WrongRange("bytes 5-9/10".to_owned())] {
        let machine = site.locked(&rest);
        site.server.fault(&site.path(), 99, fault.clone());
        ok(&machine, &["sync"]);
        site.server.mend();
        let (requests, _) = blobs(&site.server);
        assert!(requests.len() <= 2, "{fault:?}: {} requests", requests.len());
        assert_eq!(placed(&machine).len(), 3, "{fault:?}");
    }
}

#[test]
fn one_flipped_byte_costs_one_file_and_the_liar_is_named() {
    let site = Site::new();
    let mirror = Server::start(site.registry.folder());
    mirror.fault(&site.path(), 99, Fault::Flip(site.offset(&path(7)) + 11));
    let machine = site.behind(&mirror);
    let ran = ok(&machine, &["sync"]);
    let liar = mirror.url();
    ran.says(&["gave wrong bytes for acme/rows part-0/0007.csv", &liar]);
    whole(&machine);
    let asked: Vec<u64> =
        blobs(&site.server).0.iter().filter(|one| one.path == site.path()).map(|one| one.sent).collect();
    assert_eq!(asked, [SIZE as u64], "the file alone comes from elsewhere");
}

#[test]
fn a_pack_of_other_bytes_is_exit_4_and_nothing_is_placed() {
    let site = Site::new();
    let other: Vec<u8> = (0..FILES).flat_map(|number| rows(number + 5_000)).collect();
    site.server.fault(&site.path(), 99, Fault::Body(other));
    let machine = site.locked(REST);
    let ran = machine.mpm(&["sync"]).expect(4);
    ran.says(&["E0724", "wrong bytes"]);
    assert!(placed(&machine).is_empty());
    let good: BTreeSet<String> = stored(&machine).intersection(&distinct()).cloned().collect();
    assert!(good.len() <= 2, "none of the pack: {good:?}");
    // A pack of another length is not read at all.
    site.server.mend();
    site.server.requests();
    site.server.fault(&site.path(), 99, Fault::Body(vec![b'x'; 10]));
    machine.mpm(&["sync"]).expect(4).says(&["E0724", "found 10 bytes"]);
}

#[test]
fn a_pack_that_is_cut_off_goes_on_at_the_file_where_it_stopped() {
    let site = Site::new();
    // Once with most of it still to come, once with little.
    for number in [5, 151, 298] {
        cut_off(&site, number);
    }
}

fn cut_off(site: &Site, number: usize) {
    let cut = site.offset(&path(number)) + 100;
    site.server.fault(&site.path(), 1, Fault::Cut(cut));
    let machine = site.locked(REST);
    ok(&machine, &["sync"]);
    whole(&machine);
    let requests: Vec<Request> =
        blobs(&site.server).0.into_iter().filter(|request| request.path == site.path()).collect();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].headers["range"], format!("bytes={}-{}", site.offset(&path(number)), site.pack().size - 1));
}

#[test]
fn a_run_that_is_killed_in_the_midst_of_a_pack_leaves_what_it_stored() {
    if !cfg!(feature = "faults") {
        return;
    }
    let site = Site::new();
    let machine = site.locked(REST);
    let killed = machine.command(&["sync"]).env("MPM_FAULT", "blob-rename@100:kill").output().unwrap();
    assert_eq!(Ran::of(&killed).code, 137);
    assert!(placed(&machine).is_empty());
    let before = stored(&machine).len();
    assert!((90..200).contains(&before), "{before}");
    site.server.requests();
    ok(&machine, &["sync"]);
    whole(&machine);
    let (_, bytes) = blobs(&site.server);
    let large = files()["large.csv"].len() as u64;
    assert!(bytes <= site.pack().size + large, "{bytes}");
    assert_eq!(stored(&machine).len(), distinct().len() + 1);
    ok(&machine, &["verify"]);
    let left: Vec<String> = tree(&machine.store().join("v1/partial")).into_keys().collect();
    assert!(left.iter().all(|name| name.ends_with(".lease")), "{left:?}");
}

#[test]
fn two_processes_bring_a_pack_once() {
    let site = Site::new();
    let first = site.locked(REST);
    let second = elsewhere(&first).variable("MPM_STORE", first.store());
    second.write("Model.toml", first.text("Model.toml").unwrap());
    let ran: Vec<Ran> = std::thread::scope(|scope| {
        let run = |project: &Project| Ran::of(&project.command(&["sync"]).output().unwrap());
        let handles = [&first, &second].map(|project| scope.spawn(move || run(project)));
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    for ran in ran {
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    }
    let asked = blobs(&site.server).0.into_iter().filter(|request| request.path == site.path()).count();
    assert_eq!(asked, 1);
    whole(&first);
    whole(&second);
}

#[test]
fn the_files_of_a_pack_that_is_nowhere_may_be_blobs_of_their_own() {
    let site = Site::new();
    std::fs::remove_file(site.registry.folder().join(site.path())).unwrap();
    let machine = site.locked(REST);
    machine.mpm(&["sync"]).expect(3).says(&["can't be had from any place"]);
    for bytes in files().values() {
        let file: PathBuf = site.registry.folder().join(blob_path(&Sha256::of(bytes)));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    ok(&machine, &["sync"]);
    whole(&machine);
}

#[test]
fn a_variant_does_not_bring_the_pack_of_another() {
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    let mut files = BTreeMap::new();
    for number in 0..80 {
        files.insert(format!("a/{number}.csv"), rows(number));
        files.insert(format!("b/{number}.csv"), rows(1_000 + number));
    }
    let more = "default-variant = \"a\"\n\n[variants.a]\ndir = \"a\"\n\n[variants.b]\ndir = \"b\"\n";
    let published = publish_to(&registry, "rows", &files, more);
    assert_eq!((statement(&registry, &published).packs.len(), published.new_blobs), (2, 2));
    let server = Server::start(registry.folder());
    let index = format!("sparse+{}", server.url());
    let machine = Project::new().manifest(&manifest(&registry, &index, REST).replace(", \"uci\"", ""));
    ok(&machine, &["sync"]);
    let (requests, bytes) = blobs(&server);
    assert_eq!((requests.len(), bytes), (1, 80 * SIZE as u64));
    assert_eq!(placed(&machine)["datasets/acme/rows/7.csv"], rows(7));
}

#[test]
fn no_pack_is_written_through_a_link() {
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    let aside = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(registry.folder().join("blobs")).unwrap();
    let _ = std::fs::remove_dir_all(registry.folder().join("blobs/sha256"));
    std::os::unix::fs::symlink(aside.path(), registry.folder().join("blobs/sha256")).unwrap();
    let project = tempfile::tempdir().expect("a folder");
    let out: &Path = &project.path().join("out");
    std::fs::create_dir_all(out).unwrap();
    for number in 0..80 {
        std::fs::write(out.join(format!("{number}.csv")), rows(number)).unwrap();
    }
    let text = "[package]\nname = \"acme/rows\"\nversion = \"1.0.0\"\nkind = \"dataset\"\nlicense = \"CC0-1.0\"\ndir = \"out\"\n";
    let package = Manifest::parse(text).expect("a manifest").package.expect("a package");
    let source = Source { project: project.path(), package: &package, facts: &Facts::default() };
    let refused = publish(&registry.handle(), &source, registry.publisher("acme"), &Cancel::new(), &Silent);
    assert!(refused.is_err() && std::fs::read_dir(aside.path()).unwrap().next().is_none(), "{refused:?}");
}
