//! Writing Model.lock: by hand, because the bytes must not change with the version of a library.

use std::fmt::Write as _;

use crate::lock::{
    Lock, LockedPackage, LockedRegistry, LockedSource, LockedUnsafe, SourceFiles, SourceId, Target, VERSION,
};
use crate::model::{Fingerprint, PackageId, RegistryId};

const HEADER: &str =
    "# Written by mpm. Commit this file; change Model.toml and run `mpm lock` instead of editing it.\n";

pub(super) fn render(lock: &Lock) -> String {
    let mut text = format!("{HEADER}version = {VERSION}\n");
    for (id, registry) in &lock.registries {
        render_registry(&mut text, id, registry);
    }
    for ((key, group), target) in &lock.direct {
        text.push_str("\n[[direct]]\n");
        fact(&mut text, "key", key.as_str());
        if let Some(group) = group {
            fact(&mut text, "group", group.as_str());
        }
        fact(&mut text, "resolved", &target.to_string());
    }
    let mut packages: Vec<(&PackageId, &LockedPackage)> = lock.packages.iter().collect();
    packages.sort_by_key(|(id, _)| id.sort_key());
    for (id, package) in packages {
        render_package(&mut text, id, package);
    }
    for (id, source) in &lock.sources {
        render_source(&mut text, id, source);
    }
    let mut allowed: Vec<(&Target, &LockedUnsafe)> = lock.unsafe_releases.iter().collect();
    allowed.sort_by_key(|(target, _)| match target {
        Target::Release(id) => (Some(id.sort_key()), None),
        Target::Source(id) => (None, Some(id)),
    });
    for (id, allowance) in allowed {
        text.push_str("\n[[unsafe]]\n");
        fact(&mut text, "package", &id.to_string());
        list(&mut text, "formats", allowance.formats.iter().map(String::as_str));
        fact(&mut text, "reason", &allowance.reason);
    }
    text
}

fn render_registry(text: &mut String, id: &RegistryId, registry: &LockedRegistry) {
    text.push_str("\n[[registry]]\n");
    fact(text, "id", id.as_str());
    fact(text, "root", &registry.root.prefixed());
    let floor = registry.floor;
    number(text, "floor.root-number", floor.root_number);
    number(text, "floor.registrar", floor.registrar);
    line(text, format_args!("floor.checkpoint = [{}, {}]", floor.checkpoint.epoch, floor.checkpoint.number));
}

fn render_package(text: &mut String, id: &PackageId, package: &LockedPackage) {
    text.push_str("\n[[package]]\n");
    fact(text, "name", id.package.name.as_str());
    fact(text, "version", &id.version.to_string());
    fact(text, "registry", id.package.registry.as_str());
    fact(text, "kind", package.kind.as_str());
    fact(text, "statement", &package.statement.sha256.prefixed());
    number(text, "statement-size", package.statement.size);
    let signers: Vec<String> = package.signers.iter().map(Fingerprint::hex).collect();
    list(text, "signers", signers.iter().map(String::as_str));
    number(text, "size", package.size);
    if !package.dependencies.is_empty() {
        let mut ids: Vec<&PackageId> = package.dependencies.iter().collect();
        ids.sort_by_key(|id| id.sort_key());
        let ids: Vec<String> = ids.into_iter().map(ToString::to_string).collect();
        list(text, "dependencies", ids.iter().map(String::as_str));
    }
}

fn render_source(text: &mut String, id: &SourceId, source: &LockedSource) {
    text.push_str("\n[[source]]\n");
    fact(text, "id", id.as_str());
    fact(text, "kind", source.kind.as_str());
    fact(text, "revision", &source.revision);
    number(text, "size", source.size);
    match &source.files {
        SourceFiles::Table(pin) => {
            fact(text, "table", &pin.sha256.prefixed());
            number(text, "table-size", pin.size);
        }
        SourceFiles::Inline(files) => {
            if id.hub().is_some() {
                fact(text, "table", &source.table_digest().prefixed());
            }
            text.push_str("files = [\n");
            for file in files {
                let (path, pin) = (quoted(file.path.as_str()), file.pin);
                let digest = quoted(&pin.sha256.prefixed());
                line(text, format_args!("    {{ path = {path}, sha256 = {digest}, size = {} }},", pin.size));
            }
            text.push_str("]\n");
        }
    }
}

fn fact(text: &mut String, key: &str, value: &str) {
    line(text, format_args!("{key} = {}", quoted(value)));
}

fn number(text: &mut String, key: &str, value: u64) {
    line(text, format_args!("{key} = {value}"));
}

fn list<'a>(text: &mut String, key: &str, items: impl Iterator<Item = &'a str>) {
    line(text, format_args!("{key} = ["));
    for item in items {
        line(text, format_args!("    {},", quoted(item)));
    }
    text.push_str("]\n");
}

fn line(text: &mut String, fact: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{fact}");
}

/// A TOML basic string, always.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(text, "\\u{:04X}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Release(id) => id.fmt(f),
            Self::Source(id) => id.fmt(f),
        }
    }
}
