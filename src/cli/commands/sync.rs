//! `mpm sync`, also `mpm install`.

use clap::Args;

use crate::cli::args::{ChoiceArgs, PlacingArgs};
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::ops::sync;

/// Make the project hold exactly what Model.lock says
#[derive(Debug, Args)]
pub(in crate::cli) struct Sync {
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    placing: PlacingArgs,
    /// Look at every placed file, not only at the folders of large packages
    #[arg(long)]
    check: bool,
    /// Replace placed files that were changed
    #[arg(long)]
    force: bool,
}

impl Sync {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> sync::Request {
        let request = self.placing.request(settings, self.choice.choice());
        sync::Request { check: self.check, force: self.force, ..request }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long_with(self.placing.lock.network())?;
        let outcome = sync::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        text::synced(&outcome, context.settings.verbose, context.printer);
        context.printer.document("mpm.sync/1", json::synced(&outcome));
        Ok(Status::Done)
    }
}
