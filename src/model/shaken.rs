//! Bytes for the tests of parsers: any at all, and good ones with some places changed.
//!
//! What is far from a document never gets past its first byte; what is near one reaches the rules behind.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

/// What is put into a document: numbers, quotes and names at the edges of what a reader expects.
const ODD: &[&[u8]] = &[
    b"18446744073709551615",
    b"-1",
    b"-2147483648",
    b"1e400",
    b"\"",
    b"[[[[[[[[[[[[[[[[",
    b"null",
    b"{}",
    b"../../x",
    b"\n",
    b"\\u0000",
    b"\xff\xfe",
    "\u{202e}\u{1b}[2J".as_bytes(),
];

/// Any bytes, or `good` with up to four changes.
pub(crate) fn shaken(good: &[u8]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let odd = prop_oneof![vec(any::<u8>(), 1..20), proptest::sample::select(ODD).prop_map(<[u8]>::to_vec)];
    let change = (any::<usize>(), 0..6_u8, odd);
    let good = good.to_vec();
    let near = vec(change, 0..4).prop_map(move |changes| {
        let mut bytes = good.clone();
        for (at, how, with) in changes {
            shake(&mut bytes, at, how, &with);
        }
        bytes
    });
    prop_oneof![1 => vec(any::<u8>(), 0..400), 4 => near]
}

fn shake(bytes: &mut Vec<u8>, at: usize, how: u8, with: &[u8]) {
    let at = at.checked_rem(bytes.len()).unwrap_or(0);
    let rest = bytes.get(at..).unwrap_or_default();
    // As far as a number or a word goes: so that what takes its place is a value of the same field.
    let word = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    match how {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (at % 8);
            }
        }
        1 => bytes.truncate(at),
        2 => drop(bytes.splice(at..at, with.iter().copied())),
        3 => drop(bytes.splice(at..at.saturating_add(word), with.iter().copied())),
        4 => drop(bytes.splice(at..at.saturating_add(with.len()).min(bytes.len()), with.iter().copied())),
        _ => bytes.extend_from_within(at..),
    }
}

/// Writes a file of a test as it is, without a barrier.
pub(crate) fn put(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    File::create(path).and_then(|mut file| file.write_all(bytes)).expect("written");
}
