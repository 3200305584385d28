use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::model::ErrorCode;

/// Where a broker listens, as a person writes it: `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// A name or a literal address, without brackets.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// Puts the two together.
    #[must_use]
    pub fn new(host: impl Into<Arc<str>>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Reads `host`, `host:port`, `[v6]:port`; Kafka's port 9092 when none is given. `None` when it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const DEFAULT_PORT: u16 = 9092;
        let text = text.trim();
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':').or(after.is_empty().then_some("9092"))?)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, port),
                None => return (!text.is_empty()).then(|| Self::new(text, DEFAULT_PORT)),
            }
        };
        if host.is_empty() {
            return None;
        }
        Some(Self::new(host, port.parse().ok()?))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why the client could not do what it was asked for. Cheap to clone: one failure may concern many records.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A broker's name could not be looked up, or nobody accepts connections there.
    #[error("cannot reach broker {broker}: {cause}")]
    Unreachable {
        /// Whom we dialled.
        broker: Endpoint,
        /// What the system said.
        cause: Arc<io::Error>,
    },
    /// None of the addresses we know answered.
    #[error("no broker answered; the last one tried said: {last}")]
    NoBroker {
        /// What the last attempt met.
        last: Box<Self>,
    },
    /// The connection ended while a request was under way: it may have been carried out.
    #[error("broker {broker} closed the connection{}", because(.cause.as_ref()))]
    Disconnected {
        /// The other end.
        broker: Endpoint,
        /// What the system said; `None` for an orderly end.
        cause: Option<Arc<io::Error>>,
    },
    /// Too many requests wait to be written to one connection: the broker takes them too slowly.
    #[error("too many requests wait for broker {broker}")]
    Busy {
        /// The broker.
        broker: Endpoint,
    },
    /// No answer in time: it may have been carried out.
    #[error("{what} was not answered by {broker} within {} ms", .after.as_millis())]
    TimedOut {
        /// What we waited for.
        what: String,
        /// Who did not answer.
        broker: Endpoint,
        /// How long we waited.
        after: Duration,
    },
    /// Tried again and again until the time for the whole task was up.
    #[error("gave up after {} ms; the last attempt said: {last}", .after.as_millis())]
    GaveUp {
        /// How long we tried.
        after: Duration,
        /// What the last attempt met.
        last: Box<Self>,
    },
    /// The broker sent bytes that are no Kafka.
    #[error("broker {broker} sent a malformed answer to {what}: {why}")]
    Malformed {
        /// Who sent it.
        broker: Endpoint,
        /// What it should have answered.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The broker and this client share no version of a request.
    #[error("broker {broker} does not support {what} in a version this client speaks")]
    Unsupported {
        /// The broker.
        broker: Endpoint,
        /// The request.
        what: String,
    },
    /// The broker answered with an error.
    #[error("{what}: {code}{}", because(.message.as_ref()))]
    Refused {
        /// What was asked, of what.
        what: String,
        /// Kafka's error.
        code: ErrorCode,
        /// The broker's own words.
        message: Option<String>,
    },
    /// A partition without a leader, or unknown to the cluster.
    #[error("{what} has no leader at present")]
    NoLeader {
        /// The partition.
        what: String,
    },
    /// What we were given cannot be sent.
    #[error("{why}")]
    Invalid {
        /// What is wrong with it.
        why: String,
    },
    /// A record batch from a broker cannot be read.
    #[error("{what} at offset {offset}: {why}")]
    Corrupt {
        /// The partition.
        what: String,
        /// The base offset of the batch.
        offset: i64,
        /// What is wrong with it.
        why: String,
    },
    /// The producer or consumer has been closed.
    #[error("closed")]
    Closed,
}

fn because<T: fmt::Display>(reason: Option<&T>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

impl Error {
    /// The broker's refusal of `what` by the number on the wire; `Ok` for 0.
    pub(super) fn check(
        what: impl FnOnce() -> String,
        code: i16,
        message: Option<&str>,
    ) -> Result<(), Self> {
        let Some(code_known) = ErrorCode::from_code(code) else {
            let message = Some(format!("error code {code}, unknown to this client"));
            return Err(Self::Refused {
                what: what(),
                code: ErrorCode::UnknownServerError,
                message,
            });
        };
        if code_known == ErrorCode::None {
            return Ok(());
        }
        Err(Self::Refused { what: what(), code: code_known, message: message.map(str::to_owned) })
    }

    /// Kafka's error, when a broker gave one, also as the last word of many attempts.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::GaveUp { last, .. } | Self::NoBroker { last } => last.code(),
            Self::Unreachable { .. }
            | Self::Busy { .. }
            | Self::Disconnected { .. }
            | Self::TimedOut { .. }
            | Self::Malformed { .. }
            | Self::Unsupported { .. }
            | Self::NoLeader { .. }
            | Self::Invalid { .. }
            | Self::Corrupt { .. }
            | Self::Closed => None,
        }
    }

    /// True when another attempt, perhaps at another broker, may succeed.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.is_retriable(),
            Self::Unreachable { .. }
            | Self::Busy { .. }
            | Self::NoBroker { .. }
            | Self::Disconnected { .. }
            | Self::TimedOut { .. }
            | Self::NoLeader { .. } => true,
            Self::GaveUp { .. }
            | Self::Malformed { .. }
            | Self::Unsupported { .. }
            | Self::Invalid { .. }
            | Self::Corrupt { .. }
            | Self::Closed => false,
        }
    }

    /// True when the broker may have done what this error says failed: only a later look can tell.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Disconnected { .. } | Self::TimedOut { .. } | Self::Malformed { .. } => true,
            Self::GaveUp { last, .. } => last.is_outcome_unknown(),
            Self::Refused { code, .. } => matches!(
                code,
                ErrorCode::RequestTimedOut
                    | ErrorCode::NotEnoughReplicasAfterAppend
                    | ErrorCode::UnknownServerError
                    | ErrorCode::NetworkException
                    | ErrorCode::NotLeaderOrFollower
                    // A sync that failed: the record may be in the log, and come back with it.
                    | ErrorCode::KafkaStorageError
            ),
            Self::Unreachable { .. }
            | Self::Busy { .. }
            | Self::NoBroker { .. }
            | Self::Unsupported { .. }
            | Self::NoLeader { .. }
            | Self::Invalid { .. }
            | Self::Corrupt { .. }
            | Self::Closed => false,
        }
    }

    /// True when nobody listens where the broker should be, although its machine answers: the process is not there.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Unreachable { cause, .. } if cause.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// What a person can do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoBroker { last } => last.advice(),
            Self::Unreachable { .. } => {
                "check that a broker runs there and that its advertised.listeners name an address this machine can reach"
            }
            Self::Disconnected { .. } => {
                "check that the port is a Kafka listener without TLS or SASL, and read the broker's log"
            }
            Self::TimedOut { .. } | Self::Busy { .. } => {
                "try again or raise the time-out if the broker is overloaded, cut off or paused; else check that it is Kafka's"
            }
            Self::GaveUp { last, .. } => last.advice(),
            Self::Malformed { .. } => "check that the port is a Kafka listener without TLS",
            Self::Unsupported { .. } => {
                "name a broker's port, not a controller's; or use a newer broker, or leave out the option that needs it"
            }
            Self::Refused { code, .. } => refusal_advice(*code),
            Self::NoLeader { .. } => {
                "wait for an election, or start the brokers that hold its replicas"
            }
            Self::Invalid { .. } => "correct the input",
            Self::Corrupt { .. } => "check the broker's disk; `ottla log dump` shows the batch",
            Self::Closed => "make a new one",
        }
    }
}

fn refusal_advice(code: ErrorCode) -> &'static str {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "most codes need no advice beyond their name"
    )]
    match code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
            "list what exists with `ottla topic list`"
        }
        ErrorCode::TopicAlreadyExists => "choose another name, or delete the old topic first",
        ErrorCode::InvalidReplicationFactor => "ask for no more replicas than there are brokers",
        ErrorCode::InvalidPartitions => {
            "ask for at least one partition; they can be added, never taken away"
        }
        ErrorCode::InvalidConfig => {
            "topics are configured as in Kafka: `ottla topic describe TOPIC --all-configs` shows every key and its value"
        }
        ErrorCode::InvalidTopicException => {
            "topic names hold letters, digits, dot, underscore and dash, at most 249"
        }
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
            "raise max.message.bytes of the topic, or send smaller records"
        }
        ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend => {
            "start more replicas, or lower min.insync.replicas"
        }
        ErrorCode::NonEmptyGroup => "stop the group's members first",
        ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
            "while a group has members only they commit for it: stop them first"
        }
        ErrorCode::GroupIdNotFound => "list what exists with `ottla group list`",
        ErrorCode::OffsetOutOfRange => "ask for an offset between the log's start and its end",
        ErrorCode::TopicAuthorizationFailed
        | ErrorCode::GroupAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed => {
            "ask the cluster's owner for the right to do this"
        }
        ErrorCode::RequestTimedOut => {
            "the cluster is slow or short of brokers: look whether it was done, then try again"
        }
        _ => "see the broker's log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Endpoint::parse(text).map(|e| e.to_string()).as_deref(), expected, "{text}");
        };
        check("localhost:9094", Some("localhost:9094"));
        check("localhost", Some("localhost:9092"));
        check("PLAINTEXT://kafka:1", Some("kafka:1"));
        check("[::1]:9093", Some("[::1]:9093"));
        check("[::1]", Some("[::1]:9092"));
        check("", None);
        check(":9092", None);
        check("a:b", None);
        check("a:70000", None);
    }

    #[test]
    fn a_refusal_carries_the_code_and_the_brokers_words() {
        assert!(Error::check(|| "x".into(), 0, None).is_ok());
        let error = Error::check(|| "create topic a".into(), 36, Some("it is there")).unwrap_err();
        assert_eq!(error.to_string(), "create topic a: TOPIC_ALREADY_EXISTS: it is there");
        assert_eq!(error.code(), Some(ErrorCode::TopicAlreadyExists));
        assert!(!error.is_retriable());
        let odd = Error::check(|| "x".into(), 999, None).unwrap_err();
        assert_eq!(odd.code(), Some(ErrorCode::UnknownServerError));
    }
}
