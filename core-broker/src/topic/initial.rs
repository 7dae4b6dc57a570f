//! Topics that a broker makes at its start, as `KAFKA_CREATE_TOPICS` of container images lists them.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::name;
use super::{TopicError, TopicRegistry};
use crate::config::{CleanupPolicy, ConfigValue};
use crate::ids::TopicName;

const FORM: &str = "name:partitions, name:partitions:replicas or name:partitions:replicas:cleanup.policy, as in orders:4:1:compact";

/// A topic to make at the start unless it exists.
///
/// ```
/// use millstream_broker::InitialTopic;
/// let topic: InitialTopic = "orders:4:1:compact".parse()?;
/// assert_eq!(topic.to_string(), "orders:4:1:compact");
/// assert!("orders:4:3".parse::<InitialTopic>().unwrap_err().to_string().contains("one broker"));
/// # Ok::<(), millstream_broker::InitialTopicError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialTopic {
    name: TopicName,
    partitions: i32,
    policy: Option<CleanupPolicy>,
}

/// Text that does not describe a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("topic {text:?}: {reason}; expected {FORM}")]
pub struct InitialTopicError {
    text: String,
    reason: String,
}

impl InitialTopic {
    /// Reads a list separated by commas, blanks or line ends.
    ///
    /// # Errors
    /// The first item that does not describe a topic.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, InitialTopicError> {
        let items = text.split(|c: char| c == ',' || c.is_whitespace());
        items.filter(|item| !item.is_empty()).map(str::parse).collect()
    }
}

impl std::fmt::Display for InitialTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:1", self.name, self.partitions)?;
        match self.policy.as_ref().and_then(ConfigValue::show) {
            Some(policy) => write!(f, ":{policy}"),
            None => Ok(()),
        }
    }
}

impl FromStr for InitialTopic {
    type Err = InitialTopicError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let failed = |reason: String| InitialTopicError {
            text: text.chars().take(300).collect(),
            reason,
        };
        let mut parts = text.split(':');
        let name =
            name::parse(parts.next().unwrap_or_default()).map_err(|error| failed(error.to_string()))?;
        if name::is_internal(name.as_str()) {
            return Err(failed(
                "the broker makes this topic itself when it is needed".into(),
            ));
        }
        let mut count = |what: &str| match parts.next() {
            None => Ok(None),
            Some(number) => match number.parse::<i32>() {
                Ok(number) if number > 0 => Ok(Some(number)),
                _ => Err(failed(format!("{number:?} is no number of {what}"))),
            },
        };
        let partitions =
            count("partitions")?.ok_or_else(|| failed("the number of partitions is missing".into()))?;
        if let Some(replicas) = count("replicas")?.filter(|replicas| *replicas > 1) {
            return Err(failed(format!("{replicas} replicas, but this is one broker")));
        }
        let policy =
            match parts.next() {
                None => None,
                Some(policy) => {
                    let read = CleanupPolicy::read(policy);
                    Some(read.map_err(|expected| {
                        failed(format!("cleanup.policy {policy:?}: expected {expected}"))
                    })?)
                }
            };
        if parts.next().is_some() {
            return Err(failed("it has more than four parts".into()));
        }
        Ok(Self {
            name,
            partitions,
            policy,
        })
    }
}

impl TopicRegistry {
    /// Makes those of the topics that do not exist; others stay as they are.
    pub(crate) fn create_initial(&self, topics: &[InitialTopic]) -> Result<(), TopicError> {
        for topic in topics {
            let mut overrides = BTreeMap::new();
            if let Some(policy) = topic.policy.as_ref().and_then(ConfigValue::show) {
                overrides.insert("cleanup.policy".to_owned(), policy);
            }
            match self.create(topic.name.as_str(), Some(topic.partitions), overrides) {
                Ok(_) => {}
                Err(TopicError::Exists(name)) => tracing::debug!(topic = %name, "exists, left as it is"),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_container_images_have_them() {
        let list = InitialTopic::parse_list("a:1:1, b.c:3\nd:2:1:compact,e:1:1:delete,compact:1").unwrap();
        let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["a:1:1", "b.c:3:1", "d:2:1:compact", "e:1:1:delete", "compact:1:1"]
        );
        assert!(InitialTopic::parse_list(" ,\n").unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("a", "partitions is missing"),
            ("a:0", "\"0\" is no number of partitions"),
            ("a:1:x", "\"x\" is no number of replicas"),
            ("a:1:3", "3 replicas, but this is one broker"),
            ("a:1:1:shred", "cleanup.policy \"shred\""),
            ("a:1:1:compact:1", "more than four"),
            ("__consumer_offsets:1", "itself"),
            ("a/b:1", "'/'"),
            (":1", "empty"),
        ] {
            let message = text.parse::<InitialTopic>().unwrap_err().to_string();
            assert!(
                message.contains(says) && message.contains("expected name:partitions"),
                "{message}"
            );
        }
    }
}
