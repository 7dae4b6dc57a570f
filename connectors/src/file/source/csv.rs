//! Rows of CSV, as structs.
//!
//! RFC 4180, with a delimiter and a quote of one's choice. A field that is empty is null, one that is empty between quotes an empty text.
//! Names come from the first row or from `csv.names`, types from `csv.types`; all fields are optional.
use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_connect::record::{Datum, Field, Schema, SchemaKind, SchemaRef, Struct, Value};

/// What rows look like.
#[derive(Debug, Clone)]
pub(super) struct CsvRules {
    pub delimiter: u8,
    pub quote: u8,
    /// Whether the first row has names.
    pub header: bool,
    /// Names that do not come from files.
    pub names: Vec<String>,
    /// Types of fields that are no texts.
    pub types: BTreeMap<String, SchemaKind>,
}

/// A type by its name in Connect's schemas.
pub(super) fn kind(name: &str) -> Option<SchemaKind> {
    Some(match &*name.to_lowercase() {
        "string" => SchemaKind::String,
        "boolean" => SchemaKind::Boolean,
        "int8" => SchemaKind::Int8,
        "int16" => SchemaKind::Int16,
        "int32" => SchemaKind::Int32,
        "int64" => SchemaKind::Int64,
        "float" | "float32" => SchemaKind::Float32,
        "double" | "float64" => SchemaKind::Float64,
        _ => return None,
    })
}

impl CsvRules {
    /// The schema of rows, from `csv.names` or the row of names.
    ///
    /// # Errors
    /// What is wrong with the names.
    pub fn schema(&self, header: Option<&str>) -> Result<SchemaRef, String> {
        let names: Vec<String> = match header {
            Some(header) if self.names.is_empty() => {
                let names = self.fields(header)?;
                names.into_iter().map(Option::unwrap_or_default).collect()
            }
            _ => self.names.clone(),
        };
        let fields = names.iter().map(|name| {
            let kind = self.types.get(name).cloned().unwrap_or(SchemaKind::String);
            let schema = match kind {
                SchemaKind::String => Schema::optional_string(),
                kind => Arc::new(Schema::from(kind).optional()),
            };
            Field {
                name: Arc::from(&**name),
                schema,
            }
        });
        if let Some(unnamed) = names.iter().position(String::is_empty) {
            return Err(format!("column {} has no name; give csv.names", unnamed + 1));
        }
        Schema::try_struct(fields.collect())
            .map(Arc::new)
            .map_err(|error| error.to_string())
    }

    /// A row as a struct.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(&self, row: &str, schema: &SchemaRef) -> Result<Datum, String> {
        let fields = self.fields(row)?;
        let columns = schema.fields();
        if fields.len() != columns.len() {
            return Err(format!(
                "it has {} fields, but there are {} columns",
                fields.len(),
                columns.len()
            ));
        }
        let values = columns.iter().zip(fields).map(|(column, field)| match field {
            None => Ok(Value::Null),
            Some(text) => value(&column.schema.kind, text).map_err(|text| {
                format!(
                    "{text:?} in column {} is no {}",
                    column.name,
                    column.schema.kind_name()
                )
            }),
        });
        let values = values.collect::<Result<Vec<Value>, String>>()?;
        let row = Struct::new(Arc::clone(schema), values);
        Ok(Datum::new(Arc::clone(schema), Value::Struct(row)))
    }

    /// The fields of a row.
    fn fields(&self, row: &str) -> Result<Vec<Option<String>>, String> {
        let bytes = row.as_bytes();
        let mut fields = Vec::new();
        let mut at = 0;
        loop {
            if bytes.get(at) == Some(&self.quote) {
                let mut text = String::new();
                at += 1;
                loop {
                    let Some(end) = memchr::memchr(self.quote, &bytes[at..]) else {
                        return Err("it has a quote that nothing closes".to_owned());
                    };
                    text.push_str(&row[at..at + end]);
                    at += end + 1;
                    if bytes.get(at) != Some(&self.quote) {
                        break;
                    }
                    text.push(char::from(self.quote));
                    at += 1;
                }
                fields.push(Some(text));
                if at < bytes.len() && bytes[at] != self.delimiter {
                    return Err(format!("field {} goes on behind its closing quote", fields.len()));
                }
            } else {
                let end = memchr::memchr(self.delimiter, &bytes[at..]).map_or(bytes.len(), |end| at + end);
                fields.push((end > at).then(|| row[at..end].to_owned()));
                at = end;
            }
            if at >= bytes.len() {
                return Ok(fields);
            }
            at += 1;
        }
    }
}

fn value(kind: &SchemaKind, text: String) -> Result<Value, String> {
    let trimmed = text.trim();
    let parsed = match kind {
        SchemaKind::Boolean => match &*trimmed.to_lowercase() {
            "true" => Some(Value::Boolean(true)),
            "false" => Some(Value::Boolean(false)),
            _ => None,
        },
        SchemaKind::Int8 => trimmed.parse().ok().map(Value::Int8),
        SchemaKind::Int16 => trimmed.parse().ok().map(Value::Int16),
        SchemaKind::Int32 => trimmed.parse().ok().map(Value::Int32),
        SchemaKind::Int64 => trimmed.parse().ok().map(Value::Int64),
        SchemaKind::Float32 => trimmed.parse().ok().map(Value::Float32),
        SchemaKind::Float64 => trimmed.parse().ok().map(Value::Float64),
        _ => return Ok(Value::from(text)),
    };
    parsed.ok_or(text)
}
