//! The open windows of a task: a table each.
//!
//! A window is in memory as a whole or not at all. When there are more than fit, those that had no rows for longest are dropped, and read
//! from the local store again when rows come for them or they close. What the running epoch touched stays.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, make_comparator};
use arrow::compute::{SortOptions, filter_record_batch};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result as PlanResult};

use super::pieces::{Number, Piece, counts, last_whole};
use super::window_log::{Content, Entry, window_prefix};
use super::{Owner, ResidentTable, Share, StateError, WindowLog};
use crate::aggregate::AggregateSpec;
use crate::format::FormatError;
use crate::rows::{EventTime, Rows};
use crate::sink::RecordBuffer;
use crate::store::LocalStore;

/// From so many records on, a window's log may be replaced by all that the window holds.
const PIECES_MAX: usize = 32;

/// Windows by their start.
pub(crate) struct WindowStore {
    spec: Arc<AggregateSpec>,
    log: WindowLog,
    windows: BTreeMap<EventTime, OpenWindow>,
    share: Share,
    /// Where windows are that memory has no room for.
    store: Option<LocalStore>,
    /// Counts up.
    epoch: u64,
    /// Records of closed windows: they are made void an epoch later, when it is certain that the window's results count.
    closed: Vec<(EventTime, Vec<Piece>)>,
    /// What the changelog said so far; without content where that is too much.
    restoring: BTreeMap<(EventTime, Piece), Option<Content>>,
    restoring_bytes: usize,
}

#[derive(Default)]
struct OpenWindow {
    /// None if it is in the local store alone.
    table: Option<ResidentTable>,
    /// The last epoch with rows for it.
    touched: u64,
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
    State(#[from] StateError),
    #[error(transparent)]
    Merge(#[from] DataFusionError),
}

impl WindowStore {
    pub(crate) fn new(spec: Arc<AggregateSpec>, log: WindowLog, share: Share) -> Self {
        Self {
            spec,
            log,
            windows: BTreeMap::new(),
            share,
            store: None,
            epoch: 1,
            closed: Vec::new(),
            restoring: BTreeMap::new(),
            restoring_bytes: 0,
        }
    }

    /// The local store of the changelog.
    pub(crate) fn attach(&mut self, store: &LocalStore) {
        self.store = Some(store.clone());
    }

    /// Whether an epoch that takes `bytes` should end.
    pub(crate) fn is_full_with(&self, bytes: usize) -> bool {
        self.store.is_some() && self.share.is_full_with(bytes)
    }

    /// Somebody else may have held the state since it was last worked on.
    pub(crate) fn belongs_to(&mut self, owner: Owner) {
        self.log.belongs_to(owner);
    }

    /// The windows that are open, the earliest first.
    pub(crate) fn starts(&self) -> impl Iterator<Item = EventTime> {
        self.windows.keys().copied()
    }

    /// Keys and bytes in memory.
    pub(crate) fn size(&self) -> (usize, usize) {
        let tables = self.windows.values().filter_map(|window| window.table.as_ref());
        let sizes = tables.map(|table| (table.len(), table.size_bytes()));
        sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
    }

    /// Adds the delta of an epoch (each key once) to a window.
    pub(crate) fn add(&mut self, start: EventTime, delta: &RecordBatch) -> Result<(), WindowError> {
        self.table(start)?.add(delta)?;
        self.note(start, delta)
    }

    /// Adds the delta of an epoch (each key once) to a window; gives the new results of the keys in it.
    pub(crate) fn update(&mut self, start: EventTime, delta: &RecordBatch) -> Result<Rows, WindowError> {
        let results = self.table(start)?.update(delta)?.results;
        self.note(start, delta)?;
        Ok(results)
    }

    /// Closes a window; gives its results, if it is open.
    pub(crate) fn close(&mut self, start: EventTime) -> Result<Option<Rows>, WindowError> {
        if !self.windows.contains_key(&start) {
            return Ok(None);
        }
        let table = self.table(start)?;
        let states = table.take()?;
        let results = states.map(|states| table.results(&states)).transpose()?;
        self.discard(start);
        Ok(results)
    }

    /// Closes a window whose results are known.
    pub(crate) fn discard(&mut self, start: EventTime) {
        if let Some(window) = self.windows.remove(&start) {
            self.closed.push((start, window.pieces));
        }
    }

    /// Forgets the windows for which `closed` holds: their results were given before.
    pub(crate) fn forget(&mut self, closed: impl Fn(EventTime) -> bool) {
        for start in self.starts().filter(|start| closed(*start)).collect::<Vec<_>>() {
            self.discard(start);
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
        self.epoch += 1;
        for (start, pieces) in self.closed.drain(..) {
            pieces.into_iter().for_each(|piece| self.log.delete(start, piece));
        }
    }

    /// The table of a window, which is open from now on if it was not.
    fn table(&mut self, start: EventTime) -> Result<&mut ResidentTable, WindowError> {
        self.make_room(start);
        let before = match self.windows.get(&start) {
            Some(OpenWindow { table: None, .. }) => Some(self.read(start, None)?),
            Some(_) => None,
            None => Some((ResidentTable::unbounded(Arc::clone(&self.spec))?, 0)),
        };
        let window = self.windows.entry(start).or_default();
        window.touched = self.epoch;
        if let Some((table, logged)) = before {
            window.logged = logged;
            window.table = Some(table);
        }
        Ok(window.table.as_mut().expect("it was there, or was just read"))
    }

    /// The results of a window, of one key (which ends with its start) or all; the window stays what it is, in memory or not.
    pub(crate) fn read_only(
        &mut self,
        start: EventTime,
        key: Option<&[ArrayRef]>,
    ) -> Result<Option<Rows>, WindowError> {
        let mut read = match self.windows.get(&start) {
            None => return Ok(None),
            Some(OpenWindow { table: None, .. }) => Some(self.read(start, key)?.0),
            Some(_) => None,
        };
        let window = self
            .windows
            .get_mut(&start)
            .and_then(|window| window.table.as_mut());
        let Some(table) = read.as_mut().or(window) else {
            return Ok(None);
        };
        let states = match key {
            Some(key) => Some(table.states_of(key)?),
            None => table.all()?,
        };
        let states = states.filter(|states| states.num_rows() > 0);
        Ok(states.map(|states| table.results(&states)).transpose()?)
    }

    /// Drops windows that the running epoch has not touched, as long as there are too many in memory.
    fn make_room(&mut self, wanted: EventTime) {
        // Without a limit, not even the sizes of all windows are added up.
        let limited = self.store.is_some() && self.share.bytes().is_some();
        while limited && self.share.is_full(self.size().1 / 2) {
            let idle = self.windows.iter_mut().filter(|(start, window)| {
                **start != wanted && window.table.is_some() && window.touched < self.epoch
            });
            match idle.min_by_key(|(_, window)| window.touched) {
                Some((_, window)) => window.table = None,
                None => return,
            }
        }
    }

    /// What the local store has of a window, of one key or all, and how many rows that is in the log.
    pub(super) fn read(
        &mut self,
        start: EventTime,
        key: Option<&[ArrayRef]>,
    ) -> Result<(ResidentTable, usize), WindowError> {
        let (mut pieces, mut failure) = (BTreeMap::new(), None);
        if let Some(store) = &self.store {
            let log = &mut self.log;
            let prefix = window_prefix(start);
            let scanned = store.scan(&[&prefix], &mut |key_of_record, value| {
                match piece_of(log, key_of_record, value, key) {
                    Ok(piece) => pieces.extend(piece),
                    Err(error) => drop(failure.get_or_insert(error)),
                }
                true
            });
            scanned.map_err(StateError::from)?;
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(table_of(&self.spec, &pieces.into_iter().collect::<Vec<_>>())?),
        }
    }

    /// Writes what was added to the log, or all that the window holds, if that is less than what the log has.
    fn note(&mut self, start: EventTime, delta: &RecordBatch) -> Result<(), WindowError> {
        let Some(window) = self.windows.get_mut(&start) else {
            return Ok(());
        };
        if let Some(table) = &mut window.table
            && window.pieces.len() >= PIECES_MAX
            && window.logged > 2 * table.len()
            && let Some(states) = table.take()?
        {
            table.load(&states)?;
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
            let Some(content) = content else {
                self.restoring.remove(&(start, piece));
                return Ok(());
            };
            self.restoring_bytes += value.map_or(0, <[u8]>::len);
            let full = self.store.is_some() && self.share.is_full(self.restoring_bytes);
            if full {
                // All of it is in the store; which pieces there are is needed to make them void.
                self.restoring.values_mut().for_each(|content| *content = None);
                self.restoring_bytes = 0;
            }
            self.restoring.insert((start, piece), (!full).then_some(content));
        }
        Ok(())
    }

    /// The changelog ends.
    pub(crate) fn end_restore(&mut self) -> Result<(), WindowError> {
        let mut windows: BTreeMap<EventTime, Vec<(Piece, Option<Content>)>> = BTreeMap::new();
        for ((start, piece), content) in std::mem::take(&mut self.restoring) {
            windows.entry(start).or_default().push((piece, content));
        }
        for (start, pieces) in windows {
            let mut window = OpenWindow {
                // Those that do not count are made void with the others.
                pieces: pieces.iter().map(|(piece, _)| *piece).collect(),
                ..OpenWindow::default()
            };
            let known = pieces.into_iter().map(|(piece, content)| Some((piece, content?)));
            if let Some(pieces) = known.collect::<Option<Vec<_>>>() {
                let (table, logged) = table_of(&self.spec, &pieces)?;
                (window.table, window.logged) = (Some(table), logged);
            }
            self.windows.insert(start, window);
        }
        match &self.store {
            Some(store) => Ok(self.log.check_meaning(store)?),
            None => Ok(()),
        }
    }
}

impl OpenWindow {
    fn took(&mut self, log: &WindowLog, pieces: Number) {
        let numbers = self.next..self.next + pieces;
        self.pieces.extend(numbers.map(|number| log.own_piece(number)));
        self.next += pieces;
    }
}

/// A record of a window that the local store has, with its rows of one key or all.
fn piece_of(
    log: &mut WindowLog,
    record: &[u8],
    value: &[u8],
    key: Option<&[ArrayRef]>,
) -> Result<Option<(Piece, Content)>, WindowError> {
    let Entry::Piece {
        piece,
        content: Some(mut content),
        ..
    } = log.decode_again(record, value)?
    else {
        return Ok(None);
    };
    if let Some(key) = key {
        // All keys of a window may be many, and one is asked for.
        content.states = rows_of(&content.states, key)?;
    }
    Ok(Some((piece, content)))
}

/// The rows of a key, which are its first columns.
fn rows_of(states: &RecordBatch, key: &[ArrayRef]) -> Result<RecordBatch, WindowError> {
    let columns = key.iter().zip(states.columns());
    let same = columns.map(|(key, column)| make_comparator(column, key, SortOptions::default()));
    let same = same
        .collect::<Result<Vec<_>, ArrowError>>()
        .map_err(DataFusionError::from)?;
    let is_its = |row| same.iter().all(|same| same(row, 0).is_eq());
    let rows: BooleanArray = (0..states.num_rows()).map(|row| Some(is_its(row))).collect();
    Ok(filter_record_batch(states, &rows).map_err(DataFusionError::from)?)
}

/// What the pieces of a window, in order, are together, and how many rows are in those that count.
fn table_of(spec: &Arc<AggregateSpec>, pieces: &[(Piece, Content)]) -> PlanResult<(ResidentTable, usize)> {
    let (mut table, mut logged) = (ResidentTable::unbounded(Arc::clone(spec))?, 0);
    let whole = last_whole(pieces);
    for (piece, content) in pieces {
        if counts(*piece, content, whole) {
            logged += content.states.num_rows();
            table.add(&content.states)?;
        }
    }
    Ok((table, logged))
}
