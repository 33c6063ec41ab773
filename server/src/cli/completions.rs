//! `completions`: what a shell needs to complete the arguments of `holdfast`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::{Shell, generate};

use super::exit::Exit;
use super::out::put_out;

#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  holdfast completions bash > /etc/bash_completion.d/holdfast")]
pub(super) struct Completions {
    /// For which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> ExitCode {
        // A reader that went away wants no more.
        let _ = put_out(&script(self.shell));
        Exit::Done.into()
    }
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut super::command(), "holdfast", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_is_told_every_command() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).expect("text");
            for command in crate::cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
