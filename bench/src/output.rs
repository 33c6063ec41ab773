//! The files of a result: `result.json`, `report.html`, and of each run a `.hgrm` and an `.hlog`.
//!
//! A directory holds one result. One that holds a result already is refused before anything is measured, and `result.json` is
//! the last file that appears: where it is, the others are.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::disk::Scratch;
use crate::failure::{Doing, Failure};
use crate::figures::Sheet;
use crate::hdr::{hgrm, hlog};
use crate::limits;
use crate::measure::Outcome;
use crate::page::page;
use crate::report::show;
use crate::result::{Environment, FORMAT, Point, Report};

/// The file that says what came.
pub(crate) const RESULT: &str = "result.json";

/// A directory that takes the files of one result.
#[derive(Debug)]
pub(crate) struct Output {
    dir: PathBuf,
}

impl Output {
    /// Makes the directory, if it is not there.
    pub(crate) fn new(dir: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(dir).doing(|| format!("make {}", dir.display()))?;
        let result = dir.join(RESULT);
        if result.exists() {
            let why = format!(
                "{} is there already; nothing was measured, name another directory",
                result.display()
            );
            return Err(Failure::new("keep the result of this run", why));
        }
        // One that is there may take no files; that is not to be found out when all is measured.
        tempfile::tempfile_in(dir).doing(|| format!("write to {}", dir.display()))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Writes the histograms of one point.
    pub(crate) fn histograms(
        &self,
        point: &Point,
        runs: &[Outcome],
        limit: &[Outcome],
    ) -> Result<(), Failure> {
        for (what, outcomes) in [("", runs), ("-limit", limit)] {
            for (number, outcome) in (1..).zip(outcomes) {
                let run = if outcomes.len() > 1 { format!("-run{number}") } else { String::new() };
                let name = format!("{}{what}{run}", file_name(&point.name));
                let answers = &outcome.answers;
                self.write(&format!("{name}.hgrm"), hgrm(&answers.latencies).as_bytes())?;
                let title = format!("{}{what}{run}", point.name);
                let log = hlog(&title, outcome.began, answers.interval, &answers.intervals)?;
                self.write(&format!("{name}.hlog"), &log)?;
            }
        }
        Ok(())
    }

    /// Writes the rest, and returns where the result is.
    pub(crate) fn finish(&self, report: &Report) -> Result<PathBuf, Failure> {
        self.write("report.html", page(report).as_bytes())?;
        self.write(RESULT, report.json()?.as_bytes())?;
        Ok(self.dir.join(RESULT))
    }

    /// A file is there as a whole or not at all.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.dir.join(name);
        let doing = || format!("write {}", path.display());
        // As any other file, less what the umask takes: a result is to be read by others.
        let readable = Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new().permissions(readable).tempfile_in(&self.dir).doing(doing)?;
        file.write_all(bytes).doing(doing)?;
        file.persist(&path).doing(doing)?;
        Ok(())
    }
}

/// Where a load that has sheets keeps them.
#[derive(Debug, Args)]
pub(crate) struct Keep {
    /// Writes result.json and report.html to this directory, which holds no result yet.
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

impl Keep {
    /// Before anything is measured: says where that will be, and refuses a directory that holds a result.
    pub(crate) fn begin(&self, scratch: &Scratch) -> Result<Keeping, Failure> {
        let output = self.out.as_deref().map(Output::new).transpose()?;
        show(limits::environment(scratch))?;
        Ok(Keeping { output, environment: Environment::of(scratch) })
    }
}

/// What [`Keep`] found before a run.
#[derive(Debug)]
pub(crate) struct Keeping {
    output: Option<Output>,
    environment: Environment,
}

impl Keeping {
    /// Writes the files, if they are wanted, and says where they are.
    pub(crate) fn finish(self, sheets: Vec<Sheet>) -> Result<(), Failure> {
        let Some(output) = self.output else { return Ok(()) };
        let build = env!("CARGO_PKG_VERSION").to_owned();
        let (environment, points) = (self.environment, Vec::new());
        let path = output.finish(&Report { format: FORMAT, build, environment, points, sheets })?;
        show(format!("result: {}", path.display()))
    }
}

/// `put 8 × 8 at 100/s` as part of a path: `put-8x8-at-100-s`.
fn file_name(name: &str) -> String {
    name.replace(" × ", "x").replace(" %", "").replace(',', "").replace([' ', '/'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::tests::{outcome, report};

    #[test]
    fn a_name_becomes_a_part_of_a_path_that_needs_no_quotes() {
        for (name, path) in [
            ("put 8 × 8 at 100/s", "put-8x8-at-100-s"),
            ("mixed 90 % gets 1 × 1, puts only", "mixed-90-gets-1x1-puts-only"),
        ] {
            assert_eq!(file_name(name), path);
        }
    }

    #[test]
    fn a_directory_takes_one_result_with_all_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/one");
        let output = Output::new(&path).unwrap();
        let report = report(2);
        let runs = [outcome().1, outcome().1];
        output.histograms(&report.points[0], &runs, &[outcome().1]).unwrap();
        // A run that ended here has left no result, and may be repeated.
        let result = Output::new(&path).unwrap().finish(&report).unwrap();
        assert_eq!(Report::read(&result).unwrap(), report);
        let mut names: Vec<String> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let runs = ["-limit", "-run1", "-run2"];
        let mut expected: Vec<String> = ["hgrm", "hlog"]
            .iter()
            .flat_map(|end| runs.map(|run| format!("put-8x8-at-1000-s{run}.{end}")))
            .chain(["report.html".to_owned(), RESULT.to_owned()])
            .collect();
        expected.sort();
        assert_eq!(names, expected);
        assert!(Output::new(&path).unwrap_err().to_string().contains("is there already"));
    }
}
