//! Words that several commands use: sizes, packages, changes.

use std::collections::BTreeSet;

use indicatif::HumanCount;

use crate::cli::printer::{BOLD, DIM, GREEN, Printer, RED, YELLOW, paint, visible};
use crate::model::{Fingerprint, HumanSize};
use crate::ops::{Change, FilesChange, LaidOut, PackageLine, Travel, sync};

/// A size for people: KiB, MiB, GiB.
pub(super) fn bytes(bytes: u64) -> String {
    HumanSize(bytes).to_string()
}

/// `1 file`, `2 files`.
pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", HumanCount(number), if number == 1 { "" } else { "s" })
}

/// Who signed, short or in full.
pub(super) fn signers(keys: &BTreeSet<Fingerprint>, full: bool) -> String {
    if keys.is_empty() {
        return "signed by nobody".to_owned();
    }
    let shown: Vec<String> = keys.iter().map(|key| if full { key.hex() } else { key.short() }).collect();
    format!("signed by {}", shown.join(", "))
}

/// `demo/digits-mlp 1.1.0 (f32) 24.1 KiB signed by …`.
pub(super) fn package(line: &PackageLine, full: bool) -> String {
    let variants: Vec<String> = line.variants.iter().map(ToString::to_string).collect();
    let variants = if variants.is_empty() { String::new() } else { format!(" ({})", variants.join(", ")) };
    let folder = match &line.folder {
        Some(folder) if full => format!("  in {folder}"),
        _ => String::new(),
    };
    format!(
        "{} {}{variants} {}  {}{folder}",
        paint(BOLD, visible(&line.name)),
        visible(&line.version),
        bytes(line.bytes),
        paint(DIM, signers(&line.signers, full)),
    )
}

/// One difference between locks.
pub(super) fn change(change: &Change, full: bool) -> String {
    let what = paint(BOLD, visible(&change.what));
    match (&change.from, &change.to) {
        (None, Some(to)) => format!(
            " {} {what} {} {}  {}",
            paint(GREEN, "+"),
            visible(to),
            bytes(change.bytes_after),
            paint(DIM, signers(&change.signers_after, full)),
        ),
        (Some(from), None) => {
            format!(" {} {what} {} {}", paint(RED, "-"), visible(from), bytes(change.bytes_before))
        }
        (from, to) => {
            let version = |version: &Option<String>| visible(version.as_deref().unwrap_or("?"));
            let keys = if change.signers_before == change.signers_after {
                signers(&change.signers_after, full)
            } else {
                format!("{}, before {}", signers(&change.signers_after, full), signers(&change.signers_before, full))
            };
            let files = change.files.as_ref().map(|files| changed_files(files, full)).unwrap_or_default();
            format!(
                " {} {what} {} -> {} {} -> {}  {}{files}",
                paint(YELLOW, "~"),
                version(from),
                version(to),
                bytes(change.bytes_before),
                bytes(change.bytes_after),
                paint(DIM, keys),
            )
        }
    }
}

/// How many of the packages nobody signed, and which; nothing where each is signed.
pub(super) fn unsigned(ids: &[String], packages: u64, printer: &mut Printer) {
    const SHOWN: usize = 3;
    if ids.is_empty() {
        return;
    }
    let distinct: BTreeSet<&String> = ids.iter().collect();
    let mut names: Vec<String> = distinct.iter().take(SHOWN).map(|id| visible(id)).collect();
    if let Some(more) = distinct.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        names.push(format!("{more} more"));
    }
    let verb = if ids.len() == 1 { "is" } else { "are" };
    let of = count(packages, "package");
    printer.say(&format!("{} of {of} {verb} signed by nobody: {}", HumanCount(ids.len() as u64), names.join(", ")));
}

/// A line for each file that differs, up to some.
fn changed_files(files: &FilesChange, full: bool) -> String {
    let shown = if full { usize::MAX } else { 10 };
    let signs = [(&files.added, GREEN, "+"), (&files.changed, YELLOW, "~"), (&files.removed, RED, "-")];
    let all: Vec<String> = signs
        .iter()
        .flat_map(|(paths, colour, sign)| {
            paths.iter().map(move |path| format!("\n     {} {}", paint(*colour, sign), visible(path.as_str())))
        })
        .collect();
    let more = all.len().saturating_sub(shown);
    let text: String = all.into_iter().take(shown).collect();
    if more > 0 { format!("{text}\n     and {more} more") } else { text }
}

/// What travelled, or would.
pub(super) fn travel(travel: &Travel, dry_run: bool, verbose: bool, printer: &mut Printer) {
    if travel.blobs > 0 && dry_run {
        printer.say(&format!(
            "Would fetch {} ({}; {} free)",
            count(travel.blobs, "blob"),
            bytes(travel.bytes),
            bytes(travel.free)
        ));
    } else if travel.blobs > 0 {
        printer.say(&format!("Fetched {} ({})", count(travel.blobs, "blob"), bytes(travel.bytes)));
    }
    if travel.seeded_bytes > 0 {
        let took = if dry_run { "Would take" } else { "Took" };
        printer.say(&format!("{took} {} out of earlier versions: not downloaded", bytes(travel.seeded_bytes)));
    }
    if travel.adopted_blobs > 0 {
        printer.say(&format!(
            "Took {} ({}) from the Hugging Face cache: not downloaded",
            count(travel.adopted_blobs, "blob"),
            bytes(travel.adopted_bytes)
        ));
    }
    if verbose && travel.reused_blobs > 0 {
        printer.say(&format!(
            "Reused {} of the store ({})",
            count(travel.reused_blobs, "blob"),
            bytes(travel.reused_bytes)
        ));
    }
}

/// What a `sync` did, or would do.
pub(super) fn synced(outcome: &sync::Outcome, verbose: bool, printer: &mut Printer) {
    let packages = outcome.packages.len() as u64;
    if outcome.up_to_date && !outcome.lock_written && outcome.lock_changes.is_empty() {
        printer.say(&format!("Nothing to do: {} as locked", count(packages, "package")));
        unsigned(&outcome.unsigned, packages, printer);
        return;
    }
    let (placed, removed) = if outcome.dry_run { ("Would place", "Would remove") } else { ("Placed", "Removed") };
    if !outcome.lock_changes.is_empty() || outcome.lock_written {
        printer.say(&format!("Resolved {}", count(outcome.lock_entries.max(packages), "package")));
    }
    travel(&outcome.travel, outcome.dry_run, verbose, printer);
    if outcome.dry_run && outcome.travel.blobs == 0 {
        printer.say("Would fetch nothing: the store has it all");
    }
    let applied = &outcome.applied;
    if applied.placed > 0 {
        let by = applied.link.map(|link| format!(" by {link}")).unwrap_or_default();
        printer.say(&format!("{placed} {} ({}){by}", count(applied.placed, "file"), bytes(applied.bytes)));
    }
    if applied.removed > 0 {
        printer.say(&format!("{removed} {}", count(applied.removed, "file")));
    }
    if applied.laid > 0 {
        let at = |one: &LaidOut| format!("{} in {}", one.layout, one.folder);
        let layouts: Vec<String> = outcome.layouts.iter().map(at).collect();
        printer.say(&format!("Laid out {} for {}", count(applied.laid, "file"), layouts.join(", ")));
    }
    if applied.unlaid > 0 {
        printer.say(&format!("Removed {} of layouts", count(applied.unlaid, "file")));
    }
    for line in
        outcome.packages.iter().filter(|line| line.folder.as_ref().is_some_and(|at| outcome.changed.contains(at)))
    {
        let before = outcome
            .lock_changes
            .iter()
            .find(|change| line.id.strip_prefix(change.what.as_str()).is_some_and(|rest| rest.starts_with('@')))
            .and_then(|change| change.from.as_deref());
        match before {
            Some(before) => {
                printer.say(&format!(" {} {}  from {}", paint(YELLOW, "~"), package(line, verbose), visible(before)));
            }
            None => printer.say(&format!(" {} {}", paint(GREEN, "+"), package(line, verbose))),
        }
    }
    for id in &outcome.removed {
        printer.say(&format!(" {} {}", paint(RED, "-"), visible(id)));
    }
    if outcome.changed.is_empty() && outcome.removed.is_empty() {
        for one in &outcome.lock_changes {
            printer.say(&change(one, verbose));
        }
    }
    unsigned(&outcome.unsigned, packages, printer);
}
