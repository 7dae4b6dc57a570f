//! What is answered to requests.
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use serde_json::{Value, json};

use super::anywhere::Place;
use super::local::Wanted;
use super::question::Asked;
use super::request::Request;
use super::{Queries, QueryError, Store, ipc, sql};
use crate::format::{FormatError, JsonEncoder};
use crate::runtime::shared::Shared;

/// Bytes of an answer's rows.
pub(super) const ANSWER_BYTES_MAX: usize = 32 << 20;
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// An answer on its way.
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn failure(status: &'static str, text: &str) -> Self {
        Self::json(status, &json!({ "error": text }))
    }

    fn json(status: &'static str, body: &Value) -> Self {
        let mut body = body.to_string().into_bytes();
        body.push(b'\n');
        Self {
            status,
            kind: "application/json",
            body,
        }
    }

    /// A page of rows that are JSON, a line each: lines stay, so that others than programs can read them.
    pub(super) fn rows(lines: &[u8], limited: bool) -> Self {
        let mut body = Vec::with_capacity(lines.len() + 64);
        body.extend_from_slice(b"{\"rows\":[\n");
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for (place, line) in lines.enumerate() {
            if place > 0 {
                body.extend_from_slice(b",\n");
            }
            body.extend_from_slice(line);
        }
        body.extend_from_slice(format!("\n],\"limited\":{limited}}}\n").as_bytes());
        Self {
            status: "200 OK",
            kind: "application/json",
            body,
        }
    }

    fn of(error: &QueryError) -> Self {
        let status = match error {
            QueryError::UnknownStore { .. } => "404 Not Found",
            QueryError::NotReadable { .. } | QueryError::Question { .. } | QueryError::Sql { .. } => {
                "400 Bad Request"
            }
            QueryError::NotHere { .. } => "421 Misdirected Request",
            QueryError::Unavailable { .. }
            | QueryError::Rebalancing { .. }
            | QueryError::TimedOut { .. }
            | QueryError::Stopped { .. } => "503 Service Unavailable",
            QueryError::TooLarge { .. } => "413 Content Too Large",
            QueryError::Failed { .. } => "500 Internal Server Error",
        };
        Self::failure(status, &error.to_string())
    }
}

/// The answer to a request.
pub(super) fn answer(shared: &Arc<Shared>, request: &Request) -> Answer {
    if request.method != "GET" {
        return Answer::failure("405 Method Not Allowed", "only GET");
    }
    let queries = &shared.queries;
    if let Some(job) = request.value("job")
        && job != queries.application_id
    {
        let text = format!(
            "here is an instance of the job {}, not of {job}",
            queries.application_id
        );
        return Answer::failure("421 Misdirected Request", &text);
    }
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path[..] {
        ["topology"] => Answer::json("200 OK", &queries.topology_page()),
        ["state"] => {
            let mut page = queries.state_page();
            page["state"] = json!(format!("{:?}", shared.state()).to_uppercase());
            let standbys = shared.metrics.standbys_now().into_iter();
            let standbys = standbys.map(|((changelog, partition), standby)| {
                let store = queries.name_of(&changelog);
                json!({ "store": store, "partition": partition, "lag": standby.lag })
            });
            page["standbys"] = standbys.collect();
            Answer::json("200 OK", &page)
        }
        ["stores"] => Answer::json("200 OK", &json!({ "stores": queries.stores_page() })),
        ["sql"] => sql_page(shared, request).unwrap_or_else(|error| Answer::of(&error)),
        ["stores", name] => queries
            .rows_page(name, request)
            .unwrap_or_else(|error| Answer::of(&error)),
        _ => Answer::failure(
            "404 Not Found",
            "there is /topology, /state, /stores, and /stores/NAME?key=[…] or ?from=[…]&to=[…]&limit=N, with \
             window_from and window_to (milliseconds since 1970) for windows, and /sql?query=SELECT…",
        ),
    }
}

/// The rows of a statement.
fn sql_page(shared: &Arc<Shared>, request: &Request) -> Result<Answer, QueryError> {
    let refused = |reason: &str| QueryError::Sql {
        reason: reason.to_owned(),
    };
    let [(name, text)] = &request.query[..] else {
        return Err(refused("there is one parameter, query: /sql?query=SELECT…"));
    };
    if name != "query" {
        return Err(refused("there is one parameter, query: /sql?query=SELECT…"));
    }
    let mut rows = Vec::new();
    for batch in sql::answer(shared, text, ANSWER_MAX)? {
        lines(&batch, &mut rows).map_err(|cause| match cause {
            Unwritten::TooLarge => QueryError::Sql {
                reason: format!("its rows take more than {ANSWER_BYTES_MAX} bytes; add LIMIT or a condition"),
            },
            Unwritten::Failed(error) => QueryError::Sql {
                reason: format!("its rows cannot be written as JSON: {error}"),
            },
        })?;
    }
    Ok(Answer::rows(&rows, false))
}

impl Queries {
    fn topology_page(&self) -> Value {
        json!({
            "application_id": self.application_id,
            "description": self.description,
            "stores": self.stores_page(),
        })
    }

    fn state_page(&self) -> Value {
        json!({
            "application_id": self.application_id,
            "instance": self.directory.get().map(|directory| directory.own()),
            "instances": self.directory.get().map(|directory| directory.instances()),
            "stores": self.stores_page(),
        })
    }

    /// The name of the store that has this changelog.
    fn name_of<'a>(&self, changelog: &'a str) -> &'a str {
        let name = changelog.strip_prefix(&self.application_id);
        let name = name.and_then(|name| name.strip_prefix('-')?.strip_suffix("-changelog"));
        name.unwrap_or(changelog)
    }

    /// What stores there are, and who works on which of their partitions.
    fn stores_page(&self) -> Value {
        let stores = self.stores.iter().map(|store| {
            let schema = store.schema();
            let columns = schema
                .fields()
                .iter()
                .map(|field| json!({ "name": field.name(), "type": field.data_type().to_string() }));
            let columns: Vec<Value> = columns.collect();
            let (key, values) = columns.split_at(store.key_count());
            let owners = (0..store.partitions).map(|partition| {
                let owner = self
                    .directory
                    .get()
                    .and_then(|directory| directory.owner((store.sub, partition)));
                (partition.to_string(), json!(owner))
            });
            json!({
                "name": store.name,
                "kind": if store.has_windows() { "windows" } else { "table" },
                "key": key,
                "columns": values,
                "partitions": store.partitions,
                "here": self.partitions_here(store),
                "owners": owners.collect::<serde_json::Map<_, _>>(),
            })
        });
        stores.collect()
    }

    /// The rows that are asked for.
    fn rows_page(&self, name: &str, request: &Request) -> Result<Answer, QueryError> {
        let store = self.store(name)?;
        let until = Instant::now() + ANSWER_MAX;
        let asked = Asked::new(store, request, until)?;
        let mut query = asked.query;
        let limit = query.limit;
        let partitions = match (asked.partition, &query.keys) {
            (Some(partition), _) => vec![partition],
            (None, Wanted::One(key)) => vec![store.partition_of(key)?],
            (None, Wanted::Between(_)) if asked.local => self.settled_here(store, until, ANSWER_MAX)?,
            (None, Wanted::Between(_)) => (0..store.partitions).collect(),
        };
        // Whoever names a partition has found out whose it is.
        let place = match asked.local || asked.partition.is_some() {
            true => Place::Here,
            false => Place::Anywhere,
        };
        let (mut found, mut rows, mut count) = (Vec::new(), Vec::new(), 0);
        for partition in partitions {
            query.limit = limit - count;
            if query.limit == 0 {
                break;
            }
            for batch in self.ask(store, partition, &query, place, until, ANSWER_MAX)? {
                count += batch.num_rows();
                match asked.as_arrow {
                    true => found.push(batch),
                    false => lines(&batch, &mut rows).map_err(|cause| store.unwritten(cause))?,
                }
            }
        }
        if asked.as_arrow {
            return Ok(Answer {
                status: "200 OK",
                kind: "application/vnd.apache.arrow.stream",
                body: ipc::write(store, &found)?,
            });
        }
        Ok(Answer::rows(&rows, count >= limit && asked.may_be_more))
    }
}

/// Why rows cannot be written.
pub(super) enum Unwritten {
    TooLarge,
    Failed(FormatError),
}

impl Store {
    fn unwritten(&self, cause: Unwritten) -> QueryError {
        match cause {
            Unwritten::TooLarge => self.too_large(),
            Unwritten::Failed(error) => self.failed(error),
        }
    }
}

/// The rows as JSON, a line each.
pub(super) fn lines(rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Unwritten> {
    let mut encoder = JsonEncoder::new(rows, 0..rows.num_columns()).map_err(Unwritten::Failed)?;
    for row in 0..rows.num_rows() {
        encoder.object(row, out);
        out.push(b'\n');
        if out.len() > ANSWER_BYTES_MAX {
            return Err(Unwritten::TooLarge);
        }
    }
    Ok(())
}
