//! Who is to form a cluster, and what the identity file of a node says of it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::State;
use crate::{COUNT_MAX, ClusterId, NodeId, NodeUuid, VOTERS_MAX};

/// Bytes that the address of a member may have: a DNS name has at most 253, and a port at most five digits.
pub const ADDRESS_BYTES_MAX: usize = 512;

/// Defines newtypes over 128 bits that are shown as 32 hexadecimal digits.
macro_rules! shown_in_hex {
    ($( $name:ident ),+) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
    )+ };
}
shown_in_hex!(Life, ListHash);

/// Which part of a process's life: 128 random bits that are never written down. Another one begins with every start of the
/// process, and at every other id also whenever a new process of the lowest id asks for the first time.
///
/// What is meant for one life is not taken in another. A boot counter cannot do this: it stands in the directory, so that a
/// node whose directory was lost counts from 1 again, and would take for its own what was meant for the process before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life(pub u128);

/// Names a list of members in logs and in the identity file: equal lists have equal hashes, in every build, for ever.
///
/// FNV-1a with 128 bits over each member in ascending order of ids: the id in 8 bytes, the length of its address in 4
/// (both little-endian), the address. It tells mistakes apart, not forgeries, so lists are always compared whole too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListHash(pub u128);

/// FNV-1a with 128 bits, as published by Fowler, Noll and Vo.
fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.into_iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

/// The nodes that are to form a cluster: what the operator gave to each of them, the same to all.
///
/// # Invariants
/// At least one member and at most [`VOTERS_MAX`]; ids from 1 to below [`COUNT_MAX`], ascending, each once; addresses not
/// empty, at most [`ADDRESS_BYTES_MAX`] long, each once. [`hash`](Self::hash) is that of the members.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberList {
    hash: ListHash,
    members: Arc<[(NodeId, Bytes)]>,
}

/// Which rule a list of members or of names breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadList(pub &'static str);

impl fmt::Display for BadList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadList {}

/// The first rule that does not hold.
fn check(rules: &[(bool, &'static str)]) -> Result<(), BadList> {
    rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(BadList(rule)))
}

/// Whether no item comes twice.
fn distinct<T: Ord>(items: impl IntoIterator<Item = T>) -> bool {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items.windows(2).all(|pair| pair[0] != pair[1])
}

impl MemberList {
    /// A list from ids and addresses in any order. Addresses are opaque here.
    ///
    /// # Errors
    /// [`BadList`] with the rule that is broken; see the invariants.
    pub fn new(members: impl IntoIterator<Item = (NodeId, Bytes)>) -> Result<Self, BadList> {
        let mut members: Vec<(NodeId, Bytes)> = members.into_iter().collect();
        members.sort();
        check(&[
            (!members.is_empty(), "a cluster has at least one member"),
            (members.len() <= VOTERS_MAX, "a cluster begins with at most 15 members"),
            (members.iter().all(|(id, _)| (1..COUNT_MAX).contains(&id.0)), "a node id is 1 to below 2^62"),
            (distinct(members.iter().map(|(id, _)| id)), "a node id is given once"),
            (members.iter().all(|(_, address)| !address.is_empty()), "every member has an address"),
            (
                members.iter().all(|(_, address)| address.len() <= ADDRESS_BYTES_MAX),
                "an address has at most 512 bytes",
            ),
            (distinct(members.iter().map(|(_, address)| address)), "an address is given to one member"),
        ])?;
        let bytes = members.iter().flat_map(|(id, address)| {
            let length = u32::try_from(address.len()).unwrap_or(u32::MAX);
            id.0.to_le_bytes().into_iter().chain(length.to_le_bytes()).chain(address.iter().copied())
        });
        let hash = ListHash(fnv1a(bytes));
        Ok(Self { hash, members: members.into() })
    }

    /// The name of this list.
    #[must_use]
    pub fn hash(&self) -> ListHash {
        self.hash
    }

    /// Ids and addresses, in ascending order of ids.
    #[must_use]
    pub fn members(&self) -> &[(NodeId, Bytes)] {
        &self.members
    }

    /// The lowest id: the one node that mints.
    #[must_use]
    pub fn lowest(&self) -> NodeId {
        self.members[0].0
    }

    /// Where in the list this node stands; `None` if it does not.
    #[must_use]
    pub fn position(&self, id: NodeId) -> Option<usize> {
        self.members.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    /// All ids but this one.
    pub fn others(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        self.members.iter().map(|(id, _)| *id).filter(move |other| *other != id)
    }
}

/// As the operator wrote it, `1=a:7001,2=b:7001`; what is not readable in an address is escaped.
impl fmt::Display for MemberList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (id, address)) in self.members.iter().enumerate() {
            write!(f, "{}{id}={}", if at == 0 { "" } else { "," }, address.escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Debug for MemberList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

/// The names that the lowest id draws, once: of the cluster, and of the data directory of every listed node.
///
/// # Invariants
/// One uuid for each member, no uuid twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mint {
    cluster: ClusterId,
    list: MemberList,
    uuids: Arc<[NodeUuid]>,
}

impl Mint {
    /// Puts names together that were read from a disk or a wire; `uuids` in the order of the list.
    ///
    /// # Errors
    /// [`BadList`] with the rule that is broken; see the invariants.
    pub fn new(
        cluster: ClusterId,
        list: MemberList,
        uuids: impl IntoIterator<Item = NodeUuid>,
    ) -> Result<Self, BadList> {
        let uuids: Arc<[NodeUuid]> = uuids.into_iter().collect();
        check(&[
            (uuids.len() == list.members().len(), "every member has one uuid"),
            (distinct(uuids.iter()), "a uuid is given to one member"),
        ])?;
        Ok(Self { cluster, list, uuids })
    }

    /// The name of the cluster. Two mints of the same name are equal, unless somebody lies.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// For whom it was made.
    #[must_use]
    pub fn list(&self) -> &MemberList {
        &self.list
    }

    /// The uuids, in the order of the list.
    #[must_use]
    pub fn uuids(&self) -> &[NodeUuid] {
        &self.uuids
    }

    /// The name of this node's directory; `None` if the node is not listed.
    #[must_use]
    pub fn uuid(&self, id: NodeId) -> Option<NodeUuid> {
        self.list.position(id).map(|at| self.uuids[at])
    }
}

/// 16 bytes from the operating system's source of randomness, drawn anew for every start of the process.
///
/// All that has to be unique comes from it by bijections, one for each purpose: as long as the seed is uniform, each
/// result is, and two results of one seed never are equal. Nothing drawn here is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seed(pub [u8; 16]);

impl Seed {
    /// The `purpose`-th result: one step of `SplitMix64` (Steele, Lea, Flood 2014) for each half. The cluster has purpose 1,
    /// the uuid at position n has 2 + n, and the n-th life has 2^32 + n.
    fn draw(self, purpose: u64) -> u128 {
        let mix = |half: u64| {
            let z = half.wrapping_add(purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let whole = u128::from_be_bytes(self.0);
        u128::from(mix((whole >> 64) as u64)) << 64 | u128::from(mix(whole as u64))
    }

    /// The name of the `turn`-th life of the process that drew this seed, from 0.
    #[must_use]
    pub fn life(self, turn: u32) -> Life {
        Life(self.draw((1 << 32) + u64::from(turn)))
    }

    /// The names that this process would mint for a list.
    #[must_use]
    pub fn mint(self, list: &MemberList) -> Mint {
        let uuids =
            (3..).take(list.members().len()).map(|purpose| NodeUuid(self.draw(purpose).to_be_bytes()));
        let cluster = ClusterId(self.draw(1).to_be_bytes());
        Mint { cluster, list: list.clone(), uuids: uuids.collect() }
    }
}

/// What the identity file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityState {
    /// Nothing, or there is none.
    #[default]
    Blank,
    /// This node drew these names and has not counted that everybody holds them.
    Minted(Mint),
    /// This node holds these names and has not heard that anybody is formed under them.
    Prepared(Mint),
    /// This node belongs to the cluster.
    Formed(Mint),
}

impl IdentityState {
    /// The names held; `None` when blank.
    #[must_use]
    pub fn mint(&self) -> Option<&Mint> {
        match self {
            Self::Blank => None,
            Self::Minted(mint) | Self::Prepared(mint) | Self::Formed(mint) => Some(mint),
        }
    }

    /// The state of machine 16 that a node with this file begins in.
    #[must_use]
    pub fn state(&self) -> State {
        match self {
            Self::Blank => State::Blank,
            Self::Minted(_) => State::Minted,
            Self::Prepared(_) => State::Prepared,
            Self::Formed(_) => State::Formed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_list_is_fnv1a_as_published_and_stays_what_it_is() {
        assert_eq!(fnv1a(*b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fnv1a(*b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(fnv1a(*b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
        let list = |text: &str| {
            let members = text.split(',').enumerate();
            MemberList::new(
                members.map(|(at, a)| (NodeId(at as u64 + 1), Bytes::copy_from_slice(a.as_bytes()))),
            )
        };
        assert_eq!(list("a:1,b:1").unwrap().hash().to_string(), "2443d0796b305a8c4412890f512e000d");
        assert_ne!(list("a,bc").unwrap().hash(), list("ab,c").unwrap().hash(), "lengths are hashed too");
    }

    #[test]
    fn a_list_that_breaks_a_rule_is_none() {
        let list = |members: &[(u64, &'static [u8])]| {
            MemberList::new(members.iter().map(|(id, address)| (NodeId(*id), Bytes::from_static(address))))
        };
        let sorted = list(&[(3, b"c"), (1, b"a")]).unwrap();
        assert_eq!(sorted.to_string(), "1=a,3=c");
        assert_eq!(
            (sorted.lowest(), sorted.position(NodeId(3)), sorted.position(NodeId(2))),
            (NodeId(1), Some(1), None)
        );
        for (bad, rule) in [
            (&[][..], "a cluster has at least one member"),
            (&[(0, &b"a"[..])], "a node id is 1 to below 2^62"),
            (&[(COUNT_MAX, b"a")], "a node id is 1 to below 2^62"),
            (&[(1, b"a"), (1, b"b")], "a node id is given once"),
            (&[(1, b"a"), (2, b"a")], "an address is given to one member"),
            (&[(1, b"")], "every member has an address"),
            (&[(1, &[b'a'; ADDRESS_BYTES_MAX + 1])], "an address has at most 512 bytes"),
        ] {
            assert_eq!(list(bad), Err(BadList(rule)));
        }
        let many = (1..=16).map(|id| (NodeId(id), Bytes::from(id.to_string())));
        assert_eq!(MemberList::new(many), Err(BadList("a cluster begins with at most 15 members")));
        let uuids = |numbers: [u8; 2]| numbers.map(|number| NodeUuid([number; 16]));
        assert!(Mint::new(ClusterId([1; 16]), sorted.clone(), uuids([1, 2])).is_ok());
        assert!(Mint::new(ClusterId([1; 16]), sorted.clone(), uuids([1, 1])).is_err());
        assert!(Mint::new(ClusterId([1; 16]), sorted, [NodeUuid([1; 16])]).is_err());
    }

    #[test]
    fn everything_drawn_from_a_seed_differs_and_is_the_same_each_time() {
        let list = MemberList::new((1..=15).map(|id| (NodeId(id), Bytes::from(id.to_string())))).unwrap();
        let drawn = |seed: Seed| {
            let mint = seed.mint(&list);
            let uuids = mint.uuids().iter().map(|uuid| u128::from_be_bytes(uuid.0));
            uuids
                .chain([seed.life(0).0, seed.life(1).0, u128::from_be_bytes(mint.cluster().0)])
                .collect::<Vec<u128>>()
        };
        let (one, other) = (Seed([0; 16]), Seed([7; 16]));
        assert_eq!(drawn(one), drawn(one));
        assert!(distinct(drawn(one).into_iter().chain(drawn(other))));
    }
}
