//! All types and their ends: from a table through the source's records to the same table.
use std::sync::Arc;

use bytestring::ByteString;
use millstream_connect::plugin::Converter;
use millstream_connect::record::{Datum, Origin as Place, Record};
use millstream_connectors::mysql::client::Client;
use millstream_connectors::mysql::config::{
    BinaryMode, DecimalMode, Filters, NameAdjustment, Patterns, RecordConfig, TimeMode, UnsignedBigintMode,
};
use millstream_connectors::mysql::record::{Connector, Moment, Origin, Records, Snapshot, TableRecords};
use millstream_connectors::mysql::schema::{TableId, describe};
use regex::Regex;

use super::bench::Bench;
use crate::servers::{KINDS, Kind, Server};

/// Columns, and values that try their ends.
const COLUMNS: &[(&str, &[&str])] = &[
    ("ti TINYINT", &["-128", "127", "0"]),
    ("tu TINYINT UNSIGNED", &["255"]),
    ("bo BOOLEAN", &["1", "0", "2", "-1"]),
    ("sm SMALLINT", &["-32768", "32767"]),
    ("su SMALLINT UNSIGNED", &["65535"]),
    ("me MEDIUMINT", &["-8388608", "8388607", "-1"]),
    ("mu MEDIUMINT UNSIGNED", &["16777215"]),
    ("i INT", &["-2147483648", "2147483647"]),
    ("iu INT UNSIGNED ZEROFILL", &["4294967295", "7"]),
    ("bi BIGINT", &["-9223372036854775808", "9223372036854775807"]),
    ("bu BIGINT UNSIGNED", &["9223372036854775807", "0"]),
    ("f FLOAT", &["0.1", "-3.40282e38", "1.17549e-38", "16777217"]),
    (
        "d DOUBLE",
        &[
            "0.1",
            "-1.7976931348623157e308",
            "2.2250738585072014e-308",
            "1e23",
            "123456789.12345678",
        ],
    ),
    ("de DECIMAL(10,2)", &["-12345678.90", "0.01", "99999999.99", "0"]),
    ("d0 DECIMAL(15,0)", &["-999999999999999", "1000"]),
    ("du DECIMAL(5,2) UNSIGNED", &["999.99"]),
    ("b1 BIT(1)", &["b'0'", "b'1'"]),
    ("b9 BIT(9)", &["b'100000001'", "b'011111111'"]),
    ("b64 BIT(64)", &["18446744073709551615", "1"]),
    ("ye YEAR", &["1901", "2155", "2024"]),
    (
        "da DATE",
        &[
            "'1000-01-01'",
            "'9999-12-31'",
            "'1969-12-31'",
            "'2024-02-29'",
            "'0001-01-01'",
        ],
    ),
    ("t0 TIME", &["'-838:59:59'", "'838:59:59'", "'00:00:00'"]),
    (
        "t6 TIME(6)",
        &["'-838:59:58.999999'", "'-00:00:00.000001'", "'23:59:59.5'"],
    ),
    (
        "dt DATETIME",
        &[
            "'1000-01-01 00:00:00'",
            "'9999-12-31 23:59:59'",
            "'1969-12-31 23:59:59'",
        ],
    ),
    (
        "dt3 DATETIME(3)",
        &["'2024-05-06 07:08:09.123'", "'0001-01-01 00:00:00.001'"],
    ),
    (
        "dt6 DATETIME(6)",
        &["'9999-12-31 23:59:59.999999'", "'1969-12-31 23:59:59.999999'"],
    ),
    (
        "ts TIMESTAMP NULL DEFAULT NULL",
        &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'"],
    ),
    (
        "ts6 TIMESTAMP(6) NULL DEFAULT NULL",
        &["'2024-10-27 00:30:00.000001'", "'2024-10-27 01:30:00'"],
    ),
    ("c CHAR(5)", &["'abc'", "''", "'it''s'"]),
    (
        "v VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        &["'日本 '' 😀'", "'  '", "'NULL'"],
    ),
    ("vl VARCHAR(9) CHARACTER SET latin1", &["'é'"]),
    ("bn BINARY(4)", &["x'00'", "x'01020304'", "x'ff000000'"]),
    ("vb VARBINARY(9)", &["x'0027'", "x''", "x'ff5c00'"]),
    ("tt TINYTEXT", &["'x'"]),
    ("te TEXT", &["REPEAT('y', 60000)"]),
    ("lt LONGTEXT", &["REPEAT('z', 300000)"]),
    ("bl BLOB", &["x'5c2700ff'"]),
    ("lb LONGBLOB", &["REPEAT(x'00ff27', 100000)"]),
    (
        "e ENUM('a','it''s','1','x,y')",
        &["'a'", "'it''s'", "'1'", "'x,y'"],
    ),
    ("s SET('a','b','2')", &["'a,2'", "''", "'b'"]),
    (
        "g GEOMETRY",
        &[
            "ST_GeomFromText('POINT(1.5 -2)')",
            "ST_GeomFromText('POLYGON((0 0,10 0,10 10,0 10,0 0),(1 1,2 1,2 2,1 1))')",
        ],
    ),
    ("p POINT", &["ST_GeomFromText('POINT(-180 90)')"]),
    (
        "mp MULTIPOLYGON",
        &["ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))')"],
    ),
];

/// What only newer servers have, or others.
fn more(kind: Kind) -> &'static [(&'static str, &'static [&'static str])] {
    match kind {
        Kind::MySql97 => &[
            (
                "j JSON",
                &[
                    "'{\"a\": [1, 2.5, null, true], \"b\": \"it''s 😀\"}'",
                    "'[]'",
                    "'\"x\"'",
                ],
            ),
            ("vc VECTOR(3)", &["STRING_TO_VECTOR('[1,-2.5,3e10]')"]),
            ("g4 POINT SRID 4326", &["ST_GeomFromText('POINT(10 20)', 4326)"]),
        ],
        Kind::MySql56 => &[],
        Kind::MariaDb => &[
            ("j JSON", &["'{\"a\": [1, 2.5], \"b\": \"it''s 😀\"}'"]),
            ("u UUID", &["'123e4567-e89b-12d3-a456-426614174000'"]),
            ("i6 INET6", &["'2001:db8::ff00:42:8329'"]),
        ],
    }
}

fn columns(kind: Kind) -> Vec<(&'static str, &'static [&'static str])> {
    COLUMNS.iter().chain(more(kind)).copied().collect()
}

fn name(column: &str) -> &str {
    column.split_once(' ').unwrap().0
}

fn record_config() -> RecordConfig {
    RecordConfig {
        connector: "c".into(),
        prefix: "p".into(),
        delimiter: ".".to_owned(),
        heartbeat_prefix: "__debezium-heartbeat".to_owned(),
        transaction_topic: "transaction".to_owned(),
        tombstones: true,
        decimals: DecimalMode::Precise,
        times: TimeMode::AdaptiveTimeMicroseconds,
        unsigned_bigint: UnsignedBigintMode::Long,
        binary: BinaryMode::Bytes,
        schema_names: NameAdjustment::None,
        field_names: NameAdjustment::None,
        masks: Vec::new(),
        keys: Vec::new(),
        propagate_column_types: None,
        propagate_types: None,
        include_query: false,
        comments: false,
        transactions: false,
        schema_changes: false,
        placeholder: "__debezium_unavailable_value".into(),
        adjust_years: false,
        failures: Default::default(),
    }
}

/// The records of all rows of a table, as the source makes them for a snapshot.
async fn records(client: &mut Client, kind: Kind, database: &str, config: RecordConfig) -> Vec<Record> {
    let id = TableId::new(database, "src");
    let found = describe::tables(client, std::slice::from_ref(&id)).await.unwrap();
    assert_eq!(found.unknown, []);
    let connector = match kind {
        Kind::MariaDb => Connector::MariaDb,
        _ => Connector::MySql,
    };
    let records = Records::new(config, Filters::default(), connector);
    let table = TableRecords::new(&found.tables[0].table, &records).unwrap();
    let rows = client
        .query(&format!("SELECT {} FROM src ORDER BY id", table.select_list()))
        .await
        .unwrap();
    let origin = Origin {
        snapshot: Snapshot::Yes,
        file: ByteString::from_static("bin.000001"),
        ..Origin::default()
    };
    let mut all = Vec::new();
    for row in &rows {
        let cells: Vec<Option<&[u8]>> = row.cells().collect();
        table.read(&cells, &origin, Moment::default(), &mut all).unwrap();
    }
    for (offset, record) in (0..).zip(&mut all) {
        record.topic = Arc::from("t");
        record.partition = Some(0);
        record.origin = Some(Place {
            topic: Arc::from("t"),
            partition: 0,
            offset,
        });
    }
    all
}

/// All of a table, byte by byte.
async fn dump(bench: &mut Bench, kind: Kind, table: &str) -> Vec<String> {
    let shown = columns(kind).into_iter().map(|(column, _)| {
        let name = name(column);
        match column.split(' ').nth(1) {
            // Its digits, whatever the server shows of it.
            Some("FLOAT") => format!("{name} * 1e0"),
            _ => format!("HEX({name}), {name} IS NULL"),
        }
    });
    let shown: Vec<String> = shown.collect();
    bench
        .rows(&format!(
            "SELECT id, {} FROM {table} ORDER BY id",
            shown.join(", ")
        ))
        .await
}

/// A table with a row for each value of each column, and the same table, empty.
async fn prepare(bench: &mut Bench, kind: Kind) -> usize {
    let all = columns(kind);
    let definitions: Vec<&str> = all.iter().map(|(column, _)| *column).collect();
    let create = format!(
        "CREATE TABLE src (id INT PRIMARY KEY, {}) CHARACTER SET utf8mb4",
        definitions.join(", ")
    );
    bench
        .run(&[
            "SET SESSION sql_mode='NO_ENGINE_SUBSTITUTION', time_zone='+00:00'",
            &create,
            "CREATE TABLE t LIKE src",
        ])
        .await;
    let mut count = 0;
    for (column, values) in all {
        for value in values {
            let insert = format!("INSERT INTO src (id, {}) VALUES ({count}, {value})", name(column));
            bench.run(&[&insert]).await;
            count += 1;
        }
    }
    count
}

fn all_patterns() -> Patterns {
    Patterns(vec![Regex::new("(?i)^.*$").unwrap()])
}

/// Writes all records, and compares the tables.
async fn comes_back(kind: Kind, keys: &[(&str, &str)], what: &str, config: RecordConfig) {
    let mut bench = Bench::upserting(Server::shared(kind), keys).await;
    let mut count = prepare(&mut bench, kind).await;
    // What these ways of writing cannot tell is the source's affair: times beyond a day, years that are too far for nanoseconds, digits.
    let no_time_of_day = "t0 < 0 OR t0 >= '24:00:00' OR t6 < 0 OR t6 >= '24:00:00'";
    let untold = match config.times {
        TimeMode::IsoString => no_time_of_day.to_owned(),
        TimeMode::Nanoseconds => ["dt", "dt3", "dt6"]
            .map(|column| format!("YEAR({column}) NOT BETWEEN 1700 AND 2200"))
            .join(" OR "),
        TimeMode::Connect => {
            ["t6", "dt6", "ts6"]
                .map(|column| format!("MICROSECOND({column}) % 1000 <> 0 OR "))
                .concat()
                + no_time_of_day
        }
        TimeMode::AdaptiveTimeMicroseconds | TimeMode::Microseconds => "FALSE".to_owned(),
    };
    let delete = format!("DELETE FROM src WHERE {untold}");
    count -= bench.client.execute(&delete).await.unwrap().affected_rows as usize;
    let name = bench.database.clone();
    let records = records(&mut bench.client, kind, &name, config).await;
    assert_eq!(records.len(), count);
    bench.start(&["t"]).await.unwrap();
    bench.take(&records).await;
    let (expected, found) = (
        dump(&mut bench, kind, "src").await,
        dump(&mut bench, kind, "t").await,
    );
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(found, expected, "{kind:?} {what}");
    }
    assert_eq!(found.len(), expected.len(), "{kind:?} {what}");
}

#[tokio::test]
async fn every_type_comes_back_as_it_was() {
    for kind in KINDS {
        comes_back(kind, &[], "by default", record_config()).await;
    }
}

#[tokio::test]
async fn every_type_comes_back_however_the_source_writes_it() {
    for kind in KINDS {
        for times in [
            TimeMode::Microseconds,
            TimeMode::Nanoseconds,
            TimeMode::IsoString,
            TimeMode::Connect,
        ] {
            let config = RecordConfig {
                times,
                ..record_config()
            };
            comes_back(kind, &[], &format!("{times:?}"), config).await;
        }
        for (binary, mode) in [
            (BinaryMode::Base64, "base64"),
            (BinaryMode::Base64UrlSafe, "base64-url-safe"),
            (BinaryMode::Hex, "hex"),
        ] {
            let config = RecordConfig {
                binary,
                decimals: DecimalMode::String,
                unsigned_bigint: UnsignedBigintMode::Precise,
                ..record_config()
            };
            comes_back(kind, &[("binary.handling.mode", mode)], mode, config).await;
        }
        let config = RecordConfig {
            decimals: DecimalMode::Double,
            ..record_config()
        };
        comes_back(kind, &[], "doubles", config).await;
    }
}

#[tokio::test]
async fn tables_that_are_made_by_propagated_types_are_the_source_s() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[("schema.evolution", "basic")]).await;
        // Commas stand between labels in schemas, and nothing tells those within.
        let count = prepare(&mut bench, kind).await - 1;
        // Texts are utf8mb4 in tables that are made.
        let utf8 = "ALTER TABLE src MODIFY vl VARCHAR(9) CHARACTER SET utf8mb4";
        bench
            .run(&["DROP TABLE t", "DELETE FROM src WHERE e = 'x,y'", utf8])
            .await;
        let name = bench.database.clone();
        let config = RecordConfig {
            propagate_column_types: Some(all_patterns()),
            ..record_config()
        };
        let records = records(&mut bench.client, kind, &name, config).await;
        bench.start(&["t"]).await.unwrap();
        bench.take(&records).await;
        assert_eq!(bench.rows("SELECT COUNT(*) FROM t").await, [count.to_string()]);
        let select = |table: &str| {
            format!(
                "SELECT CONCAT(column_name, ' ', column_type) FROM information_schema.columns \
                 WHERE table_schema = '{name}' AND table_name = '{table}' ORDER BY ordinal_position"
            )
        };
        let (source, made) = (bench.rows(&select("src")).await, bench.rows(&select("t")).await);
        let different: Vec<(&String, &String)> = source
            .iter()
            .zip(&made)
            .filter(|(source, made)| source != made)
            .collect();
        let known = |(source, _): &(&String, &String)| {
            // Widths that are shown and zeros before numbers are no matter of values; MariaDB's own types look like others in records.
            source.contains("zerofill")
                || source.starts_with("e ")
                || source.starts_with("u ")
                || source.starts_with("i6 ")
                || source.starts_with("j ")
                || source.starts_with("ye ")
        };
        let surprising: Vec<_> = different.iter().filter(|pair| !known(pair)).collect();
        assert!(surprising.is_empty(), "{kind:?} {surprising:?}");
        let (expected, found) = (
            dump(&mut bench, kind, "src").await,
            dump(&mut bench, kind, "t").await,
        );
        if kind != Kind::MariaDb {
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!(found, expected, "{kind:?}");
            }
        }
    }
}

/// JSON without schemas says less: but what it says comes back.
#[tokio::test]
async fn json_without_schemas_comes_back() {
    for kind in KINDS {
        let keys = [("decimal.handling.mode", "precise")];
        let mut bench = Bench::upserting(Server::shared(kind), &keys).await;
        let count = prepare(&mut bench, kind).await;
        let name = bench.database.clone();
        let mut records = records(&mut bench.client, kind, &name, record_config()).await;
        for record in &mut records {
            record.key = without_schema(&record.key);
            record.value = without_schema(&record.value);
        }
        bench.start(&["t"]).await.unwrap();
        bench.take(&records).await;
        assert_eq!(bench.rows("SELECT COUNT(*) FROM t").await, [count.to_string()]);
        let (expected, found) = (
            dump(&mut bench, kind, "src").await,
            dump(&mut bench, kind, "t").await,
        );
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(found, expected, "{kind:?}");
        }
    }
}

/// What a JSON converter reads of what another one without schemas wrote.
fn without_schema(datum: &Datum) -> Datum {
    let plugin = millstream_connect::plugin::Registry::built_in()
        .converter("JsonConverter")
        .unwrap();
    let config = [("schemas.enable".to_owned(), "false".to_owned())].into();
    let mut converter: Box<dyn Converter> = plugin.new_converter(&config, false).unwrap();
    let mut bytes = Vec::new();
    converter.encode("t", datum, &mut bytes).unwrap();
    converter.decode("t", Some(&bytes.into())).unwrap()
}
