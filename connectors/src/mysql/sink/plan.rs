//! How records of a shape become rows of a table: compiled once, looked up for each record.
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use bytestring::ByteString;
use millstream_connect::record::{Datum, Record, SchemaKind, SchemaRef, Value};

use super::change::{Action, Change, Fields};
use super::column::Kind;
use super::config::{KeyMode, Schemaless, SinkConfig};
use super::table::Table;
use super::value::Meaning;
use crate::mysql::config::TimeMode;
use crate::mysql::schema::TableId;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum From {
    /// A field of the row, by its place.
    Row(usize),
    /// A field of the key, by its place.
    Key(usize),
    /// The key, which is no struct.
    WholeKey,
    Header(Arc<str>),
    Topic,
    Partition,
    Offset,
}

/// A column and what goes there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slot {
    pub from: From,
    pub meaning: Meaning,
    /// Whether what comes without a schema is read by the column's type.
    pub loose: bool,
    /// What a null stands for, where the schema does not allow one.
    pub default: Option<Value>,
    /// The column's place in its table.
    pub column: usize,
}

/// How records of a shape become rows of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub table: usize,
    /// What is written: of a deletion the key alone.
    pub slots: Vec<Slot>,
    /// Which slots are the key.
    pub key: Vec<usize>,
    /// Columns that an update does not have, and that a row must have.
    pub kept: Vec<usize>,
}

/// A field as records have it.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    pub name: &'a str,
    pub schema: Option<&'a SchemaRef>,
    pub from: From,
    pub is_key: bool,
}

/// The fields that a change writes, those of its key first.
///
/// # Errors
/// When the key is not where `primary.key.mode` says.
pub(super) fn fields<'a>(
    record: &'a Record,
    change: &Change<'a>,
    config: &'a SinkConfig,
) -> Result<Vec<Field<'a>>, String> {
    let mut fields = key_fields(record, change, config)?;
    let Some(row) = change.row.filter(|_| change.action == Action::Write) else {
        return Ok(fields);
    };
    for (place, (name, schema)) in row.names().into_iter().enumerate() {
        let is_key = fields.iter().any(|field| field.is_key && field.name == name);
        if is_key {
            // What the row says of a column says more than what the key says, if either does.
            if let Some(field) = fields.iter_mut().find(|field| field.name == name)
                && let (Some(own), Some(its)) = (field.schema, schema)
                && own.parameters.is_empty()
                && own.kind == its.kind
                && own.name == its.name
            {
                field.schema = schema;
            }
            continue;
        }
        if config.fields.has(&record.topic, name) {
            let from = From::Row(place);
            fields.push(Field {
                name,
                schema,
                from,
                is_key: false,
            });
        }
    }
    match fields.is_empty() {
        true => Err("it has no field that is to be written".to_owned()),
        false => Ok(fields),
    }
}

fn key_fields<'a>(
    record: &'a Record,
    change: &Change<'a>,
    config: &'a SinkConfig,
) -> Result<Vec<Field<'a>>, String> {
    match &config.key {
        KeyMode::None => Ok(Vec::new()),
        KeyMode::Kafka(names) => {
            static SCHEMAS: LazyLock<[SchemaRef; 3]> = LazyLock::new(|| {
                [SchemaKind::String, SchemaKind::Int32, SchemaKind::Int64].map(|kind| Arc::new(kind.into()))
            });
            let parts = [From::Topic, From::Partition, From::Offset];
            let parts = parts.into_iter().zip(&*SCHEMAS);
            let fields = names.iter().zip(parts).map(|(name, (from, schema))| Field {
                name,
                schema: Some(schema),
                from,
                is_key: true,
            });
            Ok(fields.collect())
        }
        KeyMode::RecordKey(wanted) => of_key(&record.key, wanted),
        KeyMode::RecordValue(wanted) => match change.row {
            Some(row) => chosen(row, wanted, From::Row),
            None => Err(
                "its key is to be in its value, which does not have it (of a deletion: in before)".to_owned(),
            ),
        },
        KeyMode::RecordHeader(wanted) => of_headers(record, wanted),
    }
}

fn of_key<'a>(key: &'a Datum, wanted: &'a [String]) -> Result<Vec<Field<'a>>, String> {
    match (&key.value, wanted) {
        (Value::Null, _) => Err(
            "it has no key, which primary.key.mode=record_key asks for: set record_value, or a transform such as ValueToKey"
                .to_owned(),
        ),
        (Value::Struct(_) | Value::Map(_), _) => match Fields::of(&key.value) {
            Some(fields) => chosen(fields, wanted, From::Key),
            None => Err("its key has no fields".to_owned()),
        },
        (_, [name]) => Ok(vec![Field {
            name,
            schema: key.schema.as_ref(),
            from: From::WholeKey,
            is_key: true,
        }]),
        (value, _) => Err(format!(
            "its key is of type {}, whose column primary.key.fields has to name",
            value.kind_name()
        )),
    }
}

/// The wanted fields, all if none are named.
fn chosen<'a>(
    fields: Fields<'a>,
    wanted: &[String],
    from: impl Fn(usize) -> From,
) -> Result<Vec<Field<'a>>, String> {
    let names = fields.names();
    if let Some(missing) = wanted
        .iter()
        .find(|wanted| !names.iter().any(|(name, _)| name == wanted))
    {
        return Err(format!(
            "it has no field {missing}, which primary.key.fields names"
        ));
    }
    let chosen = names
        .into_iter()
        .enumerate()
        .filter(|(_, (name, _))| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name));
    let fields: Vec<Field<'a>> = chosen
        .map(|(place, (name, schema))| Field {
            name,
            schema,
            from: from(place),
            is_key: true,
        })
        .collect();
    match fields.is_empty() {
        true => Err("its key has no fields".to_owned()),
        false => Ok(fields),
    }
}

fn of_headers<'a>(record: &'a Record, wanted: &'a [String]) -> Result<Vec<Field<'a>>, String> {
    let mut fields: Vec<Field<'a>> = Vec::new();
    for header in &record.headers {
        let is_wanted = wanted.is_empty() || wanted.iter().any(|wanted| **wanted == *header.name);
        let is_new = fields.iter().all(|field| field.name != &*header.name);
        if is_wanted && is_new {
            fields.push(Field {
                name: &header.name,
                schema: header.datum.schema.as_ref(),
                from: From::Header(Arc::clone(&header.name)),
                is_key: true,
            });
        }
    }
    match fields.is_empty() || wanted.len() > fields.len() {
        true => Err(
            "it does not have the headers that primary.key.mode=record_header and primary.key.fields ask for"
                .to_owned(),
        ),
        false => Ok(fields),
    }
}

impl Plan {
    /// For a table's records with these fields. Fields without a column are given back.
    ///
    /// # Errors
    /// The fields that have no column.
    pub fn new<'f, 'a>(
        number: usize,
        table: &Table,
        fields: &'f [Field<'a>],
        config: &SinkConfig,
    ) -> Result<Self, Vec<&'f Field<'a>>> {
        let (mut slots, mut key, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for field in fields {
            let Some(place) = table.place(field.name) else {
                missing.push(field);
                continue;
            };
            let column = &table.columns[place];
            // The server makes these itself.
            if column.generated && !field.is_key {
                continue;
            }
            if field.is_key {
                key.push(slots.len());
            }
            let meaning = match field.schema {
                Some(schema) => Meaning::of(schema),
                None => by_column(&column.kind, config.schemaless),
            };
            let required = field.schema.filter(|schema| !schema.optional);
            slots.push(Slot {
                from: field.from.clone(),
                meaning,
                loose: field.schema.is_none(),
                default: required.and_then(|schema| schema.default.clone()),
                column: place,
            });
        }
        match missing.is_empty() {
            true => Ok(Self {
                table: number,
                slots,
                key,
                kept: Vec::new(),
            }),
            false => Err(missing),
        }
    }

    /// The columns of the key, by their places in the table.
    pub fn key_columns(&self) -> Vec<usize> {
        self.key.iter().map(|slot| self.slots[*slot].column).collect()
    }
}

/// What values without a schema mean, in a column of this kind: as Debezium's sources write them.
fn by_column(kind: &Kind, schemaless: Schemaless) -> Meaning {
    const MILLIS: i64 = 1_000;
    const MICROS: i64 = 1_000_000;
    const NANOS: i64 = 1_000_000_000;
    let per_second = |digits: u8| match schemaless.times {
        TimeMode::Connect => MILLIS,
        TimeMode::Microseconds => MICROS,
        TimeMode::Nanoseconds => NANOS,
        TimeMode::AdaptiveTimeMicroseconds | TimeMode::IsoString if digits <= 3 => MILLIS,
        TimeMode::AdaptiveTimeMicroseconds | TimeMode::IsoString => MICROS,
    };
    match kind {
        // Texts of what a clock shows, where only instants are in a zone.
        Kind::Date | Kind::DateTime(_) | Kind::Time(_) if schemaless.times == TimeMode::IsoString => {
            Meaning::LocalText
        }
        Kind::Date => Meaning::Date,
        Kind::DateTime(digits) | Kind::Timestamp(digits) => Meaning::Local(per_second(*digits)),
        Kind::Time(_) if schemaless.times == TimeMode::Connect => Meaning::Time(MILLIS),
        Kind::Time(_) if schemaless.times == TimeMode::Nanoseconds => Meaning::Time(NANOS),
        Kind::Time(_) => Meaning::Time(MICROS),
        Kind::Year => Meaning::Year,
        Kind::Bit(_) => Meaning::Bits,
        Kind::Geometry => Meaning::Geometry,
        Kind::Vector(_) => Meaning::Vector,
        _ => Meaning::Plain,
    }
}

/// What tells shapes of records apart.
#[derive(Debug, Clone)]
enum Sign {
    None,
    Schema(SchemaRef),
    /// Of what has no schema: the names of its fields, or none.
    Names(Vec<ByteString>),
}

impl Sign {
    fn of(fields: Option<Fields<'_>>) -> Self {
        match fields {
            Some(Fields::Struct(fields)) => Self::Schema(Arc::clone(fields.schema())),
            Some(Fields::Map(fields)) => {
                let names = fields.iter().map(|(name, _)| match name {
                    Value::String(name) => name.clone(),
                    _ => ByteString::new(),
                });
                Self::Names(names.collect())
            }
            None => Self::None,
        }
    }

    fn is_of(&self, fields: Option<Fields<'_>>) -> bool {
        match (self, fields) {
            (Self::Schema(schema), Some(Fields::Struct(fields))) => Arc::ptr_eq(schema, fields.schema()),
            (Self::Names(names), Some(Fields::Map(fields))) => {
                names.len() == fields.len()
                    && names
                        .iter()
                        .zip(fields)
                        .all(|(name, (its, _))| its.as_str() == Some(&**name))
            }
            (Self::None, None) => true,
            _ => false,
        }
    }
}

fn hash(fields: Option<Fields<'_>>, hasher: &mut impl Hasher) {
    match fields {
        Some(Fields::Struct(fields)) => (Arc::as_ptr(fields.schema()) as usize).hash(hasher),
        Some(Fields::Map(fields)) => fields.iter().for_each(|(name, _)| name.as_str().hash(hasher)),
        None => 0.hash(hasher),
    }
}

/// More shapes than are remembered.
const PLANS_MAX: usize = 10_000;

/// The plans of the shapes that came.
#[derive(Debug, Default)]
pub(super) struct Plans {
    entries: HashMap<u64, Vec<Entry>>,
    count: usize,
}

#[derive(Debug)]
struct Entry {
    topic: Arc<str>,
    action: Action,
    updates: bool,
    /// The table, where it is not the topic that says it.
    table: Option<TableId>,
    row: Sign,
    key: Sign,
    key_schema: Option<SchemaRef>,
    headers: Vec<(Arc<str>, Option<SchemaRef>)>,
    plan: Arc<Plan>,
}

/// A record's shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShapeOf<'a> {
    pub record: &'a Record,
    pub action: Action,
    pub updates: bool,
    pub row: Option<Fields<'a>>,
    /// See [`Entry::table`].
    pub table: Option<&'a TableId>,
    /// Whether headers are columns.
    pub headers: bool,
}

impl ShapeOf<'_> {
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.record.topic.hash(&mut hasher);
        (self.action, self.updates).hash(&mut hasher);
        self.table.hash(&mut hasher);
        hash(self.row, &mut hasher);
        hash(Fields::of(&self.record.key.value), &mut hasher);
        hasher.finish()
    }

    fn is_of(&self, entry: &Entry) -> bool {
        let same = |one: Option<&SchemaRef>, other: Option<&SchemaRef>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        (entry.action, entry.updates) == (self.action, self.updates)
            && *entry.topic == *self.record.topic
            && entry.table.as_ref() == self.table
            && entry.row.is_of(self.row)
            && entry.key.is_of(Fields::of(&self.record.key.value))
            && same(entry.key_schema.as_ref(), self.record.key.schema.as_ref())
            && (!self.headers
                || (entry.headers.len() == self.record.headers.len()
                    && entry
                        .headers
                        .iter()
                        .zip(&self.record.headers)
                        .all(|((name, schema), header)| {
                            *name == header.name && same(schema.as_ref(), header.datum.schema.as_ref())
                        })))
    }
}

impl Plans {
    /// The plan of a shape.
    #[inline]
    pub fn get(&self, shape: &ShapeOf<'_>) -> Option<&Arc<Plan>> {
        let entries = self.entries.get(&shape.hash())?;
        entries
            .iter()
            .find(|entry| shape.is_of(entry))
            .map(|entry| &entry.plan)
    }

    /// Remembers the plan of a shape.
    pub fn insert(&mut self, shape: &ShapeOf<'_>, plan: Arc<Plan>) {
        if self.count >= PLANS_MAX {
            self.forget();
        }
        self.count += 1;
        let headers = shape.record.headers.iter().filter(|_| shape.headers);
        self.entries.entry(shape.hash()).or_default().push(Entry {
            topic: Arc::clone(&shape.record.topic),
            action: shape.action,
            updates: shape.updates,
            table: shape.table.cloned(),
            row: Sign::of(shape.row),
            key: Sign::of(Fields::of(&shape.record.key.value)),
            key_schema: shape.record.key.schema.clone(),
            headers: headers
                .map(|header| (Arc::clone(&header.name), header.datum.schema.clone()))
                .collect(),
            plan,
        });
    }

    /// Forgets all of them: a table is not what it was.
    pub fn forget(&mut self) {
        self.entries.clear();
        self.count = 0;
    }
}
