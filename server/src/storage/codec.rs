//! The bytes of the identity file.
//!
//! ```text
//!   0  8    magic, "HFIDENT" and a line feed
//!   8  u16  version, 1
//!  10  u32  length of the body
//!  14  u32  CRC-32 of everything else, magic and body
//!  18       the body
//!
//!      u64  node                                 u64  boot
//!      u8   flags: 1 log made, 2 hard state lost, 4 damaged, 8 and the claimed end can be trusted, 16 joins, 32 has joined,
//!           64 in a later life of the cluster than the first
//!      u64  term, u64 index of the claimed end; 0 unless damaged
//!      u16  length of the cluster's name, then the name
//!      u8   0 blank, 1 minted, 2 prepared, 3 formed; unless blank:
//!           16 cluster, u8 members; for each: u64 id, 16 uuid, u16 length of its address, then the address
//!      only with flag 16: 16 uuid of the directory, and with flag 32: 16 cluster
//!      only with flag 64: u64 epoch
//! ```
//! Little-endian. Version, length and check stay where they are in every version, so that damage is told from a later
//! build. There is one encoding of each identity, and every other is refused.

use bytes::{Buf, BufMut, Bytes};
use holdfast_raft::formation::{IdentityState, MemberList, Mint};
use holdfast_raft::{ClusterId, EntryId, NodeId, NodeUuid};

use super::identity::{DamageMark, Identity, Joining};
use super::layout::{Short, array, put_run, run, text};

const MAGIC: [u8; 8] = *b"HFIDENT\n";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 18;
const CHECK_AT: usize = 14;

/// Longer than any identity file: 15 members with the longest addresses are some 8 KiB.
pub(super) const IDENTITY_BYTES_MAX: u64 = 16 * 1024;

const LOG_MADE: u8 = 1;
const HARD_STATE_LOST: u8 = 2;
const DAMAGED: u8 = 4;
const TRUSTWORTHY: u8 = 8;
const JOINS: u8 = 16;
const JOINED: u8 = 32;
const LATER_LIFE: u8 = 64;

/// Why bytes are no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadIdentity {
    /// They are not what was written.
    Damaged(&'static str),
    /// A later build wrote them.
    Later { version: u16 },
}

impl From<Short> for BadIdentity {
    fn from(_: Short) -> Self {
        Self::Damaged("it ends before its last field")
    }
}

impl From<bytes::TryGetError> for BadIdentity {
    fn from(_: bytes::TryGetError) -> Self {
        Short.into()
    }
}

/// The version that this build writes.
pub(super) fn known_version() -> u16 {
    VERSION
}

pub(super) fn encode(identity: &Identity) -> Vec<u8> {
    let Identity { node, cluster_name, boot, formation, epoch, joining, log_made, hard_state_lost, damage } =
        identity;
    let joined = joining.and_then(|joining| joining.cluster);
    let mut body = Vec::new();
    body.put_u64_le(node.0);
    body.put_u64_le(*boot);
    let trustworthy = damage.is_some_and(|mark| mark.trustworthy);
    let flags = [
        (*log_made, LOG_MADE),
        (*hard_state_lost, HARD_STATE_LOST),
        (damage.is_some(), DAMAGED),
        (trustworthy, TRUSTWORTHY),
        (joining.is_some(), JOINS),
        (joined.is_some(), JOINED),
        (*epoch != 1, LATER_LIFE),
    ];
    body.put_u8(flags.iter().map(|(set, flag)| if *set { *flag } else { 0 }).sum());
    let claimed = damage.map_or(EntryId::ZERO, |mark| mark.claimed_end);
    body.put_u64_le(claimed.term.0);
    body.put_u64_le(claimed.index.0);
    put_run(&mut body, cluster_name.as_bytes());
    let (tag, mint) = match formation {
        IdentityState::Blank => (0, None),
        IdentityState::Minted(mint) => (1, Some(mint)),
        IdentityState::Prepared(mint) => (2, Some(mint)),
        IdentityState::Formed(mint) => (3, Some(mint)),
    };
    body.put_u8(tag);
    if let Some(mint) = mint {
        body.put_slice(&mint.cluster().0);
        let members = mint.list().members();
        // A list has at most 15.
        body.put_u8(u8::try_from(members.len()).unwrap_or(u8::MAX));
        for ((id, address), uuid) in members.iter().zip(mint.uuids()) {
            body.put_u64_le(id.0);
            body.put_slice(&uuid.0);
            put_run(&mut body, address);
        }
    }
    if let Some(joining) = joining {
        body.put_slice(&joining.uuid.0);
    }
    if let Some(cluster) = joined {
        body.put_slice(&cluster.0);
    }
    if *epoch != 1 {
        body.put_u64_le(*epoch);
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.put_slice(&MAGIC);
    bytes.put_u16_le(VERSION);
    bytes.put_u32_le(u32::try_from(body.len()).unwrap_or(u32::MAX));
    bytes.put_u32_le(0);
    bytes.put_slice(&body);
    let check = check(&bytes);
    bytes[CHECK_AT..HEADER_BYTES].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// The check of a file that is at least as long as a header.
fn check(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..CHECK_AT]);
    hasher.update(&bytes[HEADER_BYTES..]);
    hasher.finalize()
}

pub(super) fn decode(bytes: &Bytes) -> Result<Identity, BadIdentity> {
    if bytes.len() < HEADER_BYTES {
        return Err(BadIdentity::Damaged("it is shorter than its header"));
    }
    let mut header = bytes.slice(..HEADER_BYTES);
    let mut body = bytes.slice(HEADER_BYTES..);
    if array(&mut header)? != MAGIC {
        return Err(BadIdentity::Damaged("it does not begin like one"));
    }
    let (version, length) = (header.try_get_u16_le()?, header.try_get_u32_le()?);
    if usize::try_from(length) != Ok(body.len()) {
        return Err(BadIdentity::Damaged("its length is not what it says"));
    }
    if header.try_get_u32_le()? != check(bytes) {
        return Err(BadIdentity::Damaged("its check does not fit"));
    }
    // Whole by now: what does not fit was written so.
    if version != VERSION {
        return Err(BadIdentity::Later { version });
    }
    let identity = decode_body(&mut body)?;
    match identity.broken_rule() {
        Some(rule) => Err(BadIdentity::Damaged(rule)),
        // One encoding of each: this also refuses unknown flags, and what stands behind the last field.
        None if encode(&identity) != bytes[..] => Err(BadIdentity::Damaged("no build writes it like this")),
        None => Ok(identity),
    }
}

fn decode_body(body: &mut Bytes) -> Result<Identity, BadIdentity> {
    let node = NodeId(body.try_get_u64_le()?);
    let boot = body.try_get_u64_le()?;
    let flags = body.try_get_u8()?;
    let claimed_end = EntryId::new(body.try_get_u64_le()?, body.try_get_u64_le()?);
    let set = |flag: u8| flags & flag != 0;
    let name = text(body)?.ok_or(BadIdentity::Damaged("the cluster's name is no UTF-8"))?;
    let formation = match body.try_get_u8()? {
        0 => IdentityState::Blank,
        1 => IdentityState::Minted(decode_mint(body)?),
        2 => IdentityState::Prepared(decode_mint(body)?),
        3 => IdentityState::Formed(decode_mint(body)?),
        _ => return Err(BadIdentity::Damaged("the state of the formation is unknown")),
    };
    let joining = if set(JOINS) {
        let uuid = NodeUuid(array(body)?);
        Some(Joining { uuid, cluster: if set(JOINED) { Some(ClusterId(array(body)?)) } else { None } })
    } else {
        None
    };
    let epoch = if set(LATER_LIFE) { body.try_get_u64_le()? } else { 1 };
    Ok(Identity {
        node,
        cluster_name: name.to_string(),
        boot,
        formation,
        epoch,
        joining,
        log_made: set(LOG_MADE),
        hard_state_lost: set(HARD_STATE_LOST),
        damage: set(DAMAGED).then_some(DamageMark { claimed_end, trustworthy: set(TRUSTWORTHY) }),
    })
}

fn decode_mint(body: &mut Bytes) -> Result<Mint, BadIdentity> {
    let cluster = ClusterId(array(body)?);
    let mut members = Vec::new();
    let mut uuids = Vec::new();
    for _ in 0..body.try_get_u8()? {
        let id = NodeId(body.try_get_u64_le()?);
        uuids.push(NodeUuid(array(body)?));
        members.push((id, run(body)?));
    }
    let bad = |error: holdfast_raft::formation::BadList| BadIdentity::Damaged(error.0);
    // A list that is not sorted would be paired with the wrong uuids here; but then it is not written like this.
    Mint::new(cluster, MemberList::new(members).map_err(bad)?, uuids).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS_AT: usize = HEADER_BYTES + 16;

    fn mint() -> Mint {
        let address = |text: &'static str| Bytes::from_static(text.as_bytes());
        let list = MemberList::new([(NodeId(1), address("a:7001")), (NodeId(3), address("c:7001"))]);
        Mint::new(ClusterId([0xc1; 16]), list.unwrap(), [NodeUuid([0x11; 16]), NodeUuid([0x33; 16])]).unwrap()
    }

    /// One identity of each state, with every flag in one of them.
    fn identities() -> [Identity; 5] {
        let blank = Identity { boot: 1, ..Identity::blank(NodeId(3), "prod") };
        let minted = IdentityState::Minted(mint());
        let formed = IdentityState::Formed(mint());
        let damage = DamageMark { claimed_end: EntryId::new(5, 1000), trustworthy: true };
        [
            blank.clone(),
            Identity { formation: minted, node: NodeId(1), boot: 2, ..blank.clone() },
            Identity { formation: IdentityState::Prepared(mint()), boot: 0x0102_0304, ..blank.clone() },
            Identity { formation: formed.clone(), ..blank.clone() },
            Identity {
                formation: formed,
                log_made: true,
                hard_state_lost: true,
                damage: Some(damage),
                ..blank
            },
        ]
    }

    fn file(identity: &Identity) -> Bytes {
        Bytes::from(encode(identity))
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// With a check that fits again.
    fn sealed(mut bytes: Vec<u8>) -> Bytes {
        let check = check(&bytes);
        bytes[CHECK_AT..HEADER_BYTES].copy_from_slice(&check.to_le_bytes());
        bytes.into()
    }

    #[test]
    fn the_bytes_of_each_state_are_what_was_promised() {
        let mint = "c1".repeat(16)
            + "02"
            + "0100000000000000"
            + &"11".repeat(16)
            + "0600613a37303031"
            + "0300000000000000"
            + &"33".repeat(16)
            + "0600633a37303031";
        let prod = "040070726f64";
        let none = "00".repeat(16);
        let expected = [
            format!("0300000000000000{}00{none}{prod}00", "0100000000000000"),
            format!("0100000000000000{}00{none}{prod}01{mint}", "0200000000000000"),
            format!("0300000000000000{}00{none}{prod}02{mint}", "0403020100000000"),
            format!("0300000000000000{}00{none}{prod}03{mint}", "0100000000000000"),
            format!(
                "0300000000000000{}0f{}{prod}03{mint}",
                "0100000000000000", "0500000000000000e803000000000000"
            ),
        ];
        let headers = GOLDEN_HEADERS;
        for ((identity, body), header) in identities().iter().zip(expected).zip(headers) {
            assert_eq!(hex(&encode(identity)), header.to_owned() + &body);
        }
    }

    /// Magic, version, length, check.
    const GOLDEN_HEADERS: [&str; 5] = [
        "48464944454e540a0100280000004230f056",
        "48464944454e540a010079000000603b8676",
        "48464944454e540a01007900000085c4afe4",
        "48464944454e540a0100790000002c79293c",
        "48464944454e540a010079000000c97f0c1a",
    ];

    #[test]
    fn a_later_life_of_the_cluster_is_written_behind_everything_else() {
        let joining = Some(Joining { uuid: NodeUuid([0x22; 16]), cluster: Some(ClusterId([0xc1; 16])) });
        let first = Identity { joining, boot: 1, ..Identity::blank(NodeId(3), "prod") };
        let later = Identity { epoch: 2, ..first.clone() };
        assert_eq!(decode(&file(&later)), Ok(later.clone()));
        let (mut expected, written) = (encode(&first), encode(&later));
        expected[FLAGS_AT] |= LATER_LIFE;
        assert_eq!(written[HEADER_BYTES..expected.len()], expected[HEADER_BYTES..]);
        assert_eq!(written[expected.len()..], 2_u64.to_le_bytes());
        // There is one encoding of the first life: without the field.
        let mut twice = encode(&later);
        let at = twice.len() - 8;
        twice[at..].copy_from_slice(&1_u64.to_le_bytes());
        assert!(matches!(decode(&sealed(twice)), Err(BadIdentity::Damaged(_))));
    }

    #[test]
    fn what_was_written_is_read() {
        for identity in identities() {
            assert_eq!(decode(&file(&identity)), Ok(identity));
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_refused_as_damage() {
        for identity in identities() {
            let bytes = file(&identity);
            let damaged =
                |bytes: &[u8]| matches!(decode(&Bytes::copy_from_slice(bytes)), Err(BadIdentity::Damaged(_)));
            for length in 0..bytes.len() {
                assert!(damaged(&bytes[..length]), "{length} bytes of {identity:?}");
            }
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(damaged(&flipped), "bit {bit} of {identity:?}");
            }
            assert!(damaged(&[&bytes[..], &[0]].concat()), "a byte more than {identity:?}");
        }
    }

    #[test]
    fn a_later_version_is_no_damage() {
        let mut bytes = encode(&identities()[0]);
        bytes[8] = 2;
        assert_eq!(decode(&sealed(bytes)), Err(BadIdentity::Later { version: 2 }));
    }

    #[test]
    fn whole_bytes_that_no_build_writes_are_refused_and_panic_nothing() {
        // Every byte of the body replaced by others, with a check that fits.
        for identity in identities() {
            let bytes = encode(&identity);
            for at in HEADER_BYTES..bytes.len() {
                for value in [0, 1, 2, 3, 4, 0x0f, 0x10, 0x7f, 0x80, 0xff] {
                    let mut other = bytes.clone();
                    other[at] = value;
                    let other = sealed(other);
                    if let Ok(read) = decode(&other) {
                        assert_eq!(encode(&read), other, "one encoding of each");
                    }
                }
            }
        }
        let mut unsorted = encode(&identities()[3]);
        let list_at = unsorted.len() - 64;
        unsorted[list_at..].rotate_left(32);
        let mut unknown_flag = encode(&identities()[0]);
        unknown_flag[FLAGS_AT] = 0x10;
        let mut trusted_but_whole = encode(&identities()[0]);
        trusted_but_whole[FLAGS_AT] = TRUSTWORTHY;
        let mut log_of_a_blank_node = encode(&identities()[0]);
        log_of_a_blank_node[FLAGS_AT] = LOG_MADE;
        for bytes in [unsorted, unknown_flag, trusted_but_whole, log_of_a_blank_node] {
            assert!(matches!(decode(&sealed(bytes)), Err(BadIdentity::Damaged(_))));
        }
    }

    #[test]
    fn the_longest_identity_fits_the_limit_of_a_file() {
        let address = |id: u64| Bytes::from(format!("{id:0>512}"));
        let list = MemberList::new((1..=15).map(|id| (NodeId(id), address(id)))).unwrap();
        let uuids = (1..=15).map(|id| NodeUuid([id; 16]));
        let formation = IdentityState::Formed(Mint::new(ClusterId([1; 16]), list, uuids).unwrap());
        let longest = Identity { formation, ..Identity::blank(NodeId(15), &"x".repeat(255)) };
        assert_eq!(longest.broken_rule(), None);
        assert!(encode(&longest).len() as u64 <= IDENTITY_BYTES_MAX);
        assert_eq!(decode(&file(&longest)), Ok(longest));
    }
}
