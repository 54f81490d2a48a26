//! Outcomes as JSON: a contract. Fields are added, never renamed or removed within a schema's version.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::install::{Altered, Applied};
use crate::model::{Fingerprint, Pin};
use crate::ops::{Change, LaidOut, PackageLine, Travel, sync, tree};
use crate::progress::Notice;

/// A notice, as one line on stderr.
pub(super) fn notice(notice: &Notice) -> Value {
    json!({ "schema": "mpm.notice/1", "code": notice.code, "text": notice.text, "warning": notice.warning })
}

pub(super) fn signers(keys: &BTreeSet<Fingerprint>) -> Value {
    keys.iter().map(Fingerprint::hex).collect()
}

pub(super) fn package(line: &PackageLine) -> Value {
    json!({
        "id": line.id,
        "name": line.name,
        "version": line.version,
        "kind": line.kind.as_str(),
        "key": line.key,
        "variants": line.variants.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "folder": line.folder.as_ref().map(ToString::to_string),
        "bytes": line.bytes,
        "files": line.files,
        "signers": signers(&line.signers),
    })
}

pub(super) fn change(change: &Change) -> Value {
    json!({
        "what": change.what,
        "from": change.from,
        "to": change.to,
        "bytes-before": change.bytes_before,
        "bytes-after": change.bytes_after,
        "signers-before": signers(&change.signers_before),
        "signers-after": signers(&change.signers_after),
        "files": change.files.as_ref().map(|files| json!({
            "added": texts(&files.added),
            "changed": texts(&files.changed),
            "removed": texts(&files.removed),
        })),
    })
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

pub(super) fn changes(changes: &[Change]) -> Value {
    changes.iter().map(change).collect()
}

pub(super) fn travel(travel: &Travel) -> Value {
    json!({
        "blobs": travel.blobs,
        "bytes": travel.bytes,
        "seeded-bytes": travel.seeded_bytes,
        "adopted-blobs": travel.adopted_blobs,
        "adopted-bytes": travel.adopted_bytes,
        "reused-blobs": travel.reused_blobs,
        "reused-bytes": travel.reused_bytes,
        "free": travel.free,
    })
}

pub(super) fn applied(applied: &Applied) -> Value {
    json!({
        "placed": applied.placed,
        "bytes": applied.bytes,
        "removed": applied.removed,
        "adopted": applied.adopted,
        "laid": applied.laid,
        "unlaid": applied.unlaid,
        "link": applied.link,
    })
}

fn laid_out(layout: &LaidOut) -> Value {
    json!({ "layout": layout.layout, "folder": layout.folder.to_string() })
}

pub(super) fn synced(outcome: &sync::Outcome) -> Value {
    json!({
        "project": outcome.project.to_string_lossy(),
        "to": outcome.to.as_ref().map(|to| to.to_string_lossy()),
        "up-to-date": outcome.up_to_date,
        "dry-run": outcome.dry_run,
        "lock-written": outcome.lock_written,
        "lock-changes": changes(&outcome.lock_changes),
        "travel": travel(&outcome.travel),
        "applied": applied(&outcome.applied),
        "packages": outcome.packages.iter().map(package).collect::<Vec<_>>(),
        "changed": outcome.changed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "removed": outcome.removed,
        "unsigned": outcome.unsigned.len(),
        "layouts": outcome.layouts.iter().map(laid_out).collect::<Vec<_>>(),
    })
}

pub(super) fn altered(altered: &Altered) -> Value {
    json!({
        "path": altered.path.to_string(),
        "id": altered.id,
        "how": altered.how,
        "expected": pin(&altered.expected),
        "found": altered.found.as_ref().map(pin),
    })
}

pub(super) fn pin(pin: &Pin) -> Value {
    json!({ "sha256": pin.sha256.hex(), "size": pin.size })
}

pub(super) fn node(node: &tree::Node) -> Value {
    json!({
        "id": node.id,
        "key": node.key,
        "group": node.group,
        "bytes": node.bytes,
        "repeated": node.repeated,
        "children": node.children.iter().map(self::node).collect::<Vec<_>>(),
    })
}
