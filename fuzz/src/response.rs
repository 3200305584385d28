//! Every response in every version, as a node or a tool reads it from another.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Request;
use ottla::model::ErrorCode;
use ottla::protocol::schema::response_schema;
use ottla::protocol::schema_walk::walk;
use ottla::protocol::{LENGTH_PREFIX_BYTES, decode_response, encode_response, peek_correlation_id};

use crate::for_api;
use crate::input::Input;
use crate::request::{chosen, encoded, every_version};

/// Judges one input: an API, its version, and a frame without its length.
///
/// # Panics
///
/// When what was decoded cannot be encoded, or is decoded to something else then.
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let (key, version) = chosen(&mut input);
    let frame = Bytes::copy_from_slice(input.0);
    for_api!(key, response(&frame, version));
}

fn response<T: Request>(frame: &Bytes, version: i16) {
    let Ok((correlation_id, response)) = decode_response::<T>(&mut frame.clone(), version) else {
        return;
    };
    assert_eq!(peek_correlation_id(frame), Some(correlation_id));
    let key = ApiKey::try_from(T::KEY).expect("the codec knows its keys");
    let refusal = ErrorCode::UnsupportedVersion.code().to_be_bytes();
    // The refusal of ApiVersions is in version 0, whatever was asked.
    let is_refusal = key == ApiKey::ApiVersions && frame[4..].starts_with(&refusal);
    let version = if is_refusal { 0 } else { version };
    let body = encoded(&response, version);
    assert_eq!(walk(response_schema(key), version, &body), Ok(body.len()));
    let again = encode_response(version, correlation_id, &response);
    let mut again = again.expect("what was decoded can be encoded").freeze();
    let mut again = again.split_off(LENGTH_PREFIX_BYTES);
    let (id, response) = decode_response::<T>(&mut again, version).expect("it was just encoded");
    assert_eq!(id, correlation_id);
    assert!(again.is_empty(), "{} bytes are left of what was encoded", again.len());
    // Bytes rather than values: a quota may be NaN.
    assert_eq!(encoded(&response, version), body);
}

fn default_frame<T: Request>(version: i16) -> Vec<u8>
where
    T::Response: Default,
{
    let frame = encode_response(version, 7, &T::Response::default());
    frame.map_or_else(|_| Vec::new(), |frame| frame[LENGTH_PREFIX_BYTES..].to_vec())
}

/// Inputs to begin with: the default of each response, in each version.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let seed = |((key, version), number): ((ApiKey, i16), u16)| {
        let frame = for_api!(key, default_frame(version));
        [&number.to_be_bytes()[..], &frame].concat()
    };
    every_version().zip(0..).map(seed).collect()
}
