//! The open windows of a task: a table each.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::{DataFusionError, Result as PlanResult};

use super::window_log::{Content, Entry, Number, Piece};
use super::{Owner, ResidentTable, StateError, WindowLog};
use crate::aggregate::AggregateSpec;
use crate::format::FormatError;
use crate::rows::{EventTime, Rows};
use crate::sink::RecordBuffer;

/// From so many records on, a window's log may be replaced by all that the window holds.
const PIECES_MAX: usize = 32;

/// Windows by their start.
pub(crate) struct WindowStore {
    spec: Arc<AggregateSpec>,
    log: WindowLog,
    windows: BTreeMap<EventTime, OpenWindow>,
    /// Records of closed windows: they are made void an epoch later, when it is certain that the window's results count.
    closed: Vec<(EventTime, Vec<Piece>)>,
    /// What the changelog said so far.
    restoring: BTreeMap<(EventTime, Piece), Content>,
}

struct OpenWindow {
    table: ResidentTable,
    /// The records that together are its state.
    pieces: Vec<Piece>,
    /// The number of the next record that is written.
    next: Number,
    /// Rows in these records.
    logged: usize,
}

/// A change of state that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WindowError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Merge(#[from] DataFusionError),
}

impl WindowStore {
    pub(crate) fn new(spec: Arc<AggregateSpec>, log: WindowLog) -> Self {
        Self {
            spec,
            log,
            windows: BTreeMap::new(),
            closed: Vec::new(),
            restoring: BTreeMap::new(),
        }
    }

    /// Somebody else may have held the state since it was last worked on.
    pub(crate) fn belongs_to(&mut self, owner: Owner) {
        self.log.belongs_to(owner);
    }

    /// The windows that are open, the earliest first.
    pub(crate) fn starts(&self) -> impl Iterator<Item = EventTime> {
        self.windows.keys().copied()
    }

    /// Keys and bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        let sizes = self
            .windows
            .values()
            .map(|window| (window.table.len(), window.table.size_bytes()));
        sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
    }

    /// Adds the delta of an epoch (each key once) to a window.
    pub(crate) fn add(&mut self, start: EventTime, delta: &RecordBatch) -> Result<(), WindowError> {
        self.window(start)?.table.add(delta)?;
        self.note(start, delta)
    }

    /// Adds the delta of an epoch (each key once) to a window; gives the new results of the keys in it.
    pub(crate) fn update(&mut self, start: EventTime, delta: &RecordBatch) -> Result<Rows, WindowError> {
        let results = self.window(start)?.table.update(delta)?.results;
        self.note(start, delta)?;
        Ok(results)
    }

    /// Closes a window; gives its results, if it is open.
    pub(crate) fn close(&mut self, start: EventTime) -> PlanResult<Option<Rows>> {
        let Some(mut window) = self.windows.remove(&start) else {
            return Ok(None);
        };
        self.closed.push((start, window.pieces));
        let states = window.table.take()?;
        states.map(|states| window.table.results(&states)).transpose()
    }

    /// Forgets the windows for which `closed` holds: their results were given before.
    pub(crate) fn forget(&mut self, closed: impl Fn(EventTime) -> bool) {
        for start in self.starts().filter(|start| closed(*start)).collect::<Vec<_>>() {
            if let Some(window) = self.windows.remove(&start) {
                self.closed.push((start, window.pieces));
            }
        }
        // They were closed in an epoch that is committed.
        self.void_closed();
    }

    /// The records that the epoch has to write.
    pub(crate) fn changes(&mut self) -> Result<Option<RecordBuffer>, WindowError> {
        Ok(self.log.take())
    }

    /// An epoch begins: what was closed in the last one is certain.
    pub(crate) fn void_closed(&mut self) {
        for (start, pieces) in self.closed.drain(..) {
            pieces.into_iter().for_each(|piece| self.log.delete(start, piece));
        }
    }

    fn window(&mut self, start: EventTime) -> PlanResult<&mut OpenWindow> {
        use std::collections::btree_map::Entry;
        Ok(match self.windows.entry(start) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(new) => new.insert(OpenWindow {
                table: ResidentTable::unbounded(Arc::clone(&self.spec))?,
                pieces: Vec::new(),
                next: 0,
                logged: 0,
            }),
        })
    }

    /// Writes what was added to the log, or all that the window holds, if that is less than what the log has.
    fn note(&mut self, start: EventTime, delta: &RecordBatch) -> Result<(), WindowError> {
        let Some(window) = self.windows.get_mut(&start) else {
            return Ok(());
        };
        if window.pieces.len() >= PIECES_MAX
            && window.logged > 2 * window.table.len()
            && let Some(states) = window.table.take()?
        {
            window.table.load(&states)?;
            let count = self.log.write(start, window.next, &states, true)?;
            for piece in window.pieces.drain(..) {
                self.log.delete(start, piece);
            }
            window.logged = states.num_rows();
            window.took(&self.log, count);
        } else {
            let count = self.log.write(start, window.next, delta, false)?;
            window.logged += delta.num_rows();
            window.took(&self.log, count);
        }
        Ok(())
    }

    /// Takes a record of the changelog.
    pub(crate) fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), StateError> {
        if let Entry::Piece {
            start,
            piece,
            content,
        } = self.log.decode(key, value)?
        {
            match content {
                Some(content) => self.restoring.insert((start, piece), content),
                None => self.restoring.remove(&(start, piece)),
            };
        }
        Ok(())
    }

    /// The changelog ends.
    pub(crate) fn end_restore(&mut self) -> Result<(), WindowError> {
        let mut windows: BTreeMap<EventTime, Vec<(Piece, Content)>> = BTreeMap::new();
        for ((start, piece), content) in std::mem::take(&mut self.restoring) {
            windows.entry(start).or_default().push((piece, content));
        }
        for (start, pieces) in windows {
            let whole = last_whole(&pieces);
            for (piece, content) in pieces {
                let window = self.window(start)?;
                if counts(piece, &content, whole) {
                    window.logged += content.states.num_rows();
                    window.table.add(&content.states)?;
                }
                // Those that do not count are made void with the others.
                window.pieces.push(piece);
            }
        }
        Ok(())
    }
}

impl OpenWindow {
    fn took(&mut self, log: &WindowLog, pieces: Number) {
        let numbers = self.next..self.next + pieces;
        self.pieces.extend(numbers.map(|number| log.own_piece(number)));
        self.next += pieces;
    }
}

/// The first piece of the last whole state of which nothing is missing. Pieces are in order.
fn last_whole(pieces: &[(Piece, Content)]) -> Option<Piece> {
    let is_complete = |(piece, content): &&(Piece, Content)| {
        content.whole.is_some_and(|(first, count)| {
            let there = |number: Number| {
                let wanted = Piece { number, ..*piece };
                pieces.binary_search_by_key(&wanted, |(piece, _)| *piece).is_ok()
            };
            piece.number == first && (first..first + count).all(there)
        })
    };
    pieces.iter().rfind(is_complete).map(|(piece, _)| *piece)
}

/// Whether a piece is part of its window's state, whose last whole state begins with `whole`.
///
/// An owner reads again whatever its predecessor had not committed, so that its whole state takes the place of all that its
/// predecessors wrote, even of what came to the log behind it.
fn counts(piece: Piece, content: &Content, whole: Option<Piece>) -> bool {
    match content.whole {
        Some((first, _)) => {
            let begins = Piece {
                number: first,
                ..piece
            };
            whole == Some(begins)
        }
        None => whole.is_none_or(|whole| piece > whole),
    }
}
