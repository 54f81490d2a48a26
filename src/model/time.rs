//! Points in time as whole seconds since the epoch, in UTC.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z. Never negative, at most the year 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A number of seconds that no calendar of ours can show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{seconds} seconds since the epoch lie beyond the year 9999")]
pub struct TimeError {
    /// What was found.
    pub seconds: u64,
}

/// Seconds of a day.
pub(crate) const DAY: u64 = 86_400;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 1980-01-01T00:00:00Z: zip knows no earlier time.
    pub const DAWN_OF_ARCHIVES: Self = Self(315_532_800);
    /// Last second of the year 9999.
    const MAX: u64 = 253_402_300_799;

    /// A point in time from seconds since the epoch.
    ///
    /// # Errors
    /// A point beyond the year 9999.
    pub fn from_seconds(seconds: u64) -> Result<Self, TimeError> {
        if seconds <= Self::MAX { Ok(Self(seconds)) } else { Err(TimeError { seconds }) }
    }

    /// Seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// This point and so many seconds more, at most the year 9999.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds).min(Self::MAX))
    }

    /// Seconds from `earlier` to this point; 0 if it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Days to a civil date: Howard Hinnant's `civil_from_days`.
        let days = self.0 / DAY + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let second = self.0 % DAY;
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn dates_are_civil() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_392_000, "2026-11-23T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::from_seconds(seconds).expect("in range").to_string(), text);
        }
        assert!(Timestamp::from_seconds(u64::MAX).is_err());
    }
}
