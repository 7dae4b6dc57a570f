//! Property tests: values there and back, and any bytes.
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::tests::{ONEOF, a_struct, converter, encode, field, get, of, read};
use super::wire::{Input, unzigzag, write_sized, write_varint, zigzag};
use crate::converter::registry::double::Double;
use crate::plugin::Converter;
use crate::record::{Schema, SchemaKind, Struct, Value};

/// A schema with values for it.
fn data() -> impl Strategy<Value = (SchemaKind, Value)> {
    let texts = proptest::collection::vec(".{0,200}", 0..4);
    prop_oneof![
        any::<i8>().prop_map(|number| (SchemaKind::Int8, Value::Int8(number))),
        any::<i16>().prop_map(|number| (SchemaKind::Int16, Value::Int16(number))),
        any::<i32>().prop_map(|number| (SchemaKind::Int32, Value::Int32(number))),
        any::<i64>().prop_map(|number| (SchemaKind::Int64, Value::Int64(number))),
        any::<f32>().prop_map(|number| (SchemaKind::Float32, Value::Float32(number))),
        any::<f64>().prop_map(|number| (SchemaKind::Float64, Value::Float64(number))),
        any::<bool>().prop_map(|value| (SchemaKind::Boolean, Value::Boolean(value))),
        ".{0,200}".prop_map(|text| (SchemaKind::String, Value::from(text))),
        any::<Vec<u8>>().prop_map(|bytes| (SchemaKind::Bytes, Value::Bytes(bytes.into()))),
        any::<Vec<i64>>().prop_map(|numbers| {
            let element = Arc::new(Schema::from(SchemaKind::Int64).optional());
            let values = numbers.into_iter().map(Value::Int64).collect();
            (SchemaKind::Array(element), Value::Array(values))
        }),
        texts.prop_map(|texts| {
            let values = texts.into_iter().map(Value::from).collect();
            (SchemaKind::Array(Schema::optional_string()), Value::Array(values))
        }),
        proptest::collection::btree_map(any::<i32>(), ".{0,9}", 0..4).prop_map(|entries| {
            let kind = SchemaKind::Map(Arc::new(SchemaKind::Int32.into()), Schema::string());
            let entries = entries.into_iter();
            let entries = entries.map(|(key, value)| (Value::Int32(key), Value::from(value)));
            (kind, Value::Map(entries.collect()))
        }),
    ]
}

/// Structs in structs, by their fields.
fn structs() -> impl Strategy<Value = (SchemaKind, Value)> {
    data().prop_recursive(3, 24, 5, |inner| {
        proptest::collection::vec(inner, 1..5).prop_map(|parts| {
            let fields = parts.iter().enumerate();
            let fields =
                fields.map(|(place, (kind, _))| field(&format!("f{place}"), Schema::from(kind.clone())));
            let schema = Schema::try_struct(fields.collect()).unwrap();
            let kind = schema.kind.clone();
            let values = parts.into_iter().map(|(_, value)| value).collect();
            (kind, Value::Struct(Struct::new(Arc::new(schema), values)))
        })
    })
}

/// The values alone, without schemas, and floats by their bits.
fn bare(value: &Value) -> String {
    match value {
        Value::Struct(its) => format!(
            "{{{}}}",
            its.values().iter().map(bare).collect::<Vec<_>>().join(",")
        ),
        Value::Float32(number) => format!("{:x}", number.to_bits()),
        Value::Float64(number) => format!("{:x}", number.to_bits()),
        Value::Array(values) => format!("{:?}", values.iter().map(bare).collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn values_survive_the_way_there_and_back((kind, value) in structs()) {
        let double = Double::start();
        let mut converter = converter(&double, &[]);
        let schema = a_struct("Root", vec![field("root", Schema::from(kind))]);
        let bytes = encode(&mut converter, &of(&schema, vec![value.clone()])).unwrap();
        let again = converter.decode("t", Some(&bytes)).unwrap();
        prop_assert_eq!(bare(get(&again, "root")), bare(&value));
        // What was read is written as it was.
        let mut out = Vec::new();
        converter.encode("u", &again, &mut out).unwrap();
        prop_assert_eq!(&out[6..], &bytes[6..]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(ONEOF, &data, &[]);
        let _ = converter(&Double::start(), &[]).decode("t", Some(&data.into()));
    }

    #[test]
    fn numbers_and_lengths_come_back(number in any::<i64>(), size in 0_usize..40_000) {
        prop_assert_eq!(unzigzag(zigzag(number)), number);
        let mut out = vec![9];
        write_sized(&mut out, |out| { out.resize(out.len() + size, 7); Ok::<_, ()>(()) }).unwrap();
        write_varint(number as u64, &mut out);
        let out = Bytes::from(out);
        let mut input = Input::new(&out, 1);
        prop_assert_eq!(input.bytes().unwrap(), vec![7; size]);
        prop_assert_eq!(input.varint().unwrap(), number as u64);
        prop_assert!(input.is_empty());
    }
}
