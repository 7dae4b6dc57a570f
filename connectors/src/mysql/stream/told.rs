//! What was told and what is about to be: steps of a transaction are held back until its end is known, as far as there is room.
//!
//! Before a transaction is opened, all steps of the one before were told, so that these here are of one transaction.
use std::collections::VecDeque;

use bytestring::ByteString;

use super::LogPosition;
use super::open::Gtid;
use super::resume::Cut;
use super::step::Step;
use crate::mysql::gtid::mariadb;
use crate::mysql::stream::Gtids;

/// So many steps may wait with bytes that are parts of larger buffers; those of more are copied.
const PINNING_STEPS: usize = 64;

/// What follows from a step once it was told.
#[derive(Debug)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// So many rows of the transaction are told.
    Rows(u64),
    /// The transaction is told.
    Ends(End),
}

/// The place behind a transaction.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) file: ByteString,
    pub(super) position: u64,
    pub(super) gtid: Option<Gtid>,
}

impl End {
    pub(super) fn move_behind(self, position: &mut LogPosition) {
        match (self.gtid, &mut position.gtids) {
            (Some(Gtid::Mysql(gtid)), Some(Gtids::Mysql(set))) => set.insert(&gtid),
            (Some(Gtid::Mariadb(gtid)), Some(Gtids::Mariadb(last))) => last.advance(gtid),
            // MariaDB's list of what is before the file's first transaction is empty, and so is that of a new server.
            (Some(Gtid::Mariadb(gtid)), gtids @ Some(_)) if gtids.as_ref().is_some_and(Gtids::is_empty) => {
                let mut last = mariadb::Position::default();
                last.advance(gtid);
                *gtids = Some(Gtids::Mariadb(last));
            }
            // Transactions without numbers are in no set.
            (None, gtids) => *gtids = None,
            // Where the transactions before are not known, neither is the set.
            _ => {}
        }
        position.file = self.file;
        position.position = self.position;
    }
}

#[derive(Debug)]
struct Queued {
    step: Step,
    effect: Effect,
    bytes: usize,
}

/// Steps in their order.
#[derive(Debug)]
pub(super) struct Told {
    /// All transactions before this are told.
    pub(super) position: LogPosition,
    /// What is told, or was before a restart, of a transaction behind it.
    cut: Option<Cut>,
    /// What follows from the last step, of which it is not said yet that it is delivered.
    last: Option<Effect>,
    /// The GTID of the open transaction.
    transaction: Option<ByteString>,
    /// Whether that is the one that is cut.
    is_cut: bool,
    /// Steps of it that were told.
    steps: u64,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// The bytes that are held back.
    pub(super) limit: usize,
    /// The queue ends with the end of a transaction.
    complete: bool,
}

impl Told {
    pub(super) fn new(position: LogPosition, cut: Option<Cut>, limit: usize) -> Self {
        Self {
            position,
            cut,
            last: None,
            transaction: None,
            is_cut: false,
            steps: 0,
            queue: VecDeque::new(),
            queued_bytes: 0,
            limit,
            complete: false,
        }
    }

    /// A transaction with this GTID is opened; what of it was told before.
    pub(super) fn open(&mut self, gtid: Option<&Gtid>) -> Option<&Cut> {
        self.transaction = gtid.map(Gtid::text);
        let known = self.cut.as_ref().and_then(|cut| cut.transaction.as_ref());
        self.is_cut = match (known, &self.transaction) {
            (Some(cut), Some(own)) => cut == own,
            _ => self.cut.is_some(),
        };
        self.cut.as_ref().filter(|_| self.is_cut)
    }

    /// What of the open transaction was told, or before a restart.
    pub(super) fn of_open(&self) -> Option<&Cut> {
        self.cut.as_ref().filter(|_| self.is_cut)
    }

    /// What is told of a transaction behind the position; with `row`, also the rows of the last step before this ordinal. `fresh` is that of the
    /// first which was not told before a restart.
    pub(super) fn cut(&self, row: Option<(u64, u64)>) -> Option<Cut> {
        match row {
            Some((row, fresh)) if row > fresh && self.remembers() => Some(self.cut_at(row)),
            _ => self.cut.clone(),
        }
    }

    /// While a part of another transaction is told, which another server has later in its log, only that is remembered.
    fn remembers(&self) -> bool {
        self.cut.is_none() || self.is_cut
    }

    fn cut_at(&self, row: u64) -> Cut {
        Cut {
            event: 0,
            row,
            transaction: self.transaction.clone(),
        }
    }

    /// Whether nothing waits to be told, or to be delivered.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.last.is_none()
    }

    /// Whether so many steps wait that what they keep of larger buffers counts.
    pub(super) fn holds_many(&self) -> bool {
        self.queue.len() >= PINNING_STEPS
    }

    /// What a step takes. Rows of one statement share its text.
    fn bytes_of(&self, step: &Step) -> usize {
        let bytes = match step {
            Step::Rows(step) => {
                let text = step.origin.query.as_ref();
                let before = self.queue.back().and_then(|queued| queued.step.query());
                let is_shared = text.map(|text| text.as_ptr()) == before.map(|text| text.as_ptr());
                let text = text.filter(|_| !is_shared).map_or(0, |text| text.len());
                step.rows.bytes() + text
            }
            Step::Schema(change) => change.text.len(),
            _ => 0,
        };
        bytes + size_of::<Queued>()
    }

    pub(super) fn push(&mut self, step: Step, effect: Effect) {
        let bytes = self.bytes_of(&step);
        self.complete |= matches!(effect, Effect::Ends(_));
        self.queued_bytes += bytes;
        self.queue.push_back(Queued { step, effect, bytes });
    }

    /// The next step that may be told. The one before is delivered.
    pub(super) fn pop(&mut self) -> Option<Step> {
        self.settle();
        // A beginning goes together with what follows: that it was told is not remembered.
        let only_begins = self.queue.len() == 1 && matches!(self.queue[0].step, Step::Begin { .. });
        if !self.complete && (self.queued_bytes <= self.limit || only_begins) {
            return None;
        }
        let Queued { step, effect, bytes } = self.queue.pop_front()?;
        self.queued_bytes -= bytes;
        self.steps += 1;
        self.last = Some(effect);
        Some(step)
    }

    /// The last step is delivered.
    pub(super) fn settle(&mut self) {
        match self.last.take() {
            None | Some(Effect::None) => {}
            Some(Effect::Rows(row)) if self.remembers() => {
                self.is_cut = true;
                self.cut = Some(self.cut_at(row));
            }
            Some(Effect::Rows(_)) => {}
            Some(Effect::Ends(end)) => {
                end.move_behind(&mut self.position);
                self.steps = 0;
                self.complete = false;
                if std::mem::take(&mut self.is_cut) {
                    self.cut = None;
                }
            }
        }
    }

    /// Of the last step, only the rows before the ordinal `row` are delivered, and nothing more will be.
    pub(super) fn settle_at(&mut self, row: (u64, u64)) {
        let cut = self.cut(Some(row));
        self.is_cut |= cut != self.cut;
        self.cut = cut;
        self.last = None;
    }

    /// The position once the last step is delivered.
    pub(super) fn behind_last(&self) -> LogPosition {
        let mut position = self.position.clone();
        if let Some(Effect::Ends(end)) = &self.last {
            end.clone().move_behind(&mut position);
        }
        position
    }

    /// Steps of the open transaction, told and queued.
    pub(super) fn steps(&self) -> u64 {
        self.steps + self.queue.len() as u64
    }

    /// Takes back the steps of the open transaction behind the first `steps`, as far as they were not told.
    pub(super) fn take_back(&mut self, steps: u64) {
        while self.steps() > steps
            && let Some(queued) = self.queue.pop_back()
        {
            self.queued_bytes -= queued.bytes;
        }
    }

    /// Forgets what was not told of the open transaction: it comes again.
    pub(super) fn begin_again(&mut self) {
        self.queue.clear();
        self.queued_bytes = 0;
        self.complete = false;
        self.steps = 0;
        self.is_cut = false;
        self.last = None;
    }
}
