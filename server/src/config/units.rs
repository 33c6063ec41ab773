//! Durations and sizes as people write them: `50ms`, `1.5s`, `64MiB`, `1GB`.
//!
//! A number without its unit is refused, because nobody can tell later whether a bare `500` meant milliseconds or seconds.
//! Only 0 needs none. What is read is exact: `0.1s` is 100 ms, and what is no whole number of nanoseconds or bytes is an
//! error, not rounded.

use std::time::Duration;

/// Units of time, in nanoseconds, the longest first.
const TIMES: [(&str, u64); 8] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// Units of size, in bytes, the largest first of those that are powers of two; the decimal ones are only read.
const SIZES: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
];

/// How many digits may stand behind the point: more than any unit here can use.
const DIGITS_MAX: usize = 12;

/// Reads a duration with its unit.
///
/// # Errors
/// What is wrong with the text, as a part of a sentence.
pub fn duration(text: &str) -> Result<Duration, String> {
    counted(text, &TIMES, "nanoseconds", "a duration has a unit, as 50ms, 1.5s, 10m, 6h or 90d")
        .map(Duration::from_nanos)
}

/// Reads a size in bytes with its unit.
///
/// # Errors
/// As [`duration`].
pub fn size(text: &str) -> Result<u64, String> {
    counted(text, &SIZES, "bytes", "a size has a unit, as 512B, 64MiB or 1GB")
}

/// A duration as [`duration`] reads it, in the longest unit of which it is a whole number.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), &TIMES)
}

/// A size as [`size`] reads it, in the largest power of two of which it is a whole number.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES)
}

fn show(count: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().find(|(_, scale)| count > 0 && count.is_multiple_of(*scale));
    whole.map_or_else(|| count.to_string(), |(unit, scale)| format!("{}{unit}", count / scale))
}

/// A number and its unit, as a count of the smallest one.
fn counted(text: &str, units: &[(&str, u64)], smallest: &str, example: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let (whole, fraction) = (whole.replace('_', ""), fraction.replace('_', ""));
    if whole.is_empty() || fraction.contains('.') || (number.contains('.') && fraction.is_empty()) {
        return Err(example.to_owned());
    }
    let too_large = || format!("more {smallest} than can be counted");
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    if unit.is_empty() {
        let is_zero = whole == 0 && fraction.chars().all(|digit| digit == '0');
        return if is_zero { Ok(0) } else { Err(example.to_owned()) };
    }
    let Some((_, scale)) = units.iter().find(|(known, _)| *known == unit) else {
        let known: Vec<&str> = units.iter().map(|(known, _)| *known).collect();
        return Err(format!("{unit:?} is no unit; there are {}", known.join(", ")));
    };
    if fraction.len() > DIGITS_MAX {
        return Err(format!("more than {DIGITS_MAX} digits behind the point"));
    }
    let parts = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| too_large())? };
    let fraction = fraction * u128::from(*scale);
    if !fraction.is_multiple_of(parts) {
        return Err(format!("no whole number of {smallest}"));
    }
    let count = u128::from(whole) * u128::from(*scale) + fraction / parts;
    u64::try_from(count).map_err(|_| too_large())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_exactly() {
        for (text, millis) in
            [("50ms", 50), ("1.5s", 1_500), ("0.1s", 100), ("2m", 120_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("1_000us"), Ok(Duration::from_millis(1)));
        assert_eq!(duration(" 3 s "), Ok(Duration::from_secs(3)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1GB", 1_000_000_000), ("1.5KiB", 1_536), ("7B", 7), ("0.0", 0)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_has_no_unit_or_none_that_is_known_or_is_not_whole_is_refused() {
        for text in
            ["", "50", "ms", "-5ms", "1.5.2s", "1.s", ".5s", "5 min", "0.0000000001s", "99999999999d", "1e3s"]
        {
            assert!(duration(text).is_err(), "{text:?} is {:?}", duration(text));
        }
        for text in ["64", "64mib", "1.5B", "17000000TiB", "five GB", "0.1234567890123TiB"] {
            assert!(size(text).is_err(), "{text:?} is {:?}", size(text));
        }
        assert!(size("64mib").unwrap_err().contains("MiB"), "the units that there are are named");
    }

    #[test]
    fn what_is_shown_is_read_back_as_the_same() {
        for nanos in [0, 1, 999, 1_000, 1_500_000_000, 7_776_000_000_000_000, u64::MAX] {
            let shown = show_duration(Duration::from_nanos(nanos));
            assert_eq!(duration(&shown), Ok(Duration::from_nanos(nanos)), "{shown}");
        }
        for bytes in [0, 1, 1_000_000_000, 24 << 20, 1 << 40, u64::MAX] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
        assert_eq!(
            (show_duration(Duration::from_millis(1_500)).as_str(), show_size(96 << 20).as_str()),
            ("1500ms", "96MiB")
        );
    }
}
