//! The fixed JSON form of every signed file (docs/formats/common.md).
//!
//! Writing: UTF-8, two spaces of indent, keys sorted by bytes, integers only, NFC, LF, final newline; a log or list line is
//! the same on one line. Reading: one value, no duplicate key, no float, no byte order mark, no trailing data, bounded
//! depth; the caller caps the size before it reads.

use serde::Serialize;
use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use unicode_normalization::UnicodeNormalization as _;

/// Deepest nesting of objects and arrays.
const MAX_DEPTH: u32 = 16;

/// Why bytes are not a document of the fixed JSON family.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// Larger than the reader allows.
    #[error("{found} bytes are more than the {limit} that such a file may have")]
    TooLarge {
        /// Bytes found.
        found: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// Not JSON, or JSON that the rules refuse: duplicate keys, floats, depth, trailing data.
    #[error("not a valid document: {}", cut(.0))]
    Json(#[source] serde_json::Error),
}

impl From<serde_json::Error> for CanonicalError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

/// What the parser says may quote the document: a line of it is enough.
fn cut(error: &serde_json::Error) -> String {
    error.to_string().chars().take(200).collect()
}

/// Parses bytes of at most `limit` into `T`, by the rules above.
///
/// # Errors
/// Size, syntax, a broken rule, or a shape that is not `T`'s.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], limit: u64) -> Result<T, CanonicalError> {
    let found = bytes.len() as u64;
    if found > limit {
        return Err(CanonicalError::TooLarge { found, limit });
    }
    let mut strict = serde_json::Deserializer::from_slice(bytes);
    Strict { depth: 0 }.deserialize(&mut strict)?;
    strict.end()?;
    Ok(serde_json::from_slice(bytes)?)
}

/// The fixed form of a document: indented, with a final newline.
///
/// # Panics
/// Never for the wire shapes of this crate, which hold only strings, integers, lists and maps with string keys.
pub fn render<T: Serialize>(document: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(&sorted(document)).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// The fixed form of one line of a log or list: compact, with LF.
pub fn render_line<T: Serialize>(record: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(&sorted(record)).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn sorted<T: Serialize>(document: &T) -> serde_json::Value {
    // Wire shapes serialize without failing: strings, integers, lists, maps with string keys.
    let mut value = serde_json::to_value(document).unwrap_or_default();
    value.sort_all_objects();
    normalise(&mut value);
    value
}

fn normalise(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => *text = text.nfc().collect(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(normalise),
        serde_json::Value::Object(map) => map.values_mut().for_each(normalise),
        _ => {}
    }
}

/// Walks a value and refuses what the rules refuse, keeping nothing.
#[derive(Clone, Copy)]
struct Strict {
    depth: u32,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();
    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object, list, string, integer or truth value")
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Err(E::custom("a negative number"))
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Err(E::custom("a number that is no integer of 64 bits"))
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Err(E::custom("null"))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        if text.is_ascii() || text.nfc().eq(text.chars()) { Ok(()) } else { Err(E::custom("text that is not NFC")) }
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let below = self.below()?;
        while items.next_element_seed(below)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let below = self.below()?;
        let mut seen = std::collections::BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom(format_args!("the key {key:?} stands twice")));
            }
            map.next_value_seed(below)?;
        }
        Ok(())
    }
}

impl Strict {
    fn below<E: de::Error>(self) -> Result<Self, E> {
        if self.depth < MAX_DEPTH {
            Ok(Self { depth: self.depth + 1 })
        } else {
            Err(E::custom("nested deeper than 16"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, render, render_line};

    #[test]
    fn what_is_ambiguous_is_refused() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"b":1}}"#,
            r#"{"a":1} x"#,
            "\u{feff}{}",
            r#"{"a":"\ud800"}"#,
            r#"{"a":18446744073709551616}"#,
            r#"{"a":1e400}"#,
            r#"{"a":1.0}"#,
            r#"{"a":-1}"#,
            r#"{"a":null}"#,
            "{\"a\":\"e\u{301}\"}",
            "",
            &deep,
        ] {
            assert!(parse::<serde_json::Value>(text.as_bytes(), 1 << 20).is_err(), "{text:.60}");
        }
        assert!(parse::<serde_json::Value>(b"{}", 1).is_err());
        assert!(parse::<serde_json::Value>(br#"{"a":[1,{"b":true}]}"#, 100).is_ok());
    }

    #[test]
    fn the_form_is_fixed() {
        let value = serde_json::json!({"b": 1, "a": ["x"]});
        assert_eq!(render_line(&value), b"{\"a\":[\"x\"],\"b\":1}\n");
        assert_eq!(render(&value), b"{\n  \"a\": [\n    \"x\"\n  ],\n  \"b\": 1\n}\n");
    }
}
