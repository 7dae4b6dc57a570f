//! How a record is printed, as Kafka's `DefaultMessageFormatter` has it:
//! `CreateTime:…<sep>Partition:…<sep>Offset:…<sep>headers<sep>key<sep>value`.

use std::io::{self, Write};

use rdkafka::Timestamp;
use rdkafka::message::{Headers, Message};

use crate::client::split_property;
use crate::error::CliError;

/// The properties of the formatter.
#[derive(Debug)]
pub struct RecordFormat {
    timestamp: bool,
    partition: bool,
    offset: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
}

impl Default for RecordFormat {
    fn default() -> Self {
        Self {
            timestamp: false,
            partition: false,
            offset: false,
            headers: false,
            key: false,
            value: true,
            key_separator: b"\t".to_vec(),
            line_separator: b"\n".to_vec(),
            headers_separator: b",".to_vec(),
            null_literal: b"null".to_vec(),
        }
    }
}

impl RecordFormat {
    /// Reads `KEY=VALUE` arguments; unknown keys are refused.
    pub fn from_properties(properties: &[String]) -> Result<Self, CliError> {
        let mut format = Self::default();
        for property in properties {
            let (key, value) = split_property("--property", property)?;
            match key {
                "print.timestamp" => format.timestamp = boolean(key, value)?,
                "print.partition" => format.partition = boolean(key, value)?,
                "print.offset" => format.offset = boolean(key, value)?,
                "print.headers" => format.headers = boolean(key, value)?,
                "print.key" => format.key = boolean(key, value)?,
                "print.value" => format.value = boolean(key, value)?,
                "key.separator" => format.key_separator = value.as_bytes().to_vec(),
                "line.separator" => format.line_separator = value.as_bytes().to_vec(),
                "headers.separator" => format.headers_separator = value.as_bytes().to_vec(),
                "null.literal" => format.null_literal = value.as_bytes().to_vec(),
                _ => {
                    return Err(CliError::new(format!(
                        "--property {key}: unknown; known are print.timestamp, print.partition, print.offset, print.headers, \
                         print.key, print.value, key.separator, line.separator, headers.separator, null.literal"
                    )));
                }
            }
        }
        Ok(format)
    }

    /// Prints one record with its line end.
    pub fn write(&self, out: &mut impl Write, record: &impl Message) -> io::Result<()> {
        let mut separate = false;
        let mut next = |out: &mut dyn Write| {
            let before: &[u8] = if separate { &self.key_separator } else { b"" };
            separate = true;
            out.write_all(before)
        };
        if self.timestamp {
            next(out)?;
            match record.timestamp() {
                Timestamp::NotAvailable => write!(out, "NO_TIMESTAMP")?,
                Timestamp::CreateTime(ms) => write!(out, "CreateTime:{ms}")?,
                Timestamp::LogAppendTime(ms) => write!(out, "LogAppendTime:{ms}")?,
            }
        }
        if self.partition {
            next(out)?;
            write!(out, "Partition:{}", record.partition())?;
        }
        if self.offset {
            next(out)?;
            write!(out, "Offset:{}", record.offset())?;
        }
        if self.headers {
            next(out)?;
            self.write_headers(out, record)?;
        }
        if self.key {
            next(out)?;
            out.write_all(record.key().unwrap_or(&self.null_literal))?;
        }
        if self.value {
            next(out)?;
            out.write_all(record.payload().unwrap_or(&self.null_literal))?;
        }
        out.write_all(&self.line_separator)
    }

    fn write_headers(&self, out: &mut impl Write, record: &impl Message) -> io::Result<()> {
        let Some(headers) = record.headers().filter(|headers| headers.count() > 0) else {
            return out.write_all(b"NO_HEADERS");
        };
        for (number, header) in headers.iter().enumerate() {
            if number > 0 {
                out.write_all(&self.headers_separator)?;
            }
            write!(out, "{}:", header.key)?;
            out.write_all(header.value.unwrap_or(&self.null_literal))?;
        }
        Ok(())
    }
}

fn boolean(key: &str, value: &str) -> Result<bool, CliError> {
    value
        .trim()
        .parse()
        .map_err(|_| CliError::new(format!("--property {key}={value}: give true or false")))
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    use super::*;

    fn printed(properties: &[&str], record: &OwnedMessage) -> String {
        let properties: Vec<_> = properties.iter().map(|&p| p.to_owned()).collect();
        let mut out = Vec::new();
        RecordFormat::from_properties(&properties)
            .unwrap()
            .write(&mut out, record)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    fn record(headers: Option<OwnedHeaders>) -> OwnedMessage {
        OwnedMessage::new(
            Some(b"v".to_vec()),
            Some(b"k".to_vec()),
            "t".into(),
            Timestamp::CreateTime(5),
            2,
            7,
            headers,
        )
    }

    #[test]
    fn everything_is_printed_in_the_order_of_the_console_consumer() {
        let headers = OwnedHeaders::new()
            .insert(Header {
                key: "h",
                value: Some("1"),
            })
            .insert(Header {
                key: "h",
                value: None::<&str>,
            });
        let all = [
            "print.timestamp=true",
            "print.partition=true",
            "print.offset=true",
            "print.headers=true",
            "print.key=true",
        ];
        assert_eq!(
            printed(&all, &record(Some(headers))),
            "CreateTime:5\tPartition:2\tOffset:7\th:1,h:null\tk\tv\n"
        );
    }

    #[test]
    fn without_properties_the_value_alone_is_printed() {
        assert_eq!(printed(&[], &record(None)), "v\n");
        assert_eq!(
            printed(&["print.headers=true", "key.separator= | "], &record(None)),
            "NO_HEADERS | v\n"
        );
    }

    #[test]
    fn unknown_properties_are_refused() {
        assert!(RecordFormat::from_properties(&["print.keys=true".into()]).is_err());
    }
}
