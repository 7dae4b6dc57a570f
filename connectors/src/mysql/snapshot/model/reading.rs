//! Readers that take their time, and what they answer.
use super::sql;
use super::world::{Database, described};
use super::{Life, Marks, Mistake};
use crate::mysql::schema::TableId;
use crate::mysql::snapshot::select;
use crate::mysql::snapshot::{
    Answer, ChunkRead, ChunkWork, KeyColumns, Mark, Outcome, Request, RequestId, Rows, Surveyed, Work,
};

/// A request that is being answered.
pub(super) struct Reading {
    request: Request,
    step: Step,
}

enum Step {
    New,
    /// The low mark is taken.
    Low(Mark),
    /// The rows are read.
    Read {
        low: Mark,
        rows: Option<Vec<Vec<String>>>,
    },
}

/// A table without a key that is being read.
pub(super) struct Whole {
    rows: Vec<Vec<String>>,
    next: usize,
}

impl Life {
    pub(super) fn ask(&mut self) {
        while let Some(request) = self.snapshot.next_request() {
            match request.work {
                Work::Forget(of) => drop(self.wholes.remove(&of)),
                _ => self.readings.push(Reading {
                    request,
                    step: Step::New,
                }),
            }
            let busy = self.readings.len() + self.wholes.len();
            assert!(
                busy <= self.settings.config.readers + self.wholes.len(),
                "more requests than readers"
            );
        }
    }

    /// A reader goes one step on.
    pub(super) fn read(&mut self) -> Result<(), String> {
        if self.readings.is_empty() {
            return Ok(());
        }
        let index = self.random.below(self.readings.len());
        let Reading { request, step } = self.readings.swap_remove(index);
        let id = request.id;
        // A careless reader does not wait until all is visible that the stream has.
        let careless = self.random.one_in(20) || self.mistake == Mistake::LowMarkOfTheLog;
        let visible =
            self.low().covers(&request.after) || (careless && matches!(request.work, Work::Chunk(_)));
        let outcome = match (&request.work, step) {
            (Work::Rest(_), _) => Outcome::Rested,
            (Work::More(of), _) => self.more(*of),
            (Work::Forget(_), _) => unreachable!("nothing is read"),
            (_, step @ Step::New) if !visible => {
                self.readings.push(Reading { request, step });
                return Ok(());
            }
            (Work::List, _) => Outcome::Listed {
                tables: self
                    .world
                    .at_visible()
                    .iter()
                    .map(|(table, rows)| (table.clone(), rows.rows.len() as u64))
                    .collect(),
                high: self.high(),
            },
            (Work::Survey { table, surrogate }, _) => {
                survey(table, surrogate.as_deref(), self.world.at_visible(), self.high())
            }
            (Work::Whole(work), _) => self.begin(id, work),
            (Work::Chunk(work), _) if work.locking => self.locking(work),
            (Work::Chunk(_), Step::New) => {
                let step = Step::Low(self.low());
                self.readings.push(Reading { request, step });
                return Ok(());
            }
            (Work::Chunk(work), Step::Low(low)) => {
                let rows = sql::select(&work.sql, self.world.at_visible());
                let step = Step::Read { low, rows };
                self.readings.push(Reading { request, step });
                return Ok(());
            }
            (Work::Chunk(work), Step::Read { low, rows }) => match rows {
                None => Outcome::Changed("no such column".to_owned()),
                Some(rows) => chunk(work, low, self.high(), &rows),
            },
        };
        self.snapshot
            .answered(Answer { id, outcome })
            .map_err(|error| error.to_string())
    }

    /// Who locks rows waits until their last changes are visible.
    fn locking(&mut self, work: &ChunkWork) -> Outcome {
        if self.world.visible < self.world.log.len() {
            return Outcome::Busy("deadlock".to_owned());
        }
        let (low, high) = (self.low(), self.high());
        match sql::select(&work.sql, self.world.at_visible()) {
            None => Outcome::Changed("no such column".to_owned()),
            Some(rows) => chunk(work, low, high, &rows),
        }
    }

    fn begin(&mut self, id: RequestId, work: &ChunkWork) -> Outcome {
        if self.random.one_in(4) {
            return Outcome::Busy("lock wait timeout".to_owned());
        }
        let mark = match self.marks {
            Marks::Transactions => Mark::of_transactions(self.gtids(self.world.visible)),
            _ => Mark::of_place("bin.000001", self.world.visible as u64),
        };
        match sql::select(&work.sql, self.world.at_visible()) {
            None => Outcome::Changed("no such column".to_owned()),
            Some(rows) => {
                self.begun.insert(work.table.clone());
                self.wholes.insert(id, Whole { rows, next: 0 });
                Outcome::Begun(mark)
            }
        }
    }

    fn more(&mut self, of: RequestId) -> Outcome {
        let mut whole = self.wholes.remove(&of).expect("a table that was begun");
        if self.random.one_in(10) {
            return Outcome::Busy("nobody asked for more in time".to_owned());
        }
        let end = (whole.next + 1 + self.random.below(5)).min(whole.rows.len());
        let rows = rows_of(
            whole.rows.first().map_or(1, Vec::len),
            &whole.rows[whole.next..end],
        );
        whole.next = end;
        let last = end == whole.rows.len();
        if !last {
            self.wholes.insert(of, whole);
        }
        Outcome::Part { rows, last }
    }
}

pub(super) fn survey(table: &TableId, surrogate: Option<&str>, database: &Database, high: Mark) -> Outcome {
    let Some(rows) = database.get(table) else {
        return Outcome::Missing(high);
    };
    let described = described(table, rows);
    let key = KeyColumns::of(&described, surrogate).expect("a key");
    let range = key.as_ref().and_then(|key| {
        let place = |last| {
            let found = sql::select(&select::first_key(table, key, last), database)?;
            let cells: Vec<Option<&[u8]>> = found.first()?.iter().map(|cell| Some(cell.as_bytes())).collect();
            Some(key.place(&cells))
        };
        place(false).zip(place(true))
    });
    Outcome::Surveyed(Box::new(Surveyed {
        table: described,
        key,
        range,
        row_bytes: 10,
        transactional: true,
        high,
    }))
}

fn rows_of(width: usize, rows: &[Vec<String>]) -> Rows {
    let mut all = Rows::new(width);
    for row in rows {
        assert!(all.push(row.iter().map(|cell| Some(cell.as_bytes()))));
    }
    all
}

pub(super) fn chunk(work: &ChunkWork, low: Mark, high: Mark, found: &[Vec<String>]) -> Outcome {
    let bytes = |rows: &[Vec<String>]| rows.iter().flatten().map(String::len).sum::<usize>();
    let mut end = found.len();
    while end > 1 && bytes(&found[..end - 1]) >= work.bytes_max {
        end -= 1;
    }
    Outcome::Chunk(Box::new(ChunkRead {
        low,
        high,
        rows: rows_of(work.width, &found[..end]),
        ended: found.len() < work.rows_max && end == found.len(),
    }))
}
