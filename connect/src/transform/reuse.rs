//! What is not made anew for each record: schemas, and the buffers of texts.
use std::sync::Arc;

use crate::config::ConfigMap;
use crate::plugin::Registry;
use crate::record::{Datum, Field, Record, Schema, SchemaKind, SchemaRef, Struct, Value};

const TEXT: &str = "a text that is long enough to have a buffer of its own";

fn config(keys: &[(&str, &str)]) -> ConfigMap {
    let owned = keys
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    owned.collect()
}

fn schema() -> SchemaRef {
    let field = |name: &str, schema: Schema| Field {
        name: name.into(),
        schema: Arc::new(schema),
    };
    let inside = SchemaKind::Struct(vec![field("x", SchemaKind::Int32.into())]);
    Arc::new(
        SchemaKind::Struct(vec![
            field("id", SchemaKind::Int64.into()),
            field("text", SchemaKind::String.into()),
            field("at", Schema::timestamp()),
            field("in", inside.into()),
        ])
        .into(),
    )
}

fn record(schema: &SchemaRef, text: &Value) -> Record {
    let inside = Struct::new(Arc::clone(&schema.fields()[3].schema), vec![Value::Int32(1)]);
    let values = vec![
        Value::Int64(7),
        text.clone(),
        Value::Timestamp(1_700_000_000_000),
        Value::Struct(inside),
    ];
    let value = Value::Struct(Struct::new(Arc::clone(schema), values));
    let mut record = Record::new("orders", Datum::new(Arc::clone(schema), value));
    record.timestamp = Some(1_700_000_000_000);
    record
}

fn address_of_text(value: &Value) -> Option<*const u8> {
    match value {
        Value::String(text) if **text == *TEXT => Some(text.as_ptr()),
        Value::Struct(its) => its.values().iter().find_map(address_of_text),
        _ => None,
    }
}

#[test]
fn schemas_are_made_once_and_texts_keep_their_buffers() {
    let registry = Registry::built_in();
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("Cast$Value", &[("spec", "id:int32")]),
        ("ExtractField$Value", &[("field", "text")]),
        ("Flatten$Value", &[]),
        (
            "HeaderFrom$Value",
            &[("fields", "id"), ("headers", "h"), ("operation", "move")],
        ),
        ("HoistField$Value", &[("field", "outer")]),
        ("InsertField$Value", &[("topic.field", "topic")]),
        ("MaskField$Value", &[("fields", "id")]),
        ("ReplaceField$Value", &[("renames", "text:words")]),
        ("SetSchemaMetadata$Value", &[("schema.name", "n")]),
        (
            "TimestampConverter$Value",
            &[("field", "at"), ("target.type", "unix")],
        ),
    ];
    for (class, keys) in cases {
        let mut transform = registry
            .transform(class)
            .unwrap()
            .new_transform(&config(keys))
            .unwrap();
        let text = Value::from(TEXT);
        // Each record has a schema of its own: what is made once is found by equality too.
        let mut out = || transform.apply(record(&schema(), &text)).unwrap().unwrap().value;
        let (first, second) = (out(), out());
        assert_eq!(address_of_text(&first.value), address_of_text(&text), "{class}");
        let (first, second) = (first.schema.unwrap(), second.schema.unwrap());
        let copied = *class == "MaskField$Value" || *class == "ExtractField$Value";
        assert!(copied || Arc::ptr_eq(&first, &second), "{class}");
    }
}

#[test]
fn structs_that_are_not_of_their_schema_are_errors() {
    let registry = Registry::built_in();
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("Cast$Value", &[("spec", "id:int32")]),
        (
            "ExtractField$Value",
            &[("field", "in.x"), ("field.syntax.version", "V2")],
        ),
        ("Flatten$Value", &[]),
        (
            "HeaderFrom$Value",
            &[("fields", "id"), ("headers", "h"), ("operation", "move")],
        ),
        ("SetSchemaMetadata$Value", &[("schema.name", "n")]),
        (
            "TimestampConverter$Value",
            &[("field", "at"), ("target.type", "unix")],
        ),
    ];
    for (class, keys) in cases {
        let mut transform = registry
            .transform(class)
            .unwrap()
            .new_transform(&config(keys))
            .unwrap();
        let mut record = record(&schema(), &Value::Null);
        let inside: SchemaRef = Arc::clone(&schema().fields()[3].schema);
        record.value.value = Value::Struct(Struct::new(inside, vec![Value::Int32(1)]));
        assert!(transform.apply(record).is_err(), "{class}");
    }
}
