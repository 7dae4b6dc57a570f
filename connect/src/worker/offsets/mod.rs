//! Where sources stopped: offsets by connector and source partition, kept in a file or in a compacted topic.
//!
//! Owns: the stores, and the form of their keys and values, which is Kafka Connect's: `["connector",{partition}]` and `{offset}` as JSON.
//! Does not own: when offsets are stored, which is once everything before them is delivered.
mod file;
mod own;
pub(crate) mod topic;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::plugin::{OffsetReader, PluginError, SourceOffset, SourcePartition};

pub(crate) use file::FileOffsets;
pub(crate) use own::OwnOffsets;
pub(crate) use topic::TopicOffsets;

/// A change of a stored offset; none forgets it.
pub(crate) type OffsetChange = (SourcePartition, Option<SourceOffset>);

/// Keeps offsets. Calls block.
pub(crate) trait OffsetStore: Send + Sync {
    /// All offsets of a connector, as they are stored now.
    fn read(&self, connector: &str) -> Result<Vec<(SourcePartition, SourceOffset)>, PluginError>;

    /// Stores changes; they are durable once it returns.
    fn write(&self, connector: &str, changes: &[OffsetChange]) -> Result<(), PluginError>;

    /// What these changes forget must not come back from another store that is looked into, too. For who writes the changes without
    /// [`write`](Self::write), before that.
    fn forget_behind(&self, _connector: &str, _changes: &[OffsetChange]) -> Result<(), PluginError> {
        Ok(())
    }
}

/// A connector's view of a store.
pub(crate) struct ConnectorOffsetReader {
    pub(crate) store: Arc<dyn OffsetStore>,
    pub(crate) connector: String,
}

#[async_trait]
impl OffsetReader for ConnectorOffsetReader {
    async fn offset(&self, partition: &SourcePartition) -> Result<Option<SourceOffset>, PluginError> {
        let all = self.all().await?;
        let found = all.into_iter().find(|(its, _)| its == partition);
        Ok(found.map(|(_, offset)| offset))
    }

    async fn all(&self) -> Result<Vec<(SourcePartition, SourceOffset)>, PluginError> {
        let (store, connector) = (Arc::clone(&self.store), self.connector.clone());
        let read = tokio::task::spawn_blocking(move || store.read(&connector)).await;
        read.map_err(|error| PluginError::fatal(format!("reading stored offsets: {error}")))?
    }
}

/// The offsets of all connectors, by the texts of their keys.
#[derive(Debug, Default)]
struct OffsetMap(BTreeMap<String, BTreeMap<String, String>>);

impl OffsetMap {
    /// Applies a stored change; false if it is not one of Kafka Connect's form.
    fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> bool {
        let Ok(Json::Array(parts)) = serde_json::from_slice(key) else {
            return false;
        };
        let [Json::String(connector), partition @ Json::Object(_)] = &*parts else {
            return false;
        };
        let Some(value) = value.filter(|value| *value != b"null") else {
            if let Some(of_connector) = self.0.get_mut(connector) {
                of_connector.remove(&partition.to_string());
                if of_connector.is_empty() {
                    self.0.remove(connector);
                }
            }
            return true;
        };
        let Ok(text) = std::str::from_utf8(value) else {
            return false;
        };
        let of_connector = self.0.entry(connector.clone()).or_default();
        of_connector.insert(partition.to_string(), text.to_owned());
        true
    }

    fn of(&self, connector: &str) -> Vec<(SourcePartition, SourceOffset)> {
        let entries = self.0.get(connector).into_iter().flatten();
        entries
            .filter_map(|(partition, offset)| {
                Some((
                    serde_json::from_str(partition).ok()?,
                    serde_json::from_str(offset).ok()?,
                ))
            })
            .collect()
    }
}

/// The key under which an offset is stored.
pub(crate) fn key(connector: &str, partition: &SourcePartition) -> Vec<u8> {
    serde_json::to_vec(&(connector, partition)).expect("texts and JSON are JSON")
}

/// What is stored for an offset; none forgets it.
pub(crate) fn value(offset: Option<&SourceOffset>) -> Option<Vec<u8>> {
    offset.map(|offset| serde_json::to_vec(offset).expect("JSON is JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kafka_connects() {
        let partition: SourcePartition = serde_json::from_str(r#"{"filename":"test.txt"}"#).unwrap();
        assert_eq!(
            key("local-file-source", &partition),
            br#"["local-file-source",{"filename":"test.txt"}]"#
        );
        let mut map = OffsetMap::default();
        assert!(map.apply(&key("a", &partition), Some(br#"{"position":7}"#)));
        assert!(!map.apply(b"{}", Some(b"{}")));
        assert_eq!(map.of("a")[0].1.0["position"], 7);
        assert!(map.apply(&key("a", &partition), None));
        assert_eq!(map.of("a"), []);
        assert!(map.0.is_empty(), "nothing is left of what was forgotten");
    }
}
