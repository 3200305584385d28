use super::definitions::{Allowed, Definition, Kind};

/// The value of a key, of the key's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not set, and without default.
    Null,
    /// Of a boolean key.
    Boolean(bool),
    /// Of an int, short or long key.
    Number(i64),
    /// Of a double key.
    Double(f64),
    /// Of a string, class or password key.
    Text(String),
    /// Of a list key.
    List(Vec<String>),
}

impl Value {
    /// Reads the text of a value. `Err` says what was expected, as Kafka says it.
    pub(super) fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        let text = text.trim();
        let number = |min: i64, max: i64| {
            let number = text.parse::<i64>().ok().filter(|number| (min..=max).contains(number));
            number.map(Self::Number).ok_or_else(|| format!("Not a number of type {kind}"))
        };
        match kind {
            Kind::Boolean if text.eq_ignore_ascii_case("true") => Ok(Self::Boolean(true)),
            Kind::Boolean if text.eq_ignore_ascii_case("false") => Ok(Self::Boolean(false)),
            Kind::Boolean => Err("Expected value to be either true or false".to_owned()),
            Kind::Int => number(i64::from(i32::MIN), i64::from(i32::MAX)),
            Kind::Short => number(i64::from(i16::MIN), i64::from(i16::MAX)),
            Kind::Long => number(i64::MIN, i64::MAX),
            Kind::Double => {
                text.parse().map(Self::Double).map_err(|_| format!("Not a number of type {kind}"))
            }
            Kind::List if text.is_empty() => Ok(Self::List(Vec::new())),
            Kind::List => {
                Ok(Self::List(text.split(',').map(|part| part.trim().to_owned()).collect()))
            }
            Kind::String | Kind::Class | Kind::Password => Ok(Self::Text(text.to_owned())),
        }
    }

    /// The value of a boolean key.
    #[must_use]
    pub const fn as_boolean(&self) -> Option<bool> {
        if let Self::Boolean(value) = self { Some(*value) } else { None }
    }

    /// The value of an int, short or long key.
    #[must_use]
    pub const fn as_number(&self) -> Option<i64> {
        if let Self::Number(value) = self { Some(*value) } else { None }
    }

    /// The value of a double key.
    #[must_use]
    pub const fn as_double(&self) -> Option<f64> {
        if let Self::Double(value) = self { Some(*value) } else { None }
    }

    /// The value of a string, class or password key.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }

    /// The value of a list key.
    #[must_use]
    pub fn as_list(&self) -> Option<&[String]> {
        if let Self::List(values) = self { Some(values) } else { None }
    }

    /// The value as Kafka prints it; `None` for null.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Boolean(value) => Some(value.to_string()),
            Self::Number(value) => Some(value.to_string()),
            Self::Double(value) => Some(double_to_text(*value)),
            Self::Text(value) => Some(value.clone()),
            Self::List(values) => Some(values.join(",")),
        }
    }
}

/// Java's form: digits from a thousandth up to ten million, an exponent outside.
fn double_to_text(value: f64) -> String {
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) || !value.is_finite() {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

impl Definition {
    /// Reads and judges the text of a value for this key.
    ///
    /// # Errors
    ///
    /// Kafka's sentence about what is wrong.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let wrong = |value: &str, reason: &str| {
            Err(format!("Invalid value {value} for configuration {}: {reason}", self.name))
        };
        let value = match Value::parse(self.kind, text) {
            Ok(value) => value,
            Err(reason) => return wrong(text, &reason),
        };
        match &value {
            Value::Null | Value::Boolean(_) => {}
            Value::Number(number) => {
                if let Err(reason) = self.allowed.check_number(*number) {
                    return wrong(&number.to_string(), &reason);
                }
            }
            Value::Double(number) => {
                if let Err(reason) = self.allowed.check_double(*number) {
                    return wrong(&double_to_text(*number), &reason);
                }
            }
            Value::Text(text) => {
                if let Err(reason) = self.allowed.check_text(text) {
                    return wrong(text, &reason);
                }
            }
            Value::List(texts) => {
                if self.allowed == Allowed::ThrottledReplicas {
                    if let Err(reason) = check_throttled_replicas(self.name, texts) {
                        return wrong(&format!("[{}]", texts.join(", ")), &reason);
                    }
                } else {
                    for text in texts {
                        if let Err(reason) = self.allowed.check_text(text) {
                            return wrong(text, &reason);
                        }
                    }
                }
            }
        }
        Ok(value)
    }
}

impl Allowed {
    fn check_number(self, number: i64) -> Result<(), String> {
        let (min, max) = match self {
            Self::AtLeast(min) => (min, i64::MAX),
            Self::Between(min, max) => (min, max),
            Self::GzipLevel if number == -1 || (1..=9).contains(&number) => return Ok(()),
            Self::GzipLevel => {
                return Err("Value must be between 1 and 9 or equal to -1".to_owned());
            }
            Self::Any
            | Self::Share(..)
            | Self::OneOf(_)
            | Self::OneOfAnyCase(_)
            | Self::NonEmpty
            | Self::ThrottledReplicas
            | Self::OffsetReset => return Ok(()),
        };
        if number < min {
            return Err(format!("Value must be at least {min}"));
        }
        if number > max {
            return Err(format!("Value must be no more than {max}"));
        }
        Ok(())
    }

    fn check_double(self, number: f64) -> Result<(), String> {
        let Self::Share(min, max) = self else { return Ok(()) };
        // Written so that a value that is not a number fails, too.
        if !matches!(number.partial_cmp(&min), Some(order) if order.is_ge()) {
            return Err(format!("Value must be at least {min}"));
        }
        if number > max {
            return Err(format!("Value must be no more than {max}"));
        }
        Ok(())
    }

    fn check_text(self, text: &str) -> Result<(), String> {
        match self {
            Self::OneOf(texts) if !texts.contains(&text) => {
                Err(format!("String must be one of: {}", texts.join(", ")))
            }
            Self::OneOfAnyCase(texts)
                if !texts.iter().any(|known| known.eq_ignore_ascii_case(text)) =>
            {
                Err(format!("String must be one of (case insensitive): {}", texts.join(", ")))
            }
            Self::NonEmpty if text.is_empty() => Err("String must be non-empty".to_owned()),
            Self::OffsetReset if !is_offset_reset(text) => {
                Err("Value must be one of: latest, earliest, by_duration:PnDTnHnMn.nS".to_owned())
            }
            Self::Any
            | Self::AtLeast(_)
            | Self::Between(..)
            | Self::Share(..)
            | Self::OneOf(_)
            | Self::OneOfAnyCase(_)
            | Self::NonEmpty
            | Self::GzipLevel
            | Self::ThrottledReplicas
            | Self::OffsetReset => Ok(()),
        }
    }
}

fn is_offset_reset(text: &str) -> bool {
    match text.strip_prefix("by_duration:") {
        None => ["latest", "earliest"].contains(&text),
        Some(duration) => {
            duration.strip_prefix('P').is_some_and(|rest| rest.ends_with(['D', 'H', 'M', 'S']))
        }
    }
}

fn check_throttled_replicas(name: &str, texts: &[String]) -> Result<(), String> {
    let is_pair = |text: &String| {
        let is_number =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        text.split_once(':')
            .is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
    };
    if texts.iter().all(is_pair) || texts == ["*"] {
        return Ok(());
    }
    Err(format!(
        "{name} must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::definitions::topic_key;

    fn parse(name: &str, text: &str) -> Result<Option<String>, String> {
        topic_key(name).unwrap().parse(text).map(|value| value.to_text())
    }

    #[test]
    fn refusals_are_worded_as_kafka_words_them() {
        let check = |name: &str, text: &str, value: &str, reason: &str| {
            assert_eq!(
                parse(name, text),
                Err(format!("Invalid value {value} for configuration {name}: {reason}"))
            );
        };
        check("segment.bytes", "abc", "abc", "Not a number of type INT");
        check("segment.bytes", "5", "5", "Value must be at least 1048576");
        check(
            "segment.ms",
            "99999999999999999999",
            "99999999999999999999",
            "Not a number of type LONG",
        );
        check("cleanup.policy", "foo", "foo", "String must be one of: compact, delete");
        check("cleanup.policy", "delete,none", "none", "String must be one of: compact, delete");
        check("min.cleanable.dirty.ratio", "2", "2.0", "Value must be no more than 1");
        check("min.cleanable.dirty.ratio", "NaN", "NaN", "Value must be at least 0");
        check("preallocate", "maybe", "maybe", "Expected value to be either true or false");
        check("compression.gzip.level", "0", "0", "Value must be between 1 and 9 or equal to -1");
        check("compression.lz4.level", "18", "18", "Value must be no more than 17");
        check(
            "compression.type",
            "zip",
            "zip",
            "String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
        );
        check(
            "leader.replication.throttled.replicas",
            "a",
            "[a]",
            "leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following \
             format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
        );
    }

    #[test]
    fn values_print_as_kafka_prints_them() {
        let check = |name: &str, text: &str, printed: &str| {
            assert_eq!(parse(name, text), Ok(Some(printed.to_owned())));
        };
        check("segment.bytes", " 2000000 ", "2000000");
        check("preallocate", "TRUE", "true");
        check("cleanup.policy", "delete, compact", "delete,compact");
        check("cleanup.policy", "", "");
        check("min.cleanable.dirty.ratio", "1", "1.0");
        check("leader.replication.throttled.replicas", "*", "*");
        check("leader.replication.throttled.replicas", "0:1,1:2", "0:1,1:2");
        assert_eq!(double_to_text(f64::MAX), "1.7976931348623157E308");
        assert_eq!(double_to_text(1e7), "1.0E7");
        assert_eq!(double_to_text(0.0001), "1.0E-4");
    }
}
