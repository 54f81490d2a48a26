//! `mpm add`.

use clap::Args;

use crate::cli::args::{ChoiceArgs, GlobArgs, PlacingArgs};
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::visible;
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::model::{DependencyKey, GroupName, HubId, PackageName, RegistryId, Requirement, VariantName};
use crate::ops::add;

/// Add packages to Model.toml, lock them and place them
#[derive(Debug, Args)]
pub(in crate::cli) struct Add {
    /// What to add: a name, with `@` and a version requirement if any version won't do; or a repository of the Hugging
    /// Face hub, hf:ORG/NAME or hf:datasets/ORG/NAME, with `@` and a branch, tag or commit if not main
    #[arg(required = true, value_name = "NAME[@REQUIREMENT]", value_parser = item)]
    items: Vec<add::Item>,
    /// The key in Model.toml instead of the name; for one package
    #[arg(long, visible_alias = "as", value_name = "KEY", value_parser = DependencyKey::parse)]
    key: Option<DependencyKey>,
    /// Add to this group
    #[arg(long = "to-group", value_name = "GROUP")]
    to_group: Option<GroupName>,
    /// The registry that answers the name
    #[arg(long, value_name = "ID")]
    registry: Option<RegistryId>,
    /// The variant to install; may be given several times
    #[arg(long = "variant", value_name = "VARIANT")]
    variants: Vec<VariantName>,
    #[command(flatten)]
    globs: GlobArgs,
    /// Make the project where there is none
    #[arg(long)]
    init: bool,
    /// Stop when Model.lock is written
    #[arg(long)]
    no_sync: bool,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    placing: PlacingArgs,
}

/// Parses `NAME[@REQUIREMENT]` or `hf:ID[@REVISION]`.
pub(super) fn item(typed: &str) -> Result<add::Item, String> {
    if HubId::is_meant(typed) {
        return HubId::parse(typed).map(add::Item::Hub).map_err(|error| error.to_string());
    }
    package(typed).map(add::Item::Package)
}

/// Parses `NAME[@REQUIREMENT]`.
pub(super) fn package(typed: &str) -> Result<add::PackageItem, String> {
    let (name, requirement) = match typed.split_once('@') {
        Some((name, requirement)) => (name, Some(requirement)),
        None => (typed, None),
    };
    let name = PackageName::parse(name).map_err(|error| {
        // The namespace is what people leave out.
        let found = if name.contains('/') || name.is_empty() {
            String::new()
        } else {
            format!("; `mpm search {name}` finds whole names")
        };
        format!("{error}{found}")
    })?;
    let requirement = requirement.map(Requirement::parse).transpose().map_err(|error| error.to_string())?;
    Ok(add::PackageItem { name, requirement })
}

impl Add {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> add::Request {
        add::Request {
            items: self.items.clone(),
            key: self.key.clone(),
            group: self.to_group.clone(),
            registry: self.registry.clone(),
            variants: self.variants.clone(),
            include: self.globs.include.clone(),
            exclude: self.globs.exclude.clone(),
            init: self.init,
            no_sync: self.no_sync,
            sync: self.placing.request(settings, self.choice.choice()),
        }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long_with(self.placing.lock.network())?;
        let outcome = add::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        let printer = &mut *context.printer;
        let dry_run = outcome.sync.dry_run;
        if outcome.created {
            let folder = outcome.sync.project.to_string_lossy();
            printer.say(&format!("{} a project in {folder}", if dry_run { "Would make" } else { "Made" }));
        }
        for added in &outcome.added {
            let verb = if dry_run { "Would add" } else { "Added" };
            let from = added.registry.as_ref().map(|registry| format!(" from {registry}")).unwrap_or_default();
            printer.say(&format!("{verb} {} = \"{}\"{from}", added.key, visible(&added.requirement)));
            if added.layout_written {
                printer.say(&format!(
                    "{verb} layouts = [\"huggingface\"]: `mpm run -- COMMAND` finds it under its id on the hub"
                ));
            }
        }
        text::synced(&outcome.sync, context.settings.verbose, printer);
        let added: Vec<_> = outcome
            .added
            .iter()
            .map(|added| {
                serde_json::json!({
                    "key": added.key.to_string(),
                    "requirement": added.requirement,
                    "registry": added.registry.as_ref().map(ToString::to_string),
                    "registry-written": added.registry_written,
                    "layout-written": added.layout_written,
                })
            })
            .collect();
        printer.document(
            "mpm.add/1",
            serde_json::json!({ "created": outcome.created, "added": added, "sync": json::synced(&outcome.sync) }),
        );
        Ok(Status::Done)
    }
}
