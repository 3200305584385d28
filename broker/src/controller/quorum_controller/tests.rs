use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use uuid::Uuid;

use super::{Error, Handle, MetadataLog, NotAppended, QuorumController};
use crate::config::NodeConfig;
use crate::controller::{
    AllocateProducerIds, CreateTopics, RegisterBroker, Settings, UnregisterBroker,
    supported_features,
};
use crate::environment::tokio::TokioRuntime;
use crate::metadata::{CommittedBatch, MetadataLoader};
use crate::model::{
    BrokerEpoch, ClusterId, DirectoryId, ErrorCode, LeaderEpoch, NodeId, Offset, Timestamp,
};

/// A log in memory, which takes records as long as it has a leader.
#[derive(Clone, Debug)]
struct Log(Arc<Mutex<LogState>>);

#[derive(Debug)]
struct LogState {
    values: Vec<Bytes>,
    epoch: Option<LeaderEpoch>,
    loader: MetadataLoader,
}

impl MetadataLog for Log {
    async fn append(
        &self,
        epoch: LeaderEpoch,
        records: Vec<Bytes>,
        _is_atomic: bool,
    ) -> Result<Offset, NotAppended> {
        let mut state = self.0.lock().unwrap();
        if state.epoch != Some(epoch) {
            return Err(NotAppended::NotLeader);
        }
        state.values.extend(records);
        Ok(Offset::new(i64::try_from(state.values.len()).unwrap() - 1))
    }
}

impl Log {
    /// Commits everything, and tells the controller.
    async fn commit(&self, handle: &Handle) {
        let (image, end) = {
            let mut state = self.0.lock().unwrap();
            let base = state.loader.next_offset();
            let from = usize::try_from(base.value()).unwrap();
            let records = state.values[from..].to_vec();
            let batch = CommittedBatch {
                base_offset: base,
                last_offset: Offset::new(i64::try_from(state.values.len()).unwrap() - 1),
                epoch: LeaderEpoch::new(1),
                append_time: Timestamp(0),
                records,
            };
            let image = state.loader.load_batch(&batch).unwrap().image;
            (image, state.loader.next_offset())
        };
        handle.committed(image, end, false).await;
    }

    fn lead(&self, epoch: Option<i32>) {
        self.0.lock().unwrap().epoch = epoch.map(LeaderEpoch::new);
    }
}

/// A controller that leads epoch 1 of a new cluster.
async fn controller() -> (Handle, Log) {
    let state = LogState {
        values: Vec::new(),
        epoch: Some(LeaderEpoch::new(1)),
        loader: MetadataLoader::new(),
    };
    let log = Log(Arc::new(Mutex::new(state)));
    let settings = Settings {
        cluster_id: ClusterId::from("c"),
        config: Arc::new(NodeConfig::dev("data", &[]).unwrap()),
        bootstrap: crate::controller::bootstrap_records(),
    };
    let handle = QuorumController::start(&TokioRuntime::new(), settings, log.clone());
    handle.leader(LeaderEpoch::new(1)).await;
    settle(&handle).await;
    log.commit(&handle).await;
    (handle, log)
}

/// Ends when the controller has dealt with everything before.
async fn settle(handle: &Handle) {
    let refused = handle.ask(UnregisterBroker(NodeId(99))).await;
    assert!(refused.is_err());
}

fn register() -> RegisterBroker {
    RegisterBroker {
        cluster_id: ClusterId::from("c"),
        broker_id: NodeId(1),
        incarnation_id: Uuid::from_u128(1),
        endpoints: Vec::new(),
        features: supported_features(),
        rack: None,
        directories: vec![DirectoryId(Uuid::from_u128(1_000))],
        previous_epoch: None,
        is_migrating_zk_broker: false,
    }
}

#[tokio::test]
async fn an_answer_waits_until_its_records_are_committed() {
    let (handle, log) = controller().await;
    let mut answer = pin!(handle.ask(register()));
    assert!(futures_util::poll!(answer.as_mut()).is_pending());
    settle(&handle).await;
    assert!(futures_util::poll!(answer.as_mut()).is_pending());
    log.commit(&handle).await;
    assert_eq!(answer.await, Ok(BrokerEpoch(3)));
}

#[tokio::test]
async fn an_answer_without_records_waits_for_what_it_has_seen() {
    let (handle, log) = controller().await;
    let mut registered = pin!(handle.ask(register()));
    assert!(futures_util::poll!(registered.as_mut()).is_pending());
    let nothing = CreateTopics { topics: Vec::new(), is_validate_only: false };
    let mut answer = pin!(handle.ask(nothing.clone()));
    assert!(futures_util::poll!(answer.as_mut()).is_pending());
    settle(&handle).await;
    assert!(futures_util::poll!(answer.as_mut()).is_pending());
    log.commit(&handle).await;
    assert_eq!(answer.await, Ok(Vec::new()));
    assert_eq!(handle.ask(nothing).await, Ok(Vec::new()), "nothing uncommitted: at once");
}

#[tokio::test]
async fn what_is_parked_fails_when_leadership_is_lost() {
    let (handle, log) = controller().await;
    let mut answer = pin!(handle.ask(register()));
    assert!(futures_util::poll!(answer.as_mut()).is_pending());
    settle(&handle).await;
    log.lead(None);
    handle.resigned(LeaderEpoch::new(1)).await;
    assert_eq!(answer.await, Err(Error::NotController));
    assert_eq!(handle.ask(register()).await, Err(Error::NotController));
}

#[tokio::test]
async fn a_log_that_takes_nothing_ends_the_leadership() {
    let (handle, log) = controller().await;
    log.lead(Some(2));
    assert_eq!(handle.ask(register()).await, Err(Error::NotController));
    let request = AllocateProducerIds { broker_id: NodeId(1), broker_epoch: BrokerEpoch(3) };
    assert_eq!(handle.ask(request).await, Err(Error::NotController));
    handle.leader(LeaderEpoch::new(2)).await;
    let refused = handle.ask(request).await.unwrap_err().into_refusal();
    assert_eq!(refused.code, ErrorCode::StaleBrokerEpoch, "what was not appended never was");
}

#[tokio::test]
async fn a_text_that_no_record_holds_is_refused() {
    let (handle, log) = controller().await;
    let mut request = register();
    request.rack = Some("x".repeat(40_000));
    let refused = handle.ask(request).await.unwrap_err().into_refusal();
    assert_eq!(refused.code, ErrorCode::InvalidRequest);
    let mut answer = pin!(handle.ask(register()));
    assert!(matches!(futures_util::poll!(answer.as_mut()), Poll::Pending));
    settle(&handle).await;
    log.commit(&handle).await;
    assert_eq!(answer.await, Ok(BrokerEpoch(3)));
}
