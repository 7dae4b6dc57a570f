//! The stream of changes, sans-IO: raw events go in, transactions come out.
//!
//! The decoder says what single events are; here they become transactions with a place, an order and an end. Rows that were
//! delivered before a restart are passed over, what is not captured is left out before its rows are decoded, rows of XA transactions wait until
//! they are committed, and statements in the log are looked at as far as tables are concerned.
//!
//! * `state`, `open`: transactions. `content`: what is in them. `told`: what waits until the end is known, and how far all is told.
//! * `resume`: where reading goes on, down to the row. `position`: places between transactions.
//! * `held`: XA transactions that are prepared. `capture`: filters. [`ddl`]: statements.
//!
//! Owns: where reading goes on after a restart. Does not own: connections, and what records look like.
mod capture;
mod content;
pub mod ddl;
mod error;
mod held;
mod open;
mod options;
mod position;
mod resume;
mod rows;
mod state;
mod step;
mod told;

pub use capture::{Capture, Captured};
pub use error::StreamError;
pub use held::HeldLimits;
pub use options::StreamOptions;
pub use position::{Gtids, LogPosition};
pub use resume::Resume;
pub use rows::{RowsEvent, RowsPlace, RowsReader};
pub use step::{EventOrigin, RowsStep, SchemaChange, Step, Transaction, Truncation};

use bytes::Bytes;

use crate::mysql::binlog::{Decoder, Limits};
use state::State;

/// A stream of changes.
///
/// ```
/// use millstream_connectors::mysql::stream::{LogPosition, Resume, Stream, StreamOptions};
///
/// let start = Resume::at(LogPosition::at("bin.000001", 4));
/// let mut stream = Stream::new(start, StreamOptions::default());
/// // Events are pushed as the server sends them, and steps taken until there are none.
/// assert!(stream.next().unwrap().is_none());
/// assert_eq!(stream.position().position, 4);
/// ```
#[derive(Debug)]
pub struct Stream {
    decoder: Decoder,
    /// Reads events of an XA transaction that come again.
    again: Option<Decoder>,
    state: State,
    limits: Limits,
}

impl Stream {
    /// A stream that goes on behind what is delivered. Its events have to begin at [`Resume::dump_from`].
    #[must_use]
    pub fn new(resume: Resume, options: StreamOptions) -> Self {
        let limits = Limits {
            event_bytes_max: options.event_bytes,
        };
        Self {
            decoder: decoder(&resume, limits),
            again: None,
            state: State::new(resume, options),
            limits,
        }
    }

    /// Another connection was made: what is not delivered of the last transaction comes again, and events begin at [`Stream::resume`]'s
    /// [`Resume::dump_from`].
    pub fn reconnect(&mut self) {
        self.state.begin_again();
        self.again = None;
        self.decoder = decoder(&self.state.resume(None), self.limits);
    }

    /// Whether everything of captured tables is told, also rows that make no record (`skipped.operations`), and those that were delivered before
    /// a restart: snapshots that run have to know of them. Not so from the start.
    pub fn tell_all(&mut self, all: bool) {
        self.state.tell_all = all;
    }

    /// Takes the next raw event.
    ///
    /// # Errors
    /// When rows of an XA transaction cannot be kept.
    ///
    /// # Panics
    /// While [`Stream::next`] has steps.
    pub fn push(&mut self, raw: Bytes) -> Result<(), StreamError> {
        self.state.raw = raw.clone();
        self.state.hold_raw()?;
        self.decoder.push(raw);
        Ok(())
    }

    /// The next step; nothing when more has to be pushed. The one before counts as delivered from then on.
    ///
    /// # Errors
    /// When the log does not have what it should: the stream is of no use then, but may [reconnect](Stream::reconnect).
    #[allow(clippy::should_implement_trait, reason = "it fails, and goes on")]
    pub fn next(&mut self) -> Result<Option<Step>, StreamError> {
        loop {
            if let Some(step) = self.state.told.pop() {
                return Ok(Some(step));
            }
            if self.state.replay.is_some() {
                self.replay()?;
                continue;
            }
            let Some(at) = self.decoder.advance()? else {
                return Ok(None);
            };
            match self.decoder.read() {
                Ok(event) => self.state.event(event, &at)?,
                Err(error) => self.state.fail(error.into())?,
            }
        }
    }

    /// Takes the next event of an XA transaction that is committed.
    fn replay(&mut self) -> Result<(), StreamError> {
        let format = &self.state.format;
        let decoder = self.again.get_or_insert_with(|| {
            let mut decoder = Decoder::new("", 4, self.limits);
            if !format.is_empty() {
                decoder.push(format.clone());
            }
            decoder
        });
        if let Some(at) = decoder.advance()? {
            return self.state.replayed(decoder.read()?, &at);
        }
        let replay = self.state.replay.as_mut().expect("it was asked for");
        match replay.next()? {
            Some(raw) => decoder.push(raw),
            None => {
                self.again = None;
                self.state.replayed_all()?;
            }
        }
        Ok(())
    }

    /// The last step is delivered: [`Stream::position`] and [`Stream::resume`] are behind it.
    pub fn settle(&mut self) {
        self.state.told.settle();
    }

    /// Of the last step, only those rows are delivered that were read from it, and it is given up: the stream has to [reconnect](Stream::reconnect).
    pub fn give_up(&mut self, rows: &RowsStep) {
        self.state
            .told
            .settle_at((rows.rows.next_row().ordinal, rows.fresh));
    }

    /// All transactions before this are delivered.
    #[must_use]
    pub fn position(&self) -> &LogPosition {
        &self.state.told.position
    }

    /// What [`Stream::position`] will be once the last step is delivered.
    #[must_use]
    pub fn behind_last(&self) -> LogPosition {
        self.state.told.behind_last()
    }

    /// Where to go on: behind what is delivered, and behind those of the rows told last, `rows`, that were read from it.
    #[must_use]
    pub fn resume(&self, rows: Option<&RowsStep>) -> Resume {
        let row = rows.map(|step| (step.rows.next_row().ordinal, step.fresh));
        self.state.resume(row)
    }

    /// Whether nothing is read of the transaction behind [`Stream::position`] that is not delivered.
    #[must_use]
    pub fn is_between_transactions(&self) -> bool {
        self.state.is_between_transactions()
    }

    /// What is captured.
    #[must_use]
    pub fn capture(&self) -> &Capture {
        self.state.capture()
    }
}

fn decoder(resume: &Resume, limits: Limits) -> Decoder {
    let start = resume.dump_from();
    Decoder::new(&start.file, start.position, limits)
}

#[cfg(test)]
mod tests;
