//! Keys of every type: each row is told once whatever its key is, and none that changes tell.
use millstream_connectors::mysql::snapshot::SnapshotState;

use super::follower::{Follower, settings};
use crate::servers::{KINDS, Kind, Server};

/// A name, the columns of a key, and values for it.
type Case = (&'static str, &'static str, &'static [&'static str]);

const CASES: [Case; 25] = [
    ("tiny", "k TINYINT", &["-128", "-1", "0", "127"]),
    ("tiny_u", "k TINYINT UNSIGNED ZEROFILL", &["0", "7", "128", "255"]),
    ("medium", "k MEDIUMINT", &["-8388608", "-1", "0", "8388607"]),
    (
        "big",
        "k BIGINT",
        &["-9223372036854775808", "-1", "0", "9223372036854775807"],
    ),
    (
        "big_u",
        "k BIGINT UNSIGNED",
        &["0", "1", "9223372036854775808", "18446744073709551615"],
    ),
    (
        "dec",
        "k DECIMAL(20,5)",
        &["-99999999999999.99999", "-0.5", "0", "0.00001", "12345.6"],
    ),
    (
        "dec_u",
        "k DECIMAL(6,2) UNSIGNED ZEROFILL",
        &["0", "0.5", "17", "9999.99"],
    ),
    ("flt", "k FLOAT", &["-3.3", "0", "0.1", "16777216", "1e20"]),
    (
        "dbl",
        "k DOUBLE",
        &["-3.3", "0", "0.1", "1e-300", "1.7976931348623157e308"],
    ),
    ("dbl_d", "k DOUBLE(10,2)", &["-3.3", "0", "0.1", "12345678.25"]),
    (
        "bits",
        "k BIT(64)",
        &[
            "0",
            "1",
            "b'1000000000000000000000000000000000000000000000000000000000000000'",
            "~0",
        ],
    ),
    ("yr", "k YEAR", &["0", "1901", "1970", "2155"]),
    (
        "dt",
        "k DATE",
        &["'0000-00-00'", "'2020-02-00'", "'2020-02-29'", "'9999-12-31'"],
    ),
    (
        "tm",
        "k TIME(3)",
        &["'-838:59:59'", "'-00:00:00.5'", "'00:00:00'", "'838:59:59'"],
    ),
    (
        "dtm",
        "k DATETIME(6)",
        &[
            "'0000-00-00 00:00:00'",
            "'1000-01-01 00:00:00.000001'",
            "'9999-12-31 23:59:59.999999'",
        ],
    ),
    (
        "ts",
        "k TIMESTAMP(2) NOT NULL DEFAULT '2000-01-01 00:00:00'",
        &[
            "'0000-00-00 00:00:00'",
            "'1970-01-01 00:00:01'",
            "'2038-01-19 03:14:07.99'",
        ],
    ),
    (
        "ch",
        "k CHAR(5) CHARACTER SET latin1",
        &["''", "'a'", "'B'", "'ä'", "'zz'"],
    ),
    (
        "vc",
        "k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
        &["''", "'a'", "'B'", "'ß!'", "'日本'", "'😀'", "'it''s \"\\\\'"],
    ),
    (
        "sj",
        "k VARCHAR(20) CHARACTER SET sjis",
        &["'ａ'", "'表'", "'日本'", "'x'"],
    ),
    (
        "u2",
        "k CHAR(5) CHARACTER SET ucs2",
        &["''", "'a'", "'Ж'", "'表'"],
    ),
    (
        "vb",
        "k VARBINARY(20)",
        &["''", "X'00'", "X'0000'", "X'27'", "X'5C'", "X'FF00'"],
    ),
    (
        "bn",
        "k BINARY(3)",
        &["X'000000'", "X'010000'", "X'610020'", "X'FFFFFF'"],
    ),
    ("en", "k ENUM('z','b','ä','m')", &["'z'", "'b'", "'ä'", "'m'"]),
    (
        "st",
        "k SET('z','b','a')",
        &["''", "'z'", "'b'", "'z,a'", "'z,b,a'"],
    ),
    (
        "mixed",
        "e ENUM('z','a'), k INT UNSIGNED",
        &["'z', 1", "'z', 4000000000", "'a', 0", "'a', 1"],
    ),
];

const MARIADB: [Case; 3] = [
    (
        "uid",
        "k UUID",
        &[
            "'00000000-0000-0000-0000-000000000000'",
            "'123e4567-e89b-42d3-a456-426614174000'",
            "'3e11fa47-71ca-11e1-9e33-c80aa9429562'",
        ],
    ),
    ("i6", "k INET6", &["'::'", "'::1'", "'2001:db8::1'", "'ffff::'"]),
    ("i4", "k INET4", &["'0.0.0.0'", "'1.2.3.4'", "'255.255.255.0'"]),
];

fn cases(kind: Kind) -> Vec<Case> {
    let own: &[Case] = if kind == Kind::MariaDb { &MARIADB } else { &[] };
    CASES.iter().chain(own).copied().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_told_once_whatever_their_key_is() {
    for kind in KINDS {
        let server = Server::shared(kind);
        let mut client = server.database("keyed").await;
        client
            .execute("SET SESSION sql_mode='ALLOW_INVALID_DATES'")
            .await
            .unwrap();
        for (name, columns, values) in cases(kind) {
            let names: Vec<&str> = columns
                .split(", ")
                .filter_map(|column| column.split(' ').next())
                .collect();
            let names: Vec<&str> = names
                .into_iter()
                .filter(|name| matches!(*name, "k" | "e"))
                .collect();
            let table = format!(
                "CREATE TABLE keyed.{name} ({columns}, n INT, PRIMARY KEY ({}))",
                names.join(", ")
            );
            client.execute(&table).await.unwrap();
            for value in values {
                let insert = format!(
                    "INSERT INTO keyed.{name} ({}, n) VALUES ({value}, 1)",
                    names.join(", ")
                );
                client
                    .execute(&insert)
                    .await
                    .unwrap_or_else(|error| panic!("{kind:?} {insert}: {error}"));
            }
        }
        // At rest: all rows, each once, in chunks of one and of two.
        for (number, chunk_rows) in [(7020, 1), (7021, 2)] {
            let settings = settings("keyed", 2, chunk_rows);
            let mut follower =
                Follower::start(server, number, settings, SnapshotState::initial(), "keyed").await;
            follower.follow().await;
            for (name, _, values) in cases(kind) {
                assert_eq!(follower.told.get(name), Some(&values.len()), "{kind:?} {name}");
            }
            follower.assert_all_known().await;
        }
        // All of them changed behind the place where the stream stands: no row is told twice.
        let settings = settings("keyed", 2, 3);
        let mut follower = Follower::start(server, 7022, settings, SnapshotState::initial(), "keyed").await;
        for (name, _, _) in cases(kind) {
            client
                .execute(&format!("UPDATE keyed.{name} SET n=n+1"))
                .await
                .unwrap();
        }
        follower.follow().await;
        for (name, _, values) in cases(kind) {
            let told = follower.told.get(name).copied().unwrap_or(0);
            assert!(told <= values.len(), "{kind:?} {name}: {told}");
        }
        follower.follow_to_end().await;
        follower.assert_all_known().await;
    }
}
