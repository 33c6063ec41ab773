//! Which combinations of unsynced cells a power cut leaves.

use holdfast_wal::disk::Cell;

/// As many combinations as are enumerated in full: those of 14 cells with two versions each.
pub const FULL: usize = 4096 * 4;

/// Calls `visit` with a version number for each cell: for every combination if there are at most `full`, else for a
/// systematic part of them (see `some`). Says whether it was every one. `visit` may stop it by returning `false`.
pub fn each(cells: &[Cell], full: usize, visit: &mut dyn FnMut(&[usize]) -> bool) -> bool {
    let product = cells.iter().try_fold(1_usize, |product, cell| product.checked_mul(cell.versions));
    if product.is_none_or(|product| product > full) {
        some(cells, visit);
        return false;
    }
    let mut choice = vec![0; cells.len()];
    loop {
        if !visit(&choice) {
            return true;
        }
        // The next number in a system in which each digit has a base of its own.
        let mut place = 0;
        loop {
            let Some(cell) = cells.get(place) else { return true };
            choice[place] += 1;
            if choice[place] < cell.versions {
                break;
            }
            choice[place] = 0;
            place += 1;
        }
    }
}

/// None, all, each one alone in each of its versions, all but one, all up to one and all from one on.
fn some(cells: &[Cell], visit: &mut dyn FnMut(&[usize]) -> bool) {
    let none = vec![0; cells.len()];
    let all: Vec<usize> = cells.iter().map(|cell| cell.versions - 1).collect();
    let mut choices = vec![none.clone(), all.clone()];
    for (at, cell) in cells.iter().enumerate() {
        for version in 1..cell.versions {
            let mut single = none.clone();
            single[at] = version;
            choices.push(single);
        }
        for version in 0..cell.versions - 1 {
            let mut but_one = all.clone();
            but_one[at] = version;
            choices.push(but_one);
        }
        let (mut prefix, mut suffix) = (none.clone(), none.clone());
        prefix[..=at].copy_from_slice(&all[..=at]);
        suffix[at..].copy_from_slice(&all[at..]);
        choices.extend([prefix, suffix]);
    }
    choices.sort_unstable();
    choices.dedup();
    for choice in choices {
        if !visit(&choice) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_wal::disk::CellKind;

    fn cells(versions: &[usize]) -> Vec<Cell> {
        let kind = || CellKind::Name { name: "a".to_owned() };
        versions.iter().map(|&versions| Cell { kind: kind(), versions }).collect()
    }

    fn collect(versions: &[usize], full: usize) -> (Vec<Vec<usize>>, bool) {
        let mut all = Vec::new();
        let whole = each(&cells(versions), full, &mut |choice| {
            all.push(choice.to_vec());
            true
        });
        (all, whole)
    }

    #[test]
    fn every_combination_comes_once() {
        let (mut all, whole) = collect(&[2, 3, 2], 12);
        assert!(whole);
        assert_eq!(all.len(), 12);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 12);
        assert_eq!(collect(&[], 1), (vec![vec![]], true));
    }

    #[test]
    fn too_many_are_cut_down_to_a_systematic_part() {
        let (all, whole) = collect(&[2; 20], 4096);
        assert!(!whole);
        assert!(all.contains(&vec![0; 20]) && all.contains(&vec![1; 20]));
        let ones = |choice: &Vec<usize>| choice.iter().sum::<usize>();
        assert_eq!(all.iter().filter(|choice| ones(choice) == 1).count(), 20);
        assert_eq!(all.iter().filter(|choice| ones(choice) == 19).count(), 20);
    }
}
