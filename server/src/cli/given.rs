//! What stands in arguments: durations, keys and values that need not be text, files.

use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::{Args, ValueEnum};

use super::failed::Failed;

/// A year: longer than anything here is waited for.
const LONGEST: Duration = Duration::from_secs(31_536_000);

/// `500ms`, `5s`, `2m`, `1h`, `7d`, up to a year; a plain number is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ if digits.is_empty() => return Err("write it as 500ms, 5s, 2m, 1h or 7d".to_owned()),
        _ => return Err("its unit is none of ms, s, m, h, d".to_owned()),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let count: f64 = digits.parse().ok().filter(|_| plain).ok_or("write it as 500ms, 5s, 2m, 1h or 7d")?;
    let duration = Duration::try_from_secs_f64(count * unit).unwrap_or(Duration::MAX);
    if duration <= LONGEST { Ok(duration) } else { Err("longer than a year, 365d".to_owned()) }
}

/// How long a call may take: from a millisecond to a day.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text)?;
    let allowed = Duration::from_millis(1)..=Duration::from_secs(86_400);
    if allowed.contains(&timeout) { Ok(timeout) } else { Err("from 1ms to 1d".to_owned()) }
}

/// How keys and values are written in arguments.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum Encoding {
    /// As they are: the bytes of the argument
    #[default]
    Text,
    /// Two hexadecimal digits for each byte
    Hex,
    /// Base64, with its padding
    Base64,
}

/// How keys and values of this command line are written.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Written {
    /// How keys and values are written in the arguments; what comes from a file or standard input is taken as it is
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    encoding: Encoding,
}

impl Written {
    /// The bytes of an argument.
    pub(super) fn bytes(self, argument: OsString) -> Result<Bytes, Failed> {
        let raw = argument.into_vec();
        let no = |what| Failed::usage(format!("{:?} is not {what}", String::from_utf8_lossy(&raw)));
        match self.encoding {
            Encoding::Text => Ok(raw.into()),
            Encoding::Hex => from_hex(&raw).map(Into::into).ok_or_else(|| no("hexadecimal")),
            Encoding::Base64 => {
                STANDARD.decode(&raw).map(Into::into).map_err(|_| no("base64 with its padding"))
            }
        }
    }

    /// The bytes of a value: of the argument, of standard input if that is `-`, of the file if one is named instead.
    pub(super) fn value(self, argument: Option<OsString>, file: Option<&Path>) -> Result<Bytes, Failed> {
        match (argument, file) {
            (_, Some(path)) => read_file(path).map(Into::into),
            (Some(dash), None) if dash == "-" => read_stdin().map(Into::into),
            (Some(value), None) => self.bytes(value),
            (None, None) => Err(Failed::usage("a value is wanted, `-` for standard input, or --file")),
        }
    }
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.chunks(2).map(|pair| match *pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

/// All of a file; `-` is standard input.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, Failed> {
    if path == Path::new("-") {
        return read_stdin();
    }
    fs::read(path).map_err(|error| Failed::file(path, "read", &error))
}

/// All of standard input.
pub(super) fn read_stdin() -> Result<Vec<u8>, Failed> {
    let mut all = Vec::new();
    match std::io::stdin().lock().read_to_end(&mut all) {
        Ok(_) => Ok(all),
        Err(error) => Err(Failed::file(&PathBuf::from("standard input"), "read", &error)),
    }
}

/// The text of what was read, or where it stops to be text.
pub(super) fn text(bytes: Vec<u8>, from: &str) -> Result<String, Failed> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failed::usage(format!("{from} is not text: byte {at} is not UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_with_a_unit_or_of_seconds_and_nothing_else() {
        for (text, ms) in [
            ("500ms", 500),
            ("5s", 5_000),
            ("5", 5_000),
            ("0.5", 500),
            ("2m", 120_000),
            ("0", 0),
            ("1d", 86_400_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "s",
            "-1s",
            "1w",
            "1 s",
            "five",
            "inf",
            "nan",
            "1e3",
            "366d",
            "99999999999999999999s",
            "1.2.3",
        ] {
            assert!(duration(text).is_err(), "{text:?}");
        }
        assert!(timeout("0").is_err() && timeout("25h").is_err() && timeout("1d").is_ok());
    }

    #[test]
    fn bytes_are_written_as_they_are_in_hexadecimal_or_in_base64() {
        let bytes = |encoding, text: &str| Written { encoding }.bytes(text.into());
        for (encoding, text) in
            [(Encoding::Hex, "00ff41"), (Encoding::Hex, "00FF41"), (Encoding::Base64, "AP9B")]
        {
            assert_eq!(bytes(encoding, text).expect(text).as_ref(), b"\0\xffA", "{text}");
        }
        for (encoding, text) in [
            (Encoding::Hex, "0"),
            (Encoding::Hex, "0g"),
            (Encoding::Hex, "é"),
            (Encoding::Base64, "AP9"),
            (Encoding::Base64, "A P9B"),
        ] {
            bytes(encoding, text).expect_err(text);
        }
        let raw = Written { encoding: Encoding::Text }.bytes(OsString::from_vec(vec![0xff, 0xfe]));
        assert_eq!(raw.expect("any bytes").as_ref(), [0xff, 0xfe]);
    }
}
