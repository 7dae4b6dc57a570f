//! What is asked for next.
use super::chunk::{Chunk, Rule, Stage};
use super::machine::Snapshot;
use super::request::{ChunkWork, Request, RequestId, Work};
use super::run::{Listing, Running};
use super::state::{Run, RunKind, TableState};
use super::work::{Part, Survey, TableWork, Whole};
use crate::mysql::stream::LogPosition;

/// How long a table waits of which a lock could not be had.
const REST: std::time::Duration = std::time::Duration::from_secs(1);

impl Snapshot {
    /// Asks for whatever readers are free for. The stream stands at `position`, between two transactions: only here may a window
    /// begin.
    pub(super) fn open(&mut self, position: &LogPosition) {
        if !self.begin_run() || self.resuming && self.is_new() {
            return;
        }
        if !self.delayed {
            if self.delaying.is_none() {
                self.delaying = Some(self.ask(position, Work::Rest(self.settings.config.delay)));
            }
            return;
        }
        let Some(mut running) = self.running.take() else {
            return;
        };
        let mut run = self.state.runs.remove(0);
        while self.in_flight.len() + held(&running) < self.readers()
            && self.open_one(&mut running, &mut run, position)
        {}
        self.state.runs.insert(0, run);
        self.running = Some(running);
        self.finish();
    }

    /// Whether there is a run to go on with.
    fn begin_run(&mut self) -> bool {
        if self.running.is_none()
            && let Some(run) = self.state.runs.first_mut()
        {
            let mut running = Running::new(run);
            // What is not captured any more is not read to its end.
            running.leave_out(Vec::new(), run, &self.settings);
            self.running = Some(running);
        }
        self.running.is_some()
    }

    /// Whether a signal asked for the current one, and nothing of it is begun. It may have come in the midst of the transaction that is read again:
    /// what was told of that before counts for nothing.
    fn is_new(&self) -> bool {
        let new = |run: &Run| run.kind != RunKind::Initial && run.begun.is_none();
        self.state.runs.first().is_some_and(new)
    }

    fn readers(&self) -> usize {
        self.settings.config.readers.max(1)
    }

    pub(super) fn ask(&mut self, position: &LogPosition, work: Work) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        self.in_flight.insert(id);
        self.requests.push_back(Request {
            id,
            after: position.clone(),
            work,
        });
        id
    }

    /// Asks for one thing more; whether there was any.
    fn open_one(&mut self, running: &mut Running, run: &mut Run, position: &LogPosition) -> bool {
        // Parts of a table for which the stream stands still come first, and what it waits for.
        let parts = running.tables.iter_mut().find_map(TableWork::wants_part);
        if let Some((of, part)) = parts {
            let id = self.ask(position, Work::More(of));
            self.parts.insert(id, of);
            *part = Part::Asked(id);
            return true;
        }
        if self.state.paused && matches!(run.kind, RunKind::Incremental(_)) {
            return self.survey_paused(running, run, position);
        }
        if matches!(running.listing, Listing::Wanted) {
            running.listing = Listing::Asked(self.ask(position, Work::List));
            return true;
        }
        if let Some(work) = running.tables.iter_mut().find(|work| work.busy) {
            work.busy = false;
            work.resting = Some(self.ask(position, Work::Rest(REST)));
            return true;
        }
        let wanted = |work: &&mut TableWork| work.survey == Survey::Wanted && work.resting.is_none();
        if let Some(work) = running.tables.iter_mut().find(wanted) {
            self.survey(work, run, position);
            return true;
        }
        let outstanding: usize = running.tables.iter().map(TableWork::outstanding).sum();
        if outstanding >= self.readers() {
            return false;
        }
        self.open_rows(running, run, position)
    }

    /// Of a table that waits, changes have to be understood of the rows that are told: whether there was one to ask for.
    fn survey_paused(&mut self, running: &mut Running, run: &Run, position: &LogPosition) -> bool {
        let is_unknown = |(work, state): &(&mut TableWork, &TableState)| {
            work.survey == Survey::Wanted && work.shape.is_none() && state.last.is_some()
        };
        let Some((work, _)) = running.tables.iter_mut().zip(&run.open).find(is_unknown) else {
            return false;
        };
        self.survey(work, run, position);
        true
    }

    fn survey(&mut self, work: &mut TableWork, run: &Run, position: &LogPosition) {
        let survey = Work::Survey {
            table: work.id.clone(),
            surrogate: surrogate(run),
        };
        work.survey = Survey::Asked(self.ask(position, survey));
        work.strayed = false;
    }

    /// Asks for rows: first of tables of which nothing is on its way, then of a table more, then of whichever there are.
    fn open_rows(&mut self, running: &mut Running, run: &mut Run, position: &LogPosition) -> bool {
        // One at a time of those that the stream stands still for; and none where it does not: before a transaction that is told in part.
        let exact = self.resuming || running.tables.iter().any(TableWork::is_exact);
        for index in 0..running.tables.len() {
            if running.tables[index].outstanding() == 0
                && self.open_chunk(
                    &mut running.tables[index],
                    &run.open[index].again,
                    exact,
                    position,
                )
            {
                return true;
            }
        }
        if running.tables.len() < self.readers() && running.begin_next(run) {
            self.revision += 1;
            return true;
        }
        for index in 0..running.tables.len() {
            if self.open_chunk(
                &mut running.tables[index],
                &run.open[index].again,
                exact,
                position,
            ) {
                return true;
            }
        }
        false
    }

    /// Asks for a table's next rows; whether there are any to ask for.
    fn open_chunk(
        &mut self,
        work: &mut TableWork,
        again: &[Vec<String>],
        exact: bool,
        position: &LogPosition,
    ) -> bool {
        if work.survey != Survey::Done || work.resting.is_some() || work.busy {
            return false;
        }
        if let Some(Whole::Waiting) = work.whole {
            if exact {
                return false;
            }
            let Some(statement) = self.whole_work(work) else {
                return false;
            };
            work.whole = Some(Whole::Asked(self.ask(position, Work::Whole(statement))));
            return true;
        }
        if work.keyed.is_none() && !again.is_empty() {
            work.keyed = Some(Chunk::keys(again.to_vec()));
        }
        if let Some(chunk) = work
            .keyed
            .take_if(|chunk| chunk.is_waiting() && !(exact && chunk.is_locking()))
        {
            let chunk = self.ask_chunk(work, chunk, position);
            work.keyed = Some(chunk);
            return true;
        }
        let waiting = work.chunks.iter().position(Chunk::is_waiting);
        let Some(index) = waiting.filter(|index| !(exact && work.chunks[*index].is_locking())) else {
            return false;
        };
        if self.readers() > 1 {
            work.split(index);
        }
        let chunk = work.chunks.remove(index).expect("it was found");
        let chunk = self.ask_chunk(work, chunk, position);
        work.chunks.insert(index, chunk);
        true
    }

    fn ask_chunk(&mut self, work: &TableWork, mut chunk: Chunk, position: &LogPosition) -> Chunk {
        let (Some(shape), config) = (&work.shape, &self.settings.config) else {
            return chunk;
        };
        let Some(key) = &shape.key else { return chunk };
        // Fewer rows of which changes do not tell all are touched in a shorter time.
        let rows_max = shape.rows_max(config.chunk_rows, config.chunk_bytes);
        let rows_max = match &chunk.rule {
            Rule::Range { .. } => (rows_max >> (2 * chunk.tries)).max(1),
            Rule::Keys(keys) => keys.len() + 1,
        };
        let statement = ChunkWork {
            table: work.id.clone(),
            sql: shape.source.chunk(&shape.selection, key, &chunk.rule, rows_max),
            width: shape.selection.cells + key.len(),
            rows_max,
            bytes_max: match &chunk.rule {
                Rule::Range { .. } => config.chunk_bytes,
                Rule::Keys(_) => usize::MAX,
            },
            locking: chunk.is_locking(),
            derived: shape.source.is_derived(),
            transactional: shape.transactional,
        };
        let id = self.ask(position, Work::Chunk(statement));
        chunk.stage = Stage::Asked {
            id,
            after: position.clone(),
            opened: self.touches + 1,
        };
        chunk
    }

    fn whole_work(&self, work: &TableWork) -> Option<ChunkWork> {
        let shape = work.shape.as_ref()?;
        Some(ChunkWork {
            table: work.id.clone(),
            sql: shape.source.whole(&shape.selection),
            width: shape.selection.cells,
            rows_max: usize::MAX,
            bytes_max: self.settings.config.chunk_bytes,
            locking: false,
            derived: shape.source.is_derived(),
            transactional: shape.transactional,
        })
    }
}

/// Readers that hold a table without a key and are asked for nothing at the moment.
fn held(running: &Running) -> usize {
    let begun = |work: &&TableWork| work.holds_reader();
    running.tables.iter().filter(begun).count()
}

fn surrogate(run: &Run) -> Option<String> {
    match &run.kind {
        RunKind::Initial => None,
        RunKind::Incremental(asked) => asked.surrogate.clone(),
    }
}
