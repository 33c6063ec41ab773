//! Namespaces: named key prefixes with rules and a count of what they hold.
//!
//! What a namespace holds is counted as keys change, so that a quota costs a look-up per write. A namespace that is
//! created over keys that are there takes their sum from the tree of keys, less what the namespaces inside hold, and
//! walks over none.

use std::ops::Bound;

use bytes::Bytes;
use bytestring::ByteString;
use holdfast_command::audit::TouchedKind;
use holdfast_command::layout::Reader;
use holdfast_command::namespaces::{DeleteNamespace, NAME_BYTES_MAX, Rules, SetNamespace, is_name};
use holdfast_command::{Refusal, Reply, Setting, Settings};
use imbl::OrdMap;

use crate::keys::Keys;
use crate::plant::Plant;
use crate::snapshot::{Records, Refused, Section};
use crate::state::{Execute, State};
use crate::trail::Effect;
use crate::version::{Origin, Version};

/// What is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Keys.
    pub keys: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

impl Usage {
    /// What one version adds.
    fn of(version: &Version) -> Self {
        if version.is_tombstone() { Self::default() } else { Self { keys: 1, bytes: version.bytes() } }
    }

    /// What is held if `new` takes the place of `old`, which is held.
    fn replaced(self, old: Self, new: Self) -> Self {
        Self { keys: self.keys - old.keys + new.keys, bytes: self.bytes - old.bytes + new.bytes }
    }

    fn add(&mut self, other: Self) {
        *self = self.replaced(Self::default(), other);
    }

    fn subtract(&mut self, other: Self) {
        *self = self.replaced(other, Self::default());
    }
}

/// A namespace: its rules and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// What holds for its keys.
    pub rules: Rules,
    /// Its keys, without those of namespaces inside.
    pub usage: Usage,
}

/// All namespaces, and what lies outside of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces {
    all: OrdMap<Bytes, Namespace>,
    outside: Usage,
}

impl Namespaces {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Namespace)> {
        self.all.iter().map(|(name, namespace)| (std::str::from_utf8(name).unwrap_or_default(), namespace))
    }

    pub(crate) fn outside(&self) -> Usage {
        self.outside
    }

    /// The namespace of a key: the longest that it begins with.
    fn of(&self, key: &[u8]) -> Option<(&Bytes, &Namespace)> {
        if self.all.is_empty() {
            return None;
        }
        let key = key.get(..NAME_BYTES_MAX).unwrap_or(key);
        let ends = key.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        ends.filter_map(|at| self.all.get_key_value(key.get(..=at)?)).next()
    }

    /// The longest value that a key may have.
    pub(crate) fn value_limit(&self, key: &[u8], settings: &Settings) -> u64 {
        let all = settings.get(Setting::ValueBytes);
        match self.of(key) {
            Some((_, namespace)) if namespace.rules.value_bytes > 0 => all.min(namespace.rules.value_bytes),
            Some(_) | None => all,
        }
    }

    fn usage_mut(&mut self, name: Option<&Bytes>) -> &mut Usage {
        match name.and_then(|name| self.all.get_mut(name)) {
            Some(namespace) => &mut namespace.usage,
            None => &mut self.outside,
        }
    }

    /// Counts a change.
    pub(crate) fn account(&mut self, version: &Version, previous: Option<&Version>) {
        let old = previous.map(Usage::of).unwrap_or_default();
        let name = self.of(version.key()).map(|(name, _)| name.clone());
        let usage = self.usage_mut(name.as_ref());
        *usage = usage.replaced(old, Usage::of(version));
    }

    /// Whether all these changes together leave every quota kept, or broken by no more than it was.
    pub(crate) fn check<'a>(
        &self,
        changes: impl Iterator<Item = (&'a Version, Option<&'a Version>)>,
        settings: &Settings,
    ) -> Result<(), Refusal> {
        let default = (settings.get(Setting::QuotaKeys), settings.get(Setting::QuotaBytes));
        if self.all.is_empty() && default == (0, 0) {
            return Ok(());
        }
        // What each namespace would hold; none stands for what is outside of all.
        let mut after: std::collections::BTreeMap<Option<&Bytes>, Usage> = std::collections::BTreeMap::new();
        for (version, previous) in changes {
            let namespace = self.of(version.key());
            let before = namespace.map_or(self.outside, |(_, namespace)| namespace.usage);
            let usage = after.entry(namespace.map(|(name, _)| name)).or_insert(before);
            *usage = usage.replaced(previous.map(Usage::of).unwrap_or_default(), Usage::of(version));
        }
        for (name, usage) in after {
            let namespace = name.and_then(|name| self.all.get(name));
            let before = namespace.map_or(self.outside, |namespace| namespace.usage);
            let (keys, bytes) = namespace
                .map_or(default, |namespace| (namespace.rules.quota_keys, namespace.rules.quota_bytes));
            let over = |now: u64, before: u64, quota: u64| quota > 0 && now > quota && now > before;
            if over(usage.keys, before.keys, keys) {
                return Err(Refusal::QuotaOfKeys { keys: usage.keys, quota: keys });
            }
            if over(usage.bytes, before.bytes, bytes) {
                return Err(Refusal::QuotaOfBytes { bytes: usage.bytes, quota: bytes });
            }
        }
        Ok(())
    }

    /// Adds a namespace, and counts what it holds: it is no longer held by the one around it.
    fn create(&mut self, name: &Bytes, rules: Rules, keys: &Keys) {
        let around = self.around(name);
        self.all.insert(name.clone(), Namespace { rules, usage: Usage::default() });
        let mut usage = keys.usage_of_prefix(name);
        let inside = self.all.range::<_, [u8]>((Bound::Excluded(&name[..]), Bound::Unbounded));
        for (_, inner) in inside.take_while(|(inner, _)| inner.starts_with(name)) {
            usage.subtract(inner.usage);
        }
        self.usage_mut(around.as_ref()).subtract(usage);
        self.usage_mut(Some(name)).add(usage);
    }

    /// Writes all of them into a snapshot, as the commands that would set them.
    pub(crate) fn write(&self, records: &mut Records) {
        for (name, namespace) in self.iter() {
            let set = SetNamespace { name: name.into(), rules: namespace.rules.clone() };
            records.put(Section::Namespaces, |out| set.write(out));
        }
    }

    /// Sets what was read out of a snapshot, over the keys that are there.
    pub(crate) fn restore(&mut self, records: NamespaceRecords, keys: &Keys) {
        *self = Self { outside: keys.usage_of_prefix(&[]), ..Self::default() };
        for (name, rules) in records.0 {
            self.create(&name, rules, keys);
        }
    }

    /// The name of the namespace around this one.
    fn around(&self, name: &[u8]) -> Option<Bytes> {
        let inner = name.get(..name.len().saturating_sub(1)).unwrap_or_default();
        self.of(inner).map(|(name, _)| name.clone())
    }
}

impl Execute for SetNamespace {
    fn execute<P: Plant>(&self, state: &mut State, _: Origin<'_>) -> Result<Reply, Refusal> {
        let State { keys, namespaces, settings, trail, .. } = state;
        let name = owned(&self.name);
        let limits = [self.rules.quota_keys, self.rules.quota_bytes, self.rules.value_bytes];
        let rules = owned_rules(&self.rules);
        if let Some(namespace) = namespaces.all.get_mut(&name) {
            namespace.rules = rules;
            trail.note_named(Effect::Namespace, &name, &limits);
            trail.touch(TouchedKind::Namespace, &name, 0, false);
            return Ok(Reply::NamespaceSet);
        }
        let limit = settings.get(Setting::Namespaces);
        if namespaces.all.len() as u64 >= limit {
            return Err(Refusal::TooManyNamespaces { limit });
        }
        namespaces.create(&name, rules, keys);
        trail.note_named(Effect::Namespace, &name, &limits);
        trail.touch(TouchedKind::Namespace, &name, 0, false);
        Ok(Reply::NamespaceSet)
    }
}

impl Execute for DeleteNamespace {
    fn execute<P: Plant>(&self, state: &mut State, _: Origin<'_>) -> Result<Reply, Refusal> {
        let State { namespaces, trail, .. } = state;
        let gone = namespaces.all.remove(self.name.as_bytes().as_ref()).ok_or(Refusal::UnknownNamespace)?;
        let around = namespaces.around(self.name.as_bytes());
        namespaces.usage_mut(around.as_ref()).add(gone.usage);
        trail.note_named(Effect::Namespace, self.name.as_bytes(), &[]);
        trail.touch(TouchedKind::Namespace, self.name.as_bytes(), 0, true);
        Ok(Reply::NamespaceDeleted)
    }
}

/// The namespaces of a snapshot, by name. Kept until all keys are there.
#[derive(Debug, Default)]
pub(crate) struct NamespaceRecords(Vec<(Bytes, Rules)>);

impl NamespaceRecords {
    pub(crate) fn read(&mut self, fields: &mut Reader) -> Result<(), Refused> {
        let SetNamespace { name, rules } = SetNamespace::read(fields)?;
        Refused::unless(is_name(&name), "no namespace is called that")?;
        let ascends = self.0.last().is_none_or(|(last, _)| last[..] < *name.as_bytes());
        Refused::unless(ascends, "namespaces ascend")?;
        self.0.push((owned(&name), owned_rules(&rules)));
        Ok(())
    }
}

/// Rules that pin nothing: what is written down lives as long as the state, and a slice of an entry would keep all of it.
fn owned_rules(rules: &Rules) -> Rules {
    Rules {
        description: ByteString::from(&*rules.description),
        owners: rules.owners.iter().map(|owner| ByteString::from(&**owner)).collect(),
        ..*rules
    }
}

/// Text as bytes of its own, which pin nothing.
fn owned(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
