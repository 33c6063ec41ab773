//! The model, continued: the commands that change no key.

use std::collections::BTreeMap;

use holdfast_command::audit::TouchedKind;
use holdfast_command::keys::Compact;
use holdfast_command::namespaces::{DeleteNamespace, Rules, SetNamespace};
use holdfast_command::sessions::{CloseSession, KeepSessions, OpenSession};
use holdfast_command::settings::{ChangeSettings, RaiseFeatureLevel};
use holdfast_command::{Actor, FeatureLevel, Refusal, Reply, SessionId, Setting};
use holdfast_machine::Numbered;

use super::naive::{Halted, Naive, Session};

impl Naive {
    pub(crate) fn compact(&mut self, compact: Compact) -> Result<Reply, Refusal> {
        let (asked, oldest, current) = (compact.revision, self.oldest, self.revision());
        if asked <= oldest {
            return Err(Refusal::Compacted { asked, oldest });
        }
        if asked > current {
            return Err(Refusal::FutureRevision { asked, current });
        }
        self.effect(5, None, &[asked]);
        self.touch(TouchedKind::History, &[], oldest, false);
        self.oldest = asked;
        Ok(Reply::Compacted { oldest: asked })
    }

    pub(crate) fn set_namespace(&mut self, set: &SetNamespace) -> Result<Reply, Refusal> {
        let limit = self.setting(Setting::Namespaces);
        if !self.namespaces.contains_key(&*set.name) && self.namespaces.len() as u64 >= limit {
            return Err(Refusal::TooManyNamespaces { limit });
        }
        if self.namespaces.contains_key(&*set.name) && self.namespaces.len() as u64 >= limit {
            self.marks.insert("namespace replaced at the limit");
        }
        let Rules { quota_keys, quota_bytes, value_bytes, .. } = set.rules;
        self.effect(6, Some(set.name.as_bytes()), &[quota_keys, quota_bytes, value_bytes]);
        self.touch(TouchedKind::Namespace, set.name.as_bytes(), 0, false);
        self.namespaces.insert(set.name.to_string(), set.rules.clone());
        Ok(Reply::NamespaceSet)
    }

    pub(crate) fn delete_namespace(&mut self, delete: &DeleteNamespace) -> Result<Reply, Refusal> {
        match self.namespaces.remove(&*delete.name) {
            Some(_) => {
                self.effect(6, Some(delete.name.as_bytes()), &[]);
                self.touch(TouchedKind::Namespace, delete.name.as_bytes(), 0, true);
                Ok(Reply::NamespaceDeleted)
            }
            None => Err(Refusal::UnknownNamespace),
        }
    }

    pub(crate) fn change_settings(&mut self, change: &ChangeSettings) -> Result<Reply, Refusal> {
        let mut changed = self.settings;
        for (number, value) in change.changes.iter().copied() {
            let setting = Setting::from_number(number).ok_or(Refusal::UnknownSetting { number })?;
            let scope = setting.scope();
            if value < scope.min || value > scope.max {
                return Err(Refusal::SettingOutOfRange { number, value });
            }
            changed.set(setting, value);
        }
        let shortest = changed.get(Setting::SessionTtlMin);
        if shortest > changed.get(Setting::SessionTtlMax) {
            self.marks.insert("shortest time to live above the longest");
            return Err(Refusal::SettingOutOfRange { number: 9, value: shortest });
        }
        let shortest = changed.get(Setting::LeaseTtlMin);
        if shortest > changed.get(Setting::LeaseTtlMax) {
            self.marks.insert("shortest time to live of a lease above the longest");
            return Err(Refusal::SettingOutOfRange { number: 22, value: shortest });
        }
        for (number, value) in change.changes.iter().copied() {
            let before = Setting::from_number(number).map_or(0, |setting| self.setting(setting));
            self.effect(7, None, &[number.into(), value]);
            self.touch_number(TouchedKind::Setting, number.into(), before, false);
        }
        self.settings = changed;
        Ok(Reply::SettingsChanged)
    }

    pub(crate) fn raise(&mut self, raise: RaiseFeatureLevel) -> Result<Result<Reply, Refusal>, Halted> {
        if raise.level.0 != self.level.0 + 1 {
            return Ok(Err(Refusal::LevelNotNext { level: self.level, asked: raise.level }));
        }
        if raise.level > FeatureLevel::LATEST {
            return Err(Halted);
        }
        self.effect(8, None, &[raise.level.0.into()]);
        self.touch(TouchedKind::Level, &[], self.level.0.into(), false);
        self.level = raise.level;
        Ok(Ok(Reply::LevelRaised { level: self.level }))
    }

    pub(crate) fn open(&mut self, open: OpenSession, actor: &Actor) -> Result<Reply, Refusal> {
        let ttl_ms = open.ttl_ms;
        let (shortest, longest) =
            (self.setting(Setting::SessionTtlMin), self.setting(Setting::SessionTtlMax));
        if ttl_ms < shortest {
            return Err(Refusal::TtlOutOfRange { ttl_ms, bound_ms: shortest });
        }
        if ttl_ms > longest {
            return Err(Refusal::TtlOutOfRange { ttl_ms, bound_ms: longest });
        }
        let limit = self.setting(Setting::Sessions);
        if self.sessions.len() as u64 >= limit {
            return Err(Refusal::TooManySessions { limit });
        }
        self.opened = ((self.stamp >> 16) * 1_024).max(self.opened + 1);
        let session = Session {
            actor: actor.clone(),
            ttl: ttl_ms,
            deadline: self.clock + ttl_ms,
            low: 1,
            answers: BTreeMap::new(),
        };
        self.effect(9, None, &[self.opened, session.deadline]);
        self.touch_number(TouchedKind::Session, self.opened, 0, false);
        self.sessions.insert(self.opened, session);
        Ok(Reply::SessionOpened { session: SessionId(self.opened) })
    }

    pub(crate) fn keep_sessions(&mut self, keep: &KeepSessions) -> Result<Reply, Refusal> {
        let mut unknown = Vec::new();
        for kept in &keep.kept {
            match self.sessions.get_mut(&kept.session.0).filter(|session| session.actor == kept.actor) {
                Some(session) => {
                    session.deadline = self.clock + session.ttl;
                    let deadline = session.deadline;
                    self.effect(9, None, &[kept.session.0, deadline]);
                }
                None => unknown.push(kept.session),
            }
        }
        if !unknown.is_empty() {
            self.marks.insert("session not kept");
        }
        Ok(Reply::SessionsKept { unknown })
    }

    pub(crate) fn close(&mut self, close: CloseSession, actor: &Actor) -> Result<Reply, Refusal> {
        let id = close.session.0;
        match self.sessions.get(&id).filter(|session| session.actor == *actor) {
            None => Err(Refusal::UnknownSession { session: close.session }),
            Some(_) => {
                self.sessions.remove(&id);
                self.effect(9, None, &[id, 0]);
                self.touch_number(TouchedKind::Session, id, 0, true);
                self.marks.insert("edge Close");
                Ok(Reply::SessionClosed)
            }
        }
    }
}
