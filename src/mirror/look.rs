//! A walk through a copy, from its root as a reader walks it: what is there, what statements name, what does not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::ListedRelease;
use crate::index::{Carried, IndexError, Registry};
use crate::mirror::plan::{blobs_of, read_list, told};
use crate::mirror::sync::Amount;
use crate::mirror::{Corrupt, Destination, Found, MirrorError};
use crate::model::{FileClass, Namespace, PackageName, Pin, Sha256, VariantName};
use crate::statement::{FileEntry, Files, ListPin, ReleaseFiles, Statement};
use crate::sys::Cancel;

/// Most missing blobs that are named.
const NAMED: usize = 20;

/// A copy that is walked through: a folder, or a bundle.
pub(super) trait Shelf {
    /// Whether a file of the index is there, by name.
    fn has_file(&self, path: &str) -> bool;
    /// Whether a blob is there, by name; one of another size is there, and wrong.
    fn has_blob(&self, pin: &Pin) -> Result<bool, MirrorError>;
    /// Where a blob lies.
    fn path_of(&self, digest: &Sha256) -> String;
    /// A file list, its bytes compared.
    fn list(&self, list: &ListPin, what: &str) -> Result<Vec<FileEntry>, MirrorError>;
}

impl Shelf for Destination {
    fn has_file(&self, path: &str) -> bool {
        self.folder().join(path).symlink_metadata().is_ok()
    }

    fn has_blob(&self, pin: &Pin) -> Result<bool, MirrorError> {
        let path = self.inside(&self.blob(&pin.sha256))?;
        Ok(path.symlink_metadata().is_ok_and(|found| found.is_file()))
    }

    fn path_of(&self, digest: &Sha256) -> String {
        self.blob(digest)
    }

    fn list(&self, list: &ListPin, what: &str) -> Result<Vec<FileEntry>, MirrorError> {
        read_list(self, list, what)
    }
}

/// What was seen so far.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) survey: Counted,
    /// Paths of the index that were reached.
    pub(super) known: BTreeSet<String>,
    /// Blobs that statements name, with their sizes.
    pub(super) expected: BTreeMap<Sha256, u64>,
    /// Of these, the ones that are not there.
    absent: BTreeSet<Sha256>,
}

/// What was counted.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) packages: u64,
    pub(super) packages_absent: u64,
    pub(super) nodes_absent: u64,
    pub(super) whole: u64,
    pub(super) partial: u64,
    pub(super) absent: u64,
    pub(super) missing: Amount,
    pub(super) missing_first: Vec<String>,
    pub(super) files: Amount,
    pub(super) blobs: Amount,
    pub(super) corrupt: Vec<Corrupt>,
    pub(super) extra: Vec<String>,
    /// Advisories of packages, as lines of their lists.
    pub(super) advisories: BTreeMap<PackageName, u64>,
    /// The releases that are there.
    pub(super) found: Vec<Found>,
}

/// A walk.
pub(super) struct Look<'a> {
    registry: &'a Registry,
    shelf: &'a dyn Shelf,
    /// Only these variants are expected of releases that have such; empty: all.
    variants: &'a BTreeSet<VariantName>,
    cancel: &'a Cancel,
    seen: Seen,
}

impl<'a> Look<'a> {
    /// Nothing is looked at yet.
    pub(super) fn new(
        registry: &'a Registry,
        shelf: &'a dyn Shelf,
        variants: &'a BTreeSet<VariantName>,
        cancel: &'a Cancel,
    ) -> Self {
        Self { registry, shelf, variants, cancel, seen: Seen::default() }
    }

    /// Walks through all of it.
    pub(super) fn walk(mut self) -> Result<Seen, MirrorError> {
        self.take("trust", self.registry.carry_trust())?;
        let head = self.registry.carry_head()?;
        self.seen.known.extend(head.by_digest.into_iter().chain(head.signatures).map(|file| file.path));
        let mut namespaces: BTreeSet<Namespace> = BTreeSet::new();
        let mut walk = self.registry.walk(None);
        loop {
            if self.cancel.is_cancelled() {
                return Err(MirrorError::Stopped);
            }
            match self.registry.walk_on(&mut walk, 1) {
                Ok(None) => break,
                Ok(Some(walked)) => {
                    self.seen.known.extend(walked.nodes.into_iter().map(|node| node.path));
                    for name in walked.names {
                        if self.package(&name)? {
                            namespaces.insert(name.namespace());
                        }
                    }
                }
                Err(IndexError::Missing { .. }) => self.seen.survey.nodes_absent += 1,
                Err(error) => self.corrupt("tree", error)?,
            }
        }
        for namespace in namespaces {
            let carried = self.registry.carry_namespaces(&BTreeSet::from([namespace.clone()]));
            self.take(&format!("trust/namespaces ({namespace})"), carried)?;
        }
        Ok(self.seen)
    }

    /// Looks at one package; whether its log is there.
    fn package(&mut self, name: &PackageName) -> Result<bool, MirrorError> {
        let log = format!("packages/{name}.jsonl");
        if !self.shelf.has_file(&log) {
            self.seen.survey.packages_absent += 1;
            return Ok(false);
        }
        self.seen.known.insert(log.clone());
        let listing = match self.registry.listings(&BTreeSet::from([name.clone()])) {
            Ok(mut found) => found.remove(name).flatten(),
            Err(error) => {
                self.corrupt(&log, error)?;
                return Ok(true);
            }
        };
        self.seen.survey.packages += 1;
        let carried = self.registry.carry_packages(&BTreeSet::from([name.clone()]));
        for file in carried.iter().flatten().filter(|file| file.path.starts_with("advisories/")) {
            let lines = file.bytes.split_inclusive(|byte| *byte == b'\n').count() as u64;
            self.seen.survey.advisories.insert(name.clone(), lines);
        }
        self.take(&log, carried)?;
        for release in listing.iter().flat_map(|listing| listing.releases.values()) {
            self.release(name, release)?;
        }
        Ok(true)
    }

    fn release(&mut self, name: &PackageName, release: &ListedRelease) -> Result<(), MirrorError> {
        let path = format!("releases/{}.json", release.event.statement.sha256);
        if !self.shelf.has_file(&path) {
            self.seen.survey.absent += 1;
            return Ok(());
        }
        self.seen.known.insert(path.clone());
        let (statement, signers) = match self.registry.carry_release(name, release) {
            Ok((verified, carried)) => {
                self.seen.known.extend(carried.into_iter().map(|file| file.path));
                (verified.statement, verified.signers)
            }
            Err(error) => {
                self.seen.survey.absent += 1;
                // A copy that is older than the revocation has it still.
                return if self.registry.revoked(name, &error).is_some() { Ok(()) } else { self.corrupt(&path, error) };
            }
        };
        let what = format!("{name} {}", release.event.version);
        let files = self.blobs(&what, &statement)?;
        let mut formats: BTreeSet<String> =
            statement.variants.values().filter_map(|variant| variant.format.clone()).collect();
        formats.extend(files.endings);
        if files.all {
            self.seen.survey.whole += 1;
        } else {
            self.seen.survey.partial += 1;
        }
        self.seen.survey.found.push(Found {
            name: statement.name,
            version: statement.version,
            kind: statement.kind,
            statement: release.event.statement,
            signers,
            licence: statement.licence.map(|licence| licence.expression),
            formats,
            code: files.code,
            files: files.number,
            bytes: release.event.size,
            yanked: release.yanked.is_some(),
            whole: files.all,
            admitted: release.event.admitted,
        });
        Ok(())
    }

    /// Looks for the blobs of a release.
    fn blobs(&mut self, what: &str, statement: &Statement) -> Result<FilesSeen, MirrorError> {
        let mut all = true;
        let mut files: Vec<FileEntry> = Vec::new();
        match &statement.files {
            Files::Inline(inline) => files.clone_from(inline),
            Files::Lists(pins) => {
                let mut lists = Vec::new();
                for list in pins {
                    let there = self.blob(list.pin, &format!("{what} file list"))?;
                    let opened = if there { self.list(list, what) } else { None };
                    all &= opened.is_some();
                    lists.extend(opened);
                }
                if lists.len() == pins.len() {
                    files = ReleaseFiles::assemble(statement, lists)?.entries().to_vec();
                }
            }
        }
        let mut seen = FilesSeen { number: files.len() as u64, ..FilesSeen::default() };
        for file in &files {
            if let Some((_, ending)) = file.path.file_name().rsplit_once('.') {
                seen.endings.insert(ending.to_ascii_lowercase());
            }
            seen.code |= file.class == FileClass::Code;
            let wanted = |variant| self.variants.is_empty() || self.variants.contains(variant);
            if !file.variant.as_ref().is_none_or(wanted) {
                continue;
            }
            for (pin, part) in blobs_of(statement, file) {
                all &= self.blob(pin, &told(what, file, part))?;
            }
        }
        Ok(FilesSeen { all, ..seen })
    }

    /// A file list, if it is what its pin says.
    fn list(&mut self, list: &ListPin, what: &str) -> Option<Vec<FileEntry>> {
        match self.shelf.list(list, what) {
            Ok(entries) => Some(entries),
            Err(error) => {
                let path = self.shelf.path_of(&list.pin.sha256);
                self.seen.survey.corrupt.push(Corrupt { path, why: error.to_string() });
                None
            }
        }
    }

    fn blob(&mut self, pin: Pin, what: &str) -> Result<bool, MirrorError> {
        if self.seen.expected.insert(pin.sha256, pin.size).is_some() {
            return Ok(!self.seen.absent.contains(&pin.sha256));
        }
        if self.shelf.has_blob(&pin)? {
            return Ok(true);
        }
        self.seen.absent.insert(pin.sha256);
        self.seen.survey.missing.add(pin.size);
        if self.seen.survey.missing_first.len() < NAMED {
            self.seen.survey.missing_first.push(what.to_owned());
        }
        Ok(false)
    }

    fn take(&mut self, what: &str, carried: Result<Vec<Carried>, IndexError>) -> Result<(), MirrorError> {
        match carried {
            Ok(carried) => {
                self.seen.known.extend(carried.into_iter().map(|file| file.path));
                Ok(())
            }
            Err(error) => self.corrupt(what, error),
        }
    }

    /// Notes a file that does not count; what has to do with this machine and not with the copy ends the look.
    fn corrupt(&mut self, path: &str, error: IndexError) -> Result<(), MirrorError> {
        let path = match &error {
            IndexError::Memory { .. } | IndexError::Lease(_) => return Err(error.into()),
            IndexError::Missing { path, .. } | IndexError::WrongBytes { path, .. } | IndexError::Tree { path, .. } => {
                path.clone()
            }
            _ => path.to_owned(),
        };
        let mut why = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            why = format!("{why}: {error}");
            cause = error.source();
        }
        self.seen.known.insert(path.clone());
        self.seen.survey.corrupt.push(Corrupt { path, why });
        Ok(())
    }
}

/// What the files of a release are.
#[derive(Default)]
struct FilesSeen {
    /// Whether all blobs that are expected are there.
    all: bool,
    number: u64,
    endings: BTreeSet<String>,
    code: bool,
}
