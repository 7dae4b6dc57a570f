//! What any sink has to do.
use super::{Nonconformity, divided, failed, wrong};
use crate::config::ConfigMap;
use crate::plugin::{
    PartitionOffset, RawValue, SinkPlugin, SinkTask, SinkTaskContext, TaskId, TopicPartition,
};
use crate::record::{Record, Value};

/// A sink, and the partition whose records it gets.
struct Trial<'a> {
    plugin: &'a dyn SinkPlugin,
    /// The connector's configuration, with its name.
    connector: ConfigMap,
    /// The first task's.
    task: ConfigMap,
    partition: TopicPartition,
    records: &'a [Record],
}

impl<'a> Trial<'a> {
    async fn new(
        plugin: &'a dyn SinkPlugin,
        config: &ConfigMap,
        records: &'a [Record],
    ) -> Result<Self, Nonconformity> {
        let mut connector = config.clone();
        connector.insert("name".to_owned(), "conformance".to_owned());
        let configs = divided(plugin.new_connector(), &connector).await?;
        let Some(task) = configs.into_iter().next() else {
            return wrong("the connector wants no tasks");
        };
        let Some(origin) = records.first().and_then(|record| record.origin.clone()) else {
            return wrong("the check needs records with origins");
        };
        let partition = TopicPartition {
            topic: origin.topic,
            partition: origin.partition,
        };
        Ok(Self {
            plugin,
            connector,
            task,
            partition,
            records,
        })
    }

    fn end(&self) -> i64 {
        i64::try_from(self.records.len()).unwrap_or(i64::MAX)
    }

    async fn start(&self) -> Result<Box<dyn SinkTask>, Nonconformity> {
        let mut task = self.plugin.new_task();
        let context = SinkTaskContext {
            task: TaskId {
                connector: "conformance".to_owned(),
                task: 0,
            },
        };
        let started = task.start(&self.task, context).await;
        started.map_err(failed("start of a task"))?;
        Ok(task)
    }

    /// The offset that the sink keeps of the partition, as it is shown.
    fn owned(&self) -> Result<Option<PartitionOffset>, Nonconformity> {
        let shown = self
            .plugin
            .owned_offsets(&self.connector)
            .map_err(failed("owned_offsets"))?;
        Ok(shown.into_iter().find(|shown| shown.partition == self.partition))
    }

    /// Opens the partition; gives the offset that the sink keeps of it.
    async fn open(&self, task: &mut dyn SinkTask) -> Result<Option<PartitionOffset>, Nonconformity> {
        let opened = task.open(std::slice::from_ref(&self.partition)).await;
        let owned = opened.map_err(failed("open"))?;
        let owned = owned.into_iter().find(|owned| owned.partition == self.partition);
        let shown = self.owned()?;
        match shown == owned {
            true => Ok(owned),
            false => wrong(format!("owned_offsets says {shown:?} where open gives {owned:?}")),
        }
    }

    /// Puts the records from `begin` on up to `end`: the second half as values alone, if the task wants them and they are no more.
    async fn put(&self, task: &mut dyn SinkTask, begin: i64, end: i64) -> Result<(), Nonconformity> {
        let place = |offset: i64| usize::try_from(offset).unwrap_or(0);
        let records = &self.records[place(begin)..place(end).max(place(begin))];
        let (whole, rest) = records.split_at(records.len() / 2);
        let values: Option<Vec<RawValue<'_>>> = rest.iter().map(value_alone).collect();
        let mut refused = task.put(whole).await.map_err(failed("put"))?;
        refused.extend(match values.filter(|_| task.wants_values()) {
            Some(values) => task.put_values(&values).await.map_err(failed("put_values"))?,
            None => task.put(rest).await.map_err(failed("put"))?,
        });
        match refused.first() {
            Some(refused) => wrong(format!("record {} is refused: {}", refused.index, refused.error)),
            None => Ok(()),
        }
    }

    /// Flushes what was put up to `end`; gives what is durable, if the sink says so.
    async fn flush(&self, task: &mut dyn SinkTask, end: i64) -> Result<Option<i64>, Nonconformity> {
        let taken = [PartitionOffset {
            partition: self.partition.clone(),
            next: end,
        }];
        let durable = task.flush(&taken).await.map_err(failed("flush"))?;
        for offset in &durable {
            if offset.partition != self.partition || offset.next > end {
                return wrong(format!("flush calls {offset:?} durable, which it was not given"));
            }
        }
        Ok(durable.first().map(|offset| offset.next))
    }

    async fn close(&self, task: &mut dyn SinkTask, lost: bool) -> Result<(), Nonconformity> {
        let closed = task.close(std::slice::from_ref(&self.partition), lost).await;
        closed.map_err(failed("close"))
    }
}

/// A record as the value alone, if it is text, bytes, or none.
fn value_alone(record: &Record) -> Option<RawValue<'_>> {
    let origin = record.origin.as_ref()?;
    let value = match &record.value.value {
        Value::Null => None,
        Value::String(text) => Some(&text.as_bytes()[..]),
        Value::Bytes(bytes) => Some(&**bytes),
        _ => return None,
    };
    Some(RawValue {
        topic: &origin.topic,
        partition: origin.partition,
        offset: origin.offset,
        value,
    })
}

/// Checks that a sink takes `records` of one partition, whose offsets begin at 0, makes them durable, says so truly, and goes on behind them
/// when it is started again.
///
/// # Errors
/// The first thing that is wrong.
pub async fn sink(
    plugin: &dyn SinkPlugin,
    config: &ConfigMap,
    records: &[Record],
) -> Result<(), Nonconformity> {
    let trial = Trial::new(plugin, config, records).await?;
    let (mut durable, mut put) = (0, 0);
    for end in [trial.end() / 2, trial.end()] {
        let mut task = trial.start().await?;
        let owned = trial.open(&mut *task).await?;
        let begin = begin(owned.as_ref(), durable, put)?;
        task.put(&[]).await.map_err(failed("put of nothing"))?;
        trial.put(&mut *task, begin, end).await?;
        durable = trial.flush(&mut *task, end).await?.unwrap_or(begin);
        let again = trial.flush(&mut *task, end).await?;
        if again.is_some_and(|again| again < durable) {
            return wrong("a second flush takes back what was durable");
        }
        durable = again.map_or(durable, |again| again.max(durable));
        trial.close(&mut *task, false).await?;
        task.stop().await;
        put = end;
    }
    Ok(())
}

/// Where records come from when the sink was opened and gave this; so much was said to be durable, and so much was put.
fn begin(owned: Option<&PartitionOffset>, durable: i64, put: i64) -> Result<i64, Nonconformity> {
    match owned {
        // What was put may have become durable behind the last flush.
        Some(owned) if owned.next < durable || owned.next > put => wrong(format!(
            "open gives {} where {durable} records were said to be durable of {put} that were put",
            owned.next
        )),
        Some(owned) => Ok(owned.next),
        None => Ok(durable),
    }
}

/// Checks that a sink whose partitions are lost, because its group has not heard of it for too long and gave them to another member, stores
/// nothing more of what it was given, and that what comes again then is there once if the sink keeps its offsets itself.
///
/// `records` are of one partition, their offsets begin at 0, and nothing was written before; `written` counts what whoever reads the
/// sink's system finds there.
///
/// # Errors
/// The first thing that is wrong.
pub async fn lost_membership(
    plugin: &dyn SinkPlugin,
    config: &ConfigMap,
    records: &[Record],
    written: &(dyn Fn() -> usize + Sync),
) -> Result<(), Nonconformity> {
    let trial = Trial::new(plugin, config, records).await?;
    let quarter = trial.end() / 4;
    let mut task = trial.start().await?;
    let (mut durable, mut put) = (0, 0);
    // Partitions come back to the same task, and to one that takes its place.
    for (flushed, end, stops) in [(quarter, 2 * quarter, false), (3 * quarter, trial.end(), true)] {
        let begin = begin(trial.open(&mut *task).await?.as_ref(), durable, put)?;
        trial.put(&mut *task, begin, flushed).await?;
        durable = trial.flush(&mut *task, flushed).await?.unwrap_or(begin);
        trial.put(&mut *task, flushed, end).await?;
        put = end;
        let kept = trial.owned()?;
        trial.close(&mut *task, true).await?;
        if stops {
            task.stop().await;
        }
        let found = trial.owned()?;
        if found != kept {
            return wrong(format!(
                "the partition is lost, and yet the sink keeps {found:?} where it kept {kept:?}"
            ));
        }
        if stops {
            task = trial.start().await?;
        }
    }
    let owned = trial.open(&mut *task).await?;
    let begin = begin(owned.as_ref(), durable, put)?;
    trial.put(&mut *task, begin, trial.end()).await?;
    trial.flush(&mut *task, trial.end()).await?;
    trial.close(&mut *task, false).await?;
    task.stop().await;
    let (found, all) = (written(), records.len());
    match owned {
        Some(_) if found != all => wrong(format!(
            "after partitions were lost {found} records are there, and {all} came"
        )),
        None if found < all => wrong(format!(
            "after partitions were lost only {found} records are there of {all}"
        )),
        _ => Ok(()),
    }
}
