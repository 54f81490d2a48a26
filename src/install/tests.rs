//! What placing does to a folder, over real files and a real store.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use proptest::prelude::*;

use crate::config::LinkMode;
use crate::diagnose::{Class, Diagnose as _};
use crate::install::disk::Standing;
use crate::install::receipt::PlacedPackage;
use crate::install::records::Records;
use crate::install::{
    Applied, InstallError, Link, MAX_INLINE_FILES, OnChanged, PlacedFiles, Plan, Receipt, Scrutiny, Site, Wanted,
    apply, disk, place, plan, wire,
};
use crate::model::shaken::{put, shaken};
use crate::model::{Pin, RelPath, Sha256};
use crate::progress::Silent;
use crate::store::Store;
use crate::sys::Cancel;

struct Bench {
    _folder: tempfile::TempDir,
    project: PathBuf,
    store: Store,
    link: LinkMode,
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).expect("path")
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temp");
        let project = folder.path().join("project");
        fs::create_dir(&project).expect("project");
        let store = Store::open(&folder.path().join("store")).expect("store");
        Self { project, store, _folder: folder, link: LinkMode::Auto }
    }

    fn site(&self) -> Site<'_> {
        Site { project: &self.project, store: &self.store, link: self.link }
    }

    /// A package in `models/<key>` with these files; their bytes go into the store.
    fn package(&self, key: &str, files: &[(&str, &str)]) -> Wanted {
        let folder = path("models").join(&path(key)).expect("folder");
        let mut files: Vec<(RelPath, Pin)> = files
            .iter()
            .map(|(name, text)| {
                let pin = self.store.put_bytes(text.as_bytes()).expect("store");
                (folder.join(&path(name)).expect("path"), pin)
            })
            .collect();
        files.sort();
        let id = format!("test:{key}@1.0.0");
        Wanted { key: Some(key.to_owned()), id, release: None, layout: None, folder, variants: Vec::new(), files }
    }

    fn plan(&self, wanted: &[Wanted], on_changed: OnChanged) -> Result<Plan, InstallError> {
        let receipt = self.site().receipt()?;
        plan::plan(&self.project, wanted, receipt.as_ref(), on_changed, &Cancel::new())
    }

    fn sync(&self, wanted: &[Wanted]) -> Result<Applied, InstallError> {
        self.sync_with(wanted, OnChanged::Refuse)
    }

    fn sync_with(&self, wanted: &[Wanted], on_changed: OnChanged) -> Result<Applied, InstallError> {
        let plan = self.plan(wanted, on_changed)?;
        apply::apply(&self.site(), &plan, wanted, Sha256::of(b"inputs"), &Cancel::new(), &Silent)
    }

    fn receipt(&self) -> Receipt {
        self.site().receipt().expect("reads").expect("is there")
    }

    fn altered(&self, scrutiny: Scrutiny) -> Vec<(String, &'static str)> {
        let altered = self.site().altered(&self.receipt(), scrutiny, &Cancel::new(), &Silent).expect("looks");
        altered.into_iter().map(|one| (one.path.to_string(), one.how)).collect()
    }

    fn text(&self, at: &str) -> Option<String> {
        fs::read_to_string(self.project.join(at)).ok()
    }

    /// Replaces a placed file as an editor does that writes a new one.
    fn edit(&self, at: &str, text: &str) {
        let full = self.project.join(at);
        let _ = fs::remove_file(&full);
        fs::create_dir_all(full.parent().expect("parent")).expect("folder");
        fs::File::create(&full)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .expect("edit");
    }
}

#[test]
fn what_is_wanted_is_placed_read_only_and_found_again() {
    let bench = Bench::new();
    let wanted = [bench.package("acme/a", &[("w.bin", "weights"), ("sub/c.json", "{}")])];
    let applied = bench.sync(&wanted).expect("first");
    assert_eq!((applied.placed, applied.bytes, applied.removed), (2, 9, 0));
    assert!(applied.link.is_some());
    assert_eq!(bench.text("models/acme/a/sub/c.json").as_deref(), Some("{}"));
    let mode = fs::metadata(bench.project.join("models/acme/a/w.bin")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
    assert_eq!(bench.text(".mpm/.gitignore").as_deref(), Some("*\n"));
    assert!(!bench.project.join(".mpm/pending.jsonl").exists());
    for scrutiny in [Scrutiny::Quick, Scrutiny::Stat, Scrutiny::Hash] {
        assert_eq!(bench.altered(scrutiny), []);
    }
    let again = bench.plan(&wanted, OnChanged::Refuse).expect("second");
    assert!(again.is_empty());
    assert_eq!(again.keep, 2);
}

#[test]
fn each_way_of_linking_places_the_same_bytes() {
    for (link, word) in [(LinkMode::Hard, "hard link"), (LinkMode::Symlink, "symlink"), (LinkMode::Copy, "copy")] {
        let mut bench = Bench::new();
        bench.link = link;
        let wanted = [bench.package("a", &[("w.bin", "weights")])];
        assert_eq!(bench.sync(&wanted).expect("places").link, Some(word));
        assert_eq!(bench.text("models/a/w.bin").as_deref(), Some("weights"));
        assert_eq!(bench.altered(Scrutiny::Quick), [], "{word}");
        assert_eq!(bench.altered(Scrutiny::Hash), [], "{word}");
        assert!(bench.plan(&wanted, OnChanged::Refuse).expect("plan").is_empty(), "{word}");
        let gone = bench.sync(&[]).expect("removes");
        assert_eq!(gone.removed, 1, "{word}");
    }
}

#[test]
fn a_way_of_linking_that_is_impossible_is_told_and_none_is_taken_in_its_place() {
    let mut bench = Bench::new();
    bench.link = LinkMode::Hard;
    let wanted = [bench.package("a", &[("w.bin", "weights")])];
    // A blob that somebody may write to is never linked: a write to the project's file would change the store.
    let entry = bench.store.find(&Pin::of(b"weights")).expect("finds").expect("is there");
    fs::set_permissions(&entry.path, fs::Permissions::from_mode(0o644)).expect("changed");
    let error = bench.sync(&wanted).expect_err("not by hard link");
    assert_eq!((error.code().0, error.class()), ("E0758", Class::Yours), "{error}");
    assert!(error.to_string().contains("models/a/w.bin by hard link"), "{error}");
    assert_eq!(bench.text("models/a/w.bin"), None);
    bench.link = LinkMode::Auto;
    bench.sync(&wanted).expect("another way is found where one may be chosen");
}

#[test]
fn a_hard_link_shares_the_stores_inode() {
    let mut bench = Bench::new();
    bench.link = LinkMode::Hard;
    let wanted = [bench.package("a", &[("w.bin", "weights")])];
    bench.sync(&wanted).expect("places");
    let entry = bench.store.find(&Pin::of(b"weights")).expect("finds").expect("is there");
    let placed = fs::metadata(bench.project.join("models/a/w.bin")).expect("there");
    assert_eq!(placed.ino(), fs::metadata(entry.path).expect("blob").ino());
}

#[test]
fn a_change_of_version_replaces_and_removes() {
    let bench = Bench::new();
    bench.sync(&[bench.package("a", &[("w.bin", "one"), ("old/x.txt", "x")])]).expect("first");
    let applied = bench.sync(&[bench.package("a", &[("w.bin", "two"), ("new.txt", "n")])]).expect("second");
    assert_eq!((applied.placed, applied.removed), (2, 1));
    assert_eq!(bench.text("models/a/w.bin").as_deref(), Some("two"));
    assert!(!bench.project.join("models/a/old").exists());
    let applied = bench.sync(&[]).expect("third");
    assert_eq!(applied.removed, 2);
    assert!(!bench.project.join("models").exists());
}

#[test]
fn a_file_may_become_a_folder_and_back() {
    let bench = Bench::new();
    bench.sync(&[bench.package("a", &[("x", "file")])]).expect("file");
    bench.sync(&[bench.package("a", &[("x/y", "below")])]).expect("folder");
    assert_eq!(bench.text("models/a/x/y").as_deref(), Some("below"));
    bench.sync(&[bench.package("a", &[("x", "file")])]).expect("file again");
    assert_eq!(bench.text("models/a/x").as_deref(), Some("file"));
}

#[test]
fn files_in_the_way_are_all_named_and_stay() {
    let bench = Bench::new();
    bench.edit("models/a/one.bin", "mine");
    bench.edit("models/a/two.bin", "mine too");
    fs::create_dir_all(bench.project.join("models/a/three.bin")).expect("folder");
    let wanted = [bench.package("a", &[("one.bin", "1"), ("two.bin", "theirs 2"), ("three.bin", "3"), ("ok", "4")])];
    let error = bench.sync(&wanted).expect_err("in the way");
    assert_eq!(error.code().0, "E0754");
    for name in ["one.bin", "two.bin", "three.bin"] {
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(!bench.project.join("models/a/ok").exists());
    assert_eq!(bench.text("models/a/one.bin").as_deref(), Some("mine"));
}

#[test]
fn long_lists_are_cut_with_a_count() {
    let paths = (0..25).map(|n| path(&format!("f{n:02}"))).collect();
    let text = InstallError::InTheWay { paths }.to_string();
    assert!(text.starts_with("25 files stand in the way"), "{text}");
    assert!(text.ends_with("… and 15 more"), "{text}");
}

#[test]
fn an_identical_file_is_taken_over() {
    let bench = Bench::new();
    bench.edit("models/a/w.bin", "weights");
    let applied = bench.sync(&[bench.package("a", &[("w.bin", "weights")])]).expect("adopts");
    assert_eq!((applied.placed, applied.adopted), (0, 1));
    let receipt = bench.receipt();
    let PlacedFiles::Inline(files) = &receipt.packages.first().expect("one").files else { panic!("inline") };
    assert_eq!(files.first().map(|file| file.link), Some(Link::Adopted));
}

#[test]
fn a_changed_file_stops_sync_and_repair_replaces_it() {
    let bench = Bench::new();
    let wanted = [bench.package("a", &[("w.bin", "weights"), ("c.json", "{}")])];
    bench.sync(&wanted).expect("first");
    bench.edit("models/a/w.bin", "edited!");
    for scrutiny in [Scrutiny::Quick, Scrutiny::Stat, Scrutiny::Hash] {
        assert_eq!(bench.altered(scrutiny), [("models/a/w.bin".to_owned(), "changed")]);
    }
    let error = bench.sync(&wanted).expect_err("changed");
    assert_eq!(error.code().0, "E0755");
    assert_eq!(bench.text("models/a/w.bin").as_deref(), Some("edited!"));
    bench.sync_with(&wanted, OnChanged::Replace).expect("repairs");
    assert_eq!(bench.text("models/a/w.bin").as_deref(), Some("weights"));
    assert_eq!(bench.altered(Scrutiny::Hash), []);
}

#[test]
fn a_missing_file_comes_back_unasked() {
    let bench = Bench::new();
    let wanted = [bench.package("a", &[("w.bin", "weights")])];
    bench.sync(&wanted).expect("first");
    fs::remove_file(bench.project.join("models/a/w.bin")).expect("remove");
    assert_eq!(bench.altered(Scrutiny::Quick), [("models/a/w.bin".to_owned(), "missing")]);
    assert_eq!(bench.sync(&wanted).expect("second").placed, 1);
}

#[test]
fn a_changed_file_that_no_longer_belongs_stays() {
    let bench = Bench::new();
    bench.sync(&[bench.package("a", &[("w.bin", "weights"), ("c", "c")])]).expect("first");
    bench.edit("models/a/w.bin", "mine now");
    let plan = bench.plan(&[], OnChanged::Refuse).expect("plan");
    assert_eq!(plan.left, [path("models/a/w.bin")]);
    bench.sync(&[]).expect("second");
    assert_eq!(bench.text("models/a/w.bin").as_deref(), Some("mine now"));
    assert!(!bench.project.join("models/a/c").exists());
}

#[test]
fn a_touched_file_is_read_once_and_noted() {
    let bench = Bench::new();
    let wanted = [bench.package("a", &[("w.bin", "weights")])];
    bench.sync(&wanted).expect("first");
    bench.edit("models/a/w.bin", "weights");
    let site = bench.site();
    let examined = site.examine(&bench.receipt(), Scrutiny::Quick, &Cancel::new(), &Silent).expect("looks");
    assert_eq!(examined.altered, []);
    site.write_receipt(&examined.refreshed.expect("refreshed")).expect("writes");
    let examined = site.examine(&bench.receipt(), Scrutiny::Quick, &Cancel::new(), &Silent).expect("looks");
    assert_eq!(examined.refreshed, None);
}

#[test]
fn nothing_is_placed_through_a_symlink() {
    let bench = Bench::new();
    let elsewhere = bench.project.join("elsewhere");
    fs::create_dir(&elsewhere).expect("folder");
    for link in ["models", "models/a"] {
        let _ = fs::remove_file(bench.project.join("models"));
        fs::create_dir_all(bench.project.join(link).parent().expect("parent")).expect("folder");
        symlink(&elsewhere, bench.project.join(link)).expect("symlink");
        let error = bench.sync(&[bench.package("a", &[("w.bin", "weights")])]).expect_err("a symlink");
        assert_eq!(error.code().0, "E0756", "{link}");
        assert!(error.to_string().contains(link), "{error}");
        assert_eq!(fs::read_dir(&elsewhere).expect("read").count(), 0);
    }
}

#[test]
fn a_users_symlink_is_in_the_way_even_if_its_bytes_are_right() {
    let bench = Bench::new();
    bench.edit("mine.bin", "weights");
    fs::create_dir_all(bench.project.join("models/a")).expect("folder");
    symlink(bench.project.join("mine.bin"), bench.project.join("models/a/w.bin")).expect("symlink");
    let error = bench.sync(&[bench.package("a", &[("w.bin", "weights")])]).expect_err("a symlink");
    assert_eq!(error.code().0, "E0754");
}

#[test]
fn a_run_that_died_leaves_files_that_the_next_one_owns() {
    let bench = Bench::new();
    let first = [bench.package("a", &[("w.bin", "one"), ("x", "x")])];
    // What a run leaves that dies between placing and the receipt.
    let plan = bench.plan(&first, OnChanged::Refuse).expect("plan");
    let records = Records::of(&bench.project);
    records.prepare().expect("folder");
    records.write_pending(plan.place.iter().map(|(path, pin)| (path, pin))).expect("pending");
    bench.edit("models/a/w.bin", "one");
    let leftover = place::staged(&bench.project.join("models/a/x"), &path("models/a/x"));
    fs::File::create(&leftover).expect("staged");
    // The next run wants something else.
    let applied = bench.sync(&[bench.package("a", &[("w.bin", "two")])]).expect("goes on");
    assert_eq!(applied.placed, 1);
    assert_eq!(bench.text("models/a/w.bin").as_deref(), Some("two"));
    assert!(!leftover.exists());
    assert_eq!(bench.altered(Scrutiny::Hash), []);
}

#[test]
fn a_missing_blob_and_a_wish_to_stop_are_told() {
    let bench = Bench::new();
    let mut wanted = bench.package("a", &[("w.bin", "weights")]);
    wanted.files = vec![(path("models/a/w.bin"), Pin::of(b"not in the store"))];
    assert_eq!(bench.sync(&[wanted]).expect_err("missing").code().0, "E0757");
    let wanted = [bench.package("a", &[("w.bin", "weights")])];
    let plan = bench.plan(&wanted, OnChanged::Refuse).expect("plan");
    let cancel = Cancel::new();
    cancel.cancel();
    let stopped = apply::apply(&bench.site(), &plan, &wanted, Sha256::of(b""), &cancel, &Silent);
    assert_eq!(stopped.expect_err("stopped").code().0, "E0759");
}

#[test]
fn a_large_package_is_looked_at_by_folder() {
    let mut bench = Bench::new();
    bench.link = LinkMode::Symlink;
    let mut wanted = bench.package("a", &[("w.bin", "weights")]);
    let pin = Pin::of(b"weights");
    let names = (0..=MAX_INLINE_FILES).map(|n| (path(&format!("models/a/d{}/f{n:05}", n % 7)), pin));
    wanted.files = names.collect();
    wanted.files.sort();
    let wanted = [wanted];
    bench.sync(&wanted).expect("places");
    let receipt = bench.receipt();
    let PlacedFiles::Table { folders, .. } = &receipt.packages.first().expect("one").files else { panic!("a table") };
    assert_eq!(folders.len(), 8);
    assert_eq!(bench.altered(Scrutiny::Quick), []);
    assert_eq!(bench.altered(Scrutiny::Stat), []);
    fs::remove_file(bench.project.join("models/a/d3/f00003")).expect("remove");
    assert_eq!(bench.altered(Scrutiny::Quick), [("models/a/d3/f00003".to_owned(), "missing")]);
    assert_eq!(bench.sync(&wanted).expect("again").placed, 1);
    assert_eq!(fs::read_dir(bench.project.join(".mpm/files")).expect("tables").count(), 1);
}

#[test]
fn receipts_that_do_not_read_are_told_apart() {
    for (text, code) in [
        ("", "E0752"),
        ("{}", "E0752"),
        (r#"{"type":"mpm.receipt/2"}"#, "E0753"),
        (r#"{"type":"mpm.lock/1","packages":[]}"#, "E0752"),
        (r#"{"type":"mpm.receipt/1","packages":[{"id":"x","folder":"../x","size":0,"count":0,"files":[]}]}"#, "E0752"),
    ] {
        let bench = Bench::new();
        bench.edit(".mpm/receipt.json", text);
        assert_eq!(bench.site().receipt().expect_err("refused").code().0, code, "{text}");
    }
}

#[test]
fn a_pipe_is_not_a_file() {
    let found = disk::standing(std::path::Path::new("/dev/null")).expect("looks");
    assert_eq!(found, Standing::Other);
}

/// A receipt, the table of its large package and a list of pending files.
fn records() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let bench = Bench::new();
    let small = bench.package("a", &[("w.bin", "weights"), ("sub/c.json", "{}")]);
    let mut large = bench.package("b", &[("w.bin", "weights")]);
    let names = (0..=MAX_INLINE_FILES).map(|n| (path(&format!("models/b/f{n:05}")), Pin::of(b"weights")));
    large.files = names.collect();
    bench.sync(&[small, large]).expect("places");
    let records = Records::of(&bench.project);
    let (at, pin) = (path("models/a/w.bin"), Pin::of(b"weights"));
    records.write_pending([(&at, &pin)].into_iter()).expect("written");
    let table = fs::read_dir(bench.project.join(".mpm/files")).expect("tables").next().expect("one").expect("read");
    let read = |at: PathBuf| fs::read(at).expect("read");
    let mut table = read(table.path());
    // Two lines do as well as a thousand.
    let end = table.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).expect("two lines").0;
    table.truncate(end + 1);
    (read(bench.project.join(".mpm/receipt.json")), table, read(bench.project.join(".mpm/pending.jsonl")))
}

fn read_or_damaged<T>(result: Result<T, InstallError>) -> Result<(), TestCaseError> {
    if let Err(error) = result {
        prop_assert!(matches!(error.code().0, "E0752" | "E0753"), "{error}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = wire::parse_receipt(&bytes);
        let _ = wire::parse_file(&bytes);
        let _ = wire::parse_pending(&bytes);
    }

    #[test]
    fn records_near_good_ones_are_read_or_damaged((receipt, table, pending) in {
        let (receipt, table, pending) = records();
        (shaken(&receipt), shaken(&table), shaken(&pending))
    }) {
        let folder = tempfile::tempdir().expect("a folder");
        let project = folder.path().join("project");
        let records = Records::of(&project);
        put(&project.join(".mpm/receipt.json"), &receipt);
        put(&project.join(".mpm/pending.jsonl"), &pending);
        let digest = Sha256::of(&table);
        put(&project.join(".mpm/files").join(format!("{}.jsonl", digest.hex())), &table);
        read_or_damaged(records.pending())?;
        read_or_damaged(records.receipt())?;
        if let Ok(receipt) = wire::parse_receipt(&receipt) {
            for package in receipt.packages {
                // A receipt may name any table; here it names the one that is there.
                let files = match package.files {
                    PlacedFiles::Table { folders, .. } => PlacedFiles::Table { digest, folders },
                    inline @ PlacedFiles::Inline(_) => inline,
                };
                read_or_damaged(records.each_file(&PlacedPackage { files, ..package }, &mut |_| Ok(())))?;
            }
        }
    }
}

#[test]
fn records_that_are_no_regular_files_are_not_read() {
    let bench = Bench::new();
    bench.sync(&[bench.package("a", &[("w.bin", "weights")])]).expect("places");
    let records = Records::of(&bench.project);
    for place in ["receipt.json", "pending.jsonl"] {
        let place = bench.project.join(".mpm").join(place);
        let _ = fs::remove_file(&place);
        // Who opens a pipe to read waits for a writer that never comes.
        rustix::fs::mknodat(rustix::fs::CWD, &place, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .expect("a pipe");
    }
    assert_eq!(records.receipt().expect_err("a pipe").code().0, "E0751");
    assert_eq!(records.pending().expect_err("a pipe").code().0, "E0751");
    fs::remove_file(bench.project.join(".mpm/pending.jsonl")).expect("removed");
    symlink("/etc/hostname", bench.project.join(".mpm/pending.jsonl")).expect("linked");
    assert_eq!(records.pending().expect_err("a symlink").code().0, "E0751");
}

#[test]
fn records_behind_a_link_are_neither_written_nor_cleaned_up() {
    let bench = Bench::new();
    let wanted = [bench.package("a", &[("w.bin", "weights")])];
    bench.sync(&wanted).expect("places");
    let outside = tempfile::tempdir().expect("a folder");
    put(&outside.path().join("thesis.txt"), b"mine");
    symlink(outside.path(), bench.project.join(".mpm/files")).expect("linked");
    let receipt = bench.receipt();
    let error = bench.site().write_receipt(&receipt).expect_err("refused");
    assert_eq!(error.code().0, "E0751", "{error}");
    let wanted = [bench.package("a", &[("w.bin", "others")])];
    let error = bench.sync(&wanted).expect_err("refused");
    assert_eq!(error.code().0, "E0751", "{error}");
    assert_eq!(fs::read_to_string(outside.path().join("thesis.txt")).expect("there"), "mine");
    assert_eq!(bench.text("models/a/w.bin").as_deref(), Some("weights"));
}
