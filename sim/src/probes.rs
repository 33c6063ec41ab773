//! How often runs reached the deep states that bugs like.
//!
//! One that many seeds never reach fails them: then either the dice changed or something became impossible, and in both cases
//! the properties are not tested where it matters.

use std::marker::PhantomData;

use holdfast_machine::Numbered;

/// How often each state was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probes<P> {
    counts: Vec<u64>,
    of: PhantomData<P>,
}

impl<P: Numbered<Number = u8>> Default for Probes<P> {
    fn default() -> Self {
        Self { counts: vec![0; P::ALL.len()], of: PhantomData }
    }
}

impl<P: Numbered<Number = u8>> Probes<P> {
    /// It was reached.
    pub fn hit(&mut self, probe: P) {
        self.hit_if(true, probe);
    }

    /// It was reached, if so.
    pub fn hit_if(&mut self, reached: bool, probe: P) {
        self.counts[probe.position()] += u64::from(reached);
    }

    /// How often it was reached.
    #[must_use]
    pub fn count(&self, probe: P) -> u64 {
        self.counts[probe.position()]
    }

    /// Adds what another run reached.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }

    /// How many states were reached at all, of how many.
    #[must_use]
    pub fn reached(&self) -> String {
        let reached = self.counts.iter().filter(|count| **count > 0).count();
        format!("{reached}/{}", self.counts.len())
    }

    /// Those that were never reached.
    pub fn missing(&self) -> impl Iterator<Item = String> + '_ {
        P::ALL.iter().filter(|probe| self.count(**probe) == 0).map(|probe| probe.label())
    }

    /// A line for each.
    pub fn coverage(&self) -> impl Iterator<Item = String> + '_ {
        P::ALL.iter().map(|probe| {
            let caption = probe.caption().lines().next().unwrap_or_default();
            format!("{:>10}  {:<28} {caption}\n", self.count(*probe), probe.label())
        })
    }
}
