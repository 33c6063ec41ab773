//! What somebody types at the prompt.

use std::time::Duration;

use crate::config::duration;

/// How alike a word must be to one that there is, so that it is named as the one that was meant.
const ALIKE: f64 = 0.7;

/// How long something is waited for if nobody says for how long.
const WAIT: Duration = Duration::from_secs(60);

/// All commands with what stands behind them and what they do, in the order in which `help` shows them.
pub(super) const COMMANDS: [(&str, &str, &str); 15] = [
    ("status", "", "how each node is, and what was done to it"),
    ("kill", "N", "kill -9"),
    ("start", "[N]", "start it again, on the same directory; without N all that do not run"),
    ("pause", "N [SECONDS]", "suspend the process, as a machine that hangs"),
    ("resume", "N", "let it go on"),
    ("cut", "N [M …]", "cut the network between N and M, or between N and all others"),
    ("heal", "[N]", "mend the network of N, or all of it"),
    ("slow", "N DURATION", "each sync of its log takes so much longer; 0 for none"),
    ("put", "KEY VALUE", "write a key"),
    ("get", "KEY", "read a key"),
    ("load", "on|off", "write five keys a second, and say when none was acknowledged for long"),
    (
        "watch",
        "edges on|off|all",
        "show edges of the machines: those of roles, leadership and lives; none; those of each peer too",
    ),
    (
        "wait",
        "leader|ready|SECONDS",
        "until somebody leads; until every node that runs is ready (SECONDS behind it: no longer than that); or so long",
    ),
    ("help", "", "this"),
    ("quit", "", "stop all nodes; so does the end of the input"),
];

/// Which node is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// The one with this number.
    Node(u64),
    /// Who leads.
    Leader,
    /// Any that runs and does not lead.
    Follower,
}

/// Which edges are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shown {
    /// None.
    None,
    /// Those that concern the whole cluster.
    Main,
    /// All that the nodes tell of.
    All,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Somebody leads and takes writes.
    Leader,
    /// Every node that runs is ready.
    Ready,
    /// Nothing: only so long.
    Time,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Help,
    Status,
    Kill(Whom),
    /// All that do not run, if it is none.
    Start(Option<Whom>),
    Pause(Whom, Option<Duration>),
    Resume(Whom),
    /// From these; from all others if there are none.
    Cut(Whom, Vec<Whom>),
    Heal(Option<Whom>),
    /// The duration as it was typed: the table of the options knows how long it may be.
    Slow(Whom, String),
    Put(String, String),
    Get(String),
    Load(bool),
    Edges(Shown),
    Wait(For, Duration),
    Quit,
}

/// Reads a line. Nothing stands in an empty one, and in one that begins with `#`.
///
/// # Errors
/// What was expected, for people.
pub(super) fn read(line: &str) -> Result<Option<Word>, String> {
    let mut parts = line.split_whitespace();
    let Some(first) = parts.next().filter(|first| !first.starts_with('#')) else { return Ok(None) };
    let rest: Vec<&str> = parts.collect();
    let usage = || {
        let known = COMMANDS.iter().find(|(name, ..)| *name == first);
        known.map_or_else(String::new, |(name, takes, what)| format!("{name} {takes}: {what}"))
    };
    let word = match (first, rest.as_slice()) {
        ("help" | "?", _) => Word::Help,
        ("status", []) => Word::Status,
        ("quit" | "exit", []) => Word::Quit,
        ("kill", [node]) => Word::Kill(whom(node)?),
        ("start", []) => Word::Start(None),
        ("start", [node]) => Word::Start(Some(whom(node)?)),
        ("resume", [node]) => Word::Resume(whom(node)?),
        ("pause", [node]) => Word::Pause(whom(node)?, None),
        ("pause", [node, time]) => Word::Pause(whom(node)?, Some(seconds(time)?)),
        ("cut", [node, others @ ..]) => {
            Word::Cut(whom(node)?, others.iter().map(|other| whom(other)).collect::<Result<_, _>>()?)
        }
        ("heal", []) => Word::Heal(None),
        ("heal", [node]) => Word::Heal(Some(whom(node)?)),
        ("slow", [node, delay]) => Word::Slow(whom(node)?, (*delay).to_owned()),
        ("put", [key, value, more @ ..]) => {
            let value = more.iter().fold((*value).to_owned(), |all, part| all + " " + part);
            Word::Put((*key).to_owned(), value)
        }
        ("get", [key]) => Word::Get((*key).to_owned()),
        ("load", ["on"]) => Word::Load(true),
        ("load", ["off"]) => Word::Load(false),
        ("watch", ["edges", "on"]) => Word::Edges(Shown::Main),
        ("watch", ["edges", "off"]) => Word::Edges(Shown::None),
        ("watch", ["edges", "all"]) => Word::Edges(Shown::All),
        ("wait", ["leader"]) => Word::Wait(For::Leader, WAIT),
        ("wait", ["ready"]) => Word::Wait(For::Ready, WAIT),
        ("wait", [time]) if time.starts_with(|first: char| first.is_ascii_digit()) => {
            Word::Wait(For::Time, seconds(time)?)
        }
        ("wait", ["leader", time]) => Word::Wait(For::Leader, seconds(time)?),
        ("wait", ["ready", time]) => Word::Wait(For::Ready, seconds(time)?),
        _ if !usage().is_empty() => return Err(usage()),
        _ => {
            let names = COMMANDS.map(|(name, ..)| name);
            let meant = guess(first, &names).map_or(String::new(), |name| format!(" did you mean {name}?"));
            return Err(format!("there is no command {first:?};{meant} `help` shows all"));
        }
    };
    Ok(Some(word))
}

/// A node by its number, with or without an `n`, or by what it is.
fn whom(text: &str) -> Result<Whom, String> {
    match text {
        "leader" => Ok(Whom::Leader),
        "follower" => Ok(Whom::Follower),
        _ => {
            let number = text.strip_prefix('n').unwrap_or(text).parse().ok().filter(|number| *number > 0);
            let meant = guess(text, &["leader", "follower"]);
            let meant = meant.map_or(String::new(), |name| format!("; did you mean {name}?"));
            number
                .map(Whom::Node)
                .ok_or_else(|| format!("{text:?} is no node: 1, n1, leader or follower{meant}"))
        }
    }
}

/// A plain number is seconds here, since it is typed by hand.
fn seconds(text: &str) -> Result<Duration, String> {
    let with_unit = if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        format!("{text}s")
    } else {
        text.to_owned()
    };
    duration(&with_unit).map_err(|why| format!("{text:?} is no time: {why}"))
}

fn guess(word: &str, names: &[&'static str]) -> Option<&'static str> {
    let alike = names.iter().map(|name| (strsim::jaro_winkler(&word.to_ascii_lowercase(), name), *name));
    let nearest = alike.max_by(|one, other| one.0.total_cmp(&other.0));
    nearest.filter(|(alike, _)| *alike >= ALIKE).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read_with_nodes_by_number_or_by_what_they_are() {
        for (line, word) in [
            ("kill leader", Word::Kill(Whom::Leader)),
            (" kill  n2 ", Word::Kill(Whom::Node(2))),
            ("pause 1 0.5", Word::Pause(Whom::Node(1), Some(Duration::from_millis(500)))),
            ("pause follower 200ms", Word::Pause(Whom::Follower, Some(Duration::from_millis(200)))),
            ("cut leader", Word::Cut(Whom::Leader, Vec::new())),
            ("cut 1 2 n3", Word::Cut(Whom::Node(1), vec![Whom::Node(2), Whom::Node(3)])),
            ("heal", Word::Heal(None)),
            ("slow 1 200ms", Word::Slow(Whom::Node(1), "200ms".to_owned())),
            ("put a b  c", Word::Put("a".to_owned(), "b c".to_owned())),
            ("watch edges all", Word::Edges(Shown::All)),
            ("wait 0.5", Word::Wait(For::Time, Duration::from_millis(500))),
            ("wait ready 5", Word::Wait(For::Ready, Duration::from_secs(5))),
        ] {
            assert_eq!(read(line), Ok(Some(word)), "{line}");
        }
        assert_eq!((read(""), read("# a remark")), (Ok(None), Ok(None)));
    }

    #[test]
    fn what_is_mistyped_is_answered_with_what_was_probably_meant() {
        for (line, said) in [
            ("kil leader", "did you mean kill?"),
            ("frobnicate", "`help` shows all"),
            ("kill", "kill N: kill -9"),
            ("kill leadr", "did you mean leader?"),
            ("kill n0", "is no node"),
            ("pause 1 soon", "is no time"),
            ("load", "load on|off"),
            ("watch edge on", "watch edges on|off|all"),
        ] {
            let why = read(line).expect_err(line);
            assert!(why.contains(said), "{line}: {why}");
        }
    }

    #[test]
    fn every_command_that_help_shows_is_one() {
        for (name, takes, _) in COMMANDS {
            let said = read(name);
            let alone = takes.is_empty() || takes.starts_with('[');
            assert_eq!(said.is_ok(), alone, "{name}");
            assert!(alone || said.is_err_and(|why| why.starts_with(&format!("{name} {takes}"))), "{name}");
        }
    }
}
