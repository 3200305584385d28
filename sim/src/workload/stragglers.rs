//! A member of a group that speaks for itself: once its group has moved on to another generation, it commits as one that has
//! not heard of it. That must be refused, or the partitions' new owners would go back to where the old one stood.
//!
//! Each time in a group of its own, of one member: when it joins again a new generation begins, and once that one's assignment
//! is acknowledged no crash brings the one before back.

use std::io;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use ottla::environment::timeout;
use ottla::model::{ErrorCode, TopicPartition};

use super::spoken::Line;
use super::{Clients, Shared, TOPIC, Workload, pause};
use crate::history::Verdict;
use crate::random::Random;
use crate::runtime::SimRuntime;

pub(super) const WORKLOAD: Workload = Workload { name: "stragglers", start };

fn start(clients: &mut Clients, random: &mut Random) {
    if random.chance(0.2) {
        clients.add("straggler", straggle);
    }
}

async fn straggle(runtime: SimRuntime, shared: Shared) {
    while !shared.is_over() {
        // Whatever has no answer: another group is next.
        let limit = shared.habits.request_timeout;
        let _ = timeout(&runtime, limit, commit_too_late(&runtime, &shared)).await;
        pause(&runtime, 4_000).await;
    }
    std::future::pending::<()>().await;
}

async fn commit_too_late(runtime: &SimRuntime, shared: &Shared) -> io::Result<()> {
    let Shared { habits, history, .. } = shared;
    let name = format!("straggling-{}", history.new_life());
    let mut member = Member {
        line: Line::open(runtime, habits.some_broker(runtime), "straggler").await?,
        group: GroupId(StrBytes::from_string(name.clone())),
        id: StrBytes::default(),
    };
    let old = member.join().await?;
    let new = member.join().await?;
    let code = member.commit(old).await?;
    if code == ErrorCode::None.code() {
        let what = format!("{name} is in generation {new}, and takes a commit of generation {old}");
        history.surprise(Verdict::ZombieCommit, Some(&TopicPartition::new(TOPIC, 0)), what);
    } else if code == ErrorCode::IllegalGeneration.code() {
        runtime.world().events().count("stale generation refused", 1);
    }
    // Whoever is in the present one may.
    member.commit(new).await?;
    member.leave().await
}

struct Member {
    line: Line,
    group: GroupId,
    id: StrBytes,
}

impl Member {
    /// Joins, gives itself an assignment, and says in which generation: one that the group's log knows.
    async fn join(&mut self) -> io::Result<i32> {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str("range"))
            .with_metadata(Bytes::from_static(b"no matter"));
        let request = JoinGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000)
            .with_member_id(self.id.clone())
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(vec![protocol]);
        // The last that gives a member its id and takes it in at once.
        let joined = self.line.ask(3, &request).await?;
        succeeded(joined.error_code)?;
        self.id = joined.member_id;
        let generation = joined.generation_id;
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(self.id.clone())
            .with_assignment(Bytes::from_static(b"all"));
        let request = SyncGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id(generation)
            .with_member_id(self.id.clone())
            .with_assignments(vec![assignment]);
        succeeded(self.line.ask(3, &request).await?.error_code)?;
        Ok(generation)
    }

    /// Commits something, and gives the code it is answered with.
    async fn commit(&mut self, generation: i32) -> io::Result<i16> {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(i64::from(generation));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(self.id.clone())
            .with_topics(vec![topic]);
        let response = self.line.ask(7, &request).await?;
        let mut answers = response.topics.iter().flat_map(|topic| &topic.partitions);
        let code = answers.next().map(|answer| answer.error_code);
        code.ok_or_else(|| io::Error::other("an answer without a partition"))
    }

    async fn leave(&mut self) -> io::Result<()> {
        let this = MemberIdentity::default().with_member_id(self.id.clone());
        let request =
            LeaveGroupRequest::default().with_group_id(self.group.clone()).with_members(vec![this]);
        succeeded(self.line.ask(3, &request).await?.error_code)
    }
}

fn succeeded(code: i16) -> io::Result<()> {
    if code == ErrorCode::None.code() {
        return Ok(());
    }
    Err(io::Error::other(format!("refused: {code}")))
}
