//! Tables as a server describes them, and as its log has them.
use millstream_connectors::mysql::binlog::{Column, TableMap};
use millstream_connectors::mysql::schema::TableId;
use millstream_connectors::mysql::schema::describe;

use crate::log;
use crate::servers::{KINDS, Kind, Server};

/// Types that all have, with what they may have besides.
const COMMON: &[&str] = &[
    "ti tinyint",
    "tu tinyint unsigned not null",
    "sm smallint",
    "me mediumint unsigned",
    "i int(5) unsigned zerofill",
    "bi bigint",
    "bu bigint unsigned",
    "f float",
    "fu float(7,3) unsigned",
    "d double",
    "d2 double(10,2)",
    "de decimal(10,2)",
    "d0 decimal(65,30)",
    "d1 decimal",
    "bo boolean",
    "bt bit",
    "b8 bit(8)",
    "b64 bit(64)",
    "y year",
    "da date",
    "t time",
    "t6 time(6)",
    "dt datetime",
    "dt3 datetime(3)",
    "ts timestamp null",
    "ts6 timestamp(6) null",
    "c char(10)",
    "c0 char(0)",
    "cl char(255) character set utf8mb4",
    "c1 char character set latin1",
    "cb char(3) binary",
    "bn binary(16)",
    "v varchar(20)",
    "vl varchar(300) character set utf8mb4 collate utf8mb4_unicode_ci",
    "vu varchar(5) character set ucs2",
    "v1 varchar(100) character set latin1 collate latin1_bin",
    "vb varbinary(100)",
    "tt tinytext",
    "te text",
    "mt mediumtext character set latin2",
    "lt longtext",
    "tb tinyblob",
    "b blob",
    "mb mediumblob",
    "lb longblob",
    "e enum('a','b''c','it\\\\s') character set latin1",
    "eu enum('ü','€') character set utf8mb4",
    "s set('a','b','c')",
    "s9 set('1','2','3','4','5','6','7','8','9')",
    "s33 set('1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16','17','18','19','20','21','22','23','24','25','26','27','28','29','30','31','32','33')",
    "g geometry",
    "p point",
    "ls linestring",
    "po polygon",
    "mp multipoint",
    "ml multilinestring",
    "mpo multipolygon",
    "gc geometrycollection",
    "nn int not null",
    "`odd ``name` int",
    "nat national varchar(10)",
];

fn only(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::MySql97 => &[
            "j json",
            "ve vector(3)",
            "vg int generated always as (ti + 1) virtual",
            "sg int as (ti + 1) stored",
            "hidden int invisible",
            "de_fault varchar(40) default (uuid())",
        ],
        Kind::MySql56 => &[],
        Kind::MariaDb => &[
            "j json",
            "vg int generated always as (ti + 1) virtual",
            "sg int as (ti + 1) stored",
            "hidden int invisible",
            "u uuid",
            "i4 inet4",
            "i6 inet6",
            "cv varchar(50) compressed",
            "cvb varbinary(5) compressed",
            "ct text compressed",
            "clb longblob compressed",
        ],
    }
}

#[tokio::test]
async fn columns_are_as_the_log_has_them() {
    for kind in KINDS {
        let server = Server::shared(kind);
        let mut client = server.database("described").await;
        let mut enums: Vec<String> = (0..300).map(|label| format!("'l{label}'")).collect();
        enums.dedup();
        let mut columns: Vec<String> = COMMON
            .iter()
            .chain(only(kind))
            .map(|column| (*column).to_owned())
            .collect();
        columns.push(format!("el enum({})", enums.join(",")));
        columns.push("primary key (v1, nn)".to_owned());
        let create = format!(
            "CREATE TABLE all_types ({}) CHARACTER SET utf8",
            columns.join(", ")
        );
        client.execute(&create).await.unwrap();
        let start = log::end(server).await;
        client
            .execute("INSERT INTO all_types (tu, nn, v1) VALUES (1, 2, 'x')")
            .await
            .unwrap();
        let told = log::read(server, 9001 + kind as u32, start).await;
        let id = TableId::new("described", "all_types");
        let described = describe::tables(&mut client, std::slice::from_ref(&id))
            .await
            .unwrap();
        assert_eq!(described.unknown, []);
        let table = &described.tables[0];
        assert!(table.has_primary_key);
        let key: Vec<_> = table
            .table
            .key
            .iter()
            .map(|index| &*table.table.columns[*index].name)
            .collect();
        assert_eq!(key, ["v1", "nn"]);
        let logged = told.tables.iter().find(|own| own.table == "all_types").unwrap();
        compare(
            kind,
            logged,
            table
                .table
                .columns
                .iter()
                .map(|column| column.log.clone())
                .collect(),
        );
    }
}

/// Compares as far as the log says it.
fn compare(kind: Kind, logged: &TableMap, described: Vec<Column>) {
    assert_eq!(logged.columns.len(), described.len(), "{kind:?}");
    for (logged, described) in logged.columns.iter().zip(described) {
        if kind == Kind::MySql56 {
            assert_eq!(
                (logged.column_type, logged.nullable),
                (described.column_type, described.nullable),
                "{described:?}"
            );
            continue;
        }
        let mut described = described;
        // Labels come as UTF-8 where the column's character set has them otherwise.
        if described.collation != logged.collation && !described.labels.is_empty() {
            described.collation = logged.collation;
        }
        // MariaDB's log does not say it.
        described.visible |= kind == Kind::MariaDb;
        assert_eq!(logged, &described, "{kind:?}");
    }
}

/// The names of a table's key, and whether it is the primary one.
async fn key(kind: Kind, table: &str, columns: &str) -> (Vec<String>, bool) {
    let server = Server::shared(kind);
    let mut client = server.root().await;
    client
        .execute("CREATE DATABASE IF NOT EXISTS described_keys")
        .await
        .unwrap();
    client
        .execute(&format!("CREATE TABLE described_keys.{table} ({columns})"))
        .await
        .unwrap();
    let id = TableId::new("described_keys", table);
    let described = describe::tables(&mut client, &[id]).await.unwrap();
    let described = &described.tables[0];
    let names = described
        .table
        .key
        .iter()
        .map(|index| described.table.columns[*index].name.to_string());
    (names.collect(), described.has_primary_key)
}

#[tokio::test]
async fn a_unique_key_stands_for_a_primary_one() {
    for kind in KINDS {
        let table: [(&str, &str, &[&str], bool); 5] = [
            (
                "k1",
                "a int, b int not null, unique key z (a), unique key y (b)",
                &["b"],
                false,
            ),
            (
                "k2",
                "a int not null, b int not null, c int not null, unique key z (c, a), unique key a (b)",
                &["c", "a"],
                false,
            ),
            ("k3", "a int, b int, key (a), unique key (b)", &[], false),
            (
                "k4",
                "a int not null, b varchar(40), primary key (b(3), a)",
                &["b", "a"],
                true,
            ),
            ("k5", "a int not null unique, b int primary key", &["b"], true),
        ];
        for (name, columns, expected, primary) in table {
            let (names, is_primary) = key(kind, name, columns).await;
            assert_eq!(
                (names.as_slice(), is_primary),
                (
                    &expected.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()[..],
                    primary
                ),
                "{kind:?} {columns}"
            );
        }
    }
}

#[tokio::test]
async fn all_tables_are_found_and_many_are_described_at_once() {
    for kind in KINDS {
        let mut client = Server::shared(kind).database("described_many").await;
        for table in 0..30 {
            let statement = format!(
                "CREATE TABLE `t {table}` (id int primary key, v varchar({}) default 'it''s \\\\') COMMENT 'the {table}.'",
                table + 10
            );
            client.execute(&statement).await.unwrap();
        }
        client
            .execute("CREATE VIEW v AS SELECT * FROM `t 1`")
            .await
            .unwrap();
        let ids: Vec<_> = describe::table_ids(&mut client)
            .await
            .unwrap()
            .into_iter()
            .filter(|id| &*id.database == "described_many")
            .collect();
        assert_eq!(ids.len(), 30);
        let mut asked = ids.clone();
        asked.push(TableId::new("described_many", "none"));
        let described = describe::tables(&mut client, &asked).await.unwrap();
        assert_eq!(
            described
                .tables
                .iter()
                .map(|table| table.table.id.clone())
                .collect::<Vec<_>>(),
            ids
        );
        let table = &described
            .tables
            .iter()
            .find(|table| &*table.table.id.table == "t 7")
            .unwrap()
            .table;
        assert_eq!(table.comment.as_deref(), Some("the 7."));
        let charset = if kind == Kind::MySql97 {
            "utf8mb4"
        } else {
            "latin1"
        };
        assert_eq!(table.charset.as_deref(), Some(charset));
        assert_eq!(table.columns[1].default.as_deref(), Some("it's \\"));
        assert_eq!(table.columns[1].declared.as_deref(), Some("varchar(17)"));
        let create = describe::show_create(&mut client, &ids[0])
            .await
            .unwrap()
            .unwrap();
        assert!(create.starts_with("CREATE TABLE `t 0`"), "{create}");
        assert_eq!(
            describe::show_create(&mut client, &TableId::new("described_many", "none"))
                .await
                .unwrap(),
            None
        );
    }
}
