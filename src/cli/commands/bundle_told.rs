//! What `mpm bundle` says: the report that a change board reads, as text and as JSON.

use crate::bundle;
use crate::cli::commands::mirror::{age, amount};
use crate::cli::printer::{Printer, visible};
use crate::cli::text;
use crate::mirror::{Corrupt, Found, Inspected};
use crate::model::{Fingerprint, PackageName, Sha256, Timestamp};
use crate::ops::bundle_import::Into;
use crate::ops::{bundle_create, bundle_import, bundle_look};

/// How closely a bundle was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrying {
    /// Its table and its signed files.
    Listed,
    /// Every entry was hashed as well.
    Verified,
}

/// What was made.
pub(super) fn created(outcome: &bundle_create::Outcome, now: Timestamp, printer: &mut Printer) {
    let (made, dry_run) = (&outcome.packed.mirror, outcome.dry_run);
    let blobs = text::count(made.came.files, "blob");
    let verb = if dry_run { "Would fetch" } else { "Fetched" };
    printer.say(&format!("{verb} {blobs} ({})", text::bytes(made.came.bytes)));
    if dry_run {
        printer.say(&format!("{} are free", text::bytes(made.free)));
    }
    for what in &made.left_out {
        printer.say(&visible(&format!(" - {what} is not in the place that was copied")));
    }
    for source in &outcome.sources {
        printer.say(&visible(&format!(" + {source}")));
    }
    let contents = &made.contents;
    let bytes = contents.blobs.union(&contents.loose).fold(0_u64, |sum, pin| sum.saturating_add(pin.size));
    let number = contents.blobs.union(&contents.loose).count() as u64;
    let verb = if dry_run { "would hold" } else { "holds" };
    printer.say(&visible(&format!(
        "The bundle {verb} checkpoint {} of {}, signed {} ago: {} of {}, {} ({})",
        made.head.at,
        made.head.registry,
        age(now.since(made.head.issued)),
        text::count(made.releases, "release"),
        text::count(made.packages, "package"),
        text::count(number, "blob"),
        text::bytes(bytes)
    )));
    for file in &outcome.packed.files {
        printer.data(&visible(&file.display().to_string()));
    }
    if let Some(digest) = outcome.packed.digest {
        printer.say(&format!("Its table is sha256:{digest}: tell that to whoever imports it"));
    }
    let files: Vec<_> = outcome.packed.files.iter().map(|file| file.to_string_lossy()).collect();
    printer.document(
        "mpm.bundle-create/1",
        serde_json::json!({
            "files": files,
            "table": outcome.packed.digest.map(|digest| digest.hex()),
            "dry-run": dry_run,
            "registry": made.head.registry.as_str(),
            "root": outcome.root.hex(),
            "checkpoint": made.head.at.to_string(),
            "issued": made.head.issued.seconds(),
            "packages": made.packages,
            "releases": made.releases,
            "sources": outcome.sources,
            "fetched": amount(&made.came),
            "index-files": contents.files.len(),
            "blobs": { "files": number, "bytes": bytes },
            "left-out": made.left_out,
            "free": made.free,
        }),
    );
}

/// What was seen.
pub(super) fn looked(seen: &bundle_look::Outcome, how: Carrying, now: Timestamp, printer: &mut Printer) {
    let inspected = &seen.inspected;
    heading(&seen.bundle, inspected, now, printer);
    for found in &inspected.found {
        printer.data(&visible(&line(found, None)));
    }
    closing(&seen.bundle, inspected, printer);
    if inspected.missing.files > 0 {
        let blobs = text::count(inspected.missing.files, "blob");
        let bytes = text::bytes(inspected.missing.bytes);
        printer.say(&format!("{blobs} ({bytes}) of these releases are not in it"));
    }
    match (inspected.is_sound(), how) {
        (true, Carrying::Verified) => printer.say("Every signed file counts, every entry was hashed: all good"),
        (true, Carrying::Listed) => {
            printer.say("Every signed file counts; entries were not hashed: `mpm bundle verify` does that");
        }
        (false, _) => printer.always("This is not what `mpm bundle create` wrote: do not import it"),
    }
    let schema = match how {
        Carrying::Listed => "mpm.bundle-list/1",
        Carrying::Verified => "mpm.bundle-verify/1",
    };
    printer.document(schema, document(&seen.bundle, inspected, now));
}

/// What came, or would.
pub(super) fn imported(outcome: &bundle_import::Outcome, into: &Into, now: Timestamp, printer: &mut Printer) {
    let inspected = &outcome.inspected;
    heading(&outcome.bundle, inspected, now, printer);
    for found in &inspected.found {
        let new = outcome.new.contains(&found.statement.sha256);
        printer.data(&visible(&line(found, Some(new))));
    }
    closing(&outcome.bundle, inspected, printer);
    let place = match into {
        Into::Store => "the store".to_owned(),
        Into::Mirror(folder) => folder.display().to_string(),
    };
    let came = outcome.mirror.as_ref().map(|made| (made.came.files, made.came.bytes));
    let came = came.or(outcome.travel.as_ref().map(|travel| (travel.blobs, travel.bytes)));
    for what in outcome.mirror.iter().flat_map(|made| &made.left_out) {
        printer.say(&visible(&format!(" - {what} is not in the bundle: not in this copy until one brings it")));
    }
    let verb = if outcome.dry_run { "Would import" } else { "Imported" };
    let told = came.map_or_else(String::new, |(files, bytes)| {
        format!(": {} ({})", text::count(files, "blob"), text::bytes(bytes))
    });
    printer
        .say(&visible(&format!("{verb} {} into {place}{told}", text::count(outcome.new.len() as u64, "new release"))));
    if let Some(record) = &outcome.record {
        let verb = if outcome.dry_run { "Would sign" } else { "Signed" };
        printer.say(&format!("{verb} {record}"));
    }
    let mut told = document(&outcome.bundle, inspected, now);
    if let Some(object) = told.as_object_mut() {
        object.insert("into".to_owned(), place.into());
        object.insert("dry-run".to_owned(), outcome.dry_run.into());
        let new: Vec<String> = outcome.new.iter().map(Sha256::hex).collect();
        object.insert("new".to_owned(), new.into());
        let left_out = outcome.mirror.as_ref().map(|made| made.left_out.clone()).unwrap_or_default();
        object.insert("left-out".to_owned(), left_out.into());
        let (files, bytes) = came.unwrap_or_default();
        object.insert("came".to_owned(), serde_json::json!({ "files": files, "bytes": bytes }));
        object.insert("record".to_owned(), serde_json::json!(outcome.record));
    }
    printer.document("mpm.bundle-import/1", told);
}

fn heading(bundle: &bundle::Bundle, inspected: &Inspected, now: Timestamp, printer: &mut Printer) {
    let (head, table) = (&inspected.head, bundle.table());
    printer.say(&visible(&format!(
        "Registry {} (root sha256:{}), checkpoint {}, signed {} ago; table sha256:{}",
        head.registry,
        table.head.root,
        head.at,
        age(now.since(head.issued)),
        bundle.digest()
    )));
    printer.say(&match head.expires {
        None => "It never expires: a freeze can't be seen".to_owned(),
        Some(expires) if expires > now => format!("It expires in {}", age(expires.since(now))),
        Some(expires) => format!("It expired {} ago", age(now.since(expires))),
    });
    if let Some(since) = table.head.since {
        printer.say(&format!("It holds what is new since checkpoint {}", since.checkpoint));
    }
}

/// A release, for who decides about it.
fn line(found: &Found, new: Option<bool>) -> String {
    let mark = match new {
        Some(true) => "new  ",
        Some(false) => "there ",
        None => "",
    };
    let signers: Vec<String> = found.signers.iter().map(Fingerprint::short).collect();
    let formats: Vec<&str> = found.formats.iter().map(String::as_str).collect();
    let mut text = format!(
        "{mark}{} {} ({}): {} in {}; licence {}; formats {}; signed by {}",
        found.name,
        found.version,
        found.kind.as_str(),
        text::bytes(found.bytes),
        text::count(found.files, "file"),
        found.licence.as_deref().unwrap_or("not stated"),
        if formats.is_empty() { "not stated".to_owned() } else { formats.join(", ") },
        signers.join(", ")
    );
    for (said, word) in [(found.code, "holds code"), (found.yanked, "yanked"), (!found.whole, "in part")] {
        if said {
            text.push_str("; ");
            text.push_str(word);
        }
    }
    text
}

fn closing(bundle: &bundle::Bundle, inspected: &Inspected, printer: &mut Printer) {
    let (number, bytes) = loose(bundle);
    if number > 0 {
        let blobs = text::count(number, "blob");
        printer.say(&format!(
            "{blobs} ({}) that no release names: only a lock that pins them uses them",
            text::bytes(bytes)
        ));
        for source in &bundle.table().head.sources {
            printer.say(&visible(&format!(" + {source}, as its maker says")));
        }
    }
    for (name, lines) in &inspected.advisories {
        printer.say(&visible(&format!("{} about {name}", text::count(*lines, "advisory line"))));
    }
    if inspected.revoked > 0 {
        printer.say(&format!("{} revoked by the registrar", text::count(inspected.revoked as u64, "key or release")));
    }
    for corrupt in &inspected.corrupt {
        printer.data(&visible(&format!("corrupt {}: {}", corrupt.path, corrupt.why)));
    }
    for damage in &inspected.damages {
        let file = damage.file.display();
        printer.data(&visible(&format!("damaged {} in {file}: {}", damage.path, damage.why)));
    }
    for path in &inspected.extra {
        printer.data(&visible(&format!("extra   {path}: nothing signed leads to it")));
    }
}

/// Blobs that no release names, and their bytes.
fn loose(bundle: &bundle::Bundle) -> (u64, u64) {
    let loose = bundle.table().blobs.values().filter(|blob| blob.loose);
    loose.fold((0, 0), |(number, bytes), blob| (number + 1, blob.size.saturating_add(bytes)))
}

fn document(bundle: &bundle::Bundle, inspected: &Inspected, now: Timestamp) -> serde_json::Value {
    let (head, table) = (&inspected.head, bundle.table());
    let release = |found: &Found| {
        serde_json::json!({
            "name": found.name.as_str(),
            "version": found.version.to_string(),
            "kind": found.kind.as_str(),
            "statement": found.statement.sha256.hex(),
            "signers": found.signers.iter().map(Fingerprint::hex).collect::<Vec<_>>(),
            "licence": found.licence,
            "formats": found.formats,
            "code": found.code,
            "files": found.files,
            "bytes": found.bytes,
            "yanked": found.yanked,
            "whole": found.whole,
            "admitted": found.admitted.time.seconds(),
        })
    };
    let advisory = |(name, lines)| serde_json::json!({ "name": PackageName::as_str(name), "lines": lines });
    let advisories: Vec<serde_json::Value> = inspected.advisories.iter().map(advisory).collect();
    let corrupt = |one: &Corrupt| serde_json::json!({ "path": one.path, "why": one.why });
    let damaged = |one: &bundle::Damage| serde_json::json!({ "path": one.path, "why": one.why, "file": one.file.to_string_lossy() });
    let (number, bytes) = loose(bundle);
    serde_json::json!({
        "table": bundle.digest().hex(),
        "registry": head.registry.as_str(),
        "root": table.head.root.hex(),
        "checkpoint": head.at.to_string(),
        "issued": head.issued.seconds(),
        "age": now.since(head.issued),
        "expires": head.expires.map(Timestamp::seconds),
        "since": table.head.since.map(|since| since.checkpoint.to_string()),
        "packages": inspected.packages,
        "releases": inspected.found.iter().map(release).collect::<Vec<_>>(),
        "sources": table.head.sources,
        "source-files": { "files": number, "bytes": bytes },
        "missing": amount(&inspected.missing),
        "advisories": advisories,
        "revoked": inspected.revoked,
        "corrupt": inspected.corrupt.iter().map(corrupt).collect::<Vec<_>>(),
        "damaged": inspected.damages.iter().map(damaged).collect::<Vec<_>>(),
        "extra": inspected.extra,
    })
}
