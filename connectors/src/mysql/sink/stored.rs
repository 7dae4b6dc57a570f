//! Stored offsets, for a user who looks at them or sets them while no task runs.
use std::thread;

use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{PartitionOffset, PluginError, TopicPartition};

use super::config::SinkConfig;
use super::offsets::{known, stored};
use super::session::failed;
use super::writing::Writing;
use super::{config_error, new_owner};
use crate::mysql::client::ClientError;

/// The server's error that a table is not there.
const NO_TABLE: u16 = 1146;

/// Sets offsets: they are what a task goes by. A task that still runs, though it should not, owns them no more.
///
/// # Errors
/// When they cannot be written.
pub(super) fn alter(
    config: &ConfigMap,
    offsets: &[(TopicPartition, Option<i64>)],
) -> Result<(), PluginError> {
    let offsets = offsets.to_vec();
    with_connection(config, async move |writing| {
        let owner = writing.owner.clone();
        for (partition, next) in &offsets {
            let set = writing.offsets.set(partition, *next, &owner);
            match writing.session.execute(set.as_bytes()).await {
                // Nothing was ever written: the group's offset is what counts.
                Err(ClientError::Server { code: NO_TABLE, .. }) => return Ok(()),
                done => drop(done.map_err(|error| failed("setting offsets", error))?),
            }
        }
        Ok(())
    })
}

/// The offsets of the connector.
///
/// # Errors
/// When they cannot be read.
pub(super) fn owned(config: &ConfigMap) -> Result<Vec<PartitionOffset>, PluginError> {
    with_connection(config, async |writing| {
        let all = writing.offsets.read_all();
        match writing.session.rows(&all).await {
            Err(ClientError::Server { code: NO_TABLE, .. }) => Ok(Vec::new()),
            Ok(rows) => Ok(known(stored(&rows))),
            Err(error) => Err(failed("reading offsets", error)),
        }
    })
}

/// Does something with a connection of its own. A runtime may run on this thread already, so that another one is taken.
fn with_connection<T: Send>(
    given: &ConfigMap,
    work: impl AsyncFnOnce(&mut Writing) -> Result<T, PluginError> + Send,
) -> Result<T, PluginError> {
    let config = SinkConfig::parse(given).map_err(config_error)?;
    let name = config.name.clone();
    let run = move || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().map_err(|error| {
            PluginError::fatal(format!("no runtime for a connection to the server: {error}"))
        })?;
        runtime.block_on(async {
            let mut writing = Writing::new(config, &name, new_owner());
            let result = work(&mut writing).await;
            writing.session.close().await;
            result
        })
    };
    thread::scope(|scope| {
        let joined = scope.spawn(run).join();
        joined.unwrap_or_else(|_| Err(PluginError::fatal("asking the server for offsets failed within")))
    })
}
