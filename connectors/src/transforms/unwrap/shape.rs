//! What a row becomes: its own fields, whether it is deleted, and what was added.
use std::mem::take;
use std::sync::Arc;

use millstream_connect::plugin::PluginError;
use millstream_connect::record::{Field, Schema, SchemaKind, SchemaRef, Struct, Value};

use super::config::Options;
use super::reference::Found;
use super::{PURPOSE, envelope, place, require_struct};

/// The field that says whether a row is deleted.
const DELETED: &str = "__deleted";

/// How the rows of one side of changes of one schema are written.
#[derive(Debug)]
pub(super) struct Shape {
    /// Where the row is in the change.
    row: usize,
    row_schema: SchemaRef,
    schema: SchemaRef,
    deleted: Option<Value>,
    /// What nulls become.
    defaults: Vec<(usize, Value)>,
    added: Vec<Found>,
}

impl Shape {
    /// For the rows `side` of changes of `schema`, which are gone if `deleted`.
    pub(super) fn of(
        schema: &Schema,
        side: &str,
        deleted: bool,
        options: &Options,
    ) -> Result<Self, PluginError> {
        let row = place(schema, side, PURPOSE)?;
        let row_schema = Arc::clone(&schema.fields()[row].schema);
        let SchemaKind::Struct(own) = &row_schema.kind else {
            return Err(PluginError::bad_record(format!(
                "{PURPOSE} needs rows that are structs, and {side} is of type {}",
                row_schema.kind_name()
            )));
        };
        let mut fields = own.clone();
        let mut defaults = Vec::new();
        if options.rewrites() {
            fields.push(Field {
                name: DELETED.into(),
                schema: Schema::optional_string(),
            });
            if options.replaces_nulls {
                let with = own.iter().enumerate();
                defaults = with
                    .filter_map(|(index, field)| Some((index, field.schema.default.clone()?)))
                    .collect();
            }
        }
        let added = options.fields.iter();
        let added: Vec<Found> = added
            .filter_map(|one| one.find(schema).transpose())
            .collect::<Result<_, _>>()?;
        fields.extend(added.iter().map(|one| Field {
            name: Arc::clone(&one.name),
            schema: Arc::clone(&one.schema),
        }));
        let schema = Arc::new(envelope::struct_like(&row_schema, fields, PURPOSE)?);
        let text = if deleted { "true" } else { "false" };
        Ok(Self {
            row,
            schema,
            deleted: options.rewrites().then(|| Value::from(text)),
            defaults,
            added,
            row_schema,
        })
    }

    /// How many fields the row has before what is added.
    pub(super) fn fields_of_row(&self) -> usize {
        self.schema.fields().len() - self.added.len()
    }

    /// The row out of `change`, whose place is empty then.
    pub(super) fn fill(&self, change: &mut [Value]) -> Result<Struct, PluginError> {
        let added = self.added.iter().map(|found| found.value(change));
        let added: Vec<Value> = added.collect::<Result<_, _>>()?;
        let row = require_struct(take(&mut change[self.row]), &self.row_schema, PURPOSE)?;
        let mut values = row.into_values();
        for (index, default) in &self.defaults {
            if values[*index].is_null() {
                values[*index] = default.clone();
            }
        }
        values.reserve_exact(added.len() + usize::from(self.deleted.is_some()));
        values.extend(self.deleted.clone());
        values.extend(added);
        Ok(Struct::new(Arc::clone(&self.schema), values))
    }
}
