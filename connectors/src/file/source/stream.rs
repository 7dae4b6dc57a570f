//! What has no positions: the standard input, and named pipes.
//!
//! No offsets are stored: what was read of a pipe cannot be read again. So a stream is the process's, not the task's: what was read of it and is no
//! record yet waits for the task's successor ([`kept`]), and nothing is read before a task asks for it. What was handed over and is lost
//! with its task is lost.
//!
//! Owns: cutting a stream into records. Does not own: the file descriptor ([`input`]), and whose turn it is to read ([`kept`]).
mod input;
mod kept;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_connect::plugin::{Budget, PluginError, SourceBatch, TaskId};
use tokio::time::{Instant, sleep_until};

use self::input::{Got, Input};
use self::kept::{Lease, Name};
use super::config::SourceConfig;
use super::making::{Chunk, Making};
use super::place::file_name;
use super::text;

/// How often a pipe that nobody writes to is looked at: what comes then is not reported to those who wait.
const UNWRITTEN_PAUSE: Duration = Duration::from_millis(50);

/// A stream that is read by a task.
pub(super) struct Stream {
    config: Arc<SourceConfig>,
    lease: Lease,
    /// Where a named pipe is.
    path: Option<PathBuf>,
}

/// How far a stream is read.
struct State {
    input: Input,
    /// What was read and is no record yet.
    chunk: Chunk,
    begun: bool,
    /// Nothing will come any more.
    ended: bool,
    /// And a task has said so.
    finished: bool,
}

/// What a look at a stream says.
enum Found {
    Batch(Box<SourceBatch>),
    /// Nothing is there yet.
    Nothing,
    /// Nothing is there, and nobody writes to it.
    Unwritten,
}

impl Stream {
    /// The standard input.
    ///
    /// # Errors
    /// If another connector reads it.
    pub fn standard_input(config: &Arc<SourceConfig>, task: &TaskId) -> Result<Self, PluginError> {
        Self::new(config, None, task, Input::standard)
    }

    /// A named pipe or a device, if `path` is one. In mode tail a pipe goes on with its next writer.
    ///
    /// # Errors
    /// If another connector reads it, or it cannot be opened.
    pub fn of_pipe(
        path: &Path,
        config: &Arc<SourceConfig>,
        task: &TaskId,
    ) -> Result<Option<Self>, PluginError> {
        if !is_stream(path) {
            return Ok(None);
        }
        Self::new(config, Some(path.to_owned()), task, || Input::open(path)).map(Some)
    }

    fn new(
        config: &Arc<SourceConfig>,
        path: Option<PathBuf>,
        task: &TaskId,
        open: impl FnOnce() -> io::Result<Input>,
    ) -> Result<Self, PluginError> {
        let name = path.clone().map_or(Name::StandardInput, Name::Path);
        let lease = Lease::take(name, &task.connector, || {
            Ok(State {
                input: open()?,
                chunk: Chunk::new(Bytes::new(), 0, 0, config.invalid_text),
                begun: false,
                ended: false,
                finished: false,
            })
        })?;
        lease.with(|state| state.recut(config))?;
        Ok(Self {
            config: Arc::clone(config),
            lease,
            path,
        })
    }

    /// See [`SourceTask::poll`](millstream_connect::plugin::SourceTask::poll).
    pub async fn poll(&mut self, budget: Budget) -> Result<SourceBatch, PluginError> {
        let deadline = Instant::now() + budget.wait;
        loop {
            let (config, path) = (&self.config, self.path.as_deref());
            let found = self.lease.with(|state| state.find(config, path, budget))??;
            match found {
                Found::Batch(batch) => return Ok(*batch),
                _ if Instant::now() >= deadline => return Ok(SourceBatch::default()),
                Found::Nothing => {
                    let input = self.lease.with(|state| state.input.clone())?;
                    let waited = input.wait(deadline.saturating_duration_since(Instant::now()));
                    waited.await.map_err(|error| cannot_read(path, error))?;
                }
                Found::Unwritten => {
                    sleep_until(deadline.min(Instant::now() + UNWRITTEN_PAUSE)).await;
                }
            }
        }
    }
}

/// Whether what has this name is read as a stream.
pub(super) fn is_stream(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let kind = fs::metadata(path).map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| kind.is_fifo() || kind.is_char_device())
}

fn name_of(path: Option<&Path>) -> String {
    path.map_or_else(|| "the standard input".to_owned(), file_name)
}

fn cannot_read(path: Option<&Path>, error: io::Error) -> PluginError {
    PluginError::disconnected(format!("cannot read {}", name_of(path))).caused_by(error)
}

impl State {
    /// What a former task left is cut by the rules of this one.
    fn recut(&mut self, config: &SourceConfig) {
        let chunk = &self.chunk;
        let (rest, base) = (
            chunk.bytes.slice(chunk.cursor..),
            chunk.base + chunk.cursor as u64,
        );
        let mut recut = Chunk::new(rest, 0, base, config.invalid_text);
        recut.skipping = chunk.skipping;
        (recut.at_end, recut.last_call) = (self.ended, self.ended);
        self.chunk = recut;
    }

    /// How many bytes were read and are no record yet.
    fn unread(&self) -> usize {
        self.chunk.bytes.len() - self.chunk.cursor
    }

    /// Makes records of what is there, as soon as there are some.
    fn find(
        &mut self,
        config: &Arc<SourceConfig>,
        path: Option<&Path>,
        budget: Budget,
    ) -> Result<Found, PluginError> {
        let mut making = Making::new(config, budget, 0);
        let until = Instant::now() + budget.wait;
        loop {
            match making.run(&mut self.chunk, path) {
                Err(error) if making.records.is_empty() => return Err(error),
                _ => {}
            }
            if !making.records.is_empty() || self.ended {
                self.finished = self.ended && making.records.is_empty();
                return Ok(Found::Batch(Box::new(SourceBatch {
                    finished: self.finished,
                    made_now: true,
                    records: making.records,
                    ..SourceBatch::default()
                })));
            }
            match self.input.read().map_err(|error| cannot_read(path, error))? {
                Got::Data(part) => self.take(&part, config)?,
                Got::Nothing => return Ok(Found::Nothing),
                Got::Closed => match path {
                    Some(path) if !config.once && self.input.is_pipe() => {
                        let renewed = self.input.renew(path);
                        if !renewed.map_err(|error| cannot_read(Some(path), error))? {
                            return Ok(Found::Unwritten);
                        }
                    }
                    _ => {
                        self.ended = true;
                        self.take(&[], config)?;
                    }
                },
            }
            if Instant::now() >= until {
                return Ok(Found::Nothing);
            }
        }
    }

    /// Puts what was read behind what is left.
    fn take(&mut self, part: &[u8], config: &SourceConfig) -> Result<(), PluginError> {
        let chunk = &self.chunk;
        let rest = &chunk.bytes[chunk.cursor..];
        let mut bytes = Vec::with_capacity(rest.len() + part.len());
        bytes.extend_from_slice(rest);
        bytes.extend_from_slice(part);
        let mark = match self.begun {
            true => 0,
            false => text::mark_length(&bytes).map_err(|encoding| {
                PluginError::user_config(format!(
                    "the input is {encoding}, which is not read; convert it to UTF-8"
                ))
            })?,
        };
        self.begun |= !bytes.is_empty();
        let base = chunk.base + chunk.cursor as u64;
        let skipping = chunk.skipping;
        self.chunk = Chunk::new(Bytes::from(bytes), mark, base, config.invalid_text);
        self.chunk.skipping = skipping;
        (self.chunk.at_end, self.chunk.last_call) = (self.ended, self.ended);
        Ok(())
    }
}
