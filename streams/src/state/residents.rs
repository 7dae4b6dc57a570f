//! Which spans of a join are in memory, what they take together, and who of them was not asked for the longest.
//!
//! Sums and an order that are kept, because there may be as many spans as a day has seconds, and room is made while each of them is asked for.
use std::collections::BTreeSet;

use super::bucket_log::BucketAt;
use super::join_span::Span;

/// The spans in memory.
#[derive(Debug, Default)]
pub(super) struct Residents {
    rows: usize,
    bytes: usize,
    /// Those that the running epoch has not changed, by the last turn that asked for them: they may be dropped.
    idle: BTreeSet<(u64, BucketAt)>,
    /// Those that it has.
    changed: BTreeSet<BucketAt>,
}

impl Residents {
    /// Rows and bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.rows, self.bytes)
    }

    /// A span came into memory as it is.
    pub(super) fn came(&mut self, at: BucketAt, span: &Span) {
        let (rows, bytes) = span.size();
        self.rows += rows;
        self.bytes += bytes;
        if !self.changed.contains(&at) {
            self.idle.insert((span.used, at));
        }
    }

    /// A span in memory has so many rows more, and takes `after` bytes instead of `before`.
    pub(super) fn grew(&mut self, rows: usize, before: usize, after: usize) {
        self.rows += rows;
        self.bytes = self.bytes - before + after;
    }

    /// A span leaves memory, or is forgotten: `span` is as it was.
    pub(super) fn left(&mut self, at: BucketAt, span: &Span) {
        let (rows, bytes) = span.size();
        self.rows -= rows;
        self.bytes -= bytes;
        self.idle.remove(&(span.used, at));
        self.changed.remove(&at);
    }

    /// Somebody asks for a span.
    pub(super) fn asked(&mut self, at: BucketAt, span: &mut Span, turn: u64) {
        let before = std::mem::replace(&mut span.used, turn);
        if self.idle.remove(&(before, at)) {
            self.idle.insert((turn, at));
        }
    }

    /// The running epoch changes a span, which is in memory.
    pub(super) fn changes(&mut self, at: BucketAt, span: &Span) {
        self.idle.remove(&(span.used, at));
        self.changed.insert(at);
    }

    /// The spans that the epoch has changed, which ends. Each [settles](Self::settles) once it is written.
    pub(super) fn take_changed(&mut self) -> BTreeSet<BucketAt> {
        std::mem::take(&mut self.changed)
    }

    /// What the epoch has changed of a span is written.
    pub(super) fn settles(&mut self, at: BucketAt, span: &Span) {
        if span.loaded.is_some() {
            self.idle.insert((span.used, at));
        }
    }

    /// The span that was not asked for the longest, nor since `turn` began.
    pub(super) fn longest_idle(&self, turn: u64) -> Option<BucketAt> {
        let (used, at) = self.idle.first()?;
        (*used < turn).then_some(*at)
    }
}
