//! The state machine: requests, answers, the stream's word, and what is released. It has no clock and waits for nothing.
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::release::Release;
use super::request::{Answer, Outcome, Request, RequestId, Surveyed, Work};
use super::run::{Listing, Running};
use super::settings::{Settings, SnapshotError, SnapshotProgress, TableChange};
use super::state::{Run, RunKind, SnapshotState};
use super::touch::Touching;
use super::work::{Part, Shape, Survey, TableWork, Whole};
use crate::mysql::schema::Table;
use crate::mysql::stream::LogPosition;

/// The snapshots of a source: the initial one, and those that signals ask for, one after the other.
pub struct Snapshot {
    pub(super) settings: Settings,
    pub(super) state: SnapshotState,
    /// The first run of the state, once it is begun.
    pub(super) running: Option<Running>,
    pub(super) requests: VecDeque<Request>,
    /// Requests that will be answered.
    pub(super) in_flight: HashSet<RequestId>,
    /// Of requests for more of a table: which request began it.
    pub(super) parts: HashMap<RequestId, RequestId>,
    pub(super) last_id: u64,
    /// Numbers touches, from 1.
    pub(super) touches: u64,
    /// There may be something to ask for.
    pub(super) dirty: bool,
    /// No definition of tables was told since the stream stood between two transactions.
    pub(super) at_boundary: bool,
    /// The stream stands before a transaction of which a part is told: nothing is released, and not everything may be asked for.
    pub(super) resuming: bool,
    /// A release is not told yet.
    pub(super) telling: bool,
    /// What is stored is another than before.
    pub(super) revision: u64,
    /// The time before the initial snapshot was waited for.
    pub(super) delayed: bool,
    /// What is waited for instead.
    pub(super) delaying: Option<RequestId>,
}

impl Snapshot {
    /// Goes on behind `state`.
    #[must_use]
    pub fn new(settings: Settings, mut state: SnapshotState) -> Self {
        let untouched = |run: &Run| run.kind == RunKind::Initial && run.begun.is_none();
        state.paused &= state.is_incremental();
        let delayed = settings.config.delay.is_zero() || !state.runs.iter().any(untouched);
        Self {
            settings,
            state,
            running: None,
            requests: VecDeque::new(),
            in_flight: HashSet::new(),
            parts: HashMap::new(),
            last_id: 0,
            touches: 0,
            dirty: true,
            at_boundary: false,
            resuming: false,
            telling: false,
            revision: 0,
            delayed,
            delaying: None,
        }
    }

    /// The stream stands between two transactions, and all that is before is handed over.
    ///
    /// # Panics
    /// While a release is not told.
    pub fn passed(&mut self, position: &LogPosition) {
        assert!(!self.telling, "the release before is told first");
        if let Some(running) = &mut self.running {
            let mut ended = running.pass(position);
            for work in &mut running.tables {
                ended |= work.pass(position);
            }
            if ended {
                self.finish();
            }
        }
        // Before the transaction that ends here, not everything was asked for.
        self.dirty |= std::mem::take(&mut self.resuming);
        self.stands(position);
    }

    /// The stream is about to read a transaction again of which some rows are delivered already, before a restart or by another connection. As
    /// [`Snapshot::passed`], but that nothing is released: what is told already is behind this place. Nor is anything asked for that could be
    /// right at this very place alone, or that was not asked of the source before these rows were told.
    pub fn resumes(&mut self, position: &LogPosition) {
        self.resuming = true;
        self.stands(position);
    }

    fn stands(&mut self, position: &LogPosition) {
        self.at_boundary = true;
        if self.dirty {
            self.dirty = false;
            let position = self.settings.counted(position).into_owned();
            self.open(&position);
        }
    }

    /// Whether the stream has to stand still: no event may be handled before readers have answered, and what is released is told.
    #[must_use]
    pub fn holds(&self) -> bool {
        let Some(running) = &self.running else {
            return self.telling;
        };
        let open = &self.state.runs[0].open;
        self.telling
            || running.tables.iter().zip(open).any(|(work, state)| {
                let unknown = work.is_unknown(self.at_boundary) && state.last.is_some();
                unknown || work.holds(self.settings.window_bytes)
            })
    }

    /// What a reader is to do next. There are never more on their way than there are readers.
    pub fn next_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// Takes changed rows of a table; nothing where nobody wants to know of them.
    pub fn touching(&mut self, table: &Arc<Table>) -> Option<Touching<'_>> {
        let running = self.running.as_mut()?;
        let index = running.tables.iter().position(|work| work.id == table.id)?;
        let work = &mut running.tables[index];
        let (key, indexes) = match &mut work.shape {
            Some(shape) if shape.key.is_some() => (shape.key.clone(), shape.log_indexes(table)),
            _ if matches!(work.survey, Survey::Asked(_)) => (None, None),
            _ => return None,
        };
        Some(Touching {
            work,
            state: &mut self.state.runs[0].open[index],
            key,
            indexes,
            touches: &mut self.touches,
            dirty: &mut self.dirty,
            old: Vec::new(),
            new: Vec::new(),
        })
    }

    /// Tables themselves changed, at this place of the stream.
    pub fn changed(&mut self, change: &TableChange) {
        self.at_boundary = false;
        let Some(mut running) = self.running.take() else {
            return;
        };
        self.dirty = true;
        // Which tables there are is asked again where that was not told, or may be known from before this place.
        let vague = matches!(change, TableChange::Database(_) | TableChange::Everything);
        if vague || matches!(running.listing, Listing::Asked(_)) {
            running.listing = Listing::Wanted;
        }
        let run = &mut self.state.runs[0];
        match change {
            TableChange::Dropped(table) | TableChange::Truncated(table) => {
                if matches!(change, TableChange::Dropped(_)) {
                    running.vacated(table, run, &self.settings);
                }
                if let Some(index) = running.index_of(table) {
                    tracing::info!(%table, "the table was dropped or emptied: its snapshot ends");
                    forget_whole(&running.end(index, run), &mut self.requests, &mut self.last_id);
                }
                self.revision += 1;
            }
            TableChange::Renamed { from, to } => {
                if let Some(ended) = running.renamed((from, to), run, &self.settings) {
                    forget_whole(&ended, &mut self.requests, &mut self.last_id);
                }
                self.revision += 1;
            }
            TableChange::Altered(_) | TableChange::Database(_) | TableChange::Everything => {}
        }
        let affected = running.tables.iter_mut();
        for work in affected.filter(|work| change.touches(&work.id)) {
            forget_whole(work, &mut self.requests, &mut self.last_id);
            work.recall();
        }
        // A survey that the stream has to wait for may need the reader of a table without a key, which waits for the stream.
        for work in &mut running.tables {
            if work.whole.is_some() {
                forget_whole(work, &mut self.requests, &mut self.last_id);
                work.whole = Some(Whole::Waiting);
            }
        }
        // What is left of the run is seen between two transactions alone: the same statement may give it another table.
        self.running = Some(running);
    }

    /// What is on its way is read again: another server answers now, or its log may not be the same.
    pub fn forget_pending(&mut self) {
        self.dirty = true;
        if let Some(running) = &mut self.running {
            // Places of the other server's log mean nothing here.
            running.listing = Listing::Wanted;
            for work in &mut running.tables {
                forget_whole(work, &mut self.requests, &mut self.last_id);
                work.recall();
            }
        }
    }

    /// Where nothing is left that could wait, what is asked for next must not.
    pub(super) fn forget_pause(&mut self) {
        self.state.paused &= self.state.is_incremental();
    }

    /// What is under way ends; what is stored of it stays.
    pub(super) fn drop_running(&mut self) {
        if let Some(running) = self.running.take() {
            for work in &running.tables {
                forget_whole(work, &mut self.requests, &mut self.last_id);
            }
        }
    }

    /// What is to be stored with the records of all releases so far.
    #[must_use]
    pub fn state(&self) -> &SnapshotState {
        &self.state
    }

    /// Grows whenever [`Snapshot::state`] becomes another, be it without any record.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether nothing is left to read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state.runs.is_empty()
    }

    /// How far the current one is.
    #[must_use]
    pub fn progress(&self) -> SnapshotProgress {
        let (Some(running), Some(run)) = (&self.running, self.state.runs.first()) else {
            return SnapshotProgress::default();
        };
        let left = running.left() + run.open.len() as u64;
        SnapshotProgress {
            tables_done: running.tables_total.saturating_sub(left),
            tables: running.tables_total,
            rows_told: run.rows,
            rows: running.rows_total,
        }
    }

    /// A reader answers.
    ///
    /// # Errors
    /// When the snapshot cannot go on.
    pub fn answered(&mut self, answer: Answer) -> Result<(), SnapshotError> {
        let Answer { id, outcome } = answer;
        self.in_flight.remove(&id);
        let began = self.parts.remove(&id).unwrap_or(id);
        self.dirty = true;
        if self.delaying == Some(id) {
            (self.delayed, self.delaying) = (true, None);
            return Ok(());
        }
        if let Outcome::Failed(error @ SnapshotError::Disconnected(_)) = outcome {
            return Err(error);
        }
        let Some(mut running) = self.running.take() else {
            forget_unknown(began, &outcome, &mut self.requests, &mut self.last_id);
            return Ok(());
        };
        let done = self.answer_of(&mut running, (id, began), outcome);
        self.running = Some(running);
        let done = done.or_else(|error| self.refused(error));
        self.finish();
        done
    }

    fn answer_of(
        &mut self,
        running: &mut Running,
        (id, began): (RequestId, RequestId),
        outcome: Outcome,
    ) -> Result<(), SnapshotError> {
        if matches!(running.listing, Listing::Asked(asked) if asked == id) {
            match outcome {
                Outcome::Listed { tables, high } => {
                    running.listed(tables, high, &mut self.state.runs[0], &self.settings);
                }
                Outcome::Failed(error) => return Err(error),
                _ => running.listing = Listing::Wanted,
            }
            return Ok(());
        }
        let index = running.tables.iter().position(|work| work.is_asked(id));
        let Some(index) = index else {
            forget_unknown(began, &outcome, &mut self.requests, &mut self.last_id);
            return Ok(());
        };
        let work = &mut running.tables[index];
        match outcome {
            Outcome::Missing(mark) => work.survey = Survey::Missing(mark),
            Outcome::Surveyed(surveyed) => return self.surveyed(running, index, &surveyed),
            Outcome::Chunk(read) => {
                if !work.is_visible(id, &read.low) {
                    tracing::debug!(table = %work.id, "a chunk was read before all that the stream had was visible: it is read again");
                    work.recall_request(id);
                    return Ok(());
                }
                let wanted = work.rows_max(&self.settings);
                work.arrived(id, *read, wanted);
            }
            Outcome::Begun(mark) => work.begun(id, mark),
            Outcome::Part { rows, last } => work.part(rows, last),
            Outcome::Changed(reason) => return self.surprised(work, id, reason),
            Outcome::Busy(reason) => {
                tracing::warn!(table = %work.id, "a lock cannot be had now, and is tried for again: {reason}");
                work.recall_request(id);
                work.busy = true;
            }
            Outcome::Rested => work.resting = None,
            Outcome::Failed(error) => return Err(error),
            Outcome::Listed { .. } => {}
        }
        Ok(())
    }

    fn surveyed(
        &mut self,
        running: &mut Running,
        index: usize,
        surveyed: &Surveyed,
    ) -> Result<(), SnapshotError> {
        let source = running.source(&surveyed.table.id, &self.settings);
        let selection =
            (self.settings.selector)(&surveyed.table).map_err(|message| SnapshotError::Refused {
                table: surveyed.table.id.clone(),
                message,
            })?;
        let state = &mut self.state.runs[0].open[index];
        let was_keyed = running.tables[index].key().is_some();
        let shape = Shape::new(surveyed, selection, source);
        let rows_max = shape.rows_max(self.settings.config.chunk_rows, self.settings.config.chunk_bytes);
        let work = &mut running.tables[index];
        let known = state.order.clone();
        work.surveyed(surveyed, shape, state, rows_max);
        if work.strayed && work.key().is_some() && (!was_keyed || state.order != known) {
            // The next one sees them, and from now on such rows are known by this key.
            tracing::debug!(table = %work.id, "rows got other keys while its key was not known: it is looked at again");
            work.survey = Survey::Wanted;
        }
        Ok(())
    }

    /// Ends tables and runs of which nothing is left.
    pub(super) fn finish(&mut self) {
        loop {
            let Some(running) = &mut self.running else { return };
            let run = &mut self.state.runs[0];
            let done =
                (0..running.tables.len()).find(|index| running.tables[*index].is_done(&run.open[*index]));
            if let Some(index) = done {
                let ended = running.end(index, run);
                if ended.survey == Survey::Gone {
                    run.vacated(&ended.id);
                    running.listing = Listing::Wanted;
                }
            } else if running.is_done() {
                tracing::info!(rows = run.rows, "a snapshot is done");
                self.state.runs.remove(0);
                self.running = None;
                self.forget_pause();
            } else {
                return;
            }
            self.revision += 1;
            self.dirty = true;
        }
    }

    /// The next rows that are to be told here; those behind them when these were [`Snapshot::told`].
    pub fn next_release(&mut self) -> Option<Release> {
        assert!(!self.telling, "the release before is told first");
        if self.resuming {
            return None;
        }
        loop {
            let running = self.running.as_mut()?;
            let run = &self.state.runs[0];
            let release = Release::next(running, run)?;
            if !release.is_empty() {
                self.telling = true;
                return Some(release);
            }
            self.settle(&release);
        }
    }

    /// All rows of a release are handed over: the state has them.
    pub fn told(&mut self, release: Release) {
        self.telling = false;
        self.settle(&release);
    }

    fn settle(&mut self, release: &Release) {
        self.dirty = true;
        self.revision += 1;
        let Some(running) = &mut self.running else { return };
        let run = &mut self.state.runs[0];
        let Some(index) = running.index_of(&release.table.id) else {
            return;
        };
        run.rows += release.len() as u64;
        let state = &mut run.open[index];
        state.rows += release.len() as u64;
        release.settle(&mut running.tables[index], state);
        self.finish();
    }
}

/// A reader that waits to be asked for more of a table is free.
fn forget(of: RequestId, requests: &mut VecDeque<Request>, last_id: &mut u64) {
    *last_id += 1;
    requests.push_back(Request {
        id: RequestId(*last_id),
        after: LogPosition::at("", 0),
        work: Work::Forget(of),
    });
}

/// What was recalled is answered all the same.
fn forget_unknown(id: RequestId, outcome: &Outcome, requests: &mut VecDeque<Request>, last_id: &mut u64) {
    if let Outcome::Begun(_) | Outcome::Part { last: false, .. } = outcome {
        forget(id, requests, last_id);
    }
}

pub(super) fn forget_whole(work: &TableWork, requests: &mut VecDeque<Request>, last_id: &mut u64) {
    // Where a part is asked for, its answer comes first.
    if let Some(Whole::Begun { id, part, .. }) = &work.whole
        && !matches!(part, Part::Asked(_))
        && !matches!(part, Part::Arrived { last: true, .. })
    {
        forget(*id, requests, last_id);
    }
}
