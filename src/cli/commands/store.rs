//! `mpm store`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::args::WaitArgs;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{Printer, visible};
use crate::cli::settings::Settings;
use crate::cli::{json, text, world};
use crate::model::{HumanSize, parse_span};
use crate::ops::{Left, Refused, adopt, store};
use crate::store::{Collected, DryRun, Hold};
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
    Gc(Gc),
}

/// Which of the blobs that no project needs go
#[derive(Debug, Args)]
struct Gc {
    /// Only what was not used for so long: 36h, 30d, 2w
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    older_than: Option<Duration>,
    /// What was not used for longest first, and only until the store is no larger: 500G
    #[arg(long, value_name = "SIZE", value_parser = HumanSize::parse)]
    max_size: Option<HumanSize>,
    /// Keep what this Model.lock needs too
    #[arg(long, value_name = "FILE")]
    keep_lock: Vec<PathBuf>,
    /// Only tell what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Gc {
    fn to_request(&self, settings: &Settings) -> store::Request {
        store::Request {
            older_than: self.older_than,
            max_size: self.max_size.map(|size| size.0),
            keep_locks: self.keep_lock.iter().map(|path| settings.start.join(path)).collect(),
            dry_run: if self.dry_run { DryRun::Yes } else { DryRun::No },
            wait: self.wait.duration(),
        }
    }
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
                size(context)?;
            }
            Action::Adopt { folder, copy, dry_run } => {
                let request = adopt::Request {
                    folder: folder.as_ref().map(|folder| context.settings.start.join(folder)),
                    copy: *copy,
                    dry_run: if *dry_run { DryRun::Yes } else { DryRun::No },
                };
                return adopt(context, &request);
            }
            Action::Gc(asked) => gc(context, &asked.to_request(context.settings))?,
        }
        Ok(Status::Done)
    }
}

fn size(context: &mut Context<'_>) -> Result<(), Failed> {
    let services = context.brief()?;
    let (blobs, bytes) = store::size(&services)?;
    let layers = store::sizes_of_layers(&services)?;
    let amount = |blobs, bytes| format!("{} ({})", text::bytes(bytes), text::count(blobs, "blob"));
    context.printer.data(&amount(blobs, bytes));
    let mut documents = Vec::new();
    for (folder, blobs, bytes) in layers {
        let folder = folder.to_string_lossy();
        context.printer.data(&visible(&format!("{} in the layer {folder}", amount(blobs, bytes))));
        documents.push(serde_json::json!({ "folder": folder, "blobs": blobs, "bytes": bytes }));
    }
    let document = serde_json::json!({ "blobs": blobs, "bytes": bytes, "layers": documents });
    context.printer.document("mpm.store-size/1", document);
    Ok(())
}

fn gc(context: &mut Context<'_>, request: &store::Request) -> Result<(), Failed> {
    let services = context.long()?;
    let collected = store::gc(&services, request)?;
    context.bars.finish();
    tell_collected(&collected, request, context.settings.verbose, context.printer);
    let roots = collected.roots.iter().map(|root| {
        serde_json::json!({
            "folder": root.folder,
            "seen": root.seen.to_string(),
            "blobs": root.blobs,
            "hold": root.hold.as_str(),
        })
    });
    context.printer.document(
        "mpm.store-gc/1",
        serde_json::json!({
            "dry-run": request.dry_run == DryRun::Yes,
            "blobs": collected.blobs,
            "bytes": collected.bytes,
            "kept-blobs": collected.kept_blobs,
            "kept-bytes": collected.kept_bytes,
            "spared-blobs": collected.spared_blobs,
            "spared-bytes": collected.spared_bytes,
            "leftovers": collected.leftovers,
            "roots": roots.collect::<Vec<_>>(),
        }),
    );
    Ok(())
}

fn tell_collected(collected: &Collected, request: &store::Request, verbose: bool, printer: &mut Printer) {
    let verb = if request.dry_run == DryRun::Yes { "Would remove" } else { "Removed" };
    let amount = |blobs, bytes| format!("{} ({})", text::count(blobs, "blob"), text::bytes(bytes));
    let gone = amount(collected.blobs, collected.bytes);
    printer.say(&format!("{verb} {gone} and {}", text::count(collected.leftovers, "leftover")));
    let kept = amount(collected.kept_blobs, collected.kept_bytes);
    printer.say(&format!("Kept {kept} that projects need, or that were adopted in the last 30 days"));
    if collected.spared_blobs > 0 {
        let spared = amount(collected.spared_blobs, collected.spared_bytes);
        printer.say(&format!("Left {spared} that nobody needs: used too recently, or the store is small enough"));
    }
    if let Some(size) = request.max_size.filter(|size| collected.left_bytes() > *size) {
        let (left, size) = (text::bytes(collected.left_bytes()), text::bytes(size));
        let why = if request.older_than.is_some() { "needed or too young" } else { "needed" };
        printer.say(&format!("The store still holds {left}, more than {size}: the rest is {why}"));
    }
    for root in collected.roots.iter().filter(|root| verbose || root.hold == Hold::Absent) {
        let what = match root.hold {
            Hold::Stands => "needs",
            Hold::Absent => "can't be reached and still keeps",
            Hold::Adopted => "was adopted and keeps",
            Hold::Gone => "is gone and no longer keeps",
        };
        let blobs = text::count(root.blobs, "blob");
        printer.say(&visible(&format!("{} {what} {blobs}, last seen {}", root.folder, root.seen)));
    }
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
