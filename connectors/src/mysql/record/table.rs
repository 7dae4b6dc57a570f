//! Records of a table's rows.
use std::sync::Arc;

use bytestring::ByteString;
use millstream_connect::record::{Datum, Record, SchemaRef, Value};

use super::column::{Mapped, Role};
use super::envelope::{At, Envelope, Row, Source};
use super::key::{Key, structure};
use super::partial::{LeftOut, Shapes};
use super::{ChangedRows, Moment, Origin, ReadRows, RecordError, Records, Transactions, headers};
use crate::mysql::binlog::{self, Change, ColumnType};
use crate::mysql::schema::{Column, Table, TableId};

/// What is compiled once for a table as it is at a place of the log: topic, schemas, and how each column's values become Connect's.
/// Keep it as long as the log's `Arc<TableMap>` is the same.
#[derive(Debug)]
pub struct TableRecords {
    pub(super) records: Arc<Records>,
    pub(super) id: TableId,
    pub(super) database: ByteString,
    pub(super) table: ByteString,
    pub(super) topic: Arc<str>,
    /// How many columns the table has.
    width: usize,
    pub(super) key: Option<Key>,
    /// The columns that are told, in the table's order.
    pub(super) told: Vec<Mapped>,
    pub(super) shapes: Shapes,
    pub(super) selected: Vec<usize>,
    select_list: String,
}

/// A row of a log, and what its other image says of it.
#[derive(Clone, Copy)]
struct Image<'a> {
    values: &'a [binlog::Value<'a>],
    /// The row before an update, for what that left as it was.
    before: &'a [binlog::Value<'a>],
    /// Whether what it does not say is the column's default.
    inserted: bool,
}

impl<'a> Image<'a> {
    /// The value of a column, wherever it is said.
    #[inline]
    fn value(&self, index: usize) -> binlog::Value<'a> {
        match self.values[index] {
            binlog::Value::Absent => self.before.get(index).copied().unwrap_or(binlog::Value::Absent),
            value => value,
        }
    }
}

impl TableRecords {
    /// For a table. Its columns that `column.include.list` or `column.exclude.list` leave out are not told; those of the key always are
    /// part of the key.
    ///
    /// # Errors
    /// [`RecordError`] with settings that do not fit the table.
    pub fn new(table: &Table, records: &Arc<Records>) -> Result<Self, RecordError> {
        let topic = records.topic(&table.id);
        let told = (0..table.columns.len())
            .filter(|index| {
                let name = format!("{}.{}", table.id, table.columns[*index].name);
                records.filters.columns.has(&name)
            })
            .map(|index| Mapped::new(table, index, Role::Value, records))
            .collect::<Result<Vec<_>, _>>()?;
        let row = structure(table, &told, &records.schema_name(&format!("{topic}.Value")))?;
        let key = Key::new(table, &topic, records)?;
        let mut selected: Vec<usize> = told.iter().map(|column| column.index).collect();
        selected.extend(
            key.iter()
                .flat_map(|key| key.columns.iter().map(|column| column.index)),
        );
        selected.sort_unstable();
        selected.dedup();
        let expressions: Vec<String> = selected
            .iter()
            .map(|index| select_expression(&table.columns[*index]))
            .collect();
        Ok(Self {
            shapes: Shapes::new(Arc::new(row.optional()), &topic, records),
            records: Arc::clone(records),
            id: table.id.clone(),
            database: ByteString::from(&*table.id.database),
            table: ByteString::from(&*table.id.table),
            topic: topic.into(),
            width: table.columns.len(),
            key,
            told,
            select_list: expressions.join(", "),
            selected,
        })
    }

    /// Where its records go.
    #[must_use]
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The schema of keys; nothing for tables without a key.
    #[must_use]
    pub fn key_schema(&self) -> Option<&SchemaRef> {
        self.key.as_ref().map(|key| &key.schema)
    }

    /// The schema of values.
    #[must_use]
    pub fn value_schema(&self) -> &SchemaRef {
        self.shapes.whole()
    }

    /// Whether such changes make no record (`skipped.operations`).
    #[must_use]
    pub fn skips(&self, change: Change) -> bool {
        let skipped = &self.records.filters.skipped;
        match change {
            Change::Insert => skipped.creates,
            Change::Update => skipped.updates,
            Change::Delete => skipped.deletes,
        }
    }

    /// Appends the records of a changed row of a log: `c`, `u`, or `d` and a tombstone; an update of the key is a `d`, a tombstone and
    /// a `c`. Nothing where such changes are skipped.
    ///
    /// What neither image of a row says is the placeholder (`unavailable.value.placeholder`) in columns of text and bytes; a column
    /// of another type, which has no value that could not be meant, is left out of the row's schema. It is never null.
    ///
    /// Records are counted in `transaction`, where one is given.
    ///
    /// # Errors
    /// [`RecordError`] with the column and the place; `out` is then as before. A value that cannot be told is none where the
    /// configuration forgives it (`failures`): it is NULL, or the default where NULL may not be.
    #[expect(
        clippy::too_many_arguments,
        reason = "both images, where they come from, and where the records go"
    )]
    pub fn change(
        &self,
        change: Change,
        before: &[binlog::Value<'_>],
        after: &[binlog::Value<'_>],
        origin: &Origin,
        transaction: Option<&mut Transactions>,
        now: Moment,
        out: &mut Vec<Record>,
    ) -> Result<(), RecordError> {
        let place = At {
            origin,
            source: Source::Own,
            now,
        };
        self.tell(change, (before, after), &place, transaction, out)
    }

    /// Makes the records of rows that were changed by one event.
    #[must_use]
    pub fn changed_rows(&self, origin: Origin, now: Moment) -> ChangedRows<'_> {
        ChangedRows::new(self, origin, now)
    }

    /// [`Self::change`], with what is told of where it comes from.
    pub(super) fn tell(
        &self,
        change: Change,
        (before, after): (&[binlog::Value<'_>], &[binlog::Value<'_>]),
        place: &At<'_>,
        mut transaction: Option<&mut Transactions>,
        out: &mut Vec<Record>,
    ) -> Result<(), RecordError> {
        let origin = place.origin;
        if self.skips(change) {
            return Ok(());
        }
        let (old, new) = self.images(change, before, after, origin)?;
        let row = |image: Option<Image<'_>>| image.map(|image| self.row(image, origin)).transpose();
        let (old_row, new_row) = (row(old)?, row(new)?);
        let moved = self.moves(old, new, origin)?;
        let key = match (&moved, new.or(old)) {
            (None, Some(image)) => self.key(image, origin)?,
            _ => Datum::NULL,
        };
        let mut envelope = Envelope {
            table: self,
            place,
            out,
        };
        let mut block = || match transaction.as_deref_mut() {
            Some(transaction) => transaction.next_block(&self.id),
            None => Value::Null,
        };
        match (change, moved) {
            (Change::Update, Some((old_key, new_key))) => {
                let schema = self.shapes.envelope(old_row.as_ref(), None);
                let header = headers::new_key(new_key.clone());
                envelope.push(
                    "d",
                    &schema,
                    (old_row, None),
                    block(),
                    (old_key.clone(), vec![header]),
                );
                envelope.tombstone();
                let schema = self.shapes.envelope(None, new_row.as_ref());
                let header = headers::old_key(old_key);
                envelope.push("c", &schema, (None, new_row), block(), (new_key, vec![header]));
            }
            (change, _) => {
                let operation = match change {
                    Change::Insert => "c",
                    Change::Update => "u",
                    Change::Delete => "d",
                };
                let schema = self.shapes.envelope(old_row.as_ref(), new_row.as_ref());
                envelope.push(operation, &schema, (old_row, new_row), block(), (key, Vec::new()));
                if change == Change::Delete {
                    envelope.tombstone();
                }
            }
        }
        Ok(())
    }

    /// Counts a changed row in `transaction` as [`Self::change`] does, without making its records: for rows that were delivered
    /// before a restart.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub fn pass_over(
        &self,
        change: Change,
        before: &[binlog::Value<'_>],
        after: &[binlog::Value<'_>],
        origin: &Origin,
        transaction: &mut Transactions,
    ) -> Result<(), RecordError> {
        if self.skips(change) {
            return Ok(());
        }
        let (old, new) = self.images(change, before, after, origin)?;
        let records = 1 + usize::from(self.moves(old, new, origin)?.is_some());
        (0..records).for_each(|_| drop(transaction.count(&self.id)));
        Ok(())
    }

    /// Appends the record `t` of a truncation, which has no key; nothing where `skipped.operations` has `t`.
    pub fn truncate(
        &self,
        origin: &Origin,
        transaction: Option<&mut Transactions>,
        now: Moment,
        out: &mut Vec<Record>,
    ) {
        if self.records.filters.skipped.truncates {
            return;
        }
        let block = transaction.map_or(Value::Null, |transaction| transaction.next_block(&self.id));
        let place = At {
            origin,
            source: Source::Own,
            now,
        };
        let mut envelope = Envelope {
            table: self,
            place: &place,
            out,
        };
        let key = (Datum::NULL, Vec::new());
        envelope.push("t", self.shapes.whole(), (None, None), block, key);
    }

    /// What a `SELECT` has to ask for, so that its text cells are what [`Self::read`] takes: the expressions of [`Self::selected`],
    /// with commas between them.
    #[must_use]
    pub fn select_list(&self) -> &str {
        &self.select_list
    }

    /// The columns that [`Self::read`] takes, as indexes among the table's, ascending: those that are told, and the key's.
    #[must_use]
    pub fn selected(&self) -> &[usize] {
        &self.selected
    }

    /// Appends the record `r` of a row that was read with [`Self::select_list`].
    ///
    /// # Errors
    /// As [`ReadRows::row`].
    pub fn read(
        &self,
        cells: &[Option<&[u8]>],
        origin: &Origin,
        now: Moment,
        out: &mut Vec<Record>,
    ) -> Result<(), RecordError> {
        self.rows(origin.clone(), now).row(origin.snapshot, cells, out)
    }

    /// Makes the records of rows that were read at one place.
    #[must_use]
    pub fn rows(&self, origin: Origin, now: Moment) -> ReadRows<'_> {
        ReadRows::new(self, origin, now)
    }

    /// The row before and after a change, where there is one.
    fn images<'a>(
        &self,
        change: Change,
        before: &'a [binlog::Value<'a>],
        after: &'a [binlog::Value<'a>],
        origin: &Origin,
    ) -> Result<(Option<Image<'a>>, Option<Image<'a>>), RecordError> {
        let old = (change != Change::Insert).then_some(Image {
            values: before,
            before: &[],
            inserted: false,
        });
        let new = (change != Change::Delete).then_some(Image {
            values: after,
            before: if change == Change::Update { before } else { &[] },
            inserted: change == Change::Insert,
        });
        for image in old.iter().chain(&new) {
            self.check_width(image.values.len(), self.width, origin)?;
        }
        Ok((old, new))
    }

    pub(super) fn check_width(
        &self,
        found: usize,
        expected: usize,
        origin: &Origin,
    ) -> Result<(), RecordError> {
        if found == expected {
            return Ok(());
        }
        Err(RecordError::Columns {
            table: self.id.to_string(),
            place: origin.place(),
            expected,
            found,
        })
    }

    pub(super) fn damaged(&self, column: &Mapped, origin: &Origin, damage: binlog::Damage) -> RecordError {
        RecordError::of_column(format!("{}.{}", self.id, column.name), origin.place(), damage)
    }

    /// The values of a row's columns that are told.
    fn row(&self, image: Image<'_>, origin: &Origin) -> Result<Row, RecordError> {
        let mut values = Vec::with_capacity(self.told.len());
        let mut left_out = LeftOut::default();
        for (place, column) in self.told.iter().enumerate() {
            let value = match (image.value(column.index), image.before.get(column.index)) {
                (binlog::Value::Absent, _) if image.inserted && column.implied().is_some() => {
                    column.implied().cloned()
                }
                (binlog::Value::JsonDiff(differences), Some(binlog::Value::Json(document))) => Some(
                    column
                        .patched(document, differences)
                        .map_err(|damage| self.damaged(column, origin, damage))?,
                ),
                (binlog::Value::Absent | binlog::Value::JsonDiff(_), _) => column.placeholder().cloned(),
                (value, _) => Some(
                    column
                        .of_log(&value)
                        .map_err(|damage| self.damaged(column, origin, damage))?,
                ),
            };
            match value {
                Some(value) => values.push(value),
                None => left_out.push(place),
            }
        }
        Ok(Row { values, left_out })
    }

    /// The key of a row; nothing for tables without one.
    fn key(&self, image: Image<'_>, origin: &Origin) -> Result<Datum, RecordError> {
        let Some(key) = &self.key else {
            return Ok(Datum::NULL);
        };
        let values = key.columns.iter().map(|column| {
            let value = match image.value(column.index) {
                binlog::Value::Absent => column.implied().filter(|_| image.inserted).cloned(),
                value => Some(
                    column
                        .of_log(&value)
                        .map_err(|damage| self.damaged(column, origin, damage))?,
                ),
            };
            value.ok_or_else(|| RecordError::AbsentKey {
                column: format!("{}.{}", self.id, column.name),
                place: origin.place(),
            })
        });
        Ok(key.datum(values.collect::<Result<_, _>>()?))
    }

    /// The keys before and after an update, where they are not the same.
    fn moves(
        &self,
        old: Option<Image<'_>>,
        new: Option<Image<'_>>,
        origin: &Origin,
    ) -> Result<Option<(Datum, Datum)>, RecordError> {
        let (Some(old), Some(new), Some(key)) = (old, new, &self.key) else {
            return Ok(None);
        };
        let mut columns = key.columns.iter();
        if columns.all(|column| old.value(column.index) == new.value(column.index)) {
            return Ok(None);
        }
        let (old_key, new_key) = (self.key(old, origin)?, self.key(new, origin)?);
        if old_key.value == new_key.value {
            return Ok(None);
        }
        let unknown = self.told.iter().find(|column| {
            let document = old.values.get(column.index);
            match new.value(column.index) {
                binlog::Value::Absent => true,
                binlog::Value::JsonDiff(_) => !matches!(document, Some(binlog::Value::Json(_))),
                _ => false,
            }
        });
        match unknown {
            Some(column) => Err(RecordError::PartialMove {
                column: format!("{}.{}", self.id, column.name),
                place: origin.place(),
            }),
            None => Ok(Some((old_key, new_key))),
        }
    }
}

/// What a `SELECT` has to ask for, so that a column's text cell says all that a log says: the quoted name, but for FLOAT, of which
/// servers print no more than six digits.
///
/// The session has `SET NAMES utf8mb4`, `time_zone = '+00:00'`, and no `PAD_CHAR_TO_FULL_LENGTH` in its `sql_mode`. Cells are then text in
/// UTF-8, labels for ENUM and SET, and raw bytes for BIT, BINARY, BLOB, geometries and VECTOR.
#[must_use]
pub fn select_expression(column: &Column) -> String {
    let name = format!("`{}`", column.name.replace('`', "``"));
    match column.log.column_type {
        // The double that the float is; a sum would lose the sign of zero.
        ColumnType::Float => format!("{name} * 1e0"),
        _ => name,
    }
}
