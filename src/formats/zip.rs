//! Zip: what it holds by its central directory, and whether some other file secretly ends as one.

use memchr::memmem;

use crate::formats::{Cursor, Npy, ReadAt, Shape, Source, npy};

/// Most members that are listed.
const MAX_MEMBERS: u64 = 100_000;
/// Largest central directory.
const MAX_DIRECTORY: u64 = 64 << 20;
/// Bytes of the end record.
const END: usize = 22;

/// What a zip is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Zip {
    /// The container of `PyTorch`: a pickle beside raw tensors.
    Torch,
    /// `TorchScript`: code beside the pickle.
    TorchScript,
    /// Keras 3.
    Keras,
    /// Plain arrays.
    Arrays,
    /// Arrays of objects, or arrays that are packed so that nobody can look.
    OpaqueArrays(String),
    /// Anything else.
    Archive,
}

/// Looks into a zip; members are told by name and never unpacked.
///
/// # Errors
/// The bytes can't be read.
pub fn zip(source: Source<'_>) -> std::io::Result<Shape<Zip>> {
    let head = source.read(0, 4)?;
    if !matches!(head.as_slice(), b"PK\x03\x04" | b"PK\x05\x06" | b"PK\x07\x08") {
        return Ok(Shape::Other);
    }
    let Some(members) = directory(source)? else {
        return Ok(Shape::Broken("its central directory can't be read".to_owned()));
    };
    let named =
        |end: &str| members.iter().any(|member| member.name == end || member.name.ends_with(&format!("/{end}")));
    let last = |name: &str| members.iter().any(|member| member.name.rsplit('/').next() == Some(name));
    if named("data.pkl") || last("data.pkl") {
        let script =
            members.iter().any(|member| member.name.contains("/code/") || member.name.ends_with("constants.pkl"));
        return Ok(Shape::Whole(if script { Zip::TorchScript } else { Zip::Torch }));
    }
    if named("config.json") && members.iter().any(|member| is_named(member, "h5")) {
        return Ok(Shape::Whole(Zip::Keras));
    }
    if !members.is_empty() && members.iter().all(|member| is_named(member, "npy")) {
        return Ok(Shape::Whole(arrays(source, &members)?));
    }
    Ok(Shape::Whole(Zip::Archive))
}

/// Whether the bytes end with the end record of a zip: then a zip reader finds an archive in them, whatever they begin as.
///
/// # Errors
/// The bytes can't be read.
pub fn ends_as_zip(source: Source<'_>) -> std::io::Result<bool> {
    Ok(end_record(&source.tail(END + 65_535)?).is_some())
}

fn is_named(member: &Member, extension: &str) -> bool {
    member.name.rsplit_once('.').is_some_and(|(_, found)| found.eq_ignore_ascii_case(extension))
}

struct Member {
    name: String,
    stored: bool,
    size: u64,
    packed: u64,
    header: u64,
}

/// The last end record whose comment reaches exactly to the end.
fn end_record(tail: &[u8]) -> Option<&[u8]> {
    const MARK: &[u8] = b"PK\x05\x06";
    let mut below = tail.len();
    loop {
        // Every file is looked at for this, and nearly none has it.
        let start = memmem::rfind(tail.get(..below)?, MARK)?;
        let record = tail.get(start..)?;
        let comment = record.get(20..22).and_then(|bytes| Some(u16::from_le_bytes(bytes.try_into().ok()?)));
        if comment.is_some_and(|comment| record.len().checked_sub(END) == Some(usize::from(comment))) {
            return Some(record);
        }
        below = start.saturating_add(MARK.len()).saturating_sub(1);
    }
}

fn directory(source: Source<'_>) -> std::io::Result<Option<Vec<Member>>> {
    let tail = source.tail(END + 65_535)?;
    let Some(record) = end_record(&tail) else { return Ok(None) };
    let at = source.size().saturating_sub(record.len() as u64);
    let short = |from: usize| {
        let bytes = record.get(from..from.checked_add(4)?)?;
        Some(u64::from(u32::from_le_bytes(bytes.try_into().ok()?)))
    };
    let (Some(mut size), Some(mut offset)) = (short(12), short(16)) else { return Ok(None) };
    if size == u64::from(u32::MAX) || offset == u64::from(u32::MAX) {
        let Some((long_size, long_offset)) = long_record(source, at)? else { return Ok(None) };
        (size, offset) = (long_size, long_offset);
    }
    if size > MAX_DIRECTORY || offset.checked_add(size).is_none_or(|end| end > at) {
        return Ok(None);
    }
    let bytes = source.read(offset, usize::try_from(size).unwrap_or(usize::MAX))?;
    members(&bytes)
}

/// Size and offset of the directory in the zip64 record.
fn long_record(source: Source<'_>, end: u64) -> std::io::Result<Option<(u64, u64)>> {
    let Some(locator) = end.checked_sub(20) else { return Ok(None) };
    let mut cursor = Cursor::new(source, locator);
    if cursor.u32()? != Some(0x0706_4b50) || cursor.skip(4).is_none() {
        return Ok(None);
    }
    let Some(at) = cursor.u64()? else { return Ok(None) };
    let mut cursor = Cursor::new(source, at);
    if cursor.u32()? != Some(0x0606_4b50) || cursor.skip(36).is_none() {
        return Ok(None);
    }
    Ok(cursor.u64()?.zip(cursor.u64()?))
}

fn members(bytes: &[u8]) -> std::io::Result<Option<Vec<Member>>> {
    let mut cursor = Cursor::new(Source::new(&bytes, bytes.len() as u64), 0);
    let mut members = Vec::new();
    while cursor.left() > 0 {
        if members.len() as u64 >= MAX_MEMBERS {
            return Ok(None);
        }
        let Some(fixed) = cursor.take(46)? else { return Ok(None) };
        let word = |from: usize| Some(u16::from_le_bytes(fixed.get(from..from.checked_add(2)?)?.try_into().ok()?));
        let long = |from: usize| Some(u32::from_le_bytes(fixed.get(from..from.checked_add(4)?)?.try_into().ok()?));
        let parts = (word(8), word(10), long(20), long(24), word(28), word(30), word(32), long(42));
        let (Some(flags), Some(method), Some(packed), Some(size), Some(name), Some(extra), Some(comment), Some(header)) =
            parts
        else {
            return Ok(None);
        };
        if !fixed.starts_with(b"PK\x01\x02") {
            return Ok(None);
        }
        let Some(name) = cursor.take(usize::from(name))? else { return Ok(None) };
        if cursor.skip(u64::from(extra).saturating_add(u64::from(comment))).is_none() {
            return Ok(None);
        }
        members.push(Member {
            name: String::from_utf8_lossy(&name).into_owned(),
            stored: method == 0 && flags & 1 == 0,
            size: u64::from(size),
            packed: u64::from(packed),
            header: u64::from(header),
        });
    }
    Ok(Some(members))
}

/// A part of other bytes.
struct Part<'a> {
    source: Source<'a>,
    start: u64,
}

impl ReadAt for Part<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.source.read(self.start.saturating_add(offset), buffer.len())?;
        if let Some(to) = buffer.get_mut(..bytes.len()) {
            to.copy_from_slice(&bytes);
        }
        Ok(bytes.len())
    }
}

fn arrays(source: Source<'_>, members: &[Member]) -> std::io::Result<Zip> {
    for member in members {
        let name: String = member.name.chars().take(80).collect();
        if !member.stored || member.size != member.packed {
            return Ok(Zip::OpaqueArrays(format!("{name:?} is packed, so that nobody can look into it")));
        }
        let mut cursor = Cursor::new(source, member.header);
        let local = cursor.take(30)?;
        let lengths = local.as_ref().filter(|bytes| bytes.starts_with(b"PK\x03\x04")).and_then(|bytes| {
            let word = |from: usize| Some(u16::from_le_bytes(bytes.get(from..from.checked_add(2)?)?.try_into().ok()?));
            u64::from(word(26)?).checked_add(u64::from(word(28)?))
        });
        let fits = lengths.and_then(|length| cursor.skip(length)).filter(|()| member.size <= cursor.left());
        if fits.is_none() {
            return Ok(Zip::OpaqueArrays(format!("{name:?} has a header that leads nowhere")));
        }
        let part = Part { source, start: cursor.at() };
        match npy(Source::new(&part, member.size))? {
            Shape::Whole(Npy::Plain) => {}
            Shape::Whole(Npy::Objects) => return Ok(Zip::OpaqueArrays(format!("{name:?} holds objects: a pickle"))),
            Shape::Other => return Ok(Zip::OpaqueArrays(format!("{name:?} is no array"))),
            Shape::Broken(rule) => return Ok(Zip::OpaqueArrays(format!("{name:?}: {rule}"))),
        }
    }
    Ok(Zip::Arrays)
}
