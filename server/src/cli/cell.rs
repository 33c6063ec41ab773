//! One thing that is printed: as people see it, as programs do, and as bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// One thing that is printed.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// There is none: `-`, or null.
    Nothing,
    /// A column that this row does not have: a blank in a table, not even a tab in plain output, or null.
    LeftOut,
    /// Text, a stamp, a position, the number of a lease: a string for programs.
    Text(String),
    /// A number below 2^53.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// A key or a value, which may be any bytes.
    Bytes(Bytes),
    /// Something with parts: as people see it, and as JSON.
    Parts(String, String),
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Bytes> for Cell {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&Bytes> for Cell {
    fn from(bytes: &Bytes) -> Self {
        Self::Bytes(bytes.clone())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(some: Option<T>) -> Self {
        some.map_or(Self::Nothing, Into::into)
    }
}

impl Cell {
    /// What is written as text: a position, the number of a lease.
    pub(super) fn text(text: impl std::fmt::Display) -> Self {
        Self::Text(text.to_string())
    }

    /// The number of a lease; none if it is 0.
    pub(super) fn lease(lease: i64) -> Self {
        if lease == 0 { Self::Nothing } else { Self::text(lease) }
    }

    /// An object of these fields.
    pub(super) fn object(shown: String, fields: &[(&str, Self)]) -> Self {
        Self::Parts(shown, object(fields.iter().map(|(name, cell)| (*name, cell))))
    }

    /// A list of these.
    pub(super) fn list(shown: String, cells: &[Self]) -> Self {
        Self::Parts(shown, format!("[{}]", cells.iter().map(Self::json).collect::<Vec<_>>().join(",")))
    }

    /// The same for programs, and this for people.
    pub(super) fn shown_as(self, shown: impl Into<String>) -> Self {
        Self::Parts(shown.into(), self.json())
    }

    /// As people see it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Nothing => "-".to_owned(),
            Self::LeftOut => String::new(),
            Self::Text(text) | Self::Parts(text, _) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
            Self::Bytes(bytes) => shown(bytes),
        }
    }

    /// As programs see it.
    pub(super) fn json(&self) -> String {
        match self {
            Self::Nothing | Self::LeftOut => "null".to_owned(),
            Self::Text(text) => quoted(text),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => quoted(text),
                Err(_) => format!("{{\"b64\":\"{}\"}}", STANDARD.encode(bytes)),
            },
            Self::Parts(_, json) => json.clone(),
        }
    }

    /// Nothing but the bytes.
    pub(super) fn raw(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Nothing | Self::LeftOut => Vec::new(),
            Self::Text(_) | Self::Number(_) | Self::Flag(_) | Self::Parts(..) => self.shown().into_bytes(),
        }
    }
}

/// Text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An object of these fields, in this order.
pub(super) fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a Cell)>) -> String {
    let fields: Vec<String> =
        fields.map(|(name, cell)| format!("{}:{}", quoted(name), cell.json())).collect();
    format!("{{{}}}", fields.join(","))
}

/// Bytes for people: text as it is, everything else escaped.
pub(super) fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => format!("\"{}\"", bytes.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_in_json_if_they_are_any_and_base64_otherwise() {
        assert_eq!(Cell::from(Bytes::from("a\"\n")).json(), r#""a\"\n""#);
        assert_eq!(Cell::from(Bytes::from_static(b"\xff\0")).json(), r#"{"b64":"/wA="}"#);
        assert_eq!(Cell::from(Bytes::from_static(b"\xff\0")).shown(), r#""\xff\x00""#);
        assert_eq!(Cell::lease(7).json(), r#""7""#);
        assert_eq!(Cell::lease(0).json(), "null");
    }

    #[test]
    fn an_object_has_its_fields_in_the_order_given() {
        let cell = Cell::object("x".into(), &[("z", 1.into()), ("a", true.into()), ("m", Cell::Nothing)]);
        assert_eq!(cell.json(), r#"{"z":1,"a":true,"m":null}"#);
        assert_eq!(Cell::list(String::new(), &[1.into(), "two".into()]).json(), r#"[1,"two"]"#);
    }
}
