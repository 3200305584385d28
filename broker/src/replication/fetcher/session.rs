//! The follower's half of incremental fetch: what of a request the leader remembers already. Source: KIP-227.

use std::collections::BTreeMap;

use super::Key;
use crate::model::{ErrorCode, LeaderEpoch, Offset};
use crate::replication::Claim;

/// How a follower asks for one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The epoch of the leader it follows.
    pub(crate) epoch: LeaderEpoch,
    /// Where its log ends.
    pub(crate) offset: Offset,
    /// The epoch of its last record.
    pub(crate) last_epoch: Option<LeaderEpoch>,
    /// Where its log begins.
    pub(crate) log_start: Offset,
}

/// A request in a session, or to begin one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) claim: Claim,
    /// All partitions, or those that are new or asked for differently than before.
    pub(super) ask: Vec<(Key, Asked)>,
    /// Those that are asked for no more.
    pub(super) forget: Vec<Key>,
}

/// Why an answer cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unbelievable {
    #[error("the leader answered with {0}")]
    Refused(ErrorCode),
    #[error("a partition was answered that nobody asked for")]
    NotAsked,
    #[error("a partition was answered twice")]
    Twice,
    #[error("partitions were left out of a full answer")]
    Incomplete,
    #[error("session {0} is not the one that was asked in")]
    OtherSession(i32),
}

/// One session with one leader; 0 is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    claim: Option<Claim>,
    sent: BTreeMap<Key, Asked>,
}

const FIRST: Claim = Claim { session_id: 0, epoch: 0 };

impl Session {
    /// The next request, for exactly these partitions.
    pub(super) fn request(&mut self, wanted: &BTreeMap<Key, Asked>) -> Request {
        let claim = self.claim.unwrap_or(FIRST);
        let (ask, forget) = if claim.epoch == 0 {
            (wanted.iter().map(|(key, asked)| (*key, *asked)).collect(), Vec::new())
        } else {
            let differs = |(key, asked): &(&Key, &Asked)| self.sent.get(*key) != Some(*asked);
            let ask = wanted.iter().filter(differs).map(|(key, asked)| (*key, *asked)).collect();
            let forget = self.sent.keys().filter(|key| !wanted.contains_key(*key)).copied();
            (ask, forget.collect())
        };
        self.sent.clone_from(wanted);
        Request { claim, ask, forget }
    }

    /// Judges an answer by its head and the partitions it speaks of. Whatever is wrong, the next request begins anew.
    pub(super) fn answered(
        &mut self,
        error: ErrorCode,
        session_id: i32,
        partitions: &[Key],
    ) -> Result<(), Unbelievable> {
        let judged = self.judge(error, session_id, partitions);
        let claim = self.claim.unwrap_or(FIRST);
        self.claim = match &judged {
            // The leader does not know it any more, or has no place for one.
            Ok(()) if session_id == 0 => None,
            Ok(()) => {
                let epoch = if claim.epoch == i32::MAX { 1 } else { claim.epoch + 1 };
                Some(Claim { session_id, epoch })
            }
            Err(Unbelievable::Refused(ErrorCode::FetchSessionIdNotFound)) => None,
            Err(_) => Some(Claim { epoch: 0, ..claim }),
        };
        judged
    }

    fn judge(
        &self,
        error: ErrorCode,
        session_id: i32,
        partitions: &[Key],
    ) -> Result<(), Unbelievable> {
        if error != ErrorCode::None {
            return Err(Unbelievable::Refused(error));
        }
        let mut sorted = partitions.to_vec();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| matches!(pair, [left, right] if left == right)) {
            return Err(Unbelievable::Twice);
        }
        if !partitions.iter().all(|key| self.sent.contains_key(key)) {
            return Err(Unbelievable::NotAsked);
        }
        let claim = self.claim.unwrap_or(FIRST);
        if claim.epoch == 0 {
            if partitions.len() != self.sent.len() {
                return Err(Unbelievable::Incomplete);
            }
            return Ok(());
        }
        if session_id != 0 && session_id != claim.session_id {
            return Err(Unbelievable::OtherSession(session_id));
        }
        Ok(())
    }

    /// No answer came: the next request closes the session, if there is still one, and begins anew.
    pub(super) fn lost(&mut self) {
        self.claim = self.claim.map(|claim| Claim { epoch: 0, ..claim });
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{PartitionIndex, TopicId};

    fn key(partition: i32) -> Key {
        (TopicId(Uuid::from_u128(1)), PartitionIndex(partition))
    }

    fn asked(offset: i64) -> Asked {
        Asked {
            epoch: LeaderEpoch::new(1),
            offset: Offset::new(offset),
            last_epoch: None,
            log_start: Offset::ZERO,
        }
    }

    fn wanted(partitions: &[(i32, i64)]) -> BTreeMap<Key, Asked> {
        partitions.iter().map(|(partition, at)| (key(*partition), asked(*at))).collect()
    }

    fn claims(request: &Request) -> (i32, i32, usize, usize) {
        let Claim { session_id, epoch } = request.claim;
        (session_id, epoch, request.ask.len(), request.forget.len())
    }

    #[test]
    fn only_what_differs_is_said_in_a_session() {
        let mut session = Session::default();
        assert_eq!(claims(&session.request(&wanted(&[(0, 0), (1, 0)]))), (0, 0, 2, 0));
        session.answered(ErrorCode::None, 7, &[key(0), key(1)]).unwrap();
        assert_eq!(claims(&session.request(&wanted(&[(0, 5), (1, 0), (2, 0)]))), (7, 1, 2, 0));
        session.answered(ErrorCode::None, 7, &[key(2)]).unwrap();
        let request = session.request(&wanted(&[(0, 5), (2, 0)]));
        assert_eq!((claims(&request), request.forget), ((7, 2, 0, 1), vec![key(1)]));
        session.answered(ErrorCode::None, 7, &[]).unwrap();
        // The leader has dropped it: what it says counts, and the next request is full.
        assert_eq!(claims(&session.request(&wanted(&[(0, 5)]))), (7, 3, 0, 1));
        session.answered(ErrorCode::None, 0, &[key(0)]).unwrap();
        assert_eq!(claims(&session.request(&wanted(&[(0, 5)]))), (0, 0, 1, 0));
    }

    #[test]
    fn after_a_failure_everything_is_said_anew() {
        let started = || {
            let mut session = Session::default();
            session.request(&wanted(&[(0, 0), (1, 0)]));
            session.answered(ErrorCode::None, 7, &[key(0), key(1)]).unwrap();
            session.request(&wanted(&[(0, 0), (1, 0)]));
            session
        };
        let next = |mut session: Session| claims(&session.request(&wanted(&[(0, 0), (1, 0)])));
        let mut lost = started();
        lost.lost();
        assert_eq!(next(lost), (7, 0, 2, 0), "the old one is closed with it");
        let mut unknown = started();
        unknown.answered(ErrorCode::FetchSessionIdNotFound, 0, &[]).unwrap_err();
        assert_eq!(next(unknown), (0, 0, 2, 0));
        let mut confused = started();
        confused.answered(ErrorCode::InvalidFetchSessionEpoch, 0, &[]).unwrap_err();
        assert_eq!(next(confused), (7, 0, 2, 0));
    }

    #[test]
    fn answers_to_what_was_not_asked_are_refused() {
        let check = |answers: &[(i32, Vec<i32>)], expected: Unbelievable| {
            let mut session = Session::default();
            let mut judged = Ok(());
            for (id, partitions) in answers {
                session.request(&wanted(&[(0, 0), (1, 0)]));
                let keys: Vec<Key> = partitions.iter().copied().map(key).collect();
                judged = session.answered(ErrorCode::None, *id, &keys);
            }
            assert_eq!(judged, Err(expected));
        };
        check(&[(7, vec![0, 9])], Unbelievable::NotAsked);
        check(&[(7, vec![0, 0])], Unbelievable::Twice);
        check(&[(7, vec![0])], Unbelievable::Incomplete);
        check(&[(7, vec![0, 1]), (8, vec![])], Unbelievable::OtherSession(8));
        check(&[(7, vec![0, 1]), (7, vec![9])], Unbelievable::NotAsked);
    }
}
