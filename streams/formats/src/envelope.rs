//! Debezium's envelopes as values: which of both rows counts.
use millstream_connect::record::{Schema, SchemaRef, Struct, Value};

/// What stands for values that Debezium does not know, as text, and as bytes in base64 and in hexadecimal digits.
pub(crate) const UNAVAILABLE: [&str; 3] = [
    "__debezium_unavailable_value",
    "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
    "5f5f646562657a69756d5f756e617661696c61626c655f76616c7565",
];

/// A row that an envelope says something of.
#[derive(Debug, PartialEq)]
pub(crate) struct Changed {
    pub(crate) row: Value,
    pub(crate) op: String,
    pub(crate) deletes: bool,
}

/// The schema of the rows in envelopes of this one.
///
/// # Errors
/// If they are no envelopes.
pub(crate) fn row_schema(envelope: &Schema) -> Result<&SchemaRef, String> {
    let missing = || "it is no schema of Debezium's envelopes: it has no struct \"after\"".to_owned();
    let after = envelope.field("after").ok_or_else(missing)?;
    match after.schema.fields().is_empty() {
        true => Err(missing()),
        false => Ok(&after.schema),
    }
}

/// The rows of an envelope: two if it moves a row to another key of the table, which is made of the fields `keys`.
///
/// # Errors
/// If it says nothing of a row.
pub(crate) fn changed(envelope: Value, keys: Option<&[String]>) -> Result<Vec<Changed>, String> {
    let Value::Struct(envelope) = envelope else {
        return Err(format!(
            "it is no envelope of a change, but of type {}",
            envelope.kind_name()
        ));
    };
    let Some(op) = envelope.get("op").and_then(Value::as_str).map(str::to_owned) else {
        return Err("it is no envelope of a change, because it has no \"op\"".to_owned());
    };
    let row = |name: &str| match envelope.get(name) {
        Some(Value::Struct(row)) => Some(row.clone()),
        _ => None,
    };
    let (before, after) = (row("before"), row("after"));
    let row = |row: Struct, deletes| Changed {
        row: Value::Struct(row),
        op: op.clone(),
        deletes,
    };
    match (op.as_str(), before, after) {
        ("d", Some(before), _) => Ok(vec![row(before, true)]),
        ("d", None, _) => Err(
            "it deletes a row and does not say which: its \"before\" is null (in PostgreSQL, give the table a REPLICA IDENTITY)"
                .to_owned(),
        ),
        ("c" | "r", _, Some(after)) => Ok(vec![row(after, false)]),
        ("u", before, Some(after)) => {
            let moved = before.filter(|before| keys.is_some_and(|keys| moves(before, &after, keys)));
            let old = moved.map(|before| row(before, true));
            Ok(old.into_iter().chain([row(after, false)]).collect())
        }
        ("c" | "r" | "u", _, None) => Err(format!("its \"op\" is {op:?}, and its \"after\" is null")),
        ("t", ..) => Err("it truncates the table, which cannot be said of its rows; delete them, or set skipped.operations=t in the connector".to_owned()),
        (other, ..) => Err(format!("its \"op\" is {other:?}; there are c, r, u and d")),
    }
}

fn moves(before: &Struct, after: &Struct, keys: &[String]) -> bool {
    keys.iter().any(|key| {
        let (old, new) = (before.get(key), after.get(key));
        let unknown = old
            .and_then(Value::as_str)
            .is_some_and(|text| UNAVAILABLE.contains(&text));
        old != new && !unknown
    })
}
