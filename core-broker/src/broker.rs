//! What every request handler can reach: the state of one running broker.
//!
//! Owns nothing itself: it ties configuration, topics, groups, transactions and producer ids together. Does not own: sockets
//! (`server`) or the order of start and stop (`builder`, `handle`).

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;

use crate::config::live::{self, Altered, Level};
use crate::config::{AlterError, BrokerConfig, Endpoint, LiveConfig};
use crate::fetch_session::FetchSessions;
use crate::group::GroupManager;
use crate::log::{LogDir, LogError};
use crate::metrics::Metrics;
use crate::producer_id::ProducerIds;
use crate::server::Peer;
use crate::server::warnings::WarningLimit;
use crate::topic::TopicRegistry;
use crate::transaction::TransactionManager;

/// One running broker.
pub(crate) struct BrokerState {
    /// The settings it was started with; those that can be altered are read from `live`.
    pub config: Arc<BrokerConfig>,
    /// The settings in force.
    pub live: Arc<LiveConfig>,
    /// Identity of the cluster, kept in the data directory.
    pub cluster_id: StrBytes,
    /// Its data directory.
    pub logs: Arc<LogDir>,
    /// Its topics.
    pub topics: Arc<TopicRegistry>,
    /// Ids for idempotent producers.
    pub producer_ids: Arc<ProducerIds>,
    /// Its consumer groups.
    pub groups: Arc<GroupManager>,
    /// What its consumers fetch.
    pub fetch_sessions: Arc<FetchSessions>,
    /// Its transactions.
    pub transactions: Arc<TransactionManager>,
    /// What it counts.
    pub metrics: Metrics,
    /// Bound on log lines that clients can cause.
    pub warnings: WarningLimit,
    /// The listeners with the ports they really have.
    pub listeners: Vec<Endpoint>,
}

/// Why the broker's settings were not altered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokerConfigError {
    /// They cannot be.
    #[error(transparent)]
    Alter(#[from] AlterError),
    /// They cannot be kept.
    #[error("the broker's configs cannot be written: {0}")]
    Log(#[from] LogError),
}

impl BrokerState {
    /// Gives one level of the broker's settings the alterations that `change` makes of its present ones; when this
    /// returns, they are in force and survive a crash. With `validate_only` nothing is changed. Blocks on the disk.
    ///
    /// # Errors
    /// [`BrokerConfigError`]; nothing has changed then.
    pub fn alter_config<E: From<BrokerConfigError>>(
        &self,
        level: Level,
        validate_only: bool,
        change: impl FnOnce(&Altered) -> Result<Altered, E>,
    ) -> Result<(), E> {
        let _altering = self.live.lock();
        let altered = change(&self.live.altered(level))?;
        let alteration = self.live.plan(level, altered).map_err(BrokerConfigError::from)?;
        if validate_only {
            return Ok(());
        }
        let written = self
            .logs
            .write_meta_file(live::FILE, alteration.encode().as_bytes());
        written.map_err(BrokerConfigError::from)?;
        self.live.install(alteration);
        let effective = self.live.load();
        self.logs.set_cleaner_options(effective.cleaner_options());
        self.logs
            .set_producer_expiration_ms(effective.producer_id_expiration_ms.into());
        self.topics.reconfigure();
        tracing::info!(?level, altered = ?self.live.altered(level), "broker configs altered");
        Ok(())
    }

    /// Host and port that a client is told to use for this broker.
    pub fn advertised(&self, peer: &Peer) -> (StrBytes, i32) {
        let bound = self.listeners.get(peer.listener);
        let named = bound.and_then(|b| self.config.advertised_listeners.iter().find(|a| a.name == b.name));
        match (named, bound) {
            (Some(endpoint), Some(bound)) => {
                // Port 0 was chosen by the system.
                let port = if endpoint.port == 0 {
                    bound.port
                } else {
                    endpoint.port
                };
                (StrBytes::from_string(endpoint.host.clone()), i32::from(port))
            }
            (None, Some(bound)) if !bound.is_wildcard() => {
                (StrBytes::from_string(bound.host.clone()), i32::from(bound.port))
            }
            _ => (
                StrBytes::from_string(peer.local.ip().to_canonical().to_string()),
                i32::from(peer.local.port()),
            ),
        }
    }
}
