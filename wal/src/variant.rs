//! The log as designed, and the ways to get it wrong that the proof must be able to catch.
//!
//! A check that never failed may be one that cannot. So the code asks, at each place where a rule matters, whether it
//! is the variant that breaks this rule; as the variant is a type parameter, the log that serves is compiled without the
//! question. `holdfast-sim wal --break NAME` runs the proof against a variant and has to find it.

use std::fmt;

/// A rule left out on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Takes a record whose body was only partly written.
    AcceptTorn,
    /// Cuts off what is damaged as if it were a torn tail.
    TruncateDamaged,
    /// Does not sync the directory after making and naming files.
    SkipDirSync,
    /// Reports as durable what it has only written.
    AckBeforeSync,
    /// Takes what it reads on open for durable, without syncing it first.
    TrustCacheOnOpen,
    /// Goes on in the same segment where it cut a torn tail.
    AppendAfterCut,
    /// Writes hard states to the log only.
    OneVoteCopy,
    /// Ignores that a conflict cut the log in a part that is unreadable now.
    DeadSuffixRevived,
    /// Lets a repair supersede what follows, as an ordinary entry does.
    RepairTruncates,
    /// Removes segments before the record that says so is durable.
    UnlinkOrder,
    /// Makes new segments out of old ones without zeroing them.
    ReuseOldBytes,
    /// Does not compare where a record stands with where it was written to.
    NoPositionBinding,
    /// Tries a failed sync again and believes the second answer.
    RetrySync,
}

/// Which log it is.
pub trait Variant: fmt::Debug + Clone + Copy + Send + 'static {
    /// The rule left out.
    const BREAKS: Option<Break>;

    /// Whether this rule is left out.
    #[must_use]
    fn breaks(rule: Break) -> bool {
        Self::BREAKS == Some(rule)
    }
}

/// The log as designed.
#[derive(Clone, Copy, Debug)]
pub struct AsDesigned;

impl Variant for AsDesigned {
    const BREAKS: Option<Break> = None;
}
