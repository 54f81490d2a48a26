//! `mpm key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::args::PasswordArgs;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::world;
use crate::ops::{Protection, key_new};

/// Secret keys that sign releases and indexes
#[derive(Debug, Args)]
pub(in crate::cli) struct Key {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a minisign key pair; the public key goes beside the secret one
    New(New),
}

#[derive(Debug, Args)]
#[group(id = "place", required = true, multiple = false)]
struct NewPlace {
    /// The key's name: its file lies in the folder of keys
    #[arg(value_name = "NAME", value_parser = crate::model::RegistryId::parse)]
    name: Option<crate::model::RegistryId>,
    /// The key's file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct New {
    #[command(flatten)]
    place: NewPlace,
    /// Without a password: for index keys and demonstrations alone
    #[arg(long)]
    no_password: bool,
    #[command(flatten)]
    password: PasswordArgs,
}

impl Key {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let Action::New(new) = &self.action;
        let path = match (&new.place.output, &new.place.name) {
            (Some(file), _) => context.settings.start.join(file),
            (None, Some(name)) => world::places(context.environment)?.0.keys.join(format!("{name}.key")),
            (None, None) => context.settings.start.join("mpm.key"),
        };
        let protection = if new.no_password { Protection::None } else { Protection::Password };
        let passwords = new.password.open(context)?;
        let outcome = key_new::run(&key_new::Request { path, protection, ask: &|what| passwords.ask(what) })?;
        let public = outcome.public.as_str();
        let fingerprint = outcome.public.fingerprint().hex();
        context.printer.say(&format!("Made {}; keep it secret", outcome.path.display()));
        context.printer.data(&format!("public key:  {public}"));
        context.printer.data(&format!("fingerprint: {fingerprint}"));
        let path = outcome.path.to_string_lossy();
        context.printer.document(
            "mpm.key-new/1",
            serde_json::json!({ "path": path, "public-key": public, "fingerprint": fingerprint }),
        );
        Ok(Status::Done)
    }
}
