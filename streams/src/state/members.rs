//! Rows and the groups that they are members of.
//!
//! The members of a group are a chain through the table's places, so that asking for some groups costs their members, however many others
//! there are.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter;
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use datafusion::common::DataFusionError;

use super::RowTable;

/// The end of a chain.
const END: u32 = u32::MAX;
/// The place is in no chain.
const UNLINKED: u32 = u32::MAX - 1;

/// Groups without members that are kept at least.
const EMPTY_MIN: usize = if cfg!(test) { 4 } else { 4096 };

/// Rows by group and a key of their own. Their last column is a number that orders them within their group.
pub(crate) struct Members {
    /// By group and a key of their own.
    rows: RowTable,
    /// Groups, without values.
    groups: RowTable,
    /// The first columns of keys.
    group_columns: usize,
    /// The first member of each group, or [`END`].
    first: Vec<u32>,
    /// The member behind each in its group, [`END`], or [`UNLINKED`]. A member that was deleted stays in its chain until somebody walks by.
    next: Vec<u32>,
    /// How many members each group has.
    sizes: Vec<usize>,
    /// How many groups have any.
    filled: usize,
    /// Whether all members of each group are here.
    whole: Vec<bool>,
}

impl Members {
    pub(super) fn new(
        schema: &SchemaRef,
        key_columns: usize,
        group_columns: usize,
    ) -> Result<Self, DataFusionError> {
        let (keys, values) = schema.fields().split_at(key_columns);
        let schema_of = |fields: &[_]| -> SchemaRef { Arc::new(Schema::new(fields.to_vec())) };
        Ok(Self {
            rows: RowTable::new(schema_of(keys), schema_of(values))?,
            groups: RowTable::new(schema_of(&keys[..group_columns]), Arc::new(Schema::empty()))?,
            group_columns,
            first: Vec::new(),
            next: Vec::new(),
            sizes: Vec::new(),
            filled: 0,
            whole: Vec::new(),
        })
    }

    /// No members, with the same columns.
    pub(super) fn anew(&self) -> Result<Self, DataFusionError> {
        Ok(Self {
            rows: self.rows.anew()?,
            groups: self.groups.anew()?,
            group_columns: self.group_columns,
            first: Vec::new(),
            next: Vec::new(),
            sizes: Vec::new(),
            filled: 0,
            whole: Vec::new(),
        })
    }

    /// The places of groups.
    pub(crate) fn groups(&mut self, groups: &[ArrayRef]) -> Result<Vec<usize>, DataFusionError> {
        let places = self.groups.places(groups)?;
        let groups = self.groups.places_end();
        self.first.resize(groups, END);
        self.sizes.resize(groups, 0);
        self.whole.resize(groups, false);
        Ok(places)
    }

    /// The keys of all groups, by their places.
    pub(crate) fn group_keys(&mut self) -> Result<Vec<ArrayRef>, DataFusionError> {
        self.groups.keys()
    }

    /// How many members a group has.
    pub(crate) fn size_of(&self, group: usize) -> usize {
        self.sizes[group]
    }

    /// Whether a group has members.
    pub(crate) fn has_members(&self, group: usize) -> bool {
        self.sizes[group] > 0
    }

    /// Whether all members of a group are here.
    pub(super) fn is_whole(&self, group: usize) -> bool {
        self.whole[group]
    }

    /// All members of a group are here.
    pub(super) fn set_whole(&mut self, group: usize) {
        self.whole[group] = true;
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Sets or deletes members.
    pub(crate) fn set(
        &mut self,
        keys: &[ArrayRef],
        values: &[ArrayRef],
        live: &[bool],
    ) -> Result<(), DataFusionError> {
        let groups = self.groups(&keys[..self.group_columns])?;
        let places = self.rows.places(keys)?;
        self.reserve(self.rows.places_end())?;
        // A changelog may have a member several times.
        let had = self.rows.set(&places, values, live)?;
        for ((&place, &group), (&live, had)) in places.iter().zip(&groups).zip(live.iter().zip(had)) {
            if live {
                self.link(place, group);
            }
            self.whole[group] = true;
            let size = self.sizes[group] + usize::from(live) - usize::from(had);
            self.filled = self.filled + usize::from(size > 0) - usize::from(self.sizes[group] > 0);
            self.sizes[group] = size;
        }
        Ok(())
    }

    /// Room for so many places, of which none has the number of a mark.
    fn reserve(&mut self, places: usize) -> Result<(), DataFusionError> {
        if places > UNLINKED as usize {
            let what = format!("{places} members of one task's groups are more than memory can number");
            return Err(DataFusionError::ResourcesExhausted(what));
        }
        self.next.resize(places, UNLINKED);
        Ok(())
    }

    fn link(&mut self, place: usize, group: usize) {
        if self.next[place] == UNLINKED {
            // `reserve` has refused what would not fit.
            self.next[place] = std::mem::replace(&mut self.first[group], place as u32);
        }
    }

    /// The members of `groups`, group by group and in the order of their numbers: for each the place of its group in `groups`, and their
    /// columns.
    pub(crate) fn of(&mut self, groups: &[usize]) -> Result<(Vec<usize>, Vec<ArrayRef>), DataFusionError> {
        let (mut group_of, mut members) = (Vec::new(), Vec::new());
        for (place, group) in groups.iter().enumerate() {
            self.walk(*group, &mut members);
            group_of.resize(members.len(), place);
        }
        let numbers = self.rows.gather_last(&members)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        let mut order: Vec<usize> = (0..members.len()).collect();
        for group in order.chunk_by_mut(|one, other| group_of[*one] == group_of[*other]) {
            group.sort_unstable_by_key(|place| numbers.value(*place));
        }
        let members: Vec<usize> = order.into_iter().map(|place| members[place]).collect();
        Ok((group_of, self.rows.gather(&members)?))
    }

    /// Adds the members of a group, and takes those that are deleted out of its chain.
    fn walk(&mut self, group: usize, members: &mut Vec<usize>) {
        let (mut last, mut at) = (END, self.first[group]);
        while at != END {
            let (place, next) = (at as usize, self.next[at as usize]);
            if self.rows.is_live(place) {
                members.push(place);
                last = at;
            } else {
                self.next[place] = UNLINKED;
                match last {
                    END => self.first[group] = next,
                    last => self.next[last as usize] = next,
                }
            }
            at = next;
        }
    }

    /// Forgets deleted members, and groups without members.
    pub(super) fn compact(&mut self) -> Result<(), DataFusionError> {
        match self.rows.compact()? {
            Some(keys) => self.group_anew(&keys),
            None => Ok(()),
        }
    }

    /// Forgets groups without members, if there are many: somebody asked for them.
    pub(crate) fn forget_empty_groups(&mut self) -> Result<(), DataFusionError> {
        let empty = self.sizes.len() - self.filled;
        if empty < EMPTY_MIN || empty < self.sizes.len() / 2 {
            return Ok(());
        }
        self.leave_filled()
    }

    /// Makes the groups anew without those that have no members. Rows stay where they are, however many there are.
    fn leave_filled(&mut self) -> Result<(), DataFusionError> {
        for group in 0..self.sizes.len() {
            if self.sizes[group] == 0 {
                // Its deleted members would be taken for linked when they come back.
                self.walk(group, &mut Vec::new());
            }
        }
        let is_filled: Vec<bool> = self.sizes.iter().map(|size| *size > 0).collect();
        let flags = BooleanArray::from(is_filled.clone());
        let keys = self.groups.keys()?;
        let keys: Vec<ArrayRef> = keys
            .iter()
            .map(|column| filter(column, &flags))
            .collect::<Result<_, _>>()?;
        self.groups = self.groups.anew()?;
        if self.filled > 0 {
            self.groups.places(&keys)?;
        }
        self.first = left(&self.first, &is_filled);
        self.sizes = left(&self.sizes, &is_filled);
        self.whole = left(&self.whole, &is_filled);
        Ok(())
    }

    fn group_anew(&mut self, keys: &[ArrayRef]) -> Result<(), DataFusionError> {
        self.groups = self.groups.anew()?;
        (self.first, self.next, self.sizes, self.whole) = Default::default();
        self.filled = 0;
        if self.rows.len() == 0 {
            return Ok(());
        }
        let groups = self.groups(&keys[..self.group_columns])?;
        self.reserve(groups.len())?;
        for (place, group) in groups.into_iter().enumerate() {
            self.link(place, group);
            self.filled += usize::from(self.sizes[group] == 0);
            self.sizes[group] += 1;
        }
        // Groups of which not all is here have no members here.
        self.whole.fill(true);
        Ok(())
    }

    /// Roughly the memory in use.
    pub(super) fn size_bytes(&self) -> usize {
        let chains = (self.first.capacity() + self.next.capacity()) * size_of::<u32>();
        let sizes = self.sizes.capacity() * size_of::<usize>() + self.whole.capacity();
        self.rows.size_bytes() + self.groups.size_bytes() + chains + sizes
    }
}

/// What is left of what groups have.
fn left<T: Copy>(all: &[T], is_left: &[bool]) -> Vec<T> {
    let both = all.iter().zip(is_left);
    both.filter(|(_, is_left)| **is_left)
        .map(|(one, _)| *one)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field};

    fn column(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn new_members() -> Members {
        let fields = ["group", "key", "value", "number"].map(|name| Field::new(name, DataType::Int64, true));
        Members::new(&Arc::new(Schema::new(fields.to_vec())), 2, 1).unwrap()
    }

    /// Members as they ought to be: the value and the number of each key, by group.
    #[derive(Default)]
    struct Oracle(BTreeMap<i64, BTreeMap<i64, (i64, i64)>>);

    impl Oracle {
        fn set(&mut self, members: &mut Members, changes: &[(i64, i64, i64, i64, bool)]) {
            let of = |place: fn(&(i64, i64, i64, i64, bool)) -> i64| {
                column(&changes.iter().map(place).collect::<Vec<_>>())
            };
            let live: Vec<bool> = changes.iter().map(|change| change.4).collect();
            let keys = [of(|change| change.0), of(|change| change.1)];
            members
                .set(&keys, &[of(|change| change.2), of(|change| change.3)], &live)
                .unwrap();
            for (group, key, value, number, live) in changes {
                let group = self.0.entry(*group).or_default();
                match live {
                    true => drop(group.insert(*key, (*value, *number))),
                    false => drop(group.remove(key)),
                }
            }
        }

        fn check(&self, members: &mut Members, groups: &[i64]) {
            let places = members.groups(&[column(groups)]).unwrap();
            let (group_of, columns) = members.of(&places).unwrap();
            let values = columns[0].as_primitive::<Int64Type>().values();
            let numbers = columns[1].as_primitive::<Int64Type>().values();
            let found: Vec<(usize, i64, i64)> = (0..group_of.len())
                .map(|row| (group_of[row], numbers[row], values[row]))
                .collect();
            let mut expected = Vec::new();
            for (place, group) in groups.iter().enumerate() {
                let there = self.0.get(group).into_iter().flat_map(BTreeMap::values);
                let mut there: Vec<_> = there.map(|(value, number)| (place, *number, *value)).collect();
                assert_eq!(members.has_members(places[place]), !there.is_empty());
                there.sort_unstable();
                expected.extend(there);
            }
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn members_come_by_group_in_the_order_of_their_numbers() {
        let (mut members, mut oracle) = (new_members(), Oracle::default());
        let changes = [
            (1, 10, 100, 7, true),
            (2, 10, 200, 3, true),
            (1, 11, 101, 2, true),
            (1, 12, 102, 5, true),
        ];
        oracle.set(&mut members, &changes);
        oracle.check(&mut members, &[2, 1, 9]);
        // A changelog may have a member several times.
        oracle.set(&mut members, &[(1, 11, 103, 8, true), (1, 11, 0, 0, false)]);
        oracle.check(&mut members, &[1, 2]);
    }

    #[test]
    fn the_deleted_leave_their_chain_wherever_they_are_and_may_come_back() {
        for gone in [vec![0], vec![1], vec![2], vec![0, 1], vec![1, 2], vec![0, 1, 2]] {
            let (mut members, mut oracle) = (new_members(), Oracle::default());
            let there: Vec<_> = (0..3).map(|key| (1, key, key, key, true)).collect();
            oracle.set(&mut members, &there);
            let deleted: Vec<_> = gone.iter().map(|key| (1, *key, 0, 0, false)).collect();
            oracle.set(&mut members, &deleted);
            oracle.check(&mut members, &[1]);
            oracle.check(&mut members, &[1]);
            let back: Vec<_> = gone.iter().map(|key| (1, *key, 50, 9 + key, true)).collect();
            oracle.set(&mut members, &back);
            // Deleted and back before anybody walked by.
            oracle.set(&mut members, &deleted);
            oracle.set(&mut members, &back);
            oracle.check(&mut members, &[1]);
        }
    }

    #[test]
    fn groups_without_members_are_forgotten() {
        let (mut members, mut oracle) = (new_members(), Oracle::default());
        oracle.set(
            &mut members,
            &[(1, 1, 5, 0, true), (2, 1, 6, 1, true), (2, 1, 0, 2, false)],
        );
        members
            .groups(&[column(&(0..10_000).collect::<Vec<i64>>())])
            .unwrap();
        members.forget_empty_groups().unwrap();
        assert_eq!((members.groups.places_end(), members.filled), (1, 1));
        assert_eq!(members.rows.places_end(), 2, "rows stay where they are");
        oracle.check(&mut members, &[3, 2, 1]);
        oracle.set(&mut members, &[(2, 1, 7, 3, true), (1, 1, 0, 4, false)]);
        oracle.check(&mut members, &[1, 2]);
        assert_eq!(members.filled, 1);
    }

    #[test]
    fn chains_are_made_anew_when_most_members_are_gone() {
        let (mut members, mut oracle) = (new_members(), Oracle::default());
        let all: Vec<_> = (0..10_000).map(|key| (key % 7, key, key, key, true)).collect();
        oracle.set(&mut members, &all);
        let gone: Vec<_> = (0..9_990).map(|key| (key % 7, key, 0, 0, false)).collect();
        oracle.set(&mut members, &gone);
        members.compact().unwrap();
        assert_eq!((members.len(), members.next.len()), (10, 10));
        oracle.check(&mut members, &[6, 5, 4, 3, 2, 1, 0]);
        oracle.set(&mut members, &[(3, 1, 5, 20_000, true), (4, 9_999, 0, 0, false)]);
        oracle.check(&mut members, &[0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
