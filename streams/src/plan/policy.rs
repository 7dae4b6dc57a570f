//! What becomes of rows that a step cannot work on.
use std::fmt;
use std::sync::Arc;

use super::build::{Builder, Output};
use super::checks::legal;
use super::{Node, NodeId, Plan, PlanError};

/// What a step does with what it cannot work on: a record that its format cannot read, a row on which its expression or closure fails,
/// a record that is too large to be written. Given with `on_error` behind the step, and made by [`fail`], [`skip`] and
/// [`dead_letter`].
///
/// A step without a policy of its own follows `errors.dead.letter.queue.topic.name` of the configuration; without that, it fails.
///
/// ```
/// use millstream_streams::{DataType, Field, Schema, Streams, cast, col, dead_letter, json, json_schema, skip};
/// let app = Streams::new("strict");
/// let orders = json_schema(Schema::new(vec![Field::new("amount", DataType::Utf8, true)]));
/// app.stream("orders", orders)
///     .on_error(dead_letter("orders-dlq")) // what is not JSON, byte for byte
///     .with_column("amount", cast(col("amount"), DataType::Int64))
///     .on_error(skip()) // what is not a number
///     .to("amounts", json())
///     .on_error(dead_letter("amounts-dlq")); // what is larger than a record may be
/// # app.build()?;
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorPolicy {
    /// The job fails and names the place, as with Kafka Streams' `LogAndFail…` handlers.
    Fail,
    /// The row is dropped, counted and logged, as with Kafka Streams' `LogAndContinue…` handlers.
    Skip,
    /// The row is dropped and counted, and written to this topic with its cause: see [`dead_letter`].
    DeadLetter(Arc<str>),
}

/// The job fails. This is the default; it is needed only to except a step from a configured dead letter topic.
///
/// ```
/// use millstream_streams::{Streams, fail, text};
/// let lines = Streams::new("strict").stream("lines", text("line")).on_error(fail());
/// ```
pub fn fail() -> ErrorPolicy {
    ErrorPolicy::Fail
}

/// What the step cannot work on is dropped, and counted as `rows_skipped` in the metrics.
///
/// ```
/// use millstream_streams::{Streams, skip, text};
/// let lines = Streams::new("lenient").stream("lines", text("line")).on_error(skip());
/// ```
pub fn skip() -> ErrorPolicy {
    ErrorPolicy::Skip
}

/// What the step cannot work on goes to `topic`, within the same transaction as everything else, and is counted as
/// `rows_dead_lettered` in the metrics.
///
/// A record that cannot be read is written as it was: key, value, headers and timestamp. A row is written as a JSON object without a
/// key, at its event time. The headers are those of KIP-1034, as text:
///
/// | header | value |
/// |---|---|
/// | `__streams.errors.exception` | the kind of the error |
/// | `__streams.errors.message` | the step and what it says |
/// | `__streams.errors.topic` | the topic (or topics) that the task reads |
/// | `__streams.errors.partition` | the partition of it |
/// | `__streams.errors.offset` | the record's offset; not for rows, which no longer know theirs |
///
/// What is too large for a record (the producer's `message.max.bytes`) is cut until it fits, so that no letter fails for its size: first
/// its value; a key that has no room at all is left out, then headers that have none. Headers say so, and `dead_letters_truncated` in
/// the metrics counts it. A dead letter topic should take records as large as the producer sends (its `max.message.bytes`).
///
/// | header | value |
/// |---|---|
/// | `__streams.errors.truncated` | the bytes that the value had |
/// | `__streams.errors.truncated.key` | the bytes of the key that was left out |
/// | `__streams.errors.truncated.headers` | how many headers were left out |
///
/// ```
/// use millstream_streams::{Streams, dead_letter, text};
/// let lines = Streams::new("careful").stream("lines", text("line")).on_error(dead_letter("lines-dlq"));
/// ```
pub fn dead_letter(topic: impl Into<String>) -> ErrorPolicy {
    ErrorPolicy::DeadLetter(topic.into().into())
}

impl ErrorPolicy {
    /// The topic that dead letters go to.
    pub(crate) fn topic(&self) -> Option<&Arc<str>> {
        match self {
            Self::DeadLetter(topic) => Some(topic),
            Self::Fail | Self::Skip => None,
        }
    }
}

impl fmt::Display for ErrorPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail => f.write_str("fail"),
            Self::Skip => f.write_str("skip"),
            Self::DeadLetter(topic) => write!(f, "dead letter {topic}"),
        }
    }
}

impl Builder {
    /// Sets the policy of what `node` has become: `output`, and all steps that were made for it.
    pub(super) fn set_policy(
        &mut self,
        number: NodeId,
        node: &Node,
        output: &Output,
        policy: &ErrorPolicy,
    ) -> Result<(), PlanError> {
        if let Some(topic) = policy.topic() {
            legal("dead letter topic", topic)?;
        }
        match node {
            Node::Source { topic, .. } => self.set_input_policy(topic, policy),
            // Its closures have policies of their own.
            Node::Typed { .. } => Ok(()),
            Node::Merge { .. } | Node::Side { .. } => Err(PlanError::NothingFails {
                step: output.label.clone(),
            }),
            _ => {
                let steps = self.subs.iter_mut().flat_map(|(_, steps)| steps);
                for step in steps.filter(|step| step.node == number) {
                    step.on_error = Some(policy.clone());
                }
                Ok(())
            }
        }
    }

    fn set_input_policy(&mut self, topic: &str, policy: &ErrorPolicy) -> Result<(), PlanError> {
        let (sub, input) = self.sources[topic];
        let own = &mut self.subs[sub].0[input].on_error;
        match own {
            Some(first) if first != policy => Err(PlanError::TwoPolicies {
                topic: topic.to_owned(),
                first: first.to_string(),
                second: policy.to_string(),
            }),
            _ => {
                *own = Some(policy.clone());
                Ok(())
            }
        }
    }
}

impl Plan {
    /// No dead letter feeds the job again.
    pub(super) fn check_dead_letters(&self, builder: &Builder) -> Result<(), PlanError> {
        let mut topics = self.policies.values().filter_map(ErrorPolicy::topic);
        match topics.find(|topic| builder.sources.contains_key(&***topic)) {
            None => Ok(()),
            Some(topic) => Err(PlanError::SinkIsSource {
                topic: topic.to_string(),
            }),
        }
    }
}
