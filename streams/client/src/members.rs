//! Who is in a consumer group, as its coordinator says.
use std::ffi::{CStr, CString, c_char};
use std::ptr::{NonNull, null};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{IsError, KafkaError, KafkaResult};

/// A group's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMembers {
    /// Whether each member has its partitions: not while the group rebalances.
    pub stable: bool,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupMember {
    /// What the group calls it.
    pub member_id: String,
    /// Its `group.instance.id`, if it has one.
    pub instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Its partitions (topic, number).
    pub partitions: Vec<(String, i32)>,
}

/// Asks the group's coordinator who is in it.
///
/// # Errors
/// What the cluster says, or that it does not answer in time.
pub fn group_members<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    timeout: Duration,
) -> KafkaResult<GroupMembers> {
    let group = CString::new(group).map_err(|error| KafkaError::AdminOpCreation(error.to_string()))?;
    let handle = client.native_ptr();
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives, texts end with a zero and live until they are copied, and what is made here is destroyed here, once;
    // the result is read before its event is destroyed.
    unsafe {
        let mut groups: [*const c_char; 1] = [group.as_ptr()];
        let queue = sys::rd_kafka_queue_new(handle);
        sys::rd_kafka_DescribeConsumerGroups(handle, groups.as_mut_ptr(), 1, null(), queue);
        let event = sys::rd_kafka_queue_poll(queue, milliseconds);
        let members = match NonNull::new(event) {
            None => Err(sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT),
            Some(event) => described(event.as_ptr()),
        };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        members.map_err(|code| KafkaError::AdminOp(code.into()))
    }
}

/// # Safety
/// The event is good.
unsafe fn described(event: *mut sys::rd_kafka_event_t) -> Result<GroupMembers, sys::rd_kafka_resp_err_t> {
    let bad = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_MSG;
    let judged = |code: sys::rd_kafka_resp_err_t| if code.is_error() { Err(code) } else { Ok(()) };
    // SAFETY: the event is good, and what is read of it lives as long.
    unsafe {
        judged(sys::rd_kafka_event_error(event))?;
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        if result.is_null() {
            return Err(bad);
        }
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if count == 0 || groups.is_null() {
            return Err(bad);
        }
        let group = *groups;
        let error = sys::rd_kafka_ConsumerGroupDescription_error(group);
        if !error.is_null() {
            judged(sys::rd_kafka_error_code(error))?;
        }
        let state = sys::rd_kafka_ConsumerGroupDescription_state(group);
        let members = (0..sys::rd_kafka_ConsumerGroupDescription_member_count(group)).map(|index| {
            let member = sys::rd_kafka_ConsumerGroupDescription_member(group, index);
            let instance_id = text(sys::rd_kafka_MemberDescription_group_instance_id(member));
            GroupMember {
                member_id: text(sys::rd_kafka_MemberDescription_consumer_id(member)),
                instance_id: Some(instance_id).filter(|id| !id.is_empty()),
                client_id: text(sys::rd_kafka_MemberDescription_client_id(member)),
                partitions: partitions(sys::rd_kafka_MemberDescription_assignment(member)),
            }
        });
        Ok(GroupMembers {
            stable: state == sys::rd_kafka_consumer_group_state_t::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE,
            members: members.collect(),
        })
    }
}

/// # Safety
/// The text is null, or ends with a zero.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller says so.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// # Safety
/// The assignment is null, or good.
unsafe fn partitions(assignment: *const sys::rd_kafka_MemberAssignment_t) -> Vec<(String, i32)> {
    if assignment.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller says that the assignment is good; its list lives as long.
    unsafe {
        let list = sys::rd_kafka_MemberAssignment_partitions(assignment);
        if list.is_null() || (*list).cnt <= 0 {
            return Vec::new();
        }
        let elements = std::slice::from_raw_parts((*list).elems, usize::try_from((*list).cnt).unwrap_or(0));
        elements
            .iter()
            .map(|element| (text(element.topic), element.partition))
            .collect()
    }
}
