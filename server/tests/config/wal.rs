//! `wal` on the directory of a real node: while it runs, when it is stopped, and when it is damaged.

use std::fs;

use holdfast_wal::format::HEAD_BYTES;

use super::process::{Node, Place, holdfast, said};

/// Bytes of the head of a short record, with the check of its one piece.
const HEAD: usize = HEAD_BYTES + 4;

fn wal(verb: &str, directory: &str) -> (Option<i32>, String, String) {
    said(holdfast(&["wal", verb, directory]))
}

#[test]
fn the_log_of_a_node_is_shown_and_checked_and_damage_inside_is_told_from_a_torn_tail() {
    let mut node = Node::start("", &[]);
    node.wait_for(&["life T5"]);
    for count in 0..3 {
        node.put(&format!("app/{count}"), "secret");
    }
    let data = node.place.path("data");
    let (code, _, err) = wal("verify", &data);
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("warning: in use by process"), "{err}");
    node.stop();

    let (code, dump, err) = wal("dump", &data);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let row = dump.lines().find(|line| line.contains("\tPut\tapp/1\t")).unwrap_or_else(|| panic!("{dump}"));
    let columns: Vec<&str> = row.split('\t').collect();
    assert_eq!((columns.len(), columns[2], columns[7]), (11, "K1 Entry", "ok"), "{row}");
    assert!(!dump.contains("secret"), "values are nobody's business");
    let (code, stat, _) = wal("stat", &format!("{data}/wal"));
    assert_eq!(code, Some(0));
    assert!(stat.starts_with("what\trecords\tbytes\nK1 Entry\t"), "{stat}");
    let (code, out, _) = wal("verify", &data);
    assert_eq!((code, out.lines().last()), (Some(0), Some("whole")), "{out}");

    // A bit of an entry that was acknowledged.
    let file = format!("{data}/wal/{}", columns[0]);
    let whole = fs::read(&file).expect("the segment");
    let at: usize = columns[1].parse().expect("an offset");
    let mut damaged = whole.clone();
    damaged[at + HEAD] ^= 1;
    fs::write(&file, &damaged).expect("the segment");
    let (code, out, _) = wal("verify", &data);
    assert_eq!(code, Some(9), "{out}");
    let told = format!("DAMAGED {} offset {at}, ", columns[0]);
    assert!(out.contains(&told) && out.contains("index "), "{out}");
    let (code, dump, _) = wal("dump", &data);
    assert_eq!(code, Some(0), "a dump shows what there is");
    assert!(
        dump.lines()
            .any(|line| line.starts_with(&format!("{}\t{at}\t", columns[0])) && line.contains("DAMAGED")),
        "{dump}"
    );
    assert_eq!(fs::read(&file).expect("the segment"), damaged, "nothing was repaired");
    fs::write(&file, &whole).expect("the segment");

    // As if power had gone while the last entry was written: its head is there, its body and what follows are not.
    let offset =
        |row: &str| -> usize { row.split('\t').nth(1).expect("an offset").parse().expect("a number") };
    let last = dump.lines().rfind(|line| line.contains("\tK1 Entry\t")).expect("an entry");
    let mark = dump.lines().find(|line| line.contains("\tK6 Mark\t")).expect("a clean end");
    let mut torn = whole;
    torn[offset(last) + HEAD..offset(mark) + 512].fill(0);
    fs::write(&file, &torn).expect("the segment");
    let (code, out, _) = wal("verify", &data);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("its tail is torn, which is fine"), "{out}");
}

#[test]
fn a_directory_without_a_log_is_refused_with_code_2() {
    let place = Place::new();
    for verb in ["dump", "verify", "stat"] {
        let (code, _, err) = wal(verb, &place.path("missing"));
        assert_eq!(code, Some(2), "{verb}: {err}");
        assert!(err.contains("missing"), "{err}");
    }
    let (code, _, err) = wal("verify", &place.path(""));
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("there is no log here"), "{err}");
}
