//! `holdfast`: the one binary. Everything it does is in the library, so that others can run the same code.

#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast_server::cli::main()
}
