//! What of a file is read next.
use std::io;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use millstream_connect::plugin::PluginError;
use tracing::warn;

use super::{CHUNK_BYTES, Current, Part, Read, Reading, TOLD_MAX};
use crate::file::source::columns::{Beginning, NoColumns};
use crate::file::source::config::SourceConfig;
use crate::file::source::making::{Chunk, Step};
use crate::file::source::parquet::{Failure, Footer, RowReader};
use crate::file::source::place::{FileKey, file_name};
use crate::file::source::text;
use crate::file::source::tracking::Whereabouts;
use millstream_connect::arrow::Times;

/// A compressed file that is to be read as it is, and is not whole.
fn ends_within_frame(name: &str) -> PluginError {
    PluginError::user_config(format!(
        "{name} is cut, or still being written: its compressed data end within a frame; restore the file, remove it, \
         or wait for the rest of it with read.mode=tail"
    ))
}

impl Read {
    /// A file that ends within a frame is not at its end: more is to come, or was lost.
    ///
    /// # Errors
    /// If more is not waited for.
    pub(super) fn judge_end(
        &self,
        step: Step,
        path: Option<&Path>,
        config: &SourceConfig,
    ) -> Result<Step, PluginError> {
        match step {
            Step::End { .. } if self.unfinished && config.once => {
                let name = path.map_or_else(String::new, file_name);
                Err(ends_within_frame(&name))
            }
            Step::End { partial } => Ok(Step::End {
                partial: partial || self.unfinished,
            }),
            step => Ok(step),
        }
    }
}

impl Reading {
    /// Reads on in the current file, or more of it at once if what was read is not a record.
    pub(super) fn more(&mut self, now: Instant) -> Result<(), PluginError> {
        let Some(Current {
            key,
            part: Part::Chunk(read),
        }) = self.current.take()
        else {
            return Ok(());
        };
        self.want = match read.chunk.cursor > read.start {
            true => CHUNK_BYTES,
            false => (self.want * 2).min(self.config.line_bytes_max + CHUNK_BYTES),
        };
        self.load(key, now)
    }

    /// Reads a part of a file from its place.
    pub(super) fn load(&mut self, key: FileKey, now: Instant) -> Result<(), PluginError> {
        if let Some(times) = self.config.parquet {
            return self.load_rows(key, times, now);
        }
        let file = self.files.get_mut(&key).expect("a file that is read is tracked");
        let place = file.place.clone();
        let back = place.look_back();
        let base = place.position - back as u64;
        let Some(data) = &mut file.data else {
            self.files.enqueue(key);
            return Ok(());
        };
        let bytes = match data.read(base, back + self.want) {
            Ok(bytes) => bytes,
            Err(error) => return self.files.failed(key, error).map(drop),
        };
        if bytes.len() < back || !place.fits(&bytes[..back]) {
            self.files.restart(key, now);
            return Ok(());
        }
        let at_end = bytes.len() < back + self.want;
        let mark = match place.position {
            0 => text::mark_length(&bytes).map_err(|encoding| {
                PluginError::user_config(format!(
                    "{} is {encoding}, which is not read; convert it to UTF-8 (iconv -f {encoding} -t UTF-8)",
                    file_name(&file.path)
                ))
            })?,
            _ => 0,
        };
        file.unfinished = at_end && data.is_unfinished();
        // What a cut file ends with may be a part of a line only.
        let last_call = at_end && !file.unfinished && (self.config.emit_last || file.last_call);
        let begin = Beginning {
            place: &place,
            mark,
            bytes: &bytes,
            last_call,
        };
        let unfinished = file.unfinished;
        let columns = begin.columns(&self.config, file);
        let header = match columns {
            Ok(header) => header,
            Err(reason) => {
                let partial = bytes.len() > mark || unfinished;
                return self.without_columns(key, reason, at_end.then_some(partial), now);
            }
        };
        let start = back + mark + header;
        let mut chunk = Chunk::new(Bytes::from(bytes), start, base, self.config.invalid_text);
        (chunk.skipping, chunk.at_end, chunk.last_call) = (place.skipping, at_end, last_call);
        chunk.schema.clone_from(&file.schema);
        let read = Read {
            chunk,
            place,
            start,
            unfinished,
        };
        self.current = Some(Current {
            key,
            part: Part::Chunk(read),
        });
        self.tell_unfinished(key);
        Ok(())
    }

    /// Warns of a file that ends within a frame, and has not grown for a while.
    fn tell_unfinished(&mut self, key: FileKey) {
        let file = self.files.get_mut(&key).expect("a file that is read is tracked");
        let tells = file.unfinished && file.last_call && !self.config.once;
        if !tells || self.told.len() >= TOLD_MAX || !self.told.insert(file.path.clone()) {
            return;
        }
        let name = file_name(&file.path);
        match file.whereabouts {
            Whereabouts::Here => warn!(
                "the compressed data of {name} end within a frame: the rest is waited for; restore the file if nothing writes it any more"
            ),
            Whereabouts::Away => warn!(
                "{name} is gone, and its compressed data ended within a frame: what was behind its last whole line is lost"
            ),
        }
    }

    /// The columns of a file are not known. At its end it is `partial`, or empty.
    fn without_columns(
        &mut self,
        key: FileKey,
        reason: NoColumns,
        partial: Option<bool>,
        now: Instant,
    ) -> Result<(), PluginError> {
        let file = self.files.get_mut(&key).expect("a file that is read is tracked");
        let name = file_name(&file.path);
        match (reason, partial) {
            (NoColumns::Wrong(error), _) => Err(PluginError::user_config(format!(
                "the names of the columns in {name}: {error}"
            ))),
            (NoColumns::NotYet, Some(_)) if file.unfinished && self.config.once => {
                Err(ends_within_frame(&name))
            }
            (NoColumns::NotYet, Some(partial)) => {
                (file.at_end, file.partial) = (true, partial);
                self.tell_unfinished(key);
                Ok(())
            }
            (NoColumns::NotYet, None) if self.want < self.config.line_bytes_max => {
                self.want *= 2;
                self.load(key, now)
            }
            (NoColumns::NotYet, None) => Err(PluginError::user_config(format!(
                "the row of names in {name} is longer than max.line.bytes"
            ))),
        }
    }

    /// Begins to read a file of columns where it was read to.
    fn load_rows(&mut self, key: FileKey, times: Times, now: Instant) -> Result<(), PluginError> {
        let file = self.files.get_mut(&key).expect("a file that is read is tracked");
        let place = file.place.clone();
        if file.data.is_none() {
            self.files.enqueue(key);
            return Ok(());
        }
        match self.files.is_intact(key, &place) {
            Ok(true) => {}
            Ok(false) => {
                self.files.restart(key, now);
                return Ok(());
            }
            Err(error) => return self.files.failed(key, error).map(drop),
        }
        let file = self.files.get_mut(&key).expect("a file that is read is tracked");
        let data = file.data.as_ref().expect("it was looked into just now");
        let footer = match RowReader::open(data, &file.place, times) {
            Ok(footer) => footer,
            Err(error) => return self.files.failed(key, error).map(drop),
        };
        let broken = match footer {
            Footer::Whole(rows) => {
                let part = Part::Rows(rows);
                self.current = Some(Current { key, part });
                return Ok(());
            }
            Footer::Unfinished => None,
            Footer::Broken(error) => Some(error),
        };
        let (name, last_call) = (file_name(&file.path), file.last_call);
        let waits = broken.is_none() && !self.config.once;
        (file.at_end, file.partial) = (true, true);
        if waits && last_call && self.told.len() < TOLD_MAX && self.told.insert(file.path.clone()) {
            warn!("{name} has no Parquet footer yet: it is waited for until it is finished");
        }
        if waits || !(self.config.once || last_call) {
            return Ok(());
        }
        self.judge_file(
            &name,
            broken
                .as_deref()
                .unwrap_or("it has no footer, so it is not finished"),
        )
    }

    /// A file that is no whole Parquet file.
    fn judge_file(&self, name: &str, what: &str) -> Result<(), PluginError> {
        if self.config.skip_invalid_rows {
            warn!("{name} is left out: {what}");
            return Ok(());
        }
        Err(PluginError::user_config(format!(
            "{name} cannot be read as Parquet: {what}; restore it, remove it, or set invalid.rows=skip"
        )))
    }

    /// The current file's rows cannot be read. What is to be done then, if anything is.
    pub(super) fn fail_rows(&mut self, failure: Failure, now: Instant) -> Result<Option<Step>, PluginError> {
        let Some(Current {
            key,
            part: Part::Rows(mut rows),
        }) = self.current.take()
        else {
            return Ok(None);
        };
        let place = rows.place();
        let damage = match failure {
            Failure::File(error) if error.kind() == io::ErrorKind::UnexpectedEof => error.to_string(),
            Failure::File(error) => return self.files.failed(key, error).map(|_| None),
            Failure::Damage(error) => error,
        };
        match self.files.is_intact(key, &place) {
            Ok(true) => {}
            Ok(false) => {
                self.files.restart(key, now);
                return Ok(None);
            }
            Err(error) => return self.files.failed(key, error).map(|_| None),
        }
        let name = self
            .files
            .get_mut(&key)
            .map_or(String::new(), |file| file_name(&file.path));
        let at = place.rows.unwrap_or_default();
        let what = format!(
            "row {} of row group {} and all behind it: {damage}",
            at.row, at.group
        );
        self.judge_file(&name, &what)?;
        rows.give_up();
        let part = Part::Rows(rows);
        self.current = Some(Current { key, part });
        Ok(Some(Step::End { partial: false }))
    }
}
