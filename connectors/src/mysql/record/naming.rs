//! Names of topics, schemas and fields, as Debezium makes them.
use crate::mysql::config::NameAdjustment;

/// The most characters of a topic's name.
const TOPIC_CHARS_MAX: usize = 249;

/// A topic of parts, of which blank ones are left out: what Kafka does not take is `_`, and what is too long is cut.
pub(super) fn topic(parts: &[&str], delimiter: &str) -> String {
    let parts: Vec<&str> = parts
        .iter()
        .copied()
        .filter(|part| !part.trim().is_empty())
        .collect();
    let name = parts.join(delimiter);
    let mut sane = String::with_capacity(name.len());
    // By UTF-16, as Java counts: a character beyond 16 bits becomes two.
    for unit in name.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') => {
                sane.push(char::from(byte));
            }
            _ => sane.push('_'),
        }
    }
    sane.truncate(TOPIC_CHARS_MAX);
    match sane.as_str() {
        "." => "_".to_owned(),
        ".." => "__".to_owned(),
        _ => sane,
    }
}

/// What a name is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// A schema: points divide its parts.
    Schema,
    /// A field.
    Field,
}

/// A name as the mode has it.
pub(crate) fn adjusted(name: &str, mode: NameAdjustment, named: Named) -> String {
    let underscore = match mode {
        NameAdjustment::None => return name.to_owned(),
        NameAdjustment::Avro => true,
        NameAdjustment::AvroUnicode => false,
    };
    let mut target = String::with_capacity(name.len());
    for (index, unit) in name.encode_utf16().enumerate() {
        let ascii = u8::try_from(unit).ok().filter(u8::is_ascii);
        let valid = ascii.filter(|byte| match byte {
            b'_' => underscore,
            b'.' => index > 0 && named == Named::Schema,
            b'0'..=b'9' => index > 0,
            byte => byte.is_ascii_alphabetic(),
        });
        match valid {
            Some(byte) => target.push(char::from(byte)),
            None if underscore => {
                target.push('_');
                // Two names that differ by their first digit alone stay different.
                if let Some(digit) = ascii.filter(|byte| index == 0 && byte.is_ascii_digit()) {
                    target.push(char::from(digit));
                }
            }
            None => {
                target.push_str("_u");
                let hex = format!("{unit:x}");
                if hex.len() <= 2 {
                    target.push_str("00");
                }
                target.push_str(&hex);
            }
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_have_what_kafka_takes() {
        assert_eq!(topic(&["p", "db", "Täble 1"], "."), "p.db.T_ble_1");
        assert_eq!(topic(&["p", "", "t"], "-"), "p-t");
        assert_eq!(topic(&["p", "db", "😀"], "."), "p.db.__");
        assert_eq!(topic(&[".."], "."), "__");
        assert_eq!(topic(&["p", &"x".repeat(300)], ".").len(), 249);
    }

    #[test]
    fn names_become_those_of_avro() {
        let avro = |name, named| adjusted(name, NameAdjustment::Avro, named);
        assert_eq!(avro("1-a.b", Named::Schema), "_1_a.b");
        assert_eq!(avro("1-a.b", Named::Field), "_1_a_b");
        assert_eq!(avro("ä_1", Named::Field), "__1");
        let unicode = |name, named| adjusted(name, NameAdjustment::AvroUnicode, named);
        assert_eq!(unicode("1_a.b", Named::Schema), "_u0031_u005fa.b");
        assert_eq!(unicode("1_a.b", Named::Field), "_u0031_u005fa_u002eb");
        assert_eq!(unicode("α€", Named::Field), "_u3b1_u20ac");
        assert_eq!(adjusted("1-ä", NameAdjustment::None, Named::Field), "1-ä");
    }
}
