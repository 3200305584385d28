use super::deciding::Refusal;
use crate::metadata::TopicsImage;
use crate::model::ErrorCode;

/// How long a topic's name may be, so that its directories' names fit a file system.
const NAME_BYTES_MAX: usize = 249;

/// The metadata log, which is no topic.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Judges the name of a topic to be made. Internal topics are made like any other.
///
/// # Errors
///
/// `TOPIC_ALREADY_EXISTS`, and `INVALID_TOPIC_EXCEPTION` when the name is not allowed or differs from another one's only
/// in `.` and `_`, which are the same in names of metrics; each in Kafka's words.
pub(super) fn check_new(name: &str, topics: &TopicsImage) -> Result<(), Refusal> {
    if name == CLUSTER_METADATA {
        let message = format!("Creation of internal topic {CLUSTER_METADATA} is prohibited.");
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    if topics.by_name(name).is_some() {
        let message = format!("Topic '{name}' already exists.");
        return Err(Refusal::new(ErrorCode::TopicAlreadyExists, message));
    }
    if let Some(other) = topics.colliding_with(name) {
        let message = format!("Topic '{name}' collides with existing topic: {other}");
        return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
    }
    match fault_of(name) {
        Some(fault) => {
            let message = format!("Topic name is invalid: {fault}");
            Err(Refusal::new(ErrorCode::InvalidTopicException, message))
        }
        None => Ok(()),
    }
}

/// Judges a name by itself: not empty, `.` or `..`, at most 249 characters of `[a-zA-Z0-9._-]`.
///
/// # Errors
///
/// What is wrong with it, in Kafka's words.
pub fn check_topic_name(name: &str) -> Result<(), String> {
    fault_of(name).map_or(Ok(()), Err)
}

fn fault_of(name: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    // Kafka counts UTF-16 units, which for what is allowed are bytes.
    let length = name.encode_utf16().count();
    if name.is_empty() {
        Some("the empty string is not allowed".to_owned())
    } else if name == "." || name == ".." {
        Some(format!("'{name}' is not allowed"))
    } else if length > NAME_BYTES_MAX {
        Some(format!(
            "the length of '{name}' is longer than the max allowed length {NAME_BYTES_MAX}"
        ))
    } else if !name.chars().all(is_allowed) {
        Some(format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ))
    } else {
        None
    }
}
