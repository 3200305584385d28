//! Connections to the other nodes of the quorum: one to each, one task to each.
//!
//! A peer may be gone, slow, silent or talk nonsense. Each request has a deadline; a connection that missed one is closed,
//! and the next is opened after a pause that doubles. Nothing queues: while a peer cannot be reached the newest request
//! takes the place of an older one, of which the machine wants to hear no more anyway.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tracing::{debug, info, warn};

use super::ready::{Message, Request, RequestId};
use super::voters::Endpoint;
use super::wire::{self, Answered, Answering, AskError, Limits};
use crate::client::{self, Connection, ConnectionSettings};
use crate::environment::{Instant, Runtime, Stopper, select};
use crate::model::NodeId;

/// Requests of one connection whose answers are still to come. The machine keeps one under way; those are more only after
/// it has changed its mind.
const PENDING_MAX: usize = 8;

/// The first and the longest pause before a connection is tried again.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// The largest answer: a fetch gives at least one batch, however large that is.
const RESPONSE_BYTES_MAX: usize = 32 << 20;

/// What the driver hears from the network: a message, and the bytes that came with it.
pub(super) struct Heard {
    pub(super) message: Message,
    pub(super) bytes: Bytes,
}

/// All peers.
pub(super) struct Peers<R: Runtime> {
    runtime: R,
    line: Line,
    inbox: mpsc::Sender<Heard>,
    peers: BTreeMap<NodeId, Peer>,
}

/// How peers are spoken to.
#[derive(Clone)]
pub(super) struct Line {
    /// The listener by which controllers are reached.
    pub(super) listener: Arc<str>,
    pub(super) limits: Limits,
    pub(super) request_timeout: Duration,
}

/// A peer as the driver has it; when it is dropped the connection is closed.
struct Peer {
    letter_box: Arc<LetterBox>,
    stopper: Stopper,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stopper.pull();
    }
}

/// The newest request that is not under way.
#[derive(Default)]
struct LetterBox {
    newest: Mutex<Option<Letter>>,
    came: Notify,
}

struct Letter {
    id: RequestId,
    request: Request,
    to: client::Endpoint,
    deadline: Instant,
}

impl LetterBox {
    fn put(&self, letter: Letter) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(letter);
        self.came.notify_one();
    }

    fn take(&self) -> Option<Letter> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_full(&self) -> bool {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    async fn next(&self) -> Letter {
        loop {
            if let Some(letter) = self.take() {
                return letter;
            }
            self.came.notified().await;
        }
    }
}

impl<R: Runtime> Peers<R> {
    pub(super) const fn new(runtime: R, line: Line, inbox: mpsc::Sender<Heard>) -> Self {
        Self { runtime, line, inbox, peers: BTreeMap::new() }
    }

    /// Sends a request; what becomes of it is heard later.
    pub(super) fn send(
        &mut self,
        node: NodeId,
        endpoint: &Endpoint,
        id: RequestId,
        request: Request,
    ) {
        let to = client::Endpoint::new(endpoint.host.as_str(), endpoint.port);
        let deadline = self.runtime.now() + self.line.request_timeout;
        let peer = self.peers.entry(node).or_insert_with(|| {
            let letter_box = Arc::new(LetterBox::default());
            let stopper = Stopper::new();
            let talk = Talk {
                runtime: self.runtime.clone(),
                line: self.line.clone(),
                node,
                letter_box: Arc::clone(&letter_box),
                inbox: self.inbox.clone(),
                connection: None,
                pending: VecDeque::new(),
                next_attempt: Instant::default(),
                pause: RECONNECT.0,
                is_reachable: true,
            };
            let dropped = stopper.stop();
            self.runtime.spawn("quorum peer", async move {
                select! {
                    () = dropped.stopped() => {}
                    () = talk.run() => {}
                }
            });
            Peer { letter_box, stopper }
        });
        peer.letter_box.put(Letter { id, request, to, deadline });
    }

    /// Parts with those that are spoken to no more.
    pub(super) fn retain(&mut self, is_needed: impl Fn(NodeId) -> bool) {
        self.peers.retain(|node, _| is_needed(*node));
    }
}

/// The task of one peer.
struct Talk<R: Runtime> {
    runtime: R,
    line: Line,
    node: NodeId,
    letter_box: Arc<LetterBox>,
    inbox: mpsc::Sender<Heard>,
    connection: Option<(client::Endpoint, Connection<R>)>,
    /// In the order in which they were sent, which is the order of their answers.
    pending: VecDeque<(RequestId, Answering)>,
    next_attempt: Instant,
    pause: Duration,
    /// What was last told to people.
    is_reachable: bool,
}

impl<R: Runtime> Talk<R> {
    async fn run(mut self) {
        loop {
            let may_send = self.pending.len() < PENDING_MAX;
            let front = self.pending.front_mut();
            select! {
                answer = settle(front) => {
                    if let Some((id, _)) = self.pending.pop_front() && !self.tell(id, answer).await {
                        return;
                    }
                }
                letter = self.letter_box.next(), if may_send => {
                    let id = letter.id;
                    match self.post(letter).await {
                        Ok(Some(answer)) => self.pending.push_back((id, answer)),
                        Ok(None) => {}
                        Err(error) => {
                            if !self.tell(id, Err(error)).await {
                                return;
                            }
                        }
                    }
                }
            }
        }
    }

    /// Tells the driver; false when it is gone.
    async fn tell(&mut self, id: RequestId, answer: Result<Answered, AskError>) -> bool {
        let heard = match answer {
            Ok((response, bytes)) => {
                self.pause = RECONNECT.0;
                if !self.is_reachable {
                    info!(node = self.node.0, "a node of the metadata quorum answers again");
                    self.is_reachable = true;
                }
                Heard { message: Message::Response(id, response), bytes }
            }
            Err(error) => {
                if self.is_reachable {
                    warn!(node = self.node.0, %error, "a node of the metadata quorum does not answer");
                    self.is_reachable = false;
                } else {
                    debug!(node = self.node.0, %error, "no answer");
                }
                let is_refused = error.is_refused();
                let message = if is_refused { Message::Refused(id) } else { Message::Failed(id) };
                Heard { message, bytes: Bytes::new() }
            }
        };
        self.inbox.send(heard).await.is_ok()
    }

    /// Puts a request under way; `None` when a newer one has taken its place.
    async fn post(&mut self, letter: Letter) -> Result<Option<Answering>, AskError> {
        let is_usable = |(to, connection): &(client::Endpoint, Connection<R>)| {
            *to == letter.to && !connection.is_closed()
        };
        if !self.connection.as_ref().is_some_and(is_usable) {
            self.connection = None;
            self.runtime.sleep_until(self.next_attempt).await;
            let opened = open(self.runtime.clone(), &self.line, letter.to.clone()).await;
            let now = self.runtime.now();
            match opened {
                Ok(connection) => self.connection = Some((letter.to.clone(), connection)),
                Err(error) => {
                    self.next_attempt = now + self.pause;
                    self.pause = (self.pause * 2).min(RECONNECT.1);
                    return Err(error);
                }
            }
            // A connection that is accepted and then closed must not be opened over and over.
            self.next_attempt = now + self.pause;
        }
        if self.letter_box.is_full() {
            return Ok(None);
        }
        let Some((_, connection)) = &self.connection else { return Ok(None) };
        let now = self.runtime.now();
        if now >= letter.deadline {
            return Err(AskError::Late);
        }
        let Line { listener, limits, .. } = &self.line;
        let left = letter.deadline.since(now);
        wire::begin(connection, letter.request, *limits, listener, left).await.map(Some)
    }
}

async fn open<R: Runtime>(
    runtime: R,
    line: &Line,
    to: client::Endpoint,
) -> Result<Connection<R>, AskError> {
    let settings = ConnectionSettings {
        client_id: Arc::from("ottla-quorum"),
        request_timeout: line.request_timeout,
        connect_timeout: line.request_timeout,
        response_bytes_max: RESPONSE_BYTES_MAX,
    };
    Ok(Connection::open(runtime, to, settings).await?)
}

async fn settle(front: Option<&mut (RequestId, Answering)>) -> Result<Answered, AskError> {
    match front {
        Some((_, answer)) => answer.await,
        None => std::future::pending().await,
    }
}
