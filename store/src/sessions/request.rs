//! The decision table of a request that carries a session: is it new, or was it here before?
//!
//! [`decide`] looks at [`Facts`] and takes the first row of [`Row`] that applies.

use holdfast_machine::numbered;

numbered! {
    /// The rows of the request table; the first that applies decides.
    pub enum Row: u8, "Q" {
        /// No such session, or not of this actor: refuse, whatever it asks for.
        Unknown = 1,
        /// Below the lowest sequence that the client waits for: refuse. Its answer was forgotten, so it can no longer
        /// be told from a new one by anything but its number.
        Stale = 2,
        /// Answered before: the same answer again.
        Repeat = 3,
        /// Answered before, and the answer was too long to keep: say so.
        RepeatDropped = 4,
        /// Further ahead than the window allows: refuse, or what is kept would have no bound.
        WindowFull = 5,
        /// New: execute it, and keep what comes of it.
        Execute = 6,
    }
}

/// What is known of the answer to a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Nothing: it was not executed in this session.
    No,
    /// All of it.
    Kept,
    /// That there was one.
    Dropped,
}

/// What is known of a request and its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The session exists.
    pub exists: bool,
    /// It was opened by the actor who asks.
    pub own: bool,
    /// The sequence lies below the session's low.
    pub below_low: bool,
    /// What became of the sequence.
    pub answered: Answered,
    /// The sequence lies at or above low plus window.
    pub beyond_window: bool,
}

/// The row that applies.
#[must_use]
pub fn decide(facts: Facts) -> Row {
    match facts {
        Facts { exists: false, .. } | Facts { own: false, .. } => Row::Unknown,
        Facts { below_low: true, .. } => Row::Stale,
        Facts { answered: Answered::Kept, .. } => Row::Repeat,
        Facts { answered: Answered::Dropped, .. } => Row::RepeatDropped,
        Facts { beyond_window: true, .. } => Row::WindowFull,
        Facts { exists: true, own: true, below_low: false, answered: Answered::No, beyond_window: false } => {
            Row::Execute
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOLS: [bool; 2] = [false, true];

    fn all() -> impl Iterator<Item = Facts> {
        let answers = [Answered::No, Answered::Kept, Answered::Dropped];
        BOOLS.into_iter().flat_map(move |exists| {
            BOOLS.into_iter().flat_map(move |own| {
                BOOLS.into_iter().flat_map(move |below_low| {
                    answers.into_iter().flat_map(move |answered| {
                        BOOLS.into_iter().map(move |beyond_window| Facts {
                            exists,
                            own,
                            below_low,
                            answered,
                            beyond_window,
                        })
                    })
                })
            })
        })
    }

    #[test]
    fn only_a_request_that_is_new_within_the_window_and_of_the_owner_is_executed() {
        let executed: Vec<Facts> = all().filter(|facts| decide(*facts) == Row::Execute).collect();
        let only =
            Facts { exists: true, own: true, below_low: false, answered: Answered::No, beyond_window: false };
        assert_eq!(executed, [only]);
    }

    #[test]
    fn every_row_is_reached() {
        use holdfast_machine::Numbered;
        for row in Row::ALL {
            assert!(all().any(|facts| decide(facts) == *row), "{row}");
        }
    }

    #[test]
    fn nobody_learns_from_the_answer_whether_anothers_session_exists() {
        for facts in all().filter(|facts| !facts.own || !facts.exists) {
            assert_eq!(decide(facts), Row::Unknown);
        }
    }
}
