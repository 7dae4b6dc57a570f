//! All metrics of a broker as text: names, help, and where each number comes from.
//!
//! Owns: the names and the bounds on the number of series. Does not own: the numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::text::{Exposition, Kind};
use super::{ApiMetrics, Metrics};
use crate::api::REGISTRY;
use crate::broker::BrokerState;
use crate::group::{GroupSnapshot, GroupState};
use crate::log::{Partition, Volume};
use crate::topic::Topic;

/// Topics with series of their own; further ones are summed up.
const TOPICS_MAX: usize = 1_000;
/// Partitions with series of their own; further ones have none.
const PARTITIONS_MAX: usize = 10_000;
/// Offsets of groups whose lag has a series of its own; further ones have none.
const LAGS_MAX: usize = 10_000;
/// Name of the sum; no topic can have it.
const OTHER_TOPICS: &str = "(other)";

/// Everything there is to say about the broker now. Takes locks and reads files: not for an async thread.
pub(super) fn render(broker: &BrokerState) -> String {
    let mut out = Exposition::default();
    let topics = broker.topics.all();
    process(&mut out, broker);
    requests(&mut out, &broker.metrics);
    traffic(&mut out, &topics);
    partitions(&mut out, &topics);
    syncs(&mut out, broker);
    let groups = broker.groups.snapshot(LAGS_MAX);
    group_states(&mut out, &groups);
    lags(&mut out, broker, &groups);
    for gauge in broker.metrics.gauges().iter() {
        out.single(gauge.name, Kind::Gauge, gauge.help, (gauge.read)());
    }
    out.finish()
}

fn process(out: &mut Exposition, broker: &BrokerState) {
    let metrics = &broker.metrics;
    out.family(
        "millstream_build_info",
        Kind::Gauge,
        "Version of the broker; always 1.",
    )
    .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let uptime = metrics.started.elapsed().as_secs_f64();
    out.single(
        "millstream_uptime_seconds",
        Kind::Gauge,
        "Seconds since the broker started.",
        uptime,
    );
    if let Some(bytes) = resident_bytes() {
        let help = "Resident memory of the process.";
        out.single("process_resident_memory_bytes", Kind::Gauge, help, bytes as f64);
    }
    if let Ok(Volume { free, total }) = broker.logs.volume() {
        let help = "Bytes that may still be written to the file system of the data directory.";
        out.single("millstream_disk_free_bytes", Kind::Gauge, help, free as f64);
        let help = "Size of the file system of the data directory.";
        out.single("millstream_disk_total_bytes", Kind::Gauge, help, total as f64);
    }
    let help = "1 while records are refused because the disk is nearly full.";
    let short = f64::from(u8::from(broker.logs.is_short_of_room()));
    out.single("millstream_disk_short", Kind::Gauge, help, short);
    let failed = broker.logs.check().is_err();
    let help = "1 once the data directory has failed and takes no more writes.";
    out.single(
        "millstream_data_dir_failed",
        Kind::Gauge,
        help,
        f64::from(u8::from(failed)),
    );
    let open = metrics.connections_open.load(Ordering::Relaxed).max(0);
    out.single(
        "millstream_connections_open",
        Kind::Gauge,
        "Client connections open.",
        open as f64,
    );
    let help = "Client connections accepted.";
    out.single(
        "millstream_connections_total",
        Kind::Counter,
        help,
        read(&metrics.connections_accepted),
    );
    let help = "Client connections closed at once because max.connections were open.";
    out.single(
        "millstream_connections_refused_total",
        Kind::Counter,
        help,
        read(&metrics.connections_refused),
    );
}

fn requests(out: &mut Exposition, metrics: &Metrics) {
    // An API that nobody has used has no series.
    let used: Vec<(&str, &ApiMetrics)> = REGISTRY
        .iter()
        .map(|spec| spec.name)
        .zip(&metrics.apis)
        .filter(|(_, api)| api.request_bytes.load(Ordering::Relaxed) > 0)
        .collect();
    let mut each = |name: &str, help: &str, number: &dyn Fn(&ApiMetrics) -> f64| {
        let mut family = out.family(name, Kind::Counter, help);
        for (name, api) in &used {
            family.sample(&[("api", name)], number(api));
        }
    };
    let help = "Requests done.";
    each("millstream_requests_total", help, &|api| {
        api.seconds.count() as f64
    });
    let help = "Requests that ended their connection instead of being answered.";
    each("millstream_request_errors_total", help, &|api| read(&api.errors));
    let help = "Partitions that Produce and Fetch answered with an error.";
    each("millstream_partition_errors_total", help, &|api| {
        read(&api.partition_errors)
    });
    let help = "Bytes of requests.";
    each("millstream_request_bytes_total", help, &|api| {
        read(&api.request_bytes)
    });
    let help = "Bytes of answers.";
    each("millstream_response_bytes_total", help, &|api| {
        read(&api.response_bytes)
    });
    let help = "Time from the start of a request to its answer, waits of long polls included.";
    let mut family = out.family("millstream_request_duration_seconds", Kind::Histogram, help);
    for (name, api) in &used {
        family.histogram(&[("api", name)], &api.seconds);
    }
}

/// What went into and out of one topic.
#[derive(Clone, Copy, Default)]
struct TopicTraffic {
    records_in: u64,
    bytes_in: u64,
    bytes_out: u64,
}

fn traffic(out: &mut Exposition, topics: &[Arc<Topic>]) {
    let mut rows: Vec<(&str, TopicTraffic)> = Vec::new();
    let mut other = TopicTraffic::default();
    for (at, topic) in topics.iter().enumerate() {
        let mut of_topic = TopicTraffic::default();
        for partition in topic.partitions() {
            let traffic = partition.traffic();
            of_topic.records_in += traffic.records_in();
            of_topic.bytes_in += traffic.bytes_in();
            of_topic.bytes_out += traffic.bytes_out();
        }
        if at < TOPICS_MAX {
            rows.push((topic.name.as_str(), of_topic));
        } else {
            other.records_in += of_topic.records_in;
            other.bytes_in += of_topic.bytes_in;
            other.bytes_out += of_topic.bytes_out;
        }
    }
    if topics.len() > TOPICS_MAX {
        rows.push((OTHER_TOPICS, other));
    }
    let mut each = |name: &str, help: &str, number: &dyn Fn(&TopicTraffic) -> u64| {
        let mut family = out.family(name, Kind::Counter, help);
        for (topic, traffic) in &rows {
            family.sample(&[("topic", topic)], number(traffic) as f64);
        }
    };
    let help = "Records appended since the broker started.";
    each("millstream_topic_records_in_total", help, &|t| t.records_in);
    let help = "Bytes of batches appended since the broker started.";
    each("millstream_topic_bytes_in_total", help, &|t| t.bytes_in);
    let help = "Bytes of batches fetched since the broker started.";
    each("millstream_topic_bytes_out_total", help, &|t| t.bytes_out);
    out.single("millstream_topics", Kind::Gauge, "Topics.", topics.len() as f64);
}

fn partitions(out: &mut Exposition, topics: &[Arc<Topic>]) {
    let all = || topics.iter().flat_map(|topic| topic.partitions());
    let count = all().count();
    out.single("millstream_partitions", Kind::Gauge, "Partitions.", count as f64);
    let omitted = count.saturating_sub(PARTITIONS_MAX);
    let help = "Partitions without series of their own because there are too many.";
    out.single("millstream_partitions_omitted", Kind::Gauge, help, omitted as f64);
    let mut each = |name: &str, help: &str, number: &dyn Fn(&Partition) -> f64| {
        let mut family = out.family(name, Kind::Gauge, help);
        for log in all().take(PARTITIONS_MAX) {
            let tp = log.topic_partition();
            let partition = tp.partition.to_string();
            family.sample(
                &[("topic", tp.topic.as_str()), ("partition", &partition)],
                number(log),
            );
        }
    };
    let help = "Bytes of the log, without indexes.";
    each("millstream_partition_size_bytes", help, &|log| {
        log.size_bytes() as f64
    });
    let help = "First offset there is.";
    each("millstream_partition_start_offset", help, &|log| {
        log.log_start_offset().0 as f64
    });
    let help = "Offset that the next record gets.";
    each("millstream_partition_end_offset", help, &|log| {
        log.log_end_offset().0 as f64
    });
    let help = "Offset up to which consumers may read.";
    each("millstream_partition_high_watermark", help, &|log| {
        log.high_watermark().0 as f64
    });
}

fn syncs(out: &mut Exposition, broker: &BrokerState) {
    let help = "Time that one sync of the log took; one sync covers everything that waited for it.";
    out.family("millstream_log_sync_duration_seconds", Kind::Histogram, help)
        .histogram(&[], broker.logs.sync_times());
}

fn group_states(out: &mut Exposition, groups: &GroupSnapshot) {
    let mut family = out.family("millstream_groups", Kind::Gauge, "Consumer groups by state.");
    for state in [
        GroupState::Empty,
        GroupState::PreparingRebalance,
        GroupState::CompletingRebalance,
        GroupState::Stable,
        GroupState::Dead,
    ] {
        let count = groups.states.get(&state).copied().unwrap_or(0);
        family.sample(&[("state", state.as_str())], count as f64);
    }
    out.single(
        "millstream_group_members",
        Kind::Gauge,
        "Members of all groups.",
        groups.members as f64,
    );
}

fn lags(out: &mut Exposition, broker: &BrokerState, groups: &GroupSnapshot) {
    let omitted = groups.offsets_total - groups.offsets.len();
    let help = "Committed offsets whose lag has no series because there are too many.";
    out.single("millstream_group_lags_omitted", Kind::Gauge, help, omitted as f64);
    let help = "Records between a group's committed offset and the end of the partition.";
    let mut family = out.family("millstream_group_lag", Kind::Gauge, help);
    let mut topics: BTreeMap<&str, Option<Arc<Topic>>> = BTreeMap::new();
    for (group, tp, offset) in &groups.offsets {
        let name = tp.topic.as_str();
        let topic = topics.entry(name).or_insert_with(|| broker.topics.get(name));
        let Some(log) = topic.as_ref().and_then(|topic| topic.partition(tp.partition.0)) else {
            continue;
        };
        let lag = log.high_watermark().0.saturating_sub(offset.0).max(0);
        let partition = tp.partition.to_string();
        let labels = [
            ("group", group.as_str()),
            ("topic", name),
            ("partition", &partition),
        ];
        family.sample(&labels, lag as f64);
    }
}

fn read(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

/// Linux only; elsewhere the metric is missing.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
