//! A chunk on its way: from its range, over what changes touch meanwhile, to the rows that are left to tell.
use std::collections::HashMap;

use super::key::{KeyColumns, Place};
use super::mark::Mark;
use super::request::{ChunkRead, RequestId};
use super::rows::Rows;
use super::settings::Told;
use crate::mysql::stream::LogPosition;

/// So often a chunk is read again because changes did not tell all of its rows; then its rows are locked while they are read.
pub(super) const TRIES_MAX: u32 = 3;

/// What is kept beside a touched key, roughly.
const TOUCH_BYTES: usize = 64;

/// Which rows a chunk has.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rule {
    /// Those behind one place and up to another.
    Range { after: Option<Place>, up_to: Place },
    /// Those with these keys.
    Keys(Vec<Place>),
}

/// A chunk.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) rule: Rule,
    /// The range as numbers, where keys are: behind the first, up to the second.
    pub(super) numbers: Option<(i128, i128)>,
    pub(super) stage: Stage,
    /// How often it was read in vain because changes did not tell all of its rows.
    pub(super) tries: u32,
}

/// How far a chunk is.
#[derive(Debug)]
pub(super) enum Stage {
    /// It is to be read.
    Waiting,
    /// It is being read.
    Asked {
        id: RequestId,
        /// Where the stream was.
        after: LogPosition,
        /// The touches before this one are visible to it.
        opened: u64,
    },
    /// It was read; the stream has yet to pass its high mark.
    Arrived(Arrived),
    /// It is being told.
    Telling,
}

/// A chunk that was read.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) rows: Rows,
    high: Mark,
    /// Rows that changes tell.
    dropped: Vec<bool>,
    /// Its rows by their keys; made when the first change comes.
    index: HashMap<Box<[u8]>, u32>,
    /// Its rows were locked: they are those at the high mark.
    exact: bool,
    /// The stream stands behind the high mark.
    pub(super) ready: bool,
}

/// The keys that changes touched, of a table of which a chunk is being read.
#[derive(Debug, Default)]
pub(super) struct Touched {
    keys: HashMap<Box<[u8]>, Touch>,
    bytes: usize,
}

/// The last touches of a row, by their numbers; 0 for none.
#[derive(Clone, Copy, Debug, Default)]
struct Touch {
    whole: u64,
    part: u64,
    /// A row that is new, or has its key anew, and of which not all was told.
    part_of_new: u64,
}

/// A change of a row, as far as chunks are concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) number: u64,
    pub(super) told: Told,
    /// The row had not this key before.
    pub(super) new: bool,
}

impl Touched {
    /// A change touches a key.
    pub(super) fn add(&mut self, key: &[u8], change: Change) {
        let touch = match self.keys.get_mut(key) {
            Some(touch) => touch,
            None => {
                self.bytes += key.len() + TOUCH_BYTES;
                self.keys.entry(key.into()).or_default()
            }
        };
        match change {
            Change {
                told: Told::Whole,
                number,
                ..
            } => touch.whole = number,
            Change {
                new: false, number, ..
            } => touch.part = number,
            Change {
                new: true, number, ..
            } => touch.part_of_new = number,
        }
    }

    /// What touches since `opened` told of a row.
    fn since(&self, opened: u64, key: &[u8]) -> Option<Told> {
        let touch = self.keys.get(key)?;
        if touch.part_of_new >= opened && touch.part_of_new > touch.whole {
            Some(Told::Part)
        } else if touch.whole >= opened {
            // Of what is known whole, parts are enough.
            Some(Told::Whole)
        } else {
            (touch.part >= opened).then_some(Told::Part)
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Chunk {
    /// A range that is to be read.
    pub(super) fn range(after: Option<Place>, up_to: Place, numbers: Option<(i128, i128)>) -> Self {
        Self::new(Rule::Range { after, up_to }, numbers)
    }

    /// Rows that are to be read, wherever they stand.
    pub(super) fn keys(keys: Vec<Place>) -> Self {
        Self::new(Rule::Keys(keys), None)
    }

    fn new(rule: Rule, numbers: Option<(i128, i128)>) -> Self {
        Self {
            rule,
            numbers,
            stage: Stage::Waiting,
            tries: 0,
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting)
    }

    pub(super) fn is_asked(&self) -> bool {
        matches!(self.stage, Stage::Asked { .. })
    }

    pub(super) fn is_asked_as(&self, wanted: RequestId) -> bool {
        matches!(self.stage, Stage::Asked { id, .. } if id == wanted)
    }

    /// Whether its rows are locked while they are read.
    pub(super) fn is_locking(&self) -> bool {
        self.tries >= TRIES_MAX
    }

    /// Whether a row with this key may be in it.
    pub(super) fn may_have(&self, number: Option<i128>) -> bool {
        match (self.numbers, number) {
            (Some((after, up_to)), Some(number)) => number > after && number <= up_to,
            _ => true,
        }
    }

    /// It is to be read again, unless it is being told.
    pub(super) fn recall(&mut self) {
        if !self.is_telling() {
            self.stage = Stage::Waiting;
        }
    }

    /// Its rows are there. Those that were touched meanwhile are dropped; if not all is told of one that was, it has to be read again, and `false`
    /// is the answer.
    pub(super) fn arrive(
        &mut self,
        read: ChunkRead,
        opened: u64,
        touched: &Touched,
        key: &KeyColumns,
        cells: usize,
    ) -> bool {
        let exact = self.is_locking();
        let mut dropped = vec![false; read.rows.len()];
        if !exact && !touched.keys.is_empty() {
            let (mut cell, mut identity) = (Vec::new(), Vec::new());
            for (row, dropped) in dropped.iter_mut().enumerate() {
                read.rows.row(row, cells..read.rows.width(), &mut cell);
                identity.clear();
                key.identity_of_cells(&cell, &mut identity);
                match touched.since(opened, &identity) {
                    None => {}
                    Some(Told::Whole) => *dropped = true,
                    Some(Told::Part) => {
                        self.try_again();
                        return false;
                    }
                }
            }
        }
        self.stage = Stage::Arrived(Arrived {
            rows: read.rows,
            high: read.high,
            dropped,
            index: HashMap::new(),
            exact,
            ready: false,
        });
        true
    }

    /// Any of its rows may have changed.
    pub(super) fn distrust(&mut self) {
        let settled = match &self.stage {
            Stage::Waiting | Stage::Telling => true,
            Stage::Asked { .. } => self.is_locking(),
            Stage::Arrived(arrived) => arrived.exact,
        };
        if !settled {
            self.try_again();
        }
    }

    /// Not all was told of one of its rows.
    fn try_again(&mut self) {
        self.tries += 1;
        self.recall();
    }

    /// A change touches a row after it was read; whether the chunk has to be read again.
    pub(super) fn touch(&mut self, identity: &[u8], change: Change, key: &KeyColumns, cells: usize) -> bool {
        let Stage::Arrived(arrived) = &mut self.stage else {
            return false;
        };
        if arrived.exact {
            return false;
        }
        let Some(row) = arrived.find(identity, key, cells) else {
            return false;
        };
        let again = match change.told {
            Told::Whole => {
                arrived.dropped[row] = true;
                false
            }
            Told::Part => !arrived.dropped[row] || change.new,
        };
        if again {
            self.try_again();
        }
        again
    }

    /// The stream stands here; whether its rows are to be told now.
    pub(super) fn pass(&mut self, position: &LogPosition) -> bool {
        match &mut self.stage {
            Stage::Arrived(arrived) => {
                arrived.ready = arrived.ready || arrived.high.is_passed_by(position);
                arrived.ready
            }
            _ => false,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(&self.stage, Stage::Arrived(arrived) if arrived.ready)
    }

    pub(super) fn is_telling(&self) -> bool {
        matches!(self.stage, Stage::Telling)
    }

    /// Its rows, and which of them are to be told.
    pub(super) fn take(&mut self) -> Option<(Rows, Vec<u32>)> {
        match std::mem::replace(&mut self.stage, Stage::Telling) {
            Stage::Arrived(arrived) => {
                let kept = (0..).zip(&arrived.dropped);
                let kept = kept.filter(|(_, dropped)| !**dropped).map(|(row, _)| row);
                Some((arrived.rows, kept.collect()))
            }
            stage => {
                self.stage = stage;
                None
            }
        }
    }
}

impl Arrived {
    /// Whether its rows are those at the high mark, whatever touches them later.
    pub(super) fn is_exact(&self) -> bool {
        self.exact
    }

    fn find(&mut self, identity: &[u8], key: &KeyColumns, cells: usize) -> Option<usize> {
        if self.index.is_empty() && !self.rows.is_empty() {
            let (mut cell, mut own) = (Vec::new(), Vec::new());
            for row in 0..self.rows.len() {
                self.rows.row(row, cells..self.rows.width(), &mut cell);
                own.clear();
                key.identity_of_cells(&cell, &mut own);
                self.index.insert(own.as_slice().into(), row as u32);
            }
        }
        self.index.get(identity).map(|row| *row as usize)
    }
}
