//! What surrounds a body: the header of requests and responses, by version, for both ends of a connection.
//!
//! Everything that is decoded passes [`decode_walked`], which walks before it decodes. Headers are read here without
//! the codec, which panics on short ones. Versions that are not served close the connection, except for
//! `ApiVersions`, whose refusal every client can read.
//!
//! Source: KIP-482 (header versions), KIP-511 (`ApiVersions` and its response header, always of version 0).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use thiserror::Error;

use super::api_table::{ListenerRole, api_row, api_row_by_number};
use super::frame::LENGTH_PREFIX_BYTES;
use super::schema::{Schema, request_schema, response_schema};
use super::schema_walk::{Malformed, Reason, walk, walk_tagged_fields};
use crate::model::ErrorCode;

/// Who asks for what: the part of a request that all APIs share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API.
    pub api_key: ApiKey,
    /// Its version, one that [`ApiRow::serves`](super::ApiRow::serves).
    pub version: i16,
    /// Comes back in the response.
    pub correlation_id: i32,
    /// What the client calls itself (`client.id`).
    pub client_id: Option<StrBytes>,
}

/// What a frame turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A request whose version is served; its body is what is left of the frame.
    Request(RequestHeader),
    /// `ApiVersions` in a version that is not served: the one request that is answered nevertheless, with
    /// [`unsupported_api_versions`], so that the client may try again (KIP-511).
    UnsupportedApiVersions {
        /// Comes back in the response.
        correlation_id: i32,
    },
}

/// Why a request cannot be answered. Kafka closes the connection: a response could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// No API has this number, or none that is served on this listener.
    #[error("api key {api_key} is not served on this listener")]
    UnknownApi {
        /// The number.
        api_key: i16,
    },
    /// The version is not served.
    #[error("version {version} of {api_key:?} is not served")]
    UnsupportedVersion {
        /// The API.
        api_key: ApiKey,
        /// The version asked for.
        version: i16,
    },
    /// The header itself is broken.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Why a body cannot be decoded. The connection has to be closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Its table does not allow it.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The codec refuses it after the walk: text that is not UTF-8.
    #[error("the codec refuses the message: {0}")]
    Codec(String),
}

/// Why a message cannot be encoded: we asked for what its version cannot say.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A field has a value that this version has no room for.
    #[error("the codec refuses to encode: {0}")]
    Codec(String),
    /// Longer than a frame can be.
    #[error("message of {0} bytes does not fit a frame")]
    TooLong(usize),
}

/// Reads the header at the head of `frame`, leaving the body, and judges API and version for a listener.
///
/// # Errors
///
/// When the connection has to be closed without an answer.
pub fn read_request_header(frame: &mut Bytes, role: ListenerRole) -> Result<Incoming, HeaderError> {
    if frame.len() < FIXED_HEADER_BYTES {
        return Err(Malformed { field: "request header", reason: Reason::EndsEarly }.into());
    }
    let number = frame.get_i16();
    let version = frame.get_i16();
    let correlation_id = frame.get_i32();
    let row = api_row_by_number(number).filter(|row| row.listeners.include(role));
    let row = row.ok_or(HeaderError::UnknownApi { api_key: number })?;
    if !row.serves(version) {
        return if row.key == ApiKey::ApiVersions {
            Ok(Incoming::UnsupportedApiVersions { correlation_id })
        } else {
            Err(HeaderError::UnsupportedVersion { api_key: row.key, version })
        };
    }
    let client_id = read_client_id(frame)?;
    if row.flexible_from.is_some_and(|from| version >= from) {
        frame.advance(walk_tagged_fields(frame)?);
    }
    Ok(Incoming::Request(RequestHeader { api_key: row.key, version, correlation_id, client_id }))
}

/// Key, version and correlation id.
const FIXED_HEADER_BYTES: usize = 8;

/// The client id has a plain length in all header versions, so that any broker can read it.
fn read_client_id(frame: &mut Bytes) -> Result<Option<StrBytes>, Malformed> {
    let at = |reason| Malformed { field: "client id", reason };
    let length = frame.try_get_i16().map_err(|_| at(Reason::EndsEarly))?;
    if length == -1 {
        return Ok(None);
    }
    let length =
        usize::try_from(length).map_err(|_| at(Reason::NegativeLength(i32::from(length))))?;
    if length > frame.len() {
        return Err(at(Reason::EndsEarly));
    }
    StrBytes::from_utf8(frame.split_to(length)).map(Some).map_err(|_| at(Reason::NotUtf8))
}

/// Decodes the body of a request, of which [`read_request_header`] has left nothing before it.
///
/// Bytes after the body are left and mean nothing, as in Kafka.
///
/// # Errors
///
/// When the body is malformed; nothing was decoded or allocated then.
pub fn decode_body<T: Request>(body: &mut Bytes, version: i16) -> Result<T, DecodeError> {
    decode_walked(request_schema(api_key_of::<T>()), body, version)
}

/// Decodes a whole response, header and body: the correlation id and what was answered.
///
/// `ApiVersions` in a version that the peer does not know is answered in version 0 with error 35; that is decoded so.
///
/// # Errors
///
/// When header or body are malformed.
pub fn decode_response<T: Request>(
    frame: &mut Bytes,
    version: i16,
) -> Result<(i32, T::Response), DecodeError> {
    let at = |reason| Malformed { field: "response header", reason };
    let correlation_id = frame.try_get_i32().map_err(|_| at(Reason::EndsEarly))?;
    if T::Response::header_version(version) >= 1 {
        frame.advance(walk_tagged_fields(frame)?);
    }
    let refusal = ErrorCode::UnsupportedVersion.code().to_be_bytes();
    let is_refused = api_key_of::<T>() == ApiKey::ApiVersions && frame.starts_with(&refusal);
    let version = if is_refused { 0 } else { version };
    let response = decode_walked(response_schema(api_key_of::<T>()), frame, version)?;
    Ok((correlation_id, response))
}

/// The correlation id of a response, before it is known what it answers. `None` when the frame is too short.
#[must_use]
pub fn peek_correlation_id(frame: &[u8]) -> Option<i32> {
    frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

/// Decodes a message that is not an API's, such as the metadata of a group member, from the head of `bytes`.
///
/// # Errors
///
/// When the message is malformed.
pub fn decode_walked<T: Decodable>(
    schema: &Schema,
    bytes: &mut Bytes,
    version: i16,
) -> Result<T, DecodeError> {
    walk(schema, version, bytes)?;
    T::decode(bytes, version).map_err(|error| DecodeError::Codec(error.to_string()))
}

/// Encodes a response as one frame: length, header, body.
///
/// # Errors
///
/// When the body says something that this version cannot.
pub fn encode_response<T: Encodable + HeaderVersion>(
    version: i16,
    correlation_id: i32,
    body: &T,
) -> Result<BytesMut, EncodeError> {
    let mut frame = start_frame(body, version)?;
    frame.put_i32(correlation_id);
    if T::header_version(version) >= 1 {
        frame.put_u8(NO_TAGS);
    }
    finish_frame(frame, body, version)
}

/// The answer to `ApiVersions` in a version that is not served: always in version 0, naming the versions that are.
///
/// # Errors
///
/// Never in practice; the codec's signature has errors.
pub fn unsupported_api_versions(correlation_id: i32) -> Result<BytesMut, EncodeError> {
    let row = api_row(ApiKey::ApiVersions);
    let own = row.map(|row| {
        ApiVersion::default()
            .with_api_key(row.key as i16)
            .with_min_version(row.advertised_min_version)
            .with_max_version(row.max_version)
    });
    let body = ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(own.into_iter().collect());
    encode_response(0, correlation_id, &body)
}

/// Encodes a request as one frame: length, header, body.
///
/// # Errors
///
/// When the body says something that this version cannot, or the client id is longer than 32767 bytes.
pub fn encode_request<T: Request>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    body: &T,
) -> Result<BytesMut, EncodeError> {
    let mut frame = start_frame(body, version)?;
    frame.put_i16(T::KEY);
    frame.put_i16(version);
    frame.put_i32(correlation_id);
    match client_id {
        Some(client_id) => {
            let length = i16::try_from(client_id.len());
            frame.put_i16(length.map_err(|_| EncodeError::TooLong(client_id.len()))?);
            frame.put_slice(client_id.as_bytes());
        }
        None => frame.put_i16(-1),
    }
    if T::header_version(version) >= 2 {
        frame.put_u8(NO_TAGS);
    }
    finish_frame(frame, body, version)
}

/// The tagged fields of every header that we write.
const NO_TAGS: u8 = 0;

/// Room for the length prefix and a header; more only costs a reallocation.
const HEADER_ROOM_BYTES: usize = 64;

fn start_frame<T: Encodable>(body: &T, version: i16) -> Result<BytesMut, EncodeError> {
    let body_bytes =
        body.compute_size(version).map_err(|error| EncodeError::Codec(error.to_string()))?;
    let mut frame = BytesMut::with_capacity(HEADER_ROOM_BYTES.saturating_add(body_bytes));
    frame.put_i32(0);
    Ok(frame)
}

fn finish_frame<T: Encodable>(
    mut frame: BytesMut,
    body: &T,
    version: i16,
) -> Result<BytesMut, EncodeError> {
    body.encode(&mut frame, version).map_err(|error| EncodeError::Codec(error.to_string()))?;
    let length = frame.len() - LENGTH_PREFIX_BYTES;
    let prefix = i32::try_from(length).map_err(|_| EncodeError::TooLong(length))?.to_be_bytes();
    frame[..LENGTH_PREFIX_BYTES].copy_from_slice(&prefix);
    Ok(frame)
}

fn api_key_of<T: Request>() -> ApiKey {
    ApiKey::try_from(T::KEY).expect("the codec's requests have the codec's keys")
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
    use kafka_protocol::messages::{
        ApiVersionsRequest, FetchResponse, HeartbeatRequest, HeartbeatResponse, MetadataRequest,
        MetadataResponse, ProduceRequest,
    };

    use super::*;

    fn read(frame: &'static [u8]) -> Result<Incoming, HeaderError> {
        read_request_header(&mut Bytes::from_static(frame), ListenerRole::Broker)
    }

    fn body_of(frame: &[u8]) -> Bytes {
        let length = i32::try_from(frame.len() - LENGTH_PREFIX_BYTES).unwrap();
        assert_eq!(frame[..LENGTH_PREFIX_BYTES], length.to_be_bytes());
        Bytes::copy_from_slice(&frame[LENGTH_PREFIX_BYTES..])
    }

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let sent = HeartbeatRequest::default().with_generation_id(7).with_group_instance_id(None);
        for version in [0, 3, 4] {
            let frame = encode_request(version, 42, Some("me"), &sent).unwrap();
            let mut frame = body_of(&frame);
            let header = read_request_header(&mut frame, ListenerRole::Broker).unwrap();
            let client_id = Some(StrBytes::from_static_str("me"));
            let expected = RequestHeader {
                api_key: ApiKey::Heartbeat,
                version,
                correlation_id: 42,
                client_id,
            };
            assert_eq!(header, Incoming::Request(expected));
            assert_eq!(
                decode_body::<HeartbeatRequest>(&mut frame, version).unwrap().generation_id,
                7
            );
            assert!(frame.is_empty());
        }
    }

    #[test]
    fn a_response_arrives_as_it_was_sent() {
        let sent = HeartbeatResponse::default().with_error_code(27);
        for version in [0, 3, 4] {
            let mut frame = body_of(&encode_response(version, 42, &sent).unwrap());
            assert_eq!(peek_correlation_id(&frame), Some(42));
            let (correlation_id, response) =
                decode_response::<HeartbeatRequest>(&mut frame, version).unwrap();
            assert_eq!((correlation_id, response.error_code), (42, 27));
        }
        assert_eq!(peek_correlation_id(&[0, 0, 0]), None);
    }

    #[test]
    fn only_api_versions_is_answered_in_a_version_that_is_not_served() {
        let refused = Ok(Incoming::UnsupportedApiVersions { correlation_id: 5 });
        assert_eq!(read(b"\x00\x12\x00\x64\x00\x00\x00\x05"), refused);
        assert_eq!(read(b"\x00\x12\xff\xff\x00\x00\x00\x05\xff\xff"), refused);
        let check = |frame, expected| assert_eq!(read(frame), Err(expected));
        let version = |api_key, version| HeaderError::UnsupportedVersion { api_key, version };
        check(b"\x00\x03\x7f\x03\x00\x00\x00\x05\xff\xff", version(ApiKey::Metadata, 0x7f03));
        check(b"\x00\x00\x00\x02\x00\x00\x00\x05\xff\xff", version(ApiKey::Produce, 2));
        check(b"\x00\x04\x00\x00\x00\x00\x00\x05\xff\xff", HeaderError::UnknownApi { api_key: 4 });
        check(b"\xff\xff\x00\x00\x00\x00\x00\x05\xff\xff", HeaderError::UnknownApi { api_key: -1 });
        let mut produce = Bytes::from_static(b"\x00\x00\x00\x03\x00\x00\x00\x05\xff\xff");
        let on_controller = read_request_header(&mut produce, ListenerRole::Controller);
        assert_eq!(on_controller, Err(HeaderError::UnknownApi { api_key: 0 }));
    }

    #[test]
    fn broken_headers_are_refused() {
        let check = |frame, field, reason| {
            assert_eq!(read(frame), Err(HeaderError::Malformed(Malformed { field, reason })));
        };
        check(b"", "request header", Reason::EndsEarly);
        check(b"\x00\x03\x00", "request header", Reason::EndsEarly);
        check(b"\x00\x03\x00\x00\x00\x00\x00\x05", "client id", Reason::EndsEarly);
        check(b"\x00\x03\x00\x00\x00\x00\x00\x05\x00\x02a", "client id", Reason::EndsEarly);
        check(b"\x00\x03\x00\x00\x00\x00\x00\x05\xff\xfe", "client id", Reason::NegativeLength(-2));
        check(b"\x00\x03\x00\x00\x00\x00\x00\x05\x00\x01\xff", "client id", Reason::NotUtf8);
        check(b"\x00\x03\x00\x09\x00\x00\x00\x05\xff\xff", "tagged fields", Reason::EndsEarly);
    }

    #[test]
    fn the_refusal_of_api_versions_has_kafkas_bytes() {
        let frame = unsupported_api_versions(5).unwrap();
        assert_eq!(&frame[..], b"\0\0\0\x10\0\0\0\x05\x00\x23\0\0\0\x01\x00\x12\x00\x00\x00\x04");
        // A client that asked in version 4 understands it.
        let (_, response) = decode_response::<ApiVersionsRequest>(&mut body_of(&frame), 4).unwrap();
        assert_eq!((response.error_code, response.api_keys[0].max_version), (35, 4));
    }

    #[test]
    fn the_header_of_api_versions_responses_never_has_tags() {
        let frame = encode_response(4, 5, &ApiVersionsResponse::default()).unwrap();
        let (correlation_id, _) =
            decode_response::<ApiVersionsRequest>(&mut body_of(&frame), 4).unwrap();
        assert_eq!(correlation_id, 5);
        assert_eq!(ApiVersionsResponse::header_version(4), 0);
    }

    #[test]
    fn tagged_fields_at_their_default_are_not_sent() {
        let partition = PartitionData::default().with_aborted_transactions(None);
        let topic = FetchableTopicResponse::default().with_partitions(vec![partition]);
        let frame =
            encode_response(12, 5, &FetchResponse::default().with_responses(vec![topic])).unwrap();
        // Length, header 5, throttle 4, error 2, session 4, one topic with an empty name and one partition of 36
        // bytes, then the tags of partition, topic and message: none.
        assert_eq!(frame.len(), 4 + 5 + 10 + 1 + 1 + 1 + 36 + 3);
    }

    #[test]
    fn hostile_bodies_are_refused_before_the_codec_sees_them() {
        let mut body = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
        assert!(matches!(
            decode_body::<MetadataRequest>(&mut body, 1),
            Err(DecodeError::Malformed(_))
        ));
        let mut frame = Bytes::from_static(&[0, 0, 0, 5, 0, 0x7f, 0xff, 0xff, 0xff, 0x0f]);
        assert!(matches!(
            decode_response::<MetadataRequest>(&mut frame, 12),
            Err(DecodeError::Malformed(_))
        ));
        let mut body = Bytes::from_static(&[0, 0, 0, 1, 0, 1, 0xff]);
        assert!(matches!(decode_body::<MetadataRequest>(&mut body, 1), Err(DecodeError::Codec(_))));
    }

    #[test]
    fn what_a_version_cannot_say_is_not_encoded() {
        let request = ProduceRequest::default().with_acks(1);
        assert!(matches!(encode_request(2, 1, None, &request), Err(EncodeError::Codec(_))));
        let long = "x".repeat(32_768);
        assert_eq!(encode_request(9, 1, Some(&long), &request), Err(EncodeError::TooLong(32_768)));
        assert!(matches!(
            encode_response(99, 1, &MetadataResponse::default()),
            Err(EncodeError::Codec(_))
        ));
    }

    #[test]
    fn records_of_a_request_are_slices_of_its_frame() {
        use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
        let partition =
            PartitionProduceData::default().with_records(Some(Bytes::from(vec![7; 1000])));
        let topic = TopicProduceData::default().with_partition_data(vec![partition]);
        let request =
            ProduceRequest::default().with_transactional_id(None).with_topic_data(vec![topic]);
        let mut frame = body_of(&encode_request(9, 1, None, &request).unwrap());
        let whole = frame.clone();
        read_request_header(&mut frame, ListenerRole::Broker).unwrap();
        let decoded = decode_body::<ProduceRequest>(&mut frame, 9).unwrap();
        let records = decoded.topic_data[0].partition_data[0].records.as_ref().unwrap();
        assert!(whole.as_ptr_range().contains(&records.as_ptr()), "no byte of records is copied");
    }
}
