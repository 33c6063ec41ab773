//! Why a run ended without a result.

use std::fmt;

/// What could not be done, and why. Printed once, by `main`, as the last line of a run that fails.
#[derive(Debug)]
pub(crate) struct Failure {
    doing: String,
    why: String,
}

impl Failure {
    /// `doing` completes "cannot …"; `why` is mostly an error of the system.
    pub(crate) fn new(doing: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { doing: doing.into(), why: why.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.doing, self.why)
    }
}

/// Says what was being done when an error came.
pub(crate) trait Doing<T> {
    /// The value, or the failure to do what `doing` says ("cannot …").
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(doing(), error))
    }
}
