//! `docs/cli.md` against the command line: commands, flags, exit codes.

use std::fmt::Write as _;

use clap::{Arg, Command};
use holdfast_machine::Numbered as _;
use holdfast_server::cli::{self, Exit};
use holdfast_server::doctor::Check;
use holdfast_tidy::{blocks, layout};

/// What every command that asks a cluster can be told.
const SHARED: [&str; 4] = ["endpoints", "timeout", "output", "color"];

/// They have a page of their own.
const NODES: [&str; 2] = ["server", "dev"];

#[test]
fn the_page_of_the_command_line_shows_the_commands_flags_and_exit_codes_of_the_code() {
    let mut command = cli::command();
    command.build();
    let wanted = vec![
        ("exit codes", exit_codes()),
        ("shared options", shared(&command)),
        ("commands", commands(&command)),
    ];
    blocks::check(&[("docs/cli.md".into(), wanted)]);
}

#[test]
fn the_page_of_the_doctor_shows_the_checks_of_the_code_with_their_thresholds() {
    let mut out = String::from(
        "| check | it is well if | it warns if | it fails if | runbook |\n|---|---|---|---|---|\n",
    );
    for check in Check::ALL {
        let [warns, fails, page] = check.rules();
        let well = layout::plain(check.caption());
        let well = well.trim_end_matches('.');
        let page = page.strip_prefix("docs/runbooks/").and_then(|page| page.strip_suffix(".md"));
        let page = page.map(|page| format!("[{page}](runbooks/{page}.md)"));
        let page = page.unwrap_or_default();
        let _ = writeln!(out, "| `{}` | {well} | {warns} | {fails} | {page} |", check.key());
    }
    blocks::check(&[("docs/doctor.md".into(), vec![("checks", out)])]);
}

fn exit_codes() -> String {
    let mut out = String::from("| code | name | what happened |\n|---|---|---|\n");
    for exit in Exit::ALL {
        let _ = writeln!(out, "| {} | {} | {} |", exit.number(), exit.name(), layout::plain(exit.caption()));
    }
    out
}

fn shared(command: &Command) -> String {
    let put = command.find_subcommand("put").expect("it is there");
    flags(put.get_arguments().filter(|flag| SHARED.contains(&flag.get_id().as_str())))
}

/// Every command, with the commands below it.
fn commands(command: &Command) -> String {
    let mut out = String::new();
    for command in command.get_subcommands().filter(|command| !NODES.contains(&command.get_name())) {
        if command.get_name() == "help" {
            continue;
        }
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(out, "### {}\n\n{about}.\n", command.get_name());
        let before = command.get_before_help().map(ToString::to_string).unwrap_or_default();
        let examples = before.strip_prefix("Examples:\n").unwrap_or(&before);
        let _ = writeln!(out, "```text\n{}\n```\n", examples.trim_end());
        if let Some(after) = command.get_after_help() {
            let _ = writeln!(out, "```text\n{after}\n```\n");
        }
        let mut below: Vec<&Command> =
            command.get_subcommands().filter(|sub| sub.get_name() != "help").collect();
        if below.is_empty() {
            out.push_str(&own_flags(command));
            out.push('\n');
        }
        below.sort_by_key(|sub| sub.get_display_order());
        for sub in below {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            let _ =
                writeln!(out, "**{} {}**: {}.\n", command.get_name(), sub.get_name(), layout::plain(&about));
            out.push_str(&own_flags(sub));
            out.push('\n');
        }
    }
    out
}

/// Arguments and flags, without those that all have.
fn own_flags(command: &Command) -> String {
    let own = |flag: &&Arg| {
        let id = flag.get_id().as_str();
        !SHARED.contains(&id) && !["help", "version"].contains(&id) && !flag.is_hide_set()
    };
    flags(command.get_arguments().filter(own))
}

fn flags<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let mut out = String::new();
    for flag in arguments {
        if out.is_empty() {
            out.push_str("| argument | default | what it is |\n|---|---|---|\n");
        }
        let values = flag.get_num_args().is_some_and(|count| count.takes_values());
        let name = flag.get_value_names().into_iter().flatten().next().map_or("", |name| name.as_str());
        let value = if values { format!(" <{name}>") } else { String::new() };
        let shown = match (flag.get_short(), flag.get_long()) {
            (Some(short), Some(long)) => format!("-{short}, --{long}{value}"),
            (_, Some(long)) => format!("--{long}{value}"),
            (_, None) => format!("<{name}>"),
        };
        let defaults = flag.get_default_values().iter().map(|value| value.to_string_lossy());
        let default = match defaults.collect::<Vec<_>>().join(",") {
            none if none.is_empty() || flag.is_hide_default_value_set() || !values => String::new(),
            some => format!("`{some}`"),
        };
        let choices: Vec<String> = flag
            .get_possible_values()
            .iter()
            .filter(|_| values)
            .map(|choice| {
                let help = choice.get_help().map(ToString::to_string).unwrap_or_default();
                format!("`{}` ({})", choice.get_name(), help)
            })
            .collect();
        let mut what = layout::plain(&flag.get_help().map(ToString::to_string).unwrap_or_default());
        if !choices.is_empty() && flag.get_id() != "shell" {
            let _ = write!(what, ": {}", choices.join(", "));
        }
        let _ = writeln!(out, "| `{shown}` | {default} | {what} |");
    }
    out
}
