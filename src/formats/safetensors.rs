//! safetensors: 8 bytes of length, a JSON header, then tensors without gap, overlap or rest.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::formats::{Shape, Source};

/// Largest header, as in the format's own library.
const MAX_HEADER: u64 = 100_000_000;
/// Most tensors.
const MAX_TENSORS: usize = 1_000_000;
/// Most dimensions of a tensor.
const MAX_DIMENSIONS: usize = 64;

/// Checks a whole safetensors file.
///
/// # Errors
/// The bytes can't be read.
pub fn safetensors(source: Source<'_>) -> std::io::Result<Shape<()>> {
    Ok(match tensors(source)? {
        Shape::Whole(_) => Shape::Whole(()),
        Shape::Other => Shape::Other,
        Shape::Broken(rule) => Shape::Broken(rule),
    })
}

/// Checks a whole safetensors file; where each of its tensors begins, rising.
pub(super) fn tensors(source: Source<'_>) -> std::io::Result<Shape<Vec<u64>>> {
    let head = source.read(0, 9)?;
    let (Some(length), Some(b'{')) = (head.first_chunk::<8>(), head.get(8)) else { return Ok(Shape::Other) };
    let length = u64::from_le_bytes(*length);
    let room = source.size().saturating_sub(8);
    if length > MAX_HEADER || length > room {
        // Eight bytes and a brace are little evidence: text may begin so too, and its "length" is enormous.
        let likely = u32::try_from(length).is_ok();
        let broken = format!("the header claims {length} bytes, {room} are there and {MAX_HEADER} are allowed");
        return Ok(if likely { Shape::Broken(broken) } else { Shape::Other });
    }
    let header = source.read(8, usize::try_from(length).unwrap_or(usize::MAX))?;
    Ok(match serde_json::from_slice::<Header>(&header) {
        Err(error) => Shape::Broken(format!("the header is not valid: {error}")),
        Ok(header) => match header.check(room.saturating_sub(length)) {
            Ok(begins) => {
                let data = length.saturating_add(8);
                Shape::Whole(begins.into_iter().map(|begin| begin.saturating_add(data)).collect())
            }
            Err(rule) => Shape::Broken(rule),
        },
    })
}

struct Tensor {
    bits: u64,
    shape: Vec<u64>,
    offsets: (u64, u64),
}

struct Header {
    tensors: Vec<(u64, u64)>,
}

impl Header {
    /// Tensors lie one behind the other and end where the file does; where they begin in the data.
    fn check(mut self, data: u64) -> Result<Vec<u64>, String> {
        self.tensors.sort_unstable();
        let mut at = 0;
        for (begin, end) in self.tensors.iter().copied() {
            if begin != at {
                return Err(format!("a tensor begins at {begin} where {at} was expected: a gap or an overlap"));
            }
            at = end;
        }
        let begins = || self.tensors.iter().map(|(begin, _)| *begin).collect();
        if at == data { Ok(begins()) } else { Err(format!("tensors end at {at}, the data at {data}")) }
    }
}

impl Tensor {
    fn check(&self) -> Result<(u64, u64), String> {
        let (begin, end) = self.offsets;
        let length = end.checked_sub(begin).ok_or("a tensor ends before it begins")?;
        let count = self.shape.iter().try_fold(1_u64, |product, dimension| product.checked_mul(*dimension));
        let bits = count.and_then(|count| count.checked_mul(self.bits)).ok_or("a shape overflows")?;
        if Some(bits) == length.checked_mul(8) {
            Ok((begin, end))
        } else {
            Err(format!("shape and type need {bits} bits, the offsets hold {length} bytes"))
        }
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut names: BTreeSet<String> = BTreeSet::new();
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        let name: String = name.chars().take(80).collect();
                        return Err(A::Error::custom(format!("{name:?} stands twice")));
                    }
                    if names.len() > MAX_TENSORS {
                        return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors")));
                    }
                    if name == "__metadata__" {
                        map.next_value::<Metadata>()?;
                    } else {
                        tensors.push(map.next_value::<Tensor>()?.check().map_err(A::Error::custom)?);
                    }
                }
                Ok(Header { tensors })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// `__metadata__`: strings by string, none twice.
struct Metadata;

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Metadata;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut names: BTreeSet<String> = BTreeSet::new();
                while let Some((name, _)) = map.next_entry::<String, String>()? {
                    if !names.insert(name) {
                        return Err(A::Error::custom("a key of __metadata__ stands twice"));
                    }
                }
                Ok(Metadata)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl<'de> Deserialize<'de> for Tensor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Tensor;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tensor")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tensor, A::Error> {
                let (mut bits, mut shape, mut offsets) = (None, None, None);
                while let Some(name) = map.next_key::<String>()? {
                    let twice = match name.as_str() {
                        "dtype" => {
                            let word: String = map.next_value()?;
                            let found = bits_of(&word).ok_or_else(|| A::Error::custom("an unknown dtype"))?;
                            bits.replace(found).is_some()
                        }
                        "shape" => shape.replace(map.next_value::<Vec<u64>>()?).is_some(),
                        "data_offsets" => offsets.replace(map.next_value::<(u64, u64)>()?).is_some(),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            return Err(A::Error::custom("an unknown field of a tensor"));
                        }
                    };
                    if twice {
                        return Err(A::Error::custom("a field of a tensor stands twice"));
                    }
                }
                match (bits, shape, offsets) {
                    (Some(bits), Some(shape), Some(offsets)) if shape.len() <= MAX_DIMENSIONS => {
                        Ok(Tensor { bits, shape, offsets })
                    }
                    _ => Err(A::Error::custom("a tensor without dtype, shape or offsets, or of too many dimensions")),
                }
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Bits of one element.
fn bits_of(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "U16" | "I16" | "F16" | "BF16" => 16,
        "U32" | "I32" | "F32" => 32,
        "U64" | "I64" | "F64" | "C64" => 64,
        _ => return None,
    })
}
