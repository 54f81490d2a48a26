//! `mpm store`.

use clap::{Args, Subcommand};

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::{text, world};
use crate::ops::store;
use crate::store::DryRun;

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
        "Kept {} ({}) that projects need",
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
