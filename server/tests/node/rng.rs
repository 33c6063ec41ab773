//! Where all chance of a run comes from: one stream, which the seed names.

/// A stream of random numbers (`SplitMix64`).
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ 0x6E6F_6465)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.word() % (high.saturating_sub(low) + 1)
    }

    /// A position in something of this length.
    pub(crate) fn position(&mut self, length: usize) -> usize {
        self.between(0, length as u64 - 1) as usize
    }

    /// Yes in so many cases of a thousand.
    pub(crate) fn chance(&mut self, of_a_thousand: u64) -> bool {
        self.between(0, 999) < of_a_thousand
    }
}
