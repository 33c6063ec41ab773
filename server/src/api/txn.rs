//! A transaction as JSON: the same document for HTTP and for `holdfast txn --json`.
//!
//! ```json
//! {
//!   "if":   [{"key": "app/db", "mod_revision": 7}, {"key": "app/db", "value": "old", "is": "!="},
//!            {"lock": "backup", "token": 1882494189174784}],
//!   "then": [{"put": {"key": "app/db", "value": "new"}}, {"delete": {"prefix": "app/tmp/"}}],
//!   "else": [{"get": {"key": "app/db"}}]
//! }
//! ```
//! A key or a value is text, or `{"b64": "…"}` for bytes that are none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use holdfast_command::keys::{
    Against, Compare, Content, Delete, Operation, Put, Range, Relation, Span, Transaction,
};
use holdfast_command::{Command, Reply};
use serde::{Deserialize, Serialize};

use super::ask::{Call, Handled, unreadable};
use super::json::Entry;
use super::kv::written;
use super::problem::Problem;

/// Bytes as JSON has them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Blob {
    Text(String),
    Base64(Base64),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Base64 {
    b64: String,
}

impl Blob {
    fn bytes(self) -> Result<Bytes, String> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Base64(Base64 { b64 }) => {
                STANDARD.decode(&b64).map(Into::into).map_err(|error| format!("b64 {b64:?}: {error}"))
            }
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Document {
    #[serde(rename = "if")]
    compares: Vec<If>,
    then: Vec<Do>,
    #[serde(rename = "else")]
    otherwise: Vec<Do>,
}

/// A comparison: of a key or a prefix with one of its properties, or of a lock or an election with a token.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct If {
    key: Option<Blob>,
    prefix: Option<Blob>,
    lock: Option<Blob>,
    election: Option<Blob>,
    is: Option<String>,
    value: Option<Blob>,
    version: Option<u64>,
    mod_revision: Option<u64>,
    create_revision: Option<u64>,
    lease: Option<i64>,
    exists: Option<bool>,
    token: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Do {
    Put(DoPut),
    Delete(Keys),
    Get(DoGet),
    Txn(Document),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DoPut {
    key: Blob,
    value: Blob,
    #[serde(default)]
    lease: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    key: Option<Blob>,
    prefix: Option<Blob>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DoGet {
    key: Option<Blob>,
    prefix: Option<Blob>,
    #[serde(default)]
    limit: u64,
    #[serde(default)]
    keys_only: bool,
}

/// The keys that one of both names.
fn span(key: Option<Blob>, prefix: Option<Blob>) -> Result<Span, String> {
    match (key, prefix) {
        (Some(key), None) => Ok(Span::Key(key.bytes()?)),
        (None, Some(prefix)) => Ok(Span::prefix(prefix.bytes()?)),
        (None, None) | (Some(_), Some(_)) => Err("name one: \"key\" or \"prefix\"".to_owned()),
    }
}

impl If {
    fn compare(self) -> Result<Compare, String> {
        let Self {
            key,
            prefix,
            lock,
            election,
            is,
            value,
            version,
            mod_revision,
            create_revision,
            lease,
            exists,
            token,
        } = self;
        let relation = match is.as_deref() {
            None | Some("=" | "==") => Relation::Equal,
            Some("!=") => Relation::NotEqual,
            Some("<") => Relation::Less,
            Some(">") => Relation::Greater,
            Some(other) => return Err(format!("\"is\": {other:?} is none of = != < >")),
        };
        let mut against = Vec::new();
        against.extend(value.map(Blob::bytes).transpose()?.map(Against::Value));
        against.extend(version.map(Against::Version));
        against.extend(mod_revision.map(Against::ModRevision));
        against.extend(create_revision.map(Against::CreateRevision));
        against.extend(lease.map(Against::Lease));
        let one = |what: &str| format!("a comparison has one of {what}");
        if let (Some(exists), true) = (exists, against.is_empty() && token.is_none()) {
            if is.is_some() || lock.is_some() || election.is_some() {
                return Err("\"exists\" goes with \"key\" or \"prefix\" alone".to_owned());
            }
            let relation = if exists { Relation::Greater } else { Relation::Equal };
            return Ok(Compare { span: span(key, prefix)?, relation, against: Against::Version(0) });
        }
        match (lock, election, token) {
            (None, None, None) => {
                let (Some(against), true, None) = (against.pop(), against.is_empty(), exists) else {
                    return Err(one("value, version, mod_revision, create_revision, lease, exists"));
                };
                Ok(Compare { span: span(key, prefix)?, relation, against })
            }
            (lock, election, Some(token)) if against.is_empty() && exists.is_none() && key.is_none() => {
                let (name, against) = match (lock, election) {
                    (Some(lock), None) => (lock, Against::Fence(token)),
                    (None, Some(election)) => (election, Against::Term(token)),
                    (None, None) | (Some(_), Some(_)) => return Err(one("lock, election")),
                };
                Ok(Compare { span: Span::Key(name.bytes()?), relation, against })
            }
            (..) => Err("\"token\" goes with \"lock\" or \"election\" and nothing else".to_owned()),
        }
    }
}

impl Do {
    fn operation(self) -> Result<Operation, String> {
        Ok(match self {
            Self::Put(DoPut { key, value, lease }) => {
                Operation::Put(Put { key: key.bytes()?, value: value.bytes()?, lease, ..Put::default() })
            }
            Self::Delete(Keys { key, prefix }) => {
                Operation::Delete(Delete { span: span(key, prefix)?, return_previous: false })
            }
            Self::Get(DoGet { key, prefix, limit, keys_only }) => {
                let content = if keys_only { Content::KeysOnly } else { Content::Full };
                Operation::Range(Range { limit, content, ..Range::of(span(key, prefix)?) })
            }
            Self::Txn(document) => Operation::Transaction(document.transaction()?),
        })
    }
}

impl Document {
    fn transaction(self) -> Result<Transaction, String> {
        let place = |list: &'static str, at: usize| move |why: String| format!("{list}[{at}]: {why}");
        let operations = |list: &'static str, all: Vec<Do>| -> Result<Vec<Operation>, String> {
            let one = |(at, one): (usize, Do)| one.operation().map_err(place(list, at));
            all.into_iter().enumerate().map(one).collect()
        };
        let compares = self.compares.into_iter().enumerate();
        Ok(Transaction {
            compares: compares
                .map(|(at, one)| one.compare().map_err(place("if", at)))
                .collect::<Result<_, _>>()?,
            then: operations("then", self.then)?,
            otherwise: operations("else", self.otherwise)?,
        })
    }
}

/// The transaction of a document, or what is wrong with it.
pub(crate) fn parse(json: &[u8]) -> Result<Transaction, String> {
    let document: Document = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if document.compares.is_empty() && document.then.is_empty() && document.otherwise.is_empty() {
        return Err("the transaction is empty".to_owned());
    }
    document.transaction()
}

/// What one operation came to.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Result_<'a> {
    Put {},
    Deleted { count: u64 },
    Got { entries: Vec<Entry<'a>>, more: bool },
    Txn { succeeded: bool, results: Vec<Result_<'a>> },
    Other {},
}

fn result(reply: &Reply) -> Result_<'_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "an operation of a transaction answers nothing else")]
    match reply {
        Reply::Put { .. } => Result_::Put {},
        Reply::Deleted { count, .. } => Result_::Deleted { count: *count },
        Reply::Ranged(page) => Result_::Got {
            entries: page.entries.iter().map(|entry| Entry::new(entry, true)).collect(),
            more: page.more,
        },
        Reply::Transacted { succeeded, results, .. } => {
            Result_::Txn { succeeded: *succeeded, results: results.iter().map(result).collect() }
        }
        _ => Result_::Other {},
    }
}

#[derive(Serialize)]
struct Done<'a> {
    succeeded: bool,
    revision: u64,
    position: String,
    results: Vec<Result_<'a>>,
}

/// `POST /v1/txn`.
pub(super) async fn transact(mut call: Call) -> Handled {
    let reason = call.params.text("reason")?.unwrap_or_default();
    call.finish()?;
    let transaction = parse(&call.body).map_err(Problem::body)?;
    let (reply, position) = call.submit(Command::Transact(transaction), reason.into()).await?;
    let Reply::Transacted { revision, succeeded, results } = &reply else { return Err(unreadable()) };
    let (succeeded, revision) = (*succeeded, *revision);
    let results = results.iter().map(result).collect();
    Ok(written(&Done { succeeded, revision, position: position.to_string(), results }, position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_the_transaction_that_it_says() {
        let json = br#"{
            "if": [{"key": "a", "mod_revision": 7}, {"key": "a", "value": {"b64": "/wA="}, "is": "!="},
                   {"lock": "l", "token": 5}, {"prefix": "p/", "exists": false}],
            "then": [{"put": {"key": "a", "value": "1"}}, {"delete": {"prefix": "t/"}},
                     {"txn": {"then": [{"get": {"key": "x", "keys_only": true}}]}}],
            "else": [{"get": {"key": "a"}}]
        }"#;
        let Transaction { compares, then, otherwise } = parse(json).unwrap();
        assert_eq!(compares[0].against, Against::ModRevision(7));
        assert_eq!(
            (compares[1].relation, &compares[1].against),
            (Relation::NotEqual, &Against::Value(Bytes::from_static(b"\xff\0")))
        );
        assert_eq!(compares[2].against, Against::Fence(5));
        assert_eq!((&compares[3].span, compares[3].relation), (&Span::prefix("p/"), Relation::Equal));
        assert_eq!((then.len(), otherwise.len()), (3, 1));
        assert!(matches!(&then[2], Operation::Transaction(inner) if inner.then.len() == 1));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        for (json, why) in [
            (r#"{"then": [{"put": {"key": "a"}}]}"#, "missing field `value`"),
            (r#"{"than": []}"#, "unknown field `than`"),
            (r#"{"then": [{"put": {"key": "a", "value": "1", "leese": 1}}]}"#, "unknown field `leese`"),
            (r#"{"if": [{"key": "a"}]}"#, "if[0]: a comparison has one of value"),
            (r#"{"if": [{"key": "a", "version": 1, "value": "x"}]}"#, "if[0]: a comparison has one of value"),
            (r#"{"if": [{"key": "a", "value": "x", "is": "~"}]}"#, "\"~\" is none of"),
            (r#"{"if": [{"token": 1}]}"#, "if[0]: a comparison has one of lock, election"),
            (r#"{"if": [{"key": "a", "token": 1}]}"#, "\"token\" goes with"),
            (r#"{"then": [{"delete": {}}]}"#, "then[0]: name one"),
            (r#"{"then": [{"get": {"key": {"b64": "!"}}}]}"#, "then[0]: b64"),
            ("{}", "the transaction is empty"),
            (r#"{"then": ["#, "EOF"),
        ] {
            let told = parse(json.as_bytes()).unwrap_err();
            assert!(told.contains(why), "{json}: {told}");
        }
    }
}
