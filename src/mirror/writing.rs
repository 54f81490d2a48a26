//! Files of the index on their way into a copy: statements before logs, logs and nodes before the checkpoint.

use std::collections::BTreeSet;

use crate::index::{Carried, IndexError, Registry};
use crate::mirror::record::Record;
use crate::mirror::sync::{Outcome, Rules};
use crate::mirror::wish::Chosen;
use crate::mirror::{Destination, MirrorError, Wish};
use crate::model::{Namespace, PackageName, canonical};
use crate::sys::files;

/// Files that are written with one pair of barriers: so many…
const BATCH_FILES: usize = 256;
/// …or so many bytes.
const BATCH_BYTES: u64 = 64 << 20;
/// Packages whose logs are read at a time.
const PACKAGES: usize = 64;
/// Nodes that are read at a time.
const NODES: usize = 64;

/// Files of the index on their way into the copy, in order.
pub(super) struct Writer<'a> {
    destination: &'a Destination,
    record: &'a mut Record,
    rules: &'a Rules<'a>,
    waiting: Vec<Carried>,
    bytes: u64,
    /// Every path that belongs to the copy.
    pub(super) seen: BTreeSet<String>,
    /// Files that were written, or would be.
    pub(super) changed: u64,
    /// What stands in the copy and can't be brought to the new checkpoint, because the place that is copied lacks it.
    pub(super) left_out: Vec<String>,
}

impl<'a> Writer<'a> {
    /// Nothing is written yet.
    pub(super) fn new(destination: &'a Destination, record: &'a mut Record, rules: &'a Rules<'a>) -> Self {
        Self {
            destination,
            record,
            rules,
            waiting: Vec::new(),
            bytes: 0,
            seen: BTreeSet::new(),
            changed: 0,
            left_out: Vec::new(),
        }
    }

    fn put(&mut self, carried: Vec<Carried>) -> Result<(), MirrorError> {
        for file in carried {
            self.seen.insert(file.path.clone());
            self.bytes = self.bytes.saturating_add(file.bytes.len() as u64);
            self.waiting.push(file);
        }
        if self.waiting.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Leaves out what only stands in the copy, where what is copied has it under the new checkpoint no more.
    fn available(
        &mut self,
        registry: &Registry,
        wish: &Wish,
        names: BTreeSet<PackageName>,
        wanted: impl Fn(&PackageName) -> bool,
    ) -> Result<BTreeSet<PackageName>, MirrorError> {
        if !wish.available {
            return Ok(names);
        }
        let mut here = BTreeSet::new();
        for name in names {
            let carried = registry
                .carry_packages(&BTreeSet::from([name.clone()]))
                .and_then(|_| registry.carry_namespaces(&BTreeSet::from([name.namespace()])));
            match carried {
                Ok(_) => drop(here.insert(name)),
                Err(IndexError::Missing { .. } | IndexError::Behind { .. }) if !wanted(&name) => {
                    self.left_out.push(format!("what checkpoint {} says of {name}", registry.head().at));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(here)
    }

    fn flush(&mut self) -> Result<(), MirrorError> {
        if self.rules.cancel.is_cancelled() {
            return Err(MirrorError::Stopped);
        }
        self.bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        if self.rules.dry_run {
            self.changed = self.changed.saturating_add(self.destination.changed(&waiting)?.len() as u64);
            return Ok(());
        }
        self.record.announce(self.destination, waiting.iter().map(|file| file.path.as_str()))?;
        let written = self.destination.write_all(&waiting)?;
        self.changed = self.changed.saturating_add(written.len() as u64);
        Ok(())
    }
}

/// Writes what the index has of the chosen releases, in order.
pub(super) fn index(
    registry: &Registry,
    wish: &Wish,
    chosen: &Chosen,
    writer: &mut Writer<'_>,
) -> Result<(), MirrorError> {
    for (name, versions) in chosen {
        for release in versions.values().filter(|release| !writer.rules.held.has_release(release)) {
            let (_, carried) = registry.carry_release(name, release)?;
            writer.put(carried)?;
        }
    }
    let mut names: BTreeSet<PackageName> = chosen.keys().cloned().collect();
    if !writer.rules.prune {
        // What earlier runs brought stays usable under the new checkpoint.
        names.extend(standing_packages(writer.destination)?);
    }
    names.extend(writer.rules.held.packages());
    names.extend(wish.known.iter().cloned());
    let wanted = |name: &PackageName| chosen.contains_key(name) || wish.known.contains(name);
    names = writer.available(registry, wish, names, wanted)?;
    let namespaces: BTreeSet<Namespace> = names.iter().map(PackageName::namespace).collect();
    writer.put(registry.carry_namespaces(&namespaces)?)?;
    // Every node, where every package was asked for: then a name that is not there is known not to exist.
    let mut walk = registry.walk(if wish.all || wish.tree { None } else { Some(&names) });
    let most = if wish.available { 1 } else { NODES };
    loop {
        match registry.walk_on(&mut walk, most) {
            Ok(None) => break,
            Ok(Some(walked)) => writer.put(walked.nodes)?,
            Err(IndexError::Missing { .. }) if wish.available => {}
            Err(error) => return Err(error.into()),
        }
    }
    let names: Vec<PackageName> = names.into_iter().collect();
    for batch in names.chunks(PACKAGES) {
        writer.put(registry.carry_packages(&batch.iter().cloned().collect())?)?;
    }
    writer.flush()?;
    let head = registry.carry_head()?;
    // One batch: between the first of these names and the last there is no other work.
    let mut last = head.by_digest;
    last.extend(registry.carry_trust()?);
    last.extend_from_slice(writer.rules.along);
    last.extend(head.signatures);
    last.push(head.checkpoint);
    writer.put(last)?;
    writer.flush()
}

/// Packages whose logs stand in the copy.
fn standing_packages(destination: &Destination) -> Result<BTreeSet<PackageName>, MirrorError> {
    let mut names = BTreeSet::new();
    for (namespace, kind) in destination.list("packages")? {
        let Some(namespace) = namespace.to_str().filter(|_| kind == files::Kind::Folder) else { continue };
        for (file, _) in destination.list(&format!("packages/{namespace}"))? {
            let name = file.to_str().and_then(|file| file.strip_suffix(".jsonl"));
            names.extend(name.and_then(|name| PackageName::parse(&format!("{namespace}/{name}")).ok()));
        }
    }
    Ok(names)
}

/// Writes what the copy is, in words: nobody signs it, and nobody believes it.
pub(super) fn note(destination: &Destination, wish: &Wish, outcome: &Outcome) -> Result<(), MirrorError> {
    let note = canonical::render(&serde_json::json!({
        "type": "mpm.copy/1",
        "registry": outcome.head.registry.as_str(),
        "root": destination.root().hex(),
        "checkpoint": outcome.head.at.to_string(),
        "asked": wish.told(),
        "whole": wish.all && wish.newest.is_none() && wish.variants.is_empty() && outcome.left_out.is_empty(),
        "packages": outcome.packages,
        "releases": outcome.releases,
    }));
    destination.write("copy.json", &note)
}
