//! Where a value comes from, and what can be wrong with a configuration.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::table;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A line of a file.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// What is wrong with a configuration: where, what, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file or a directory cannot be read.
    #[error("{path}: cannot be read: {error}", path = .path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A file is no text.
    #[error("{path}:{line}: not UTF-8; a configuration is text", path = .path.display())]
    NotText {
        /// Which one.
        path: PathBuf,
        /// Where it stops being text.
        line: usize,
    },
    /// A file is no TOML.
    #[error("{path}:{line}: no TOML: {why}", path = .path.display())]
    Syntax {
        /// Which one.
        path: PathBuf,
        /// On which line.
        line: usize,
        /// What the parser says.
        why: String,
    },
    /// There is no such option.
    #[error("{origin}: there is no option `{key}`{}", meant(.guess))]
    Unknown {
        /// Where it stands.
        origin: Origin,
        /// What stands there.
        key: String,
        /// What was probably meant.
        guess: Option<&'static str>,
    },
    /// The value of an option is none.
    #[error("{origin}: `{key}`: {why}")]
    Value {
        /// Where it stands.
        origin: Origin,
        /// The option.
        key: &'static str,
        /// What is wrong.
        why: String,
    },
    /// An option that is to come.
    #[error(
        "{origin}: `{key}`: TLS comes later: this build encrypts nothing, and does not pretend to; remove the key, and keep \
         the ports on a network that you trust"
    )]
    Reserved {
        /// Where it stands.
        origin: Origin,
        /// The option.
        key: &'static str,
    },
    /// A node cannot be started without it.
    #[error(
        "`{key}` is not set: give {flag}, {variable}, or `{key}` in a file",
        flag = table::flag(.key), variable = table::variable(.key)
    )]
    Missing {
        /// The option.
        key: &'static str,
    },
    /// Others could read along.
    #[error(
        "{origin}: `{key}`: {address} can be reached from other machines, nothing is encrypted, and nothing checks who \
         connects; listen on loopback, or say that this is meant with `allow_plaintext = true` (--allow-plaintext)"
    )]
    Plaintext {
        /// Where it stands.
        origin: Origin,
        /// The option.
        key: &'static str,
        /// What it says.
        address: String,
    },
    /// Options contradict each other.
    #[error("{0}")]
    Rule(String),
}

fn meant(guess: &Option<&str>) -> String {
    guess.map_or(String::new(), |guess| format!("; did you mean `{guess}`?"))
}
