use std::net::SocketAddr;

use kafka_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use kafka_protocol::messages::list_groups_request::ListGroupsRequest;
use kafka_protocol::messages::list_groups_response::ListGroupsResponse;
use kafka_protocol::protocol::Encodable;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::environment::tokio::TokioRuntime;
use crate::environment::{Listener as _, Stream as _};
use crate::protocol::encode_response;

type Stream = <TokioRuntime as Runtime>::Stream;

/// A broker that accepts one connection, says its versions, and then does as it is told.
async fn broker<F: Future<Output = ()> + Send + 'static>(
    script: impl FnOnce(Stream) -> F + Send + 'static,
) -> Endpoint {
    let runtime = TokioRuntime::new();
    let mut listener = runtime.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let port = listener.local_address().port();
    runtime.spawn("broker", async move {
        let mut stream = listener.accept().await.unwrap();
        assert_ne!(stream.peer_address(), stream.local_address());
        let (id, _) = request(&mut stream).await.unwrap();
        let row =
            |key| ApiVersion::default().with_api_key(key).with_min_version(0).with_max_version(3);
        let rows = vec![row(16), row(18)];
        answer(&mut stream, 3, id, &ApiVersionsResponse::default().with_api_keys(rows)).await;
        script(stream).await;
    });
    Endpoint::new("127.0.0.1", port)
}

/// The correlation id of the next request, and its key; `None` at the end.
async fn request(stream: &mut Stream) -> Option<(i32, i16)> {
    let length = stream.read_i32().await.ok()?;
    let mut frame = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut frame).await.unwrap();
    let id = i32::from_be_bytes(frame[4..8].try_into().unwrap());
    Some((id, i16::from_be_bytes(frame[..2].try_into().unwrap())))
}

async fn answer<T: Encodable + kafka_protocol::protocol::HeaderVersion>(
    stream: &mut Stream,
    version: i16,
    id: i32,
    body: &T,
) {
    let frame = encode_response(version, id, body).unwrap();
    stream.write_all(&frame).await.unwrap();
}

async fn connect(broker: Endpoint, request_timeout: Duration) -> Connection<TokioRuntime> {
    let settings = ConnectionSettings {
        client_id: "test".into(),
        request_timeout,
        connect_timeout: LONG,
        response_bytes_max: 1 << 20,
    };
    Connection::open(TokioRuntime::new(), broker, settings).await.unwrap()
}

async fn ask(connection: &Connection<TokioRuntime>) -> Result<i32, Error> {
    let response = connection.call(&ListGroupsRequest::default(), 3).await?;
    Ok(response.throttle_time_ms)
}

const LONG: Duration = Duration::from_secs(60);

/// What tells one answer from another here.
fn numbered(number: i32) -> ListGroupsResponse {
    ListGroupsResponse::default().with_throttle_time_ms(number)
}

#[tokio::test]
async fn versions_are_the_newest_that_both_ends_speak() {
    let endpoint = broker(async |_| std::future::pending().await).await;
    let connection = connect(endpoint, LONG).await;
    assert_eq!(connection.version_of::<ListGroupsRequest>(5).unwrap(), 3);
    assert_eq!(connection.version_of::<ListGroupsRequest>(1).unwrap(), 1);
    let missing = connection.version_of::<kafka_protocol::messages::FetchRequest>(12);
    assert!(matches!(missing, Err(Error::Unsupported { .. })));
}

#[tokio::test]
async fn requests_travel_together_and_each_gets_its_own_answer() {
    let endpoint = broker(async |mut stream| {
        let first = request(&mut stream).await.unwrap();
        let second = request(&mut stream).await.unwrap();
        answer(&mut stream, 3, first.0, &numbered(1)).await;
        answer(&mut stream, 3, second.0, &numbered(2)).await;
        std::future::pending::<()>().await;
    })
    .await;
    let connection = connect(endpoint, LONG).await;
    let (first, second) = tokio::join!(ask(&connection), ask(&connection));
    assert_eq!((first.unwrap(), second.unwrap()), (1, 2));
}

#[tokio::test]
async fn the_answer_to_a_caller_that_is_gone_is_thrown_away() {
    let endpoint = broker(async |mut stream| {
        for number in 1..=2 {
            let (id, _) = request(&mut stream).await.unwrap();
            answer(&mut stream, 3, id, &numbered(number)).await;
        }
        std::future::pending::<()>().await;
    })
    .await;
    let connection = connect(endpoint, LONG).await;
    drop(connection.start(&ListGroupsRequest::default(), 3, LONG).await.unwrap());
    assert_eq!(ask(&connection).await.unwrap(), 2);
}

#[tokio::test]
async fn silence_ends_the_connection_for_everyone() {
    let endpoint = broker(async |mut stream| {
        request(&mut stream).await.unwrap();
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let connection = connect(endpoint, Duration::from_millis(50)).await;
    let other = connection.start(&ListGroupsRequest::default(), 3, LONG).await.unwrap();
    let error = ask(&connection).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert!(error.is_outcome_unknown());
    assert!(matches!(other.wait().await, Err(Error::Disconnected { .. })));
    assert!(connection.is_closed());
    assert!(ask(&connection).await.is_err());
}

#[tokio::test]
async fn a_broker_that_closes_is_heard_at_once() {
    let endpoint = broker(async |mut stream| {
        request(&mut stream).await.unwrap();
    })
    .await;
    let connection = connect(endpoint, LONG).await;
    let error = ask(&connection).await.unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. }), "{error}");
}

/// Sends these bytes as the answer to a request.
async fn error_after(bytes: impl FnOnce(i32) -> Vec<u8> + Send + 'static) -> Error {
    let endpoint = broker(async move |mut stream: Stream| {
        let (id, _) = request(&mut stream).await.unwrap();
        stream.write_all(&bytes(id)).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    ask(&connect(endpoint, LONG).await).await.unwrap_err()
}

#[tokio::test]
async fn a_broker_that_lies_is_not_believed() {
    let wrong_id = |id: i32| encode_response(3, id + 1, &numbered(1)).unwrap().to_vec();
    let too_long = |_| vec![0x7f, 0xff, 0xff, 0xff];
    let negative = |_| vec![0xff; 4];
    let short = |_| vec![0, 0, 0, 1, 0];
    let huge_array = |id: i32| {
        let mut bytes = vec![0, 0, 0, 16];
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x07]);
        bytes
    };
    for error in [
        error_after(wrong_id).await,
        error_after(too_long).await,
        error_after(negative).await,
        error_after(short).await,
        error_after(huge_array).await,
    ] {
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_connection() {
    let (sender, mut ended): (_, UnboundedReceiver<()>) = mpsc::unbounded_channel();
    let endpoint = broker(async move |mut stream: Stream| {
        assert_eq!(request(&mut stream).await, None);
        sender.send(()).unwrap();
    })
    .await;
    drop(connect(endpoint, LONG).await);
    assert_eq!(ended.recv().await, Some(()));
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let runtime = TokioRuntime::new();
    let listener = runtime.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let port = listener.local_address().port();
    drop(listener);
    let settings = ConnectionSettings {
        client_id: "test".into(),
        request_timeout: LONG,
        connect_timeout: LONG,
        response_bytes_max: 1 << 20,
    };
    let error =
        Connection::open(runtime, Endpoint::new("127.0.0.1", port), settings).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(!error.is_outcome_unknown());
}
