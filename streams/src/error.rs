//! The errors of a job, and what the caller can do about each.
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::config::ConfigError;
use crate::operator::OperatorError;
use crate::plan::PlanError;
use crate::sink::SinkError;
use crate::source::SourceError;
use crate::state::StateError;
use crate::store::LocalStoreError;
use crate::task::TaskError;

/// Why a job cannot be built, started, drained or stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// The topology is faulty.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The configuration is faulty.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cluster did not answer.
    #[error(
        "no Kafka broker answered at {bootstrap_servers} within {} s ({cause}); \
         check bootstrap.servers and that the broker is running", .timeout.as_secs_f32()
    )]
    Unreachable {
        /// The addresses tried.
        bootstrap_servers: String,
        /// How long.
        timeout: Duration,
        /// What the client says.
        cause: String,
    },
    /// Source topics that do not exist.
    #[error("the cluster at {bootstrap_servers} has no topic {}; create it before the job starts", .topics.join(", "))]
    MissingTopics {
        /// The cluster.
        bootstrap_servers: String,
        /// The topics.
        topics: Vec<String>,
    },
    /// Topics that the job writes, which neither exist nor are made when they are written.
    #[error(
        "the job writes to {}, which the cluster at {bootstrap_servers} does not have and does not create by itself; create {it} \
         before the job starts, or grant this client Describe and Write if {it} exist{s}",
        .topics.join(", "), it = if .topics.len() == 1 { "it" } else { "them" }, s = if .topics.len() == 1 { "s" } else { "" }
    )]
    MissingOutputTopics {
        /// The cluster.
        bootstrap_servers: String,
        /// The topics.
        topics: Vec<String>,
    },
    /// An internal topic that does not fit.
    #[error(
        "the internal topic {topic} has {actual} partitions, the job needs {expected}: the source topics' count has changed; \
         use another application id, or delete the topic and lose its state"
    )]
    PartitionCount {
        /// The topic.
        topic: String,
        /// Its partitions.
        actual: usize,
        /// The largest count of the upstream topics.
        expected: usize,
    },
    /// Merged or joined topics of different partition counts.
    #[error(
        "{first} has {first_partitions} partitions and {second} has {second_partitions}: streams that are merged before windows or \
         state, or joined, need as many; use repartition(…) on one of them before that, or give the topics the same count"
    )]
    UnequalPartitions {
        /// A topic.
        first: String,
        /// Its partitions.
        first_partitions: usize,
        /// Another one.
        second: String,
        /// Its partitions.
        second_partitions: usize,
    },
    /// The address at which metrics should be served cannot be taken.
    #[error("metrics.listener={address}: {cause}; name a free address like 127.0.0.1:9404")]
    MetricsListener {
        /// The address.
        address: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The address at which stores should be asked cannot be taken.
    #[error("queries.listener={address}: {cause}; name a free address like 127.0.0.1:9405")]
    QueriesListener {
        /// The address.
        address: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// More upstream tasks than watermarks can be kept for.
    #[error(
        "{tasks} tasks write the repartition topic {topic}, and watermarks are kept of at most {tasks_max}; \
         read source topics with fewer partitions where windows follow"
    )]
    TooManyTasks {
        /// The repartition topic.
        topic: String,
        /// The largest partition count of the source topics.
        tasks: usize,
        /// The limit.
        tasks_max: usize,
    },
    /// An internal topic that cannot be created.
    #[error("the internal topic {topic} cannot be created: {cause}")]
    CreateTopic {
        /// The topic.
        topic: String,
        /// What the broker says.
        cause: String,
    },
    /// A request that the cluster refused or did not answer.
    #[error("cannot {what}: {cause}")]
    Cluster {
        /// What was asked.
        what: String,
        /// What the client says.
        cause: String,
    },
    /// A client that cannot be made of the given properties.
    #[error("cannot make a {client}: {cause}")]
    Client {
        /// Consumer, producer or admin client.
        client: &'static str,
        /// What the client library says.
        cause: String,
    },
    /// A thread that cannot be started.
    #[error("cannot start the thread {thread}: {cause}")]
    Thread {
        /// Its name.
        thread: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A task failed.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// Reading or committing failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Writing failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Local state cannot be kept.
    #[error(transparent)]
    LocalStore(#[from] LocalStoreError),
    /// A step that follows from changes of a table was added to a job in which that table has rows already: an aggregate over it, a join by
    /// another table's key, or a lookup into such an aggregate, whose rows are kept for it from then on. Rows of any table count that it is
    /// made of, also of those in a join that has none itself. So does what is left of a reset that was interrupted.
    #[error(
        "the topic {changelog} is new, and what it keeps follows from changes of the table in {table}, which has rows already (or those of a \
         transaction that is still open), and none of them would be found; reset the application (with `millstream streams reset`), or let it \
         run under another id"
    )]
    BeginsLater {
        /// The changelog of the step that was added.
        changelog: String,
        /// The changelog of the table.
        table: String,
    },
    /// A worker thread panicked, which is a bug in this library or an extension of it.
    #[error("a worker thread panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// A worker failed, and with it the job.
    #[error("the job {application_id} failed in {worker}: {cause}")]
    Failed {
        /// The job.
        application_id: String,
        /// The worker's thread.
        worker: String,
        /// Why.
        #[source]
        cause: Arc<StreamsError>,
    },
    /// The job was stopped while the caller waited for something else.
    #[error("the job {application_id} stopped before it had {what}")]
    Stopped {
        /// The job.
        application_id: String,
        /// What the caller waited for.
        what: &'static str,
    },
    /// The time given was not enough.
    #[error("the job {application_id} had not {what} after {} s{detail}", .timeout.as_secs_f32())]
    Timeout {
        /// The job.
        application_id: String,
        /// What the caller waited for.
        what: &'static str,
        /// How long.
        timeout: Duration,
        /// How far it came, or nothing.
        detail: String,
    },
}

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The program, configuration or topics need a change.
    FixInput,
    /// The cluster may answer later: try again.
    Retry,
    /// Stored records do not fit the job.
    Corrupt,
    /// A bug; please report it.
    Bug,
}

impl StreamsError {
    /// Whether a transaction did not come about, so that its records are to be read again.
    pub(crate) fn is_aborted(&self) -> bool {
        let sink = match self {
            Self::Sink(error) => Some(error),
            Self::Task(TaskError::Step { cause, .. }) => match &**cause {
                OperatorError::Sink(error) => Some(error),
                _ => None,
            },
            _ => None,
        };
        matches!(sink, Some(SinkError::Aborted { .. }))
    }

    /// Whether a local store could not be read, which was emptied: the tasks begin again without it.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self.local_store(), Some(LocalStoreError::Read { .. }))
    }

    /// Whether the partition was given to another thread of the process, of which this one is still to be told.
    pub(crate) fn is_taken_over(&self) -> bool {
        matches!(self.local_store(), Some(LocalStoreError::Taken { .. }))
    }

    /// Why a step could not use its local store.
    fn local_store(&self) -> Option<&LocalStoreError> {
        let Self::Task(TaskError::Step { cause, .. }) = self else {
            return None;
        };
        match &**cause {
            OperatorError::State(StateError::LocalStore(cause)) => Some(cause),
            _ => None,
        }
    }

    /// What the caller can do.
    ///
    /// ```
    /// use millstream_streams::{ErrorKind, Streams};
    /// assert_eq!(Streams::new("no streams").build().unwrap_err().kind(), ErrorKind::FixInput);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Plan(PlanError::Unavailable { .. }) => ErrorKind::Retry,
            Self::Task(error) if error.is_unavailable() => ErrorKind::Retry,
            Self::Plan(_)
            | Self::Config(_)
            | Self::MissingTopics { .. }
            | Self::MissingOutputTopics { .. }
            | Self::TooManyTasks { .. }
            | Self::UnequalPartitions { .. }
            | Self::BeginsLater { .. }
            | Self::MetricsListener { .. }
            | Self::QueriesListener { .. }
            | Self::PartitionCount { .. } => ErrorKind::FixInput,
            Self::CreateTopic { .. } | Self::Client { .. } => ErrorKind::FixInput,
            Self::Unreachable { .. } | Self::Cluster { .. } | Self::Thread { .. } => ErrorKind::Retry,
            Self::Source(_) | Self::Sink(_) | Self::Stopped { .. } | Self::Timeout { .. } => ErrorKind::Retry,
            Self::LocalStore(
                LocalStoreError::Read { .. }
                | LocalStoreError::Write { .. }
                | LocalStoreError::Restoring { .. }
                | LocalStoreError::Taken { .. },
            ) => ErrorKind::Retry,
            Self::LocalStore(_) => ErrorKind::FixInput,
            Self::Task(TaskError::Record { .. }) => ErrorKind::Corrupt,
            Self::Task(_) => ErrorKind::FixInput,
            Self::Panicked { .. } => ErrorKind::Bug,
            Self::Failed { cause, .. } => cause.kind(),
        }
    }
}
