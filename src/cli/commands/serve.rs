//! `mpm serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::cli::world;
use crate::model::Sha256;
use crate::ops::serve::{self, Content};
use crate::serve::{Limits, Verify};
use crate::sys::Clock;

/// Serve a mirror's folder, or what the store holds, to clients inside a site: mpm, and what speaks to the Hugging Face hub
#[derive(Debug, Args)]
pub(in crate::cli) struct Serve {
    /// A folder that is a registry, such as `mpm mirror sync` makes; none: the store
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Where to listen; port 0 takes one that is free and tells it
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The sha256 of the first root that the registry must have
    #[arg(long, value_name = "SHA256", value_parser = Sha256::parse)]
    root: Option<Sha256>,
    /// Serve the `hf` sources that this Model.lock pins; may be given several times
    #[arg(long = "lock", value_name = "FILE")]
    locks: Vec<PathBuf>,
}

impl Serve {
    pub(in crate::cli) fn to_request(&self, settings: &Settings, clock: Arc<dyn Clock>) -> serve::Request {
        let at = |path: &PathBuf| settings.start.join(path);
        serve::Request {
            content: self.folder.as_ref().map_or(Content::Store, |folder| Content::Folder(at(folder))),
            root: self.root,
            locks: self.locks.iter().map(at).collect(),
            listen: self.listen,
            verify: Verify::Record,
            limits: Limits::default(),
            clock,
        }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let request = self.to_request(context.settings, world::clock(context.environment));
        let printer = &mut *context.printer;
        serve::run(&services, &request, &mut |ready| {
            for note in &ready.notes {
                printer.say(note);
            }
            let registries: Vec<&str> = ready.registries.iter().map(|id| id.as_str()).collect();
            printer.data(&format!("Serving {} on http://{}", registries.join(", "), ready.address));
            printer.document(
                "mpm.serve/1",
                serde_json::json!({ "address": ready.address.to_string(), "registries": registries, "notes": ready.notes }),
            );
            printer.flush();
        })?;
        Ok(Status::Done)
    }
}
