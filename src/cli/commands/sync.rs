//! `mpm sync`, also `mpm install`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::{ChoiceArgs, PlacingArgs};
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::cli::{json, text, world};
use crate::model::{DependencyKey, Timestamp};
use crate::ops::sync::{self, Export, Records};
use crate::select::Choice;

/// The time of what is packed where nobody names one: the first that every archive can hold.
const DAWN: Timestamp = Timestamp::DAWN_OF_ARCHIVES;

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
    #[command(flatten)]
    export: ExportArgs,
}

/// A folder to be packed.
#[derive(Debug, Args)]
struct ExportArgs {
    /// Into this folder instead of the project, with fixed times and modes, to be packed: a layer of a container
    #[arg(long, value_name = "DIR", conflicts_with_all = ["check", "force"])]
    to: Option<PathBuf>,
    /// Only this dependency, with what it leads to; may be given several times
    #[arg(long, value_name = "KEY", requires = "to", value_parser = DependencyKey::parse)]
    only: Vec<DependencyKey>,
    /// Model.toml, Model.lock and a receipt there too, so that `mpm verify` and `mpm run` work in the container
    #[arg(long, requires = "to")]
    receipt: bool,
}

impl Sync {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> sync::Request {
        let choice = Choice { only: self.export.only.iter().cloned().collect(), ..self.choice.choice() };
        let request = self.placing.request(settings, choice);
        let records = if self.export.receipt { Records::Whole } else { Records::None };
        let export = self.export.to.as_ref().map(|to| Export { to: settings.start.join(to), time: DAWN, records });
        sync::Request { check: self.check, force: self.force, export, ..request }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long_with(self.placing.lock.network())?;
        let mut request = self.to_request(context.settings);
        if let Some(export) = &mut request.export {
            export.time = world::source_date(context.environment)?.unwrap_or(export.time);
        }
        let outcome = sync::run(&services, &request)?;
        context.bars.finish();
        text::synced(&outcome, context.settings.verbose, context.printer);
        context.printer.document_of("mpm.sync/1", || json::synced(&outcome));
        Ok(Status::Done)
    }
}
