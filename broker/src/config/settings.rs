use std::collections::BTreeMap;
use std::time::Duration;

use super::definitions::{self, DefaultValue, Definition};
use super::error::{Error, Place};
use super::properties::read_properties;
use super::value::Value;

/// Which of the layers a value comes from; later ones win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file, or an override beside it.
    Static(Place),
    /// The cluster, for all brokers.
    DynamicDefault,
    /// The cluster, for this broker.
    DynamicBroker,
}

/// What the cluster says about the keys of nodes while they run.
#[derive(Clone, Copy, Debug)]
pub struct DynamicSettings<'a> {
    /// For all brokers.
    pub default: &'a BTreeMap<String, String>,
    /// For this broker.
    pub broker: &'a BTreeMap<String, String>,
}

static NOTHING: BTreeMap<String, String> = BTreeMap::new();

impl DynamicSettings<'_> {
    /// Nothing was set.
    pub const NONE: DynamicSettings<'static> =
        DynamicSettings { default: &NOTHING, broker: &NOTHING };

    /// True when nothing was set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.default.is_empty() && self.broker.is_empty()
    }
}

/// The value of one key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    pub(super) value: Value,
    /// As it was written.
    pub(super) text: Option<String>,
    pub(super) origin: Origin,
}

/// A value for each key of a node, and where it comes from.
///
/// Every key of the table has a value, of its type or null; keys with a listener's prefix are kept as texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    values: BTreeMap<&'static str, Setting>,
    prefixed: BTreeMap<String, Setting>,
}

impl Settings {
    /// Puts the layers together: defaults, then the file's text, then overrides.
    ///
    /// # Errors
    ///
    /// Syntax, unknown keys and values that are not allowed, each with its place; and missing keys.
    pub fn read(file: Option<(&str, &str)>, overrides: &[(String, String)]) -> Result<Self, Error> {
        let default = |key: &'static Definition| {
            (key.name, Setting { value: key.default_value(), text: None, origin: Origin::Default })
        };
        let values = definitions::node_keys().map(default).collect();
        let mut settings = Self { values, prefixed: BTreeMap::new() };
        if let Some((name, text)) = file {
            for property in read_properties(name, text)? {
                let place = Place::File { name: name.to_owned(), line: property.line };
                settings.set(&property.key, property.value, place)?;
            }
        }
        for (key, value) in overrides {
            settings.set(key, value.clone(), Place::Override)?;
        }
        settings.resolve_node_id()?;
        let is_missing = |key: &&Definition| {
            key.default == DefaultValue::Required && settings.value(key.name) == &Value::Null
        };
        match definitions::node_keys().find(is_missing) {
            Some(key) => Err(Error::Missing { key: key.name }),
            None => Ok(settings),
        }
    }

    fn set(&mut self, key: &str, text: String, place: Place) -> Result<(), Error> {
        let parsed = |definition: &Definition| match definition.parse(&text) {
            Ok(value) => Ok(value),
            Err(message) => {
                Err(Error::InvalidValue { place: place.clone(), key: key.to_owned(), message })
            }
        };
        if let Some(definition) = definitions::node_key(key) {
            let value = parsed(definition)?;
            let setting = Setting { value, text: Some(text), origin: Origin::Static(place) };
            self.values.insert(definition.name, setting);
            return Ok(());
        }
        if let Some(definition) = prefixed_key(key) {
            let value = parsed(definition)?;
            let setting = Setting { value, text: Some(text), origin: Origin::Static(place) };
            self.prefixed.insert(key.to_owned(), setting);
            return Ok(());
        }
        if definitions::is_removed_key(key) {
            return Ok(());
        }
        Err(Error::UnknownKey { place, key: key.to_owned(), suggestion: nearest(key) })
    }

    /// `broker.id` is the old name of `node.id`.
    fn resolve_node_id(&mut self) -> Result<(), Error> {
        let old = self.setting("broker.id").clone();
        if matches!(old.origin, Origin::Default) || old.value == Value::Number(-1) {
            return Ok(());
        }
        let node_id = self.value("node.id");
        if node_id == &Value::Null {
            self.values.insert("node.id", old);
            return Ok(());
        }
        if node_id == &old.value {
            return Ok(());
        }
        Err(Error::Conflict("You must set `node.id` to the same value as `broker.id`.".to_owned()))
    }

    /// These settings under what the cluster says. What it says of unknown or read-only keys, or with values that are
    /// not allowed, has no effect, as in Kafka.
    #[must_use]
    pub fn overlaid(&self, dynamic: DynamicSettings<'_>) -> Self {
        let mut settings = self.clone();
        let layers =
            [(dynamic.default, Origin::DynamicDefault), (dynamic.broker, Origin::DynamicBroker)];
        for (layer, origin) in layers {
            for (key, text) in layer {
                let Some(definition) = definitions::node_key(key) else { continue };
                if definition.update == definitions::Update::ReadOnly {
                    continue;
                }
                let Ok(value) = definition.parse(text) else { continue };
                let setting = Setting { value, text: Some(text.clone()), origin: origin.clone() };
                settings.values.insert(definition.name, setting);
            }
        }
        settings
    }

    /// `producer.id.expiration.ms`, which logs are told although topics cannot set it.
    #[must_use]
    pub fn producer_id_expiration(&self) -> Duration {
        self.millis("producer.id.expiration.ms")
    }

    /// Where the value of a key comes from; `None` for a key that does not exist.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.values.get(key).or_else(|| self.prefixed.get(key)).map(|setting| &setting.origin)
    }

    /// True when the key has a value that is not its default.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        self.origin(key).is_some_and(|origin| *origin != Origin::Default)
    }

    /// The text of a key as it was set in the file or beside it.
    pub(super) fn static_text(&self, key: &str) -> Option<&str> {
        let setting = self.values.get(key).or_else(|| self.prefixed.get(key))?;
        match setting.origin {
            Origin::Static(_) => setting.text.as_deref(),
            Origin::Default | Origin::DynamicDefault | Origin::DynamicBroker => None,
        }
    }

    /// The keys with a listener's prefix, and their values.
    pub(super) fn prefixed(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.prefixed.iter().map(|(key, setting)| (key.as_str(), &setting.value))
    }

    /// The value of a key for one listener: with its prefix, or else without.
    #[must_use]
    pub fn for_listener(&self, listener: &str, key: &str) -> Option<&Value> {
        let prefixed = format!("listener.name.{}.{key}", listener.to_lowercase());
        let setting = self.prefixed.get(&prefixed).or_else(|| self.values.get(key))?;
        Some(&setting.value)
    }

    fn setting(&self, key: &str) -> &Setting {
        self.values.get(key).expect("typed views name keys of the table")
    }

    pub(super) fn value(&self, key: &str) -> &Value {
        &self.setting(key).value
    }

    pub(super) fn boolean(&self, key: &str) -> bool {
        self.value(key).as_boolean().unwrap_or_else(|| wrong_type(key))
    }

    pub(super) fn number(&self, key: &str) -> i64 {
        self.value(key).as_number().unwrap_or_else(|| wrong_type(key))
    }

    /// A number or null.
    pub(super) fn number_if_set(&self, key: &str) -> Option<i64> {
        self.value(key).as_number()
    }

    /// An int key's number.
    pub(super) fn int(&self, key: &str) -> i32 {
        i32::try_from(self.number(key)).expect("the table types this key as int or short")
    }

    /// A count or size; negative numbers count as none.
    pub(super) fn size(&self, key: &str) -> usize {
        usize::try_from(self.number(key).max(0)).unwrap_or(usize::MAX)
    }

    /// A size where a negative number means that there is no limit.
    pub(super) fn limit(&self, key: &str) -> Option<u64> {
        u64::try_from(self.number(key)).ok()
    }

    /// Milliseconds; negative numbers count as none.
    pub(super) fn millis(&self, key: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.number(key)).unwrap_or(0))
    }

    pub(super) fn seconds(&self, key: &str) -> Duration {
        Duration::from_secs(u64::try_from(self.number(key)).unwrap_or(0))
    }

    pub(super) fn double(&self, key: &str) -> f64 {
        self.value(key).as_double().unwrap_or_else(|| wrong_type(key))
    }

    /// A text or null; the empty text counts as null.
    pub(super) fn text_if_set(&self, key: &str) -> Option<&str> {
        self.value(key).as_text().filter(|value| !value.is_empty())
    }

    pub(super) fn text(&self, key: &str) -> &str {
        self.text_if_set(key).unwrap_or_default()
    }

    /// A list; null counts as empty.
    pub(super) fn list(&self, key: &str) -> &[String] {
        self.value(key).as_list().unwrap_or_default()
    }
}

/// The table and the typed views disagree, which is our mistake.
pub(super) fn wrong_type(key: &str) -> ! {
    panic!("{key} is read as another type than the table gives it")
}

/// `listener.name.<listener>.<key>` and `listener.name.<listener>.<mechanism>.<key>`.
pub(super) fn prefixed_key(key: &str) -> Option<&'static Definition> {
    let (_, key) = key.strip_prefix("listener.name.")?.split_once('.')?;
    definitions::node_key(key).or_else(|| definitions::node_key(key.split_once('.')?.1))
}

/// The known key with the fewest edits to `key`, if that are few.
fn nearest(key: &str) -> Option<&'static str> {
    let limit = (key.len() / 4).clamp(1, 6);
    // Of two as near, the one as long is more likely: letters are swapped more often than lost.
    let rank = |known: &'static Definition| {
        (edit_distance(key, known.name), key.len().abs_diff(known.name.len()), known.name)
    };
    let (distance, _, name) = definitions::node_keys().map(rank).min()?;
    (distance <= limit).then_some(name)
}

/// Insertions, deletions and replacements of bytes between two texts. Source: Wagner and Fischer.
fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, byte) in left.bytes().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(before);
        for (other, above) in right.bytes().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(byte != other);
            before = replaced.min(before + 1).min(above + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "node.id=1\nprocess.roles=broker,controller\ncontroller.listener.names=C\n";

    fn read(file: &str, overrides: &[(&str, &str)]) -> Result<Settings, Error> {
        let overrides: Vec<_> =
            overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::read(Some(("server.properties", &format!("{FILE}{file}"))), &overrides)
    }

    #[test]
    fn overrides_win_over_the_file_and_the_file_over_defaults() {
        let settings =
            read("num.partitions=3\nnum.partitions=4\n", &[("queued.max.requests", "7")]).unwrap();
        assert_eq!(settings.number("num.partitions"), 4);
        assert_eq!(settings.number("queued.max.requests"), 7);
        assert_eq!(settings.number("message.max.bytes"), 1_048_588);
        let line = Place::File { name: "server.properties".to_owned(), line: 5 };
        assert_eq!(settings.origin("num.partitions"), Some(&Origin::Static(line)));
        assert_eq!(settings.origin("queued.max.requests"), Some(&Origin::Static(Place::Override)));
        assert_eq!(settings.origin("message.max.bytes"), Some(&Origin::Default));
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let check = |file: &str, expected: &str| {
            assert_eq!(read(file, &[]).unwrap_err().to_string(), expected);
        };
        check(
            "num.partition=3",
            "server.properties:4: unknown key num.partition, did you mean num.partitions?",
        );
        check("\nlog.dris=/x", "server.properties:5: unknown key log.dris, did you mean log.dirs?");
        check("what.is.this.key=1", "server.properties:4: unknown key what.is.this.key");
        check(
            "num.partitions=0",
            "server.properties:4: Invalid value 0 for configuration num.partitions: Value must be at least 1",
        );
        let error = read("", &[("num.partitions", "x")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--override: Invalid value x for configuration num.partitions: Not a number of type INT"
        );
    }

    #[test]
    fn required_keys_are_missed() {
        let error =
            Settings::read(Some(("f", "process.roles=broker\nnode.id=1\n")), &[]).unwrap_err();
        assert_eq!(error, Error::Missing { key: "controller.listener.names" });
    }

    #[test]
    fn listener_prefixes_and_removed_keys_are_known() {
        let settings = read(
            "listener.name.internal.ssl.keystore.location=/k\nzookeeper.connect=localhost:2181\n\
             listener.name.sasl.scram-sha-256.sasl.jaas.config=x\ninter.broker.protocol.version=3.9\n",
            &[],
        )
        .unwrap();
        let location = settings.for_listener("INTERNAL", "ssl.keystore.location");
        assert_eq!(location, Some(&Value::Text("/k".to_owned())));
        assert_eq!(settings.for_listener("OTHER", "ssl.keystore.location"), Some(&Value::Null));
        assert!(read("listener.name.internal.no.such.key=1\n", &[]).is_err());
    }

    #[test]
    fn broker_id_is_the_old_name_of_node_id() {
        let base = "process.roles=broker\ncontroller.listener.names=C\n";
        let read = |file: &str| Settings::read(Some(("f", &format!("{base}{file}"))), &[]);
        assert_eq!(read("broker.id=5").unwrap().number("node.id"), 5);
        assert_eq!(read("broker.id=5\nnode.id=5").unwrap().number("node.id"), 5);
        assert!(matches!(read("broker.id=5\nnode.id=6"), Err(Error::Conflict(_))));
    }

    #[test]
    fn what_the_cluster_says_wins_where_it_may() {
        let settings = read("log.segment.bytes=2000000\n", &[]).unwrap();
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let default =
            map(&[("log.segment.bytes", "3000000"), ("max.connections", "5"), ("node.id", "9")]);
        let broker = map(&[("log.segment.bytes", "4000000"), ("message.max.bytes", "wrong")]);
        let overlaid = settings.overlaid(DynamicSettings { default: &default, broker: &broker });
        assert_eq!(overlaid.number("log.segment.bytes"), 4_000_000);
        assert_eq!(overlaid.number("max.connections"), 5);
        assert_eq!(overlaid.number("node.id"), 1);
        assert_eq!(overlaid.number("message.max.bytes"), 1_048_588);
        assert_eq!(overlaid.origin("log.segment.bytes"), Some(&Origin::DynamicBroker));
        assert_eq!(settings.overlaid(DynamicSettings::NONE), settings);
    }

    #[test]
    fn edit_distance_counts_edits() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("same", "same"), 0);
    }
}
