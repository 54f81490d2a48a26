//! One file a command: what was typed, what it means, and how its outcome reads.

mod add;
mod bundle;
mod bundle_told;
mod complete;
mod completions;
mod config;
mod diff;
mod doctor;
mod fetch;
mod get;
mod index;
mod info;
mod init;
mod key;
mod list;
mod lock;
mod login;
mod mirror;
mod outdated;
mod part;
mod path;
mod publish;
mod remove;
mod run;
mod search;
mod serve;
mod store;
mod sync;
mod tree;
mod update;
mod upgrade;
mod verify;
mod why;

use std::sync::Arc;

use clap::Subcommand;

use crate::cli::bars::Bars;
use crate::cli::env::Environment;
use crate::cli::errors::Failed;
use crate::cli::printer::Printer;
use crate::cli::settings::Settings;
use crate::cli::{signals, world};
use crate::diagnose::Class;
use crate::ops::Services;
use crate::sys::{Cancel, NetworkPolicy};

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// Well.
    Done,
    /// It did what it was for, and what it found is bad.
    Bad(Class),
}

/// What a command works with.
pub(super) struct Context<'a> {
    pub(super) settings: &'a Settings,
    pub(super) environment: &'a Environment,
    pub(super) printer: &'a mut Printer,
    pub(super) bars: &'a Arc<Bars>,
}

impl Context<'_> {
    /// The services of a command that ends at once.
    fn brief(&self) -> Result<Services, Failed> {
        self.services(NetworkPolicy::Online, Cancel::new())
    }

    /// The services of a command that may work long: ctrl-c sets the wish to stop.
    fn long(&self) -> Result<Services, Failed> {
        self.long_with(NetworkPolicy::Online)
    }

    /// The same, offline if the command says so.
    fn long_with(&self, network: NetworkPolicy) -> Result<Services, Failed> {
        let cancel = Cancel::new();
        signals::listen(&cancel);
        self.services(network, cancel)
    }

    fn services(&self, network: NetworkPolicy, cancel: Cancel) -> Result<Services, Failed> {
        let network = if self.settings.offline { NetworkPolicy::Offline } else { network };
        world::services(self.environment, network, self.bars, self.settings.options.clone(), cancel)
    }
}

/// Every command.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Init(init::Init),
    Add(add::Add),
    Remove(remove::Remove),
    Lock(lock::Lock),
    Update(update::Update),
    Upgrade(upgrade::Upgrade),
    #[command(visible_alias = "install")]
    Sync(sync::Sync),
    Fetch(fetch::Fetch),
    Get(get::Get),
    List(list::List),
    Tree(tree::Tree),
    Why(why::Why),
    Outdated(outdated::Outdated),
    Search(search::Search),
    Info(info::Info),
    Path(path::Path),
    Run(run::Run),
    Verify(verify::Verify),
    Diff(diff::Diff),
    Store(store::Store),
    Key(key::Key),
    Publish(publish::Publish),
    Index(index::Index),
    Mirror(mirror::Mirror),
    Serve(Box<serve::Serve>),
    Bundle(bundle::Bundle),
    Config(config::Config),
    Doctor(doctor::Doctor),
    Login(login::Login),
    Logout(login::Logout),
    Completions(completions::Completions),
    #[command(hide = true)]
    Complete(complete::Complete),
}

impl Command {
    /// Runs it.
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        match self {
            Self::Init(command) => command.exec(context),
            Self::Add(command) => command.exec(context),
            Self::Remove(command) => command.exec(context),
            Self::Lock(command) => command.exec(context),
            Self::Update(command) => command.exec(context),
            Self::Upgrade(command) => command.exec(context),
            Self::Sync(command) => command.exec(context),
            Self::Fetch(command) => command.exec(context),
            Self::Get(command) => command.exec(context),
            Self::List(command) => command.exec(context),
            Self::Tree(command) => command.exec(context),
            Self::Why(command) => command.exec(context),
            Self::Outdated(command) => command.exec(context),
            Self::Search(command) => command.exec(context),
            Self::Info(command) => command.exec(context),
            Self::Path(command) => command.exec(context),
            Self::Run(command) => command.exec(context),
            Self::Verify(command) => command.exec(context),
            Self::Diff(command) => command.exec(context),
            Self::Store(command) => command.exec(context),
            Self::Key(command) => command.exec(context),
            Self::Publish(command) => command.exec(context),
            Self::Index(command) => command.exec(context),
            Self::Mirror(command) => command.exec(context),
            Self::Serve(command) => command.exec(context),
            Self::Bundle(command) => command.exec(context),
            Self::Config(command) => command.exec(context),
            Self::Doctor(command) => command.exec(context),
            Self::Login(command) => command.exec(context),
            Self::Logout(command) => command.exec(context),
            Self::Completions(command) => command.exec(context),
            Self::Complete(command) => command.exec(context),
        }
    }
}
