//! `mpm tree`.

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{DIM, Printer, paint, visible};
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::ops::tree;

/// Show what leads to what in Model.lock
#[derive(Debug, Args)]
pub(in crate::cli) struct Tree {}

impl Tree {
    #[expect(clippy::unused_self, reason = "every command has this form")]
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> tree::Request {
        tree::Request { start: settings.start.clone() }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.brief()?;
        let outcome = tree::run(&services, &self.to_request(context.settings))?;
        let printer = &mut *context.printer;
        printer.data(&visible(&outcome.project));
        draw(&outcome.roots, "", printer);
        let roots: Vec<_> = outcome.roots.iter().map(json::node).collect();
        printer.document("mpm.tree/1", serde_json::json!({ "project": outcome.project, "roots": roots }));
        Ok(Status::Done)
    }
}

fn draw(nodes: &[tree::Node], indent: &str, printer: &mut Printer) {
    for (at, node) in nodes.iter().enumerate() {
        let last = at + 1 == nodes.len();
        let (branch, below) = if last { ("└── ", "    ") } else { ("├── ", "│   ") };
        let key = node.key.as_ref().filter(|key| !node.id.contains(key.as_str()));
        let key = key.map(|key| format!(" as {}", visible(key))).unwrap_or_default();
        let group = node.group.as_ref().map(|group| format!(" (group {})", visible(group))).unwrap_or_default();
        let repeated = if node.repeated { " (shown above)" } else { "" };
        printer.data(&format!(
            "{indent}{branch}{}{key}{group} {}{repeated}",
            visible(&node.id),
            paint(DIM, text::bytes(node.bytes))
        ));
        draw(&node.children, &format!("{indent}{below}"), printer);
    }
}
