//! Whether the offsets that a sink keeps itself lie within the logs.
//!
//! A sink that keeps offsets may know a topic that was deleted and made anew since. It would pass over the new records one by one, so it is
//! stopped where that can be seen: its offset lies behind the log's end. A partition whose end nobody tells, because it has no leader or
//! its broker is away, is not read before somebody does; the others go on.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use super::SinkLoop;
use crate::plugin::{PartitionOffset, PluginError, TopicPartition};

/// How long to wait for the ends of logs when partitions come, and when they are asked for again.
const WAIT: Duration = Duration::from_secs(10);
const WAIT_AGAIN: Duration = Duration::from_secs(2);
/// The pause before ends are asked for again; asking may take a fifth of the time.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_FACTOR: u32 = 4;
/// So many partitions are named in a warning.
const NAMED_MAX: usize = 5;

/// Partitions of which nothing is read yet: with the sink's offsets, and when their logs' ends are asked for again.
#[derive(Debug, Default)]
pub(super) struct Unchecked {
    partitions: Vec<PartitionOffset>,
    again_at: Option<Instant>,
}

impl Unchecked {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// These are left.
    pub(super) fn leave(&mut self, partitions: Vec<PartitionOffset>, took: Duration) {
        if !partitions.is_empty() && self.partitions.is_empty() {
            tracing::warn!(
                partitions = named(&partitions),
                "the cluster does not say where these logs end, so that it is not known whether the sink's offsets lie within them; nothing is \
                 read of them before it does"
            );
        }
        self.partitions = partitions;
        self.again_at = Some(Instant::now() + (took * PAUSE_FACTOR).max(PAUSE_MIN));
    }

    fn are_due(&self) -> bool {
        !self.partitions.is_empty() && self.again_at.is_none_or(|at| Instant::now() >= at)
    }
}

fn named(partitions: &[PartitionOffset]) -> String {
    let names = partitions
        .iter()
        .take(NAMED_MAX)
        .map(|PartitionOffset { partition, .. }| format!("{}-{}", partition.topic, partition.partition));
    let mut names = names.collect::<Vec<_>>().join(", ");
    if partitions.len() > NAMED_MAX {
        names.push_str(&format!(" and {} more", partitions.len() - NAMED_MAX));
    }
    names
}

/// Offsets within their logs, and those of which that is not known.
pub(super) struct Checked {
    pub(super) within: Vec<PartitionOffset>,
    pub(super) unknown: Vec<PartitionOffset>,
    pub(super) took: Duration,
}

impl SinkLoop<'_> {
    /// Looks whether the sink's offsets lie within the logs.
    pub(super) fn check_within_logs(&self, owned: Vec<PartitionOffset>) -> Result<Checked, PluginError> {
        self.check(owned, WAIT)
    }

    fn check(&self, owned: Vec<PartitionOffset>, wait: Duration) -> Result<Checked, PluginError> {
        let began = Instant::now();
        let ends = ends(self.consumer.client(), &owned, began + wait);
        let (mut within, mut unknown) = (Vec::new(), Vec::new());
        for own in owned {
            let (partition, next) = (&own.partition, own.next);
            match ends.get(partition) {
                None => unknown.push(own),
                Some(end) if next <= *end => within.push(own),
                Some(end) => {
                    let (topic, number) = (&partition.topic, partition.partition);
                    return Err(PluginError::user_config(format!(
                        "the sink has written {topic}-{number} up to offset {next}, but the log ends at {end}: the topic was made anew, or this is \
                         another cluster; stop the connector and set its offset with PATCH /connectors/{}/offsets, or give it another place to \
                         write to",
                        self.setup.id.connector
                    )));
                }
            }
        }
        Ok(Checked {
            within,
            unknown,
            took: began.elapsed(),
        })
    }

    /// Asks again for ends that were not told, if it is time to, and reads on where they are now.
    pub(super) fn check_again(&mut self) -> Result<(), PluginError> {
        if !self.unchecked.are_due() {
            return Ok(());
        }
        let Checked {
            within,
            unknown,
            took,
        } = self.check(self.unchecked.partitions.clone(), WAIT_AGAIN)?;
        self.unchecked.leave(unknown, took);
        if within.is_empty() {
            return Ok(());
        }
        tracing::info!(
            partitions = named(&within),
            "the sink's offsets lie within the logs, which are read now"
        );
        let resumed = listed(&within).and_then(|list| self.consumer.client().resume(&list));
        resumed.map_err(|error| PluginError::disconnected(format!("reading partitions again: {error}")))?;
        self.assignment.keep(within);
        Ok(())
    }
}

/// These partitions as the client wants them.
pub(super) fn listed(partitions: &[PartitionOffset]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for PartitionOffset { partition, .. } in partitions {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::End)?;
    }
    Ok(list)
}

/// Where these partitions' logs end, as far as the cluster says so by then. All leaders are asked at once.
fn ends<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    partitions: &[PartitionOffset],
    until: Instant,
) -> HashMap<TopicPartition, i64> {
    let mut ends = HashMap::new();
    let left = || until.saturating_duration_since(Instant::now());
    let by_leader = match leaders(client, partitions, left()) {
        Ok(by_leader) => by_leader,
        Err(error) => {
            tracing::debug!(%error, "the leaders of partitions are not known");
            return ends;
        }
    };
    // A broker that does not answer is not to hold up the answers of others.
    let answers: Vec<KafkaResult<TopicPartitionList>> = std::thread::scope(|scope| {
        let asked: Vec<_> = by_leader
            .into_values()
            .map(|list| scope.spawn(move || client.offsets_for_times(list, left())))
            .collect();
        let answered = asked.into_iter().map(|asking| {
            let panicked = |_| Err(KafkaError::Canceled);
            asking.join().unwrap_or_else(panicked)
        });
        answered.collect()
    });
    let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
    names.extend(partitions.iter().map(|own| Arc::clone(&own.partition.topic)));
    for answer in answers {
        let list = match answer {
            Ok(list) => list,
            Err(error) => {
                tracing::debug!(%error, "a broker does not say where logs end");
                continue;
            }
        };
        for element in list.elements() {
            let (Ok(()), Offset::Offset(end)) = (element.error(), element.offset()) else {
                continue;
            };
            if let Some(topic) = names.get(element.topic()) {
                let (topic, partition) = (Arc::clone(topic), element.partition());
                ends.insert(TopicPartition { topic, partition }, end);
            }
        }
    }
    ends
}

/// The partitions of each leader; those without one are of nobody.
fn leaders<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    partitions: &[PartitionOffset],
    wait: Duration,
) -> KafkaResult<BTreeMap<i32, TopicPartitionList>> {
    let asked: BTreeSet<(&str, i32)> = partitions
        .iter()
        .map(|own| (&*own.partition.topic, own.partition.partition))
        .collect();
    let mut by_leader: BTreeMap<i32, TopicPartitionList> = BTreeMap::new();
    let Some((first, _)) = asked.first() else {
        return Ok(by_leader);
    };
    let only = asked.iter().all(|(topic, _)| topic == first).then_some(*first);
    let metadata = client.fetch_metadata(only, wait)?;
    for topic in metadata.topics() {
        let led = topic
            .partitions()
            .iter()
            .filter(|partition| partition.leader() >= 0);
        for partition in led.filter(|partition| asked.contains(&(topic.name(), partition.id()))) {
            let list = by_leader.entry(partition.leader()).or_default();
            // Asked for the end instead of a time.
            list.add_partition_offset(topic.name(), partition.id(), Offset::End)?;
        }
    }
    Ok(by_leader)
}
