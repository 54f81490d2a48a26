//! Which bytes a request asks for: `Range`, `If-Range`, `If-None-Match`, `If-Match`.

use std::ops::Range;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// These bytes.
    Some(Range<u64>),
    /// None: what was asked for is not there.
    Outside,
}

/// What a `Range` of a request means for so many bytes. Several ranges are answered with the whole, as HTTP allows: whoever needs
/// pieces asks for each.
pub(super) fn part(range: Option<&[u8]>, size: u64) -> Part {
    let Some(text) = range.and_then(|bytes| std::str::from_utf8(bytes).ok()) else { return Part::Whole };
    let Some(spec) = text.trim().strip_prefix("bytes=") else {
        // A unit that is not known is to be ignored.
        return Part::Whole;
    };
    if spec.contains(',') {
        return Part::Whole;
    }
    let Some((first, last)) = spec.trim().split_once('-') else { return Part::Outside };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        // The last bytes.
        (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return Part::Outside,
    };
    if range.start < range.end { Part::Some(range) } else { Part::Outside }
}

/// Digits alone; what is too large for a number is beyond every end.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Whether an `If-None-Match` or `If-Match` names this tag, which stands there with quotes.
pub(super) fn names(list: &[u8], tag: &str) -> bool {
    let Ok(text) = std::str::from_utf8(list) else { return false };
    text.trim() == "*" || text.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::{Part, names, part};

    #[test]
    fn ranges_mean_what_http_says() {
        for (range, size, expected) in [
            ("bytes=0-0", 10, Part::Some(0..1)),
            ("bytes=2-5", 10, Part::Some(2..6)),
            ("bytes=2-", 10, Part::Some(2..10)),
            ("bytes=-3", 10, Part::Some(7..10)),
            ("bytes=-30", 10, Part::Some(0..10)),
            ("bytes=5-99999999999999999999999999", 10, Part::Some(5..10)),
            ("bytes=10-", 10, Part::Outside),
            ("bytes=-0", 10, Part::Outside),
            ("bytes=5-2", 10, Part::Outside),
            ("bytes=", 10, Part::Outside),
            ("bytes=-", 10, Part::Outside),
            ("bytes=a-b", 10, Part::Outside),
            ("bytes=+1-2", 10, Part::Outside),
            ("bytes=99999999999999999999999999-", 10, Part::Outside),
            ("bytes=0-", 0, Part::Outside),
            ("bytes=0-1,3-4", 10, Part::Whole),
            ("lines=0-1", 10, Part::Whole),
        ] {
            assert_eq!(part(Some(range.as_bytes()), size), expected, "{range}");
        }
        assert_eq!(part(None, 10), Part::Whole);
        assert_eq!(part(Some(&[0xff]), 10), Part::Whole);
    }

    proptest::proptest! {
        #[test]
        fn any_range_stays_within_the_bytes(text in "(bytes=)?[0-9,xX +=-]{0,30}", size in 0_u64..) {
            if let Part::Some(bytes) = part(Some(text.as_bytes()), size) {
                proptest::prop_assert!(bytes.start < bytes.end && bytes.end <= size);
            }
        }

        #[test]
        fn any_bytes_of_a_header_are_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60), size in 0_u64..) {
            let _ = (part(Some(&bytes), size), names(&bytes, "\"a\""));
        }
    }

    #[test]
    fn tags_are_compared_whole() {
        assert!(names(b"\"a\", W/\"b\"", "\"b\"") && names(b"*", "\"b\""));
        assert!(!names(b"\"ab\"", "\"b\"") && !names(b"b", "\"b\"") && !names(&[0xff], "\"b\""));
    }
}
