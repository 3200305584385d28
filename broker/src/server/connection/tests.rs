use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::io::DuplexStream;
use tokio::sync::oneshot;

use super::super::fixture::{MemoryRuntime, MemoryStream};
use super::*;
use crate::environment::Stopper;
use crate::environment::tokio::TokioFile;

/// What becomes of a request, by its first byte; without an entry it is answered at once with itself.
#[derive(Clone, Default)]
struct Script {
    seen: Arc<Mutex<Vec<Bytes>>>,
    waiting: Arc<Mutex<BTreeMap<u8, oneshot::Receiver<Verdict<TokioFile>>>>>,
    silent: Vec<u8>,
    closing: Vec<u8>,
}

impl Script {
    /// Requests that begin with `first` wait for what is sent.
    fn hold(&self, first: u8) -> oneshot::Sender<Verdict<TokioFile>> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap().insert(first, receiver);
        sender
    }

    fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Service<MemoryRuntime> for Script {
    async fn call(&self, frame: Bytes) -> Reply<TokioFile> {
        self.seen.lock().unwrap().push(frame.clone());
        if self.silent.contains(&frame[0]) {
            return Reply::Nothing;
        }
        if self.closing.contains(&frame[0]) {
            return Reply::Close("asked for it".to_owned());
        }
        match self.waiting.lock().unwrap().remove(&frame[0]) {
            None => Reply::Now(Response::of(frame)),
            Some(verdict) => Reply::Later(Box::pin(async move { verdict.await.unwrap() })),
        }
    }
}

fn answer(text: &'static str) -> Verdict<TokioFile> {
    Verdict::Answer(Response::of(Bytes::from_static(text.as_bytes())))
}

/// A connection under test: its client's end, and how it ends.
struct Served {
    client: DuplexStream,
    script: Script,
    stop: Stopper,
    end: BoxFuture<'static, End>,
}

const IDLE_MS: i64 = 10_000;

impl Served {
    fn start(script: Script) -> Self {
        Self::with(script, 1 << 20)
    }

    /// With so much room for bytes that the other end has not read.
    fn with(script: Script, pipe_bytes: usize) -> Self {
        let runtime = MemoryRuntime::new();
        let peer = SocketAddr::from(([10, 0, 0, 1], 40_000));
        let (stream, client) = MemoryStream::from(peer, pipe_bytes);
        let limits = Limits { request_bytes_max: ByteCount(100 << 20), idle_ms_max: IDLE_MS };
        let connection =
            Connection::new(runtime.clone(), stream, limits, RequestMemory::new(1 << 20));
        let (stopper, service) = (Stopper::new(), script.clone());
        let (sender, end) = oneshot::channel();
        let stop = stopper.stop();
        runtime.spawn("connection", async move {
            let end = connection.run(&service, &stop).await;
            let _ = sender.send(end);
        });
        let end = end.map(|end| end.expect("the connection does not panic")).boxed();
        Self { client, script, stop: stopper, end }
    }

    async fn send(&mut self, body: &[u8]) {
        self.client.write_u32(u32::try_from(body.len()).unwrap()).await.unwrap();
        self.client.write_all(body).await.unwrap();
    }

    /// Lets the connection do all it can do now.
    async fn settle(&self) {
        MemoryRuntime::new().sleep(Duration::from_millis(1)).await;
    }

    /// The bytes that have come, without waiting for more.
    async fn received(&mut self) -> String {
        self.settle().await;
        let mut text = Vec::new();
        while let Some(Ok(1..)) = self.client.read_buf(&mut text).now_or_never() {}
        String::from_utf8(text).unwrap()
    }

    async fn sleep(&self, millis: i64) {
        let runtime = MemoryRuntime::new();
        runtime.sleep_until(runtime.now().plus_millis(millis)).await;
    }

    fn has_ended(&mut self) -> Option<End> {
        (&mut self.end).now_or_never()
    }
}

#[tokio::test(start_paused = true)]
async fn responses_leave_in_the_order_of_requests_however_they_become_ready() {
    let script = Script::default();
    let (first, third) = (script.hold(b'1'), script.hold(b'3'));
    let mut served = Served::start(script);
    for body in [b"1", b"2", b"3", b"4"] {
        served.send(body).await;
    }
    third.send(answer("three")).ok().unwrap();
    assert_eq!(served.received().await, "");
    assert_eq!(served.script.seen(), 4);
    first.send(answer("one")).ok().unwrap();
    assert_eq!(served.received().await, "one2three4");
}

#[tokio::test(start_paused = true)]
async fn a_request_without_answer_holds_up_nothing() {
    let mut served = Served::start(Script { silent: vec![b'n'], ..Script::default() });
    for body in [b"a", b"n", b"b"] {
        served.send(body).await;
    }
    assert_eq!(served.received().await, "ab");
}

#[tokio::test(start_paused = true)]
async fn a_client_with_many_unanswered_requests_is_not_read_until_some_are_answered() {
    let script = Script::default();
    let first = script.hold(b'1');
    let mut served = Served::start(script);
    served.send(b"1").await;
    for _ in 0..IN_FLIGHT_MAX + 6 {
        served.send(b"x").await;
    }
    assert_eq!(served.received().await, "");
    assert_eq!(served.script.seen(), IN_FLIGHT_MAX);
    first.send(answer("1")).ok().unwrap();
    assert_eq!(served.received().await.len(), IN_FLIGHT_MAX + 7);
}

#[tokio::test(start_paused = true)]
async fn at_stop_what_was_asked_is_answered_and_what_comes_after_is_not() {
    let script = Script::default();
    let first = script.hold(b'1');
    let mut served = Served::start(script);
    served.send(b"1").await;
    served.send(b"2").await;
    served.settle().await;
    served.stop.pull();
    served.settle().await;
    served.send(b"3").await;
    assert_eq!(served.received().await, "");
    first.send(answer("one")).ok().unwrap();
    assert_eq!(served.received().await, "one2");
    assert_eq!(served.script.seen(), 2);
    assert!(matches!(served.end.await, End::Stopped));
}

#[tokio::test(start_paused = true)]
async fn at_stop_a_long_poll_is_not_waited_for_longer_than_the_drain_lasts() {
    let script = Script::default();
    let _never = script.hold(b'1');
    let mut served = Served::start(script);
    served.send(b"1").await;
    served.settle().await;
    served.stop.pull();
    let runtime = MemoryRuntime::new();
    let before = runtime.now();
    assert!(matches!(served.end.await, End::Stopped));
    let took = runtime.now().since(before);
    assert!((DRAIN_MAX..DRAIN_MAX + Duration::from_millis(5)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn at_stop_a_client_that_takes_nothing_is_not_waited_for() {
    let mut served = Served::with(Script::default(), 16);
    served.send(&[b'x'; 100]).await;
    served.settle().await;
    served.stop.pull();
    let runtime = MemoryRuntime::new();
    let before = runtime.now();
    assert!(matches!(served.end.await, End::Stopped));
    assert!(runtime.now().since(before) < DRAIN_MAX * 2);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_when_its_time_is_up_and_not_before() {
    let mut served = Served::start(Script::default());
    served.sleep(IDLE_MS - 100).await;
    served.send(b"a").await;
    assert_eq!(served.received().await, "a");
    served.sleep(IDLE_MS - 100).await;
    assert!(served.has_ended().is_none());
    served.sleep(200).await;
    assert!(matches!(served.has_ended(), Some(End::Idle)));
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_request_waits_is_not_idle() {
    let script = Script::default();
    let first = script.hold(b'1');
    let mut served = Served::start(script);
    served.send(b"1").await;
    served.sleep(IDLE_MS * 3 + 500).await;
    assert!(served.has_ended().is_none());
    first.send(answer("one")).ok().unwrap();
    assert_eq!(served.received().await, "one");
    served.sleep(IDLE_MS - 100).await;
    assert!(served.has_ended().is_none());
    served.sleep(200).await;
    assert!(matches!(served.has_ended(), Some(End::Idle)));
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_slowly_is_not_idle() {
    let mut served = Served::start(Script::default());
    served.client.write_u32(4).await.unwrap();
    for byte in b"slow" {
        served.sleep(IDLE_MS - 100).await;
        served.client.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(served.received().await, "slow");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_answers_is_closed_like_an_idle_one() {
    let mut served = Served::with(Script::default(), 16);
    served.send(&[b'x'; 100]).await;
    served.sleep(IDLE_MS - 100).await;
    assert!(served.has_ended().is_none());
    served.sleep(200).await;
    assert!(matches!(served.has_ended(), Some(End::Idle)));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kafka_or_too_long_is_closed_with_its_reason() {
    let check = async |bytes: &[u8], expected: &str| {
        let mut served = Served::start(Script::default());
        served.client.write_all(bytes).await.unwrap();
        let End::Refused(reason) = served.end.await else { panic!("not refused: {expected}") };
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(served.client.read_u8().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(served.script.seen(), 0);
    };
    check(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", "HTTP").await;
    check(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01], "TLS").await;
    check(&((100 << 20) + 1_u32).to_be_bytes(), "exceeds the maximum").await;
    check(&u32::MAX.to_be_bytes(), "not positive").await;
    check(&0_u32.to_be_bytes(), "not positive").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_closes_the_connection_lets_earlier_ones_be_answered() {
    let script = Script { closing: vec![b'c'], ..Script::default() };
    let first = script.hold(b'1');
    let mut served = Served::start(script);
    for body in [b"1", b"2", b"c", b"4"] {
        served.send(body).await;
    }
    assert_eq!(served.received().await, "");
    first.send(answer("one")).ok().unwrap();
    assert_eq!(served.received().await, "one2");
    assert!(matches!(served.end.await, End::Refused(reason) if reason == "asked for it"));
    assert_eq!(served.script.seen(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_parked_request_may_close_the_connection_after_those_before_it() {
    let script = Script::default();
    let second = script.hold(b'2');
    let mut served = Served::start(script);
    for body in [b"1", b"2", b"3"] {
        served.send(body).await;
    }
    second.send(Verdict::Close("no".to_owned())).ok().unwrap();
    assert_eq!(served.received().await, "1");
    assert!(matches!(served.end.await, End::Refused(reason) if reason == "no"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_noticed_while_its_requests_wait() {
    let script = Script { closing: vec![b'c'], ..Script::default() };
    let _never = script.hold(b'1');
    let mut served = Served::start(script.clone());
    served.send(b"1").await;
    served.settle().await;
    drop(served.client);
    assert!(matches!(served.end.await, End::Gone(None)));

    let _never = script.hold(b'1');
    let mut draining = Served::start(script);
    draining.send(b"1").await;
    draining.send(b"c").await;
    draining.settle().await;
    drop(draining.client);
    assert!(matches!(draining.end.await, End::Gone(None)));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_breaks_inside_a_frame_is_an_error() {
    let mut served = Served::start(Script::default());
    served.client.write_all(&[0, 0, 0, 9, b'x']).await.unwrap();
    served.settle().await;
    drop(served.client);
    let End::Gone(Some(error)) = served.end.await else { panic!("an error") };
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
