//! The sink: posts lines to a URL, a call for each run of records of a partition.
//!
//! Each call says which records it holds (`X-Topic`, `X-Partition`, `X-First-Offset`): after a crash some come again, and a server that
//! remembers the offsets can tell. So it delivers at least once.
use millstream_connect::config::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};
use millstream_connect::plugin::{
    Connector, FailedRecord, PartitionOffset, Plugin, PluginError, SameForAll, SinkPlugin, SinkTask,
    SinkTaskContext, async_trait,
};
use millstream_connect::record::{Origin, Record, Value};

use crate::http::{self, Url};

/// More of an answer is not read.
const ANSWER_BYTES_MAX: usize = 4096;

/// Posts lines to a URL.
#[derive(Debug, Clone, Copy)]
pub struct HttpLinesSink;

impl Plugin for HttpLinesSink {
    fn class(&self) -> &'static str {
        "com.example.HttpLinesSink"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn config_def(&self) -> ConfigDef {
        let url = "Where lines are posted, http://HOST:PORT/PATH.";
        let url = ConfigKey::required("url", ConfigType::String, Importance::High, url);
        ConfigDef::new().with(url.checked(|url| Url::parse(url).map(drop)))
    }
}

impl SinkPlugin for HttpLinesSink {
    fn new_connector(&self) -> Box<dyn Connector> {
        // Partitions are divided among as many tasks as there may be.
        Box::new(SameForAll::new(usize::MAX))
    }

    fn new_task(&self) -> Box<dyn SinkTask> {
        Box::new(Task { url: None })
    }
}

struct Task {
    /// None before the start.
    url: Option<Url>,
}

#[async_trait]
impl SinkTask for Task {
    async fn start(&mut self, given: &ConfigMap, _context: SinkTaskContext) -> Result<(), PluginError> {
        let config = HttpLinesSink.config_def().parse(given)?;
        self.url = Some(Url::parse(config.string("url")).map_err(PluginError::user_config)?);
        Ok(())
    }

    async fn put(&mut self, records: &[Record]) -> Result<Vec<FailedRecord>, PluginError> {
        let url = self
            .url
            .as_ref()
            .ok_or_else(|| PluginError::fatal("put before its start"))?;
        let mut failed = Vec::new();
        let (mut index, mut lines) = (0, Vec::new());
        for run in records.chunk_by(|one, other| partition(one) == partition(other)) {
            lines.clear();
            for record in run {
                match &record.value.value {
                    Value::String(line) => {
                        lines.extend_from_slice(line.as_bytes());
                        lines.push(b'\n');
                    }
                    Value::Null => {}
                    // It goes to the dead letters, or fails the task, as errors.tolerance says.
                    other => failed.push(FailedRecord {
                        index,
                        error: PluginError::bad_record(format!(
                            "the value is of the type {}, and lines are texts; use StringConverter",
                            other.kind_name()
                        )),
                    }),
                }
                index += 1;
            }
            if !lines.is_empty() {
                post(url, run[0].origin.as_ref(), &lines)?;
            }
        }
        Ok(failed)
    }

    /// What the server has answered for is its: all that was taken is durable.
    async fn flush(&mut self, taken: &[PartitionOffset]) -> Result<Vec<PartitionOffset>, PluginError> {
        Ok(taken.to_vec())
    }
}

fn partition(record: &Record) -> Option<(&str, i32)> {
    let origin = record.origin.as_ref()?;
    Some((&origin.topic, origin.partition))
}

fn post(url: &Url, first: Option<&Origin>, lines: &[u8]) -> Result<(), PluginError> {
    let mut headers = vec![("Content-Type", "text/plain; charset=utf-8".to_owned())];
    if let Some(first) = first {
        headers.extend([
            ("X-Topic", first.topic.to_string()),
            ("X-Partition", first.partition.to_string()),
            ("X-First-Offset", first.offset.to_string()),
        ]);
    }
    let answer = http::call("POST", url, &headers, lines, ANSWER_BYTES_MAX).map_err(|error| {
        // The same records are put again, with growing pauses, until the server is back.
        PluginError::retriable(format!("cannot post to {url}")).caused_by(error)
    })?;
    let said = String::from_utf8_lossy(&answer.body);
    match answer.status {
        200..=299 => Ok(()),
        429 | 500..=599 => Err(PluginError::retriable(format!(
            "{url} answers {}: {said}",
            answer.status
        ))),
        status => Err(PluginError::user_config(format!(
            "{url} answers {status}: {said}; is url right?"
        ))),
    }
}
