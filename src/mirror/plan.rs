//! Which blobs a copy needs, from statements that were checked.

use std::collections::{BTreeMap, BTreeSet};

use crate::index::{IndexError, Registry};
use crate::mirror::wish::{Chosen, Wish};
use crate::mirror::{Destination, MirrorError};
use crate::model::{PackageName, Pin, VariantName, Version};
use crate::statement::{FileEntry, Files, ListPin, MAX_LIST, ReleaseFiles, Statement, parse_list};
use crate::verify::Mismatch;

/// Blobs by digest and size, with what each is, for messages.
pub(super) type Blobs = BTreeMap<Pin, String>;

/// What the chosen releases need.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Files of releases whose statements hold them, and what describes releases.
    pub(super) blobs: Blobs,
    /// File lists: they are read before the files that they name are known.
    pub(super) lists: Blobs,
    /// Releases whose files stand in lists.
    listed: Vec<(String, Statement)>,
    /// Releases that the place which is copied lacks.
    pub(super) left_out: Vec<String>,
    /// Releases that count for nobody any more, and why.
    pub(super) revoked: Vec<String>,
}

/// Reads the statements of what was chosen. What the place lacks leaves `chosen`, where that is allowed.
pub(super) fn plan(registry: &Registry, wish: &Wish, chosen: &mut Chosen) -> Result<Plan, MirrorError> {
    let mut plan = Plan::default();
    let mut lacking: Vec<(PackageName, Version)> = Vec::new();
    for (name, versions) in &*chosen {
        for (version, release) in versions {
            let verified = match registry.statement(name, release) {
                Err(IndexError::Missing { .. }) if wish.available => {
                    plan.left_out.push(format!("{name} {version}"));
                    lacking.push((name.clone(), version.clone()));
                    continue;
                }
                // Whoever asks for exactly this one is told; whoever asks for all gets what still counts.
                Err(error) if !wish.pins(name, version) => {
                    let why = registry.revoked(name, &error).ok_or(error)?;
                    plan.revoked.push(format!("{name} {version}: {why}"));
                    lacking.push((name.clone(), version.clone()));
                    continue;
                }
                other => other?,
            };
            plan.add(&format!("{name} {version}"), verified.statement, wish.variants_of(name));
        }
    }
    for (name, version) in lacking {
        if let Some(versions) = chosen.get_mut(&name) {
            versions.remove(&version);
        }
    }
    Ok(plan)
}

impl Plan {
    fn add(&mut self, what: &str, statement: Statement, variants: &BTreeSet<VariantName>) {
        match &statement.files {
            Files::Inline(files) => self.files(what, (&statement, files), variants),
            Files::Lists(lists) => {
                self.lists.extend(lists.iter().map(|list| (list.pin, format!("{what} file list"))));
                self.listed.push((what.to_owned(), statement));
            }
        }
    }

    fn files(&mut self, what: &str, (statement, files): (&Statement, &[FileEntry]), variants: &BTreeSet<VariantName>) {
        let wanted = |file: &&FileEntry| {
            variants.is_empty() || file.variant.as_ref().is_none_or(|variant| variants.contains(variant))
        };
        for file in files.iter().filter(wanted) {
            self.blobs.extend(blobs_of(statement, file).map(|(pin, part)| (pin, told(what, file, part))));
        }
    }

    /// Reads the file lists, which are in the copy by now, and adds what they name. Where nothing may be written, a list that is
    /// not there yet counts for the bytes that it is said to name; their sum is returned.
    pub(super) fn open_lists(
        &mut self,
        destination: &Destination,
        wish: &Wish,
        missing: Missing,
    ) -> Result<u64, MirrorError> {
        let mut unread = 0_u64;
        for (what, statement) in std::mem::take(&mut self.listed) {
            let Files::Lists(pins) = &statement.files else { continue };
            let mut lists = Vec::with_capacity(pins.len());
            for pin in pins {
                match read_list(destination, pin, &what) {
                    Ok(list) => lists.push(list),
                    Err(_) if missing == Missing::Counts => unread = unread.saturating_add(pin.bytes),
                    Err(error) => return Err(error),
                }
            }
            if lists.len() == pins.len() {
                let files = ReleaseFiles::assemble(&statement, lists)?;
                self.files(&what, (&statement, files.entries()), wish.variants_of(&statement.name));
            }
        }
        Ok(unread)
    }
}

/// The blobs that a file needs, and which part of it each is: the pack that it stands in, or itself; and its chunk index.
pub(super) fn blobs_of(statement: &Statement, file: &FileEntry) -> impl Iterator<Item = (Pin, &'static str)> {
    let pack = file.pack.and_then(|place| statement.packs.iter().find(|pack| pack.sha256 == place.pack));
    let own = pack.map_or((file.pin, ""), |pack| (*pack, " (pack)"));
    [own].into_iter().chain(file.chunks.map(|index| (index, " (chunk index)")))
}

/// What a blob of a file is called in messages.
pub(super) fn told(what: &str, file: &FileEntry, part: &str) -> String {
    format!("{what} {}{part}", file.path)
}

/// What a file list that is not there means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// An error.
    Fails,
    /// Its bytes are only counted.
    Counts,
}

/// A file list out of a copy, its bytes compared: whoever may write to the copy may have changed it.
pub(super) fn read_list(destination: &Destination, list: &ListPin, what: &str) -> Result<Vec<FileEntry>, MirrorError> {
    let bytes = destination.read(&destination.blob(&list.pin.sha256), MAX_LIST)?.unwrap_or_default();
    let found = Pin::of(&bytes);
    if found == list.pin {
        return Ok(parse_list(&bytes, list)?);
    }
    Err(Mismatch { what: format!("{what} file list"), expected: list.pin, found }.into())
}
