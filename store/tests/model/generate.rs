//! Logs that go where it hurts: few keys, small limits, everything twice, too late, too early, cut off or in another's name.
//!
//! The generator looks at the model, so that most of what it writes is just about possible: revisions around the oldest and the
//! current one, sessions that are there or just were, sequences at the edge of the window.

use std::net::Ipv4Addr;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::keys::Compact;
use holdfast_command::namespaces::{DeleteNamespace, Rules, SetNamespace};
use holdfast_command::sessions::{CloseSession, KeepSessions, Kept, OpenSession};
use holdfast_command::settings::{ChangeSettings, RaiseFeatureLevel};
use holdfast_command::{
    Actor, Command, Envelope, Extensions, FeatureLevel, Request, RequestKey, SessionId, Setting,
};
use holdfast_machine::Numbered;

use super::coordinate::names_lease;
use super::naive::Naive;
use super::rng::Rng;
use super::rules;

const NAMES: [&str; 5] = ["a/", "a/b/", "b/", "c/", "a/b/c/"];
const NO_NAMES: [&str; 5] = ["", "a", "/a/", "a//", "/"];

/// Values that settings are set to: near to what a log of this size can reach.
const SMALL: [(Setting, &[u64]); 25] = [
    (Setting::RequestBytes, &[65_536, 4 << 20]),
    (Setting::Operations, &[4, 8, 4_096, 4_096, 4_096, 4_096]),
    (Setting::KeyBytes, &[16, 4_096]),
    (Setting::ValueBytes, &[16, 40, 1_000, 1_000]),
    (Setting::ReplyBytes, &[1_024, 1_024, 4_096]),
    (Setting::Sessions, &[1, 2, 4, 4]),
    (Setting::SessionWindow, &[1, 3, 3, 8]),
    (Setting::SessionReplyBytes, &[0, 40, 100, 1_000]),
    (Setting::SessionTtlMin, &[10, 10, 10, 20, 50]),
    (Setting::SessionTtlMax, &[20, 40, 100, 5_000, 5_000]),
    (Setting::IdempotencyTtl, &[10, 30, 300, 5_000]),
    (Setting::IdempotencyKeys, &[1, 2, 4, 4]),
    (Setting::IdempotencyReplyBytes, &[0, 50, 100, 1_000]),
    (Setting::Namespaces, &[0, 1, 2, 4, 4]),
    (Setting::QuotaKeys, &[0, 0, 2, 4, 8]),
    (Setting::QuotaBytes, &[0, 0, 20, 60, 1_000]),
    (Setting::HistoryAge, &[0, 5]),
    (Setting::HistoryBytes, &[0, 5]),
    (Setting::Visits, &[1, 3, 6, 12, 1_000, 1_000]),
    (Setting::AllSessionsReplyBytes, &[0, 60, 200, 10_000, 10_000]),
    (Setting::Leases, &[1, 2, 4, 8, 8]),
    (Setting::LeaseTtlMin, &[10, 10, 10, 20, 50]),
    (Setting::LeaseTtlMax, &[20, 40, 100, 5_000, 5_000]),
    (Setting::LeaseKeys, &[1, 2, 4, 1_000]),
    (Setting::Places, &[1, 2, 4, 8, 8, 8]),
];

/// What a log has more of than others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bent {
    None,
    /// Hundreds of keys, so that whatever holds them has to part and to join.
    Wide,
    /// Values of which a few are too long for an answer.
    Heavy,
}

impl Bent {
    /// Settings that are not made small at first.
    fn needs(self) -> &'static [Setting] {
        match self {
            Self::None => &[],
            Self::Wide => &[
                Setting::Operations,
                Setting::KeyBytes,
                Setting::QuotaKeys,
                Setting::QuotaBytes,
                Setting::Visits,
            ],
            Self::Heavy => &[Setting::ValueBytes, Setting::QuotaBytes],
        }
    }
}

/// Writes a log, entry by entry.
#[derive(Clone, Debug)]
pub(crate) struct Generator {
    pub(crate) rng: Rng,
    pub(crate) bent: Bent,
    /// Requests that may come again, with the actor they came from.
    recent: Vec<(Actor, Bytes)>,
    /// The next request carries a continuation, whose bytes are not to be changed: they might become another valid one.
    pub(crate) fragile: bool,
    /// It has a deadline, so that it matters which clock that is compared with.
    dated: bool,
    /// The lease that the next request is likely to name, so that all of it comes from whoever has that.
    pub(crate) lease: i64,
    /// Leases with counters that they once had.
    pub(crate) counters: Vec<(i64, u64)>,
    written: u64,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        let bent = match seed % 16 {
            7 => Bent::Wide,
            3 | 11 => Bent::Heavy,
            _ => Bent::None,
        };
        Self {
            rng: Rng::new(seed),
            bent,
            recent: Vec::new(),
            fragile: false,
            dated: false,
            lease: 0,
            counters: Vec::new(),
            written: 0,
        }
    }

    /// The next entry.
    pub(crate) fn entry(&mut self, model: &Naive) -> Bytes {
        self.written += 1;
        (self.fragile, self.dated) = (false, false);
        let (actor, request) = match self.rng.below(100) {
            _ if self.written == 1 => (Actor::Anonymous, self.first_settings()),
            0..=7 if !self.recent.is_empty() => {
                self.fragile = true;
                let (actor, request) = self.rng.pick(&self.recent).clone();
                let actor = if self.rng.permille(60) { self.actor() } else { actor };
                (actor, request)
            }
            8 => (self.actor(), self.unknown_command()),
            _ => self.fresh(model),
        };
        let mut envelope = self.envelope(model, actor);
        if self.dated && self.rng.permille(300) {
            let clocks = [model.clock.saturating_sub(2), model.clock.saturating_sub(2), model.clock + 3_000];
            envelope.clock = *self.rng.pick(&clocks);
        }
        let mut bytes = Vec::new();
        envelope.write(&mut bytes);
        bytes.extend_from_slice(&request);
        if self.rng.permille(25) && !self.fragile {
            self.damage(&mut bytes);
        }
        bytes.into()
    }

    fn first_settings(&mut self) -> Bytes {
        let mut changes = Vec::new();
        for (setting, values) in SMALL {
            if self.rng.permille(500) && !self.bent.needs().contains(&setting) {
                changes.push((setting.number(), *self.rng.pick(values)));
            }
        }
        changes.retain(|(number, _)| ![9, 10, 22, 23].contains(number));
        changes.extend([(9, 10), (10, 5_000), (22, 10), (23, 5_000)]);
        Request::from(Command::ChangeSettings(ChangeSettings { changes })).encode()
    }

    fn envelope(&mut self, model: &Naive, actor: Actor) -> Envelope {
        let clock = match self.rng.below(1_000) {
            0..=29 => model.clock.saturating_sub(self.rng.between(1, 50)),
            30..=33 => model.clock + 2_000,
            34..=36 => model.clock + 2_001,
            37..=39 => u64::MAX,
            40..=79 => model.clock + self.rng.below(40),
            _ => model.clock + self.rng.below(3),
        };
        let stamp = match self.rng.below(100) {
            _ if self.rng.below(3_000) == 0 => u64::MAX,
            0..=2 => model.stamp.saturating_sub(self.rng.between(1, 100_000)),
            3..=4 => model.stamp.saturating_add(1 << 24),
            _ => model.stamp.saturating_add(self.rng.below(4)),
        };
        let address = self.rng.permille(100).then(|| (Ipv4Addr::LOCALHOST.into(), 80));
        Envelope { stamp, clock, actor, auth_revision: self.rng.below(2), address }
    }

    pub(crate) fn actor(&mut self) -> Actor {
        match self.rng.below(6) {
            0..=2 => Actor::Anonymous,
            3 => Actor::Named("ann".into()),
            4 => Actor::Named("bob".into()),
            _ => Actor::Cluster,
        }
    }

    fn unknown_command(&mut self) -> Bytes {
        let number = *self.rng.pick(&[0_u16, 6, 100, 103, 203, 304, 402, u16::MAX]);
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0; 8]);
        bytes.truncate(self.rng.between(0, 10) as usize);
        bytes.into()
    }

    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let at = self.rng.below(bytes.len() as u64) as usize;
        match self.rng.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.push(self.rng.below(256) as u8),
            2 => bytes[at] ^= 1 << self.rng.below(8),
            _ => bytes[at] = self.rng.below(256) as u8,
        }
    }

    fn fresh(&mut self, model: &Naive) -> (Actor, Bytes) {
        self.lease = self.any_lease(model);
        let command = if self.rng.permille(300) { self.coordinate(model) } else { self.command(model) };
        let node = rules::of_node(&command);
        let mut actor = if node && !self.rng.permille(50) { Actor::Cluster } else { self.actor() };
        let mut key = match self.rng.below(100) {
            _ if node && !self.rng.permille(40) => RequestKey::None,
            0..=44 => self.session_key(model, &mut actor),
            45..=59 => self.idempotency_key(model),
            _ => RequestKey::None,
        };
        if let Command::CloseSession(close) = &command
            && let Some(session) = model.sessions.get(&close.session.0)
            && self.rng.permille(800)
        {
            actor = session.actor.clone();
        }
        if let Some(lease) = model.leases.get(&self.lease).filter(|_| names_lease(&command))
            && lease.actor != actor
            && self.rng.permille(850)
        {
            actor = lease.actor.clone();
            if matches!(key, RequestKey::Session { .. }) {
                key = RequestKey::None;
            }
        }
        let reason = match self.rng.below(200) {
            0 => ByteString::from("r".repeat(1_025)),
            1..=60 => ByteString::from("because"),
            _ => ByteString::new(),
        };
        let extensions = self.extensions(model);
        let mut bytes = Request { key, reason, command, extensions }.encode().to_vec();
        if self.rng.permille(10) {
            let second: [u8; 6] = *self.rng.pick(&[[1, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0]]);
            bytes.extend_from_slice(&second);
        }
        let bytes = Bytes::from(bytes);
        if key != RequestKey::None || self.rng.permille(50) {
            self.recent.push((actor.clone(), bytes.clone()));
            if self.recent.len() > 12 {
                self.recent.remove(0);
            }
        }
        (actor, bytes)
    }

    /// A session that is there, in most cases.
    fn session(&mut self, model: &Naive) -> u64 {
        let there: Vec<u64> = model.sessions.keys().copied().collect();
        if there.is_empty() || self.rng.permille(60) {
            return *self.rng.pick(&[0, 1, model.opened, model.opened.wrapping_add(1), u64::MAX]);
        }
        *self.rng.pick(&there)
    }

    fn session_key(&mut self, model: &Naive, actor: &mut Actor) -> RequestKey {
        if model.sessions.is_empty() && self.rng.permille(900) {
            return RequestKey::None;
        }
        let id = self.session(model);
        let Some(session) = model.sessions.get(&id) else {
            return RequestKey::Session { session: SessionId(id), sequence: 1, low: 1 };
        };
        if !self.rng.permille(60) {
            *actor = session.actor.clone();
        }
        let next = session.answers.keys().next_back().copied().unwrap_or(0).max(session.low - 1);
        let again = session.answers.keys().next_back().copied().unwrap_or(0);
        let window = model.setting(Setting::SessionWindow);
        let sequence = match self.rng.below(200) {
            0..=9 => self.rng.between(1, session.low),
            10..=29 => next.max(1),
            30..=33 => again.max(1),
            34..=37 => session.low.saturating_add(window - self.rng.below(2)),
            38 => u64::MAX - self.rng.below(2),
            39 => 0,
            _ => next.saturating_add(1),
        };
        let low = match self.rng.below(100) {
            _ if sequence == again && self.rng.permille(300) => session.low,
            0 => 0,
            1 => sequence.saturating_add(1),
            2..=9 => sequence,
            10..=94 if sequence >= session.low.saturating_add(window) => {
                sequence - self.rng.below(window.min(sequence))
            }
            10..=29 => sequence.saturating_sub(self.rng.below(window)).max(1),
            _ => session.low.min(sequence),
        };
        RequestKey::Session { session: SessionId(id), sequence, low }
    }

    fn idempotency_key(&mut self, model: &Naive) -> RequestKey {
        let full = model.remembered.len() as u64 >= model.setting(Setting::IdempotencyKeys);
        let known: Vec<[u8; 32]> = model.remembered.keys().copied().collect();
        let again = full && !known.is_empty() && !self.rng.permille(200);
        let key = if again { *self.rng.pick(&known) } else { [self.rng.below(6) as u8; 32] };
        RequestKey::Idempotency { key, request: [u8::from(self.rng.permille(80)); 32] }
    }

    fn extensions(&mut self, model: &Naive) -> Extensions {
        let usual = if model.level.0 == 1 { 8 } else { 120 };
        match self.rng.below(1_000) {
            0..=3 => Extensions::raw(*self.rng.pick(&[0, 2, 3, u16::MAX]), Bytes::from_static(b"x")),
            4..=9 => Extensions::raw(1, Bytes::from_static(b"1234567")),
            number if number < 10 + usual => {
                self.dated = true;
                Extensions::not_after((model.clock + self.rng.below(12)).saturating_sub(3))
            }
            _ => Extensions::default(),
        }
    }

    fn command(&mut self, model: &Naive) -> Command {
        let there = model.sessions.len() as u64;
        match self.rng.below(100) {
            0..=23 => Command::Put(self.put(model)),
            24..=31 => Command::Delete(self.delete(model)),
            32..=56 => self.transact(model),
            57..=63 => Command::Restore(self.restore(model)),
            64..=66 => Command::Compact(Compact { revision: self.compaction(model) }),
            67..=71 => self.set_namespace(),
            72..=73 if !model.namespaces.is_empty() || self.rng.permille(200) => {
                let there: Vec<&String> = model.namespaces.keys().collect();
                let unknown = there.is_empty() || self.rng.permille(200);
                let name = if unknown { *self.rng.pick(&NAMES) } else { self.rng.pick(&there).as_str() };
                Command::DeleteNamespace(DeleteNamespace { name: name.into() })
            }
            74..=76 => Command::ChangeSettings(ChangeSettings { changes: self.changes() }),
            77 => {
                let level = if model.level.0 == 1 && self.rng.permille(600) { 2 } else { self.rng.below(3) };
                let level = if level == 0 { 9 } else { level };
                Command::RaiseFeatureLevel(RaiseFeatureLevel { level: FeatureLevel(level as u16) })
            }
            78..=85 if there < model.setting(Setting::Sessions) || self.rng.permille(250) => {
                let (least, most) =
                    (model.setting(Setting::SessionTtlMin), model.setting(Setting::SessionTtlMax));
                let choices = [least, least + 30, most, most, least - 1, most + 1, u64::MAX];
                let usual = if self.rng.permille(900) { 4 } else { 7 };
                Command::OpenSession(OpenSession { ttl_ms: *self.rng.pick(&choices[..usual]) })
            }
            86..=90 => Command::KeepSessions(self.kept(model)),
            91..=92 => Command::CloseSession(CloseSession { session: SessionId(self.session(model)) }),
            _ => Command::Tick,
        }
    }

    fn compaction(&mut self, model: &Naive) -> u64 {
        match self.rng.below(20) {
            0 => self.revision(model),
            1..=6 => model.revision(),
            _ => self.rng.between(model.oldest, model.revision()).max(model.oldest + 1),
        }
    }

    fn set_namespace(&mut self) -> Command {
        let name = if self.rng.permille(40) { *self.rng.pick(&NO_NAMES) } else { *self.rng.pick(&NAMES) };
        let long = self.rng.permille(30).then(|| ByteString::from("d".repeat(1_025)));
        let owner = if self.rng.permille(30) { "o".repeat(256) } else { "ann".to_owned() };
        let rules = Rules {
            quota_keys: *self.rng.pick(&[0, 0, 1, 2, 4]),
            quota_bytes: *self.rng.pick(&[0, 0, 10, 40, 200]),
            value_bytes: match self.bent {
                Bent::Heavy => 1 << 40,
                Bent::None | Bent::Wide => *self.rng.pick(&[0, 0, 4, 16, 1 << 40]),
            },
            description: long.unwrap_or_default(),
            owners: vec![owner.into(); self.rng.below(2) as usize],
        };
        Command::SetNamespace(SetNamespace { name: name.into(), rules })
    }

    fn changes(&mut self) -> Vec<(u16, u64)> {
        let mut changes = Vec::new();
        for _ in 0..self.rng.between(0, 3) {
            let (setting, values) = *self.rng.pick(&SMALL);
            changes.retain(|(number, _)| *number != setting.number());
            changes.push((setting.number(), *self.rng.pick(values)));
        }
        match self.rng.below(30) {
            0 => changes.push((*self.rng.pick(&[0, 26, u16::MAX]), 1)),
            1 => {
                let setting = *self.rng.pick(Setting::ALL);
                let scope = setting.scope();
                let edges = [scope.min, scope.max, scope.min.wrapping_sub(1), scope.max.wrapping_add(1)];
                changes = vec![(setting.number(), *self.rng.pick(&edges))];
            }
            2 => changes.extend([(11, 50), (11, 60)]),
            3 => changes = vec![(9, *self.rng.pick(&[20, 50])), (10, 20)],
            7 => changes = vec![(22, *self.rng.pick(&[20, 50])), (23, 20)],
            8..=9 => changes = vec![(23, 5_000), (21, 8), (25, 8)],
            11 if self.bent != Bent::Heavy => changes = vec![(7, *self.rng.pick(&[1, 3, 8]))],
            4..=15 if self.bent == Bent::Heavy => changes = vec![(4, *self.rng.pick(&[16, 1_000]))],
            4..=6 => changes = vec![(4, *self.rng.pick(&[16, 40, 1_000]))],
            _ => {}
        }
        changes
    }

    fn kept(&mut self, model: &Naive) -> KeepSessions {
        let mut kept = Vec::new();
        for _ in 0..self.rng.below(4) {
            let session = self.session(model);
            let there = model.sessions.get(&session).filter(|_| !self.rng.permille(100));
            let actor = there.map_or(Actor::Anonymous, |session| session.actor.clone());
            kept.push(Kept { session: SessionId(session), actor });
        }
        KeepSessions { kept }
    }
}
