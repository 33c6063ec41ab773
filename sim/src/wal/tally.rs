//! What was counted, and what was wrong.

use holdfast_wal::disk::FakeDisk;

use super::judge::Class;

/// A result that may not be.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// How the image came to be: workload, moment, what was kept.
    pub story: String,
    /// What was expected and what came.
    pub what: String,
    /// The image, as it was before it was opened.
    pub image: FakeDisk,
}

/// Counts of one piece of work.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The hash and the class of each image that was opened. An image may come more than once.
    pub images: Vec<(u64, Class)>,
    /// Moments at which the power was cut or the process killed.
    pub moments: u64,
    /// Moments at which not every combination was tried.
    pub partial: u64,
    /// Runs of a workload in which a call failed.
    pub failures: u64,
    /// Damaged images that were repaired to the end.
    pub repairs: u64,
    /// Damaged images of which something was lost and taken for a torn tail, rightly: nothing said it was durable.
    pub uncovered: u64,
    /// What was wrong.
    pub wrong: Vec<Wrong>,
}

/// As many wrong results are kept of each piece of work; then it stops.
const ENOUGH: usize = 2;

impl Tally {
    /// Whether to go on.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.wrong.len() < ENOUGH
    }

    /// Notes an image that was taken rightly.
    pub fn image(&mut self, hash: u64, class: Class) {
        self.images.push((hash, class));
    }

    /// Notes a wrong result.
    pub fn wrong(&mut self, story: String, what: String, image: &FakeDisk) {
        self.wrong.push(Wrong { story, what, image: image.after_kill() });
    }

    /// Adds what another piece of work counted.
    pub fn add(&mut self, other: Self) {
        let Self { images, moments, partial, failures, repairs, uncovered, wrong } = other;
        self.images.extend(images);
        self.moments += moments;
        self.partial += partial;
        self.failures += failures;
        self.repairs += repairs;
        self.uncovered += uncovered;
        self.wrong.extend(wrong);
    }

    /// Keeps each image once.
    pub fn distinct(&mut self) {
        self.images.sort_unstable();
        self.images.dedup_by_key(|(hash, _)| *hash);
    }

    /// How many of the images kept are of a class.
    #[must_use]
    pub fn count(&self, class: Class) -> usize {
        self.images.iter().filter(|(_, found)| *found == class).count()
    }
}
