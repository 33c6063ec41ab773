//! `version`: which build this is, and what it speaks, writes and reads.

use std::process::ExitCode;

use clap::Args;
use holdfast_command::FeatureLevel;
use holdfast_store::snapshot::FORMAT_VERSION;
use holdfast_wire::VersionRange;

use super::exit::Exit;
use super::out::{Cell, Shape};
use crate::audit::AUDIT_VERSION;

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast version
  holdfast version -o json")]
pub(super) struct Version {
    #[command(flatten)]
    shape: Shape,
}

impl Version {
    pub(super) fn run(&self) -> ExitCode {
        let build = env!("CARGO_PKG_VERSION");
        let spoken = VersionRange::SUPPORTED;
        let level = FeatureLevel::LATEST.0;
        let text = format!(
            "holdfast {build}\n  wire      {} to {}\n  level     up to {level}\n  log       {}\n  snapshot  {}\n  audit     {}",
            spoken.min(),
            spoken.max(),
            holdfast_wal::format::VERSION,
            FORMAT_VERSION,
            AUDIT_VERSION
        );
        let number = |number: u64| Cell::from(number);
        let fields = [
            ("build", build.into()),
            ("wire_min", number(spoken.min().into())),
            ("wire_max", number(spoken.max().into())),
            ("feature_level", number(level.into())),
            ("log_format", number(holdfast_wal::format::VERSION.into())),
            ("snapshot_format", number(FORMAT_VERSION.into())),
            ("audit_format", number(AUDIT_VERSION.into())),
        ];
        match self.shape.out().record(text, &fields, "build") {
            Ok(()) => Exit::Done.into(),
            Err(failed) => failed.report(self.shape.paint(), &[], None),
        }
    }
}
