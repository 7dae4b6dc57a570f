//! Newtypes of the log and the protocol, shared by every part of the broker.
//!
//! Why: `i64` and `i32` stand for a dozen different things on the wire; a mixed-up offset and timestamp
//! must be a compile error. Owns: names and ordering. Does not own: parsing of names (see `topic`).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

newtype!(
    /// Position of a record in a partition, counted from 0.
    Offset(i64)
);
newtype!(
    /// Number of a partition within its topic, counted from 0.
    PartitionId(i32)
);
newtype!(
    /// Epoch of a partition's leader (KIP-101); a single node keeps it at 0.
    LeaderEpoch(i32)
);
newtype!(
    /// Identity of an idempotent producer (KIP-98); −1 means none.
    ProducerId(i64)
);
newtype!(
    /// Epoch of an idempotent producer; a higher one fences lower ones.
    ProducerEpoch(i16)
);
newtype!(
    /// Milliseconds since the Unix epoch; −1 means none.
    Timestamp(i64)
);

impl Offset {
    /// The offset `n` records further on.
    #[must_use]
    pub const fn plus(self, n: i64) -> Self {
        Self(self.0 + n)
    }
}

/// Name of a topic; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Wraps a name as it stands; `topic` decides which names are legal.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TopicName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// Sixteen-byte identity of a topic (KIP-516): a re-created topic has a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition within it.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`.
    pub fn new(topic: impl Into<TopicName>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition: PartitionId(partition),
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
