//! A package as a repository: its versions and variants as revisions, each with a commit that never means anything else.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diagnose::Class;
use crate::hub::{Denial, Named, Offered, Revision, Standing, list, newest};
use crate::model::{HubCommit, PackageKind, PackageName, RegistryId, Sha256, VariantName, Version};
use crate::serve::hub::find::{Answer, Snapshot};
use crate::serve::hub::memory::Brief;
use crate::serve::site::Site;
use crate::serve::{Listed, Package, Release, Shelf, Trouble};
use crate::statement::FileEntry;

/// A package that answers for a repository.
pub(super) struct Held<'s> {
    site: &'s Site,
    shelf: &'s dyn Shelf,
    package: Arc<Package>,
    kind: PackageKind,
    /// Releases of the kind that was asked for, oldest first, and how each stands.
    releases: Vec<Listed>,
    offered: Vec<Offered>,
}

/// A release, and a variant of it; none: the default, or there are no variants.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chosen {
    at: usize,
    variant: Option<VariantName>,
}

impl<'s> Held<'s> {
    /// Opens it; none: it has no release of the kind, or none of these versions.
    pub(super) fn open(
        site: &'s Site,
        shelf: &'s dyn Shelf,
        registry: &RegistryId,
        name: &PackageName,
        kind: PackageKind,
        versions: Option<&BTreeSet<Version>>,
    ) -> Result<Option<Self>, Trouble> {
        let Some(package) = shelf.package(registry, name)? else { return Ok(None) };
        let fits = |one: &&Listed| one.kind == kind && versions.is_none_or(|versions| versions.contains(&one.version));
        let mut releases: Vec<Listed> = package.releases.iter().filter(fits).cloned().collect();
        releases.sort_by(|left, right| left.version.cmp(&right.version));
        let offered = releases.iter().map(offered).collect();
        let held = Self { site, shelf, package, kind, releases, offered };
        Ok((!held.releases.is_empty()).then_some(held))
    }

    /// What it is at a revision.
    pub(super) fn at(&self, id: &str, text: &str, revision: &Revision) -> Answer<Snapshot> {
        let none =
            || Denial::NoRevision(format!("{id} has no revision {text:?} here; versions: {}", list(&self.offered)));
        let chosen = match revision {
            Revision::Main => newest(&self.offered, None).map(|at| Chosen { at, variant: None }),
            Revision::Range(range) => newest(&self.offered, Some(range)).map(|at| Chosen { at, variant: None }),
            Revision::Version(readings) => match self.read(readings)? {
                Ok(chosen) => chosen,
                Err(denial) => return Ok(Err(denial)),
            },
            Revision::Commit(commit) => self.commit(commit)?,
            Revision::Other => None,
        };
        let Some(chosen) = chosen else { return Ok(Err(none())) };
        let Some(listed) = self.releases.get(chosen.at) else { return Ok(Err(none())) };
        let name = format!("{} {}", self.package.name, listed.version);
        if let Some(reason) = &listed.refused {
            return Ok(Err(Denial::NoRevision(format!("{name} is not handed out: {reason}"))));
        }
        let Some(brief) = self.brief(listed)? else {
            return Ok(Err(Denial::Lacking(format!("{name} is not in this copy"))));
        };
        let variant = chosen.variant.clone().or_else(|| brief.default.clone());
        if variant.is_none() && !brief.variants.is_empty() {
            let all: Vec<String> =
                brief.variants.iter().map(|variant| format!("{}-{variant}", listed.version)).collect();
            let text = format!("{name} has variants and no default: ask for a revision {}", all.join(", "));
            return Ok(Err(Denial::NoRevision(text)));
        }
        let Some(files) = self.files(listed, variant.as_ref())? else {
            return Ok(Err(Denial::Lacking(format!("{name} is not in this copy"))));
        };
        let commit = match revision {
            Revision::Commit(commit) => commit.clone(),
            _ => self.commit_of(&chosen, listed, &brief)?,
        };
        let reason = listed.yanked.as_ref();
        let warning = reason.map(|reason| format!("yanked {name}; {name} was yanked by its publisher: {reason}"));
        let others = brief.variants.iter().filter(|one| Some(*one) != variant.as_ref());
        Ok(Ok(Snapshot {
            kind: self.kind,
            id: id.to_owned(),
            commit,
            files,
            warnings: warning.into_iter().collect(),
            time: listed.admitted,
            licence: brief.licence.clone(),
            description: brief.description.clone(),
            others: others.map(|one| format!("{}-{one}", listed.version)).collect(),
        }))
    }

    /// Where `main` leads, and every version and variant that is handed out.
    pub(super) fn refs(&self) -> Result<(Option<HubCommit>, Vec<Named>), Trouble> {
        let (mut main, mut tags) = (None, Vec::new());
        let newest = newest(&self.offered, None);
        for (at, listed) in self.releases.iter().enumerate().filter(|(_, listed)| listed.refused.is_none()) {
            let Some(brief) = self.brief_or_none(listed)? else { continue };
            if brief.variants.is_empty() || brief.default.is_some() {
                let commit = self.commit_of(&Chosen { at, variant: None }, listed, &brief)?;
                if newest == Some(at) {
                    main = Some(commit.clone());
                }
                tags.push((listed.version.to_string(), commit));
            }
            for variant in &brief.variants {
                let chosen = Chosen { at, variant: Some(variant.clone()) };
                tags.push((format!("{}-{variant}", listed.version), self.commit_of(&chosen, listed, &brief)?));
            }
        }
        Ok((main, tags))
    }

    /// The release that one of the readings of a version means.
    fn read(&self, readings: &[(Version, Option<VariantName>)]) -> Answer<Option<Chosen>> {
        let mut without = None;
        for (version, variant) in readings {
            let Some(at) = self.releases.iter().position(|listed| listed.version == *version) else { continue };
            let Some(variant) = variant else { return Ok(Ok(Some(Chosen { at, variant: None }))) };
            let Some(listed) = self.releases.get(at) else { continue };
            let Some(brief) = self.brief(listed)? else { continue };
            if let Some(own) = brief.variants.iter().find(|own| own.normalised() == variant.normalised()) {
                return Ok(Ok(Some(Chosen { at, variant: Some(own.clone()) })));
            }
            let all: Vec<&str> = brief.variants.iter().map(VariantName::as_str).collect();
            let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            let text = format!("{} {version} has no variant {variant}; variants: {all}", self.package.name);
            without.get_or_insert(Denial::NoRevision(text));
        }
        Ok(without.map_or(Ok(None), Err))
    }

    /// The release, and the variant, that a commit stands for.
    fn commit(&self, commit: &HubCommit) -> Result<Option<Chosen>, Trouble> {
        let plain = |listed: &Listed| HubCommit::of(&listed.statement.sha256) == *commit;
        if let Some(at) = self.releases.iter().position(plain) {
            return Ok(Some(Chosen { at, variant: None }));
        }
        for (at, listed) in self.releases.iter().enumerate() {
            let Some(brief) = self.brief_or_none(listed)? else { continue };
            if brief.upstream.as_ref().is_some_and(|(_, upstream)| upstream == commit) {
                return Ok(Some(Chosen { at, variant: None }));
            }
            if let Some(variant) = brief.variants.iter().find(|one| of_variant(listed, one) == *commit) {
                return Ok(Some(Chosen { at, variant: Some(variant.clone()) }));
            }
        }
        Ok(None)
    }

    /// The commit of a release: its upstream's, which belongs to the lowest version that names it; else one of its own.
    fn commit_of(&self, chosen: &Chosen, listed: &Listed, brief: &Brief) -> Result<HubCommit, Trouble> {
        if let Some(variant) = &chosen.variant
            && brief.default.as_ref() != Some(variant)
        {
            return Ok(of_variant(listed, variant));
        }
        let Some((_, upstream)) = &brief.upstream else { return Ok(HubCommit::of(&listed.statement.sha256)) };
        for earlier in self.releases.iter().take(chosen.at) {
            let taken = self.brief_or_none(earlier)?;
            if taken.is_some_and(|brief| brief.upstream.as_ref().is_some_and(|(_, commit)| commit == upstream)) {
                return Ok(HubCommit::of(&listed.statement.sha256));
            }
        }
        Ok(upstream.clone())
    }

    /// What a release says of itself; none: it is not in this copy.
    fn brief(&self, listed: &Listed) -> Result<Option<Arc<Brief>>, Trouble> {
        if let Some(brief) = self.site.hub.brief(&listed.statement.sha256) {
            return Ok(Some(brief));
        }
        Ok(self.release(listed)?.map(|release| self.site.hub.learn(release.pin.sha256, &release.statement)))
    }

    /// The same where one that does not count is as good as none: only that the network can't say is trouble.
    fn brief_or_none(&self, listed: &Listed) -> Result<Option<Arc<Brief>>, Trouble> {
        match self.brief(listed) {
            Err(error) if error.class() != Class::Network => Ok(None),
            other => other,
        }
    }

    fn release(&self, listed: &Listed) -> Result<Option<Arc<Release>>, Trouble> {
        self.shelf.release(&self.package.registry, &self.package.name, &listed.version)
    }

    /// The files of a release: those that are common, and those of one variant.
    fn files(&self, listed: &Listed, variant: Option<&VariantName>) -> Result<Option<Arc<Vec<FileEntry>>>, Trouble> {
        let digest = listed.statement.sha256;
        if let Some(files) = self.site.hub.files(&digest, variant) {
            return Ok(Some(files));
        }
        let Some(release) = self.release(listed)? else { return Ok(None) };
        let belongs = |entry: &&FileEntry| entry.variant.is_none() || entry.variant.as_ref() == variant;
        // In order of paths as releases are: common files and those of one variant share none.
        let files: Arc<Vec<FileEntry>> = Arc::new(release.files.entries().iter().filter(belongs).cloned().collect());
        self.site.hub.keep((digest, variant.cloned()), &files);
        Ok(Some(files))
    }
}

fn offered(listed: &Listed) -> Offered {
    let standing = match (&listed.refused, &listed.yanked) {
        (Some(reason), _) => Standing::Refused(reason.clone()),
        (None, Some(reason)) => Standing::Yanked(reason.clone()),
        (None, None) => Standing::Good,
    };
    Offered { version: listed.version.clone(), standing }
}

/// The commit of a variant that is not the default.
fn of_variant(listed: &Listed, variant: &VariantName) -> HubCommit {
    HubCommit::of(&Sha256::of(format!("{} {variant}", listed.statement.sha256.hex()).as_bytes()))
}
