//! Which part of a registry a mirror or a bundle is to hold, and where it is taken from.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::args::WaitArgs;
use crate::cli::settings::Settings;
use crate::mirror::{Pattern, Wish};
use crate::model::{Glob, PackageName, RegistryId, Requirement, Sha256, VariantName};
use crate::ops::Source;

/// What is asked of whoever makes a copy.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub(super) struct PartArgs {
    /// Packages, with `@` and the versions that are wanted, or patterns such as 'acme/*'; with what they need
    #[arg(value_name = "NAME[@VERSIONS]", value_parser = pattern)]
    names: Vec<Pattern>,
    /// Exactly what this Model.lock pins, sources of the hub too; may be given several times
    #[arg(long = "lock", value_name = "FILE")]
    locks: Vec<PathBuf>,
    /// Everything
    #[arg(long)]
    all: bool,
    /// Only this variant, of releases that have variants, and common files; may be given several times
    #[arg(long = "variant", value_name = "VARIANT")]
    variants: Vec<VariantName>,
    /// Of each package only so many of the newest versions
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    newest: Option<u32>,
    /// The registry, where the project or the locks name several
    #[arg(long, value_name = "ID")]
    registry: Option<RegistryId>,
    /// Take it from this index, mirror or bundle (an address as in Model.toml, a folder, or a file), not from the project's
    #[arg(long, value_name = "INDEX")]
    from: Option<String>,
    /// The sha256 of the registry's first root, where no project names it
    #[arg(long, value_name = "SHA256", value_parser = Sha256::parse)]
    root: Option<Sha256>,
    /// Leave out what the place that is copied lacks itself
    #[arg(long)]
    available: bool,
    /// Only tell what would be done, with bytes and free space
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Fetch more than 20 GB without a question
    #[arg(short, long, env = "MPM_YES", hide_env_values = true, value_parser = clap::builder::BoolishValueParser::new())]
    pub(super) yes: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

impl PartArgs {
    pub(super) fn source(&self) -> Source {
        Source { registry: self.registry.clone(), from: self.from.clone(), root: self.root }
    }

    pub(super) fn locks(&self, settings: &Settings) -> Vec<PathBuf> {
        self.locks.iter().map(|path| settings.start.join(path)).collect()
    }

    pub(super) fn wish(&self) -> Wish {
        Wish {
            all: self.all,
            patterns: self.names.clone(),
            variants: self.variants.iter().cloned().collect(),
            newest: self.newest.and_then(|number| usize::try_from(number).ok()),
            available: self.available,
            ..Wish::default()
        }
    }

    pub(super) fn wait(&self) -> Duration {
        self.wait.duration()
    }
}

/// A package with the versions that are wanted, or a pattern.
fn pattern(typed: &str) -> Result<Pattern, String> {
    if typed.contains(['*', '?', '[', '{']) {
        return Glob::parse(typed).map(Pattern::Glob).map_err(|error| error.to_string());
    }
    let (name, versions) = match typed.split_once('@') {
        None => (typed, None),
        Some((name, versions)) => (name, Some(versions)),
    };
    let name = PackageName::parse(name).map_err(|error| error.to_string())?;
    let versions = versions.map(Requirement::parse).transpose().map_err(|error| error.to_string())?;
    Ok(Pattern::Name(name, versions))
}
