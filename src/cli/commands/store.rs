//! `mpm store`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{Printer, visible};
use crate::cli::{json, text, world};
use crate::ops::{Left, Refused, adopt, store};
use crate::store::DryRun;
use crate::sys::Way;

/// The store that this machine's projects share
#[derive(Debug, Args)]
pub(in crate::cli) struct Store {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print where the store is
    Dir,
    /// Print how many blobs it holds, and their bytes
    Size,
    /// Take files that are on this machine already, by link: a Hugging Face cache, or any folder
    Adopt {
        /// The folder; by default the Hugging Face cache of this user
        folder: Option<PathBuf>,
        /// Copy what can't be linked, whatever its size
        #[arg(long)]
        copy: bool,
        /// Only tell what would be taken
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
    /// Remove what no project's lock keeps
    Gc {
        /// Only tell what would be removed
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
}

impl Store {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        match &self.action {
            Action::Dir => {
                let (folders, _) = world::places(context.environment)?;
                let folder = folders.store.to_string_lossy();
                context.printer.data(&folder);
                context.printer.document("mpm.store-dir/1", serde_json::json!({ "folder": folder }));
            }
            Action::Size => {
                let (blobs, bytes) = store::size(&context.brief()?)?;
                context.printer.data(&format!("{} ({})", text::bytes(bytes), text::count(blobs, "blob")));
                context.printer.document("mpm.store-size/1", serde_json::json!({ "blobs": blobs, "bytes": bytes }));
            }
            Action::Adopt { folder, copy, dry_run } => {
                let request = adopt::Request {
                    folder: folder.as_ref().map(|folder| context.settings.start.join(folder)),
                    copy: *copy,
                    dry_run: if *dry_run { DryRun::Yes } else { DryRun::No },
                };
                return adopt(context, &request);
            }
            Action::Gc { dry_run } => gc(context, if *dry_run { DryRun::Yes } else { DryRun::No })?,
        }
        Ok(Status::Done)
    }
}

fn gc(context: &mut Context<'_>, dry_run: DryRun) -> Result<(), Failed> {
    let services = context.long()?;
    let collected = store::gc(&services, dry_run)?;
    context.bars.finish();
    let verb = if dry_run == DryRun::Yes { "Would remove" } else { "Removed" };
    context.printer.say(&format!(
        "{verb} {} ({}) and {}",
        text::count(collected.blobs, "blob"),
        text::bytes(collected.bytes),
        text::count(collected.leftovers, "leftover")
    ));
    context.printer.say(&format!(
        "Kept {} ({}) that projects need, or that were adopted in the last 30 days",
        text::count(collected.kept_blobs, "blob"),
        text::bytes(collected.kept_bytes)
    ));
    context.printer.document(
        "mpm.store-gc/1",
        serde_json::json!({
            "dry-run": dry_run == DryRun::Yes,
            "blobs": collected.blobs,
            "bytes": collected.bytes,
            "kept-blobs": collected.kept_blobs,
            "kept-bytes": collected.kept_bytes,
            "leftovers": collected.leftovers,
        }),
    );
    Ok(())
}

fn adopt(context: &mut Context<'_>, request: &adopt::Request) -> Result<Status, Failed> {
    let services = context.long()?;
    let outcome = adopt::run(&services, request)?;
    context.bars.finish();
    tell(&outcome, context.printer);
    context.printer.document("mpm.store-adopt/1", document(&outcome));
    Ok(outcome.is_bad().map_or(Status::Done, Status::Bad))
}

fn tell(outcome: &adopt::Outcome, printer: &mut Printer) {
    let dry_run = outcome.dry_run == DryRun::Yes;
    for refused in &outcome.refused {
        let (path, promised, found) = (refused.path.display(), &refused.promised, refused.found);
        let line = format!("{path}: promised {promised}, found sha256 {} of {} bytes", found.sha256, found.size);
        printer.data(&visible(&line));
    }
    for left in &outcome.left {
        printer.data(&visible(&format!("{}: left: {}", left.path.display(), left.reason)));
    }
    for (way, amount) in &outcome.adopted {
        let verb = if dry_run { "Would adopt" } else { "Adopted" };
        let files = text::count(amount.files, "file");
        printer.say(&format!("{verb} {files} ({}) by {}", text::bytes(amount.bytes), way.as_str()));
    }
    if outcome.already.files > 0 {
        let files = text::count(outcome.already.files, "file");
        let verb = if outcome.already.files == 1 { "is" } else { "are" };
        printer.say(&format!("{files} ({}) {verb} in the store already", text::bytes(outcome.already.bytes)));
    }
    if outcome.adopted.is_empty() && outcome.already.files == 0 {
        printer.say(&format!("Nothing was adopted from {}", outcome.folder.display()));
    }
    if outcome.adopted.contains_key(&Way::Hard) && !dry_run {
        printer.say("Linked files are read-only now where they were: their bytes are the store's too");
    }
    if !outcome.adopted.is_empty() && !dry_run {
        printer.say("What no project comes to need is kept for 30 days");
    }
    if outcome.leading_out > 0 {
        let links = text::count(outcome.leading_out, "link");
        printer.say(&format!("{links} out of the folder: not followed"));
    }
    if !outcome.refused.is_empty() {
        printer.always(&format!(
            "{} not what the name promises, and not adopted; remove such files, and the hub's client fetches them again",
            match outcome.refused.len() {
                1 => "1 file is".to_owned(),
                number => format!("{number} files are"),
            }
        ));
    }
}

fn document(outcome: &adopt::Outcome) -> serde_json::Value {
    let amount = |amount: &adopt::Amount| serde_json::json!({ "files": amount.files, "bytes": amount.bytes });
    let way = |way: Way| amount(&outcome.adopted.get(&way).copied().unwrap_or_default());
    let refused = |refused: &Refused| {
        serde_json::json!({
            "path": refused.path.to_string_lossy(),
            "promised": refused.promised,
            "found": json::pin(&refused.found),
        })
    };
    let left = |left: &Left| serde_json::json!({ "path": left.path.to_string_lossy(), "reason": left.reason });
    serde_json::json!({
        "folder": outcome.folder.to_string_lossy(),
        "hub-cache": outcome.is_cache,
        "dry-run": outcome.dry_run == DryRun::Yes,
        "adopted": { "reflink": way(Way::Reflink), "hard-link": way(Way::Hard), "copy": way(Way::Copy) },
        "already": amount(&outcome.already),
        "refused": outcome.refused.iter().map(refused).collect::<Vec<_>>(),
        "left": outcome.left.iter().map(left).collect::<Vec<_>>(),
        "links-out": outcome.leading_out,
    })
}
