//! Making a copy, or bringing one up to date: bytes before what names them, and the checkpoint last.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::bundle::Bundle;
use crate::fetch::{FetchOutcome, Fetcher, Health, Job, Landed, Place, Seeds};
use crate::index::{AirGap, Carried, Gate, Head, IndexError, Opening, Registry, World};
use crate::manifest::IndexAddress;
use crate::mirror::copy::copy;
use crate::mirror::plan::{Blobs, Missing, plan};
use crate::mirror::record::Record;
use crate::mirror::wish::{Chosen, choose};
use crate::mirror::writing::{Writer, index, note};
use crate::mirror::{Destination, Held, MirrorError, Wish, prune};
use crate::model::{Floor, Pin, Timestamp};
use crate::progress::{Progress, Silent};
use crate::sys::{Cancel, HttpClient, Staged, blob_path, files, hash};
use crate::verify::{Verified, verify};

/// Blobs that share a pair of barriers: so many…
const BATCH_BLOBS: usize = 256;
/// …or so many bytes.
const BATCH_BYTES: u64 = 64 << 20;

/// Where the bytes come from.
pub struct Supply {
    /// Where the registry's blobs can be had.
    pub places: Vec<Place>,
    /// Blobs that no release of the registry names: those of sources that a lock pins.
    pub extra: Vec<Extra>,
    /// Bundles that blobs are read from where they lie.
    pub bundles: Vec<Bundle>,
}

/// A blob with places of its own.
pub struct Extra {
    /// Its bytes.
    pub pin: Pin,
    /// What it is, for messages.
    pub what: String,
    /// Where it can be had.
    pub places: Vec<Place>,
}

/// How a copy is made.
pub struct Rules<'a> {
    /// Hash the blobs that are there, and fetch again what is wrong.
    pub check: bool,
    /// Remove what is not needed any more.
    pub prune: bool,
    /// Only tell.
    pub dry_run: bool,
    /// Blobs at a time.
    pub jobs: usize,
    /// How places behaved in earlier runs.
    pub known: &'a Health,
    /// How long another run is waited for.
    pub wait: Duration,
    /// The time of the run.
    pub now: Timestamp,
    /// The client.
    pub http: &'a HttpClient,
    /// Stops between chunks.
    pub cancel: &'a Cancel,
    /// Takes events.
    pub progress: &'a dyn Progress,
    /// Whether a blob need not come, because it is read where it lies.
    pub in_place: &'a (dyn Fn(&Pin) -> bool + 'a),
    /// What is left out because it is thought to be where the copy goes.
    pub held: &'a Held,
    /// Files of the site's own that are written with the head, before the checkpoint.
    pub along: &'a [Carried],
    /// Whether so much may come, where so many bytes are free.
    pub consent: &'a dyn Fn(Amount, u64) -> bool,
}

/// What was done, or would be.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What the copy shows.
    pub head: Head,
    /// Number and time of the checkpoint that stood before, if it was another.
    pub before: Option<Head>,
    /// Packages that were asked for.
    pub packages: u64,
    /// Releases of them.
    pub releases: u64,
    /// Blobs that were there.
    pub there: Amount,
    /// Blobs that came, or would.
    pub came: Amount,
    /// Blobs that were there with other bytes, and were fetched again.
    pub damaged: u64,
    /// Files of the index that were written.
    pub written: u64,
    /// What a prune removed, or would.
    pub pruned: Amount,
    /// What the place that was copied lacks.
    pub left_out: Vec<String>,
    /// Bytes free for the copy.
    pub free: u64,
    /// What belongs to it.
    pub contents: Contents,
}

/// What belongs to a copy, but for what is left out as held elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// Files of the index, by path.
    pub files: BTreeSet<String>,
    /// Blobs that releases name.
    pub blobs: BTreeSet<Pin>,
    /// Blobs that locks name.
    pub loose: BTreeSet<Pin>,
}

/// A number of files, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, bytes: u64) {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Brings a copy up to date.
///
/// # Errors
/// `E1001` and following; those of reading the registry and of fetching.
pub fn sync(
    registry: &Registry,
    mut destination: Destination,
    wish: &Wish,
    supply: &Supply,
    rules: &Rules<'_>,
) -> Result<Outcome, MirrorError> {
    let head = registry.head();
    destination.set_base(&head.bases);
    let before = compare(registry, &destination, rules)?;
    let mut chosen = choose(registry, wish)?;
    let mut planned = plan(registry, wish, &mut chosen)?;
    if !rules.dry_run {
        destination.begin(&head.bases, rules.wait, rules.progress)?;
        // Another run may have written since.
        compare(registry, &destination, rules)?;
    }
    let mut record = Record::load(&destination)?;
    let mut run = Run { destination: &destination, rules, supply, tally: Tally::default() };
    let mut unread = 0;
    if rules.dry_run {
        unread = planned.open_lists(&destination, wish, Missing::Counts)?;
    } else {
        run.bring(&planned.lists, &mut record)?;
        planned.open_lists(&destination, wish, Missing::Fails)?;
    }
    let held = run.held(registry, wish, &chosen, &mut record)?;
    let mut blobs = planned.blobs;
    let mut left_out = planned.left_out;
    for revoked in &planned.revoked {
        rules.progress.warn("revoked", format!("left out of the copy: {revoked}"));
    }
    if wish.available {
        blobs.retain(|pin, what| {
            run.can_be_had(pin) || {
                left_out.push(what.clone());
                false
            }
        });
    }
    if rules.dry_run {
        blobs.append(&mut planned.lists.clone());
    }
    let here = |pin: &Pin| held.contains(pin) || rules.held.has_blob(pin);
    let mut contents = Contents::default();
    contents.blobs.extend(blobs.keys().chain(planned.lists.keys()).filter(|pin| !here(pin)));
    contents.loose.extend(supply.extra.iter().map(|extra| extra.pin).filter(|pin| !here(pin)));
    blobs.extend(supply.extra.iter().map(|extra| (extra.pin, extra.what.clone())));
    blobs.retain(|pin, _| !here(pin) && !(rules.in_place)(pin));
    run.bring(&blobs, &mut record)?;
    let mut needed: BTreeSet<String> =
        blobs.keys().chain(planned.lists.keys()).map(|pin| destination.blob(&pin.sha256)).collect();
    let tally = run.tally;
    let mut outcome = Outcome {
        before,
        packages: chosen.len() as u64,
        releases: chosen.values().map(|versions| versions.len() as u64).sum(),
        there: tally.there,
        came: Amount { bytes: tally.came.bytes.saturating_add(unread), ..tally.came },
        damaged: tally.damaged,
        written: 0,
        pruned: Amount::default(),
        left_out,
        free: files::free_space(destination.folder()).unwrap_or(u64::MAX),
        head,
        contents,
    };
    let mut writer = Writer::new(&destination, &mut record, rules);
    index(registry, wish, &chosen, &mut writer)?;
    outcome.written = writer.changed;
    outcome.left_out.append(&mut writer.left_out);
    outcome.contents.files.clone_from(&writer.seen);
    needed.append(&mut writer.seen);
    record.settle(&needed, rules.now);
    if !rules.dry_run {
        note(&destination, wish, &outcome)?;
    }
    if rules.prune {
        outcome.pruned = prune::prune(&destination, &mut record, rules)?;
    }
    if !rules.dry_run {
        record.save(&destination)?;
    }
    Ok(outcome)
}

/// What the copy shows now, if anything; refuses a registry that shows less.
fn compare(registry: &Registry, destination: &Destination, rules: &Rules<'_>) -> Result<Option<Head>, MirrorError> {
    let Some(standing) = standing(destination, rules)? else { return Ok(None) };
    let (found, least) = (registry.floor(), standing.floor());
    let path = destination.folder().to_owned();
    if let Some((what, found, standing)) = lower(&found, &least) {
        return Err(MirrorError::Older { path, what, found, standing });
    }
    let (new, old) = (registry.head(), standing.head());
    if new.at == old.at && new.sha256 != old.sha256 {
        return Err(MirrorError::TwoCheckpoints { at: new.at, found: new.sha256, standing: old.sha256 });
    }
    Ok(Some(old))
}

/// The registry as the copy shows it; none where it shows none, or nothing that counts.
fn standing(destination: &Destination, rules: &Rules<'_>) -> Result<Option<Registry>, MirrorError> {
    if !destination.folder().join("checkpoint.json").exists() {
        return Ok(None);
    }
    match examine(destination, rules.http, rules.now) {
        Ok(registry) => Ok(Some(registry)),
        Err(error @ IndexError::Lease(_)) => Err(error.into()),
        Err(error) => {
            let text = format!("what stands in {} counts for nothing: {error}", destination.folder().display());
            rules.progress.warn("mirror-damaged", text);
            Ok(None)
        }
    }
}

/// A copy as it stands, by its own files alone.
pub(super) fn examine(destination: &Destination, http: &HttpClient, now: Timestamp) -> Result<Registry, IndexError> {
    let opening = Opening {
        id: destination.id().clone(),
        root: destination.root(),
        root_at: None,
        address: IndexAddress::Folder(destination.folder().to_string_lossy().into_owned()),
        mirrors: Vec::new(),
        floor: None,
        gate: Gate::Locked,
        air_gap: AirGap::default(),
    };
    let nowhere = std::path::PathBuf::new();
    Registry::examine(&opening, &World { http, trust: nowhere.clone(), cache: nowhere, now, progress: &Silent })
}

/// The first number that is lower. A higher epoch resets all but the roots.
pub(super) fn lower(found: &Floor, least: &Floor) -> Option<(&'static str, String, String)> {
    let told = |what, found: &dyn ToString, least: &dyn ToString| Some((what, found.to_string(), least.to_string()));
    if found.root_number < least.root_number {
        return told("root", &found.root_number, &least.root_number);
    }
    if found.checkpoint < least.checkpoint {
        return told("checkpoint", &found.checkpoint, &least.checkpoint);
    }
    let behind = found.checkpoint.epoch == least.checkpoint.epoch && found.registrar < least.registrar;
    if behind { told("registrar file", &found.registrar, &least.registrar) } else { None }
}

#[derive(Default)]
struct Tally {
    there: Amount,
    came: Amount,
    damaged: u64,
}

/// One run, as far as it concerns blobs.
struct Run<'a> {
    destination: &'a Destination,
    rules: &'a Rules<'a>,
    supply: &'a Supply,
    tally: Tally,
}

impl Run<'_> {
    /// Brings those of some blobs that are not there.
    fn bring(&mut self, blobs: &Blobs, record: &mut Record) -> Result<(), MirrorError> {
        let lacking = self.lacking(blobs)?;
        for pin in lacking.keys() {
            self.tally.came.add(pin.size);
        }
        if lacking.is_empty() || self.rules.dry_run {
            return Ok(());
        }
        let free = files::free_space(self.destination.folder()).unwrap_or(u64::MAX);
        if !(self.rules.consent)(self.tally.came, free) {
            return Err(MirrorError::Stopped);
        }
        let paths: Vec<String> = lacking.keys().map(|pin| self.destination.blob(&pin.sha256)).collect();
        record.announce(self.destination, paths.iter().map(String::as_str))?;
        let lacking = copy(self.destination, self.supply, lacking, self.rules)?;
        if lacking.is_empty() {
            return Ok(());
        }
        let mut places = vec![self.supply.places.clone()];
        let mut own: BTreeMap<Pin, usize> = BTreeMap::new();
        for extra in self.supply.extra.iter().filter(|extra| lacking.contains_key(&extra.pin)) {
            own.insert(extra.pin, places.len());
            places.push(extra.places.clone());
        }
        let job = |(pin, what): (&Pin, &String)| Job {
            pin: *pin,
            what: what.clone(),
            places: own.get(pin).copied().unwrap_or(0),
            chunks: None,
            seeds: Seeds::default(),
        };
        let jobs: Vec<Job> = lacking.iter().map(job).collect();
        let fetcher = Fetcher {
            http: self.rules.http,
            staging: self.destination.partial(),
            jobs: self.rules.jobs,
            known: self.rules.known,
            already: &|pin| matches!(self.destination.has(pin), Ok(true)),
            patience: self.rules.wait,
            cancel: self.rules.cancel,
            progress: self.rules.progress,
        };
        let mut batch = Batch { destination: self.destination, blobs: Vec::new(), bytes: 0 };
        let result = fetcher.fetch(&jobs, &places, &mut |landed| match landed {
            Landed::Blob(job, staged) => batch.take(job, staged),
            Landed::Pause => batch.flush(),
        });
        // What landed before an error stays: the next run does not fetch it again.
        let flushed = batch.flush();
        match result {
            Ok(()) => flushed,
            Err(FetchOutcome::Fetch(error)) => Err(MirrorError::fetching(self.destination.folder(), error)),
            Err(FetchOutcome::Done(error)) => Err(error),
        }
    }

    /// Blobs of those of the chosen releases that an earlier checkpoint admitted, where these are left out.
    fn held(
        &mut self,
        registry: &Registry,
        wish: &Wish,
        chosen: &Chosen,
        record: &mut Record,
    ) -> Result<BTreeSet<Pin>, MirrorError> {
        if !matches!(self.rules.held, Held::Checkpoint(_)) {
            return Ok(BTreeSet::new());
        }
        let mut older = chosen.clone();
        for releases in older.values_mut() {
            releases.retain(|_, release| self.rules.held.has_release(release));
        }
        let mut planned = plan(registry, wish, &mut older)?;
        self.bring(&planned.lists, record)?;
        planned.open_lists(self.destination, wish, Missing::Counts)?;
        Ok(planned.blobs.into_keys().chain(planned.lists.into_keys()).collect())
    }

    /// Those that are not there; with `check`, those whose bytes are others count as such, and are removed.
    fn lacking(&mut self, blobs: &Blobs) -> Result<Blobs, MirrorError> {
        let mut lacking = Blobs::new();
        let mut there: Vec<Pin> = Vec::new();
        for (pin, what) in blobs {
            if self.destination.has(pin)? {
                there.push(*pin);
            } else {
                lacking.insert(*pin, what.clone());
            }
        }
        if self.rules.check {
            let mut paths = Vec::with_capacity(there.len());
            for pin in &there {
                paths.push(self.destination.inside(&self.destination.blob(&pin.sha256))?);
            }
            let found = hash::hash_paths(&paths, self.rules.cancel, &|_, _| ());
            for (pin, found) in std::mem::take(&mut there).into_iter().zip(found) {
                if self.rules.cancel.is_cancelled() {
                    return Err(MirrorError::Stopped);
                }
                if matches!(found, Ok(Some(found)) if found == pin) {
                    there.push(pin);
                    continue;
                }
                self.tally.damaged += 1;
                let what = blobs.get(&pin).cloned().unwrap_or_default();
                let path = self.destination.blob(&pin.sha256);
                self.rules.progress.warn("bad-blob", format!("{path} ({what}) is damaged: it is fetched again"));
                if !self.rules.dry_run {
                    self.destination.remove(&path)?;
                }
                lacking.insert(pin, what);
            }
        }
        for pin in there {
            self.tally.there.add(pin.size);
        }
        Ok(lacking)
    }

    /// Whether some place may have a blob: only folders can be asked beforehand.
    fn can_be_had(&self, pin: &Pin) -> bool {
        matches!(self.destination.has(pin), Ok(true))
            || self.supply.places.iter().any(|place| match place {
                Place::Folder(folder) => folder.join(blob_path(&pin.sha256)).is_file(),
                Place::Objects(reader) => reader.has(pin).unwrap_or(true),
                _ => true,
            })
    }
}

/// Verified blobs on their way into the copy, so that small ones share a barrier.
struct Batch<'d> {
    destination: &'d Destination,
    blobs: Vec<Verified>,
    bytes: u64,
}

impl Batch<'_> {
    fn take(&mut self, job: &Job, staged: Staged) -> Result<(), MirrorError> {
        self.blobs.push(verify(staged, &job.pin)?);
        self.bytes = self.bytes.saturating_add(job.pin.size);
        if self.blobs.len() >= BATCH_BLOBS || self.bytes >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), MirrorError> {
        self.bytes = 0;
        if self.blobs.is_empty() { Ok(()) } else { self.destination.take(std::mem::take(&mut self.blobs)) }
    }
}
