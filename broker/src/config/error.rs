use std::fmt;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a file.
    File {
        /// The file's name, as it was given.
        name: String,
        /// Counted from one.
        line: usize,
    },
    /// A `key=value` beside the file.
    Override,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Override => f.write_str("--override"),
        }
    }
}

/// Why a node does not start with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A line that is not one of a properties file.
    #[error("{place}: {reason}")]
    Syntax {
        /// The line.
        place: Place,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A key that Kafka does not know.
    #[error("{place}: unknown key {key}{}", suggest(*.suggestion))]
    UnknownKey {
        /// Where it stands.
        place: Place,
        /// The key.
        key: String,
        /// The known key most like it, if one is like it.
        suggestion: Option<&'static str>,
    },
    /// A value that its key does not allow.
    #[error("{place}: {message}")]
    InvalidValue {
        /// Where it stands.
        place: Place,
        /// The key.
        key: String,
        /// Kafka's sentence about it.
        message: String,
    },
    /// A key that must be set and is not.
    #[error("Missing required configuration \"{key}\" which has no default value.")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// Values that do not go together.
    #[error("{0}")]
    Conflict(String),
}

fn suggest(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(", did you mean {name}?"))
}
