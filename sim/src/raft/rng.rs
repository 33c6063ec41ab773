//! Where all chance comes from: one stream per run, which the seed names.

/// Mixes two numbers into one, such that every bit of both matters.
#[must_use]
pub fn mix(a: u64, b: u64) -> u64 {
    let mut x = a ^ b.wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 32;
    x = x.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    x ^ (x >> 29)
}

/// The hash of some bytes.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash, u64::from_le_bytes(word));
    }
    hash
}

/// A stream of random numbers (`SplitMix64`): small, fast, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of this seed. Neighbouring seeds have nothing in common.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(mix(seed, 0x686F_6C64_6661_7374))
    }

    /// The next number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// A number below `count`; zero when there is none.
    pub fn below(&mut self, count: u64) -> u64 {
        // The high half of a product: no division, and the bias is below 2^-32 for what is asked here.
        ((u128::from(self.word()) * u128::from(count)) >> 64) as u64
    }

    /// A position in something of this length.
    pub fn position(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Yes in so many cases of a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && self.below(1000) < per_mille
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.position(from.len())]
    }

    /// A waiting time around `mean`: mostly shorter, sometimes several times as long.
    pub fn gap(&mut self, mean: u64) -> u64 {
        let half = self.between(1, mean.max(1));
        if self.chance(250) { half + self.between(0, 3 * mean) } else { half }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_their_range_and_streams_differ() {
        let (mut one, mut two) = (Rng::new(1), Rng::new(2));
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[one.position(5)] += 1;
            assert!((3..=7).contains(&two.between(3, 7)));
        }
        assert!(seen.iter().all(|count| (100..300).contains(count)), "{seen:?}");
        assert_ne!(one.word(), two.word());
        assert_eq!(one.below(0), 0);
    }
}
