//! What the runtime asks of a cluster: clients, topics, and logs that are read as a whole.
//!
//! Everything goes through librdkafka, so that any Kafka cluster will do. Owns: how Java's client options are understood
//! ([`clients`]), the making of topics ([`topics`]), and compacted topics read to their end ([`table`]). Does not own: what is in them.
pub(crate) mod clients;
mod logs;
mod outgoing;
mod producer;
mod producer_events;
mod remedies;
pub(crate) mod table;
pub(crate) mod topics;

pub(crate) use logs::ClientLog;
pub(crate) use outgoing::{Encoding, Outgoing, OutgoingRow};
pub(crate) use producer::{Producer, ProducerError, Refused, transaction_timeout};
pub(crate) use producer_events::{FailedDelivery, Failures};
pub(crate) use remedies::undelivered;
