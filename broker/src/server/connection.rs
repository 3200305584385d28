//! One connection: frames in, responses out, in order.
//!
//! One task owns the stream. While a request waits (for the high watermark, for data, for a group) the task reads the next
//! one, up to [`IN_FLIGHT_MAX`]; responses leave in the order of their requests. While it writes it does not read, so a
//! client that does not take its responses is not served either. An idle connection holds no buffer.
//!
//! When the node stops nothing more is read; what was asked before has [`DRAIN_MAX`] to be answered.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::memory::{Charge, RequestMemory};
use crate::api::{Part, Reply, Response, Verdict};
use crate::environment::{Instant, Runtime, Stop, Stream, select};
use crate::model::ByteCount;
use crate::protocol::{FrameReader, ReadTarget};

/// Requests of one connection that may wait for their answer at a time.
const IN_FLIGHT_MAX: usize = 64;

/// Bytes of waiting requests of one connection; beyond it the next request is not read.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;

/// How long what was asked before a stop is waited for. Long polls and rebalances that take longer go unanswered.
pub(crate) const DRAIN_MAX: Duration = Duration::from_millis(500);

/// Limits of a connection.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// `socket.request.max.bytes`.
    pub(super) request_bytes_max: ByteCount,
    /// `connections.max.idle.ms`; negative means no limit.
    pub(super) idle_ms_max: i64,
}

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The client closed it, or the link broke.
    Gone(Option<io::Error>),
    /// Nothing came for too long.
    Idle,
    /// The node stops.
    Stopped,
    /// We closed it, for this reason.
    Refused(String),
}

/// What requests are given to.
pub(super) trait Service<R: Runtime>: Send + Sync {
    /// Handles one frame.
    fn call(&self, frame: Bytes) -> impl Future<Output = Reply<R::File>> + Send;
}

pub(super) struct Connection<R: Runtime> {
    runtime: R,
    stream: R::Stream,
    limits: Limits,
    memory: RequestMemory,
    pending: VecDeque<Pending<R::File>>,
    pending_bytes: usize,
    reading: Reading,
    last_active: Instant,
}

/// How far the next frame has come. Kept outside the reading future, so that dropping that loses nothing.
struct Reading {
    frames: FrameReader,
    charge: Option<Charge>,
    /// Something has come since this was last looked at.
    has_moved: bool,
}

struct Pending<F> {
    answer: Answer<F>,
    bytes: usize,
    _charge: Charge,
}

enum Answer<F> {
    Ready(Response<F>),
    Waiting(BoxFuture<'static, Verdict<F>>),
}

impl<R: Runtime> Connection<R> {
    pub(super) fn new(
        runtime: R,
        stream: R::Stream,
        limits: Limits,
        memory: RequestMemory,
    ) -> Self {
        let last_active = runtime.now();
        let reading = Reading {
            frames: FrameReader::new(limits.request_bytes_max),
            charge: None,
            has_moved: false,
        };
        Self {
            runtime,
            stream,
            limits,
            memory,
            pending: VecDeque::new(),
            pending_bytes: 0,
            reading,
            last_active,
        }
    }

    /// Serves until it ends, and says why.
    pub(super) async fn run(mut self, service: &impl Service<R>, stop: &Stop) -> End {
        let mut idle = Box::pin(self.idle_timer());
        let mut stopped = Box::pin(stop.stopped());
        let mut cut_off = Box::pin(cut_off(self.runtime.clone(), stop.clone()));
        loop {
            if let Err(end) = self.write_ready(cut_off.as_mut()).await {
                return end;
            }
            let may_read =
                self.pending.len() < IN_FLIGHT_MAX && self.pending_bytes < IN_FLIGHT_BYTES_MAX;
            let front = self.pending.front_mut();
            let event = select! {
                verdict = settle(front) => Event::Settled(verdict),
                () = &mut stopped => Event::Stopped,
                frame = read_frame(&mut self.stream, &mut self.reading, &self.memory), if may_read => Event::Frame(frame),
                () = &mut idle => Event::IdleTimer,
            };
            match event {
                Event::Settled(Verdict::Answer(response)) => {
                    if let Some(front) = self.pending.front_mut() {
                        front.answer = Answer::Ready(response);
                    }
                }
                Event::Settled(Verdict::Close(reason)) => return End::Refused(reason),
                Event::Stopped => return self.drain(End::Stopped, cut_off.as_mut()).await,
                Event::Frame(Err(end)) => return end,
                Event::Frame(Ok((frame, charge))) => {
                    self.last_active = self.runtime.now();
                    let bytes = frame.len();
                    let answer = match service.call(frame).await {
                        Reply::Now(response) => Answer::Ready(response),
                        Reply::Later(waiting) => Answer::Waiting(waiting),
                        Reply::Nothing => continue,
                        Reply::Close(reason) => {
                            // What was asked before is still answered.
                            return self.drain(End::Refused(reason), cut_off.as_mut()).await;
                        }
                    };
                    self.pending_bytes += bytes;
                    self.pending.push_back(Pending { answer, bytes, _charge: charge });
                }
                Event::IdleTimer => {
                    if std::mem::take(&mut self.reading.has_moved) {
                        // A long frame on a slow line: slow is not idle.
                        self.last_active = self.runtime.now();
                    }
                    let deadline = self.last_active.plus_millis(self.limits.idle_ms_max);
                    if self.pending.is_empty() && self.runtime.now() >= deadline {
                        return End::Idle;
                    }
                    idle = Box::pin(self.idle_timer());
                }
            }
        }
    }

    /// Answers what was asked before, as long as somebody listens, then ends. What comes meanwhile is thrown away: left
    /// unread it would make the system reset the connection, and with it answers still under way.
    async fn drain(
        mut self,
        end: End,
        mut cut_off: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> End {
        loop {
            if let Err(end) = self.write_ready(cut_off.as_mut()).await {
                return end;
            }
            if self.pending.is_empty() {
                return end;
            }
            let verdict = select! {
                verdict = settle(self.pending.front_mut()) => verdict,
                gone = hung_up(&mut self.stream) => return End::Gone(gone),
                () = cut_off.as_mut() => return end,
            };
            match verdict {
                Verdict::Answer(response) => {
                    if let Some(front) = self.pending.front_mut() {
                        front.answer = Answer::Ready(response);
                    }
                }
                Verdict::Close(reason) => return End::Refused(reason),
            }
        }
    }

    /// Writes what is ready at the front. A client that does not take its responses is not waited for longer than one that
    /// sends nothing, nor long beyond the node's stop.
    async fn write_ready(
        &mut self,
        mut cut_off: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<(), End> {
        while matches!(self.pending.front(), Some(Pending { answer: Answer::Ready(_), .. })) {
            let Some(Pending { answer: Answer::Ready(response), bytes, _charge }) =
                self.pending.pop_front()
            else {
                break;
            };
            self.pending_bytes -= bytes;
            let deadline = self.write_deadline();
            select! {
                written = write_response(&mut self.stream, response) => {
                    written.map_err(|error| End::Gone(Some(error)))?;
                }
                () = cut_off.as_mut() => return Err(End::Stopped),
                () = self.runtime.sleep_until(deadline) => return Err(End::Idle),
            }
            self.last_active = self.runtime.now();
        }
        Ok(())
    }

    fn write_deadline(&self) -> Instant {
        if self.limits.idle_ms_max < 0 {
            Instant::FAR
        } else {
            self.runtime.now().plus_millis(self.limits.idle_ms_max.max(1))
        }
    }

    fn idle_timer(&self) -> impl Future<Output = ()> + Send + 'static {
        let deadline = if self.limits.idle_ms_max < 0 {
            Instant::FAR
        } else {
            // While requests wait the connection is not idle: look again a whole interval later.
            let from = if self.pending.is_empty() { self.last_active } else { self.runtime.now() };
            from.plus_millis(self.limits.idle_ms_max.max(1))
        };
        self.runtime.sleep_until(deadline)
    }
}

enum Event<F> {
    Settled(Verdict<F>),
    Frame(Result<(Bytes, Charge), End>),
    IdleTimer,
    Stopped,
}

/// Ends some time after `stop`: whatever still waits then is given up.
async fn cut_off<R: Runtime>(runtime: R, stop: Stop) {
    stop.stopped().await;
    runtime.sleep(DRAIN_MAX).await;
}

/// Reads and throws away until the other end closes or the link breaks.
async fn hung_up<S: Stream>(stream: &mut S) -> Option<io::Error> {
    let mut scrap = [0; 1024];
    loop {
        match stream.read(&mut scrap).await {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => return Some(error),
        }
    }
}

/// The verdict over the oldest waiting request; never ends when nothing waits.
async fn settle<F>(front: Option<&mut Pending<F>>) -> Verdict<F> {
    match front {
        Some(Pending { answer: Answer::Waiting(waiting), .. }) => Pin::new(waiting).await,
        _ => std::future::pending().await,
    }
}

/// Reads one frame. May be dropped and called again: what was read is in `reading`.
async fn read_frame<S: Stream>(
    stream: &mut S,
    reading: &mut Reading,
    memory: &RequestMemory,
) -> Result<(Bytes, Charge), End> {
    loop {
        if !reading.frames.is_idle() && reading.charge.is_none() {
            reading.charge = Some(memory.admit().await);
        }
        let read = match reading.frames.target() {
            ReadTarget::Prefix(mut room) => stream.read_buf(&mut room).await,
            ReadTarget::Body(mut room) => stream.read_buf(&mut room).await,
        };
        let read = match read {
            Ok(0) if reading.frames.is_idle() => return Err(End::Gone(None)),
            Ok(0) => return Err(End::Gone(Some(io::ErrorKind::UnexpectedEof.into()))),
            Ok(read) => read,
            Err(error) => return Err(End::Gone(Some(error))),
        };
        reading.has_moved = true;
        if let Some(charge) = &mut reading.charge {
            charge.add(read);
        }
        let frame =
            reading.frames.advance(read).map_err(|error| End::Refused(error.to_string()))?;
        if let Some(frame) = frame {
            let charge = match reading.charge.take() {
                Some(charge) => charge,
                None => memory.admit().await,
            };
            return Ok((frame, charge));
        }
    }
}

/// Writes a whole response: runs of bytes in one vectored write, pieces of files by `sendfile`.
async fn write_response<S: Stream>(stream: &mut S, response: Response<S::File>) -> io::Result<()> {
    let mut run: Vec<Bytes> = Vec::new();
    for part in response.parts {
        match part {
            Part::Bytes(bytes) if bytes.is_empty() => {}
            Part::Bytes(bytes) => run.push(bytes),
            Part::File(slice) => {
                write_run(stream, &mut run).await?;
                stream.send_file(&slice.file, slice.position, slice.length).await?;
            }
        }
    }
    write_run(stream, &mut run).await?;
    stream.flush().await
}

async fn write_run<S: Stream>(stream: &mut S, run: &mut Vec<Bytes>) -> io::Result<()> {
    let mut first = 0;
    while first < run.len() {
        let slices: Vec<IoSlice<'_>> =
            run[first..].iter().take(64).map(|bytes| IoSlice::new(bytes)).collect();
        let mut written = stream.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while first < run.len() && written >= run[first].len() {
            written -= run[first].len();
            first += 1;
        }
        if written > 0 {
            run[first].advance(written);
        }
    }
    run.clear();
    Ok(())
}

#[cfg(test)]
mod tests;
