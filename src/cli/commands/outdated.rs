//! `mpm outdated`.

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{BOLD, YELLOW, paint, visible};
use crate::cli::settings::Settings;
use crate::cli::text;
use crate::ops::outdated;

/// Show what there is that is newer than Model.lock
#[derive(Debug, Args)]
pub(in crate::cli) struct Outdated {
    /// What is up to date as well
    #[arg(long)]
    all: bool,
}

impl Outdated {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> outdated::Request {
        outdated::Request { start: settings.start.clone(), all: self.all }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let outcome = outdated::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        let printer = &mut *context.printer;
        if !outcome.lines.is_empty() {
            let mut rows = vec![["package", "locked", "update to", "newest", ""].map(str::to_owned)];
            rows.extend(outcome.lines.iter().map(row));
            let widths: Vec<usize> =
                (0..4).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
            for (at, [name, locked, within, newest, rest]) in rows.iter().enumerate() {
                let line = format!(
                    "{name:<0$}  {locked:<1$}  {within:<2$}  {newest:<3$}  {rest}",
                    widths[0], widths[1], widths[2], widths[3]
                );
                let line = line.trim_end();
                printer.data(&if at == 0 { paint(BOLD, line) } else { line.to_owned() });
            }
        }
        let behind = outcome.lines.iter().filter(|line| line.is_outdated()).count() as u64;
        let of = text::count(outcome.looked_at, "package");
        if behind == 0 {
            printer.say(&format!("Up to date: {of}"));
        } else {
            let can = |newer: &dyn Fn(&outdated::Line) -> bool| outcome.lines.iter().any(newer);
            let mut next = Vec::new();
            if can(&|line| line.within.as_ref().is_some_and(|within| *within != line.locked)) {
                next.push("`mpm update` takes what the requirements admit");
            }
            if can(&|line| line.key.is_some() && line.newest != line.within) {
                next.push("`mpm upgrade` raises the requirements");
            }
            let next = if next.is_empty() { String::new() } else { format!("; {}", next.join("; ")) };
            printer.say(&format!("{behind} of {of} could be newer{next}"));
        }
        printer.document("mpm.outdated/1", document(&outcome));
        Ok(Status::Done)
    }
}

/// A commit is short on the terminal, and whole in JSON.
fn short(text: &str) -> String {
    let hex = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex { text.get(..12).unwrap_or(text).to_owned() } else { visible(text) }
}

fn row(line: &outdated::Line) -> [String; 5] {
    let found = |found: &Option<String>| match found {
        Some(found) if *found == line.locked => "-".to_owned(),
        Some(found) => short(found),
        None => "none".to_owned(),
    };
    let mut rest = Vec::new();
    if let Some(requirement) = line.requirement.as_ref().filter(|_| line.newest != line.within) {
        rest.push(format!("Model.toml asks for {}", visible(requirement)));
    }
    if let Some((version, ready)) = &line.waiting {
        let day = ready.to_string();
        rest.push(format!("{version} is too young until {}", day.get(..10).unwrap_or(&day)));
    }
    if line.key.is_none() {
        rest.push("needed by others".to_owned());
    }
    if line.key.is_some() && line.requirement.is_none() && line.within.as_deref() != Some(line.locked.as_str()) {
        rest.push("moved".to_owned());
    }
    if let Some(reason) = &line.yanked {
        rest.push(paint(YELLOW, format!("{} is yanked: {}", line.locked, visible(reason))));
    }
    [visible(&line.name), short(&line.locked), found(&line.within), found(&line.newest), rest.join("; ")]
}

fn document(outcome: &outdated::Outcome) -> serde_json::Value {
    let packages: Vec<_> = outcome
        .lines
        .iter()
        .map(|line| {
            serde_json::json!({
                "key": line.key,
                "what": line.what,
                "requirement": line.requirement,
                "locked": line.locked,
                "within": line.within,
                "newest": line.newest,
                "yanked": line.yanked,
                "waiting": line.waiting.as_ref().map(|(version, ready)| {
                    serde_json::json!({ "version": version, "until": ready.seconds() })
                }),
                "outdated": line.is_outdated(),
            })
        })
        .collect();
    serde_json::json!({ "packages": packages, "looked-at": outcome.looked_at })
}
