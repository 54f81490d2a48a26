//! `mpm publish`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::ask::password;
use crate::cli::commands::{Context, Status, index};
use crate::cli::errors::Failed;
use crate::cli::text;
use crate::ops::publish;
use crate::registry::Submitted;

/// Publish the package of Model.toml into a registry's folder
#[derive(Debug, Args)]
pub(in crate::cli) struct Publish {
    /// The registry's folder, or the work tree of its git repository
    #[arg(long, value_name = "DIR")]
    registry: PathBuf,
    /// The publisher's secret key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The index's secret key: makes the checkpoint too
    #[arg(long, value_name = "FILE")]
    index_key: Option<PathBuf>,
}

impl Publish {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let start = &context.settings.start;
        let ask = password(context.environment);
        let outcome = publish::run(
            &publish::Request {
                start: start.clone(),
                registry: start.join(&self.registry),
                key: start.join(&self.key),
                index: self.index_key.as_ref().map(|key| start.join(key)),
                now: services.now,
                ask: &ask,
            },
            &services.cancel,
            &*services.progress,
        )?;
        context.bars.finish();
        let published = &outcome.published;
        let verb = match published.submitted {
            Submitted::New => "Published",
            Submitted::Standing => "Unchanged:",
        };
        context.printer.say(&format!(
            "{verb} {} {} in {}: {}, {}, {}",
            outcome.name,
            outcome.version,
            outcome.registry,
            text::count(published.files, "file"),
            text::bytes(published.bytes),
            text::count(published.new_blobs, "new blob"),
        ));
        match &outcome.checkpoint {
            Some(made) => index::say(context.printer, made),
            None => context.printer.say("It counts once `mpm index checkpoint` has admitted it"),
        }
        context.printer.document(
            "mpm.publish/1",
            serde_json::json!({
                "name": outcome.name.as_str(),
                "version": outcome.version.to_string(),
                "registry": outcome.registry.as_str(),
                "statement": published.statement.hex(),
                "new": matches!(published.submitted, Submitted::New),
                "files": published.files,
                "bytes": published.bytes,
                "new-blobs": published.new_blobs,
                "checkpoint": outcome.checkpoint.as_ref().map(|made| made.checkpoint.at.to_string()),
            }),
        );
        let refused = outcome.checkpoint.as_ref().is_some_and(|made| !made.checkpoint.refused.is_empty());
        Ok(if refused { Status::Bad(crate::diagnose::Class::Trust) } else { Status::Done })
    }
}
