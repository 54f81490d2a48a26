//! `mpm list`.

use clap::Args;

use crate::cli::args::ChoiceArgs;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::ops::list;

/// List what Model.lock holds, and where it lies
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    choice: ChoiceArgs,
}

impl List {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> list::Request {
        list::Request { start: settings.start.clone(), choice: self.choice.choice() }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.brief()?;
        let outcome = list::run(&services, &self.to_request(context.settings))?;
        let printer = &mut *context.printer;
        for line in &outcome.packages {
            printer.data(&text::package(line, context.settings.verbose));
        }
        if outcome.packages.is_empty() {
            printer.say("Model.lock holds no packages");
        } else if !outcome.placed {
            printer.say("Not everything is placed as Model.lock says: run `mpm sync`");
        }
        text::unsigned(&outcome.unsigned, outcome.packages.len() as u64, printer);
        let packages: Vec<_> = outcome.packages.iter().map(json::package).collect();
        printer.document(
            "mpm.list/1",
            serde_json::json!({ "packages": packages, "placed": outcome.placed, "unsigned": outcome.unsigned.len() }),
        );
        Ok(Status::Done)
    }
}
