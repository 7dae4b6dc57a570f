//! Queues of librdkafka's clients, and waiting for one of several.
use std::ffi::{CString, c_void};
use std::ptr::{NonNull, null_mut};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult};

/// A handle of a client's queue. It must be dropped before its client.
pub struct Queue {
    handle: NonNull<sys::rd_kafka_queue_t>,
    /// What rings when something comes, if anything does.
    bell: Option<Arc<Bell>>,
}

/// Wakes up whoever waits for one of several queues.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<bool>,
    ringing: Condvar,
}

// SAFETY: librdkafka's queues may be used by any thread.
unsafe impl Send for Queue {}

impl Queue {
    /// The queue on which the client's events come: those of its group, if it is in one.
    pub fn events<C: ClientContext>(client: &Client<C>) -> KafkaResult<Self> {
        let client = client.native_ptr();
        // SAFETY: the client lives; who is in no group has no queue of a member.
        let handle = unsafe {
            match sys::rd_kafka_queue_get_consumer(client) {
                member if member.is_null() => sys::rd_kafka_queue_get_main(client),
                member => member,
            }
        };
        Self::owned(handle).ok_or_else(|| KafkaError::Subscription("the client has no queue".to_owned()))
    }

    /// The queue of a partition, which is its own from now on: what is read no longer comes with the events.
    pub fn of_partition<C: ClientContext>(
        client: &Client<C>,
        topic: &str,
        partition: i32,
    ) -> KafkaResult<Self> {
        let failed = |why: String| KafkaError::Subscription(format!("{topic}-{partition}: {why}"));
        let name = CString::new(topic).map_err(|error| failed(error.to_string()))?;
        // SAFETY: the client lives, and the name ends with a zero.
        let handle =
            unsafe { sys::rd_kafka_queue_get_partition(client.native_ptr(), name.as_ptr(), partition) };
        let queue = Self::owned(handle).ok_or_else(|| failed("the client gives it no queue".to_owned()))?;
        // SAFETY: the handle is good; nowhere is where it is forwarded to.
        unsafe { sys::rd_kafka_queue_forward(queue.handle(), null_mut()) };
        Ok(queue)
    }

    /// Has `bell` ring when something comes into the empty queue.
    pub fn ring(&mut self, bell: &Arc<Bell>) {
        self.silence();
        let argument = Arc::as_ptr(bell).cast_mut().cast::<c_void>();
        self.bell = Some(Arc::clone(bell));
        // SAFETY: the argument lives until the callback is taken away, which takes the lock that it is called with.
        unsafe { sys::rd_kafka_queue_cb_event_enable(self.handle(), Some(ring), argument) };
    }

    fn silence(&mut self) {
        if self.bell.is_some() {
            // SAFETY: the handle is good. From then on nobody refers to the bell.
            unsafe { sys::rd_kafka_queue_cb_event_enable(self.handle(), None, null_mut()) };
            self.bell = None;
        }
    }

    /// How many events and records wait.
    pub fn length(&self) -> usize {
        // SAFETY: the handle is good.
        unsafe { sys::rd_kafka_queue_length(self.handle()) }
    }

    pub(crate) fn handle(&self) -> *mut sys::rd_kafka_queue_t {
        self.handle.as_ptr()
    }

    fn owned(handle: *mut sys::rd_kafka_queue_t) -> Option<Self> {
        let handle = NonNull::new(handle)?;
        Some(Self { handle, bell: None })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.silence();
        // SAFETY: the handle is good, and used no more.
        unsafe { sys::rd_kafka_queue_destroy(self.handle()) };
    }
}

/// Called by librdkafka's threads.
unsafe extern "C" fn ring(_client: *mut sys::rd_kafka_t, bell: *mut c_void) {
    // SAFETY: the argument is the bell of the queue, which holds it.
    unsafe { &*bell.cast::<Bell>() }.ring();
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ringing.notify_one();
    }

    /// Forgets that it rang: what comes from now on is new.
    pub fn silence(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Waits until it rings, if it has not since it was silenced, but no longer than `wait`.
    pub fn wait(&self, wait: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ringing.wait_timeout_while(rung, wait, |rung| !*rung);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
