//! `mpm mirror`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::commands::part::PartArgs;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{Printer, visible};
use crate::cli::settings::Settings;
use crate::cli::text;
use crate::diagnose::Class;
use crate::mirror::{Amount, Depth, Survey};
use crate::model::{Sha256, Timestamp};
use crate::ops::{mirror_sync, mirror_verify};

/// Copies of registries, all or a part: folders that any web server can serve, and that are registries themselves
#[derive(Debug, Args)]
pub(in crate::cli) struct Mirror {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a copy of a registry, or bring one up to date
    Sync(Box<Sync>),
    /// Hash every blob of a mirror, and check every signed file; opens no socket
    Verify(Look),
    /// Tell what a mirror holds, how old it is, and what it lacks; opens no socket
    Status(Look),
}

/// Make a copy of a registry, or bring one up to date
#[derive(Debug, Args)]
pub(in crate::cli) struct Sync {
    /// The folder of the mirror: empty, not there yet, or made by this command
    #[arg(value_name = "DEST")]
    to: PathBuf,
    #[command(flatten)]
    part: PartArgs,
    /// Hash the blobs that are there, and fetch again what is damaged
    #[arg(long)]
    check: bool,
    /// Remove what is not asked for any more, of what this command placed
    #[arg(long)]
    prune: bool,
}

/// A mirror to look at
#[derive(Debug, Args)]
struct Look {
    /// The folder of the mirror
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The sha256 of the first root that it must have
    #[arg(long, value_name = "SHA256", value_parser = Sha256::parse)]
    root: Option<Sha256>,
}

/// A span of time for people.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => text::count(seconds, "second"),
        120..7_200 => text::count(seconds / 60, "minute"),
        7_200..172_800 => text::count(seconds / 3_600, "hour"),
        _ => text::count(seconds / 86_400, "day"),
    }
}

impl Sync {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> mirror_sync::Request {
        mirror_sync::Request {
            start: settings.start.clone(),
            to: settings.start.join(&self.to),
            source: self.part.source(),
            locks: self.part.locks(settings),
            wish: self.part.wish(),
            check: self.check,
            prune: self.prune,
            dry_run: self.part.dry_run,
            yes: self.part.yes,
            wait: self.part.wait(),
        }
    }

    fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let outcome = mirror_sync::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        say(&outcome, services.now, context.printer);
        context.printer.document("mpm.mirror-sync/1", document(&outcome));
        Ok(Status::Done)
    }
}

fn say(outcome: &mirror_sync::Outcome, now: Timestamp, printer: &mut Printer) {
    let (made, dry_run) = (&outcome.mirror, outcome.dry_run);
    let told = |amount: Amount| format!("{} ({})", text::count(amount.files, "blob"), text::bytes(amount.bytes));
    let verb = if dry_run { "Would fetch" } else { "Fetched" };
    let there = if made.there.files > 0 { format!("; {} there already", told(made.there)) } else { String::new() };
    printer.say(&format!("{verb} {}{there}", told(made.came)));
    if dry_run {
        printer.say(&format!("{} are free", text::bytes(made.free)));
    }
    let verb = if dry_run { "Would write" } else { "Wrote" };
    printer.say(&format!("{verb} {} of the index", text::count(made.written, "file")));
    if made.pruned.files > 0 {
        let verb = if dry_run { "Would remove" } else { "Removed" };
        let files = text::count(made.pruned.files, "file");
        printer.say(&format!("{verb} {files} ({}) that are not asked for any more", text::bytes(made.pruned.bytes)));
    }
    for what in &made.left_out {
        printer.say(&visible(&format!(" - {what} is not in the place that was copied")));
    }
    for source in &outcome.sources {
        printer.say(&visible(&format!(" + {source}")));
    }
    let releases = text::count(made.releases, "release");
    let packages = text::count(made.packages, "package");
    let (head, folder) = (&made.head, outcome.to.display());
    let verb = if dry_run { "would show" } else { "shows" };
    printer.say(&visible(&format!(
        "{folder} {verb} checkpoint {} of {}, signed {} ago: {releases} of {packages}",
        head.at,
        head.registry,
        age(now.since(head.issued))
    )));
}

pub(super) fn amount(amount: &Amount) -> serde_json::Value {
    serde_json::json!({ "files": amount.files, "bytes": amount.bytes })
}

fn document(outcome: &mirror_sync::Outcome) -> serde_json::Value {
    let made = &outcome.mirror;
    serde_json::json!({
        "to": outcome.to.to_string_lossy(),
        "dry-run": outcome.dry_run,
        "registry": made.head.registry.as_str(),
        "root": outcome.root.hex(),
        "checkpoint": made.head.at.to_string(),
        "checkpoint-before": made.before.as_ref().map(|head| head.at.to_string()),
        "issued": made.head.issued.seconds(),
        "expires": made.head.expires.map(Timestamp::seconds),
        "packages": made.packages,
        "releases": made.releases,
        "sources": outcome.sources,
        "fetched": amount(&made.came),
        "there": amount(&made.there),
        "damaged": made.damaged,
        "index-files": made.written,
        "pruned": amount(&made.pruned),
        "left-out": made.left_out,
        "free": made.free,
    })
}

impl Mirror {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        match &self.action {
            Action::Sync(command) => command.exec(context),
            Action::Verify(look) => look.exec(Depth::Bytes, context),
            Action::Status(look) => look.exec(Depth::Sizes, context),
        }
    }
}

impl Look {
    fn exec(&self, depth: Depth, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long_with(crate::sys::NetworkPolicy::Offline)?;
        let folder = context.settings.start.join(&self.folder);
        let request = mirror_verify::Request { folder, root: self.root, depth };
        let found = mirror_verify::run(&services, &request)?;
        context.bars.finish();
        let printer = &mut *context.printer;
        for corrupt in &found.corrupt {
            printer.data(&visible(&format!("corrupt {}: {}", corrupt.path, corrupt.why)));
        }
        if depth == Depth::Bytes {
            for path in &found.extra {
                printer.data(&visible(&format!("extra   {path}")));
            }
            for what in &found.missing_first {
                printer.data(&visible(&format!("missing {what}")));
            }
        }
        tell(&found, depth, services.now, printer);
        let schema = match depth {
            Depth::Bytes => "mpm.mirror-verify/1",
            Depth::Sizes => "mpm.mirror-status/1",
        };
        printer.document(schema, survey(&found, services.now));
        Ok(if found.is_sound() { Status::Done } else { Status::Bad(Class::Trust) })
    }
}

fn tell(found: &Survey, depth: Depth, now: Timestamp, printer: &mut Printer) {
    let head = &found.head;
    printer.say(&format!(
        "Registry {} (root sha256:{}), checkpoint {}, signed {} ago",
        head.registry,
        found.root,
        head.at,
        age(now.since(head.issued))
    ));
    printer.say(&match head.expires {
        None => "It never expires: a freeze can't be seen".to_owned(),
        Some(expires) if expires > now => format!("It expires in {}", age(expires.since(now))),
        Some(expires) => {
            format!("It expired {} ago: new trust is refused, what locks pin installs", age(now.since(expires)))
        }
    });
    let absent = if found.nodes_absent > 0 { " or more" } else { "" };
    printer.say(&format!(
        "{}, {}{absent} not in this copy",
        text::count(found.packages, "package"),
        found.packages_absent
    ));
    let whole = text::count(found.whole, "release");
    printer.say(&format!("{whole} whole, {} in part, {} not in this copy", found.partial, found.absent));
    if found.missing.files > 0 {
        let blobs = text::count(found.missing.files, "blob");
        printer.say(&format!("{blobs} ({}) of releases in part are missing", text::bytes(found.missing.bytes)));
    }
    let files = text::count(found.files.files, "file");
    printer.say(&format!("{files}, {} in all", text::bytes(found.files.bytes)));
    if !found.extra.is_empty() {
        printer.say(&format!("{} that nothing leads to", text::count(found.extra.len() as u64, "file")));
    }
    match (found.is_sound(), depth) {
        (true, Depth::Bytes) => {
            let blobs = text::count(found.blobs.files, "blob");
            printer.say(&format!("{blobs} ({}) hashed: all good", text::bytes(found.blobs.bytes)));
        }
        (true, Depth::Sizes) => printer.say("Blobs were not hashed: `mpm mirror verify` does that"),
        (false, _) => printer.always(&format!(
            "{} not what must be there: `mpm mirror sync --check` fetches them again",
            match found.corrupt.len() {
                1 => "1 file is".to_owned(),
                number => format!("{number} files are"),
            }
        )),
    }
}

fn survey(found: &Survey, now: Timestamp) -> serde_json::Value {
    let corrupt = |corrupt: &crate::mirror::Corrupt| serde_json::json!({ "path": corrupt.path, "why": corrupt.why });
    serde_json::json!({
        "registry": found.head.registry.as_str(),
        "root": found.root.hex(),
        "checkpoint": found.head.at.to_string(),
        "issued": found.head.issued.seconds(),
        "age": now.since(found.head.issued),
        "expires": found.head.expires.map(Timestamp::seconds),
        "packages": found.packages,
        "packages-absent": found.packages_absent,
        "nodes-absent": found.nodes_absent,
        "releases": { "whole": found.whole, "partial": found.partial, "absent": found.absent },
        "missing": amount(&found.missing),
        "missing-first": found.missing_first,
        "files": amount(&found.files),
        "blobs": amount(&found.blobs),
        "corrupt": found.corrupt.iter().map(corrupt).collect::<Vec<_>>(),
        "extra": found.extra,
    })
}
