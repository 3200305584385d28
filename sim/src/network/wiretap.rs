//! Listens to what programs write onto their connections and cuts it into messages, so that a picture can show
//! "Produce" where the links only see bytes. Nobody is told, and nothing changes by it.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, Bytes, BytesMut};
use ottla::protocol::{LENGTH_PREFIX_BYTES, api_row_by_number, peek_correlation_id};

use super::endpoint::{EndpointId, Side};
use super::spoken;
use crate::events::{Message, MessageKind};
use crate::machine::MachineId;

/// All that is heard in one world.
#[derive(Debug, Default)]
pub(super) struct Wiretap {
    /// By sender.
    lines: BTreeMap<EndpointId, Line>,
    /// Requests that may still be answered, by connection and correlation id.
    asked: BTreeMap<(u64, i32), Asked>,
    last_number: u64,
}

/// One direction of one connection.
#[derive(Debug, Default)]
struct Line {
    /// Written, but not yet a whole message.
    pending: BytesMut,
    /// How many bytes have been cut into messages.
    cut: u64,
    /// Messages that have not arrived as a whole: where they end, and their numbers.
    under_way: VecDeque<(u64, u64)>,
    /// It is not Kafka's protocol that is spoken here.
    is_foreign: bool,
}

/// What a response has to be known by.
#[derive(Clone, Debug)]
struct Asked {
    number: i16,
    api: &'static str,
    version: i16,
    partitions: Vec<(String, i32)>,
}

impl Wiretap {
    /// The program at `id` has written `bytes`; gives the messages that are complete by that.
    pub(super) fn written(
        &mut self,
        id: EndpointId,
        way: (MachineId, MachineId),
        bytes: &[u8],
    ) -> Vec<Message> {
        let peer_is_foreign = self.lines.get(&id.peer()).is_some_and(|line| line.is_foreign);
        let line = self.lines.entry(id).or_default();
        line.is_foreign |= peer_is_foreign;
        line.pending.extend_from_slice(bytes);
        let mut messages = Vec::new();
        while let Some((piece, is_frame)) = self.next_piece(id) {
            let length = piece.len();
            let heard = if is_frame { self.understand(id, &piece) } else { None };
            let (kind, partitions, text) =
                heard.unwrap_or((MessageKind::Bytes, Vec::new(), String::new()));
            self.last_number += 1;
            let line = self.lines.entry(id).or_default();
            let sequence = line.cut;
            line.cut += length as u64;
            line.under_way.push_back((line.cut, self.last_number));
            messages.push(Message {
                number: self.last_number,
                from: way.0,
                to: way.1,
                connection: id.connection,
                kind,
                length,
                sequence,
                partitions,
                text,
            });
        }
        messages
    }

    /// Everything that the program at `sender` has written before `up_to` has arrived; gives the numbers of the messages
    /// that are whole by that.
    pub(super) fn received(&mut self, sender: EndpointId, up_to: u64) -> Vec<u64> {
        let Some(line) = self.lines.get_mut(&sender) else { return Vec::new() };
        let mut numbers = Vec::new();
        while let Some((end, number)) = line.under_way.front().copied()
            && end <= up_to
        {
            line.under_way.pop_front();
            numbers.push(number);
        }
        numbers
    }

    /// Cuts a whole frame off what is pending, or everything where the protocol is another one.
    fn next_piece(&mut self, id: EndpointId) -> Option<(Bytes, bool)> {
        let line = self.lines.get_mut(&id)?;
        if !line.is_foreign {
            let prefix = line.pending.first_chunk::<LENGTH_PREFIX_BYTES>()?;
            let length = usize::try_from(i32::from_be_bytes(*prefix)).ok();
            match length.filter(|length| FRAME_BYTES.contains(length)) {
                Some(length) if is_known(id.side, &line.pending) => {
                    let whole = LENGTH_PREFIX_BYTES + length;
                    return (line.pending.len() >= whole)
                        .then(|| (line.pending.split_to(whole).freeze(), true));
                }
                Some(_) | None => line.is_foreign = true,
            }
        }
        let rest = line.pending.split().freeze();
        (!rest.is_empty()).then_some((rest, false))
    }

    fn understand(&mut self, id: EndpointId, frame: &Bytes) -> Option<spoken::Heard> {
        let mut body = frame.slice(LENGTH_PREFIX_BYTES..);
        if id.side == Side::Client {
            let (number, version) = (body.get_i16(), body.get_i16());
            let correlation_id = body.get_i32();
            let row = api_row_by_number(number)?;
            let (partitions, text) = spoken::request(row.key, version, frame);
            let partitions_asked = partitions.clone();
            let asked = Asked { number, api: row.name, version, partitions: partitions_asked };
            self.asked.insert((id.connection, correlation_id), asked);
            let kind = MessageKind::Request { api: row.name, version, correlation_id };
            return Some((kind, partitions, text));
        }
        let correlation_id = peek_correlation_id(&body)?;
        let asked = self.asked.remove(&(id.connection, correlation_id))?;
        let row = api_row_by_number(asked.number)?;
        let (mut partitions, text) = spoken::response(row.key, asked.version, body);
        if partitions.is_empty() {
            partitions = asked.partitions;
        }
        let kind = MessageKind::Response { api: asked.api, version: asked.version, correlation_id };
        Some((kind, partitions, text))
    }
}

/// Whether a frame may go on like this: a request says its API early.
fn is_known(side: Side, pending: &[u8]) -> bool {
    match (side, pending.get(LENGTH_PREFIX_BYTES..LENGTH_PREFIX_BYTES + 2)) {
        (Side::Client, Some(&[high, low])) => {
            api_row_by_number(i16::from_be_bytes([high, low])).is_some()
        }
        (Side::Client | Side::Server, _) => true,
    }
}

/// Shorter ones have no room for a header, larger ones nobody accepts.
const FRAME_BYTES: std::ops::Range<usize> = 4..100 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        let length = i32::try_from(body.len()).expect("short");
        [&length.to_be_bytes()[..], body].concat()
    }

    fn side(side: Side) -> EndpointId {
        EndpointId { connection: 9, side }
    }

    const WAY: (MachineId, MachineId) = (MachineId(2), MachineId(1));

    #[test]
    fn frames_are_found_in_a_stream_and_responses_know_their_request() {
        let mut tap = Wiretap::default();
        // ApiVersions, version 0, correlation id 7, no client id.
        let request = frame(&[0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff]);
        let twice = [request.clone(), request.clone()].concat();
        let mut heard = Vec::new();
        for byte in &twice {
            heard.extend(tap.written(side(Side::Client), WAY, &[*byte]));
        }
        let kind = MessageKind::Request { api: "ApiVersions", version: 0, correlation_id: 7 };
        assert_eq!(heard.iter().map(|m| m.kind).collect::<Vec<_>>(), [kind, kind]);
        let end = request.len() as u64;
        assert_eq!(tap.received(side(Side::Client), end - 1), [0; 0]);
        assert_eq!(tap.received(side(Side::Client), end), [1]);
        assert_eq!(tap.received(side(Side::Client), 2 * end), [2]);
        let answer = tap.written(side(Side::Server), WAY, &frame(&[0, 0, 0, 7, 0, 0]));
        let kind = MessageKind::Response { api: "ApiVersions", version: 0, correlation_id: 7 };
        assert_eq!(answer[0].kind, kind);
        assert_eq!((answer[0].number, answer[0].length), (3, 10));
    }

    #[test]
    fn another_protocol_is_taken_as_it_is_written() {
        let mut tap = Wiretap::default();
        let line = tap.written(side(Side::Client), WAY, b"hello\n");
        assert_eq!((line[0].kind, line[0].length), (MessageKind::Bytes, 6));
        let answer = tap.written(side(Side::Server), WAY, &[0, 0, 0, 4, 1]);
        assert_eq!((answer[0].kind, answer[0].length), (MessageKind::Bytes, 5));
    }
}
