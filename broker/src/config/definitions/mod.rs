//! The table: every key that Kafka 4.4 knows, with its type, default, allowed values and meaning.

use std::fmt;

use super::value::Value;

mod node_keys;
mod other_keys;
mod topic_keys;
mod group_keys;
mod removed_keys;

/// The type of a key, as Kafka names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// A floating point number.
    Double,
    /// Texts separated by commas.
    List,
    /// The name of a Java class.
    Class,
    /// A text that is never shown.
    Password,
}

impl Kind {
    /// The number `DescribeConfigs` gives this type. Source: KIP-569.
    #[must_use]
    pub const fn id(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        })
    }
}

/// The value of a key that nobody sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// None: the key must be set.
    Required,
    /// Null: something else decides, as the meaning of the key says.
    Null,
    /// This text.
    Text(&'static str),
}

/// Which values of its type a key may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowed {
    /// All.
    Any,
    /// Numbers from this one on.
    AtLeast(i64),
    /// Numbers from the first to the second.
    Between(i64, i64),
    /// Floating point numbers from the first to the second.
    Share(f64, f64),
    /// One of these texts; of a list, each element.
    OneOf(&'static [&'static str]),
    /// One of these texts in upper or lower case.
    OneOfAnyCase(&'static [&'static str]),
    /// Not the empty text.
    NonEmpty,
    /// A level of gzip: 1 to 9, or -1.
    GzipLevel,
    /// `*`, or pairs `partition:broker`.
    ThrottledReplicas,
    /// Where a share group begins.
    OffsetReset,
}

/// How a key of a node may change while the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Not at all.
    ReadOnly,
    /// For one broker.
    PerBroker,
    /// For one broker or for all.
    ClusterWide,
}

/// What this program does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It acts as in Kafka.
    Honoured,
    /// It is known and checked, and has no effect here.
    Accepted,
}

/// Whether a key is described when nobody set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Always.
    Shown,
    /// Only when set: Kafka's internal keys.
    Hidden,
}

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Definition {
    /// Kafka's name.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The value when not set.
    pub default: DefaultValue,
    /// The values it may have.
    pub allowed: Allowed,
    /// How it may change.
    pub update: Update,
    /// What is done with it.
    pub support: Support,
    /// Whether it is always described.
    pub visibility: Visibility,
    /// What it means, in one sentence.
    pub doc: &'static str,
}

impl Definition {
    /// True when the value must not be shown.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// The default as a value; null when there is none.
    ///
    /// # Panics
    ///
    /// When the table's own default is not allowed by the table, which a test excludes.
    #[must_use]
    pub fn default_value(&self) -> Value {
        match self.default {
            DefaultValue::Required | DefaultValue::Null => Value::Null,
            DefaultValue::Text(text) => {
                Value::parse(self.kind, text).expect("the defaults of the table are of their types")
            }
        }
    }
}

/// Makes a table of definitions. A row is: name type default, allowed values, update support visibility, meaning.
macro_rules! rows {
    ($(#[$meta:meta])* $visibility:vis static $table:ident;
     $($name:literal $kind:ident $default:tt, $allowed:expr, $update:ident $support:ident $shown:ident, $doc:literal;)+) => {
        $(#[$meta])*
        $visibility static $table: &[super::Definition] = {
            #[allow(unused_imports, clippy::allow_attributes, reason = "not every table has every kind of range")]
            use super::Allowed::{
                Any, AtLeast, Between, GzipLevel, NonEmpty, OffsetReset, OneOf, OneOfAnyCase, Share, ThrottledReplicas,
            };
            &[$(super::Definition {
                name: $name,
                kind: super::Kind::$kind,
                default: super::rows!(@default $default),
                allowed: $allowed,
                update: super::Update::$update,
                support: super::Support::$support,
                visibility: super::Visibility::$shown,
                doc: $doc,
            }),+]
        };
    };
    (@default null) => { super::DefaultValue::Null };
    (@default required) => { super::DefaultValue::Required };
    (@default $text:literal) => { super::DefaultValue::Text($text) };
}
use rows;

/// Every key of a node, in order of name within each of two tables.
pub fn node_keys() -> impl Iterator<Item = &'static Definition> {
    node_keys::NODE.iter().chain(other_keys::OTHER)
}

/// Every key of a topic, in order of name.
pub fn topic_keys() -> impl Iterator<Item = &'static Definition> {
    topic_keys::TOPIC.iter()
}

/// Every key of a group, in order of name.
pub fn group_keys() -> impl Iterator<Item = &'static Definition> {
    group_keys::GROUP.iter()
}

/// The key of a node with this name.
#[must_use]
pub fn node_key(name: &str) -> Option<&'static Definition> {
    find(node_keys::NODE, name).or_else(|| find(other_keys::OTHER, name))
}

/// The key of a topic with this name.
#[must_use]
pub fn topic_key(name: &str) -> Option<&'static Definition> {
    find(topic_keys::TOPIC, name)
}

/// The key of a group with this name.
#[must_use]
pub fn group_key(name: &str) -> Option<&'static Definition> {
    find(group_keys::GROUP, name)
}

/// True for a key that some Kafka once had and 4.4 no longer reads: it is let pass, as there.
#[must_use]
pub fn is_removed_key(name: &str) -> bool {
    removed_keys::REMOVED.contains(&name) || name.starts_with("zookeeper.")
}

fn find(table: &'static [Definition], name: &str) -> Option<&'static Definition> {
    table.binary_search_by(|row| row.name.cmp(name)).ok().and_then(|index| table.get(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> [&'static [Definition]; 4] {
        [node_keys::NODE, other_keys::OTHER, topic_keys::TOPIC, group_keys::GROUP]
    }

    #[test]
    fn tables_stand_in_order_so_that_every_key_is_found() {
        for table in tables() {
            assert!(table.is_sorted_by(|left, right| left.name < right.name));
        }
        assert!(node_keys().all(|key| node_key(key.name) == Some(key)));
        assert!(topic_keys().all(|key| topic_key(key.name) == Some(key)));
        assert!(group_keys().all(|key| group_key(key.name) == Some(key)));
        assert_eq!(node_key("no.such.key"), None);
    }

    #[test]
    fn defaults_are_allowed_and_print_as_they_are_written() {
        for row in tables().into_iter().flatten() {
            let DefaultValue::Text(text) = row.default else { continue };
            assert_eq!(row.parse(text), Ok(row.default_value()), "{}", row.name);
            assert_eq!(row.default_value().to_text().as_deref(), Some(text), "{}", row.name);
        }
    }

    #[test]
    fn meanings_are_sentences() {
        for row in tables().into_iter().flatten() {
            assert!(row.doc.ends_with('.') && row.doc.len() < 120, "{}", row.name);
        }
    }
}
