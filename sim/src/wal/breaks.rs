//! The log with one rule left out, once for each rule: the proof has to find every one of them.
//!
//! # Why
//! A proof that nothing ever failed may be one that cannot fail.

use holdfast_wal::{Break, Variant};

use super::proof::{Extent, Proof};
use super::tally::Wrong;

/// What came of the search for a fault that was planted.
#[derive(Debug)]
pub struct Hunt {
    /// The name of the fault.
    pub name: &'static str,
    /// Images that were opened.
    pub images: usize,
    /// What gave it away.
    pub caught: Option<Wrong>,
}

macro_rules! planted {
    ($($name:ident $text:literal)*) => {
        $(
            #[doc = concat!("The log with [`Break::", stringify!($name), "`].")]
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl Variant for $name {
                const BREAKS: Option<Break> = Some(Break::$name);
            }
        )*

        /// The names of all faults, as they are given on the command line.
        pub const NAMES: &[&str] = &[$($text),*];

        /// Does these proofs with a fault planted, one after the other, until something is wrong. `None` if there is no
        /// fault of that name.
        #[must_use]
        pub fn hunt(name: &str, proofs: &[Proof]) -> Option<Hunt> {
            match name {
                $($text => Some(search::<$name>($text, proofs)),)*
                _ => None,
            }
        }
    };
}

planted! {
    AcceptTorn "accept-torn"
    TruncateDamaged "truncate-damaged"
    SkipDirSync "skip-dir-sync"
    AckBeforeSync "ack-before-sync"
    TrustCacheOnOpen "trust-cache-on-open"
    AppendAfterCut "append-after-cut"
    OneVoteCopy "one-vote-copy"
    DeadSuffixRevived "dead-suffix-revived"
    RepairTruncates "repair-truncates"
    UnlinkOrder "unlink-order"
    ReuseOldBytes "reuse-old-bytes"
    NoPositionBinding "no-position-binding"
    RetrySync "retry-sync"
}

/// The proofs to search with: the quick part first, for what it finds it finds sooner.
#[must_use]
pub fn proofs(extent: Extent) -> Vec<Proof> {
    match extent {
        Extent::Quick => vec![Proof::new(Extent::Quick)],
        Extent::Whole => vec![Proof::new(Extent::Quick), Proof::new(Extent::Whole)],
    }
}

fn search<V: Variant>(name: &'static str, proofs: &[Proof]) -> Hunt {
    let mut images = 0;
    for proof in proofs {
        let (opened, caught) = proof.first_wrong::<V>();
        images += opened;
        if caught.is_some() {
            return Hunt { name, images, caught };
        }
    }
    Hunt { name, images, caught: None }
}
