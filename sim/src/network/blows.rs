//! What can be done to one connection, while all others between the same machines go on.

use std::sync::Arc;
use std::time::Duration;

use super::endpoint::{EndpointId, Phase, Segment, Side};
use super::{Network, State};
use crate::machine::MachineId;

impl Network {
    /// The connections between a machine and others, in the order in which they were made.
    #[must_use]
    pub fn connections_of(&self, machine: MachineId) -> Vec<u64> {
        let state = self.state();
        let of_machine = state.endpoints.iter().filter(|(_, endpoint)| {
            endpoint.machine == machine
                && endpoint.peer_machine != machine
                && endpoint.phase == Phase::Open
        });
        of_machine.map(|(id, _)| id.connection).collect()
    }

    /// Something on the way forgets a connection and says so to both sides, whatever is still under way on it.
    pub fn reset(self: &Arc<Self>, connection: u64) {
        let mut state = self.state();
        for side in [Side::Client, Side::Server] {
            self.forge_reset(&mut state, EndpointId { connection, side });
        }
    }

    /// From now on what one side sends on this connection of `machine` arrives `duration` later, in its order: what comes to
    /// the machine, or what it sends. Whoever waits for it may give up meanwhile and ask again on another connection.
    pub fn hold_back(
        &self,
        connection: u64,
        machine: MachineId,
        is_incoming: bool,
        duration: Duration,
    ) {
        let until = self.timeline.now() + duration;
        for (id, endpoint) in &mut self.state().endpoints {
            if id.connection == connection && (endpoint.machine == machine) != is_incoming {
                endpoint.last_arrival = endpoint.last_arrival.max(until);
            }
        }
    }

    /// A reset reaches this side, as if from the other.
    pub(super) fn forge_reset(self: &Arc<Self>, state: &mut State, id: EndpointId) {
        let Some(endpoint) = state.endpoints.get(&id) else { return };
        let way = (endpoint.peer_machine, endpoint.machine);
        let State { random, faults, .. } = state;
        let sent_at = self.timeline.now();
        let arrival = sent_at + Duration::from_micros(random.between(&faults.latency_us));
        let network = Arc::clone(self);
        self.timeline.at(arrival, move || network.arrive(way, id, Segment::Reset, sent_at));
    }
}
