//! `./check --repeat` and `./check flaky`, with a cargo and a git that are played: what rounds print is given, so that what fails
//! in some of them does so in the same ones each time.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use holdfast_tidy::workspace;
use tempfile::TempDir;

/// A directory with `check` in it, and tools that are played.
struct Stage(TempDir);

/// Prints what the played rounds print: of each test in `play`, `NAME ROUNDS…` says in which rounds it fails, and `*` stands for all.
const CARGO: &str = r##"#!/usr/bin/env bash
cd "$(dirname "$0")/.."
case " $* " in
*" --no-run "*) exit "$(cat build 2>/dev/null || echo 0)" ;;
*" --list "*) awk '{ print $1 ": test" }' play; exit 0 ;;
esac
round=$(($(cat round 2>/dev/null || echo 0) + 1))
echo "$round" >round
if [ -f built ]; then echo "   Compiling something v1.0.0"; fi
echo "     Running tests/played.rs (target/debug/deps/played-d2222684cdc6cd84)"
if [ "$(cat aborts 2>/dev/null)" = "$round" ]; then
  echo "error: test failed, to rerun pass \`--test played\`"
  echo "  process didn't exit successfully: \`/x/target/debug/deps/played-d2222684cdc6cd84 some\` (signal: 6, SIGABRT: process abort signal)"
  exit 101
fi
failed=()
while read -r name rounds; do
  if [[ " $rounds " == *" $round "* || $rounds == "*" ]]; then
    failed+=("$name")
    # Another process has written into the line.
    if [ "$name" = torn ]; then echo "test torn ... a line of a nodeFAILED"; else echo "test $name ... FAILED"; fi
  else
    echo "test $name ... ok"
  fi
done <play
echo "test left_out ... ignored"
[ "${#failed[@]}" -eq 0 ] && exit 0
echo; echo "failures:"; echo
for name in "${failed[@]}"; do
  echo "---- $name stdout ----"
  echo "thread '$name' panicked: not so"
  echo "    innocent"
  echo "the seed is ${round}00"
  echo
done
echo; echo "failures:"
printf '    %s\n' "${failed[@]}"
echo; echo "test result: FAILED. 1 passed; ${#failed[@]} failed"
exit 101
"##;

const GIT: &str = "#!/usr/bin/env bash\n[ \"$1\" = log ] && cat \"$(dirname \"$0\")/../day\"\nexit 0\n";

impl Stage {
    /// With these tests.
    fn new(play: &str) -> Self {
        let stage = Self(tempfile::tempdir().expect("a directory"));
        for directory in ["bin", "tidy"] {
            fs::create_dir(stage.0.path().join(directory)).expect("a directory");
        }
        for (name, text) in [
            ("check", workspace::read("check").as_str()),
            ("tidy/repeat.sh", &workspace::read("tidy/repeat.sh")),
            ("flaky.txt", &workspace::read("flaky.txt")),
            ("bin/cargo", CARGO),
            ("bin/git", GIT),
            ("play", play),
            ("day", "2026-11-22\n"),
        ] {
            stage.file(name, text);
        }
        stage
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    /// Whether `check` was content, and what it printed.
    fn check(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let _ = fs::remove_file(self.0.path().join("round"));
        let path =
            format!("{}:{}", self.0.path().join("bin").display(), std::env::var("PATH").expect("a path"));
        let mut command = Command::new(self.0.path().join("check"));
        command.args(arguments).env("PATH", path).env_remove("CARGO_TARGET_DIR");
        let done = command.output().expect("bash");
        let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (done.status.code(), said.concat())
    }

    /// What the gate says of this entry.
    fn gate(&self, entries: &str) -> (Option<i32>, String) {
        self.file("flaky.txt", &format!("# a remark\n{entries}\n"));
        self.check(&["flaky"])
    }
}

#[test]
fn what_fails_in_some_rounds_is_told_from_what_fails_in_all_with_rounds_seed_and_output() {
    let stage = Stage::new("good\nsometimes 2 5\nalways *\ntorn 3\n");
    let (code, said) = stage.check(&["--repeat", "6", "--load", "1", "-p", "x", "filter"]);
    assert_eq!(code, Some(1), "{said}");
    for part in [
        "NONDETERMINISTIC  played: sometimes\n    failed 2 of 6 (rounds 2, 5)\n    the seed is 200\n    output  target/repeat/round-2.log:",
        "deterministic failure  played: always\n    failed 6 of 6 (rounds 1, 2, 3, 4, 5, 6)",
        "NONDETERMINISTIC  played: torn\n    failed 1 of 6 (rounds 3)",
        "repeat: 1 of 4 tests passed all 6 rounds",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("innocent") && !said.contains("left_out"), "{said}");
    let kept = fs::read_to_string(stage.0.path().join("target/repeat/round-2.log"))
        .expect("the output of the round");
    let at = said.split("round-2.log:").nth(1).and_then(|rest| rest.lines().next()).expect("its line");
    let line = kept.lines().nth(at.parse::<usize>().expect("a number") - 1);
    assert_eq!(line, Some("---- sometimes stdout ----"));
}

#[test]
fn rounds_are_passed_only_if_every_test_passed_each_and_there_was_one() {
    let stage = Stage::new("good\nfine\n");
    let (code, said) = stage.check(&["--repeat", "3"]);
    assert!(code == Some(0) && said.contains("2 of 2 tests passed all 3 rounds"), "{said}");

    stage.file("aborts", "2");
    let (code, said) = stage.check(&["--repeat", "3"]);
    let itself = "NONDETERMINISTIC  played: the program itself (signal: 6, SIGABRT: process abort signal)\n    failed 1 of 3 (rounds 2)";
    assert!(code == Some(1) && said.contains(itself), "{said}");
    assert!(said.contains("played: good\n    failed 0 of 3, did not come to its end in 1"), "{said}");
    stage.file("aborts", "");

    stage.file("built", "");
    let (code, said) = stage.check(&["--repeat", "3"]);
    assert!(code == Some(1) && said.contains("another program"), "{said}");
    stage.file("build", "1");
    assert_eq!(stage.check(&["--repeat", "3"]).0, Some(1), "what is not built is not repeated");

    let none = Stage::new("");
    let (code, said) = none.check(&["--repeat", "3"]);
    assert!(code == Some(1) && said.contains("no test has run"), "{said}");
    for arguments in [&["--repeat"][..], &["--repeat", "0"], &["--repeat", "x"], &["--repeat", "2", "--load"]]
    {
        let (code, said) = none.check(arguments);
        assert!(code == Some(2) && said.contains("usage"), "{arguments:?}: {said}");
    }
}

#[test]
fn the_gate_bears_one_failure_of_a_test_that_is_listed_and_no_more() {
    let entry = "2026-11-20 2026-12-20 x played sometimes it races, see issue 7";
    let (code, said) = Stage::new("sometimes 4\n").gate(entry);
    assert!(code == Some(0) && said.contains("sometimes passed 19 of 20 rounds, until 2026-12-20"), "{said}");
    let (code, said) = Stage::new("sometimes 4 5\n").gate(entry);
    assert!(
        code == Some(1) && said.contains("flaky.txt:2: sometimes passed 18 of 20 rounds, and may fail 1"),
        "{said}"
    );
    assert_eq!(Stage::new("").check(&["flaky"]).0, Some(0), "a list that names none is fine");
}

#[test]
fn the_gate_refuses_an_entry_that_is_late_long_gone_twice_or_unreadable() {
    let stage = Stage::new("sometimes\n");
    for (entry, why) in [
        ("2026-10-20 2026-11-19 x played sometimes why", "its time was over on 2026-11-19"),
        ("2026-11-20 2026-12-21 x played sometimes why", "30 days at most, here until 2026-12-20"),
        ("2026-11-20 2026-12-20 x played renamed why", "there is no test renamed in x played any more"),
        ("2026-11-20 2026-12-20 x played sometimes", "expected SINCE UNTIL PACKAGE TARGET TEST WHY"),
        ("2026-11-20 soon x played sometimes why", "expected SINCE UNTIL"),
        ("2026-02-31 2026-12-20 x played sometimes why", "expected SINCE UNTIL"),
        (
            "2026-11-20 2026-12-20 x played sometimes why\n2026-11-20 2026-12-20 x played sometimes why",
            "flaky.txt:3: sometimes stands here twice",
        ),
    ] {
        let (code, said) = stage.gate(entry);
        assert!(code == Some(1) && said.contains(why), "{entry}: {said}");
    }
    stage.file("day", "2027-01-01\n");
    let (_, said) = stage.gate("2026-11-20 2026-12-20 x played sometimes why");
    assert!(said.contains("its time was over on 2026-12-20"), "the day is that of the commit: {said}");
}
