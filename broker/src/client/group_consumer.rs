//! Reading as a member of a classic group: who reads which partition is agreed among the members.
//!
//! One caller drives it: everything, heartbeats included, happens inside [`GroupConsumer::poll`], so whoever stops calling
//! is out of the group after the session time-out, as it should be.
//!
//! Sources: KIP-62 (rebalance time-out), KIP-394 (member id first), the embedded consumer protocol of Kafka's clients.

mod embedded;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use kafka_protocol::messages::heartbeat_request::HeartbeatRequest;
use kafka_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_protocol::messages::join_group_response::JoinGroupResponse;
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};

use self::embedded::{encode_assignment, encode_subscription};
use super::admin::{Commit, OffsetSpec, assigned_partitions, commit_offsets, fetch_offsets};
use super::assignor::{Assignments, Assignor, Subscriptions};
use super::consumer::{Consumer, ConsumerSettings, Fetched, Start};
use super::wire::text;
use super::{Client, Error, MissingTopic};
use crate::environment::{Instant, Runtime};
use crate::model::{ErrorCode, GroupId, Offset, TopicName, TopicPartition};
use crate::protocol::internal_records::consumer_protocol::subscribed_topics;

/// How a member behaves; the names in parentheses are Kafka's.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// The group (`group.id`).
    pub group: GroupId,
    /// What it reads.
    pub topics: Vec<TopicName>,
    /// Out of the group after this time without a heartbeat (`session.timeout.ms`).
    pub session_timeout: Duration,
    /// How long others wait for this member in a rebalance (`max.poll.interval.ms`).
    pub rebalance_timeout: Duration,
    /// Time between heartbeats (`heartbeat.interval.ms`).
    pub heartbeat_interval: Duration,
    /// The assignors this member can do, the preferred first (`partition.assignment.strategy`).
    pub assignors: Vec<Assignor>,
    /// Where to begin without a committed offset (`auto.offset.reset`); `None` makes it an error.
    pub reset: Option<OffsetSpec>,
    /// Commits what was handed out, this often, and before giving partitions up (`auto.commit.interval.ms`); `None`
    /// leaves it to the caller (`enable.auto.commit`).
    pub auto_commit: Option<Duration>,
    /// How it fetches.
    pub consumer: ConsumerSettings,
}

impl GroupSettings {
    /// Kafka's defaults for a member of `group` that reads `topics`.
    #[must_use]
    pub fn new(group: impl Into<GroupId>, topics: Vec<TopicName>) -> Self {
        Self {
            group: group.into(),
            topics,
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(300),
            heartbeat_interval: Duration::from_secs(3),
            assignors: Assignor::ALL.to_vec(),
            reset: Some(OffsetSpec::Latest),
            auto_commit: Some(Duration::from_secs(5)),
            consumer: ConsumerSettings::default(),
        }
    }
}

/// What happened to a member.
#[derive(Clone, Debug)]
pub enum GroupEvent {
    /// These partitions are its own from now on.
    Assigned {
        /// The group's generation.
        generation: i32,
        /// The partitions, perhaps none.
        partitions: Vec<TopicPartition>,
    },
    /// It gives up what it had: a rebalance has begun, or the group has gone on without it.
    Revoked {
        /// The generation that ends.
        generation: i32,
        /// The partitions.
        partitions: Vec<TopicPartition>,
    },
    /// Records of one of its partitions.
    Records(Fetched),
}

/// A member of a classic group.
pub struct GroupConsumer<R: Runtime> {
    client: Client<R>,
    settings: GroupSettings,
    consumer: Consumer<R>,
    member_id: String,
    membership: Option<Membership>,
    events: VecDeque<GroupEvent>,
    /// Handed out and, once the caller comes back, processed: what a commit may say.
    handed_out: BTreeMap<TopicPartition, Offset>,
}

/// While it is in the group.
#[derive(Clone, Copy, Debug)]
struct Membership {
    generation: i32,
    next_heartbeat: Instant,
    next_commit: Instant,
}

impl<R: Runtime> GroupConsumer<R> {
    /// A member that joins with the first [`poll`](Self::poll).
    #[must_use]
    pub fn new(client: Client<R>, settings: GroupSettings) -> Self {
        let consumer = ConsumerSettings { reset: settings.reset, ..settings.consumer.clone() };
        let consumer = Consumer::new(client.clone(), consumer);
        Self {
            client,
            settings,
            consumer,
            member_id: String::new(),
            membership: None,
            events: VecDeque::new(),
            handed_out: BTreeMap::new(),
        }
    }

    /// Its id in the group; empty before it has joined.
    #[must_use]
    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// The group's generation while it is a member.
    #[must_use]
    pub fn generation(&self) -> Option<i32> {
        self.membership.map(|membership| membership.generation)
    }

    /// The next offset to be handed out of a partition, once it is known.
    #[must_use]
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.consumer.position(partition)
    }

    /// The caller has processed less than it was handed: a commit says `next`.
    pub fn processed_until(&mut self, partition: &TopicPartition, next: Offset) {
        if let Some(handed_out) = self.handed_out.get_mut(partition) {
            *handed_out = next.min(*handed_out);
        }
    }

    /// What happens next; `None` when nothing did for `wait`. Calling again says that the records handed out are
    /// processed. Joining takes as long as the group needs, also longer than `wait`.
    ///
    /// # Errors
    ///
    /// What does not pass by itself, such as `GROUP_AUTHORIZATION_FAILED`, or that the coordinator does not answer in time.
    pub async fn poll(&mut self, wait: Duration) -> Result<Option<GroupEvent>, Error> {
        let runtime = self.client.runtime().clone();
        let deadline = runtime.now() + wait;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let Some(membership) = self.membership else {
                self.join().await?;
                continue;
            };
            let now = runtime.now();
            if self.settings.auto_commit.is_some() && now >= membership.next_commit {
                self.auto_commit().await?;
                continue;
            }
            if now >= membership.next_heartbeat {
                self.heartbeat().await?;
                continue;
            }
            let until = deadline.min(membership.next_heartbeat);
            match self.consumer.poll(until.since(now)).await? {
                Some(fetched) => {
                    self.handed_out.insert(fetched.partition.clone(), fetched.next);
                    return Ok(Some(GroupEvent::Records(fetched)));
                }
                None if runtime.now() >= deadline => return Ok(None),
                None => {}
            }
        }
    }

    /// Commits everything handed out so far.
    ///
    /// # Errors
    ///
    /// `ILLEGAL_GENERATION`, `UNKNOWN_MEMBER_ID` or `REBALANCE_IN_PROGRESS` when others may own the partitions by now; the next
    /// [`poll`](Self::poll) joins again. Or that the coordinator does not answer in time.
    pub async fn commit(&mut self) -> Result<(), Error> {
        let Some(membership) = self.membership else { return Err(Error::Closed) };
        if self.handed_out.is_empty() {
            return Ok(());
        }
        let commit = Commit { generation: membership.generation, member: self.member_id.clone() };
        let offsets =
            self.handed_out.iter().map(|(partition, next)| (partition.clone(), (*next, None)));
        let offsets = offsets.collect();
        let outcome = commit_offsets(&self.client, &self.settings.group, &commit, &offsets).await;
        match &outcome {
            Ok(()) => self.handed_out.clear(),
            Err(error) => self.judge(error),
        }
        outcome
    }

    /// Commits when told to, and leaves the group at once instead of by time-out.
    ///
    /// # Errors
    ///
    /// When the last commit fails; leaving itself is best effort.
    pub async fn leave(mut self) -> Result<(), Error> {
        let committed = match self.settings.auto_commit {
            Some(_) if self.membership.is_some() => self.commit().await,
            Some(_) | None => Ok(()),
        };
        if !self.member_id.is_empty() {
            let _ = self.say_goodbye().await;
        }
        committed
    }

    async fn say_goodbye(&mut self) -> Result<(), Error> {
        let connection = self.client.coordinator(&self.settings.group).await?;
        let version = connection.version_of::<LeaveGroupRequest>(5)?;
        let request =
            LeaveGroupRequest::default().with_group_id(text(self.settings.group.as_str()).into());
        let member_id = text(&self.member_id);
        let request = if version >= 3 {
            let member = MemberIdentity::default()
                .with_member_id(member_id)
                .with_group_instance_id(None)
                .with_reason(None);
            request.with_members(vec![member])
        } else {
            request.with_member_id(member_id)
        };
        connection.call(&request, version).await?;
        Ok(())
    }

    async fn auto_commit(&mut self) -> Result<(), Error> {
        let interval = self.settings.auto_commit.unwrap_or_default();
        let next_commit = self.client.runtime().now() + interval;
        if let Some(membership) = &mut self.membership {
            membership.next_commit = next_commit;
        }
        match self.commit().await {
            Err(error) if self.membership.is_some() && !error.is_retriable() => Err(error),
            // The group has gone on, or the next commit says it again.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn heartbeat(&mut self) -> Result<(), Error> {
        let Some(membership) = self.membership else { return Ok(()) };
        let request = HeartbeatRequest::default()
            .with_group_id(text(self.settings.group.as_str()).into())
            .with_generation_id(membership.generation)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(None);
        let after = self.client.settings().request_timeout;
        let answer = self.client.call_coordinator(&self.settings.group, &request, 4, after).await;
        let what = || format!("heartbeat to group {}", self.settings.group);
        let outcome =
            answer.and_then(|(response, _)| Error::check(what, response.error_code, None));
        let now = self.client.runtime().now();
        let pause = match &outcome {
            Ok(()) => self.settings.heartbeat_interval,
            Err(_) => self.client.settings().retry_backoff,
        };
        if let Some(membership) = &mut self.membership {
            membership.next_heartbeat = now + pause;
        }
        let Err(error) = outcome else { return Ok(()) };
        if error.code() == Some(ErrorCode::RebalanceInProgress)
            && self.settings.auto_commit.is_some()
        {
            // Offsets of this generation are still taken.
            let _ = self.commit().await;
        }
        self.judge(&error);
        if self.membership.is_none() {
            return Ok(());
        }
        if error.is_retriable() {
            self.client.forget_coordinator(&self.settings.group);
            return Ok(());
        }
        Err(error)
    }

    /// Whether an error means that the membership has ended.
    fn judge(&mut self, error: &Error) {
        let Some(code) = error.code() else { return };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "all others leave the membership as it is"
        )]
        match code {
            ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration => self.revoke(),
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                self.member_id.clear();
                self.revoke();
            }
            _ => {}
        }
    }

    fn revoke(&mut self) {
        let Some(membership) = self.membership.take() else { return };
        let partitions: Vec<TopicPartition> = self.consumer.assignment().cloned().collect();
        self.consumer.assign([]);
        self.handed_out.clear();
        let generation = membership.generation;
        self.events.push_back(GroupEvent::Revoked { generation, partitions });
    }

    /// Joins, agrees and begins to read.
    async fn join(&mut self) -> Result<(), Error> {
        let mut retry =
            self.client.retry_for(self.settings.rebalance_timeout + self.settings.session_timeout);
        loop {
            let error = match self.join_once().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error.code() {
                // The coordinator has named us: again, at once, under that name.
                Some(ErrorCode::MemberIdRequired) => continue,
                Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                    self.member_id.clear();
                }
                Some(ErrorCode::RebalanceInProgress) => {}
                Some(_) | None if error.is_retriable() => {
                    self.client.forget_coordinator(&self.settings.group);
                }
                Some(_) | None => return Err(error),
            }
            let again = Error::Refused {
                what: format!("join group {}", self.settings.group),
                code: ErrorCode::CoordinatorNotAvailable,
                message: Some(error.to_string()),
            };
            retry.after(again).await?;
        }
    }

    async fn join_once(&mut self) -> Result<(), Error> {
        let joined = self.ask_to_join().await?;
        let assignments = self.assignments(&joined).await?;
        let partitions = self.sync(&joined, assignments).await?;
        let group = self.settings.group.clone();
        let committed = if partitions.is_empty() {
            BTreeMap::new()
        } else {
            fetch_offsets(&self.client, &group, Some(&partitions)).await?
        };
        let mut starts = Vec::with_capacity(partitions.len());
        for partition in &partitions {
            let start = match (committed.get(partition), self.settings.reset) {
                (Some(committed), _) => Start::At(committed.offset),
                (None, Some(reset)) => Start::Find(reset),
                (None, None) => {
                    let why = format!(
                        "group {group} has no offset for {partition} and no place to begin was given"
                    );
                    return Err(Error::Invalid { why });
                }
            };
            starts.push((partition.clone(), start));
        }
        self.consumer.assign(starts);
        self.handed_out.clear();
        let now = self.client.runtime().now();
        let generation = joined.generation_id;
        self.membership = Some(Membership {
            generation,
            next_heartbeat: now + self.settings.heartbeat_interval,
            next_commit: now + self.settings.auto_commit.unwrap_or_default(),
        });
        self.events.push_back(GroupEvent::Assigned { generation, partitions });
        Ok(())
    }

    async fn ask_to_join(&mut self) -> Result<JoinGroupResponse, Error> {
        let subscription = encode_subscription(&self.settings.topics)?;
        let protocol = |assignor: &Assignor| {
            JoinGroupRequestProtocol::default()
                .with_name(text(assignor.name()))
                .with_metadata(subscription.clone())
        };
        let millis = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        let request = JoinGroupRequest::default()
            .with_group_id(text(self.settings.group.as_str()).into())
            .with_session_timeout_ms(millis(self.settings.session_timeout))
            .with_rebalance_timeout_ms(millis(self.settings.rebalance_timeout))
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(None)
            .with_protocol_type(text("consumer"))
            .with_protocols(self.settings.assignors.iter().map(protocol).collect())
            .with_reason(None);
        // The broker answers when all have joined or the rebalance time-out has passed.
        let after = self.settings.rebalance_timeout + self.client.settings().request_timeout;
        let group = &self.settings.group;
        let (joined, _) = self.client.call_coordinator(group, &request, 9, after).await?;
        if joined.error_code == 0 || joined.error_code == ErrorCode::MemberIdRequired.code() {
            self.member_id = joined.member_id.to_string();
        }
        Error::check(|| format!("join group {group}"), joined.error_code, None)?;
        Ok(joined)
    }

    /// What the leader gives to everyone; nothing from others.
    async fn assignments(&mut self, joined: &JoinGroupResponse) -> Result<Assignments, Error> {
        if joined.leader.as_str() != self.member_id || joined.skip_assignment {
            return Ok(Assignments::new());
        }
        let name = joined.protocol_name.as_deref().unwrap_or_default();
        let Some(assignor) = Assignor::from_name(name) else {
            let why = format!(
                "the group agreed on the assignor {name:?}, which this client does not know"
            );
            return Err(Error::Invalid { why });
        };
        let mut members = Subscriptions::new();
        for member in &joined.members {
            let topics = subscribed_topics(&member.metadata).unwrap_or_default();
            members.insert(member.member_id.to_string(), topics.into_iter().collect());
        }
        let topics: BTreeSet<TopicName> = members.values().flatten().cloned().collect();
        let topics: Vec<TopicName> = topics.into_iter().collect();
        let cluster = self.client.refresh(Some(&topics), MissingTopic::Leave).await?;
        let counts = topics.into_iter().filter_map(|topic| {
            let count = i32::try_from(cluster.topics.get(&topic)?.partitions.len()).ok()?;
            Some((topic, count))
        });
        Ok(assignor.assign(&members, &counts.collect()))
    }

    async fn sync(
        &mut self,
        joined: &JoinGroupResponse,
        assignments: Assignments,
    ) -> Result<Vec<TopicPartition>, Error> {
        let mut shares = Vec::with_capacity(assignments.len());
        for (member, partitions) in assignments {
            let share = SyncGroupRequestAssignment::default()
                .with_member_id(text(&member))
                .with_assignment(encode_assignment(&partitions)?);
            shares.push(share);
        }
        let group = &self.settings.group;
        let request = SyncGroupRequest::default()
            .with_group_id(text(group.as_str()).into())
            .with_generation_id(joined.generation_id)
            .with_member_id(text(&self.member_id))
            .with_group_instance_id(None)
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(joined.protocol_name.clone())
            .with_assignments(shares);
        let after = self.settings.rebalance_timeout + self.client.settings().request_timeout;
        let (response, _) = self.client.call_coordinator(group, &request, 5, after).await?;
        Error::check(|| format!("sync with group {group}"), response.error_code, None)?;
        if response.assignment.is_empty() {
            return Ok(Vec::new());
        }
        assigned_partitions(&response.assignment).ok_or_else(|| Error::Invalid {
            why: format!("the leader of group {group} sent an assignment that cannot be read"),
        })
    }
}
