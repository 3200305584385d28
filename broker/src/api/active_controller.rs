//! Asking the controller: the one of this process while it is active, else the active one over the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kafka_protocol::messages::{EnvelopeRequest, EnvelopeResponse};
use kafka_protocol::protocol::Request as WireRequest;

use crate::client::{self, ControllerChannel, ControllerRequest, Retry};
use crate::controller::{self, Refusal};
use crate::environment::{Elapsed, Instant, Runtime, timeout};
use crate::model::ErrorCode;

/// A question to the controller that has a form on the wire; each lives in the file of its API, in both directions.
pub trait Remote: controller::Request + Clone + Sync {
    /// The request.
    type Wire: ControllerRequest<Response: Send> + Send + Sync;

    /// The question as another node's controller is asked it.
    fn to_wire(&self) -> Self::Wire;

    /// What that controller answered.
    ///
    /// # Errors
    ///
    /// [`Refusal`] of the whole request.
    fn outcome_of(
        &self,
        response: <Self::Wire as WireRequest>::Response,
    ) -> Result<Self::Outcome, Refusal>;
}

/// The active controller, wherever it is. Cheap to clone; clones share its connections.
#[derive(Clone)]
pub struct ActiveController<R: Runtime> {
    runtime: R,
    local: controller::Handle,
    is_local: Arc<dyn Fn() -> bool + Send + Sync>,
    channel: ControllerChannel<R>,
}

/// The pauses between attempts: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

impl<R: Runtime> ActiveController<R> {
    /// The controller of this process as long as `is_local` says so, and else the one that `channel` leads to.
    #[must_use]
    pub fn new(
        runtime: R,
        local: controller::Handle,
        is_local: impl Fn() -> bool + Send + Sync + 'static,
        channel: ControllerChannel<R>,
    ) -> Self {
        Self { runtime, local, is_local: Arc::new(is_local), channel }
    }

    /// The same controller over connections of its own, so that nobody else's questions are in the way.
    #[must_use]
    pub fn over(&self, channel: ControllerChannel<R>) -> Self {
        Self { channel, ..self.clone() }
    }

    /// True when this process holds itself for the active one.
    pub(super) fn is_local(&self) -> bool {
        (self.is_local)()
    }

    /// Asks, again and again while nobody is the active controller, for at most `limit`.
    ///
    /// # Errors
    ///
    /// The controller's refusal; `REQUEST_TIMED_OUT` at the limit: it may come true later all the same.
    pub async fn ask<Q: Remote>(
        &self,
        request: &Q,
        limit: Duration,
    ) -> Result<Q::Outcome, Refusal> {
        let deadline = self.runtime.now() + limit;
        let mut retry = self.retry(limit);
        loop {
            let error = if self.is_local() {
                let left = deadline.since(self.runtime.now());
                match timeout(&self.runtime, left, self.local.ask(request.clone())).await {
                    Ok(Ok(outcome)) => return Ok(outcome),
                    Ok(Err(controller::Error::Refused(refusal))) => return Err(refusal),
                    Ok(Err(controller::Error::NotController)) => not_active(),
                    Err(Elapsed) => return Err(ErrorCode::RequestTimedOut.into()),
                }
            } else {
                match self.channel.attempt(&request.to_wire(), deadline).await {
                    Ok(response) => return request.outcome_of(response),
                    Err(error) => error,
                }
            };
            retry.after(error).await.map_err(|error| refusal_of(&error))?;
        }
    }

    /// Hands a client's request to another node's controller, once.
    pub(super) async fn forward(
        &self,
        envelope: &EnvelopeRequest,
        deadline: Instant,
    ) -> Result<EnvelopeResponse, client::Error> {
        self.channel.attempt(envelope, deadline).await
    }

    /// Ends when a connection to another node's controller is lost that is not in use; never while there is none.
    pub async fn disconnected(&self) {
        self.channel.disconnected().await;
    }

    /// Pauses between attempts, for at most `limit`.
    pub(super) fn retry(&self, limit: Duration) -> Retry<R> {
        Retry::new(self.runtime.clone(), limit, PAUSES)
    }
}

/// This process leads the quorum, and its controller is not ready yet.
pub(super) fn not_active() -> client::Error {
    client::Error::NoLeader { what: "the metadata quorum".to_owned() }
}

/// The channel's failure in Kafka's words for the one who asked.
fn refusal_of(error: &client::Error) -> Refusal {
    let code = if matches!(error, client::Error::Unsupported { .. }) {
        ErrorCode::UnsupportedVersion
    } else if matches!(error, client::Error::GaveUp { .. }) {
        ErrorCode::RequestTimedOut
    } else {
        ErrorCode::UnknownServerError
    };
    Refusal::new(code, error.to_string())
}

/// A refusal off the wire; `Ok` for 0.
pub(super) fn check(code: i16, message: Option<&str>) -> Result<(), Refusal> {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => Ok(()),
        Some(code) => Err(Refusal { code, message: message.map(str::to_owned) }),
        None => {
            let message = format!("error code {code}, unknown to this node");
            Err(Refusal::new(ErrorCode::UnknownServerError, message))
        }
    }
}

/// This process's controller as one request of a client asks it: active or not.
#[derive(Clone)]
pub(super) struct LocalController {
    way: Way,
    was_inactive: Arc<AtomicBool>,
}

#[derive(Clone)]
enum Way {
    Handle(controller::Handle),
    /// Everything is refused with this code.
    Refused(ErrorCode),
}

impl LocalController {
    pub(super) fn new(handle: controller::Handle) -> Self {
        Self { way: Way::Handle(handle), was_inactive: Arc::default() }
    }

    /// One that refuses everything: how a handler is made to say, in its API's words, what befell its request elsewhere.
    pub(super) fn refusing(code: ErrorCode) -> Self {
        Self { way: Way::Refused(code), was_inactive: Arc::default() }
    }

    /// Asks; what this controller cannot decide because it is not the active one is remembered.
    pub(super) async fn ask<Q: controller::Request>(
        &self,
        request: Q,
    ) -> Result<Q::Outcome, Refusal> {
        let handle = match &self.way {
            Way::Handle(handle) => handle,
            Way::Refused(code) => return Err((*code).into()),
        };
        let answer = handle.ask(request).await;
        if matches!(answer, Err(controller::Error::NotController)) {
            self.was_inactive.store(true, Ordering::Relaxed);
        }
        answer.map_err(controller::Error::into_refusal)
    }

    /// Asks, and waits as long as the client wants to. What was asked may come true later all the same.
    pub(super) async fn ask_within<R: Runtime, Q: controller::Request>(
        &self,
        runtime: &R,
        request: Q,
        timeout_ms: i32,
    ) -> Result<Q::Outcome, Refusal> {
        let limit = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
        match timeout(runtime, limit, self.ask(request)).await {
            Ok(answer) => answer,
            Err(Elapsed) => Err(ErrorCode::RequestTimedOut.into()),
        }
    }

    /// Lets the next attempt begin anew.
    pub(super) fn forget(&self) {
        self.was_inactive.store(false, Ordering::Relaxed);
    }

    /// True once something was asked that only the active controller decides, and it was not this one.
    pub(super) fn was_inactive(&self) -> bool {
        self.was_inactive.load(Ordering::Relaxed)
    }
}
