//! The task that writes to tables.
use async_trait::async_trait;
use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{
    FailedRecord, PartitionOffset, PluginError, SinkTask, SinkTaskContext, TopicPartition,
};
use millstream_connect::record::Record;
use tracing::{info, warn};

use super::config::SinkConfig;
use super::offsets::{Stored, known, stored};
use super::refusal::Refusal;
use super::session::{Patience, failed};
use super::writing::Writing;
use super::{config_error, new_owner};
use crate::mysql::client::ClientError;

/// How often a lock on offsets is waited for. What cannot be ended ends by itself before that is over.
const OPEN_TRIES: u32 = 40;

/// A task of the MySQL sink.
#[derive(Default)]
pub(super) struct MySqlSinkTask {
    writing: Option<Writing>,
}

impl MySqlSinkTask {
    fn writing(&mut self) -> Result<&mut Writing, PluginError> {
        let writing = self.writing.as_mut();
        writing.ok_or_else(|| PluginError::fatal("a task that was not started writes nothing"))
    }
}

#[async_trait]
impl SinkTask for MySqlSinkTask {
    async fn start(&mut self, given: &ConfigMap, context: SinkTaskContext) -> Result<(), PluginError> {
        let config = SinkConfig::parse(given).map_err(config_error)?;
        for warning in &config.warnings {
            warn!("connection.url has no effect in part: {warning}");
        }
        let mut writing = Writing::new(config, &context.task.connector, new_owner());
        prepare(&mut writing).await?;
        self.writing = Some(writing);
        Ok(())
    }

    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<Vec<PartitionOffset>, PluginError> {
        let writing = self.writing()?;
        writing.drop_deferred(partitions);
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let rows = take(writing, partitions).await?;
        let known = known(rows);
        writing.partitions.begin(partitions, &known);
        Ok(known)
    }

    async fn put(&mut self, records: &[Record]) -> Result<Vec<FailedRecord>, PluginError> {
        self.writing()?.put(records).await
    }

    async fn flush(&mut self, taken: &[PartitionOffset]) -> Result<Vec<PartitionOffset>, PluginError> {
        let writing = self.writing()?;
        writing.write_deferred().await?;
        // Records that were passed over before they came here are done, too.
        let behind: Vec<(usize, i64)> = taken
            .iter()
            .filter_map(|taken| Some((writing.partitions.place(&taken.partition)?, taken.next)))
            .collect();
        writing.store(&behind).await?;
        for (place, next) in behind {
            let partition = &mut writing.partitions.all[place];
            partition.next = partition.next.max(Some(next));
        }
        let durable = taken.iter().filter_map(|taken| {
            let place = writing.partitions.place(&taken.partition)?;
            Some(PartitionOffset {
                partition: taken.partition.clone(),
                next: writing.partitions.all[place].stored?.min(taken.next),
            })
        });
        Ok(durable.collect())
    }

    async fn close(&mut self, partitions: &[TopicPartition], _lost: bool) -> Result<(), PluginError> {
        let writing = self.writing()?;
        writing.drop_deferred(partitions);
        writing.partitions.end(partitions);
        Ok(())
    }

    async fn stop(&mut self) {
        if let Some(mut writing) = self.writing.take() {
            writing.session.close().await;
        }
    }
}

/// Makes sure that there is a table of offsets, and that it has transactions.
pub(super) async fn prepare(writing: &mut Writing) -> Result<(), PluginError> {
    let what = "looking for the table of offsets";
    let asked = writing.offsets.engine();
    let rows = writing.session.rows(&asked).await;
    let mut rows = rows.map_err(|error| failed(what, error))?;
    if rows.is_empty() {
        info!("creating the table of offsets {}", writing.offsets.shown());
        let created = writing.session.execute(writing.offsets.create().as_bytes()).await;
        created.map_err(|error| {
            let message = format!(
                "creating the table of offsets {}; let the account do it, or run {}",
                writing.offsets.shown(),
                writing.offsets.create()
            );
            failed(&message, error)
        })?;
        rows = writing
            .session
            .rows(&asked)
            .await
            .map_err(|error| failed(what, error))?;
    }
    let engine = rows.first().and_then(|row| row.first().cloned().flatten());
    match engine {
        Some(engine) if engine.eq_ignore_ascii_case("innodb") => Ok(()),
        engine => Err(PluginError::user_config(format!(
            "the table of offsets {} has the engine {}, which has no transactions: run ALTER TABLE {} ENGINE=InnoDB, or name another one with \
             offsets.table",
            writing.offsets.shown(),
            engine.as_deref().unwrap_or("of a view"),
            writing.offsets.shown()
        ))),
    }
}

/// Becomes the owner of partitions, and gives their rows.
async fn take(writing: &mut Writing, partitions: &[TopicPartition]) -> Result<Vec<Stored>, PluginError> {
    let read = writing.offsets.read(partitions);
    let taking = writing.offsets.take(partitions, &writing.owner);
    writing.catalog.forget();
    let woken = writing.session.wake().await;
    woken.map_err(|error| failed("connecting", error))?;
    let waiting = "setting how long locks are waited for";
    let set = writing.session.wait_for_locks(Patience::Short).await;
    set.map_err(|error| failed(waiting, error))?;
    let mut tries = 0;
    loop {
        let taken = writing.session.execute(taking.as_bytes()).await;
        match taken {
            Ok(_) => break,
            Err(ClientError::Server { code, ref state, .. })
                if Refusal::of(code, state) == Refusal::Again && tries < OPEN_TRIES =>
            {
                tries += 1;
                end_owners(writing, &read).await?;
            }
            Err(error) => return Err(failed("taking over offsets", error)),
        }
    }
    let set = writing.session.wait_for_locks(Patience::Usual).await;
    set.map_err(|error| failed(waiting, error))?;
    let rows = writing.session.rows(&read).await;
    rows.map(|rows| stored(&rows))
        .map_err(|error| failed("reading offsets", error))
}

/// Ends the sessions of those who own partitions, and are in the middle of something with them: they are not to go on in any case.
async fn end_owners(writing: &mut Writing, read: &str) -> Result<(), PluginError> {
    let rows = writing.session.rows(read).await;
    let rows = rows.map_err(|error| failed("reading offsets", error))?;
    let mut owners: Vec<String> = stored(&rows).into_iter().map(|row| row.owner).collect();
    owners.sort();
    owners.dedup();
    for owner in owners.iter().filter(|owner| **owner != writing.owner) {
        let ended = writing.session.end_other(owner).await;
        ended.map_err(|error| failed("ending a session that holds offsets", error))?;
    }
    Ok(())
}
