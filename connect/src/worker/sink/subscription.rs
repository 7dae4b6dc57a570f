//! Which topics a sink reads: those that are named, or all whose names match an expression.
//!
//! Expressions are matched here rather than by the client library, whose expressions know less than Java's. New topics are looked for
//! from time to time.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use regex::Regex;

use crate::plugin::PluginError;

/// How often new topics are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long one look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// What a sink subscribes to.
pub(in crate::worker) struct Subscription {
    named: Vec<String>,
    pattern: Option<Regex>,
    subscribed: BTreeSet<String>,
    look_at: Instant,
}

/// Whether an expression means this topic: it never means those that clusters keep for themselves.
fn is_matched(pattern: &Regex, topic: &str) -> bool {
    !topic.starts_with("__") && pattern.is_match(topic)
}

impl Subscription {
    /// # Errors
    /// When the expression is not one.
    pub(in crate::worker) fn new(named: Vec<String>, pattern: Option<&str>) -> Result<Self, PluginError> {
        let pattern = pattern.map(|text| Regex::new(&format!("^(?:{text})$")));
        let pattern = pattern.transpose();
        Ok(Self {
            named,
            pattern: pattern.map_err(|error| PluginError::user_config(format!("topics.regex: {error}")))?,
            subscribed: BTreeSet::new(),
            look_at: Instant::now(),
        })
    }

    /// Whether it means this topic.
    pub(in crate::worker) fn means(&self, topic: &str) -> bool {
        let matched = |pattern: &Regex| is_matched(pattern, topic);
        self.named.iter().any(|named| named == topic) || self.pattern.as_ref().is_some_and(matched)
    }

    /// Subscribes to what is there, if it is time to look and if there is anything new.
    pub(super) fn renew<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>) -> KafkaResult<()> {
        let now = Instant::now();
        if now < self.look_at || (self.pattern.is_none() && !self.subscribed.is_empty()) {
            return Ok(());
        }
        self.look_at = now + LOOK_INTERVAL;
        let mut topics: BTreeSet<String> = self.named.iter().cloned().collect();
        if let Some(pattern) = &self.pattern {
            let metadata = match consumer.fetch_metadata(None, LOOK_TIMEOUT) {
                Ok(metadata) => metadata,
                Err(error) => {
                    tracing::warn!(%error, "topics that match topics.regex are looked for again soon");
                    return Ok(());
                }
            };
            let names = metadata.topics().iter().filter(|topic| topic.error().is_none());
            let names = names.map(|topic| topic.name());
            topics.extend(names.filter(|name| is_matched(pattern, name)).map(str::to_owned));
        }
        if topics != self.subscribed && !topics.is_empty() {
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            consumer.subscribe(&names)?;
            self.subscribed = topics;
        }
        Ok(())
    }
}
