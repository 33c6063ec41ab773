//! Times as people write them, in `holdfast audit` and in `GET /v1/audit`.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use holdfast_hlc::{Stamp, UnixMillis};

/// A time as people write it, as the bits of the stamps in it.
pub(crate) fn stamps(text: &str) -> Result<RangeInclusive<u64>, String> {
    if let Some(ago) = ago(text) {
        let then = SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
        let millis =
            UnixMillis::try_from(then.max(SystemTime::UNIX_EPOCH)).map_err(|error| error.to_string())?;
        return Ok(Stamp::new(millis, 0).to_bits()..=Stamp::new(millis, u16::MAX).to_bits());
    }
    // Whatever is left out is anything.
    let (first, last) = match text.strip_suffix('Z') {
        Some(moment) if moment.contains('.') => (format!("{text}-00000"), format!("{text}-65535")),
        Some(moment) => (format!("{moment}.000Z-00000"), format!("{moment}.999Z-65535")),
        None if text.contains('T') => (text.to_owned(), text.to_owned()),
        None => (format!("{text}T00:00:00.000Z-00000"), format!("{text}T23:59:59.999Z-65535")),
    };
    let stamp = |text: &str| text.parse().map(Stamp::to_bits);
    let range = stamp(&first).and_then(|first| Ok(first..=stamp(&last)?));
    range.map_err(|_| {
        "write it as 2026-11-21T01:20:00Z, 2026-11-21, or so long ago as 90s, 15m, 2h or 7d".to_owned()
    })
}

/// How long ago, if it is written so.
fn ago(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    Some(Duration::from_secs(count.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::stamps;
    use holdfast_hlc::Stamp;

    #[test]
    fn a_time_is_a_day_a_moment_a_stamp_or_a_while_ago_and_nothing_else() {
        let shown = |text: &str| Stamp::from_bits(*stamps(text).expect(text).start()).to_string();
        assert_eq!(shown("2026-11-21"), "2026-11-21T00:00:00.000Z-00000");
        assert_eq!(shown("2026-11-21T01:20:00Z"), "2026-11-21T01:20:00.000Z-00000");
        assert_eq!(shown("2026-11-21T01:20:00.123Z"), "2026-11-21T01:20:00.123Z-00000");
        assert_eq!(shown("2026-11-21T01:20:00.123Z-00042"), "2026-11-21T01:20:00.123Z-00042");
        let last = |text: &str| Stamp::from_bits(*stamps(text).expect(text).end()).to_string();
        assert_eq!(last("2026-11-21"), "2026-11-21T23:59:59.999Z-65535");
        assert_eq!(last("2026-11-21T01:20:00Z"), "2026-11-21T01:20:00.999Z-65535");
        assert_eq!(last("2026-11-21T01:20:00.123Z"), "2026-11-21T01:20:00.123Z-65535");
        assert_eq!(last("2026-11-21T01:20:00.123Z-00042"), "2026-11-21T01:20:00.123Z-00042");
        assert_eq!(shown("99999999999d"), "1970-01-01T00:00:00.000Z-00000");
        let (minute, day) =
            (*stamps("1m").expect("a while").start(), *stamps("1d").expect("a while").start());
        let apart = Stamp::from_bits(minute).millis().get() - Stamp::from_bits(day).millis().get();
        assert!((86_330_000..86_341_000).contains(&apart), "{apart}");
        for text in ["", "d", "yesterday", "-1h", "1w", "2026-11-21T01:20", "2026-13-01", "é", "5é"] {
            assert!(stamps(text).is_err(), "{text:?}");
        }
    }
}
