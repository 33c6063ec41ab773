//! What is to happen, by simulated time.
//!
//! Two things at the same instant come in random order: a real machine promises none, and always taking them in the order
//! of their making would hide what depends on it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Simulated time, in microseconds since the beginning of a run.
pub type Micros = u64;

/// Things of one kind that wait for their time.
#[derive(Debug)]
pub struct Queue<T> {
    /// When, in which order at that instant, and where in `places`.
    order: BinaryHeap<Reverse<(Micros, u64, usize)>>,
    /// A thing is moved once into its place and once out, however often the heap turns.
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { order: BinaryHeap::new(), places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Queue<T> {
    /// Lets this happen at `at`; `order` decides among things of one instant.
    pub fn push(&mut self, at: Micros, order: u64, thing: T) {
        let place = self.free.pop().unwrap_or(self.places.len());
        if place == self.places.len() {
            self.places.push(Some(thing));
        } else {
            self.places[place] = Some(thing);
        }
        self.order.push(Reverse((at, order, place)));
    }

    /// When the next comes.
    #[must_use]
    pub fn next_at(&self) -> Option<Micros> {
        self.order.peek().map(|Reverse((at, _, _))| *at)
    }

    /// What comes next, and when.
    pub fn pop(&mut self) -> Option<(Micros, T)> {
        let Reverse((at, _, place)) = self.order.pop()?;
        self.free.push(place);
        Some((at, self.places[place].take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_in_the_order_of_their_time_and_places_are_used_again() {
        let mut queue = Queue::default();
        for (at, order, name) in [(5, 0, "c"), (1, 9, "b"), (1, 2, "a")] {
            queue.push(at, order, name);
        }
        assert_eq!(queue.pop(), Some((1, "a")));
        queue.push(3, 0, "later");
        assert_eq!(queue.places.len(), 3);
        let rest: Vec<&str> = std::iter::from_fn(|| queue.pop()).map(|(_, name)| name).collect();
        assert_eq!(rest, ["b", "later", "c"]);
    }
}
