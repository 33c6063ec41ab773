//! What the tests of the storage share: power cuts, a formed node, and a data directory on a fake disk.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::cell::RefCell;

use bytes::Bytes;
use holdfast_raft::formation::{Formed, IdentityState, MemberList, Mint};
use holdfast_raft::{ClusterId, NodeId, NodeUuid, Recovered};
use holdfast_server::storage::{DataDir, Identity, LogOptions, Report, StorageError, open_log};
use holdfast_wal::Log;
use holdfast_wal::disk::FakeDisk;

pub(crate) type FakeLog = Log<FakeDisk>;

pub(crate) const NODE: NodeId = NodeId(2);

/// Three members; this node is the second.
pub(crate) fn mint() -> Mint {
    let member = |id: u64| (NodeId(id), Bytes::from(format!("10.0.0.{id}:7001")));
    let list = MemberList::new((1..=3).map(member)).expect("a list");
    Mint::new(ClusterId([0xc1; 16]), list, (1..=3).map(|id| NodeUuid([id; 16]))).expect("names")
}

pub(crate) fn formed_of(mint: &Mint, node: NodeId) -> Formed {
    let members = mint.list().members().iter().zip(mint.uuids());
    Formed {
        cluster: mint.cluster(),
        uuid: mint.uuid(node).expect("listed"),
        members: members.map(|((id, address), uuid)| (*id, *uuid, address.clone())).collect(),
    }
}

pub(crate) fn formed() -> Formed {
    formed_of(&mint(), NODE)
}

/// A formed node in its first boot, without a log.
pub(crate) fn identity() -> Identity {
    Identity { boot: 1, formation: IdentityState::Formed(mint()), ..Identity::blank(NODE, "prod") }
}

/// A node in memory: what its identity file says durably, and the disk of its log.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) identity: RefCell<Identity>,
    pub(crate) disk: FakeDisk,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self { identity: identity().into(), disk: FakeDisk::new(1 << 30) }
    }

    /// One with a log that was just made.
    pub(crate) fn with_log() -> Self {
        let node = Self::new();
        node.start().expect("an empty disk");
        node
    }

    /// Starts as a new process does.
    pub(crate) fn start(&self) -> Result<(FakeLog, Recovered, Report), StorageError> {
        let mut identity = self.identity.borrow().clone();
        open_log(self.disk.clone(), &mut identity, |next| self.store(next), &formed(), options())
    }

    pub(crate) fn store(&self, next: &Identity) -> Result<(), StorageError> {
        assert_eq!(next.broken_rule(), None);
        *self.identity.borrow_mut() = next.clone();
        Ok(())
    }

    /// The same node after a power cut that lost all that was not durable.
    pub(crate) fn power_cut(self) -> Self {
        let disk = self.disk.after_power_cut(&vec![0; self.disk.unsynced().len()]);
        Self { disk, ..self }
    }
}

pub(crate) fn options() -> LogOptions {
    LogOptions { segment_bytes: 16 * 1024, prepared: 2, salt_seed: 7 }
}

/// What a power cut may leave: everything, if that is less than `most`, and otherwise the extremes, each single cell
/// against all others, and `most` drawn from a seed.
pub(crate) fn power_cuts(disk: &FakeDisk, most: usize) -> Vec<FakeDisk> {
    let versions: Vec<usize> = disk.unsynced().iter().map(|cell| cell.versions).collect();
    let product = versions.iter().try_fold(1_usize, |product, count| product.checked_mul(*count));
    let mut choices: Vec<Vec<usize>> = Vec::new();
    if product.is_some_and(|product| product <= most) {
        choices.push(Vec::new());
        for count in &versions {
            let longer =
                |choice: Vec<usize>| (0..*count).map(move |version| [&choice[..], &[version]].concat());
            choices = choices.into_iter().flat_map(longer).collect();
        }
    } else {
        let old = vec![0; versions.len()];
        let new: Vec<usize> = versions.iter().map(|count| count - 1).collect();
        for (base, other) in [(&old, &new), (&new, &old)] {
            choices.push(base.clone());
            for at in 0..versions.len() {
                let mut choice = base.clone();
                choice[at] = other[at];
                choices.push(choice);
            }
        }
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..most {
            let mut draw = |count: usize| {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) as usize % count
            };
            choices.push(versions.iter().map(|count| draw(*count)).collect());
        }
    }
    choices.iter().map(|choice| disk.after_power_cut(choice)).collect()
}

/// Everything that a crash during `work` may leave, by power cut or by the end of the process.
pub(crate) fn crashes(disk: &FakeDisk, most: usize, work: impl FnOnce()) -> Vec<(String, FakeDisk)> {
    disk.record(true);
    work();
    disk.record(false);
    let mut moments = disk.take_moments();
    moments.push(disk.moment("the end"));
    let mut all = Vec::new();
    for moment in moments {
        all.push((format!("killed before {}", moment.before), moment.state.after_kill()));
        for cut in power_cuts(&moment.state, most) {
            all.push((format!("power cut before {}", moment.before), cut));
        }
    }
    all
}

pub(crate) fn data_dir(disk: &FakeDisk) -> DataDir<FakeDisk> {
    DataDir::on(disk.clone()).expect("nobody holds it")
}
