//! Columns as JSON, row by row, without an allocation a row.
use std::sync::OnceLock;

use arrow::array::RecordBatch;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};

use super::FormatError;

/// Some columns of a batch.
pub(crate) struct JsonEncoder<'a> {
    /// The column's name as a JSON string with its colon, and its values.
    columns: Vec<(Vec<u8>, NullableEncoder<'a>)>,
}

impl<'a> JsonEncoder<'a> {
    pub(crate) fn new(
        batch: &'a RecordBatch,
        columns: impl IntoIterator<Item = usize>,
    ) -> Result<Self, FormatError> {
        let schema = batch.schema_ref();
        let columns = columns.into_iter().map(|column| {
            let field = &schema.fields()[column];
            let mut name = serde_json::to_vec(field.name()).map_err(|cause| FormatError::Damaged {
                reason: format!("column name {:?}: {cause}", field.name()),
            })?;
            name.push(b':');
            Ok((name, make_encoder(field, batch.column(column), options())?))
        });
        Ok(Self {
            columns: columns.collect::<Result<_, FormatError>>()?,
        })
    }

    /// `{"name":value,…}`; nulls are written.
    pub(crate) fn object(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        for (place, (name, values)) in self.columns.iter_mut().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name);
            value(values, row, out);
        }
        out.push(b'}');
    }

    /// `[value,…]`.
    pub(crate) fn array(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'[');
        for (place, (_, values)) in self.columns.iter_mut().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            value(values, row, out);
        }
        out.push(b']');
    }
}

fn value(values: &mut NullableEncoder<'_>, row: usize, out: &mut Vec<u8>) {
    if values.is_null(row) {
        out.extend_from_slice(b"null");
    } else {
        values.encode(row, out);
    }
}

fn options() -> &'static EncoderOptions {
    static OPTIONS: OnceLock<EncoderOptions> = OnceLock::new();
    OPTIONS.get_or_init(|| EncoderOptions::default().with_explicit_nulls(true))
}
