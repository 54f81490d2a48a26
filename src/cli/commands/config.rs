//! `mpm config`.

use clap::{Args, Subcommand};

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{DIM, paint, visible};
use crate::cli::world;
use crate::ops::config_show::{self, Origin, Setting};

/// The settings of this machine
#[derive(Debug, Args)]
pub(in crate::cli) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show each setting; of secrets, only that they are set
    Show {
        /// Say where each comes from: site file, user file, environment, default
        #[arg(long)]
        origin: bool,
    },
}

impl Config {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let Action::Show { origin } = &self.action;
        let outcome = config_show::run(&world::settings(context.environment)?);
        let printer = &mut *context.printer;
        let widest = outcome.settings.iter().map(|setting| line(setting).chars().count()).max().unwrap_or(0).min(60);
        for setting in &outcome.settings {
            let text = line(setting);
            let from = if *origin {
                format!("  {}", paint(DIM, format!("# {}", place(&setting.origin))))
            } else {
                String::new()
            };
            printer.data(&if *origin { format!("{text:<widest$}{from}") } else { text });
        }
        let settings: Vec<_> = outcome
            .settings
            .iter()
            .map(|setting| {
                let (kind, at) = parts(&setting.origin);
                serde_json::json!({ "key": setting.key, "value": setting.value, "origin": { "kind": kind, "at": at } })
            })
            .collect();
        printer.document("mpm.config-show/1", serde_json::json!({ "settings": settings }));
        Ok(Status::Done)
    }
}

fn line(setting: &Setting) -> String {
    format!("{} = {}", visible(&setting.key), visible(&setting.value))
}

fn parts(origin: &Origin) -> (&'static str, Option<String>) {
    match origin {
        Origin::Default => ("default", None),
        Origin::Site(path) => ("site", Some(path.display().to_string())),
        Origin::User(path) => ("user", Some(path.display().to_string())),
        Origin::Environment(name) => ("environment", Some((*name).to_owned())),
        Origin::File(path) => ("file", Some(path.display().to_string())),
    }
}

fn place(origin: &Origin) -> String {
    match parts(origin) {
        (kind, None) => kind.to_owned(),
        ("file", Some(at)) => visible(&at),
        (kind, Some(at)) => format!("{kind}: {}", visible(&at)),
    }
}
