mod moments;
mod numbers;

use std::sync::Arc;

use bigdecimal::BigDecimal;
use bytes::Bytes;
use jiff::tz::TimeZone;
use millstream_connect::record::{Field, Schema, SchemaKind, Struct, Value};

use crate::mysql::config::{BinaryMode, DecimalMode};
use crate::mysql::sink::column::{Column, Described, Kind};
use crate::mysql::sink::value::{Cell, Literals, Loose, Meaning};

fn literals() -> Literals {
    Literals {
        zone: TimeZone::UTC,
        connect_in_zone: false,
        rounding: false,
        binary: BinaryMode::Bytes,
    }
}

fn column(declared: &str) -> Column {
    let length = declared
        .split_once('(')
        .and_then(|(_, rest)| rest.split([',', ')']).next()?.parse().ok());
    let kind = Kind::read(Described {
        declared,
        charset: Some("utf8mb4"),
        chars: length,
        bytes: length,
    });
    Column {
        name: "c".to_owned(),
        kind,
        declared: declared.to_owned(),
        nullable: true,
        filled: true,
        generated: false,
    }
}

fn written(literals: &Literals, schema: &Schema, value: &Value, declared: &str) -> Result<String, String> {
    let mut out = Vec::new();
    let cell = Meaning::of(schema)
        .cell(value)
        .map_err(|unfit| unfit.to_string())?;
    literals
        .write(&cell, &column(declared), &mut out)
        .map_err(|unfit| unfit.to_string())?;
    Ok(out.iter().map(|byte| char::from(*byte)).collect())
}

fn named(kind: SchemaKind, name: &str) -> Schema {
    Schema::from(kind).named(name)
}

/// What is written of values that fit.
fn fits(cases: &[(Schema, Value, &str, &str)]) {
    for (schema, value, declared, expected) in cases {
        let found = written(&literals(), schema, value, declared);
        assert_eq!(
            found.as_deref(),
            Ok(*expected),
            "{:?} {value:?} to {declared}",
            schema.name
        );
    }
}

/// What is said of values that do not.
fn refused(cases: &[(Schema, Value, &str, &str)]) {
    for (schema, value, declared, expected) in cases {
        let found = written(&literals(), schema, value, declared).expect_err(declared);
        assert!(found.contains(expected), "{value:?} to {declared}: {found}");
    }
}

fn decimal(text: &str) -> Value {
    Value::Decimal(Box::new(text.parse::<BigDecimal>().unwrap()))
}

#[test]
fn texts_are_never_cut() {
    let text = || Schema::from(SchemaKind::String);
    let label = || named(SchemaKind::String, "io.debezium.data.Enum");
    fits(&[
        (
            text(),
            Value::from("日本語"),
            "varchar(3)",
            "'\u{e6}\u{97}\u{a5}\u{e6}\u{9c}\u{ac}\u{e8}\u{aa}\u{9e}'",
        ),
        (text(), Value::from("it's"), "char(4)", "'it''s'"),
        (
            Schema::from(SchemaKind::Int64),
            Value::Int64(-12),
            "varchar(3)",
            "'-12'",
        ),
        (
            Schema::from(SchemaKind::Boolean),
            Value::Boolean(true),
            "varchar(4)",
            "'true'",
        ),
        (Schema::date(), Value::Date(0), "varchar(10)", "'1970-01-01'"),
        (label(), Value::from("5"), "enum('x','5')", "'5'"),
        (label(), Value::from("x"), "enum('x','5')", "'x'"),
        (label(), Value::from("a,b"), "set('a','b')", "'a,b'"),
        (
            named(SchemaKind::String, "io.debezium.data.Json"),
            Value::from("{\"a\":1}"),
            "json",
            "'{\"a\":1}'",
        ),
        (
            named(SchemaKind::String, "io.debezium.data.Uuid"),
            Value::from("x"),
            "uuid",
            "'x'",
        ),
    ]);
    refused(&[
        (
            text(),
            Value::from("abc   "),
            "varchar(3)",
            "6 characters, and the column holds 3",
        ),
        (
            text(),
            Value::from("x".repeat(70_000)),
            "text(65535)",
            "70000 bytes",
        ),
        (
            label(),
            Value::from("2"),
            "enum('x','5')",
            "none of the column's labels",
        ),
        (
            label(),
            Value::from(" +1"),
            "enum('x','5')",
            "none of the column's labels",
        ),
        (
            Schema::from(SchemaKind::Bytes),
            Value::Bytes(Bytes::new()),
            "varchar(3)",
            "does not take bytes",
        ),
    ]);
}

#[test]
fn bytes_are_written_as_they_are_or_were_encoded() {
    let bytes = |bytes: &'static [u8]| Value::Bytes(Bytes::from_static(bytes));
    fits(&[
        (
            Schema::from(SchemaKind::Bytes),
            bytes(&[0, 39, 92, 255]),
            "varbinary(4)",
            "_binary'\0''\\\u{ff}'",
        ),
        (
            Schema::from(SchemaKind::String),
            Value::from("ab"),
            "binary(4)",
            "_binary'ab'",
        ),
    ]);
    refused(&[(
        Schema::from(SchemaKind::Bytes),
        bytes(&[0; 5]),
        "binary(4)",
        "5 bytes",
    )]);
    for (mode, text) in [
        (BinaryMode::Base64, "+/8A"),
        (BinaryMode::Base64UrlSafe, "-_8A"),
        (BinaryMode::Hex, "fBfF00"),
    ] {
        let literals = Literals {
            binary: mode,
            ..literals()
        };
        let schema = Schema::from(SchemaKind::String);
        let found = written(&literals, &schema, &Value::from(text), "blob(10)");
        assert_eq!(found.as_deref(), Ok("_binary'\u{fb}\u{ff}\0'"), "{mode:?}");
        assert!(written(&literals, &schema, &Value::from("?"), "blob(10)").is_err());
    }
}

#[test]
fn values_with_parts_become_json_geometries_and_vectors() {
    let field = |name: &str, schema: Schema| Field {
        name: Arc::from(name),
        schema: Arc::new(schema),
    };
    let fields = vec![
        field("wkb", SchemaKind::Bytes.into()),
        field("srid", Schema::from(SchemaKind::Int32).optional()),
    ];
    let point = Schema::try_struct(fields)
        .unwrap()
        .named("io.debezium.data.geometry.Geometry");
    let mut wkb = vec![1, 1, 0, 0, 0];
    wkb.extend([1.0_f64.to_le_bytes(), 2.0_f64.to_le_bytes()].concat());
    let value = |srid: Value| {
        let values = vec![Value::Bytes(wkb.clone().into()), srid];
        Value::Struct(Struct::new(Arc::new(point.clone()), values))
    };
    let found = written(&literals(), &point, &value(Value::Int32(4326)), "point").unwrap();
    assert!(found.starts_with("_binary'\u{e6}\u{10}\0\0\u{1}\u{1}\0\0\0"));
    assert!(
        written(&literals(), &point, &value(Value::Null), "geometry")
            .unwrap()
            .starts_with("_binary'\0\0\0\0")
    );
    let numbers = Schema::from(SchemaKind::Array(Arc::new(SchemaKind::Float32.into())));
    let vector = numbers.clone().named("io.debezium.data.FloatVector");
    let values = Value::Array(vec![Value::Float32(1.0), Value::Float32(-2.0)]);
    fits(&[
        (
            vector.clone(),
            values.clone(),
            "vector(3)",
            "_binary'\0\0\u{80}?\0\0\0\u{c0}'",
        ),
        (vector.clone(), values.clone(), "json", "'[1.0,-2.0]'"),
        (numbers, values.clone(), "json", "'[1.0,-2.0]'"),
        (
            Schema::from(SchemaKind::Map(Schema::string(), Schema::string())),
            Value::Map(vec![
                (Value::from("it's"), Value::from("x")),
                (Value::from("n"), Value::Null),
            ]),
            "longtext",
            r#"'{"it''s":"x","n":null}'"#,
        ),
    ]);
    refused(&[(vector, values, "vector(1)", "2 numbers")]);
}

#[test]
fn without_a_schema_the_column_says_what_a_value_means() {
    let loose = |decimals: DecimalMode, meaning: Meaning, value: &Value, declared: &str| {
        let (mut out, mut decoded) = (Vec::new(), Vec::new());
        let loose = Loose {
            decimals,
            binary: BinaryMode::Bytes,
        };
        let column = column(declared);
        let cell = loose.cell((meaning, &column.kind), value, &mut decoded);
        let cell = cell.map_err(|unfit| unfit.to_string())?;
        let written = literals().write(&cell, &column, &mut out);
        written.map_err(|unfit| unfit.to_string())?;
        Ok::<String, String>(out.iter().map(|byte| char::from(*byte)).collect())
    };
    use DecimalMode::{Precise, String as Text};
    let cases = [
        (Text, Meaning::Date, Value::Int64(1), "date", "'1970-01-02'"),
        (
            Text,
            Meaning::Date,
            Value::from("2024-05-06"),
            "date",
            "'2024-05-06'",
        ),
        (
            Text,
            Meaning::Local(1_000),
            Value::Int64(1),
            "datetime(3)",
            "'1970-01-01 00:00:00.001'",
        ),
        (Text, Meaning::Bits, Value::from("AQE="), "bit(9)", "257"),
        (Text, Meaning::Bits, Value::Boolean(true), "bit(1)", "1"),
        (
            Text,
            Meaning::Plain,
            Value::from("AP8="),
            "varbinary(9)",
            "_binary'\0\u{ff}'",
        ),
        (Text, Meaning::Plain, Value::from("12.5"), "decimal(4,2)", "12.5"),
        (
            Precise,
            Meaning::Plain,
            Value::from("BNI="),
            "decimal(4,2)",
            "12.34",
        ),
        (Text, Meaning::Plain, Value::from("[1]"), "json", "'[1]'"),
    ];
    for (mode, meaning, value, declared, expected) in cases {
        assert_eq!(
            loose(mode, meaning, &value, declared).as_deref(),
            Ok(expected),
            "{value:?} to {declared}"
        );
    }
    let error = loose(Text, Meaning::Plain, &Value::from("BNI="), "decimal(4,2)").unwrap_err();
    assert!(error.contains("decimal.handling.mode=precise"), "{error}");
    let geometry = Value::Map(vec![
        (Value::from("wkb"), Value::from("AQEAAAAAAAAAAADwPwAAAAAAAABA")),
        (Value::from("srid"), Value::Null),
    ]);
    assert!(
        loose(Text, Meaning::Geometry, &geometry, "geometry")
            .unwrap()
            .starts_with("_binary'\0\0\0\0\u{1}")
    );
}

#[test]
fn nothing_is_not_put_where_something_has_to_be() {
    let mut strict = column("int");
    strict.nullable = false;
    let error = literals().write(&Cell::Null, &strict, &mut Vec::new());
    assert!(error.unwrap_err().to_string().contains("NOT NULL"));
}
