//! `millstream produce`: the console producer. One line of standard input is one record.

mod line;

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use clap::{Args, ValueEnum};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Message};

use self::line::{LineFormat, Parsed};
use crate::client::{ConnectArgs, add_properties};
use crate::delivery::{FirstFailure, remedy};
use crate::error::CliError;
use crate::stop::StopSignal;

/// Largest line that is read, in bytes: what the client's queue holds. Brokers take 1 MiB unless told otherwise.
const LINE_BYTES_MAX: u64 = 60_000_000;
/// Lines that are handed over at once.
const BATCH_LINES: usize = 1_000;
/// Bytes of lines that are handed over at once, about.
const BATCH_BYTES: usize = 256 << 10;
/// How long the last records may take to be acknowledged.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// Write lines of standard input to a topic.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    millstream produce --topic lines < some.txt\n  \
    printf 'k1:v1\\nk2:v2\\n' | millstream produce --topic pairs --property parse.key=true --property key.separator=:\n\n\
    Properties: parse.key, key.separator (default: tab), parse.headers, headers.delimiter (tab), headers.separator (,),\n\
    headers.key.separator (:), null.marker, ignore.error")]
pub struct ProduceArgs {
    /// Topic to write to
    #[arg(long)]
    topic: String,
    /// Partition to write to [default: by key, or spread]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// How lines are read, KEY=VALUE (may be repeated)
    #[arg(long, visible_alias = "reader-property", value_name = "KEY=VALUE")]
    property: Vec<String>,
    /// A property of the producer client, KEY=VALUE (may be repeated)
    #[arg(long, visible_alias = "command-property", value_name = "KEY=VALUE")]
    producer_property: Vec<String>,
    /// How batches are compressed; the option alone means gzip
    #[arg(long, value_name = "CODEC", num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<Codec>,
    /// Acknowledgement that is awaited: all (-1), 1 or 0
    #[arg(
        long,
        visible_alias = "request-required-acks",
        default_value = "all",
        allow_hyphen_values = true
    )]
    acks: String,
    /// Send each record on its own and wait for its acknowledgement
    #[arg(long)]
    sync: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Notes how deliveries end.
#[derive(Debug, Default)]
struct Deliveries {
    failure: FirstFailure,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, line: Self::DeliveryOpaque) {
        if let Err((error, message)) = result {
            self.failure.keep(|| {
                format!(
                    "line {line} was not written to topic {}: {error}{}",
                    message.topic(),
                    remedy(error)
                )
            });
        }
    }
}

/// Runs the subcommand.
pub fn run(args: &ProduceArgs) -> Result<(), CliError> {
    let format = LineFormat::from_properties(&args.property)?;
    let mut config = args.connect.client_config()?;
    config.set(
        "enable.idempotence",
        if matches!(args.acks.as_str(), "all" | "-1") {
            "true"
        } else {
            "false"
        },
    );
    config
        .set("acks", &args.acks)
        .set("message.max.bytes", LINE_BYTES_MAX.to_string());
    config
        .set("queue.buffering.max.kbytes", "65536")
        .set("linger.ms", if args.sync { "0" } else { "5" });
    // Kafka's placement of keys, so that records land where other clients put them.
    config.set("partitioner", "murmur2_random");
    if let Some(codec) = args.compression_codec {
        let name = codec
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default();
        config.set("compression.codec", name);
    }
    add_properties(&mut config, "--producer-property", &args.producer_property)?;
    args.connect.reach(&config, None)?;
    let stop = StopSignal::listen()?;
    let producer = create_producer(&config)?;
    let (batches, received) = sync_channel(4);
    std::thread::Builder::new()
        .name("stdin".into())
        .spawn(move || read_lines(std::io::stdin().lock(), &batches))
        .map_err(|error| CliError::new(format!("cannot start a thread: {error}")))?;
    let sent = send_all(args, &producer, &format, &received, &stop);
    let finished = finish(&producer);
    sent.and(finished)
}

fn create_producer(config: &ClientConfig) -> Result<BaseProducer<Deliveries>, CliError> {
    use rdkafka::config::FromClientConfigAndContext;
    BaseProducer::from_config_and_context(config, Deliveries::default()).map_err(|error| {
        CliError::new(format!(
            "cannot create the producer: {error}; check --producer-property"
        ))
    })
}

/// Hands over lines in batches until the input ends; a failure is handed over as the last thing.
fn read_lines(input: impl Read, batches: &SyncSender<Result<Vec<Vec<u8>>, String>>) {
    let mut input = BufReader::with_capacity(BATCH_BYTES, input);
    let mut number = 0_u64;
    loop {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < BATCH_LINES && bytes < BATCH_BYTES {
            let mut line = Vec::new();
            number += 1;
            match input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) if line.last() != Some(&b'\n') && line.len() as u64 == LINE_BYTES_MAX => {
                    // The receiver is gone only when it failed itself, and says why.
                    let _ = batches.send(Err(format!(
                        "line {number} is longer than {LINE_BYTES_MAX} bytes"
                    )));
                    return;
                }
                Ok(_) => {}
                Err(error) => {
                    let _ = batches.send(Err(format!(
                        "cannot read standard input at line {number}: {error}"
                    )));
                    return;
                }
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            bytes += line.len();
            batch.push(line);
            // At a terminal each line goes out at once: nothing more is in the buffer.
            if input.buffer().is_empty() {
                break;
            }
        }
        if batch.is_empty() || batches.send(Ok(batch)).is_err() {
            return;
        }
    }
}

/// Sends every line that arrives; stops at the end of the input, at a failure, or when the user asks.
fn send_all(
    args: &ProduceArgs,
    producer: &BaseProducer<Deliveries>,
    format: &LineFormat,
    lines: &Receiver<Result<Vec<Vec<u8>>, String>>,
    stop: &StopSignal,
) -> Result<(), CliError> {
    let mut number = 0;
    loop {
        if stop.requested() {
            return Ok(());
        }
        match lines.recv_timeout(Duration::from_millis(50)) {
            Ok(Ok(batch)) => {
                for line in batch {
                    number += 1;
                    match format.parse(&line) {
                        Ok(record) => send(args, producer, &record, number, stop)?,
                        Err(reason) => return Err(CliError::new(format!("line {number}: {reason}"))),
                    }
                }
            }
            Ok(Err(reason)) => return Err(CliError::new(reason)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        producer.poll(Duration::ZERO);
        producer.context().failure.check()?;
    }
}

fn send(
    args: &ProduceArgs,
    producer: &BaseProducer<Deliveries>,
    parsed: &Parsed<'_>,
    number: usize,
    stop: &StopSignal,
) -> Result<(), CliError> {
    let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&args.topic, number);
    record.partition = args.partition;
    record.key = parsed.key;
    record.payload = parsed.value;
    if !parsed.headers.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(parsed.headers.len());
        record.headers = Some(parsed.headers.iter().fold(headers, |all, (key, value)| {
            all.insert(Header { key, value: *value })
        }));
    }
    loop {
        match producer.send(record) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _))
                if producer.in_flight_count() == 0 =>
            {
                return Err(CliError::new(format!(
                    "line {number} is larger than the client's queue; raise it with --producer-property queue.buffering.max.kbytes=…"
                )));
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                stop.check()?;
                record = back;
                producer.poll(Duration::from_millis(10));
                producer.context().failure.check()?;
            }
            Err((error, _)) => {
                return Err(CliError::new(format!(
                    "line {number} was not written to topic {}: {error}",
                    args.topic
                )));
            }
        }
    }
    if args.sync {
        while producer.in_flight_count() > 0 && !stop.requested() {
            producer.poll(Duration::from_millis(10));
        }
        producer.context().failure.check()?;
    }
    Ok(())
}

/// Waits until every record that was sent is acknowledged.
fn finish(producer: &BaseProducer<Deliveries>) -> Result<(), CliError> {
    let flushed = producer.flush(FLUSH_TIMEOUT);
    producer.context().failure.check()?;
    flushed.map_err(|error| {
        CliError::new(format!(
            "{} records were not acknowledged: {error}",
            producer.in_flight_count()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(input: &[u8]) -> Vec<Result<Vec<Vec<u8>>, String>> {
        let (sender, receiver) = sync_channel(100);
        read_lines(input, &sender);
        drop(sender);
        receiver.into_iter().collect()
    }

    #[test]
    fn lines_lose_only_their_line_feed_and_the_last_needs_none() {
        let lines: Vec<_> = batches(b"a\r\n\nb")
            .into_iter()
            .flat_map(Result::unwrap)
            .collect();
        assert_eq!(lines, [&b"a\r"[..], b"", b"b"]);
    }

    #[test]
    fn long_inputs_come_in_bounded_batches() {
        let all = batches(&b"x\n".repeat(10 * BATCH_LINES));
        assert!(
            all.iter()
                .all(|batch| batch.as_ref().unwrap().len() <= BATCH_LINES)
        );
        assert_eq!(
            all.into_iter().map(|batch| batch.unwrap().len()).sum::<usize>(),
            10 * BATCH_LINES
        );
    }
}
