//! JSON as it goes out: bytes as text where they are text, numbers as numbers where every tool keeps them whole.
//!
//! Revisions, tokens and indices stay below 2^53 and are numbers. Lease ids and stamps may not, so they are strings, as
//! positions are.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_command::KeyValue;
use holdfast_hlc::Stamp;
use serde::{Serialize, Serializer};

/// Bytes of a key or a value: text if they are valid UTF-8, else `{"b64": "…"}`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blob<'a>(pub(super) &'a [u8]);

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
pub(super) struct Entry<'a> {
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
    pub(super) fn new(entry: &'a KeyValue, with_value: bool) -> Self {
        Self {
            key: Blob(&entry.key),
            value: with_value.then_some(Blob(&entry.value)),
            create_revision: entry.create_revision,
            mod_revision: entry.mod_revision,
            version: entry.version,
            lease: lease(entry.lease),
            stamp: entry.stamp.to_string(),
            time: time(entry.stamp),
        }
    }
}

/// A lease by its number; `None` for none.
pub(super) fn lease(number: i64) -> Option<String> {
    (number != 0).then(|| number.to_string())
}

/// The time of a stamp as RFC 3339 has it.
pub(super) fn time(stamp: u64) -> String {
    let text = Stamp::from_bits(stamp).to_string();
    text.rsplit_once('-').map_or(text.clone(), |(moment, _)| moment.to_owned())
}

/// As text. What is shown here has text for keys and no number that JSON does not know.
pub(super) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A response of JSON that is text already.
pub(super) fn response(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text + "\n"));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A response of JSON, and that all is well.
pub(super) fn ok(value: &impl Serialize) -> Response {
    response(StatusCode::OK, text(value))
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
        assert!(shown.contains(r#""stamp":"18446744073709551615""#), "{shown}");
        assert!(shown.contains(r#""mod_revision":0"#), "{shown}");
    }
}
