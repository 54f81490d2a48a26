//! `mpm bundle`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::bundle::Shape;
use crate::cli::args::{ChoiceArgs, WaitArgs};
use crate::cli::ask::password;
use crate::cli::commands::bundle_told::{self as told, Carrying};
use crate::cli::commands::part::PartArgs;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::diagnose::Class;
use crate::model::{CheckpointNumber, HumanSize, Sha256};
use crate::ops::bundle_create::SinceWhat;
use crate::ops::bundle_import::Into;
use crate::ops::{bundle_create, bundle_import, bundle_look};
use crate::sys::NetworkPolicy;

/// A part of a registry in one file, to carry where there is no network; it is a registry as it stands
#[derive(Debug, Args)]
pub(in crate::cli) struct Bundle {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a bundle: the same input is the same bytes
    Create(Box<Create>),
    /// Tell what a bundle holds, without unpacking it; opens no socket
    List(Look),
    /// Check every signed file of a bundle, and hash every entry; opens no socket
    Verify(Look),
    /// Take a bundle into a mirror or the store: all of it or nothing; opens no socket
    Import(Import),
}

/// Make a bundle
#[derive(Debug, Args)]
struct Create {
    /// The file of the bundle, such as site.mpmb
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    part: PartArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Only what is new since an earlier bundle, or since a checkpoint such as 1.42
    #[arg(long, value_name = "FILE|CHECKPOINT")]
    since: Option<PathBuf>,
    /// Files of at most this size, such as 4G, in place of one
    #[arg(long, value_name = "SIZE", value_parser = volume, conflicts_with = "folder")]
    volume_size: Option<u64>,
    /// A folder in place of a file
    #[arg(long)]
    folder: bool,
}

/// A bundle to look at
#[derive(Debug, Args)]
struct Look {
    /// The bundle: its file, its volumes (or one, with the others beside it), or its folder
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The sha256 of the first root that the registry in it must have
    #[arg(long, value_name = "SHA256", value_parser = Sha256::parse)]
    root: Option<Sha256>,
}

/// Take a bundle in
#[derive(Debug, Args)]
struct Import {
    /// The bundle: its file, its volumes (or one, with the others beside it), or its folder
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The folder of a mirror, or `store` for this machine's store
    #[arg(long, value_name = "DIR|store")]
    into: PathBuf,
    /// The sha256 of the registry's first root, where nothing on this machine names it
    #[arg(long, value_name = "SHA256", value_parser = Sha256::parse)]
    root: Option<Sha256>,
    /// The file of the site's import key: an import record is signed with it
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// Only tell what would come
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Take more than 20 GB without a question
    #[arg(short, long, env = "MPM_YES", hide_env_values = true, value_parser = clap::builder::BoolishValueParser::new())]
    yes: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Least size of a volume: smaller ones are mistakes.
const LEAST_VOLUME: u64 = 64 << 10;

fn volume(typed: &str) -> Result<u64, String> {
    let size = HumanSize::parse(typed).map_err(|error| error.to_string())?.0;
    if size < LEAST_VOLUME { Err("a volume has at least 64K".to_owned()) } else { Ok(size) }
}

/// A checkpoint such as `1.42`, or else a file.
fn since(typed: &std::path::Path, settings: &Settings) -> SinceWhat {
    let number = || {
        let (epoch, number) = typed.to_str()?.split_once('.')?;
        Some(CheckpointNumber { epoch: epoch.parse().ok()?, number: number.parse().ok()? })
    };
    number().map_or_else(|| SinceWhat::Bundle(settings.start.join(typed)), SinceWhat::Checkpoint)
}

impl Create {
    fn to_request(&self, settings: &Settings) -> bundle_create::Request {
        bundle_create::Request {
            start: settings.start.clone(),
            to: settings.start.join(&self.output),
            shape: match (self.folder, self.volume_size) {
                (true, _) => Shape::Folder,
                (false, Some(size)) => Shape::Volumes(size),
                (false, None) => Shape::File,
            },
            source: self.part.source(),
            locks: self.part.locks(settings),
            choice: self.choice.narrowed(),
            wish: self.part.wish(),
            since: self.since.as_deref().map(|typed| since(typed, settings)),
            dry_run: self.part.dry_run,
            yes: self.part.yes,
            wait: self.part.wait(),
        }
    }

    fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let outcome = bundle_create::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        told::created(&outcome, services.now, context.printer);
        Ok(Status::Done)
    }
}

impl Bundle {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        match &self.action {
            Action::Create(command) => command.exec(context),
            Action::List(look) => look.exec(Carrying::Listed, context),
            Action::Verify(look) => look.exec(Carrying::Verified, context),
            Action::Import(command) => command.exec(context),
        }
    }
}

impl Look {
    fn exec(&self, how: Carrying, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long_with(NetworkPolicy::Offline)?;
        let request = bundle_look::Request {
            files: self.files.iter().map(|file| context.settings.start.join(file)).collect(),
            root: self.root,
            hash: how == Carrying::Verified,
        };
        let seen = bundle_look::run(&services, &request)?;
        context.bars.finish();
        told::looked(&seen, how, services.now, context.printer);
        Ok(if seen.inspected.is_sound() { Status::Done } else { Status::Bad(Class::Trust) })
    }
}

impl Import {
    fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long_with(NetworkPolicy::Offline)?;
        let at = |path: &PathBuf| context.settings.start.join(path);
        let ask = password(context.environment);
        let request = bundle_import::Request {
            start: context.settings.start.clone(),
            files: self.files.iter().map(at).collect(),
            into: if self.into.as_os_str() == "store" { Into::Store } else { Into::Mirror(at(&self.into)) },
            root: self.root,
            sign: self.sign.as_ref().map(at),
            ask: &ask,
            dry_run: self.dry_run,
            yes: self.yes,
            wait: self.wait.duration(),
        };
        let outcome = bundle_import::run(&services, &request)?;
        context.bars.finish();
        told::imported(&outcome, &request.into, services.now, context.printer);
        Ok(Status::Done)
    }
}
