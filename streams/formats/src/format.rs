//! What users say: [`SchemaFormat`].
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef as ArrowSchemaRef};
use millstream_connect::arrow::{Times, columns, schema};
use millstream_connect::record::{Schema, SchemaRef};
use millstream_streams::{
    Format, FormatError, OutputRows, RecordDecoder, RecordEncoder, RecordFormat, TableFormat,
};

use crate::converters::{Codec, Encoding, Schemas, misconfigured};
use crate::decode::{Envelopes, Reading, ValueDecoder};
use crate::encode::{Structs, ValueEncoder};
use crate::envelope::{UNAVAILABLE, row_schema};

/// The column that says what happened.
const OP: &str = "$op";
/// The column that says whether a row is gone.
const DELETED: &str = "$deleted";

/// Avro or Protobuf; made by [`avro`], [`protobuf`], [`debezium_avro`] and [`debezium_protobuf`], and a [`Format`] wherever one is wanted.
///
/// Where schemas are:
///
/// | | reading | writing |
/// |---|---|---|
/// | [`schema`](Self::schema), [`schema_file`](Self::schema_file) | data alone, of this schema | data alone, of this schema |
/// | [`registry`](Self::registry) | columns of the subject's latest schema; each record of the one it names | a schema that follows from the columns, registered if that is allowed |
/// | both | columns of the given schema; each record of the one it names | the given schema, registered if that is allowed |
///
/// The columns are fixed when the job is built. Records of other schemas are read by the names of their fields, with numbers widened; a
/// field that a record does not have is null, and where that is not allowed the record cannot be read. What Connect's converters make of a schema is
/// what columns are made of: decimals are `Decimal128(38, scale)`, times are of milliseconds, unions are structs.
#[derive(Debug, Clone)]
pub struct SchemaFormat {
    encoding: Encoding,
    is_debezium: bool,
    schema: Option<Given>,
    registry: Option<BTreeMap<String, String>>,
    record: Option<String>,
    keys: bool,
    /// The columns of the key, if a table is read.
    table: Option<Vec<String>>,
}

/// A schema that is given.
#[derive(Debug, Clone, PartialEq)]
enum Given {
    Text(String),
    File(PathBuf),
}

/// Avro's binary data of records.
///
/// ```
/// use millstream_formats::avro;
/// use millstream_streams::{TestDriver, TestRecord, prelude::*};
///
/// let order = r#"{"type": "record", "name": "Order", "fields": [
///     {"name": "id", "type": "long"}, {"name": "item", "type": ["null", "string"]}]}"#;
/// let app = Streams::new("orders");
/// app.stream("orders", avro().schema(order)).to("texts", json());
/// let mut driver = TestDriver::new(&app)?;
/// driver.pipe("orders", TestRecord::new(b"\x0e\x02\x06pen"))?;
/// driver.commit()?;
/// assert_eq!(driver.read("texts")[0].as_text().1, r#"{"id":7,"item":"pen"}"#);
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub fn avro() -> SchemaFormat {
    SchemaFormat::new(Encoding::Avro, false)
}

/// Protobuf's messages.
///
/// ```
/// use millstream_formats::protobuf;
/// use millstream_streams::{TestDriver, TestRecord, prelude::*};
///
/// let order = r#"syntax = "proto3"; message Order { int64 id = 1; string item = 2; }"#;
/// let app = Streams::new("orders");
/// app.stream("orders", protobuf().schema(order)).to("texts", json());
/// let mut driver = TestDriver::new(&app)?;
/// driver.pipe("orders", TestRecord::new(b"\x08\x07\x12\x03pen"))?;
/// driver.commit()?;
/// assert_eq!(driver.read("texts")[0].as_text().1, r#"{"id":7,"item":"pen"}"#);
/// # Ok::<(), millstream_streams::StreamsError>(())
/// ```
pub fn protobuf() -> SchemaFormat {
    SchemaFormat::new(Encoding::Protobuf, false)
}

/// Debezium's envelopes in Avro: what [`debezium_json`](millstream_streams::debezium_json) does, with columns that the schema says.
///
/// A schema that is given is that of the envelope. Written are envelopes with the fields `before`, `after`, `op` and `ts_ms`, and keys by the same
/// converter, under the names that Debezium gives their schemas; a registry is needed for that.
///
/// ```
/// use millstream_formats::debezium_avro;
/// use millstream_streams::prelude::*;
/// let registry = [("schema.registry.url", "http://registry:8081")];
/// let app = Streams::new("copy");
/// let orders = app.table("shop.orders", debezium_avro().registry(registry), [col("id")]);
/// ```
pub fn debezium_avro() -> SchemaFormat {
    SchemaFormat::new(Encoding::Avro, true)
}

/// Debezium's envelopes in Protobuf; see [`debezium_avro`].
///
/// ```
/// use millstream_formats::debezium_protobuf;
/// let format = debezium_protobuf().registry([("schema.registry.url", "file:schemas.jsonl")]);
/// ```
pub fn debezium_protobuf() -> SchemaFormat {
    SchemaFormat::new(Encoding::Protobuf, true)
}

impl SchemaFormat {
    fn new(encoding: Encoding, is_debezium: bool) -> Self {
        Self {
            encoding,
            is_debezium,
            schema: None,
            registry: None,
            record: None,
            keys: false,
            table: None,
        }
    }

    /// The schema: of Avro as JSON, of Protobuf as the text of a `.proto` file.
    ///
    /// ```
    /// let item = millstream_formats::protobuf().schema("message Item { optional string name = 1; }");
    /// ```
    pub fn schema(mut self, text: impl Into<String>) -> Self {
        self.schema = Some(Given::Text(text.into()));
        self
    }

    /// The file that has the schema. It is read when the job is built, and by each task.
    ///
    /// ```
    /// let order = millstream_formats::avro().schema_file("order.avsc");
    /// ```
    pub fn schema_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.schema = Some(Given::File(path.into()));
        self
    }

    /// The registry of schemas: any keys of Connect's converters, of which `schema.registry.url` is the one that has to be there; it may be
    /// `file:PATH`, a file on this machine.
    ///
    /// A registry that does not answer is asked for 60 s; then the job fails, and may be started again. A task asks once for each schema, on its own
    /// thread: its rows wait meanwhile.
    ///
    /// ```
    /// let format = millstream_formats::avro().registry([
    ///     ("schema.registry.url", "https://registry:8081"),
    ///     ("auto.register.schemas", "false"),
    ///     ("use.latest.version", "true"),
    /// ]);
    /// ```
    pub fn registry<K: Into<String>, V: Into<String>>(
        mut self,
        keys: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let keys = keys.into_iter().map(|(key, value)| (key.into(), value.into()));
        self.registry.get_or_insert_default().extend(keys);
        self
    }

    /// The name of the message that records are, if the schema has several; of what is written, the name of the record or message.
    ///
    /// ```
    /// let order = millstream_formats::protobuf().schema_file("shop.proto").record("shop.Order");
    /// ```
    pub fn record(mut self, name: impl Into<String>) -> Self {
        self.record = Some(name.into());
        self
    }

    /// Keys of tables are written by the converter, too, as structs of their columns; else they are those of
    /// [`json`](millstream_streams::json). It needs a registry.
    ///
    /// ```
    /// let format = millstream_formats::avro().registry([("schema.registry.url", "file:schemas.jsonl")]).key_too();
    /// ```
    pub fn key_too(mut self) -> Self {
        self.keys = true;
        self
    }

    fn given(&self) -> Result<Option<Schemas>, FormatError> {
        Ok(match &self.schema {
            None => None,
            Some(Given::Text(text)) => Some(Schemas::One(text.clone())),
            Some(Given::File(path)) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| {
                    misconfigured(
                        self.encoding,
                        &format_args!("the schema {}: {error}", path.display()),
                    )
                })?;
                Some(Schemas::One(text))
            }
        })
    }

    /// Where the schemas of data are.
    fn schemas(&self) -> Result<Schemas, FormatError> {
        match &self.registry {
            Some(keys) => Ok(Schemas::Registry(keys.clone())),
            None => self.given()?.ok_or_else(|| {
                misconfigured(
                    self.encoding,
                    &"its schema is not known; give it with schema(…), schema_file(…) or registry(…)",
                )
            }),
        }
    }

    /// The schema of what is in the topic: the given one, or the registry's latest.
    fn known(&self, topic: &str) -> Result<SchemaRef, FormatError> {
        let schemas = match self.given()? {
            Some(given) => given,
            None => self.schemas()?,
        };
        let latest = Codec::new(self.encoding, &schemas, false)?.latest(topic, self.record.as_deref())?;
        latest
            .schema
            .ok_or_else(|| misconfigured(self.encoding, &"its data have no schema"))
    }

    /// The columns of the schema, of envelopes those of a row.
    fn row_columns(&self, known: &Schema) -> Result<Vec<Arc<Field>>, String> {
        if !self.is_debezium {
            return Ok(columns(known)?.fields().to_vec());
        }
        let columns = columns(row_schema(known)?)?;
        let fields = columns.fields().iter();
        // Of a deleted row there may be no more than its key.
        let nullable = fields.map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        Ok(nullable.collect())
    }

    /// The columns that say what happened, behind those of the row.
    fn last_column(&self) -> Option<Field> {
        self.is_debezium.then(|| match self.table {
            None => Field::new(OP, DataType::Utf8, false),
            Some(_) => Field::new(DELETED, DataType::Boolean, false),
        })
    }

    fn value_encoder(&self, rows: &OutputRows<'_>) -> Result<ValueEncoder, FormatError> {
        let unwritable = |reason: String| FormatError::unwritable(&self.name(), reason);
        let value = Codec::new(self.encoding, &self.schemas()?, false)?;
        let name = self.record.clone();
        let structs = match self.given()? {
            Some(_) => Structs::of(&self.known(rows.topic)?, rows.schema, rows.values().collect()),
            None => Structs::derived(rows.schema, rows.values().collect()).map(|structs| match name {
                Some(name) => structs.named(&name, false),
                None => structs,
            }),
        };
        Ok(ValueEncoder {
            name: self.name(),
            topic: rows.topic.to_owned(),
            value,
            rows: structs.map_err(unwritable)?,
            envelope: None,
            key: None,
        })
    }

    /// Writes envelopes, whose row has the key, too.
    fn envelope_encoder(&self, rows: &OutputRows<'_>) -> Result<ValueEncoder, FormatError> {
        let unwritable = |reason: String| FormatError::unwritable(&self.name(), reason);
        let all = (0..rows.schema.fields().len()).filter(|column| Some(*column) != rows.key);
        let name = schema_name(rows.topic);
        let structs = Structs::derived(rows.schema, all.collect()).map_err(unwritable)?;
        let encoder = ValueEncoder {
            name: self.name(),
            topic: rows.topic.to_owned(),
            value: Codec::new(self.encoding, &self.schemas()?, false)?,
            rows: structs.named(&format!("{name}.Value"), true),
            envelope: None,
            key: None,
        };
        encoder
            .in_envelopes(&format!("{name}.Envelope"))
            .map_err(unwritable)
    }
}

/// The topic as the beginning of a schema's name: parts between dots, each a name that Avro and Protobuf allow.
fn schema_name(topic: &str) -> String {
    let part = |part: &str| {
        let legal = |letter: char| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '_'
            }
        };
        let name: String = part.chars().map(legal).collect();
        match name.starts_with(|first: char| first.is_ascii_digit()) || name.is_empty() {
            true => format!("_{name}"),
            false => name,
        }
    };
    topic.split('.').map(part).collect::<Vec<_>>().join(".")
}

impl From<SchemaFormat> for Format {
    fn from(format: SchemaFormat) -> Self {
        Self::custom(Arc::new(format))
    }
}

impl RecordFormat for SchemaFormat {
    fn name(&self) -> String {
        let name = match self.is_debezium {
            true => format!("debezium_{}", self.encoding.name()),
            false => self.encoding.name().to_owned(),
        };
        match &self.table {
            None => name,
            Some(keys) => format!("{name} by {}", keys.join(", ")),
        }
    }

    fn schema(&self, topic: &str) -> Result<Option<ArrowSchemaRef>, FormatError> {
        let known = self.known(topic)?;
        let mut fields = self
            .row_columns(&known)
            .map_err(|reason| misconfigured(self.encoding, &reason))?;
        fields.extend(self.last_column().map(Arc::new));
        Ok(Some(Arc::new(ArrowSchema::new(fields))))
    }

    fn decoder(&self, columns: &ArrowSchemaRef) -> Box<dyn RecordDecoder> {
        let of_row = columns.fields().len() - usize::from(self.is_debezium);
        let rows = ArrowSchema::new(columns.fields()[..of_row].to_vec());
        let misfit = |reason: String| misconfigured(self.encoding, &reason);
        let (codec, rows) = match schema(&rows, Times::Connect) {
            Ok(rows) => (
                self.schemas()
                    .and_then(|schemas| Codec::new(self.encoding, &schemas, false)),
                rows,
            ),
            Err(reason) => (Err(misfit(reason)), Schema::string()),
        };
        let reading = Reading {
            head: self.registry.is_none().then(|| self.record.clone()),
            rows,
            envelopes: self.is_debezium.then(|| Envelopes {
                table: self.table.clone(),
            }),
        };
        Box::new(ValueDecoder::new(self.name(), codec, reading))
    }

    fn encoder(&self, rows: &OutputRows<'_>) -> Result<Box<dyn RecordEncoder>, FormatError> {
        let writes_keys = rows.keys > 0 && (self.keys || self.is_debezium);
        if self.registry.is_none() && (writes_keys || self.is_debezium) {
            let reason = "keys and envelopes get schemas of their own, for which it needs registry(…)";
            return Err(FormatError::unwritable(&self.name(), reason));
        }
        let mut encoder = match self.is_debezium {
            true => self.envelope_encoder(rows)?,
            false => self.value_encoder(rows)?,
        };
        if self.registry.is_none() {
            encoder.value.latest(rows.topic, self.record.as_deref())?;
        }
        if writes_keys {
            let keys = Structs::derived(rows.schema, (0..rows.keys).collect());
            let keys = keys.map_err(|reason| FormatError::unwritable(&self.name(), reason))?;
            let keys = match self.is_debezium {
                true => keys.named(&format!("{}.Key", schema_name(rows.topic)), false),
                false => keys,
            };
            encoder.key = Some((Codec::new(self.encoding, &self.schemas()?, true)?, keys));
        }
        Ok(Box::new(encoder))
    }

    fn as_table(&self, keys: &[String]) -> Option<TableFormat> {
        let format = Self {
            table: Some(keys.to_vec()),
            ..self.clone()
        };
        self.is_debezium.then(|| TableFormat {
            format: Arc::new(format),
            deleted: DELETED.to_owned(),
            unavailable: UNAVAILABLE.map(str::to_owned).to_vec(),
        })
    }

    fn wants_changes(&self) -> bool {
        self.is_debezium
    }
}
