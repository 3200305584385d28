//! Envelope: a client's request that another broker hands on to the controller, and its answer. Source: KIP-590.
//!
//! What is inside was written by somebody else's client: it is judged like any request, by its table, before it is
//! decoded; and only an API that brokers hand on may be inside, so never another envelope.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use kafka_protocol::messages::{DefaultPrincipalData, EnvelopeRequest, EnvelopeResponse};
use kafka_protocol::protocol::{Encodable, StrBytes};

use super::context::{Peer, RequestContext};
use super::reply::{Outcome, Part, Reply, Response, Verdict};
use crate::environment::Runtime;
use crate::model::ErrorCode;
use crate::protocol::schema::DEFAULT_PRINCIPAL_DATA;
use crate::protocol::{
    Incoming, LENGTH_PREFIX_BYTES, ListenerRole, api_row_by_number, decode_walked,
    read_request_header,
};

pub(super) fn handle<R: Runtime>(
    context: &RequestContext<R>,
    request: EnvelopeRequest,
) -> Outcome<EnvelopeResponse> {
    match open(context, request) {
        Ok((inside, body)) => Outcome::Later(respond(inside, body)),
        Err(code) => Outcome::Now(refused(code)),
    }
}

fn refused(code: ErrorCode) -> EnvelopeResponse {
    EnvelopeResponse::default().with_response_data(None).with_error_code(code.code())
}

/// The request inside, as if its client had come to us; what is structurally wrong with it is "unsupported", as in Kafka.
fn open<R: Runtime>(
    context: &RequestContext<R>,
    request: EnvelopeRequest,
) -> Result<(RequestContext<R>, Bytes), ErrorCode> {
    check_principal(request.request_principal)?;
    let address = address_of(&request.client_host_address).ok_or(ErrorCode::InvalidRequest)?;
    let mut body = request.request_data;
    let key = body.get(..2).and_then(|bytes| bytes.try_into().ok()).map(i16::from_be_bytes);
    let row = key.and_then(api_row_by_number).ok_or(ErrorCode::UnsupportedVersion)?;
    if !row.is_forwarded {
        return Err(ErrorCode::InvalidRequest);
    }
    let Ok(Incoming::Request(header)) = read_request_header(&mut body, ListenerRole::Controller)
    else {
        return Err(ErrorCode::UnsupportedVersion);
    };
    let peer = Peer { address: SocketAddr::new(address, 0), ..Peer::clone(&context.peer) };
    let services = Arc::clone(&context.services);
    Ok((RequestContext::new(services, Arc::new(peer), header), body))
}

/// Boxed, because what is inside is answered by the function that has called us.
fn respond<R: Runtime>(
    inside: RequestContext<R>,
    body: Bytes,
) -> BoxFuture<'static, EnvelopeResponse> {
    Box::pin(async move {
        let controller = inside.controller.clone();
        let verdict = settle(super::answer(inside, body).await).await;
        if controller.was_inactive() {
            return refused(ErrorCode::NotController);
        }
        match verdict {
            Verdict::Answer(response) => match without_length(response) {
                Some(data) => EnvelopeResponse::default().with_response_data(Some(data)),
                None => refused(ErrorCode::UnknownServerError),
            },
            Verdict::Close(_) => refused(ErrorCode::UnsupportedVersion),
        }
    })
}

/// Waits for what a handler has promised.
pub(super) async fn settle<F>(reply: Reply<F>) -> Verdict<F> {
    match reply {
        Reply::Now(response) => Verdict::Answer(response),
        Reply::Later(waiting) => waiting.await,
        Reply::Nothing => Verdict::Close("a request without an answer is not handed on".to_owned()),
        Reply::Close(reason) => Verdict::Close(reason),
    }
}

/// Header and body of a response; `None` when a part of it is in a file, which no such API has.
fn without_length<F>(response: Response<F>) -> Option<Bytes> {
    let mut data = BytesMut::new();
    for part in response.parts {
        match part {
            Part::Bytes(bytes) => data.extend_from_slice(&bytes),
            Part::File(_) => return None,
        }
    }
    (data.len() >= LENGTH_PREFIX_BYTES).then(|| {
        data.advance(LENGTH_PREFIX_BYTES);
        data.freeze()
    })
}

/// A response of another node as it goes to our client; `None` when it is longer than a frame can be.
pub(super) fn with_length<F>(data: Bytes) -> Option<Response<F>> {
    let length = i32::try_from(data.len()).ok()?;
    let prefix = Bytes::copy_from_slice(&length.to_be_bytes());
    Some(Response { parts: vec![Part::Bytes(prefix), Part::Bytes(data)] })
}

/// An envelope around a client's request, header and all.
pub(super) fn seal(frame: Bytes, client: IpAddr) -> EnvelopeRequest {
    let address = match client.to_canonical() {
        IpAddr::V4(address) => Bytes::copy_from_slice(&address.octets()),
        IpAddr::V6(address) => Bytes::copy_from_slice(&address.octets()),
    };
    EnvelopeRequest::default()
        .with_request_data(frame)
        .with_request_principal(Some(anonymous()))
        .with_client_host_address(address)
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Kafka's principal of whoever has not said who it is, behind its version. Nobody can say so here yet.
fn anonymous() -> Bytes {
    let principal = DefaultPrincipalData::default()
        .with_type(StrBytes::from_static_str("User"))
        .with_name(StrBytes::from_static_str("ANONYMOUS"));
    let mut bytes = BytesMut::new();
    bytes.put_i16(PRINCIPAL_VERSION);
    principal.encode(&mut bytes, PRINCIPAL_VERSION).expect("two short words are encoded");
    bytes.freeze()
}

const PRINCIPAL_VERSION: i16 = 0;

/// Whoever it names may do everything; but it has to name somebody.
fn check_principal(principal: Option<Bytes>) -> Result<(), ErrorCode> {
    let failure = ErrorCode::PrincipalDeserializationFailure;
    let mut bytes = principal.ok_or(failure)?;
    if bytes.try_get_i16() != Ok(PRINCIPAL_VERSION) {
        return Err(failure);
    }
    let read: Result<DefaultPrincipalData, _> =
        decode_walked(&DEFAULT_PRINCIPAL_DATA, &mut bytes, PRINCIPAL_VERSION);
    read.map(drop).map_err(|_| failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_found_again() {
        for address in ["10.0.0.1", "::1", "2001:db8::1"] {
            let address: IpAddr = address.parse().unwrap();
            let sealed = seal(Bytes::from_static(b"frame"), address);
            assert_eq!(sealed.request_data, Bytes::from_static(b"frame"));
            assert_eq!(address_of(&sealed.client_host_address), Some(address));
            assert_eq!(check_principal(sealed.request_principal), Ok(()));
        }
    }

    #[test]
    fn the_principal_is_the_bytes_that_kafka_writes() {
        assert_eq!(anonymous(), Bytes::from_static(b"\0\0\x05User\x0aANONYMOUS\0\0"));
    }

    #[test]
    fn an_address_has_four_bytes_or_sixteen() {
        for length in (0..40).filter(|length| ![4, 16].contains(length)) {
            assert_eq!(address_of(&vec![1; length]), None);
        }
    }

    #[test]
    fn a_principal_that_is_none_is_refused() {
        let failure = Err(ErrorCode::PrincipalDeserializationFailure);
        assert_eq!(check_principal(None), failure);
        let whole = anonymous();
        for end in 0..whole.len() {
            assert_eq!(check_principal(Some(whole.slice(..end))), failure, "{end} bytes");
        }
        assert_eq!(check_principal(Some(Bytes::from_static(b"\0\x01\x01\x01\0\0"))), failure);
    }
}
