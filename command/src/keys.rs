//! The family of keys: put, delete, transact, restore, compact; and the range that a transaction may read.
//!
//! The semantics are those of etcd v3, so that an adapter stays thin; `docs/store.md` says where they differ.

use bytes::{BufMut, Bytes};
use holdfast_machine::{Numbered, numbered};

use crate::layout::{DecodeError, Fault, Reader, put_nested, put_section};

/// Transactions stand at most so deep in one another; the outermost counts.
pub const DEPTH_MAX: u8 = 4;

/// A transaction has at most so many operations and comparisons, in all branches together, whatever the settings say.
/// It bounds what decoding allocates: less than 3 MiB beyond the request itself.
pub const OPERATIONS_MAX: usize = 16_384;

/// What is written one key.
///
/// Bytes: u8 flags, i64 lease, section key, section value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// The key, not empty.
    pub key: Bytes,
    /// The value, which may be empty.
    pub value: Bytes,
    /// The lease it is attached to, 0 for none.
    pub lease: i64,
    /// Answer with what was there before.
    pub return_previous: bool,
    /// Leave the value as it is, and write anew what else there is. The key has to exist and `value` has to be empty.
    pub keep_value: bool,
    /// Leave the lease as it is. The key has to exist and `lease` has to be 0.
    pub keep_lease: bool,
}

/// Which keys.
///
/// Bytes: u8 kind, section key or start, and for `Between` a section end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// One key.
    Key(Bytes),
    /// All keys from `start` on and below `end`.
    Between {
        /// The first.
        start: Bytes,
        /// The first that does not belong to it.
        end: Bytes,
    },
    /// All keys from this one on. From the empty key: all there are.
    From(Bytes),
}

impl Span {
    /// All keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        match start.iter().rposition(|byte| *byte < u8::MAX) {
            None => Self::From(start),
            Some(last) => {
                let mut end = start.get(..=last).unwrap_or_default().to_vec();
                if let Some(byte) = end.last_mut() {
                    *byte += 1;
                }
                Self::Between { start, end: end.into() }
            }
        }
    }

    /// All keys.
    #[must_use]
    pub fn all() -> Self {
        Self::From(Bytes::new())
    }

    /// Whether `key` belongs to it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::Key(own) => own == key,
            Self::Between { start, end } => start <= key && key < &end[..],
            Self::From(start) => start <= key,
        }
    }

    /// Appends the span.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Key(key) => {
                out.put_u8(1);
                put_section(out, key);
            }
            Self::Between { start, end } => {
                out.put_u8(2);
                put_section(out, start);
                put_section(out, end);
            }
            Self::From(start) => {
                out.put_u8(3);
                put_section(out, start);
            }
        }
    }

    /// The span of these bytes, all of them.
    ///
    /// # Errors
    /// [`DecodeError`] with the offset of what is wrong.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let span = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(span)
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let kind = reader.u8()?;
        Ok(match kind {
            1 => Self::Key(reader.section()?),
            2 => Self::Between { start: reader.section()?, end: reader.section()? },
            3 => Self::From(reader.section()?),
            _ => return reader.known(None, "kind of span", kind.into(), 1),
        })
    }
}

/// Deletes keys. If there are none, nothing happens, and the revision stays.
///
/// Bytes: u8 flags, span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Which.
    pub span: Span,
    /// Answer with what was there before.
    pub return_previous: bool,
}

numbered! {
    /// By what a range is sorted. Equal ones are in the order of their keys.
    pub enum SortBy: u8, "O" {
        /// The key.
        Key = 1,
        /// The number of writes since it was created.
        Version = 2,
        /// The revision that created it.
        CreateRevision = 3,
        /// The revision that last wrote it.
        ModRevision = 4,
        /// The value.
        Value = 5,
    }
}

numbered! {
    /// How much of each key a range gives.
    pub enum Content: u8, "K" {
        /// Everything.
        Full = 1,
        /// Everything but the value.
        KeysOnly = 2,
        /// Only how many there are.
        CountOnly = 3,
    }
}

/// Revisions from `min` to `max`, each with 0 for no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The lowest.
    pub min: u64,
    /// The highest.
    pub max: u64,
}

impl Bounds {
    /// Whether `revision` is within.
    #[must_use]
    pub fn admit(self, revision: u64) -> bool {
        self.min <= revision && (self.max == 0 || revision <= self.max)
    }
}

/// Reads keys, at the current or an earlier revision, page by page.
///
/// Bytes: u8 sort, u8 content, u8 flags, u64 revision, u64 limit, u32 page bytes, u64 × 4 bounds, span, section
/// continuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Which keys.
    pub span: Span,
    /// At which revision; 0 for the current one.
    pub revision: u64,
    /// At most so many keys in all; 0 for all of them.
    pub limit: u64,
    /// In which order.
    pub sort_by: SortBy,
    /// From the last to the first.
    pub descending: bool,
    /// How much of each.
    pub content: Content,
    /// Also count the keys of the span, whatever limit and bounds leave of them. It costs a walk over all of them.
    pub count: bool,
    /// Only keys that were last written within these.
    pub mod_revision: Bounds,
    /// Only keys that were created within these.
    pub create_revision: Bounds,
    /// A page ends before its keys, with what is given of them (48 bytes each, key, value), have more bytes than this;
    /// at least one key is given. 0 for no bound but the server's own.
    pub page_bytes: u32,
    /// Where the page before said that the next one begins; empty for the first.
    pub continuation: Bytes,
}

impl Range {
    /// All of `span`, now, in the order of keys.
    #[must_use]
    pub fn of(span: Span) -> Self {
        Self {
            span,
            revision: 0,
            limit: 0,
            sort_by: SortBy::Key,
            descending: false,
            content: Content::Full,
            count: false,
            mod_revision: Bounds::default(),
            create_revision: Bounds::default(),
            page_bytes: 0,
            continuation: Bytes::new(),
        }
    }

    /// Appends the range.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_u8(self.sort_by.number());
        out.put_u8(self.content.number());
        out.put_u8(u8::from(self.descending) | (u8::from(self.count) << 1));
        out.put_u64_le(self.revision);
        out.put_u64_le(self.limit);
        out.put_u32_le(self.page_bytes);
        for bound in [self.mod_revision, self.create_revision] {
            out.put_u64_le(bound.min);
            out.put_u64_le(bound.max);
        }
        self.span.write(out);
        put_section(out, &self.continuation);
    }

    /// The range of these bytes, all of them.
    ///
    /// # Errors
    /// [`DecodeError`] with the offset of what is wrong.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let range = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(range)
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (sort_by, content) = (reader.numbered("sort")?, reader.numbered("content")?);
        let flags = reader.flags(3)?;
        let (revision, limit, page_bytes) = (reader.u64()?, reader.u64()?, reader.u32()?);
        let mod_revision = Bounds { min: reader.u64()?, max: reader.u64()? };
        let create_revision = Bounds { min: reader.u64()?, max: reader.u64()? };
        let (span, continuation) = (Span::read(reader)?, reader.section()?);
        let (descending, count) = (flags & 1 != 0, flags & 2 != 0);
        Ok(Self {
            span,
            revision,
            limit,
            sort_by,
            descending,
            content,
            count,
            mod_revision,
            create_revision,
            page_bytes,
            continuation,
        })
    }
}

numbered! {
    /// How two values are related.
    pub enum Relation: u8, "R" {
        /// They are the same.
        Equal = 1,
        /// They differ.
        NotEqual = 2,
        /// That of the key is the lower.
        Less = 3,
        /// That of the key is the higher.
        Greater = 4,
    }
}

numbered! {
    /// What of a key is compared.
    pub enum Subject: u8, "J" {
        /// The number of writes since it was created; 0 if it does not exist.
        Version = 1,
        /// The revision that created it; 0 if it does not exist.
        CreateRevision = 2,
        /// The revision that last wrote it; 0 if it does not exist.
        ModRevision = 3,
        /// The value. A key that does not exist has none, and every comparison of it fails.
        Value = 4,
        /// The lease; 0 if it has none or does not exist.
        Lease = 5,
        /// The fencing token under which the lock of this name is held; 0 if nobody holds it. Not of the key: a key
        /// of the same name has nothing to do with it.
        Fence = 6,
        /// The term of office in the election of this name; 0 if nobody is in office.
        Term = 7,
    }
}

/// What a key is compared with; or, of a lock or an election, the token of whoever holds it. The span of the latter two
/// is one key, which is the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    /// See [`Subject::Version`].
    Version(u64),
    /// See [`Subject::CreateRevision`].
    CreateRevision(u64),
    /// See [`Subject::ModRevision`].
    ModRevision(u64),
    /// See [`Subject::Value`].
    Value(Bytes),
    /// See [`Subject::Lease`].
    Lease(i64),
    /// See [`Subject::Fence`].
    Fence(u64),
    /// See [`Subject::Term`].
    Term(u64),
}

impl Against {
    /// What of the key it is.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::Version(_) => Subject::Version,
            Self::CreateRevision(_) => Subject::CreateRevision,
            Self::ModRevision(_) => Subject::ModRevision,
            Self::Value(_) => Subject::Value,
            Self::Lease(_) => Subject::Lease,
            Self::Fence(_) => Subject::Fence,
            Self::Term(_) => Subject::Term,
        }
    }
}

/// A comparison. Over several keys it holds if it holds for each of them; over none, it is made with a key that does
/// not exist.
///
/// Bytes: u8 relation, u8 subject, u64 or i64 or a section, span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// Which keys.
    pub span: Span,
    /// How they have to be related.
    pub relation: Relation,
    /// To what.
    pub against: Against,
}

impl Compare {
    /// The fewest bytes of one.
    const BYTES_MIN: usize = 11;

    fn write(&self, out: &mut Vec<u8>) {
        out.put_u8(self.relation.number());
        out.put_u8(self.against.subject().number());
        match &self.against {
            Against::Version(number)
            | Against::CreateRevision(number)
            | Against::ModRevision(number)
            | Against::Fence(number)
            | Against::Term(number) => out.put_u64_le(*number),
            Against::Lease(lease) => out.put_i64_le(*lease),
            Against::Value(value) => put_section(out, value),
        }
        self.span.write(out);
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let relation = reader.numbered("relation")?;
        let against = match reader.numbered("subject")? {
            Subject::Version => Against::Version(reader.u64()?),
            Subject::CreateRevision => Against::CreateRevision(reader.u64()?),
            Subject::ModRevision => Against::ModRevision(reader.u64()?),
            Subject::Value => Against::Value(reader.section()?),
            Subject::Lease => Against::Lease(reader.i64()?),
            Subject::Fence => Against::Fence(reader.u64()?),
            Subject::Term => Against::Term(reader.u64()?),
        };
        Ok(Self { span: Span::read(reader)?, relation, against })
    }
}

numbered! {
    /// What a transaction can do.
    pub enum OperationNumber: u8, "P" {
        /// Writes a key.
        Put = 1,
        /// Deletes keys.
        Delete = 2,
        /// Reads keys, and sees what the operations before it wrote.
        Range = 3,
        /// Chooses between two lists once more, by what was there before the whole transaction began.
        Transaction = 4,
        /// Writes what a key once was.
        Restore = 5,
    }
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Writes a key.
    Put(Put),
    /// Deletes keys.
    Delete(Delete),
    /// Reads keys, and sees what the operations before it wrote.
    Range(Range),
    /// Chooses between two lists once more, by what was there before the whole transaction began.
    Transaction(Transaction),
    /// Writes what a key once was.
    Restore(Restore),
}

impl Operation {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> OperationNumber {
        match self {
            Self::Put(_) => OperationNumber::Put,
            Self::Delete(_) => OperationNumber::Delete,
            Self::Range(_) => OperationNumber::Range,
            Self::Transaction(_) => OperationNumber::Transaction,
            Self::Restore(_) => OperationNumber::Restore,
        }
    }
}

/// All comparisons hold: the first list. Not all: the second. Later operations see what earlier ones wrote; all changes
/// share one revision; if one operation is refused, none was executed.
///
/// Bytes: u32 count and comparisons, u32 count and operations of the first list, the same of the second. An operation
/// is a u8 number and a section with its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What has to hold. All comparisons, those of inner transactions too, are made before anything is written.
    pub compares: Vec<Compare>,
    /// Done if it does.
    pub then: Vec<Operation>,
    /// Done if it does not.
    pub otherwise: Vec<Operation>,
}

/// Writes the value that `key` had at `revision`, as a new version without a lease; deletes the key if it did not exist
/// then.
///
/// Bytes: u8 flags, u64 revision, section key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The key.
    pub key: Bytes,
    /// The revision, not below the oldest that is kept.
    pub revision: u64,
    /// Answer with what was there before.
    pub return_previous: bool,
}

/// Gives up all revisions below `revision`: what was current at it stays readable.
///
/// Bytes: u64 revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compact {
    /// The oldest that stays readable.
    pub revision: u64,
}

impl Put {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let flags = u8::from(self.return_previous)
            | (u8::from(self.keep_value) << 1)
            | (u8::from(self.keep_lease) << 2);
        out.put_u8(flags);
        out.put_i64_le(self.lease);
        put_section(out, &self.key);
        put_section(out, &self.value);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (flags, lease) = (reader.flags(7)?, reader.i64()?);
        let (key, value) = (reader.section()?, reader.section()?);
        let (return_previous, keep_value, keep_lease) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        Ok(Self { key, value, lease, return_previous, keep_value, keep_lease })
    }
}

impl Delete {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(self.return_previous));
        self.span.write(out);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let return_previous = reader.flags(1)? != 0;
        Ok(Self { span: Span::read(reader)?, return_previous })
    }
}

impl Restore {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_u8(u8::from(self.return_previous));
        out.put_u64_le(self.revision);
        put_section(out, &self.key);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let (flags, revision) = (reader.flags(1)?, reader.u64()?);
        Ok(Self { key: reader.section()?, revision, return_previous: flags != 0 })
    }
}

impl Compact {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.put_u64_le(self.revision);
    }

    pub(crate) fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { revision: reader.u64()? })
    }
}

impl Operation {
    /// The fewest bytes of one: number, length, and a deletion of the empty key.
    const BYTES_MIN: usize = 11;

    fn write(&self, out: &mut Vec<u8>) {
        out.put_u8(self.number().number());
        put_nested(out, |out| match self {
            Self::Put(put) => put.write(out),
            Self::Delete(delete) => delete.write(out),
            Self::Range(range) => range.write(out),
            Self::Transaction(transaction) => transaction.write(out),
            Self::Restore(restore) => restore.write(out),
        });
    }

    fn read(reader: &mut Reader, depth: u8, budget: &mut usize) -> Result<Self, DecodeError> {
        let number = reader.numbered("operation")?;
        let mut inner = reader.nested()?;
        let operation = match number {
            OperationNumber::Put => Self::Put(Put::read(&mut inner)?),
            OperationNumber::Delete => Self::Delete(Delete::read(&mut inner)?),
            OperationNumber::Range => Self::Range(Range::read(&mut inner)?),
            OperationNumber::Transaction => {
                Self::Transaction(Transaction::read(&mut inner, depth + 1, budget)?)
            }
            OperationNumber::Restore => Self::Restore(Restore::read(&mut inner)?),
        };
        inner.finish()?;
        Ok(operation)
    }
}

impl Transaction {
    /// Comparisons and operations, those of inner transactions too.
    #[must_use]
    pub fn size(&self) -> usize {
        let inner = self.then.iter().chain(&self.otherwise).map(|operation| match operation {
            Operation::Transaction(transaction) => 1 + transaction.size(),
            Operation::Put(_) | Operation::Delete(_) | Operation::Range(_) | Operation::Restore(_) => 1,
        });
        self.compares.len() + inner.sum::<usize>()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_u32_le(crate::layout::length(self.compares.len()));
        for compare in &self.compares {
            compare.write(out);
        }
        for branch in [&self.then, &self.otherwise] {
            out.put_u32_le(crate::layout::length(branch.len()));
            for operation in branch {
                operation.write(out);
            }
        }
    }

    pub(crate) fn read_outermost(reader: &mut Reader) -> Result<Self, DecodeError> {
        Self::read(reader, 1, &mut OPERATIONS_MAX.clone())
    }

    /// `budget` is how many comparisons and operations may still come, in the whole request.
    fn read(reader: &mut Reader, depth: u8, budget: &mut usize) -> Result<Self, DecodeError> {
        if depth > DEPTH_MAX {
            return reader
                .fault(Fault::TooMany { what: "transactions in one another", limit: DEPTH_MAX.into() });
        }
        let spend = |reader: &mut Reader, budget: &mut usize, least| {
            let what = "comparisons and operations";
            let count = reader.count_of(what, least, *budget as u64, OPERATIONS_MAX as u64)?;
            *budget -= count;
            Ok(count)
        };
        let count = spend(reader, budget, Compare::BYTES_MIN)?;
        let mut compares = Vec::with_capacity(count);
        for _ in 0..count {
            compares.push(Compare::read(reader)?);
        }
        let mut branches = [Vec::new(), Vec::new()];
        for branch in &mut branches {
            let count = spend(reader, budget, Operation::BYTES_MIN)?;
            branch.reserve_exact(count);
            for _ in 0..count {
                branch.push(Operation::read(reader, depth, budget)?);
            }
        }
        let [then, otherwise] = branches;
        Ok(Self { compares, then, otherwise })
    }
}
