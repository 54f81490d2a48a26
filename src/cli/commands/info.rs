//! `mpm info`.

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{BOLD, DIM, Printer, YELLOW, paint, visible};
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::model::{PackageName, RegistryId, Requirement};
use crate::ops::info;
use crate::statement::DependencyKind;

/// Show what a registry says about a package
#[derive(Debug, Args)]
pub(in crate::cli) struct Info {
    /// The package, with `@` and a version requirement if not the newest is meant
    #[arg(value_name = "NAME[@REQUIREMENT]", value_parser = wanted)]
    package: (PackageName, Option<Requirement>),
    /// The registry that answers the name
    #[arg(long, value_name = "ID")]
    registry: Option<RegistryId>,
}

fn wanted(typed: &str) -> Result<(PackageName, Option<Requirement>), String> {
    super::add::package(typed).map(|item| (item.name, item.requirement))
}

impl Info {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> info::Request {
        info::Request {
            start: settings.start.clone(),
            name: self.package.0.clone(),
            requirement: self.package.1.clone(),
            registry: self.registry.clone(),
        }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let outcome = info::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        tell(&outcome, context.settings.verbose, context.printer);
        context.printer.document("mpm.info/1", document(&outcome));
        Ok(Status::Done)
    }
}

fn tell(outcome: &info::Outcome, verbose: bool, printer: &mut Printer) {
    let statement = &outcome.statement;
    let head = format!("{} {}", statement.name, statement.version);
    printer.data(&format!("{}  {} of {}", paint(BOLD, head), outcome.kind, outcome.registry));
    if let Some(description) = &statement.description {
        printer.data(&visible(description));
    }
    let mut fact = |name: &str, value: &str| printer.data(&format!("{:<13}{}", format!("{name}:"), visible(value)));
    fact("size", &text::bytes(statement.total_size()));
    fact("signers", text::signers(&outcome.signers, verbose).trim_start_matches("signed by "));
    if let Some(licence) = &statement.licence {
        fact("licence", &licence.expression);
    }
    for dependency in &statement.dependencies {
        let kind = match dependency.kind {
            DependencyKind::Requires => "requires",
            DependencyKind::BaseModel => "base model",
        };
        fact(kind, &format!("{} {}", dependency.name, dependency.requirement));
    }
    for origin in &statement.trained_on {
        fact("trained on", &format!("{}:{}@{}", origin.registry, origin.name, origin.version));
    }
    for variant in &outcome.variants {
        let default = if variant.default { " (default)" } else { "" };
        let bytes = variant.bytes.map(|bytes| format!(" {}", text::bytes(bytes))).unwrap_or_default();
        fact("variant", &format!("{}{default}{bytes}  {}", variant.name, variant.properties.join(", ")));
    }
    printer.data("versions:");
    for line in &outcome.versions {
        let yanked = match &line.yanked {
            Some((severity, reason)) => {
                format!("  {}", paint(YELLOW, format!("yanked ({severity}): {}", visible(reason))))
            }
            None => String::new(),
        };
        let admitted = line.admitted.to_string();
        let day = paint(DIM, admitted.get(..10).unwrap_or_default());
        printer.data(&format!("  {:<12} {day} {:>11}{yanked}", line.version.to_string(), text::bytes(line.bytes)));
    }
}

fn document(outcome: &info::Outcome) -> serde_json::Value {
    let statement = &outcome.statement;
    let versions: Vec<_> = outcome
        .versions
        .iter()
        .map(|line| {
            serde_json::json!({
                "version": line.version.to_string(),
                "admitted": line.admitted.seconds(),
                "bytes": line.bytes,
                "yanked": line.yanked.as_ref().map(|(severity, reason)| {
                    serde_json::json!({ "severity": severity, "reason": reason })
                }),
            })
        })
        .collect();
    let variants: Vec<_> = outcome
        .variants
        .iter()
        .map(|variant| {
            serde_json::json!({
                "name": variant.name,
                "default": variant.default,
                "properties": variant.properties,
                "bytes": variant.bytes,
            })
        })
        .collect();
    serde_json::json!({
        "registry": outcome.registry.to_string(),
        "name": statement.name.to_string(),
        "version": statement.version.to_string(),
        "kind": outcome.kind.as_str(),
        "description": statement.description,
        "licence": statement.licence.as_ref().map(|licence| licence.expression.clone()),
        "bytes": statement.total_size(),
        "signers": json::signers(&outcome.signers),
        "variants": variants,
        "versions": versions,
    })
}
