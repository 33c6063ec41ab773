//! Machine 11, a place in the queue of a lock, and machine 12, a candidacy. The pages are
//! `docs/state-machines/11-lock.md` and `docs/state-machines/12-election.md`.

/// Machine 11.
pub mod lock {
    use holdfast_machine::{Machine, Verdict, numbered};

    numbered! {
        /// Where a place is.
        pub enum State: u8, "S" {
            /// Others come first.
            Waiting = 1,
            /// It holds the lock, under a token that was never given before.
            Holding = 2,
            /// Its client has given it up.
            Released = 3,
            /// Its lease ended first.
            Lost = 4,
        }
    }

    numbered! {
        /// Facts, after all guards.
        pub enum Event: u8, "E" {
            /// Nobody stands before it any more, and its lease is alive.
            Headed = 1,
            /// Its client has asked to give it up.
            ReleaseAsked = 2,
            /// Its lease was revoked or has expired.
            LeaseEnded = 3,
            /// Its client has asked for the lock once more.
            AskedAgain = 4,
        }
    }

    numbered! {
        /// What a place does.
        pub enum Edge: u8, "T" {
            /// Take the lock, under the next token.
            Grant = 1,
            /// Give the lock to the next.
            Release = 2,
            /// Leave the queue, which moves up.
            Withdraw = 3,
            /// Lose the lock to the next, whether its client knows or not.
            Lose = 4,
            /// Leave the queue because nobody stands behind it any more.
            Drop = 5,
        }
    }

    /// Machine 11. See the module documentation.
    #[derive(Debug)]
    pub struct LockMachine;

    impl Machine for LockMachine {
        const NUMBER: u8 = 11;
        const NAME: &'static str = "lock";
        const INITIAL: State = State::Waiting;
        const FINAL: &'static [State] = &[State::Released, State::Lost];
        type State = State;
        type Event = Event;
        type Edge = Edge;

        fn next(state: State, event: Event) -> Verdict<Edge> {
            use Verdict::{Never, Stay, Take};
            use {Edge as T, Event as E, State as S};
            match (state, event) {
                (S::Waiting, E::Headed) => Take(T::Grant),
                (S::Waiting, E::ReleaseAsked) => Take(T::Withdraw),
                (S::Waiting, E::LeaseEnded) => Take(T::Drop),
                (S::Waiting, E::AskedAgain) => Stay("it is told how many come first"),
                (S::Holding, E::Headed) => Never("it is the first already"),
                (S::Holding, E::ReleaseAsked) => Take(T::Release),
                (S::Holding, E::LeaseEnded) => Take(T::Lose),
                (S::Holding, E::AskedAgain) => Stay("it is told its token, the same as before"),
                (S::Released | S::Lost, E::Headed | E::ReleaseAsked | E::LeaseEnded | E::AskedAgain) => {
                    Never("it was forgotten: who asks again gets another place")
                }
            }
        }

        fn target(edge: Edge) -> State {
            match edge {
                Edge::Grant => State::Holding,
                Edge::Release | Edge::Withdraw => State::Released,
                Edge::Lose | Edge::Drop => State::Lost,
            }
        }
    }
}

/// Machine 12.
pub mod election {
    use holdfast_machine::{Machine, Verdict, numbered};

    numbered! {
        /// Where a candidacy is.
        pub enum State: u8, "S" {
            /// Others come first.
            Campaigning = 1,
            /// It is in office, in a term that was never given before.
            Elected = 2,
            /// Its client has given it up.
            Resigned = 3,
            /// Its lease ended first.
            Deposed = 4,
        }
    }

    numbered! {
        /// Facts, after all guards.
        pub enum Event: u8, "E" {
            /// Nobody stands before it any more, and its lease is alive.
            Headed = 1,
            /// Its client has asked to give it up.
            ResignAsked = 2,
            /// Its lease was revoked or has expired.
            LeaseEnded = 3,
            /// Its client has campaigned once more.
            CampaignedAgain = 4,
            /// Its client has proclaimed something, in its term of office.
            ProclaimAsked = 5,
        }
    }

    numbered! {
        /// What a candidacy does.
        pub enum Edge: u8, "T" {
            /// Take office, in the next term, and proclaim what it campaigned with.
            Elect = 1,
            /// Give the office to the next.
            Resign = 2,
            /// Leave the queue, which moves up.
            Withdraw = 3,
            /// Lose the office to the next, whether its client knows or not.
            Depose = 4,
            /// Leave the queue because nobody stands behind it any more.
            Drop = 5,
            /// Proclaim something else.
            Proclaim = 6,
        }
    }

    /// Machine 12. See the module documentation.
    #[derive(Debug)]
    pub struct ElectionMachine;

    impl Machine for ElectionMachine {
        const NUMBER: u8 = 12;
        const NAME: &'static str = "election";
        const INITIAL: State = State::Campaigning;
        const FINAL: &'static [State] = &[State::Resigned, State::Deposed];
        type State = State;
        type Event = Event;
        type Edge = Edge;

        fn next(state: State, event: Event) -> Verdict<Edge> {
            use Verdict::{Never, Stay, Take};
            use {Edge as T, Event as E, State as S};
            match (state, event) {
                (S::Campaigning, E::Headed) => Take(T::Elect),
                (S::Campaigning, E::ResignAsked) => Take(T::Withdraw),
                (S::Campaigning, E::LeaseEnded) => Take(T::Drop),
                (S::Campaigning, E::CampaignedAgain) => Stay("it is told how many come first"),
                (S::Campaigning, E::ProclaimAsked) => Never("it has no term: that was refused"),
                (S::Elected, E::Headed) => Never("it is the first already"),
                (S::Elected, E::ResignAsked) => Take(T::Resign),
                (S::Elected, E::LeaseEnded) => Take(T::Depose),
                (S::Elected, E::CampaignedAgain) => Stay("it is told its term, the same as before"),
                (S::Elected, E::ProclaimAsked) => Take(T::Proclaim),
                (
                    S::Resigned | S::Deposed,
                    E::Headed | E::ResignAsked | E::LeaseEnded | E::CampaignedAgain | E::ProclaimAsked,
                ) => Never("it was forgotten: who campaigns again has another candidacy"),
            }
        }

        fn target(edge: Edge) -> State {
            match edge {
                Edge::Elect | Edge::Proclaim => State::Elected,
                Edge::Resign | Edge::Withdraw => State::Resigned,
                Edge::Depose | Edge::Drop => State::Deposed,
            }
        }
    }
}
