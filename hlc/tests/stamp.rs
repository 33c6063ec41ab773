//! The packed stamp, its text, and physical time.

use std::time::{Duration, UNIX_EPOCH};

use holdfast_hlc::{ParseStampError, Stamp, TimeError, UnixMillis};
use proptest::prelude::*;

const DAY_MS: u64 = 86_400_000;

fn stamp(ms: u64, counter: u16) -> Stamp {
    Stamp::new(UnixMillis::new(ms).unwrap(), counter)
}

#[test]
fn a_stamp_is_milliseconds_above_the_counter() {
    assert_eq!(stamp(0x1234, 0x5678).to_bits(), 0x1234_5678);
}

#[test]
fn a_known_moment_reads_as_known() {
    // `date --utc --date=@1795224000.123`, and a leap day.
    assert_eq!(stamp(1_795_224_000_123, 42).to_string(), "2026-11-21T01:20:00.123Z-00042");
    assert_eq!(stamp(951_782_400_000, 0).to_string(), "2000-02-29T00:00:00.000Z-00000");
}

#[test]
fn the_last_stamp_reads_and_is_read() {
    assert_eq!(Stamp::MAX.to_string(), "+10889-08-02T05:31:50.655Z-65535");
    assert_eq!("+10889-08-02T05:31:50.655Z-65535".parse(), Ok(Stamp::MAX));
}

/// Counts days and months as a child would, with none of the arithmetic under test.
#[test]
fn every_day_of_four_centuries_reads_as_the_calendar_has_it() {
    let (mut year, mut month, mut day) = (1970, 1, 1);
    for days in 0..146_097 {
        let text = format!("{year:04}-{month:02}-{day:02}T00:00:00.000Z-00000");
        let stamp = stamp(days * DAY_MS, 0);
        assert_eq!((stamp.to_string(), text.parse()), (text, Ok(stamp)));
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        day += 1;
        if day > lengths[month - 1] {
            (month, day) = (month + 1, 1);
        }
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
    assert_eq!((year, month, day), (2370, 1, 1));
}

/// Parses and must fail.
fn error(text: &str) -> ParseStampError {
    text.parse::<Stamp>().unwrap_err()
}

#[test]
fn what_has_not_the_form_of_a_stamp_is_quoted() {
    for text in [
        "",
        "x",
        "2026-11-21",
        "2026-11-21T01:20:00.123Z",
        "2026-11-21 01:20:00.123Z-00042",
        "2026-11-21t01:20:00.123z-00042",
        "2026-11-21T01:20:00.123Z-42",
        "2026-11-21T01:20:00.123Z-00042 ",
        "2026-11-21T01:20:00.1234Z-00042",
        "02026-11-21T01:20:00.123Z-0042",
        "+02026-11-21T01:20:00.123Z-00042",
        "+2026-11-21T01:20:00.123Z-00042",
        "2026-11-21T01:20:00.123Z-0004é",
        "ééé26-11-21T01:20:00.123Z-00042",
    ] {
        assert_eq!(error(text), ParseStampError::Form { text: text.to_owned() });
    }
}

#[test]
fn a_long_text_is_quoted_by_its_beginning() {
    assert_eq!(error(&"é".repeat(1_000)), ParseStampError::Form { text: "é".repeat(48) });
}

#[test]
fn each_piece_out_of_range_has_an_error_of_its_own() {
    use ParseStampError as E;
    let text = |text: &str| text.to_owned();
    for (given, wanted) in [
        ("1969-12-31T23:59:59.999Z-00000", E::YearBeforeEpoch { text: text("1969") }),
        ("2026-00-21T01:20:00.123Z-00042", E::Month { text: text("00") }),
        ("2026-13-21T01:20:00.123Z-00042", E::Month { text: text("13") }),
        ("2026-11-00T01:20:00.123Z-00042", E::Day { text: text("2026-11-00") }),
        ("2026-11-31T01:20:00.123Z-00042", E::Day { text: text("2026-11-31") }),
        ("2026-02-29T01:20:00.123Z-00042", E::Day { text: text("2026-02-29") }),
        ("2100-02-29T01:20:00.123Z-00042", E::Day { text: text("2100-02-29") }),
        ("2026-11-21T24:20:00.123Z-00042", E::Hour { text: text("24") }),
        ("2026-11-21T01:60:00.123Z-00042", E::Minute { text: text("60") }),
        ("2016-12-31T23:59:60.000Z-00000", E::Second { text: text("60") }),
        ("2026-11-21T01:20:00.123Z-65536", E::Counter { text: text("65536") }),
        ("+10889-08-02T05:31:50.656Z-00000", E::BeyondRange { text: text("+10889-08-02T05:31:50.656Z") }),
        ("+99999-12-31T23:59:59.999Z-00000", E::BeyondRange { text: text("+99999-12-31T23:59:59.999Z") }),
    ] {
        assert_eq!(error(given), wanted, "{given}");
    }
}

#[test]
fn an_error_says_what_there_is_none_of() {
    assert_eq!(error("2026-02-29T01:20:00.123Z-00042").to_string(), "there is no day 2026-02-29");
}

#[test]
fn physical_time_beyond_48_bits_is_refused() {
    assert_eq!(UnixMillis::new((1 << 48) - 1), Ok(UnixMillis::MAX));
    assert_eq!(UnixMillis::new(1 << 48), Err(TimeError::BeyondRange { ms: 1 << 48 }));
}

#[test]
fn a_system_clock_before_1970_is_refused_and_says_by_how_much() {
    let before = UNIX_EPOCH - Duration::from_micros(1_500);
    assert_eq!(UnixMillis::try_from(before), Err(TimeError::BeforeEpoch { by_ms: 2 }));
}

#[test]
fn a_system_clock_beyond_48_bits_is_refused() {
    let after = UNIX_EPOCH + Duration::from_millis(1 << 48);
    assert_eq!(UnixMillis::try_from(after), Err(TimeError::BeyondRange { ms: 1 << 48 }));
}

#[test]
fn a_system_clock_is_cut_to_whole_milliseconds() {
    let time = UNIX_EPOCH + Duration::from_micros(1_999);
    assert_eq!(UnixMillis::try_from(time), UnixMillis::new(1));
}

proptest! {
    #[test]
    fn every_stamp_survives_its_text(bits in any::<u64>()) {
        let stamp = Stamp::from_bits(bits);
        prop_assert_eq!(stamp.to_string().parse(), Ok(stamp));
    }

    #[test]
    fn the_order_of_stamps_is_that_of_milliseconds_and_counter(a in any::<u64>(), b in any::<u64>()) {
        let parts = |stamp: Stamp| (stamp.millis(), stamp.counter());
        let (a, b) = (Stamp::from_bits(a), Stamp::from_bits(b));
        prop_assert_eq!(a.cmp(&b), parts(a).cmp(&parts(b)));
    }

    /// To the end of 9999, where RFC 3339 ends.
    #[test]
    fn texts_sort_as_stamps(
        a in 0..253_402_300_800_000_u64, b in 0..253_402_300_800_000_u64, counters in any::<(u16, u16)>(),
    ) {
        let (a, b) = (stamp(a, counters.0), stamp(b, counters.1));
        prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
    }

    #[test]
    fn no_text_panics(text in ".{0,40}") {
        let _ = text.parse::<Stamp>();
    }

    /// One character of a good text changed to anything: refused, or another stamp with that very text.
    #[test]
    fn what_is_accepted_is_written_the_same_way(bits in any::<u64>(), at in 0..30_usize, new in any::<char>()) {
        let good = Stamp::from_bits(bits).to_string();
        let text: String = good.chars().enumerate().map(|(i, old)| if i == at { new } else { old }).collect();
        if let Ok(stamp) = text.parse::<Stamp>() {
            prop_assert_eq!(stamp.to_string(), text);
        }
    }
}

#[test]
fn a_stamp_is_padded_like_any_text_and_shows_its_text_in_debug_output() {
    let stamp = Stamp::new(UnixMillis::EPOCH, 7);
    assert_eq!(format!("{stamp:>32}|"), "  1970-01-01T00:00:00.000Z-00007|");
    assert_eq!(format!("{stamp:?}"), "Stamp(1970-01-01T00:00:00.000Z-00007)");
}
