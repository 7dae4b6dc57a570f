//! Writes every line to the lines topic, spread over its partitions.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Message};

use super::bounded;
use super::input::{Inputs, RECORD_BYTES_MAX, Seen};
use super::job::Job;
use super::progress::Progress;
use crate::delivery::FirstFailure;
use crate::error::CliError;
use crate::stop::StopSignal;

/// Lines that go to one partition before the next one's turn: long runs make large batches.
const RUN_LINES: u64 = 4_096;
/// How long the last lines may take to be acknowledged.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// What was loaded.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Records written to the lines topic.
    pub records: u64,
    /// What was seen in the files.
    pub seen: Seen,
}

/// Notes how deliveries end.
#[derive(Debug, Default)]
struct Deliveries {
    failure: FirstFailure,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            self.failure
                .keep(|| format!("a line was not written to topic {}: {error}", message.topic()));
        }
    }
}

/// The producer of the lines. It is made before anything else is started, because librdkafka takes half a second to get
/// an idempotent producer its id.
pub struct Loader {
    producer: BaseProducer<Deliveries>,
}

impl Loader {
    /// A producer for this cluster.
    pub fn new(config: &ClientConfig) -> Result<Self, CliError> {
        Ok(Self {
            producer: producer(config)?,
        })
    }
}

/// Loads all inputs and waits until the log has acknowledged every line.
pub fn load(
    inputs: Inputs,
    loader: &Loader,
    topic: &str,
    partitions: u16,
    progress: &Progress,
    stop: &StopSignal,
    job: &Job,
) -> Result<Loaded, CliError> {
    let producer = &loader.producer;
    let mut records = 0;
    let mut bytes_done = 0;
    let seen = inputs.for_each_block(stop, |lines, bytes| {
        stop.check()?;
        job.check()?;
        for line in lines {
            let partition =
                i32::from(u16::try_from(records / RUN_LINES % u64::from(partitions)).unwrap_or(0));
            send(producer, topic, partition, line?, stop)?;
            records += 1;
        }
        producer.poll(Duration::ZERO);
        producer.context().failure.check()?;
        bytes_done += bytes;
        progress.loaded(bytes, bytes_done);
        Ok(())
    })?;
    if let Some((name, line)) = &seen.not_utf8 {
        progress.note(&format!(
            "{name}: line {line} is not UTF-8; such bytes are counted as characters between words"
        ));
    }
    tracing::debug!(records, "loaded");
    let flushed = producer.flush(FLUSH_TIMEOUT);
    producer.context().failure.check()?;
    flushed.map_err(|error| CliError::new(format!("the lines were not acknowledged: {error}")))?;
    Ok(Loaded { records, seen })
}

fn producer(config: &ClientConfig) -> Result<BaseProducer<Deliveries>, CliError> {
    let mut config = bounded(config);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("delivery.report.only.error", "true")
        .set("linger.ms", "10")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "100000")
        .set("message.max.bytes", (RECORD_BYTES_MAX + 50_000).to_string());
    BaseProducer::from_config_and_context(&config, Deliveries::default()).map_err(|error| {
        CliError::new(format!(
            "cannot create the producer: {error}; check --command-config"
        ))
    })
}

fn send(
    producer: &BaseProducer<Deliveries>,
    topic: &str,
    partition: i32,
    line: &[u8],
    stop: &StopSignal,
) -> Result<(), CliError> {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic)
        .partition(partition)
        .payload(line);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                stop.check()?;
                producer.context().failure.check()?;
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => {
                return Err(CliError::new(format!(
                    "a line was not written to topic {topic}: {error}"
                )));
            }
        }
    }
}
