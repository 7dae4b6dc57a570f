//! What this process has on its own disk: a name, and the local stores.
use std::sync::Arc;

use super::cluster::Cluster;
use crate::config::{Guarantee, StreamsConfig};
use crate::error::StreamsError;
use crate::plan::Topology;
use crate::store::{LocalStores, Slot, StoreMemory, random_id, wall_clock_ms};

/// The process's place in the state directory, as far as the job needs one.
pub(super) struct Local {
    /// The name of this process among those of the job. With a place on disk it is the one of whoever had the place before, and is
    /// dead, so that the brokers give its partitions to this one at once, and abort what it left open. Without, it is new.
    pub(super) identity: String,
    /// Held as long as a worker lives.
    pub(super) slot: Option<Arc<Slot>>,
    pub(super) stores: Option<LocalStores>,
}

impl Local {
    pub(super) fn open(
        topology: &Topology,
        config: &StreamsConfig,
        guarantee: Guarantee,
        cluster: &Cluster,
    ) -> Result<Self, StreamsError> {
        let has_state = !topology.changelogs.is_empty();
        let state_dir = match has_state || guarantee == Guarantee::ExactlyOnce {
            true => config.local_state_dir(),
            false => None,
        };
        let Some(state_dir) = state_dir else {
            return Ok(Self {
                identity: random_id(),
                slot: None,
                stores: None,
            });
        };
        let slot = Arc::new(Slot::take(&state_dir, &topology.application_id)?);
        tracing::info!(path = %slot.path().display(), process = slot.process_id(), "local state");
        let stores = match has_state {
            true => {
                let memory = StoreMemory::within(config.cache_bytes_max());
                let slot = Arc::clone(&slot);
                Some(LocalStores::open(slot, cluster.id(), wall_clock_ms, memory)?)
            }
            false => None,
        };
        Ok(Self {
            identity: slot.process_id().to_owned(),
            slot: Some(slot),
            stores,
        })
    }
}
