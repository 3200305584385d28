//! Packets get lost, and kernels repeat them.

use super::{Fault, How};

pub(super) const FAULT: Fault = Fault {
    name: "packet_loss",
    share: 0.3,
    how: How::Weather(|weather, random| weather.network.loss = random.log_uniform(0.000_1, 0.1)),
    counters: &["packet lost"],
};
