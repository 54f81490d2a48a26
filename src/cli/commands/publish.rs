//! `mpm publish`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::PasswordArgs;
use crate::cli::commands::{Context, Status, index};
use crate::cli::errors::Failed;
use crate::cli::text;
use crate::ops::publish;

/// Publish what `[package]` of Model.toml names into a registry's folder
#[derive(Debug, Args)]
pub(in crate::cli) struct Publish {
    /// The registry's folder
    #[arg(long, value_name = "DIR")]
    registry: PathBuf,
    /// The publisher's secret key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The index key: makes a checkpoint too
    #[arg(long, value_name = "FILE")]
    index_key: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArgs,
}

impl Publish {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let passwords = self.password.open(context)?;
        let start = &context.settings.start;
        let outcome = publish::run(
            &services,
            &publish::Request {
                start: start.clone(),
                registry: start.join(&self.registry),
                key: start.join(&self.key),
                index: self.index_key.as_ref().map(|file| start.join(file)),
                ask: &|what| passwords.ask(what),
            },
        )?;
        context.bars.finish();
        let published = &outcome.published;
        context.printer.say(&format!(
            "Published {}:{}@{}: {}, {}, {} new",
            outcome.registry,
            outcome.name,
            outcome.version,
            text::count(published.files, "file"),
            text::bytes(published.bytes),
            text::count(published.new_blobs, "blob"),
        ));
        match &outcome.checkpoint {
            Some(checkpoint) => index::tell(checkpoint, context.printer),
            None => context.printer.say("It counts once `mpm index checkpoint` admits it"),
        }
        context.printer.document(
            "mpm.publish/1",
            serde_json::json!({
                "registry": outcome.registry.to_string(),
                "name": outcome.name.to_string(),
                "version": outcome.version.to_string(),
                "statement": published.statement.hex(),
                "files": published.files,
                "bytes": published.bytes,
                "new-blobs": published.new_blobs,
                "checkpoint": outcome.checkpoint.as_ref().map(index::document),
            }),
        );
        Ok(Status::Done)
    }
}
