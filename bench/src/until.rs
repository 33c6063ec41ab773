//! Waiting for something to be so, by looking: never for a time that is hoped to be long enough.

use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// How often it is looked.
pub(crate) const LOOK: Duration = Duration::from_millis(2);

/// Looks until it is so, for `patience` at most. `what` completes "cannot see …".
pub(crate) fn until(
    what: &str,
    patience: Duration,
    mut is_so: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let begin = Instant::now();
    while !is_so()? {
        if begin.elapsed() > patience {
            return Err(Failure::new(
                format!("see {what}"),
                format!("nothing of it in {} s", patience.as_secs()),
            ));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_as_soon_as_it_is_so_and_fails_by_name_if_it_never_is() {
        let mut looks = 0;
        let third = || {
            looks += 1;
            Ok(looks == 3)
        };
        until("it", Duration::from_secs(60), third).unwrap();
        assert_eq!(looks, 3);
        let never = until("it", Duration::ZERO, || Ok(false)).unwrap_err();
        assert_eq!(never.to_string(), "cannot see it: nothing of it in 0 s");
        assert!(until("it", Duration::ZERO, || Err(Failure::new("look", "dark"))).is_err());
    }
}
