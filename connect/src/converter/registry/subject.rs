//! Under which subject a registry keeps a schema.
use crate::plugin::PluginError;

/// How subjects are named, by the classes of Confluent's strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubjectNames {
    /// `orders-value`
    Topic,
    /// `com.example.Order`
    Record,
    /// `orders-com.example.Order`
    TopicRecord,
}

impl SubjectNames {
    /// By the name of the class.
    pub(super) fn named(class: &str) -> Result<Self, PluginError> {
        match class.rsplit('.').next().unwrap_or_default() {
            "TopicNameStrategy" => Ok(Self::Topic),
            "RecordNameStrategy" => Ok(Self::Record),
            "TopicRecordNameStrategy" => Ok(Self::TopicRecord),
            _ => Err(PluginError::user_config(format!(
                "unknown subject name strategy {class}; there are TopicNameStrategy, RecordNameStrategy and TopicRecordNameStrategy \
                 (of io.confluent.kafka.serializers.subject)"
            ))),
        }
    }

    /// The subject for a schema of keys or values of `topic`. `name` is a record's.
    pub(super) fn subject(
        self,
        topic: &str,
        is_key: bool,
        name: Option<&str>,
    ) -> Result<String, PluginError> {
        let part = if is_key { "key" } else { "value" };
        let name = || {
            name.ok_or_else(|| {
                PluginError::bad_record(format!(
                    "{part}.subject.name.strategy names subjects by records, but the {part} is none; \
                     use TopicNameStrategy for topic {topic}"
                ))
            })
        };
        Ok(match self {
            Self::Topic => format!("{topic}-{part}"),
            Self::Record => name()?.to_owned(),
            Self::TopicRecord => format!("{topic}-{}", name()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_named_as_the_strategy_says() {
        let of = |class: &str, name| SubjectNames::named(class).unwrap().subject("t", true, name);
        assert_eq!(of("TopicNameStrategy", None).unwrap(), "t-key");
        let record = "io.confluent.kafka.serializers.subject.RecordNameStrategy";
        assert_eq!(of(record, Some("a.B")).unwrap(), "a.B");
        assert!(of(record, None).is_err());
        assert_eq!(of("TopicRecordNameStrategy", Some("a.B")).unwrap(), "t-a.B");
    }
}
