//! One row per API: what is served where, in which versions.
//!
//! The table is what `ApiVersions` advertises and what a frame's header is judged by, so the two cannot disagree.
//!
//! Source: `ApiKeys` of Apache Kafka 4.4; KIP-35.

use kafka_protocol::messages::ApiKey;

/// Who may be asked an API: the listeners on which Kafka serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listeners {
    /// Brokers only.
    Broker,
    /// Controllers only.
    Controller,
    /// Both.
    Both,
}

/// What a listener leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListenerRole {
    /// Clients and other brokers talk to a broker here.
    Broker,
    /// Brokers and the quorum talk to a controller here (`controller.listener.names`).
    Controller,
}

impl Listeners {
    /// True when an API with these listeners is served on a listener of this role.
    #[must_use]
    pub const fn include(self, role: ListenerRole) -> bool {
        match self {
            Self::Both => true,
            Self::Broker => matches!(role, ListenerRole::Broker),
            Self::Controller => matches!(role, ListenerRole::Controller),
        }
    }
}

/// One API that this broker serves: a row exists exactly when its handler works.
///
/// Ranges are what Kafka 4.4 and the codec package have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiRow {
    /// Its key.
    pub key: ApiKey,
    /// Kafka's name of it.
    pub name: &'static str,
    /// Lowest version that `ApiVersions` names. Below `min_version` only for Produce (KAFKA-18659).
    pub advertised_min_version: i16,
    /// Lowest version that is answered.
    pub min_version: i16,
    /// Highest version that is answered and advertised.
    pub max_version: i16,
    /// From here on header and body have compact lengths and tagged fields (KIP-482). `None`: never.
    pub flexible_from: Option<i16>,
    /// Where it is served.
    pub listeners: Listeners,
    /// True when a broker hands the request to the active controller inside an Envelope (KIP-590).
    pub is_forwarded: bool,
}

impl ApiRow {
    /// True when requests of this version are answered.
    #[must_use]
    pub const fn serves(&self, version: i16) -> bool {
        self.min_version <= version && version <= self.max_version
    }

    const fn never_flexible(self) -> Self {
        Self { flexible_from: None, ..self }
    }

    const fn forwarded(self) -> Self {
        Self { is_forwarded: true, ..self }
    }

    const fn advertised_from(self, version: i16) -> Self {
        Self { advertised_min_version: version, ..self }
    }
}

use Listeners::{Both, Broker, Controller};

macro_rules! row {
    ($name:ident, $min:literal..=$max:literal, flexible from $flexible:literal, $listeners:expr) => {
        ApiRow {
            key: ApiKey::$name,
            name: stringify!($name),
            advertised_min_version: $min,
            min_version: $min,
            max_version: $max,
            flexible_from: Some($flexible),
            listeners: $listeners,
            is_forwarded: false,
        }
    };
}

/// Every API served, by key. One line per API; the header rules (`flexible_from`) are checked against the codec.
pub const API_TABLE: &[ApiRow] = &[
    // Advertised from 0 because some clients turn compression off when Produce 0 is missing.
    row!(Produce, 3..=13, flexible from 9, Broker).advertised_from(0),
    row!(Fetch, 4..=18, flexible from 12, Both),
    row!(ListOffsets, 1..=10, flexible from 6, Broker),
    row!(Metadata, 0..=13, flexible from 9, Broker),
    // The codec refuses version 10 of requests with topic ids, whatever it says of itself.
    row!(OffsetCommit, 2..=9, flexible from 8, Broker),
    row!(OffsetFetch, 1..=9, flexible from 6, Broker),
    row!(FindCoordinator, 0..=6, flexible from 3, Broker),
    row!(JoinGroup, 0..=9, flexible from 6, Broker),
    row!(Heartbeat, 0..=4, flexible from 4, Broker),
    row!(LeaveGroup, 0..=5, flexible from 4, Broker),
    row!(SyncGroup, 0..=5, flexible from 4, Broker),
    row!(DescribeGroups, 0..=6, flexible from 5, Broker),
    row!(ListGroups, 0..=5, flexible from 3, Broker),
    row!(ApiVersions, 0..=4, flexible from 3, Both),
    row!(CreateTopics, 2..=7, flexible from 5, Both).forwarded(),
    row!(DeleteTopics, 1..=6, flexible from 4, Both).forwarded(),
    row!(DeleteRecords, 0..=2, flexible from 2, Broker),
    row!(InitProducerId, 0..=5, flexible from 2, Broker),
    row!(OffsetForLeaderEpoch, 2..=4, flexible from 4, Broker),
    row!(DescribeConfigs, 1..=4, flexible from 4, Both),
    row!(AlterConfigs, 0..=2, flexible from 2, Both).forwarded(),
    row!(DescribeLogDirs, 1..=4, flexible from 2, Broker),
    row!(CreatePartitions, 0..=3, flexible from 2, Both).forwarded(),
    row!(DeleteGroups, 0..=2, flexible from 2, Broker),
    row!(ElectLeaders, 0..=2, flexible from 2, Both).forwarded(),
    row!(IncrementalAlterConfigs, 0..=1, flexible from 1, Both).forwarded(),
    row!(AlterPartitionReassignments, 0..=1, flexible from 0, Both).forwarded(),
    row!(ListPartitionReassignments, 0..=0, flexible from 0, Both).forwarded(),
    row!(OffsetDelete, 0..=0, flexible from 0, Broker).never_flexible(),
    row!(Vote, 0..=2, flexible from 0, Controller),
    row!(BeginQuorumEpoch, 0..=1, flexible from 1, Controller),
    row!(EndQuorumEpoch, 0..=1, flexible from 1, Controller),
    row!(DescribeQuorum, 0..=2, flexible from 0, Both).forwarded(),
    row!(AlterPartition, 2..=3, flexible from 0, Controller),
    row!(Envelope, 0..=0, flexible from 0, Controller),
    row!(FetchSnapshot, 0..=1, flexible from 0, Controller),
    row!(DescribeCluster, 0..=2, flexible from 0, Both),
    row!(BrokerRegistration, 0..=4, flexible from 0, Controller),
    // Version 2 (cordoned directories) is beyond the codec.
    row!(BrokerHeartbeat, 0..=1, flexible from 0, Controller),
    row!(UnregisterBroker, 0..=0, flexible from 0, Both).forwarded(),
    row!(AllocateProducerIds, 0..=0, flexible from 0, Controller).forwarded(),
    row!(ControllerRegistration, 0..=0, flexible from 0, Controller),
    row!(AssignReplicasToDirs, 0..=0, flexible from 0, Controller),
    row!(ListConfigResources, 0..=1, flexible from 0, Broker),
    row!(DescribeTopicPartitions, 0..=0, flexible from 0, Broker),
    // Version 1 (an answer before the commit) is beyond the codec.
    row!(AddRaftVoter, 0..=0, flexible from 0, Both).forwarded(),
    row!(RemoveRaftVoter, 0..=0, flexible from 0, Both).forwarded(),
    row!(UpdateRaftVoter, 0..=0, flexible from 0, Controller),
];

/// The row of an API, found in constant time. `None` when the API is not served.
#[must_use]
pub fn api_row(key: ApiKey) -> Option<&'static ApiRow> {
    api_row_by_number(key as i16)
}

/// The row of the API with this number, found in constant time. `None` when the number is unknown or not served.
#[must_use]
pub fn api_row_by_number(number: i16) -> Option<&'static ApiRow> {
    let place = *PLACES.get(usize::try_from(number).ok()?)?;
    API_TABLE.get(usize::from(place))
}

/// One more than the highest key of Kafka 4.4.
const KEY_COUNT: usize = 95;

const NOWHERE: u8 = u8::MAX;

/// Where in the table the row of each key stands.
static PLACES: [u8; KEY_COUNT] = {
    let mut places = [NOWHERE; KEY_COUNT];
    let mut place: u8 = 0;
    while (place as usize) < API_TABLE.len() {
        places[API_TABLE[place as usize].key as usize] = place;
        place += 1;
    }
    places
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::schema::{request_schema, response_schema};

    #[test]
    fn every_row_is_found_by_its_number_and_nothing_else_is() {
        for row in API_TABLE {
            assert_eq!(api_row(row.key), Some(row));
        }
        let found =
            (i16::MIN..=i16::MAX).filter(|number| api_row_by_number(*number).is_some()).count();
        assert_eq!(found, API_TABLE.len());
    }

    #[test]
    fn names_are_those_of_the_codec() {
        API_TABLE.iter().for_each(|row| assert_eq!(row.name, format!("{:?}", row.key)));
    }

    #[test]
    fn rows_stand_in_the_order_of_their_keys() {
        assert!(API_TABLE.is_sorted_by(|left, right| (left.key as i16) < (right.key as i16)));
    }

    #[test]
    fn versions_and_header_rules_agree_with_the_codec() {
        for row in API_TABLE {
            // Not `ApiKey::valid_versions`, which names versions that the codec refuses.
            for schema in [request_schema(row.key), response_schema(row.key)] {
                assert!(schema.min_version <= row.min_version, "{}", row.name);
                assert!(row.max_version <= schema.max_version, "{}", row.name);
                assert_eq!(
                    schema.flexible_from,
                    row.flexible_from.unwrap_or(i16::MAX),
                    "{}",
                    row.name
                );
            }
            assert!(
                row.advertised_min_version <= row.min_version && row.min_version <= row.max_version
            );
            for version in row.min_version..=row.max_version {
                let is_flexible = row.flexible_from.is_some_and(|from| version >= from);
                let header = if is_flexible { 2 } else { 1 };
                assert_eq!(
                    row.key.request_header_version(version),
                    header,
                    "{} {version}",
                    row.name
                );
            }
        }
    }

    #[test]
    fn the_listener_decides_what_is_served() {
        let check = |key, role, expected| {
            assert_eq!(api_row(key).unwrap().listeners.include(role), expected);
        };
        check(ApiKey::Produce, ListenerRole::Broker, true);
        check(ApiKey::Produce, ListenerRole::Controller, false);
        check(ApiKey::ApiVersions, ListenerRole::Controller, true);
        assert!(Controller.include(ListenerRole::Controller));
        assert!(!Controller.include(ListenerRole::Broker));
    }
}
