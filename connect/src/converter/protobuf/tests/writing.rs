//! What is written.
use super::*;

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
