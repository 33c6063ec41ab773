//! Scripts that tell a story and prove a claim: commands, and what came of them.
//!
//! ```text
//! # The claim, in the first paragraph, with its source. Lines like this one are prose.
//!
//! > cluster 3                 a command; what follows is what happened, rewritten by UPDATE_GOLDEN=1
//! n1 → n2 n3: t1 PreVote …    a message as it is sent; see `show` for how things are written
//! > (stabilize)               in parentheses: only changes of role and of members are written down
//! > [stabilize]               in brackets: nothing is, unless it is broken
//! ```
//! `command` lists the commands. After every step the invariants of the core are checked, and what has to hold between nodes
//! (`oracle`); a line that begins with `!` says what was broken, and fails the test.
//!
//! A script that is named in `planted!` runs on a core with one rule left out, and must end up broken: that shows that the
//! checks would notice. The same script then runs on the core as designed, and must not.

pub(crate) mod bad_input;
mod command;
mod disk;
mod expect;
mod forge;
mod network;
mod nodes;
mod oracle;
mod owner;
mod show;
mod world;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use holdfast_raft::{Bug, NoPlant, Plant};

use world::{Volume, World};

/// What a run of a script left behind.
pub(crate) struct Run {
    /// The script with what happened now in the place of what happened then.
    text: String,
    /// Edges, refusals, causes of drops and alarms that were seen.
    pub(crate) seen: BTreeSet<String>,
    faults: usize,
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(format!("{name}.txt"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}.txt: {error}"))
}

/// The names of all scripts that exist.
pub(crate) fn names() -> BTreeSet<String> {
    let folder = path("").parent().map(PathBuf::from).unwrap_or_default();
    let files = std::fs::read_dir(folder).expect("the scripts can be listed");
    let name = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    files.filter_map(|file| name(file.ok()?.path())).collect()
}

/// Runs a script from its start to its end, or to a panic.
pub(crate) fn run<P: Plant>(name: &str) -> Run {
    let script = read(name);
    let mut world = World::<P>::new();
    let mut text = String::new();
    for (number, line) in script.lines().enumerate() {
        let prose = line.is_empty() || line.starts_with('#');
        let Some(command) = line.strip_prefix("> ") else {
            if prose {
                text.push_str(line);
                text.push('\n');
            }
            continue;
        };
        text.push_str(line);
        text.push('\n');
        let (volume, command) = match (command.strip_prefix('('), command.strip_prefix('[')) {
            (Some(rest), _) => (Volume::Low, rest.trim_end_matches(')')),
            (_, Some(rest)) => (Volume::Silent, rest.trim_end_matches(']')),
            (None, None) => (Volume::Full, command),
        };
        world.volume = volume;
        let done = catch_unwind(AssertUnwindSafe(|| world.command(command)));
        let done = done.unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            world.fault(&format!("panic: {}", words.unwrap_or_default()));
            Ok(())
        });
        if let Err(error) = done {
            panic!("{name}.txt:{}: {command}: {error}", number + 1);
        }
        for said in world.lines.drain(..).collect::<Vec<_>>().chunk_by(|a, b| a == b) {
            let times = if said.len() > 1 { format!("  ({} times)", said.len()) } else { String::new() };
            text.push_str(&format!("{}{times}\n", said[0]));
        }
    }
    Run { text, seen: world.seen, faults: world.faults }
}

/// Runs a script on the core as designed: nothing breaks, and what happens is what the file says.
pub(crate) fn story(name: &str) {
    let run = run::<NoPlant>(name);
    compare(name, &run.text);
    assert_eq!(run.faults, 0, "{name} is broken:\n{}", broken(&run.text));
}

thread_local! {
    static LEFT_OUT: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// The core without the rule that this thread has chosen: one type for all, or the core would be compiled for each.
#[derive(Clone, Copy, Debug)]
struct Chosen;

impl Plant for Chosen {
    const BUG: Option<Bug> = None;

    fn plants(bug: Bug) -> bool {
        LEFT_OUT.get() == Some(bug)
    }

    fn any() -> bool {
        LEFT_OUT.get().is_some()
    }
}

/// Runs a script on a core with one rule left out, which must be noticed, and on the core as designed.
pub(crate) fn planted(name: &str, bug: Bug) {
    LEFT_OUT.set(Some(bug));
    let bad = run::<Chosen>(name);
    LEFT_OUT.set(None);
    compare(name, &bad.text);
    assert!(bad.faults > 0, "{name}: nothing noticed that {bug:?} is planted");
    let good = run::<NoPlant>(name);
    assert_eq!(good.faults, 0, "{name} is broken without the plant:\n{}", broken(&good.text));
}

fn broken(text: &str) -> String {
    text.lines().filter(|line| line.starts_with('!')).collect::<Vec<_>>().join("\n")
}

fn compare(name: &str, now: &str) {
    let then = read(name);
    if now == then {
        return;
    }
    let difference = difference(&then, now);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path(name), now).expect("the script can be written");
        panic!("{name}.txt is rewritten; read the difference, and run again:\n{difference}");
    }
    panic!("{name}.txt says something else (UPDATE_GOLDEN=1 rewrites it):\n{difference}");
}

/// The lines that are gone and the lines that are new, each run of them behind the last line that stayed.
fn difference(then: &str, now: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (then.lines().collect(), now.lines().collect());
    // The length of the longest common subsequence of what is left of both, by where they start.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            let skip = common[i + 1][j].max(common[i][j + 1]);
            common[i][j] = if a == b { common[i + 1][j + 1] + 1 } else { skip };
        }
    }
    let (mut i, mut j, mut out, mut same) = (0, 0, Vec::new(), None);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            same = Some(old[i]);
            (i, j) = (i + 1, j + 1);
            continue;
        }
        out.extend(same.take().map(|line| format!("  {line}")));
        if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            out.push(format!("- {}", old[i]));
            i += 1;
        } else {
            out.push(format!("+ {}", new[j]));
            j += 1;
        }
    }
    out.join("\n")
}
