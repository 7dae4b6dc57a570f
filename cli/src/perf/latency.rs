//! `millstream perf latency`: what kafka-e2e-latency does and prints, and the same at a fixed rate.
//!
//! Message by message: a record is sent and acknowledged, and the next goes out when it was read. That is what
//! Kafka's tool does. At a fixed rate ([`super::fixed_rate`]) records go out by a schedule whether or not earlier ones
//! were read.

use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message, Offset, TopicPartitionList};
use serde_json::json;

use super::histogram::Histogram;
use super::payload::Payloads;
use super::properties::{Client, client};
use super::{RECORD_BYTES_MAX, fixed_rate, latency_json, milliseconds, note, say};
use crate::admin::Admin;
use crate::client::{ConnectArgs, create};
use crate::consume::is_passing;
use crate::delivery::{FirstFailure, remedy};
use crate::error::CliError;
use crate::stop::StopSignal;

/// Records between two lines of progress, as in Kafka's tool.
const REPORT_RECORDS: u64 = 1_000;

/// Time records from produce to consume, one after another or at a rate.
#[derive(Debug, Args)]
#[command(
    after_help = "Without --throughput one record is on its way at a time, as with kafka-e2e-latency; with it, records are sent by a \
    schedule, and a record's latency runs from the moment it was due. Percentiles are in milliseconds. The topic \
    is made when it is not there. Ctrl-C prints the result so far.\n\n\
    Examples:\n  \
    millstream perf latency --topic load --num-records 10000 --producer-acks all --record-size 100\n  \
    millstream perf latency --topic load --num-records 100000 --record-size 100 --throughput 10000"
)]
pub struct LatencyArgs {
    /// Topic to write to and read from
    #[arg(long)]
    pub topic: String,
    /// How many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub num_records: u64,
    /// Acknowledgement that the producer awaits: all (-1) or 1
    #[arg(long, value_name = "ACKS", default_value = "all", value_parser = ["all", "-1", "1"], allow_hyphen_values = true)]
    pub producer_acks: String,
    /// Bytes of a record; at least 24 with --throughput
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=RECORD_BYTES_MAX))]
    pub record_size: i64,
    /// Send so many records a second instead of one after another
    #[arg(long, value_name = "RATE")]
    pub throughput: Option<f64>,
    /// The first N records are sent but not measured
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub warmup_records: u64,
    /// Give up when a record did not arrive for so long, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    pub timeout: u64,
    /// Properties of the producer client, KEY=VALUE …
    #[arg(long = "producer-props", visible_alias = "producer-property", value_name = "KEY=VALUE", num_args = 1..)]
    pub producer_properties: Vec<String>,
    /// Properties of the consumer client, KEY=VALUE (may be repeated)
    #[arg(long = "consumer-property", value_name = "KEY=VALUE")]
    pub consumer_properties: Vec<String>,
    /// Print the result as JSON; progress goes to standard error
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

impl LatencyArgs {
    /// Bytes of a record.
    pub fn record_bytes(&self) -> usize {
        usize::try_from(self.record_size).expect("its range was checked")
    }
}

/// Keeps the first failed delivery.
#[derive(Debug, Default)]
pub struct Deliveries {
    failure: FirstFailure,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            self.failure.keep(|| {
                let topic = message.topic();
                format!(
                    "a record was not written to topic {topic}: {error}{}",
                    remedy(error)
                )
            });
        }
    }
}

/// A producer and a consumer at the end of the same topic.
pub struct Pair {
    /// Writes.
    pub producer: BaseProducer<Deliveries>,
    /// Reads what is written from now on.
    pub consumer: BaseConsumer,
}

impl Pair {
    /// An error if a delivery failed.
    pub fn check(&self) -> Result<(), CliError> {
        self.producer.context().failure.check()
    }

    /// Sends one record, waiting for room until `stop`.
    pub fn send(&self, topic: &str, payload: &[u8], stop: &StopSignal) -> Result<(), CliError> {
        let mut record = BaseRecord::<(), [u8]>::to(topic).payload(payload);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    stop.check()?;
                    self.check()?;
                    self.producer.poll(Duration::from_millis(1));
                }
                Err((error, _)) => {
                    return Err(CliError::new(format!(
                        "a record was not written to topic {topic}: {error}"
                    )));
                }
            }
        }
    }

    /// Waits for the next record for which `is_ours` holds; `None` after `limit` or when a stop was asked for.
    pub fn receive<T>(
        &self,
        limit: Duration,
        stop: &StopSignal,
        mut is_ours: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, CliError> {
        let deadline = Instant::now() + limit;
        loop {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    if let Some(found) = is_ours(message.payload().unwrap_or_default()) {
                        return Ok(Some(found));
                    }
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(CliError::new(format!("reading failed: {error}"))),
                None => {}
            }
            self.producer.poll(Duration::ZERO);
            self.check()?;
            if stop.requested() || Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }
}

/// Runs the subcommand.
pub fn run(args: &LatencyArgs) -> Result<(), CliError> {
    if args.warmup_records >= args.num_records {
        return Err(CliError::new(format!(
            "--warmup-records {} leaves nothing of --num-records {} to measure; give fewer",
            args.warmup_records, args.num_records
        )));
    }
    if let Some(rate) = args.throughput {
        fixed_rate::check(args, rate)?;
    }
    let pair = pair(args)?;
    let stop = StopSignal::listen()?;
    match args.throughput {
        Some(rate) => fixed_rate::run(args, rate, &pair, &stop),
        None => one_by_one(args, &pair, &stop),
    }
}

/// A producer and a consumer that stands at the end of every partition.
fn pair(args: &LatencyArgs) -> Result<Pair, CliError> {
    let producing = [
        ("acks", args.producer_acks.as_str()),
        ("enable.idempotence", "false"),
        ("max.in.flight.requests.per.connection", "5"),
        ("linger.ms", "0"),
        ("queue.buffering.max.kbytes", "65536"),
        ("queue.buffering.max.messages", "1000000"),
        ("message.max.bytes", "105906176"),
        ("socket.nagle.disable", "true"),
    ];
    let Client { config, connect } = client(
        &args.connect,
        &producing,
        "--producer-props",
        &args.producer_properties,
    )?;
    let consuming = [
        ("group.id", "millstream-perf-latency"),
        ("enable.auto.commit", "false"),
        ("fetch.queue.backoff.ms", "1"),
        ("queued.max.messages.kbytes", "65536"),
        ("socket.nagle.disable", "true"),
        ("allow.auto.create.topics", "false"),
    ];
    let reading = client(
        &connect,
        &consuming,
        "--consumer-property",
        &args.consumer_properties,
    )?;
    let mut admin = Admin::connect(&connect)?;
    let partitions = match admin.partitions(&args.topic) {
        Ok(found) => found,
        Err(crate::admin::AdminError::NoSuchTopic { .. }) => {
            eprintln!("Topic \"{}\" does not exist. Creating it…", args.topic);
            admin.create_topic(&args.topic, Some(1), None, &[])?;
            vec![0]
        }
        Err(error) => return Err(error.into()),
    };
    let consumer: BaseConsumer = create::<BaseConsumer<DefaultConsumerContext>>(&reading.config)?;
    assign_ends(&consumer, &args.topic, &partitions, connect.timeout())?;
    let producer =
        BaseProducer::from_config_and_context(&config, Deliveries::default()).map_err(|error| {
            CliError::new(format!(
                "cannot create the producer: {error}; check --producer-props and --command-config"
            ))
        })?;
    Ok(Pair { producer, consumer })
}

/// Assigns every partition at its end as it is now: what is written later is read, however late the first fetch comes.
fn assign_ends(
    consumer: &BaseConsumer,
    topic: &str,
    partitions: &[i32],
    timeout: Duration,
) -> Result<(), CliError> {
    let cannot =
        |error: KafkaError| CliError::new(format!("cannot read topic {topic}: {error}; is its leader up?"));
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for &partition in partitions {
        let deadline = Instant::now() + timeout;
        let end = loop {
            match consumer.fetch_watermarks(topic, partition, timeout) {
                Ok((_, end)) => break end,
                // A topic that was just made may take a moment to have leaders.
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
                Err(error) => return Err(cannot(error)),
            }
        };
        list.add_partition_offset(topic, partition, Offset::Offset(end))
            .map_err(cannot)?;
    }
    consumer.assign(&list).map_err(cannot)
}

/// The error for a record that was written and not read.
pub fn lost(args: &LatencyArgs, what: &str) -> CliError {
    CliError::new(format!(
        "{what} did not come back within {} ms; is topic {} compacted or cut off? --timeout allows more time",
        args.timeout, args.topic
    ))
}

/// One record at a time.
fn one_by_one(args: &LatencyArgs, pair: &Pair, stop: &StopSignal) -> Result<(), CliError> {
    let mut payloads = Payloads::letters(args.record_bytes());
    let mut latencies = Histogram::default();
    let timeout = Duration::from_millis(args.timeout);
    let mut measure = || -> Result<(), CliError> {
        for number in 0..args.num_records {
            let payload = payloads.next(number).to_vec();
            let begun = Instant::now();
            pair.send(&args.topic, &payload, stop)?;
            // The acknowledgement is taken when the record was read, which is never before the broker has it.
            let found = pair.receive(timeout, stop, |found| (found == payload).then_some(()))?;
            let latency = begun.elapsed();
            pair.producer.poll(Duration::ZERO);
            pair.check()?;
            if found.is_none() {
                return stop
                    .check()
                    .and_then(|()| Err(lost(args, &format!("record {number}"))));
            }
            if number >= args.warmup_records {
                latencies.record(latency.as_micros() as u64);
            }
            if number % REPORT_RECORDS == 0 {
                note(args.json, &format!("{number}\t{:.4}", milliseconds(latency)))?;
            }
        }
        Ok(())
    };
    let measured = measure();
    if latencies.count() == 0 {
        return measured;
    }
    if args.json {
        let object = json!({ "records": latencies.count(), "latency_ms": latency_json(&latencies) });
        say(&object.to_string())?;
    } else {
        say(&format!("Avg latency: {:.4} ms", latencies.mean_ms()))?;
        let at = |fraction| milliseconds(latencies.percentile(fraction));
        say(&format!(
            "Percentiles: 50th = {:.3}, 99th = {:.3}, 99.9th = {:.3}",
            at(0.5),
            at(0.99),
            at(0.999)
        ))?;
    }
    measured
}
