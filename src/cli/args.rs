//! What can be typed: the options of every command, and options that several share.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, ValueEnum, value_parser};

use crate::cli::commands::Command;
use crate::cli::settings::Settings;
use crate::config::{self, LinkMode};
use crate::model::{Fingerprint, Glob, GroupName, Sha256};
use crate::ops::{Accepted, LockRule, sync};
use crate::select::{Choice, Groups};
use crate::sys::NetworkPolicy;

/// A package manager for model artifacts: signed, pinned, verified.
#[derive(Debug, Parser)]
#[command(name = "mpm", version, about, max_term_width = 100, disable_help_subcommand = false)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Write one JSON document to stdout, and errors as JSON to stderr
    #[arg(long, global = true, env = "MPM_JSON", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(super) json: bool,
    /// Say nothing but results, warnings and errors
    #[arg(short, long, global = true, env = "MPM_QUIET", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(super) quiet: bool,
    /// Say more: full fingerprints, folders, what was reused
    #[arg(short, long, global = true, env = "MPM_VERBOSE", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(super) verbose: bool,
    /// When to use colour; `NO_COLOR` and `CLICOLOR_FORCE` are obeyed
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", env = "MPM_COLOR", hide_env_values = true)]
    pub(super) color: Color,
    /// Draw no progress bars
    #[arg(long, global = true, env = "MPM_NO_PROGRESS", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(super) no_progress: bool,
    /// Work in this folder
    #[arg(short = 'C', long, global = true, value_name = "DIR", env = "MPM_DIRECTORY", hide_env_values = true)]
    pub(super) directory: Option<PathBuf>,
    /// Bring so many blobs at a time, over as many connections
    #[arg(long, global = true, value_name = "N", value_parser = value_parser!(u16).range(1..=256))]
    pub(super) jobs: Option<u16>,
    /// Take so many bytes a second at most, such as 500K or 20M
    #[arg(long, global = true, value_name = "RATE", value_parser = rate)]
    pub(super) limit_rate: Option<u64>,
    /// Open no socket
    #[arg(long, global = true, env = "MPM_OFFLINE", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(super) offline: bool,
}

/// A rate, or why it is none.
fn rate(text: &str) -> Result<u64, &'static str> {
    config::parse_rate(text).ok_or("write bytes a second, at least 1K, such as 500K or 20M")
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Tells the streams.
    pub(super) fn set(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// Whether Model.lock may change.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LockArgs {
    /// Check that Model.lock answers Model.toml, and never write it
    #[arg(long, env = "MPM_LOCKED", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(super) locked: bool,
    /// --locked and --offline together
    #[arg(long, env = "MPM_FROZEN", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(super) frozen: bool,
}

impl LockArgs {
    pub(super) fn rule(&self) -> LockRule {
        if self.locked || self.frozen { LockRule::Locked } else { LockRule::Free }
    }

    pub(super) fn network(&self) -> NetworkPolicy {
        if self.frozen { NetworkPolicy::Offline } else { NetworkPolicy::Online }
    }
}

/// What a person accepts, and how long to wait.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct AcceptArgs {
    /// Answer every other question with yes
    #[arg(short, long, env = "MPM_YES", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(super) yes: bool,
    /// Accept a publisher key that was not known for its namespace
    #[arg(long, value_name = "FINGERPRINT", value_parser = Fingerprint::parse)]
    pub(super) accept_key: Vec<Fingerprint>,
    /// Accept that Model.toml names another first root than Model.lock
    #[arg(long, value_name = "SHA256", value_parser = Sha256::parse)]
    pub(super) accept_root: Vec<Sha256>,
}

impl AcceptArgs {
    pub(super) fn accepted(&self) -> Accepted {
        Accepted {
            keys: self.accept_key.iter().copied().collect(),
            roots: self.accept_root.iter().copied().collect(),
            yes: self.yes,
            available: false,
        }
    }
}

/// How long to wait for another process.
#[derive(Debug, Clone, Args)]
pub(super) struct WaitArgs {
    /// Wait at most so long for another mpm that works in this project or collects in the store
    #[arg(long, value_name = "SECONDS", default_value_t = 300, env = "MPM_WAIT", hide_env_values = true)]
    wait: u32,
}

impl WaitArgs {
    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.wait))
    }
}

/// Which part of the lock is wanted.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ChoiceArgs {
    /// Besides the main dependencies, those of this group
    #[arg(long, value_name = "GROUP", conflicts_with = "all_groups")]
    group: Vec<GroupName>,
    /// The dependencies of all groups
    #[arg(long)]
    all_groups: bool,
    /// Variants as this profile of Model.toml chooses them
    #[arg(long, value_name = "PROFILE", env = "MPM_PROFILE", hide_env_values = true)]
    profile: Option<String>,
}

impl ChoiceArgs {
    /// The choice where one was made; none: everything that the lock pins.
    pub(super) fn narrowed(&self) -> Option<Choice> {
        let groups = match (self.all_groups, self.group.is_empty()) {
            (false, false) => Groups::Some(self.group.iter().cloned().collect()),
            _ => Groups::All,
        };
        let made = groups != Groups::All || self.profile.is_some();
        made.then(|| Choice { groups, profile: self.profile.clone(), ..Choice::default() })
    }

    pub(super) fn choice(&self) -> Choice {
        let groups = match (self.all_groups, self.group.is_empty()) {
            (true, _) => Groups::All,
            (false, true) => Groups::None,
            (false, false) => Groups::Some(self.group.iter().cloned().collect()),
        };
        Choice { groups, profile: self.profile.clone(), ..Choice::default() }
    }
}

/// Which files of a package are wanted.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct GlobArgs {
    /// Only files that match this pattern; may be given several times
    #[arg(long = "include", value_name = "GLOB", value_parser = glob)]
    pub(super) include: Vec<Glob>,
    /// No files that match this pattern; may be given several times
    #[arg(long = "exclude", value_name = "GLOB", value_parser = glob)]
    pub(super) exclude: Vec<Glob>,
}

/// Parses a pattern over paths.
fn glob(typed: &str) -> Result<Glob, String> {
    Glob::parse(typed).map_err(|error| error.to_string())
}

/// How files come from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LinkWord {
    /// Reflink, else hard link, else symlink (from 16 MiB on), else copy
    Auto,
    /// Copy on write
    Reflink,
    /// Hard link
    Hard,
    /// Symbolic link
    Symlink,
    /// A full copy
    Copy,
}

impl LinkWord {
    pub(super) fn mode(self) -> LinkMode {
        match self {
            Self::Auto => LinkMode::Auto,
            Self::Reflink => LinkMode::Reflink,
            Self::Hard => LinkMode::Hard,
            Self::Symlink => LinkMode::Symlink,
            Self::Copy => LinkMode::Copy,
        }
    }
}

/// What every command that brings and places files takes.
#[derive(Debug, Clone, Args)]
pub(super) struct PlacingArgs {
    #[command(flatten)]
    pub(super) lock: LockArgs,
    #[command(flatten)]
    accept: AcceptArgs,
    #[command(flatten)]
    wait: WaitArgs,
    /// How files come from the store into the project
    #[arg(long, value_name = "WAY", env = "MPM_LINK", hide_env_values = true)]
    link: Option<LinkWord>,
    /// Only tell what would be done, with bytes and free space
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl PlacingArgs {
    /// The request of `sync` that these options mean.
    pub(super) fn request(&self, settings: &Settings, choice: Choice) -> sync::Request {
        sync::Request {
            start: settings.start.clone(),
            choice,
            lock_rule: self.lock.rule(),
            link: self.link.map(LinkWord::mode),
            check: false,
            dry_run: self.dry_run,
            force: false,
            export: None,
            accepted: self.accept.accepted(),
            wait: self.wait.duration(),
        }
    }
}
