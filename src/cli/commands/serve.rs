//! `mpm serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::bundle;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::cli::world;
use crate::config;
use crate::model::{Namespace, RegistryId, Sha256};
use crate::ops::serve::{self, Content};
use crate::ops::serve_token;
use crate::serve::{Limits, LogPlace, TlsFiles, Verify};
use crate::sys::Clock;

/// Serve a mirror's folder, a bundle, or what the store holds, to clients inside a site: mpm, and what speaks to the Hugging Face hub
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct Serve {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    start: Start,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a token that may read some namespaces: it is shown once, its digest goes to the token file
    Token(NewToken),
    /// Print a systemd unit for a server
    Unit(Unit),
}

#[derive(Debug, Args)]
struct Start {
    /// A folder that is a registry, such as `mpm mirror sync` makes, or a bundle as it lies there; none: the store
    #[arg(value_name = "DIR|BUNDLE")]
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
    #[command(flatten)]
    through: ThroughArgs,
    /// How blobs are checked before their bytes leave: by the record of when they were hashed, or chunk by chunk
    #[arg(long, value_name = "HOW", default_value = "record")]
    verify: How,
    /// Hash everything again once in so long (seconds, or with m, h, d); 0: never
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = span)]
    scrub: Duration,
    /// Tell clients of the Hugging Face hub no length of larger files: they refuse lengths beyond 50 GB, and take the bytes
    #[arg(long, value_name = "BYTES", default_value = "50000000000", value_parser = rate)]
    hub_largest: u64,
    /// Believe only publishers of this namespace where on the Hugging Face hub their releases stand; may be given several times
    #[arg(long = "upstream", value_name = "NAMESPACE", value_parser = Namespace::parse)]
    upstreams: Vec<Namespace>,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Args)]
struct ThroughArgs {
    /// Serve this registry of the project's Model.toml, bringing what is asked for: all of it, or one namespace of it; may be given
    /// several times
    #[arg(long = "pull-through", value_name = "REGISTRY[:NAMESPACE]", conflicts_with = "folder", value_parser = listed)]
    listed: Vec<(RegistryId, Option<Namespace>)>,
    /// Most bytes that are kept of what was pulled through, such as 500G; what was asked for last stays
    #[arg(long, value_name = "BYTES", requires = "listed", value_parser = rate)]
    quota: Option<u64>,
    /// The folder of what was pulled through
    #[arg(long, value_name = "DIR", requires = "listed")]
    pull_store: Option<PathBuf>,
    /// Bring what this Model.lock pins at once; may be given several times
    #[arg(long, value_name = "LOCK", requires = "listed")]
    prefetch: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Access {
    /// The certificate, in PEM, with those that lead to its authority; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its secret key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The token file: who may read which namespaces; none: everybody may read everything
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Write a line of JSON a request to this file; `-` is standard output
    #[arg(long = "access-log", value_name = "FILE")]
    log: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct LimitArgs {
    /// Connections at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_connections: u32,
    /// Of these, from one address
    #[arg(long, value_name = "NUMBER", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_connections_each: u32,
    /// Requests a second from one address; ten seconds' worth may come at once
    #[arg(long, value_name = "NUMBER", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    max_requests: u32,
    /// Bytes a second that one connection gets at most, such as 20M
    #[arg(long, value_name = "RATE", value_parser = rate)]
    max_rate: Option<u64>,
    /// How long a client may take next to nothing of what it asked for, or take to ask (seconds, or with m)
    #[arg(long, value_name = "TIME", default_value = "30", value_parser = span)]
    patience: Duration,
    /// How long connections have to end when the server stops (seconds, or with m)
    #[arg(long, value_name = "TIME", default_value = "30", value_parser = span)]
    grace: Duration,
}

/// How blobs are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Each was hashed, and its file stands as it stood then
    Record,
    /// Each chunk is compared before it leaves, where there is a chunk index
    Chunks,
}

#[derive(Debug, Args)]
struct NewToken {
    /// What the token is called, in logs too
    #[arg(value_name = "NAME")]
    name: String,
    /// The token file; it is made if it is missing
    #[arg(long, value_name = "FILE")]
    tokens: PathBuf,
    /// What it may read: a namespace, `registry:namespace`, `registry:*` or `*`; may be given several times
    #[arg(long, value_name = "NAMESPACE", required = true)]
    read: Vec<String>,
    /// It counts no longer after so long (seconds, or with m, h, d)
    #[arg(long, value_name = "TIME", value_parser = span)]
    expires: Option<Duration>,
}

#[derive(Debug, Args)]
struct Unit {
    /// The folder or bundle that is served; none: the store
    #[arg(value_name = "DIR|BUNDLE")]
    folder: Option<PathBuf>,
    /// The sha256 of the first root that its registry must have; a bundle needs it
    #[arg(long, value_name = "SHA256", value_parser = Sha256::parse)]
    root: Option<Sha256>,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// A span of time.
fn span(text: &str) -> Result<Duration, &'static str> {
    let bad = "write seconds, or a number with m, h or d, such as 30, 5m, 12h, 7d";
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, text.get(number.len()..).unwrap_or_default()),
        None => (text, "s"),
    };
    let number: u64 = number.parse().map_err(|_| bad)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => 1,
    };
    number.checked_mul(seconds).filter(|all| *all <= 10 * 365 * 86_400).map(Duration::from_secs).ok_or(bad)
}

/// A registry, and a namespace of it.
fn listed(text: &str) -> Result<(RegistryId, Option<Namespace>), String> {
    let (id, namespace) = text.split_once(':').map_or((text, None), |(id, namespace)| (id, Some(namespace)));
    let id = RegistryId::parse(id).map_err(|error| error.to_string())?;
    let namespace = namespace.map(Namespace::parse).transpose().map_err(|error| error.to_string())?;
    Ok((id, namespace))
}

fn rate(text: &str) -> Result<u64, &'static str> {
    config::parse_rate(text).ok_or("write bytes a second, at least 1K, such as 500K or 20M")
}

impl Start {
    fn limits(&self) -> Limits {
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let LimitArgs { max_connections, max_connections_each, max_requests, max_rate, patience, grace } = self.limits;
        Limits {
            connections: number(max_connections),
            connections_each: number(max_connections_each),
            requests: max_requests,
            rate: max_rate,
            slow_time: patience.max(Duration::from_secs(1)),
            head_time: patience.max(Duration::from_secs(1)).min(Limits::default().head_time),
            grace,
            ..Limits::default()
        }
    }

    fn to_request(&self, settings: &Settings, clock: Arc<dyn Clock>) -> serve::Request {
        let at = |path: &PathBuf| settings.start.join(path);
        let files = (&self.access.tls_cert, &self.access.tls_key);
        serve::Request {
            content: match &self.folder {
                Some(path) if bundle::is_meant(&at(path)) => Content::Bundle(at(path), settings.start.clone()),
                Some(folder) => Content::Folder(at(folder)),
                None if self.through.listed.is_empty() => Content::Store,
                None => Content::Through(serve::Through {
                    start: settings.start.clone(),
                    listed: self.through.listed.clone(),
                    folder: self.through.pull_store.as_ref().map(at),
                    quota: self.through.quota,
                    prefetch: self.through.prefetch.iter().map(at).collect(),
                }),
            },
            root: self.root,
            locks: self.locks.iter().map(at).collect(),
            listen: self.listen,
            verify: match self.verify {
                How::Record => Verify::Record,
                How::Chunks => Verify::Chunks,
            },
            limits: self.limits(),
            scrub: (!self.scrub.is_zero()).then_some(self.scrub),
            hub_largest: self.hub_largest,
            upstreams: self.upstreams.clone(),
            tls: match files {
                (Some(certificate), Some(key)) => Some(TlsFiles { certificate: at(certificate), key: at(key) }),
                _ => None,
            },
            tokens: self.access.tokens.as_ref().map(at),
            log: self
                .access
                .log
                .as_ref()
                .map(|path| if path == Path::new("-") { LogPlace::Output } else { LogPlace::File(at(path)) }),
            clock,
        }
    }
}

impl Serve {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        match &self.action {
            None => self.start.exec(context),
            Some(Action::Token(token)) => token.exec(context),
            Some(Action::Unit(unit)) => Ok(unit.exec(context)),
        }
    }
}

impl Start {
    fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let request = self.to_request(context.settings, world::clock(context.environment));
        let scheme = if request.tls.is_some() { "https" } else { "http" };
        let printer = &mut *context.printer;
        serve::run(&services, &request, &mut |ready| {
            for note in &ready.notes {
                printer.say(note);
            }
            let registries: Vec<&str> = ready.registries.iter().map(RegistryId::as_str).collect();
            printer.data(&format!("Serving {} on {scheme}://{}", registries.join(", "), ready.address));
            printer.document(
                "mpm.serve/1",
                serde_json::json!({
                    "address": ready.address.to_string(),
                    "scheme": scheme,
                    "registries": registries,
                    "notes": ready.notes,
                }),
            );
            printer.flush();
        })?;
        Ok(Status::Done)
    }
}

impl NewToken {
    fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.brief()?;
        let request = serve_token::Request {
            file: context.settings.start.join(&self.tokens),
            name: self.name.clone(),
            read: self.read.clone(),
            expires: self.expires.map(|span| services.now.plus(span.as_secs())),
        };
        let made = serve_token::run(&request)?;
        let printer = &mut *context.printer;
        printer.data(&made.token);
        printer.say("This is shown once: only its digest is kept. Clients send it as `Authorization: Bearer TOKEN`");
        printer.document(
            "mpm.serve-token/1",
            serde_json::json!({ "name": self.name, "token": made.token, "file": request.file.to_string_lossy() }),
        );
        Ok(Status::Done)
    }
}

impl Unit {
    fn exec(&self, context: &mut Context<'_>) -> Status {
        let folder = self.folder.as_ref().map(|folder| context.settings.start.join(folder));
        let text = serve::unit(folder.as_deref(), self.root.as_ref(), self.listen);
        for line in text.lines() {
            context.printer.data(line);
        }
        context.printer.document("mpm.serve-unit/1", serde_json::json!({ "unit": text }));
        Status::Done
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::span;

    #[test]
    fn spans_are_numbers_with_a_unit() {
        for (text, expected) in [
            ("30", Some(30)),
            ("5m", Some(300)),
            ("12h", Some(43_200)),
            ("7d", Some(604_800)),
            ("0", Some(0)),
            ("2s", Some(2)),
        ] {
            assert_eq!(span(text).ok(), expected.map(Duration::from_secs), "{text}");
        }
        for bad in ["", "m", "-1", "1.5h", "99999999999d", "1w"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }
}
