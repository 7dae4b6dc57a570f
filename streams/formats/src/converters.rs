//! Connect's converters, as formats need them.
//!
//! Owns: which converter, with which configuration; the bytes that stand before data without a registry; waiting for a registry that does
//! not answer. Does not own: what bytes mean.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{Converter, Encoded, ErrorKind, Latest, PluginError, Registry};
use millstream_connect::record::Datum;
use millstream_streams::FormatError;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// How long a registry that does not answer is asked again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long is waited before it is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// What bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Avro,
    Protobuf,
}

impl Encoding {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Avro => "avro",
            Self::Protobuf => "protobuf",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Avro => "io.confluent.connect.avro.AvroConverter",
            Self::Protobuf => "io.confluent.connect.protobuf.ProtobufConverter",
        }
    }
}

/// Where the schemas of data are.
#[derive(Debug, Clone)]
pub(crate) enum Schemas {
    /// In a registry, with these keys of a converter; its id stands before the data.
    Registry(BTreeMap<String, String>),
    /// There is this one, and nothing stands before the data.
    One(String),
}

/// A converter for keys or values.
pub(crate) struct Codec {
    encoding: Encoding,
    converter: Box<dyn Converter>,
    /// What the converter wants before data that come without it.
    head: Option<Vec<u8>>,
    patience: Duration,
}

impl Codec {
    /// # Errors
    /// If the configuration is wrong.
    pub(crate) fn new(encoding: Encoding, schemas: &Schemas, is_key: bool) -> Result<Self, FormatError> {
        let mut config = ConfigMap::new();
        match schemas {
            Schemas::Registry(keys) => {
                config.extend(keys.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            Schemas::One(text) => {
                let text = utf8_percent_encode(text, NON_ALPHANUMERIC);
                for (key, value) in [
                    ("schema.registry.url", format!("schema:{text}").as_str()),
                    ("auto.register.schemas", "false"),
                    ("use.latest.version", "true"),
                ] {
                    config.insert(key.to_owned(), value.to_owned());
                }
            }
        }
        let registry = Registry::built_in();
        let plugin = registry
            .converter(encoding.class())
            .map_err(|error| misconfigured(encoding, &error))?;
        let converter = plugin.new_converter(&config, is_key);
        Ok(Self {
            encoding,
            converter: converter.map_err(|error| misconfigured(encoding, &error))?,
            head: matches!(schemas, Schemas::One(_)).then(Vec::new),
            patience: PATIENCE,
        })
    }

    /// Asks no longer than this.
    #[cfg(test)]
    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The latest schema of the data in `topic`; `record` says which of its messages, if there are several. To be asked before anything else
    /// where data come without what says of which schema they are.
    pub(crate) fn latest(&mut self, topic: &str, record: Option<&str>) -> Result<Latest, FormatError> {
        let asked = patiently(self.patience, || self.converter.latest(topic, record));
        let encoding = self.encoding;
        let latest = asked.map_err(|error| match error.kind() {
            ErrorKind::Retriable | ErrorKind::Disconnected => unavailable(encoding, &error),
            _ => misconfigured(encoding, &error),
        })?;
        let latest = latest.ok_or_else(|| misconfigured(encoding, &"the converter knows no schemas"))?;
        if let Some(head) = &mut self.head {
            head.clone_from(&latest.head);
        }
        Ok(latest)
    }

    /// Reads data of `topic`.
    ///
    /// # Errors
    /// [`FormatError::Unreadable`] if the record is to blame, which no other error says.
    pub(crate) fn decode(&mut self, topic: &str, bytes: &[u8]) -> Result<Datum, FormatError> {
        let bytes = match &self.head {
            Some(head) => Bytes::from([head, bytes].concat()),
            None => Bytes::copy_from_slice(bytes),
        };
        let encoding = self.encoding;
        patiently(self.patience, || self.converter.decode(topic, Some(&bytes)))
            .map_err(|error| failed(encoding, &error, FormatError::unreadable))
    }

    /// Appends `datum`, and says whether there is anything.
    ///
    /// # Errors
    /// [`FormatError::Unwritable`] if the row is to blame, which no other error says.
    pub(crate) fn encode(
        &mut self,
        topic: &str,
        datum: &Datum,
        out: &mut Vec<u8>,
    ) -> Result<bool, FormatError> {
        let (encoding, start) = (self.encoding, out.len());
        let written = patiently(self.patience, || {
            out.truncate(start);
            self.converter.encode(topic, datum, out)
        });
        let written = written.map_err(|error| failed(encoding, &error, FormatError::unwritable))?;
        if let Some(head) = &self.head
            && written == Encoded::Bytes
        {
            match out[start..].starts_with(head) {
                true => drop(out.drain(start..start + head.len())),
                false => {
                    let reason = "the row became data of another message than the one the schema has first, or than record(…) says";
                    return Err(FormatError::unwritable(encoding.name(), reason));
                }
            }
        }
        Ok(written == Encoded::Bytes)
    }
}

/// Calls until it is done, fails for good, or time is over.
fn patiently<T>(
    patience: Duration,
    mut call: impl FnMut() -> Result<T, PluginError>,
) -> Result<T, PluginError> {
    let begun = Instant::now();
    loop {
        match call() {
            Err(error)
                if matches!(error.kind(), ErrorKind::Retriable | ErrorKind::Disconnected)
                    && begun.elapsed() + PAUSE < patience =>
            {
                // The rows behind this one have to wait for it.
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

fn failed(
    encoding: Encoding,
    error: &PluginError,
    of_record: fn(&str, String) -> FormatError,
) -> FormatError {
    match error.kind() {
        ErrorKind::BadRecord => of_record(encoding.name(), error.to_string()),
        ErrorKind::Retriable | ErrorKind::Disconnected => unavailable(encoding, error),
        ErrorKind::UserConfig | ErrorKind::Fatal => misconfigured(encoding, error),
    }
}

fn unavailable(encoding: Encoding, error: &PluginError) -> FormatError {
    FormatError::Unavailable {
        format: encoding.name().to_owned(),
        reason: error.to_string(),
    }
}

pub(crate) fn misconfigured(encoding: Encoding, error: &dyn std::fmt::Display) -> FormatError {
    FormatError::Misconfigured {
        format: encoding.name().to_owned(),
        reason: error.to_string(),
    }
}
