//! What is found about real servers, and that the statements mend it.
use millstream_connectors::mysql::check::{self, Finding, Intent, Severity};
use millstream_connectors::mysql::client::Client;
use millstream_connectors::mysql::config::{Filters, Selection, parse_patterns};

use crate::servers::{KINDS, Kind, Server};

const INTENT: Intent = Intent {
    server_id: Some(4711),
    snapshot: true,
    include_query: true,
};

/// What is found with the account `capture`, which sees all tables of the database `checked`.
async fn findings(server: &Server) -> Vec<Finding> {
    let mut client = Client::connect(&server.config("capture", "a secret"))
        .await
        .unwrap();
    let filters = Filters {
        databases: Selection::Include(parse_patterns("checked").unwrap()),
        ..Filters::default()
    };
    let (facts, tables) = check::ask(&mut client, &filters).await.unwrap();
    check::check(&facts, &tables, INTENT)
}

fn worth(findings: &[Finding]) -> Vec<&str> {
    let worth = findings
        .iter()
        .filter(|finding| finding.severity != Severity::Note);
    worth.map(|finding| &*finding.what).collect()
}

#[tokio::test]
async fn statements_mend_what_is_found() {
    for kind in KINDS {
        let options: &[&str] = match kind {
            Kind::MySql97 => &[
                "--binlog-row-metadata=MINIMAL",
                "--binlog-row-image=MINIMAL",
                "--binlog-expire-logs-seconds=600",
                "--gtid-mode=OFF",
                "--enforce-gtid-consistency=OFF",
            ],
            Kind::MySql56 => &["--binlog-format=MIXED", "--binlog-row-image=NOBLOB"],
            Kind::MariaDb => &[
                "--binlog-format=STATEMENT",
                "--binlog-row-metadata=NO_LOG",
                "--expire-logs-days=0.01",
                "--binlog-annotate-row-events=0",
                "--mysql56-temporal-format=0",
            ],
        };
        let server = Server::start(kind, options);
        let mut root = server.database("checked").await;
        root.execute("CREATE TABLE orders (id int primary key, at datetime(3))")
            .await
            .unwrap();
        root.execute("CREATE TABLE `no``key` (v varchar(9), g geometry)")
            .await
            .unwrap();
        root.execute("CREATE USER capture@localhost IDENTIFIED BY 'a secret'")
            .await
            .unwrap();
        let before = findings(&server).await;
        let privileges = if kind == Kind::MariaDb {
            "BINLOG MONITOR"
        } else {
            "REPLICATION CLIENT"
        };
        let mut expected = vec![format!(
            "capture@localhost does not have REPLICATION SLAVE, {privileges}"
        )];
        expected.extend(
            match kind {
                Kind::MySql97 => vec![
                    "binlog_row_metadata is MINIMAL",
                    "gtid_mode is OFF",
                    "binlog_row_image is MINIMAL",
                    "logs are kept for 0.2 hours",
                    "binlog_rows_query_log_events is OFF",
                ],
                Kind::MySql56 => vec![
                    "binlog_format is MIXED",
                    "binlog_row_image is NOBLOB",
                    "binlog_rows_query_log_events is OFF",
                ],
                Kind::MariaDb => vec![
                    "binlog_format is STATEMENT",
                    "binlog_row_metadata is NO_LOG",
                    "logs are kept for 0.2 hours",
                    "binlog_annotate_row_events is OFF",
                ],
            }
            .into_iter()
            .map(str::to_owned),
        );
        // It may not see any table yet.
        expected.push("no table is captured".to_owned());
        let mut found = worth(&before);
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{kind:?}");
        let error = check::failure(&before).unwrap().to_string();
        assert!(
            error.contains("GRANT REPLICATION SLAVE") && !error.contains("a secret"),
            "{error}"
        );

        root.execute("GRANT SELECT ON checked.* TO capture@localhost")
            .await
            .unwrap();
        // Variables and grants first, and then what shows only with them.
        for _ in 0..3 {
            for finding in findings(&server).await {
                for remedy in finding
                    .remedies
                    .iter()
                    .filter(|remedy| !remedy.starts_with('[') && !remedy.contains('…'))
                {
                    root.execute(remedy)
                        .await
                        .unwrap_or_else(|error| panic!("{remedy}: {error}"));
                }
            }
            // Sessions keep what they began with.
            root = server.root().await;
        }
        let after = findings(&server).await;
        let worth = worth(&after);
        assert_eq!(worth, ["checked.no`key has no key"], "{kind:?}");
        assert!(check::failure(&after).is_none());
    }
}
