//! Which of what locks pin is wanted: by groups and profiles of the projects that they belong to.

use crate::manifest::{DependencySource, Manifest};
use crate::mirror::Wish;
use crate::ops::PipelineError;
use crate::ops::mirroring::ReadLock;
use crate::ops::project::Project;
use crate::select::{Choice, Groups, names_exist, needed};

/// Leaves in the locks what a choice of groups needs, and notes the variants of its profile. Without a choice all of it stays.
pub(super) fn narrow(locks: &mut [ReadLock], choice: Option<&Choice>, wish: &mut Wish) -> Result<(), PipelineError> {
    let Some(choice) = choice else { return Ok(()) };
    for ReadLock { folder, lock } in locks {
        let manifest = Project::open(folder)?.manifest;
        names_exist(&manifest, choice)?;
        if choice.groups != Groups::All {
            let (releases, sources) = needed(&manifest, lock, choice);
            lock.packages.retain(|id, _| releases.contains(id));
            lock.sources.retain(|id, _| sources.contains(id));
        }
        profile(&manifest, choice, wish);
    }
    Ok(())
}

fn profile(manifest: &Manifest, choice: &Choice, wish: &mut Wish) {
    let Some(variants) = choice.profile.as_ref().and_then(|profile| manifest.profiles.get(profile)) else { return };
    for dependency in &manifest.dependencies {
        if let (Some(chosen), DependencySource::Registry { package: name, .. }) =
            (variants.get(&dependency.key), &dependency.source)
        {
            wish.choices.entry(name.clone()).or_default().extend(chosen.iter().cloned());
        }
    }
}
