//! What a join of two streams keeps: the rows of both sides that others may still meet.
//!
//! A span of time of one side is in memory as a whole or not at all. When there are more than fit, those that nobody asked for the longest
//! are dropped, and read from the local store again when somebody does. What the running epoch changed, and what is being asked for, stays.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{interleave, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::bucket_log::{BucketAt, Content, Entry, bucket_prefix};
pub(crate) use super::join_span::{Came, JoinStoreError, Pair, Place};
use super::join_span::{Loaded, REWRITTEN_BYTES_MAX, Run, Span};
use super::pieces::{Piece, counts, last_whole};
use super::residents::Residents;
use super::time_buckets::{Bucket, KeyError, KeyExprs, Keys, hash};
use super::{BucketLog, Owner, Share, StateError};
use crate::rows::EventTime;
use crate::sink::RecordBuffer;
use crate::store::LocalStore;

/// Both sides of a join, by number: 0 left, 1 right.
pub(crate) struct JoinStore {
    keys: [KeyExprs; 2],
    /// How long a span is.
    width: i64,
    spans: BTreeMap<BucketAt, Span>,
    /// Those of them that are in memory.
    residents: Residents,
    log: BucketLog,
    share: Share,
    /// Where rows are that memory has no room for.
    store: Option<LocalStore>,
    /// Counts up with each batch of rows, and with what closes.
    turn: u64,
    /// Bytes of rows that came in the running epoch.
    added_bytes: usize,
    /// Records of rows that are forgotten: they are made void an epoch later, when it is certain that what they gave counts.
    closed: Vec<(BucketAt, Vec<Piece>)>,
    /// What the changelog said so far; without content where that is too much.
    restoring: BTreeMap<(BucketAt, Piece), Option<Content>>,
    restoring_bytes: usize,
}

impl JoinStore {
    /// `keys` are those of each side, `width` the length of a span in milliseconds.
    pub(crate) fn new(keys: [KeyExprs; 2], width: i64, log: BucketLog, share: Share) -> Self {
        Self {
            keys,
            width,
            spans: BTreeMap::new(),
            residents: Residents::default(),
            log,
            share,
            store: None,
            turn: 1,
            added_bytes: 0,
            closed: Vec::new(),
            restoring: BTreeMap::new(),
            restoring_bytes: 0,
        }
    }

    /// The local store of the changelog.
    pub(crate) fn attach(&mut self, store: &LocalStore) {
        self.store = Some(store.clone());
    }

    /// Whether the epoch should end.
    pub(crate) fn is_full(&self) -> bool {
        self.store.is_some() && self.share.is_full_with(self.added_bytes)
    }

    /// Whether memory may not have everything.
    fn is_limited(&self) -> bool {
        self.store.is_some() && self.share.bytes().is_some()
    }

    /// Somebody else may have held the state since it was last worked on.
    pub(crate) fn belongs_to(&mut self, owner: Owner) {
        self.log.belongs_to(owner);
    }

    /// Rows and bytes in memory.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.residents.size()
    }

    /// The same, counted.
    fn counted(&self) -> (usize, usize) {
        let sizes = self.spans.values().map(Span::size);
        sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
    }

    /// The keys of rows of a side.
    pub(crate) fn keys(&self, side: usize, batch: &RecordBatch) -> Result<Keys, KeyError> {
        self.keys[side].of(batch)
    }

    /// Refuses rows of a side that cannot be kept, because one of them is larger than a record of the changelog may be.
    pub(crate) fn check(&self, side: usize, batch: &RecordBatch) -> Result<(), JoinStoreError> {
        let Some((row, bytes)) = self.log.too_large(u8::from(side == 1), batch)? else {
            return Ok(());
        };
        Err(JoinStoreError::RowTooLarge {
            changelog: Arc::clone(self.log.topic()),
            key: self.keys[side].text(batch, row)?,
            bytes,
            bytes_max: self.log.row_bytes_max(),
        })
    }

    fn at(&self, side: usize, time: EventTime) -> BucketAt {
        BucketAt {
            side: u8::from(side == 1),
            start: time - time.rem_euclid(self.width),
        }
    }

    /// Whether it is asked which rows of a side were matched.
    fn marks(&self, side: usize) -> bool {
        self.log.side(u8::from(side == 1)).marks()
    }

    /// Readies what `came` may meet: rows of the other side up to `back` milliseconds earlier and `forth` later.
    pub(crate) fn ready(&mut self, came: &Came<'_>, back: i64, forth: i64) -> Result<(), JoinStoreError> {
        if !self.is_limited() {
            return Ok(());
        }
        self.turn += 1;
        let (mut wanted, mut before) = (BTreeSet::new(), None);
        for &time in came.times {
            let (own, around) = (
                self.at(came.side, time),
                self.around(came.side, time, back, forth),
            );
            // Most rows are about as late as those before them.
            if before.replace((own, around)) == Some((own, around)) {
                continue;
            }
            wanted.insert(own);
            let (first, last) = around;
            let mut start = first.start;
            while start <= last.start {
                wanted.insert(BucketAt { start, ..first });
                start += self.width;
            }
        }
        // Marked first, so that none of them makes room for another.
        let turn = self.turn;
        let there = |at: &BucketAt| Some((*at, self.spans.get(at)?.loaded.is_some()));
        let known: Vec<(BucketAt, bool)> = wanted.iter().filter_map(there).collect();
        for (at, _) in &known {
            if let Some(span) = self.spans.get_mut(at) {
                self.residents.asked(*at, span, turn);
            }
        }
        self.make_room();
        known
            .iter()
            .filter(|(_, loaded)| !loaded)
            .try_for_each(|(at, _)| self.load(*at))
    }

    /// The first and the last span of the other side around `time`.
    fn around(&self, side: usize, time: EventTime, back: i64, forth: i64) -> (BucketAt, BucketAt) {
        let first = self.at(1 - side, time.saturating_sub(back).max(0));
        (first, self.at(1 - side, time.saturating_add(forth)))
    }

    /// The rows of the other side that rows which came belong to, from row number `first` on, until there are `most` of them or some more; gives
    /// them and the next row to ask for.
    pub(crate) fn probe(
        &self,
        came: &Came<'_>,
        (back, forth): (i64, i64),
        first: usize,
        most: usize,
    ) -> (Vec<Pair>, usize) {
        let (mut pairs, mut next) = (Vec::new(), first);
        while next < came.times.len() && pairs.len() < most {
            let (key, time) = (came.keys.get(next), came.times[next]);
            let (hash, row) = (hash(key), next as u32);
            let within: RangeInclusive<EventTime> = time.saturating_sub(back)..=time.saturating_add(forth);
            let (from, to) = self.around(came.side, time, back, forth);
            for (at, span) in self.spans.range(from..=to) {
                if let Some(Loaded { bucket, .. }) = &span.loaded {
                    bucket.probe(hash, key, &within, &mut |found| {
                        let other = Place {
                            time: bucket.time(found),
                            start: at.start,
                            row: found,
                            bytes: bucket.row_bytes(found),
                        };
                        pairs.push(Pair { row, other });
                    });
                }
            }
            next += 1;
        }
        (pairs, next)
    }

    /// Notes that rows of `side` were matched.
    pub(crate) fn mark(&mut self, side: usize, places: impl Iterator<Item = Place>) {
        if !self.marks(side) {
            return;
        }
        for place in places {
            let at = self.at(side, place.start);
            let Some(span) = self.spans.get_mut(&at) else {
                continue;
            };
            if let Some(loaded) = &mut span.loaded
                && loaded.bucket.mark(place.row)
                && (place.row as usize) < loaded.logged
            {
                loaded.matched.push(place.row);
                self.residents.changes(at, span);
            }
        }
    }

    /// What columns rows of `side` have.
    pub(crate) fn schema(&self, side: usize) -> &SchemaRef {
        self.log.side(u8::from(side == 1)).schema()
    }

    /// The columns of rows of `side`.
    pub(crate) fn columns(&self, side: usize, places: &[Place]) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut batches: Vec<&RecordBatch> = Vec::new();
        let mut numbers: BTreeMap<(EventTime, usize), usize> = BTreeMap::new();
        let mut found = Vec::with_capacity(places.len());
        for place in places {
            let bucket = self.bucket(self.at(side, place.start));
            let (batch, row) = bucket.place(place.row);
            let number = *numbers.entry((place.start, batch)).or_insert_with(|| {
                batches.push(bucket.batch(batch));
                batches.len() - 1
            });
            found.push((number, row));
        }
        let columns = self.log.side(u8::from(side == 1)).schema().fields().len();
        let column = |number: usize| {
            let parts = batches.iter().map(|batch| batch.column(number).as_ref());
            interleave(&parts.collect::<Vec<_>>(), &found)
        };
        (0..columns).map(column).collect()
    }

    fn bucket(&self, at: BucketAt) -> &Bucket {
        let loaded = self.spans.get(&at).and_then(|span| span.loaded.as_ref());
        &loaded
            .expect("what was found is in memory until the turn is over")
            .bucket
    }

    /// Keeps rows that came, of which [`ready`](Self::ready) was told; `matched` says which met others.
    pub(crate) fn add(&mut self, came: &Came<'_>, matched: &[bool]) -> Result<(), JoinStoreError> {
        let mut by_span: BTreeMap<BucketAt, Vec<usize>> = BTreeMap::new();
        for (row, &time) in came.times.iter().enumerate() {
            by_span.entry(self.at(came.side, time)).or_default().push(row);
        }
        for (at, rows) in by_span {
            let batch = match rows.len() == came.times.len() {
                true => came.batch.clone(),
                false => {
                    let places: UInt32Array = rows.iter().map(|row| Some(*row as u32)).collect();
                    take_record_batch(came.batch, &places)?
                }
            };
            let fresh = match self.spans.get(&at) {
                Some(Span { loaded: Some(_), .. }) => None,
                _ => Some(self.fresh(at)),
            };
            let span = self.spans.entry(at).or_default();
            if let Some(fresh) = fresh {
                span.loaded = Some(fresh);
                self.residents.came(at, span);
            }
            self.residents.asked(at, span, self.turn);
            self.residents.changes(at, span);
            let Some(Loaded { bucket, .. }) = &mut span.loaded else {
                continue;
            };
            let before = bucket.size_bytes();
            bucket.add(batch, &rows, came.times, came.keys, matched)?;
            let after = bucket.size_bytes();
            self.residents.grew(rows.len(), before, after);
            // Batches that are put together may take less than they did.
            self.added_bytes += after.saturating_sub(before);
        }
        Ok(())
    }

    fn fresh(&self, at: BucketAt) -> Loaded {
        let side = self.log.side(at.side);
        let span = at.start..at.start.saturating_add(self.width);
        Loaded {
            bucket: Bucket::new(side.schema(), span, side.marks()),
            logged: 0,
            matched: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// The rows of the first span of `side` with times within `times` that were not matched, by time, and where the next span may begin; none
    /// if there is no such span. [`columns`](Self::columns) has the rows until the next call.
    pub(crate) fn unmatched(
        &mut self,
        side: usize,
        times: &Range<EventTime>,
    ) -> Result<Option<(Vec<Place>, EventTime)>, JoinStoreError> {
        if times.is_empty() || !self.marks(side) {
            return Ok(None);
        }
        let first = BucketAt {
            start: times.start.saturating_sub(self.width),
            ..self.at(side, 0)
        };
        let ends = |at: &BucketAt| at.start.saturating_add(self.width);
        let after = BucketAt {
            start: times.end,
            ..first
        };
        let in_reach = self.spans.range(first..after).map(|(at, _)| at);
        let Some(at) = in_reach.copied().find(|at| ends(at) > times.start) else {
            return Ok(None);
        };
        let end = ends(&at);
        self.turn += 1;
        if let Some(span) = self.spans.get_mut(&at) {
            self.residents.asked(at, span, self.turn);
        }
        self.make_room();
        if self.spans.get(&at).is_some_and(|span| span.loaded.is_none()) {
            self.load(at)?;
        }
        let bucket = self.bucket(at);
        let place = |row: u32| Place {
            time: bucket.time(row),
            start: at.start,
            row,
            bytes: bucket.row_bytes(row),
        };
        let mut places: Vec<Place> = bucket.unmatched(times).into_iter().map(place).collect();
        places.sort_unstable();
        Ok(Some((places, end)))
    }

    /// Forgets rows of `side` that are all before `end`.
    pub(crate) fn forget(&mut self, side: usize, end: EventTime) {
        let first = BucketAt {
            start: EventTime::MIN,
            ..self.at(side, 0)
        };
        let of_side = self.spans.range(first..).map(|(at, _)| *at);
        let is_over = |at: &BucketAt| at.side == first.side && at.start.saturating_add(self.width) <= end;
        let spans: Vec<BucketAt> = of_side.take_while(is_over).collect();
        for at in spans {
            if let Some(span) = self.spans.remove(&at) {
                self.residents.left(at, &span);
                self.closed.push((at, span.pieces));
            }
        }
    }

    /// What was forgotten in the last epoch is certain.
    pub(crate) fn void_closed(&mut self) {
        for (at, pieces) in self.closed.drain(..) {
            pieces.into_iter().for_each(|piece| self.log.delete(at, piece));
        }
    }

    /// The epoch ends: gives the records that it has to write.
    pub(crate) fn changes(&mut self) -> Result<Option<RecordBuffer>, JoinStoreError> {
        debug_assert_eq!(self.residents.size(), self.counted());
        let mut rewritten = REWRITTEN_BYTES_MAX;
        for at in self.residents.take_changed() {
            if let Some(span) = self.spans.get_mut(&at) {
                span.write(at, &mut self.log, &mut rewritten)?;
                self.residents.settles(at, span);
            }
        }
        self.added_bytes = 0;
        Ok(self.log.take())
    }

    /// Drops what nobody asked for in this turn, as long as there is too much in memory.
    fn make_room(&mut self) {
        if !self.is_limited() {
            return;
        }
        while self.share.is_full(self.residents.size().1 / 2) {
            let Some(at) = self.residents.longest_idle(self.turn) else {
                return;
            };
            if let Some(span) = self.spans.get_mut(&at) {
                self.residents.left(at, span);
                span.loaded = None;
            }
        }
    }

    /// Reads the rows of a span from the local store.
    fn load(&mut self, at: BucketAt) -> Result<(), JoinStoreError> {
        let (mut pieces, mut failure) = (BTreeMap::new(), None);
        if let Some(store) = &self.store {
            let log = &mut self.log;
            let prefix = bucket_prefix(at);
            let scanned = store.scan(&[&prefix], &mut |key, value| {
                match log.decode_again(key, value) {
                    Ok(Entry::Piece { piece, content, .. }) => {
                        drop(content.map(|content| pieces.insert(piece, content)))
                    }
                    Ok(Entry::Meaning) => {}
                    Err(error) => drop(failure.get_or_insert(error)),
                }
                true
            });
            scanned.map_err(StateError::from)?;
        }
        if let Some(error) = failure {
            return Err(error.into());
        }
        let loaded = self.together(at, pieces.into_iter().collect())?;
        let span = self.spans.entry(at).or_default();
        span.pieces_bytes = span.pieces_bytes.max(loaded.bucket.size_bytes());
        span.loaded = Some(loaded);
        self.residents.came(at, span);
        Ok(())
    }

    /// What the pieces of a span, in order, are together.
    fn together(&self, at: BucketAt, pieces: Vec<(Piece, Content)>) -> Result<Loaded, JoinStoreError> {
        let whole = last_whole(&pieces);
        let (mut loaded, mut matched) = (self.fresh(at), Vec::new());
        for (piece, content) in pieces {
            if !counts(piece, &content, whole) {
                continue;
            }
            match content {
                Content::Rows { first_row, rows, .. } => {
                    loaded.runs.push(Run {
                        first: loaded.bucket.len(),
                        owner: piece.owner,
                        number: first_row,
                    });
                    let keys = self.keys[usize::from(at.side)].of(&rows.batch)?;
                    let places: Vec<usize> = (0..rows.times.len()).collect();
                    let bucket = &mut loaded.bucket;
                    bucket.add(rows.batch, &places, &rows.times, &keys, &rows.matched)?;
                }
                Content::Matched(rows) => matched.extend(rows),
            }
        }
        loaded.logged = loaded.bucket.len();
        loaded.mark_numbered(matched);
        Ok(loaded)
    }

    /// Takes a record of the changelog.
    pub(crate) fn restore(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), StateError> {
        if let Entry::Piece { at, piece, content } = self.log.decode(key, value)? {
            let Some(content) = content else {
                self.restoring.remove(&(at, piece));
                return Ok(());
            };
            self.restoring_bytes += value.map_or(0, <[u8]>::len);
            let full = self.store.is_some() && self.share.is_full(self.restoring_bytes);
            if full {
                // All of it is in the store; which pieces there are is needed to make them void.
                self.restoring.values_mut().for_each(|content| *content = None);
                self.restoring_bytes = 0;
            }
            self.restoring.insert((at, piece), (!full).then_some(content));
        }
        Ok(())
    }

    /// The changelog ends.
    pub(crate) fn end_restore(&mut self) -> Result<(), JoinStoreError> {
        let mut spans: BTreeMap<BucketAt, Vec<(Piece, Option<Content>)>> = BTreeMap::new();
        for ((at, piece), content) in std::mem::take(&mut self.restoring) {
            spans.entry(at).or_default().push((piece, content));
        }
        for (at, pieces) in spans {
            let mut span = Span {
                // Those that do not count are made void with the others.
                pieces: pieces.iter().map(|(piece, _)| *piece).collect(),
                // How large they are is not known; that it is time to put many of them together, is.
                ..Span::default()
            };
            let known = pieces.into_iter().map(|(piece, content)| Some((piece, content?)));
            if let Some(pieces) = known.collect::<Option<Vec<_>>>() {
                let loaded = self.together(at, pieces)?;
                span.pieces_bytes = loaded.bucket.size_bytes();
                span.loaded = Some(loaded);
                self.residents.came(at, &span);
            }
            self.spans.insert(at, span);
        }
        match &self.store {
            Some(store) => Ok(self.log.check_meaning(store)?),
            None => Ok(()),
        }
    }
}
