//! Bytes for people.

use std::fmt;

/// A number of bytes as people read it: `472 B`, `195.40 KiB`, `3.10 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanSize(pub u64);

/// A text that is no number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a number of bytes, or one with a unit such as 500G, 500GiB (both in steps of 1024) or 500GB (in steps of 1000)"
)]
pub struct SizeError;

impl HumanSize {
    /// Parses a number of bytes, with or without a unit: `K`, `M`, `G`, `T`, `P` and `KiB` and so on count in steps of 1024,
    /// as `du -h` and `df -h` write them; `KB` and so on in steps of 1000.
    ///
    /// # Errors
    /// Another text, or more than fits.
    pub fn parse(text: &str) -> Result<Self, SizeError> {
        let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let power = |letter: char| "KMGTP".find(letter).and_then(|at| u32::try_from(at + 1).ok());
        let mut letters = unit.trim_start().chars();
        let scale = match (letters.next(), letters.as_str()) {
            (None | Some('B'), "") => Some(1),
            (Some(letter), "" | "iB") => power(letter.to_ascii_uppercase()).map(|power| 1024_u64.pow(power)),
            (Some(letter), "B") => power(letter.to_ascii_uppercase()).map(|power| 1000_u64.pow(power)),
            _ => None,
        };
        let scale = scale.ok_or(SizeError)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        // Nine digits are more than anybody means.
        let places = u32::try_from(part.len()).ok().filter(|places| *places <= 9).ok_or(SizeError)?;
        let whole: u64 = whole.parse().map_err(|_| SizeError)?;
        let part: u64 = part.parse().map_err(|_| SizeError)?;
        let part = u128::from(part) * u128::from(scale) / 10_u128.pow(places);
        let part = u64::try_from(part).map_err(|_| SizeError)?;
        whole.checked_mul(scale).and_then(|bytes| bytes.checked_add(part)).map(Self).ok_or(SizeError)
    }
}

impl fmt::Display for HumanSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let mut unit = 1_u64;
        let mut name = "";
        for candidate in UNITS {
            let Some(next) = unit.checked_mul(1024).filter(|next| self.0 >= *next) else { break };
            (unit, name) = (next, candidate);
        }
        if name.is_empty() {
            return write!(f, "{} B", self.0);
        }
        // Integers alone, in a wider type: no size is rounded up into the next unit.
        let hundredths = u128::from(self.0) * 100 / u128::from(unit);
        write!(f, "{}.{:02} {name}", hundredths / 100, hundredths % 100)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::HumanSize;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1234", 1234),
            ("7B", 7),
            ("2k", 2048),
            ("500G", 500 << 30),
            ("500 GiB", 500 << 30),
            ("500GB", 500_000_000_000),
            ("1.5T", 3 << 39),
            ("0.5KB", 500),
        ] {
            assert_eq!(HumanSize::parse(text), Ok(HumanSize(bytes)), "{text}");
        }
        for text in ["", "G", "-1", "1.", ".5G", "1X", "1GiBs", "1.2.3", "99999999P", "1.0000000001K", "1e9"] {
            assert!(HumanSize::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (200_087, "195.39 KiB"),
            (1_048_575, "1023.99 KiB"),
            (3_328_599_654, "3.09 GiB"),
            (u64::MAX, "15.99 EiB"),
        ] {
            assert_eq!(HumanSize(bytes).to_string(), text);
        }
    }
}
