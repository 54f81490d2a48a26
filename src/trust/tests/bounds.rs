//! The edges: what is just allowed, and what is one too many.

use super::{House, code};
use crate::trust::{Checkpoint, MAX_BASES, MAX_CHECKPOINT, TrustError};

/// A document with spaces before its last brace, so that it has this size.
fn padded(bytes: &[u8], size: u64) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    let (head, _) = text.trim_end().rsplit_once('}').expect("an object");
    let width = usize::try_from(size).expect("small") - head.len() - 2;
    format!("{head}{}}}\n", " ".repeat(width)).into_bytes()
}

#[test]
fn a_file_may_be_as_large_as_its_limit() {
    let good = House::checkpoint().render();
    for (size, expected) in [(MAX_CHECKPOINT, ""), (16_384, ""), (MAX_CHECKPOINT + 1, "E0101")] {
        let bytes = padded(&good, size);
        assert_eq!((bytes.len() as u64, code(Checkpoint::parse(&bytes))), (size, expected));
    }
}

#[test]
fn bases_are_dots_relative_paths_or_addresses() {
    let with = |bases: Vec<String>| code(Checkpoint::parse(&Checkpoint { bases, ..House::checkpoint() }.render()));
    let long = |length: usize| "x/".repeat(8) + &"y".repeat(length - 16);
    for (base, expected) in [
        (".".to_owned(), ""),
        ("blobs/here".to_owned(), ""),
        ("https://blobs.example/a".to_owned(), ""),
        (format!("https://blobs.example/{}", "a".repeat(1_002)), ""),
        (format!("https://blobs.example/{}", "a".repeat(1_003)), "E0101"),
        (String::new(), "E0101"),
        ("..".to_owned(), "E0101"),
        ("/absolute".to_owned(), "E0101"),
        ("a b".to_owned(), "E0101"),
        ("a\tb".to_owned(), "E0101"),
        ("a\u{7}b".to_owned(), "E0101"),
        ("a\u{2003}b".to_owned(), "E0101"),
        ("https://blobs.example/a b".to_owned(), "E0101"),
        ("https://blobs.example/a\u{7}".to_owned(), "E0101"),
        ("https://user:word@blobs.example/".to_owned(), "E0101"),
        ("file:///etc".to_owned(), "E0101"),
        ("https://blobs.example/?a=b".to_owned(), "E0101"),
        ("https://blobs.example/#a".to_owned(), "E0101"),
        (long(200), ""),
    ] {
        assert_eq!(with(vec![base.clone()]), expected, "{base:?}");
    }
    assert_eq!(with(vec![".".to_owned(); MAX_BASES]), "");
    assert_eq!(with(vec![".".to_owned(); MAX_BASES + 1]), "E0101");
    let error: TrustError =
        Checkpoint::parse(&Checkpoint { bases: vec![String::new()], ..House::checkpoint() }.render())
            .expect_err("empty");
    assert!(error.to_string().contains("bases"), "{error}");
}
