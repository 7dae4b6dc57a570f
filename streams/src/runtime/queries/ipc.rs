//! Rows between instances: Arrow IPC, which loses nothing.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use super::pages::ANSWER_BYTES_MAX;
use super::{QueryError, Store};

/// The bytes of rows.
pub(super) fn write(store: &Store, rows: &[RecordBatch]) -> Result<Vec<u8>, QueryError> {
    let failed = |error: ArrowError| store.failed(error);
    let mut writer = StreamWriter::try_new(Vec::new(), &store.schema()).map_err(failed)?;
    for rows in rows {
        let rows = RecordBatch::try_new(store.schema(), alone(rows)).map_err(failed)?;
        writer.write(&rows).map_err(failed)?;
        if writer.get_ref().len() > ANSWER_BYTES_MAX {
            return Err(store.too_large());
        }
    }
    writer.into_inner().map_err(failed)
}

/// The columns of rows without what others in their buffers share.
pub(super) fn alone(rows: &RecordBatch) -> Vec<ArrayRef> {
    rows.columns().iter().map(own).collect()
}

/// A column without what others in its buffers share: a view takes all of it along.
fn own(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => Arc::clone(column),
    }
}

/// The rows that another instance has sent.
pub(super) fn read(store: &Store, bytes: &[u8]) -> Result<Vec<RecordBatch>, QueryError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        store.failed(format!(
            "what another instance sent: {error}; is it of another version?"
        ))
    };
    let reader = StreamReader::try_new(bytes, None).map_err(|error| unreadable(&error))?;
    let schema = store.schema();
    let rows = reader.map(|rows| RecordBatch::try_new(Arc::clone(&schema), rows?.columns().to_vec()));
    rows.collect::<Result<_, _>>().map_err(|error| unreadable(&error))
}
