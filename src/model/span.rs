//! Lengths of time as people write them: `36h`, `30d`, `2w`.

use std::time::Duration;

/// A text that is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a number with s, m, h, d or w behind it, such as 36h or 30d")]
pub struct SpanError;

/// Parses a whole number with its unit: seconds, minutes, hours, days or weeks. Without a unit only 0 says what it means.
///
/// # Errors
/// Another text, or more than fits.
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| SpanError)?;
    let seconds = match unit {
        "" if number == 0 => 1,
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(SpanError),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or(SpanError)
}

#[cfg(test)]
mod tests {
    use crate::model::parse_span;

    #[test]
    fn a_length_of_time_has_a_number_and_a_unit() {
        for (text, seconds) in
            [("0", 0), ("90s", 90), ("10m", 600), ("36h", 129_600), ("30d", 2_592_000), ("2w", 1_209_600)]
        {
            assert_eq!(parse_span(text).map(|span| span.as_secs()), Ok(seconds), "{text}");
        }
        for text in ["", "30", "d", "-1d", "1.5h", "1 d", "1day", "99999999999999999w", "1D"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
