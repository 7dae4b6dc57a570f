//! From the data of files to batches of records.
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use millstream_connect::plugin::{Budget, PluginError};
use millstream_connect::record::{Datum, Record, SchemaRef};
use tracing::warn;

use super::config::{Invalid, Rows, SourceConfig};
use super::json;
use super::place::file_name;
use super::text::{self, Text};

/// A part of a file's data that is being made into records.
pub(super) struct Chunk {
    pub bytes: Bytes,
    text: Text,
    /// The place in the file of the first byte.
    pub base: u64,
    /// Behind the last record.
    pub cursor: usize,
    /// Nothing is behind the chunk.
    pub at_end: bool,
    /// And nothing will be: what no line end ends is a record.
    pub last_call: bool,
    /// Within a line that is too long and left out.
    pub skipping: bool,
    /// Of its rows, if they have one.
    pub schema: Option<SchemaRef>,
}

impl Chunk {
    /// A chunk whose records begin at `start`.
    pub fn new(bytes: Bytes, start: usize, base: u64, invalid: Invalid) -> Self {
        let text = match invalid {
            Invalid::Bytes => Text::default(),
            _ => Text::new(&bytes, start),
        };
        Self {
            bytes,
            text,
            base,
            cursor: start,
            at_end: false,
            last_call: false,
            skipping: false,
            schema: None,
        }
    }
}

/// The value of a row; empty lines between rows are none.
#[inline]
fn row(rows: &Rows, line: Datum, schema: Option<&SchemaRef>) -> Result<Option<Datum>, String> {
    let text = match rows {
        Rows::Lines => return Ok(Some(line)),
        Rows::Json | Rows::Csv(_) => line.value.as_str().unwrap_or_default(),
    };
    if text.trim().is_empty() {
        return Ok(None);
    }
    match (rows, schema) {
        (Rows::Csv(rules), Some(schema)) => rules.parse(text, schema).map(Some),
        (Rows::Csv(_), None) => Err("the names of its columns are not known".to_owned()),
        _ => json::parse(text).map(Some),
    }
}

/// A record is longer than it may be: whether it is left out.
fn too_long(config: &SourceConfig, place: &str) -> Result<(), PluginError> {
    if config.long_lines == Invalid::Fail {
        return Err(PluginError::user_config(format!(
            "the record at {place} is longer than max.line.bytes, {}; make that greater, or set long.lines=skip",
            config.line_bytes_max
        )));
    }
    warn!("the record at {place} is longer than max.line.bytes and left out");
    Ok(())
}

/// How far the making of records came.
pub(super) enum Step {
    /// The batch is full.
    Full,
    /// More of the file has to be read.
    Read,
    /// The file has no more records.
    End { partial: bool },
}

/// A batch that is being made.
pub(super) struct Making {
    config: Arc<SourceConfig>,
    pub records: Vec<Record>,
    records_max: usize,
    bytes_left: usize,
}

impl Making {
    /// An empty batch within `budget`, with room for `typical` records.
    pub fn new(config: &Arc<SourceConfig>, budget: Budget, typical: usize) -> Self {
        Self {
            config: Arc::clone(config),
            records: Vec::with_capacity(typical.min(budget.records)),
            records_max: budget.records.min(config.batch_size).max(1),
            bytes_left: budget.bytes.max(1),
        }
    }

    /// Makes records of a chunk of the file at `path`.
    ///
    /// # Errors
    /// What is wrong with a record; the cursor is before it.
    pub fn run(&mut self, chunk: &mut Chunk, path: Option<&Path>) -> Result<Step, PluginError> {
        let config = Arc::clone(&self.config);
        let (bytes, base) = (chunk.bytes.clone(), chunk.base);
        let place = |at: usize| {
            let name = path.map_or_else(|| "the standard input".to_owned(), file_name);
            format!("byte {} of {name}", base + at as u64)
        };
        let (at_end, last_call) = (chunk.at_end, chunk.last_call);
        loop {
            let data = &bytes[chunk.cursor..];
            if chunk.skipping {
                match config.splitter.behind_line(data, last_call) {
                    Some(behind) => chunk.cursor += behind,
                    None => {
                        // A carriage return at the end may be half of a line end.
                        let half = usize::from(data.last() == Some(&b'\r') && !last_call);
                        chunk.cursor += data.len() - half;
                        return Ok(if at_end {
                            Step::End { partial: true }
                        } else {
                            Step::Read
                        });
                    }
                }
                chunk.skipping = false;
                continue;
            }
            if self.is_full() {
                return Ok(Step::Full);
            }
            let found = config.splitter.next(data, last_call);
            let length = found.map_or(data.len(), |found| found.content);
            if length > config.line_bytes_max {
                too_long(&config, &place(chunk.cursor))?;
                match found {
                    Some(found) => chunk.cursor += found.whole,
                    None => chunk.skipping = true,
                }
                continue;
            }
            let Some(found) = found else {
                return Ok(match at_end {
                    true => Step::End {
                        partial: !data.is_empty(),
                    },
                    false => Step::Read,
                });
            };
            let range = (chunk.cursor, chunk.cursor + found.content);
            let at = || place(range.0);
            if let Some(value) = text::line(&chunk.text, &bytes, range, config.invalid_text, &at)? {
                match row(&config.rows, value, chunk.schema.as_ref()) {
                    Ok(Some(value)) => self.push(value, found.content),
                    Ok(None) => {}
                    Err(error) if config.skip_invalid_rows => {
                        warn!("the row at {} is left out: {error}", at())
                    }
                    Err(error) => {
                        return Err(PluginError::user_config(format!(
                            "the row at {} cannot be read: {error}; correct the file, or set invalid.rows=skip",
                            at()
                        )));
                    }
                }
            }
            chunk.cursor += found.whole;
        }
    }

    /// Whether the budget is spent.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.records.len() >= self.records_max || self.bytes_left == 0
    }

    /// Adds a record that has about `length` bytes.
    #[inline]
    pub fn push(&mut self, value: Datum, length: usize) {
        let record = Record::new(Arc::clone(&self.config.topic), value);
        self.bytes_left = self.bytes_left.saturating_sub(length.max(1));
        self.records.push(record);
    }
}
