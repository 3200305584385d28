//! Groups' words as the codec's words, and back: "" and -1 are `None` on our side.

use kafka_protocol::protocol::StrBytes;

use crate::coordinator::{InstanceId, MemberIdentity};
use crate::model::{GroupId, MemberId};

pub(super) fn group(id: &kafka_protocol::messages::GroupId) -> GroupId {
    GroupId::new(id.as_str())
}

pub(super) fn member(id: &StrBytes) -> Option<MemberId> {
    if id.is_empty() { None } else { Some(MemberId::new(id.as_str())) }
}

pub(super) fn instance(id: Option<&StrBytes>) -> Option<InstanceId> {
    id.map(|id| InstanceId::new(id.as_str()))
}

pub(super) fn identity(member_id: &StrBytes, instance_id: Option<&StrBytes>) -> MemberIdentity {
    MemberIdentity { member_id: member(member_id), instance_id: instance(instance_id) }
}
