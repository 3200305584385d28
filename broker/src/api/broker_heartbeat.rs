//! BrokerHeartbeat: a broker is alive. Source: KIP-631, KIP-858 (offline directories).

use kafka_protocol::messages::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};

use super::active_controller::{Remote, check};
use super::context::RequestContext;
use super::reply::Outcome;
use super::wire::wire_node;
use crate::controller::{BrokerHeartbeat, BrokerStanding, BrokerState, Refusal};
use crate::environment::Runtime;
use crate::model::{BrokerEpoch, DirectoryId, NodeId, Offset};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: BrokerHeartbeatRequest,
) -> Outcome<BrokerHeartbeatResponse> {
    let controller = context.controller.clone();
    let acquaintance = &context.peer.acquaintance;
    let asked = BrokerHeartbeat { connection: Some(acquaintance.connection), ..translate(request) };
    acquaintance.heartbeats_as(asked.broker_id);
    Outcome::Later(Box::pin(async move {
        match controller.ask(asked).await {
            Ok(standing) => answer(standing),
            Err(refusal) => BrokerHeartbeatResponse::default().with_error_code(refusal.code.code()),
        }
    }))
}

fn translate(request: BrokerHeartbeatRequest) -> BrokerHeartbeat {
    BrokerHeartbeat {
        broker_id: NodeId(request.broker_id.0),
        broker_epoch: BrokerEpoch(request.broker_epoch),
        metadata_offset: Offset::from_wire(request.current_metadata_offset),
        wants_fence: request.want_fence,
        wants_shutdown: request.want_shut_down,
        offline_directories: request.offline_log_dirs.into_iter().map(DirectoryId).collect(),
        cordoned_directories: None,
        connection: None,
    }
}

fn answer(standing: BrokerStanding) -> BrokerHeartbeatResponse {
    BrokerHeartbeatResponse::default()
        .with_is_caught_up(standing.is_caught_up)
        .with_is_fenced(standing.state.is_fenced())
        .with_should_shut_down(standing.state == BrokerState::ShutdownNow)
}

impl Remote for BrokerHeartbeat {
    type Wire = BrokerHeartbeatRequest;

    fn to_wire(&self) -> BrokerHeartbeatRequest {
        BrokerHeartbeatRequest::default()
            .with_broker_id(wire_node(self.broker_id))
            .with_broker_epoch(self.broker_epoch.0)
            .with_current_metadata_offset(self.metadata_offset.map_or(-1, Offset::value))
            .with_want_fence(self.wants_fence)
            .with_want_shut_down(self.wants_shutdown)
            .with_offline_log_dirs(self.offline_directories.iter().map(|id| id.0).collect())
    }

    /// The wire does not tell whether leaderships are being moved: that is "unfenced".
    fn outcome_of(&self, response: BrokerHeartbeatResponse) -> Result<BrokerStanding, Refusal> {
        check(response.error_code, None)?;
        let state = match (response.should_shut_down, response.is_fenced) {
            (true, _) => BrokerState::ShutdownNow,
            (false, true) => BrokerState::Fenced,
            (false, false) => BrokerState::Unfenced,
        };
        Ok(BrokerStanding { is_caught_up: response.is_caught_up, state })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::ErrorCode;

    fn beat() -> BrokerHeartbeat {
        BrokerHeartbeat {
            broker_id: NodeId(7),
            broker_epoch: BrokerEpoch(8),
            metadata_offset: Some(Offset::new(9)),
            wants_fence: true,
            wants_shutdown: false,
            offline_directories: vec![DirectoryId(Uuid::from_u128(10))],
            cordoned_directories: None,
            connection: None,
        }
    }

    #[test]
    fn a_heartbeat_survives_the_way() {
        assert_eq!(translate(beat().to_wire()), beat());
        let early = BrokerHeartbeat {
            metadata_offset: None,
            wants_fence: false,
            wants_shutdown: true,
            ..beat()
        };
        assert_eq!(translate(early.to_wire()), early);
    }

    #[test]
    fn what_a_broker_is_afterwards_survives_the_way() {
        for state in [BrokerState::Fenced, BrokerState::Unfenced, BrokerState::ShutdownNow] {
            for is_caught_up in [true, false] {
                let standing = BrokerStanding { is_caught_up, state };
                assert_eq!(beat().outcome_of(answer(standing)), Ok(standing));
            }
        }
        let refused = BrokerHeartbeatResponse::default().with_error_code(77);
        let code = beat().outcome_of(refused).map_err(|refusal| refusal.code);
        assert_eq!(code, Err(ErrorCode::StaleBrokerEpoch));
    }
}
