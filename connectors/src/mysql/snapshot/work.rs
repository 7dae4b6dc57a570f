//! A table that is being read: its chunks, in the order of its key, and what changes do to them.
use std::collections::VecDeque;
use std::sync::Arc;

use super::chunk::{Chunk, Rule, Stage, Touched};
use super::key::{KeyColumns, Place};
use super::mark::Mark;
use super::request::{ChunkRead, RequestId, Surveyed};
use super::rows::Rows;
use super::select::Source;
use super::settings::{Selection, Settings};
use super::state::TableState;
use crate::mysql::config::SnapshotConfig;
use crate::mysql::schema::{Table, TableId};
use crate::mysql::stream::LogPosition;

/// By how much the width of ranges changes at most from one chunk to the next.
const WIDENING_MAX: i128 = 1 << 20;
/// By how much they widen at least where no row is found.
const WIDENING_EMPTY: i128 = 16;

/// A table that is being read.
#[derive(Debug)]
pub(super) struct TableWork {
    pub(super) id: TableId,
    pub(super) survey: Survey,
    /// What it is; an old description is kept while it is surveyed again.
    pub(super) shape: Option<Shape>,
    /// Ranges that are not told yet, in the order of the key.
    pub(super) chunks: VecDeque<Chunk>,
    /// Rows that are read again, wherever they stand.
    pub(super) keyed: Option<Chunk>,
    /// For a table without a key.
    pub(super) whole: Option<Whole>,
    /// What was found when it was surveyed may be ahead of the stream: before this mark, the table is not done.
    end: Option<Mark>,
    pub(super) touched: Touched,
    /// It waits after a lock could not be had.
    pub(super) resting: Option<RequestId>,
    /// A lock could not be had: it is to wait.
    pub(super) busy: bool,
    /// Since it was asked what it is, a row got another key, and not all of it was told: it may be in no range.
    pub(super) strayed: bool,
    /// How often in a row it was not what it had been surveyed as.
    pub(super) surprises: u32,
}

/// Whether it is known what a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Survey {
    Wanted,
    Asked(RequestId),
    Done,
    /// It is not there, as the stream will tell before this mark.
    Missing(Mark),
    /// It is not there, and the stream had nothing to tell.
    Gone,
}

/// Where rows of the log have the columns of a key.
#[derive(Clone, Debug)]
pub(super) struct InLog {
    /// Those by which rows are known.
    pub(super) identity: Arc<[usize]>,
    /// Those that stand before them in the order; nothing where the log has not all of them.
    pub(super) leading: Option<Arc<[usize]>>,
}

/// A table as the log has it, and where its rows have the key's columns, if they do.
type KeyInLog = (Arc<Table>, Option<InLog>);

/// What a table is, and how it is read.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) table: Arc<Table>,
    pub(super) key: Option<Arc<KeyColumns>>,
    pub(super) selection: Selection,
    pub(super) source: Source,
    pub(super) transactional: bool,
    /// How many bytes a row has, about.
    row_bytes: usize,
    /// How many numbers a range has, where keys are numbers.
    width: i128,
    /// Where the log's rows have the key.
    log: Option<KeyInLog>,
}

/// All rows of a table without a key.
#[derive(Debug)]
pub(super) enum Whole {
    Waiting,
    Asked(RequestId),
    /// Its rows are those at this mark.
    Begun {
        id: RequestId,
        mark: Mark,
        part: Part,
        /// The stream stands at the mark.
        ready: bool,
    },
}

/// Rows of a table without a key that are next.
#[derive(Debug)]
pub(super) enum Part {
    Wanted,
    Asked(RequestId),
    Arrived { rows: Rows, last: bool },
    Telling { last: bool },
}

impl Shape {
    pub(super) fn new(surveyed: &Surveyed, selection: Selection, source: Source) -> Self {
        Self {
            table: Arc::clone(&surveyed.table),
            key: surveyed.key.clone().map(Arc::new),
            selection,
            source,
            transactional: surveyed.transactional,
            row_bytes: surveyed.row_bytes,
            width: 1,
            log: None,
        }
    }

    /// How many rows to ask for.
    pub(super) fn rows_max(&self, chunk_rows: usize, chunk_bytes: usize) -> usize {
        (chunk_bytes / self.row_bytes.max(1)).clamp(1, chunk_rows.max(1))
    }

    /// Where the columns of the key are in rows of the log.
    pub(super) fn log_indexes(&mut self, table: &Arc<Table>) -> Option<InLog> {
        match &self.log {
            Some((known, indexes)) if Arc::ptr_eq(known, table) => indexes.clone(),
            _ => {
                let indexes = self.key.as_ref().and_then(|key| {
                    Some(InLog {
                        identity: key.indexes_in(table)?.into(),
                        leading: key.leading_in(table).map(Into::into),
                    })
                });
                self.log = Some((Arc::clone(table), indexes.clone()));
                indexes
            }
        }
    }
}

impl TableWork {
    pub(super) fn new(id: TableId) -> Self {
        Self {
            id,
            survey: Survey::Wanted,
            shape: None,
            chunks: VecDeque::new(),
            keyed: None,
            whole: None,
            end: None,
            touched: Touched::default(),
            resting: None,
            busy: false,
            strayed: false,
            surprises: 0,
        }
    }

    /// Its key, as far as it is known.
    pub(super) fn key(&self) -> Option<&Arc<KeyColumns>> {
        self.shape.as_ref()?.key.as_ref()
    }

    /// The cells of a row that are told.
    pub(super) fn cells(&self) -> usize {
        self.shape.as_ref().map_or(0, |shape| shape.selection.cells)
    }

    pub(super) fn each_chunk(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().chain(&self.keyed)
    }

    pub(super) fn each_chunk_mut(&mut self) -> impl Iterator<Item = &mut Chunk> {
        self.chunks.iter_mut().chain(&mut self.keyed)
    }

    /// Chunks that are being read, or were and are not told.
    pub(super) fn outstanding(&self) -> usize {
        let chunks = self.each_chunk().filter(|chunk| !chunk.is_waiting()).count();
        chunks + usize::from(matches!(self.whole, Some(Whole::Asked(_) | Whole::Begun { .. })))
    }

    /// Whether nothing is left to read.
    pub(super) fn is_done(&self, state: &TableState) -> bool {
        if self.survey == Survey::Gone {
            return true;
        }
        self.survey == Survey::Done
            && self.chunks.is_empty()
            && self.keyed.is_none()
            && state.again.is_empty()
            && self.whole.is_none()
            && self.end.is_none()
    }

    /// It is known what the table is: its ranges are laid out behind what was told.
    pub(super) fn surveyed(
        &mut self,
        surveyed: &Surveyed,
        shape: Shape,
        state: &mut TableState,
        rows_max: usize,
    ) {
        self.survey = Survey::Done;
        self.end = Some(surveyed.high.clone());
        // What is being told at this moment is told.
        self.chunks.retain(Chunk::is_telling);
        self.keyed.take_if(|chunk| !chunk.is_telling());
        self.whole = None;
        self.touched.clear();
        let Some(key) = &shape.key else {
            state.begin_again();
            self.whole = Some(Whole::Waiting);
            self.shape = Some(shape);
            return;
        };
        let order = key.signature();
        let sound = |place: &Place| place.len() == key.len();
        if state.order != order || !state.last.as_ref().is_none_or(sound) {
            if state.last.is_some() || !state.again.is_empty() {
                tracing::warn!(table = %self.id, "its key is another than before: it is read from the first row on");
            }
            state.begin_again();
            state.order = order;
        }
        if let Some((first, last)) = &surveyed.range {
            let telling = self.chunks.front().and_then(|chunk| match &chunk.rule {
                Rule::Range { up_to, .. } => Some(up_to.clone()),
                Rule::Keys(_) => None,
            });
            let told = telling.or_else(|| state.last.clone());
            let numbers = key.as_integer(first).zip(key.as_integer(last));
            // What comes before the first row from now on is told by changes.
            let told = told.or_else(|| numbers.map(|(first, _)| vec![(first - 1).to_string()]));
            let behind = told.as_ref().and_then(|place| key.as_integer(place));
            let numbers = behind.zip(numbers).map(|(behind, (_, last))| (behind, last));
            let is_left = numbers.is_none_or(|(after, last)| after < last);
            if is_left {
                self.chunks.push_back(Chunk::range(told, last.clone(), numbers));
            }
        }
        let width = rows_max as i128;
        self.shape = Some(Shape { width, ..shape });
    }

    /// Prepares the next range to be asked for: what is behind it, of a table whose keys are numbers, is left to other readers.
    pub(super) fn split(&mut self, index: usize) {
        let Some(shape) = &self.shape else { return };
        let chunk = &mut self.chunks[index];
        let (Some((after, up_to)), Rule::Range { up_to: end, .. }) = (chunk.numbers, &mut chunk.rule) else {
            return;
        };
        let middle = after.saturating_add(shape.width);
        if chunk.tries > 0 || middle >= up_to {
            return;
        }
        let rest = std::mem::replace(end, vec![middle.to_string()]);
        chunk.numbers = Some((after, middle));
        let rest = Chunk::range(Some(vec![middle.to_string()]), rest, Some((middle, up_to)));
        self.chunks.insert(index + 1, rest);
    }

    /// Rows of a chunk came. Where the range has more of them, these are a chunk, and what is left is another.
    pub(super) fn arrived(&mut self, id: RequestId, mut read: ChunkRead, rows_wanted: usize) {
        let Some(shape) = &mut self.shape else { return };
        let Some(key) = &shape.key else { return };
        let cells = shape.selection.cells;
        let index = self.chunks.iter().position(|chunk| chunk.is_asked_as(id));
        let chunk = match index {
            Some(index) => &mut self.chunks[index],
            None => match &mut self.keyed {
                Some(chunk) if chunk.is_asked_as(id) => chunk,
                _ => return,
            },
        };
        let Stage::Asked { opened, .. } = chunk.stage else {
            return;
        };
        self.surprises = 0;
        if !read.rows.is_empty() {
            shape.row_bytes = (shape.row_bytes + 3 * (read.rows.size() / read.rows.len())) / 4;
        }
        let asked = chunk.numbers;
        let rest = if read.ended {
            None
        } else {
            cut(chunk, &read.rows, key, cells)
        };
        if let (Some(asked), true) = (asked, index.is_some()) {
            shape.width = next_width(asked, chunk.numbers, read.rows.len(), rows_wanted);
        }
        read.ended = true;
        if !chunk.arrive(read, opened, &self.touched, key, cells) {
            tracing::debug!(table = %self.id, tries = chunk.tries, "changes did not tell all of a row: its chunk is read again");
        }
        if let (Some(index), Some(rest)) = (index, rest) {
            self.chunks.insert(index + 1, rest);
        }
        if !self.each_chunk().any(Chunk::is_asked) {
            self.touched.clear();
        }
    }

    /// Everything that is on its way is read again: the table may be another. What is stored stays.
    pub(super) fn recall(&mut self) {
        self.survey = Survey::Wanted;
        self.each_chunk_mut().for_each(Chunk::recall);
        self.touched.clear();
        if self.whole.is_some() {
            self.whole = Some(Whole::Waiting);
        }
    }

    /// The stream stands here, between two transactions. Whether it may be at its end.
    pub(super) fn pass(&mut self, position: &LogPosition) -> bool {
        if let Survey::Missing(mark) = &self.survey
            && mark.is_passed_by(position)
        {
            tracing::info!(table = %self.id, "the table is not there any more: its snapshot ends");
            self.survey = Survey::Gone;
        }
        self.each_chunk_mut().for_each(|chunk| {
            chunk.pass(position);
        });
        if let Some(Whole::Begun { mark, ready, .. }) = &mut self.whole {
            *ready = *ready || mark.is_passed_by(position);
        }
        let ended = self.end.take_if(|mark| mark.is_passed_by(position));
        ended.is_some() || self.survey == Survey::Gone
    }

    /// Whether this is the number of a request for it.
    pub(super) fn is_asked(&self, id: RequestId) -> bool {
        let whole = match &self.whole {
            Some(Whole::Asked(asked)) => *asked == id,
            Some(Whole::Begun {
                part: Part::Asked(asked),
                ..
            }) => *asked == id,
            _ => false,
        };
        whole
            || self.survey == Survey::Asked(id)
            || self.resting == Some(id)
            || self.each_chunk().any(|chunk| chunk.is_asked_as(id))
    }

    /// Whether all that the stream had when a chunk was asked for was visible to it.
    pub(super) fn is_visible(&self, id: RequestId, low: &Mark) -> bool {
        let chunk = self.each_chunk().find(|chunk| chunk.is_asked_as(id));
        match chunk.map(|chunk| &chunk.stage) {
            Some(Stage::Asked { after, .. }) => low.covers(after),
            _ => true,
        }
    }

    /// A request came to nothing.
    pub(super) fn recall_request(&mut self, id: RequestId) {
        if let Some(chunk) = self.each_chunk_mut().find(|chunk| chunk.is_asked_as(id)) {
            chunk.recall();
        }
        if self.survey == Survey::Asked(id) {
            self.survey = Survey::Wanted;
        }
        if matches!(&self.whole, Some(Whole::Asked(_) | Whole::Begun { .. })) {
            self.whole = Some(Whole::Waiting);
        }
    }

    /// How many rows to ask for.
    pub(super) fn rows_max(&self, settings: &Settings) -> usize {
        let SnapshotConfig {
            chunk_rows,
            chunk_bytes,
            ..
        } = settings.config;
        self.shape
            .as_ref()
            .map_or(1, |shape| shape.rows_max(chunk_rows, chunk_bytes))
    }

    /// Whether it was never found out what it is: changes of its rows mean nothing as yet. It can be asked for between two transactions alone.
    pub(super) fn is_unknown(&self, at_boundary: bool) -> bool {
        self.shape.is_none()
            && match self.survey {
                Survey::Wanted => at_boundary,
                Survey::Asked(_) => true,
                Survey::Done | Survey::Missing(_) | Survey::Gone => false,
            }
    }

    /// Its rows are those at `mark`.
    pub(super) fn begun(&mut self, id: RequestId, mark: Mark) {
        self.whole = Some(Whole::Begun {
            id,
            mark,
            part: Part::Wanted,
            ready: false,
        });
    }

    /// The next of them are there.
    pub(super) fn part(&mut self, rows: Rows, last: bool) {
        if let Some(Whole::Begun { part, .. }) = &mut self.whole {
            *part = Part::Arrived { rows, last };
        }
    }

    /// Where more of them are to be asked for.
    pub(super) fn wants_part(&mut self) -> Option<(RequestId, &mut Part)> {
        match &mut self.whole {
            Some(Whole::Begun {
                id,
                part: part @ Part::Wanted,
                ..
            }) => Some((*id, part)),
            _ => None,
        }
    }

    /// Whether a reader holds it without being asked for anything.
    pub(super) fn holds_reader(&self) -> bool {
        match &self.whole {
            Some(Whole::Begun { part, .. }) => match part {
                Part::Wanted | Part::Asked(_) => false,
                Part::Arrived { last, .. } | Part::Telling { last } => !last,
            },
            _ => false,
        }
    }

    /// Whether rows are on their way that are told at one place of the stream exactly.
    pub(super) fn is_exact(&self) -> bool {
        let locking = |chunk: &Chunk| chunk.is_locking() && !chunk.is_waiting();
        self.each_chunk().any(locking) || matches!(self.whole, Some(Whole::Asked(_) | Whole::Begun { .. }))
    }

    /// Whether the stream has to stand still.
    pub(super) fn holds(&self, window_bytes: usize) -> bool {
        let whole = match &self.whole {
            // Where the table is read is known only with the answer.
            Some(Whole::Asked(_)) => true,
            Some(Whole::Begun { ready, .. }) => *ready,
            _ => false,
        };
        let full = self.touched.bytes() > window_bytes;
        whole
            || self.each_chunk().any(|chunk| match &chunk.stage {
                Stage::Asked { .. } => full || chunk.is_locking(),
                Stage::Arrived(arrived) => arrived.ready && arrived.is_exact(),
                Stage::Waiting | Stage::Telling => false,
            })
    }
}

/// The chunk ends with the last of these rows; what is behind it in its range, if there is anything.
fn cut(chunk: &mut Chunk, rows: &Rows, key: &KeyColumns, cells: usize) -> Option<Chunk> {
    let Rule::Range { up_to, .. } = &mut chunk.rule else {
        return None;
    };
    let mut cell = Vec::new();
    rows.row(rows.len().checked_sub(1)?, cells..rows.width(), &mut cell);
    let last = key.place(&cell);
    if last == *up_to {
        return None;
    }
    let number = key.as_integer(&last);
    let (own, rest) = match (chunk.numbers, number) {
        (Some((after, end)), Some(number)) => (Some((after, number)), Some((number, end))),
        _ => (None, None),
    };
    chunk.numbers = own;
    let end = std::mem::replace(up_to, last.clone());
    Some(Chunk::range(Some(last), end, rest))
}

/// How many numbers the next range gets, after one in which so many rows were found where so many were wanted.
fn next_width(asked: (i128, i128), read: Option<(i128, i128)>, found: usize, wanted: usize) -> i128 {
    let (after, up_to) = read.unwrap_or(asked);
    let span = up_to.saturating_sub(after).max(1);
    let wanted = wanted.max(1) as i128;
    let ideal = match found {
        // How far it is to the next row is not known.
        0 => span.saturating_mul(WIDENING_EMPTY).saturating_mul(wanted),
        found => span.saturating_mul(wanted) / found as i128,
    };
    ideal.clamp(1, span.saturating_mul(WIDENING_MAX))
}
