//! One connection to one broker: requests out, answers back in the same order.
//!
//! Two tasks own the two halves of the stream; a [`Connection`] is a handle to them. A caller that is dropped leaves its
//! request under way and its answer is thrown away, so the order of the others is kept. A request that is not answered in
//! time closes the connection: what the broker still sends could not be told apart from an answer to a later request by
//! anything but trust.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::api_versions_request::ApiVersionsRequest;
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::error::{Endpoint, Error};
use super::wire;
use crate::environment::{Instant, Runtime, Stop, Stopper, select, timeout};
use crate::model::{ByteCount, ErrorCode};
use crate::protocol::{
    FrameError, FrameReader, ReadTarget, decode_response, encode_request, peek_correlation_id,
};

/// How a connection behaves.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSettings {
    /// Sent with every request (`client.id`).
    pub client_id: Arc<str>,
    /// The longest wait for one answer (`request.timeout.ms`).
    pub request_timeout: Duration,
    /// The longest wait for a connection (`socket.connection.setup.timeout.ms`).
    pub connect_timeout: Duration,
    /// The largest answer taken, in bytes.
    pub response_bytes_max: usize,
}

/// A handle to an open connection; clones share it. It is closed when the last handle is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Connection<R: Runtime> {
    runtime: R,
    shared: Arc<Shared>,
    queue: mpsc::Sender<Outgoing>,
    versions: Arc<BTreeMap<i16, (i16, i16)>>,
    settings: ConnectionSettings,
}

#[derive(Debug)]
struct Shared {
    broker: Endpoint,
    in_flight: Mutex<InFlight>,
    next_correlation_id: AtomicI32,
    stopper: Stopper,
}

/// Requests written and not yet answered, oldest first.
#[derive(Debug, Default)]
struct InFlight {
    waiting: VecDeque<Waiting>,
    /// Why the connection ended, once it has.
    ended: Option<Error>,
}

#[derive(Debug)]
struct Waiting {
    correlation_id: i32,
    answer: oneshot::Sender<Result<Answer, Error>>,
}

/// The bytes of an answer behind its correlation id, and when they had all arrived.
#[derive(Debug)]
struct Answer {
    body: Bytes,
    at: Instant,
}

#[derive(Debug)]
struct Outgoing {
    frame: Bytes,
    waiting: Option<Waiting>,
}

/// A request under way.
#[derive(Debug)]
#[must_use = "the answer is thrown away unless it is waited for"]
pub(crate) struct Pending<R: Runtime, Q> {
    connection: Connection<R>,
    answer: oneshot::Receiver<Result<Answer, Error>>,
    version: i16,
    deadline: Instant,
    after: Duration,
    request: PhantomData<fn() -> Q>,
}

impl<R: Runtime> Connection<R> {
    /// Looks the broker up, connects, and learns the versions it speaks.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] when nobody accepts connections there; else as any request.
    pub(crate) async fn open(
        runtime: R,
        broker: Endpoint,
        settings: ConnectionSettings,
    ) -> Result<Self, Error> {
        let stream = match timeout(&runtime, settings.connect_timeout, dial(&runtime, &broker))
            .await
        {
            Ok(Ok(stream)) => stream,
            Ok(Err(cause)) => return Err(Error::Unreachable { broker, cause: Arc::new(cause) }),
            Err(_) => {
                let cause = Arc::new(io::Error::from(io::ErrorKind::TimedOut));
                return Err(Error::Unreachable { broker, cause });
            }
        };
        let shared = Arc::new(Shared {
            broker,
            in_flight: Mutex::default(),
            next_correlation_id: AtomicI32::new(0),
            stopper: Stopper::new(),
        });
        let (queue, outgoing) = mpsc::channel(QUEUE_LENGTH);
        let (reader, writer) = tokio::io::split(stream);
        runtime.spawn("client-write", write_requests(Arc::clone(&shared), writer, outgoing));
        let limit = ByteCount(settings.response_bytes_max as u64);
        let clock = runtime.clone();
        let of_reader = Arc::clone(&shared);
        runtime.spawn("client-read", read_answers(clock, of_reader, reader, limit));
        let mut connection = Self { runtime, shared, queue, versions: Arc::default(), settings };
        connection.versions = Arc::new(connection.ask_versions().await?);
        Ok(connection)
    }

    /// The other end.
    pub(super) fn broker(&self) -> &Endpoint {
        &self.shared.broker
    }

    /// True once requests can no longer be sent.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.stopper.stop().is_stopped()
    }

    /// Says when that is.
    pub(super) fn stop(&self) -> Stop {
        self.shared.stopper.stop()
    }

    /// The newest version of a request, not above `newest`, that both ends speak.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when there is none.
    pub(crate) fn version_of<Q: Request>(&self, newest: i16) -> Result<i16, Error> {
        let (low, high) = (Q::VERSIONS.min, Q::VERSIONS.max.min(newest));
        let unsupported =
            || Error::Unsupported { broker: self.broker().clone(), what: wire::api_name(Q::KEY) };
        let (their_low, their_high) = *self.versions.get(&Q::KEY).ok_or_else(unsupported)?;
        let version = high.min(their_high);
        if version < low.max(their_low) { Err(unsupported()) } else { Ok(version) }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// When it cannot be sent, or the connection ends or stays silent before the answer.
    pub(super) async fn call<Q: Request>(
        &self,
        request: &Q,
        version: i16,
    ) -> Result<Q::Response, Error> {
        self.call_within(request, version, self.settings.request_timeout).await
    }

    /// [`call`](Self::call) with a wait of its own, for requests that the broker holds back.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub(super) async fn call_within<Q: Request>(
        &self,
        request: &Q,
        version: i16,
        after: Duration,
    ) -> Result<Q::Response, Error> {
        let (response, _) = self.start(request, version, after).await?.wait().await?;
        Ok(response)
    }

    /// Hands a request to the writer; requests go out in the order of these calls.
    ///
    /// # Errors
    ///
    /// When it cannot be encoded or the connection has ended.
    pub(crate) async fn start<Q: Request>(
        &self,
        request: &Q,
        version: i16,
        after: Duration,
    ) -> Result<Pending<R, Q>, Error> {
        let deadline = self.runtime.now() + after;
        let (correlation_id, frame) = self.frame(request, version)?;
        let (sender, answer) = oneshot::channel();
        let waiting = Some(Waiting { correlation_id, answer: sender });
        let connection = self.clone();
        if self.queue.send(Outgoing { frame, waiting }).await.is_err() {
            return Err(self.shared.why_ended());
        }
        Ok(Pending { connection, answer, version, deadline, after, request: PhantomData })
    }

    /// [`start`](Self::start) at once, for callers that keep fewer requests under way than the queue holds.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and when the queue is full after all.
    pub(super) fn try_start<Q: Request>(
        &self,
        request: &Q,
        version: i16,
        after: Duration,
    ) -> Result<Pending<R, Q>, Error> {
        let deadline = self.runtime.now() + after;
        let (correlation_id, frame) = self.frame(request, version)?;
        let (sender, answer) = oneshot::channel();
        self.try_queue(Outgoing {
            frame,
            waiting: Some(Waiting { correlation_id, answer: sender }),
        })?;
        let connection = self.clone();
        Ok(Pending { connection, answer, version, deadline, after, request: PhantomData })
    }

    /// Sends a request that has no answer (Produce with acks=0).
    ///
    /// # Errors
    ///
    /// As [`try_start`](Self::try_start).
    pub(super) fn try_send_only<Q: Request>(&self, request: &Q, version: i16) -> Result<(), Error> {
        let (_, frame) = self.frame(request, version)?;
        self.try_queue(Outgoing { frame, waiting: None })
    }

    fn try_queue(&self, outgoing: Outgoing) -> Result<(), Error> {
        self.queue.try_send(outgoing).map_err(|error| match error {
            TrySendError::Full(_) => Error::Busy { broker: self.broker().clone() },
            TrySendError::Closed(_) => self.shared.why_ended(),
        })
    }

    fn frame<Q: Request>(&self, request: &Q, version: i16) -> Result<(i32, Bytes), Error> {
        let id = self.shared.next_correlation_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let frame = encode_request(version, id, Some(&self.settings.client_id), request);
        match frame {
            Ok(frame) => Ok((id, frame.freeze())),
            Err(error) => {
                let why = format!("{} cannot be sent: {error}", wire::api_name(Q::KEY));
                Err(Error::Invalid { why })
            }
        }
    }

    /// `ApiVersions` 3, and 0 for a broker that does not know 3 and says so in version 0.
    async fn ask_versions(&self) -> Result<BTreeMap<i16, (i16, i16)>, Error> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("ottla"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let mut response = self.call(&request, 3).await?;
        if response.error_code == ErrorCode::UnsupportedVersion.code() {
            response = self.call(&ApiVersionsRequest::default(), 0).await?;
        }
        Error::check(|| format!("ApiVersions at {}", self.broker()), response.error_code, None)?;
        let ranges = response.api_keys.iter();
        Ok(ranges.map(|row| (row.api_key, (row.min_version, row.max_version))).collect())
    }

    fn decode<Q: Request>(&self, mut frame: Bytes, version: i16) -> Result<Q::Response, Error> {
        match decode_response::<Q>(&mut frame, version) {
            Ok((_, response)) => Ok(response),
            Err(error) => {
                let (broker, what) = (self.broker().clone(), wire::api_name(Q::KEY));
                let error = Error::Malformed { broker, what, why: error.to_string() };
                self.shared.end(&error);
                Err(error)
            }
        }
    }
}

impl<R: Runtime, Q: Request> Pending<R, Q> {
    /// The answer, and when its last byte had arrived.
    ///
    /// # Errors
    ///
    /// When the connection ends or stays silent before it, or it cannot be read.
    pub(crate) async fn wait(self) -> Result<(Q::Response, Instant), Error> {
        let (connection, version) = (self.connection.clone(), self.version);
        let answer = self.answer().await?;
        Ok((connection.decode::<Q>(answer.body, version)?, answer.at))
    }

    async fn answer(self) -> Result<Answer, Error> {
        let shared = &self.connection.shared;
        select! {
            answer = self.answer => answer.unwrap_or_else(|_| Err(shared.why_ended())),
            () = self.connection.runtime.sleep_until(self.deadline) => {
                let (broker, after) = (shared.broker.clone(), self.after);
                let error = Error::TimedOut { what: wire::api_name(Q::KEY), broker, after };
                shared.end(&Error::Disconnected { broker: shared.broker.clone(), cause: None });
                Err(error)
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connection: whoever waits hears why.
    fn end(&self, error: &Error) {
        let waiting = {
            let mut in_flight = self.lock();
            in_flight.ended.get_or_insert_with(|| error.clone());
            std::mem::take(&mut in_flight.waiting)
        };
        for request in waiting {
            // The caller may have been dropped.
            let _ = request.answer.send(Err(error.clone()));
        }
        self.stopper.pull();
    }

    /// Puts a request in line for its answer; false when the connection has ended, and then it knows.
    fn enlist(&self, waiting: Waiting) -> bool {
        let mut in_flight = self.lock();
        if let Some(error) = in_flight.ended.clone() {
            drop(in_flight);
            let _ = waiting.answer.send(Err(error));
            return false;
        }
        in_flight.waiting.push_back(waiting);
        true
    }

    fn why_ended(&self) -> Error {
        let ended = self.lock().ended.clone();
        ended.unwrap_or_else(|| Error::Disconnected { broker: self.broker.clone(), cause: None })
    }

    fn disconnected(&self, cause: io::Error) -> Error {
        let orderly = cause.kind() == io::ErrorKind::UnexpectedEof;
        let cause = (!orderly).then(|| Arc::new(cause));
        Error::Disconnected { broker: self.broker.clone(), cause }
    }

    fn malformed(&self, why: String) -> Error {
        let what = "a request".to_owned();
        Error::Malformed { broker: self.broker.clone(), what, why }
    }

    /// Gives an answer to the oldest request; says what is wrong when it is not the answer to that.
    fn deliver(&self, body: Bytes, at: Instant) -> Result<(), Error> {
        let Some(id) = peek_correlation_id(&body) else {
            return Err(self.malformed("it is shorter than a header".to_owned()));
        };
        let Some(oldest) = self.lock().waiting.pop_front() else {
            return Err(self.malformed("nothing was asked".to_owned()));
        };
        if oldest.correlation_id != id {
            let why = format!("correlation id {id}, expected {}", oldest.correlation_id);
            let error = self.malformed(why);
            let _ = oldest.answer.send(Err(error.clone()));
            return Err(error);
        }
        // The caller may have been dropped: its answer is thrown away.
        let _ = oldest.answer.send(Ok(Answer { body, at }));
        Ok(())
    }
}

async fn dial<R: Runtime>(runtime: &R, broker: &Endpoint) -> io::Result<R::Stream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in runtime.resolve(&broker.host, broker.port).await? {
        match runtime.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn write_requests(
    shared: Arc<Shared>,
    mut stream: impl AsyncWrite + Unpin,
    mut outgoing: mpsc::Receiver<Outgoing>,
) {
    let stop = shared.stopper.stop();
    loop {
        let next = select! {
            () = stop.stopped() => return,
            next = outgoing.recv() => next,
        };
        // Every handle is gone.
        let Some(Outgoing { frame, waiting }) = next else { break };
        if let Some(waiting) = waiting
            && !shared.enlist(waiting)
        {
            return;
        }
        let write = async {
            stream.write_all(&frame).await?;
            stream.flush().await
        };
        select! {
            () = stop.stopped() => return,
            written = write => if let Err(cause) = written {
                shared.end(&shared.disconnected(cause));
                return;
            },
        }
    }
    shared.end(&Error::Closed);
}

async fn read_answers<R: Runtime>(
    clock: R,
    shared: Arc<Shared>,
    mut stream: impl AsyncRead + Unpin,
    limit: ByteCount,
) {
    let stop = shared.stopper.stop();
    let mut frames = FrameReader::new(limit);
    let ended = loop {
        let frame = select! {
            () = stop.stopped() => break shared.why_ended(),
            frame = read_frame(&mut stream, &mut frames) => frame,
        };
        let delivered = match frame {
            Ok(Ok(body)) => shared.deliver(body, clock.now()),
            Ok(Err(why)) => Err(shared.malformed(why.to_string())),
            Err(cause) => Err(shared.disconnected(cause)),
        };
        if let Err(error) = delivered {
            break error;
        }
    };
    shared.end(&ended);
}

/// One frame without its length; the inner error says why the length is none.
async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin),
    frames: &mut FrameReader,
) -> io::Result<Result<Bytes, FrameError>> {
    loop {
        let read = match frames.target() {
            ReadTarget::Prefix(mut prefix) => stream.read_buf(&mut prefix).await?,
            ReadTarget::Body(mut body) => stream.read_buf(&mut body).await?,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match frames.advance(read) {
            Ok(Some(frame)) => return Ok(Ok(frame)),
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// Frames handed over and not yet written; bounds memory when a broker stops reading.
const QUEUE_LENGTH: usize = 64;

#[cfg(test)]
mod tests;
