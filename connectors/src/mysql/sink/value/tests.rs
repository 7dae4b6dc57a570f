use std::sync::Arc;

use bigdecimal::BigDecimal;
use bytes::Bytes;
use jiff::tz::TimeZone;
use millstream_connect::record::{Field, Schema, SchemaKind, Struct, Value};

use super::super::column::{Column, Described, Kind};
use super::{Literals, Loose, Meaning};
use crate::mysql::config::{BinaryMode, DecimalMode};

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
fn whole_numbers_are_checked() {
    let plain = |kind: SchemaKind| Schema::from(kind);
    let unsigned =
        plain(SchemaKind::Int64).with_parameter("__debezium.source.column.type", "BIGINT UNSIGNED");
    fits(&[
        (plain(SchemaKind::Int16), Value::Int16(-128), "tinyint", "-128"),
        (
            plain(SchemaKind::Int16),
            Value::Int16(255),
            "tinyint unsigned",
            "255",
        ),
        (
            plain(SchemaKind::Int32),
            Value::Int32(-8_388_608),
            "mediumint",
            "-8388608",
        ),
        (
            plain(SchemaKind::Int64),
            Value::Int64(i64::MIN),
            "bigint",
            "-9223372036854775808",
        ),
        (
            unsigned.clone(),
            Value::Int64(-1),
            "bigint unsigned",
            "18446744073709551615",
        ),
        (
            Schema::decimal(0),
            decimal("18446744073709551615"),
            "bigint unsigned",
            "18446744073709551615",
        ),
        (Schema::decimal(2), decimal("12.00"), "int", "12"),
        (
            plain(SchemaKind::Boolean),
            Value::Boolean(true),
            "tinyint(1)",
            "1",
        ),
        (plain(SchemaKind::Float64), Value::Float64(3.0), "int", "3"),
        (plain(SchemaKind::String), Value::from(" -7 "), "int", "-7"),
        (plain(SchemaKind::Int64), Value::Null, "int", "NULL"),
        (
            named(SchemaKind::Int32, "io.debezium.time.Date"),
            Value::Int32(9),
            "int",
            "9",
        ),
    ]);
    refused(&[
        (
            plain(SchemaKind::Int16),
            Value::Int16(128),
            "tinyint",
            "from -128 to 127",
        ),
        (
            plain(SchemaKind::Int32),
            Value::Int32(8_388_608),
            "mediumint",
            "from -8388608",
        ),
        (
            plain(SchemaKind::Int64),
            Value::Int64(-1),
            "bigint unsigned",
            "bigint.unsigned.handling.mode",
        ),
        (Schema::decimal(2), decimal("12.01"), "int", "not a whole number"),
        (
            plain(SchemaKind::Float64),
            Value::Float64(3.5),
            "int",
            "not a whole number",
        ),
        (
            plain(SchemaKind::String),
            Value::from("x"),
            "int",
            "not a whole number",
        ),
        (
            plain(SchemaKind::Bytes),
            Value::Bytes(Bytes::new()),
            "int",
            "does not take bytes",
        ),
    ]);
}

#[test]
fn decimals_keep_all_of_their_digits() {
    let string = Schema::from(SchemaKind::String);
    let double = Schema::from(SchemaKind::Float64);
    fits(&[
        (Schema::decimal(2), decimal("-0.05"), "decimal(5,2)", "-0.05"),
        (Schema::decimal(3), decimal("999.990"), "decimal(5,2)", "999.990"),
        (Schema::decimal(0), decimal("100"), "decimal(3,0)", "100"),
        (Schema::decimal(-2), decimal("1e2"), "decimal(3,0)", "100"),
        (
            Schema::decimal(30),
            decimal("-12345678901234567890123456789012345.123456789012345678901234567891"),
            "decimal(65,30)",
            "-12345678901234567890123456789012345.123456789012345678901234567891",
        ),
        (string.clone(), Value::from("0012.50"), "decimal(4,2)", "0012.50"),
        (string.clone(), Value::from("1.25E+1"), "decimal(4,2)", "12.5"),
        (double.clone(), Value::Float64(1.1), "decimal(10,2)", "1.1e0"),
        (
            Schema::from(SchemaKind::Float32),
            Value::Float32(1.1),
            "decimal(10,2)",
            "1.1e0",
        ),
        (Schema::decimal(1), decimal("0.5"), "double", "0.5e0"),
        (
            Schema::decimal(1),
            decimal("-0.0"),
            "decimal(3,1) unsigned",
            "0.0",
        ),
        (Schema::decimal(1), decimal("1.5"), "varchar(5)", "'1.5'"),
    ]);
    refused(&[
        (
            Schema::decimal(3),
            decimal("1.005"),
            "decimal(5,2)",
            "3 digits behind the point",
        ),
        (
            Schema::decimal(2),
            decimal("1000.00"),
            "decimal(5,2)",
            "3 digits before the point",
        ),
        (
            Schema::decimal(1),
            decimal("-0.1"),
            "decimal(3,1) unsigned",
            "negative",
        ),
        (
            double.clone(),
            Value::Float64(f64::NAN),
            "decimal(5,2)",
            "digits before",
        ),
        (double, Value::Float64(1e3), "decimal(5,2)", "digits before"),
        (string.clone(), Value::from("1.2.3"), "decimal(5,2)", "no number"),
        (string, Value::from("NaN"), "decimal(5,2)", "no number"),
        (
            Schema::decimal(0),
            decimal("1e100000"),
            "decimal(65,0)",
            "more than 400 digits",
        ),
    ]);
    let rounding = Literals {
        rounding: true,
        ..literals()
    };
    let rounded = written(&rounding, &Schema::decimal(3), &decimal("1.005"), "decimal(5,2)");
    assert_eq!(rounded.as_deref(), Ok("1.005"));
}

#[test]
fn floats_are_exact() {
    let (single, double) = (
        Schema::from(SchemaKind::Float32),
        Schema::from(SchemaKind::Float64),
    );
    fits(&[
        (
            single.clone(),
            Value::Float32(0.1),
            "float",
            "1.0000000149011612e-1",
        ),
        (
            double.clone(),
            Value::Float64(f64::MIN_POSITIVE),
            "double",
            "2.2250738585072014e-308",
        ),
        (double.clone(), Value::Float64(-0.0), "double", "-0e0"),
        (Schema::from(SchemaKind::Int64), Value::Int64(7), "double", "7"),
        (
            Schema::from(SchemaKind::String),
            Value::from("1e3"),
            "double",
            "1e3",
        ),
    ]);
    refused(&[
        (
            double.clone(),
            Value::Float64(f64::INFINITY),
            "double",
            "not finite",
        ),
        (double, Value::Float64(1e39), "float", "larger than a FLOAT"),
    ]);
}

#[test]
fn bits_come_with_the_lowest_byte_first() {
    let bits = named(SchemaKind::Bytes, "io.debezium.data.Bits").with_parameter("length", "9");
    let bytes = |bytes: &'static [u8]| Value::Bytes(Bytes::from_static(bytes));
    fits(&[
        (bits.clone(), bytes(&[0x01, 0x01]), "bit(9)", "257"),
        (bits.clone(), bytes(&[0xff; 8]), "bit(64)", "18446744073709551615"),
        (
            Schema::from(SchemaKind::Boolean),
            Value::Boolean(false),
            "bit(1)",
            "0",
        ),
        (
            Schema::from(SchemaKind::Bytes),
            bytes(&[0x01, 0x02]),
            "bit(16)",
            "258",
        ),
    ]);
    refused(&[
        (bits.clone(), bytes(&[0, 2]), "bit(9)", "more than 9 bits"),
        (
            bits,
            bytes(&[0, 0, 0, 0, 0, 0, 0, 0, 1]),
            "bit(64)",
            "whole number",
        ),
    ]);
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
fn dates_and_times_are_what_they_were() {
    let of = |name: &str| named(SchemaKind::Int64, &format!("io.debezium.time.{name}"));
    let day = named(SchemaKind::Int32, "io.debezium.time.Date");
    let iso = |name: &str| named(SchemaKind::String, &format!("io.debezium.time.{name}"));
    fits(&[
        (day.clone(), Value::Int32(-719_528), "date", "'0000-01-01'"),
        (day, Value::Int32(2_932_896), "date", "'9999-12-31'"),
        (
            of("Timestamp"),
            Value::Int64(-1),
            "datetime(3)",
            "'1969-12-31 23:59:59.999'",
        ),
        (
            of("Timestamp"),
            Value::Int64(5_000),
            "datetime",
            "'1970-01-01 00:00:05'",
        ),
        (
            of("MicroTimestamp"),
            Value::Int64(1),
            "datetime(6)",
            "'1970-01-01 00:00:00.000001'",
        ),
        (
            of("NanoTimestamp"),
            Value::Int64(1_000),
            "timestamp(6)",
            "'1970-01-01 00:00:00.000001'",
        ),
        (
            of("MicroTime"),
            Value::Int64(-3_020_399_000_000),
            "time",
            "'-838:59:59'",
        ),
        (
            of("NanoTime"),
            Value::Int64(1_500_000_000),
            "time(1)",
            "'00:00:01.5'",
        ),
        (
            named(SchemaKind::Int32, "io.debezium.time.Time"),
            Value::Int32(61_000),
            "time",
            "'00:01:01'",
        ),
        (
            named(SchemaKind::Int32, "io.debezium.time.Year"),
            Value::Int32(0),
            "year",
            "0",
        ),
        (
            iso("ZonedTimestamp"),
            Value::from("2024-05-06T07:08:09.5+02:00"),
            "timestamp(1)",
            "'2024-05-06 05:08:09.5'",
        ),
        (
            iso("ZonedTimestamp"),
            Value::from("2024-05-06T07:08:09Z"),
            "varchar(20)",
            "'2024-05-06T07:08:09Z'",
        ),
        (
            iso("IsoTimestamp"),
            Value::from("2024-05-06T07:08:09Z"),
            "datetime",
            "'2024-05-06 07:08:09'",
        ),
        (iso("IsoDate"), Value::from("2024-05-06Z"), "date", "'2024-05-06'"),
        (iso("IsoTime"), Value::from("07:08:09Z"), "time", "'07:08:09'"),
        (
            Schema::timestamp(),
            Value::Timestamp(1),
            "datetime(3)",
            "'1970-01-01 00:00:00.001'",
        ),
        (Schema::time(), Value::Time(1_000), "time", "'00:00:01'"),
        (
            Schema::date(),
            Value::Date(1),
            "datetime",
            "'1970-01-02 00:00:00'",
        ),
        (
            Schema::from(SchemaKind::String),
            Value::from("0000-00-00 00:00:00"),
            "datetime",
            "'0000-00-00 00:00:00'",
        ),
        (
            of("Timestamp"),
            Value::Int64(1_714_978_089_000),
            "bigint",
            "1714978089000",
        ),
    ]);
    refused(&[
        (
            of("Timestamp"),
            Value::Int64(1),
            "datetime",
            "3 digits of a second's fraction, and the column holds 0",
        ),
        (
            of("Timestamp"),
            Value::Int64(i64::MAX),
            "datetime(3)",
            "years 0 to 9999",
        ),
        (
            of("MicroTime"),
            Value::Int64(3_020_399_000_001),
            "time(6)",
            "838:59:59",
        ),
        (of("Timestamp"), Value::Int64(1_000), "date", "time of day"),
        (
            named(SchemaKind::Int32, "io.debezium.time.Year"),
            Value::Int32(70),
            "year",
            "1901 to 2155",
        ),
        (
            Schema::from(SchemaKind::Int64),
            Value::Int64(1),
            "datetime",
            "does not take a whole number",
        ),
        (
            Schema::from(SchemaKind::String),
            Value::from("soon"),
            "datetime",
            "ISO 8601",
        ),
        (
            Schema::from(SchemaKind::String),
            Value::from("2024-05-06"),
            "time",
            "no time of day",
        ),
    ]);
}

#[test]
fn instants_are_shown_by_the_clocks_of_a_zone() {
    let berlin = Literals {
        zone: TimeZone::get("Europe/Berlin").unwrap(),
        connect_in_zone: true,
        ..literals()
    };
    let zoned = named(SchemaKind::String, "io.debezium.time.ZonedTimestamp");
    let of =
        |schema: &Schema, value: &Value, declared: &str| written(&berlin, schema, value, declared).unwrap();
    let summer = Value::from("2024-07-01T12:00:00Z");
    assert_eq!(of(&zoned, &summer, "datetime"), "'2024-07-01 14:00:00'");
    assert_eq!(of(&zoned, &summer, "timestamp"), "'2024-07-01 12:00:00'");
    assert_eq!(
        of(&Schema::timestamp(), &Value::Timestamp(0), "datetime"),
        "'1970-01-01 01:00:00'"
    );
    let wall = named(SchemaKind::Int64, "io.debezium.time.Timestamp");
    assert_eq!(of(&wall, &Value::Int64(0), "datetime"), "'1970-01-01 00:00:00'");
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
    let error = literals().write(&super::Cell::Null, &strict, &mut Vec::new());
    assert!(error.unwrap_err().to_string().contains("NOT NULL"));
}
