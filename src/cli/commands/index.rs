//! `mpm index`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::args::PasswordArgs;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{Printer, visible};
use crate::cli::{text, world};
use crate::model::{Namespace, RegistryId};
use crate::ops::{index_checkpoint, index_init};
use crate::trust::Freshness;

/// A registry's folder: make one, sign its head
#[derive(Debug, Args)]
pub(in crate::cli) struct Index {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a registry for a small team: a main key, an index key and a recovery key
    Init(Init),
    /// Admit what waits and sign the new head
    Checkpoint(Checkpoint),
}

#[derive(Debug, Args)]
struct Init {
    /// The registry's folder; made if it is missing
    folder: PathBuf,
    /// The registry's id
    #[arg(long, value_name = "ID")]
    id: RegistryId,
    /// A namespace in which the main key publishes; may be given several times
    #[arg(long = "namespace", value_name = "NAMESPACE", required = true)]
    namespaces: Vec<Namespace>,
    /// The main key's file: root, registrar and publisher; made if it is missing
    #[arg(long, value_name = "FILE")]
    main_key: Option<PathBuf>,
    /// The index key's file; made without a password if it is missing
    #[arg(long, value_name = "FILE")]
    index_key: Option<PathBuf>,
    /// The public key file of a recovery key; without it one is made and shown once
    #[arg(long, value_name = "FILE")]
    recovery_key: Option<PathBuf>,
    /// Signed files never expire: a registry that is frozen can't be told from one that is quiet
    #[arg(long)]
    no_freshness: bool,
    /// A demonstration: its keys need no password, and it is marked as one
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    password: PasswordArgs,
}

#[derive(Debug, Args)]
struct Checkpoint {
    /// The registry's folder
    folder: PathBuf,
    /// The index key's file
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The main key's file: renews root and registrar files that are past half their life
    #[arg(long, value_name = "FILE")]
    main_key: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArgs,
}

impl Index {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        match &self.action {
            Action::Init(init) => init.exec(context)?,
            Action::Checkpoint(checkpoint) => checkpoint.exec(context)?,
        }
        Ok(Status::Done)
    }
}

impl Init {
    fn exec(&self, context: &mut Context<'_>) -> Result<(), Failed> {
        let keys = world::places(context.environment)?.0.keys;
        let passwords = self.password.open(context)?;
        let start = &context.settings.start;
        let file = |given: &Option<PathBuf>, role: &str| {
            given.as_ref().map_or_else(|| keys.join(format!("{}-{role}.key", self.id)), |given| start.join(given))
        };
        let (main, index) = (file(&self.main_key, "main"), file(&self.index_key, "index"));
        let request = index_init::Request {
            folder: start.join(&self.folder),
            id: self.id.clone(),
            namespaces: self.namespaces.clone(),
            main: main.clone(),
            index: index.clone(),
            recovery: self.recovery_key.as_ref().map(|given| start.join(given)),
            freshness: if self.no_freshness { Freshness::None } else { Freshness::Normal },
            demo: self.demo,
            now: world::now(context.environment),
            ask: &|what| passwords.ask(what),
        };
        let outcome = index_init::run(&request)?;
        let printer = &mut *context.printer;
        printer.say(&format!("Made registry {} in {}", self.id, request.folder.display()));
        printer.say(&format!("main key  {} in {}", outcome.main.short(), main.display()));
        printer.say(&format!("index key {} in {}", outcome.index.short(), index.display()));
        if let (Some(text), false) = (&outcome.recovery_text, printer.is_json()) {
            printer
                .always("The recovery key is shown this once and stored nowhere. Keep it where the main key is not:");
            printer.always(text.trim_end());
        }
        printer.say("What projects write down:");
        printer.data(&format!("root = \"sha256:{}\"", outcome.root));
        printer.document(
            "mpm.index-init/1",
            json!({
                "root": outcome.root.hex(),
                "main": outcome.main.hex(),
                "main-path": main.to_string_lossy(),
                "index": outcome.index.hex(),
                "index-path": index.to_string_lossy(),
                "recovery": outcome.recovery.hex(),
                "recovery-key": outcome.recovery_text,
            }),
        );
        Ok(())
    }
}

impl Checkpoint {
    fn exec(&self, context: &mut Context<'_>) -> Result<(), Failed> {
        let passwords = self.password.open(context)?;
        let start = &context.settings.start;
        let outcome = index_checkpoint::run(&index_checkpoint::Request {
            folder: start.join(&self.folder),
            index: start.join(&self.key),
            main: self.main_key.as_ref().map(|file| start.join(file)),
            now: world::now(context.environment),
            ask: &|what| passwords.ask(what),
        })?;
        tell(&outcome, context.printer);
        context.printer.document("mpm.index-checkpoint/1", document(&outcome));
        Ok(())
    }
}

/// Says what a checkpoint did.
pub(super) fn tell(outcome: &index_checkpoint::Outcome, printer: &mut Printer) {
    let checkpoint = &outcome.checkpoint;
    for file in &outcome.renewed {
        printer.say(&format!("Renewed {}", visible(file)));
    }
    let expires = checkpoint.expires.map(|time| format!(", expires {time}")).unwrap_or_default();
    printer.say(&format!("Checkpoint {}.{}{expires}", checkpoint.at.epoch, checkpoint.at.number));
    for (name, version) in &checkpoint.releases {
        printer.say(&format!(" + {name} {version}"));
    }
    for (name, version, action) in &checkpoint.yanks {
        printer.say(&format!(" ~ {name} {version} {}", action.as_str()));
    }
    if !checkpoint.refused.is_empty() {
        let refused = text::count(checkpoint.refused.len() as u64, "file");
        printer.always(&format!("{refused} not admitted:"));
        for refused in &checkpoint.refused {
            printer.always(&format!("  {}: {}", visible(&refused.file), visible(&refused.why.to_string())));
        }
    }
}

/// The same as JSON.
pub(super) fn document(outcome: &index_checkpoint::Outcome) -> Value {
    let checkpoint = &outcome.checkpoint;
    let releases: Vec<_> = checkpoint
        .releases
        .iter()
        .map(|(name, version)| json!({ "name": name.to_string(), "version": version.to_string() }))
        .collect();
    let refused: Vec<_> = checkpoint
        .refused
        .iter()
        .map(|refused| json!({ "file": refused.file, "why": refused.why.to_string() }))
        .collect();
    json!({
        "epoch": checkpoint.at.epoch,
        "number": checkpoint.at.number,
        "sha256": checkpoint.sha256.hex(),
        "expires": checkpoint.expires.map(crate::model::Timestamp::seconds),
        "releases": releases,
        "refused": refused,
        "renewed": outcome.renewed,
    })
}
