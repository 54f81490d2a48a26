//! `mpm index`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::ask::password;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{Printer, visible};
use crate::diagnose::Class;
use crate::model::{Namespace, RegistryId};
use crate::ops::{index_checkpoint, index_init};
use crate::trust::Freshness;

/// The index of a registry, in a folder or the work tree of a git repository
#[derive(Debug, Args)]
pub(in crate::cli) struct Index {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a registry for a small team: one main key, one index key, one recovery key
    Init(Init),
    /// Admit what waits and sign the next checkpoint
    Checkpoint(Checkpoint),
}

/// Make a registry for a small team: one main key, one index key, one recovery key
#[derive(Debug, Args)]
struct Init {
    /// The registry's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Its id: the label in every file that it signs
    #[arg(long)]
    id: RegistryId,
    /// A namespace that the main key publishes in
    #[arg(long, value_name = "NAMESPACE", required = true)]
    namespace: Vec<Namespace>,
    /// The main secret key: root, registrar and publisher; made if it is missing
    #[arg(long, value_name = "FILE", default_value = "main.key")]
    main_key: PathBuf,
    /// The index's secret key; made, without a password, if it is missing
    #[arg(long, value_name = "FILE", default_value = "index.key")]
    index_key: PathBuf,
    /// The recovery key's public file (or the secret one with FILE.pub beside it); without it one is made and shown once
    #[arg(long, value_name = "FILE")]
    recovery_key: Option<PathBuf>,
    /// Whether its files expire
    #[arg(long, value_name = "WORD", default_value = "normal")]
    freshness: FreshnessWord,
    /// A demonstration: keys need no password, and everybody is warned
    #[arg(long)]
    demo: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FreshnessWord {
    /// They do
    Normal,
    /// They do not: a freeze can't be seen
    None,
}

/// Admit what waits and sign the next checkpoint
#[derive(Debug, Args)]
struct Checkpoint {
    /// The registry's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The index's secret key
    #[arg(long, value_name = "FILE", default_value = "index.key")]
    key: PathBuf,
    /// The main secret key: renews root and registrar files that are past half their life
    #[arg(long, value_name = "FILE")]
    main_key: Option<PathBuf>,
}

impl Index {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        match &self.action {
            Action::Init(command) => command.exec(context),
            Action::Checkpoint(command) => command.exec(context),
        }
    }
}

impl Init {
    fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.brief()?;
        let start = &context.settings.start;
        let ask = password(context.environment);
        let outcome = index_init::run(
            &index_init::Request {
                folder: start.join(&self.folder),
                id: self.id.clone(),
                namespaces: self.namespace.clone(),
                main: start.join(&self.main_key),
                index: start.join(&self.index_key),
                recovery: self.recovery_key.as_ref().map(|file| public_half(&start.join(file))),
                freshness: match self.freshness {
                    FreshnessWord::Normal => Freshness::Normal,
                    FreshnessWord::None => Freshness::None,
                },
                demo: self.demo,
                now: services.now,
                ask: &ask,
            },
            &*services.progress,
        )?;
        let printer = &mut *context.printer;
        printer.say(&format!("Made registry {} in {}", self.id, self.folder.display()));
        printer.say(&format!("Main key     {}  (root, registrar, publisher)", outcome.main));
        printer.say(&format!("Index key    {}", outcome.index));
        printer.say(&format!("Recovery key {}", outcome.recovery));
        if let Some(text) = &outcome.recovery_text {
            // Shown even under -q: it exists nowhere else.
            if !printer.is_json() {
                printer.always(
                    "The recovery key is shown once and stored nowhere. Keep these lines apart from the main key:",
                );
                printer.always(text.trim_end());
            }
        }
        printer.say("Projects trust it with:");
        let namespaces: Vec<String> = self.namespace.iter().map(|name| format!("\"{name}\"")).collect();
        printer.data(&format!(
            "[registries.{}]\nindex = \"{}\"\nroot = \"sha256:{}\"\nnamespaces = [{}]",
            self.id,
            self.folder.display(),
            outcome.root,
            namespaces.join(", ")
        ));
        printer.document(
            "mpm.index-init/1",
            serde_json::json!({
                "id": self.id.as_str(),
                "root": outcome.root.hex(),
                "main-key": outcome.main.hex(),
                "index-key": outcome.index.hex(),
                "recovery-key": outcome.recovery.hex(),
                "recovery-secret": outcome.recovery_text,
            }),
        );
        Ok(Status::Done)
    }
}

/// `FILE.pub` beside a secret key, if that is what was given.
fn public_half(file: &std::path::Path) -> PathBuf {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    if std::path::Path::new(&beside).exists() { beside.into() } else { file.to_owned() }
}

impl Checkpoint {
    fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.brief()?;
        let start = &context.settings.start;
        let ask = password(context.environment);
        let outcome = index_checkpoint::run(
            &index_checkpoint::Request {
                folder: start.join(&self.folder),
                index: start.join(&self.key),
                main: self.main_key.as_ref().map(|file| start.join(file)),
                now: services.now,
                ask: &ask,
            },
            &*services.progress,
        )?;
        say(context.printer, &outcome);
        let made = &outcome.checkpoint;
        context.printer.document(
            "mpm.index-checkpoint/1",
            serde_json::json!({
                "checkpoint": made.at.to_string(),
                "sha256": made.sha256.hex(),
                "expires": made.expires.map(crate::model::Timestamp::seconds),
                "releases": made.releases.iter().map(|(name, version)| format!("{name}@{version}")).collect::<Vec<_>>(),
                "yanks": made.yanks.iter().map(|(name, version, action)| serde_json::json!({
                    "release": format!("{name}@{version}"), "action": action.as_str(),
                })).collect::<Vec<_>>(),
                "refused": made.refused.iter().map(|refused| serde_json::json!({
                    "file": refused.file, "why": refused.why.to_string(),
                })).collect::<Vec<_>>(),
                "renewed": outcome.renewed,
            }),
        );
        Ok(if made.refused.is_empty() { Status::Done } else { Status::Bad(Class::Trust) })
    }
}

/// What a checkpoint did, in lines.
pub(super) fn say(printer: &mut Printer, outcome: &index_checkpoint::Outcome) {
    let made = &outcome.checkpoint;
    for file in &outcome.renewed {
        printer.say(&format!("Renewed {file}"));
    }
    for (name, version) in &made.releases {
        printer.say(&format!(" + {name} {version}"));
    }
    for (name, version, action) in &made.yanks {
        printer.say(&format!(" {} {name} {version}", action.as_str()));
    }
    for refused in &made.refused {
        printer.say(&format!(" refused {}: {}", visible(&refused.file), visible(&refused.why.to_string())));
    }
    let until = made.expires.map_or_else(|| "never expires".to_owned(), |expires| format!("expires {expires}"));
    printer.say(&format!("Checkpoint {} is signed; it {until}", made.at));
}
