use std::collections::BTreeMap;

use super::*;
use crate::mysql::binlog;
use crate::mysql::binlog::ColumnType;
use crate::mysql::client::grants::Grants;
use crate::mysql::client::server::{Flavour, Variables, Version};
use crate::mysql::schema::describe::{Described, UnknownType};
use crate::mysql::schema::{Column, Table, TableId};

/// A server with which all is well.
fn facts(flavour: Flavour) -> Facts {
    let (version, own) = match flavour {
        Flavour::MySql => (Version::new(9, 7, 4), ("gtid_mode", "ON")),
        Flavour::MariaDb => (Version::new(10, 11, 6), ("gtid_strict_mode", "OFF")),
    };
    let variables = [
        own,
        ("log_bin", "ON"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_row_metadata", "FULL"),
        ("binlog_expire_logs_seconds", "2592000"),
    ];
    let grants = [
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT, BINLOG MONITOR, XA_RECOVER_ADMIN ON *.* TO `m`@`%`",
        "GRANT SELECT, LOCK TABLES ON `shop`.* TO `m`@`%`",
    ];
    Facts {
        flavour,
        version,
        version_text: version.to_string(),
        identity: "it".to_owned(),
        server_id: 1,
        variables: Variables(
            variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        ),
        account: "m@%".to_owned(),
        grants: Grants::parse(grants),
        encrypted: true,
    }
}

fn table(name: &str, column_type: ColumnType, key: &[usize]) -> Described {
    let mut log = binlog::Column::new(column_type);
    log.collation = 45;
    Described {
        table: Table {
            id: TableId::new("shop", name),
            columns: vec![Column {
                name: "c".into(),
                log,
                declared: None,
                default: None,
                auto_increment: false,
                generated: false,
                comment: None,
            }],
            key: key.to_vec(),
            comment: None,
            charset: None,
            structure: None,
        },
        engine: None,
        rows: None,
        has_primary_key: !key.is_empty(),
    }
}

const INTENT: Intent = Intent {
    server_id: Some(7),
    snapshot: true,
    include_query: false,
};

fn one(tables: impl Into<Vec<Described>>) -> Descriptions {
    Descriptions {
        tables: tables.into(),
        unknown: Vec::new(),
    }
}

fn good() -> Descriptions {
    one([table("orders", ColumnType::Long, &[0])])
}

/// Severity, what, and remedies.
fn told(findings: &[Finding]) -> Vec<(Severity, &str, Vec<&str>)> {
    findings
        .iter()
        .map(|finding| {
            (
                finding.severity,
                &*finding.what,
                finding.remedies.iter().map(String::as_str).collect(),
            )
        })
        .collect()
}

#[test]
fn with_a_server_as_it_should_be_nothing_is_found() {
    let tables = one([table("orders", ColumnType::Long, &[0])]);
    for flavour in [Flavour::MySql, Flavour::MariaDb] {
        assert_eq!(check(&facts(flavour), &tables, INTENT), []);
    }
}

#[test]
fn each_variable_has_the_statement_that_mends_it() {
    use Severity::{Error, Note, Warning};
    let table: [(&str, &str, Severity, &str, &[&str]); 10] = [
        (
            "binlog_format",
            "MIXED",
            Error,
            "binlog_format is MIXED",
            &["SET GLOBAL binlog_format = 'ROW'"],
        ),
        (
            "binlog_row_image",
            "NOBLOB",
            Warning,
            "binlog_row_image is NOBLOB",
            &["SET GLOBAL binlog_row_image = 'FULL'"],
        ),
        (
            "binlog_row_metadata",
            "MINIMAL",
            Warning,
            "binlog_row_metadata is MINIMAL",
            &["SET GLOBAL binlog_row_metadata = 'FULL'"],
        ),
        (
            "gtid_mode",
            "ON_PERMISSIVE",
            Warning,
            "gtid_mode is ON_PERMISSIVE",
            &[
                "SET GLOBAL enforce_gtid_consistency = ON",
                "SET GLOBAL gtid_mode = ON",
            ],
        ),
        (
            "binlog_expire_logs_seconds",
            "3600",
            Warning,
            "logs are kept for 1.0 hours",
            &["SET GLOBAL binlog_expire_logs_seconds = 604800"],
        ),
        (
            "log_bin",
            "OFF",
            Error,
            "log_bin is OFF",
            &["[mysqld]\nserver_id = 1\nlog_bin = binlog\nbinlog_format = ROW"],
        ),
        (
            "log_bin",
            "0",
            Error,
            "log_bin is OFF",
            &["[mysqld]\nserver_id = 1\nlog_bin = binlog\nbinlog_format = ROW"],
        ),
        ("encrypted", "", Note, "this connection is not encrypted", &[]),
        (
            "server_id",
            "0",
            Error,
            "server_id is 0",
            &["SET GLOBAL server_id = 1"],
        ),
        (
            "server_id",
            "7",
            Error,
            "database.server.id is 7, the server's own number",
            &[],
        ),
    ];
    for (variable, value, severity, what, remedies) in table {
        let mut facts = facts(Flavour::MySql);
        facts.grants = Grants::parse(["GRANT ALL PRIVILEGES ON *.* TO `m`@`%`"]);
        facts.variables.0.insert(variable.to_owned(), value.to_owned());
        facts.encrypted = variable != "encrypted";
        if variable == "server_id" {
            facts.server_id = value.parse().unwrap();
        }
        let findings = check(&facts, &good(), INTENT);
        assert_eq!(
            told(&findings),
            [(severity, what, remedies.to_vec())],
            "{variable}={value}"
        );
    }
}

#[test]
fn old_servers_say_what_they_cannot() {
    let mut facts = facts(Flavour::MySql);
    facts.version = Version::new(5, 6, 24);
    facts.variables.0.remove("binlog_row_metadata");
    facts.variables.0.remove("binlog_expire_logs_seconds");
    facts
        .variables
        .0
        .insert("expire_logs_days".to_owned(), "0".to_owned());
    let tables = one([table("orders", ColumnType::Long, &[0])]);
    let findings = check(&facts, &tables, INTENT);
    assert_eq!(
        told(&findings),
        [(Severity::Note, "MySQL 5.6.24 has no binlog_row_metadata", vec![])]
    );
    // Its snapshots lock each table.
    facts.grants = Grants::parse(["GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `m`@`%`"]);
    let findings = check(&facts, &tables, INTENT);
    assert_eq!(findings[0].remedies, ["GRANT LOCK TABLES ON `shop`.* TO 'm'@'%'"]);
    let changes_only = Intent {
        snapshot: false,
        ..INTENT
    };
    assert!(
        check(&facts, &tables, changes_only)
            .iter()
            .all(|finding| finding.severity == Severity::Note)
    );
    facts.version = Version::new(5, 5, 60);
    assert!(check(&facts, &tables, INTENT)[0].what.contains("5.5.60"));
}

#[test]
fn without_gtids_a_privilege_or_locks_are_needed() {
    let mut facts = facts(Flavour::MySql);
    facts.variables.0.insert("gtid_mode".to_owned(), "OFF".to_owned());
    let place = "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `m`@`%`";
    for (more, expected) in [
        ("GRANT USAGE ON *.* TO `m`@`%`", 1),
        ("GRANT BACKUP_ADMIN ON *.* TO `m`@`%`", 0),
        ("GRANT LOCK TABLES ON `shop`.* TO `m`@`%`", 0),
    ] {
        facts.grants = Grants::parse([place, more]);
        let findings = check(&facts, &good(), INTENT);
        let errors = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        assert_eq!(errors.count(), expected, "{more}");
    }
}

/// Since MySQL 8.0 not everybody may list XA transactions.
#[test]
fn listing_xa_transactions_takes_a_privilege() {
    for (flavour, version, expected) in [
        (Flavour::MySql, Version::new(8, 0, 36), true),
        (Flavour::MySql, Version::new(5, 7, 44), false),
        (Flavour::MariaDb, Version::new(10, 11, 6), false),
    ] {
        let mut facts = facts(flavour);
        facts.version = version;
        facts.grants = Grants::parse([
            "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT, BINLOG MONITOR ON *.* TO `m`@`%`",
        ]);
        let findings = check(&facts, &good(), INTENT);
        let remedy = "GRANT XA_RECOVER_ADMIN ON *.* TO 'm'@'%'";
        let found = findings.iter().find(|finding| finding.remedies == [remedy]);
        assert_eq!(
            found.map(|finding| finding.severity),
            expected.then_some(Severity::Note),
            "{flavour} {version}"
        );
    }
}

#[test]
fn missing_privileges_come_with_their_grants() {
    let tables = one([
        table("orders", ColumnType::Long, &[0]),
        table("no_key", ColumnType::Long, &[]),
    ]);
    for (flavour, place) in [
        (Flavour::MySql, "REPLICATION CLIENT"),
        (Flavour::MariaDb, "BINLOG MONITOR"),
    ] {
        let mut facts = facts(flavour);
        facts.account = "o'hara@10.0.%".to_owned();
        facts.grants = Grants::parse(["GRANT USAGE ON *.* TO `o'hara`@`10.0.%`"]);
        let remedies: Vec<String> = check(&facts, &tables, INTENT)
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .flat_map(|finding| finding.remedies.clone())
            .collect();
        let expected = [
            format!("GRANT REPLICATION SLAVE, {place} ON *.* TO 'o''hara'@'10.0.%'"),
            "GRANT SELECT ON `shop`.* TO 'o''hara'@'10.0.%'".to_owned(),
            "GRANT LOCK TABLES ON `shop`.* TO 'o''hara'@'10.0.%'".to_owned(),
        ];
        assert_eq!(remedies, expected);
        let error = failure(&check(&facts, &tables, INTENT)).unwrap().to_string();
        assert!(expected.iter().all(|grant| error.contains(grant)), "{error}");
    }
}

#[test]
fn tables_that_cannot_be_read_well_are_named() {
    let mut odd = table("odd", ColumnType::Varchar { length_max: 9 }, &[0]);
    odd.table.columns[0].log.collation = 60_000;
    let old = table("old", ColumnType::OldDateTime, &[0]);
    let mut tables = one([odd, old, table("no_key", ColumnType::Long, &[])]);
    tables.unknown.push(UnknownType {
        table: TableId::new("shop", "strange"),
        column: "x".to_owned(),
        declared: "xmltype".to_owned(),
    });
    let findings = check(&facts(Flavour::MariaDb), &tables, INTENT);
    let what: Vec<_> = findings.iter().map(|finding| &*finding.what).collect();
    assert_eq!(
        what,
        [
            "the type xmltype of shop.strange.x is not known",
            "the collation of shop.odd.c is not known",
            "times are stored in the format of MariaDB 5.3 in shop.old",
            "shop.no_key has no key",
        ]
    );
    assert_eq!(findings[2].remedies[1], "ALTER TABLE `shop`.`old` FORCE");
    // MySQL's own old times are read.
    assert_eq!(check(&facts(Flavour::MySql), &tables, INTENT).len(), 3);
}

#[test]
fn capturing_nothing_is_told() {
    let findings = check(&facts(Flavour::MySql), &one([]), INTENT);
    assert_eq!(
        told(&findings),
        [(Severity::Warning, "no table is captured", vec![])]
    );
}

#[test]
fn statements_that_are_asked_for_have_to_be_logged() {
    let intent = Intent {
        include_query: true,
        ..INTENT
    };
    for (flavour, variable) in [
        (Flavour::MySql, "binlog_rows_query_log_events"),
        (Flavour::MariaDb, "binlog_annotate_row_events"),
    ] {
        let mut facts = facts(flavour);
        let findings = check(&facts, &good(), intent);
        assert_eq!(findings[0].remedies, [format!("SET GLOBAL {variable} = ON")]);
        facts
            .variables
            .0
            .extend(BTreeMap::from([(variable.to_owned(), "ON".to_owned())]));
        assert_eq!(check(&facts, &good(), intent), []);
    }
}
