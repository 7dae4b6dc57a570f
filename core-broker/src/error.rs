//! Why a broker could not be started or stopped cleanly.

use std::io;
use std::path::PathBuf;

use crate::config::{ConfigError, LiveConfigError};
use crate::group::GroupError;
use crate::log::{LogError, OpenError};
use crate::producer_id::ProducerIdError;
use crate::topic::TopicError;
use crate::transaction::TransactionError;

/// Why [`crate::BrokerBuilder::start`] failed; nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No data directory was named.
    #[error("no data directory: set log.dirs, or call data_dir on the builder")]
    NoDataDir,
    /// No address to listen on.
    #[error("no listener: set listeners, for example PLAINTEXT://127.0.0.1:9092")]
    NoListener,
    /// The text of a listener is not an address.
    #[error("listener {text:?}: expected {expected}")]
    Listener {
        /// What was given.
        text: String,
        /// What would have fitted.
        expected: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; {remedy}")]
    Listen {
        /// The address as configured.
        address: String,
        /// What the system says.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The address for metrics cannot be listened on.
    #[error("cannot listen on {address} for metrics: {source}; choose another address in metrics.listener")]
    Metrics {
        /// The address as configured.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was altered while it ran cannot be read.
    #[error(transparent)]
    Altered(#[from] LiveConfigError),
    /// The data directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The topics cannot be loaded.
    #[error("data directory {}: {source}", dir.display())]
    Topics {
        /// The data directory.
        dir: PathBuf,
        /// What is wrong.
        source: TopicError,
    },
    /// The producer ids cannot be loaded.
    #[error("data directory {}: {source}", dir.display())]
    ProducerIds {
        /// The data directory.
        dir: PathBuf,
        /// What is wrong.
        source: ProducerIdError,
    },
    /// The committed offsets cannot be loaded.
    #[error("data directory {}: {source}", dir.display())]
    Groups {
        /// The data directory.
        dir: PathBuf,
        /// What is wrong.
        source: GroupError,
    },
    /// The state of transactions cannot be loaded.
    #[error("data directory {}: {source}", dir.display())]
    Transactions {
        /// The data directory.
        dir: PathBuf,
        /// What is wrong.
        source: TransactionError,
    },
    /// The system refused threads.
    #[error("cannot start the broker's threads: {0}")]
    Threads(io::Error),
}

impl StartError {
    pub(crate) fn listen(address: String, source: io::Error) -> Self {
        let remedy = match source.kind() {
            io::ErrorKind::AddrInUse => {
                "stop the process that has this port, or choose another port in listeners"
            }
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address, see listeners",
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need privileges, choose a higher one in listeners"
            }
            _ => "see listeners",
        };
        Self::Listen {
            address,
            source,
            remedy,
        }
    }
}

/// Why a broker did not stop cleanly; the next start recovers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// The logs could not be closed.
    #[error("logs not closed cleanly, the next start will check them: {0}")]
    Log(#[from] LogError),
    /// The task that stops the broker ended early.
    #[error("the broker's threads ended before it was stopped: {0}")]
    Abandoned(#[from] tokio::task::JoinError),
}
