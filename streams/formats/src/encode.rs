//! Rows to records.
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field as ArrowField, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use millstream_connect::arrow::{Times, columns, rows, schema};
use millstream_connect::record::{Datum, Field, Schema, SchemaKind, SchemaRef, Struct, Value};
use millstream_streams::{EncodeRow, FormatError, OutputBatch, RecordEncoder};

use crate::converters::Codec;

/// Some columns of rows as structs of a schema.
pub(crate) struct Structs {
    schema: SchemaRef,
    /// For each field the column, if there is one.
    places: Vec<Option<usize>>,
    /// What the columns are cast to.
    arrow: ArrowSchemaRef,
}

impl Structs {
    /// Of the columns `places` of `rows`, as a schema that follows from them.
    ///
    /// # Errors
    /// The column that no schema can have.
    pub(crate) fn derived(rows: &ArrowSchema, places: Vec<usize>) -> Result<Self, String> {
        let rows = rows.project(&places).map_err(|error| error.to_string())?;
        Ok(Self {
            schema: schema(&rows, Times::Adaptive)?,
            places: places.into_iter().map(Some).collect(),
            arrow: nullable(&rows),
        })
    }

    /// Of the columns `places` of `rows`, as this schema.
    ///
    /// # Errors
    /// If one of both lacks what the other has.
    pub(crate) fn of(schema: &SchemaRef, rows: &ArrowSchema, places: Vec<usize>) -> Result<Self, String> {
        let arrow = columns(schema)?;
        let column = |name: &str| {
            places
                .iter()
                .copied()
                .find(|place| rows.field(*place).name() == name)
        };
        let known = |place: &&usize| schema.field_index(rows.field(**place).name()).is_none();
        if let Some(extra) = places.iter().find(known) {
            let name = rows.field(*extra).name();
            return Err(format!(
                "the schema has no field for column {name:?}; select others, or give it one"
            ));
        }
        let fields = schema.fields().iter().map(|field| match column(&field.name) {
            None if !field.schema.optional && field.schema.default.is_none() => Err(format!(
                "the rows have no column for the field {:?}, which cannot be null; add it with with_column",
                field.name
            )),
            place => Ok(place),
        });
        Ok(Self {
            places: fields.collect::<Result<_, _>>()?,
            arrow: nullable(&arrow),
            schema: Arc::clone(schema),
        })
    }

    /// The same with a name, and optional or not.
    pub(crate) fn named(mut self, name: &str, optional: bool) -> Self {
        let mut named = self.schema.as_ref().clone().named(name);
        named.optional = optional;
        self.schema = Arc::new(named);
        self
    }

    /// The values of the rows.
    fn values(&self, batch: &RecordBatch) -> Result<Vec<Value>, String> {
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let fields = self.arrow.fields().iter().zip(&self.places);
        let columns = fields.map(|(field, place)| match place {
            Some(place) => cast_with_options(batch.column(*place), field.data_type(), &options)
                .map_err(|error| format!("column {:?}: {error}", field.name())),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, String>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.arrow), columns);
        rows(&batch.map_err(|error| error.to_string())?, &self.schema)
    }
}

/// Whether a value may be missing is for the converter to judge, row by row.
fn nullable(schema: &ArrowSchema) -> ArrowSchemaRef {
    let fields = schema.fields().iter();
    let fields = fields.map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(ArrowSchema::new(fields.collect::<Vec<ArrowField>>()))
}

/// Writes rows with a converter.
pub(crate) struct ValueEncoder {
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) value: Codec,
    pub(crate) rows: Structs,
    /// The schema of envelopes, if rows are written in them.
    pub(crate) envelope: Option<SchemaRef>,
    /// For keys of tables, if the converter writes them.
    pub(crate) key: Option<(Codec, Structs)>,
}

/// The schema of Debezium's envelopes of rows of this schema, which is optional.
pub(crate) fn envelope_schema(name: &str, row: &SchemaRef) -> Result<SchemaRef, String> {
    let field = |name: &str, schema: SchemaRef| Field {
        name: Arc::from(name),
        schema,
    };
    let fields = vec![
        field("before", Arc::clone(row)),
        field("after", Arc::clone(row)),
        field("op", Schema::string()),
        field("ts_ms", Arc::new(Schema::from(SchemaKind::Int64).optional())),
    ];
    let schema = Schema::try_struct(fields).map_err(|error| error.to_string())?;
    Ok(Arc::new(schema.named(name)))
}

impl ValueEncoder {
    /// # Errors
    /// If there is no such schema.
    pub(crate) fn in_envelopes(mut self, name: &str) -> Result<Self, String> {
        self.envelope = Some(envelope_schema(name, &self.rows.schema)?);
        Ok(self)
    }

    fn unwritable(&self, reason: String) -> FormatError {
        FormatError::unwritable(&self.name, reason)
    }
}

struct ValueRows<'a> {
    encoder: &'a mut ValueEncoder,
    after: Vec<Value>,
    before: Option<Vec<Value>>,
    flags: Option<(&'a BooleanArray, &'a BooleanArray)>,
    keys: Option<Vec<Value>>,
    times: &'a [i64],
}

impl RecordEncoder for ValueEncoder {
    fn writes_keys(&self) -> bool {
        self.key.is_some()
    }

    fn batch<'a>(&'a mut self, batch: &'a OutputBatch) -> Result<Box<dyn EncodeRow + 'a>, FormatError> {
        let after = self
            .rows
            .values(&batch.rows)
            .map_err(|reason| self.unwritable(reason))?;
        let before = batch.before.as_ref().map(|before| self.rows.values(&before.rows));
        let before = before.transpose().map_err(|reason| self.unwritable(reason))?;
        let keys = self.key.as_ref().map(|(_, keys)| keys.values(&batch.rows));
        let keys = keys.transpose().map_err(|reason| self.unwritable(reason))?;
        Ok(Box::new(ValueRows {
            after,
            before,
            keys,
            flags: batch.before.as_ref().map(|before| (&before.had, &before.has)),
            times: &batch.times,
            encoder: self,
        }))
    }
}

impl EncodeRow for ValueRows<'_> {
    fn key(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, FormatError> {
        let (Some((codec, keys)), Some(values)) = (&mut self.encoder.key, &mut self.keys) else {
            return Ok(false);
        };
        // A row that is gone has two records of one key.
        let datum = Datum::new(Arc::clone(&keys.schema), values[row].clone());
        codec.encode(&self.encoder.topic, &datum, out)
    }

    fn value(&mut self, row: usize, out: &mut Vec<u8>) -> Result<bool, FormatError> {
        let after = std::mem::take(&mut self.after[row]);
        let encoder = &mut *self.encoder;
        let Some(schema) = &encoder.envelope else {
            let datum = Datum::new(Arc::clone(&encoder.rows.schema), after);
            return encoder.value.encode(&encoder.topic, &datum, out);
        };
        let flags = self.flags.map(|(had, has)| (had.value(row), has.value(row)));
        let before = self
            .before
            .as_mut()
            .map(|before| std::mem::take(&mut before[row]));
        let (before, after, op) = match flags {
            None | Some((false, true)) => (Value::Null, after, "c"),
            Some((true, true)) => (before.unwrap_or_default(), after, "u"),
            Some((_, false)) => (before.unwrap_or_default(), Value::Null, "d"),
        };
        let time = match self.times[row] {
            -1 => Value::Null,
            time => Value::Int64(time),
        };
        let envelope = Struct::new(Arc::clone(schema), vec![before, after, Value::from(op), time]);
        let datum = Datum::new(Arc::clone(schema), Value::Struct(envelope));
        encoder.value.encode(&encoder.topic, &datum, out)
    }
}
