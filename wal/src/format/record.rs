//! Records: a head within one sector, a check for each sector of the body, the body.
//!
//! ```text
//!   sector k                                        sector k+1                      sector k+2
//!   │ … │ head │ check₀ check₁ check₂ │ body part 0 │ body part 1                   │ body part 2 │ pad │ next head …
//!       └ 72 B ┘                      └─ check₀ ────┘└─ check₁ ─────────────────────┘└─ check₂ ───┘
//!       └────────── head check ───────┘
//! ```
//! Where the head with its checks would not fit into the rest of a sector, a skip record fills that rest; a rest too
//! small for a head at all is left zero and passed over by rule.

use super::{ALIGN, Field, Get, Kind, MAX_FRAGMENT, Put, Salt, field, is_zero};
use crate::Group;
use crate::disk::SECTOR;
use crate::variant::{Break, Variant};
use holdfast_machine::Numbered;

/// The size of a head without its table of checks.
pub const HEAD_BYTES: usize = 72;

/// Sectors that a body touches at most.
pub const MAX_PIECES: usize = MAX_FRAGMENT as usize / SECTOR + 1;

const FIRST: u8 = 1;
const LAST: u8 = 2;

/// The head, field by field; the table of checks follows.
pub const HEAD_FIELDS: [Field; 13] = [
    field("check", 4, "salted CRC32 of the rest of the head and of the table"),
    field("length", 4, "of the body in bytes"),
    field("kind", 1, "what it is; 0 is never valid"),
    field("flags", 1, "1: first fragment, 2: last fragment, 3: a whole entry; 0 in other kinds"),
    field("pieces", 2, "sectors that the body touches: entries of the table, 4 bytes each"),
    field("group", 4, "Raft group, in records that concern one"),
    field("position", 8, "of this record: binds it to its place"),
    field("synced_upto", 8, "all positions before this were durable when this was written"),
    field("term", 8, "of the entry, or of the hard state"),
    field("index", 8, "of the entry"),
    field("prev_term", 8, "term of the entry before it"),
    field("cut_from", 8, "where the last cut of the group's log began"),
    field("cuts", 8, "how often a conflict cut the group's log, this record included"),
];

/// The body of a hard state; its term stands in the head.
pub const HARD_STATE_FIELDS: [Field; 2] = [
    field("vote", 8, "who got the vote; 0: nobody"),
    field("sequence", 8, "its number in this group; the same in the meta slot"),
];

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is.
    pub kind: Kind,
    /// Bytes of the body.
    pub length: u32,
    /// The first fragment of an entry.
    pub first: bool,
    /// The last fragment of an entry.
    pub last: bool,
    /// The group it concerns.
    pub group: Group,
    /// Where it stands.
    pub position: u64,
    /// All positions before this were durable when it was written.
    pub synced_upto: u64,
    /// Term of the entry, or of the hard state.
    pub term: u64,
    /// Index of the entry.
    pub index: u64,
    /// Term of the entry before it.
    pub prev_term: u64,
    /// Where the last cut of the group's log began.
    pub cut_from: u64,
    /// How often a conflict cut the group's log.
    pub cuts: u64,
}

/// Where a record of a given length goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The rest of a sector before it that a skip record fills: where, and how many bytes with its head.
    pub skip: Option<(u64, usize)>,
    /// Where the head begins.
    pub head_at: u64,
    /// Sectors that the body touches.
    pub pieces: usize,
    /// Where the body begins.
    pub body_at: u64,
    /// Where the next record may begin.
    pub end: u64,
}

/// Where a record with a body of `length` bytes goes if the log ends at `at`. All are offsets in a segment.
///
/// # Panics
/// If the body is larger than [`MAX_FRAGMENT`].
#[must_use]
pub fn place(at: u64, length: usize) -> Placement {
    assert!(length as u64 <= MAX_FRAGMENT, "a larger body is written as fragments");
    let sector = SECTOR as u64;
    let rest = sector - at % sector;
    if rest >= HEAD_BYTES as u64 {
        if let Some(placement) = place_in_sector(at, length) {
            return placement;
        }
        let next =
            place_in_sector(at + rest, length).expect("the largest table fits into a sector of its own");
        return Placement { skip: Some((at, rest as usize)), ..next };
    }
    place_in_sector(at + rest, length).expect("the largest table fits into a sector of its own")
}

/// The table is as long as the body touches sectors, and where the body begins depends on the table.
fn place_in_sector(at: u64, length: usize) -> Option<Placement> {
    let mut pieces = 0;
    loop {
        let body_at = at + HEAD_BYTES as u64 + 4 * pieces as u64;
        if body_at > at - at % SECTOR as u64 + SECTOR as u64 {
            return None;
        }
        let touched = pieces_of(body_at, length);
        if touched == pieces {
            let end = (body_at + length as u64).next_multiple_of(ALIGN);
            return Some(Placement { skip: None, head_at: at, pieces, body_at, end });
        }
        if touched < pieces {
            return None;
        }
        pieces = touched;
    }
}

fn pieces_of(body_at: u64, length: usize) -> usize {
    if length == 0 {
        return 0;
    }
    let sector = SECTOR as u64;
    ((body_at + length as u64 - 1) / sector - body_at / sector + 1) as usize
}

/// Cuts a body that begins at offset or position `at` where sectors end.
fn pieces(mut at: u64, mut body: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        if body.is_empty() {
            return None;
        }
        let room = SECTOR - (at % SECTOR as u64) as usize;
        let (piece, rest) = body.split_at(room.min(body.len()));
        let here = at;
        at += piece.len() as u64;
        body = rest;
        Some((here, piece))
    })
}

/// Appends a record to `out`, whose end is offset `placement.head_at` of the segment, and the padding behind it.
/// `head.length` and `head.position` are filled in.
pub fn write_record<V: Variant>(
    out: &mut Vec<u8>,
    base: u64,
    salt: Salt,
    placement: Placement,
    mut head: Head,
    body: &[u8],
) {
    head.length = body.len() as u32;
    head.position = base + placement.head_at;
    let begin = out.len();
    write_head(out, &head, placement.pieces);
    for (at, piece) in pieces(base + placement.body_at, body) {
        out.extend_from_slice(&check_piece::<V>(salt, at, piece).to_le_bytes());
    }
    seal(out, begin, salt);
    out.extend_from_slice(body);
    out.resize(begin + (placement.end - placement.head_at) as usize, 0);
}

/// Appends a skip record of `bytes` bytes to `out`, whose end is offset `at` of the segment.
pub fn write_skip(out: &mut Vec<u8>, base: u64, salt: Salt, at: u64, bytes: usize, synced_upto: u64) {
    let mut head = Head::control(Kind::Skip, synced_upto);
    head.length = (bytes - HEAD_BYTES) as u32;
    head.position = base + at;
    let begin = out.len();
    write_head(out, &head, 0);
    seal(out, begin, salt);
    out.resize(begin + bytes, 0);
}

fn write_head(out: &mut Vec<u8>, head: &Head, pieces: usize) {
    let mut put = Put(out);
    put.u32(0);
    put.u32(head.length);
    put.u8(head.kind.number());
    put.u8(if head.first { FIRST } else { 0 } | if head.last { LAST } else { 0 });
    put.u16(pieces as u16);
    put.u32(head.group.0);
    for value in
        [head.position, head.synced_upto, head.term, head.index, head.prev_term, head.cut_from, head.cuts]
    {
        put.u64(value);
    }
}

fn seal(out: &mut [u8], begin: usize, salt: Salt) {
    let check = salt.check(&out[begin + 4..]);
    out[begin..begin + 4].copy_from_slice(&check.to_le_bytes());
}

impl Head {
    /// The head of a record that concerns no group in particular.
    #[must_use]
    pub fn control(kind: Kind, synced_upto: u64) -> Self {
        Self {
            kind,
            length: 0,
            first: false,
            last: false,
            group: Group(0),
            position: 0,
            synced_upto,
            term: 0,
            index: 0,
            prev_term: 0,
            cut_from: 0,
            cuts: 0,
        }
    }

    /// Whether the record is one whole entry, or part of one.
    #[must_use]
    pub fn is_entry(&self) -> bool {
        matches!(self.kind, Kind::Entry | Kind::Fill)
    }
}

/// The body of a hard state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardStateBody {
    /// Who got the vote; 0: nobody.
    pub vote: u64,
    /// The number of this hard state in its group.
    pub sequence: u64,
}

impl HardStateBody {
    /// The body.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        [self.vote.to_le_bytes(), self.sequence.to_le_bytes()].concat()
    }

    /// Reads a body. `None` if it has another length.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut get = Get(body);
        (body.len() == 16).then(|| Self { vote: get.u64(), sequence: get.u64() })
    }
}

/// How the pieces of a body stand with the table of a valid head. *Zero* means: does not match and is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pieces {
    /// Each matches its check.
    Exact,
    /// Each matches or is zero, and one at least is zero: some were never written.
    SomeZero,
    /// One at least neither matches nor is zero: no power cut does that.
    SomeWrong,
}

/// What stands at a place where a record may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Zero up to the end of the sector.
    Unwritten,
    /// Neither a head nor zero.
    WrongHead,
    /// A valid head.
    Record {
        /// The head.
        head: Head,
        /// Its body.
        pieces: Pieces,
    },
    /// A valid head of a kind that this build does not know.
    UnknownKind(u8),
}

/// A place, and what stands there. All are offsets in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Where the head stands, or would.
    pub at: u64,
    /// What stands there.
    pub found: Found,
    /// Where the body begins; `at` if there is no valid head.
    pub body_at: u64,
    /// Where the next record may begin; `at` if there is no valid head.
    pub end: u64,
}

/// Where a head may begin if the record before it ends at `at`: a rest of a sector that is too small is passed over.
#[must_use]
pub fn head_place(at: u64) -> u64 {
    let sector = SECTOR as u64;
    let rest = sector - at % sector;
    if rest < HEAD_BYTES as u64 { at + rest } else { at }
}

/// Looks for a record at `at` of a segment whose bytes are `segment`. `None` at the end of the segment.
#[must_use]
pub fn look<V: Variant>(segment: &[u8], base: u64, salt: Salt, at: u64) -> Option<Look> {
    look_in::<V>(segment, 0, base, salt, at)
}

/// As [`look`], if only the bytes from `origin` on are at hand.
pub(crate) fn look_in<V: Variant>(bytes: &[u8], origin: u64, base: u64, salt: Salt, at: u64) -> Option<Look> {
    let at = head_place(at);
    let within = |from: u64, to: u64| bytes.get(from.checked_sub(origin)? as usize..(to - origin) as usize);
    let end_of_bytes = origin + bytes.len() as u64;
    if at + HEAD_BYTES as u64 > end_of_bytes {
        return None;
    }
    let here = within(at, (at + 1).next_multiple_of(SECTOR as u64).min(end_of_bytes))?;
    let nothing = |found| Some(Look { at, found, body_at: at, end: at });
    let (head, pieces_count) = match read_head::<V>(here, base + at, salt) {
        Some((Checked::Known(head), pieces)) => (head, pieces),
        Some((Checked::UnknownKind(number), _)) => return nothing(Found::UnknownKind(number)),
        None => return nothing(if is_zero(here) { Found::Unwritten } else { Found::WrongHead }),
    };
    let body_at = at + HEAD_BYTES as u64 + 4 * pieces_count as u64;
    let end = body_at + u64::from(head.length);
    let Some(body) = within(body_at, end) else {
        return nothing(Found::WrongHead);
    };
    let mut state = Pieces::Exact;
    if head.kind != Kind::Skip {
        let table = &here[HEAD_BYTES..HEAD_BYTES + 4 * pieces_count];
        if pieces_of(body_at, body.len()) != pieces_count {
            return nothing(Found::WrongHead);
        }
        for ((position, piece), declared) in pieces(base + body_at, body).zip(table.as_chunks::<4>().0) {
            if check_piece::<V>(salt, position, piece) != u32::from_le_bytes(*declared) {
                state = state.max(if is_zero(piece) { Pieces::SomeZero } else { Pieces::SomeWrong });
            }
        }
    }
    let end = end.next_multiple_of(ALIGN);
    Some(Look { at, found: Found::Record { head, pieces: state }, body_at, end })
}

/// Where the body ends of the record whose head begins at `at`, `here` being the bytes from there to the end of the sector.
pub(crate) fn extent<V: Variant>(here: &[u8], base: u64, salt: Salt, at: u64) -> Option<u64> {
    match read_head::<V>(here, base + at, salt)? {
        (Checked::Known(head), pieces) => {
            Some(at + (HEAD_BYTES + 4 * pieces) as u64 + u64::from(head.length))
        }
        (Checked::UnknownKind(_), _) => None,
    }
}

/// A head whose check holds.
enum Checked {
    Known(Head),
    UnknownKind(u8),
}

/// Reads the head at the front of `here`, which ends with the sector, and says how long its table is. `None` if its check
/// does not hold.
fn read_head<V: Variant>(here: &[u8], position: u64, salt: Salt) -> Option<(Checked, usize)> {
    let mut get = Get(here);
    let (check, length, number, flags, pieces) =
        (get.u32(), get.u32(), get.u8(), get.u8(), usize::from(get.u16()));
    let (group, stated) = (Group(get.u32()), get.u64());
    // The position first: it costs nothing and fails almost everywhere.
    let in_place = stated == position || V::breaks(Break::NoPositionBinding);
    if !in_place || number == 0 || pieces > MAX_PIECES || HEAD_BYTES + 4 * pieces > here.len() {
        return None;
    }
    if salt.check(&here[4..HEAD_BYTES + 4 * pieces]) != check {
        return None;
    }
    let Some(kind) = Kind::from_number(number) else {
        return Some((Checked::UnknownKind(number), pieces));
    };
    let head = Head {
        kind,
        length,
        first: flags & FIRST != 0,
        last: flags & LAST != 0,
        group,
        position: stated,
        synced_upto: get.u64(),
        term: get.u64(),
        index: get.u64(),
        prev_term: get.u64(),
        cut_from: get.u64(),
        cuts: get.u64(),
    };
    Some((Checked::Known(head), pieces))
}

fn check_piece<V: Variant>(salt: Salt, position: u64, piece: &[u8]) -> u32 {
    salt.check_piece(if V::breaks(Break::NoPositionBinding) { 0 } else { position }, piece)
}
