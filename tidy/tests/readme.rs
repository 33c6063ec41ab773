//! What the README shows against what it is said to come from.

use holdfast_tidy::{blocks, workspace};

#[path = "../../wire/examples/handshake.rs"]
#[expect(unreachable_pub, reason = "an example is a program of its own")]
mod handshake;

#[test]
fn the_readme_shows_what_the_handshake_example_prints() {
    let story = handshake::story().expect("the greetings of the example can be encoded");
    blocks::check(&[("README.md".into(), vec![("handshake", format!("```text\n{story}```"))])]);
}

#[test]
fn ci_runs_the_test_command_of_the_readme_and_then_the_check() {
    let (readme, ci) = (workspace::read("README.md"), workspace::read(".ci/run"));
    let fenced = readme.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let commands: Vec<&str> = fenced.flat_map(str::lines).collect();
    let test = commands.iter().find(|line| line.starts_with("cargo test")).expect("a test command");
    let at = |wanted: &str| ci.lines().position(|line| line == wanted);
    let (test, check) = (at(test), at("./check"));
    assert!(test.is_some() && test < check, ".ci/run runs the README's test command, and then ./check");
}

#[test]
fn the_readme_names_the_oldest_toolchain_that_the_manifest_does() {
    let manifest = workspace::manifest("Cargo.toml");
    let oldest = manifest["workspace"]["package"]["rust-version"].as_str().expect("a rust-version");
    assert!(workspace::read("README.md").contains(&format!("stable Rust toolchain ({oldest} or later)")));
}
