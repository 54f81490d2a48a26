//! Spans of time as people write them: `7d`, `12h`.

use std::fmt;

/// A number of seconds, at least one minute and at most ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Age(u64);

/// Why a text is no age.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no age: write a number and m, h, d or w, such as \"7d\", at most ten years")]
pub struct AgeError {
    /// What was found, cut.
    pub found: String,
}

/// Units with their seconds, largest first.
const UNITS: [(char, u64); 4] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60)];
/// The longest, in seconds.
const MAX: u64 = 3_653 * 86_400;

impl Age {
    /// Parses a whole number with its unit.
    ///
    /// # Errors
    /// Another shape, zero, more than ten years.
    pub fn parse(text: &str) -> Result<Self, AgeError> {
        let refused = || AgeError { found: text.chars().take(40).collect() };
        let unit = UNITS.iter().find(|(unit, _)| text.ends_with(*unit)).ok_or_else(refused)?;
        let digits = text.get(..text.len() - 1).unwrap_or_default();
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = digits.parse().ok().filter(|_| plain).ok_or_else(refused)?;
        let seconds = number.checked_mul(unit.1).filter(|seconds| (1..=MAX).contains(seconds));
        seconds.map(Self).ok_or_else(refused)
    }

    /// The seconds.
    pub fn seconds(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Weeks are no clearer than days.
        let (unit, size) =
            UNITS.iter().skip(1).find(|(_, size)| self.0.is_multiple_of(*size)).copied().unwrap_or(('m', 60));
        write!(f, "{}{unit}", self.0 / size)
    }
}

#[cfg(test)]
mod tests {
    use super::Age;

    #[test]
    fn ages_are_read_strictly() {
        for (text, seconds, shown) in [
            ("7d", 604_800, "7d"),
            ("1w", 604_800, "7d"),
            ("12h", 43_200, "12h"),
            ("90m", 5_400, "90m"),
            ("48h", 172_800, "2d"),
        ] {
            let age = Age::parse(text).unwrap();
            assert_eq!((age.seconds(), age.to_string().as_str()), (seconds, shown), "{text}");
        }
        for text in ["", "7", "d", "0d", "-1d", "+1d", "1.5d", "7 d", "7days", "99999d", "18446744073709551615w", "ä"]
        {
            assert!(Age::parse(text).is_err(), "{text:?}");
        }
    }
}
