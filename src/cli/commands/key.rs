//! `mpm key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::ask::password;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::ops::Protection;
use crate::ops::key_new;

/// Keys that sign releases and indexes
#[derive(Debug, Args)]
pub(in crate::cli) struct Key {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key pair in minisign's format
    New(New),
}

/// Make a key pair in minisign's format
#[derive(Debug, Args)]
struct New {
    /// The secret key's file; the public key goes beside it as FILE.pub
    #[arg(value_name = "FILE", required_unless_present = "output", conflicts_with = "output")]
    file: Option<PathBuf>,
    /// The same as FILE
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Without a password: for index keys and demo registries alone
    #[arg(long)]
    no_password: bool,
}

impl Key {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let Action::New(new) = &self.action;
        let file = new.file.as_ref().or(new.output.as_ref()).cloned().unwrap_or_default();
        let ask = password(context.environment);
        let outcome = key_new::run(&key_new::Request {
            path: context.settings.start.join(file),
            protection: if new.no_password { Protection::None } else { Protection::Password },
            ask: &ask,
        })?;
        let fingerprint = outcome.public.fingerprint().hex();
        context.printer.say(&format!("Secret key in {}: keep it where nobody else reads it", outcome.path.display()));
        context.printer.say(&format!("Fingerprint {fingerprint}"));
        context.printer.data(outcome.public.as_str());
        context.printer.document(
            "mpm.key-new/1",
            serde_json::json!({
                "file": outcome.path.to_string_lossy(),
                "public-key": outcome.public.as_str(),
                "fingerprint": fingerprint,
            }),
        );
        Ok(Status::Done)
    }
}
