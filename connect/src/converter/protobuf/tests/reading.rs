//! What is read.
use super::*;

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
