//! `mpm diff`.

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::ops::diff;

/// Show what changed in Model.lock since a git revision: versions, bytes, signers
#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    /// The revision to compare with
    #[arg(value_name = "REVISION", default_value = "HEAD")]
    revision: String,
}

impl Diff {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> diff::Request {
        diff::Request { start: settings.start.clone(), revision: self.revision.clone() }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.brief()?;
        let outcome = diff::run(&services, &self.to_request(context.settings))?;
        let printer = &mut *context.printer;
        for change in &outcome.changes {
            printer.data(&text::change(change, context.settings.verbose));
        }
        if outcome.changes.is_empty() {
            printer.say(&format!("Model.lock holds the same packages as at {}", self.revision));
        }
        let changes = json::changes(&outcome.changes);
        printer.document("mpm.diff/1", serde_json::json!({ "revision": self.revision, "changes": changes }));
        Ok(Status::Done)
    }
}
