//! What a task is made of, put together from the configurations of the worker and the connector.
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;

use super::control::Control;
use super::conversion::Conversion;
use super::dead_letters::DeadLetters;
use super::errors::ErrorPolicy;
use super::offsets::{OffsetStore, OwnOffsets, TopicOffsets};
use super::sink::{QueueShare, SinkParts, Subscription};
use super::source::{OffsetSink, Resending, SourceParts, Topics, Transactions};
use super::{OffsetStorage, WorkerConfig};
use crate::cluster::clients::{Role, client};
use crate::cluster::topics::{TopicSpec, ensure};
use crate::cluster::{Producer, transaction_timeout};
use crate::config::connector::{sink_def, source_def};
use crate::config::secrets::Secrets;
use crate::config::{Config, ConfigMap};
use crate::plugin::{ExactlyOnceSupport, PluginError, Registry, SinkPlugin, SourcePlugin, TaskId};

/// A task's configurations, with secrets in them.
pub(super) struct TaskSetup {
    pub(super) id: TaskId,
    pub(super) worker: Arc<WorkerConfig>,
    pub(super) registry: Arc<Registry>,
    pub(super) connector_config: ConfigMap,
    pub(super) task_config: ConfigMap,
    /// What stands in them for references.
    pub(super) secrets: Secrets,
}

/// The topic of exactly-once offsets where a standalone worker names none.
const OFFSETS_TOPIC: &str = "connect-offsets";

/// How long fencing a task may take.
const FENCING: Duration = Duration::from_secs(30);

impl TaskSetup {
    fn client(&self, role: Role) -> Result<ClientConfig, PluginError> {
        let kind = match role {
            Role::Producer => "producer",
            Role::Consumer => "consumer",
            Role::Admin => "admin",
        };
        // As Kafka Connect names its clients.
        let name = format!("connector-{kind}-{}", self.id);
        client(
            role,
            &self.worker.bootstrap_servers,
            &name,
            &self.worker.given,
            &self.connector_config,
        )
    }

    fn conversion(&self) -> Result<Conversion, PluginError> {
        Conversion::new(&self.registry, &self.worker.given, &self.connector_config)
    }

    /// What a source's task runs with.
    pub(super) fn source(
        &self,
        plugin: &dyn SourcePlugin,
        store: &Arc<dyn OffsetStore>,
        control: &Control,
    ) -> Result<SourceParts, PluginError> {
        let config = source_def().parse(&self.connector_config)?;
        let transactions = self.transactions(plugin, &config)?;
        let mut producer = self.client(Role::Producer)?;
        let (store, topic) = self.offset_store(&config, store, transactions.is_some(), control)?;
        let (offsets, interval) = match transactions {
            None => (OffsetSink::after(store), None),
            Some(transactions) => {
                producer.set("transactional.id", self.transactional_id());
                producer.remove("delivery.timeout.ms");
                if transactions != Transactions::AfterInterval && !self.has_own_linger() {
                    // Somebody waits for the end of each batch; the transaction's first request has its records wait for each other anyway.
                    producer.set("linger.ms", "0");
                }
                let topic = topic.expect("with exactly-once offsets are in a topic");
                let interval = config.optional_long("transaction.boundary.interval.ms");
                let interval = interval
                    .and_then(|ms| u64::try_from(ms).ok())
                    .map_or(self.worker.offset_flush_interval, Duration::from_millis);
                // One that is still open when its time is over is dropped by the cluster.
                let longest = transaction_timeout(&producer) / 2;
                let interval = (transactions == Transactions::AfterInterval).then_some(interval.min(longest));
                (OffsetSink::with_records(store, &topic, transactions), interval)
            }
        };
        let policy = ErrorPolicy::new(&config, &self.secrets);
        let resending = (!offsets.is_transactional()).then(|| Self::resending(&mut producer, &policy));
        Ok(SourceParts {
            task: plugin.new_task().into(),
            conversion: self.conversion()?,
            policy,
            producer: Producer::new(&producer)?,
            topics: Topics::new(
                self.worker.topic_creation,
                &self.connector_config,
                self.client(Role::Admin)?,
            )?,
            dead_letters: self.dead_letters(&config, control)?,
            offsets,
            flush_interval: interval.unwrap_or(self.worker.offset_flush_interval),
            resending,
        })
    }

    /// Whether somebody says how long a producer's records wait for others.
    fn has_own_linger(&self) -> bool {
        ["linger.ms", "queue.buffering.max.ms"].iter().any(|key| {
            let of_worker = self.worker.given.contains_key(&*format!("producer.{key}"));
            of_worker
                || self
                    .connector_config
                    .contains_key(&*format!("producer.override.{key}"))
        })
    }

    /// Has a source's producer deliver nothing behind what the cluster refuses, and says what sends it again.
    fn resending(producer: &mut ClientConfig, policy: &ErrorPolicy) -> Resending {
        // Without idempotence there is no order to keep.
        let ordered = producer
            .get("enable.idempotence")
            .is_some_and(|on| on.eq_ignore_ascii_case("true"));
        if ordered && producer.get("enable.gapless.guarantee").is_none() {
            producer.set("enable.gapless.guarantee", "true");
        }
        let mut alone = producer.clone();
        alone.set("batch.num.messages", "1");
        if policy.tolerant {
            // What is refused alone is passed over, and the next one follows.
            alone.remove("enable.gapless.guarantee");
        } else {
            // Nothing is on its way behind a record that ends the task.
            alone.set("max.in.flight.requests.per.connection", "1");
        }
        Resending {
            alone,
            together: producer.clone(),
        }
    }

    /// Whether a source's records and offsets go in transactions.
    pub(super) fn is_transactional(&self, plugin: &dyn SourcePlugin) -> Result<bool, PluginError> {
        let config = source_def().parse(&self.connector_config)?;
        Ok(self.transactions(plugin, &config)?.is_some())
    }

    /// Fences whoever runs this source's task.
    pub(super) fn fence(&self) -> Result<(), PluginError> {
        let mut producer = self.client(Role::Producer)?;
        producer.set("transactional.id", self.transactional_id());
        producer.remove("delivery.timeout.ms");
        let until = Instant::now() + FENCING;
        Producer::new(&producer)?.begin_transactions(&|| Instant::now() >= until)?;
        Ok(())
    }

    /// As in Kafka Connect: of one worker group, one connector, one task.
    fn transactional_id(&self) -> String {
        let group = self.worker.group_id.as_deref().unwrap_or("connect-standalone");
        format!("{group}-{}", self.id)
    }

    /// Where transactions end, if records are to be delivered exactly once.
    fn transactions(
        &self,
        plugin: &dyn SourcePlugin,
        config: &Config,
    ) -> Result<Option<Transactions>, PluginError> {
        let required = config
            .string("exactly.once.support")
            .eq_ignore_ascii_case("required");
        let supported = plugin.exactly_once(&self.connector_config) == ExactlyOnceSupport::Supported;
        if required && !(self.worker.exactly_once_source && supported) {
            let why = match supported {
                false => "the connector cannot deliver exactly once with this configuration",
                true => "the worker runs without exactly.once.source.support=enabled",
            };
            return Err(PluginError::user_config(format!(
                "exactly.once.support=required: {why}"
            )));
        }
        if !(self.worker.exactly_once_source && supported) {
            return Ok(None);
        }
        match config
            .string("transaction.boundary")
            .to_ascii_lowercase()
            .as_str()
        {
            "poll" => Ok(Some(Transactions::EachPoll)),
            "interval" => Ok(Some(Transactions::AfterInterval)),
            _ if plugin.defines_transaction_boundaries(&self.connector_config) => {
                Ok(Some(Transactions::WhereConnectorSays))
            }
            _ => Err(PluginError::user_config(
                "transaction.boundary=connector: this connector does not say where transactions end; use poll or interval",
            )),
        }
    }

    /// The store of a source's offsets, and its topic, if they are in one. A topic of the connector's own is read before the worker's store, which may
    /// hold what was stored before the connector had one.
    fn offset_store(
        &self,
        config: &Config,
        workers: &Arc<dyn OffsetStore>,
        exactly_once: bool,
        control: &Control,
    ) -> Result<(Arc<dyn OffsetStore>, Option<String>), PluginError> {
        let own = config.optional_string("offsets.storage.topic");
        let topic = match (own.filter(|name| !name.is_empty()), &self.worker.offset_storage) {
            (Some(own), OffsetStorage::Topic(workers)) if own == workers => None,
            (Some(own), _) => Some(own.to_owned()),
            (None, OffsetStorage::File(_)) if exactly_once => Some(OFFSETS_TOPIC.to_owned()),
            (None, _) => None,
        };
        let Some(topic) = topic else {
            let workers_topic = match &self.worker.offset_storage {
                OffsetStorage::Topic(topic) => Some(topic.clone()),
                OffsetStorage::File(_) => None,
            };
            return Ok((Arc::clone(workers), workers_topic));
        };
        let admin = self.client(Role::Admin)?;
        control.wait_for(ensure(&admin, &TopicSpec::compacted(&topic, 1, -1)))?;
        let (consumer, producer) = (self.client(Role::Consumer)?, self.client(Role::Producer)?);
        let own = TopicOffsets::new(&topic, &consumer, &producer, exactly_once)?;
        let both = OwnOffsets::new(Arc::new(own), Arc::clone(workers));
        Ok((Arc::new(both), Some(topic)))
    }

    /// Where failed records go, if they are kept.
    fn dead_letters(&self, config: &Config, control: &Control) -> Result<Option<DeadLetters>, PluginError> {
        let topic = config
            .optional_string("errors.deadletterqueue.topic.name")
            .unwrap_or_default();
        if topic.is_empty() {
            return Ok(None);
        }
        let replication = config.int("errors.deadletterqueue.topic.replication.factor");
        let spec = TopicSpec {
            name: topic.to_owned(),
            partitions: 1,
            replication,
            settings: Vec::new(),
        };
        control.wait_for(ensure(&self.client(Role::Admin)?, &spec))?;
        let headers = config.boolean("errors.deadletterqueue.context.headers.enable");
        DeadLetters::new(topic, headers, &self.id, &self.client(Role::Producer)?).map(Some)
    }

    /// The store that holds the offsets of a source's tasks: for exactly-once it may be another than the worker's.
    pub(super) fn store(
        &self,
        plugin: &dyn SourcePlugin,
        workers: &Arc<dyn OffsetStore>,
    ) -> Result<Arc<dyn OffsetStore>, PluginError> {
        let config = source_def().parse(&self.connector_config)?;
        let exactly_once = self.transactions(plugin, &config)?.is_some();
        let control = Control::idle();
        Ok(self.offset_store(&config, workers, exactly_once, &control)?.0)
    }

    /// The group of a sink's tasks, as Kafka Connect names it unless it is overridden.
    pub(super) fn group_id(&self) -> Result<String, PluginError> {
        let consumer = self.client(Role::Consumer)?;
        let group = consumer.get("group.id").map(str::to_owned);
        Ok(group.unwrap_or_else(|| format!("connect-{}", self.id.connector)))
    }

    /// A consumer's configuration for questions about the sink's group, of which it does not become a member.
    pub(super) fn group_client(&self) -> Result<ClientConfig, PluginError> {
        let mut consumer = self.client(Role::Consumer)?;
        consumer
            .set("group.id", self.group_id()?)
            .set("allow.auto.create.topics", "false");
        Ok(consumer)
    }

    /// Which topics a sink reads.
    pub(super) fn subscription(&self, config: &Config) -> Result<Subscription, PluginError> {
        let pattern = config.optional_string("topics.regex");
        Subscription::new(
            config.list("topics").to_vec(),
            pattern.filter(|text| !text.is_empty()),
        )
    }

    /// What a sink's task runs with, which may get `partitions_at_least` partitions.
    pub(super) fn sink(
        &self,
        plugin: &dyn SinkPlugin,
        control: &Control,
        partitions_at_least: usize,
    ) -> Result<SinkParts, PluginError> {
        let config = sink_def().parse(&self.connector_config)?;
        let mut consumer = self.client(Role::Consumer)?;
        consumer
            .set("group.id", self.group_id()?)
            .set("partition.assignment.strategy", "range");
        let subscription = self.subscription(&config)?;
        let queues = QueueShare::set(&mut consumer, &subscription, partitions_at_least);
        let dead = config
            .optional_string("errors.deadletterqueue.topic.name")
            .unwrap_or_default();
        if config.list("topics").iter().any(|topic| topic == dead) {
            return Err(PluginError::user_config(format!(
                "errors.deadletterqueue.topic.name={dead} is among the topics that are read: name another topic"
            )));
        }
        let override_max = self.connector_config.get("consumer.override.max.poll.records");
        let polled_max = override_max.or_else(|| self.worker.given.get("consumer.max.poll.records"));
        Ok(SinkParts {
            task: plugin.new_task().into(),
            conversion: self.conversion()?,
            policy: ErrorPolicy::new(&config, &self.secrets),
            consumer,
            subscription,
            queues,
            dead_letters: self.dead_letters(&config, control)?,
            dead_letters_topic: dead.to_owned(),
            flush_interval: self.worker.offset_flush_interval,
            records_max: polled_max.and_then(|text| text.trim().parse().ok()),
        })
    }
}
