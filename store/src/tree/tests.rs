//! The tree against the standard library's.

use std::collections::BTreeMap;

use holdfast_command::Actor;
use holdfast_hlc::Stamp;

use super::slots::{Keyed, SLOTS, head};
use super::*;
use crate::version::{Numbers, Origin};

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A key of one of several kinds: short, with long common prefixes, full of zeros and 0xff.
    fn key(&mut self) -> Vec<u8> {
        match self.below(6) {
            0 => (0..=self.below(3)).map(|_| [0, 1, 0xfe, 0xff][self.below(4) as usize]).collect(),
            1 => format!("app/service/config/{:06}", self.below(4_000)).into_bytes(),
            2 => format!("app/{}", self.below(500)).into_bytes(),
            3 => [&b"app/\0\0\0\0\0"[..self.below(10) as usize], &[self.below(3) as u8]].concat(),
            4 => vec![b'a'; 1 + self.below(80) as usize],
            _ => self.below(1 << 20).to_be_bytes().to_vec(),
        }
    }
}

fn version(key: &[u8], number: u64) -> Version {
    let numbers = Numbers { mod_revision: number, version: 1, ..Numbers::default() };
    let origin = Origin { index: 1, actor: &Actor::Anonymous, reason: "", stamp: Stamp::MIN };
    Version::pack(key, b"value", numbers, origin, &mut Vec::new())
}

type Model = BTreeMap<Vec<u8>, u64>;

/// Every invariant of a node and of all below it; gives back its height.
fn check(node: &Node, from: Option<&[u8]>, to: Option<&[u8]>, root: bool) -> usize {
    fn slots<T: Keyed>(slots: &Slots<T>, from: Option<&[u8]>, to: Option<&[u8]>) {
        assert_eq!(slots.heads.len(), slots.items.len());
        let keys: Vec<&[u8]> = slots.items.iter().map(Keyed::key).collect();
        assert!(keys.is_sorted_by(|one, other| one < other));
        for (key, own) in keys.iter().zip(&slots.heads) {
            assert_eq!(key[..slots.prefix], keys[0][..slots.prefix], "the prefix is common");
            assert_eq!(*own, head(key, slots.prefix));
            assert!(from.is_none_or(|from| from <= *key) && to.is_none_or(|to| *key < to));
        }
    }
    match node {
        Node::Leaf(leaf) => {
            slots(leaf, from, to);
            assert!(root || leaf.len() > 0, "an empty leaf");
            0
        }
        Node::Branch(branch) => {
            slots(&branch.separators, from, to);
            assert_eq!(branch.children.len(), branch.separators.len() + 1);
            assert_eq!(branch.sum, branch.children.iter().map(Node::sum).sum());
            let parts = branch.separators.items.iter().map(|separator| Some(separator.key()));
            let starts = std::iter::once(from).chain(parts.clone());
            let ends = parts.chain(std::iter::once(to));
            let heights: Vec<usize> = branch
                .children
                .iter()
                .zip(starts.zip(ends))
                .map(|(child, (from, to))| check(child, from, to, false))
                .collect();
            assert!(heights.iter().all(|height| *height == heights[0]), "all leaves are on one level");
            heights[0] + 1
        }
    }
}

fn same(tree: &Tree, model: &Model) {
    check(&tree.0, None, None, true);
    assert_eq!(tree.len(), model.len());
    let all = (Bound::Unbounded, Bound::Unbounded);
    let held = tree.range(all, false).map(|version| (version.key().to_vec(), version.mod_revision()));
    assert!(held.eq(model.iter().map(|(key, number)| (key.clone(), *number))));
}

fn some_bound(random: &mut Random, key: &[u8]) -> Bound<Vec<u8>> {
    match random.below(3) {
        0 => Bound::Unbounded,
        1 => Bound::Included(key.to_vec()),
        _ => Bound::Excluded(key.to_vec()),
    }
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
    }
}

#[test]
fn writes_and_removals_in_any_order_leave_what_a_standard_map_holds_and_old_clones_untouched() {
    for seed in 0..12 {
        let mut random = Random(seed);
        let (mut tree, mut model) = (Tree::default(), Model::new());
        let mut clones: Vec<(Tree, Model)> = Vec::new();
        // Some runs grow, some shrink again, some stay small.
        let removals = [100, 300, 480, 700][seed as usize % 4];
        for step in 0..4_000 {
            let key = random.key();
            let growing = step < 2_500;
            if random.below(1_000) < if growing { removals / 2 } else { removals + 250 } {
                let key = if random.below(4) > 0 && !model.is_empty() {
                    model.keys().nth(random.below(model.len() as u64) as usize).unwrap().clone()
                } else {
                    key
                };
                let gone = tree.remove(&key).map(|version| version.mod_revision());
                assert_eq!(gone, model.remove(&key), "seed {seed} step {step}");
            } else {
                let before = tree.insert(version(&key, step)).map(|version| version.mod_revision());
                assert_eq!(before, model.insert(key.clone(), step), "seed {seed} step {step}");
            }
            let probe = random.key();
            assert_eq!(
                tree.get(&probe).map(Version::mod_revision),
                model.get(&probe).copied(),
                "seed {seed}"
            );
            if step % 97 == 0 {
                same(&tree, &model);
                if clones.len() > 3 {
                    clones.remove(random.below(3) as usize);
                }
                clones.push((tree.clone(), model.clone()));
            }
        }
        same(&tree, &model);
        for (tree, model) in &clones {
            same(tree, model);
        }
        for key in model.keys() {
            tree.remove(key);
        }
        same(&tree, &Model::new());
    }
}

#[test]
fn what_is_appended_is_where_it_would_have_been_inserted_and_old_clones_are_untouched() {
    for seed in 0..4 {
        let mut random = Random(2_000 + seed);
        let keys: std::collections::BTreeSet<Vec<u8>> =
            (0..[10, 65, 3_000, 12_000][seed as usize]).map(|_| random.key()).collect();
        let (mut appended, mut inserted, mut model) = (Tree::default(), Tree::default(), Model::new());
        let mut clones: Vec<(Tree, Model)> = Vec::new();
        for (number, key) in (0..).zip(keys) {
            assert_eq!(appended.last().map(Version::key), model.keys().next_back().map(Vec::as_slice));
            appended.append(version(&key, number));
            inserted.insert(version(&key, number));
            model.insert(key, number);
            if random.below(500) == 0 {
                clones.push((appended.clone(), model.clone()));
            }
        }
        same(&appended, &model);
        assert_eq!(format!("{appended:?}"), format!("{inserted:?}"), "seed {seed}: the same shape");
        for (tree, model) in &clones {
            same(tree, model);
        }
    }
}

#[test]
fn ranges_and_counts_between_any_two_keys_are_those_of_a_standard_map() {
    for seed in 0..6 {
        let mut random = Random(1_000 + seed);
        let (mut tree, mut model) = (Tree::default(), Model::new());
        for step in 0..[3, 60, 300, 2_000, 5_000, 9_000][seed as usize] {
            let key = random.key();
            tree.insert(version(&key, step));
            model.insert(key, step);
        }
        for _ in 0..400 {
            let (mut one, mut other) = (random.key(), random.key());
            if one > other {
                std::mem::swap(&mut one, &mut other);
            }
            if one == other {
                continue;
            }
            let (from, to) = (some_bound(&mut random, &one), some_bound(&mut random, &other));
            let bounds = (as_slice(&from), as_slice(&to));
            let expected: Vec<u64> = model.range::<[u8], _>(bounds).map(|(_, number)| *number).collect();
            let ascending: Vec<u64> = tree.range(bounds, false).map(Version::mod_revision).collect();
            let mut descending: Vec<u64> = tree.range(bounds, true).map(Version::mod_revision).collect();
            descending.reverse();
            assert_eq!(ascending, expected, "seed {seed} {bounds:?}");
            assert_eq!(descending, expected, "seed {seed} {bounds:?}");
            assert_eq!(tree.count(bounds), expected.len(), "seed {seed} {bounds:?}");
            let held = model.range(one.clone()..other.clone());
            let bytes: usize = held.clone().map(|(key, _)| key.len() + b"value".len()).sum();
            let sum = Sum { count: held.count(), bytes: bytes as u64 };
            assert_eq!(tree.sum(&one, Some(&other)), sum, "seed {seed} {one:?} to {other:?}");
        }
    }
}

#[test]
fn keys_that_come_in_order_leave_full_leaves_behind_them() {
    let mut tree = Tree::default();
    for number in 0..10_000u64 {
        tree.insert(version(format!("{number:08}").as_bytes(), number));
    }
    let Node::Branch(root) = &tree.0 else { panic!("one leaf holds 10,000 versions") };
    fn leaves(node: &Node) -> usize {
        match node {
            Node::Leaf(_) => 1,
            Node::Branch(branch) => branch.children.iter().map(leaves).sum(),
        }
    }
    let leaves: usize = root.children.iter().map(leaves).sum();
    assert!(leaves <= 10_000usize.div_ceil(SLOTS) + 1, "{leaves} leaves");
}

#[test]
fn a_tree_of_three_levels_shrinks_to_nothing_and_keeps_its_sums_on_the_way() {
    let mut random = Random(77);
    let (mut tree, mut model) = (Tree::default(), Model::new());
    for step in 0..14_000u64 {
        let key = random.below(1 << 40).to_be_bytes().to_vec();
        tree.insert(version(&key, step));
        model.insert(key, step);
    }
    assert!(check(&tree.0, None, None, true) >= 2, "three levels");
    let mut keys: Vec<Vec<u8>> = model.keys().cloned().collect();
    for at in (1..keys.len()).rev() {
        keys.swap(at, random.below(at as u64 + 1) as usize);
    }
    let old = (tree.clone(), model.clone());
    for (step, key) in keys.iter().enumerate() {
        tree.remove(key);
        model.remove(key);
        if step % 1_000 == 0 {
            same(&tree, &model);
        }
    }
    same(&tree, &Model::new());
    same(&old.0, &old.1);
}
