//! The pages about the server against its code: stages, limits, flags, exit codes.

use std::collections::BTreeSet;
use std::fmt::Write;

use holdfast_machine::Numbered;
use holdfast_server::api::metrics::METRICS;
use holdfast_server::api::routes::{ROUTES, Route};
use holdfast_server::cli;
use holdfast_server::config::{DEPRECATED, Deprecated, OPTIONS, RESERVED, flag};
use holdfast_server::stage::Stage;
use holdfast_tidy::{blocks, layout, symbols, workspace};

#[test]
fn the_page_of_the_request_path_shows_the_stages_and_limits_of_the_code() {
    let wanted = vec![
        ("stages", stages()),
        ("limits of the node", limits(&["server/src/node/limits.rs"])),
        ("limits of the runtime", limits(&RUNTIME)),
        ("limits of watches", limits(&["server/src/watch/limits.rs"])),
        ("limits of HTTP", limits(&API)),
    ];
    blocks::check(&[("docs/request-path.md".into(), wanted)]);
}

/// The nine stages, and what the code says of each.
fn stages() -> String {
    let mut out = String::from("| stage | what it is, and from when to when |\n|---|---|\n");
    for stage in Stage::ALL {
        let _ = writeln!(out, "| {} {} | {} |", stage.number(), stage.name(), layout::plain(stage.caption()));
    }
    out
}

/// The files of the runtime that bound something, in the order of a request.
const RUNTIME: [&str; 14] = [
    "server/src/runtime/mod.rs",
    "server/src/runtime/clients.rs",
    "server/src/runtime/peers.rs",
    "server/src/runtime/link.rs",
    "server/src/runtime/snapshots.rs",
    "server/src/runtime/turn.rs",
    "server/src/runtime/disk.rs",
    "server/src/runtime/forming.rs",
    "server/src/runtime/joining.rs",
    "server/src/runtime/workers.rs",
    "server/src/runtime/audit.rs",
    "server/src/runtime/desk.rs",
    "server/src/runtime/measures.rs",
    "server/src/runtime/examine.rs",
];

/// The files of the HTTP interface that bound something.
const API: [&str; 3] = ["server/src/api/serve.rs", "server/src/api/ask.rs", "server/src/api/params.rs"];

#[test]
fn the_page_about_http_shows_the_paths_and_the_metrics_that_are_served() {
    let mut routes = String::from("| method | path | parameters | what it does |\n|---|---|---|---|\n");
    for Route { method, path, parameters, what } in ROUTES {
        let _ = writeln!(routes, "| {method} | `{}` | {parameters} | {what} |", path.replace('*', ""));
    }
    let mut metrics = String::from("| metric | kind | labels | what it says |\n|---|---|---|---|\n");
    for metric in METRICS {
        let labels = metric.labels.join(", ");
        let _ = writeln!(metrics, "| `{}` | {} | {labels} | {} |", metric.name, metric.kind(), metric.what);
    }
    blocks::check(&[("docs/http.md".into(), vec![("routes", routes), ("metrics", metrics)])]);
}

/// Every constant of these files, as it is written there.
fn limits(paths: &[&str]) -> String {
    let mut out = String::from("| limit | where | value | what it bounds, and why |\n|---|---|---|---|\n");
    for path in paths {
        let place = path.rsplit('/').next().unwrap_or_default();
        for constant in symbols::of_file(path).constants {
            let (name, value) = (&constant.name, symbols::as_written(path, &constant.name));
            let _ = writeln!(out, "| `{name}` | `{place}` | {value} | {} |", layout::plain(&constant.doc));
        }
    }
    out
}

#[test]
fn every_file_of_the_runtime_that_has_a_limit_is_shown() {
    for path in workspace::files(".rs").iter().filter(|path| path.starts_with("server/src/runtime/")) {
        let constants = symbols::of_file(path).constants;
        let bounds =
            constants.iter().filter(|constant| !["FEATURES", "BUILD"].contains(&constant.name.as_str()));
        assert!(
            bounds.count() == 0 || RUNTIME.contains(&path.as_str()),
            "{path} has limits and is not shown"
        );
    }
}

#[test]
fn the_page_about_running_shows_the_flags_that_are_parsed() {
    blocks::check(&[("docs/running.md".into(), vec![("flags of dev", flags("dev"))])]);
}

#[test]
fn the_page_of_the_configuration_shows_the_options_that_are_read() {
    let wanted = vec![
        ("options", options()),
        ("where files are", places()),
        ("old names", old_names()),
        ("reserved", reserved()),
    ];
    blocks::check(&[("docs/configuration.md".into(), wanted)]);
}

/// Every option of a node.
fn options() -> String {
    let mut out =
        String::from("| key | default | what it takes | reload | what it is |\n|---|---|---|---|---|\n");
    for option in &OPTIONS {
        let default = match option.default {
            None if option.required => "required".to_owned(),
            None | Some("") => String::new(),
            Some(default) => format!("`{default}`"),
        };
        let reload = if option.live { "yes" } else { "" };
        let (expects, caption) = (option.kind.expects(), layout::plain(option.caption));
        let _ = writeln!(out, "| `{}` | {default} | {expects} | {reload} | {caption} |", option.key);
    }
    out
}

/// The flags that say where the rest stands.
fn places() -> String {
    let mut cli = cli::command();
    cli.build();
    let server = cli.find_subcommand("server").expect("the command exists");
    let mut out = String::from("| flag | environment | what it is |\n|---|---|---|\n");
    for flag in server.get_arguments().filter(|flag| flag.get_env().is_some()) {
        let long = flag.get_long().unwrap_or_default();
        let variable = flag.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let what = flag.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(out, "| `--{long}` | `{variable}` | {} |", layout::plain(&what));
    }
    out
}

/// Every option that was called otherwise.
fn old_names() -> String {
    let mut out = String::from("| old | now | the number `50` becomes |\n|---|---|---|\n");
    for Deprecated { key, now, unit } in &DEPRECATED {
        let _ = writeln!(out, "| `{key}` | `{now}` | `{now} = \"50{unit}\"` |");
    }
    out
}

fn reserved() -> String {
    let keys: Vec<String> = RESERVED.iter().map(|key| format!("`{key}`")).collect();
    keys.join(", ")
}

#[test]
fn every_option_is_a_flag_of_each_command_that_reads_a_configuration() {
    let mut cli = cli::command();
    cli.build();
    for path in [&["server"][..], &["config", "show"], &["config", "check"]] {
        let mut command = &cli;
        for name in path {
            command = command.find_subcommand(name).expect("it exists");
        }
        let flags = command.get_arguments().filter_map(|flag| flag.get_long());
        let flags: BTreeSet<String> = flags.map(|long| format!("--{long}")).collect();
        let keys = OPTIONS.iter().map(|option| option.key).chain(DEPRECATED.iter().map(|old| old.key));
        for key in keys.chain(RESERVED) {
            assert!(flags.contains(&flag(key)), "{path:?} does not take {key}");
        }
    }
}

/// What a command of `holdfast` can be told.
fn flags(command: &str) -> String {
    let mut cli = cli::command();
    cli.build();
    let command = cli.find_subcommand(command).expect("the command exists");
    let mut out = String::from("| flag | environment | default | what it is |\n|---|---|---|---|\n");
    for flag in command.get_arguments().filter(|flag| flag.get_id() != "help") {
        let long = flag.get_long().unwrap_or_default();
        let value = flag.get_value_names().into_iter().flatten().next().map_or("", |name| name.as_str());
        let environment =
            flag.get_env().map_or(String::new(), |name| format!("`{}`", name.to_string_lossy()));
        let defaults = flag.get_default_values().iter().map(|value| value.to_string_lossy());
        let default = match defaults.collect::<Vec<_>>().join(",") {
            none if none.is_empty() && flag.is_required_set() => "required".to_owned(),
            none if none.is_empty() => String::new(),
            some => format!("`{some}`"),
        };
        let what = flag.get_help().map(ToString::to_string).unwrap_or_default();
        let _ =
            writeln!(out, "| `--{long} <{value}>` | {environment} | {default} | {} |", layout::plain(&what));
    }
    out
}
