//! The way from a node to the active controller, wherever that is. Source: KIP-500, KIP-590, KIP-631.
//!
//! Who the controller is, is asked anew before each attempt, of a source given at the start: this module knows nothing of
//! the quorum. A lost connection, a `NOT_CONTROLLER` and a controller that has been replaced while it kept us waiting lead
//! to another attempt, until the caller's limit; what was asked may have been carried out then, or twice.
//!
//! A connection carries one request at a time, because a broker answers the requests of a connection one after the other:
//! what waits for a commit must not hold up what does not. Calls beyond [`ControllerChannelSettings::calls_max`] wait.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AlterPartitionRequest, AssignReplicasToDirsRequest,
    BrokerHeartbeatRequest, BrokerRegistrationRequest, ControllerRegistrationRequest,
    CreateTopicsRequest, EnvelopeRequest,
};
use kafka_protocol::protocol::Request;
use tokio::sync::Semaphore;

use super::connection::{Connection, ConnectionSettings};
use super::error::{Endpoint, Error};
use super::router::Retry;
use super::wire;
use crate::environment::{Instant, Runtime, select, timeout};
use crate::model::ErrorCode;

/// Who the active controller is, as far as this node knows: where its controller listener is reached.
pub type FindController = dyn Fn() -> Option<Endpoint> + Send + Sync;

/// A request that only the active controller answers.
pub trait ControllerRequest: Request {
    /// The newest version that we write.
    const NEWEST: i16;

    /// The error of the whole answer.
    fn error_code(response: &Self::Response) -> i16;
}

macro_rules! controller_requests {
    ($($request:ident $newest:literal),+ $(,)?) => {$(
        impl ControllerRequest for $request {
            const NEWEST: i16 = $newest;

            fn error_code(response: &Self::Response) -> i16 {
                response.error_code
            }
        }
    )+};
}

controller_requests! {
    AlterPartitionRequest 3,
    EnvelopeRequest 0,
    BrokerRegistrationRequest 4,
    BrokerHeartbeatRequest 1,
    AllocateProducerIdsRequest 0,
    ControllerRegistrationRequest 0,
    AssignReplicasToDirsRequest 0,
}

impl ControllerRequest for CreateTopicsRequest {
    const NEWEST: i16 = 7;

    /// There is no error of the whole: each topic has the same one then.
    fn error_code(response: &Self::Response) -> i16 {
        let not_controller = ErrorCode::NotController.code();
        let is_refused = response.topics.iter().any(|topic| topic.error_code == not_controller);
        if is_refused { not_controller } else { ErrorCode::None.code() }
    }
}

/// How a channel behaves; the names in parentheses are Kafka's.
#[derive(Clone, Debug)]
pub struct ControllerChannelSettings {
    /// Sent with every request (`client.id`).
    pub client_id: Arc<str>,
    /// The longest wait for one answer (`controller.socket.timeout.ms`).
    pub request_timeout: Duration,
    /// The longest wait for a connection (`socket.connection.setup.timeout.ms`).
    pub connect_timeout: Duration,
    /// The first pause between attempts; it doubles up to [`retry_backoff_max`](Self::retry_backoff_max).
    pub retry_backoff: Duration,
    /// The longest pause between attempts: how late a new controller may be found.
    pub retry_backoff_max: Duration,
    /// How many calls are under way at a time; others wait.
    pub calls_max: usize,
    /// The largest answer taken, in bytes.
    pub response_bytes_max: usize,
}

impl ControllerChannelSettings {
    /// Kafka's time-outs, one call at a time.
    #[must_use]
    pub fn new(client_id: impl Into<Arc<str>>) -> Self {
        Self {
            client_id: client_id.into(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            retry_backoff: Duration::from_millis(20),
            retry_backoff_max: Duration::from_millis(200),
            calls_max: 1,
            response_bytes_max: 64 << 20,
        }
    }
}

/// A way to the active controller; clones share its connections. Nothing is connected before it is needed.
#[derive(Clone)]
pub struct ControllerChannel<R: Runtime>(Arc<Inner<R>>);

struct Inner<R: Runtime> {
    runtime: R,
    find: Box<FindController>,
    settings: ControllerChannelSettings,
    permits: Semaphore,
    /// Connections that nobody uses, all to the controller that answered last.
    idle: Mutex<Vec<Connection<R>>>,
}

impl<R: Runtime> fmt::Debug for ControllerChannel<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControllerChannel")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> ControllerChannel<R> {
    /// A channel to whomever `find` names.
    #[must_use]
    pub fn new(
        runtime: R,
        find: impl Fn() -> Option<Endpoint> + Send + Sync + 'static,
        settings: ControllerChannelSettings,
    ) -> Self {
        let permits = Semaphore::new(settings.calls_max.max(1));
        let (find, idle) = (Box::new(find), Mutex::default());
        Self(Arc::new(Inner { runtime, find, settings, permits, idle }))
    }

    /// Asks the active controller, again and again while there is none or another, for at most `limit`.
    ///
    /// A caller that is dropped gives its connection up with its question.
    ///
    /// # Errors
    ///
    /// [`Error::GaveUp`] at the limit, with what the last attempt met; at once what another attempt cannot mend, such as
    /// [`Error::Malformed`]. Every other refusal of the controller is in the response.
    pub async fn call<Q: ControllerRequest>(
        &self,
        request: &Q,
        limit: Duration,
    ) -> Result<Q::Response, Error> {
        let Inner { runtime, settings, .. } = &*self.0;
        let deadline = runtime.now() + limit;
        let pauses = (settings.retry_backoff, settings.retry_backoff_max);
        let mut retry = Retry::new(runtime.clone(), limit, pauses);
        loop {
            match self.attempt(request, deadline).await {
                Ok(response) => return Ok(response),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Asks the active controller once; waits for its turn and for the answer until `deadline`.
    ///
    /// # Errors
    ///
    /// When nobody is known to be the controller, or not the one that was asked; as any request.
    pub async fn attempt<Q: ControllerRequest>(
        &self,
        request: &Q,
        deadline: Instant,
    ) -> Result<Q::Response, Error> {
        let Inner { runtime, find, settings, permits, idle } = &*self.0;
        let no_leader = || Error::NoLeader { what: "the metadata quorum".to_owned() };
        let controller = find().ok_or_else(no_leader)?;
        let busy = || Error::Busy { broker: controller.clone() };
        let left = || deadline.since(runtime.now());
        let permit = timeout(runtime, left(), permits.acquire()).await.map_err(|_| busy())?;
        let _permit = permit.map_err(|_| Error::Closed)?;
        let ask = async {
            let connection = self.connect(&controller, left()).await?;
            let version = connection.version_of::<Q>(Q::NEWEST)?;
            let after = left().min(settings.request_timeout);
            let response = connection.call_within(request, version, after).await?;
            Ok((connection, response))
        };
        let (connection, response) = select! {
            answer = ask => answer?,
            () = self.replaced(&controller) => {
                return Err(Error::Disconnected { broker: controller, cause: None });
            }
        };
        if Q::error_code(&response) == ErrorCode::NotController.code() {
            let what = format!("{} at {controller}", wire::api_name(Q::KEY));
            return Err(Error::Refused { what, code: ErrorCode::NotController, message: None });
        }
        lock(idle).push(connection);
        Ok(response)
    }

    /// Ends when a connection is lost that is kept for the next call; never while there is none.
    pub async fn disconnected(&self) {
        let kept = {
            let mut idle = lock(&self.0.idle);
            idle.retain(|kept| !kept.is_closed());
            idle.last().map(Connection::stop)
        };
        match kept {
            Some(stop) => stop.stopped().await,
            None => std::future::pending().await,
        }
    }

    /// An open connection to `controller`; those to others are closed.
    async fn connect(&self, controller: &Endpoint, left: Duration) -> Result<Connection<R>, Error> {
        let Inner { runtime, settings, idle, .. } = &*self.0;
        let open = {
            let mut idle = lock(idle);
            idle.retain(|open| open.broker() == controller && !open.is_closed());
            idle.pop()
        };
        if let Some(open) = open {
            return Ok(open);
        }
        let settings = ConnectionSettings {
            client_id: Arc::clone(&settings.client_id),
            // For the question of versions; calls bring their own.
            request_timeout: settings.request_timeout.min(left),
            connect_timeout: settings.connect_timeout.min(left),
            response_bytes_max: settings.response_bytes_max,
        };
        Connection::open(runtime.clone(), controller.clone(), settings).await
    }

    /// Ends once another is the controller: one that was cut off may keep us waiting long after the others have replaced it.
    async fn replaced(&self, controller: &Endpoint) {
        loop {
            self.0.runtime.sleep(REPLACED_CHECK).await;
            if (self.0.find)().is_some_and(|found| found != *controller) {
                return;
            }
        }
    }
}

/// How often a call that waits looks whether it waits for the right one.
const REPLACED_CHECK: Duration = Duration::from_millis(100);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
