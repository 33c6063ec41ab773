//! The targets of replicated commands: any bytes end in a value or a typed error, and what is a value encodes to the same bytes
//! again. What decodes is also validated, and its parts are looked at as apply looks at them.
//!
//! As with `targets.rs`, two things run them: `cargo fuzz run -s none NAME`, and `command/tests/fuzz_targets.rs`, over mutated
//! golden bytes.

use bytes::Bytes;
use holdfast_command::keys::Range;
use holdfast_command::{
    Actor, Code, Entry, Envelope, FeatureLevel, Limits, Outcome, Refusal, Request, Settings, validate,
    validate_key,
};
use holdfast_machine::Numbered;

/// A decoder under test: any bytes go in.
pub type Target = fn(&[u8]);

/// All targets, by the name that `cargo fuzz run` takes.
pub const TARGETS: [(&str, Target); 2] =
    [("command_entry", command_entry), ("command_outcome", command_outcome)];

/// An entry of the log, and, since what stands behind an envelope is one, a request by itself; and a range.
pub fn command_entry(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    match Entry::decode(&bytes) {
        Ok(entry) => {
            assert_eq!(entry.encode(), data);
            judge(&entry.request, &entry.envelope.actor);
        }
        Err(error) => assert!(error.offset <= data.len() as u64),
    }
    if let Ok((envelope, request)) = Envelope::split(&bytes) {
        let mut again = Vec::new();
        envelope.write(&mut again);
        again.extend_from_slice(&request);
        assert_eq!(again, data);
    }
    match Request::decode(bytes.clone()) {
        Ok(request) => {
            assert_eq!(request.encode(), data);
            assert_eq!(Request::number(data), Some(request.command.number().number()));
            judge(&request, &Actor::Anonymous);
            judge(&request, &Actor::Cluster);
        }
        Err(error) => assert!(error.offset <= data.len() as u64),
    }
    if let Ok(range) = Range::decode(bytes) {
        let mut again = Vec::new();
        range.write(&mut again);
        assert_eq!(again, data);
    }
}

/// What came of a command.
pub fn command_outcome(data: &[u8]) {
    match Outcome::decode(Bytes::copy_from_slice(data)) {
        Ok(outcome) => {
            assert_eq!(outcome.encode(), data);
            if let Outcome(Err(refusal)) = outcome {
                shown(&refusal);
            }
        }
        Err(error) => assert!(error.offset <= data.len() as u64),
    }
}

/// Everything that is said about a request without a state.
fn judge(request: &Request, actor: &Actor) {
    for level in [FeatureLevel::FIRST, FeatureLevel::LATEST] {
        if let Err(refusal) = request.extensions.interpret(level) {
            shown(&refusal);
        }
    }
    let small = Limits { request_bytes: 64, operations: 2, key_bytes: 2, value_bytes: 2 };
    let length = request.encode().len();
    for limits in [Limits::from(&Settings::default()), small] {
        if let Err(refusal) = validate_key(request, actor).and_then(|()| validate(request, length, &limits)) {
            shown(&refusal);
        }
    }
}

/// A refusal has a code, is made again from it and its particulars, and can be printed.
fn shown(refusal: &Refusal) {
    let code: Code = refusal.code();
    assert_eq!(Refusal::from_parts(code, refusal.particulars()), Some(*refusal));
    assert!(!refusal.to_string().is_empty());
}
