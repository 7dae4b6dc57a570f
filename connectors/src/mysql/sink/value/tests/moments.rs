use super::*;

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
        // What is no date is the epoch for sources, and the epoch is no TIMESTAMP.
        (
            iso("ZonedTimestamp"),
            Value::from("1970-01-01T00:00:00Z"),
            "timestamp",
            "'0000-00-00 00:00:00'",
        ),
        (
            iso("ZonedTimestamp"),
            Value::from("1970-01-01T00:00:00Z"),
            "datetime",
            "'1970-01-01 00:00:00'",
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
        (
            iso("ZonedTime"),
            Value::from("01:08:09+02:00"),
            "time",
            "'23:08:09'",
        ),
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
