use super::*;

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
