//! Writes take less than they are given, more often than they always do.

use super::{Fault, How};

pub(super) const FAULT: Fault = Fault {
    name: "short_write",
    share: 0.3,
    how: How::Weather(|weather, random| {
        weather.disk.short_write = random.log_uniform(0.02, 0.5);
    }),
    counters: &["write cut short"],
};
