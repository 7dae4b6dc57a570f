//! Which partition of `__consumer_offsets` holds a group.

/// The partition of a group: Java's `Utils.abs(groupId.hashCode) % partitions`, as Kafka does it.
#[must_use]
pub fn partition_for(group: &str, partitions: i32) -> i32 {
    let hash = java_hash_code(group);
    // Kafka's abs maps the one number that has no positive counterpart to 0.
    let hash = if hash == i32::MIN { 0 } else { hash.abs() };
    hash % partitions.max(1)
}

/// Java's `String.hashCode`: over UTF-16 code units, in wrapping arithmetic.
fn java_hash_code(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_codes_are_those_of_java() {
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("hello", 99_162_322),
            ("hello world", 1_794_106_052),
            ("console-consumer", -648_006_740),
            ("polygenelubricants", i32::MIN),
            ("ä", 228),
            ("😀", 1_772_899),
        ] {
            assert_eq!(java_hash_code(text), hash, "{text}");
        }
    }

    #[test]
    fn partitions_are_in_range() {
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("hello", 50), 22);
        assert_eq!(partition_for("ab", 7), 3105 % 7);
        assert_eq!(partition_for("ab", 0), 0);
    }
}
