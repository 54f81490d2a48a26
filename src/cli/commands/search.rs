//! `mpm search`.

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::printer::{BOLD, DIM, paint};
use crate::cli::settings::Settings;
use crate::cli::text;
use crate::model::RegistryId;
use crate::ops::search;

/// Find packages by words of their names
#[derive(Debug, Args)]
pub(in crate::cli) struct Search {
    /// Words that the name holds, each of them
    #[arg(value_name = "TEXT", required = true)]
    words: Vec<String>,
    /// Look into this registry alone
    #[arg(long, value_name = "ID")]
    registry: Option<RegistryId>,
    /// Read every name, also of a large index behind a server
    #[arg(long)]
    all: bool,
    /// Tell about at most so many packages
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: usize,
}

impl Search {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> search::Request {
        search::Request {
            start: settings.start.clone(),
            words: self.words.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect(),
            registry: self.registry.clone(),
            all: self.all,
            limit: self.limit,
        }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let outcome = search::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        let printer = &mut *context.printer;
        let widest = outcome.hits.iter().map(|hit| hit.name.as_str().len()).max().unwrap_or(0);
        for hit in &outcome.hits {
            let newest = match &hit.newest {
                Some((version, kind, bytes)) => format!("{version:<10} {:<8} {}", kind.as_str(), text::bytes(*bytes)),
                None => "every release is yanked".to_owned(),
            };
            let name = format!("{:<widest$}", hit.name.as_str());
            printer.data(&format!("{}  {newest}  {}", paint(BOLD, name), paint(DIM, &hit.registry)));
        }
        let shown = outcome.hits.len() as u64;
        if outcome.matches > shown {
            printer.say(&format!("{} more; --limit shows them", outcome.matches - shown));
        }
        let places: Vec<String> = outcome.looked.iter().map(|looked| looked.registry.to_string()).collect();
        if outcome.matches == 0 {
            printer.say(&format!("No name in {} holds {}", places.join(", "), self.words.join(" and ")));
        }
        for looked in outcome.looked.iter().filter(|looked| looked.permille < 1000) {
            printer.say(&format!(
                "Looked at about {}.{} % of the names of {}: it is a large index behind a server; --all reads every name, and a \
                 whole name is always found",
                looked.permille / 10,
                looked.permille % 10,
                looked.registry
            ));
        }
        printer.document("mpm.search/1", document(&outcome));
        Ok(Status::Done)
    }
}

fn document(outcome: &search::Outcome) -> serde_json::Value {
    let hit = |hit: &search::Hit| {
        serde_json::json!({
            "registry": hit.registry.to_string(),
            "name": hit.name.to_string(),
            "version": hit.newest.as_ref().map(|(version, ..)| version.to_string()),
            "kind": hit.newest.as_ref().map(|(_, kind, _)| kind.as_str()),
            "bytes": hit.newest.as_ref().map(|(.., bytes)| bytes),
        })
    };
    let looked = |looked: &search::Looked| serde_json::json!({ "registry": looked.registry.to_string(), "permille": looked.permille });
    serde_json::json!({
        "packages": outcome.hits.iter().map(hit).collect::<Vec<_>>(),
        "matches": outcome.matches,
        "looked": outcome.looked.iter().map(looked).collect::<Vec<_>>(),
    })
}
