//! How one line becomes a record: `[headers<TAB>][key<TAB>]value`, as Kafka's `LineMessageReader` has it.

use memchr::memmem;

use crate::client::split_property;
use crate::error::CliError;

/// The properties of the reader.
#[derive(Debug, PartialEq, Eq)]
pub struct LineFormat {
    parse_key: bool,
    key_separator: Vec<u8>,
    parse_headers: bool,
    headers_delimiter: Vec<u8>,
    headers_separator: Vec<u8>,
    headers_key_separator: Vec<u8>,
    null_marker: Option<Vec<u8>>,
    ignore_error: bool,
}

impl Default for LineFormat {
    fn default() -> Self {
        Self {
            parse_key: false,
            key_separator: b"\t".to_vec(),
            parse_headers: false,
            headers_delimiter: b"\t".to_vec(),
            headers_separator: b",".to_vec(),
            headers_key_separator: b":".to_vec(),
            null_marker: None,
            ignore_error: false,
        }
    }
}

/// A header: its name and its value, which may be null.
type HeaderPart<'a> = (&'a str, Option<&'a [u8]>);

/// A record that borrows from its line.
#[derive(Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<HeaderPart<'a>>,
}

impl LineFormat {
    /// Reads `KEY=VALUE` arguments; unknown keys are refused.
    pub fn from_properties(properties: &[String]) -> Result<Self, CliError> {
        let mut format = Self::default();
        for property in properties {
            let (key, value) = split_property("--property", property)?;
            match key {
                "parse.key" => format.parse_key = boolean(key, value)?,
                "key.separator" => format.key_separator = separator(key, value)?,
                "parse.headers" => format.parse_headers = boolean(key, value)?,
                "headers.delimiter" => format.headers_delimiter = separator(key, value)?,
                "headers.separator" => format.headers_separator = separator(key, value)?,
                "headers.key.separator" => format.headers_key_separator = separator(key, value)?,
                "null.marker" => format.null_marker = Some(value.as_bytes().to_vec()),
                "ignore.error" => format.ignore_error = boolean(key, value)?,
                _ => {
                    return Err(CliError::new(format!(
                        "--property {key}: unknown; known are parse.key, key.separator, parse.headers, headers.delimiter, \
                         headers.separator, headers.key.separator, null.marker, ignore.error"
                    )));
                }
            }
        }
        Ok(format)
    }

    /// Splits one line.
    ///
    /// # Errors
    /// What is missing in the line, unless `ignore.error` takes such lines as values.
    pub fn parse<'a>(&self, line: &'a [u8]) -> Result<Parsed<'a>, String> {
        let mut rest = line;
        let mut headers = Vec::new();
        if self.parse_headers {
            match split(rest, &self.headers_delimiter) {
                Some((text, after)) => {
                    headers = self.headers(text)?;
                    rest = after;
                }
                None if self.ignore_error => {}
                None => return Err(missing("headers.delimiter", &self.headers_delimiter)),
            }
        }
        let mut key = None;
        if self.parse_key {
            match split(rest, &self.key_separator) {
                Some((before, after)) => {
                    key = self.unless_null(before);
                    rest = after;
                }
                None if self.ignore_error => {}
                None => return Err(missing("key.separator", &self.key_separator)),
            }
        }
        Ok(Parsed {
            key,
            value: self.unless_null(rest),
            headers,
        })
    }

    fn headers<'a>(&self, text: &'a [u8]) -> Result<Vec<HeaderPart<'a>>, String> {
        if self.null_marker.as_deref() == Some(text) || text.is_empty() {
            return Ok(Vec::new());
        }
        let mut headers = Vec::new();
        let mut rest = Some(text);
        while let Some(text) = rest {
            let (pair, after) = match split(text, &self.headers_separator) {
                Some((pair, after)) => (pair, Some(after)),
                None => (text, None),
            };
            rest = after;
            let (key, value) = match split(pair, &self.headers_key_separator) {
                Some((key, value)) => (key, self.unless_null(value)),
                None if self.ignore_error => (pair, None),
                None => return Err(missing("headers.key.separator", &self.headers_key_separator)),
            };
            let key = std::str::from_utf8(key).map_err(|_| "the name of a header is not UTF-8".to_owned())?;
            headers.push((key, value));
        }
        Ok(headers)
    }

    fn unless_null<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        (self.null_marker.as_deref() != Some(bytes)).then_some(bytes)
    }
}

fn split<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    memmem::find(bytes, separator).map(|at| (&bytes[..at], &bytes[at + separator.len()..]))
}

fn missing(property: &str, separator: &[u8]) -> String {
    format!(
        "no {property} {:?} in it; name the right one with --property {property}=…, or pass --property ignore.error=true",
        String::from_utf8_lossy(separator)
    )
}

fn boolean(key: &str, value: &str) -> Result<bool, CliError> {
    value
        .trim()
        .parse()
        .map_err(|_| CliError::new(format!("--property {key}={value}: give true or false")))
}

fn separator(key: &str, value: &str) -> Result<Vec<u8>, CliError> {
    if value.is_empty() {
        return Err(CliError::new(format!(
            "--property {key}=: a separator has at least one character"
        )));
    }
    Ok(value.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(properties: &[&str]) -> LineFormat {
        LineFormat::from_properties(&properties.iter().map(|&p| p.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_plain_line_is_a_value() {
        let parsed = format(&[])
            .parse(b"a\tb")
            .map(|parsed| (parsed.key, parsed.value));
        assert_eq!(parsed, Ok((None, Some(&b"a\tb"[..]))));
    }

    #[test]
    fn headers_key_and_value_are_split_and_repeated_headers_kept() {
        let format = format(&[
            "parse.key=true",
            "parse.headers=true",
            "null.marker=NULL",
            "key.separator=::",
        ]);
        assert_eq!(
            format.parse(b"h:1,h:2,n:NULL\tk::v::w"),
            Ok(Parsed {
                key: Some(b"k"),
                value: Some(b"v::w"),
                headers: vec![("h", Some(&b"1"[..])), ("h", Some(&b"2"[..])), ("n", None)],
            })
        );
        assert_eq!(
            format.parse(b"NULL\tk::NULL"),
            Ok(Parsed {
                key: Some(b"k"),
                value: None,
                headers: vec![]
            })
        );
    }

    #[test]
    fn a_missing_separator_is_an_error_with_the_remedy() {
        let error = format(&["parse.key=true"]).parse(b"no tab").unwrap_err();
        assert!(error.contains("key.separator"), "{error}");
        let lenient = format(&["parse.key=true", "ignore.error=true"]);
        assert_eq!(
            lenient.parse(b"no tab"),
            Ok(Parsed {
                key: None,
                value: Some(b"no tab"),
                headers: vec![]
            })
        );
    }

    #[test]
    fn unknown_properties_are_refused() {
        assert!(LineFormat::from_properties(&["parse.kex=true".into()]).is_err());
        assert!(LineFormat::from_properties(&["parse.key=yes".into()]).is_err());
        assert!(LineFormat::from_properties(&["key.separator=".into()]).is_err());
    }
}
