//! A store and the shortest ways to feed it.
#![allow(dead_code, reason = "each test program uses a part of it")]

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::elections::{Campaign, Proclaim, Resign};
use holdfast_command::keys::{Against, Compare, Operation, Put, Relation, Span, Transaction};
use holdfast_command::leases::{ExpireLease, GrantLease, RenewLeases, Renewed, RevokeLease};
use holdfast_command::locks::{Acquire, Release};
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

    /// What a node asks for.
    pub(crate) fn as_cluster(&mut self, command: Command) -> Result<Reply, Refusal> {
        let before = std::mem::replace(&mut self.actor, Actor::Cluster);
        let reply = self.command(command);
        self.actor = before;
        reply
    }

    /// A lease of this number, or of one that the store chooses.
    pub(crate) fn grant(&mut self, lease: i64, ttl_ms: u64) -> i64 {
        match self.command(Command::GrantLease(GrantLease { lease, ttl_ms })) {
            Ok(Reply::LeaseGranted { lease, .. }) => lease,
            other => panic!("{other:?}"),
        }
    }

    /// Renews leases in the name of the actor, and gives those back that it could not.
    pub(crate) fn renew(&mut self, leases: &[i64]) -> Vec<i64> {
        let actor = self.actor.clone();
        let kept = leases.iter().map(|lease| Renewed { lease: *lease, actor: actor.clone() }).collect();
        match self.as_cluster(Command::RenewLeases(RenewLeases { kept })) {
            Ok(Reply::LeasesRenewed { unknown }) => unknown,
            other => panic!("{other:?}"),
        }
    }

    /// An expiry with this counter. True if it ended the lease.
    pub(crate) fn expire(&mut self, lease: i64, counter: u64) -> bool {
        match self.as_cluster(Command::ExpireLease(ExpireLease { lease, counter })) {
            Ok(Reply::LeaseExpired { expired, .. }) => expired,
            other => panic!("{other:?}"),
        }
    }

    /// Ends what is over by now, as a leader does.
    pub(crate) fn expire_due(&mut self) {
        let due: Vec<(i64, u64)> = self.store.leases_due(self.clock).collect();
        for (lease, counter) in due {
            assert!(self.expire(lease, counter), "lease {lease}");
        }
    }

    pub(crate) fn counter(&self, lease: i64) -> u64 {
        self.store.lease(lease).expect("it is alive").counter()
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

/// A key on a lease.
pub(crate) fn put_on(lease: i64, key: &str, value: &str) -> Command {
    match put(key, value) {
        Command::Put(put) => Command::Put(Put { lease, ..put }),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn revoke(lease: i64) -> Command {
    Command::RevokeLease(RevokeLease { lease })
}

/// Asks for a lock, and waits for it if it has to.
pub(crate) fn acquire(name: &'static str, lease: i64) -> Command {
    Command::Acquire(Acquire { name: name.into(), lease, wait: true, value: Bytes::new() })
}

/// Asks for a lock, and goes away if it is held.
pub(crate) fn try_acquire(name: &'static str, lease: i64) -> Command {
    Command::Acquire(Acquire { name: name.into(), lease, wait: false, value: Bytes::new() })
}

pub(crate) fn release(name: &'static str, lease: i64) -> Command {
    Command::Release(Release { name: name.into(), lease })
}

pub(crate) fn campaign(name: &'static str, lease: i64, value: &'static str) -> Command {
    Command::Campaign(Campaign { name: name.into(), lease, value: value.into() })
}

pub(crate) fn proclaim(name: &'static str, lease: i64, token: u64, value: &'static str) -> Command {
    Command::Proclaim(Proclaim { name: name.into(), lease, token, value: value.into() })
}

pub(crate) fn resign(name: &'static str, lease: i64) -> Command {
    Command::Resign(Resign { name: name.into(), lease })
}

/// A write that happens only while this holds of the token of a lock or an election.
pub(crate) fn guarded(name: &'static str, against: Against, key: &str, value: &str) -> Command {
    let Command::Put(put) = put(key, value) else { panic!("a put") };
    let compare = Compare { span: Span::Key(name.into()), relation: Relation::Equal, against };
    let (compares, then) = (vec![compare], vec![Operation::Put(put)]);
    Command::Transact(Transaction { compares, then, otherwise: vec![] })
}

/// Whether the comparisons of a transaction held.
pub(crate) fn succeeded(reply: Result<Reply, Refusal>) -> bool {
    match reply {
        Ok(Reply::Transacted { succeeded, .. }) => succeeded,
        other => panic!("{other:?}"),
    }
}
