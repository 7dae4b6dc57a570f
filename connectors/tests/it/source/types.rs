//! Every type of column: what arrives is what a SELECT gives.
use std::path::Path;

use millstream_connectors::mysql::client::server::Flavour;
use millstream_connectors::mysql::config;
use millstream_connectors::mysql::record::{Connector, Moment, Origin, Records, TableRecords};
use millstream_connectors::mysql::schema::{TableId, describe};

use super::harness::{Delivered, run};
use crate::servers::{Kind, Server};

/// Runs the statements of a case of Debezium's over every type, and compares the rows of all tables.
async fn every_type(kind: Kind, case: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden/debezium")
        .join(case)
        .join("statements.sql");
    let statements = std::fs::read_to_string(path).unwrap();
    let server = Server::lent(kind, &[]);
    let mut client = server.root().await;
    let mut delivered = Delivered::new(
        &server,
        &[("database.include.list", "g"), ("skipped.operations", "none")],
    );
    let config = delivered.config.clone();
    let mut running = delivered.start().await;
    // Dates that cannot be are among the values.
    run(&mut client, &["SET SESSION sql_mode = ''"]).await;
    for statement in split(&statements) {
        if let Err(error) = client.execute(&statement).await {
            panic!("{statement}: {error}");
        }
    }
    run(
        &mut client,
        &[
            "CREATE TABLE g.the_end (id INT PRIMARY KEY)",
            "INSERT INTO g.the_end VALUES (1)",
        ],
    )
    .await;
    running.until_count("g.the_end", 1).await;
    running.stop().await;
    let mut client = server.root().await;
    let tables: Vec<TableId> = describe::table_ids(&mut client).await.unwrap();
    let described = describe::tables(&mut client, &tables).await.unwrap();
    let flavour = if kind == Kind::MariaDb {
        Flavour::MariaDb
    } else {
        Flavour::MySql
    };
    let told = config::parse(flavour, &config).unwrap().config;
    let connector = if kind == Kind::MariaDb {
        Connector::MariaDb
    } else {
        Connector::MySql
    };
    let records = Records::new(told.records, told.filters, connector);
    let (mut compared, mut changes) = (0, 0);
    for described in &described.tables {
        let id = &described.table.id;
        let compiled = TableRecords::new(&described.table, &records).unwrap();
        let statement = format!(
            "SELECT {} FROM `{}`.`{}`",
            compiled.select_list(),
            id.database,
            id.table
        );
        let mut expected = Vec::new();
        for row in client.query(&statement).await.unwrap() {
            let cells: Vec<_> = row.cells().collect();
            let moment = Moment::from_nanos(0);
            compiled
                .read(&cells, &Origin::default(), moment, &mut expected)
                .unwrap();
        }
        changes += delivered.of(&id.to_string()).len();
        if described.table.key.is_empty() {
            continue;
        }
        let mut found = delivered.rows(&id.to_string());
        for record in expected {
            let key = format!("{:?}", record.key.value);
            let after = super::harness::field(&record.value.value, "after").unwrap();
            assert_eq!(found.remove(&key).as_ref(), Some(after), "{id} {key}");
            compared += 1;
        }
        assert!(found.is_empty(), "{id} has rows that are none: {found:?}");
    }
    assert!(changes > 50, "{changes} changes, {compared} rows");
}

/// Statements between semicolons at ends of lines.
fn split(text: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    for line in text.lines() {
        let last = statements.last_mut().unwrap();
        last.push_str(line);
        last.push('\n');
        if line.trim_end().ends_with(';') {
            statements.push(String::new());
        }
    }
    let statements = statements
        .into_iter()
        .map(|statement| statement.trim().trim_end_matches(';').to_owned());
    statements.filter(|statement| !statement.is_empty()).collect()
}

#[tokio::test]
async fn every_type_of_mysql_arrives() {
    every_type(Kind::MySql97, "mysql97-types").await;
}

#[tokio::test]
async fn every_type_of_mariadb_arrives() {
    every_type(Kind::MariaDb, "mariadb-types").await;
}
