//! The network between the nodes: which links are cut, how long a message takes, and what is recorded to come again.

use holdfast_raft::Envelope;

use super::queue::Micros;
use super::rng::Rng;
use super::swarm::{NODES_MAX, Swarm};

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Packet {
    /// When its sender made it. What it says was true then, not when it arrives.
    pub made: Micros,
    /// It was recorded and comes again.
    pub replayed: bool,
    /// The message.
    pub envelope: Envelope,
}

/// Messages that are kept to come again.
const RECORDED_MAX: usize = 48;

/// All links, and what was recorded on them.
#[derive(Debug, Default)]
pub struct Network {
    /// Whether what the first sends is lost before it reaches the second.
    pub cut: [[bool; NODES_MAX]; NODES_MAX],
    /// Links that stay cut for good, when only a core is healed.
    pub outer: [[bool; NODES_MAX]; NODES_MAX],
    /// When the last message on each link arrives, for links that keep the order.
    arrival: [[Micros; NODES_MAX]; NODES_MAX],
    recorded: Vec<Packet>,
    /// Faults of the links are over, except for those to the outside of the core.
    pub calm: bool,
}

/// The shapes of a partition (the catalogue's F11 to F14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Two sides that do not hear each other.
    Halves,
    /// One side is not heard by the other, and hears it.
    OneWay,
    /// Two sides that hear only one node in common.
    Bridge,
    /// Each node hears its two neighbours only.
    Ring,
    /// Each node hears a majority, and no two the same.
    MajoritiesRing,
    /// One node hears nobody and is heard by nobody.
    Isolated,
    /// One node hears nobody.
    Deaf,
    /// One node is heard by nobody.
    Mute,
    /// One link, in both directions.
    Link,
}

/// All shapes.
pub const SHAPES: [Shape; 9] = [
    Shape::Halves,
    Shape::OneWay,
    Shape::Bridge,
    Shape::Ring,
    Shape::MajoritiesRing,
    Shape::Isolated,
    Shape::Deaf,
    Shape::Mute,
    Shape::Link,
];

/// The cuts of a shape among the first `count` nodes. `centre` is who is isolated, deaf, mute, or the bridge.
#[must_use]
pub fn cuts(shape: Shape, count: usize, centre: usize, rng: &mut Rng) -> [[bool; NODES_MAX]; NODES_MAX] {
    let mut order: Vec<usize> = (0..count).collect();
    for at in (1..count).rev() {
        order.swap(at, rng.position(at + 1));
    }
    let mut place = [0; NODES_MAX];
    for (at, node) in order.iter().enumerate() {
        place[*node] = at;
    }
    let side = 1 + rng.position(count.max(2) - 1);
    let far = |a: usize, b: usize| (place[a] + count - place[b]) % count;
    let mut cut = [[false; NODES_MAX]; NODES_MAX];
    for (from, row) in cut.iter_mut().enumerate().take(count) {
        for (to, cell) in row.iter_mut().enumerate().take(count) {
            let split = (place[from] < side) != (place[to] < side);
            *cell = from != to
                && match shape {
                    Shape::Halves => split,
                    Shape::OneWay => place[from] < side && place[to] >= side,
                    Shape::Bridge => split && from != centre && to != centre,
                    Shape::Ring => far(from, to) != 1 && far(to, from) != 1,
                    Shape::MajoritiesRing => {
                        far(from, to).min(far(to, from)) > count / 4 + usize::from(count > 4) / 2
                    }
                    Shape::Isolated => from == centre || to == centre,
                    Shape::Deaf => to == centre,
                    Shape::Mute => from == centre,
                    Shape::Link => (from == order[0] || to == order[0]) && place[from].max(place[to]) == 1,
                };
        }
    }
    cut
}

impl Network {
    /// When a message sent now arrives; `None` if it is lost.
    pub fn arrival(
        &mut self,
        swarm: &Swarm,
        rng: &mut Rng,
        now: Micros,
        from: usize,
        to: usize,
    ) -> Option<Micros> {
        if self.cut[from][to] || self.outer[from][to] {
            return None;
        }
        let mut takes = rng.between(swarm.delay / 2, swarm.delay);
        if !self.calm {
            if rng.chance(swarm.loss) {
                return None;
            }
            if rng.chance(swarm.slow) {
                takes = rng.between(swarm.delay, swarm.delay_long);
            }
        }
        let mut at = now + takes;
        if swarm.fifo {
            at = at.max(self.arrival[from][to] + 1);
            self.arrival[from][to] = at;
        }
        Some(at)
    }

    /// Keeps a message for later, in place of another when there are many.
    pub fn record(&mut self, rng: &mut Rng, packet: &Packet) {
        let packet = Packet { replayed: true, ..packet.clone() };
        if self.recorded.len() < RECORDED_MAX {
            self.recorded.push(packet);
        } else {
            let at = rng.position(RECORDED_MAX);
            self.recorded[at] = packet;
        }
    }

    /// One of the recorded messages.
    pub fn replay(&self, rng: &mut Rng) -> Option<Packet> {
        if self.recorded.is_empty() { None } else { Some(rng.pick(&self.recorded).clone()) }
    }

    /// All recorded messages for one node.
    pub fn recorded_for(&self, node: u64) -> impl Iterator<Item = &Packet> {
        self.recorded.iter().filter(move |packet| packet.envelope.to.0 == node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hears(cut: &[[bool; NODES_MAX]; NODES_MAX], node: usize, count: usize) -> Vec<usize> {
        (0..count).filter(|from| !cut[*from][node]).collect()
    }

    #[test]
    fn shapes_are_what_they_are_called() {
        for seed in 0..50 {
            let rng = &mut Rng::new(seed);
            let ring = cuts(Shape::Ring, 5, 0, rng);
            assert!((0..5).all(|node| hears(&ring, node, 5).len() == 3), "itself and two more");
            let majorities = cuts(Shape::MajoritiesRing, 5, 0, rng);
            assert!((0..5).all(|node| hears(&majorities, node, 5).len() == 3));
            let deaf = cuts(Shape::Deaf, 3, 1, rng);
            assert_eq!(hears(&deaf, 1, 3), [1]);
            assert_eq!(hears(&deaf, 0, 3), [0, 1, 2]);
            let bridge = cuts(Shape::Bridge, 5, 2, rng);
            assert_eq!(hears(&bridge, 2, 5).len(), 5);
            let link = cuts(Shape::Link, 4, 0, rng);
            assert_eq!(link.iter().flatten().filter(|cut| **cut).count(), 2);
            let one_way = cuts(Shape::OneWay, 4, 0, rng);
            assert!((0..4).all(|a| (0..4).all(|b| !(one_way[a][b] && one_way[b][a]))));
            assert!(one_way.iter().flatten().any(|cut| *cut));
        }
    }
}
