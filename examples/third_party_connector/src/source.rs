//! The source: each line of a text on an HTTP server that grows.
//!
//! The text is asked for in ranges (`Range: bytes=N-`), so a record's offset is the position behind its line. Reading again from a position
//! gives the same lines again: that is what exactly-once needs of a source.
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use millstream_connect::config::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};
use millstream_connect::plugin::{
    Budget, Connector, ExactlyOnceSupport, Plugin, PluginError, SameForAll, SourceBatch, SourceOffset,
    SourcePartition, SourcePlugin, SourceTask, SourceTaskContext, async_trait,
};
use millstream_connect::record::{Datum, Record};

use crate::http::{self, Url};

/// Follows a text on an HTTP server.
#[derive(Debug, Clone, Copy)]
pub struct HttpLinesSource;

impl Plugin for HttpLinesSource {
    fn class(&self) -> &'static str {
        "com.example.HttpLinesSource"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// Declared keys are checked, shown by the REST API, and compared with what users write ("did you mean").
    fn config_def(&self) -> ConfigDef {
        use ConfigType::{Int, String};
        use Importance::{High, Low};
        let url = "The text, http://HOST:PORT/PATH, from a server that can give ranges of it.";
        ConfigDef::new()
            .with(ConfigKey::required("url", String, High, url).checked(|url| Url::parse(url).map(drop)))
            .with(ConfigKey::required("topic", String, High, "Where lines go.").not_empty())
            .with(
                ConfigKey::with_default(
                    "poll.interval.ms",
                    Int,
                    "1000",
                    Low,
                    "How often it is looked for more, in milliseconds.",
                )
                .between(1, 3_600_000),
            )
            .with(
                ConfigKey::with_default(
                    "max.line.bytes",
                    Int,
                    "1048576",
                    Low,
                    "The longest line; so much is asked for at once.",
                )
                .between(1, 1 << 30),
            )
    }
}

impl SourcePlugin for HttpLinesSource {
    fn exactly_once(&self, _config: &ConfigMap) -> ExactlyOnceSupport {
        ExactlyOnceSupport::Supported
    }

    /// What a user may set as an offset with `PATCH /connectors/NAME/offsets`.
    fn alter_offsets(
        &self,
        _config: &ConfigMap,
        offsets: &[(SourcePartition, Option<SourceOffset>)],
    ) -> Result<(), PluginError> {
        for (partition, offset) in offsets {
            let known = offset
                .as_ref()
                .is_none_or(|offset| offset.number("position").is_some());
            if partition.text("url").is_none() || !known {
                return Err(PluginError::user_config(
                    "an offset is {\"partition\": {\"url\": …}, \"offset\": {\"position\": bytes that are done}}",
                ));
            }
        }
        Ok(())
    }

    fn new_connector(&self) -> Box<dyn Connector> {
        // There is one text, and so one task, whatever tasks.max allows.
        Box::new(SameForAll::new(1))
    }

    fn new_task(&self) -> Box<dyn SourceTask> {
        Box::new(Task { text: None })
    }
}

struct Task {
    /// None before the start.
    text: Option<Text>,
}

/// The text, and how far it is read.
struct Text {
    url: Url,
    topic: Arc<str>,
    interval: Duration,
    line_bytes_max: usize,
    partition: SourcePartition,
    position: u64,
}

#[async_trait]
impl SourceTask for Task {
    async fn start(&mut self, given: &ConfigMap, context: SourceTaskContext) -> Result<(), PluginError> {
        // What is wrong becomes an error that waits for another configuration.
        let config = HttpLinesSource.config_def().parse(given)?;
        let partition = SourcePartition::new().with("url", config.string("url"));
        let stored = context.offsets.offset(&partition).await?;
        self.text = Some(Text {
            url: Url::parse(config.string("url")).map_err(PluginError::user_config)?,
            topic: config.string("topic").into(),
            interval: Duration::from_millis(config.long("poll.interval.ms").unsigned_abs()),
            line_bytes_max: usize::try_from(config.int("max.line.bytes")).unwrap_or(1),
            position: stored.and_then(|offset| offset.number("position")).unwrap_or(0),
            partition,
        });
        Ok(())
    }

    /// A task has a thread of its own and may block. The future is only ever dropped at an await; there is none here, so nothing that
    /// was read gets lost.
    async fn poll(&mut self, budget: Budget) -> Result<SourceBatch, PluginError> {
        let text = self
            .text
            .as_mut()
            .ok_or_else(|| PluginError::fatal("polled before its start"))?;
        let until = Instant::now() + budget.wait;
        loop {
            let batch = text.read(budget)?;
            let now = Instant::now();
            if !batch.records.is_empty() || now >= until {
                return Ok(batch);
            }
            thread::sleep(text.interval.min(until - now));
        }
    }
}

impl Text {
    /// The lines that are there behind the position.
    fn read(&mut self, budget: Budget) -> Result<SourceBatch, PluginError> {
        // One byte more, for the end of the longest line.
        let most = self.line_bytes_max + 1;
        let last = self.position + most as u64 - 1;
        let range = [("Range", format!("bytes={}-{last}", self.position))];
        let answer = http::call("GET", &self.url, &range, b"", most).map_err(|error| {
            // The same call may succeed later: it is repeated, with growing pauses.
            PluginError::retriable(format!("cannot read {}", self.url)).caused_by(error)
        })?;
        let body = match answer.status {
            206 => answer.body,
            // Nothing is behind the position.
            416 => return Ok(SourceBatch::default()),
            200 => {
                return Err(PluginError::user_config(format!(
                    "{} gives no ranges of its texts, which url needs; use a server that does, such as nginx",
                    self.url
                )));
            }
            status => {
                return Err(PluginError::retriable(format!(
                    "{} answers {status}; is url right?",
                    self.url
                )));
            }
        };
        let mut batch = SourceBatch::default();
        let (mut done, mut bytes) = (0, 0);
        while let Some(end) = body[done..].iter().position(|byte| *byte == b'\n') {
            if batch.records.len() >= budget.records.max(1) || bytes >= budget.bytes.max(1) {
                break;
            }
            let line = String::from_utf8(body[done..done + end].to_vec()).map_err(|_| {
                PluginError::user_config(format!(
                    "the line at byte {} of {} is no UTF-8",
                    self.position + done as u64,
                    self.url
                ))
            })?;
            batch
                .records
                .push(Record::new(Arc::clone(&self.topic), Datum::text(line)));
            done += end + 1;
            bytes += end;
        }
        if done == 0 && body.len() >= most {
            return Err(PluginError::user_config(format!(
                "the line at byte {} of {} is longer than max.line.bytes, {}; make that greater",
                self.position, self.url, self.line_bytes_max
            )));
        }
        if done > 0 {
            self.position += done as u64;
            // Stored once these records, and all before them, are delivered.
            let offset = SourceOffset::new().with("position", self.position);
            batch.offsets.push((self.partition.clone(), offset));
        }
        Ok(batch)
    }
}
