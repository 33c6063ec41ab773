//! Stop, in this order, and tell me when you have.
//!
//! # Why
//! A node ends in ordered steps (stop accepting, drain, last sync, …), each carried out by several threads
//! or tasks, and no step may begin before all have finished the one before it. A flag says "stop"; it does
//! not say "stopped", and a thread that died must not hold the process for ever.
//!
//! # Shape
//! ```text
//!   Leader (one)                    one atomic word                     Party (each thread)
//!     raise()  phase n → n+1  ──►  phase │ members │ outstanding │ …  ──►  phase()   look
//!       wakes every party            n+1 │    3    │      3                  … does its part …
//!     progress() ◄───────────────        │         │   2, 1, 0   ◄────────  done()
//!       the last one wakes the leader                                       or is dropped: abandoned
//! ```
//! ```text
//!   bit 63      62 .. 48    47 .. 32     31 .. 16     15 .. 0
//!   leader gone  phase       abandoned    members      outstanding
//! ```
//! All of it is one word, because a party that leaves while the leader raises must be counted either as
//! leaving before (it is not waited for) or after (it is outstanding, and then abandoned), never as half of
//! each.
//!
//! # Invariants
//! - Phases come one after the other: [`Leader::raise`] refuses while anyone is outstanding.
//! - A party counts once per phase: by [`Party::done`], or by being dropped.
//! - When the leader sees a phase complete, it sees everything the parties did in it.
//! - The leader is woken once per phase, by the last party; where no party is left there is none to wake it, so a leader
//!   looks at [`Leader::progress`] before it sleeps. Parties are woken by every raise and when the leader goes. A latch is raised a few times in the life of a process, so no wake is saved here.
//!
//! # What this leaves out
//! Time limits: the leader waits as long as it likes (with [`Parker::park_timeout`](crate::park::Parker) or
//! its runtime's timer), looks at [`Leader::progress`], and logs who is late: it knows the names, not this.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::task::Waker;

use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

const OUTSTANDING: u64 = 1;
const MEMBER: u64 = 1 << 16;
const ABANDONED: u64 = 1 << 32;
const PHASE: u64 = 1 << 48;
const LEADER_GONE: u64 = 1 << 63;

/// Phases, and parties that ever joined, at most: so that no field of the word runs into the next.
pub const MAX: u16 = 0x7fff;

#[derive(Debug, Clone, Copy)]
struct Word(u64);

impl Word {
    /// The 15 low bits of a field; none has more, see [`MAX`].
    fn field(self, unit: u64) -> u16 {
        ((self.0 / unit) & u64::from(MAX)) as u16
    }
}

#[derive(Debug)]
struct Shared {
    word: AtomicU64,
    leader: Waker,
}

/// What cannot be done with a latch at this moment. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The phase before is not complete: this many parties are outstanding.
    Unfinished {
        /// The phase.
        phase: u16,
        /// How many.
        outstanding: u16,
    },
    /// As many phases were raised, or as many parties ever joined, as can be counted ([`MAX`]).
    Exhausted,
    /// This party cannot finish that phase: it is not the one raised, or it has finished it already.
    NotDue {
        /// The phase it reports.
        phase: u16,
        /// The phase raised last.
        raised: u16,
        /// The last phase it finished.
        done: u16,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished { phase, outstanding } => {
                write!(f, "phase {phase} is not complete: {outstanding} parties are outstanding")
            }
            Self::Exhausted => write!(f, "a latch counts to {MAX}"),
            Self::NotDue { phase, raised, done } => {
                write!(f, "phase {phase} is not due: {raised} was raised last, and {done} is done")
            }
        }
    }
}

impl Error for Refused {}

/// How far the phase is.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The phase raised last; 0 before the first.
    pub phase: u16,
    /// Parties that have not finished it.
    pub outstanding: u16,
    /// Parties that were dropped in this phase before they had finished it: their work may be undone.
    pub abandoned: u16,
    /// Parties that are there. Fewer than joined: some left, between phases too, in order or by dying.
    pub members: u16,
}

impl Progress {
    /// Whether nobody is outstanding.
    #[must_use]
    pub fn is_complete(self) -> bool {
        self.outstanding == 0
    }
}

/// What a party sees.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Nothing to do.
    Quiet,
    /// This phase was raised and this party has not finished it.
    Raised(u16),
    /// The leader is gone: there will be no order to stop in.
    LeaderGone,
}

/// Raises the phases.
#[derive(Debug)]
pub struct Leader {
    shared: Arc<Shared>,
    /// Whom a raise wakes. A party that has left is woken in vain, which its waker does not mind.
    parties: Vec<Waker>,
}

/// Carries out its part of each phase.
#[derive(Debug)]
pub struct Party {
    shared: Arc<Shared>,
    done: u16,
}

/// A latch without parties, at phase 0, whose leader is woken through `waker`.
#[must_use]
pub fn latch(waker: Waker) -> Leader {
    Leader { shared: Arc::new(Shared { word: AtomicU64::new(0), leader: waker }), parties: Vec::new() }
}

impl Shared {
    /// Changes the word by `change`, which is asked again if another thread was faster.
    ///
    /// Release: what this thread did before is there for the leader that reads the result; every change is
    /// a read-modify-write, so the chain of them carries what all did. Acquire: and the other way round, a
    /// party that counts itself out sees what the leader did before the raise.
    fn change<E>(&self, change: impl Fn(Word) -> Result<u64, E>) -> Result<Word, E> {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let next = change(Word(seen))?;
            match self.word.compare_exchange_weak(seen, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(Word(next)),
                Err(now) => seen = now,
            }
        }
    }

    /// Acquire: see [`change`](Self::change).
    fn read(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }
}

impl Leader {
    /// A new party, woken through `waker`. It takes part from the next phase on.
    ///
    /// # Errors
    /// [`Refused::Exhausted`].
    pub fn join(&mut self, waker: Waker) -> Result<Party, Refused> {
        // Of all that ever joined, so that neither the count of members nor the list of wakers outgrows it.
        if self.parties.len() >= usize::from(MAX) {
            return Err(Refused::Exhausted);
        }
        // AcqRel: one more link of the chain that `change` speaks of.
        let word = Word(self.shared.word.fetch_add(MEMBER, Ordering::AcqRel));
        self.parties.push(waker);
        Ok(Party { shared: Arc::clone(&self.shared), done: word.field(PHASE) })
    }

    /// Begins the next phase and wakes every party; returns its number.
    ///
    /// # Errors
    /// [`Refused::Unfinished`] while the phase before is not complete, [`Refused::Exhausted`].
    pub fn raise(&mut self) -> Result<u16, Refused> {
        let word = self.shared.change(|word| {
            let (phase, outstanding) = (word.field(PHASE), word.field(OUTSTANDING));
            if outstanding != 0 {
                return Err(Refused::Unfinished { phase, outstanding });
            }
            if phase == MAX {
                return Err(Refused::Exhausted);
            }
            let members = u64::from(word.field(MEMBER));
            Ok(u64::from(phase + 1) * PHASE + members * MEMBER + members * OUTSTANDING)
        })?;
        self.parties.iter().for_each(Waker::wake_by_ref);
        Ok(word.field(PHASE))
    }

    /// How far the phase is. Complete means that all that the parties did in it is visible here.
    pub fn progress(&self) -> Progress {
        let word = self.shared.read();
        Progress {
            phase: word.field(PHASE),
            outstanding: word.field(OUTSTANDING),
            abandoned: word.field(ABANDONED),
            members: word.field(MEMBER),
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        // Release, for the reason given at `change`. No other bit is touched, so one `or` does it.
        self.shared.word.fetch_or(LEADER_GONE, Ordering::Release);
        self.parties.iter().for_each(Waker::wake_by_ref);
    }
}

impl Party {
    /// What is to be done.
    pub fn signal(&self) -> Signal {
        let word = self.shared.read();
        let phase = word.field(PHASE);
        if phase > self.done {
            Signal::Raised(phase)
        } else if word.0 & LEADER_GONE != 0 {
            Signal::LeaderGone
        } else {
            Signal::Quiet
        }
    }

    /// Reports `phase`, as [`signal`](Self::signal) named it, as finished; the last party to do so wakes the leader. The
    /// phase is named so that a report that comes twice or late cannot pass for one of the next phase, which this party has
    /// not seen yet.
    ///
    /// # Errors
    /// [`Refused::NotDue`].
    pub fn done(&mut self, phase: u16) -> Result<(), Refused> {
        let done = self.done;
        let word = self.shared.change(|word| {
            let raised = word.field(PHASE);
            if phase == raised && phase > done {
                Ok(word.0 - OUTSTANDING)
            } else {
                Err(Refused::NotDue { phase, raised, done })
            }
        })?;
        self.done = phase;
        self.tell(word);
        Ok(())
    }

    /// Wakes the leader if this party was the last.
    fn tell(&self, word: Word) {
        if word.field(OUTSTANDING) == 0 {
            self.shared.leader.wake_by_ref();
        }
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        let done = self.done;
        let left = self.shared.change(|word| {
            let late = if word.field(PHASE) > done { ABANDONED - OUTSTANDING } else { 0 };
            Ok::<u64, Infallible>(word.0 - MEMBER + late)
        });
        let Ok(word) = left;
        if word.field(PHASE) > done {
            self.tell(word);
        }
    }
}
