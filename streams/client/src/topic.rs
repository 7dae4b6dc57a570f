//! Topics that a producer writes to.
use std::ffi::{CString, c_void};
use std::ptr::{NonNull, null_mut};

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{IsError, KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

/// librdkafka's `RD_KAFKA_PARTITION_UA`: the partitioner says which.
const UNASSIGNED: i32 = -1;
/// Records that are handed over at once.
const BATCH: usize = 512;

/// What became of records that were to be queued.
#[derive(Debug, Default)]
pub struct Queued {
    /// How many of the first ones are done with: they were queued, or refused for what they are.
    pub taken: usize,
    /// Places of those that were refused, and why.
    pub refused: Vec<(usize, RDKafkaErrorCode)>,
    /// There is no room for more.
    pub is_full: bool,
}

/// A handle of a topic, which spares looking it up by name for each record. It must be dropped before its client.
pub struct ProducerTopic {
    handle: NonNull<sys::rd_kafka_topic_t>,
    client: *mut sys::rd_kafka_t,
    batch: Vec<sys::rd_kafka_message_t>,
    /// What the delivery report of the next record gives back.
    mark: usize,
}

// SAFETY: librdkafka's topics may be used by any thread, and so may what is left of a batch, which nobody follows.
unsafe impl Send for ProducerTopic {}

impl ProducerTopic {
    /// A handle of `topic` with `client`, which need not exist yet.
    pub fn new<C: ClientContext>(client: &Client<C>, topic: &str) -> KafkaResult<Self> {
        let failed = |why: String| KafkaError::Subscription(format!("{topic}: {why}"));
        let name = CString::new(topic).map_err(|error| failed(error.to_string()))?;
        let client = client.native_ptr();
        // SAFETY: the client lives, the name ends with a zero; without a configuration it takes the client's.
        let handle = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), null_mut()) };
        let handle = NonNull::new(handle).ok_or_else(|| failed("the client does not take it".to_owned()))?;
        Ok(Self {
            handle,
            client,
            batch: Vec::with_capacity(BATCH),
            mark: 0,
        })
    }

    /// Has the delivery report of the next record that is queued give this back, where the client's opaque is a number, and those of records
    /// that are queued with it the numbers behind it.
    pub fn mark(&mut self, mark: usize) {
        self.mark = mark;
    }

    /// Queues a copy of a record; without a partition by its key, without a time at the time of now (milliseconds since 1970).
    pub fn send(
        &self,
        partition: Option<i32>,
        time: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), RDKafkaErrorCode> {
        use sys::rd_kafka_vtype_t::*;
        let ((key, key_length), (value, value_length)) = (parts(key), parts(value));
        // SAFETY: each tag is followed by what librdkafka documents for it; the bytes are copied before the call returns.
        let error = unsafe {
            sys::rd_kafka_producev(
                self.client,
                RD_KAFKA_VTYPE_RKT,
                self.handle.as_ptr(),
                RD_KAFKA_VTYPE_PARTITION,
                partition.unwrap_or(UNASSIGNED),
                RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                RD_KAFKA_VTYPE_VALUE,
                value,
                value_length,
                RD_KAFKA_VTYPE_KEY,
                key,
                key_length,
                RD_KAFKA_VTYPE_TIMESTAMP,
                time.unwrap_or(0),
                RD_KAFKA_VTYPE_OPAQUE,
                mark_pointer(self.mark),
                RD_KAFKA_VTYPE_END,
            )
        };
        if error.is_error() {
            Err(error.into())
        } else {
            Ok(())
        }
    }

    /// Queues copies of records for one partition (without one each by its key), at the time of now, until there is no more room.
    pub fn send_all<'a>(
        &mut self,
        partition: Option<i32>,
        records: impl Iterator<Item = (Option<&'a [u8]>, Option<&'a [u8]>)>,
    ) -> Queued {
        let (mut records, mut queued) = (records.peekable(), Queued::default());
        let partition = partition.unwrap_or(UNASSIGNED);
        let mut mark = self.mark;
        while records.peek().is_some() {
            self.batch.clear();
            self.batch
                .extend(records.by_ref().take(BATCH).map(|(key, value)| {
                    let ((key, key_len), (payload, len)) = (parts(key), parts(value));
                    let number = mark;
                    mark += 1;
                    sys::rd_kafka_message_t {
                        err: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
                        rkt: null_mut(),
                        partition,
                        payload,
                        len,
                        key,
                        key_len,
                        offset: 0,
                        _private: mark_pointer(number),
                    }
                }));
            // SAFETY: the bytes live as long as the records' borrow, and are copied before the call returns.
            unsafe {
                sys::rd_kafka_produce_batch(
                    self.handle.as_ptr(),
                    partition,
                    sys::RD_KAFKA_MSG_F_COPY,
                    self.batch.as_mut_ptr(),
                    self.batch.len() as i32,
                )
            };
            for message in &self.batch {
                if message.err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__QUEUE_FULL {
                    // What follows in the batch was not tried.
                    queued.is_full = true;
                    return queued;
                }
                if message.err.is_error() {
                    queued.refused.push((queued.taken, message.err.into()));
                }
                queued.taken += 1;
            }
        }
        queued
    }
}

impl Drop for ProducerTopic {
    fn drop(&mut self) {
        // SAFETY: the handle is good, and used no more.
        unsafe { sys::rd_kafka_topic_destroy(self.handle.as_ptr()) };
    }
}

/// A number as C passes it on: nobody follows it.
fn mark_pointer(mark: usize) -> *mut c_void {
    std::ptr::without_provenance_mut(mark)
}

/// Bytes as C takes them: none is a null, and an empty slice is not.
fn parts(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    match bytes {
        None => (null_mut(), 0),
        Some(bytes) => (bytes.as_ptr().cast_mut().cast(), bytes.len()),
    }
}
