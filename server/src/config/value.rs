//! Of what kind an option is, and how its value is read, shown and bounded: the same from every layer.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::units;
use crate::storage::{CLUSTER_NAME_BYTES_MAX, is_host_and_port};

/// The largest number that a node may have.
pub(super) const NODE_ID_MAX: u64 = (1 << 62) - 1;

/// Of what kind an option is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number, from the first to the second.
    Count(u64, u64),
    /// A duration, from the first to the second, in milliseconds; 0 as well if the third says so.
    Duration(u64, u64, bool),
    /// A size, from the first to the second, in bytes; 0 as well if the third says so.
    Size(u64, u64, bool),
    /// Yes or no.
    Switch,
    /// A file or a directory.
    Path,
    /// The name of a cluster.
    Name,
    /// Where to listen; the port may be 0, for any that is free.
    Listen,
    /// The same, or `off`.
    ListenOrOff,
    /// An address that others dial.
    Address,
    /// Addresses that are dialed.
    Addresses,
    /// Ids and addresses.
    Members,
    /// Ids.
    Nodes,
    /// Which log lines are wanted.
    Filter,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Of [`Kind::Count`].
    Count(u64),
    /// Of [`Kind::Duration`].
    Duration(Duration),
    /// Of [`Kind::Size`].
    Size(u64),
    /// Of [`Kind::Switch`].
    Switch(bool),
    /// Of [`Kind::Path`].
    Path(PathBuf),
    /// Of [`Kind::Name`], [`Kind::Listen`], [`Kind::ListenOrOff`], [`Kind::Address`], [`Kind::Filter`] and [`Kind::Choice`].
    Text(String),
    /// Of [`Kind::Addresses`].
    Addresses(Vec<String>),
    /// Of [`Kind::Members`].
    Members(Vec<(u64, String)>),
    /// Of [`Kind::Nodes`].
    Nodes(BTreeSet<u64>),
}

/// As the environment and the flags have it: lists with commas.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Duration(duration) => f.write_str(&units::show_duration(*duration)),
            Self::Size(bytes) => f.write_str(&units::show_size(*bytes)),
            Self::Switch(on) => write!(f, "{on}"),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Text(text) => f.write_str(text),
            Self::Addresses(_) | Self::Members(_) | Self::Nodes(_) => f.write_str(&self.items().join(",")),
        }
    }
}

impl Value {
    /// The items of a list; none of what is none.
    fn items(&self) -> Vec<String> {
        match self {
            Self::Addresses(addresses) => addresses.clone(),
            Self::Members(members) => members.iter().map(|(id, address)| format!("{id}={address}")).collect(),
            Self::Nodes(nodes) => nodes.iter().map(ToString::to_string).collect(),
            Self::Count(_)
            | Self::Duration(_)
            | Self::Size(_)
            | Self::Switch(_)
            | Self::Path(_)
            | Self::Text(_) => Vec::new(),
        }
    }

    /// For tools, and the same as it stands in a file: numbers and switches as such, lists as lists, everything else as text.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Count(count) => (*count).into(),
            Self::Switch(on) => (*on).into(),
            Self::Addresses(_) | Self::Members(_) => self.items().into(),
            Self::Nodes(nodes) => nodes.iter().copied().collect(),
            Self::Duration(_) | Self::Size(_) | Self::Path(_) | Self::Text(_) => self.to_string().into(),
        }
    }
}

impl Kind {
    /// What is expected, as a part of a sentence.
    #[must_use]
    pub fn expects(self) -> String {
        let or_off = |off: bool| if off { ", or 0" } else { "" };
        match self {
            Self::Count(from, u64::MAX) => format!("a whole number from {from} on"),
            Self::Count(from, to) => format!("a whole number from {from} to {to}"),
            Self::Duration(from, to, off) => format!(
                "a duration from {} to {}{}",
                units::show_duration(Duration::from_millis(from)),
                units::show_duration(Duration::from_millis(to)),
                or_off(off)
            ),
            Self::Size(from, u64::MAX, off) => {
                format!("a size from {} on{}", units::show_size(from), or_off(off))
            }
            Self::Size(from, to, off) => {
                format!("a size from {} to {}{}", units::show_size(from), units::show_size(to), or_off(off))
            }
            Self::Switch => "true or false".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Name => format!("a name of up to {CLUSTER_NAME_BYTES_MAX} bytes"),
            Self::Listen | Self::Address => "HOST:PORT".to_owned(),
            Self::ListenOrOff => "HOST:PORT or off".to_owned(),
            Self::Addresses => "HOST:PORT, any number of them".to_owned(),
            Self::Members => "ID=HOST:PORT, any number of them".to_owned(),
            Self::Nodes => "node ids, any number of them".to_owned(),
            Self::Filter => {
                "off, error, warn, info, debug or trace, or TARGET=LEVEL, with commas between".to_owned()
            }
            Self::Choice(words) => words.join(" or "),
        }
    }

    /// What stands for the value in the help of a flag.
    #[must_use]
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Count(..) => "N",
            Self::Duration(..) => "DURATION",
            Self::Size(..) => "SIZE",
            Self::Switch => "BOOL",
            Self::Path => "PATH",
            Self::Name => "NAME",
            Self::Listen | Self::Address => "HOST:PORT",
            Self::ListenOrOff => "HOST:PORT",
            Self::Addresses => "HOST:PORT,…",
            Self::Members => "1=HOST:PORT,2=…",
            Self::Nodes => "ID,…",
            Self::Filter => "FILTER",
            Self::Choice(_) => "WORD",
        }
    }

    /// Reads a value as the environment and the flags have it.
    ///
    /// # Errors
    /// What was found and what was expected, as a sentence.
    pub fn parse(self, text: &OsStr) -> Result<Value, String> {
        if let Self::Path = self {
            return if text.is_empty() {
                Err("empty: expected a path".to_owned())
            } else {
                Ok(Value::Path(text.into()))
            };
        }
        let Some(text) = text.to_str() else {
            return Err(format!("{text:?} is not UTF-8: expected {}", self.expects()));
        };
        self.understand(text).map_err(|why| match why {
            Some(why) => format!("{text:?}: {why}; expected {}", self.expects()),
            None => format!("{text:?}: expected {}", self.expects()),
        })
    }

    /// Reads a value as a file has it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_toml(self, value: &DeValue<'_>) -> Result<Value, String> {
        let found = match value {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let wrong = || format!("this is {found}: expected {}", self.in_toml());
        match (self, value) {
            (Self::Addresses | Self::Members, DeValue::Array(items)) => {
                let texts =
                    items.iter().map(|item| item.get_ref().as_str().filter(|text| !text.contains(',')));
                let texts: Option<Vec<&str>> = texts.collect();
                let texts = texts.ok_or_else(|| {
                    format!("not every item is a text of its own: expected {}", self.in_toml())
                })?;
                self.parse(texts.join(",").as_ref())
            }
            (Self::Nodes, DeValue::Array(items)) => {
                let numbers = items.iter().map(|item| match item.get_ref() {
                    DeValue::Integer(number) if number.radix() == 10 => {
                        Some(number.as_str().replace('_', ""))
                    }
                    DeValue::Integer(_)
                    | DeValue::String(_)
                    | DeValue::Float(_)
                    | DeValue::Boolean(_)
                    | DeValue::Datetime(_)
                    | DeValue::Array(_)
                    | DeValue::Table(_) => None,
                });
                let numbers: Option<Vec<String>> = numbers.collect();
                let numbers = numbers.ok_or_else(|| {
                    format!("not every item is a decimal number: expected {}", self.in_toml())
                })?;
                self.parse(numbers.join(",").as_ref())
            }
            (Self::Switch, DeValue::Boolean(on)) => Ok(Value::Switch(*on)),
            (Self::Count(..) | Self::Duration(..) | Self::Size(..), DeValue::Integer(number)) => {
                if number.radix() != 10 {
                    return Err("expected a decimal number".to_owned());
                }
                self.parse(number.as_str().replace('_', "").as_ref())
            }
            (Self::Count(..) | Self::Switch | Self::Addresses | Self::Members | Self::Nodes, _) => {
                Err(wrong())
            }
            (_, DeValue::String(text)) => self.parse(text.as_ref().as_ref()),
            (
                _,
                DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_),
            ) => Err(wrong()),
        }
    }

    /// What a file has to say, as a part of a sentence.
    fn in_toml(self) -> String {
        match self {
            Self::Count(..) | Self::Switch => format!("{}, without quotes", self.expects()),
            Self::Addresses | Self::Members => format!(
                "a list of texts, each of them {}",
                self.placeholder().trim_end_matches(",…").trim_end_matches(",2=…")
            ),
            Self::Nodes => "a list of node ids, without quotes".to_owned(),
            Self::Duration(..)
            | Self::Size(..)
            | Self::Path
            | Self::Name
            | Self::Listen
            | Self::ListenOrOff
            | Self::Address
            | Self::Filter
            | Self::Choice(_) => format!("{}, in quotes", self.expects()),
        }
    }

    /// The value, or what is wrong with it beyond that it is not what is expected.
    fn understand(self, text: &str) -> Result<Value, Option<String>> {
        let within = |number: u64, from, to, off: bool| (from..=to).contains(&number) || (off && number == 0);
        let checked = |holds: bool, value: Value| if holds { Ok(value) } else { Err(None) };
        let listens = |text: &str| {
            let port = text
                .rsplit_once(':')
                .filter(|(host, _)| !host.is_empty() && !host.contains(char::is_whitespace));
            port.is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        };
        match self {
            Self::Count(from, to) => {
                let number = text.parse().map_err(|_| None)?;
                checked(within(number, from, to, false), Value::Count(number))
            }
            Self::Duration(from, to, off) => {
                let duration = units::duration(text)?;
                let [from, to] = [from, to].map(Duration::from_millis);
                let fits = (from..=to).contains(&duration) || (off && duration.is_zero());
                checked(fits, Value::Duration(duration))
            }
            Self::Size(from, to, off) => {
                let size = units::size(text)?;
                checked(within(size, from, to, off), Value::Size(size))
            }
            Self::Switch => text.parse().map(Value::Switch).map_err(|_| None),
            Self::Name => {
                let fits = (1..=CLUSTER_NAME_BYTES_MAX).contains(&text.len());
                checked(fits, Value::Text(text.to_owned()))
            }
            Self::Listen => checked(listens(text), Value::Text(text.to_owned())),
            Self::ListenOrOff => checked(text == "off" || listens(text), Value::Text(text.to_owned())),
            Self::Address => checked(is_host_and_port(text), Value::Text(text.to_owned())),
            Self::Addresses => {
                let items: Vec<String> = items(text).map(str::to_owned).collect();
                checked(items.iter().all(|item| is_host_and_port(item)), Value::Addresses(items))
            }
            Self::Nodes => items(text).map(node_id).collect::<Result<_, _>>().map(Value::Nodes),
            Self::Members => items(text).map(member).collect::<Result<_, _>>().map(Value::Members),
            Self::Filter => filter(text).map(|()| Value::Text(text.to_owned())),
            Self::Choice(words) => checked(words.contains(&text), Value::Text(text.to_owned())),
            // Read before, since it need not be text.
            Self::Path => Ok(Value::Path(text.into())),
        }
    }
}

/// What stands between commas; nothing in nothing.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(move |_| !text.trim().is_empty())
}

/// `1=host:port`.
fn member(text: &str) -> Result<(u64, String), Option<String>> {
    let (id, address) = text.split_once('=').ok_or(None)?;
    let id: u64 = id.trim().parse().map_err(|_| Some(format!("{id:?} is not a node id")))?;
    let address = address.trim();
    if id == 0 {
        return Err(Some("node ids start at 1".to_owned()));
    }
    if is_host_and_port(address) {
        Ok((id, address.to_owned()))
    } else {
        Err(Some(format!("{address:?} is not HOST:PORT")))
    }
}

/// The number of a node, of itself.
fn node_id(text: &str) -> Result<u64, Option<String>> {
    let id = text.parse().ok().filter(|id| (1..=NODE_ID_MAX).contains(id));
    id.ok_or_else(|| Some(format!("{text:?} is not a node id")))
}

/// That log lines can be chosen by it. A lone word that is no level would choose the lines of a crate of that name, and so
/// silence everything: that is a typing error, and nobody means it.
fn filter(text: &str) -> Result<(), Option<String>> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in text.split(',').map(str::trim) {
        let is_level = LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level));
        if !is_level && !part.contains(['=', '[']) {
            return Err(Some(format!("{part:?} is no level")));
        }
    }
    let checked = tracing_subscriber::EnvFilter::builder().parse(text);
    checked.map(drop).map_err(|error| Some(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: Kind, text: &str) -> Result<Value, String> {
        kind.parse(text.as_ref())
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        let kind = Kind::Duration(10, 100_000, false);
        assert_eq!(parse(kind, "5ms").unwrap_err(), "\"5ms\": expected a duration from 10ms to 100s");
        assert!(parse(kind, "0").is_err() && parse(Kind::Duration(10, 100, true), "0").is_ok());
        assert!(parse(Kind::Count(1, 7), "8").unwrap_err().contains("from 1 to 7"));
        assert!(
            parse(Kind::Size(1 << 20, 1 << 30, false), "1TiB").unwrap_err().contains("from 1MiB to 1GiB")
        );
        assert!(
            parse(Kind::Choice(&["human", "json"]), "jsn").unwrap_err().ends_with("expected human or json")
        );
    }

    #[test]
    fn lists_may_be_empty_and_each_item_is_checked() {
        assert_eq!(parse(Kind::Members, ""), Ok(Value::Members(Vec::new())));
        assert_eq!(parse(Kind::Members, "1=a:1, 2=b:2").unwrap().to_string(), "1=a:1,2=b:2");
        for text in ["1", "0=a:1", "x=a:1", "1=a", "1=a:0", "1=a:1,,2=b:2", "1=a:1,"] {
            assert!(parse(Kind::Members, text).is_err(), "{text}");
        }
        assert!(parse(Kind::Addresses, "a:1,b").is_err());
    }

    #[test]
    fn a_list_of_nodes_is_read_shown_and_written_to_a_file_as_numbers() {
        let two = parse(Kind::Nodes, "3, 2,3").unwrap();
        assert_eq!((two.to_string().as_str(), two.to_json().to_string().as_str()), ("2,3", "[2,3]"));
        assert_eq!(parse(Kind::Nodes, ""), Ok(Value::Nodes(BTreeSet::new())));
        for text in ["0", "x", "1,,2", "4611686018427387904", "n1", "1=a:1"] {
            assert!(parse(Kind::Nodes, text).unwrap_err().contains("is not a node id"), "{text}");
        }
    }

    #[test]
    fn only_who_listens_may_leave_the_port_open() {
        assert!(parse(Kind::Listen, "127.0.0.1:0").is_ok() && parse(Kind::Address, "127.0.0.1:0").is_err());
        assert!(parse(Kind::Listen, "127.0.0.1").is_err() && parse(Kind::Listen, "a:66000").is_err());
        assert!(parse(Kind::ListenOrOff, "off").is_ok() && parse(Kind::Listen, "off").is_err());
    }

    #[test]
    fn a_filter_that_would_silence_everything_by_a_typing_error_is_refused() {
        for text in ["info", "WARN", "holdfast_server=debug", "warn,holdfast_raft=trace", "off"] {
            assert!(parse(Kind::Filter, text).is_ok(), "{text}");
        }
        for text in ["inof", "holdfast_server", "info,deubg", "holdfast_server=loud", ""] {
            assert!(parse(Kind::Filter, text).is_err(), "{text}");
        }
    }
}
