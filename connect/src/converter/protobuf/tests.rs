//! Tests against a registry's double.
use std::sync::Arc;

use bytes::Bytes;

use super::wire::{write_varint, zigzag};
use super::{ProtobufConverter, ProtobufConverterPlugin};
use crate::config::ConfigMap;
use crate::converter::registry::double::Double;
use crate::plugin::{Converter, ConverterPlugin, Encoded, ErrorKind, PluginError};
use crate::record::{Datum, Field, Schema, SchemaKind, SchemaRef, Struct, Value};

fn config(double: &Double, more: &[(&str, &str)]) -> ConfigMap {
    let url = double.url();
    let all = [("schema.registry.url", url.as_str())];
    let all = all.iter().chain(more);
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

pub(super) fn converter(double: &Double, more: &[(&str, &str)]) -> ProtobufConverter {
    ProtobufConverter::new(&config(double, more), false).unwrap()
}

/// What stands before a message.
pub(super) fn head(id: i32, places: &[usize]) -> Vec<u8> {
    let mut head = vec![0];
    head.extend_from_slice(&id.to_be_bytes());
    match places {
        [0] => head.push(0),
        places => {
            write_varint(zigzag(places.len() as i64), &mut head);
            places
                .iter()
                .for_each(|place| write_varint(zigzag(*place as i64), &mut head));
        }
    }
    head
}

pub(super) fn field(name: &str, schema: impl Into<SchemaRef>) -> Field {
    Field {
        name: name.into(),
        schema: schema.into(),
    }
}

pub(super) fn a_struct(name: &str, fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::try_struct(fields).unwrap().named(name))
}

pub(super) fn of(schema: &SchemaRef, values: Vec<Value>) -> Datum {
    let its = Struct::new(Arc::clone(schema), values);
    Datum::new(Arc::clone(schema), Value::Struct(its))
}

pub(super) fn encode(converter: &mut ProtobufConverter, datum: &Datum) -> Result<Bytes, PluginError> {
    let mut out = Vec::new();
    assert_eq!(converter.encode("t", datum, &mut out)?, Encoded::Bytes);
    Ok(out.into())
}

/// The data of `text`'s first message, read with these keys.
pub(super) fn read(text: &str, data: &[u8], more: &[(&str, &str)]) -> Result<Datum, PluginError> {
    let double = Double::start();
    let id = double.register_as("PROTOBUF", "t-value", text, &[]);
    let mut message = head(id, &[0]);
    message.extend_from_slice(data);
    converter(&double, more).decode("t", Some(&message.into()))
}

pub(super) fn get<'a>(datum: &'a Datum, name: &str) -> &'a Value {
    match &datum.value {
        Value::Struct(its) => its.get(name).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_schema_is_registered_once_and_the_data_come_back() {
    let double = Double::start();
    let mut converter = converter(&double, &[]);
    let schema = a_struct(
        "logs.Line",
        vec![
            field("id", Arc::new(SchemaKind::Int64.into())),
            field("text", Schema::optional_string()),
        ],
    );
    for number in 0..10 {
        let bytes = encode(
            &mut converter,
            &of(&schema, vec![Value::Int64(number), Value::from("to be")]),
        )
        .unwrap();
        let again = converter.decode("t", Some(&bytes)).unwrap();
        assert_eq!(get(&again, "id"), &Value::Int64(number));
        let text = get(&again, "text").as_str().unwrap();
        assert!(
            bytes.as_ptr_range().contains(&text.as_ptr()),
            "it shares the buffer"
        );
    }
    assert_eq!(
        double.requests(),
        [
            "POST /subjects/t-value/versions?normalize=false",
            "GET /schemas/ids/1?fetchMaxId=false",
            "POST /subjects/t-value?normalize=false",
        ]
    );
    assert_eq!(
        double.text(1),
        "syntax = \"proto3\";\npackage logs;\n\nmessage Line {\n  int64 id = 1;\n  string text = 2;\n}\n"
    );
}

#[test]
fn null_is_null_and_what_has_no_schema_is_refused() {
    let double = Double::start();
    let mut converter = converter(&double, &[]);
    let mut out = Vec::new();
    assert_eq!(
        converter.encode("t", &Datum::NULL, &mut out).unwrap(),
        Encoded::Null
    );
    assert!(converter.decode("t", None).unwrap().is_null());
    let error = converter
        .encode("t", &Datum::schemaless(Value::from("a")), &mut out)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadRecord);
    for bytes in [
        &b"{\"a\": 1}"[..],
        b"",
        b"\0\0\0\0\x01",
        b"\0\0\0\0\x01\x01\x01",
        b"\0\0\0\0\x01\xff\xff\xff\xff\x0f",
    ] {
        let error = converter
            .decode("t", Some(&Bytes::copy_from_slice(bytes)))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRecord, "{error}");
    }
}

#[test]
fn switches_that_are_not_supported_are_refused_by_name() {
    let double = Double::start();
    for (key, value) in [
        ("generalized.sum.type.support", "true"),
        ("skip.known.types", "false"),
        ("use.schema.id", "7"),
    ] {
        let made = ProtobufConverterPlugin.new_converter(&config(&double, &[(key, value)]), true);
        let error = made.err().expect(key);
        assert_eq!(error.kind(), ErrorKind::UserConfig);
        assert!(error.to_string().contains(key), "{error}");
    }
    let harmless = [
        ("generalized.sum.type.support", "false"),
        ("skip.known.types", "TRUE"),
    ];
    ProtobufConverterPlugin
        .new_converter(&config(&double, &harmless), true)
        .unwrap();
}

#[test]
fn nullables_are_labelled_or_wrapped_if_wanted() {
    let schema = a_struct(
        "N",
        vec![
            field("text", Schema::optional_string()),
            field("number", Schema::from(SchemaKind::Int32).optional()),
            field("sure", Schema::from(SchemaKind::Int32)),
        ],
    );
    let labelled = "syntax = \"proto3\";\n\nmessage N {\n  optional string text = 1;\n  optional int32 number = 2;\n  int32 sure = 3;\n}\n";
    let wrapped = "syntax = \"proto3\";\n\nimport \"google/protobuf/wrappers.proto\";\n\nmessage N {\n  google.protobuf.StringValue text = 1;\n  \
                   google.protobuf.Int32Value number = 2;\n  int32 sure = 3;\n}\n";
    for (key, text, data) in [
        ("optional.for.nullables", labelled, &b"\x10\x00"[..]),
        ("wrapper.for.nullables", wrapped, b"\x12\x00"),
    ] {
        let double = Double::start();
        let mut converter = converter(&double, &[(key, "true")]);
        let datum = of(&schema, vec![Value::Null, Value::Int32(0), Value::Int32(0)]);
        let bytes = encode(&mut converter, &datum).unwrap();
        assert_eq!(double.text(1), text);
        assert_eq!(&bytes[6..], data);
        let again = converter.decode("t", Some(&bytes)).unwrap();
        assert_eq!(
            (get(&again, "text"), get(&again, "number")),
            (&Value::Null, &Value::Int32(0))
        );
        let schema = again.schema.unwrap();
        let optional: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| field.schema.optional)
            .collect();
        assert_eq!(optional, [true, true, false], "{key}");
    }
}

#[test]
fn defaults_stand_for_null_unless_they_are_ignored() {
    let with_default = Schema::from(SchemaKind::Int32)
        .optional()
        .with_default(Value::Int32(7));
    let schema = a_struct("D", vec![field("a", with_default)]);
    let double = Double::start();
    let datum = of(&schema, vec![Value::Null]);
    assert_eq!(
        &encode(&mut converter(&double, &[]), &datum).unwrap()[6..],
        b"\x08\x07"
    );
    let ignoring = [("ignore.default.for.nullables", "true")];
    assert_eq!(
        &encode(&mut converter(&double, &ignoring), &datum).unwrap()[6..],
        b""
    );
}

pub(super) const ONEOF: &str = "syntax = \"proto3\"; package p; message M { optional int32 o = 9; oneof u { int32 a = 1; string b = 2; } \
                     enum E { ZERO = 0; ONE = 1; } E e = 3; Inner inner = 4; message Inner { int32 x = 1; string y = 2; } }";

#[test]
fn switches_change_what_is_read() {
    let data = b"\x08\x05\x18\x01";
    let usual = read(ONEOF, data, &[]).unwrap();
    assert_eq!(usual.schema.as_ref().unwrap().name.as_deref(), Some("M"));
    let Value::Struct(union) = get(&usual, "u_0") else {
        panic!()
    };
    assert_eq!(
        union.schema().name.as_deref(),
        Some("io.confluent.connect.protobuf.Union.u")
    );
    assert_eq!(union.values(), [Value::Int32(5), Value::Null]);
    assert_eq!(
        (get(&usual, "e"), get(&usual, "inner")),
        (&Value::from("ONE"), &Value::Null)
    );
    let names = |datum: &Datum| {
        let fields = datum.schema.as_ref().unwrap().fields().iter();
        fields.map(|field| field.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&usual), ["u_0", "o", "e", "inner"]);
    let plain = read(ONEOF, data, &[("generate.index.for.unions", "false")]).unwrap();
    assert_eq!(names(&plain), ["u", "o", "e", "inner"]);
    let flat = read(ONEOF, data, &[("flatten.unions", "true")]).unwrap();
    assert_eq!(names(&flat), ["a", "b", "o", "e", "inner"]);
    assert_eq!(
        (get(&flat, "a"), get(&flat, "b")),
        (&Value::Int32(5), &Value::Null)
    );
    let numbers = read(ONEOF, data, &[("int.for.enums", "true")]).unwrap();
    assert_eq!(get(&numbers, "e"), &Value::Int32(1));
    let enhanced = read(ONEOF, data, &[("enhanced.protobuf.schema.support", "true")]).unwrap();
    let schema = enhanced.schema.as_ref().unwrap();
    assert_eq!(schema.name.as_deref(), Some("p.M"));
    assert_eq!(schema.field("e").unwrap().schema.name.as_deref(), Some("p.M.E"));
    let full = read(ONEOF, data, &[("generate.struct.for.nulls", "true")]).unwrap();
    let Value::Struct(inner) = get(&full, "inner") else {
        panic!()
    };
    assert_eq!(inner.values(), [Value::Int32(0), Value::from("")]);
    assert_eq!(get(&full, "o"), &Value::Int32(0));
}

#[test]
fn the_last_counts_and_messages_are_merged() {
    // Both members of the oneof, the number twice, a message in two parts, and an enum's value that nobody knows.
    let data = b"\x08\x05\x12\x01z\x48\x01\x48\x02\x22\x02\x08\x07\x22\x03\x12\x01y\x18\x09";
    let read = read(ONEOF, data, &[]).unwrap();
    let Value::Struct(union) = get(&read, "u_0") else {
        panic!()
    };
    assert_eq!(union.values(), [Value::Null, Value::from("z")]);
    assert_eq!(get(&read, "o"), &Value::Int32(2));
    let Value::Struct(inner) = get(&read, "inner") else {
        panic!()
    };
    assert_eq!(inner.values(), [Value::Int32(7), Value::from("y")]);
    assert_eq!(get(&read, "e"), &Value::from("UNKNOWN_ENUM_VALUE_E_9"));
}

#[test]
fn proto2_has_defaults_required_fields_and_closed_enums() {
    let text = "message M { optional int32 a = 1 [default = -5]; optional string b = 2 [default = \"x\\\"y\"]; enum E { ONE = 1; TWO = 2; } \
                optional E e = 3 [default = TWO]; required bool r = 4; repeated E es = 5; optional bytes raw = 6 [default = \"\\001a\"]; }";
    let data = b"\x20\x01\x18\x07\x2a\x03\x01\x07\x02";
    let nulls = read(text, data, &[]).unwrap();
    assert_eq!((get(&nulls, "a"), get(&nulls, "e")), (&Value::Null, &Value::Null));
    assert_eq!(
        get(&nulls, "es"),
        &Value::Array(vec![Value::from("ONE"), Value::from("TWO")])
    );
    let defaults = read(text, data, &[("optional.for.proto2", "false")]).unwrap();
    assert_eq!(
        (get(&defaults, "a"), get(&defaults, "e")),
        (&Value::Int32(-5), &Value::from("TWO"))
    );
    assert_eq!(get(&defaults, "b"), &Value::from("x\"y"));
    assert_eq!(get(&defaults, "raw"), &Value::Bytes(Bytes::from_static(b"\x01a")));
    let error = read(text, b"", &[]).unwrap_err();
    assert!(error.to_string().contains(".r: the field is required"), "{error}");
}

#[test]
fn what_is_unknown_is_passed_over() {
    let text = "syntax = \"proto3\"; message M { int32 a = 1; }";
    // A number, eight bytes, a string, nested groups, four bytes.
    let data = b"\x50\x07\x51\x01\x02\x03\x04\x05\x06\x07\x08\x52\x02zz\x53\x5b\x08\x01\x5c\x54\x55\x01\x02\x03\x04\x08\x2a";
    assert_eq!(get(&read(text, data, &[]).unwrap(), "a"), &Value::Int32(42));
    let wrong: [&[u8]; 5] = [b"\x53\x08\x01", b"\x53\x5c", b"\x54", b"\x57", b"\x00"];
    for data in wrong {
        assert!(read(text, data, &[]).is_err());
    }
    let deep = [0x53; 1_000_000];
    let error = read(text, &deep, &[]).unwrap_err();
    assert!(error.to_string().contains("nested"), "{error}");
    // As it is written in another way.
    assert_eq!(
        get(&read(text, b"\x0a\x02zz", &[]).unwrap(), "a"),
        &Value::Int32(0)
    );
}

#[test]
fn schemas_that_cannot_be_read_say_why() {
    for (text, what) in [
        ("syntax = \"proto3\"; message M { M m = 1; }", "holds itself"),
        (
            "syntax = \"proto3\"; message M { map<string, M> m = 1; }",
            "holds itself",
        ),
        (
            "message M { optional group G = 1 { optional int32 a = 2; } }",
            "groups",
        ),
        (
            "syntax = \"proto3\"; message M { other.N n = 1; }",
            "other.N is not defined",
        ),
        ("syntax = \"proto3\"; message M {", "not Protobuf's"),
        ("syntax = \"proto3\"; enum E { A = 0; }", "no message"),
    ] {
        let error = read(text, b"", &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRecord);
        assert!(error.to_string().contains(what), "{error}");
    }
    let deep = format!(
        "syntax = \"proto3\"; message M {{ {} }}",
        "message A { ".repeat(100_000)
    );
    let error = read(&deep, b"", &[]).unwrap_err();
    assert!(error.to_string().contains("deep"), "{error}");
    // Brackets in comments do not count.
    let comment = format!(
        "// {}\nmessage M {{ /* {} */ }}",
        "{".repeat(1_000),
        "<".repeat(1_000)
    );
    read(&comment, b"", &[]).unwrap();
}

#[test]
fn few_bytes_are_not_many_values() {
    let fields: String = (1..=1_000)
        .map(|number| format!("int32 f{number} = {number};"))
        .collect();
    let text = format!("syntax = \"proto3\"; message M {{ repeated N n = 1; }} message N {{ {fields} }}");
    let error = read(&text, &b"\x0a\x00".repeat(100_000), &[]).unwrap_err();
    assert!(error.to_string().contains("few bytes"), "{error}");
    // Each message holds the next ten times: it is many structs if nothing is null.
    let mut text = "syntax = \"proto3\"; message M0 { int32 a = 1; }".to_owned();
    for number in 1..=20 {
        let fields: String = (1..=10)
            .map(|field| format!("M{} f{field} = {field};", number - 1))
            .collect();
        text.push_str(&format!("message M{number} {{ {fields} }}"));
    }
    let text = format!(
        "{} message Z {{}}",
        text.replace("message M0 ", "message Root { M20 m = 1; } message M0 ")
    );
    read(&text, b"", &[]).unwrap();
    let error = read(&text, b"", &[("generate.struct.for.nulls", "true")]).unwrap_err();
    assert!(error.to_string().contains("generate.struct.for.nulls"), "{error}");
}

#[test]
fn the_latest_schema_is_used_if_the_data_agree_with_it() {
    let double = Double::start();
    let text = "syntax = \"proto3\"; message Other {} message Line { int64 id = 1; string text = 2; int32 more = 3; }";
    let id = double.register_as("PROTOBUF", "t-value", text, &[]);
    let latest = [("auto.register.schemas", "false"), ("use.latest.version", "true")];
    let line = |name: &str, first: &str| {
        let fields = vec![
            field(first, Schema::from(SchemaKind::Int64)),
            field("text", Schema::string()),
        ];
        of(&a_struct(name, fields), vec![Value::Int64(1), Value::from("a")])
    };
    let mut strict = converter(&double, &latest);
    let bytes = encode(&mut strict, &line("Line", "id")).unwrap();
    assert_eq!(bytes[..], [&head(id, &[1])[..], b"\x08\x01\x12\x01a"].concat());
    for (wrong, what) in [
        (line("Unknown", "id"), "no message Unknown"),
        (line("Line", "more"), ".more: the data do not agree"),
    ] {
        let error = encode(&mut strict, &wrong).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    let mut lax = converter(
        &double,
        &[latest[0], latest[1], ("latest.compatibility.strict", "false")],
    );
    let bytes = encode(&mut lax, &line("Unknown", "id")).unwrap();
    assert_eq!(bytes[..6], head(id, &[0]));
}

#[test]
fn what_protobuf_has_no_words_for_is_refused() {
    let double = Double::start();
    let mut converter = converter(&double, &[]);
    let int = || Arc::new(Schema::from(SchemaKind::Int32));
    let array = Arc::new(Schema::from(SchemaKind::Array(int())));
    let nested = a_struct(
        "M",
        vec![field("a", Schema::from(SchemaKind::Array(Arc::clone(&array))))],
    );
    let spaced = a_struct("M", vec![field("a b", int())]);
    for (datum, what) in [
        (Datum::new(Arc::clone(&array), Value::Array(vec![])), "array"),
        (Datum::new(Arc::new(Schema::date()), Value::Date(1)), "HoistField"),
        (of(&nested, vec![Value::Array(vec![])]), "arrays of arrays"),
        (of(&spaced, vec![Value::Int32(1)]), "scrub.invalid.names"),
    ] {
        let error = encode(&mut converter, &datum).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    let listed = a_struct("L", vec![field("l", Arc::clone(&array))]);
    let error = encode(
        &mut converter,
        &of(&listed, vec![Value::Array(vec![Value::Null])]),
    )
    .unwrap_err();
    assert!(error.to_string().contains(".l[0]: null"), "{error}");
}

#[test]
fn a_message_has_no_name_of_a_field() {
    let inner = a_struct("x.line", vec![field("n", Schema::from(SchemaKind::Int32))]);
    let schema = a_struct("M", vec![field("line", Arc::clone(&inner))]);
    let double = Double::start();
    let value = Value::Struct(Struct::new(inner, vec![Value::Int32(3)]));
    let bytes = encode(&mut converter(&double, &[]), &of(&schema, vec![value])).unwrap();
    assert_eq!(&bytes[6..], b"\x0a\x02\x08\x03");
    assert!(
        double
            .text(1)
            .contains("  lineMessage line = 1;\n\n  message lineMessage {\n    int32 n = 1;\n")
    );
}

#[test]
fn messages_that_are_used_twice_keep_their_schemas() {
    let text =
        "syntax = \"proto3\"; message M { I a = 1; I b = 2; repeated I c = 3; } message I { int32 x = 1; }";
    let datum = read(text, b"\x0a\x02\x08\x01\x12\x02\x08\x02\x1a\x02\x08\x03", &[]).unwrap();
    let schema = datum.schema.as_ref().unwrap();
    schema.check(&datum.value).unwrap();
    let Value::Struct(b) = get(&datum, "b") else {
        panic!()
    };
    let of_field = &schema.field("b").unwrap().schema;
    assert!(Arc::ptr_eq(b.schema(), of_field), "writing need not compare them");
    assert_eq!(of_field.parameter("io.confluent.connect.protobuf.Tag"), Some("2"));
    let double = Double::start();
    let mut converter = converter(&double, &[]);
    let bytes = encode(&mut converter, &datum).unwrap();
    assert_eq!(&bytes[6..], b"\x0a\x02\x08\x01\x12\x02\x08\x02\x1a\x02\x08\x03");
}

#[test]
fn entries_of_maps_need_not_be_whole() {
    let text = "syntax = \"proto3\"; message M { map<string, I> m = 1; repeated NEntry n = 2; message I { int32 x = 1; } \
                message NEntry { int64 key = 1; string value = 2; } }";
    let datum = read(
        text,
        b"\x0a\x03\x0a\x01k\x0a\x00\x12\x02\x08\x05\x12\x05\x08\x05\x12\x01v",
        &[],
    )
    .unwrap();
    let Value::Map(entries) = get(&datum, "m") else {
        panic!()
    };
    let keys: Vec<_> = entries.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(keys, [Value::from("k"), Value::from("")]);
    assert!(
        entries
            .iter()
            .all(|(_, value)| matches!(value, Value::Struct(its) if its.values() == [Value::Int32(0)]))
    );
    // The last of a key counts.
    assert_eq!(
        get(&datum, "n"),
        &Value::Map(vec![(Value::Int64(5), Value::from("v"))])
    );
    let schema = datum.schema.unwrap();
    assert_eq!(schema.field("n").unwrap().schema.name.as_deref(), Some("n"));
}

#[test]
#[ignore = "a measurement; run it alone, with --release"]
fn measure_records() {
    const RECORDS: u32 = 3_000_000;
    let fields = vec![
        field("id", Schema::from(SchemaKind::Int64)),
        field("text", Schema::optional_string()),
    ];
    let schema = a_struct("logs.Line", fields);
    let text = Value::from("a line of fifty bytes, as in a log file or a book.");
    let datum = of(&schema, vec![Value::Int64(42), text]);
    let double = Double::start();
    let (mut converter, mut out) = (converter(&double, &[]), Vec::new());
    let start = std::time::Instant::now();
    for _ in 0..RECORDS {
        out.clear();
        converter
            .encode("lines", std::hint::black_box(&datum), &mut out)
            .unwrap();
    }
    println!("encode: {} ns a record", (start.elapsed() / RECORDS).as_nanos());
    let bytes = Bytes::from(out);
    let start = std::time::Instant::now();
    for _ in 0..RECORDS {
        std::hint::black_box(converter.decode("lines", Some(&bytes)).unwrap());
    }
    println!("decode: {} ns a record", (start.elapsed() / RECORDS).as_nanos());
}
