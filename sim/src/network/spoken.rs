//! What messages say, in a few words: which partitions they speak of, and the numbers that people look for.

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::FetchRequest;
use kafka_protocol::messages::produce_request::ProduceRequest;
use kafka_protocol::protocol::Request;
use ottla::model::{ErrorCode, uuid_to_text};
use ottla::protocol::{
    ApiKey, Incoming, LENGTH_PREFIX_BYTES, ListenerRole, decode_body, decode_response,
    read_request_header,
};
use uuid::Uuid;

use crate::events::MessageKind;

/// A message as it was understood: what it is, the partitions it speaks of, a few words.
pub(super) type Heard = (MessageKind, Vec<(String, i32)>, String);

/// The partitions, and a few words.
type Said = (Vec<(String, i32)>, String);

/// Understands a whole frame. Whatever cannot be read says nothing.
pub(super) fn request(api: ApiKey, version: i16, frame: &Bytes) -> Said {
    let mut said = Words::default();
    if api == ApiKey::Produce
        && let Some(produce) = body_of::<ProduceRequest>(frame, version)
    {
        for topic in produce.topic_data {
            for partition in topic.partition_data {
                let bytes = partition.records.map_or(0, |records| records.len());
                let what = format!("{bytes} bytes");
                said.add(&topic.name, topic.topic_id, partition.index, &what);
            }
        }
    } else if api == ApiKey::Fetch
        && let Some(fetch) = body_of::<FetchRequest>(frame, version)
    {
        for topic in fetch.topics {
            for partition in topic.partitions {
                let what = format!("from {}", partition.fetch_offset);
                said.add(&topic.topic, topic.topic_id, partition.partition, &what);
            }
        }
    }
    said.done()
}

/// Understands a frame without its length.
pub(super) fn response(api: ApiKey, version: i16, mut frame: Bytes) -> Said {
    let mut said = Words::default();
    if api == ApiKey::Produce
        && let Ok((_, produce)) = decode_response::<ProduceRequest>(&mut frame, version)
    {
        for topic in produce.responses {
            for partition in topic.partition_responses {
                let stored = format!("at {}", partition.base_offset);
                let what = outcome(partition.error_code, stored);
                said.add(&topic.name, topic.topic_id, partition.index, &what);
            }
        }
    } else if api == ApiKey::Fetch
        && let Ok((_, fetch)) = decode_response::<FetchRequest>(&mut frame, version)
    {
        for topic in fetch.responses {
            for partition in topic.partitions {
                let bytes = partition.records.map_or(0, |records| records.len());
                let found = format!("{bytes} bytes, high watermark {}", partition.high_watermark);
                let what = outcome(partition.error_code, found);
                said.add(&topic.topic, topic.topic_id, partition.partition_index, &what);
            }
        }
    }
    said.done()
}

fn body_of<T: Request>(frame: &Bytes, version: i16) -> Option<T> {
    for role in [ListenerRole::Broker, ListenerRole::Controller] {
        let mut body = frame.slice(LENGTH_PREFIX_BYTES..);
        if let Ok(Incoming::Request(_)) = read_request_header(&mut body, role) {
            return decode_body(&mut body, version).ok();
        }
    }
    None
}

fn outcome(code: i16, success: String) -> String {
    match code {
        0 => success,
        _ => ErrorCode::from_code(code).map_or_else(|| code.to_string(), |e| e.name().to_owned()),
    }
}

/// What is said partition by partition.
#[derive(Default)]
struct Words {
    partitions: Vec<(String, i32)>,
    texts: Vec<String>,
}

impl Words {
    fn add(&mut self, name: &str, id: Uuid, partition: i32, what: &str) {
        let topic = if name.is_empty() { uuid_to_text(id) } else { name.to_owned() };
        // The name of a topic known by its id only is filled in where it is known.
        self.texts.push(format!("{topic}-{partition} {what}"));
        self.partitions.push((topic, partition));
    }

    fn done(self) -> Said {
        (self.partitions, self.texts.join("; "))
    }
}
