//! `mpm why`.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{BOLD, Printer, paint, visible};
use crate::cli::settings::Settings;
use crate::ops::{Name, why};

/// Show which lines of Model.toml lead to a package, and over what
#[derive(Debug, Args)]
pub(in crate::cli) struct Why {
    /// A package's name, a dependency's key, or hf:ORG/NAME
    #[arg(value_name = "NAME", value_parser = super::update::name)]
    name: Name,
}

impl Why {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> why::Request {
        why::Request { start: settings.start.clone(), name: self.name.clone() }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.brief()?;
        let outcome = why::run(&services, &self.to_request(context.settings))?;
        let printer = &mut *context.printer;
        for node in &outcome.found {
            printer.data(&paint(BOLD, visible(&node.id)));
            draw(node, "", printer);
        }
        let found: Vec<Value> = outcome.found.iter().map(document).collect();
        printer.document("mpm.why/1", json!({ "found": found }));
        Ok(Status::Done)
    }
}

fn draw(node: &why::Node, indent: &str, printer: &mut Printer) {
    let below = node.keys.len() + node.dependents.len();
    let branch = |at: usize| if at + 1 == below { ("└── ", "    ") } else { ("├── ", "│   ") };
    for (at, key) in node.keys.iter().enumerate() {
        let line = key.line.map_or_else(|| "no longer there".to_owned(), |line| format!("line {line}"));
        let group = key.group.as_ref().map(|group| format!(", group {}", visible(group))).unwrap_or_default();
        printer.data(&format!("{indent}{}Model.toml: {} ({line}{group})", branch(at).0, visible(&key.key)));
    }
    for (at, dependent) in node.dependents.iter().enumerate() {
        let (first, rest) = branch(node.keys.len() + at);
        let repeated = if dependent.repeated { " (shown above)" } else { "" };
        printer.data(&format!("{indent}{first}{}{repeated}", visible(&dependent.id)));
        draw(dependent, &format!("{indent}{rest}"), printer);
    }
}

fn document(node: &why::Node) -> Value {
    let key = |key: &why::Key| json!({ "key": key.key, "group": key.group, "line": key.line });
    json!({
        "id": node.id,
        "keys": node.keys.iter().map(key).collect::<Vec<_>>(),
        "repeated": node.repeated,
        "dependents": node.dependents.iter().map(document).collect::<Vec<_>>(),
    })
}
