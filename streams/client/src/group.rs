//! What the binding's admin client cannot ask of groups.
use std::ffi::CString;
use std::ptr::{NonNull, null};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{IsError, KafkaError, KafkaResult};

/// Forgets the committed offsets of these partitions (topic, number) for a group without members on these topics.
///
/// # Errors
/// What the cluster says of the group or of the first partition that it does not forget.
pub fn delete_group_offsets<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    partitions: &[(&str, i32)],
    timeout: Duration,
) -> KafkaResult<()> {
    let text =
        |text: &str| CString::new(text).map_err(|error| KafkaError::AdminOpCreation(error.to_string()));
    let (group, handle) = (text(group)?, client.native_ptr());
    let topics = partitions
        .iter()
        .map(|(topic, number)| Ok((text(topic)?, *number)));
    let topics: Vec<(CString, i32)> = topics.collect::<KafkaResult<_>>()?;
    let milliseconds = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives, texts end with a zero and live until they are copied, and what is made here is destroyed here, once;
    // the result is read before its event is destroyed.
    unsafe {
        let list = sys::rd_kafka_topic_partition_list_new(topics.len() as i32);
        for (topic, number) in &topics {
            sys::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), *number);
        }
        let mut request = sys::rd_kafka_DeleteConsumerGroupOffsets_new(group.as_ptr(), list);
        sys::rd_kafka_topic_partition_list_destroy(list);
        let queue = sys::rd_kafka_queue_new(handle);
        sys::rd_kafka_DeleteConsumerGroupOffsets(handle, &raw mut request, 1, null(), queue);
        let event = sys::rd_kafka_queue_poll(queue, milliseconds);
        let outcome = match NonNull::new(event) {
            None => Err(sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT),
            Some(event) => outcome(event.as_ptr()),
        };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_DeleteConsumerGroupOffsets_destroy(request);
        sys::rd_kafka_queue_destroy(queue);
        outcome.map_err(|code| KafkaError::AdminOp(code.into()))
    }
}

/// # Safety
/// The event is good.
unsafe fn outcome(event: *mut sys::rd_kafka_event_t) -> Result<(), sys::rd_kafka_resp_err_t> {
    let judged = |code: sys::rd_kafka_resp_err_t| if code.is_error() { Err(code) } else { Ok(()) };
    // SAFETY: the event is good, and what is read of it lives as long.
    unsafe {
        judged(sys::rd_kafka_event_error(event))?;
        let result = sys::rd_kafka_event_DeleteConsumerGroupOffsets_result(event);
        if result.is_null() {
            return Err(sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_MSG);
        }
        let mut count = 0;
        let groups = sys::rd_kafka_DeleteConsumerGroupOffsets_result_groups(result, &raw mut count);
        if count == 0 || groups.is_null() {
            return Ok(());
        }
        let error = sys::rd_kafka_group_result_error(*groups);
        if !error.is_null() {
            judged(sys::rd_kafka_error_code(error))?;
        }
        let list = sys::rd_kafka_group_result_partitions(*groups);
        if list.is_null() {
            return Ok(());
        }
        let elements = std::slice::from_raw_parts((*list).elems, usize::try_from((*list).cnt).unwrap_or(0));
        elements.iter().try_for_each(|element| judged(element.err))
    }
}
