//! The query of a URL. Each parameter is taken once by name; what nobody takes is an error that says what was meant.
//!
//! Own code, because keys and prefixes are bytes and not text, and the usual extractors replace what is no UTF-8.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use holdfast_client::Position;
use percent_encoding::percent_decode;

use super::problem::Problem;
use crate::config::units;

/// What is less alike than this is no guess at what was meant.
const ALIKE: f64 = 0.7;

/// More than any path takes; each is compared with those before it.
const PARAMETERS_MAX: usize = 32;

/// The parameters of a query that nobody has taken yet.
#[derive(Debug, Default)]
pub(super) struct Params {
    left: Vec<(String, Bytes)>,
    known: Vec<&'static str>,
}

/// Bytes as a URL has them.
fn decoded(text: &str) -> Bytes {
    percent_decode(text.as_bytes()).collect::<Vec<u8>>().into()
}

/// What stands behind this beginning of a path, as bytes.
pub(super) fn tail(path: &str, beginning: &str) -> Bytes {
    decoded(path.strip_prefix(beginning).unwrap_or_default())
}

impl Params {
    pub(super) fn new(query: Option<&str>) -> Result<Self, Problem> {
        let mut left: Vec<(String, Bytes)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let pair = pair.replace('+', " ");
            let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
            let name = String::from_utf8_lossy(&decoded(name)).into_owned();
            if left.iter().any(|(there, _)| *there == name) {
                return Err(Problem::parameter(format!("{name:?} is there twice")));
            }
            if left.len() == PARAMETERS_MAX {
                return Err(Problem::parameter(format!("there are more than {PARAMETERS_MAX} parameters")));
            }
            left.push((name, decoded(value)));
        }
        Ok(Self { left, known: Vec::new() })
    }

    /// The bytes of a parameter.
    pub(super) fn bytes(&mut self, name: &'static str) -> Option<Bytes> {
        self.known.push(name);
        let place = self.left.iter().position(|(there, _)| there == name)?;
        Some(self.left.remove(place).1)
    }

    /// The text of a parameter.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        let Some(bytes) = self.bytes(name) else { return Ok(None) };
        let text = String::from_utf8(bytes.to_vec());
        text.map(Some).map_err(|_| Problem::parameter(format!("{name} is no text in UTF-8")))
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let wrong = || Problem::parameter(format!("{name}={text:?}: expected {expected}"));
        read(&text).map(Some).ok_or_else(wrong)
    }

    /// A number.
    pub(super) fn number<T: FromStr + Display>(&mut self, name: &'static str) -> Result<Option<T>, Problem> {
        self.read(name, "a whole number in range", |text| text.parse().ok())
    }

    /// Whether something is wanted: `name`, `name=true` or `name=1`.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        let flag = self.read(name, "true or false", |text| match text {
            "" | "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        });
        Ok(flag?.unwrap_or(false))
    }

    /// A time with its unit.
    pub(super) fn duration(&mut self, name: &'static str) -> Result<Option<Duration>, Problem> {
        let expected = "a time with its unit, as 500ms, 10s or 2m";
        self.read(name, expected, |text| units::duration(text).ok())
    }

    /// A position that a write or a read gave back.
    pub(super) fn position(&mut self, name: &'static str) -> Result<Option<Position>, Problem> {
        self.read(name, "a position as a write or read gave it back", |text| text.parse().ok())
    }

    /// The lease that a request has to name.
    pub(super) fn lease(&mut self) -> Result<i64, Problem> {
        let lease = self.number("lease")?;
        lease.ok_or_else(|| {
            Problem::parameter("lease is missing: the number of a lease, from POST /v1/leases")
        })
    }

    /// Nothing is left that nobody knows.
    pub(super) fn finish(&self) -> Result<(), Problem> {
        let Some((name, _)) = self.left.first() else { return Ok(()) };
        let alike = self.known.iter().map(|known| (strsim::jaro_winkler(name, known), *known));
        let nearest =
            alike.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(alike, _)| *alike >= ALIKE);
        Err(Problem::parameter(match nearest {
            Some((_, known)) => format!("{name:?} is no parameter here; did you mean {known:?}?"),
            None if self.known.is_empty() => format!("{name:?} is no parameter here: there is none"),
            None => format!("{name:?} is no parameter here; there are {}", self.known.join(", ")),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(problem: &Problem) -> String {
        problem.to_json()
    }

    #[test]
    fn a_parameter_is_bytes_text_a_number_a_flag_a_time_or_a_position() {
        let mut params = Params::new(Some("prefix=a%2F%ff&n=7&keys_only&t=1500ms&p=1.0.2.5&q=a+b")).unwrap();
        assert_eq!(params.bytes("prefix").unwrap(), &b"a/\xff"[..]);
        assert_eq!(params.number::<u64>("n").unwrap(), Some(7));
        assert!(params.flag("keys_only").unwrap());
        assert_eq!(params.duration("t").unwrap(), Some(Duration::from_millis(1500)));
        assert_eq!(params.position("p").unwrap().unwrap().to_string(), "1.0.2.5");
        assert_eq!(params.text("q").unwrap().unwrap(), "a b");
        assert_eq!(params.text("none").unwrap(), None);
        params.finish().unwrap();
    }

    #[test]
    fn what_nobody_takes_is_refused_with_a_guess_at_what_was_meant() {
        let mut params = Params::new(Some("min_positon=1.0.2.5")).unwrap();
        assert_eq!(params.position("min_position").unwrap(), None);
        let text = why(&params.finish().unwrap_err());
        assert!(text.contains(r#"did you mean \"min_position\"?"#), "{text}");
        let text = why(&Params::new(Some("zzz=1")).unwrap().finish().unwrap_err());
        assert!(text.contains("there is none") && text.contains("HF2103"), "{text}");
    }

    #[test]
    fn a_parameter_of_another_form_or_twice_is_refused_by_name() {
        let text = why(&Params::new(Some("a=1&a=2")).unwrap_err());
        assert!(text.contains(r#"\"a\" is there twice"#), "{text}");
        for (query, expected) in
            [("limit=-1", "whole number"), ("limit=", "whole number"), ("limit=%ff", "UTF-8")]
        {
            let text = why(&Params::new(Some(query)).unwrap().number::<u64>("limit").unwrap_err());
            assert!(text.contains("limit") && text.contains(expected), "{query}: {text}");
        }
        let text = why(&Params::new(Some("ttl=10")).unwrap().duration("ttl").unwrap_err());
        assert!(text.contains("with its unit"), "{text}");
        let many: String = (0..33).map(|number| format!("p{number}&")).collect();
        assert!(why(&Params::new(Some(&many)).unwrap_err()).contains("more than 32"));
        let text = why(&Params::new(Some("p=1.2")).unwrap().position("p").unwrap_err());
        assert!(text.contains("a position"), "{text}");
    }
}
