//! `StringConverter`: values as texts.
use bytes::Bytes;
use bytestring::ByteString;

use super::text::write_to_string;
use super::{ForHeaders, Role, converter_keys};
use crate::config::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance, Width};
use crate::plugin::{
    Converter, ConverterPlugin, Encoded, HeaderConverter, HeaderConverterPlugin, Plugin, PluginError,
    ReadsAsIs,
};
use crate::record::{Datum, Schema, Value};

const ENCODING: &str = "converter.encoding";

/// The plugin.
pub(super) struct StringConverterPlugin;

struct StringConverter {
    encoding: Encoding,
}

impl Plugin for StringConverterPlugin {
    fn class(&self) -> &'static str {
        "org.apache.kafka.connect.storage.StringConverter"
    }

    fn config_def(&self) -> ConfigDef {
        let encoding = ConfigKey::with_default(
            ENCODING,
            ConfigType::String,
            "UTF-8",
            Importance::High,
            "The name of the Java character set to use for encoding strings as byte arrays.",
        );
        let mut encoding = encoding.checked(|name| Encoding::named(name).map(drop));
        encoding.width = Width::Medium;
        encoding.display_name = "Encoding".to_owned();
        converter_keys().with(encoding)
    }
}

impl StringConverterPlugin {
    fn converter(&self, config: &ConfigMap, role: Role) -> Result<StringConverter, PluginError> {
        let config = self.config_def().parse(&role.within(config))?;
        let encoding = Encoding::named(config.string(ENCODING)).map_err(PluginError::user_config)?;
        Ok(StringConverter { encoding })
    }
}

impl ConverterPlugin for StringConverterPlugin {
    fn new_converter(&self, config: &ConfigMap, is_key: bool) -> Result<Box<dyn Converter>, PluginError> {
        Ok(Box::new(self.converter(config, Role::of(is_key))?))
    }
}

impl HeaderConverterPlugin for StringConverterPlugin {
    fn new_header_converter(&self, config: &ConfigMap) -> Result<Box<dyn HeaderConverter>, PluginError> {
        Ok(Box::new(ForHeaders(self.converter(config, Role::Header)?)))
    }
}

impl Converter for StringConverter {
    fn encode(&mut self, _topic: &str, datum: &Datum, out: &mut Vec<u8>) -> Result<Encoded, PluginError> {
        match &datum.value {
            Value::Null => return Ok(Encoded::Null),
            Value::String(text) => self.encoding.encode(text, out),
            other if self.encoding == Encoding::Utf8 => write_to_string(other, out),
            other => {
                let mut utf8 = Vec::new();
                write_to_string(other, &mut utf8);
                self.encoding.encode(&String::from_utf8_lossy(&utf8), out);
            }
        }
        Ok(Encoded::Bytes)
    }

    fn decode(&mut self, _topic: &str, bytes: Option<&Bytes>) -> Result<Datum, PluginError> {
        let value = bytes.map_or(Value::Null, |bytes| Value::String(self.encoding.decode(bytes)));
        Ok(Datum::new(Schema::optional_string(), value))
    }

    fn reads_as_is(&self) -> ReadsAsIs {
        match self.encoding {
            Encoding::Utf8 => ReadsAsIs::Utf8,
            _ => ReadsAsIs::Nothing,
        }
    }
}

/// How characters are written. What an encoding has no bytes for is written as `?`; bytes that stand for nothing are read as U+FFFD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Latin1,
    Ascii,
    /// Big-endian behind a byte order mark when written; as the mark says when read.
    Utf16,
    Utf16BigEndian,
    Utf16LittleEndian,
}

impl Encoding {
    /// By one of the names that Java has for it.
    fn named(name: &str) -> Result<Self, String> {
        match name.trim().to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" | "UNICODE-1-1-UTF-8" => Ok(Self::Utf8),
            "ISO-8859-1" | "ISO8859_1" | "ISO8859-1" | "ISO_8859-1" | "ISO_8859_1" | "LATIN1" | "L1"
            | "8859_1" | "CP819" | "IBM819" | "IBM-819" | "CSISOLATIN1" | "819" => Ok(Self::Latin1),
            "US-ASCII" | "ASCII" | "ASCII7" | "ISO646-US" | "646" | "CP367" | "US" => Ok(Self::Ascii),
            "UTF-16" | "UTF16" | "UTF_16" | "UNICODE" | "UNICODEBIG" => Ok(Self::Utf16),
            "UTF-16BE" | "UTF_16BE" | "UNICODEBIGUNMARKED" | "X-UTF-16BE" | "ISO-10646-UCS-2" => {
                Ok(Self::Utf16BigEndian)
            }
            "UTF-16LE" | "UTF_16LE" | "UNICODELITTLEUNMARKED" | "X-UTF-16LE" => Ok(Self::Utf16LittleEndian),
            _ => Err(format!(
                "unsupported encoding {name}; there are UTF-8, ISO-8859-1, US-ASCII, UTF-16, UTF-16BE and UTF-16LE"
            )),
        }
    }

    fn encode(self, text: &str, out: &mut Vec<u8>) {
        let narrow = |last: char, out: &mut Vec<u8>| {
            out.extend(text.chars().map(|c| if c <= last { c as u8 } else { b'?' }));
        };
        match self {
            Self::Utf8 => out.extend_from_slice(text.as_bytes()),
            Self::Latin1 => narrow('\u{ff}', out),
            Self::Ascii => narrow('\u{7f}', out),
            Self::Utf16 if text.is_empty() => {}
            Self::Utf16 => {
                out.extend_from_slice(&[0xfe, 0xff]);
                out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
            }
            Self::Utf16BigEndian => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
            Self::Utf16LittleEndian => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
        }
    }

    /// The text, which shares the buffer if it is good UTF-8.
    pub(super) fn decode(self, bytes: &Bytes) -> ByteString {
        match self {
            Self::Utf8 => {
                ByteString::try_from(bytes.clone()).unwrap_or_else(|_| read_damaged_utf8(bytes).into())
            }
            Self::Latin1 => bytes
                .iter()
                .map(|byte| char::from(*byte))
                .collect::<String>()
                .into(),
            Self::Ascii => {
                let read = |byte: &u8| {
                    if byte.is_ascii() {
                        char::from(*byte)
                    } else {
                        '\u{fffd}'
                    }
                };
                bytes.iter().map(read).collect::<String>().into()
            }
            Self::Utf16 => match &bytes[..] {
                [0xff, 0xfe, rest @ ..] => read_utf16(rest, u16::from_le_bytes),
                [0xfe, 0xff, rest @ ..] => read_utf16(rest, u16::from_be_bytes),
                rest => read_utf16(rest, u16::from_be_bytes),
            },
            Self::Utf16BigEndian => read_utf16(bytes, u16::from_be_bytes),
            Self::Utf16LittleEndian => read_utf16(bytes, u16::from_le_bytes),
        }
    }
}

fn read_utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> ByteString {
    let (pairs, rest) = bytes.as_chunks();
    let units = pairs.iter().map(|pair| unit(*pair));
    let mut text: String = char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    if !rest.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text.into()
}

/// Reads bytes of which some are not UTF-8. Java takes an encoded surrogate for one bad character, where others take it for three.
fn read_damaged_utf8(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 8);
    let mut skip = 0;
    for chunk in bytes.utf8_chunks() {
        if !chunk.valid().is_empty() {
            text.push_str(chunk.valid());
        }
        if skip > 0 {
            skip -= 1;
            continue;
        }
        if chunk.invalid().is_empty() {
            continue;
        }
        text.push(char::REPLACEMENT_CHARACTER);
        let at = chunk.invalid().as_ptr() as usize - bytes.as_ptr() as usize;
        skip = match bytes[at..] {
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 2,
            [0xed, 0xa0..=0xbf] => 1,
            _ => 0,
        };
    }
    text
}
