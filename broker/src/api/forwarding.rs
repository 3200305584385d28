//! Requests that the controller decides, whichever broker a client sends them to. Source: KIP-590.
//!
//! While this process is the active controller its own handler answers. Else the request goes to the one that is, in an
//! envelope, byte for byte as it came, and the answer comes back the same way. While nobody is, it waits.

use std::time::Duration;

use bytes::Bytes;
use tracing::debug;

use super::active_controller::{LocalController, not_active};
use super::context::RequestContext;
use super::envelope::{seal, settle, with_length};
use super::reply::{Reply, Verdict};
use crate::client::Error;
use crate::environment::Runtime;
use crate::model::ErrorCode;
use crate::protocol::peek_correlation_id;

/// How long a request is kept while there is no controller, as in Kafka: about as long as clients wait.
const LIMIT: Duration = Duration::from_secs(60);

/// Has a request answered by the active controller; `frame` is the request with its header, `body` without.
pub(super) fn forward<R: Runtime>(
    context: RequestContext<R>,
    frame: Bytes,
    body: Bytes,
) -> Reply<R::File> {
    Reply::Later(Box::pin(async move {
        let services = &context.services;
        let deadline = services.runtime.now() + LIMIT;
        let mut retry = services.forwarding.retry(LIMIT);
        let envelope = seal(frame, context.peer.address.ip());
        loop {
            let error = if services.forwarding.is_local() {
                let verdict = settle(super::answer(context.clone(), body.clone()).await).await;
                if !context.controller.was_inactive() {
                    return verdict;
                }
                context.controller.forget();
                not_active()
            } else {
                match services.forwarding.forward(&envelope, deadline).await {
                    Ok(response) => {
                        let code = ErrorCode::from_code(response.error_code);
                        return match (code, response.response_data) {
                            (Some(ErrorCode::None), Some(data)) => unwrapped(&context, data),
                            // It cannot read what we can: the client must not believe that this cluster can.
                            (Some(ErrorCode::UnsupportedVersion), _) => {
                                Verdict::Close("the active controller cannot read it".to_owned())
                            }
                            (code, _) => {
                                debug!(?code, "an envelope was refused");
                                refused(context, body, ErrorCode::UnknownServerError).await
                            }
                        };
                    }
                    Err(error) => error,
                }
            };
            if let Err(error) = retry.after(error).await {
                debug!(%error, "a request could not be handed to the controller");
                let code = if matches!(error, Error::GaveUp { .. }) {
                    ErrorCode::RequestTimedOut
                } else {
                    ErrorCode::UnknownServerError
                };
                return refused(context, body, code).await;
            }
        }
    }))
}

/// The controller's answer, if it is one to this request.
fn unwrapped<R: Runtime>(context: &RequestContext<R>, data: Bytes) -> Verdict<R::File> {
    let is_ours = peek_correlation_id(&data) == Some(context.header.correlation_id);
    match with_length(data).filter(|_| is_ours) {
        Some(response) => Verdict::Answer(response),
        None => Verdict::Close("the active controller answered something else".to_owned()),
    }
}

/// The API's own words for a request that got no answer: its handler is told that the controller refused everything.
async fn refused<R: Runtime>(
    context: RequestContext<R>,
    body: Bytes,
    code: ErrorCode,
) -> Verdict<R::File> {
    let context = RequestContext { controller: LocalController::refusing(code), ..context };
    settle(super::answer(context, body).await).await
}
