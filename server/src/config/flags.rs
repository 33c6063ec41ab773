//! The flags of `server`, and of all that reads a configuration as it does: one for each option, made of the table.
//!
//! What a flag says is read where all layers are read, and not by the parser of the command line: so a bad value is refused
//! with the same words wherever it stands, and what nobody said stays unsaid.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::layers::Sources;
use super::table::{DEPRECATED, OPTIONS, Opt, RESERVED, flag, variable};
use super::value::Kind;

const FILES: &str = "config";
const DIRECTORIES: &str = "config_dir";

/// What flags say of a configuration, and where the rest of it is.
#[derive(Clone, Debug, Default)]
pub struct Flags(Sources);

impl Flags {
    /// All sources; `commands` are those of this program, with the variables that they know.
    #[must_use]
    pub fn sources(self, commands: &Command) -> Sources {
        let mut sources = self.0;
        collect_variables(commands, &mut sources.other_variables);
        sources
    }
}

fn collect_variables(command: &Command, names: &mut Vec<String>) {
    let named = command.get_arguments().filter_map(|argument| argument.get_env());
    names.extend(named.map(|name| name.to_string_lossy().into_owned()));
    for command in command.get_subcommands() {
        collect_variables(command, names);
    }
}

fn id_of(key: &'static str) -> Arg {
    Arg::new(key).long(flag(key).trim_start_matches("--").to_owned()).value_parser(value_parser!(OsString))
}

fn argument(option: &Opt) -> Arg {
    let mut help = option.caption.to_owned();
    if let Some(default) = option.default.filter(|default| !default.is_empty()) {
        help += &format!(" [default: {default}]");
    }
    help += &format!(" [env: {}]", variable(option.key));
    let argument = id_of(option.key).help(help).value_name(option.kind.placeholder());
    match option.kind {
        Kind::Switch => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Addresses | Kind::Members | Kind::Nodes => argument.action(ArgAction::Append),
        Kind::Count(..)
        | Kind::Duration(..)
        | Kind::Size(..)
        | Kind::Path
        | Kind::Name
        | Kind::Listen
        | Kind::ListenOrOff
        | Kind::Address
        | Kind::Filter
        | Kind::Choice(_) => argument,
    }
}

fn place(id: &'static str, name: &'static str, help: &'static str) -> Arg {
    Arg::new(id)
        .long(name)
        .env(variable(id))
        .value_name("PATH")
        .action(ArgAction::Append)
        .value_parser(value_parser!(PathBuf))
        .help(help)
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let hidden = DEPRECATED.iter().map(|old| old.key).chain(RESERVED);
        command
            .arg(place(FILES, "config", "A configuration file; of several, the later one counts"))
            .arg(place(
                DIRECTORIES,
                "config-dir",
                "A directory whose *.toml are read in the order of their names, behind the files",
            ))
            .args(OPTIONS.iter().map(argument))
            .args(hidden.map(|key| id_of(key).hide(true)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let paths = |id| matches.get_many::<PathBuf>(id).unwrap_or_default().cloned().collect();
        let keys = OPTIONS.iter().map(|option| option.key).chain(DEPRECATED.iter().map(|old| old.key));
        let flags = keys.chain(RESERVED).filter_map(|key| {
            let texts: Vec<OsString> = matches.get_many::<OsString>(key)?.cloned().collect();
            Some((key, texts.join(std::ffi::OsStr::new(","))))
        });
        let (files, directories, flags) = (paths(FILES), paths(DIRECTORIES), flags.collect());
        Ok(Self(Sources { files, directories, flags, other_variables: Vec::new() }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
