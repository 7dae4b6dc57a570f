//! The event time of a task.
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array};

use super::metadata::{Stored, StoredInput, StoredMark, marks};
use super::upstream::UpstreamTable;
use super::{Announcement, Tracker, Watermark};
use crate::plan::InputTime;
use crate::rows::EventTime;

/// How far a task is, from what it read of its inputs.
#[derive(Debug)]
pub(crate) struct TaskClock {
    inputs: Vec<InputClock>,
    watermark: Watermark,
    /// As of the end of the last epoch. What steps behind a shuffle emit in this epoch is not earlier.
    settled: Watermark,
    /// What the tasks behind were told last: the watermark, and whether this task is idle.
    announced: Option<(Watermark, bool)>,
    was_idle: bool,
    /// An input was idle for the last owner, which those behind do not know to be over.
    awoken: bool,
}

#[derive(Debug)]
enum InputClock {
    /// Its rows have no part in event time.
    Untimed,
    Source(SourceClock),
    Upstream(UpstreamTable),
}

#[derive(Debug)]
struct SourceClock {
    trackers: Vec<Tracker>,
    idle_after: Option<Duration>,
    idle: bool,
    /// Something came since the last look at the clock.
    fresh: bool,
    silent_since: Option<Instant>,
}

impl TaskClock {
    pub(crate) fn new<'a>(inputs: impl IntoIterator<Item = &'a InputTime>) -> Self {
        let input = |time: &InputTime| match time {
            InputTime::Untimed => InputClock::Untimed,
            InputTime::Upstream => InputClock::Upstream(UpstreamTable::default()),
            InputTime::Source { bounds, idle_after } => InputClock::Source(SourceClock {
                trackers: bounds.iter().copied().map(Tracker::new).collect(),
                idle_after: *idle_after,
                idle: false,
                fresh: true,
                silent_since: None,
            }),
        };
        Self {
            inputs: inputs.into_iter().map(input).collect(),
            watermark: Watermark::NONE,
            settled: Watermark::NONE,
            announced: None,
            was_idle: false,
            awoken: false,
        }
    }

    /// Where the task is now.
    pub(crate) fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// Where the task was when the last epoch ended.
    pub(crate) fn settled(&self) -> Watermark {
        self.settled
    }

    /// Whether windows may have closed behind the task's back, because it was idle.
    pub(crate) fn was_idle(&self) -> bool {
        self.was_idle
    }

    /// Takes the times of rows from source input number `input`, judged by its strategy number `strategy`; gives for each row the
    /// watermark before it.
    pub(crate) fn observe(&mut self, input: usize, strategy: usize, times: &[EventTime]) -> Option<ArrayRef> {
        let InputClock::Source(source) = self.inputs.get_mut(input)? else {
            return None;
        };
        let tracker = source.trackers.get_mut(strategy)?;
        // Its rows had no part in where the task is: they are new to it.
        self.was_idle |= tracker.watermark() < self.watermark;
        let before = tracker.observe(times);
        self.advance();
        Some(Arc::new(Int64Array::from(before)))
    }

    /// Takes the announcement of an upstream task from input number `input`.
    pub(crate) fn take(&mut self, input: usize, announcement: &Announcement) {
        if let Some(InputClock::Upstream(table)) = self.inputs.get_mut(input) {
            table.take(announcement);
            // What wakes up behind it may be late for windows that neither it nor this task has seen.
            self.was_idle |= announcement.was_idle;
            self.advance();
        }
    }

    /// A record came from input number `input`.
    pub(crate) fn came(&mut self, input: usize) {
        if let InputClock::Source(source) = &mut self.inputs[input] {
            source.fresh = true;
            source.idle = false;
        }
    }

    /// The source inputs from which nothing came for their idle time.
    pub(crate) fn silent(&mut self, now: Instant) -> Vec<usize> {
        let mut silent = Vec::new();
        for (number, input) in self.inputs.iter_mut().enumerate() {
            let InputClock::Source(source) = input else {
                continue;
            };
            if std::mem::take(&mut source.fresh) {
                source.silent_since = Some(now);
            }
            source.silent_since.get_or_insert(now);
            if !source.idle && source.is_silent(now) {
                silent.push(number);
            }
        }
        silent
    }

    /// Nothing is left to read from input number `input`, which is idle if it is silent.
    pub(crate) fn set_idle(&mut self, input: usize, now: Instant) {
        if let InputClock::Source(source) = &mut self.inputs[input]
            && source.is_silent(now)
        {
            source.idle = true;
            self.was_idle = true;
            self.advance();
        }
    }

    fn advance(&mut self) {
        let (watermark, _) = self.combined();
        self.watermark = self.watermark.max(watermark);
    }

    fn combined(&self) -> (Watermark, bool) {
        combined(self.inputs.iter().filter_map(|input| match input {
            InputClock::Untimed => None,
            InputClock::Source(source) => {
                let watermark = source.trackers.iter().map(Tracker::watermark).min();
                Some((watermark?, source.idle))
            }
            InputClock::Upstream(table) => Some(table.combined()),
        }))
    }

    /// Whether those behind have to hear of this task before it reads anything.
    pub(crate) fn has_awoken(&self) -> bool {
        self.awoken || (!self.was_idle && self.falls_behind())
    }

    /// Whether an input is behind the task: one that was idle, or that the task has only now.
    fn falls_behind(&self) -> bool {
        let mut sources = self.inputs.iter().filter_map(|input| match input {
            InputClock::Source(source) => source.trackers.iter().map(Tracker::watermark).min(),
            _ => None,
        });
        sources.any(|watermark| watermark < self.watermark)
    }

    /// Whether there is something that the tasks behind, or the windows of this one, have not heard.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.watermark > self.settled || self.news().is_some()
    }

    /// What to announce, if it was not announced before.
    fn news(&self) -> Option<(Watermark, bool)> {
        let now = (self.watermark, self.combined().1);
        let first = self.announced.is_none() && now == (Watermark::NONE, false);
        (self.announced != Some(now) && !first).then_some(now)
    }

    /// The epoch ends; gives what the tasks behind have to hear: the watermark, and whether this task is idle.
    pub(crate) fn settle(&mut self) -> Option<(Watermark, bool)> {
        self.settled = self.watermark;
        self.was_idle |= self.falls_behind();
        self.awoken = false;
        let news = self.news()?;
        self.announced = Some(news);
        self.was_idle |= news.1;
        Some(news)
    }

    /// What is stored with the offset of input number `input`; nothing for inputs that have no part in event time.
    pub(crate) fn metadata(&self, input: usize) -> String {
        let input = match &self.inputs[input] {
            InputClock::Untimed => return String::new(),
            InputClock::Source(source) => StoredInput::Source {
                idle: source.idle,
                marks: marks(&source.trackers),
            },
            InputClock::Upstream(table) => StoredInput::Upstream(table.clone()),
        };
        let stored = Stored {
            watermark: self.watermark,
            was_idle: self.was_idle,
            input,
        };
        stored.encode()
    }

    /// Goes on from what was stored with the offset of input number `input`. What cannot be read counts as nothing: then
    /// a later watermark has to come.
    pub(crate) fn resume(&mut self, input: usize, metadata: &str) {
        let Some(stored) = Stored::decode(metadata) else {
            return;
        };
        match (&mut self.inputs[input], stored.input) {
            (InputClock::Source(source), StoredInput::Source { idle, marks }) => {
                let falls_behind = source.resume(&marks);
                // Rows that are not late by the new strategy may belong to windows that the old one closed: those behind judge.
                self.was_idle |= falls_behind;
                // Whether something came since nobody knows yet: it has to be found idle again, and the tasks behind hear of it
                // before its first row.
                self.awoken |= idle | falls_behind;
            }
            (InputClock::Upstream(table), StoredInput::Upstream(stored)) => *table = stored,
            _ => return,
        }
        self.was_idle |= stored.was_idle;
        self.watermark = self.watermark.max(stored.watermark);
        self.settled = self.settled.max(stored.watermark);
    }
}

impl SourceClock {
    /// Whether nothing came for the idle time.
    fn is_silent(&self, now: Instant) -> bool {
        let silence = self
            .silent_since
            .map(|since| now.saturating_duration_since(since));
        !self.fresh
            && silence
                .zip(self.idle_after)
                .is_some_and(|(silence, after)| silence >= after)
    }

    /// Goes on from what was stored; says whether a strategy is behind what the task has announced by another one.
    ///
    /// The same strategies go on where they were, one by one: two that look alike may have seen different rows. Where they changed, one
    /// with the same event time and another bound goes on from the largest time seen, the least if several had that event time;
    /// one with another event time knows nothing of what was read.
    fn resume(&mut self, marks: &[StoredMark]) -> bool {
        let Some(promised) = marks.iter().map(|mark| mark.watermark).min() else {
            return false;
        };
        if marks.iter().any(|mark| mark.bound.is_none()) {
            // From before strategies were noted. If there are as many, they are taken for the same, else the least holds for all.
            let same = marks.len() == self.trackers.len();
            let known = marks
                .iter()
                .map(|mark| if same { mark.watermark } else { promised });
            let known = known.chain(std::iter::repeat(promised));
            let pairs = self.trackers.iter_mut().zip(known);
            pairs.for_each(|(tracker, watermark)| tracker.resume(watermark));
            return false;
        }
        let bounds = self.trackers.iter().map(|tracker| Some(tracker.bound()));
        if bounds.eq(marks.iter().map(|mark| mark.bound)) {
            let pairs = self.trackers.iter_mut().zip(marks);
            pairs.for_each(|(tracker, mark)| tracker.resume(mark.watermark));
            return false;
        }
        for tracker in &mut self.trackers {
            let bound = tracker.bound();
            let by_now = marks.iter().filter_map(|mark| {
                let old = mark.bound.filter(|old| old.time == bound.time)?;
                Some(
                    mark.watermark
                        .minus(bound.out_of_orderness_ms.saturating_sub(old.out_of_orderness_ms)),
                )
            });
            tracker.resume(by_now.min().unwrap_or(Watermark::NONE));
        }
        self.trackers.iter().any(|tracker| tracker.watermark() < promised)
    }
}

/// The least watermark of those that are not idle, or the greatest if all are; and whether all are.
pub(super) fn combined(marks: impl Iterator<Item = (Watermark, bool)>) -> (Watermark, bool) {
    let (mut least, mut greatest) = (None, None);
    for (watermark, idle) in marks {
        if !idle {
            least = Some(least.map_or(watermark, |least: Watermark| least.min(watermark)));
        }
        greatest = greatest.max(Some(watermark));
    }
    match (least, greatest) {
        (Some(least), _) => (least, false),
        (None, Some(greatest)) => (greatest, true),
        (None, None) => (Watermark::NONE, false),
    }
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
