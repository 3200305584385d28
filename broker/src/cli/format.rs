//! Record templates: `%t %p %o %k %v\n`. The grammar is that of rpk, which many know.
//!
//! | verb | stands for |
//! |---|---|
//! | `%t` `%p` `%o` `%d` | topic, partition, offset, timestamp in milliseconds |
//! | `%k` `%v` | key, value; nothing for null |
//! | `%K` `%V` | their lengths in bytes; -1 for null |
//! | `%h` | headers as `key=value`, separated by commas |
//! | `%h{...}` | each header by a template of its own with `%k` and `%v` |
//! | `%%` | a percent sign |
//!
//! `%k{hex}`, `%v{base64}` and so on write bytes that are not text. `\n`, `\r`, `\t`, `\\`, `\0` and `\xNN` are escapes.

use super::base64;
use crate::client::Message;
use crate::model::{PartitionIndex, Timestamp, TopicName};
use crate::record::Record;

/// A template taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Field(Field, Coding),
    Header(Format),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Value,
    KeyLength,
    ValueLength,
    Headers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Raw,
    Hex,
    Base64,
}

impl Format {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '\\' => literal.push(escape(&mut rest)?),
                '%' => match rest.next() {
                    Some('%') => literal.push(b'%'),
                    Some(verb) => {
                        if !literal.is_empty() {
                            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                        }
                        let modifier = modifier(&mut rest)?;
                        pieces.push(piece(verb, modifier.as_deref())?);
                    }
                    None => return Err("a % at the end: write %% for a percent sign".to_owned()),
                },
                c => literal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// Writes a record by this template.
    pub(super) fn write(
        &self,
        topic: &str,
        partition: PartitionIndex,
        record: &Record,
        out: &mut Vec<u8>,
    ) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Header(format) => {
                    for (key, value) in &record.headers {
                        format.write_header(key, value.as_deref(), out);
                    }
                }
                Piece::Field(field, coding) => {
                    let number = |number: i64| number.to_string().into_bytes();
                    let length = |bytes: Option<usize>| {
                        bytes.map_or(-1, |length| i64::try_from(length).unwrap_or(i64::MAX))
                    };
                    match field {
                        Field::Topic => coding.write(topic.as_bytes(), out),
                        Field::Partition => coding.write(&number(partition.0.into()), out),
                        Field::Offset => coding.write(&number(record.offset.value()), out),
                        Field::Timestamp => coding.write(&number(record.timestamp.millis()), out),
                        Field::Key => coding.write(record.key.as_deref().unwrap_or_default(), out),
                        Field::Value => {
                            coding.write(record.value.as_deref().unwrap_or_default(), out);
                        }
                        Field::KeyLength => coding.write(
                            &number(length(record.key.as_ref().map(bytes::Bytes::len))),
                            out,
                        ),
                        Field::ValueLength => {
                            coding.write(
                                &number(length(record.value.as_ref().map(bytes::Bytes::len))),
                                out,
                            );
                        }
                        Field::Headers => write_headers(record, *coding, out),
                    }
                }
            }
        }
    }

    fn write_header(&self, key: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Field(Field::Key, coding) => coding.write(key, out),
                Piece::Field(Field::Value, coding) => coding.write(value.unwrap_or_default(), out),
                // `piece` lets nothing else into a header's template.
                Piece::Field(..) | Piece::Header(_) => {}
            }
        }
    }

    /// Whether records can be read by this template: fields with something between them.
    pub(super) fn check_input(&self) -> Result<(), String> {
        let mut was_field = false;
        for piece in &self.0 {
            was_field = match piece {
                Piece::Literal(_) => false,
                Piece::Field(_, _) if was_field => {
                    return Err(
                        "two fields need something between them to be told apart".to_owned()
                    );
                }
                Piece::Field(
                    Field::Topic | Field::Partition | Field::Timestamp | Field::Key | Field::Value,
                    _,
                ) => true,
                Piece::Field(
                    Field::Offset | Field::KeyLength | Field::ValueLength | Field::Headers,
                    _,
                )
                | Piece::Header(_) => {
                    return Err("only %t, %p, %d, %k and %v can be read".to_owned());
                }
            };
        }
        if was_field {
            return Err("the format must end with what ends a record, such as \\n".to_owned());
        }
        if self.0.iter().all(|piece| matches!(piece, Piece::Literal(_))) {
            return Err("the format reads nothing".to_owned());
        }
        Ok(())
    }

    /// Takes the next record off `input`; `None` when more input is needed. At the end of all input the last literal may
    /// be missing.
    pub(super) fn read(
        &self,
        input: &[u8],
        is_end: bool,
    ) -> Result<Option<(Parsed, usize)>, String> {
        let mut parsed = Parsed::default();
        let mut position = 0;
        for (place, piece) in self.0.iter().enumerate() {
            let rest = input.get(position..).unwrap_or_default();
            match piece {
                Piece::Literal(literal) if rest.starts_with(literal) => position += literal.len(),
                Piece::Literal(literal)
                    if is_end && rest.is_empty() && place + 1 == self.0.len() =>
                {
                    let _ = literal;
                }
                Piece::Literal(literal) if !is_end && literal.starts_with(rest) => return Ok(None),
                Piece::Literal(literal) => {
                    let expected = String::from_utf8_lossy(literal).escape_debug().to_string();
                    return Err(format!("expected {expected:?} to begin the next field"));
                }
                Piece::Field(field, coding) => {
                    let Some(Piece::Literal(stop)) = self.0.get(place + 1) else {
                        return Err("the format must end with what ends a record".to_owned());
                    };
                    let length = match find(rest, stop) {
                        Some(length) => length,
                        None if !is_end => return Ok(None),
                        None if place + 2 == self.0.len() => rest.len(),
                        None => {
                            let expected = String::from_utf8_lossy(stop).escape_debug().to_string();
                            return Err(format!("a record ends before {expected:?}"));
                        }
                    };
                    let (bytes, _) = rest.split_at_checked(length).unwrap_or_default();
                    parsed.set(*field, coding.read(bytes)?)?;
                    position += length;
                }
                Piece::Header(_) => return Err("headers cannot be read by a format".to_owned()),
            }
        }
        Ok(Some((parsed, position)))
    }
}

/// What a template found in a record's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    topic: Option<TopicName>,
    partition: Option<PartitionIndex>,
    timestamp: Option<Timestamp>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl Parsed {
    fn set(&mut self, field: Field, bytes: Vec<u8>) -> Result<(), String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match field {
            Field::Topic => self.topic = Some(TopicName::new(text(&bytes))),
            Field::Partition => {
                let number = text(&bytes).trim().parse();
                let number = number.map_err(|_| format!("{:?} is no partition", text(&bytes)))?;
                self.partition = Some(PartitionIndex(number));
            }
            Field::Timestamp => {
                let number = text(&bytes).trim().parse();
                let number = number.map_err(|_| format!("{:?} is no timestamp", text(&bytes)))?;
                self.timestamp = Some(Timestamp(number));
            }
            Field::Key => self.key = Some(bytes),
            Field::Value => self.value = Some(bytes),
            Field::Offset | Field::KeyLength | Field::ValueLength | Field::Headers => {
                return Err("only %t, %p, %d, %k and %v can be read".to_owned());
            }
        }
        Ok(())
    }

    /// Puts what was found into a message that has the defaults.
    pub(super) fn apply(self, message: &mut Message) {
        if let Some(topic) = self.topic {
            message.topic = topic;
        }
        message.partition = self.partition.or(message.partition);
        message.timestamp = self.timestamp.or(message.timestamp);
        if let Some(key) = self.key {
            message.key = Some(key.into());
        }
        if let Some(value) = self.value {
            message.value = Some(value.into());
        }
    }
}

impl Coding {
    fn write(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Raw => out.extend_from_slice(bytes),
            Self::Hex => {
                out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
            }
            Self::Base64 => out.extend_from_slice(base64::encode(bytes).as_bytes()),
        }
    }

    fn read(self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::Raw => Ok(bytes.to_vec()),
            Self::Base64 => base64::decode(bytes).ok_or_else(|| "a field is not base64".to_owned()),
            Self::Hex => {
                let (pairs, odd) = bytes.as_chunks::<2>();
                let byte = |[high, low]: &[u8; 2]| Some(value_of(*high)? << 4 | value_of(*low)?);
                let decoded: Option<Vec<u8>> = pairs.iter().map(byte).collect();
                decoded
                    .filter(|_| odd.is_empty())
                    .ok_or_else(|| "a field is not hexadecimal".to_owned())
            }
        }
    }
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

fn value_of(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

fn write_headers(record: &Record, coding: Coding, out: &mut Vec<u8>) {
    for (place, (key, value)) in record.headers.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        coding.write(key, out);
        out.push(b'=');
        coding.write(value.as_deref().unwrap_or_default(), out);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn escape(rest: &mut std::str::Chars<'_>) -> Result<u8, String> {
    match rest.next() {
        Some('n') => Ok(b'\n'),
        Some('r') => Ok(b'\r'),
        Some('t') => Ok(b'\t'),
        Some('0') => Ok(0),
        Some('\\') => Ok(b'\\'),
        Some('x') => {
            let digits: String = rest.by_ref().take(2).collect();
            u8::from_str_radix(&digits, 16)
                .map_err(|_| format!("\\x{digits} is no byte: write \\x00 to \\xff"))
        }
        Some(other) => Err(format!("\\{other} is no escape: there are \\n \\r \\t \\0 \\\\ \\xNN")),
        None => Err("a \\ at the end: write \\\\ for a backslash".to_owned()),
    }
}

/// What stands in braces behind a verb; braces inside are counted.
fn modifier(rest: &mut std::str::Chars<'_>) -> Result<Option<String>, String> {
    if !rest.as_str().starts_with('{') {
        return Ok(None);
    }
    let mut depth = 0;
    let mut inside = String::new();
    for c in rest.by_ref() {
        match c {
            '{' if depth == 0 => depth = 1,
            '}' if depth == 1 => return Ok(Some(inside)),
            '{' => {
                depth += 1;
                inside.push(c);
            }
            '}' => {
                depth -= 1;
                inside.push(c);
            }
            c => inside.push(c),
        }
    }
    Err("a { without its }".to_owned())
}

fn piece(verb: char, modifier: Option<&str>) -> Result<Piece, String> {
    let field = match verb {
        't' => Field::Topic,
        'p' => Field::Partition,
        'o' => Field::Offset,
        'd' => Field::Timestamp,
        'k' => Field::Key,
        'v' => Field::Value,
        'K' => Field::KeyLength,
        'V' => Field::ValueLength,
        'h' => Field::Headers,
        other => {
            return Err(format!("%{other} is unknown: there are %t %p %o %d %k %v %K %V %h %%"));
        }
    };
    let coding = match modifier {
        None => Coding::Raw,
        Some("hex") => Coding::Hex,
        Some("base64") => Coding::Base64,
        Some(template) if field == Field::Headers => {
            let inner = Format::parse(template)?;
            let is_header = |piece: &Piece| {
                matches!(piece, Piece::Literal(_) | Piece::Field(Field::Key | Field::Value, _))
            };
            if !inner.0.iter().all(is_header) {
                return Err("inside %h{...} there are only %k and %v".to_owned());
            }
            return Ok(Piece::Header(inner));
        }
        Some(other) => {
            return Err(format!("{{{other}}} is unknown: there are {{hex}} and {{base64}}"));
        }
    };
    Ok(Piece::Field(field, coding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Offset;

    fn record() -> Record {
        Record {
            offset: Offset::new(42),
            timestamp: Timestamp(1000),
            key: Some("k".into()),
            value: None,
            headers: vec![("a".into(), Some("1".into())), ("b".into(), None)],
        }
    }

    #[test]
    fn records_are_written_by_template() {
        let check = |format: &str, expected: &str| {
            let mut out = Vec::new();
            Format::parse(format).unwrap().write("topic", PartitionIndex(3), &record(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{format}");
        };
        check(r"%t-%p@%o %d\n", "topic-3@42 1000\n");
        check("%k=%v;%K,%V", "k=;1,-1");
        check("%h", "a=1,b=");
        check("%h{[%k:%v]}", "[a:1][b:]");
        check("%k{hex} %t{base64}", "6b dG9waWM=");
        check(r"100%% \\ \x41\t.", "100% \\ A\t.");
    }

    #[test]
    fn a_template_that_means_nothing_is_refused() {
        for format in ["%", "%y", "%k{", "%k{rot13}", r"\q", r"\", r"\xzz", "%h{%o}"] {
            assert!(Format::parse(format).is_err(), "{format}");
        }
    }

    /// As text.
    type KeyAndValue = (Option<String>, Option<String>);

    fn read_all(format: &str, input: &str) -> Result<Vec<KeyAndValue>, String> {
        let format = Format::parse(format)?;
        format.check_input()?;
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
        let mut input = input.as_bytes();
        let mut found = Vec::new();
        while !input.is_empty() {
            let Some((parsed, length)) = format.read(input, true)? else { break };
            found.push((text(parsed.key), text(parsed.value)));
            input = &input[length..];
        }
        Ok(found)
    }

    #[test]
    fn records_are_read_by_template() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read_all(r"%v\n", "a\nb").unwrap(), [(None, some("a")), (None, some("b"))]);
        assert_eq!(read_all(r"%k:%v\n", "k:v:w\n").unwrap(), [(some("k"), some("v:w"))]);
        assert_eq!(
            read_all(r"%k{hex} %v{base64};", "6b61 dg==;").unwrap(),
            [(some("ka"), some("v"))]
        );
        assert_eq!(read_all(r"%v\n", "\n\n").unwrap().len(), 2, "empty lines are empty values");
    }

    #[test]
    fn input_that_does_not_fit_the_template_is_an_error() {
        assert!(read_all(r"%k:%v\n", "no key\n").is_err());
        assert!(read_all(r"[%v]\n", "x]\n").is_err());
        assert!(read_all("%k%v\n", "x").is_err());
        assert!(read_all("%v", "x").is_err());
        assert!(read_all(r"%o\n", "x").is_err());
        assert!(read_all(r"%p %v\n", "x y\n").is_err());
    }

    #[test]
    fn half_a_record_waits_for_the_rest() {
        let format = Format::parse(r"%k\t%v\r\n").unwrap();
        assert_eq!(format.read(b"k\tv\r", false).unwrap(), None);
        let (_, length) = format.read(b"k\tv\r\nnext", false).unwrap().unwrap();
        assert_eq!(length, 5);
    }
}
