//! Changed rows of the log, as far as chunks are concerned.
use std::sync::Arc;

use super::chunk::{Change, Chunk};
use super::key::{KeyColumns, Place};
use super::settings::Told;
use super::state::TableState;
use super::work::{InLog, TableWork};
use crate::mysql::binlog::{Row, Value};

/// So many rows of a table are read again one by one; if there are more, all of the table is.
const AGAIN_MAX: usize = 100;

/// Takes the changed rows of one table, of one event of the log.
pub struct Touching<'a> {
    pub(super) work: &'a mut TableWork,
    pub(super) state: &'a mut TableState,
    /// Its key; nothing while it is not known.
    pub(super) key: Option<Arc<KeyColumns>>,
    /// Where the key's columns are in the log's rows; nothing if they are not there.
    pub(super) indexes: Option<InLog>,
    /// Numbers touches.
    pub(super) touches: &'a mut u64,
    /// Something has to be read again.
    pub(super) dirty: &'a mut bool,
    pub(super) old: Vec<u8>,
    pub(super) new: Vec<u8>,
}

impl Touching<'_> {
    /// A row was changed.
    pub fn row(&mut self, row: &Row<'_>, told: Told) {
        *self.touches += 1;
        self.work.strayed |= told == Told::Part && !row.before.is_empty() && !row.after.is_empty();
        let Some(key) = self.key.clone() else { return };
        if self.touch(row, told, &key).is_none() {
            self.unknown();
        }
    }

    /// Nothing if it cannot be said which row it is.
    fn touch(&mut self, row: &Row<'_>, told: Told, key: &KeyColumns) -> Option<()> {
        let InLog { identity, leading } = self.indexes.clone()?;
        let before = |index: usize| row.before.get(index).copied().unwrap_or(Value::Absent);
        // What a minimal image leaves out is as it was.
        let after = |index: usize| match row.after.get(index) {
            Some(Value::Absent) | None => before(index),
            Some(value) => *value,
        };
        let (was, is) = (!row.before.is_empty(), !row.after.is_empty());
        let (mut old, mut new) = (std::mem::take(&mut self.old), std::mem::take(&mut self.new));
        old.clear();
        new.clear();
        let known = (!was || key.identity_of_values(before, &identity, &mut old))
            && (!is || key.identity_of_values(after, &identity, &mut new));
        if !known {
            return None;
        }
        let moved = was && is && old != new;
        if was && (!is || moved) {
            let number = key.integer_of_value(&before(identity[0]));
            self.touch_key(key, (&old, number), Told::Whole, false);
        }
        if is {
            let number = key.integer_of_value(&after(identity[0]));
            self.touch_key(key, (&new, number), told, moved || !was);
        }
        if told == Told::Part && was && is && (moved || has_new_place(row, leading.as_deref())) {
            self.again(key.stored_identity(after, &identity)?);
        }
        (self.old, self.new) = (old, new);
        Some(())
    }

    fn touch_key(
        &mut self,
        key: &KeyColumns,
        (identity, number): (&[u8], Option<i128>),
        told: Told,
        new: bool,
    ) {
        let change = Change {
            number: *self.touches,
            told,
            new,
        };
        let cells = self.work.cells();
        let mut asked = false;
        let mut again = false;
        for chunk in self.work.each_chunk_mut() {
            if !chunk.may_have(number) {
                continue;
            }
            asked |= chunk.is_asked();
            again |= chunk.touch(identity, change, key, cells);
        }
        if asked {
            self.work.touched.add(identity, change);
        }
        *self.dirty |= again;
    }

    /// A row got this key, and not all of it was told: it may be among those that were passed already.
    fn again(&mut self, identity: Place) {
        *self.dirty = true;
        if self.state.again.contains(&identity) {
            // What is on its way may be from before this change.
            self.work.keyed.iter_mut().for_each(Chunk::distrust);
            return;
        }
        if self.state.again.len() < AGAIN_MAX {
            self.state.again.push(identity);
            return;
        }
        tracing::warn!(
            table = %self.work.id,
            "changes gave more than {AGAIN_MAX} rows other keys without telling all of them: the table is read from the first row on; \
             SET GLOBAL binlog_row_image = FULL on the server"
        );
        self.state.begin_again();
        self.work.recall();
    }

    /// A change touches a row, but not even its key is told.
    fn unknown(&mut self) {
        *self.dirty = true;
        self.work.each_chunk_mut().for_each(Chunk::distrust);
    }
}

/// Whether a change may have given a row another place in an order of more than its identity.
fn has_new_place(row: &Row<'_>, leading: Option<&[usize]>) -> bool {
    let value = |image: &[Value<'_>], index: usize| !matches!(image.get(index), None | Some(Value::Absent));
    // What an image before leaves out, and the one after has, was changed.
    let stays = |index: &usize| !value(&row.after, *index) || row.before.get(*index) == row.after.get(*index);
    leading.is_none_or(|leading| !leading.iter().all(stays))
}
