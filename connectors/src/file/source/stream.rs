//! What has no positions: the standard input, and named pipes.
//!
//! A thread reads it, because reading may wait for ever. No offsets are stored: what was read of a pipe cannot be read again.
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use millstream_connect::plugin::{Budget, PluginError, SourceBatch};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, timeout_at};

use super::config::SourceConfig;
use super::making::{Chunk, Making};
use super::place::file_name;
use super::text;

/// How much is read at once; a few of these may wait.
const READ_BYTES: usize = 64 << 10;
const WAITING_MAX: usize = 8;

/// A stream that is read.
pub(super) struct Stream {
    config: Arc<SourceConfig>,
    path: Option<PathBuf>,
    parts: Receiver<io::Result<Vec<u8>>>,
    chunk: Chunk,
    /// It has ended.
    ended: bool,
    begun: bool,
}

impl Stream {
    /// The standard input.
    pub fn standard_input(config: &Arc<SourceConfig>) -> Self {
        Self::new(config, None, |parts| {
            pump(&mut io::stdin().lock(), &parts);
        })
    }

    /// A named pipe, if `path` is one. In mode tail it is opened again for the next writer.
    pub fn of_pipe(path: &Path, config: &Arc<SourceConfig>) -> Option<Self> {
        let kind = fs::metadata(path).ok()?.file_type();
        if !kind.is_fifo() && !kind.is_char_device() {
            return None;
        }
        let (file, again) = (path.to_owned(), !config.once && kind.is_fifo());
        let read = move |parts: Sender<io::Result<Vec<u8>>>| loop {
            let mut open = match File::open(&file) {
                Ok(open) => open,
                Err(error) => return drop(parts.blocking_send(Err(error))),
            };
            if !pump(&mut open, &parts) || !again {
                return;
            }
        };
        Some(Self::new(config, Some(path.to_owned()), read))
    }

    fn new(
        config: &Arc<SourceConfig>,
        path: Option<PathBuf>,
        read: impl FnOnce(Sender<io::Result<Vec<u8>>>) + Send + 'static,
    ) -> Self {
        let (sender, parts) = mpsc::channel(WAITING_MAX);
        std::thread::spawn(move || read(sender));
        Self {
            config: Arc::clone(config),
            path,
            parts,
            chunk: Chunk::new(Bytes::new(), 0, 0, config.invalid_text),
            ended: false,
            begun: false,
        }
    }

    /// See [`SourceTask::poll`](millstream_connect::plugin::SourceTask::poll).
    pub async fn poll(&mut self, budget: Budget) -> Result<SourceBatch, PluginError> {
        let deadline = Instant::now() + budget.wait;
        let mut making = Making::new(&self.config, budget, 0);
        loop {
            match making.run(&mut self.chunk, self.path.as_deref()) {
                Err(error) if making.records.is_empty() => return Err(error),
                _ => {}
            }
            if !making.records.is_empty() || self.ended {
                return Ok(SourceBatch {
                    finished: self.ended && making.records.is_empty(),
                    made_now: true,
                    records: making.records,
                    ..SourceBatch::default()
                });
            }
            match timeout_at(deadline, self.parts.recv()).await {
                Err(_) => return Ok(SourceBatch::default()),
                Ok(None) => {
                    self.ended = true;
                    self.take(&[])?;
                }
                Ok(Some(Ok(part))) => self.take(&part)?,
                Ok(Some(Err(error))) => {
                    let name = self
                        .path
                        .as_deref()
                        .map_or("the standard input".to_owned(), file_name);
                    return Err(PluginError::disconnected(format!("cannot read {name}")).caused_by(error));
                }
            }
        }
    }

    /// Puts what was read behind what is left.
    fn take(&mut self, part: &[u8]) -> Result<(), PluginError> {
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
        self.chunk = Chunk::new(Bytes::from(bytes), mark, base, self.config.invalid_text);
        self.chunk.skipping = skipping;
        (self.chunk.at_end, self.chunk.last_call) = (self.ended, self.ended);
        Ok(())
    }
}

/// Hands on what is read up to the end; false if nobody wants it any more.
fn pump(from: &mut dyn Read, parts: &Sender<io::Result<Vec<u8>>>) -> bool {
    loop {
        let mut part = vec![0; READ_BYTES];
        match from.read(&mut part) {
            Ok(0) => return true,
            Ok(length) => {
                part.truncate(length);
                if parts.blocking_send(Ok(part)).is_err() {
                    return false;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return parts.blocking_send(Err(error)).is_ok(),
        }
    }
}
