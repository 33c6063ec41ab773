//! What nodes say to each other before they belong to a cluster, what a formation is told, and what it wants done.

use super::{IdentityState, Life, MemberList, Mint};
use crate::NodeId;

/// What one node says to another before both belong to a cluster. May come late, twice, in any order, or never.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FormationMessage {
    /// Who says it.
    pub from: NodeId,
    /// Which life of the sender.
    pub life: Life,
    /// To whom.
    pub to: NodeId,
    /// The list that the sender was started with; that of its identity file once it is formed.
    pub list: MemberList,
    /// What it says.
    pub body: Body,
}

/// What a [`FormationMessage`] says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Body {
    /// What does your identity file say? Anybody is answered; the question itself changes nothing.
    Ask,
    /// This is what my identity file says, durably.
    Answer {
        /// Which life asked.
        to_life: Life,
        /// What the file says.
        identity: IdentityState,
    },
    /// From the lowest id, durably minted: hold these names, whatever you hold, unless you are formed.
    Prepare {
        /// Which life answered.
        to_life: Life,
        /// The names.
        mint: Mint,
    },
}

/// What a formation is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormationInput {
    /// Time passes. The first tick asks at once.
    Tick,
    /// A peer said something.
    Message(FormationMessage),
    /// What the last [`persist`](FormationOutput::persist) wanted is on the disk. Ignored when none is under way.
    Durable,
}

/// What a formation wants done.
///
/// # The laws
/// ```text
///   send_now            needs nothing: it says what is durable already
///   persist             replaces the identity file, atomically; FormationInput::Durable when the disk has it
///   send_after_persist  not before FormationInput::Durable could be said
/// ```
/// What waits for a persist that never becomes durable is never sent: it dies with the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormationOutput {
    /// Messages that promise nothing which could be forgotten.
    pub send_now: Vec<FormationMessage>,
    /// What the identity file has to say from now on. Never while another is under way.
    pub persist: Option<IdentityState>,
    /// Messages that tell what `persist` makes true.
    pub send_after_persist: Vec<FormationMessage>,
}
