use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes as text, for places where any byte must survive.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of a text, if it is one.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
