//! `millstream perf consume`: what kafka-consumer-perf-test does and prints.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};
use rdkafka::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use serde_json::json;

use super::properties::{Client, client};
use super::{MB, milliseconds, note, rounded, say};
use crate::admin::now_ms;
use crate::client::ConnectArgs;
use crate::consume::is_passing;
use crate::datetime::stamp;
use crate::error::CliError;
use crate::stop::StopSignal;

/// How long one wait for a record lasts, so that Ctrl-C is seen.
const POLL: Duration = Duration::from_millis(10);
/// Records between two looks at the clock.
const CLOCK_RECORDS: u64 = 256;

const COLUMNS: &str = "data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, \
                       fetch.MB.sec, fetch.nMsg.sec";

/// Read records as fast as possible.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").required(true).args(["topic", "include"])),
    after_help = "The options and columns are those of kafka-consumer-perf-test; times are in UTC. Reading starts at the first \
    record unless the group has offsets, or with --from-latest. The client takes a tenth of a second to begin to fetch: read \
    for some seconds. Ctrl-C prints the result so far.\n\n\
    Examples:\n  \
    millstream perf consume --topic load --num-records 1000000\n  \
    millstream perf consume --topic load --messages 1000000 --show-detailed-stats --reporting-interval 1000"
)]
pub struct ConsumePerfArgs {
    /// Topic to read
    #[arg(long)]
    topic: Option<String>,
    /// Regular expression of the topics to read
    #[arg(long, value_name = "REGEX")]
    include: Option<String>,
    /// How many records
    #[arg(long, visible_alias = "messages", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    num_records: u64,
    /// Consumer group [default: a new one]
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Start with new records where the group has no offset
    #[arg(long)]
    from_latest: bool,
    /// Give up when no record came for so long, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    timeout: u64,
    /// Print a line every --reporting-interval instead of one at the end
    #[arg(long)]
    show_detailed_stats: bool,
    /// Print detailed stats so often, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
    reporting_interval: u64,
    /// Leave out the line with the names of the columns
    #[arg(long)]
    hide_header: bool,
    /// Bytes fetched at most of one partition in a request
    #[arg(long, value_name = "BYTES", default_value_t = 1_048_576, value_parser = clap::value_parser!(i32).range(1..))]
    fetch_size: i32,
    /// Properties of the consumer client, KEY=VALUE (may be repeated)
    #[arg(
        long = "consumer-property",
        visible_alias = "command-property",
        value_name = "KEY=VALUE"
    )]
    properties: Vec<String>,
    /// Print the result as JSON; detailed stats go to standard error
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// How long the group took to deal out partitions.
#[derive(Debug)]
struct Joining(Mutex<JoinTime>);

#[derive(Debug)]
struct JoinTime {
    since: Option<Instant>,
    total: Duration,
}

impl JoinTime {
    /// The time of all rebalances, the one under way too.
    fn total(&self) -> Duration {
        self.total + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Joining {
    fn time(&self) -> std::sync::MutexGuard<'_, JoinTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Joining {}

impl ConsumerContext for Joining {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Revoke(_)) {
            self.time().since = Some(Instant::now());
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Assign(_)) {
            let mut time = self.time();
            time.total = time.total();
            time.since = None;
        }
    }
}

/// What was read by a moment.
#[derive(Clone, Copy, Debug)]
struct Read {
    at: Instant,
    records: u64,
    bytes: u64,
    joining: Duration,
}

/// Runs the subcommand.
pub fn run(args: &ConsumePerfArgs) -> Result<(), CliError> {
    let group = args
        .group
        .clone()
        .unwrap_or_else(|| format!("perf-consumer-{}", now_ms() % 100_000));
    let fetch_size = args.fetch_size.to_string();
    let defaults = [
        ("group.id", group.as_str()),
        (
            "auto.offset.reset",
            if args.from_latest { "latest" } else { "earliest" },
        ),
        (
            "enable.auto.commit",
            if args.group.is_some() { "true" } else { "false" },
        ),
        ("max.partition.fetch.bytes", &fetch_size),
        ("fetch.max.bytes", "52428800"),
        ("queued.min.messages", "1000000"),
        ("queued.max.messages.kbytes", "65536"),
        ("fetch.queue.backoff.ms", "5"),
        ("check.crcs", "false"),
        ("allow.auto.create.topics", "false"),
    ];
    let client = client(&args.connect, &defaults, "--consumer-property", &args.properties)?;
    let topic = subscription(args, &client)?;
    let stop = StopSignal::listen()?;
    let joining = Joining(Mutex::new(JoinTime {
        since: Some(Instant::now()),
        total: Duration::ZERO,
    }));
    let consumer = BaseConsumer::from_config_and_context(&client.config, joining).map_err(|error| {
        CliError::new(format!(
            "cannot create the consumer: {error}; check --consumer-property and --command-config"
        ))
    })?;
    let started_ms = now_ms();
    let start = Instant::now();
    consumer
        .subscribe(&[&topic])
        .map_err(|error| CliError::new(format!("cannot read topic {topic}: {error}; check its name")))?;
    if !args.hide_header {
        header(args)?;
    }
    let read = read_all(args, &consumer, &stop, start)?;
    let complete = read.records >= args.num_records;
    if !complete && !stop.requested() {
        eprintln!(
            "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) exceeded. You can use the \
             --timeout option to increase the timeout.",
            args.timeout
        );
    }
    let total = Rates::between(start, None, &read);
    if args.json {
        say(&total.json(started_ms).to_string())?;
    } else if !args.show_detailed_stats {
        let end_ms = started_ms + total.elapsed_ms();
        say(&format!(
            "{}, {}, {}",
            stamp(started_ms),
            stamp(end_ms),
            total.columns()
        ))?;
    }
    stop.check()
}

/// What to subscribe to: the topic, which must exist, or a pattern.
fn subscription(args: &ConsumePerfArgs, client: &Client) -> Result<String, CliError> {
    match (&args.topic, &args.include) {
        (Some(topic), _) => {
            let metadata = client.connect.reach(&client.config, Some(topic))?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            if found.is_none_or(|found| found.error().is_some()) {
                return Err(crate::topics::no_such_topic(topic));
            }
            Ok(topic.clone())
        }
        (None, include) => {
            client.connect.reach(&client.config, None)?;
            let pattern = include.as_deref().unwrap_or(".*");
            Ok(format!("^({pattern})$"))
        }
    }
}

/// The line with the names of the columns.
fn header(args: &ConsumePerfArgs) -> Result<(), CliError> {
    let times = if args.show_detailed_stats {
        "time, threadId"
    } else {
        "start.time, end.time"
    };
    let header = format!("{times}, {COLUMNS}");
    if !args.json {
        say(&header)?;
    } else if args.show_detailed_stats {
        eprintln!("{header}");
    }
    Ok(())
}

/// Reads until enough came, nothing came for too long, or the user asks; prints detailed stats.
fn read_all(
    args: &ConsumePerfArgs,
    consumer: &BaseConsumer<Joining>,
    stop: &StopSignal,
    start: Instant,
) -> Result<Read, CliError> {
    let idle_limit = Duration::from_millis(args.timeout);
    let interval = Duration::from_millis(args.reporting_interval);
    let (mut records, mut bytes) = (0, 0);
    let seen = |records, bytes| Read {
        at: Instant::now(),
        records,
        bytes,
        joining: consumer.context().time().total(),
    };
    let mut reported = Read {
        at: start,
        records: 0,
        bytes: 0,
        joining: Duration::ZERO,
    };
    let mut last_record = Instant::now();
    while records < args.num_records && !stop.requested() {
        let mut look = false;
        match consumer.poll(Duration::ZERO).or_else(|| {
            look = true;
            consumer.poll(POLL.min(idle_limit))
        }) {
            Some(Ok(message)) => {
                records += 1;
                bytes += (message.payload_len() + message.key_len()) as u64;
                if look || records % CLOCK_RECORDS == 0 {
                    last_record = Instant::now();
                    look = true;
                }
            }
            Some(Err(error)) if is_passing(&error) => {
                tracing::warn!(%error, "the broker is out of reach; trying on");
            }
            Some(Err(error)) => return Err(CliError::new(format!("reading failed: {error}"))),
            None if last_record.elapsed() >= idle_limit => break,
            None => {}
        }
        if args.show_detailed_stats && look && records > reported.records && reported.at.elapsed() >= interval
        {
            let now = seen(records, bytes);
            detail(args, start, &reported, &now)?;
            reported = now;
        }
    }
    let now = seen(records, bytes);
    if args.show_detailed_stats && now.records > reported.records {
        detail(args, start, &reported, &now)?;
    }
    Ok(now)
}

fn detail(args: &ConsumePerfArgs, start: Instant, before: &Read, now: &Read) -> Result<(), CliError> {
    let rates = Rates::between(start, Some(before), now);
    note(args.json, &format!("{}, 0, {}", stamp(now_ms()), rates.columns()))
}

/// What Kafka's columns say of a span of time: totals so far, rates within it.
#[derive(Debug)]
struct Rates {
    elapsed: Duration,
    joining: Duration,
    mb_total: f64,
    records_total: u64,
    mb: f64,
    records: u64,
}

impl Rates {
    fn between(start: Instant, before: Option<&Read>, now: &Read) -> Self {
        let (at, bytes, records, joining) = before.map_or((start, 0, 0, Duration::ZERO), |one| {
            (one.at, one.bytes, one.records, one.joining)
        });
        Self {
            elapsed: now.at.saturating_duration_since(at),
            joining: now.joining.saturating_sub(joining),
            mb_total: now.bytes as f64 / MB,
            records_total: now.records,
            mb: (now.bytes - bytes) as f64 / MB,
            records: now.records - records,
        }
    }

    fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.elapsed.as_millis()).unwrap_or(i64::MAX)
    }

    fn fetching(&self) -> Duration {
        self.elapsed.saturating_sub(self.joining)
    }

    /// MB and records a second of `span`.
    fn per_second(&self, span: Duration) -> (f64, f64) {
        let seconds = span.as_secs_f64().max(1e-3);
        (self.mb / seconds, self.records as f64 / seconds)
    }

    fn columns(&self) -> String {
        let (mb, records) = self.per_second(self.elapsed);
        let (fetch_mb, fetch_records) = self.per_second(self.fetching());
        format!(
            "{:.4}, {mb:.4}, {}, {records:.4}, {}, {}, {fetch_mb:.4}, {fetch_records:.4}",
            self.mb_total,
            self.records_total,
            self.joining.as_millis(),
            self.fetching().as_millis(),
        )
    }

    fn json(&self, started_ms: i64) -> serde_json::Value {
        let (mb, records) = self.per_second(self.elapsed);
        let (fetch_mb, fetch_records) = self.per_second(self.fetching());
        json!({
            "start_time_ms": started_ms,
            "end_time_ms": started_ms + self.elapsed_ms(),
            "data_consumed_mb": rounded(self.mb_total),
            "mb_per_second": rounded(mb),
            "records_consumed": self.records_total,
            "records_per_second": rounded(records),
            "rebalance_time_ms": rounded(milliseconds(self.joining)),
            "fetch_time_ms": rounded(milliseconds(self.fetching())),
            "fetch_mb_per_second": rounded(fetch_mb),
            "fetch_records_per_second": rounded(fetch_records),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_kafkas() {
        let start = Instant::now();
        let read = |seconds: u64, records, joining| Read {
            at: start + Duration::from_secs(seconds),
            records,
            bytes: records << 20,
            joining: Duration::from_secs(joining),
        };
        let first = read(2, 100, 1);
        assert_eq!(
            Rates::between(start, None, &first).columns(),
            "100.0000, 50.0000, 100, 50.0000, 1000, 1000, 100.0000, 100.0000"
        );
        let second = read(6, 300, 1);
        assert_eq!(
            Rates::between(start, Some(&first), &second).columns(),
            "300.0000, 50.0000, 300, 50.0000, 0, 4000, 50.0000, 50.0000"
        );
    }
}
