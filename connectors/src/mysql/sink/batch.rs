//! Records as the text of their rows, before it is known which statements they go into.
use std::collections::HashMap;
use std::ops::Range;

use millstream_connect::record::{Record, Value};

use super::change::{Action, Change, Fields};
use super::column::{Column, Kind};
use super::config::{InsertMode, SinkConfig};
use super::plan::{From, Plan, Slot};
use super::table::Table;
use super::value::{Cell, Loose, Unfit, push_identifier};

/// What a row has: of which table, which columns, which of them are the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub table: usize,
    pub columns: Vec<usize>,
    /// Those of its columns that get what they have.
    pub kept: Vec<usize>,
    /// Columns, too.
    pub key: Vec<usize>,
}

impl Shape {
    /// Whether all that `other` sets is set by this, too.
    pub fn covers(&self, other: &Self) -> bool {
        let sets = |column: &usize| self.columns.contains(column) && !self.kept.contains(column);
        self == other || other.columns.iter().all(sets)
    }
}

/// The shapes that came.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    pub all: Vec<Shape>,
    numbers: HashMap<Shape, usize>,
}

impl Shapes {
    fn number(&mut self, shape: Shape) -> usize {
        if let Some(number) = self.numbers.get(&shape) {
            return *number;
        }
        self.all.push(shape.clone());
        self.numbers.insert(shape, self.all.len() - 1);
        self.all.len() - 1
    }
}

/// A change of a row, as text.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    /// The record's place among those that were put.
    pub index: usize,
    /// The place of its partition among the task's.
    pub partition: usize,
    pub offset: i64,
    pub action: Action,
    pub table: usize,
    pub shape: usize,
    /// The key's text.
    pub key: Range<usize>,
    /// The row's text.
    pub row: Range<usize>,
}

/// Operations and their text.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub text: Vec<u8>,
    pub operations: Vec<Operation>,
    decoded: Vec<u8>,
}

/// A buffer that has grown beyond this is not kept.
const TEXT_BYTES_KEPT: usize = 32 << 20;

/// Where a record comes from, and what it asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub record: &'a Record,
    pub change: &'a Change<'a>,
    pub index: usize,
    pub partition: usize,
    pub offset: i64,
}

/// Into what records become rows.
pub(super) struct Target<'a> {
    pub config: &'a SinkConfig,
    pub table: &'a Table,
    pub plan: &'a Plan,
    pub shapes: &'a mut Shapes,
    pub packet_bytes_max: usize,
}

impl Batch {
    /// Forgets what is there.
    pub fn clear(&mut self) {
        self.operations.clear();
        self.text.clear();
        if self.text.capacity() > TEXT_BYTES_KEPT {
            self.text = Vec::new();
        }
    }

    /// Adds what a record asks for.
    ///
    /// # Errors
    /// When a value does not go into its column: which one, and why. Nothing is added then.
    pub fn add(&mut self, source: Source<'_>, mut target: Target<'_>) -> Result<(), String> {
        let begin = self.text.len();
        let added = self.write(source, &mut target);
        if added.is_err() {
            self.text.truncate(begin);
        }
        added
    }

    fn write(&mut self, source: Source<'_>, target: &mut Target<'_>) -> Result<(), String> {
        let begin = self.text.len();
        let (mut columns, mut kept) = (Vec::new(), Vec::new());
        let masked = match (source.change.action, target.config.insert_mode) {
            (Action::Truncate, _) => false,
            (Action::Delete, _) => {
                columns = target.plan.key_columns();
                false
            }
            (Action::Write, InsertMode::Update) => self.assignments(source, target, &mut columns)?,
            (Action::Write, _) => self.values(source, target, (&mut columns, &mut kept))?,
        };
        let row = begin..self.text.len();
        self.key(source, target)?;
        let key = row.end..self.text.len();
        if self.text.len() - begin + target.table.statement_bytes > target.packet_bytes_max {
            return Err(format!(
                "its row takes {} bytes in a statement, and the server's max_allowed_packet is {}: increase it there",
                self.text.len() - begin,
                target.packet_bytes_max
            ));
        }
        if masked && columns.len() - kept.len() <= target.plan.key.len() {
            // Nothing is known but the key: the row stays as it is.
            self.text.truncate(begin);
            return Ok(());
        }
        let shape = target.shapes.number(Shape {
            table: target.plan.table,
            columns,
            kept,
            key: target.plan.key_columns(),
        });
        self.operations.push(Operation {
            index: source.index,
            partition: source.partition,
            offset: source.offset,
            action: source.change.action,
            table: target.plan.table,
            shape,
            key,
            row,
        });
        Ok(())
    }

    /// Appends `(1,'a')`. Gives whether values are missing.
    fn values(
        &mut self,
        source: Source<'_>,
        target: &Target<'_>,
        (columns, kept): (&mut Vec<usize>, &mut Vec<usize>),
    ) -> Result<bool, String> {
        self.text.push(b'(');
        for slot in &target.plan.slots {
            let value = value(slot, source);
            let known = !is_unavailable(&value, slot, target);
            // A row that is inserted must have a value there, even if it turns out to be an update.
            let needed = || {
                !target.table.columns[slot.column].filled && target.config.insert_mode == InsertMode::Upsert
            };
            if !known && !needed() {
                continue;
            }
            if !columns.is_empty() {
                self.text.push(b',');
            }
            columns.push(slot.column);
            if known {
                self.literal(slot, &value, target)?;
            } else {
                kept.push(slot.column);
                self.present(slot.column, source, target)?;
            }
        }
        for column in &target.plan.kept {
            self.text.push(b',');
            columns.push(*column);
            kept.push(*column);
            self.present(*column, source, target)?;
        }
        self.text.push(b')');
        Ok(!kept.is_empty() || columns.len() < target.plan.slots.len())
    }

    /// Appends what a column of the row has: NULL where there is no such row, which the column does not take.
    fn present(&mut self, column: usize, source: Source<'_>, target: &Target<'_>) -> Result<(), String> {
        let name = &target.table.columns[column].name;
        self.text.extend_from_slice(b"(SELECT ");
        push_identifier(&mut self.text, name);
        self.text.extend_from_slice(b" FROM (SELECT ");
        push_identifier(&mut self.text, name);
        self.text.extend_from_slice(b" FROM ");
        self.text.extend_from_slice(&target.table.quoted);
        self.text.extend_from_slice(b" WHERE ");
        if let [key] = target.plan.key.as_slice() {
            let key = target.plan.slots[*key].column;
            push_identifier(&mut self.text, &target.table.columns[key].name);
            self.text.push(b'=');
        }
        self.key(source, target)?;
        // A limit keeps servers from taking it for a part of the INSERT, which must not read its own table.
        self.text.extend_from_slice(b" LIMIT 1) AS __present)");
        Ok(())
    }

    /// Appends `` `a`=1,`b`='x' `` without the key. Gives whether values are missing.
    fn assignments(
        &mut self,
        source: Source<'_>,
        target: &Target<'_>,
        columns: &mut Vec<usize>,
    ) -> Result<bool, String> {
        let begin = self.text.len();
        for (number, slot) in target.plan.slots.iter().enumerate() {
            let value = value(slot, source);
            if is_unavailable(&value, slot, target) {
                continue;
            }
            columns.push(slot.column);
            if target.plan.key.contains(&number) {
                continue;
            }
            if self.text.len() > begin {
                self.text.push(b',');
            }
            push_identifier(&mut self.text, &target.table.columns[slot.column].name);
            self.text.push(b'=');
            self.literal(slot, &value, target)?;
        }
        // A row that has its key alone has nothing to be changed.
        Ok(columns.len() < target.plan.slots.len() || self.text.len() == begin)
    }

    /// Appends the key: its value, or `` (`a`=1 AND `b`='x') ``.
    fn key(&mut self, source: Source<'_>, target: &Target<'_>) -> Result<(), String> {
        let several = target.plan.key.len() > 1;
        if several {
            self.text.push(b'(');
        }
        for (number, place) in target.plan.key.iter().enumerate() {
            let slot = &target.plan.slots[*place];
            let column = &target.table.columns[slot.column];
            if number > 0 {
                self.text.extend_from_slice(b" AND ");
            }
            if several {
                push_identifier(&mut self.text, &column.name);
                self.text.push(b'=');
            }
            let value = value(slot, source);
            if matches!(value, Of::None) || matches!(value, Of::Value(Value::Null)) {
                return Err(format!("{} of its key is null", column.name));
            }
            self.literal(slot, &value, target)?;
        }
        if several {
            self.text.push(b')');
        }
        Ok(())
    }

    fn literal(&mut self, slot: &Slot, value: &Of<'_>, target: &Target<'_>) -> Result<(), String> {
        let column = &target.table.columns[slot.column];
        let literals = &target.config.literals;
        let cell = match value {
            Of::None => Ok(Cell::Null),
            Of::Number(number) => Ok(Cell::Integer(*number)),
            Of::Text(text) => Ok(Cell::Text(text)),
            Of::Value(value) if slot.loose => {
                let loose = Loose {
                    decimals: target.config.schemaless.decimals,
                    binary: literals.binary,
                };
                loose.cell((slot.meaning, &column.kind), value, &mut self.decoded)
            }
            Of::Value(Value::Null) => match &slot.default {
                Some(default) => slot.meaning.cell(default),
                None => Ok(Cell::Null),
            },
            Of::Value(value) => slot.meaning.cell(value),
        };
        cell.and_then(|cell| literals.write(&cell, column, &mut self.text))
            .map_err(|unfit| named(&unfit, column, target.table))
    }
}

fn named(unfit: &Unfit, column: &Column, table: &Table) -> String {
    format!(
        "its value for the column {}.{} ({}) does not fit: {unfit}",
        table.id, column.name, column.declared
    )
}

/// A value where it lies.
enum Of<'a> {
    Value(&'a Value),
    Text(&'a str),
    Number(i64),
    None,
}

#[inline]
fn value<'a>(slot: &Slot, source: Source<'a>) -> Of<'a> {
    let record = source.record;
    let value = match &slot.from {
        From::Row(place) => source.change.row.and_then(|row| row.at(*place)),
        From::Key(place) => Fields::of(&record.key.value).and_then(|key| key.at(*place)),
        From::WholeKey => Some(&record.key.value),
        From::Header(name) => record
            .headers
            .iter()
            .find(|header| header.name == *name)
            .map(|header| &header.datum.value),
        From::Topic => {
            let topic = record
                .origin
                .as_ref()
                .map_or(&record.topic, |origin| &origin.topic);
            return Of::Text(topic);
        }
        From::Partition => {
            let origin = record.origin.as_ref();
            return origin.map_or(Of::None, |origin| Of::Number(origin.partition.into()));
        }
        From::Offset => {
            let origin = record.origin.as_ref();
            return origin.map_or(Of::None, |origin| Of::Number(origin.offset));
        }
    };
    value.map_or(Of::None, Of::Value)
}

/// Whether it stands for a value that the source does not know.
#[inline]
fn is_unavailable(value: &Of<'_>, slot: &Slot, target: &Target<'_>) -> bool {
    let placeholder = &target.config.placeholder;
    match value {
        Of::Value(Value::String(text)) => {
            let is_plain = text.len() == placeholder.plain.len() && **text == *placeholder.plain;
            // Of bytes converters make text, and sources where they are told to.
            let may_be_encoded =
                slot.loose || matches!(target.table.columns[slot.column].kind, Kind::Binary(_));
            is_plain || (may_be_encoded && placeholder.encoded.iter().any(|encoded| **encoded == **text))
        }
        Of::Value(Value::Bytes(bytes)) => {
            bytes.len() == placeholder.plain.len() && bytes[..] == *placeholder.plain.as_bytes()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use millstream_connect::config::ConfigMap;
    use millstream_connect::record::Datum;

    use super::super::plan::fields;
    use super::super::table::tests::table;
    use super::*;

    /// The text of a row without a schema, and how many of its columns are set.
    fn written(keys: &[(&str, &str)], row: &[(&str, &str)], columns: &[&str]) -> (String, usize) {
        let mut given = ConfigMap::new();
        for (key, value) in [
            ("name", "s"),
            ("connection.url", "mysql://h/d"),
            ("connection.username", "u"),
        ]
        .iter()
        .chain(keys)
        {
            given.insert((*key).to_owned(), (*value).to_owned());
        }
        let config = SinkConfig::parse(&given).unwrap();
        let row = row
            .iter()
            .map(|(name, value)| (Value::from(*name), Value::from(*value)));
        let record = Record::new("t", Datum::schemaless(Value::Map(row.collect())));
        let change = Change::read(&record, &config).unwrap().unwrap();
        let table = table("t", columns, &[], &[]);
        let fields = fields(&record, &change, &config).unwrap();
        let plan = Plan::new(0, &table, &fields, &config).unwrap();
        let (mut batch, mut shapes) = (Batch::default(), Shapes::default());
        let source = Source {
            record: &record,
            change: &change,
            index: 0,
            partition: 0,
            offset: 0,
        };
        let target = Target {
            config: &config,
            table: &table,
            plan: &plan,
            shapes: &mut shapes,
            packet_bytes_max: 1 << 20,
        };
        batch.add(source, target).unwrap();
        let row = &batch.text[batch.operations[0].row.clone()];
        (
            String::from_utf8_lossy(row).into_owned(),
            shapes.all[0].columns.len(),
        )
    }

    #[test]
    fn what_the_source_does_not_know_is_left_out_however_it_is_written() {
        let columns = ["v varchar(99)", "b blob?"];
        let placeholder = "__debezium_unavailable_value";
        let base64 = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
        let hex: String = placeholder.bytes().map(|byte| format!("{byte:02x}")).collect();
        for unknown in [placeholder, base64, &hex] {
            for name in ["b", "v"] {
                let other = if name == "b" { "v" } else { "b" };
                let row = [(other, "YQ=="), (name, unknown)];
                let (text, count) = written(&[], &row, &columns);
                assert!(text.len() < 20, "{text}");
                assert_eq!(count, 1, "{name} {unknown}");
            }
        }
    }

    #[test]
    fn iso_texts_are_what_a_clock_shows_but_for_instants() {
        let keys = [
            ("time.precision.mode", "isostring"),
            ("use.time.zone", "Europe/Berlin"),
        ];
        let row = [
            ("a", "2024-05-06T07:08:09Z"),
            ("b", "2024-05-06Z"),
            ("c", "07:08:09Z"),
            ("d", "2024-05-06T07:08:09Z"),
        ];
        let columns = ["a datetime", "b date", "c time", "d timestamp"];
        let (text, _) = written(&keys, &row, &columns);
        assert_eq!(
            text,
            "('2024-05-06 07:08:09','2024-05-06','07:08:09','2024-05-06 07:08:09')"
        );
    }
}
