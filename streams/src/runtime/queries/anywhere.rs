//! Questions to a partition wherever it is: here, or in the instance that says it works on it.
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch};

use super::local::{NoAnswer, Query, Wanted};
use super::pages::ANSWER_BYTES_MAX;
use super::request::encoded;
use super::{Queries, QueryError, Store};
use crate::format::JsonEncoder;

/// The longest wait for partitions to come or go at a time.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How long another instance may take to be reached.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// The most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Where an answer may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Here,
    Anywhere,
}

/// Rows of a partition.
#[derive(Debug)]
pub(super) enum Found {
    /// Of this process.
    Rows(Vec<RecordBatch>),
    /// Of another: JSON, a line a row.
    Lines { lines: Vec<u8>, rows: usize },
}

impl Queries {
    /// Asks a partition until it answers. `timeout` is what there was until then.
    pub(super) fn ask(
        &self,
        store: &Store,
        partition: i32,
        query: &Query,
        place: Place,
        until: Instant,
        timeout: Duration,
    ) -> Result<Found, QueryError> {
        let mut cause = "nobody works on it".to_owned();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.answer(store, partition, query, left) {
                Ok(rows) => return Ok(Found::Rows(rows)),
                Err(NoAnswer::Never(error)) => return Err(error),
                Err(NoAnswer::Later(why)) => cause = why,
                Err(NoAnswer::NotHere) => {
                    let directory = self.directory.get();
                    let owner = directory.and_then(|directory| directory.owner((store.sub, partition)));
                    let others = owner.filter(|owner| directory.is_some_and(|known| known.own() != owner));
                    match (others, place) {
                        (Some(owner), Place::Here) => {
                            return Err(store.not_here(partition, &format!("{owner} works on it; ask there")));
                        }
                        (Some(owner), Place::Anywhere) if !left.is_zero() => {
                            match forward(store, partition, query, &owner, left) {
                                Ok(found) => return Ok(found),
                                Err(NoAnswer::Never(error)) => return Err(error),
                                Err(NoAnswer::Later(why)) => cause = why,
                                Err(NoAnswer::NotHere) => {
                                    cause = format!("{owner} does not work on it any more");
                                }
                            }
                        }
                        (None, Place::Here) if left.is_zero() => {
                            let remedy = match directory {
                                Some(_) => "nobody says to work on it; ask again",
                                None => {
                                    "another instance of the job may work on it; ask that one, or set \
                                         queries.listener so that instances know of each other"
                                }
                            };
                            return Err(store.not_here(partition, remedy));
                        }
                        _ => {}
                    }
                }
            }
            if left.is_zero() {
                return Err(QueryError::Unavailable {
                    store: store.name.clone(),
                    partition,
                    timeout,
                    cause,
                });
            }
            self.await_change(left.min(LOOK_PAUSE));
        }
    }
}

impl Store {
    fn not_here(&self, partition: i32, owner: &str) -> QueryError {
        QueryError::NotHere {
            store: self.name.clone(),
            partition,
            owner: owner.to_owned(),
        }
    }

    pub(super) fn too_large(&self) -> QueryError {
        QueryError::TooLarge {
            store: self.name.clone(),
            bytes_max: ANSWER_BYTES_MAX,
        }
    }

    pub(super) fn unfit(&self, reason: String) -> QueryError {
        QueryError::Question {
            store: self.name.clone(),
            reason,
        }
    }

    /// The values of a key as a JSON list.
    fn as_json(&self, key: &[ArrayRef]) -> Result<String, QueryError> {
        let schema = self.schema();
        let fields = schema.fields().iter().zip(key);
        let named = fields.map(|(field, key)| (field.name(), key.clone(), true));
        let row = RecordBatch::try_from_iter_with_nullable(named).map_err(|error| self.failed(error))?;
        let mut encoder = JsonEncoder::new(&row, 0..row.num_columns()).map_err(|error| self.failed(error))?;
        let mut text = Vec::new();
        encoder.array(0, &mut text);
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The question as the target of a request.
    fn target(&self, partition: i32, query: &Query) -> Result<String, QueryError> {
        let mut target = format!(
            "/stores/{}?partition={partition}&limit={}",
            encoded(&self.name),
            query.limit
        );
        let mut add = |name: &str, key: &[ArrayRef]| {
            target.push_str(&format!("&{name}={}", encoded(&self.as_json(key)?)));
            Ok(())
        };
        match &query.keys {
            Wanted::One(key) => add("key", key)?,
            Wanted::Between(range) => {
                if !range.from.is_empty() {
                    add("from", &range.from)?;
                }
                if !range.to.is_empty() {
                    add("to", &range.to)?;
                }
            }
        }
        if self.has_windows() {
            target.push_str(&format!(
                "&window_from={}&window_to={}",
                query.windows.start, query.windows.end
            ));
        }
        Ok(target)
    }
}

/// Asks another instance.
fn forward(
    store: &Store,
    partition: i32,
    query: &Query,
    owner: &str,
    left: Duration,
) -> Result<Found, NoAnswer> {
    let target = store.target(partition, query).map_err(NoAnswer::Never)?;
    let asked = get(owner, &target, left);
    let (status, body) =
        asked.map_err(|error| NoAnswer::Later(format!("{owner} does not answer: {error}")))?;
    match status {
        200 => {
            let rows = body.iter().filter(|byte| **byte == b'\n').count();
            Ok(Found::Lines { lines: body, rows })
        }
        421 => Err(NoAnswer::NotHere),
        413 => Err(NoAnswer::Never(store.too_large())),
        400 | 404 => {
            let page: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let reason = format!(
                "{owner} says: {}",
                page["error"].as_str().unwrap_or("no store of this name")
            );
            Err(NoAnswer::Never(store.unfit(reason)))
        }
        status => Err(NoAnswer::Later(format!("{owner} answers {status}"))),
    }
}

/// GET; the status and the body.
fn get(address: &str, target: &str, left: Duration) -> std::io::Result<(u16, Vec<u8>)> {
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let until = Instant::now() + left;
    let at = address.to_socket_addrs()?.next();
    let at = at.ok_or_else(|| invalid("its name has no address"))?;
    let mut stream = TcpStream::connect_timeout(&at, left.min(CONNECT_MAX))?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(left))?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => break,
            count => bytes.extend_from_slice(&piece[..count]),
        }
        if bytes.len() > ANSWER_BYTES_MAX + HEAD_BYTES_MAX {
            return Err(invalid("its answer is too large"));
        }
    }
    let end = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let end = end.ok_or_else(|| invalid("its answer has no head"))?;
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        value.trim().parse::<usize>().ok().filter(|_| is_it)
    });
    if length != Some(body.len()) {
        return Err(invalid("its answer is cut short"));
    }
    Ok((status.ok_or_else(|| invalid("its answer has no status"))?, body))
}
