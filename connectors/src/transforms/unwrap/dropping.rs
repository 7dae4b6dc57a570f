//! Fields that a header names, and which are left out.
use std::mem::take;
use std::sync::Arc;

use bytestring::ByteString;
use millstream_connect::config::Config;
use millstream_connect::plugin::PluginError;
use millstream_connect::record::{Datum, Record, Schema, SchemaKind, SchemaRef, Struct, Value};

use super::{PURPOSE, envelope, require_struct};

/// How many schemas and lists are remembered with what is left of them.
const LEFT_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Dropping {
    header: String,
    from_key: bool,
    /// Only fields that may be null are left out.
    compatible: bool,
    left: Vec<Left>,
    /// Which one makes room next.
    oldest: usize,
}

/// What is left of structs of a schema without some fields.
#[derive(Debug)]
struct Left {
    from: SchemaRef,
    names: Vec<ByteString>,
    limit: usize,
    /// Nothing, if nothing is left out.
    shape: Option<(SchemaRef, Vec<usize>)>,
}

impl Dropping {
    pub(super) fn new(config: &Config) -> Option<Self> {
        let header = config.optional_string("drop.fields.header.name")?;
        (!header.is_empty()).then(|| Self {
            header: header.to_owned(),
            from_key: config.boolean("drop.fields.from.key"),
            compatible: config.boolean("drop.fields.keep.schema.compatible"),
            left: Vec::new(),
            oldest: 0,
        })
    }

    /// Leaves out what the record's header says, but of the value's fields only among the first `limit`.
    pub(super) fn apply(&mut self, record: &mut Record, limit: usize) -> Result<(), PluginError> {
        let names = self.names(record)?;
        if names.is_empty() {
            return Ok(());
        }
        if self.from_key && !record.key.is_null() {
            self.shorten(&mut record.key, &names, usize::MAX)?;
        }
        match record.value.is_null() {
            true => Ok(()),
            false => self.shorten(&mut record.value, &names, limit),
        }
    }

    fn names(&self, record: &Record) -> Result<Vec<ByteString>, PluginError> {
        let header = record.headers.iter().find(|header| *header.name == *self.header);
        let names = match header.map(|header| &header.datum.value) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(names)) => names.iter().map(|name| match name {
                Value::String(name) => Some(name.clone()),
                _ => None,
            }),
            Some(_) => return Err(self.refuse()),
        };
        names.collect::<Option<_>>().ok_or_else(|| self.refuse())
    }

    fn refuse(&self) -> PluginError {
        PluginError::bad_record(format!(
            "{PURPOSE}: the header {} has to be a list of names of fields (drop.fields.header.name)",
            self.header
        ))
    }

    fn shorten(&mut self, datum: &mut Datum, names: &[ByteString], limit: usize) -> Result<(), PluginError> {
        let schema = datum.schema.clone().unwrap_or_else(Schema::bytes);
        let value = require_struct(take(&mut datum.value), &schema, PURPOSE)?;
        let index = self.find(&schema, names, limit)?;
        let Some((left, places)) = &self.left[index].shape else {
            datum.value = Value::Struct(value);
            return Ok(());
        };
        let mut all = value.into_values();
        let one = |place: &usize| match (take(&mut all[*place]), &schema.fields()[*place].schema.default) {
            (Value::Null, Some(default)) => default.clone(),
            (value, _) => value,
        };
        let values = places.iter().map(one).collect();
        *datum = Datum::new(
            Arc::clone(left),
            Value::Struct(Struct::new(Arc::clone(left), values)),
        );
        Ok(())
    }

    fn find(&mut self, schema: &SchemaRef, names: &[ByteString], limit: usize) -> Result<usize, PluginError> {
        let known = self.left.iter().position(|left| {
            (Arc::ptr_eq(&left.from, schema) || left.from == *schema)
                && left.limit == limit
                && left.names == names
        });
        if let Some(index) = known {
            return Ok(index);
        }
        let left = Left {
            shape: self.left_of(schema, names, limit)?,
            from: Arc::clone(schema),
            names: names.to_vec(),
            limit,
        };
        if self.left.len() < LEFT_MAX {
            self.left.push(left);
            return Ok(self.left.len() - 1);
        }
        let index = self.oldest;
        self.left[index] = left;
        self.oldest = (index + 1) % LEFT_MAX;
        Ok(index)
    }

    fn left_of(
        &self,
        schema: &Schema,
        names: &[ByteString],
        limit: usize,
    ) -> Result<Option<(SchemaRef, Vec<usize>)>, PluginError> {
        let SchemaKind::Struct(fields) = &schema.kind else {
            return Err(PluginError::bad_record(format!(
                "{PURPOSE}: fields are to be left out of what has none, {}",
                schema.kind_name()
            )));
        };
        let goes = |index: usize| {
            let field = &fields[index];
            index < limit
                && names.iter().any(|name| **name == *field.name)
                && (!self.compatible || field.schema.optional)
        };
        let stays: Vec<usize> = (0..fields.len()).filter(|index| !goes(*index)).collect();
        if self.compatible && stays.len() == fields.len() {
            return Ok(None);
        }
        let left = stays.iter().map(|index| fields[*index].clone()).collect();
        let left = envelope::struct_like(schema, left, PURPOSE)?;
        Ok(Some((Arc::new(left), stays)))
    }
}
