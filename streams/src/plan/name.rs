//! Names that become topic names: Kafka's rules.

/// The longest topic name Kafka accepts.
const NAME_LEN_MAX: usize = 249;

/// Why `name` cannot be (part of) a topic name, if it cannot.
pub(crate) fn fault(name: &str) -> Option<&'static str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name {
        "" => Some("it is empty"),
        "." | ".." => Some("\".\" and \"..\" are reserved"),
        _ if name.len() > NAME_LEN_MAX => Some("it is longer than 249 characters"),
        _ if !name.chars().all(legal) => {
            Some("only ASCII letters, digits, \".\", \"_\" and \"-\" are allowed")
        }
        _ => None,
    }
}

/// What names the topic of one side of the step `step`.
pub(crate) fn side(step: &str, side: &str) -> String {
    format!("{step}-{side}")
}

/// The topic that carries rows to the keyed step `step`.
pub(crate) fn repartition_topic(application_id: &str, step: &str) -> String {
    format!("{application_id}-{step}-repartition")
}

/// The topic that holds the state of the step `step`.
pub(crate) fn changelog_topic(application_id: &str, step: &str) -> String {
    format!("{application_id}-{step}-changelog")
}

/// Names a list of topics: FNV-1a over them.
pub(crate) fn fingerprint<'a>(topics: impl Iterator<Item = &'a str>) -> u64 {
    let bytes = topics.flat_map(|topic| topic.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafkas_rules() {
        for good in ["a", "word-counts", "a.b_C-9", &"x".repeat(249)] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in ["", ".", "..", "a b", "é", "a/b", &"x".repeat(250)] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
