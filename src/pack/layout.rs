//! Which files of a release go into which pack.

use std::collections::BTreeMap;

use crate::model::{FileClass, Pin, RelPath, Sha256, VariantName};
use crate::statement::{MAX_PACK, MAX_PACKS};

/// Largest file that goes into a pack, in bytes.
pub const SMALL: u64 = 1 << 20;
/// Fewer contents than these stay blobs of their own: so many requests cost little.
pub const LEAST: usize = 64;
/// A pack is not ended before it has so many bytes, if there are more files for it.
const SHORTEST: u64 = 8 << 20;
/// Bytes beyond that on average.
const AVERAGE_MORE: u64 = 16 << 20;
/// A pack is ended before it has more bytes than these.
const LONGEST: u64 = 64 << 20;

/// A file of a release.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its path in the release.
    pub path: &'a RelPath,
    /// Its bytes.
    pub pin: Pin,
    /// What it is.
    pub class: FileClass,
    /// The variant that it belongs to; none: common to all.
    pub variant: Option<&'a VariantName>,
}

/// One pack: its files in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// What stands in it, from its first byte to its last.
    pub parts: Vec<Part>,
    /// Its bytes in all.
    pub size: u64,
}

/// A content in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Place of the first file of this content in the list that was given.
    pub member: usize,
    /// Offset of its first byte.
    pub offset: u64,
}

/// Lays the small files of a release out in packs: each content once, those of one variant by themselves (what several share
/// counts as common), similar files together. Where a pack ends follows from what is in it, so that the next version has the
/// same packs wherever its files are the same.
pub fn lay_out(members: &[Member<'_>]) -> Vec<Pack> {
    let mut units = [1, 2, 4, 8].into_iter();
    loop {
        // Beyond a thousand packs they grow; what does not fit even so stays outside.
        let unit = units.next();
        let mut packs = cut_all(members, unit.unwrap_or(16));
        if packs.len() <= MAX_PACKS || unit.is_none() {
            packs.truncate(MAX_PACKS);
            return packs;
        }
    }
}

fn cut_all(members: &[Member<'_>], unit: u64) -> Vec<Pack> {
    let mut contents: BTreeMap<Sha256, (usize, Option<&VariantName>)> = BTreeMap::new();
    for (place, member) in members.iter().enumerate().filter(|(_, member)| (1..=SMALL).contains(&member.pin.size)) {
        let known = contents.entry(member.pin.sha256).or_insert((place, member.variant));
        if known.1 != member.variant {
            known.1 = None;
        }
    }
    let mut groups: BTreeMap<Option<&VariantName>, Vec<(usize, &Member<'_>)>> = BTreeMap::new();
    for (place, variant) in contents.into_values() {
        groups.entry(variant).or_default().extend(members.get(place).map(|member| (place, member)));
    }
    let mut packs = Vec::new();
    for mut group in groups.into_values().filter(|group| group.len() >= LEAST) {
        group.sort_by(|(_, a), (_, b)| order(a).cmp(&order(b)));
        cut(&group, unit, &mut packs);
    }
    packs
}

fn order<'m>(member: &Member<'m>) -> (&'static str, &'m str, &'m RelPath) {
    let extension = member.path.file_name().rsplit_once('.').map_or("", |(_, extension)| extension);
    (member.class.as_str(), extension, member.path)
}

fn cut(group: &[(usize, &Member<'_>)], unit: u64, packs: &mut Vec<Pack>) {
    let longest = (LONGEST * unit).min(MAX_PACK);
    let mut pack = Pack { parts: Vec::new(), size: 0 };
    for (place, member) in group {
        if pack.size + member.pin.size > longest {
            packs.push(std::mem::replace(&mut pack, Pack { parts: Vec::new(), size: 0 }));
        }
        pack.parts.push(Part { member: *place, offset: pack.size });
        pack.size += member.pin.size;
        if pack.size >= SHORTEST * unit && ends(&member.pin, AVERAGE_MORE * unit) {
            packs.push(std::mem::replace(&mut pack, Pack { parts: Vec::new(), size: 0 }));
        }
    }
    if !pack.parts.is_empty() {
        packs.push(pack);
    }
}

/// Whether a pack ends with this file: its digest draws lots, and its size is the number of tickets.
fn ends(pin: &Pin, average: u64) -> bool {
    let drawn = pin.sha256.as_bytes().iter().take(8).fold(0_u64, |drawn, byte| drawn << 8 | u64::from(*byte));
    drawn % average < pin.size
}
