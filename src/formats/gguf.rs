//! GGUF: magic, counts, key-value pairs and tensor infos with bounds; data that ends where the file does.

use crate::formats::{Cursor, Shape, Source};

/// Most key-value pairs.
const MAX_PAIRS: u64 = 65_536;
/// Most tensors.
const MAX_TENSORS: u64 = 1_000_000;
/// Longest key or tensor name.
const MAX_NAME: u64 = 65_535;
/// Deepest arrays.
const MAX_DEPTH: u32 = 4;
/// Most elements of strings and arrays walked one by one, over the whole file.
const MAX_ELEMENTS: u64 = 64 << 20;
/// Longest chat template that is read.
const MAX_TEMPLATE: u64 = 4 << 20;

/// What a GGUF file carries besides numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gguf {
    /// Chat templates: Jinja that a runtime executes.
    pub templates: Vec<String>,
}

/// Why a walk ended early.
enum Stop {
    Io(std::io::Error),
    Rule(String),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

fn rule<T>(text: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Rule(text.into()))
}

/// Checks a whole GGUF file.
///
/// # Errors
/// The bytes can't be read.
pub fn gguf(source: Source<'_>) -> std::io::Result<Shape<Gguf>> {
    Ok(match walked(source)? {
        Shape::Whole((found, _)) => Shape::Whole(found),
        Shape::Other => Shape::Other,
        Shape::Broken(rule) => Shape::Broken(rule),
    })
}

/// Checks a whole GGUF file; what it carries, and where each of its tensors begins, rising.
pub(super) fn walked(source: Source<'_>) -> std::io::Result<Shape<(Gguf, Vec<u64>)>> {
    if source.read(0, 4)? != b"GGUF" {
        return Ok(Shape::Other);
    }
    let mut walk = Walk { cursor: Cursor::new(source, 4), elements: 0, alignment: 32, found: Gguf::default() };
    match walk.file(source.size()) {
        Ok(tensors) => Ok(Shape::Whole((walk.found, tensors))),
        Err(Stop::Rule(rule)) => Ok(Shape::Broken(rule)),
        Err(Stop::Io(error)) => Err(error),
    }
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    elements: u64,
    alignment: u64,
    found: Gguf,
}

impl Walk<'_> {
    fn file(&mut self, size: u64) -> Result<Vec<u64>, Stop> {
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            return rule(format!("version {version} where 2 or 3 was expected"));
        }
        let (tensors, pairs) = (self.u64()?, self.u64()?);
        if tensors > MAX_TENSORS || pairs > MAX_PAIRS {
            return rule(format!("{tensors} tensors and {pairs} pairs are more than {MAX_TENSORS} and {MAX_PAIRS}"));
        }
        for _ in 0..pairs {
            self.pair()?;
        }
        let mut extents: Vec<(u64, Option<u64>)> = Vec::new();
        for _ in 0..tensors {
            extents.push(self.tensor()?);
        }
        let Some(data) = self.cursor.at().checked_next_multiple_of(self.alignment) else {
            return rule("the data would begin beyond the end");
        };
        extents.sort_unstable();
        self.extents(&extents, data, size)?;
        Ok(extents.into_iter().map(|(offset, _)| data.saturating_add(offset)).collect())
    }

    /// Tensors lie in the data section without overlap, and nothing but padding follows the last.
    fn extents(&self, extents: &[(u64, Option<u64>)], data: u64, size: u64) -> Result<(), Stop> {
        let Some(room) = size.checked_sub(data) else {
            return if extents.is_empty() { Ok(()) } else { rule("the data would begin beyond the end") };
        };
        let mut end = Some(0_u64);
        for (offset, length) in extents.iter().copied() {
            if offset % self.alignment != 0 {
                return rule(format!("a tensor at {offset} is not aligned to {}", self.alignment));
            }
            if end.is_some_and(|end| offset < end) {
                return rule(format!("a tensor at {offset} overlaps the one before"));
            }
            if offset > room {
                return rule(format!("a tensor begins at {offset}, the data has {room} bytes"));
            }
            end = match length {
                None => None,
                Some(length) => match offset.checked_add(length).filter(|end| *end <= room) {
                    Some(end) => Some(end),
                    None => return rule(format!("a tensor at {offset} ends beyond the data")),
                },
            };
        }
        match end.and_then(|end| end.checked_next_multiple_of(self.alignment)) {
            Some(end) if room > end => rule(format!("{} bytes follow the last tensor", room.saturating_sub(end))),
            _ => Ok(()),
        }
    }

    fn pair(&mut self) -> Result<(), Stop> {
        let key = self.text(MAX_NAME)?;
        let kind = self.u32()?;
        if kind == 8 && key.starts_with("tokenizer.chat_template") {
            let template = self.text(MAX_TEMPLATE)?;
            self.found.templates.push(template);
            return Ok(());
        }
        if key == "general.alignment" {
            if kind != 4 {
                return rule("general.alignment is not a u32");
            }
            self.alignment = u64::from(self.u32()?);
            if !self.alignment.is_power_of_two() || self.alignment > 1 << 20 {
                return rule(format!("alignment {} is not a small power of two", self.alignment));
            }
            return Ok(());
        }
        self.value(kind, 0)
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<(), Stop> {
        if let Some(width) = width(kind) {
            return self.skip(width);
        }
        self.elements = self.elements.saturating_add(1);
        if self.elements > MAX_ELEMENTS {
            return rule(format!("more than {MAX_ELEMENTS} strings and arrays"));
        }
        match kind {
            8 => {
                let length = self.u64()?;
                self.skip(length)
            }
            9 if depth < MAX_DEPTH => {
                let (inner, count) = (self.u32()?, self.u64()?);
                if let Some(width) = width(inner) {
                    return match count.checked_mul(width) {
                        Some(length) => self.skip(length),
                        None => rule("an array's length overflows"),
                    };
                }
                if count > self.cursor.left() {
                    return rule(format!("an array claims {count} elements"));
                }
                for _ in 0..count {
                    self.value(inner, depth.saturating_add(1))?;
                }
                Ok(())
            }
            9 => rule(format!("arrays are nested deeper than {MAX_DEPTH}")),
            _ => rule(format!("value type {kind} is unknown")),
        }
    }

    /// A tensor's offset, and its length where its type is known.
    fn tensor(&mut self) -> Result<(u64, Option<u64>), Stop> {
        self.text(MAX_NAME)?;
        let dimensions = self.u32()?;
        if dimensions > 4 {
            return rule(format!("a tensor of {dimensions} dimensions"));
        }
        let (mut count, mut row) = (1_u64, 1_u64);
        for index in 0..dimensions {
            let dimension = self.u64()?;
            row = if index == 0 { dimension } else { row };
            count = match count.checked_mul(dimension) {
                Some(count) => count,
                None => return rule("a tensor's shape overflows"),
            };
        }
        let (kind, offset) = (self.u32()?, self.u64()?);
        let Some((block, bytes)) = block(kind) else { return Ok((offset, None)) };
        if row % block != 0 {
            return rule(format!("a row of {row} elements does not fill blocks of {block}"));
        }
        match (count / block).checked_mul(bytes) {
            Some(length) => Ok((offset, Some(length))),
            None => rule("a tensor's length overflows"),
        }
    }

    fn text(&mut self, cap: u64) -> Result<String, Stop> {
        let length = self.u64()?;
        if length > cap {
            return rule(format!("a string of {length} bytes where at most {cap} are allowed"));
        }
        match self.cursor.take(usize::try_from(length).unwrap_or(usize::MAX))? {
            Some(bytes) => String::from_utf8(bytes).or_else(|_| rule("a key or name is not UTF-8")),
            None => rule("ends within a string"),
        }
    }

    fn skip(&mut self, count: u64) -> Result<(), Stop> {
        self.cursor.skip(count).map_or_else(|| rule("ends within a value"), Ok)
    }

    fn u32(&mut self) -> Result<u32, Stop> {
        self.cursor.u32()?.map_or_else(|| rule("ends within a number"), Ok)
    }

    fn u64(&mut self) -> Result<u64, Stop> {
        self.cursor.u64()?.map_or_else(|| rule("ends within a number"), Ok)
    }
}

/// Bytes of a value type of fixed width.
fn width(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// Elements and bytes of a block of a tensor type, as in ggml; none for a type that this table does not know.
fn block(kind: u32) -> Option<(u64, u64)> {
    Some(match kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        2 | 20 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 | 21 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        16 | 35 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        22 => (256, 82),
        23 => (256, 136),
        24 => (1, 1),
        27 | 28 => (1, 8),
        29 => (256, 56),
        34 => (256, 54),
        39 => (32, 17),
        _ => return None,
    })
}
