use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use kafka_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use kafka_protocol::messages::{
    ApiKey, BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::environment::Listener as _;
use crate::environment::tokio::TokioRuntime;
use crate::protocol::encode_response;

type Stream = <TokioRuntime as Runtime>::Stream;

/// What a controller does with a heartbeat.
#[derive(Clone, Copy)]
enum Act {
    Accept,
    NotController,
    Hangup,
    Silence,
    Lie,
}

/// A controller that does with each heartbeat what the list says, and with all others what its last word says.
struct Controller {
    endpoint: Endpoint,
    /// Connections that were accepted.
    accepted: Arc<AtomicUsize>,
    /// Heartbeats that came.
    asked: Arc<AtomicUsize>,
}

impl Controller {
    async fn start(acts: &'static [Act]) -> Self {
        let runtime = TokioRuntime::new();
        let mut listener = runtime.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let endpoint = Endpoint::new("127.0.0.1", listener.local_address().port());
        let (accepted, asked): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let counts = (Arc::clone(&accepted), Arc::clone(&asked));
        runtime.clone().spawn("controller", async move {
            while let Ok(stream) = listener.accept().await {
                counts.0.fetch_add(1, Ordering::Relaxed);
                runtime.spawn("connection", serve(stream, acts, Arc::clone(&counts.1)));
            }
        });
        Self { endpoint, accepted, asked }
    }

    fn counts(&self) -> (usize, usize) {
        (self.accepted.load(Ordering::Relaxed), self.asked.load(Ordering::Relaxed))
    }
}

async fn serve(mut stream: Stream, acts: &[Act], asked: Arc<AtomicUsize>) {
    while let Ok(length) = stream.read_i32().await {
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut frame).await.unwrap();
        let id = i32::from_be_bytes(frame[4..8].try_into().unwrap());
        if i16::from_be_bytes(frame[..2].try_into().unwrap()) == ApiKey::ApiVersions as i16 {
            let row = ApiVersion::default()
                .with_api_key(ApiKey::BrokerHeartbeat as i16)
                .with_min_version(0)
                .with_max_version(1);
            let versions = ApiVersionsResponse::default().with_api_keys(vec![row]);
            stream.write_all(&encode_response(3, id, &versions).unwrap()).await.unwrap();
            continue;
        }
        let act = acts[asked.fetch_add(1, Ordering::Relaxed).min(acts.len() - 1)];
        let code = match act {
            Act::Accept => ErrorCode::None,
            Act::NotController => ErrorCode::NotController,
            Act::Hangup => return,
            Act::Silence => return std::future::pending().await,
            Act::Lie => {
                stream.write_all(&[0x7f, 0xff, 0xff, 0xff]).await.unwrap();
                continue;
            }
        };
        let answer = BrokerHeartbeatResponse::default().with_error_code(code.code());
        stream.write_all(&encode_response(1, id, &answer).unwrap()).await.unwrap();
    }
}

fn channel(
    find: impl Fn() -> Option<Endpoint> + Send + Sync + 'static,
    settings: ControllerChannelSettings,
) -> ControllerChannel<TokioRuntime> {
    ControllerChannel::new(TokioRuntime::new(), find, settings)
}

fn channel_to(controller: &Controller) -> ControllerChannel<TokioRuntime> {
    let endpoint = controller.endpoint.clone();
    channel(move || Some(endpoint.clone()), settings())
}

fn settings() -> ControllerChannelSettings {
    let retry_backoff = Duration::from_millis(2);
    ControllerChannelSettings { retry_backoff, ..ControllerChannelSettings::new("test") }
}

async fn beat(channel: &ControllerChannel<TokioRuntime>, limit: Duration) -> Result<(), Error> {
    channel.call(&BrokerHeartbeatRequest::default(), limit).await.map(drop)
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn one_connection_carries_one_call_after_the_other() {
    let controller = Controller::start(&[Act::Accept]).await;
    let channel = channel_to(&controller);
    for _ in 0..3 {
        beat(&channel, LONG).await.unwrap();
    }
    assert_eq!(controller.counts(), (1, 3));
}

#[tokio::test]
async fn who_is_not_the_controller_is_asked_again_and_not_kept() {
    let controller =
        Controller::start(&[Act::NotController, Act::NotController, Act::Accept]).await;
    beat(&channel_to(&controller), LONG).await.unwrap();
    assert_eq!(controller.counts(), (3, 3));
}

#[tokio::test]
async fn a_lost_connection_leads_to_another_attempt() {
    let controller = Controller::start(&[Act::Hangup, Act::Accept]).await;
    beat(&channel_to(&controller), LONG).await.unwrap();
    assert_eq!(controller.counts(), (2, 2));
}

#[tokio::test]
async fn a_controller_that_is_silent_is_given_up_at_the_limit() {
    let controller = Controller::start(&[Act::Silence]).await;
    let error = beat(&channel_to(&controller), SHORT).await.unwrap_err();
    assert!(matches!(error, Error::GaveUp { .. }), "{error}");
    assert!(error.is_outcome_unknown());
}

#[tokio::test]
async fn a_controller_that_never_is_one_is_given_up_at_the_limit() {
    let controller = Controller::start(&[Act::NotController]).await;
    let error = beat(&channel_to(&controller), SHORT).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NotController), "{error}");
    assert!(controller.counts().1 > 2, "it was asked more than once");
}

#[tokio::test]
async fn who_speaks_no_kafka_is_not_asked_again() {
    let controller = Controller::start(&[Act::Lie]).await;
    let error = beat(&channel_to(&controller), LONG).await.unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
    assert_eq!(controller.counts().1, 1);
}

#[tokio::test]
async fn what_a_controller_does_not_serve_is_not_asked() {
    let controller = Controller::start(&[Act::Accept]).await;
    let request = BrokerRegistrationRequest::default();
    let error = channel_to(&controller).call(&request, LONG).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

#[tokio::test]
async fn without_a_controller_a_call_waits_for_one_and_not_for_ever() {
    let error = beat(&channel(|| None, settings()), SHORT).await.unwrap_err();
    assert!(matches!(error, Error::GaveUp { .. }), "{error}");

    let controller = Controller::start(&[Act::Accept]).await;
    let (looks, endpoint) = (AtomicUsize::new(0), controller.endpoint.clone());
    let found = move || {
        let is_elected = looks.fetch_add(1, Ordering::Relaxed) >= 3;
        is_elected.then(|| endpoint.clone())
    };
    beat(&channel(found, settings()), LONG).await.unwrap();
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_controller_that_was_replaced() {
    let old = Controller::start(&[Act::Silence]).await;
    let new = Controller::start(&[Act::Accept]).await;
    let (asked, from, to) = (Arc::clone(&old.asked), old.endpoint.clone(), new.endpoint.clone());
    let find = move || {
        let is_replaced = asked.load(Ordering::Relaxed) > 0;
        Some(if is_replaced { to.clone() } else { from.clone() })
    };
    beat(&channel(find, settings()), LONG).await.unwrap();
    assert_eq!((old.counts(), new.counts()), ((1, 1), (1, 1)));
}

#[tokio::test]
async fn calls_beyond_the_limit_wait_for_those_before() {
    let controller = Controller::start(&[Act::Silence]).await;
    let channel = channel_to(&controller);
    let first = beat(&channel, LONG);
    let second = beat(&channel, SHORT);
    let second = select! {
        ended = first => panic!("it was not answered: {ended:?}"),
        ended = second => ended,
    };
    let error = second.unwrap_err();
    assert!(!error.is_outcome_unknown(), "it was not asked: {error}");
    assert_eq!(controller.counts().1, 1);
}

#[tokio::test]
async fn the_loss_of_a_connection_that_waits_is_noticed() {
    let controller = Controller::start(&[Act::Accept, Act::Hangup]).await;
    let channel = channel_to(&controller);
    assert!(timeout(&TokioRuntime::new(), SHORT, channel.disconnected()).await.is_err());
    beat(&channel, LONG).await.unwrap();
    assert!(timeout(&TokioRuntime::new(), SHORT, channel.disconnected()).await.is_err());
    // The other end hangs up on a heartbeat that somebody else sends over it.
    let kept = lock(&channel.0.idle).last().cloned().unwrap();
    let lost = async {
        let request = BrokerHeartbeatRequest::default();
        let (_, refused) = tokio::join!(channel.disconnected(), kept.call(&request, 1));
        assert!(refused.is_err());
    };
    timeout(&TokioRuntime::new(), LONG, lost).await.unwrap();
}
