//! Texts, bytes and names that statements could take for something else.
use bytes::Bytes;
use millstream_connect::plugin::ErrorKind;
use millstream_connect::record::{Datum, SchemaKind, Value};

use super::bench::{Bench, field, optional, record, row, structure};
use crate::servers::{KINDS, Server};

/// All characters that mean something to someone, and the ends of each length in UTF-8.
fn hard_texts() -> Vec<String> {
    let mut texts: Vec<String> = (0..128_u8).map(|byte| char::from(byte).to_string()).collect();
    for text in [
        "",
        "'",
        "''",
        "\\",
        "\\'",
        "'\\",
        "\\\\'",
        "\0",
        "a\0b",
        "\r\n",
        "\u{1a}",
        "\"",
        "`",
        "%_",
        "-- x",
        "/* x */",
        "; DROP TABLE t",
        "\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
        "\u{fffd}",
        "\u{feff}",
        "é日本😀",
        "x'41'",
        "NULL",
        "\u{5c}\u{27}",
        "縺\u{2019}",
        "¿'",
        "\u{27}\u{301}",
    ] {
        texts.push(text.to_owned());
    }
    texts
}

async fn written_as_they_are(server: &Server) {
    let kind = server.kind;
    let mut bench = Bench::upserting(server, &[]).await;
    let (table, column) = ("we`ird '\\ täble", "co`l '\\ ümn");
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let create = format!(
        "CREATE TABLE {} (id INT PRIMARY KEY, {} TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, b BLOB)",
        quoted(table),
        quoted(column)
    );
    bench.run(&[&create]).await;
    bench
        .config
        .insert("collection.name.format".to_owned(), table.to_owned());
    bench.start(&["t"]).await.unwrap();
    let key = structure(vec![field("id", SchemaKind::Int32.into())]);
    let schema = structure(vec![
        field(column, optional(SchemaKind::String)),
        field("b", optional(SchemaKind::Bytes)),
    ]);
    let mut expected = Vec::new();
    let mut records = Vec::new();
    for (number, text) in hard_texts().into_iter().enumerate() {
        let mut bytes = text.clone().into_bytes();
        bytes.extend(0..=255_u8);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        expected.push(format!("{number} {} {}", hex(text.as_bytes()), hex(&bytes)));
        let values = vec![Value::from(text), Value::Bytes(Bytes::from(bytes))];
        let key = row(&key, vec![Value::Int32(number as i32)]);
        records.push(record("t", number as i64, key, row(&schema, values)));
    }
    bench.take(&records).await;
    let select = format!(
        "SELECT id, HEX({}), HEX(b) FROM {} ORDER BY id",
        quoted(column),
        quoted(table)
    );
    assert_eq!(bench.rows(&select).await, expected, "{kind:?}");
}

#[tokio::test]
async fn texts_and_bytes_are_what_they_were() {
    for kind in KINDS {
        written_as_they_are(Server::shared(kind)).await;
    }
}

/// Whatever a server thinks of backslashes, quotes and modes.
#[tokio::test]
async fn a_server_s_own_modes_change_nothing() {
    for kind in KINDS {
        let server = Server::start(kind, &["--character-set-server=latin1"]);
        for modes in [
            "NO_BACKSLASH_ESCAPES,ANSI_QUOTES",
            "",
            "ANSI,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE",
        ] {
            let set = format!("SET GLOBAL sql_mode = '{modes}'");
            server.root().await.execute(&set).await.unwrap();
            written_as_they_are(&server).await;
        }
    }
}

#[tokio::test]
async fn texts_become_those_of_a_column_s_character_set_or_are_refused() {
    for kind in KINDS {
        let mut bench = Bench::upserting(Server::shared(kind), &[]).await;
        let sets = [
            "latin1", "utf8", "ucs2", "utf16", "utf32", "cp1251", "sjis", "gbk", "big5", "eucjpms", "ascii",
            "utf8mb4",
        ];
        let columns: Vec<String> = sets
            .iter()
            .map(|set| {
                format!("c_{set} VARCHAR(4) CHARACTER SET {set}, t_{set} TINYTEXT CHARACTER SET {set}")
            })
            .collect();
        bench
            .run(&[&format!(
                "CREATE TABLE t (id INT PRIMARY KEY, {})",
                columns.join(", ")
            )])
            .await;
        bench.start(&["t"]).await.unwrap();
        let key = structure(vec![field("id", SchemaKind::Int32.into())]);
        let texts = ["é", "Ж", "日本語字", "ソ表", "😀", "a'\\", "    ", "x\0y"];
        let mut offset = 0;
        for set in sets {
            for text in texts {
                for column in [format!("c_{set}"), format!("t_{set}")] {
                    let schema = structure(vec![field(&column, SchemaKind::String.into())]);
                    let value = row(&schema, vec![Value::from(text)]);
                    let key = row(&key, vec![Value::Int32(offset as i32)]);
                    let refused = bench.put(&[record("t", offset, key, value)]).await.unwrap();
                    let found = bench
                        .rows(&format!(
                            "SELECT HEX(CONVERT({column} USING utf8mb4)) FROM t WHERE id = {offset}"
                        ))
                        .await;
                    let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
                    match refused.is_empty() {
                        true => assert_eq!(found, [hex], "{kind:?} {column} {text:?}"),
                        false => assert_eq!(found, [""; 0], "{kind:?} {column} {text:?} {refused:?}"),
                    }
                    let unicode = set.starts_with("utf") || set == "ucs2";
                    let plane = text == "😀" && matches!(set, "utf8" | "ucs2");
                    assert!(
                        refused.is_empty() || !unicode || plane,
                        "{kind:?} {column} {text:?} {refused:?}"
                    );
                    offset += 1;
                }
            }
        }
    }
}

#[tokio::test]
async fn statements_are_no_larger_than_the_server_takes() {
    for kind in KINDS {
        let server = Server::start(kind, &["--max-allowed-packet=1M"]);
        let mut bench = Bench::upserting(&server, &[("batch.size", "5000")]).await;
        bench
            .run(&["CREATE TABLE t (id INT PRIMARY KEY, b LONGBLOB)"])
            .await;
        bench.start(&["t"]).await.unwrap();
        let key = structure(vec![field("id", SchemaKind::Int32.into())]);
        let schema = structure(vec![field("b", optional(SchemaKind::Bytes))]);
        let make = |offset: i64, length: usize| {
            let value = row(&schema, vec![Value::Bytes(Bytes::from(vec![b'\''; length]))]);
            record("t", offset, row(&key, vec![Value::Int32(offset as i32)]), value)
        };
        let mut records: Vec<_> = (0..30).map(|offset| make(offset, 40_000)).collect();
        records.push(make(30, 480_000));
        bench.take(&records).await;
        let refused = bench.put(&[make(31, 600_000), make(32, 1)]).await.unwrap();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].error.kind(), ErrorKind::BadRecord);
        assert!(
            refused[0]
                .error
                .to_string()
                .contains("max_allowed_packet is 1048576"),
            "{}",
            refused[0].error
        );
        let gone: Vec<_> = (0..31)
            .map(|id| {
                record(
                    "t",
                    33 + id,
                    row(&key, vec![Value::Int32(id as i32)]),
                    Datum::NULL,
                )
            })
            .collect();
        assert_eq!(
            bench.rows("SELECT COUNT(*), SUM(LENGTH(b)) FROM t").await,
            ["31 1680000"],
            "{kind:?}"
        );
        bench.take(&gone).await;
        assert_eq!(bench.rows("SELECT id FROM t").await, ["32"], "{kind:?}");
        // Names count as well.
        let long = |number: usize| format!("c{number:03}{}", "x".repeat(60));
        let columns: Vec<String> = (0..400).map(|number| format!("{} INT", long(number))).collect();
        bench
            .run(&[&format!(
                "CREATE TABLE wide (id INT PRIMARY KEY, u INT UNIQUE, b LONGBLOB, {}) ROW_FORMAT=DYNAMIC",
                columns.join(", ")
            )])
            .await;
        bench.start(&["wide"]).await.unwrap();
        let numbers = (0..400).map(|number| field(&long(number), optional(SchemaKind::Int32)));
        let blob = field("b", optional(SchemaKind::Bytes));
        let schema = structure([blob].into_iter().chain(numbers).collect());
        let make = |offset: i64, length: usize| {
            let mut values = vec![Value::Bytes(Bytes::from(vec![b'x'; length]))];
            values.resize(401, Value::Null);
            record(
                "wide",
                offset,
                row(&key, vec![Value::Int32(offset as i32)]),
                row(&schema, values),
            )
        };
        let mut refused = Vec::new();
        for (offset, length) in (0..).zip([700_000, 800_000, 880_000, 910_000, 960_000, 1_000_000]) {
            let failed = bench.put(&[make(offset, length)]).await.unwrap();
            refused.extend(failed.into_iter().map(|_| length));
        }
        bench.put(&[]).await.unwrap();
        assert!(
            !refused.contains(&700_000) && refused.ends_with(&[960_000, 1_000_000]),
            "{kind:?}: {refused:?}"
        );
    }
}
