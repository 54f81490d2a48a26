//! `mpm upgrade`.

use clap::Args;

use crate::cli::args::{AcceptArgs, WaitArgs};
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{BOLD, YELLOW, paint};
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::ops::{Name, upgrade};

/// Raise the requirements of Model.toml to the newest releases, and the lock with them
#[derive(Debug, Args)]
pub(in crate::cli) struct Upgrade {
    /// Only these: a dependency's key, a package's name, or hf:ORG/NAME
    #[arg(value_name = "NAME", value_parser = super::update::name)]
    names: Vec<Name>,
    /// Only tell what would change
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    accept: AcceptArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Upgrade {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> upgrade::Request {
        upgrade::Request {
            start: settings.start.clone(),
            names: self.names.clone(),
            dry_run: self.dry_run,
            accepted: self.accept.accepted(),
            wait: self.wait.duration(),
        }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let outcome = upgrade::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        let printer = &mut *context.printer;
        for raised in &outcome.raised {
            printer.say(&format!(
                " {} {} \"{}\" -> \"{}\"  (Model.toml line {})",
                paint(YELLOW, "~"),
                paint(BOLD, &raised.key),
                raised.from,
                raised.to,
                raised.line
            ));
        }
        for change in &outcome.changes {
            printer.say(&text::change(change, context.settings.verbose));
        }
        for left in &outcome.left {
            printer.say(&format!("Left {} (Model.toml line {}): {}", left.key, left.line, reason(left)));
        }
        printer.say(match (outcome.raised.is_empty(), outcome.changes.is_empty(), outcome.written) {
            (true, true, _) => "Nothing to raise: Model.toml asks for the newest releases, and Model.lock has them",
            (_, _, false) => "Nothing was written (--dry-run)",
            (true, false, true) => "Model.lock is written; `mpm sync` places what it says",
            (false, _, true) => "Model.toml and Model.lock are written; `mpm sync` places what they say",
        });
        let raised: Vec<_> = outcome
            .raised
            .iter()
            .map(|raised| {
                serde_json::json!({
                    "key": raised.key.to_string(),
                    "from": raised.from.to_string(),
                    "to": raised.to.to_string(),
                    "line": raised.line,
                })
            })
            .collect();
        let left: Vec<_> = outcome
            .left
            .iter()
            .map(|left| serde_json::json!({ "key": left.key.to_string(), "line": left.line, "why": word(&left.why) }))
            .collect();
        printer.document(
            "mpm.upgrade/1",
            serde_json::json!({
                "project": outcome.project.to_string_lossy(),
                "written": outcome.written,
                "raised": raised,
                "left": left,
                "changes": json::changes(&outcome.changes),
            }),
        );
        Ok(Status::Done)
    }
}

fn word(why: &upgrade::Why) -> &'static str {
    match why {
        upgrade::Why::Exact(_) => "exact",
        upgrade::Why::Commit(_) => "commit",
        upgrade::Why::Followed(_) => "followed",
        upgrade::Why::Folder => "folder",
        upgrade::Why::NoRelease => "no-release",
    }
}

fn reason(left: &upgrade::Left) -> String {
    match &left.why {
        upgrade::Why::Exact(newest) => {
            format!("it asks for one version exactly; the newest is {newest}, and `mpm upgrade {}` takes it", left.key)
        }
        upgrade::Why::Commit(id) => format!(
            "{} is pinned by commit {}; write another revision to change it",
            id.name(),
            id.revision.commit().map(|commit| commit.short().to_owned()).unwrap_or_default()
        ),
        upgrade::Why::Followed(id) => {
            format!("{id} is a branch or tag; the lock has where it leads now")
        }
        upgrade::Why::Folder => "a folder has no versions".to_owned(),
        upgrade::Why::NoRelease => "no release can be picked: all are yanked, or pre-releases".to_owned(),
    }
}
