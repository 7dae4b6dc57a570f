//! Schemas of rows that an image does not hold whole.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use millstream_connect::record::{Schema, SchemaKind, SchemaRef};

use super::envelope::Row;
use super::{Records, schemas};
use crate::mysql::config::NameAdjustment;

/// Shapes that are kept for a table. Statements of an application leave out the same columns again and again.
const SHAPES_MAX: usize = 64;

/// Columns that a row is told without, by their places among those that are told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct LeftOut(Vec<u16>);

impl LeftOut {
    pub(super) fn push(&mut self, place: usize) {
        // A table has no more than 4096 columns.
        self.0.push(u16::try_from(place).unwrap_or(u16::MAX));
    }
}

/// The envelopes of a table: of whole rows, and of rows without some columns.
#[derive(Debug)]
pub(super) struct Shapes {
    topic: String,
    names: NameAdjustment,
    source: SchemaRef,
    row: SchemaRef,
    whole: SchemaRef,
    others: Mutex<HashMap<(LeftOut, LeftOut), SchemaRef>>,
}

impl Shapes {
    /// Of rows of a schema.
    pub(super) fn new(row: SchemaRef, topic: &str, records: &Records) -> Self {
        let (source, names) = (records.source_schema(), records.config.schema_names);
        Self {
            whole: schemas::envelope(topic, &row, &row, source, names),
            topic: topic.to_owned(),
            names,
            source: Arc::clone(source),
            row,
            others: Mutex::default(),
        }
    }

    /// The envelope of whole rows.
    pub(super) fn whole(&self) -> &SchemaRef {
        &self.whole
    }

    /// The envelope of these rows.
    pub(super) fn envelope(&self, before: Option<&Row>, after: Option<&Row>) -> SchemaRef {
        let is_whole = |row: Option<&Row>| row.is_none_or(|row| row.left_out.0.is_empty());
        if is_whole(before) && is_whole(after) {
            return Arc::clone(&self.whole);
        }
        let left_out = |row: Option<&Row>| row.map(|row| row.left_out.clone()).unwrap_or_default();
        let shape = (left_out(before), left_out(after));
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = others.get(&shape) {
            return Arc::clone(known);
        }
        let (before, after) = (self.without(&shape.0), self.without(&shape.1));
        let schema = schemas::envelope(&self.topic, &before, &after, &self.source, self.names);
        if others.len() >= SHAPES_MAX {
            others.clear();
        }
        others.insert(shape, Arc::clone(&schema));
        schema
    }

    /// The row's schema without these columns.
    fn without(&self, left_out: &LeftOut) -> SchemaRef {
        if left_out.0.is_empty() {
            return Arc::clone(&self.row);
        }
        let fields = self.row.fields().iter().enumerate();
        let kept = fields.filter(|(place, _)| !left_out.0.iter().any(|out| usize::from(*out) == *place));
        let mut schema = Schema::from(SchemaKind::Struct(kept.map(|(_, field)| field.clone()).collect()));
        schema.name.clone_from(&self.row.name);
        Arc::new(schema.optional())
    }
}
