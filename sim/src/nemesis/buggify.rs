//! Places in the broker's code take the rare way: a segment or an index interval of next to nothing, a timeout that comes
//! early, an error that tells the client to try again although nothing is wrong, a step that takes its time.
//!
//! Every one of them is something that a healthy broker may do. Which sites are armed in a world, and how often each of
//! them fires, is drawn for each; in production they are not there.

use super::{Fault, How};

pub(super) const FAULT: Fault = Fault {
    name: "buggify",
    share: 0.5,
    how: How::Weather(|weather, random| weather.armed_sites = random.log_uniform(0.1, 1.0)),
    counters: &[
        "coordinator.early_timeout",
        "coordinator.spurious_error",
        "coordinator.tiny_read",
        "fetch.early_timeout",
        "fetch.slow_wake",
        "fetch.spurious_error",
        "list_offsets.spurious_error",
        "log.slow_flush",
        "log.tiny_index_interval",
        "log.tiny_segment",
        "node.slow_publish",
        "produce.early_timeout",
        "produce.spurious_error",
        "server.slow_request",
    ],
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::FAULT;

    fn sites_in(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sites_in(&path, found);
            } else {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let calls = text.split("buggify(\"").skip(1);
                found.extend(calls.filter_map(|rest| rest.split_once('"')).map(|(s, _)| s.into()));
            }
        }
    }

    #[test]
    fn every_site_in_the_broker_is_counted() {
        let mut found = BTreeSet::new();
        sites_in(&crate::planted::workspace().join("broker/src"), &mut found);
        let counted = FAULT.counters.iter().map(|site| (*site).to_owned()).collect();
        assert_eq!(found, counted);
    }
}
