//! What each fuzz target does with bytes: shared by the programs of this folder and by a test that runs on every toolchain.
//!
//! A body may not panic, nor take long, whatever comes. Where a format has one fixed form, what parses is written and read again,
//! and must be the same.

use modelpm::bundle::Table;
use modelpm::catalog::{Node, PackageLog};
use modelpm::chunk::ChunkList;
use modelpm::hub::{next_query, parse_commit, parse_tree};
use modelpm::keys::SecretKey;
use modelpm::lock::{Found, Lock, LockedSource};
use modelpm::manifest::Manifest;
use modelpm::model::{
    DependencyKey, Glob, HubId, HubRevision, Namespace, PackageId, PackageName, Pin, PublicKey, RegistryId, RelPath,
    Requirement, SafeUrl, Sha256, Signature, Timestamp,
};
use modelpm::scan::{look, name_rules};
use modelpm::statement::{ListPin, Statement, parse_list, render_list};
use modelpm::sys::{netrc_hosts, parse_content_range};
use modelpm::trust::{Checkpoint, ImportRecord, NamespaceEntry, Registrar, TrustRoot, YankRecord, count_signers};

/// Names and bodies, in the order of the pipeline.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("manifest", manifest),
    ("lock", lock),
    ("file_table", file_table),
    ("config", config),
    ("root", root),
    ("registrar", registrar),
    ("namespace", namespace),
    ("checkpoint", checkpoint),
    ("yank", yank),
    ("import", import),
    ("signature", signature),
    ("keys", keys),
    ("packages_node", packages_node),
    ("namespaces_node", namespaces_node),
    ("log", log),
    ("statement", statement),
    ("file_list", file_list),
    ("chunk_index", chunk_index),
    ("bundle_table", bundle_table),
    ("hub_commit", hub_commit),
    ("hub_tree", hub_tree),
    ("content", content),
    ("content_range", content_range),
    ("netrc", netrc),
    ("words", words),
];

/// Compares a document with itself, written and read again.
fn same<T: PartialEq + std::fmt::Debug, E: std::fmt::Debug>(
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, E>,
    render: impl Fn(&T) -> Vec<u8>,
) {
    if let Ok(document) = parse(bytes) {
        let written = render(&document);
        let again = parse(&written).expect("what is written can be read");
        assert_eq!(again, document, "it is read as it was written");
        assert_eq!(render(&again), written, "one document, one form");
    }
}

pub fn manifest(bytes: &[u8]) {
    let _ = Manifest::parse(&String::from_utf8_lossy(bytes));
}

pub fn lock(bytes: &[u8]) {
    if let Ok(Found::Whole(lock)) = Lock::parse(&String::from_utf8_lossy(bytes)) {
        let written = lock.render();
        let Ok(Found::Whole(again)) = Lock::parse(&written) else { panic!("what is written can be read: {written}") };
        assert_eq!(again.render(), written, "one lock, one form");
    }
}

pub fn chunk_index(bytes: &[u8]) {
    // The blob is the one that the bytes name, so that more of them than the header is read.
    let sha256 = bytes
        .get(24..)
        .and_then(|rest| rest.first_chunk::<32>())
        .map_or(Sha256::of(b""), |raw| Sha256::from_bytes(*raw));
    let size = bytes.get(16..).and_then(|rest| rest.first_chunk::<8>()).map_or(0, |raw| u64::from_le_bytes(*raw));
    let pin = Pin { sha256, size };
    if let Ok(list) = ChunkList::parse(bytes, &pin) {
        assert_eq!(list.render(), bytes, "one list, one form");
        assert_eq!(list.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>(), size);
        assert!(list.at(size).is_none());
    }
}

pub fn file_table(bytes: &[u8]) {
    if let Ok(files) = LockedSource::parse_table(bytes, &Pin::of(bytes)) {
        let written = LockedSource::table_bytes(&files);
        assert_eq!(LockedSource::parse_table(&written, &Pin::of(&written)).expect("written"), files);
    }
}

pub fn config(bytes: &[u8]) {
    let _ = modelpm::config::parse(&String::from_utf8_lossy(bytes), "config.toml");
}

pub fn root(bytes: &[u8]) {
    same(bytes, TrustRoot::parse, TrustRoot::render);
}

pub fn registrar(bytes: &[u8]) {
    same(bytes, Registrar::parse, Registrar::render);
}

pub fn namespace(bytes: &[u8]) {
    let (registry, namespace) = (RegistryId::parse("acme").expect("an id"), Namespace::parse("acme").expect("a name"));
    same(bytes, |bytes| NamespaceEntry::parse(bytes, &registry, &namespace), NamespaceEntry::render);
}

pub fn checkpoint(bytes: &[u8]) {
    same(bytes, Checkpoint::parse, Checkpoint::render);
}

pub fn yank(bytes: &[u8]) {
    same(bytes, YankRecord::parse, YankRecord::render);
}

/// A key of the original tool; no bytes that this makes hold under it but by a break of Ed25519.
const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

pub fn signature(bytes: &[u8]) {
    if let Ok(signature) = Signature::parse(bytes) {
        assert_eq!(signature.as_str().as_bytes(), bytes, "kept as it came");
        let key = PublicKey::parse(KEY).expect("a key");
        assert!(count_signers(&[key], 1, bytes, &[signature]).is_none(), "a signature of itself");
    }
}

pub fn keys(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = PublicKey::parse(text.trim_end());
    let _ = text.lines().map(PublicKey::parse).filter(Result::is_ok).count();
    // Without a password, so that no input buys itself a key derivation.
    let _ = SecretKey::open(&text, None);
}

pub fn packages_node(bytes: &[u8]) {
    for prefix in ["", "0f"] {
        let _ = Node::parse_packages(bytes, prefix);
    }
}

pub fn namespaces_node(bytes: &[u8]) {
    for prefix in ["", "0f"] {
        let _ = Node::parse_namespaces(bytes, prefix);
    }
}

pub fn log(bytes: &[u8]) {
    if let Ok(log) = PackageLog::parse(bytes) {
        let written: Vec<u8> = log.releases.iter().flat_map(|(event, _)| PackageLog::render_release(event)).collect();
        assert_eq!(PackageLog::parse(&written).expect("written").releases.len(), log.releases.len());
        assert!(log.releases.iter().all(|(_, end)| *end <= bytes.len() as u64));
    }
}

pub fn statement(bytes: &[u8]) {
    same(bytes, Statement::parse, Statement::render);
}

pub fn file_list(bytes: &[u8]) {
    let list =
        ListPin { pin: Pin::of(bytes), count: bytes.iter().filter(|byte| **byte == b'\n').count() as u64, bytes: 0 };
    let _ = parse_list(bytes, &list);
    // With the sum that it asks for, so that good ones get further.
    let sizes = String::from_utf8_lossy(bytes).split("\"size\":").skip(1).fold(0_u64, |sum, rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        sum.saturating_add(digits.parse().unwrap_or(0))
    });
    if let Ok(entries) = parse_list(bytes, &ListPin { bytes: sizes, ..list }) {
        let written = render_list(&entries);
        let again = parse_list(&written, &ListPin { pin: Pin::of(&written), bytes: sizes, ..list });
        assert_eq!(again.expect("what is written can be read"), entries, "it is read as it was written");
    }
}

fn hub() -> HubId {
    HubId::parse("hf:acme/minilm@main").expect("an id")
}

pub fn hub_commit(bytes: &[u8]) {
    let _ = parse_commit(&hub(), bytes);
}

pub fn hub_tree(bytes: &[u8]) {
    let _ = parse_tree(&hub(), bytes);
    let _ = next_query(&String::from_utf8_lossy(bytes));
}

pub fn content(bytes: &[u8]) {
    for name in ["model.safetensors", "model.gguf", "model.onnx", "weights.npz", "data.pkl", "config.json", "README"] {
        let name = RelPath::parse(name).expect("a path");
        look(&name, bytes.len() as u64, &bytes).expect("memory can be read");
    }
}

pub fn content_range(bytes: &[u8]) {
    if let Some((first, last, total)) = parse_content_range(&String::from_utf8_lossy(bytes)) {
        assert!(first <= last && total.is_none_or(|total| last < total));
    }
}

pub fn import(bytes: &[u8]) {
    same(bytes, ImportRecord::parse, ImportRecord::render);
}

pub fn bundle_table(bytes: &[u8]) {
    if let Ok(table) = Table::parse(bytes) {
        assert_eq!(table.render().as_bytes(), bytes, "one table, one form");
        assert!(!table.files.keys().any(|path| path.starts_with('/') || path.split('/').any(|part| part == "..")));
    }
}

pub fn netrc(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for host in netrc_hosts(&text).unwrap_or_default() {
        assert!(text.to_ascii_lowercase().contains(&host.to_ascii_lowercase()), "{host} is not in the file");
    }
}

pub fn words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for text in [&*text, text.trim_end()] {
        if let Ok(path) = RelPath::parse(text) {
            assert!(
                !text.split('/').any(|part| part.is_empty() || part == "." || part == ".."),
                "{path} leads elsewhere"
            );
            let _ = name_rules(&path);
        }
        if let Ok(name) = PackageName::parse(text) {
            assert_eq!(name.to_string(), text);
            let _ = (name.normalised(), name.skeleton(), name.namespace());
        }
        if let Ok(url) = SafeUrl::parse(text) {
            assert!(!url.to_string().contains('@') || url.inner().password().is_none(), "a password is shown");
        }
        let _ = (Requirement::parse(text), PackageId::parse(text), DependencyKey::parse(text), Glob::parse(text));
        let _ = (HubId::parse(text), HubRevision::parse(text), Sha256::parse(text));
        let _ =
            text.parse().ok().and_then(|seconds| Timestamp::from_seconds(seconds).ok()).map(|time| time.to_string());
    }
}
