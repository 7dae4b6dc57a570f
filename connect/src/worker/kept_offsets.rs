//! A connector's offsets, for users who look at them or set them.
use super::tasks::TaskPlugin;
use super::{Worker, group_offsets, off_the_runtime};
use crate::config::ConfigMap;
use crate::plugin::{PluginError, SourceOffset, SourcePartition, TopicPartition};

/// Offsets of a connector, as the REST API shows them.
#[derive(Debug, Clone, PartialEq)]
pub enum ConnectorOffsets {
    /// Of a source; none is to forget one.
    Source(Vec<(SourcePartition, Option<SourceOffset>)>),
    /// Of a sink's group; none is to forget one.
    Sink(Vec<(TopicPartition, Option<i64>)>),
}

impl Worker {
    /// The connector's offsets. It need not run.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn offsets(&self, name: &str, config: &ConfigMap) -> Result<ConnectorOffsets, PluginError> {
        let setup = self.setup_of(name, config)?;
        let plugin = self.plugin(&setup.connector_config)?;
        let secrets = setup.secrets.clone();
        let read = off_the_runtime(move || match plugin {
            TaskPlugin::Source(plugin, store) => {
                let store = setup.store(&*plugin, &store)?;
                let stored = store.read(&setup.id.connector)?;
                Ok(ConnectorOffsets::Source(
                    stored
                        .into_iter()
                        .map(|(its, offset)| (its, Some(offset)))
                        .collect(),
                ))
            }
            TaskPlugin::Sink(plugin) => {
                let committed = group_offsets::read(&setup)?;
                let owned = plugin.owned_offsets(&setup.connector_config)?;
                Ok(ConnectorOffsets::Sink(group_offsets::with_owned(
                    committed, owned,
                )))
            }
        });
        read.await.map_err(|error| error.without(&secrets))
    }

    /// Sets offsets of a connector whose tasks do not run; without `offsets` all are forgotten.
    ///
    /// # Errors
    /// When the connector refuses them, a topic does not exist, or they cannot be stored.
    pub async fn alter_offsets(
        &self,
        name: &str,
        config: &ConfigMap,
        offsets: Option<&ConnectorOffsets>,
    ) -> Result<(), PluginError> {
        let setup = self.setup_of(name, config)?;
        let plugin = self.plugin(&setup.connector_config)?;
        let (offsets, secrets) = (offsets.cloned(), setup.secrets.clone());
        let altered = off_the_runtime(move || match (plugin, offsets) {
            (TaskPlugin::Source(plugin, store), offsets) => {
                let store = setup.store(&*plugin, &store)?;
                let changes = match offsets {
                    None => {
                        let stored = store.read(&setup.id.connector)?;
                        stored.into_iter().map(|(its, _)| (its, None)).collect()
                    }
                    Some(ConnectorOffsets::Source(changes)) => changes,
                    Some(ConnectorOffsets::Sink(_)) => return Err(of_other_kind("source", "sink")),
                };
                plugin.alter_offsets(&setup.connector_config, &changes)?;
                store.write(&setup.id.connector, &changes)
            }
            (TaskPlugin::Sink(plugin), offsets) => {
                let given = match offsets {
                    None => None,
                    Some(ConnectorOffsets::Sink(changes)) => Some(changes),
                    Some(ConnectorOffsets::Source(_)) => return Err(of_other_kind("sink", "source")),
                };
                group_offsets::alter(&setup, &*plugin, given)
            }
        });
        altered.await.map_err(|error| error.without(&secrets))
    }
}

fn of_other_kind(its: &str, given: &str) -> PluginError {
    PluginError::user_config(format!(
        "the connector is a {its}, and the offsets are those of a {given}"
    ))
}
