//! How a task fails.
use thiserror::Error;

use crate::format::FormatError;
use crate::operator::OperatorError;
use crate::plan::SubTopology;
use crate::state::StateError;

/// A task that cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TaskError {
    /// A record that cannot be read.
    #[error("the record at offset {offset} of {topic}-{partition} cannot be read: {cause}")]
    Record {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// What is wrong with it.
        cause: FormatError,
    },
    /// A step that failed.
    #[error("sub-topology {sub_topology}, partition {partition} of {topics}, step \"{step}\": {cause}")]
    Step {
        /// The sub-topology.
        sub_topology: usize,
        /// The topics it reads.
        topics: String,
        /// The partition of them.
        partition: i32,
        /// The step.
        step: String,
        /// Why it failed.
        cause: Box<OperatorError>,
    },
}

impl TaskError {
    /// Whether state that is in a local store alone cannot be read from it any more.
    pub(crate) fn has_lost_state(&self) -> bool {
        let Self::Step { cause, .. } = self else {
            return false;
        };
        matches!(&**cause, OperatorError::State(StateError::LocalStore(_)))
    }

    /// Whether something did not answer that formats need.
    pub(crate) fn is_unavailable(&self) -> bool {
        match self {
            Self::Record { cause, .. } => cause.is_unavailable(),
            Self::Step { cause, .. } => {
                matches!(&**cause, OperatorError::Format(cause) if cause.is_unavailable())
            }
        }
    }
}

pub(super) fn step_error(plan: &SubTopology, partition: i32, step: &str, cause: OperatorError) -> TaskError {
    let topics: Vec<&str> = plan.inputs.iter().map(|input| &*input.topic).collect();
    TaskError::Step {
        sub_topology: plan.id,
        topics: topics.join(", "),
        partition,
        step: step.to_owned(),
        cause: Box::new(cause),
    }
}
