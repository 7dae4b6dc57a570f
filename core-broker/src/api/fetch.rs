//! Fetch (1): records from an offset on, waiting for them if there are none yet.
//!
//! Rules: a fetch at the high watermark is empty without error, outside the log is OFFSET_OUT_OF_RANGE; the first
//! partition that has anything gives at least one whole batch even over the limits; the answer waits for
//! `min_bytes` or `max_wait_ms`, but any error, and what leaves more behind, is answered at once.
//!
//! A request that opens a session (epoch 0) or goes on with one is answered by way of `fetch_session`; one without is
//! the same, but nothing is kept. While it waits it is told which partitions changed, and looks at no others.
//! Record bytes are not read here: the answer carries ranges of segment files (`server::reply`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::error_code::{ErrorCode, NONE};
use super::fetch_look::Looker;
use super::fetch_response::{self, FetchedPartition, FetchedTopic, TopicKey};
use super::shape::{Kind, Shape, all, between, since, until};
use super::{Answer, Fault, Request, Started, in_place};
use crate::broker::BrokerState;
use crate::fetch_session::{Asked, Entry, Handle, Round, Session, Shared, TopicRef, View};
use crate::ids::TopicId;
use crate::server::reply::Reply;
use crate::topic::name::NAME_BYTES_MAX;

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

/// The first version that names topics by id.
const BY_ID: i16 = 13;
const READ_COMMITTED: i8 = 1;
/// The epoch of a request that opens a session.
const OPENS: i32 = 0;
/// The epoch of a request without session, which closes the one it names.
const CLOSES: i32 = -1;

pub(crate) fn start(request: Request) -> Result<Started, Fault> {
    let body: FetchRequest = request.decode()?;
    let (broker, answer) = (request.broker, request.answer);
    let mut fetch = match Fetch::begin(broker, &body, answer) {
        Ok(fetch) => fetch,
        Err(code) => return refuse(answer, code, 0).map(Started::Ready),
    };
    let wait = Duration::from_millis(u64::try_from(body.max_wait_ms).unwrap_or(0));
    // Names in it are slices of the whole request.
    drop(body);
    if let Some(reply) = fetch.turn(wait.is_zero()) {
        return reply.map(Started::Ready);
    }
    Started::later(async move {
        let deadline = Instant::now() + wait;
        let shared = Arc::clone(&fetch.shared);
        fetch.watch();
        let mut last = false;
        let timer = sleep_until(deadline);
        tokio::pin!(timer);
        loop {
            // Looked at after watching began, so that nothing is missed in between.
            if let Some(reply) = fetch.turn(last) {
                return reply;
            }
            tokio::select! {
                biased;
                () = shared.signal.changed() => {}
                () = &mut timer => last = true,
            }
        }
    })
}

fn refuse(answer: Answer, code: ErrorCode, session: i32) -> Result<Reply, Fault> {
    fetch_response::encode(answer, code.code(), session, Vec::new(), false)
}

/// What an answer means for the session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    /// There is none.
    Without,
    /// One is opened if it can be kept.
    Opens,
    /// It goes on under this id.
    GoesOn(i32),
}

/// One request.
struct Fetch {
    looker: Looker,
    answer: Answer,
    shared: Arc<Shared>,
    course: Course,
    /// Epoch of the session as this request left it; another one means that another request came between.
    epoch: i32,
    bytes_min: usize,
    round: Round<FetchedPartition>,
}

impl Fetch {
    fn begin(broker: Arc<BrokerState>, body: &FetchRequest, answer: Answer) -> Result<Self, ErrorCode> {
        let bytes_max = usize::try_from(body.max_bytes.min(broker.config.fetch_max_bytes)).unwrap_or(0);
        let by_id = answer.version >= BY_ID;
        let (shared, course, epoch) = match body.session_epoch {
            OPENS | CLOSES => {
                if body.session_id != 0 {
                    broker.fetch_sessions.remove(body.session_id);
                }
                let kept = body.session_epoch == OPENS && can_be_kept(body);
                let mut session = Session::new(by_id, body.isolation_level);
                ask(&mut session, body, by_id, kept);
                let course = if kept && !session.is_empty() {
                    Course::Opens
                } else {
                    Course::Without
                };
                (Shared::new(session), course, 0)
            }
            _ => go_on(&broker, body, by_id)?,
        };
        Ok(Self {
            looker: Looker {
                broker,
                committed: body.isolation_level == READ_COMMITTED,
                bytes_max,
            },
            answer,
            shared,
            course,
            epoch,
            // More than the limit can never come together.
            bytes_min: usize::try_from(body.min_bytes).unwrap_or(0).min(bytes_max),
            round: Round::default(),
        })
    }

    /// Has changes told.
    fn watch(&self) {
        self.shared.lock().watch(&self.shared.signal);
    }

    /// Looks at what is due; the answer, if it is time for it.
    fn turn(&mut self, last: bool) -> Option<Result<Reply, Fault>> {
        let shared = Arc::clone(&self.shared);
        let mut view = shared.lock();
        if view.session.epoch != self.epoch {
            let id = match self.course {
                Course::GoesOn(id) => id,
                Course::Without | Course::Opens => 0,
            };
            return Some(refuse(self.answer, ErrorCode::InvalidFetchSessionEpoch, id));
        }
        view.take_changes(&shared.signal);
        if last {
            view.sweep();
        }
        self.look(&mut view);
        let round = &self.round;
        // Batches are whole and of one segment: who waited until they add up to the minimum exactly would wait in vain.
        let enough =
            round.failed() || round.full() || round.bytes() >= self.bytes_min || view.session.is_empty();
        (enough || last).then(|| self.finish(&mut view))
    }

    /// Looks at every partition that is due, off the async threads once one of them may not be in memory.
    fn look(&mut self, view: &mut View) {
        let signal = view.watching(&self.shared.signal);
        let (session, round, looker) = (&mut view.session, &mut self.round, &self.looker);
        let due = session.due();
        let left = session.look(round, due, |slot, entry, taken| {
            looker.look(slot, entry, taken, signal, false)
        });
        if left > 0 {
            in_place(|| {
                session.look(round, left, |slot, entry, taken| {
                    looker.look(slot, entry, taken, signal, true)
                })
            });
        }
    }

    fn finish(&mut self, view: &mut View) -> Result<Reply, Fault> {
        let round = std::mem::take(&mut self.round);
        let all = !matches!(self.course, Course::GoesOn(_));
        let mut topics = Topics::default();
        view.session
            .answer(round, all, |entry, found| topics.push(entry, found));
        let id = match self.course {
            Course::Without => 0,
            Course::Opens => self.keep(view),
            Course::GoesOn(id) => id,
        };
        fetch_response::encode(self.answer, NONE, id, topics.list, self.looker.committed)
    }

    /// Keeps the session for later requests, if it can be.
    fn keep(&self, view: &mut View) -> i32 {
        let sessions = &self.looker.broker.fetch_sessions;
        let Some(id) = sessions.insert(&self.shared, view.session.len()) else {
            return 0;
        };
        view.session.advance_epoch();
        view.watch(&self.shared.signal);
        id
    }
}

/// Goes on with a session.
fn go_on(
    broker: &BrokerState,
    body: &FetchRequest,
    by_id: bool,
) -> Result<(Arc<Shared>, Course, i32), ErrorCode> {
    let (sessions, id) = (&broker.fetch_sessions, body.session_id);
    let shared = sessions.get(id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
    let mut view = shared.lock();
    let session = &mut view.session;
    if session.epoch != body.session_epoch {
        return Err(ErrorCode::InvalidFetchSessionEpoch);
    }
    if session.by_id() != by_id {
        return Err(ErrorCode::FetchSessionTopicIdError);
    }
    if !can_be_kept(body) {
        sessions.remove(id);
        return Err(ErrorCode::FetchSessionIdNotFound);
    }
    session.begin(body.isolation_level);
    ask(session, body, by_id, true);
    for forgotten in &body.forgotten_topics_data {
        let topic = topic_ref(&forgotten.topic, forgotten.topic_id, by_id, false);
        for index in &forgotten.partitions {
            session.forget(&topic, *index);
        }
    }
    session.advance_epoch();
    let epoch = session.epoch;
    let size = session.len();
    if size == 0 {
        sessions.remove(id);
        drop(view);
        return Ok((shared, Course::Without, epoch));
    }
    if !sessions.touch(id, size) {
        return Err(ErrorCode::FetchSessionIdNotFound);
    }
    view.sweep_if_overdue();
    drop(view);
    Ok((shared, Course::GoesOn(id), epoch))
}

/// False if a name is longer than that of any topic: it is answered, but not remembered.
fn can_be_kept(body: &FetchRequest) -> bool {
    body.topics
        .iter()
        .all(|asked| asked.topic.len() <= NAME_BYTES_MAX)
}

fn ask(session: &mut Session<Handle>, body: &FetchRequest, by_id: bool, kept: bool) {
    for asked in &body.topics {
        let topic = topic_ref(&asked.topic, asked.topic_id, by_id, kept);
        for partition in &asked.partitions {
            let wanted = Asked {
                leader_epoch: partition.current_leader_epoch,
                offset: partition.fetch_offset,
                bytes_max: partition.partition_max_bytes,
            };
            session.ask(&topic, partition.partition, wanted);
        }
    }
}

/// How a topic is named; a name that is `kept` is copied out of the request.
fn topic_ref(name: &StrBytes, id: Uuid, by_id: bool, kept: bool) -> TopicRef {
    match (by_id, kept) {
        (true, _) => TopicRef::Id(TopicId(id.into_bytes())),
        (false, true) => TopicRef::Name(StrBytes::from_string(name.to_string())),
        (false, false) => TopicRef::Name(name.clone()),
    }
}

/// The topics of an answer, in the order in which they are first met.
#[derive(Default)]
struct Topics {
    list: Vec<FetchedTopic>,
    places: HashMap<TopicRef, usize>,
    last: Option<(TopicRef, usize)>,
}

impl Topics {
    fn push<H>(&mut self, entry: &Entry<H>, found: Option<FetchedPartition>) {
        let partition = found.unwrap_or_else(|| FetchedPartition {
            index: entry.index,
            error_code: NONE,
            high_watermark: entry.seen.high_watermark,
            last_stable: entry.seen.last_stable,
            log_start: entry.seen.log_start,
            aborted: Vec::new(),
            records: None,
        });
        let at = self.place(&entry.topic);
        self.list[at].partitions.push(partition);
    }

    fn place(&mut self, topic: &TopicRef) -> usize {
        if let Some((last, at)) = &self.last
            && last == topic
        {
            return *at;
        }
        let next = self.list.len();
        let at = *self.places.entry(topic.clone()).or_insert(next);
        if at == next {
            let key = match topic {
                TopicRef::Name(name) => TopicKey::Name(name.clone()),
                TopicRef::Id(id) => TopicKey::Id(Uuid::from_bytes(id.0)),
            };
            self.list.push(FetchedTopic {
                key,
                partitions: Vec::new(),
            });
        }
        self.last = Some((topic.clone(), at));
        at
    }
}
