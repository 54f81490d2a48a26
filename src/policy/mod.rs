//! Verdicts: what a project allows, from what is selected and what was seen (docs/formats/formats-gate.md).
//!
//! Pure. Only this room makes [`Approved`] and [`Cleared`], and `install` takes nothing else.

mod refused;

use std::collections::{BTreeMap, BTreeSet};

use crate::lock::SourceId;
use crate::manifest::{PolicyDeclaration, UnsafeAllowance, UnsafeSubject, Unsigned};
use crate::model::{FileClass, HubCommit, PackageId, RelPath, Sha256};
use crate::scan::{Fact, Hit, name_rules};
use crate::select::{Origin, Selected, SelectedFile, SelectedPackage};

use refused::Allowing;
pub use refused::{Objection, Refused};

/// A project's policy together with what its lock recorded.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// `[policy]` of Model.toml.
    pub declared: PolicyDeclaration,
    /// Digest of each locked release's statement, for overrides that pin one.
    pub statements: BTreeMap<PackageId, Sha256>,
    /// Commit of each locked source of the hub, which its overrides are about, and the digest of its file table, for overrides
    /// that pin one.
    pub commits: BTreeMap<SourceId, (HubCommit, Sha256)>,
}

/// A selection that nothing known before fetching speaks against. Borrowed, so that it can't be carried elsewhere.
#[derive(Debug)]
pub struct Approved<'s> {
    selected: &'s Selected,
}

/// A selection whose content was looked at and is allowed.
#[derive(Debug)]
pub struct Cleared<'s> {
    selected: &'s Selected,
    code: Vec<(Origin, RelPath)>,
    overridden: BTreeMap<Origin, BTreeSet<String>>,
}

/// Facts by blob digest and path below the package's folder: the same bytes may stand under several names.
pub type Facts = BTreeMap<(Sha256, RelPath), Fact>;

impl<'s> Cleared<'s> {
    /// What was cleared.
    pub fn selected(&self) -> &'s Selected {
        self.selected
    }

    /// Files that their publisher declares as code: they are installed, and a notice lists them.
    pub fn code(&self) -> &[(Origin, RelPath)] {
        &self.code
    }

    /// Releases and sources that were cleared only because `[policy.unsafe]` allows them, with the rules that it took.
    pub fn overridden(&self) -> &BTreeMap<Origin, BTreeSet<String>> {
        &self.overridden
    }
}

/// Whether an override covers a release.
enum Allowance<'p> {
    None,
    Covers(&'p UnsafeAllowance),
    /// It pins another statement: pinned, locked.
    OtherStatement(Sha256, Option<Sha256>),
}

impl Policy {
    /// Judges sources by what Model.toml says, before anybody is asked for them.
    ///
    /// # Errors
    /// `E0602`: nobody signs there, and that is not enough here.
    pub fn judge_sources(&self, sources: impl IntoIterator<Item = SourceId>) -> Result<(), Refused> {
        let unsigned: BTreeSet<SourceId> = match self.declared.unsigned {
            Unsigned::Allow => BTreeSet::new(),
            Unsigned::Deny => sources.into_iter().collect(),
        };
        if unsigned.is_empty() { Ok(()) } else { Err(Refused::unsigned(unsigned.into_iter().collect())) }
    }

    /// Judges what can be known before a byte travels: sources that nobody signs, and names that give code away.
    ///
    /// # Errors
    /// `E0601`, `E0602`: all reasons, not the first.
    pub fn judge<'s>(&self, selected: &'s Selected) -> Result<Approved<'s>, Refused> {
        self.judge_sources(selected.packages().iter().filter_map(|package| match &package.origin {
            Origin::Source(id) => Some(id.clone()),
            Origin::Release(_) => None,
        }))?;
        let mut objections = Vec::new();
        for package in selected.packages() {
            let allowance = self.allowance(&package.origin);
            let settings = git_settings(package);
            for file in &package.files {
                let declared = file.class == FileClass::Code || covers(&allowance, "script");
                if settings.contains(&file.path) && !declared {
                    let detail = "git takes the folder that it lies in for a repository, whose settings run programs";
                    objections.push(objection(package, file, Hit::new("script", detail.to_owned()), &allowance));
                    continue;
                }
                let rules = name_rules(&file.release_path);
                let Some(first) = rules.first() else { continue };
                let declared = rules.contains(&"script") && file.class == FileClass::Code;
                if declared || rules.iter().any(|rule| covers(&allowance, rule)) {
                    continue;
                }
                let hit = Hit::new(first, format!("the name {:?} is that of code", file.release_path.file_name()));
                objections.push(objection(package, file, hit, &allowance));
            }
        }
        if objections.is_empty() { Ok(Approved { selected }) } else { Err(self.refuse(objections)) }
    }

    /// Judges content by its facts. A file without a fact is refused.
    ///
    /// # Errors
    /// `E0601`: all reasons, not the first, each with the `[policy.unsafe]` lines that would allow that one release.
    #[expect(clippy::needless_pass_by_value, reason = "an approval is used up by what it leads to")]
    pub fn clear<'s>(&self, approved: Approved<'s>, facts: &Facts) -> Result<Cleared<'s>, Refused> {
        let selected = approved.selected;
        let mut cleared = Cleared { selected, code: Vec::new(), overridden: BTreeMap::new() };
        let mut objections = Vec::new();
        for package in selected.packages() {
            let allowance = self.allowance(&package.origin);
            let external = external_data(package, facts);
            for file in &package.files {
                if file.class == FileClass::Code {
                    cleared.code.push((package.origin.clone(), file.path.clone()));
                }
                for hit in hits(package, file, facts, &external) {
                    if covers(&allowance, &hit.rule) {
                        cleared.overridden.entry(package.origin.clone()).or_default().insert(hit.rule);
                    } else {
                        objections.push(objection(package, file, hit, &allowance));
                    }
                }
            }
        }
        if objections.is_empty() { Ok(cleared) } else { Err(self.refuse(objections)) }
    }

    /// What an entry of `[policy.unsafe]` must be about to cover this; none: no override can.
    fn subject(&self, origin: &Origin) -> Option<UnsafeSubject> {
        match origin {
            Origin::Release(id) => Some(UnsafeSubject::Release(id.package.name.clone(), id.version.clone())),
            // A folder has nothing fixed that an override could be bound to; a commit never moves.
            Origin::Source(id) => {
                let (hub, commit) = (id.hub()?, self.commits.get(id)?.0.clone());
                Some(UnsafeSubject::Hub { kind: hub.kind, repository: hub.repository.clone(), commit })
            }
        }
    }

    fn allowance(&self, origin: &Origin) -> Allowance<'_> {
        let declared = self.subject(origin).and_then(|subject| self.declared.unsafe_releases.get(&subject));
        let Some(allowance) = declared else { return Allowance::None };
        let locked = self.locked(origin);
        match allowance.sha256 {
            Some(pinned) if locked != Some(pinned) => Allowance::OtherStatement(pinned, locked),
            _ => Allowance::Covers(allowance),
        }
    }

    /// Digest of what the lock holds: a release's statement, a commit's file table.
    fn locked(&self, origin: &Origin) -> Option<Sha256> {
        match origin {
            Origin::Release(id) => self.statements.get(id).copied(),
            Origin::Source(id) => self.commits.get(id).map(|(_, table)| *table),
        }
    }

    fn refuse(&self, objections: Vec<Objection>) -> Refused {
        let mut lines: BTreeMap<Origin, Allowing> = BTreeMap::new();
        for objection in &objections {
            let Some(subject) = self.subject(&objection.origin) else { continue };
            let before = self.declared.unsafe_releases.get(&subject);
            let line = lines.entry(objection.origin.clone()).or_insert_with(|| {
                let formats = before.into_iter().flat_map(|allowance| allowance.formats.iter().cloned());
                Allowing { subject, rules: formats.collect(), sha256: self.locked(&objection.origin) }
            });
            line.rules.insert(objection.rule.clone());
        }
        Refused::new(objections, &lines)
    }
}

fn objection(package: &SelectedPackage, file: &SelectedFile, hit: Hit, allowance: &Allowance<'_>) -> Objection {
    let overridden_for = match allowance {
        Allowance::OtherStatement(pinned, locked) => Some((*pinned, *locked)),
        Allowance::None | Allowance::Covers(_) => None,
    };
    Objection {
        origin: package.origin.clone(),
        path: file.release_path.clone(),
        rule: hit.rule,
        detail: hit.detail,
        overridden_for,
    }
}

fn covers(allowance: &Allowance<'_>, rule: &str) -> bool {
    matches!(allowance, Allowance::Covers(allowance) if allowance.formats.iter().any(|format| format == rule))
}

/// Settings that git would obey in a folder of this package: a repository needs no `.git` around it.
fn git_settings(package: &SelectedPackage) -> BTreeSet<&RelPath> {
    let named = |name: &str| matches!(name.to_ascii_lowercase().as_str(), "config" | "commondir");
    let settings = || package.files.iter().map(|file| &file.path).filter(|path| named(path.file_name()));
    if settings().next().is_none() {
        return BTreeSet::new();
    }
    // File systems that don't tell cases apart have one `HEAD`.
    let paths: BTreeSet<String> = package.files.iter().map(|file| file.path.as_str().to_ascii_lowercase()).collect();
    let obeyed = |path: &&RelPath| {
        let folder = path.parent().map_or_else(String::new, |folder| format!("{folder}/").to_ascii_lowercase());
        let below = |name: &str| {
            let start = format!("{folder}{name}/");
            paths.range(start.clone()..).next().is_some_and(|path| path.starts_with(&start))
        };
        let whole = below("objects") && below("refs");
        paths.contains(&format!("{folder}head")) && (whole || path.file_name().eq_ignore_ascii_case("commondir"))
    };
    settings().filter(obeyed).collect()
}

/// What speaks against one file, less what its declaration or an ONNX model beside it explains.
fn hits(package: &SelectedPackage, file: &SelectedFile, facts: &Facts, external: &BTreeSet<RelPath>) -> Vec<Hit> {
    let Some(fact) = facts.get(&(file.pin.sha256, file.path.clone())) else {
        return vec![Hit::new("unknown-binary", "nobody looked at its content")];
    };
    let explained = |hit: &Hit| match hit.rule.as_str() {
        "script" => file.class == FileClass::Code,
        "unknown-binary" => external.contains(&file.path),
        _ => false,
    };
    let mut hits: Vec<Hit> = fact.hits.iter().filter(|hit| !explained(hit)).cloned().collect();
    for location in &fact.external {
        let listed = beside(&file.path, location)
            .is_some_and(|path| package.files.binary_search_by(|other| other.path.cmp(&path)).is_ok());
        if !listed {
            let location: String = location.chars().take(120).collect();
            hits.push(Hit::new(
                "onnx-external",
                format!("its tensors lie in {location:?}, which is no file of the release"),
            ));
        }
    }
    hits
}

/// Files that ONNX models of a package read their tensors from: raw bytes that no format tells.
fn external_data(package: &SelectedPackage, facts: &Facts) -> BTreeSet<RelPath> {
    let mut external = BTreeSet::new();
    for file in &package.files {
        let fact = facts.get(&(file.pin.sha256, file.path.clone()));
        for location in fact.into_iter().flat_map(|fact| &fact.external) {
            external.extend(beside(&file.path, location));
        }
    }
    external
}

/// The path of a location that is relative to a file's folder; none if it leads elsewhere.
fn beside(file: &RelPath, location: &str) -> Option<RelPath> {
    let location = RelPath::parse(location.strip_prefix("./").unwrap_or(location)).ok()?;
    match file.parent() {
        Some(folder) => folder.join(&location).ok(),
        None => Some(location),
    }
}
