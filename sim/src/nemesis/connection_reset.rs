//! Something on the way forgets connections and resets them, also between a request and its answer.

use super::{Fault, How};

pub(super) const FAULT: Fault = Fault {
    name: "connection_reset",
    share: 0.3,
    how: How::Weather(|weather, random| weather.network.reset = random.log_uniform(0.000_1, 0.02)),
    counters: &["connection reset by the network"],
};
