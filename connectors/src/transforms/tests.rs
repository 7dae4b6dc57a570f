//! What Debezium's transforms do not say (the golden files do): what is shared, what is bounded, and what is no change at all.
use std::sync::Arc;

use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::{Registry, Transform};
use millstream_connect::record::{Datum, Field, Record, Schema, SchemaKind, SchemaRef, Struct, Value};

const UNWRAP: &str = "io.debezium.transforms.ExtractNewRecordState";
const OUTBOX: &str = "io.debezium.transforms.outbox.EventRouter";
const ROUTER: &str = "io.debezium.transforms.ByLogicalTableRouter";
const TEXT: &str = "a text that is long enough to have a buffer of its own";
const ROUTES: &[(&str, &str)] = &[("topic.regex", "(.*)"), ("topic.replacement", "all-$1")];

fn transform(class: &str, keys: &[(&str, &str)]) -> Box<dyn Transform> {
    let keys: ConfigMap = keys
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let registry = crate::register(Registry::built_in());
    registry.transform(class).unwrap().new_transform(&keys).unwrap()
}

fn structure(name: &str, fields: Vec<(&str, SchemaRef)>) -> SchemaRef {
    let fields = fields.into_iter().map(|(name, schema)| Field {
        name: name.into(),
        schema,
    });
    Arc::new(
        Schema::from(SchemaKind::Struct(fields.collect()))
            .optional()
            .named(name),
    )
}

fn row() -> SchemaRef {
    let text = Schema::optional_string;
    let fields = ["id", "aggregatetype", "aggregateid", "payload"];
    structure(
        "s.d.t.Value",
        fields.into_iter().map(|name| (name, text())).collect(),
    )
}

fn envelope(row: &SchemaRef) -> SchemaRef {
    let time = Arc::new(Schema::from(SchemaKind::Int64).optional());
    let source = structure("Source", vec![("db", Schema::string())]);
    let fields = vec![
        ("before", Arc::clone(row)),
        ("after", Arc::clone(row)),
        ("source", source),
        ("op", Schema::string()),
        ("ts_ms", time),
    ];
    structure("s.d.t.Envelope", fields)
}

/// A change whose schemas are its own.
fn change(op: &str) -> Record {
    let row = row();
    let schema = envelope(&row);
    let its = Value::Struct(Struct::new(
        row,
        vec![
            Value::from("1"),
            Value::from("Order"),
            Value::from("k"),
            Value::from(TEXT),
        ],
    ));
    let source = Struct::new(Arc::clone(&schema.fields()[2].schema), vec![Value::from("d")]);
    let (before, after) = match op {
        "d" => (its, Value::Null),
        _ => (Value::Null, its),
    };
    let values = vec![
        before,
        after,
        Value::Struct(source),
        Value::from(op),
        Value::Int64(5),
    ];
    let mut record = Record::new(
        "s.d.t",
        Datum::new(Arc::clone(&schema), Value::Struct(Struct::new(schema, values))),
    );
    let key = structure("s.d.t.Key", vec![("id", Schema::string())]);
    record.key = Datum::new(
        Arc::clone(&key),
        Value::Struct(Struct::new(key, vec![Value::from("1")])),
    );
    record
}

fn tombstone() -> Record {
    let mut record = change("d");
    record.value = Datum::NULL;
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
    let cases: &[(&str, &[(&str, &str)])] = &[
        (UNWRAP, &[]),
        (
            UNWRAP,
            &[
                ("add.fields", "op,db"),
                ("delete.tombstone.handling.mode", "rewrite"),
            ],
        ),
        (
            OUTBOX,
            &[("table.fields.additional.placement", "aggregateid:envelope")],
        ),
        (ROUTER, ROUTES),
    ];
    for (class, keys) in cases {
        let mut transform = transform(class, keys);
        let mut out = || {
            let record = change("c");
            let address = address_of_text(&record.value.value);
            let out = transform.apply(record).unwrap().unwrap();
            assert_eq!(address_of_text(&out.value.value), address, "{class}");
            out
        };
        let (first, second) = (out(), out());
        let same = |one: &Datum, other: &Datum| {
            Arc::ptr_eq(one.schema.as_ref().unwrap(), other.schema.as_ref().unwrap())
        };
        assert!(same(&first.value, &second.value), "{class}");
        assert!(*class != ROUTER || same(&first.key, &second.key));
        assert!(
            Arc::ptr_eq(&first.topic, &second.topic) || *class == UNWRAP,
            "{class}"
        );
    }
}

#[test]
fn structs_that_are_not_of_their_schema_are_errors() {
    let small = structure("small", vec![("x", Schema::string())]);
    let other = || Value::Struct(Struct::new(Arc::clone(&small), vec![Value::from("x")]));
    for (class, keys) in [
        (UNWRAP, &[("add.fields", "db")][..]),
        (OUTBOX, &[]),
        (ROUTER, ROUTES),
    ] {
        let mut transform = transform(class, keys);
        let mut whole = change("c");
        whole.value.value = other();
        assert!(transform.apply(whole).is_err(), "{class}");
        let mut record = change("c");
        let Value::Struct(its) = &mut record.value.value else {
            panic!("a change is a struct");
        };
        assert!(its.set("after", other()));
        assert!(transform.apply(record).is_err(), "{class}");
    }
    // A struct within that is another one, but no smaller than what is looked for.
    let mut record = change("c");
    let Value::Struct(its) = &mut record.value.value else {
        panic!("a change is a struct");
    };
    its.set("source", Value::from("no struct"));
    assert!(transform(UNWRAP, &[("add.headers", "db")]).apply(record).is_err());
}

#[test]
fn keys_of_an_older_debezium_hold_unless_todays_is_given() {
    let outcomes = |keys: &[(&str, &str)]| {
        let mut transform = transform(UNWRAP, keys);
        let mut one = |record: Record| match transform.apply(record).unwrap() {
            None => "-",
            Some(its) if its.value == Datum::NULL => "tombstone",
            Some(its) if its.value.is_null() => "null",
            Some(its) => match &its.value.value {
                Value::Struct(row) => match row.get("__deleted").and_then(Value::as_str) {
                    Some("true") => "deleted",
                    Some(_) => "there",
                    None => "row",
                },
                _ => "?",
            },
        };
        [one(change("c")), one(change("d")), one(tombstone())]
    };
    assert_eq!(outcomes(&[]), ["row", "null", "-"]);
    assert_eq!(outcomes(&[("drop.tombstones", "true")]), ["row", "-", "-"]);
    assert_eq!(
        outcomes(&[("drop.tombstones", "false")]),
        ["row", "-", "tombstone"]
    );
    assert_eq!(
        outcomes(&[("delete.handling.mode", "none")]),
        ["row", "null", "-"]
    );
    let rewrite = [("delete.handling.mode", "rewrite"), ("drop.tombstones", "false")];
    assert_eq!(outcomes(&rewrite), ["there", "deleted", "tombstone"]);
    let both = [
        ("delete.handling.mode", "rewrite"),
        ("delete.tombstone.handling.mode", "drop"),
    ];
    assert_eq!(outcomes(&both), ["row", "-", "-"]);
}

#[test]
fn topics_beyond_those_that_are_remembered_go_the_same_way() {
    let mut keys = ROUTES.to_vec();
    keys.push(("logical.table.cache.size", "2"));
    let mut transform = transform(ROUTER, &keys);
    for round in 0..3 {
        for number in 0..5 {
            let mut record = change("u");
            record.topic = format!("t{number}").into();
            let out = transform.apply(record).unwrap().unwrap();
            assert_eq!(*out.topic, *format!("all-t{number}"), "{round}");
            let name = out.value.schema.unwrap().name.clone();
            assert_eq!(name.as_deref(), Some(&*format!("all-t{number}.Envelope")));
        }
    }
}

#[test]
fn events_of_several_kinds_have_schemas_of_their_own() {
    let keys = [("table.fields.additional.placement", "id:envelope:event")];
    let mut transform = transform(OUTBOX, &keys);
    // More kinds than are remembered.
    for number in (0..100).chain(0..100) {
        let mut record = change("c");
        let Value::Struct(its) = &mut record.value.value else {
            panic!("a change is a struct");
        };
        let Some(Value::Struct(mut after)) = its.get("after").cloned() else {
            panic!("a row is a struct");
        };
        after.set("aggregatetype", format!("kind{number}").into());
        its.set("after", Value::Struct(after));
        let out = transform.apply(record).unwrap().unwrap();
        assert_eq!(*out.topic, *format!("outbox.event.kind{number}"));
        let name = out.value.schema.unwrap().name.clone();
        assert_eq!(name.as_deref(), Some(&*format!("s.d.t.kind{number}.Value")));
    }
}

#[test]
fn rows_that_lack_different_fields_are_routed() {
    let keys = [
        ("topic.regex", r"s\.d\.(.*)"),
        ("topic.replacement", "all"),
        ("key.enforce.uniqueness", "false"),
    ];
    let mut router = transform(ROUTER, &keys);
    let mut record = change("u");
    let before = structure("s.d.t.Value", vec![("id", Schema::optional_string())]);
    let mut fields = record.value.schema.as_ref().unwrap().fields().to_vec();
    fields[0].schema = Arc::clone(&before);
    let schema = Arc::new(Schema::try_struct(fields).unwrap().named("s.d.t.Envelope"));
    let Value::Struct(its) = record.value.value else {
        panic!("no struct")
    };
    let mut values = its.into_values();
    values[0] = Value::Struct(Struct::new(before, vec![Value::from("1")]));
    record.value = Datum::new(Arc::clone(&schema), Value::Struct(Struct::new(schema, values)));
    let routed = router.apply(record).unwrap().unwrap();
    let schema = routed.value.schema.as_ref().unwrap();
    assert_eq!(schema.check(&routed.value.value), Ok(()));
    let names = |side: usize| {
        let side = &schema.fields()[side].schema;
        (side.name.as_deref(), side.fields().len())
    };
    assert_eq!(
        (names(0), names(1)),
        ((Some("all.Value"), 1), (Some("all.Value"), 4))
    );
}
