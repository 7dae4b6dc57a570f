//! `TimestampRouter`: another topic by the time of a record.
use std::sync::Arc;

use super::date_format::DateFormat;
use super::side::plugin_for_records;
use crate::config::{Config, ConfigDef, ConfigKey, ConfigType, Importance};
use crate::plugin::{PluginError, Transform};
use crate::record::Record;

plugin_for_records!(
    TimestampRouterPlugin,
    "TimestampRouter",
    keys,
    TimestampRouter::new
);

fn keys() -> ConfigDef {
    ConfigDef::new()
        .with(ConfigKey::with_default(
            "topic.format",
            ConfigType::String,
            "${topic}-${timestamp}",
            Importance::High,
            "Format string which can contain <code>${topic}</code> and <code>${timestamp}</code> as placeholders for the topic and \
             timestamp, respectively.",
        ))
        .with(ConfigKey::with_default(
            "timestamp.format",
            ConfigType::String,
            "yyyyMMdd",
            Importance::High,
            "Format string for the timestamp that is compatible with <code>java.text.SimpleDateFormat</code>.",
        ))
}

struct TimestampRouter {
    topic: String,
    timestamp: DateFormat,
    /// The time as it was last written.
    written: String,
    last: Option<Route>,
}

/// Where the last record went: the next one mostly goes there too.
struct Route {
    from: Arc<str>,
    timestamp: String,
    to: Arc<str>,
}

impl TimestampRouter {
    fn new(config: &Config) -> Result<Self, PluginError> {
        let timestamp = DateFormat::new(config.string("timestamp.format"));
        Ok(Self {
            topic: config.string("topic.format").to_owned(),
            timestamp: timestamp
                .map_err(|error| PluginError::user_config(format!("timestamp.format: {error}")))?,
            written: String::new(),
            last: None,
        })
    }
}

impl Transform for TimestampRouter {
    fn apply(&mut self, mut record: Record) -> Result<Option<Record>, PluginError> {
        let Some(milliseconds) = record.timestamp else {
            return Err(PluginError::bad_record(
                "choosing a topic by the time: the record has no timestamp",
            ));
        };
        self.written.clear();
        self.timestamp.write(milliseconds, &mut self.written);
        if let Some(last) = &self.last
            && *last.from == *record.topic
            && last.timestamp == self.written
        {
            record.topic = Arc::clone(&last.to);
            return Ok(Some(record));
        }
        let topic = self.topic.replace("${topic}", &record.topic);
        let to: Arc<str> = Arc::from(topic.replace("${timestamp}", &self.written));
        let from = std::mem::replace(&mut record.topic, Arc::clone(&to));
        let timestamp = self.written.clone();
        self.last = Some(Route { from, timestamp, to });
        Ok(Some(record))
    }
}
