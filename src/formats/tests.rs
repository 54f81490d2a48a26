//! Genuine files pass, broken ones are refused, and no bytes make a reader panic.

use proptest::prelude::*;

use crate::formats::{Shape, Source, gguf, safetensors};
use crate::model::RelPath;
use crate::scan::look;

/// A safetensors file with this header and so many bytes of data.
fn tensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend(vec![0; data]);
    bytes
}

const GOOD: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"I8","shape":[],"data_offsets":[16,17]}}"#;

#[test]
fn safetensors_are_whole_or_refused() {
    fn check(what: &str, bytes: &[u8], good: bool) {
        let shape = safetensors(Source::new(&bytes, bytes.len() as u64)).expect("memory reads");
        assert_eq!(shape == Shape::Whole(()), good, "{what}: {shape:?}");
    }
    check("genuine", &tensors(GOOD, 17), true);
    check("no tensors", &tensors("{}", 0), true);
    check("padded header", &tensors(&format!("{GOOD}   "), 17), true);
    check("a byte too many", &tensors(GOOD, 18), false);
    check("a byte too few", &tensors(GOOD, 16), false);
    check("header beyond the file", &tensors(GOOD, 17)[..40], false);
    let offsets = |a: &str, b: &str, data| {
        let header = format!(
            r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":{a}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{b}}}}}"#
        );
        tensors(&header, data)
    };
    check("in a row", &offsets("[0,4]", "[4,8]", 8), true);
    check("out of order in the header", &offsets("[4,8]", "[0,4]", 8), true);
    check("overlap", &offsets("[0,4]", "[3,7]", 7), false);
    check("gap", &offsets("[0,4]", "[5,9]", 9), false);
    check("backwards", &offsets("[4,0]", "[4,8]", 8), false);
    let one = |tensor: &str, data| tensors(&format!(r#"{{"a":{tensor}}}"#), data);
    let huge = r#"{"dtype":"F64","shape":[4294967296,4294967296,8],"data_offsets":[0,0]}"#;
    check("shape overflows", &one(huge, 0), false);
    check("shape against offsets", &one(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,4]}"#, 4), false);
    check("unknown type", &one(r#"{"dtype":"OBJ","shape":[4],"data_offsets":[0,4]}"#, 4), false);
    check("negative dimension", &one(r#"{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}"#, 4), false);
    let twice =
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    check("name twice", &tensors(twice, 1), false);
    check("metadata that is no text", &tensors(r#"{"__metadata__":{"a":1}}"#, 0), false);
    let mut claims = 200_000_000_u64.to_le_bytes().to_vec();
    claims.extend_from_slice(b"{}");
    check("a header of 200 MB", &claims, false);
}

/// A GGUF file of version 3 from its pairs and tensors.
pub(crate) fn gguf_of(pairs: &[Vec<u8>], tensors: &[(&str, u64, u32, u64)], data: usize) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((pairs.len() as u64).to_le_bytes());
    bytes.extend(pairs.concat());
    for (name, elements, kind, offset) in tensors {
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(elements.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
    }
    bytes.resize(bytes.len().next_multiple_of(32) + data, 0);
    bytes
}

pub(crate) fn pair(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = (key.len() as u64).to_le_bytes().to_vec();
    bytes.extend(key.as_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(value);
    bytes
}

pub(crate) fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

#[test]
fn gguf_is_whole_or_refused() {
    fn check(what: &str, bytes: &[u8], good: bool) {
        let shape = gguf(Source::new(&bytes, bytes.len() as u64)).expect("memory reads");
        assert_eq!(matches!(shape, Shape::Whole(_)), good, "{what}: {shape:?}");
    }
    let name = || pair("general.name", 8, &string("x"));
    let words = || pair("w", 9, &[&8_u32.to_le_bytes()[..], &2_u64.to_le_bytes(), &string("a"), &string("b")].concat());
    check("genuine", &gguf_of(&[name(), words()], &[("t", 8, 0, 0), ("u", 32, 8, 32)], 66), true);
    check("padded end", &gguf_of(&[name()], &[("t", 8, 0, 0)], 32), true);
    check("only settings", &gguf_of(&[name()], &[], 0), true);
    check("data behind the end", &gguf_of(&[name()], &[("t", 8, 0, 0)], 65), false);
    check("tensor beyond the end", &gguf_of(&[], &[("t", 64, 0, 0)], 32), false);
    check("offset overflows", &gguf_of(&[], &[("t", 8, 0, u64::MAX - 31)], 32), false);
    check("shape overflows", &gguf_of(&[], &[("t", u64::MAX, 1, 0)], 32), false);
    check("overlap", &gguf_of(&[], &[("t", 16, 0, 0), ("u", 16, 0, 32)], 96), false);
    check("not aligned", &gguf_of(&[], &[("t", 8, 0, 8)], 64), false);
    check("odd alignment", &gguf_of(&[pair("general.alignment", 4, &33_u32.to_le_bytes())], &[], 0), false);
    check("value of no type", &gguf_of(&[pair("k", 77, &[])], &[], 0), false);
    let mut nested = Vec::new();
    for _ in 0..6 {
        nested.extend(9_u32.to_le_bytes());
        nested.extend(1_u64.to_le_bytes());
    }
    check("arrays in arrays", &gguf_of(&[pair("k", 9, &nested)], &[], 0), false);
    let claims = [&9_u32.to_le_bytes()[..], &(1_u64 << 62).to_le_bytes()].concat();
    check("array of 2^62", &gguf_of(&[pair("k", 9, &claims)], &[], 0), false);
    let mut counts = gguf_of(&[], &[], 0);
    counts[8..16].copy_from_slice(&(1_u64 << 63).to_le_bytes());
    check("2^63 tensors", &counts, false);
    check("cut", &gguf_of(&[name()], &[], 0)[..40], false);
}

/// Small genuine files of each format that a reader walks.
fn genuine() -> Vec<Vec<u8>> {
    let onnx: &[u8] = b"\x08\x08\x3a\x12\x2a\x10\x6a\x0e\x0a\x08location\x12\x02ab";
    let zip: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    vec![
        tensors(GOOD, 17),
        gguf_of(&[pair("tokenizer.chat_template", 8, &string("{{ x }}"))], &[("t", 8, 0, 0)], 32),
        b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.".to_vec(),
        b"cos\nsystem\n(S'ls'\ntR.".to_vec(),
        onnx.to_vec(),
        zip.to_vec(),
        b"\x93NUMPY\x01\0\x37\0{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}\0\0\0\0".to_vec(),
        b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xaeB`\x82".to_vec(),
        br#"{"auto_map":{"AutoModel":"x.Y"},"chat_template":"{{ ''.__class__ }}"}"#.to_vec(),
        b"MZ\0\0".to_vec(),
        b"PAR1\0\0\0\0\0\0\0\0PAR1".to_vec(),
    ]
}

fn looks(bytes: &[u8], name: &str) {
    let name = RelPath::parse(name).expect("a path");
    let fact = look(&name, bytes.len() as u64, &bytes).expect("memory reads");
    assert!(fact.hits.iter().all(|hit| crate::scan::RULES.contains(&hit.rule.as_str())), "{fact:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

    #[test]
    fn any_bytes_make_no_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        looks(&bytes, "model.safetensors");
    }

    #[test]
    fn changed_files_make_no_reader_panic(
        which in 0..11_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        tail in prop::collection::vec(any::<u8>(), 0..40),
        whole in any::<bool>(),
    ) {
        let mut bytes = genuine().swap_remove(which);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(tail);
        looks(&bytes, "config.json");
    }
}
