use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cli::failure::{FAILED, Failure};
use crate::cli::table::{OutputFormat, Table, write_json};
use crate::client::Error;
use crate::environment::Instant;

/// What was counted in a run.
#[derive(Debug)]
pub(super) struct Tally {
    /// Records before this instant belong to the warm-up.
    measure_from: Instant,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) errors: u64,
    pub(super) first_error: Option<Error>,
    latency_micros: Histogram<u64>,
    last: Instant,
}

impl Tally {
    /// # Errors
    ///
    /// Never in practice: three significant digits are within the histogram's limits.
    pub(super) fn new(measure_from: Instant) -> Result<Self, Failure> {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3);
        let latency_micros = histogram.map_err(|error| Failure::new(FAILED, error.to_string()))?;
        Ok(Self {
            measure_from,
            records: 0,
            bytes: 0,
            errors: 0,
            first_error: None,
            latency_micros,
            last: measure_from,
        })
    }

    /// One record that should have gone at `due` and was done at `done`.
    pub(super) fn record(&mut self, due: Instant, done: Instant, bytes: usize) {
        if due < self.measure_from {
            return;
        }
        self.records += 1;
        self.bytes += bytes as u64;
        self.last = self.last.max(done);
        let micros = u64::try_from(done.since(due).as_micros()).unwrap_or(u64::MAX);
        self.latency_micros.saturating_record(micros.max(1));
    }

    /// Records whose latency means nothing.
    pub(super) fn count(&mut self, records: u64, bytes: u64, done: Instant) {
        self.records += records;
        self.bytes += bytes;
        self.last = self.last.max(done);
    }

    pub(super) fn error(&mut self, error: Error) {
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }

    /// Takes over what another producer counted.
    pub(super) fn add(&mut self, other: Self) -> Result<(), Failure> {
        self.records += other.records;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.last = self.last.max(other.last);
        if let Some(error) = other.first_error {
            self.first_error.get_or_insert(error);
        }
        let added = self.latency_micros.add(other.latency_micros);
        added.map_err(|error| Failure::new(FAILED, error.to_string()))
    }

    pub(super) fn result(&self, bench: &'static str) -> BenchResult {
        let seconds = self.last.since(self.measure_from).as_secs_f64().max(1e-9);
        let millis = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1000.0;
        let at = |quantile| round(millis(self.latency_micros.value_at_quantile(quantile)));
        let has_latency = !self.latency_micros.is_empty();
        BenchResult {
            bench,
            seconds: round(seconds),
            records: self.records,
            bytes: self.bytes,
            errors: self.errors,
            first_error: self.first_error.as_ref().map(ToString::to_string),
            records_per_second: round(as_f64(self.records) / seconds),
            mb_per_second: round(as_f64(self.bytes) / 1e6 / seconds),
            latency_ms: has_latency.then(|| Latency {
                mean: round(self.latency_micros.mean() / 1000.0),
                p50: at(0.5),
                p95: at(0.95),
                p99: at(0.99),
                p999: at(0.999),
                max: round(millis(self.latency_micros.max())),
            }),
        }
    }
}

/// An hour: longer waits count as this.
const LATENCY_MICROS_MAX: u64 = 3_600_000_000;

#[expect(
    clippy::cast_precision_loss,
    reason = "counts below 2^53 are exact, and this is for people"
)]
fn as_f64(count: u64) -> f64 {
    count as f64
}

fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// What a run says; a promise to scripts.
#[derive(Debug, Serialize)]
pub(super) struct BenchResult {
    bench: &'static str,
    seconds: f64,
    records: u64,
    bytes: u64,
    errors: u64,
    first_error: Option<String>,
    records_per_second: f64,
    mb_per_second: f64,
    latency_ms: Option<Latency>,
}

#[derive(Debug, Serialize)]
struct Latency {
    mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl BenchResult {
    pub(super) fn write(&self, format: OutputFormat, out: &mut impl Write) -> io::Result<()> {
        if format == OutputFormat::Json {
            return write_json(out, self);
        }
        let mut table = Table::plain();
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        row("bench", self.bench.to_owned());
        row("seconds", format!("{:.3}", self.seconds));
        row("records", self.records.to_string());
        row("records/s", format!("{:.0}", self.records_per_second));
        row("MB/s", format!("{:.2}", self.mb_per_second));
        if let Some(latency) = &self.latency_ms {
            row("mean ms", format!("{:.3}", latency.mean));
            row("p50 ms", format!("{:.3}", latency.p50));
            row("p95 ms", format!("{:.3}", latency.p95));
            row("p99 ms", format!("{:.3}", latency.p99));
            row("p99.9 ms", format!("{:.3}", latency.p999));
            row("max ms", format!("{:.3}", latency.max));
        }
        row("errors", self.errors.to_string());
        table.write(out)
    }

    /// A run with errors is not a good run.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        match (&self.first_error, self.errors) {
            (_, 0) => Ok(()),
            (first, count) => {
                let first = first.as_deref().unwrap_or("unknown");
                Err(Failure::new(FAILED, format!("{count} records failed; the first: {first}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant(millis * 1_000_000)
    }

    #[test]
    fn latency_counts_from_when_a_record_was_due() {
        let mut tally = Tally::new(at(0)).unwrap();
        for due in 0..1000 {
            // A broker that stalls from 500 on, until 1500.
            let done = if due < 500 { due + 1 } else { 1500 };
            tally.record(at(due), at(done), 100);
        }
        let result = tally.result("produce");
        let latency = result.latency_ms.unwrap();
        assert_eq!(result.records, 1000);
        assert_eq!(result.seconds, 1.5);
        assert_eq!(result.mb_per_second, round(0.1 / 1.5));
        assert!((1.0..1.01).contains(&latency.p50), "{}", latency.p50);
        assert!((950.0..951.0).contains(&latency.p95), "{}", latency.p95);
        assert!((999.0..1002.0).contains(&latency.max), "{}", latency.max);
    }

    #[test]
    fn what_was_due_in_the_warm_up_is_left_out() {
        let mut tally = Tally::new(at(100)).unwrap();
        tally.record(at(99), at(5000), 100);
        tally.record(at(100), at(101), 100);
        let result = tally.result("produce");
        assert_eq!(result.records, 1);
        assert_eq!(result.seconds, 0.001);
    }

    #[test]
    fn a_result_reads_like_this() {
        let mut tally = Tally::new(at(0)).unwrap();
        tally.record(at(0), at(2000), 1_000_000);
        let mut out = Vec::new();
        tally.result("produce").write(OutputFormat::Table, &mut out).unwrap();
        let expected = "\
bench      produce
seconds    2.000
records    1
records/s  0
MB/s       0.50
mean ms    2000.384
p50 ms     2000.895
p95 ms     2000.895
p99 ms     2000.895
p99.9 ms   2000.895
max ms     2000.895
errors     0
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
