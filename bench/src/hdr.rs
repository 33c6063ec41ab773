//! Latencies as the other HDR tools read them: percentiles as text (`.hgrm`) and intervals as a log (`.hlog`).
//!
//! Both hold all samples, and nothing is left out for having few beyond it: whoever reads them knows their counts.

use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use crate::failure::{Doing, Failure};

/// Steps in each half of what is left up to 100 %, as the reference tools take them.
const TICKS: u32 = 5;
/// Values of a `.hgrm` are microseconds, samples nanoseconds.
const NANOS: f64 = 1e3;
/// Maxima of a `.hlog` are shown in milliseconds, as the reference tools do.
const MAX_DIVISOR: f64 = 1e6;

/// Percentiles of a histogram of nanoseconds, in microseconds, as `HistogramLogProcessor` writes them.
pub(crate) fn hgrm(latencies: &Histogram<u64>) -> String {
    let mut out =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut count = 0;
    for step in latencies.iter_quantiles(TICKS) {
        count += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / NANOS;
        let percentile = step.quantile_iterated_to();
        out.push_str(&format!("{value:12.3} {percentile:2.12} {count:10}"));
        if percentile < 1.0 {
            out.push_str(&format!(" {:14.2}", 1.0 / (1.0 - percentile)));
        }
        out.push('\n');
    }
    let (mean, spread) = (latencies.mean() / NANOS, latencies.stdev() / NANOS);
    let (max, total) = (latencies.max() as f64 / NANOS, latencies.len());
    out.push_str(&format!("#[Mean    = {mean:12.3}, StdDeviation   = {spread:12.3}]\n"));
    out.push_str(&format!("#[Max     = {max:12.3}, Total count    = {total:12}]\n"));
    out.push_str(&format!(
        "#[Buckets = {:12}, SubBuckets     = {:12}]\n",
        latencies.buckets(),
        sub_buckets(latencies)
    ));
    out
}

/// Values that each power of two is divided into: twice as many as the digits need, as a power of two.
fn sub_buckets(latencies: &Histogram<u64>) -> u64 {
    (2 * 10_u64.pow(latencies.sigfig().into())).next_power_of_two()
}

/// An interval log of histograms of nanoseconds, one for each `interval` since `began`.
pub(crate) fn hlog(
    title: &str,
    began: SystemTime,
    interval: Duration,
    intervals: &[Histogram<u64>],
) -> Result<Vec<u8>, Failure> {
    let doing = || format!("write the interval log of {title}");
    let mut out = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(&format!("[holdfast-bench {}: {title}; nanoseconds]", env!("CARGO_PKG_VERSION")))
        .add_comment("[Histogram log format version 1.3]")
        .with_start_time(began)
        .with_base_time(began)
        .with_max_value_divisor(MAX_DIVISOR)
        .begin_log_with(&mut out, &mut serializer)
        .doing(doing)?;
    for (number, histogram) in (0..).zip(intervals) {
        log.write_histogram(histogram, interval * number, interval, None).doing(doing)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::load::histogram;

    /// 1 to 1000 µs, one each.
    fn known() -> Histogram<u64> {
        let mut latencies = histogram().unwrap();
        (1..=1000).for_each(|micros| latencies.record(micros * 1000).unwrap());
        latencies
    }

    #[test]
    fn percentiles_of_a_known_histogram_are_the_golden_text() {
        let text = hgrm(&known());
        let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/known.hgrm");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(golden).unwrap());
    }

    #[test]
    fn each_line_of_the_percentiles_is_what_the_histogram_says() {
        let known = known();
        let text = hgrm(&known);
        let rows = text.lines().skip(2).take_while(|line| !line.starts_with('#'));
        let rows: Vec<Vec<f64>> =
            rows.map(|line| line.split_whitespace().map(|field| field.parse().unwrap()).collect()).collect();
        assert!(rows.len() > 20 && rows.last().unwrap()[..3] == [known.max() as f64 / 1e3, 1.0, 1000.0]);
        for row in &rows {
            let nanos = (row[0] * 1e3).round() as u64;
            // The sum of the steps may lie a hair above a whole sample, and then takes one more.
            assert!((0.0..=1.0).contains(&(row[2] - (row[1] * 1000.0).ceil().max(1.0))), "{row:?}");
            assert_eq!(known.count_between(0, nanos) as f64, row[2], "{row:?}");
            assert!(row.len() == 3 || (row[3] - 1.0 / (1.0 - row[1])).abs() < 0.01, "{row:?}");
        }
    }

    #[test]
    fn nothing_that_was_measured_is_a_text_without_rows() {
        assert!(hgrm(&histogram().unwrap()).contains("Total count    =            0"));
    }

    #[test]
    fn an_interval_log_begins_as_the_golden_text_and_is_read_back_whole() {
        let began = UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        let intervals = [known(), Histogram::new(3).unwrap(), known()];
        let log = hlog("put 8 × 8", began, Duration::from_secs(2), &intervals).unwrap();
        let text = String::from_utf8(log.clone()).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let golden = format!(
            "#[holdfast-bench {version}: put 8 × 8; nanoseconds]\n\
             #[Histogram log format version 1.3]\n\
             #[StartTime: 1700000000.500 (seconds since epoch)]\n\
             #[BaseTime: 1700000000.500 (seconds since epoch)]\n\
             #[MaxValueDivisor: 1000000.000]\n\
             0.000,2.000,1.000,HISTFAAA"
        );
        assert!(text.starts_with(&golden), "{text}");
        let mut read = Vec::new();
        for entry in IntervalLogIterator::new(&log) {
            if let LogEntry::Interval(interval) = entry.unwrap() {
                let bytes = base64::Engine::decode(
                    &base64::engine::general_purpose::STANDARD,
                    interval.encoded_histogram(),
                );
                let one: Histogram<u64> =
                    Deserializer::new().deserialize(&mut bytes.unwrap().as_slice()).unwrap();
                read.push((interval.start_timestamp().as_secs(), interval.duration().as_secs(), one));
            }
        }
        let [first, empty, last] = intervals;
        assert_eq!(read, [(0, 2, first), (2, 2, empty), (4, 2, last)]);
    }
}
