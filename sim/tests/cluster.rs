//! The harness of real processes, once, for some seconds: that it strikes, heals, writes down and judges. Real time is what it is
//! about, so it waits for what is to happen and asserts nothing about how long that takes.

use std::process::Command;

#[test]
fn real_processes_under_a_few_faults_lose_nothing() {
    let seed = u64::from(std::process::id());
    println!("HOLDFAST_SEED={seed}");
    let faults = "kill-leader,pause-follower,partition-leader,duplicate-frames,torn-frames,transfer";
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-sim"));
    command.args(["cluster", "--plain", "--fast", "--minutes", "0.1", "--faults", faults]);
    let output = command.arg(format!("--seed={seed}")).output().expect("the program that cargo built");
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        last.ends_with("lost_acks=0 stale_reads=0 duplicate_effects=0 wedged=0 other_violations=0 void=0"),
        "{said}"
    );
    let figure = |name: &str| {
        let value = last.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    };
    assert!(figure("faults") > 0 && figure("ops") > 100, "{said}");
}

#[test]
fn a_fault_that_there_is_not_is_told_with_those_that_there_are() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-sim"));
    let output =
        command.args(["cluster", "--faults", "flood"]).output().expect("the program that cargo built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("flood") && said.contains("kill-leader"), "{said}");
}
