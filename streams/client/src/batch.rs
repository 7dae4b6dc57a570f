//! Records taken from a queue, a batch at a time.
use std::ffi::{CStr, c_char, c_void};
use std::ptr::{null, null_mut};

use rdkafka::bindings as sys;
use rdkafka::error::{IsError, KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;

use crate::queue::Queue;

/// Records taken at once.
const BATCH: usize = 512;

/// The headers of a record, looked up only by those who need one.
pub trait HeaderLookup {
    /// The value of the last header named `name`.
    fn header(&self, name: &str) -> Option<&[u8]>;

    /// All headers, in their order.
    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>));
}

/// Records of one queue that were taken from it.
pub struct Batch {
    messages: Vec<*mut sys::rd_kafka_message_t>,
    /// Those before it are destroyed, or the last one of them is lent out.
    next: usize,
    lent: bool,
    /// The partition whose end was met last, and where that is.
    pub(crate) end: Option<(i32, i64)>,
    /// The partition that the last error is of.
    pub(crate) failed: Option<i32>,
}

/// A record, until the next one is asked for.
pub struct Record<'a> {
    message: &'a sys::rd_kafka_message_t,
    topic: &'a str,
}

// SAFETY: librdkafka's messages may be used by any thread, one at a time.
unsafe impl Send for Batch {}

impl Batch {
    /// An empty one.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {
            messages: Vec::with_capacity(BATCH),
            next: 0,
            lent: false,
            end: None,
            failed: None,
        }
    }

    /// Whether [`next`](Self::next) gives anything before more is taken.
    #[inline]
    pub fn has_more(&self) -> bool {
        self.next < self.messages.len()
    }

    /// The next record or error, of a queue of `topic`.
    #[inline]
    pub fn next<'a>(&'a mut self, topic: &'a str) -> Option<KafkaResult<Record<'a>>> {
        self.take_back();
        let message = *self.messages.get(self.next)?;
        self.next += 1;
        self.lent = true;
        // SAFETY: it is one of librdkafka's, and not destroyed before it is taken back.
        let message = unsafe { &*message };
        if message.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF {
            self.end = Some((message.partition, message.offset));
        }
        Some(match message.err.is_error() {
            true => {
                self.failed = Some(message.partition);
                Err(error_of(message))
            }
            false => Ok(Record { message, topic }),
        })
    }

    #[inline]
    fn take_back(&mut self) {
        if std::mem::take(&mut self.lent) {
            // SAFETY: it was lent from here, once, and nobody borrows it any more.
            unsafe { sys::rd_kafka_message_destroy(self.messages[self.next - 1]) };
        }
    }

    /// Takes messages from a queue, if it has any; all that were here are used up.
    pub fn take(&mut self, queue: &Queue) -> bool {
        self.clear();
        // SAFETY: there is room for that many, and those that are given are messages that nobody else owns.
        let taken = unsafe {
            let messages = self.messages.as_mut_ptr();
            let taken = sys::rd_kafka_consume_batch_queue(queue.handle(), 0, messages, BATCH);
            self.messages.set_len(usize::try_from(taken).unwrap_or(0));
            taken
        };
        taken > 0
    }

    /// Forgets what was not lent yet.
    pub fn clear(&mut self) {
        self.take_back();
        for message in self.messages.drain(..).skip(std::mem::take(&mut self.next)) {
            // SAFETY: it was never lent, and is destroyed once: the list is emptied.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Record<'_> {
    /// Of which topic it is.
    #[inline]
    pub fn topic(&self) -> &str {
        self.topic
    }

    /// Of which partition it is.
    #[inline]
    pub fn partition(&self) -> i32 {
        self.message.partition
    }

    /// Its place in the partition.
    #[inline]
    pub fn offset(&self) -> i64 {
        self.message.offset
    }

    /// When it was made or appended, in milliseconds since 1970, if it says.
    #[inline]
    pub fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is good, and the kind is written.
        let time = unsafe { sys::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        match kind {
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => None,
            _ if time == -1 => None,
            _ => Some(time),
        }
    }

    /// Its key, if it has one, even an empty one.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        // SAFETY: these are the message's bytes.
        unsafe { bytes(self.message.key, self.message.key_len) }
    }

    /// Its value, if it has one, even an empty one.
    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        // SAFETY: these are the message's bytes.
        unsafe { bytes(self.message.payload, self.message.len) }
    }

    fn headers(&self) -> *mut sys::rd_kafka_headers_t {
        let mut headers = null_mut();
        // SAFETY: the message is good; the headers, if there are any, live as long as it does.
        match unsafe { sys::rd_kafka_message_headers(self.message, &raw mut headers) } {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => headers,
            _ => null_mut(),
        }
    }

    /// The header of that number, in the order of the record.
    fn header_at(
        &self,
        headers: *mut sys::rd_kafka_headers_t,
        number: usize,
    ) -> Option<(&str, Option<&[u8]>)> {
        let (mut name, mut value, mut length): (*const c_char, *const c_void, usize) = (null(), null(), 0);
        // SAFETY: the headers are those of the message; name and value, which are set if there is one of that number, live as long.
        unsafe {
            let got =
                sys::rd_kafka_header_get_all(headers, number, &raw mut name, &raw mut value, &raw mut length);
            if got.is_error() {
                return None;
            }
            // A name that is no text has no meaning for anybody here.
            let name = CStr::from_ptr(name).to_str().unwrap_or_default();
            Some((name, bytes(value, length)))
        }
    }
}

impl HeaderLookup for Record<'_> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        let headers = self.headers();
        if headers.is_null() {
            return None;
        }
        // SAFETY: the headers are those of the message.
        let count = unsafe { sys::rd_kafka_header_cnt(headers) };
        let named = (0..count)
            .rev()
            .filter_map(|number| self.header_at(headers, number));
        named.into_iter().find(|(its, _)| *its == name)?.1
    }

    fn each(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        let headers = self.headers();
        if headers.is_null() {
            return;
        }
        let mut number = 0;
        while let Some((name, value)) = self.header_at(headers, number) {
            each(name, value);
            number += 1;
        }
    }
}

/// The bytes at `start`, if there are any, even none.
///
/// # Safety
/// Unless it is null, `start` has `length` bytes that live as long as `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller says.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), length) })
}

fn error_of(message: &sys::rd_kafka_message_t) -> KafkaError {
    match message.err {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => KafkaError::PartitionEOF(message.partition),
        error => KafkaError::MessageConsumption(error.into()),
    }
}
