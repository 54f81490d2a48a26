//! `mpm doctor`.

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{CYAN, GREEN, RED, YELLOW, paint, visible};
use crate::diagnose::Class;
use crate::ops::doctor::{self, State};

/// Look whether this machine can do what mpm needs: network settings, store, clock, registries, permissions
#[derive(Debug, Args)]
pub(in crate::cli) struct Doctor {}

impl Doctor {
    #[expect(clippy::unused_self, reason = "every command has this form")]
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.brief()?;
        let request = doctor::Request {
            start: context.settings.start.clone(),
            proxies: context.environment.proxies.clone(),
            token_file: context.environment.hub_token_file.clone(),
        };
        let outcome = doctor::run(&services, &request);
        let printer = &mut *context.printer;
        for check in &outcome.checks {
            let mark = match check.state {
                State::Good => paint(GREEN, "ok  "),
                State::Note => paint(YELLOW, "note"),
                State::Bad => paint(RED, "BAD "),
            };
            printer.data(&format!("{mark}  {}", visible(&check.text)));
            if let Some(fix) = &check.fix {
                printer.data(&format!("      {}", paint(CYAN, visible(fix))));
            }
        }
        let bad = outcome.checks.iter().filter(|check| check.state == State::Bad).count();
        printer.say(&match bad {
            0 => "Nothing needs fixing".to_owned(),
            1 => "1 thing needs fixing".to_owned(),
            many => format!("{many} things need fixing"),
        });
        let checks: Vec<_> = outcome
            .checks
            .iter()
            .map(|check| {
                let state = match check.state {
                    State::Good => "good",
                    State::Note => "note",
                    State::Bad => "bad",
                };
                serde_json::json!({ "name": check.name, "state": state, "text": check.text, "fix": check.fix })
            })
            .collect();
        printer.document("mpm.doctor/1", serde_json::json!({ "checks": checks, "bad": bad }));
        Ok(if outcome.is_bad() { Status::Bad(Class::Yours) } else { Status::Done })
    }
}
