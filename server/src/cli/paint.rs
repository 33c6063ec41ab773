//! Colours, where somebody looks at them.

use std::io::IsTerminal as _;

use clap::ValueEnum;

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Something is wrong: bold and red.
pub(super) const BAD: &str = "1;31";
/// All is well: green.
pub(super) const GOOD: &str = "32";
/// The head of a table: bold.
pub(super) const HEAD: &str = "1";

/// Whether the two outputs take colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    stdout: bool,
    stderr: bool,
}

impl Paint {
    pub(super) fn new(color: Color) -> Self {
        let wanted = |terminal| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Self {
            stdout: wanted(std::io::stdout().is_terminal()),
            stderr: wanted(std::io::stderr().is_terminal()),
        }
    }

    /// Text for standard output, in this style.
    pub(super) fn stdout(self, style: &str, text: &str) -> String {
        paint(self.stdout, style, text)
    }

    /// Text for standard error, in this style.
    pub(super) fn stderr(self, style: &str, text: &str) -> String {
        paint(self.stderr, style, text)
    }
}

fn paint(wanted: bool, style: &str, text: &str) -> String {
    if wanted { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
}
