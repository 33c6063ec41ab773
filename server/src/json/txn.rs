//! A transaction as JSON, for programs that make one: the same document for `POST /v1/txn` and `holdfast txn --json`. Its words are
//! those of the lines that people write.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use holdfast_command::keys::{
    Against, Compare, Delete, Operation, Put, Range, Relation, Restore, Span, Transaction,
};
use serde::Deserialize;

/// `{"if": […], "then": […], "else": […]}`, each of which may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, rename = "if")]
    compares: Vec<WrittenCompare>,
    #[serde(default)]
    then: Vec<WrittenOperation>,
    #[serde(default, rename = "else")]
    otherwise: Vec<WrittenOperation>,
}

/// Text as it is, or `{"b64": "…"}`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "bytes are a string, or {\"b64\": \"…\"}")]
enum WrittenBytes {
    Text(String),
    Base64 { b64: String },
}

impl WrittenBytes {
    fn bytes(self) -> Result<Bytes, String> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Base64 { b64 } => STANDARD
                .decode(&b64)
                .map(Into::into)
                .map_err(|_| format!("{b64:?} is not base64 with its padding")),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum WrittenCompare {
    Exists(WrittenBytes),
    Missing(WrittenBytes),
    Value(Of<WrittenBytes>),
    Mod(Of<u64>),
    Created(Of<u64>),
    Version(Of<u64>),
    Lease(Of<String>),
    Fence(Token),
    Term(Token),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Of<T> {
    key: WrittenBytes,
    #[serde(default = "equal")]
    is: String,
    to: T,
}

fn equal() -> String {
    "=".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    name: WrittenBytes,
    token: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum WrittenOperation {
    Put(WrittenPut),
    Del(WrittenSpan),
    Get(WrittenSpan),
    Restore(WrittenRestore),
    Txn(Written),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPut {
    key: WrittenBytes,
    value: WrittenBytes,
    lease: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSpan {
    key: Option<WrittenBytes>,
    prefix: Option<WrittenBytes>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRestore {
    key: WrittenBytes,
    to: u64,
}

/// The transaction of this text, or where it is wrong and why.
pub(crate) fn parse(text: &str) -> Result<Transaction, String> {
    // A list would be taken for the members of an object, in their order.
    if !text.trim_start().starts_with('{') {
        return Err("a JSON object is wanted, {\"if\": […], \"then\": […], \"else\": […]}".to_owned());
    }
    let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
    written.transaction()
}

impl Written {
    fn transaction(self) -> Result<Transaction, String> {
        let list = |operations: Vec<WrittenOperation>| -> Result<Vec<Operation>, String> {
            operations.into_iter().map(WrittenOperation::operation).collect()
        };
        Ok(Transaction {
            compares: self.compares.into_iter().map(WrittenCompare::compare).collect::<Result<_, _>>()?,
            then: list(self.then)?,
            otherwise: list(self.otherwise)?,
        })
    }
}

/// How two things compare, as people write it.
///
/// # Errors
/// The words that there are.
pub(crate) fn relation(text: &str) -> Result<Relation, String> {
    match text {
        "=" | "==" => Ok(Relation::Equal),
        "!=" => Ok(Relation::NotEqual),
        "<" => Ok(Relation::Less),
        ">" => Ok(Relation::Greater),
        other => Err(format!("{other:?} is none of = != < >")),
    }
}

impl<T> Of<T> {
    fn compare(self, against: impl FnOnce(T) -> Result<Against, String>) -> Result<Compare, String> {
        let relation = relation(&self.is)?;
        Ok(Compare { span: Span::Key(self.key.bytes()?), relation, against: against(self.to)? })
    }
}

impl WrittenCompare {
    fn compare(self) -> Result<Compare, String> {
        let equal = |name: WrittenBytes, against: Against| {
            Ok(Compare { span: Span::Key(name.bytes()?), relation: Relation::Equal, against })
        };
        match self {
            Self::Exists(key) => {
                let span = Span::Key(key.bytes()?);
                Ok(Compare { span, relation: Relation::Greater, against: Against::Version(0) })
            }
            Self::Missing(key) => equal(key, Against::Version(0)),
            Self::Fence(token) => equal(token.name, Against::Fence(token.token)),
            Self::Term(token) => equal(token.name, Against::Term(token.token)),
            Self::Value(of) => of.compare(|value| Ok(Against::Value(value.bytes()?))),
            Self::Mod(of) => of.compare(|revision| Ok(Against::ModRevision(revision))),
            Self::Created(of) => of.compare(|revision| Ok(Against::CreateRevision(revision))),
            Self::Version(of) => of.compare(|version| Ok(Against::Version(version))),
            Self::Lease(of) => of.compare(|lease| Ok(Against::Lease(lease_of(&lease)?))),
        }
    }
}

/// The number of a lease is a string: it may be above 2^53.
fn lease_of(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text:?} is not the number of a lease"))
}

impl WrittenSpan {
    fn span(self) -> Result<Span, String> {
        match (self.key, self.prefix) {
            (Some(key), None) => Ok(Span::Key(key.bytes()?)),
            (None, Some(prefix)) => Ok(Span::prefix(prefix.bytes()?)),
            (Some(_), Some(_)) | (None, None) => Err("either a key or a prefix is wanted".to_owned()),
        }
    }

    /// What is to be deleted: not all there is, which is more often a variable that nobody has set than what is meant.
    fn deleted(self) -> Result<Span, String> {
        let span = self.span()?;
        if span == Span::prefix(Bytes::new()) {
            let why = "the prefix of a `del` is empty, and every key begins with that; `holdfast del '' --prefix --all` deletes all keys";
            return Err(why.to_owned());
        }
        Ok(span)
    }
}

impl WrittenOperation {
    fn operation(self) -> Result<Operation, String> {
        Ok(match self {
            Self::Put(WrittenPut { key, value, lease }) => Operation::Put(Put {
                key: key.bytes()?,
                value: value.bytes()?,
                lease: lease.as_deref().map_or(Ok(0), lease_of)?,
                ..Put::default()
            }),
            Self::Del(span) => Operation::Delete(Delete { span: span.deleted()?, return_previous: false }),
            Self::Get(span) => Operation::Range(Range::of(span.span()?)),
            Self::Restore(WrittenRestore { key, to }) => {
                Operation::Restore(Restore { key: key.bytes()?, revision: to, return_previous: false })
            }
            Self::Txn(inner) => Operation::Transaction(inner.transaction()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_becomes_the_transaction_that_it_says() {
        let text = r#"{
            "if": [{"value": {"key": "a", "to": "1"}}, {"mod": {"key": {"b64": "/w=="}, "is": "<", "to": 7}},
                   {"exists": "b"}, {"fence": {"name": "l", "token": 5}}, {"lease": {"key": "c", "to": "9"}}],
            "then": [{"put": {"key": "a", "value": {"b64": "/wA="}, "lease": "9"}}, {"restore": {"key": "c", "to": 3}}],
            "else": [{"get": {"prefix": "a"}}, {"del": {"key": "a"}}, {"txn": {"then": [{"get": {"key": "z"}}]}}]
        }"#;
        let transaction = parse(text).unwrap();
        assert_eq!(transaction.compares[0].against, Against::Value("1".into()));
        assert_eq!(transaction.compares[1].span, Span::Key(Bytes::from_static(b"\xff")));
        assert_eq!(transaction.compares[1].relation, Relation::Less);
        assert_eq!(transaction.compares[3].against, Against::Fence(5));
        assert_eq!(transaction.compares[4].against, Against::Lease(9));
        let Operation::Put(put) = &transaction.then[0] else { panic!("{:?}", transaction.then) };
        assert_eq!((put.value.as_ref(), put.lease), (&b"\xff\0"[..], 9));
        assert_eq!(transaction.otherwise.len(), 3);
    }

    #[test]
    fn json_that_says_nothing_known_is_refused_with_its_place() {
        for (text, why) in [
            ("{\"if\": [", "EOF while parsing"),
            ("{\"when\": []}", "unknown field `when`"),
            ("{\"then\": [{\"putt\": {}}]}", "unknown variant `putt`"),
            ("{\"then\": [{\"put\": {\"key\": \"a\"}}]}", "missing field `value`"),
            ("{\"then\": [{\"put\": {\"key\": {\"b64\": \"?\"}, \"value\": \"\"}}]}", "\"?\" is not base64"),
            ("{\"then\": [{\"put\": {\"key\": 7, \"value\": \"\"}}]}", "bytes are a string"),
            ("{\"then\": [{\"get\": {}}]}", "either a key or a prefix"),
            ("{\"then\": [{\"del\": {\"prefix\": \"\"}}]}", "the prefix of a `del` is empty"),
            (
                "{\"else\": [{\"txn\": {\"then\": [{\"del\": {\"prefix\": {\"b64\": \"\"}}}]}}]}",
                "the prefix of a `del` is empty",
            ),
            ("{\"if\": [{\"mod\": {\"key\": \"a\", \"is\": \"~\", \"to\": 1}}]}", "\"~\" is none of"),
            ("{\"if\": [{\"lease\": {\"key\": \"a\", \"to\": \"x\"}}]}", "not the number of a lease"),
            ("[]", "a JSON object is wanted"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
