//! `mpm path`.

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::model::DependencyKey;
use crate::ops::path;

/// Print where a dependency lies
#[derive(Debug, Args)]
pub(in crate::cli) struct Path {
    /// Its key in Model.toml
    #[arg(value_name = "KEY", value_parser = DependencyKey::parse)]
    key: DependencyKey,
}

impl Path {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> path::Request {
        path::Request { start: settings.start.clone(), key: self.key.clone() }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.brief()?;
        let outcome = path::run(&services, &self.to_request(context.settings))?;
        let folder = outcome.folder.to_string_lossy();
        context.printer.data(&folder);
        context.printer.document("mpm.path/1", serde_json::json!({ "key": self.key.to_string(), "folder": folder }));
        Ok(Status::Done)
    }
}
