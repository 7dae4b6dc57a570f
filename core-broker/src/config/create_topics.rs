//! Topics that are to be there when the broker starts: `name:partitions[:replicas[:policy]]`.
//!
//! Why: a compose file or a test names its topics beside the broker, as Kafka images do with `KAFKA_CREATE_TOPICS`.
//! Owns: the text form and what can be wrong with it. Does not own: creating them (`builder`).

use std::fmt;
use std::str::FromStr;

use super::value::{CleanupPolicy, ConfigType, ConfigValue};
use crate::topic::{PARTITIONS_PER_TOPIC_MAX, name};

const FORM: &str = "name:partitions[:replicas[:cleanup.policy]], for example orders:4 or users:4:1:compact";

/// A topic that is created when the broker starts, unless it exists.
///
/// ```
/// let topic: millstream_broker::config::NewTopic = "users:4:1:compact".parse()?;
/// assert_eq!((topic.name.as_str(), topic.partitions), ("users", Some(4)));
/// # Ok::<(), millstream_broker::config::NewTopicError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; none means `num.partitions`, in text −1.
    pub partitions: Option<i32>,
    /// Its `cleanup.policy`, in text `delete`, `compact` or `compact+delete`; none means the broker's.
    pub policy: Option<CleanupPolicy>,
}

/// Text that does not describe a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct NewTopicError(String);

impl FromStr for NewTopic {
    type Err = NewTopicError;

    fn from_str(text: &str) -> Result<Self, NewTopicError> {
        let failed = |expected: String| Err(NewTopicError(expected));
        let mut parts = text.split(':').map(str::trim);
        let topic = parts.next().unwrap_or_default();
        if let Err(error) = name::parse(topic) {
            return failed(format!("{FORM}; {error}"));
        }
        if name::is_internal(topic) {
            return failed(format!("topics that are not the broker's own, which {topic} is"));
        }
        let partitions = match parts.next().map(str::parse) {
            Some(Ok(-1)) => None,
            Some(Ok(count)) if (1..=PARTITIONS_PER_TOPIC_MAX).contains(&count) => Some(count),
            Some(_) => {
                return failed(format!(
                    "1 to {PARTITIONS_PER_TOPIC_MAX} partitions of topic {topic}, or -1 for num.partitions: {FORM}"
                ));
            }
            None => return failed(format!("the partitions of topic {topic}: {FORM}")),
        };
        if !matches!(parts.next(), None | Some("1" | "-1")) {
            return failed(format!(
                "1 replica of topic {topic}, this is a single node: {FORM}"
            ));
        }
        let policy = match parts.next() {
            None => None,
            Some(policy) => match CleanupPolicy::read(&policy.replace('+', ",")) {
                Ok(policy) => Some(policy),
                Err(_) => {
                    return failed(format!(
                        "delete, compact or compact+delete as policy of topic {topic}: {FORM}"
                    ));
                }
            },
        };
        match parts.next() {
            Some(_) => failed(FORM.to_owned()),
            None => Ok(Self {
                name: topic.to_owned(),
                partitions,
                policy,
            }),
        }
    }
}

impl fmt::Display for NewTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.partitions.unwrap_or(-1))?;
        match self.policy.and_then(|policy| policy.show()) {
            Some(policy) => write!(f, ":1:{}", policy.replace(',', "+")),
            None => Ok(()),
        }
    }
}

impl ConfigValue for Vec<NewTopic> {
    const TYPE: ConfigType = ConfigType::List;

    fn read(text: &str) -> Result<Self, String> {
        let mut topics = Self::new();
        // Images take either separator.
        let items = text.split([',', '\n']).map(str::trim);
        for item in items.filter(|item| !item.is_empty()) {
            let topic: NewTopic = item.parse().map_err(|NewTopicError(expected)| expected)?;
            if topics.iter().any(|other| other.name == topic.name) {
                return Err(format!("each topic once, {} is there twice", topic.name));
            }
            topics.push(topic);
        }
        Ok(topics)
    }

    fn show(&self) -> Option<String> {
        (!self.is_empty()).then(|| self.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_round_trip() {
        let given = "a:3:1, b:-1:1:compact,\nc.d:2:-1:compact+delete\n";
        let list = Vec::<NewTopic>::read(given).unwrap();
        assert_eq!(
            list.iter().map(|t| t.partitions).collect::<Vec<_>>(),
            [Some(3), None, Some(2)]
        );
        let text = "a:3,b:-1:1:compact,c.d:2:1:compact+delete";
        assert_eq!(list.show().unwrap(), text);
        assert_eq!(Vec::<NewTopic>::read(text).unwrap(), list);
        assert_eq!(Vec::<NewTopic>::read("").unwrap().show(), None);
    }

    #[test]
    fn mistakes_name_the_topic_and_the_form() {
        for (text, says) in [
            ("orders", "the partitions of topic orders: name:partitions"),
            ("orders:many", "partitions of topic orders"),
            ("orders:0", "1 to 10000 partitions of topic orders"),
            ("orders:-2", "partitions of topic orders"),
            ("orders:1:3", "1 replica of topic orders, this is a single node"),
            ("orders:1:1:squeeze", "policy of topic orders"),
            ("orders:1:1:", "policy of topic orders"),
            ("orders:1:1:compact:x", "name:partitions"),
            (":1", "cannot be empty"),
            ("a b:1", "' '"),
            ("__consumer_offsets:1", "__consumer_offsets"),
            ("a:1,a:2", "a is there twice"),
        ] {
            let error = Vec::<NewTopic>::read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
