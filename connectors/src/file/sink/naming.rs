//! Where below the folder files go, and what they are called.
//!
//! Topics and fields come from outside: whatever could leave the folder or hide in it is escaped, so that no name leads anywhere else.
use std::fmt::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use millstream_connect::plugin::PluginError;
use millstream_connect::record::{Record, Value};

/// The longest name of a folder or topic within a name, in bytes; file systems have 255.
const NAME_BYTES_MAX: usize = 180;
/// What stands for a field that is null, as in Hive.
const NULL_NAME: &str = "__HIVE_DEFAULT_PARTITION__";

/// A part of a folder's path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Topic,
    Partition,
    /// A part of the record's time, by its `strftime` letters.
    Time(&'static str),
    Field(Vec<String>),
}

/// `path.format`: the folders of a record's file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PathFormat {
    folders: Vec<Vec<Part>>,
}

impl PathFormat {
    /// Reads a path with parts in braces.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut folders = Vec::new();
        for folder in text.split('/').filter(|folder| !folder.is_empty()) {
            if folder.starts_with('.') || folder.contains('\0') {
                return Err(format!(
                    "the folder {folder:?} leads out of directory, or is hidden"
                ));
            }
            folders.push(parts(folder)?);
        }
        Ok(Self { folders })
    }

    /// Whether records of one topic and partition all go to the same folder.
    pub fn is_constant(&self) -> bool {
        let varies = |part: &Part| matches!(part, Part::Time(_) | Part::Field(_));
        !self.folders.iter().flatten().any(varies)
    }

    /// The folder of a record's file, below the sink's.
    ///
    /// # Errors
    /// When the record has no such field or time.
    pub fn folder(&self, record: &Record, partition: i32) -> Result<PathBuf, PluginError> {
        let mut path = PathBuf::new();
        for folder in &self.folders {
            let mut name = String::new();
            for part in folder {
                part.write(record, partition, &mut name)?;
            }
            if name.len() > NAME_BYTES_MAX {
                return Err(PluginError::bad_record(format!(
                    "the folder {}… is longer than {NAME_BYTES_MAX} bytes; path.format needs a shorter field",
                    name.chars().take(40).collect::<String>()
                )));
            }
            path.push(if name.starts_with('.') {
                name.replacen('.', "%2E", 1)
            } else {
                name
            });
        }
        Ok(path)
    }
}

fn parts(folder: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = folder;
    while let Some((text, behind)) = rest.split_once('{') {
        let Some((name, after)) = behind.split_once('}') else {
            return Err(format!("{folder} has a {{ without a }}"));
        };
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        parts.push(match name {
            "topic" => Part::Topic,
            "partition" => Part::Partition,
            "yyyy" => Part::Time("%Y"),
            "MM" => Part::Time("%m"),
            "dd" => Part::Time("%d"),
            "HH" => Part::Time("%H"),
            "mm" => Part::Time("%M"),
            _ => match name.strip_prefix("field:") {
                Some(field) if !field.is_empty() => Part::Field(field.split('.').map(str::to_owned).collect()),
                _ => {
                    return Err(format!(
                        "{{{name}}} is none of {{topic}}, {{partition}}, {{yyyy}}, {{MM}}, {{dd}}, {{HH}}, {{mm}}, {{field:name}}"
                    ));
                }
            },
        });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

impl Part {
    fn write(&self, record: &Record, partition: i32, name: &mut String) -> Result<(), PluginError> {
        match self {
            Self::Text(text) => name.push_str(text),
            Self::Topic => escape(&record.topic, name),
            Self::Partition => drop(write!(name, "{partition}")),
            Self::Time(letters) => {
                let time = record
                    .timestamp
                    .and_then(|millis| Timestamp::from_millisecond(millis).ok());
                let Some(time) = time else {
                    return Err(PluginError::bad_record(
                        "the record has no time, which path.format asks for",
                    ));
                };
                let _ = write!(name, "{}", time.to_zoned(TimeZone::UTC).strftime(letters));
            }
            Self::Field(path) => {
                let mut value = &record.value.value;
                for field in path {
                    let inside = match value {
                        Value::Struct(fields) => fields.get(field),
                        Value::Map(entries) => entries
                            .iter()
                            .find(|(key, _)| key.as_str() == Some(field))
                            .map(|(_, value)| value),
                        _ => None,
                    };
                    let Some(inside) = inside else {
                        return Err(PluginError::bad_record(format!(
                            "the record's value has no field {field}, which path.format asks for"
                        )));
                    };
                    value = inside;
                }
                match value {
                    Value::Null => name.push_str(NULL_NAME),
                    value => {
                        let mut text = Vec::new();
                        super::text::write_value(value, &mut text);
                        escape_bytes(&text, name);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Writes a text such that it can be a part of a file's name, and different texts are different names.
pub(super) fn escape(text: &str, name: &mut String) {
    escape_bytes(text.as_bytes(), name);
}

fn escape_bytes(text: &[u8], name: &mut String) {
    if text.is_empty() {
        return name.push('%');
    }
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'.' if index == 0 => name.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'=' | b':' | b' ' => {
                name.push(char::from(*byte))
            }
            other => drop(write!(name, "%{other:02X}")),
        }
    }
}

/// The beginning of the names of files of a partition.
///
/// # Errors
/// If the topic's name is too long for a file's.
pub(super) fn stem(topic: &str, partition: i32) -> Result<String, PluginError> {
    let mut stem = String::new();
    escape(topic, &mut stem);
    if stem.len() > NAME_BYTES_MAX {
        return Err(PluginError::user_config(format!(
            "the topic {topic} has too long a name for files; shorten it with a transform such as RegexRouter"
        )));
    }
    let _ = write!(stem, "+{partition}");
    Ok(stem)
}

/// The name of a complete file with a number in front of what its format appends: `t+0+1-2.csv.gz` becomes `t+0+1-2.1.csv.gz`. Without a
/// number it stays as it is.
pub(super) fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Topics may have dots, offsets have none.
    let offsets = name.rfind('+').unwrap_or(0);
    let end = name[offsets..].find('.').map_or(name.len(), |dot| offsets + dot);
    path.with_file_name(format!("{}.{number}{}", &name[..end], &name[end..]))
}

#[cfg(test)]
mod tests {
    use millstream_connect::record::Datum;

    use super::*;

    fn record(topic: &str, field: &str) -> Record {
        let value = Value::Map(vec![("a".into(), field.into())]);
        let mut record = Record::new(topic, Datum::schemaless(value));
        record.timestamp = Some(1_767_225_599_999);
        record
    }

    #[test]
    fn folders_have_topics_times_and_fields() {
        let format = PathFormat::parse("{topic}/p{partition}/day={yyyy}-{MM}-{dd}/{HH}/a={field:a}").unwrap();
        assert!(!format.is_constant());
        let folder = format.folder(&record("orders", "x y"), 3).unwrap();
        assert_eq!(folder, Path::new("orders/p3/day=2025-12-31/23/a=x y"));
        assert!(
            format
                .folder(&Record::new("orders", Datum::text("x")), 3)
                .is_err()
        );
        for wrong in ["../x", "a/{nothing}", "{topic", ".hidden", "{field:}"] {
            assert!(PathFormat::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let format = PathFormat::parse("{topic}/{field:a}").unwrap();
        for evil in [
            "..",
            ".",
            "",
            "../../etc",
            "/etc/passwd",
            "a/../b",
            "\0",
            "ä\u{202e}",
            ".millstream",
            "a\\b",
            "%2E%2E",
        ] {
            let folder = format.folder(&record(evil, evil), 0).unwrap();
            assert_eq!(folder.components().count(), 2, "{evil:?}: {folder:?}");
            let plain = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(name) if !name.to_str().unwrap().starts_with('.'));
            assert!(folder.components().all(plain), "{evil:?}: {folder:?}");
        }
        assert!(format.folder(&record("t", &"x".repeat(500)), 0).is_err());
        assert_eq!(stem("a+b/c", 1).unwrap(), "a%2Bb%2Fc+1");
        let name = Path::new("d/a.b+0+1-2.csv.gz");
        assert_eq!(numbered(name, 0), name);
        assert_eq!(numbered(name, 3), Path::new("d/a.b+0+1-2.3.csv.gz"));
    }
}
