//! A run in which little happens proves little: what some seeds together must have seen.

use sim::Report;
use sim::scenario::Summary;

/// Fails unless this was done more than so many times.
pub(crate) fn expect_done(
    reports: &[Report],
    what: &str,
    count: fn(&Summary) -> usize,
    more_than: usize,
) {
    let done: usize =
        reports.iter().filter_map(|report| report.result.as_ref().ok()).map(count).sum();
    assert!(done > more_than, "{what}: only {done} in all seeds, more than {more_than} expected");
}

/// Fails unless each of these rare things has happened at least so many times.
pub(crate) fn expect_happened(reports: &[Report], rare: &[(&str, u64)]) {
    for (what, least) in rare {
        let times: u64 = reports.iter().map(|report| report.counter(what)).sum();
        assert!(times >= *least, "{what}: {times} times in all seeds, {least} expected");
    }
}
