//! `mpm verify`.

use clap::Args;

use crate::cli::args::WaitArgs;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::Printer;
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::diagnose::Class;
use crate::install::Altered;
use crate::ops::verify;

/// Hash every placed file and every blob of the store
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// Put the pinned bytes back where they are not
    #[arg(long)]
    repair: bool,
    /// Only the store; needs no project
    #[arg(long)]
    store: bool,
    /// The blobs of the store's layers too
    #[arg(long)]
    layers: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Verify {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> verify::Request {
        verify::Request {
            start: settings.start.clone(),
            repair: self.repair,
            store_only: self.store,
            layers: self.layers,
            wait: self.wait.duration(),
        }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let outcome = verify::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        tell(&outcome, context.printer);
        context.printer.document("mpm.verify/1", document(&outcome));
        Ok(if outcome.is_bad() { Status::Bad(Class::Trust) } else { Status::Done })
    }
}

fn tell(outcome: &verify::Outcome, printer: &mut Printer) {
    for altered in &outcome.altered {
        printer.data(&format!("{}: {}", altered.path, difference(altered)));
    }
    for blob in &outcome.bad_blobs {
        let found = blob.found.map_or_else(|| "it can't be read".to_owned(), |found| format!("found sha256 {found}"));
        printer.data(&format!("{}: expected sha256 {}, {found}", blob.path.display(), blob.expected));
    }
    printer.say(&format!(
        "Hashed {} of the project ({}) and {} of the store ({})",
        text::count(outcome.files, "file"),
        text::bytes(outcome.bytes),
        text::count(outcome.blobs, "blob"),
        text::bytes(outcome.blob_bytes)
    ));
    if outcome.layers_left > 0 {
        let layers = text::count(outcome.layers_left, "layer");
        printer.say(&format!("The blobs of {layers} were not hashed: `--layers` does"));
    }
    text::unsigned(&outcome.unsigned, outcome.packages, printer);
    let bad = outcome.altered.len() as u64 + outcome.bad_blobs.len() as u64;
    if bad == 0 {
        printer.say("Everything is as it was placed");
    } else if outcome.repaired {
        printer.say(&format!("Mended {}", text::count(bad, "file")));
    } else {
        printer.always(&format!(
            "{} {}; nothing was changed: `mpm verify --repair` puts the pinned bytes back",
            text::count(bad, "file"),
            if bad == 1 { "is not as it was placed" } else { "are not as they were placed" }
        ));
    }
}

fn difference(altered: &Altered) -> String {
    let expected = &altered.expected;
    match &altered.found {
        Some(found) => format!(
            "{}: expected sha256 {} of {} bytes, found {} of {} bytes ({})",
            altered.how, expected.sha256, expected.size, found.sha256, found.size, altered.id
        ),
        None => {
            format!("{}: expected sha256 {} of {} bytes ({})", altered.how, expected.sha256, expected.size, altered.id)
        }
    }
}

fn document(outcome: &verify::Outcome) -> serde_json::Value {
    let blobs: Vec<_> = outcome
        .bad_blobs
        .iter()
        .map(|blob| {
            serde_json::json!({
                "path": blob.path.to_string_lossy(),
                "expected": blob.expected.hex(),
                "found": blob.found.map(|found| found.hex()),
            })
        })
        .collect();
    serde_json::json!({
        "files": outcome.files,
        "bytes": outcome.bytes,
        "blobs": outcome.blobs,
        "blob-bytes": outcome.blob_bytes,
        "layers-left": outcome.layers_left,
        "altered": outcome.altered.iter().map(json::altered).collect::<Vec<_>>(),
        "bad-blobs": blobs,
        "repaired": outcome.repaired,
        "packages": outcome.packages,
        "unsigned": outcome.unsigned.len(),
    })
}
