use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::metadata::{BrokerRegistration, ClusterImage, MetadataImage};
use crate::model::{BrokerEpoch, NodeId, Offset};

/// What only the active controller knows of brokers: when they were heard last and how far they have read.
///
/// None of it is in the log: a new controller gives every broker a whole session before it judges, unless it finds that
/// nobody listens where the broker should be.
#[derive(Clone, Debug)]
pub(super) struct Heartbeats {
    session_timeout: Duration,
    sessions: BTreeMap<NodeId, Session>,
}

/// A connection over which brokers heartbeat; unique while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

#[derive(Clone, Copy, Debug)]
struct Session {
    epoch: BrokerEpoch,
    last_contact: Duration,
    /// How far the broker has applied the metadata log, by its last heartbeat.
    metadata_offset: Option<Offset>,
    /// The broker may go when all others have applied the log up to here.
    controlled_shutdown_offset: Option<Offset>,
    /// Over which connection it was heard last; `None` for the broker of our own process.
    connection: Option<ConnectionId>,
    /// When the session ends because that connection is gone.
    gone_by: Option<Duration>,
    /// False while we only assume the session, because we have just become active.
    is_confirmed: bool,
}

impl Heartbeats {
    /// Assumes that every unfenced broker was heard just now.
    pub(super) fn new(session_timeout: Duration, image: &MetadataImage, now: Duration) -> Self {
        let sessions = image.cluster().brokers().filter(|broker| !broker.is_fenced).map(|broker| {
            (
                broker.id,
                Session {
                    epoch: broker.epoch,
                    last_contact: now,
                    metadata_offset: None,
                    controlled_shutdown_offset: None,
                    connection: None,
                    gone_by: None,
                    is_confirmed: false,
                },
            )
        });
        Self { session_timeout, sessions: sessions.collect() }
    }

    /// True when this registration of the broker was heard, or was assumed to be, within the session time-out.
    pub(super) fn has_valid_session(&self, id: NodeId, epoch: BrokerEpoch, now: Duration) -> bool {
        self.session(id, epoch).is_some_and(|session| !self.is_expired(session, now))
    }

    /// True when this registration has been heard of since we became active.
    pub(super) fn is_confirmed(&self, id: NodeId, epoch: BrokerEpoch) -> bool {
        self.session(id, epoch).is_some_and(|session| session.is_confirmed)
    }

    /// Where the broker's controlled shutdown began, if it is in one.
    pub(super) fn controlled_shutdown_offset(
        &self,
        id: NodeId,
        epoch: BrokerEpoch,
    ) -> Option<Offset> {
        self.session(id, epoch)?.controlled_shutdown_offset
    }

    /// Notes that the broker was heard, over which connection, and how far it has read.
    pub(super) fn touch(
        &mut self,
        (id, epoch): (NodeId, BrokerEpoch),
        metadata_offset: Option<Offset>,
        connection: Option<ConnectionId>,
        now: Duration,
    ) {
        let shutdown = self.controlled_shutdown_offset(id, epoch);
        self.sessions.insert(
            id,
            Session {
                epoch,
                last_contact: now,
                metadata_offset,
                controlled_shutdown_offset: shutdown,
                connection,
                gone_by: None,
                is_confirmed: true,
            },
        );
    }

    /// Notes that a connection is gone over which the broker was heard: if it is the one over which it was heard last, the
    /// session ends at `gone_by` unless the broker is heard again.
    pub(super) fn lose(&mut self, id: NodeId, connection: ConnectionId, gone_by: Duration) {
        if let Some(session) = self.sessions.get_mut(&id)
            && session.connection == Some(connection)
        {
            session.gone_by = Some(gone_by);
        }
    }

    /// Those who count as alive and have not been heard of since we became active.
    pub(super) fn unheard<'a>(
        &'a self,
        cluster: &'a ClusterImage,
    ) -> impl Iterator<Item = &'a BrokerRegistration> {
        let unfenced = cluster.brokers().map(Arc::as_ref).filter(|broker| !broker.is_fenced);
        unfenced.filter(|broker| {
            self.session(broker.id, broker.epoch).is_some_and(|session| !session.is_confirmed)
        })
    }

    /// Notes that nobody listens where the broker should be: one that has not been heard of since we became active is gone
    /// at `gone_by`, or at an earlier such time, unless it is heard until then.
    pub(super) fn miss(&mut self, id: NodeId, epoch: BrokerEpoch, gone_by: Duration) {
        if let Some(session) = self.sessions.get_mut(&id)
            && session.epoch == epoch
            && !session.is_confirmed
        {
            session.gone_by.get_or_insert(gone_by);
        }
    }

    /// Notes that the broker's process was last heard of at that time, for which it is given its session.
    pub(super) fn last_heard(&mut self, id: NodeId, at: Duration) {
        if let Some(session) = self.sessions.get_mut(&id)
            && !session.is_confirmed
        {
            session.last_contact = session.last_contact.min(at);
        }
    }

    /// Notes that the broker may go once all others have applied the log up to `offset`. Keeps the first such offset.
    pub(super) fn begin_controlled_shutdown(&mut self, id: NodeId, offset: Offset) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.controlled_shutdown_offset.get_or_insert(offset);
        }
    }

    /// The broker is not in a controlled shutdown, or no longer.
    pub(super) fn end_controlled_shutdown(&mut self, id: NodeId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.controlled_shutdown_offset = None;
        }
    }

    /// Forgets the broker: it is fenced, gone, or registers anew.
    pub(super) fn forget(&mut self, id: NodeId) {
        self.sessions.remove(&id);
    }

    /// The smallest offset that any active broker has applied; `None` when there is no active broker, and zero when one
    /// of them has not said yet.
    pub(super) fn lowest_active_offset(&self, cluster: &ClusterImage) -> Option<Offset> {
        let active = cluster.brokers().filter(|broker| broker.is_active());
        active
            .map(|broker| {
                let session = self.session(broker.id, broker.epoch);
                session.and_then(|session| session.metadata_offset).unwrap_or(Offset::ZERO)
            })
            .min()
    }

    /// One unfenced broker whose session has ended, if there is any: the first to end.
    pub(super) fn find_stale_broker(
        &self,
        cluster: &ClusterImage,
        now: Duration,
    ) -> Option<NodeId> {
        let unfenced = cluster.brokers().filter(|broker| !broker.is_fenced);
        let stale = unfenced.filter_map(|broker| match self.session(broker.id, broker.epoch) {
            None => Some((Duration::ZERO, broker.id)),
            Some(session) if self.is_expired(session, now) => Some((self.end(session), broker.id)),
            Some(_) => None,
        });
        stale.min().map(|(_, id)| id)
    }

    /// When [`Self::find_stale_broker`] may next find one; `None` when no broker has a session.
    pub(super) fn next_deadline(&self, cluster: &ClusterImage) -> Option<Duration> {
        let unfenced = cluster.brokers().filter(|broker| !broker.is_fenced);
        let ends = unfenced.filter_map(|broker| self.session(broker.id, broker.epoch));
        ends.map(|session| self.end(session)).min()
    }

    fn session(&self, id: NodeId, epoch: BrokerEpoch) -> Option<&Session> {
        self.sessions.get(&id).filter(|session| session.epoch == epoch)
    }

    fn is_expired(&self, session: &Session, now: Duration) -> bool {
        self.end(session) <= now
    }

    /// When the session ends if nothing is heard until then.
    fn end(&self, session: &Session) -> Duration {
        let end = session.last_contact + self.session_timeout;
        session.gone_by.map_or(end, |gone_by| end.min(gone_by))
    }
}
