//! JSON as it goes out, over HTTP and from the command line: bytes as text where they are text, numbers as numbers where every
//! tool keeps them whole. And the one document that comes in: a transaction.
//!
//! Revisions, tokens and indices stay below 2^53 and are numbers. Lease ids and stamps may not, so they are strings, as
//! positions are.

pub(crate) mod txn;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_command::KeyValue;
use holdfast_command::audit::{Touched, TouchedKind};
use holdfast_hlc::Stamp;
use holdfast_machine::Numbered as _;
use serde::{Serialize, Serializer};

/// Bytes of a key or a value: text if they are valid UTF-8, else `{"b64": "…"}`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blob<'a>(pub(crate) &'a [u8]);

#[derive(Serialize)]
struct Base64 {
    b64: String,
}

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Base64 { b64: STANDARD.encode(self.0) }.serialize(serializer),
        }
    }
}

/// A key and what it is.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    key: Blob<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Blob<'a>>,
    create_revision: u64,
    mod_revision: u64,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
    stamp: String,
    time: String,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(entry: &'a KeyValue, with_value: bool) -> Self {
        Self {
            key: Blob(&entry.key),
            value: with_value.then_some(Blob(&entry.value)),
            create_revision: entry.create_revision,
            mod_revision: entry.mod_revision,
            version: entry.version,
            lease: lease(entry.lease),
            stamp: Stamp::from_bits(entry.stamp).to_string(),
            time: time(entry.stamp),
        }
    }
}

/// A lease by its number; `None` for none.
pub(crate) fn lease(number: i64) -> Option<String> {
    (number != 0).then(|| number.to_string())
}

/// The time of a stamp as RFC 3339 has it.
pub(crate) fn time(stamp: u64) -> String {
    let text = Stamp::from_bits(stamp).to_string();
    text.rsplit_once('-').map_or(text.clone(), |(moment, _)| moment.to_owned())
}

/// As text. What is shown here has text for keys and no number that JSON does not know.
pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Something that a command has touched, as the audit log shows it.
#[derive(Debug, Serialize)]
pub(crate) struct ShownTouched<'a> {
    kind: String,
    /// A number as text, where it is one.
    name: Name<'a>,
    /// Its mod revision from before, 0 if it was not there.
    before: u64,
    gone: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Name<'a> {
    Number(String),
    Bytes(Blob<'a>),
}

impl<'a> From<&'a Touched> for ShownTouched<'a> {
    fn from(touched: &'a Touched) -> Self {
        let name = touched_number(touched)
            .map_or(Name::Bytes(Blob(&touched.name)), |number| Name::Number(number.to_string()));
        Self { kind: touched.kind.name().to_lowercase(), name, before: touched.before, gone: touched.gone }
    }
}

/// The number of what is named by one: a setting, a level, a session, a lease.
pub(crate) fn touched_number(touched: &Touched) -> Option<u64> {
    match touched.kind {
        TouchedKind::Key
        | TouchedKind::Namespace
        | TouchedKind::Lock
        | TouchedKind::Election
        | TouchedKind::History => None,
        TouchedKind::Setting | TouchedKind::Level | TouchedKind::Session | TouchedKind::Lease => {
            touched.name.first_chunk::<8>().copied().map(u64::from_le_bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_text_are_shown_as_text_and_others_as_base64() {
        assert_eq!(text(&Blob("grüße\n".as_bytes())), r#""grüße\n""#);
        assert_eq!(text(&Blob(&[0xff, 0])), r#"{"b64":"/wA="}"#);
        assert_eq!(text(&Blob(b"")), r#""""#);
    }

    #[test]
    fn what_could_be_above_2_to_the_53_is_a_string() {
        let entry = KeyValue { lease: i64::MAX, stamp: u64::MAX, ..KeyValue::default() };
        let shown = text(&Entry::new(&entry, true));
        assert!(shown.contains(r#""lease":"9223372036854775807""#), "{shown}");
        assert!(shown.contains(r#""mod_revision":0"#), "{shown}");
    }
}
