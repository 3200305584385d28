use std::collections::BTreeMap;
use std::time::Duration;

use super::definitions;
use super::settings::{Settings, wrong_type};
use super::value::Value;

/// The settings of one consumer group, each from the group, the node or the default. Source: KIP-848.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `consumer.session.timeout.ms`
    pub consumer_session_timeout: Duration,
    /// `consumer.heartbeat.interval.ms`
    pub consumer_heartbeat_interval: Duration,
    /// `consumer.assignment.interval.ms`
    pub consumer_assignment_interval: Duration,
}

impl GroupConfig {
    /// Puts a group's own settings over those of the node. A setting outside the node's range is moved to its border:
    /// the range may have been narrowed since it was set.
    #[must_use]
    pub fn resolve(overrides: &BTreeMap<String, String>, node: &Settings) -> Self {
        let millis = |name: &str| {
            let number =
                value_of(name, overrides, node).as_number().unwrap_or_else(|| wrong_type(name));
            let number =
                bounds_of(name, node).map_or(number, |(min, max)| number.max(min).min(max));
            Duration::from_millis(u64::try_from(number).unwrap_or(0))
        };
        Self {
            consumer_session_timeout: millis("consumer.session.timeout.ms"),
            consumer_heartbeat_interval: millis("consumer.heartbeat.interval.ms"),
            consumer_assignment_interval: millis("consumer.assignment.interval.ms"),
        }
    }

    /// Judges one setting of a group, without the ranges that nodes set.
    ///
    /// # Errors
    ///
    /// Kafka's sentence about what is wrong, to go with `INVALID_CONFIG`.
    pub fn validate(name: &str, value: &str) -> Result<(), String> {
        let key = definitions::group_key(name)
            .ok_or_else(|| format!("Unknown group config name: {name}"))?;
        key.parse(value).map(drop)
    }

    /// Judges all settings of a group together, within the ranges that the node sets.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate), and when a value leaves its range, or a session is not longer than the time
    /// between heartbeats.
    pub fn validate_all(
        overrides: &BTreeMap<String, String>,
        node: &Settings,
    ) -> Result<(), String> {
        if let Some(name) = overrides.keys().find(|name| definitions::group_key(name).is_none()) {
            return Err(format!("Unknown group config name: {name}"));
        }
        for (name, text) in overrides {
            Self::validate(name, text)?;
            let (Value::Number(value), Some((min, max))) =
                (value_of(name, overrides, node), bounds_of(name, node))
            else {
                continue;
            };
            let synonym = node_synonym_of_group_key(name).unwrap_or_default();
            if value < min {
                return Err(format!(
                    "{name} must be greater than or equal to {}",
                    with_infix(&synonym, "min")
                ));
            }
            if value > max {
                return Err(format!(
                    "{name} must be less than or equal to {}",
                    with_infix(&synonym, "max")
                ));
            }
        }
        for protocol in ["consumer", "share", "streams"] {
            let number =
                |key: &str| value_of(&format!("{protocol}.{key}"), overrides, node).as_number();
            if number("session.timeout.ms") <= number("heartbeat.interval.ms") {
                return Err(format!(
                    "{protocol}.session.timeout.ms must be greater than {protocol}.heartbeat.interval.ms"
                ));
            }
        }
        Ok(())
    }
}

/// The key of a node that gives a group's key its value when the group does not.
#[must_use]
pub fn node_synonym_of_group_key(name: &str) -> Option<String> {
    let synonym = format!("group.{name}");
    definitions::node_key(&synonym).map(|_| synonym)
}

/// The value of a group's key: its own, that of the node, the default.
pub(super) fn value_of(name: &str, overrides: &BTreeMap<String, String>, node: &Settings) -> Value {
    let key = definitions::group_key(name);
    let set = || key?.parse(overrides.get(name)?).ok();
    let default = || key.map_or(Value::Null, definitions::Definition::default_value);
    set().unwrap_or_else(|| {
        node_synonym_of_group_key(name).map_or_else(default, |synonym| node.value(&synonym).clone())
    })
}

/// The range that a node sets for a group's key, if it does.
fn bounds_of(name: &str, node: &Settings) -> Option<(i64, i64)> {
    let synonym = node_synonym_of_group_key(name)?;
    let bound = |infix: &str| match definitions::node_key(&with_infix(&synonym, infix)) {
        Some(key) => node.number_if_set(key.name),
        None => None,
    };
    let (min, max) = (bound("min"), bound("max"));
    (min.is_some() || max.is_some()).then_some((min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX)))
}

/// `group.consumer.session.timeout.ms` and `min` give `group.consumer.min.session.timeout.ms`.
fn with_infix(synonym: &str, infix: &str) -> String {
    let mut parts = synonym.splitn(3, '.');
    let (group, protocol, rest) = (parts.next(), parts.next(), parts.next());
    // One key breaks the rule: standby replicas are counted by `num` where the limit has none.
    let rest = rest.unwrap_or_default();
    let rest = rest.strip_prefix("num.").unwrap_or(rest);
    format!("{}.{}.{infix}.{rest}", group.unwrap_or_default(), protocol.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(overrides: &[(&str, &str)]) -> Settings {
        let base =
            [("node.id", "1"), ("process.roles", "broker"), ("controller.listener.names", "C")];
        let all = base.iter().chain(overrides);
        let all: Vec<_> =
            all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::read(None, &all).unwrap()
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_group_wins_over_its_node_and_the_node_over_the_default() {
        let plain = GroupConfig::resolve(&map(&[]), &node(&[]));
        assert_eq!(plain.consumer_session_timeout, Duration::from_millis(45_000));
        assert_eq!(plain.consumer_assignment_interval, Duration::from_millis(1000));
        let node = node(&[("group.consumer.session.timeout.ms", "50000")]);
        let of_node = GroupConfig::resolve(&map(&[]), &node);
        assert_eq!(of_node.consumer_session_timeout, Duration::from_millis(50_000));
        let of_group =
            GroupConfig::resolve(&map(&[("consumer.session.timeout.ms", "55000")]), &node);
        assert_eq!(of_group.consumer_session_timeout, Duration::from_millis(55_000));
        let outside =
            GroupConfig::resolve(&map(&[("consumer.session.timeout.ms", "99000")]), &node);
        assert_eq!(outside.consumer_session_timeout, Duration::from_millis(60_000));
    }

    #[test]
    fn settings_outside_the_nodes_ranges_are_refused() {
        let check = |pairs: &[(&str, &str)], expected: Result<(), &str>| {
            assert_eq!(
                GroupConfig::validate_all(&map(pairs), &node(&[])),
                expected.map_err(str::to_owned)
            );
        };
        check(&[], Ok(()));
        check(
            &[("consumer.session.timeout.ms", "50000"), ("consumer.heartbeat.interval.ms", "6000")],
            Ok(()),
        );
        check(&[("nope", "1")], Err("Unknown group config name: nope"));
        check(
            &[("consumer.session.timeout.ms", "1000")],
            Err(
                "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
            ),
        );
        check(
            &[("consumer.heartbeat.interval.ms", "16000")],
            Err(
                "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms",
            ),
        );
        check(
            &[("streams.num.standby.replicas", "3")],
            Err(
                "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas",
            ),
        );
        check(
            &[("share.auto.offset.reset", "never")],
            Err(
                "Invalid value never for configuration share.auto.offset.reset: Value must be one of: latest, \
                 earliest, by_duration:PnDTnHnMn.nS",
            ),
        );
    }
}
