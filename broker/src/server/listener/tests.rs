use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::FutureExt as _;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::super::admission::AdmissionLimits;
use super::super::fixture::{MemoryListener, MemoryRuntime, MemoryStream};
use super::*;
use crate::environment::Stopper;

type Begun = Arc<Mutex<Vec<(MemoryStream, Place)>>>;

/// A listener under test, and who was let in.
struct Accepting {
    runtime: MemoryRuntime,
    clients: mpsc::UnboundedSender<MemoryStream>,
    begun: Begun,
    stop: Stopper,
}

impl Accepting {
    fn start(all: usize, per_ip: usize) -> Self {
        let runtime = MemoryRuntime::new();
        let (listener, clients) = MemoryListener::new();
        let bound = Bound { name: "PLAINTEXT".to_owned(), role: ListenerRole::Broker, listener };
        let admission = Admission::new(AdmissionLimits {
            connections_max: all,
            connections_per_ip_max: per_ip,
            connections_per_ip_overrides: BTreeMap::new(),
        });
        let (begun, stop) = (Begun::default(), Stopper::new());
        let (world, into, heard) = (runtime.clone(), Arc::clone(&begun), stop.stop());
        runtime.spawn("listener", async move {
            let begin = |stream, place| into.lock().unwrap().push((stream, place));
            accept(&world, bound, &admission, &heard, begin).await;
        });
        Self { runtime, clients, begun, stop }
    }

    async fn settle(&self) {
        self.runtime.sleep(Duration::from_millis(1)).await;
    }

    async fn connect(&self, ip: &str) -> tokio::io::DuplexStream {
        let (stream, client) =
            MemoryStream::from(SocketAddr::new(ip.parse().unwrap(), 40_000), 100);
        self.clients.send(stream).expect("it listens");
        self.settle().await;
        client
    }

    fn count(&self) -> usize {
        self.begun.lock().unwrap().len()
    }
}

/// True when the other end has closed it.
fn is_closed(client: &mut tokio::io::DuplexStream) -> bool {
    matches!(client.read(&mut [0]).now_or_never(), Some(Ok(0)))
}

#[tokio::test(start_paused = true)]
async fn who_comes_when_all_places_are_taken_is_served_once_another_leaves() {
    let accepting = Accepting::start(2, 10);
    let _first = accepting.connect("10.0.0.1").await;
    let _second = accepting.connect("10.0.0.2").await;
    let mut third = accepting.connect("10.0.0.3").await;
    assert_eq!(accepting.count(), 2);
    assert!(!is_closed(&mut third));
    accepting.begun.lock().unwrap().remove(0);
    accepting.settle().await;
    assert_eq!(accepting.count(), 2);
    assert!(!is_closed(&mut third));
}

#[tokio::test(start_paused = true)]
async fn one_address_too_often_is_closed_in_either_spelling_and_others_are_served() {
    let accepting = Accepting::start(10, 1);
    let mut first = accepting.connect("10.0.0.1").await;
    let mut again = accepting.connect("::ffff:10.0.0.1").await;
    let mut other = accepting.connect("10.0.0.2").await;
    assert!(is_closed(&mut again));
    assert!(!is_closed(&mut first) && !is_closed(&mut other));
    assert_eq!(accepting.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_listener_lets_nobody_in_not_even_who_waits() {
    let accepting = Accepting::start(1, 10);
    let _first = accepting.connect("10.0.0.1").await;
    let mut waiting = accepting.connect("10.0.0.2").await;
    accepting.stop.pull();
    accepting.settle().await;
    assert!(is_closed(&mut waiting));
    assert_eq!(accepting.count(), 1);
}

/// What a subscriber writes, in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_refused_connection_leaves_one_line_and_one_that_just_left_none() {
    let lines = |end: &End| {
        let written = Lines::default();
        let into = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || into.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            report(end, SocketAddr::from(([10, 0, 0, 1], 40_000)), "PLAINTEXT");
        });
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    };
    let refused = lines(&End::Refused("the peer speaks TLS".to_owned()));
    assert_eq!(refused.lines().count(), 1);
    assert!(refused.contains("10.0.0.1:40000") && refused.contains("the peer speaks TLS"));
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    for quiet in [End::Gone(None), End::Gone(Some(reset)), End::Idle, End::Stopped] {
        assert_eq!(lines(&quiet), "");
    }
}
