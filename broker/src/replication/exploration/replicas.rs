//! What a replica does; what it decides is decided by the broker's own code.

use std::sync::Arc;

use super::{Fetched, Message, Record, World, at, index};
use crate::model::{LeaderEpoch, Offset};
use crate::replication::divergence::{Comparison, compare, truncation_point};
use crate::replication::in_sync_replicas::IsrChange;
use crate::replication::leader::{FollowerFetch, Leadership};
use crate::replication::replica_state::Entry;

impl World {
    /// The next image of the metadata log reaches a node.
    pub(super) fn apply(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let Some(image) = self.images.get(node.applied).filter(|_| node.is_up) else { return };
        node.applied += 1;
        let may_lead = image.brokers[&node.id].0 >= node.registered;
        let registration = Arc::clone(&image.partition);
        match node.state.entry(&registration, may_lead) {
            Entry::Lead(epoch) => {
                node.entered = node.entered.max(Some(epoch));
                let start = at(node.log.len());
                node.epochs.begin(epoch, start);
                node.state.lead(registration, start, self.now);
            }
            Entry::Follow(epoch) => {
                node.state.follow(registration);
                node.entered = node.entered.max(Some(epoch));
            }
            Entry::Stay => node.state.stay(registration),
        }
        self.advance(place);
    }

    pub(super) fn advance(&mut self, place: usize) {
        let moved = self.ask(place, |leadership, view| leadership.high_watermark(view)).flatten();
        let Some(to) = moved else { return };
        let min = self.min;
        self.nodes[place].high_watermark = to;
        let answered = self
            .ask(place, |leadership, _| (leadership.epoch(), leadership.has_enough_in_sync(min)));
        let Some((epoch, true)) = answered else { return };
        let node = &mut self.nodes[place];
        for (of, offset, value) in &node.unanswered {
            if *of == epoch && at(*offset) < to {
                let other = self.acknowledged.insert(*offset, *value);
                assert!(other.is_none_or(|other| other == *value), "{}", self.history);
            }
        }
        node.unanswered.retain(|(_, offset, _)| at(*offset) >= to);
    }

    pub(super) fn produce(&mut self, place: usize) {
        let min = self.min;
        let may = self.ask(place, |leadership, _| {
            leadership.has_enough_in_sync(min).then_some(leadership.epoch())
        });
        let Some(Some(epoch)) = may else { return };
        self.next_value += 1;
        let value = self.next_value;
        let node = &mut self.nodes[place];
        node.epochs.assign(epoch, at(node.log.len()));
        node.unanswered.push((epoch, node.log.len(), value));
        node.log.push((epoch, value));
        self.advance(place);
    }

    pub(super) fn flush(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        node.durable = node.log.len();
        self.advance(place);
    }

    pub(super) fn fetch(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let registration = node.state.registration();
        let epoch = registration.leader_epoch;
        let Some(leader) = registration.leader.filter(|_| node.state.follows_in(epoch)) else {
            return;
        };
        if leader == node.id {
            return;
        }
        if self.is_strict {
            node.durable = node.log.len();
        }
        let from = FollowerFetch { id: node.id, broker_epoch: Some(node.registered) };
        let (at, last) = (at(node.log.len()), node.epochs.latest());
        node.fetch += 1;
        let number = node.fetch;
        self.network.push(Message::Fetch { from, to: leader, epoch, number, at, last });
    }

    pub(super) fn serve(&mut self, place: usize, message: &Message) {
        let Message::Fetch { from, epoch, number, at: offset, last, .. } = *message else { return };
        let node = &self.nodes[place];
        if node.state.leadership().map(Leadership::epoch) != Ok(epoch) {
            return;
        }
        let end = at(node.log.len());
        let answer = |answer| Message::Fetched { to: from.id, number, epoch, at: offset, answer };
        if let Some(last) = last {
            match compare(last, offset, node.epochs.end_offset(last, end)) {
                Comparison::Agrees => {}
                Comparison::Parts(end) => {
                    self.network.push(answer(Fetched::Parts(end)));
                    return;
                }
                Comparison::Unknown => return,
            }
        }
        if offset > end {
            self.network.push(answer(Fetched::OutOfRange { end }));
            return;
        }
        let limit = 1 + self.dice.roll(3);
        let records: Vec<Record> =
            self.nodes[place].log[index(offset)..].iter().take(limit).copied().collect();
        let counted =
            self.ask(place, |leadership, view| leadership.fetched(from, offset, None, view));
        if counted != Some(Ok(())) {
            return;
        }
        let change = self.ask(place, |leadership, view| leadership.expand(from.id, view)).flatten();
        self.wish(place, change);
        self.advance(place);
        let high_watermark = self.nodes[place].high_watermark;
        self.network.push(answer(Fetched::Records { records, high_watermark }));
    }

    pub(super) fn take(
        &mut self,
        place: usize,
        epoch: LeaderEpoch,
        asked: Offset,
        answer: Fetched,
    ) {
        let node = &mut self.nodes[place];
        let is_over = node.entered.is_some_and(|entered| entered > epoch);
        if !node.is_up || is_over || !node.state.follows_in(epoch) || at(node.log.len()) != asked {
            return;
        }
        let end = match answer {
            Fetched::Records { records, high_watermark } => {
                for (of, value) in records {
                    node.epochs.assign(of, at(node.log.len()));
                    node.log.push((of, value));
                }
                let to = high_watermark.min(at(node.log.len()));
                node.high_watermark = node.high_watermark.max(to);
                return;
            }
            Fetched::Parts(told) => {
                let own = node.epochs.end_offset(told.epoch, asked);
                truncation_point(told, own, asked)
            }
            Fetched::OutOfRange { end } => end.min(asked),
        };
        assert!(end >= node.high_watermark, "{} cuts below {}", self.history, node.high_watermark);
        node.log.truncate(index(end));
        node.durable = node.durable.min(node.log.len());
        node.epochs.truncate_from_end(end);
    }

    pub(super) fn wish(&mut self, place: usize, change: Option<IsrChange>) {
        if let Some(change) = change {
            let (from, sent) = (self.nodes[place].id, self.now);
            self.network.push(Message::Alter { from, sent, change });
        }
    }
}
