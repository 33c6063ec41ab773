//! A result as one page, with its plots within it: it can be mailed, kept and opened without a network.
//!
//! It is well-formed XML, so that whatever reads it need not guess.

use std::fmt::Write as _;

use crate::figures::{Sheet, Unit};
use crate::report::{grouped, share_of, time};
use crate::result::{Point, Report, Run};
use crate::svg::{Bar, Line, Plot, bars, escaped};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;\
background:#fff}table{border-collapse:collapse;margin:1rem 0}th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid \
#ddd}th:first-child,td:first-child{text-align:left}svg{width:100%;height:auto;margin:.6rem 0}svg text{font:12px \
system-ui,sans-serif;fill:#333}.grid{stroke:#ddd;stroke-width:1}.void{color:#a00;font-weight:bold}";

/// The page of a result.
pub(crate) fn page(report: &Report) -> String {
    let mut out = String::from("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>");
    let _ = write!(out, "<title>holdfast-bench</title><style>{STYLE}</style></head><body>");
    let here = &report.environment;
    let commit = here.commit.as_deref().unwrap_or("no commit");
    let load = here.load_before.map_or_else(|| "?".to_owned(), |load| load.to_string());
    let words = format!(
        "Version {}, {commit}. Linux {}, {} cores, load {load} before the run, logs on {}; {}.",
        report.build, here.kernel, here.cores, here.file_system, here.durability
    );
    let _ = writeln!(out, "<h1>holdfast-bench</h1>\n<p>{}</p>", escaped(&words));
    for point in &report.points {
        section(&mut out, point);
    }
    for sheet in &report.sheets {
        figures(&mut out, sheet);
    }
    out.push_str("</body></html>\n");
    out
}

/// A sheet as a table, and its times as bars: those whose names begin alike, up to a colon, on one scale. Without the slowest of
/// many, beside which nothing else would be seen.
fn figures(out: &mut String, sheet: &Sheet) {
    let _ = writeln!(out, "<h2>{}</h2>", escaped(&sheet.name));
    let asked: Vec<String> =
        sheet.parameters.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let _ = writeln!(out, "<p>{}.</p>", escaped(&asked.join("; ")));
    out.push_str("<table><tr><th></th><th>median</th><th>lowest</th><th>highest</th><th>runs</th></tr>\n");
    let mut times: Vec<(&str, Vec<Bar>)> = Vec::new();
    for figure in &sheet.figures {
        let (Some(median), Some((low, high))) = (figure.median(), figure.range()) else { continue };
        let shown = |value| escaped(&figure.unit.shown(value));
        let (name, runs) = (escaped(&figure.name), figure.runs.len());
        let figures = [median, low, high].map(shown).join("</td><td>");
        let _ = writeln!(out, "<tr><td>{name}</td><td>{figures}</td><td>{runs}</td></tr>");
        if figure.unit == Unit::Ns && !figure.name.ends_with(", max") {
            let words =
                if runs > 1 { format!("{}, highest {}", nanos(median), nanos(high)) } else { nanos(median) };
            let (group, name) = figure.name.split_once(": ").unwrap_or(("", &figure.name));
            let bar = (name.to_owned(), Some(median), Some(high), words);
            match times.iter_mut().find(|(other, _)| *other == group) {
                Some((_, bars)) => bars.push(bar),
                None => times.push((group, vec![bar])),
            }
        }
    }
    out.push_str("</table>\n");
    for (group, times) in &times {
        let of = if group.is_empty() { String::new() } else { format!(" ({group})") };
        out.push_str(&bars(&format!("Times{of}: median, thin the highest run"), times));
        out.push('\n');
    }
}

/// A nanosecond figure in the unit in which it is short.
fn nanos(value: f64) -> String {
    time(value.round() as u64)
}

fn named(point: &Point) -> Vec<(String, &Run)> {
    let name = |what: &str, runs: usize, number: u32| {
        if runs > 1 { format!("{what}, run {number}") } else { what.to_owned() }
    };
    let limit = limit_name(point);
    let ours = (1..).zip(&point.runs).map(|(number, run)| (name("holdfast", point.runs.len(), number), run));
    let others = (1..).zip(&point.limit).map(|(number, run)| (name(limit, point.limit.len(), number), run));
    ours.chain(others).collect()
}

/// The skeleton writes, whatever it stands beside.
fn limit_name(point: &Point) -> &'static str {
    if point.parameters.operation.starts_with("put") { "limit: skeleton" } else { "skeleton, a put" }
}

fn section(out: &mut String, point: &Point) {
    let asked = &point.parameters;
    let _ = writeln!(out, "<h2>{}</h2>", escaped(&point.name));
    let schedule = asked.schedule.as_ref().map_or_else(
        || "Closed loop".to_owned(),
        |schedule| {
            let (rate, arrivals, seed) = (schedule.rate, &schedule.arrivals, schedule.seed);
            format!("Open loop of {rate} operations a second, {arrivals} arrivals, seed {seed}")
        },
    );
    let words = format!(
        "{schedule}; {} connections with at most {} outstanding each; {} nodes, {} keys, values of {} bytes; {} s after {} s of warm-up.",
        asked.connections,
        asked.in_flight,
        asked.nodes,
        grouped(asked.keys.into()),
        asked.value_bytes,
        asked.measured_seconds,
        asked.warmup_seconds
    );
    let _ = writeln!(out, "<p>{}</p>", escaped(&words));
    let runs = named(point);
    for (name, run) in &runs {
        if let Some(kept) = run.kept.as_ref().filter(|kept| kept.void) {
            let words =
                format!("VOID: {name} missed {} of {} calls of its schedule", kept.missed, kept.scheduled);
            let _ = writeln!(out, "<p class=\"void\">{}</p>", escaped(&words));
        }
    }
    table(out, &runs);
    if let (Some(ours), Some(limit)) = (point.runs.first(), point.limit.first())
        && point.runs.len() == 1
        && asked.operation.starts_with("put")
        && let Some(words) = share_of((ours.rate, ours.latency_ns.p50), (limit.rate, limit.latency_ns.p50))
    {
        let _ = writeln!(out, "<p>{}</p>", escaped(&words));
    }
    plots(out, &runs);
    // Of operations of one kind among others there are none.
    if runs.iter().any(|(_, run)| !run.processes.is_empty()) {
        processes(out, &runs);
        stages(out, &runs);
    }
}

fn table(out: &mut String, runs: &[(String, &Run)]) {
    out.push_str("<table><tr><th></th><th>ops/s</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th><th>errors</th></tr>\n");
    for (name, run) in runs {
        let shown = |figure: Option<u64>| figure.map_or_else(|| "–".to_owned(), time);
        let all = &run.latency_ns;
        let _ = write!(out, "<tr><td>{}</td><td>{}</td>", escaped(name), grouped(run.rate));
        for figure in [all.p50, all.p90, all.p99, all.p99_9, all.max] {
            let _ = write!(out, "<td>{}</td>", shown(figure));
        }
        let _ = writeln!(out, "<td>{}</td></tr>", run.errors);
    }
    out.push_str("</table>\n");
}

fn plots(out: &mut String, runs: &[(String, &Run)]) {
    let lines = |of: &dyn Fn(&Run) -> Vec<(f64, f64)>| -> Vec<Line> {
        runs.iter().map(|(name, run)| Line { name: name.clone(), points: of(run) }).collect()
    };
    let linear = lines(&|run| run.curve.iter().map(|(at, nanos)| (*at, *nanos as f64)).collect());
    let ticks = (0..=10_u32).map(|tenth| (f64::from(tenth * 10), format!("{} %", tenth * 10))).collect();
    let title = "Latency of the faster part of all operations";
    out.push_str(&Plot { title, across: "percentile", ticks, value: nanos, lines: linear }.draw());
    // Each step to the right leaves a tenth of what the last one left.
    let nines = |percentile: f64| -(1.0 - percentile / 100.0).max(1e-9).log10();
    let tail = lines(&|run| run.curve.iter().map(|(at, nanos)| (nines(*at), *nanos as f64)).collect());
    let furthest =
        tail.iter().flat_map(|line| &line.points).map(|(at, _)| *at).fold(1.0, f64::max).ceil() as usize;
    let names = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"];
    let ticks = names.iter().take(furthest + 1).enumerate();
    let ticks = ticks.map(|(at, name)| (at as f64, (*name).to_owned())).collect();
    let title = "The tail: each step leaves a tenth";
    out.push_str(&Plot { title, across: "percentile, logarithmic", ticks, value: nanos, lines: tail }.draw());
    let middle = |run: &Run| {
        let rate = |(at, interval): (usize, &crate::result::Interval)| {
            ((at as f64 + 0.5) * run.interval_seconds, interval.operations as f64 / run.interval_seconds)
        };
        run.intervals.iter().enumerate().map(rate).collect()
    };
    let end = runs.iter().map(|(_, run)| run.seconds).fold(0.0, f64::max);
    let ticks = (0..=5_u32)
        .map(|fifth| (end * f64::from(fifth) / 5.0, format!("{:.1} s", end * f64::from(fifth) / 5.0)));
    let title = "Operations answered in a second";
    let (ticks, lines) = (ticks.collect(), lines(&middle));
    out.push_str(
        &Plot { title, across: "time since the end of the warm-up", ticks, value: grouped, lines }.draw(),
    );
    out.push('\n');
}

fn processes(out: &mut String, runs: &[(String, &Run)]) {
    out.push_str("<h3>For each operation</h3>\n<table><tr><th></th><th>CPU µs</th><th>context switches</th><th>syncs</th><th>device bytes per user byte</th><th>resident</th></tr>\n");
    for (name, run) in runs {
        for process in &run.processes {
            let _ = write!(out, "<tr><td>{}</td>", escaped(&format!("{name}: {}", process.name)));
            let figures = [
                (process.cpu_us_per_op, 2),
                (process.switches_per_op, 4),
                (process.syncs_per_op, 4),
                (process.device_bytes_per_user_byte, 2),
            ];
            for (figure, digits) in figures {
                let shown = figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.digits$}"));
                let _ = write!(out, "<td>{shown}</td>");
            }
            let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
            let _ =
                writeln!(out, "<td>{}</td></tr>", process.resident_bytes.map_or_else(|| "–".to_owned(), mib));
        }
    }
    out.push_str("</table>\n");
}

fn stages(out: &mut String, runs: &[(String, &Run)]) {
    let parts = runs.iter().flat_map(|(name, run)| run.processes.iter().map(move |process| (name, process)));
    for (name, process) in parts.filter(|(_, process)| !process.stages.is_empty()) {
        let bar = |stage: &crate::result::StageFigures| -> Bar {
            let at = &stage.latency_ns;
            let (p50, p99) = (at.p50.map(|nanos| nanos as f64), at.p99.map(|nanos| nanos as f64));
            let words = match (at.p50, at.p99) {
                (Some(p50), Some(p99)) => format!("{}, p99 {}", time(p50), time(p99)),
                (Some(p50), None) => time(p50),
                (None, _) => format!("{} passed", stage.count),
            };
            (format!("{} {}", stage.number, stage.name), p50, p99, words)
        };
        let all: Vec<Bar> = process.stages.iter().map(bar).collect();
        out.push_str(&bars(&format!("Stages of {} ({name}): p50, thin p99", process.name), &all));
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use holdfast_machine::Numbered;
    use holdfast_server::stage::Stage;

    use super::*;
    use crate::result::tests::report;

    fn parsed(page: &str) -> String {
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(page, options).unwrap();
        let texts = document.descendants().filter(roxmltree::Node::is_text).filter_map(|node| node.text());
        texts.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_page_is_well_formed_and_names_every_stage_and_the_limit() {
        let text = parsed(&page(&report(1)));
        for stage in Stage::ALL {
            assert!(text.contains(&format!("{} {}", stage.number(), stage.name())), "{stage:?}");
        }
        for words in ["limit: skeleton", "100 % of the limit's rate", "99.9", "node 1, leader", "VOID"] {
            assert_eq!(text.contains(words), words != "VOID", "{words}");
        }
    }

    #[test]
    fn a_sheet_is_a_table_and_its_times_are_bars() {
        let mut report = report(1);
        report.points.clear();
        let mut sheet = crate::figures::tests::sheet(&[250e6, 300e6, 210e6], &[1234.0]);
        for name in ["alone: acquire, p50", "alone: acquire, max", "alone: release, p50"] {
            sheet.time(name, std::time::Duration::from_millis(7));
        }
        report.sheets = vec![sheet];
        let page = page(&report);
        assert_eq!(page.matches("<svg").count(), 2);
        // In the table, and as a bar without the name of its group.
        assert_eq!((page.matches("acquire, p50").count(), page.matches("acquire, max").count()), (2, 1));
        let text = parsed(&page);
        for words in ["failover", "rounds: 3.", "writes, longest gap", "250.0 ms, highest 300.0 ms", "1,234"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn nothing_of_the_page_comes_from_elsewhere() {
        let page = page(&report(2));
        for reference in ["<script", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(reference), "{reference}");
        }
    }

    #[test]
    fn a_point_that_is_void_is_called_so_and_text_of_errors_is_no_markup() {
        let mut report = report(1);
        report.environment.kernel = "<6 & \"7\">".to_owned();
        let kept = report.points[0].runs[0].kept.as_mut().unwrap();
        (kept.void, kept.missed) = (true, 77);
        let text = parsed(&page(&report));
        assert!(text.contains("VOID: holdfast missed 77 of 3000") && text.contains("<6 & \"7\">"));
    }
}
