//! Fetch (1): records from an offset on, waiting for them if there are none yet.
//!
//! Rules: a fetch at the high watermark is empty without error, outside the log is OFFSET_OUT_OF_RANGE; the first
//! partition that has anything gives at least one whole batch even over the limits; the answer waits for
//! `min_bytes` or `max_wait_ms`, but any error is answered at once. A partition that is named again is passed over:
//! each costs a look at the log.
//!
//! Sessions (KIP-227) are never opened: id 0 says so, and clients then name all partitions every time.
//! Record bytes are not read here: the answer carries ranges of segment files (`server::reply`).

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;
use kafka_protocol::messages::fetch_request::FetchPartition;
use tokio::sync::watch;
use tokio::time::Instant;

use super::error_code::{ErrorCode, NONE};
use super::fetch_response::{self, FetchedPartition, FetchedTopic, TopicKey};
use super::shape::{Kind, Shape, all, between, since, until};
use super::{Fault, Request, Started, epoch_error, in_place};
use crate::broker::BrokerState;
use crate::ids::{Offset, TopicId};
use crate::log::{Partition, ReadError};
use crate::topic::Topic;

pub(crate) const SHAPE: Shape = Shape {
    flexible: 12,
    fields: &[
        until(14, Kind::Fixed(4)),
        all(Kind::Fixed(4)),
        all(Kind::Fixed(4)),
        all(Kind::Fixed(4)),
        all(Kind::Fixed(1)),
        since(7, Kind::Fixed(4)),
        since(7, Kind::Fixed(4)),
        all(Kind::Array(&[
            until(12, Kind::Text),
            since(13, Kind::Fixed(16)),
            all(Kind::Array(&[
                all(Kind::Fixed(4)),
                since(9, Kind::Fixed(4)),
                all(Kind::Fixed(8)),
                since(12, Kind::Fixed(4)),
                since(5, Kind::Fixed(8)),
                all(Kind::Fixed(4)),
                since(17, Kind::TagFixed(0, 16)),
                since(18, Kind::TagFixed(1, 8)),
            ])),
        ])),
        since(
            7,
            Kind::Array(&[
                between(7, 12, Kind::Text),
                since(13, Kind::Fixed(16)),
                all(Kind::FixedArray(4)),
            ]),
        ),
        since(11, Kind::Text),
        since(12, Kind::TagText(0)),
        since(
            15,
            Kind::TagStruct(1, &[all(Kind::Fixed(4)), all(Kind::Fixed(8))]),
        ),
    ],
};

/// Kafka's number of the API.
const KEY: i16 = 1;
const READ_COMMITTED: i8 = 1;

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: FetchRequest = request.decode()?;
    let (broker, answer) = (request.broker, request.answer);
    if body.session_id != 0 {
        let code = ErrorCode::FetchSessionIdNotFound.code();
        return fetch_response::encode(answer, code, Vec::new(), false).map(Started::Ready);
    }
    let wait = Duration::from_millis(u64::try_from(body.max_wait_ms).unwrap_or(0));
    let mut fetch = Fetch::new(broker, body, answer.version);
    let collected = fetch.collect();
    if fetch.is_enough(&collected) || wait.is_zero() {
        return fetch.answer(answer, collected).map(Started::Ready);
    }
    Started::later(async move {
        let deadline = Instant::now() + wait;
        let mut watched = fetch.watch();
        loop {
            // Looked at after watching began, so that nothing is missed in between.
            let collected = fetch.collect();
            if fetch.is_enough(&collected) || Instant::now() >= deadline {
                return fetch.answer(answer, collected);
            }
            tokio::select! {
                () = any_change(&mut watched) => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    })
}

/// What is asked for.
struct Fetch {
    broker: Arc<BrokerState>,
    body: FetchRequest,
    by_id: bool,
    bytes_max: usize,
    bytes_min: usize,
}

/// What there is now.
struct Collected {
    topics: Vec<FetchedTopic>,
    bytes: usize,
    failed: bool,
}

impl Fetch {
    fn new(broker: Arc<BrokerState>, mut body: FetchRequest, version: i16) -> Self {
        drop_repeated(&mut body);
        let bytes_max = usize::try_from(body.max_bytes.min(broker.config.fetch_max_bytes)).unwrap_or(0);
        // More than the limit can never come together.
        let bytes_min = usize::try_from(body.min_bytes).unwrap_or(0).min(bytes_max);
        Self {
            by_id: version >= 13,
            bytes_max,
            bytes_min,
            broker,
            body,
        }
    }

    fn topic(&self, at: usize) -> Option<Arc<Topic>> {
        let asked = self.body.topics.get(at)?;
        if self.by_id {
            self.broker.topics.by_id(TopicId(asked.topic_id.into_bytes()))
        } else {
            self.broker.topics.get(&asked.topic)
        }
    }

    fn is_enough(&self, collected: &Collected) -> bool {
        collected.failed || collected.bytes >= self.bytes_min || collected.topics.is_empty()
    }

    fn answer(
        &mut self,
        answer: super::Answer,
        collected: Collected,
    ) -> Result<crate::server::reply::Reply, Fault> {
        let committed = self.body.isolation_level == READ_COMMITTED;
        fetch_response::encode(answer, NONE, collected.topics, committed)
    }

    /// Looks at every partition, in the order asked.
    fn collect(&self) -> Collected {
        if self.is_cold() {
            in_place(|| self.look())
        } else {
            self.look()
        }
    }

    /// True if any of it may not be in memory.
    fn is_cold(&self) -> bool {
        self.body.topics.iter().enumerate().any(|(at, asked)| {
            self.topic(at).is_some_and(|topic| {
                let cold = |p: &FetchPartition| {
                    topic
                        .partition(p.partition)
                        .is_some_and(|log| log.is_cold(Offset(p.fetch_offset)))
                };
                asked.partitions.iter().any(cold)
            })
        })
    }

    fn look(&self) -> Collected {
        let mut collected = Collected {
            topics: Vec::with_capacity(self.body.topics.len()),
            bytes: 0,
            failed: false,
        };
        for (at, asked) in self.body.topics.iter().enumerate() {
            let topic = self.topic(at);
            let mut partitions = Vec::with_capacity(asked.partitions.len());
            for partition in &asked.partitions {
                let fetched = self.read(topic.as_deref(), partition, collected.bytes);
                if fetched.error_code != NONE {
                    collected.failed = true;
                    self.broker.metrics.refused_partition(KEY);
                }
                collected.bytes += fetched.records.as_ref().map_or(0, |r| r.len());
                partitions.push(fetched);
            }
            let key = if self.by_id {
                TopicKey::Id(asked.topic_id)
            } else {
                TopicKey::Name(asked.topic.0.clone())
            };
            collected.topics.push(FetchedTopic { key, partitions });
        }
        collected
    }

    fn read(&self, topic: Option<&Topic>, asked: &FetchPartition, taken: usize) -> FetchedPartition {
        let Some(topic) = topic else {
            let code = if self.by_id {
                ErrorCode::UnknownTopicId
            } else {
                ErrorCode::UnknownTopicOrPartition
            };
            return FetchedPartition::refused(asked.partition, code);
        };
        let Some(log) = topic.partition(asked.partition) else {
            return FetchedPartition::refused(asked.partition, ErrorCode::UnknownTopicOrPartition);
        };
        if let Some(code) = epoch_error(log, asked.current_leader_epoch) {
            return FetchedPartition::refused(asked.partition, code);
        }
        match self.read_log(log, asked, taken) {
            Ok(fetched) => fetched,
            Err(error) => {
                if !matches!(error, ReadError::OutOfRange { .. })
                    && let Some(held) = self.broker.warnings.pass()
                {
                    tracing::error!(partition = %log.topic_partition(), %error, held, "cannot read the log");
                }
                FetchedPartition {
                    log_start: log.log_start_offset().0,
                    high_watermark: log.high_watermark().0,
                    last_stable: log.last_stable_offset().0,
                    ..FetchedPartition::refused(asked.partition, ErrorCode::from(&error))
                }
            }
        }
    }

    fn read_log(
        &self,
        log: &Partition,
        asked: &FetchPartition,
        taken: usize,
    ) -> Result<FetchedPartition, ReadError> {
        // The watermark first: what is below it when we look stays readable.
        let high_watermark = log.high_watermark();
        let last_stable = log.last_stable_offset().min(high_watermark);
        let limit = if self.body.isolation_level == READ_COMMITTED {
            last_stable
        } else {
            high_watermark
        };
        let room = usize::try_from(asked.partition_max_bytes)
            .unwrap_or(0)
            .min(self.bytes_max.saturating_sub(taken));
        let from = Offset(asked.fetch_offset);
        let slice = log.read(from, room, limit, taken == 0)?;
        let aborted = match self.body.isolation_level {
            READ_COMMITTED => log.aborted_transactions_in(from, &slice),
            _ => Vec::new(),
        };
        Ok(FetchedPartition {
            index: asked.partition,
            error_code: NONE,
            high_watermark: high_watermark.0,
            last_stable: last_stable.0,
            log_start: log.log_start_offset().0,
            aborted,
            records: (!slice.is_empty()).then_some(slice),
        })
    }

    fn watch(&self) -> Vec<watch::Receiver<i64>> {
        let mut watched = Vec::new();
        for (at, asked) in self.body.topics.iter().enumerate() {
            let Some(topic) = self.topic(at) else { continue };
            let logs = asked
                .partitions
                .iter()
                .filter_map(|p| topic.partition(p.partition));
            watched.extend(logs.map(|log| log.watch_high_watermark()));
        }
        watched
    }
}

/// Keeps the first mention of every partition.
fn drop_repeated(body: &mut FetchRequest) {
    if body.topics.iter().map(|t| t.partitions.len()).sum::<usize>() <= 1 {
        return;
    }
    let mut seen = HashSet::new();
    body.topics.retain_mut(|asked| {
        let (name, id) = (asked.topic.0.clone(), asked.topic_id);
        asked
            .partitions
            .retain(|p| seen.insert((name.clone(), id, p.partition)));
        !asked.partitions.is_empty()
    });
}

/// Resolves once any of the watermarks moves or its partition goes away.
async fn any_change(watched: &mut [watch::Receiver<i64>]) {
    if let [only] = watched {
        let _ = only.changed().await;
        return;
    }
    let mut changes: Vec<Pin<Box<_>>> = watched.iter_mut().map(|w| Box::pin(w.changed())).collect();
    poll_fn(|context| {
        let changed = changes
            .iter_mut()
            .any(|change| change.as_mut().poll(context).is_ready());
        if changed { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
