//! Stamps as text: RFC 3339 in UTC with milliseconds, a hyphen, the counter in five digits.
//!
//! ```text
//!   2026-11-21T01:20:00.123Z-00042
//!   +10889-08-02T05:31:50.655Z-65535      beyond 9999, which RFC 3339 does not know: as ISO 8601 has it
//! ```
//! There is one text per stamp and nothing else is accepted: text goes into URLs, file names and other
//! people's scripts, where two spellings of one stamp would be two keys.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use crate::stamp::{Stamp, UnixMillis};

const MS_PER_DAY: u64 = 86_400_000;

/// Text in errors is cut after this many characters: it may come from anywhere.
const QUOTE_CHARS: usize = 48;

/// Why a text is not a stamp. Each carries the piece at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseStampError {
    /// It does not have the form of a stamp.
    Form {
        /// The whole text, or its beginning.
        text: String,
    },
    /// A year before 1970.
    YearBeforeEpoch {
        /// The year.
        text: String,
    },
    /// There is no such month.
    Month {
        /// The month.
        text: String,
    },
    /// That month has no such day.
    Day {
        /// The day with its year and month.
        text: String,
    },
    /// There is no such hour.
    Hour {
        /// The hour.
        text: String,
    },
    /// There is no such minute.
    Minute {
        /// The minute.
        text: String,
    },
    /// There is no such second; a leap second is none in Unix time.
    Second {
        /// The second.
        text: String,
    },
    /// The counter has 16 bits.
    Counter {
        /// The counter.
        text: String,
    },
    /// A time after the last that a stamp can say.
    BeyondRange {
        /// The time.
        text: String,
    },
}

impl fmt::Display for ParseStampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form { text } => write!(f, "{text:?} is not of the form 2026-11-21T01:20:00.123Z-00042"),
            Self::YearBeforeEpoch { text } => write!(f, "year {text} is before 1970"),
            Self::Month { text } => write!(f, "there is no month {text}"),
            Self::Day { text } => write!(f, "there is no day {text}"),
            Self::Hour { text } => write!(f, "there is no hour {text}"),
            Self::Minute { text } => write!(f, "there is no minute {text}"),
            Self::Second { text } => write!(f, "there is no second {text} (leap seconds have no stamp)"),
            Self::Counter { text } => write!(f, "counter {text} is above {}", u16::MAX),
            Self::BeyondRange { text } => write!(f, "{text} is after the last stamp, {}", Stamp::MAX),
        }
    }
}

impl Error for ParseStampError {}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`: years begin in
/// March, so that the leap day is the last, and 400 years are one era).
fn date_of(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468; // from 0000-03-01
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day_of_month)
}

/// The inverse of [`date_of`], for dates from 1970 on.
fn day_of(year: u64, month: u64, day_of_month: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day_of_month - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_in(year: u64, month: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.millis().get();
        let (year, month, day) = date_of(ms / MS_PER_DAY);
        let (second, milli) = (ms % MS_PER_DAY / 1000, ms % 1000);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let plus = if year > 9999 { "+" } else { "" };
        let counter = self.counter();
        let text = format_args!(
            "{plus}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z-{counter:05}"
        );
        // Padding, as in a table, needs the text first; without it there is nothing to allocate.
        if f.width().is_some() { f.pad(&text.to_string()) } else { f.write_fmt(text) }
    }
}

/// `pattern` with each `0` standing for a digit and everything else for itself.
fn has_form(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(found, wanted)| match wanted {
            b'0' => found.is_ascii_digit(),
            _ => found == wanted,
        })
}

/// The value of at most five digits, which is what every caller has checked.
fn number(digits: &str) -> u64 {
    digits.bytes().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}

impl FromStr for Stamp {
    type Err = ParseStampError;

    fn from_str(text: &str) -> Result<Self, ParseStampError> {
        let form = || ParseStampError::Form { text: text.chars().take(QUOTE_CHARS).collect() };
        // Everything behind the year has one length, so cut from the end; the year is what is left.
        const REST: &str = "-00-00T00:00:00.000Z-00000";
        let (year_text, rest) =
            text.len().checked_sub(REST.len()).and_then(|at| text.split_at_checked(at)).ok_or_else(form)?;
        let year = if has_form(year_text, "0000") {
            number(year_text)
        } else if has_form(year_text, "+00000") && !year_text.starts_with("+0") {
            number(&year_text[1..])
        } else {
            return Err(form());
        };
        if !has_form(rest, REST) {
            return Err(form());
        }
        // From here on every byte is ASCII, and these pieces are digits.
        let piece = |from: usize, to: usize| (&rest[from..to], number(&rest[from..to]));
        let check = |ok: bool, (text, value): (&str, u64), error: fn(String) -> ParseStampError| {
            if ok { Ok(value) } else { Err(error(text.to_owned())) }
        };
        let (month, day) = (piece(1, 3), piece(4, 6));
        let (hour, minute, second) = (piece(7, 9), piece(10, 12), piece(13, 15));
        let (milli, counter) = (piece(16, 19).1, piece(21, 26));

        let year = check(year >= 1970, (year_text, year), |text| ParseStampError::YearBeforeEpoch { text })?;
        let month = check((1..=12).contains(&month.1), month, |text| ParseStampError::Month { text })?;
        let date_text = &text[..year_text.len() + 6];
        let day_exists = (1..=days_in(year, month)).contains(&day.1);
        let day = check(day_exists, (date_text, day.1), |text| ParseStampError::Day { text })?;
        let hour = check(hour.1 < 24, hour, |text| ParseStampError::Hour { text })?;
        let minute = check(minute.1 < 60, minute, |text| ParseStampError::Minute { text })?;
        let second = check(second.1 < 60, second, |text| ParseStampError::Second { text })?;
        let counter_fits =
            u16::try_from(counter.1).map_err(|_| ParseStampError::Counter { text: counter.0.to_owned() })?;

        let seconds = hour * 3600 + minute * 60 + second;
        let ms = day_of(year, month, day) * MS_PER_DAY + seconds * 1000 + milli;
        let time_text = text[..text.len() - "-00000".len()].to_owned();
        let millis = UnixMillis::new(ms).map_err(|_| ParseStampError::BeyondRange { text: time_text })?;
        Ok(Self::new(millis, counter_fits))
    }
}
