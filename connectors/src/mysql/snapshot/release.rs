//! Rows that are to be told.
use std::sync::Arc;

use super::chunk::{Chunk, Rule};
use super::key::Place;
use super::rows::Rows;
use super::run::Running;
use super::state::{Run, RunKind, TableState};
use super::work::{Part, TableWork, Whole};
use crate::mysql::record::Snapshot as Marker;
use crate::mysql::schema::Table;

/// Rows that are told at this place of the stream.
#[derive(Debug)]
pub struct Release {
    /// Their table, as it was when they were read. As long as that is the same it is the same `Arc`.
    pub table: Arc<Table>,
    rows: Rows,
    /// Which of them are told.
    kept: Vec<u32>,
    /// The cells of each that are told.
    cells: usize,
    of: Of,
    marks: Marks,
}

/// What is done with the release.
#[derive(Debug)]
enum Of {
    Range(Place),
    Keys(Vec<Place>),
    Part { last: bool },
}

/// What the first and the last row are.
#[derive(Debug, Default)]
struct Marks {
    incremental: bool,
    first: bool,
    first_in_table: bool,
    last_in_table: bool,
    last: bool,
}

impl Release {
    /// The first that is ready.
    pub(super) fn next(running: &mut Running, run: &Run) -> Option<Self> {
        let only = running.tables.len() == 1 && running.all_begun();
        let incremental = match &run.kind {
            RunKind::Initial => false,
            RunKind::Incremental(asked) => !asked.blocking,
        };
        running
            .tables
            .iter_mut()
            .zip(&run.open)
            .find_map(|(work, state)| {
                let mut release = Self::of_ranges(work, state).or_else(|| Self::of_part(work))?;
                release.marks.incremental = incremental;
                release.marks.first = run.rows == 0;
                release.marks.first_in_table = state.rows == 0;
                release.marks.last = release.marks.last_in_table && only;
                Some(release)
            })
    }

    fn of_ranges(work: &mut TableWork, state: &TableState) -> Option<Self> {
        let table = Arc::clone(&work.shape.as_ref()?.table);
        let cells = work.cells();
        let first = work.chunks.front_mut().filter(|chunk| chunk.is_ready());
        let chunk = first.or_else(|| work.keyed.as_mut().filter(|chunk| chunk.is_ready()))?;
        let (rows, kept) = chunk.take()?;
        let of = match &chunk.rule {
            Rule::Range { up_to, .. } => Of::Range(up_to.clone()),
            Rule::Keys(keys) => Of::Keys(keys.clone()),
        };
        let last_in_table = match &of {
            Of::Range(_) => work.chunks.len() == 1 && work.keyed.is_none() && state.again.is_empty(),
            _ => work.chunks.is_empty() && work.keyed.as_ref().is_some_and(|chunk| has_all(chunk, state)),
        };
        let marks = Marks {
            last_in_table,
            ..Marks::default()
        };
        Some(Self {
            table,
            rows,
            kept,
            cells,
            of,
            marks,
        })
    }

    fn of_part(work: &mut TableWork) -> Option<Self> {
        let table = Arc::clone(&work.shape.as_ref()?.table);
        let cells = work.cells();
        let Some(Whole::Begun {
            part, ready: true, ..
        }) = &mut work.whole
        else {
            return None;
        };
        let Part::Arrived { last, .. } = part else {
            return None;
        };
        let last = *last;
        let Part::Arrived { rows, .. } = std::mem::replace(part, Part::Telling { last }) else {
            return None;
        };
        Some(Self {
            table,
            kept: (0..rows.len() as u32).collect(),
            rows,
            cells,
            of: Of::Part { last },
            marks: Marks {
                last_in_table: last,
                ..Marks::default()
            },
        })
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Puts the cells of a row, from 0, into `cells`, as [`super::Settings::selector`] has them; what the row's block `source` says of
    /// the snapshot.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn row<'a>(&'a self, index: usize, cells: &mut Vec<Option<&'a [u8]>>) -> Marker {
        self.rows.row(self.kept[index] as usize, 0..self.cells, cells);
        let (first, last) = (index == 0, index + 1 == self.kept.len());
        let marks = &self.marks;
        if marks.incremental {
            Marker::Incremental
        } else if last && marks.last {
            Marker::Last
        } else if first && marks.first {
            Marker::First
        } else if last && marks.last_in_table {
            Marker::LastInTable
        } else if first && marks.first_in_table {
            Marker::FirstInTable
        } else {
            Marker::Yes
        }
    }

    /// It is told.
    pub(super) fn settle(&self, work: &mut TableWork, state: &mut TableState) {
        match &self.of {
            Of::Range(up_to) => {
                if work.chunks.front().is_some_and(Chunk::is_telling) {
                    work.chunks.pop_front();
                }
                state.last = Some(up_to.clone());
            }
            Of::Keys(keys) => {
                if work.keyed.as_ref().is_some_and(Chunk::is_telling) {
                    work.keyed = None;
                }
                state.again.retain(|key| !keys.contains(key));
            }
            Of::Part { last } => match &mut work.whole {
                Some(Whole::Begun {
                    part: Part::Telling { .. },
                    ..
                }) if *last => work.whole = None,
                Some(Whole::Begun {
                    part: part @ Part::Telling { .. },
                    ..
                }) => *part = Part::Wanted,
                _ => {}
            },
        }
    }
}

/// Whether a chunk has all rows that are to be read again.
fn has_all(chunk: &Chunk, state: &TableState) -> bool {
    matches!(&chunk.rule, Rule::Keys(keys) if state.again.iter().all(|key| keys.contains(key)))
}
