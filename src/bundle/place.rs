//! Where the bytes of a bundle lie: in one file, in volumes, or in a folder.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bundle::BundleError;
use crate::bundle::parse::number;
use crate::bundle::table::MAX_WHOLE;
use crate::model::Sha256;
use crate::sys::{Extent, Extents, files};

/// First word of a volume.
pub(super) const VOLUME: &str = "mpm.volume/1";
/// Bytes before the slice that a volume carries.
pub(super) const VOLUME_HEAD: u64 = 4096;
/// Most volumes.
pub(super) const MAX_VOLUMES: u64 = 999;

/// One bundle over the files that it lies in.
#[derive(Debug)]
pub(super) struct Parts(Vec<Part>);

#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: Arc<File>,
    /// First byte of the bundle that is in it.
    begin: u64,
    /// Bytes of the bundle in it.
    length: u64,
    /// Where they begin in the file.
    skip: u64,
}

/// What the head of a volume says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VolumeHead {
    pub(super) number: u64,
    pub(super) count: u64,
    /// Digest of the bundle's table.
    pub(super) bundle: Sha256,
    pub(super) begin: u64,
    pub(super) length: u64,
    pub(super) whole: u64,
}

impl VolumeHead {
    pub(super) fn render(&self) -> Vec<u8> {
        let Self { number, count, bundle, begin, length, whole } = self;
        let mut bytes = format!("{VOLUME} {number} {count} {bundle} {begin} {length} {whole}\n").into_bytes();
        bytes.resize(usize::try_from(VOLUME_HEAD).unwrap_or(4096), 0);
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let text = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let mut words = text.strip_prefix(VOLUME)?.strip_prefix(' ')?.split(' ');
        let head = Self {
            number: words.next().and_then(number)?,
            count: words.next().and_then(number)?,
            bundle: words.next().filter(|text| text.len() == 64).and_then(|text| Sha256::parse(text).ok())?,
            begin: words.next().and_then(number)?,
            length: words.next().and_then(number)?,
            whole: words.next().and_then(number)?,
        };
        let good = (1..=head.count).contains(&head.number)
            && head.count <= MAX_VOLUMES
            && head.length > 0
            && head.whole <= MAX_WHOLE
            && head.begin.checked_add(head.length).is_some_and(|end| end <= head.whole);
        // The rest is zeros, and the line in its one form.
        (good && head.render() == bytes).then_some(head)
    }
}

impl Parts {
    /// Opens one file, or all volumes. Of a single volume the others are looked for beside it. The digest is that of the table as
    /// the volumes say it.
    pub(super) fn open(paths: &[PathBuf]) -> Result<(Self, Option<Sha256>), BundleError> {
        let first = paths.first().ok_or_else(|| BundleError::Volumes { why: "there is none".to_owned() })?;
        let opened = opened(first)?;
        let Some(head) = volume(&opened)? else {
            if paths.len() > 1 {
                return Err(BundleError::Volumes { why: format!("{} is a whole bundle", first.display()) });
            }
            let length = opened.length;
            return Ok((
                Self(vec![Part { begin: 0, skip: 0, length, path: opened.path, file: Arc::new(opened.file) }]),
                None,
            ));
        };
        let paths = if paths.len() == 1 { beside(first, &head) } else { paths.to_vec() };
        let mut found: Vec<Option<Part>> = Vec::new();
        found.resize_with(usize::try_from(head.count).unwrap_or(0), || None);
        for path in &paths {
            let opened = self::opened(path)?;
            let wrong = |why: &str| BundleError::Volumes { why: format!("{} {why}", path.display()) };
            let other = volume(&opened)?.ok_or_else(|| wrong("is no volume"))?;
            if (other.bundle, other.count, other.whole) != (head.bundle, head.count, head.whole) {
                return Err(wrong("is of another bundle"));
            }
            let expected = VOLUME_HEAD.saturating_add(other.length);
            if opened.length != expected {
                return Err(BundleError::Length { path: path.clone(), expected, found: opened.length });
            }
            let slot = usize::try_from(other.number).ok().and_then(|number| found.get_mut(number.checked_sub(1)?));
            let slot = slot.ok_or_else(|| wrong("has a number that it can't have"))?;
            let part = Part {
                path: opened.path,
                file: Arc::new(opened.file),
                begin: other.begin,
                length: other.length,
                skip: VOLUME_HEAD,
            };
            if slot.replace(part).is_some() {
                return Err(wrong(&format!("is volume {}, which another file is as well", other.number)));
            }
        }
        let lacking: Vec<String> =
            (1_u64..).zip(&found).filter(|(_, part)| part.is_none()).map(|(number, _)| number.to_string()).collect();
        if !lacking.is_empty() {
            let why = format!("of {} volumes, number {} is not there", head.count, lacking.join(", "));
            return Err(BundleError::Volumes { why });
        }
        let parts: Vec<Part> = found.into_iter().flatten().collect();
        let mut at = 0_u64;
        for part in &parts {
            if part.begin != at {
                let why = format!("{} does not go on where the one before ends", part.path.display());
                return Err(BundleError::Volumes { why });
            }
            at = at.saturating_add(part.length);
        }
        if at != head.whole {
            return Err(BundleError::Volumes { why: "together they are not as long as they say".to_owned() });
        }
        Ok((Self(parts), Some(head.bundle)))
    }

    /// Bytes of the whole bundle.
    pub(super) fn length(&self) -> u64 {
        self.0.iter().fold(0, |sum, part| sum.saturating_add(part.length))
    }

    /// Reads some bytes from an offset on: at least one, unless the end is reached or nothing is asked for.
    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let number = self.0.partition_point(|part| part.begin.saturating_add(part.length) <= at);
        let Some(part) = self.0.get(number) else { return Ok(0) };
        let within = at.saturating_sub(part.begin);
        let left = usize::try_from(part.length.saturating_sub(within)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        part.file.read_at(buffer, part.skip.saturating_add(within))
    }

    /// Where so many bytes from an offset on lie.
    pub(super) fn extents(&self, at: u64, length: u64) -> Extents {
        let whole = |part: &Part| Extent { file: Arc::clone(&part.file), offset: part.skip, length: part.length };
        Extents::several(self.0.iter().map(whole).collect()).part(at..at.saturating_add(length))
    }

    /// The file that a byte lies in.
    pub(super) fn path_of(&self, at: u64) -> Option<&Path> {
        let number = self.0.partition_point(|part| part.begin.saturating_add(part.length) <= at);
        self.0.get(number).map(|part| part.path.as_path())
    }
}

struct Opened {
    path: PathBuf,
    file: File,
    length: u64,
}

/// A link is never followed: a medium has no business with what lies on this machine.
fn opened(path: &Path) -> Result<Opened, BundleError> {
    let fail = BundleError::at(path);
    let file = files::open_regular(path).map_err(&fail)?.ok_or_else(|| fail(io::ErrorKind::NotFound.into()))?;
    let length = file.metadata().map_err(fail)?.len();
    Ok(Opened { path: path.to_owned(), file, length })
}

/// The head of a volume; none: it does not begin as one.
fn volume(opened: &Opened) -> Result<Option<VolumeHead>, BundleError> {
    let fail = BundleError::at(&opened.path);
    let mut head = vec![0; usize::try_from(VOLUME_HEAD.min(opened.length)).unwrap_or(0)];
    opened.file.read_exact_at(&mut head, 0).map_err(fail)?;
    if !head.starts_with(b"mpm.volume/") {
        return Ok(None);
    }
    let why = || "the head of the volume is damaged, or of another version".to_owned();
    VolumeHead::parse(&head).map(Some).ok_or_else(|| BundleError::NoBundle { path: opened.path.clone(), why: why() })
}

/// Name of a volume of a bundle: `site.mpmb` becomes `site.001.mpmb`.
pub(super) fn volume_path(bundle: &Path, number: u64) -> PathBuf {
    let stem = bundle.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    bundle.with_file_name(format!("{stem}.{number:03}.mpmb"))
}

/// The volumes that belong to one by their names, those that are there.
fn beside(volume: &Path, head: &VolumeHead) -> Vec<PathBuf> {
    let name = volume.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(stem) = name.strip_suffix(&format!(".{:03}.mpmb", head.number)) else { return vec![volume.to_owned()] };
    let whole = volume.with_file_name(format!("{stem}.mpmb"));
    let others = (1..=head.count).map(|number| volume_path(&whole, number));
    others.filter(|path| path == volume || path.symlink_metadata().is_ok()).collect()
}
