//! The text of receipts, file tables and lists of pending files (docs/formats/receipt.md).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::install::receipt::{Link, PlacedFile, PlacedFiles, PlacedFolder, PlacedPackage, Receipt, Stat};
use crate::model::{DependencyKey, GroupName, Pin, RelPath, Sha256};
use crate::select::{Choice, Groups};

/// Most bytes of a receipt.
pub(super) const MAX_RECEIPT: u64 = 256 << 20;
/// Most bytes of a line of a table.
pub(super) const MAX_LINE: u64 = 8 << 10;
/// The type of this version.
const TYPE: &str = "mpm.receipt/1";

/// Why a receipt does not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Of another version.
    Newer(String),
    /// Not a receipt.
    Damaged(String),
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
struct WireReceipt {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inputs: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    meaning: Option<String>,
    #[serde(default, skip_serializing_if = "WireChoice::is_default")]
    choice: WireChoice,
    packages: Vec<WirePackage>,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
struct WireChoice {
    #[serde(default, rename = "all-groups", skip_serializing_if = "std::ops::Not::not")]
    all_groups: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    only: Vec<String>,
}

impl WireChoice {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Serialize, Deserialize)]
struct WirePackage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layout: Option<String>,
    folder: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    statement: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    variants: Vec<String>,
    size: u64,
    count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<Vec<WireFile>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    folders: Vec<WireFolder>,
}

#[derive(Serialize, Deserialize)]
struct WireFile {
    path: String,
    sha256: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    mtime: i64,
    inode: u64,
    device: u64,
    link: String,
}

#[derive(Serialize, Deserialize)]
struct WireFolder {
    path: String,
    mtime: i64,
    inode: u64,
}

#[derive(Serialize, Deserialize)]
struct WirePending {
    path: String,
    sha256: String,
    size: u64,
}

/// Parses a receipt.
pub(super) fn parse_receipt(bytes: &[u8]) -> Result<Receipt, Unreadable> {
    let head: Head = serde_json::from_slice(bytes).map_err(|error| Unreadable::Damaged(error.to_string()))?;
    if head.kind != TYPE {
        return Err(match head.kind.strip_prefix("mpm.receipt/") {
            Some(_) => Unreadable::Newer(head.kind.chars().take(80).collect()),
            None => Unreadable::Damaged("it is not of type mpm.receipt/1".to_owned()),
        });
    }
    let wire: WireReceipt = serde_json::from_slice(bytes).map_err(|error| Unreadable::Damaged(error.to_string()))?;
    let inputs = wire.inputs.as_deref().map(Sha256::parse).transpose().map_err(damaged)?;
    let meaning = wire.meaning.as_deref().map(Sha256::parse).transpose().map_err(damaged)?;
    let choice = choice(wire.choice).map_err(Unreadable::Damaged)?;
    let packages = wire.packages.into_iter().map(package).collect::<Result<_, _>>().map_err(Unreadable::Damaged)?;
    Ok(Receipt { inputs, choice, meaning, packages })
}

/// The text of a receipt.
pub(super) fn render_receipt(receipt: &Receipt) -> Vec<u8> {
    let wire = WireReceipt {
        kind: TYPE.to_owned(),
        inputs: receipt.inputs.map(|digest| digest.hex()),
        meaning: receipt.meaning.map(|digest| digest.hex()),
        choice: wire_choice(&receipt.choice),
        packages: receipt.packages.iter().map(wire_package).collect(),
    };
    // Strings, integers and lists serialize without failing.
    let mut bytes = serde_json::to_vec_pretty(&wire).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Parses one line of a file table.
pub(super) fn parse_file(line: &[u8]) -> Result<PlacedFile, String> {
    file(&serde_json::from_slice(line).map_err(|error| error.to_string())?)
}

/// One line of a file table.
pub(super) fn render_file(file: &PlacedFile) -> Vec<u8> {
    line(&wire_file(file))
}

/// Parses one line of the pending files.
pub(super) fn parse_pending(line: &[u8]) -> Result<(RelPath, Pin), String> {
    let wire: WirePending = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let path = RelPath::parse(&wire.path).map_err(|error| error.to_string())?;
    let sha256 = Sha256::parse(&wire.sha256).map_err(|error| error.to_string())?;
    Ok((path, Pin { sha256, size: wire.size }))
}

/// One line of the pending files.
pub(super) fn render_pending(path: &RelPath, pin: &Pin) -> Vec<u8> {
    line(&WirePending { path: path.as_str().to_owned(), sha256: pin.sha256.hex(), size: pin.size })
}

fn line<T: Serialize>(wire: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(wire).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn damaged(error: impl std::fmt::Display) -> Unreadable {
    Unreadable::Damaged(error.to_string())
}

fn choice(wire: WireChoice) -> Result<Choice, String> {
    let groups = wire.groups.iter().map(|name| name.parse()).collect::<Result<BTreeSet<GroupName>, _>>();
    let groups = groups.map_err(|error| error.to_string())?;
    let only = wire.only.iter().map(|key| DependencyKey::parse(key)).collect::<Result<_, _>>();
    Ok(Choice {
        groups: match (wire.all_groups, groups.is_empty()) {
            (true, _) => Groups::All,
            (false, true) => Groups::None,
            (false, false) => Groups::Some(groups),
        },
        profile: wire.profile,
        only: only.map_err(|error| error.to_string())?,
    })
}

fn wire_choice(choice: &Choice) -> WireChoice {
    WireChoice {
        all_groups: choice.groups == Groups::All,
        groups: match &choice.groups {
            Groups::Some(groups) => groups.iter().map(ToString::to_string).collect(),
            Groups::None | Groups::All => Vec::new(),
        },
        profile: choice.profile.clone(),
        only: choice.only.iter().map(ToString::to_string).collect(),
    }
}

fn package(wire: WirePackage) -> Result<PlacedPackage, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let files = match (wire.files, wire.table) {
        (Some(files), None) => PlacedFiles::Inline(files.iter().map(file).collect::<Result<_, _>>()?),
        (None, Some(table)) => PlacedFiles::Table {
            digest: Sha256::parse(&table).map_err(|error| text(&error))?,
            folders: wire.folders.iter().map(folder).collect::<Result<_, _>>()?,
        },
        _ => return Err(format!("package {:.80} must have either files or a table", wire.id)),
    };
    Ok(PlacedPackage {
        key: wire.key,
        id: wire.id,
        layout: wire.layout,
        folder: RelPath::parse(&wire.folder).map_err(|error| text(&error))?,
        statement: wire.statement.as_deref().map(Sha256::parse).transpose().map_err(|error| text(&error))?,
        variants: wire.variants,
        size: wire.size,
        count: wire.count,
        files,
    })
}

fn file(wire: &WireFile) -> Result<PlacedFile, String> {
    let link = match wire.link.as_str() {
        "reflink" => Link::Reflink,
        "hard" => Link::Hard,
        "symlink" => Link::Symlink,
        "copy" => Link::Copy,
        "adopted" => Link::Adopted,
        other => return Err(format!("{other:?} is no way to place a file")),
    };
    let sha256 = Sha256::parse(&wire.sha256).map_err(|error| error.to_string())?;
    Ok(PlacedFile {
        path: RelPath::parse(&wire.path).map_err(|error| error.to_string())?,
        pin: Pin { sha256, size: wire.size },
        stat: Stat {
            size: wire.length.unwrap_or(wire.size),
            mtime: wire.mtime,
            inode: wire.inode,
            device: wire.device,
        },
        link,
    })
}

fn folder(wire: &WireFolder) -> Result<PlacedFolder, String> {
    let path = RelPath::parse(&wire.path).map_err(|error| error.to_string())?;
    Ok(PlacedFolder { path, mtime: wire.mtime, inode: wire.inode })
}

fn wire_package(package: &PlacedPackage) -> WirePackage {
    let (files, table, folders) = match &package.files {
        PlacedFiles::Inline(files) => (Some(files.iter().map(wire_file).collect()), None, Vec::new()),
        PlacedFiles::Table { digest, folders } => {
            (None, Some(digest.hex()), folders.iter().map(wire_folder).collect::<Vec<_>>())
        }
    };
    WirePackage {
        key: package.key.clone(),
        id: package.id.clone(),
        layout: package.layout.clone(),
        folder: package.folder.as_str().to_owned(),
        statement: package.statement.map(|digest| digest.hex()),
        variants: package.variants.clone(),
        size: package.size,
        count: package.count,
        files,
        table,
        folders,
    }
}

fn wire_file(file: &PlacedFile) -> WireFile {
    let link = match file.link {
        Link::Reflink => "reflink",
        Link::Hard => "hard",
        Link::Symlink => "symlink",
        Link::Copy => "copy",
        Link::Adopted => "adopted",
    };
    WireFile {
        path: file.path.as_str().to_owned(),
        sha256: file.pin.sha256.hex(),
        size: file.pin.size,
        length: (file.stat.size != file.pin.size).then_some(file.stat.size),
        mtime: file.stat.mtime,
        inode: file.stat.inode,
        device: file.stat.device,
        link: link.to_owned(),
    }
}

fn wire_folder(folder: &PlacedFolder) -> WireFolder {
    WireFolder { path: folder.path.as_str().to_owned(), mtime: folder.mtime, inode: folder.inode }
}
