//! `mpm diff`.

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::{CliError, Failed};
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::ops::diff;

/// Show what changed in Model.lock since a git revision, or between two: versions, bytes, signers
#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    /// The revision to compare with, or two as A..B
    #[arg(value_name = "REVISION", default_value = "HEAD", value_parser = revision)]
    from: (String, Option<String>),
    /// The revision that is compared, instead of Model.lock as it stands
    #[arg(value_name = "REVISION")]
    to: Option<String>,
}

/// `A`, `A..B`, `A..` and `..B`; a side that is left out is `HEAD`, as for git.
fn revision(typed: &str) -> Result<(String, Option<String>), String> {
    if typed.contains("...") {
        return Err("three dots mean a common ancestor, which is not looked for: write A..B".to_owned());
    }
    let or_head = |text: &str| if text.is_empty() { "HEAD".to_owned() } else { text.to_owned() };
    Ok(match typed.split_once("..") {
        Some((from, to)) => (or_head(from), Some(or_head(to))),
        None => (or_head(typed), None),
    })
}

impl Diff {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> Result<diff::Request, String> {
        let (from, to) = self.from.clone();
        let to = match (to, &self.to) {
            (Some(_), Some(third)) => {
                return Err(format!("A..B names two revisions already, and {third:?} is a third"));
            }
            (first, second) => first.or_else(|| second.clone()),
        };
        Ok(diff::Request { start: settings.start.clone(), from, to })
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let request = self.to_request(context.settings).map_err(|message| CliError::Usage { message })?;
        let services = context.brief()?;
        let outcome = diff::run(&services, &request)?;
        let printer = &mut *context.printer;
        for change in &outcome.changes {
            printer.data(&text::change(change, context.settings.verbose));
        }
        if outcome.changes.is_empty() {
            printer.say(&match &request.to {
                Some(to) => format!("Model.lock holds the same packages at {} and at {to}", request.from),
                None => format!("Model.lock holds the same packages as at {}", request.from),
            });
        }
        let changes = json::changes(&outcome.changes);
        printer.document(
            "mpm.diff/1",
            serde_json::json!({ "revision": request.from, "to": request.to, "changes": changes }),
        );
        Ok(Status::Done)
    }
}
