//! `doctor`: what ails a cluster, or the directory of a node that is stopped. What it finds is found in [`crate::doctor`]; this asks
//! for it and prints it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use holdfast_machine::Numbered as _;

use super::ask::Target;
use super::exit::Exit;
use super::failed::{Failed, Trouble};
use super::given::duration;
use super::out::{Cell, Column, Format, Out, say};
use super::paint::{BAD, GOOD, HEAD};
use super::settings::bytes;
use crate::doctor::facts::Visit;
use crate::doctor::visit::visit;
use crate::doctor::{
    self, Check, Finding, LAG, MEMORY_PERCENT, OPEN_FILES, Severity, Thresholds, Whom, offline,
};

#[derive(Debug, Args)]
#[command(before_help = "Examples:
  holdfast doctor
  holdfast doctor --endpoints n1:7400 -o json
  holdfast doctor --sync-p99 20ms --except open-files
  holdfast doctor --data-dir /var/lib/holdfast     a node that is stopped")]
pub(super) struct Doctor {
    /// The data directory of a node that is stopped, instead of a cluster; nothing in it is changed. May be given several times
    #[arg(long, value_name = "DIR")]
    data_dir: Vec<PathBuf>,
    /// Also show the checks that found nothing
    #[arg(long, short)]
    verbose: bool,
    /// Leave out a check, by its name; may be given several times
    #[arg(long, value_name = "CHECK", value_parser = check)]
    except: Vec<Check>,
    /// How long 99 of 100 syncs of the log may take; a tenth of the election timeout if not given
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Thresholds")]
    sync_p99: Option<Duration>,
    /// How much should be free for the data directory: 10GiB; what log and snapshots need if not given
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = "Thresholds")]
    free_space: Option<u64>,
    /// How far clocks may be apart
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = CLOCK_OFFSET, help_heading = "Thresholds")]
    clock_offset: Duration,
    /// How long 99 of 100 heartbeats may take there and back; a tenth of the election timeout if not given
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Thresholds")]
    round_trip: Option<Duration>,
    /// How many entries a member may be behind
    #[arg(long, value_name = "ENTRIES", default_value_t = LAG, help_heading = "Thresholds")]
    lag: u64,
    /// How many files and sockets a node should be allowed to open
    #[arg(long, value_name = "COUNT", default_value_t = OPEN_FILES, help_heading = "Thresholds")]
    open_files: u64,
    /// How much of the memory a node may have, in percent
    #[arg(
        long,
        value_name = "PERCENT",
        default_value_t = MEMORY_PERCENT,
        value_parser = clap::value_parser!(u64).range(0..=100),
        help_heading = "Thresholds"
    )]
    memory: u64,
    /// How many bytes history may take: 2GiB; a quarter more than the settings allow if not given
    #[arg(long, value_name = "BYTES", value_parser = bytes, help_heading = "Thresholds")]
    history: Option<u64>,
    /// How many leases there may be; four fifths of what the settings allow if not given
    #[arg(long, value_name = "COUNT", help_heading = "Thresholds")]
    leases: Option<u64>,
    /// How many sessions there may be; four fifths of what the settings allow if not given
    #[arg(long, value_name = "COUNT", help_heading = "Thresholds")]
    sessions: Option<u64>,
    /// With --data-dir: the election timeout that the disk is judged by
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = ELECTION, help_heading = "Thresholds")]
    election: Duration,
    #[command(flatten)]
    target: Target,
}

/// [`CLOCK_OFFSET_MS`](doctor::CLOCK_OFFSET_MS), as it is written.
const CLOCK_OFFSET: &str = "500ms";

/// The election timeout of a node that is told none.
const ELECTION: &str = "300ms";

const COLUMNS: [Column; 6] = [
    Column::of("severity"),
    Column::value("check"),
    Column::of("about"),
    Column::json("node"),
    Column::of("what"),
    Column::of("next"),
];

fn check(name: &str) -> Result<Check, String> {
    Check::from_key(name).ok_or_else(|| {
        let all: Vec<String> = Check::ALL.iter().map(|check| check.key()).collect();
        format!("there are {}", all.join(", "))
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Doctor {
    fn thresholds(&self) -> Thresholds {
        Thresholds {
            sync_p99_us: self.sync_p99.map(micros),
            free_bytes: self.free_space,
            clock_offset_ms: micros(self.clock_offset) / 1_000,
            round_trip_us: self.round_trip.map(micros),
            lag: self.lag,
            open_files: self.open_files,
            memory_percent: self.memory,
            history_bytes: self.history,
            leases: self.leases,
            sessions: self.sessions,
            except: self.except.clone(),
        }
    }

    /// Exits with 0 if all is well, 6 if there are warnings, 9 if something is broken; 3 if nobody answers, 2 if a directory is
    /// none.
    pub(super) fn run(self) -> ExitCode {
        let thresholds = self.thresholds();
        if !self.data_dir.is_empty() {
            let (out, shape) = (self.target.shape.out(), &self.target.shape);
            return match self.directories(&thresholds).and_then(|findings| self.tell(out, &findings)) {
                Ok(()) => Exit::Done.into(),
                Err(failed) => failed.report(shape.paint(), &[], None),
            };
        }
        self.target.run(async |_, out| {
            let (endpoints, named) = (&self.target.endpoints, self.target.are_named());
            let visits = visit(endpoints, named, self.target.patience()).await?;
            if visits.iter().all(|visit| visit.answer.is_err()) {
                return Err(nobody(&visits));
            }
            self.tell(out, &doctor::judge(&visits, &thresholds))
        })
    }

    fn directories(&self, thresholds: &Thresholds) -> Result<Vec<Finding>, Failed> {
        let mut findings = Vec::new();
        for directory in &self.data_dir {
            let ward = offline::look(directory, micros(self.election) / 1_000)
                .map_err(|error| Failed::file(directory, "look into", &error))?;
            if ward.is_elsewhere() {
                return Err(no_data_directory(directory));
            }
            findings.extend(offline::judge(&ward, thresholds));
        }
        doctor::sort(&mut findings);
        Ok(findings)
    }

    fn tell(&self, out: Out, findings: &[Finding]) -> Result<(), Failed> {
        let (sentence, worst) = (doctor::sentence(findings), doctor::worst(findings));
        let exit = match worst {
            Severity::Ok => Exit::Done,
            Severity::Warn => Exit::Rejected,
            Severity::Fail => Exit::Integrity,
        };
        let is_shown = |finding: &&Finding| self.verbose || finding.severity != Severity::Ok;
        match out.format {
            Format::Table => {
                say(out.paint.stdout(style(worst), &sentence))?;
                for finding in findings.iter().filter(is_shown) {
                    people(out, finding)?;
                }
            }
            Format::Plain | Format::Value => {
                if out.format == Format::Plain {
                    say(&sentence)?;
                }
                let mut rows = out.rows(&COLUMNS);
                for finding in findings.iter().filter(is_shown) {
                    // A head of nothing says nothing.
                    rows.push(&cells(finding))?;
                }
            }
            Format::Json | Format::Jsonl => {
                let mut rows = out.rows(&COLUMNS).member("findings");
                for finding in findings {
                    rows.push(&cells(finding))?;
                }
                let count =
                    |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
                rows.end(&[
                    ("ok", (worst == Severity::Ok).into()),
                    ("sentence", sentence.as_str().into()),
                    ("failures", count(Severity::Fail).into()),
                    ("warnings", count(Severity::Warn).into()),
                ])?;
            }
        }
        if matches!(out.format, Format::Table | Format::Plain) && !self.verbose {
            say(passed(findings))?;
        }
        if exit == Exit::Done { Ok(()) } else { Err(Failed::Ends(exit.number())) }
    }
}

fn style(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => GOOD,
        Severity::Warn => HEAD,
        Severity::Fail => BAD,
    }
}

/// A finding in a line or two, as wide as it is: what to do about it must not be cut off.
fn people(out: Out, finding: &Finding) -> Result<(), Failed> {
    let Finding { severity, check, whom, what, next } = finding;
    let word = out.paint.stdout(style(*severity), &format!("{:4}", severity.name()));
    say(format_args!("{word}  {}, {whom}: {what}", check.key()))?;
    if next.is_empty() { Ok(()) } else { say(format_args!("      next  {next}")) }
}

fn cells(finding: &Finding) -> Vec<Cell> {
    let Finding { severity, check, whom, what, next } = finding;
    let node = match whom {
        Whom::Node(node) => Cell::from(*node),
        Whom::Cluster | Whom::Place(_) => Cell::Nothing,
    };
    vec![
        severity.name().into(),
        check.key().as_str().into(),
        Cell::text(whom),
        node,
        what.as_str().into(),
        Some(&**next).filter(|next| !next.is_empty()).into(),
    ]
}

/// What was looked at and is well, in a line.
fn passed(findings: &[Finding]) -> String {
    let wrong: BTreeSet<u8> = findings
        .iter()
        .filter(|finding| finding.severity != Severity::Ok)
        .map(|finding| finding.check.number())
        .collect();
    let well: BTreeSet<u8> = findings.iter().map(|finding| finding.check.number()).collect();
    let well: Vec<String> =
        well.difference(&wrong).filter_map(|number| Check::from_number(*number)).map(Check::key).collect();
    if well.is_empty() { "ok    nothing".to_owned() } else { format!("ok    {}", well.join(", ")) }
}

fn no_data_directory(directory: &Path) -> Failed {
    Trouble::new(Exit::Usage, format!("{} is no data directory", directory.display()))
        .why("nothing in it is of a node: no identity, no log, no snapshot, no audit log; and something is of others")
        .outcome("nothing was changed, and none of the directories is judged")
        .next("name the directory that --data-dir of the node names")
        .into()
}

fn nobody(visits: &[Visit]) -> Failed {
    let tried = visits
        .iter()
        .filter_map(|visit| Some(format!("{} {}", visit.endpoint, visit.answer.as_ref().err()?)));
    Trouble::new(Exit::NoEndpoint, "no endpoint could be reached")
        .why(tried.collect::<Vec<_>>().join("\n"))
        .next("check that a node runs there, or name others with --endpoints; of one that is stopped: holdfast doctor --data-dir DIR")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_in_the_help_are_those_of_the_code() {
        assert_eq!(duration(CLOCK_OFFSET), Ok(Duration::from_millis(doctor::CLOCK_OFFSET_MS)));
        let ticks = u64::from(holdfast_raft::config::ELECTION_TICKS);
        let election = u64::try_from(crate::runtime::TICK.as_millis()).expect("a few") * ticks;
        assert_eq!(duration(ELECTION), Ok(Duration::from_millis(election)));
    }
}
