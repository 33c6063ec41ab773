//! A store and the shortest ways to feed it.
#![allow(dead_code, reason = "each test program uses a part of it")]

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::keys::Put;
use holdfast_command::sessions::OpenSession;
use holdfast_command::settings::ChangeSettings;
use holdfast_command::{
    Actor, Command, Entry, Envelope, Outcome, Refusal, Reply, Request, RequestKey, SessionId, Setting,
};
use holdfast_machine::Numbered;
use holdfast_store::{Applied, LogPosition, Store};

pub(crate) struct Fed {
    pub(crate) store: Store,
    pub(crate) clock: u64,
    pub(crate) actor: Actor,
}

impl Fed {
    pub(crate) fn new() -> Self {
        Self { store: Store::new(), clock: 0, actor: Actor::Anonymous }
    }

    /// The entry that would come next.
    pub(crate) fn entry(&self, request: Request) -> Bytes {
        let stamp = self.store.applied().index << 16;
        let envelope =
            Envelope { stamp, clock: self.clock, actor: self.actor.clone(), ..Envelope::default() };
        Entry { envelope, request }.encode()
    }

    pub(crate) fn apply(&mut self, entry: &Bytes) -> Applied {
        let at = LogPosition { term: 1, index: self.store.applied().index + 1 };
        self.store.apply(at, entry).expect("it goes on")
    }

    pub(crate) fn request(&mut self, request: Request) -> Applied {
        let entry = self.entry(request);
        self.apply(&entry)
    }

    pub(crate) fn command(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.request(Request::from(command)).outcome.0
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) -> u64 {
        match self.command(put(key, value)) {
            Ok(Reply::Put { revision, .. }) => revision,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn set(&mut self, changes: &[(Setting, u64)]) {
        let changes = changes.iter().map(|(setting, value)| (setting.number(), *value)).collect();
        let reply = self.command(Command::ChangeSettings(ChangeSettings { changes }));
        assert_eq!(reply, Ok(Reply::SettingsChanged));
    }

    pub(crate) fn open(&mut self, ttl_ms: u64) -> SessionId {
        match self.command(Command::OpenSession(OpenSession { ttl_ms })) {
            Ok(Reply::SessionOpened { session }) => session,
            other => panic!("{other:?}"),
        }
    }

    /// Lets the cluster clock go on, as far as it takes in steps that an entry may make.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        let until = self.clock + milliseconds;
        while self.clock < until {
            self.clock = until.min(self.clock + 2_000);
            let before = std::mem::replace(&mut self.actor, Actor::Cluster);
            assert_eq!(self.command(Command::Tick), Ok(Reply::Ticked));
            self.actor = before;
        }
    }

    pub(crate) fn value(&self, key: &str) -> Option<String> {
        self.store.get(key.as_bytes()).map(|version| String::from_utf8_lossy(version.value()).into_owned())
    }
}

pub(crate) fn put(key: &str, value: &str) -> Command {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
    Command::Put(Put { key, value, ..Put::default() })
}

/// A command as number `sequence` of a session.
pub(crate) fn numbered(session: SessionId, sequence: u64, low: u64, command: Command) -> Request {
    Request { key: RequestKey::Session { session, sequence, low }, ..Request::from(command) }
}

pub(crate) fn named(name: &'static str) -> Actor {
    Actor::Named(ByteString::from_static(name))
}

pub(crate) fn refused(outcome: &Outcome) -> Refusal {
    outcome.0.clone().expect_err("a refusal")
}
