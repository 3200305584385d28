use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::trace;

use super::connection::Service;
use crate::api::{Peer, Reply, RequestContext, Response, Services, handle};
use crate::environment::Runtime;
use crate::protocol::{Incoming, read_request_header, unsupported_api_versions};

/// Finds out what a frame asks and hands it to its handler.
pub(super) struct Dispatch<R: Runtime> {
    services: Arc<Services<R>>,
    peer: Arc<Peer>,
}

impl<R: Runtime> Dispatch<R> {
    pub(super) fn new(services: Arc<Services<R>>, peer: Peer) -> Self {
        Self { services, peer: Arc::new(peer) }
    }
}

impl<R: Runtime> Service<R> for Dispatch<R> {
    async fn call(&self, mut frame: Bytes) -> Reply<R::File> {
        let whole = frame.clone();
        match read_request_header(&mut frame, self.peer.role) {
            Ok(Incoming::Request(header)) => {
                trace!(peer = %self.peer.address, api = ?header.api_key, version = header.version, header.correlation_id, "request");
                let (services, peer) = (Arc::clone(&self.services), Arc::clone(&self.peer));
                if services.runtime.buggify("server.slow_request") {
                    services.runtime.sleep(Duration::from_millis(200)).await;
                }
                handle(RequestContext::new(services, peer, header), whole, frame).await
            }
            Ok(Incoming::UnsupportedApiVersions { correlation_id }) => {
                match unsupported_api_versions(correlation_id) {
                    Ok(frame) => Reply::Now(Response::of(frame.freeze())),
                    Err(error) => Reply::Close(error.to_string()),
                }
            }
            Err(error) => Reply::Close(error.to_string()),
        }
    }
}
