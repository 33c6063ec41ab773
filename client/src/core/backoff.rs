//! How long to wait before the next try.

use super::config::{RETRY_MAX_MS, RETRY_MS, RETRY_SOON};

/// A small generator for jitter and for the order of endpoints: splitmix64. Nothing secret comes of it.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_number()) * u128::from(bound);
        (wide >> 64) as u64
    }
}

/// The wait before try `tries` (from 0): twice as long each time, up to `most_ms`, and half of it by chance, so that
/// who failed together does not try again together.
pub(crate) fn backoff(tries: u32, base_ms: u64, most_ms: u64, rng: &mut Rng) -> u64 {
    let full = base_ms.saturating_mul(1 << tries.min(32)).min(most_ms);
    full / 2 + rng.below(full - full / 2 + 1)
}

/// The wait of a call, or of a watch, before try `tries`: not long at first, as somebody else may lead at any moment.
pub(crate) fn retry(tries: u32, rng: &mut Rng) -> u64 {
    let (soon_ms, soon) = RETRY_SOON;
    backoff(tries, RETRY_MS, if tries < soon { soon_ms } else { RETRY_MAX_MS }, rng)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_half_of_each_is_chance() {
        let mut rng = Rng::new(1);
        for tries in 0..40 {
            let full = 10_u64.saturating_mul(1 << tries.min(32)).min(500);
            let waits: Vec<_> = (0..1000).map(|_| backoff(tries, 10, 500, &mut rng)).collect();
            assert_eq!(waits.iter().min(), Some(&(full / 2)), "try {tries}");
            assert_eq!(waits.iter().max(), Some(&full), "try {tries}");
        }
    }

    #[test]
    fn in_the_first_second_of_tries_no_wait_is_longer_than_a_tenth_of_it_and_later_ones_are() {
        let mut rng = Rng::new(1);
        let longest = |tries, rng: &mut Rng| (0..1000).map(|_| retry(tries, rng)).max().unwrap_or_default();
        let waits: Vec<_> = (0..14).map(|tries| longest(tries, &mut rng)).collect();
        assert_eq!(waits, [10, 20, 40, 80, 100, 100, 100, 100, 100, 100, 100, 100, 500, 500]);
        assert!(waits[..12].iter().sum::<u64>() >= 900, "{waits:?}");
    }
}
