//! `mpm get`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::{AcceptArgs, GlobArgs, LinkWord};
use crate::cli::commands::add::item;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{GREEN, paint, quoted};
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::model::{RegistryId, VariantName};
use crate::ops::{add, get};

/// Bring one package or hub repository into a folder, with every check and without a project
#[derive(Debug, Args)]
pub(in crate::cli) struct Get {
    /// A package, or hf:ORG/NAME or hf:datasets/ORG/NAME of the Hugging Face hub, with `@` and a version or revision
    #[arg(value_name = "NAME[@VERSION]", value_parser = item)]
    item: add::Item,
    /// The folder for the files; it is made where it is not there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The variant; may be given several times
    #[arg(long = "variant", value_name = "VARIANT")]
    variants: Vec<VariantName>,
    #[command(flatten)]
    globs: GlobArgs,
    /// The registry of the project around that answers the name
    #[arg(long, value_name = "ID")]
    registry: Option<RegistryId>,
    /// How files come from the store into the folder
    #[arg(long, value_name = "WAY", env = "MPM_LINK", hide_env_values = true)]
    link: Option<LinkWord>,
    /// Only tell what would be done, with bytes and free space
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    accept: AcceptArgs,
}

impl Get {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> get::Request {
        get::Request {
            start: settings.start.clone(),
            item: self.item.clone(),
            registry: self.registry.clone(),
            variants: self.variants.clone(),
            include: self.globs.include.clone(),
            exclude: self.globs.exclude.clone(),
            to: settings.start.join(&self.to),
            link: self.link.map(LinkWord::mode),
            dry_run: self.dry_run,
            accepted: self.accept.accepted(),
        }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let outcome = get::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        let printer = &mut *context.printer;
        text::travel(&outcome.travel, outcome.dry_run, context.settings.verbose, printer);
        let applied = &outcome.applied;
        let folder = outcome.to.to_string_lossy();
        if applied.placed > 0 {
            let by = applied.link.map(|link| format!(" by {link}")).unwrap_or_default();
            let files = text::count(applied.placed, "file");
            printer.say(&format!("Placed {files} ({}){by} in {folder}", text::bytes(applied.bytes)));
        } else if !outcome.dry_run {
            printer.say(&format!("Nothing to do: {folder} has them all"));
        }
        for line in &outcome.packages {
            printer.say(&format!(" {} {}", paint(GREEN, "+"), text::package(line, context.settings.verbose)));
        }
        let words: Vec<String> = outcome.pin.iter().map(|word| quoted(word)).collect();
        let pin = format!("mpm {}", words.join(" "));
        printer.say(&format!("To pin it in a project: {pin}"));
        printer.document(
            "mpm.get/1",
            serde_json::json!({
                "to": folder,
                "dry-run": outcome.dry_run,
                "packages": outcome.packages.iter().map(json::package).collect::<Vec<_>>(),
                "travel": json::travel(&outcome.travel),
                "applied": json::applied(applied),
                "pin": outcome.pin,
            }),
        );
        Ok(Status::Done)
    }
}
