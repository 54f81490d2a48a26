//! `mpm init`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::ops::init;

/// Make a project: a fresh Model.toml
#[derive(Debug, Args)]
pub(in crate::cli) struct Init {
    /// The folder; made if it is missing
    folder: Option<PathBuf>,
    /// The project's name; the folder's if it is not given
    #[arg(long)]
    name: Option<String>,
}

impl Init {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> init::Request {
        let folder = self.folder.as_ref().map_or_else(|| settings.start.clone(), |below| settings.start.join(below));
        init::Request { folder, name: self.name.clone() }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let outcome = init::run(&self.to_request(context.settings))?;
        let manifest = outcome.manifest.to_string_lossy();
        context.printer.say(&format!("Made {manifest}"));
        context.printer.document("mpm.init/1", serde_json::json!({ "manifest": manifest }));
        Ok(Status::Done)
    }
}
