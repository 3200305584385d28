//! Small translations that every request needs.

use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

/// Kafka's name of an API, for messages.
pub(super) fn api_name(key: i16) -> String {
    ApiKey::try_from(key).map_or_else(|()| format!("api {key}"), |key| format!("{key:?}"))
}

/// A string of the wire.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
