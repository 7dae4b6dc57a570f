//! `millstream perf produce`: what kafka-producer-perf-test does and prints.
//!
//! One thread sends and takes the acknowledgements; a record's latency runs from the call that sends it (and may wait
//! for room in the client's queue) to its acknowledgement.

mod result;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Message};

use self::result::Result as Measured;
use super::pace::Pace;
use super::payload::Payloads;
use super::properties::client;
use super::{RECORD_BYTES_MAX, note, say};
use crate::client::ConnectArgs;
use crate::delivery::{FirstFailure, remedy};
use crate::error::CliError;
use crate::stop::StopSignal;

/// How long the last records may take to be acknowledged.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one step of a transaction may take.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long both may take once the user asked for a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idempotent producer may take to get its id before the clock starts nevertheless.
const ID_TIMEOUT: Duration = Duration::from_secs(3);
/// What the client's statistics say once it has its id.
const HAS_ID: &[u8] = b"\"idemp_state\": \"Assigned\"";
/// Duration of a transaction where only its id is given.
const TRANSACTION_MS_DEFAULT: u64 = 3_000;
/// One wait for acknowledgements; the client's call lasts its whole time.
const POLL: Duration = Duration::from_millis(1);
/// Records between two looks at the acknowledgements.
const POLL_RECORDS: u64 = 64;
/// Marks a record's opaque number when it belongs to the steady state.
const STEADY: usize = 1 << (usize::BITS - 1);

/// Write records as fast as possible or at a rate.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("payload").required(true).args(["record_size", "payload_file", "payload_monotonic"])),
    after_help = "The options and the lines are those of kafka-producer-perf-test. Properties may have Java's names. The client's \
    defaults: acks=all, idempotent, linger.ms=5, batches of up to 1 MB, 32 MiB of records in flight (buffer.memory). \
    Ctrl-C prints the result so far.\n\n\
    Examples:\n  \
    millstream perf produce --topic load --num-records 1000000 --record-size 100 --throughput -1\n  \
    millstream perf produce --topic load --num-records 100000 --record-size 1000 --throughput 5000 \
    --producer-props acks=1 compression.type=lz4\n  \
    millstream perf produce --topic load --num-records 100000 --payload-file words.txt --throughput -1 \
    --transactional-id perf --transaction-duration-ms 100"
)]
pub struct ProducePerfArgs {
    /// Topic to write to
    #[arg(long)]
    topic: String,
    /// How many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    num_records: u64,
    /// Bytes of a record, random letters
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(i64).range(1..=RECORD_BYTES_MAX))]
    record_size: Option<i64>,
    /// Text file whose parts are the records, picked at random
    #[arg(long, value_name = "FILE")]
    payload_file: Option<PathBuf>,
    /// What stands between the parts of --payload-file
    #[arg(long, value_name = "TEXT", default_value = "\\n")]
    payload_delimiter: String,
    /// Records are 0, 1, 2, …
    #[arg(long)]
    payload_monotonic: bool,
    /// Records a second at most; -1 does not hold back
    #[arg(long, value_name = "RATE", allow_hyphen_values = true, default_value_t = -1.0)]
    throughput: f64,
    /// Properties of the producer client, KEY=VALUE …
    #[arg(
        long = "producer-props",
        visible_aliases = ["producer-property", "command-property"],
        value_name = "KEY=VALUE",
        num_args = 1..
    )]
    properties: Vec<String>,
    /// Write in transactions of this id
    #[arg(long, value_name = "ID")]
    transactional_id: Option<String>,
    /// Commit so often, in milliseconds [default with an id: 3000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    transaction_duration_ms: Option<u64>,
    /// The first N records are kept out of a second, steady-state line
    #[arg(long, value_name = "N", default_value_t = 0)]
    warmup_records: u64,
    /// Print progress so often, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    reporting_interval: u64,
    /// Print the result as JSON; progress goes to standard error
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Takes the acknowledgements.
struct Deliveries {
    start: Instant,
    measured: Mutex<Measured>,
    failure: FirstFailure,
    /// Whether an idempotent producer has its id, without which nothing is sent.
    has_id: AtomicBool,
}

impl Deliveries {
    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {
    fn stats_raw(&self, statistics: &[u8]) {
        if !self.has_id.load(Ordering::Relaxed) && memchr::memmem::find(statistics, HAS_ID).is_some() {
            self.has_id.store(true, Ordering::Relaxed);
        }
    }
}

impl ProducerContext for Deliveries {
    /// When the record was sent, in µs since the start, and whether it is of the steady state.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: usize) {
        match result {
            Ok(message) => {
                let now_us = self.start.elapsed().as_micros() as u64;
                let latency_us = now_us.saturating_sub((sent & !STEADY) as u64);
                self.measured()
                    .acknowledged(latency_us, message.payload_len(), sent & STEADY != 0);
            }
            Err((error, message)) => self.failure.keep(|| {
                let topic = message.topic();
                format!(
                    "a record was not written to topic {topic}: {error}{}",
                    remedy(error)
                )
            }),
        }
    }
}

/// Runs the subcommand.
pub fn run(args: &ProducePerfArgs) -> Result<(), CliError> {
    if args.warmup_records >= args.num_records {
        return Err(CliError::new(format!(
            "--warmup-records {} leaves nothing of --num-records {} to measure; give fewer",
            args.warmup_records, args.num_records
        )));
    }
    let mut payloads = match (args.record_size, &args.payload_file) {
        (Some(size), _) => Payloads::letters(usize::try_from(size).expect("its range was checked")),
        (None, Some(path)) => Payloads::file(path, &args.payload_delimiter)?,
        (None, None) => Payloads::numbers(),
    };
    let defaults = [
        ("enable.idempotence", "true"),
        ("linger.ms", "5"),
        ("batch.size", "1000000"),
        ("batch.num.messages", "100000"),
        ("queue.buffering.max.kbytes", "32768"),
        ("queue.buffering.max.messages", "1000000"),
        ("message.max.bytes", "105906176"),
        ("socket.nagle.disable", "true"),
        ("statistics.interval.ms", "100"),
    ];
    let mut client = client(&args.connect, &defaults, "--producer-props", &args.properties)?;
    let transaction = transaction(args, &mut client.config);
    client.connect.reach(&client.config, None)?;
    let stop = StopSignal::listen()?;
    let context = Deliveries {
        start: Instant::now(),
        measured: Mutex::new(Measured::new(args.warmup_records > 0)),
        failure: FirstFailure::default(),
        has_id: AtomicBool::new(false),
    };
    let producer = BaseProducer::from_config_and_context(&client.config, context).map_err(|error| {
        CliError::new(format!(
            "cannot create the producer: {error}; check --producer-props and --command-config"
        ))
    })?;
    if transaction.is_some() {
        producer
            .init_transactions(TRANSACTION_TIMEOUT)
            .map_err(|error| in_transaction("cannot begin to write", &error))?;
    } else if client.config.get("enable.idempotence") == Some("true") {
        wait_for_id(&producer);
    }
    announce_warmup(args)?;
    let mut run = Run {
        args,
        producer: &producer,
        stop: &stop,
        begun: Instant::now(),
        reported: Instant::now(),
        transaction: None,
    };
    let sent = run.send_all(&mut payloads, transaction);
    let flushed = run.finish();
    let elapsed = run.begun.elapsed();
    let measured = producer.context().measured();
    if measured.is_empty() && (sent.is_err() || flushed.is_err()) {
        // Only the failure is worth a line.
    } else if args.json {
        say(&measured.json(elapsed).to_string())?;
    } else {
        measured.lines(elapsed).iter().try_for_each(|line| say(line))?;
    }
    sent.and(flushed).and_then(|()| stop.check())
}

fn announce_warmup(args: &ProducePerfArgs) -> Result<(), CliError> {
    if args.warmup_records == 0 {
        return Ok(());
    }
    let text = format!(
        "Warmup first {} records. Steady state results will print after the complete test summary.",
        args.warmup_records
    );
    note(args.json, &text)
}

/// The client takes half a second to ask for its producer id. That is not the cluster's time.
fn wait_for_id(producer: &BaseProducer<Deliveries>) {
    let deadline = Instant::now() + ID_TIMEOUT;
    while !producer.context().has_id.load(Ordering::Relaxed) && Instant::now() < deadline {
        producer.poll(Duration::from_millis(5));
    }
}

/// The duration of a transaction, where records are written in some; sets their id.
fn transaction(args: &ProducePerfArgs, config: &mut rdkafka::ClientConfig) -> Option<Duration> {
    if let Some(id) = &args.transactional_id {
        config.set("transactional.id", id);
    }
    let named = config.get("transactional.id").is_some();
    if !named {
        args.transaction_duration_ms?;
        let id = format!("performance-producer-{}", std::process::id());
        config.set("transactional.id", id);
    }
    let duration_ms = args.transaction_duration_ms.unwrap_or(TRANSACTION_MS_DEFAULT);
    Some(Duration::from_millis(duration_ms))
}

fn in_transaction(what: &str, error: &KafkaError) -> CliError {
    CliError::new(format!(
        "{what} in a transaction: {error}; is another producer running with the same --transactional-id?"
    ))
}

/// One run: what is sent and when it was last reported.
struct Run<'a> {
    args: &'a ProducePerfArgs,
    producer: &'a BaseProducer<Deliveries>,
    stop: &'a StopSignal,
    begun: Instant,
    reported: Instant,
    /// When the open transaction began.
    transaction: Option<Instant>,
}

impl Run<'_> {
    fn send_all(&mut self, payloads: &mut Payloads, transaction: Option<Duration>) -> Result<(), CliError> {
        let pace = Pace::new(self.begun, self.args.throughput);
        for number in 0..self.args.num_records {
            while let Some(wait) = pace.wait(number, Instant::now()) {
                self.look_around()?;
                if self.stop.requested() {
                    return Ok(());
                }
                // Acknowledgements come in meanwhile: a wait of a millisecond and more is spent on them.
                if wait >= Duration::from_millis(2) {
                    self.producer.poll(POLL);
                } else {
                    std::thread::sleep(wait.min(Duration::from_micros(200)));
                    self.producer.poll(Duration::ZERO);
                }
            }
            if let Some(duration) = transaction {
                self.keep_transaction(duration)?;
            }
            let steady = self.args.warmup_records > 0 && number >= self.args.warmup_records;
            if number == self.args.warmup_records {
                self.producer
                    .context()
                    .measured()
                    .steady_from(self.begun.elapsed());
            }
            if !self.send(payloads.next(number), steady)? {
                return Ok(());
            }
            if number % POLL_RECORDS == 0 {
                self.producer.poll(Duration::ZERO);
                self.look_around()?;
                if self.stop.requested() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Sends one record, waiting for room; says whether it was sent before a stop was asked for.
    fn send(&mut self, payload: &[u8], steady: bool) -> Result<bool, CliError> {
        let sent_us = self.producer.context().start.elapsed().as_micros() as usize;
        let opaque = sent_us | if steady { STEADY } else { 0 };
        let mut record =
            BaseRecord::<(), [u8], usize>::with_opaque_to(&self.args.topic, opaque).payload(payload);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(true),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _))
                    if self.producer.in_flight_count() == 0 =>
                {
                    return Err(CliError::new(
                        "a record is larger than the client's queue; raise it with --producer-props buffer.memory=…",
                    ));
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(POLL);
                    self.look_around()?;
                    if self.stop.requested() {
                        return Ok(false);
                    }
                }
                Err((error, _)) => {
                    return Err(CliError::new(format!(
                        "a record was not written to topic {}: {error}",
                        self.args.topic
                    )));
                }
            }
        }
    }

    /// Begins a transaction where there is none; commits one that is old enough and begins the next.
    fn keep_transaction(&mut self, duration: Duration) -> Result<(), CliError> {
        if self.transaction.is_some_and(|begun| begun.elapsed() >= duration) {
            self.commit()?;
        }
        if self.transaction.is_none() {
            self.producer
                .begin_transaction()
                .map_err(|error| in_transaction("cannot write", &error))?;
            self.transaction = Some(Instant::now());
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), CliError> {
        self.transaction = None;
        self.wait_for_acknowledgements()?;
        self.producer
            .commit_transaction(self.limit(TRANSACTION_TIMEOUT))
            .map_err(|error| in_transaction("cannot commit", &error))
    }

    /// Patience ends early once the user asked for a stop.
    fn limit(&self, patience: Duration) -> Duration {
        if self.stop.requested() {
            STOP_TIMEOUT
        } else {
            patience
        }
    }

    /// Fails once a delivery failed; prints a line of progress when it is time.
    fn look_around(&mut self) -> Result<(), CliError> {
        self.producer.context().failure.check()?;
        let since = self.reported.elapsed();
        if since >= Duration::from_millis(self.args.reporting_interval) {
            let line = self.producer.context().measured().progress(since);
            note(self.args.json, &line)?;
            self.reported = Instant::now();
        }
        Ok(())
    }

    /// Waits until all is acknowledged and the last transaction is committed.
    fn finish(&mut self) -> Result<(), CliError> {
        self.wait_for_acknowledgements()?;
        if self.transaction.is_some() {
            self.commit()?;
        }
        Ok(())
    }

    fn wait_for_acknowledgements(&mut self) -> Result<(), CliError> {
        let begun = Instant::now();
        loop {
            self.look_around()?;
            if self.producer.in_flight_count() == 0 {
                return Ok(());
            }
            let limit = self.limit(FLUSH_TIMEOUT);
            if begun.elapsed() > limit {
                return Err(CliError::new(format!(
                    "{} records were not acknowledged within {} s; does the broker keep up?",
                    self.producer.in_flight_count(),
                    limit.as_secs()
                )));
            }
            self.producer.poll(POLL);
        }
    }
}
