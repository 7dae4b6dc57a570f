//! What waits behind refused records: it may be stored only once the runtime goes on behind them.
use std::collections::BTreeMap;

use millstream_connect::plugin::{PartitionOffset, PluginError, TopicPartition};
use millstream_connect::record::Record;

use super::writing::{Purpose, Refused, Stopped, Writing};

/// Records that wait for the next call, and the offsets behind them.
pub(super) struct Deferred {
    records: Vec<Record>,
    ends: Vec<PartitionOffset>,
}

impl Writing {
    /// What waits of these partitions is not written any more: it comes again.
    pub fn drop_deferred(&mut self, partitions: &[TopicPartition]) {
        if let Some(deferred) = &mut self.deferred {
            deferred.ends.retain(|end| !partitions.contains(&end.partition));
            deferred.records.retain(|record| {
                let origin = record.origin.as_ref();
                !partitions.iter().any(|partition| {
                    origin.is_some_and(|origin| {
                        origin.partition == partition.partition && origin.topic == partition.topic
                    })
                })
            });
        }
    }

    /// What is behind the first refused record of a partition waits.
    pub(super) fn defer(
        &mut self,
        records: &[Record],
        ends: &[(usize, i64)],
        refused: &Refused,
    ) -> Result<(), PluginError> {
        let mut waiting = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let (place, offset) = self.partitions.of(record)?;
            let stored = self.partitions.all[place].stored;
            if stored.is_none_or(|stored| offset >= stored) && !refused.contains_key(&index) {
                waiting.push(record.clone());
            }
        }
        let ends = ends.iter().map(|(place, end)| PartitionOffset {
            partition: self.partitions.all[*place].id.clone(),
            next: *end,
        });
        self.deferred = Some(Deferred {
            records: waiting,
            ends: ends.collect(),
        });
        Ok(())
    }

    /// Writes what waits: the runtime goes on behind the records that were refused.
    ///
    /// # Errors
    /// When it cannot be written now, or not any more: then all of it comes again, and is judged anew.
    pub async fn write_deferred(&mut self) -> Result<(), PluginError> {
        let Some(Deferred { records, ends }) = self.deferred.take() else {
            return Ok(());
        };
        let places = ends
            .iter()
            .filter_map(|end| Some((self.partitions.place(&end.partition)?, end.next)));
        let places: Vec<(usize, i64)> = places.collect();
        let written = self.write_waiting(&records, &places).await;
        if written.is_err() {
            self.deferred = Some(Deferred { records, ends });
        }
        written
    }

    async fn write_waiting(&mut self, records: &[Record], ends: &[(usize, i64)]) -> Result<(), PluginError> {
        let mut again = false;
        loop {
            let mut refused = Refused::new();
            self.encode(records, &mut refused, false).await?;
            let part = self.part(&BTreeMap::new(), ends, &refused);
            if refused.is_empty() {
                match self.transact(&part, Purpose::All).await {
                    Ok(rows) if rows.is_empty() => return Ok(()),
                    Ok(rows) => refused = self.by_record(rows),
                    Err(Stopped::Table(_)) if !again => {
                        again = true;
                        self.catalog.forget();
                        continue;
                    }
                    Err(stopped) => return Err(stopped.into_error()),
                }
            }
            let reason = refused.into_values().next().unwrap_or_default();
            return Err(PluginError::disconnected(format!(
                "a record that was taken behind a refused one is refused, too; both come again: {reason}"
            )));
        }
    }
}
