use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// Writes a uuid as Kafka does: 22 characters of URL-safe base64 without padding.
#[must_use]
pub fn uuid_to_text(uuid: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(uuid.as_bytes())
}

/// Reads a uuid from Kafka's 22-character text. `None` when the text is not one.
#[must_use]
pub fn uuid_from_text(text: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes()).ok()?;
    Uuid::from_slice(&bytes).ok()
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is; what is allowed is judged where it enters.
            #[must_use]
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! unique {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// All zero: "none" on the wire.
            pub const ZERO: Self = Self(Uuid::nil());

            /// Reads Kafka's 22-character text.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                uuid_from_text(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&uuid_to_text(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

number! {
    /// A node of the cluster: broker, controller or both (`node.id`).
    NodeId, i32
}
number! {
    /// One registration of a broker: the offset of its registration record. Source: KIP-631.
    BrokerEpoch, i64
}
number! {
    /// A partition of a topic, counted from zero.
    PartitionIndex, i32
}
number! {
    /// An idempotent or transactional producer. Source: KIP-98.
    ProducerId, i64
}
number! {
    /// Grows each time a producer id is taken over. Source: KIP-98.
    ProducerEpoch, i16
}
text! {
    /// The name of a topic.
    TopicName
}
text! {
    /// The name of a group.
    GroupId
}
text! {
    /// A member of a group.
    MemberId
}
text! {
    /// The cluster a node belongs to (`cluster.id`), 22 characters when we made it.
    ClusterId
}
unique! {
    /// A topic's identity: a topic deleted and made again gets another one. Source: KIP-516.
    TopicId
}
unique! {
    /// A log directory's identity (`directory.id`). Source: KIP-858.
    DirectoryId
}

/// One partition by the name of its topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition in it.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// Puts the two together.
    #[must_use]
    pub fn new(topic: impl Into<TopicName>, partition: i32) -> Self {
        Self { topic: topic.into(), partition: PartitionIndex(partition) }
    }
}

/// As Kafka names a partition's directory: `topic-0`.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
