//! `wal` as its user starts it.

mod common;

use common::{bench, row, scratch, text};

#[test]
fn the_log_is_measured_alone_beside_the_raw_disk() {
    let (dir, result) = (scratch(), scratch());
    let kept = result.path().join("kept");
    let bounds = ["--allow-debug", "--operations", "300", "--seconds", "600", "--outstanding", "1,8"];
    let arguments: Vec<&str> =
        ["wal"].into_iter().chain(bounds).chain(["--out", kept.to_str().unwrap()]).collect();
    let output = bench(dir.path(), &arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "files are left");
    for name in ["raw write and fdatasync", "1 outstanding", "8 outstanding"] {
        assert!(row(&out, name)[0] != "0", "{name}: {out}");
    }
    for name in ["  1 outstanding: p50 by the raw one", "  8 outstanding: appends that one sync serves"] {
        assert!(row(&out, name)[0].parse::<f64>().unwrap() > 0.0, "{name}: {out}");
    }
    assert!(
        std::fs::read_to_string(kept.join("result.json")).unwrap().contains("raw write and fdatasync, p50")
    );
}
