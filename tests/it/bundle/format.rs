//! The container: golden files, and that any bytes are refused or are one bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use modelpm::bundle::{Bundle, BundleError, Head, Shape, Since, Source, Table, write};
use modelpm::diagnose::Diagnose as _;
use modelpm::model::{CheckpointNumber, Pin, RegistryId, Sha256, VariantName};
use modelpm::sys::Cancel;
use proptest::prelude::*;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bundle")
}

/// The contents of the golden bundle.
fn contents() -> (Table, BTreeMap<String, Vec<u8>>, BTreeMap<Sha256, Vec<u8>>) {
    let files: BTreeMap<String, Vec<u8>> = [
        ("checkpoint.json", "{\n  \"type\": \"mpm.checkpoint/1\"\n}\n"),
        ("packages/acme/minilm.jsonl", "{\"event\":\"release\"}\n"),
        ("trust/root/1.json", ""),
    ]
    .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
    .into();
    let blobs: Vec<Vec<u8>> = vec![b"weights".to_vec(), vec![7; 5_000], Vec::new()];
    let loose = vec![b"of a lock".to_vec()];
    let head = Head {
        registry: RegistryId::parse("acme").unwrap(),
        root: Sha256::of(b"root"),
        checkpoint: CheckpointNumber { epoch: 1, number: 42 },
        checkpoint_sha256: Sha256::of(&files["checkpoint.json"]),
        since: Some(Since { checkpoint: CheckpointNumber { epoch: 1, number: 40 }, bundle: Some(Sha256::of(b"old")) }),
        partial: false,
        variants: BTreeSet::from([VariantName::parse("f32").unwrap(), VariantName::parse("int8").unwrap()]),
        sources: BTreeSet::from(["hf:Qwen/Qwen3-0.6B@main".to_owned()]),
    };
    let pins = files.iter().map(|(path, bytes)| (path.clone(), Pin::of(bytes))).collect();
    let of = |blobs: &[Vec<u8>]| blobs.iter().map(|bytes| Pin::of(bytes)).collect::<BTreeSet<Pin>>();
    let table = Table::lay_out(head, &pins, &of(&blobs), &of(&loose)).unwrap();
    let all = blobs.into_iter().chain(loose).map(|bytes| (Sha256::of(&bytes), bytes)).collect();
    (table, files, all)
}

fn made(to: &Path, shape: Shape) -> Result<Vec<PathBuf>, BundleError> {
    let (table, files, blobs) = contents();
    let open = |source: Source<'_>| -> std::io::Result<Option<Box<dyn Read + Send>>> {
        let bytes = match source {
            Source::File(path) => files[path].clone(),
            Source::Blob(pin) => blobs[&pin.sha256].clone(),
        };
        Ok(Some(Box::new(std::io::Cursor::new(bytes))))
    };
    write(&table, (to, shape), to.parent().unwrap(), &open, (&Cancel::new(), &|_| ()))
}

fn opened(bytes: &[u8]) -> Result<Bundle, BundleError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mpmb");
    std::fs::write(&path, bytes).unwrap();
    Bundle::open(&[path])
}

/// Bytes of a bundle whose table is this text.
fn with_table(text: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = format!("mpm.bundle/1 {:010} {}\n{text}", text.len(), Sha256::of(text.as_bytes())).into_bytes();
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    bytes.extend_from_slice(data);
    bytes
}

/// Bad bundles, by the code that each is refused with.
fn bad() -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.mpmb");
    made(&path, Shape::File).unwrap();
    let good = std::fs::read(&path).unwrap();
    let (table, ..) = contents();
    let text = table.render();
    let begin = good.len() - usize::try_from(table.data).unwrap();
    let data = &good[begin..];
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        with_table(&text.replacen(from, to, 1), data)
    };
    let path_line = "packages/acme/minilm.jsonl";
    vec![
        ("E1080-empty", Vec::new()),
        (
            "E1080-zip",
            b"PK\x03\x04 and so on, and so on, and so on, and so on, and so on, and so on, and so on, and on\n"
                .to_vec(),
        ),
        ("E1080-version", [b"mpm.bundle/2", &good[12..]].concat()),
        ("E1081-digest", [&good[..30], b"0000", &good[34..]].concat()),
        ("E1081-escape", changed(path_line, "packages/../../minilm.json")),
        ("E1081-absolute", changed(path_line, "/etc/cron.d/minilm.jsonlxx")),
        ("E1081-import", changed(path_line, "imports/acme/minilm.jsonlx")),
        ("E1081-order", changed("checkpoint.json", "yanks/anext.jso")),
        ("E1081-offset", changed("blob 4096 ", "blob 4097 ")),
        ("E1081-word", changed("registry acme", "registry  acme")),
        ("E1081-since", changed("since 1.40", "since 1.040")),
        ("E1081-twice", changed("variant f32\n", "variant f32\nvariant f32\n")),
        ("E1081-end", changed("end ", "end 1")),
        ("E1081-more", with_table(&format!("{text}file 0 0\n"), data)),
        ("E1081-crlf", with_table(&text.replace('\n', "\r\n"), data)),
        ("E1082-short", good[..good.len() - 1].to_vec()),
        ("E1082-long", [&good[..], b"\0"].concat()),
    ]
}

#[test]
fn golden_bundles_are_written_as_they_are_and_bad_ones_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.mpmb");
    made(&path, Shape::File).unwrap();
    let good = std::fs::read(&path).unwrap();
    if std::env::var_os("MPM_TEST_REWRITE").is_some() {
        std::fs::create_dir_all(golden().join("bad")).unwrap();
        std::fs::write(golden().join("good.mpmb"), &good).unwrap();
        for (name, bytes) in bad() {
            std::fs::write(golden().join("bad").join(format!("{name}.mpmb")), bytes).unwrap();
        }
    }
    assert_eq!(std::fs::read(golden().join("good.mpmb")).unwrap(), good);
    let bundle = Bundle::open(&[golden().join("good.mpmb")]).unwrap();
    assert_eq!(*bundle.table(), contents().0);
    assert_eq!(bundle.damages(&Cancel::new(), &|_| ()).unwrap(), []);
    assert_eq!(bundle.length(), good.len() as u64);
    for (name, bytes) in bad() {
        let path = golden().join("bad").join(format!("{name}.mpmb"));
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{name}");
        let error = Bundle::open(&[path]).expect_err(name);
        assert_eq!(error.code().0, &name[..5], "{name}: {error}");
        assert!(!error.hints().is_empty());
    }
    let count = std::fs::read_dir(golden().join("bad")).unwrap().count();
    assert_eq!(count, bad().len());
}

#[test]
fn the_example_of_the_page_is_a_table() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats/bundle.md")).unwrap();
    let (_, rest) = page.split_once("<!-- example: table -->\n```text\n").unwrap();
    let (text, _) = rest.split_once("```\n").unwrap();
    let bundle = opened(&with_table(text, &vec![0; 4097])).unwrap();
    assert_eq!(bundle.table().render(), text);
    assert_eq!(bundle.table().files.len(), 2);
}

#[test]
fn a_table_holds_no_more_than_it_may() {
    let head = contents().0.head;
    let pins = BTreeMap::from([("releases/x.json".to_owned(), Pin { sha256: Sha256::of(b"x"), size: (1 << 30) + 1 })]);
    assert!(Table::lay_out(head.clone(), &pins, &BTreeSet::new(), &BTreeSet::new()).is_none());
    let large = BTreeSet::from([Pin { sha256: Sha256::of(b"x"), size: 1 << 54 }]);
    assert!(Table::lay_out(head.clone(), &BTreeMap::new(), &large, &BTreeSet::new()).is_none());
    let twice = [1, 2].map(|size| Pin { sha256: Sha256::of(b"x"), size }).into();
    assert!(Table::lay_out(head, &BTreeMap::new(), &twice, &BTreeSet::new()).is_none());
    let (size, digest) = (300_u64 << 20, Sha256::of(b""));
    assert!(opened(format!("mpm.bundle/1 {size:010} {digest}\n").as_bytes()).is_err());
}

#[test]
fn what_is_too_much_and_a_wish_to_stop_leave_nothing() {
    let too_much = BundleError::TooMuch;
    assert_eq!((too_much.code().0, too_much.hints().len()), ("E1086", 1));
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("x.mpmb");
    let (table, ..) = contents();
    let cancel = Cancel::new();
    cancel.cancel();
    let open =
        |_: Source<'_>| -> std::io::Result<Option<Box<dyn Read + Send>>> { Ok(Some(Box::new(std::io::empty()))) };
    let error = write(&table, (&to, Shape::File), folder.path(), &open, (&cancel, &|_| ())).expect_err("stopped");
    assert_eq!(error.code().0, "E1089");
    let bundle = Bundle::open(&[golden().join("good.mpmb")]).unwrap();
    assert_eq!(bundle.damages(&cancel, &|_| ()).expect_err("stopped").code().0, "E1089");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_source_that_changes_while_it_is_written_leaves_nothing() {
    let (table, files, _) = contents();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("x.mpmb");
    let open = |source: Source<'_>| -> std::io::Result<Option<Box<dyn Read + Send>>> {
        match source {
            Source::File(path) => Ok(Some(Box::new(std::io::Cursor::new(files[path].clone())))),
            Source::Blob(_) => Ok(Some(Box::new(std::io::repeat(1).take(1 << 20)))),
        }
    };
    let work = tempfile::tempdir_in(folder.path()).unwrap();
    let error = write(&table, (&to, Shape::File), work.path(), &open, (&Cancel::new(), &|_| ())).expect_err("changed");
    assert_eq!(error.code().0, "E1088");
    assert!(!to.exists());
    assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0);
}

proptest! {
    #[test]
    fn any_bytes_are_a_bundle_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = opened(&bytes);
        let _ = opened(&[b"mpm.bundle/1 ", &bytes[..]].concat());
        let _ = opened(&[b"mpm.volume/1 1 1 ", &bytes[..]].concat());
    }

    #[test]
    fn any_text_is_a_table_in_its_one_form_or_an_error(lines in proptest::collection::vec("(registry|checkpoint|since|variant|source|file|blob|loose|end) [a-z0-9 ./-]{0,90}", 0..8)) {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        if let Ok(bundle) = opened(&with_table(&text, b"")) {
            prop_assert_eq!(bundle.table().render(), text);
        }
    }

    #[test]
    fn a_changed_byte_is_an_error_or_a_damage(at in 0_usize..20_000, flip in 1_u8..=255) {
        let good = std::fs::read(golden().join("good.mpmb")).unwrap();
        let mut bytes = good.clone();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.mpmb");
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(bundle) = Bundle::open(&[path]) {
            prop_assert!(!bundle.damages(&Cancel::new(), &|_| ()).unwrap().is_empty(), "byte {at}");
        }
    }

    #[test]
    fn volumes_read_as_the_file_whatever_their_size(slice in 2_000_u64..9_000) {
        let folder = tempfile::tempdir().unwrap();
        let files = made(&folder.path().join("x.mpmb"), Shape::Volumes(4096 + slice)).unwrap();
        let bundle = Bundle::open(&files).unwrap();
        prop_assert_eq!(bundle.damages(&Cancel::new(), &|_| ()).unwrap(), []);
        prop_assert_eq!(bundle.table(), &contents().0);
    }
}
