//! Questions to a partition wherever it is: here, or in the instance that says it works on it.
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::keys::is_decimal;
use super::local::{NoAnswer, Query, Wanted};
use super::pages::ANSWER_BYTES_MAX;
use super::question::LIMIT_MAX;
use super::request::encoded;
use super::{Queries, QueryError, Store, ipc};
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

/// The header in which an instance says of which job it is.
pub(super) const JOB_HEADER: &str = "Millstream-Job";

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
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let mut told = None;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.answer(store, partition, query, left) {
                Ok(rows) => return Ok(rows),
                Err(NoAnswer::Never(error)) => return Err(error),
                Err(NoAnswer::Later(why)) => told = Some(why),
                Err(NoAnswer::Late(why)) => drop(told.get_or_insert(why)),
                Err(NoAnswer::NotHere) => {
                    let directory = self.directory.get();
                    let owner = directory.and_then(|directory| directory.owner((store.sub, partition)));
                    let others = owner.filter(|owner| directory.is_some_and(|known| known.own() != owner));
                    match (others, place) {
                        (Some(owner), Place::Here) => {
                            return Err(store.not_here(partition, &format!("{owner} works on it; ask there")));
                        }
                        (Some(owner), Place::Anywhere) if !left.is_zero() => {
                            match self.forward(store, partition, query, &owner, left) {
                                Ok(rows) => return Ok(rows),
                                Err(NoAnswer::Never(error)) => return Err(error),
                                Err(NoAnswer::Later(why)) => told = Some(why),
                                Err(NoAnswer::Late(why)) => drop(told.get_or_insert(why)),
                                Err(NoAnswer::NotHere) => {
                                    told = Some(format!("{owner} does not work on it any more"));
                                }
                            }
                        }
                        (None, _) if left.is_zero() && directory.is_none() => {
                            let remedy = "another instance of the job may work on it; ask that one, or set \
                                          queries.listener so that instances know of each other";
                            return Err(store.not_here(partition, remedy));
                        }
                        (None, Place::Here) if left.is_zero() => {
                            return Err(store.not_here(partition, "nobody says to work on it; ask again"));
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
                    cause: told.unwrap_or_else(|| "nobody works on it".to_owned()),
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

    pub(super) fn too_much_to_read(&self, bytes_max: usize) -> QueryError {
        self.unfit(format!(
            "it has more than {bytes_max} bytes of rows to read; ask for keys or for a range of them"
        ))
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

    /// The values of a key as a JSON list. What JSON has no exact number for is text, which is read as exactly as it is written.
    fn as_json(&self, key: &[ArrayRef]) -> Result<String, QueryError> {
        let schema = self.schema();
        let exact = |key: &ArrayRef| match key.data_type() {
            number if number.is_floating() || is_decimal(number) => cast(key, &DataType::Utf8),
            DataType::Duration(_) => cast(key, &DataType::Int64),
            _ => Ok(ArrayRef::clone(key)),
        };
        let named = schema.fields().iter().zip(key);
        let named = named.map(|(field, key)| Ok((field.name(), exact(key)?, true)));
        let named: Result<Vec<_>, ArrowError> = named.collect();
        let row = named.and_then(RecordBatch::try_from_iter_with_nullable);
        let row = row.map_err(|error| self.failed(error))?;
        let mut encoder = JsonEncoder::new(&row, 0..row.num_columns()).map_err(|error| self.failed(error))?;
        let mut text = Vec::new();
        encoder.array(0, &mut text);
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The question to an instance of the job `id` as the target of a request.
    fn target(&self, id: &str, partition: i32, query: &Query) -> Result<String, QueryError> {
        let mut target = format!(
            "/stores/{}?job={}&partition={partition}&format=arrow&limit={}",
            encoded(&self.name),
            encoded(id),
            query.limit.min(LIMIT_MAX)
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

impl Queries {
    /// Asks another instance.
    fn forward(
        &self,
        store: &Store,
        partition: i32,
        query: &Query,
        owner: &str,
        left: Duration,
    ) -> Result<Vec<RecordBatch>, NoAnswer> {
        let id = &self.application_id;
        let target = store.target(id, partition, query).map_err(NoAnswer::Never)?;
        let asked = get(owner, &target, left);
        let answer = asked.map_err(|error| {
            let why = format!("{owner} does not answer: {error}");
            match error.kind() {
                // A read that waits no longer says the one or the other.
                ErrorKind::TimedOut | ErrorKind::WouldBlock => NoAnswer::Late(why),
                _ => NoAnswer::Later(why),
            }
        })?;
        if answer.job.as_deref() != Some(id) {
            // An address that somebody else has taken over is no answer, whatever is said there.
            return Err(NoAnswer::Later(format!("at {owner} something else answers")));
        }
        match answer.status {
            200 => {
                let rows = ipc::read(store, &answer.body).map_err(NoAnswer::Never)?;
                let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
                match count >= LIMIT_MAX && query.limit > LIMIT_MAX {
                    false => Ok(rows),
                    true => Err(NoAnswer::Never(store.unfit(format!(
                        "partition {partition} has {LIMIT_MAX} rows and more, and {owner} gives no more of them to others; ask for keys \
                         or for a range of them"
                    )))),
                }
            }
            421 => Err(NoAnswer::NotHere),
            413 => Err(NoAnswer::Never(store.too_large())),
            400 | 404 => {
                let page: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let reason = page["error"].as_str().unwrap_or("no store of this name");
                Err(NoAnswer::Never(store.unfit(format!("{owner} says: {reason}"))))
            }
            status => Err(NoAnswer::Later(format!("{owner} answers {status}"))),
        }
    }
}

/// What an instance says.
struct Answered {
    status: u16,
    /// Of which job it is.
    job: Option<String>,
    body: Vec<u8>,
}

/// A connection to the first address that takes it, of those that a name has.
fn connect(address: &str, until: Instant) -> std::io::Result<TcpStream> {
    let mut failure = std::io::Error::other("its name has no address");
    let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    for at in addresses {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&at, left.min(CONNECT_MAX)) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// GET.
fn get(address: &str, target: &str, left: Duration) -> std::io::Result<Answered> {
    let invalid = |what: &str| std::io::Error::new(ErrorKind::InvalidData, what.to_owned());
    let until = Instant::now() + left;
    let mut stream = connect(address, until)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(left))?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
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
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let length = header("content-length").and_then(|length| length.parse().ok());
    if length != Some(body.len()) {
        return Err(invalid("its answer is cut short"));
    }
    Ok(Answered {
        status: status.ok_or_else(|| invalid("its answer has no status"))?,
        job: header(JOB_HEADER).map(str::to_owned),
        body,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::TcpListener;
    use std::sync::Arc;

    use arrow::array::{AsArray, Decimal128Array, Float64Array, Int64Array};
    use arrow::datatypes::Decimal128Type;

    use super::*;
    use crate::runtime::queries::Directory;
    use crate::runtime::queries::keys;
    use crate::runtime::queries::request::decoded;
    use crate::{Streams, prelude::*};

    /// Counts by a decimal and a float; another instance works on them.
    fn queries(owner: &str) -> Queries {
        let app = Streams::new("sums");
        app.stream(
            "in",
            json_schema(Schema::new(vec![
                Field::new("amount", DataType::Decimal128(38, 4), true),
                Field::new("ratio", DataType::Float64, true),
            ])),
        )
        .group_by([col("amount"), col("ratio")])
        .aggregate("sums", [count_all().alias("n")])
        .to("out", json());
        let topology = app.build().unwrap();
        let queries = Queries::new(&topology, &HashMap::new());
        let directory = Directory::new("127.0.0.1:1".to_owned());
        directory.say((queries.stores[0].sub, 0), owner);
        assert!(queries.directory.set(directory).is_ok());
        queries
    }

    fn key() -> Vec<ArrayRef> {
        let amount = Decimal128Array::from(vec![123_456_789_012_345_678_901_234_567_i128]);
        let amount = amount.with_precision_and_scale(38, 4).unwrap();
        vec![Arc::new(amount), Arc::new(Float64Array::from(vec![f64::NAN]))]
    }

    fn query() -> Query {
        Query {
            keys: Wanted::One(key()),
            windows: i64::MIN..i64::MAX,
            limit: 10,
            bytes_max: usize::MAX,
            until: None,
        }
    }

    /// An address where each request has this answer, and the targets of those that came.
    fn server(head: &'static str, body: Vec<u8>) -> (String, Arc<std::sync::Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, targets) = (listener.local_addr().unwrap(), Arc::default());
        let seen: Arc<std::sync::Mutex<Vec<String>>> = Arc::clone(&targets);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut request) = (stream.unwrap(), Vec::new());
                let mut piece = [0; 4096];
                while !request.ends_with(b"\r\n\r\n") {
                    let count = stream.read(&mut piece).unwrap();
                    request.extend_from_slice(&piece[..count]);
                }
                let text = String::from_utf8(request).unwrap();
                seen.lock()
                    .unwrap()
                    .push(text.split(' ').nth(1).unwrap().to_owned());
                let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
            }
        });
        (address.to_string(), targets)
    }

    fn ask(queries: &Queries, patience: Duration) -> Result<Vec<RecordBatch>, QueryError> {
        let until = Instant::now() + patience;
        queries.ask(&queries.stores[0], 0, &query(), Place::Anywhere, until, patience)
    }

    fn rows(queries: &Queries) -> RecordBatch {
        let columns = [key(), vec![Arc::new(Int64Array::from(vec![7])) as ArrayRef]].concat();
        RecordBatch::try_new(queries.stores[0].schema(), columns).unwrap()
    }

    #[test]
    fn rows_of_the_own_job_come_as_they_are() {
        let rows = rows(&queries("h:1"));
        let body = ipc::write(&queries("h:1").stores[0], std::slice::from_ref(&rows)).unwrap();
        let (address, targets) = server("200 OK\r\nMillstream-Job: sums", body);
        let queries = queries(&address);
        let found = ask(&queries, Duration::from_secs(60)).unwrap();
        assert_eq!(format!("{found:?}"), format!("{:?}", [rows]));
        // The key is asked for as exactly.
        let target = targets.lock().unwrap()[0].clone();
        assert!(
            target.starts_with("/stores/sums?job=sums&partition=0&format=arrow&limit=10&key="),
            "{target}"
        );
        let text = decoded(target.rsplit_once('=').unwrap().1, true).unwrap();
        let (store, schema) = (&queries.stores[0], queries.stores[0].schema());
        let asked = keys::key(&keys::from_json(&text).unwrap(), &store.key_fields(&schema)).unwrap();
        assert_eq!(
            asked[0].as_primitive::<Decimal128Type>().value(0),
            123_456_789_012_345_678_901_234_567
        );
        assert_eq!(format!("{asked:?}"), format!("{:?}", key()));
    }

    #[test]
    fn what_another_program_says_is_no_answer() {
        let rows = rows(&queries("h:1"));
        let body = ipc::write(&queries("h:1").stores[0], &[rows]).unwrap();
        for (head, body) in [
            ("200 OK\r\nMillstream-Job: others", body.clone()),
            ("200 OK", body),
            ("404 Not Found", b"<html>".to_vec()),
            ("400 Bad Request\r\nmillstream-job: others", b"{}".to_vec()),
        ] {
            let (address, targets) = server(head, body);
            let error = ask(&queries(&address), Duration::from_millis(1_500)).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, QueryError::Unavailable { .. }), "{head}: {text}");
            assert!(text.contains("something else answers"), "{head}: {text}");
            assert!(!targets.lock().unwrap().is_empty());
        }
        let (address, _) = server(
            "400 Bad Request\r\nmillstream-job: sums",
            br#"{"error":"no"}"#.to_vec(),
        );
        let error = ask(&queries(&address), Duration::from_secs(60)).unwrap_err();
        assert!(matches!(error, QueryError::Question { .. }), "{error}");
    }
}
