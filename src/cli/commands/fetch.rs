//! `mpm fetch`.

use clap::Args;

use crate::cli::args::{ChoiceArgs, PlacingArgs};
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::ops::fetch;

/// Bring what Model.lock needs into the store, and place nothing
#[derive(Debug, Args)]
pub(in crate::cli) struct Fetch {
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    placing: PlacingArgs,
}

impl Fetch {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> fetch::Request {
        self.placing.request(settings, self.choice.choice())
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long_with(self.placing.lock.network())?;
        let outcome = fetch::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        let (verbose, printer) = (context.settings.verbose, &mut *context.printer);
        for change in &outcome.lock_changes {
            printer.say(&text::change(change, verbose));
        }
        text::travel(&outcome.travel, outcome.dry_run, verbose, printer);
        if outcome.travel.blobs == 0 {
            printer.say("Nothing to fetch: the store holds what Model.lock needs");
        }
        printer.document(
            "mpm.fetch/1",
            serde_json::json!({
                "dry-run": outcome.dry_run,
                "lock-changes": json::changes(&outcome.lock_changes),
                "travel": json::travel(&outcome.travel),
            }),
        );
        Ok(Status::Done)
    }
}
