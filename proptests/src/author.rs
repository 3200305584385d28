//! Writes messages that a schema table describes: for properties, and to send to a broker.

use bytes::Bytes;
use ottla::protocol::schema::{Field, Kind, Scalar, Schema};

/// What a field of this name says instead of chosen bytes: the bytes themselves, without a length.
pub type Words<'a> = &'a mut dyn FnMut(&'static str) -> Option<Vec<u8>>;

/// A message, and what it should cost.
#[derive(Clone, Debug)]
pub struct Written {
    /// The message, without a header.
    pub bytes: Bytes,
    /// What its table says that decoding it takes.
    pub memory_bytes: usize,
}

/// Writes a message. `choices` decide counts and contents, except where `words` know a field; `counts` replace the
/// chosen numbers of elements, by depth.
#[must_use]
pub fn write(
    schema: &Schema,
    version: i16,
    choices: &[u8],
    counts: Option<[usize; 2]>,
    words: Words<'_>,
) -> Written {
    let is_flexible = schema.is_flexible(version);
    let choices = Choices { bytes: choices };
    let (bytes, memory_bytes) = (Vec::new(), 0);
    let mut author = Author { version, is_flexible, choices, counts, words, bytes, memory_bytes };
    author.structure(schema.fields, 0);
    Written { bytes: author.bytes.into(), memory_bytes: author.memory_bytes }
}

/// Choices for a message, from a finite string of bytes; zeros when it is used up, so that messages end.
struct Choices<'a> {
    bytes: &'a [u8],
}

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        self.bytes.split_off_first().copied().unwrap_or(0)
    }

    fn below(&mut self, limit: u8) -> usize {
        usize::from(self.next() % limit)
    }
}

/// Writes messages that a table describes.
struct Author<'a> {
    version: i16,
    is_flexible: bool,
    choices: Choices<'a>,
    /// Elements of each array instead of a chosen number, by depth; deeper ones have one.
    counts: Option<[usize; 2]>,
    words: Words<'a>,
    bytes: Vec<u8>,
    /// What the walk should reckon that decoding takes.
    memory_bytes: usize,
}

impl Author<'_> {
    fn structure(&mut self, fields: &[Field], depth: usize) {
        let present: Vec<&Field> =
            fields.iter().filter(|field| field.is_in(self.version)).collect();
        for field in present.iter().filter(|field| field.tag.is_none()) {
            self.field(field, depth);
        }
        if self.is_flexible {
            self.tags(&present, depth);
        }
    }

    fn tags(&mut self, present: &[&Field], depth: usize) {
        let mut tagged: Vec<(u32, Vec<u8>)> = Vec::new();
        for field in present {
            let Some(tag) = field.tag else { continue };
            if self.choices.below(2) == 1 {
                let outer = std::mem::take(&mut self.bytes);
                self.field(field, depth);
                tagged.push((tag, std::mem::replace(&mut self.bytes, outer)));
            }
        }
        tagged.sort_by_key(|(tag, _)| *tag);
        let unknown_count =
            if self.counts.is_some() { 1 } else { self.choices.below(8).saturating_sub(5) };
        for tag in (1000_u32..).take(unknown_count) {
            tagged.push((tag, vec![7; self.choices.below(3)]));
        }
        self.memory_bytes += unknown_count * 448;
        self.varint(tagged.len());
        for (tag, value) in tagged {
            self.varint(usize::try_from(tag).expect("a tag fits"));
            self.varint(value.len());
            self.bytes.extend_from_slice(&value);
        }
    }

    fn field(&mut self, field: &Field, depth: usize) {
        let may_be_null = field.may_be_null(self.version);
        let is_null = may_be_null && self.counts.is_none() && self.choices.below(4) == 3;
        match field.kind {
            Kind::Fixed(count) => self.fixed(field, count),
            Kind::Text if is_null => self.text_length(None),
            Kind::Text => self.text(field),
            Kind::Bytes if is_null => self.length(None),
            Kind::Bytes => {
                let words = (self.words)(field.name);
                let words = words.unwrap_or_else(|| vec![0xab; self.choices.below(5)]);
                self.length(Some(words.len()));
                self.bytes.extend_from_slice(&words);
            }
            Kind::Structure(fields) => {
                if may_be_null {
                    self.bytes.push(if is_null { 0xff } else { 1 });
                }
                if !is_null {
                    self.structure(fields, depth);
                }
            }
            Kind::Scalars(_) | Kind::Structures { .. } if is_null => self.length(None),
            Kind::Scalars(scalar) => {
                for _ in 0..self.count(depth, scalar.memory_bytes()) {
                    match scalar {
                        Scalar::Fixed(count) => self.fixed(field, count),
                        Scalar::Text => self.text(field),
                    }
                }
            }
            Kind::Structures { fields, memory_bytes } => {
                for _ in 0..self.count(depth, memory_bytes) {
                    self.structure(fields, depth + 1);
                }
            }
        }
    }

    fn count(&mut self, depth: usize, memory_bytes: u32) -> usize {
        let count = match self.counts {
            Some(counts) => counts.get(depth).copied().unwrap_or(1),
            None => self.choices.below(4),
        };
        self.length(Some(count));
        self.memory_bytes += count * usize::try_from(memory_bytes).expect("it is small");
        count
    }

    fn fixed(&mut self, field: &Field, count: u8) {
        if let Some(words) = (self.words)(field.name).filter(|w| w.len() == usize::from(count)) {
            self.bytes.extend_from_slice(&words);
            return;
        }
        for _ in 0..count {
            let byte = self.choices.next();
            self.bytes.push(byte);
        }
    }

    fn text(&mut self, field: &Field) {
        let words = (self.words)(field.name).unwrap_or_else(|| {
            let count = self.choices.below(6);
            vec![b'a' + self.choices.next() % 26; count]
        });
        self.text_length(Some(words.len()));
        self.bytes.extend_from_slice(&words);
    }

    fn text_length(&mut self, length: Option<usize>) {
        if self.is_flexible {
            self.length(length);
        } else {
            let length = length.map_or(-1, |count| i16::try_from(count).expect("it is small"));
            self.bytes.extend_from_slice(&length.to_be_bytes());
        }
    }

    fn length(&mut self, length: Option<usize>) {
        if self.is_flexible {
            self.varint(length.map_or(0, |length| length + 1));
        } else {
            let length = length.map_or(-1, |length| i32::try_from(length).expect("it is small"));
            self.bytes.extend_from_slice(&length.to_be_bytes());
        }
    }

    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.bytes.push(u8::try_from(value % 0x80).expect("seven bits") | 0x80);
            value /= 0x80;
        }
        self.bytes.push(u8::try_from(value).expect("seven bits"));
    }
}
