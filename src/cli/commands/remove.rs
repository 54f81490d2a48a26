//! `mpm remove`.

use clap::Args;

use crate::cli::args::{ChoiceArgs, PlacingArgs};
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::model::{DependencyKey, GroupName};
use crate::ops::remove;

/// Remove dependencies from Model.toml, with what they brought
#[derive(Debug, Args)]
pub(in crate::cli) struct Remove {
    /// Keys of Model.toml
    #[arg(required = true, value_name = "KEY", value_parser = DependencyKey::parse)]
    keys: Vec<DependencyKey>,
    /// Remove from this group only
    #[arg(long = "from-group", value_name = "GROUP")]
    from_group: Option<GroupName>,
    /// Stop when Model.lock is written
    #[arg(long)]
    no_sync: bool,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    placing: PlacingArgs,
}

impl Remove {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> remove::Request {
        remove::Request {
            keys: self.keys.clone(),
            group: self.from_group.clone(),
            no_sync: self.no_sync,
            sync: self.placing.request(settings, self.choice.choice()),
        }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long_with(self.placing.lock.network())?;
        let outcome = remove::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        let printer = &mut *context.printer;
        let verb = if outcome.sync.dry_run { "Would remove" } else { "Removed" };
        for key in &outcome.removed {
            printer.say(&format!("{verb} {key} from Model.toml"));
        }
        text::synced(&outcome.sync, context.settings.verbose, printer);
        let removed: Vec<_> = outcome.removed.iter().map(ToString::to_string).collect();
        printer
            .document("mpm.remove/1", serde_json::json!({ "removed": removed, "sync": json::synced(&outcome.sync) }));
        Ok(Status::Done)
    }
}
