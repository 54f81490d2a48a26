//! `mpm bundle create`: a part of a registry, in a form that can be carried.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::bundle::{self, Bundle, Shape};
use crate::mirror::{self, Held, MirrorError, Packed, Packing, Wish};
use crate::model::{CheckpointNumber, Sha256};
use crate::ops::mirroring::{self, Copying, Source};
use crate::ops::{PipelineError, Services, mirror_sync, narrowing};
use crate::select::Choice;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to look for a Model.toml; there need not be one.
    pub start: PathBuf,
    /// Where the bundle goes, absolute.
    pub to: PathBuf,
    /// As what.
    pub shape: Shape,
    /// Which registry, and from where.
    pub source: Source,
    /// Model.lock files whose releases are wanted, absolute.
    pub locks: Vec<PathBuf>,
    /// Which groups and profile of the projects of these locks; none: all that they pin.
    pub choice: Option<Choice>,
    /// What else is wanted.
    pub wish: Wish,
    /// What the site has already.
    pub since: Option<SinceWhat>,
    /// Only tell.
    pub dry_run: bool,
    /// Every question is answered with yes.
    pub yes: bool,
    /// How long to wait for another run.
    pub wait: Duration,
}

/// What a bundle goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinceWhat {
    /// A checkpoint.
    Checkpoint(CheckpointNumber),
    /// An earlier bundle, absolute.
    Bundle(PathBuf),
}

/// What was done.
#[derive(Debug)]
pub struct Outcome {
    /// The registry's first root.
    pub root: Sha256,
    /// The bundle.
    pub packed: Packed,
    /// Sources whose files are in it.
    pub sources: Vec<String>,
    /// Nothing was done: only told.
    pub dry_run: bool,
}

/// Does it.
///
/// # Errors
/// `E0911`: nothing is asked for, or it is not said of which registry. Those of the registry, of fetching and of the bundle.
pub fn run(services: &Services, request: &Request) -> Result<Outcome, PipelineError> {
    if request.wish.is_empty() && request.locks.is_empty() {
        return Err(PipelineError::Unanswered {
            question: "what is the bundle to hold?".to_owned(),
            flag: "--lock FILE for what a lock pins, names or patterns such as 'acme/*', or --all",
        });
    }
    let mut locks = mirroring::locks(&request.locks)?;
    let mut wish = request.wish.clone();
    narrowing::narrow(&mut locks, request.choice.as_ref(), &mut wish)?;
    let (mut registries, id) = mirroring::choose(services, &request.start, &request.source, &locks)?;
    let declaration = registries.declaration(&id)?.clone();
    let others = mirror_sync::take_locked(&mut wish, &locks, &id);
    if others > 0 {
        services.progress.note(
            "other-registries",
            format!("{others} releases of other registries are left out: each registry has a bundle of its own"),
        );
    }
    let (extra, sources) = mirror_sync::extra(services, &locks)?;
    let mut supply = mirror_sync::supply(services, &mut registries, &id, &request.source, extra)?;
    if let Some(from) = mirroring::folder_of(&request.start, &request.source).filter(|from| bundle::is_named(from)) {
        supply.bundles.push(Bundle::open(&[from]).map_err(MirrorError::from)?);
    }
    let held = match &request.since {
        None => Held::Nothing,
        Some(SinceWhat::Checkpoint(at)) => Held::Checkpoint(*at),
        Some(SinceWhat::Bundle(path)) => {
            let bundle = Bundle::open(std::slice::from_ref(path)).map_err(MirrorError::from)?;
            let head = &bundle.table().head;
            if head.root != declaration.root {
                let (found, found_root) = (head.registry.clone(), head.root);
                let (path, registry, root) = (path.clone(), id.clone(), declaration.root);
                return Err(MirrorError::OtherBundle { path, registry, root, found, found_root }.into());
            }
            Held::Bundle(bundle)
        }
    };
    let copying = Copying {
        services,
        check: false,
        prune: true,
        dry_run: request.dry_run,
        yes: request.yes,
        wait: request.wait,
        held: &held,
        along: &[],
    };
    let packing =
        Packing { to: &request.to, shape: request.shape, wish: &wish, sources: sources.iter().cloned().collect() };
    let registry = registries.open(&id)?;
    let packed = copying.run(|rules| mirror::pack(registry, declaration.root, &packing, &supply, rules))?;
    if !request.dry_run {
        registry.remember(&BTreeMap::new(), &*services.progress)?;
    }
    Ok(Outcome { root: declaration.root, packed, sources, dry_run: request.dry_run })
}
