//! The columns of a struct.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use serde::de::DeserializeOwned;
use serde_arrow::schema::{SchemaLike, TracingOptions};

use super::name_of;
use crate::plan::PlanError;

/// The columns of the struct `T`, as [`Stream::typed`](crate::Stream::typed) reads and writes them; for
/// [`json_schema`](crate::json_schema), for example.
///
/// # Errors
/// [`PlanError::NoColumns`] if the type alone does not say them.
///
/// ```
/// use millstream_streams::{DataType, schema_of};
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Bid { auction: i64, price: Option<f64>, bidder: String }
/// let schema = schema_of::<Bid>()?;
/// assert_eq!(schema.field(1).data_type(), &DataType::Float64);
/// assert!(schema.field(1).is_nullable() && !schema.field(2).is_nullable());
/// # Ok::<(), millstream_streams::PlanError>(())
/// ```
pub fn schema_of<T: DeserializeOwned>() -> Result<Schema, PlanError> {
    let failed = |cause: String| PlanError::NoColumns {
        row_type: name_of::<T>(),
        cause,
    };
    let fields = Vec::<FieldRef>::from_type::<T>(options()).map_err(|error| failed(error.to_string()))?;
    if fields.is_empty() {
        return Err(failed("it has no fields".to_owned()));
    }
    Ok(Schema::new(fields))
}

/// The one column, named `item`, of a value that need not be a struct.
pub(crate) fn field_of<T: DeserializeOwned>() -> Result<FieldRef, PlanError> {
    let fields = Vec::<FieldRef>::from_type::<serde_arrow::utils::Item<T>>(options());
    let field = fields.map(|fields| fields.first().map(Arc::clone));
    match field {
        Ok(Some(field)) => Ok(field),
        Ok(None) => Err("it has no fields".to_owned()),
        Err(error) => Err(error.to_string()),
    }
    .map_err(|cause| PlanError::NoColumns {
        row_type: name_of::<T>(),
        cause,
    })
}

fn options() -> TracingOptions {
    TracingOptions::default()
        .strings_as_large_utf8(false)
        .bytes_as_large_binary(false)
        .sequence_as_large_list(false)
        .enums_without_data_as_strings(true)
}
