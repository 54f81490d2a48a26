//! Protobuf: which of three messages it is (ONNX, `SavedModel`, sentencepiece), and where an ONNX model keeps its tensors.

use crate::formats::{Cursor, Source};

/// Most fields that are walked.
const MAX_FIELDS: usize = 4_000_000;
/// Deepest messages: model, graph, node, attribute, graph and so on.
const MAX_DEPTH: u32 = 12;
/// Longest location of external data.
const MAX_LOCATION: u64 = 1_024;
/// Most locations.
const MAX_LOCATIONS: usize = 100_000;

/// A protobuf message that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protobuf {
    /// An ONNX model with the locations of its external tensors, sorted.
    Onnx(Vec<String>),
    /// A `SavedModel` of `TensorFlow`.
    SavedModel,
    /// A sentencepiece tokenizer.
    SentencePiece,
}

/// Reads the fields of a message.
///
/// # Errors
/// The bytes can't be read.
pub fn protobuf(source: Source<'_>) -> std::io::Result<Option<Protobuf>> {
    let mut walk = Walk { cursor: Cursor::new(source, 0), fields: 0, locations: Vec::new(), bad_location: false };
    let Some(top) = walk.fields(source.size())? else { return Ok(None) };
    let has = |number: u32, wire: u8| top.iter().any(|field| field.number == number && field.wire == wire);
    let only = |numbers: &[u32]| top.iter().all(|field| numbers.contains(&field.number));
    // ModelProto of ONNX: ir_version 1, strings 2 to 4 and 6, model_version 5, graph 7, opset_import 8.
    if has(1, 0) && has(7, 2) && only(&[1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26]) {
        let graphs: Vec<Field> = top.iter().filter(|field| matches!(field.number, 7 | 25)).copied().collect();
        for graph in graphs {
            if walk.graph(graph, 0)?.is_none() {
                return Ok(None);
            }
        }
        walk.locations.sort();
        walk.locations.dedup();
        return Ok(if walk.bad_location { None } else { Some(Protobuf::Onnx(walk.locations)) });
    }
    // SavedModel: saved_model_schema_version 1, meta_graphs 2.
    if has(1, 0) && has(2, 2) && only(&[1, 2]) {
        return Ok(Some(Protobuf::SavedModel));
    }
    // ModelProto of sentencepiece: pieces 1 (many), trainer_spec 2, normalizer_spec 3.
    if has(1, 2) && has(2, 2) && has(3, 2) && only(&[1, 2, 3, 4, 5]) {
        let pieces: Vec<Field> = top.iter().filter(|field| field.number == 1).copied().collect();
        for piece in pieces {
            let Some(fields) = walk.message(piece)? else { return Ok(None) };
            if !fields.iter().all(|field| matches!((field.number, field.wire), (1, 2) | (2, 5) | (3, 0))) {
                return Ok(None);
            }
        }
        return Ok(Some(Protobuf::SentencePiece));
    }
    Ok(None)
}

#[derive(Debug, Clone, Copy)]
struct Field {
    number: u32,
    wire: u8,
    start: u64,
    end: u64,
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    fields: usize,
    locations: Vec<String>,
    bad_location: bool,
}

impl Walk<'_> {
    fn message(&mut self, field: Field) -> std::io::Result<Option<Vec<Field>>> {
        if !self.seek(field.start) {
            return Ok(None);
        }
        self.fields(field.end)
    }

    fn seek(&mut self, at: u64) -> bool {
        self.cursor.seek(at).is_some()
    }

    /// The fields from here to `end`; `None` if they don't end there.
    fn fields(&mut self, end: u64) -> std::io::Result<Option<Vec<Field>>> {
        let mut fields = Vec::new();
        while self.cursor.at() < end {
            self.fields = self.fields.saturating_add(1);
            if self.fields > MAX_FIELDS {
                return Ok(None);
            }
            let Some(tag) = self.varint()? else { return Ok(None) };
            let (Ok(number), wire) = (u32::try_from(tag >> 3), (tag & 7) as u8) else { return Ok(None) };
            let length = match wire {
                0 => self.varint()?.map(|_| 0),
                1 => Some(8),
                2 => self.varint()?,
                5 => Some(4),
                _ => None,
            };
            let start = self.cursor.at();
            let Some(length) = length else { return Ok(None) };
            if number == 0 || self.cursor.skip(length).is_none() || self.cursor.at() > end {
                return Ok(None);
            }
            fields.push(Field { number, wire, start, end: self.cursor.at() });
        }
        Ok((self.cursor.at() == end).then_some(fields))
    }

    fn varint(&mut self) -> std::io::Result<Option<u64>> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let Some(byte) = self.cursor.byte()? else { return Ok(None) };
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// `GraphProto`: node 1, initializer 5, `sparse_initializer` 15. The nodes of a `FunctionProto` (7) come this way too.
    fn graph(&mut self, graph: Field, depth: u32) -> std::io::Result<Option<()>> {
        if depth > MAX_DEPTH {
            return Ok(None);
        }
        let Some(fields) = self.message(graph)? else { return Ok(None) };
        for field in fields.into_iter().filter(|field| field.wire == 2) {
            let done = match field.number {
                1 | 7 => self.node(field, depth)?,
                5 => self.tensor(field)?,
                15 => self.sparse(field)?,
                _ => Some(()),
            };
            if done.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// `NodeProto`: attribute 5. A name or document string in its place is no message and carries no tensor.
    fn node(&mut self, node: Field, depth: u32) -> std::io::Result<Option<()>> {
        let Some(fields) = self.message(node)? else { return Ok(Some(())) };
        for attribute in fields.into_iter().filter(|field| field.number == 5 && field.wire == 2) {
            let Some(fields) = self.message(attribute)? else { return Ok(None) };
            for field in fields.into_iter().filter(|field| field.wire == 2) {
                // AttributeProto: t 5, g 6, tensors 10, graphs 11, sparse_tensor 22, sparse_tensors 23.
                let done = match field.number {
                    5 | 10 => self.tensor(field)?,
                    6 | 11 => self.graph(field, depth.saturating_add(1))?,
                    22 | 23 => self.sparse(field)?,
                    _ => Some(()),
                };
                if done.is_none() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(()))
    }

    /// `SparseTensorProto`: values 1, indices 2.
    fn sparse(&mut self, sparse: Field) -> std::io::Result<Option<()>> {
        let Some(fields) = self.message(sparse)? else { return Ok(None) };
        for field in fields.into_iter().filter(|field| matches!(field.number, 1 | 2) && field.wire == 2) {
            if self.tensor(field)?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// `TensorProto`: `external_data` 13, entries of key 1 and value 2.
    fn tensor(&mut self, tensor: Field) -> std::io::Result<Option<()>> {
        let Some(fields) = self.message(tensor)? else { return Ok(None) };
        for entry in fields.into_iter().filter(|field| field.number == 13 && field.wire == 2) {
            let Some(pair) = self.message(entry)? else { return Ok(None) };
            let (mut key, mut value) = (None, None);
            for field in pair.into_iter().filter(|field| field.wire == 2) {
                let text = self.text(field)?;
                match field.number {
                    1 => key = text,
                    2 => value = text,
                    _ => {}
                }
            }
            if key.as_deref() == Some("location") {
                match value {
                    Some(location) if self.locations.len() < MAX_LOCATIONS => self.locations.push(location),
                    _ => self.bad_location = true,
                }
            }
        }
        Ok(Some(()))
    }

    fn text(&mut self, field: Field) -> std::io::Result<Option<String>> {
        let length = field.end.saturating_sub(field.start);
        if length > MAX_LOCATION || !self.seek(field.start) {
            return Ok(None);
        }
        let bytes = self.cursor.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    }
}
