//! Bytes for people.

use std::fmt;

/// A number of bytes as people read it: `472 B`, `195.40 KiB`, `3.10 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HumanSize(pub u64);

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
