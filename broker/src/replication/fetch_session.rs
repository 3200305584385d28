//! Incremental fetch: the broker remembers what a client fetches, so that neither side repeats it.
//!
//! A client offers a session with epoch 0, goes on with epochs 1, 2, …, and ends it with -1. In a session a request names
//! only what changed and a response only partitions with news. The order of partitions rotates: those that gave records go
//! to the end, so that a small byte limit starves nobody. Sessions hold no record data and may be dropped at any time.
//!
//! Source: KIP-227; KIP-516 for sessions by topic id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::environment::Instant;
use crate::model::{ErrorCode, LeaderEpoch, PartitionIndex, TopicId, TopicName};

/// How the client names topics: by name up to Fetch 12, by id from 13 on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKey {
    /// By name.
    Name(TopicName),
    /// By id.
    Id(TopicId),
}

/// One partition a client fetches, as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionFetch {
    /// The topic.
    pub topic: TopicKey,
    /// The partition in it.
    pub partition: PartitionIndex,
    /// Fetch from here; as on the wire, since nonsense is answered with `OFFSET_OUT_OF_RANGE`.
    pub offset: i64,
    /// At most so many bytes of this partition.
    pub max_bytes: i32,
    /// The epoch of the leader the client believes in.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the last record the client has, for divergence (KIP-595).
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// A follower's own log start offset; -1 from consumers.
    pub log_start_offset: i64,
}

/// What the last response said of a partition; a change is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// High watermark, -1 when unknown.
    pub high_watermark: i64,
    /// Log start offset, -1 when unknown.
    pub log_start_offset: i64,
}

/// What became of one partition in this response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the response says.
    pub told: Told,
    /// Records are in it.
    pub has_records: bool,
    /// An error, a diverging epoch or a preferred replica is in it.
    pub has_news: bool,
}

/// A client's claim on a session: the two numbers of a Fetch request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// 0: none yet.
    pub session_id: i32,
    /// 0: begin; -1: end or none; else the next epoch of `session_id`.
    pub epoch: i32,
}

/// One fetch, as the cache sees it from request to response.
#[derive(Debug)]
pub struct FetchContext {
    kind: Kind,
    /// What to read, in order.
    pub partitions: Vec<PartitionFetch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Answer everything; remember nothing.
    Sessionless,
    /// Answer everything; offer a session.
    Offer { by_id: bool, privileged: bool },
    /// Answer what changed.
    Incremental { session_id: i32 },
}

type Key = (TopicKey, PartitionIndex);

#[derive(Debug)]
struct Remembered {
    order: u64,
    fetch: PartitionFetch,
    told: Option<Told>,
}

#[derive(Debug)]
struct Session {
    next_epoch: i32,
    by_id: bool,
    privileged: bool,
    created: Instant,
    last_used: Instant,
    next_order: u64,
    partitions: BTreeMap<Key, Remembered>,
    order: BTreeMap<u64, Key>,
}

/// All sessions of a broker. Cheap operations under one short lock.
#[derive(Debug)]
pub struct FetchSessions {
    slots: usize,
    sessions: Mutex<BTreeMap<i32, Session>>,
}

/// A session younger than this is not pushed out by a bigger one, and one unused for longer goes first.
const EVICTION_MS: i64 = 120_000;

impl FetchSessions {
    /// At most `slots` sessions (`max.incremental.fetch.session.cache.slots`).
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self { slots, sessions: Mutex::new(BTreeMap::new()) }
    }

    /// Takes a request apart into what must be read.
    ///
    /// # Errors
    ///
    /// `FETCH_SESSION_ID_NOT_FOUND`, `INVALID_FETCH_SESSION_EPOCH` or `FETCH_SESSION_TOPIC_ID_ERROR`; the client begins anew.
    pub fn begin(
        &self,
        now: Instant,
        claim: Claim,
        by_id: bool,
        privileged: bool,
        request: (Vec<PartitionFetch>, &[(TopicKey, PartitionIndex)]),
    ) -> Result<FetchContext, ErrorCode> {
        let (partitions, forgotten) = request;
        let mut sessions = self.lock();
        // Other negative epochs belong to no session and are refused below.
        if matches!(claim.epoch, -1 | 0) {
            if claim.session_id != 0 {
                sessions.remove(&claim.session_id);
            }
            let kind = if claim.epoch == 0 {
                Kind::Offer { by_id, privileged }
            } else {
                Kind::Sessionless
            };
            return Ok(FetchContext { kind, partitions });
        }
        let Some(session) = sessions.get_mut(&claim.session_id) else {
            return Err(ErrorCode::FetchSessionIdNotFound);
        };
        if session.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        if session.next_epoch != claim.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        session.next_epoch = if claim.epoch == i32::MAX { 1 } else { claim.epoch + 1 };
        session.last_used = now;
        for fetch in partitions {
            session.remember(fetch, None);
        }
        for key in forgotten {
            session.forget(key);
        }
        if session.partitions.is_empty() {
            sessions.remove(&claim.session_id);
            return Ok(FetchContext { kind: Kind::Sessionless, partitions: Vec::new() });
        }
        let partitions =
            session.order.values().map(|key| session.partitions[key].fetch.clone()).collect();
        Ok(FetchContext { kind: Kind::Incremental { session_id: claim.session_id }, partitions })
    }

    /// Decides what goes into the response: the session id to answer with, and for each of the context's partitions (in its
    /// order) whether it is told. `random` draws ids for new sessions.
    pub fn finish(
        &self,
        now: Instant,
        context: &FetchContext,
        outcomes: &[Outcome],
        random: impl FnMut() -> u64,
    ) -> (i32, Vec<bool>) {
        match context.kind {
            Kind::Sessionless => (0, vec![true; outcomes.len()]),
            Kind::Offer { by_id, privileged } => {
                let id = self.offer(now, (by_id, privileged), context, outcomes, random);
                (id, vec![true; outcomes.len()])
            }
            Kind::Incremental { session_id } => {
                (session_id, self.news(session_id, context, outcomes))
            }
        }
    }

    /// True when a response without news need not wait for more (nothing is remembered of it).
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn offer(
        &self,
        now: Instant,
        (by_id, privileged): (bool, bool),
        context: &FetchContext,
        outcomes: &[Outcome],
        mut random: impl FnMut() -> u64,
    ) -> i32 {
        let mut sessions = self.lock();
        let distinct: BTreeSet<_> =
            context.partitions.iter().map(|p| (&p.topic, p.partition)).collect();
        if distinct.is_empty() || !self.make_room(&mut sessions, now, (privileged, distinct.len()))
        {
            return 0;
        }
        let id = loop {
            let id = i32::try_from(random() & 0x7fff_ffff).unwrap_or(1);
            if id != 0 && !sessions.contains_key(&id) {
                break id;
            }
        };
        let mut session = Session {
            next_epoch: 1,
            by_id,
            privileged,
            created: now,
            last_used: now,
            next_order: 0,
            partitions: BTreeMap::new(),
            order: BTreeMap::new(),
        };
        for (fetch, outcome) in context.partitions.iter().zip(outcomes) {
            session.remember(fetch.clone(), Some(outcome.told));
        }
        sessions.insert(id, session);
        id
    }

    /// Frees a slot when all are taken; false when nobody may be pushed out.
    fn make_room(
        &self,
        sessions: &mut BTreeMap<i32, Session>,
        now: Instant,
        newcomer: (bool, usize),
    ) -> bool {
        if sessions.len() < self.slots {
            return true;
        }
        let stale = |at: Instant| at.plus_millis(EVICTION_MS) < now;
        let unused = sessions
            .iter()
            .filter(|(_, s)| stale(s.last_used))
            .min_by_key(|(id, s)| (s.last_used, **id));
        let smaller = || {
            sessions
                .iter()
                .filter(|(_, s)| stale(s.created) && (!s.privileged || newcomer.0))
                .min_by_key(|(id, s)| (s.privileged, s.partitions.len(), **id))
                .filter(|(_, s)| (s.privileged, s.partitions.len()) < newcomer)
        };
        let Some(victim) = unused.or_else(smaller).map(|(id, _)| *id) else {
            return false;
        };
        sessions.remove(&victim);
        true
    }

    fn news(&self, session_id: i32, context: &FetchContext, outcomes: &[Outcome]) -> Vec<bool> {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(&session_id) else {
            return vec![true; outcomes.len()];
        };
        context
            .partitions
            .iter()
            .zip(outcomes)
            .map(|(fetch, outcome)| {
                let key = (fetch.topic.clone(), fetch.partition);
                let Some(remembered) = session.partitions.get_mut(&key) else {
                    return true;
                };
                let is_told = outcome.has_records
                    || outcome.has_news
                    || remembered.told != Some(outcome.told);
                // An error is told again until it is gone.
                remembered.told = if outcome.has_news { None } else { Some(outcome.told) };
                if outcome.has_records {
                    session.move_to_the_end(&key);
                }
                is_told
            })
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<i32, Session>> {
        self.sessions.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl FetchContext {
    /// True when everything is answered, whether it changed or not.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !matches!(self.kind, Kind::Incremental { .. })
    }
}

impl Session {
    fn remember(&mut self, fetch: PartitionFetch, told: Option<Told>) {
        let key = (fetch.topic.clone(), fetch.partition);
        if let Some(remembered) = self.partitions.get_mut(&key) {
            remembered.fetch = fetch;
            return;
        }
        let order = self.next_order;
        self.next_order += 1;
        self.order.insert(order, key.clone());
        self.partitions.insert(key, Remembered { order, fetch, told });
    }

    fn forget(&mut self, key: &Key) {
        if let Some(remembered) = self.partitions.remove(key) {
            self.order.remove(&remembered.order);
        }
    }

    fn move_to_the_end(&mut self, key: &Key) {
        if let Some(remembered) = self.partitions.get_mut(key) {
            self.order.remove(&remembered.order);
            remembered.order = self.next_order;
            self.order.insert(self.next_order, key.clone());
            self.next_order += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Claim, FetchSessions, Instant, Outcome, PartitionFetch, PartitionIndex, Told, TopicKey,
    };
    use crate::model::ErrorCode;

    fn fetch(partition: i32, offset: i64) -> PartitionFetch {
        PartitionFetch {
            topic: TopicKey::Name("t".into()),
            partition: PartitionIndex(partition),
            offset,
            max_bytes: 1,
            current_leader_epoch: None,
            last_fetched_epoch: None,
            log_start_offset: -1,
        }
    }

    fn quiet(high_watermark: i64) -> Outcome {
        Outcome {
            told: Told { high_watermark, log_start_offset: 0 },
            has_records: false,
            has_news: false,
        }
    }

    fn data(high_watermark: i64) -> Outcome {
        Outcome { has_records: true, ..quiet(high_watermark) }
    }

    const BEGIN: Claim = Claim { session_id: 0, epoch: 0 };

    fn begun(sessions: &FetchSessions, partitions: Vec<PartitionFetch>) -> i32 {
        let context = sessions
            .begin(Instant(0), BEGIN, false, false, (partitions, &[]))
            .expect("a new session");
        let outcomes = vec![quiet(0); context.partitions.len()];
        sessions.finish(Instant(0), &context, &outcomes, || 7).0
    }

    #[test]
    fn a_response_in_a_session_tells_only_news_and_rotates() {
        let sessions = FetchSessions::new(10);
        let id = begun(&sessions, vec![fetch(0, 0), fetch(1, 0), fetch(2, 0)]);
        assert_eq!(id, 7);
        let next = |epoch| {
            sessions.begin(Instant(0), Claim { session_id: id, epoch }, false, false, (vec![], &[]))
        };
        let context = next(1).expect("epoch 1 is next");
        let (answer, told) =
            sessions.finish(Instant(0), &context, &[data(0), quiet(0), quiet(5)], || 0);
        assert_eq!((answer, told), (7, vec![true, false, true]));
        let order: Vec<_> =
            next(2).expect("epoch 2 is next").partitions.iter().map(|p| p.partition.0).collect();
        assert_eq!(order, [1, 2, 0], "the one with records went to the end");
        assert_eq!(next(2).expect_err("used up"), ErrorCode::InvalidFetchSessionEpoch);
    }

    #[test]
    fn errors_are_told_until_they_are_gone() {
        let sessions = FetchSessions::new(10);
        let id = begun(&sessions, vec![fetch(0, 0)]);
        let mut told = Vec::new();
        for (epoch, has_news) in [(1, true), (2, true), (3, false), (4, false)] {
            let claim = Claim { session_id: id, epoch };
            let context =
                sessions.begin(Instant(0), claim, false, false, (vec![], &[])).expect("in order");
            told.extend(
                sessions.finish(Instant(0), &context, &[Outcome { has_news, ..quiet(0) }], || 0).1,
            );
        }
        assert_eq!(told, [true, true, true, false]);
    }

    #[test]
    fn unknown_wrong_and_mixed_claims_are_refused() {
        let sessions = FetchSessions::new(10);
        let id = begun(&sessions, vec![fetch(0, 0)]);
        let check = |session_id, epoch, by_id, expected| {
            let claim = Claim { session_id, epoch };
            let refused = sessions
                .begin(Instant(0), claim, by_id, false, (vec![], &[]))
                .expect_err("refused");
            assert_eq!(refused, expected);
        };
        check(id + 1, 1, false, ErrorCode::FetchSessionIdNotFound);
        check(0, 1, false, ErrorCode::FetchSessionIdNotFound);
        check(id, 9, false, ErrorCode::InvalidFetchSessionEpoch);
        check(id, 1, true, ErrorCode::FetchSessionTopicIdError);
    }

    #[test]
    fn a_session_ends_when_all_is_forgotten_or_the_client_says_so() {
        let sessions = FetchSessions::new(10);
        let id = begun(&sessions, vec![fetch(0, 0)]);
        let key = (TopicKey::Name("t".into()), PartitionIndex(0));
        let claim = Claim { session_id: id, epoch: 1 };
        let context =
            sessions.begin(Instant(0), claim, false, false, (vec![], &[key])).expect("forgets");
        assert!(context.partitions.is_empty());
        assert_eq!(sessions.finish(Instant(0), &context, &[], || 0).0, 0);
        assert_eq!(sessions.count(), 0);

        let id = begun(&sessions, vec![fetch(0, 0)]);
        let end = Claim { session_id: id, epoch: -1 };
        let context =
            sessions.begin(Instant(0), end, false, false, (vec![fetch(0, 0)], &[])).expect("ends");
        assert_eq!(sessions.finish(Instant(0), &context, &[quiet(0)], || 0), (0, vec![true]));
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn a_full_cache_gives_way_to_the_bigger_and_to_what_is_unused() {
        let sessions = FetchSessions::new(1);
        begun(&sessions, vec![fetch(0, 0)]);
        let late = Instant(0).plus_millis(1000);
        let offer = |now, count| {
            let partitions = (0..count).map(|p| fetch(p, 0)).collect();
            let context =
                sessions.begin(now, BEGIN, false, false, (partitions, &[])).expect("an offer");
            let outcomes = vec![quiet(0); context.partitions.len()];
            sessions.finish(now, &context, &outcomes, || 9).0
        };
        assert_eq!(offer(late, 5), 0, "the first is young and was just used");
        assert_eq!(offer(Instant(0).plus_millis(121_000), 1), 9, "unused for two minutes");
    }
}
