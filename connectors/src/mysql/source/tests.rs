//! Sources without a server: the log is made here.
use std::sync::Arc;
use std::time::Duration;

use millstream_connect::config::ConfigMap;
use millstream_connect::plugin::Budget;
use millstream_connect::record::{Record, Value};

use super::batch::Room;
use super::connection::Connection;
use super::describe::{Described, Known};
use super::link::Incoming;
use super::running::{Driven, Parts, Running};
use super::tables::Tables;
use super::task;
use crate::mysql::client::grants::Grants;
use crate::mysql::client::server::{Facts, Flavour, Variables, Version};
use crate::mysql::config;
use crate::mysql::offset::{Offset, Snapshots};
use crate::mysql::record::{Connector, Records};
use crate::mysql::schema::TableId;
use crate::mysql::snapshot::{Readers, Snapshot, SnapshotState};
use crate::mysql::stream::tests::made::Log;
use crate::mysql::stream::{LogPosition, Resume, Stream};

pub(super) fn facts() -> Facts {
    Facts {
        flavour: Flavour::MySql,
        version: Version::new(9, 7, 4),
        version_text: "9.7.4".to_owned(),
        identity: "a".to_owned(),
        server_id: 1,
        variables: Variables([("binlog_row_metadata".to_owned(), "FULL".to_owned())].into()),
        account: "m@%".to_owned(),
        grants: Grants::parse([]),
        encrypted: true,
    }
}

/// A source that has read nothing of `bin.000001`, without a connection.
fn running(settings: &[(&str, &str)]) -> Running {
    let least = [
        ("name", "inventory"),
        ("database.hostname", "127.0.0.1"),
        ("database.port", "1"),
        ("database.user", "m"),
        ("database.server.id", "7"),
        ("topic.prefix", "p"),
        ("snapshot.mode", "no_data"),
        ("include.schema.changes", "false"),
    ];
    let given: ConfigMap = least
        .iter()
        .chain(settings)
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let config = Arc::new(config::parse(Flavour::MySql, &given).unwrap().config);
    let records = Records::new(config.records.clone(), config.filters.clone(), Connector::MySql);
    let position = LogPosition {
        gtids: Some("".parse().unwrap()),
        ..LogPosition::at("bin.000001", 4)
    };
    let offset = Offset {
        resume: Resume::at(position),
        server_uuid: None,
        server_id: None,
        ts_sec: None,
        snapshot: Snapshots::At(SnapshotState::default()),
    };
    Running::new(Parts {
        stream: Stream::new(offset.resume.clone(), task::options(&config, false)),
        connection: Connection::down(),
        readers: Readers::start(task::readers(&config), "a"),
        snapshot: Snapshot::new(task::settings(&config, &records), SnapshotState::default()),
        tables: Tables::new(&records, &config.records.prefix, false),
        facts: facts(),
        config,
        records,
        offset,
        anew: false,
        unknown: Vec::new(),
        announcement: None,
    })
}

fn room() -> Room {
    let budget = Budget {
        records: 1000,
        bytes: 1 << 20,
        wait: Duration::ZERO,
    };
    Room::new(budget, 1000)
}

/// Has it read a log to its end, to an error, or to what the server has to be asked about.
fn read(running: &mut Running, log: &Log) -> Result<(), super::error::SourceError> {
    for raw in &log.raws {
        if running.describer.is_waiting() {
            break;
        }
        running.incoming(Incoming::Event(raw.clone()))?;
        assert_eq!(running.drive(room())?, Driven::Waits);
    }
    Ok(())
}

fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    let Value::Struct(value) = value else {
        panic!("{value:?}")
    };
    let fields = value.schema().fields();
    let index = fields.iter().position(|field| *field.name == *name).unwrap();
    &value.values()[index]
}

/// The days that inserted rows have; another record by its status.
fn told(records: &[Record]) -> Vec<String> {
    let told = records.iter().map(|record| {
        let value = &record.value.value;
        match &*record.topic {
            "p.transaction" => match field(value, "status") {
                Value::String(status) => status.to_string(),
                other => panic!("{other:?}"),
            },
            _ => match field(field(value, "after"), "at") {
                Value::Int64(millis) => ((millis - 1_704_067_200_000) / 86_400_000 + 1).to_string(),
                other => panic!("{other:?}"),
            },
        }
    });
    told.collect()
}

/// The server's answer: there is no such table now.
fn gone() -> Described {
    Described {
        tables: vec![(TableId::new("d", "t"), Known::Gone)],
        ..Described::default()
    }
}

fn log(bad: Option<u8>) -> Log {
    let mut log = Log::mysql();
    log.gtid().query("BEGIN").days("t", &[Some(1)]);
    log.days("t", &[Some(2), bad, Some(4)])
        .days("t", &[Some(5)])
        .commit();
    log.gtid().query("BEGIN").days("t", &[Some(6)]).commit();
    log
}

#[tokio::test]
async fn rows_behind_one_that_is_damaged_wait_until_it_is_read_again() {
    let mut running = running(&[]);
    running.described(gone());
    // The checksum is right, as if the server wrote none.
    let error = read(&mut running, &log(None)).unwrap_err();
    assert!(error.damaged_at().is_some(), "{error}");
    running.read_again(error).unwrap();
    assert_eq!(running.drive(room()).unwrap(), Driven::Waits);
    let batch = running.hand_over();
    assert_eq!(told(&batch.records), ["1", "2"]);
    let offset = &batch.offsets.last().unwrap().1.0;
    assert_eq!(
        offset.get("row").and_then(|row| row.as_u64()),
        Some(2),
        "{offset:?}"
    );
    // The connection that is made then begins with the transaction.
    read(&mut running, &log(Some(3))).unwrap();
    assert_eq!(told(&running.hand_over().records), ["3", "4", "5", "6"]);
}

#[tokio::test]
async fn the_beginning_of_a_transaction_goes_with_its_first_row() {
    let settings = [("provide.transaction.metadata", "true")];
    let mut source = running(&settings);
    // It is not known what the table is: the server is asked, and what follows waits.
    read(&mut source, &log(Some(3))).unwrap();
    assert!(source.describer.is_waiting() && source.batch.is_empty());
    assert_eq!(told(&source.hand_over().records), [""; 0]);
    let mut source = running(&settings);
    source.described(gone());
    read(&mut source, &log(Some(3))).unwrap();
    let all = ["BEGIN", "1", "2", "3", "4", "5", "END", "BEGIN", "6", "END"];
    assert_eq!(told(&source.hand_over().records), all);
}
