use std::time::Duration;

use millstream_connect::config::{ConfigMap, DefaultValue};

use super::*;
use crate::mysql::client::server::Flavour;

fn map(lines: &str) -> ConfigMap {
    let pairs = lines.lines().filter_map(|line| line.trim().split_once('='));
    pairs
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

const LEAST: &str = "name=inventory
    database.hostname=db
    database.user=debezium
    database.server.id=184054
    topic.prefix=dbserver1";

fn with(lines: &str) -> Result<Told, Vec<(String, String)>> {
    parse(Flavour::MySql, &map(&format!("{LEAST}\n{lines}")))
}

fn errors(lines: &str) -> String {
    let errors = with(lines).unwrap_err();
    let errors: Vec<_> = errors
        .iter()
        .map(|(key, error)| format!("{key}: {error}"))
        .collect();
    errors.join("; ")
}

/// The connector of Debezium's tutorial, and what its documentation shows besides.
#[test]
fn debeziums_tutorial_is_taken_as_it_is() {
    let given = map("name=inventory-connector
        connector.class=io.debezium.connector.mysql.MySqlConnector
        tasks.max=1
        database.hostname=mysql
        database.port=3306
        database.user=debezium
        database.password=dbz
        database.server.id=184054
        topic.prefix=dbserver1
        database.include.list=inventory
        schema.history.internal.kafka.bootstrap.servers=kafka:9092
        schema.history.internal.kafka.topic=schema-changes.inventory
        snapshot.locking.mode=minimal
        include.schema.changes=true");
    let told = parse(Flavour::MySql, &given).unwrap();
    let config = told.config;
    assert_eq!(
        (&*config.connection.host, config.connection.port),
        ("mysql", 3306)
    );
    assert_eq!(
        (&*config.connection.user, &*config.connection.password),
        ("debezium", "dbz")
    );
    assert_eq!(config.connection.tls.mode, TlsMode::Preferred);
    assert_eq!(config.connection.query_timeout, Duration::from_secs(600));
    assert_eq!(config.stream.server_id, 184_054);
    assert_eq!(
        (&*config.records.connector, &*config.records.prefix),
        ("inventory-connector", "dbserver1")
    );
    assert!(config.filters.databases.has("inventory") && !config.filters.databases.has("inventory2"));
    assert!(config.filters.skipped.truncates && !config.filters.skipped.deletes);
    assert!(config.records.tombstones && config.records.schema_changes && !config.records.transactions);
    assert_eq!(config.stream.heartbeat, None);
    let note = "schema.history.internal.kafka.bootstrap.servers, schema.history.internal.kafka.topic have no effect: the log";
    assert!(
        told.notes.len() == 1 && told.notes[0].starts_with(note),
        "{:?}",
        told.notes
    );
    assert!(
        validate(Flavour::MySql, &given)
            .iter()
            .all(|value| value.errors.is_empty())
    );
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let given = map("database.port=70000
        topic.prefix=a b
        snapshot.mode=sometimes
        table.include.list=a\\.(b
        database.include.list=a
        database.exclude.list=b
        skipped.operations=c,x
        message.key.columns=nothing
        column.truncate.to.many.chars=a
        snapshot.select.statement.overrides=a.b
        database.ssl.truststore=/etc/trust.jks
        converters=isbn
        decimal.handling.mode=roman
        signal.enabled.channels=source,kafka
        database.ssl.cert=/a.pem");
    let wrong = parse(Flavour::MySql, &given).unwrap_err();
    let mut keys: Vec<_> = wrong.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "column.truncate.to.many.chars",
            "converters",
            "database.exclude.list",
            "database.hostname",
            "database.port",
            "database.server.id",
            "database.ssl.key",
            "database.ssl.truststore",
            "database.user",
            "decimal.handling.mode",
            "message.key.columns",
            "signal.enabled.channels",
            "skipped.operations",
            "snapshot.mode",
            "snapshot.select.statement.overrides",
            "table.include.list",
            "topic.prefix",
        ]
    );
    let values = validate(Flavour::MySql, &given);
    let told: usize = values.iter().map(|value| value.errors.len()).sum();
    assert_eq!(told, keys.len(), "none is told twice, and none is left out");
}

#[test]
fn what_is_not_supported_is_named_with_a_remedy() {
    for (line, remedy) in [
        ("database.ssl.truststore=/etc/trust.jks", "database.ssl.ca"),
        ("database.ssl.keystore=/etc/key.jks", "database.ssl.cert"),
        ("converters=isbn", "transforms"),
        ("topic.naming.strategy=com.example.Mine", "RegexRouter"),
        ("snapshot.mode=configuration_based", "choose one of initial"),
        (
            "snapshot.query.mode=custom",
            "snapshot.select.statement.overrides",
        ),
        ("notification.enabled.channels=log,sink", "status"),
        ("signal.enabled.channels=source,kafka", "use source"),
        ("time.precision.mode=adaptive", "String must be one of"),
    ] {
        let errors = errors(line);
        assert!(errors.contains(remedy), "{line}: {errors}");
    }
    for line in [
        "topic.naming.strategy=io.debezium.schema.SchemaTopicNamingStrategy",
        "notification.enabled.channels=log",
        "converters=",
    ] {
        with(line).unwrap();
    }
}

#[test]
fn what_is_needless_is_noted_unless_it_is_the_default() {
    let told = with("connect.keep.alive=true\nsnapshot.locking.mode=none\ndriver.useSSL=false\ninternal.x=1")
        .unwrap();
    let keys: Vec<_> = told
        .notes
        .iter()
        .map(|note| note.split(' ').next().unwrap())
        .collect();
    assert_eq!(keys, ["driver.useSSL", "internal.x", "snapshot.locking.mode"]);
}

/// Debezium passes over them, and captures every table.
#[test]
fn names_of_debeziums_first_version_are_refused_where_they_would_say_what_is_captured() {
    let told = errors("table.whitelist=shop.orders\ncolumn.blacklist=shop.orders.card");
    assert!(
        told.contains("table.whitelist: ") && told.contains("use table.include.list"),
        "{told}"
    );
    assert!(told.contains("use column.exclude.list"), "{told}");
    let notes = with("database.server.name=shop\ndatabase.history.kafka.topic=h")
        .unwrap()
        .notes;
    assert!(notes[1].contains("topic.prefix"), "{notes:?}");
}

#[test]
fn lists_and_their_kin_are_read() {
    let config = with(
        "table.exclude.list=inventory\\.t\\d{1,2},shop\\..*
        skipped.operations=none
        message.key.columns=inventory.customers:pk1,pk2;(.*).purchase:pk3
        column.mask.hash.SHA-256.with.salt.CzQM.v=inventory.orders.customerName
        column.mask.hash.v2.MD5.with.salt.s=a.b.c
        column.mask.with.12.chars=a.b.d
        column.truncate.to.20.chars=a.b.e,a.b.f
        snapshot.select.statement.overrides=shop.orders
        snapshot.select.statement.overrides.shop.orders=SELECT * FROM shop.orders WHERE id > 5
        snapshot.mode=schema_only
        database.initial.statements=SET a=1; SET b=';;'
        gtid.source.excludes=3e11.*
        max.queue.size.in.bytes=1000
        heartbeat.interval.ms=5000
        heartbeat.topics.prefix=beat",
    )
    .unwrap()
    .config;
    assert!(!config.filters.tables.has("inventory.t12") && config.filters.tables.has("inventory.t123"));
    assert!(!config.filters.skipped.truncates);
    assert_eq!(config.records.keys[0].1, ["pk1", "pk2"]);
    assert!(config.records.keys[1].0.is_match("x.purchase"));
    let masks: Vec<_> = config
        .records
        .masks
        .iter()
        .map(|(_, mask)| mask.clone())
        .collect();
    let hash = |algorithm: &str, salt: &str, v2| Mask::Hash {
        algorithm: algorithm.to_owned(),
        salt: salt.to_owned(),
        v2,
    };
    let expected = [
        hash("SHA-256", "CzQM.v", false),
        hash("MD5", "s", true),
        Mask::Asterisks(12),
        Mask::Truncate(20),
    ];
    assert_eq!(masks, expected);
    assert_eq!(
        config.snapshot.overrides[0].1,
        "SELECT * FROM shop.orders WHERE id > 5"
    );
    assert_eq!(config.snapshot.mode, SnapshotMode::NoData);
    assert_eq!(config.connection.initial_statements, ["SET a=1", "SET b=';'"]);
    assert!(
        !config
            .stream
            .gtid_sources
            .has("3e11fa47-71ca-11e1-9e33-c80aa9429562")
    );
    assert_eq!(
        (config.stream.queue_bytes, config.stream.heartbeat),
        (1000, Some(Duration::from_secs(5)))
    );
    assert_eq!(config.records.heartbeat_prefix, "beat");
}

#[test]
fn mariadbs_names_of_tls_modes_are_known() {
    let least = map(LEAST);
    let mode = |flavour, mode: Option<&str>| {
        let mut given = least.clone();
        given.extend(mode.map(|mode| ("database.ssl.mode".to_owned(), mode.to_owned())));
        parse(flavour, &given).unwrap().config.connection.tls.mode
    };
    assert_eq!(mode(Flavour::MariaDb, None), TlsMode::Disabled);
    assert_eq!(
        mode(Flavour::MariaDb, Some("verify-full")),
        TlsMode::VerifyIdentity
    );
    assert_eq!(mode(Flavour::MySql, Some("trust")), TlsMode::Required);
}

#[test]
fn no_key_is_declared_twice() {
    let definition = definition(Flavour::MySql);
    let mut names: Vec<_> = definition.keys().iter().map(|key| &key.name).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    let own = needless::NEEDLESS.len() + needless::REFUSED.len();
    assert!(
        definition.keys().len() > own + 50,
        "a needless key replaced one that is read"
    );
}

/// Each key stands there with its default, and what is needless or refused with that.
#[test]
fn the_documentation_has_all_keys() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/mysql.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (own, others) = page.split_once("\n### Refused\n").unwrap();
    let (refused, needless) = others.split_once("\n### Without effect\n").unwrap();
    let declared = definition(Flavour::MySql);
    for key in declared.keys() {
        let beginning = format!("\n| `{}` | ", key.name);
        let ends = |text: &str| format!("{beginning}{}.", text.trim_end_matches('.'));
        if needless::NEEDLESS.iter().any(|needless| needless.key == key.name) {
            assert!(needless.contains(&beginning), "{} without effect", key.name);
        } else if let Some(its) = needless::REFUSED.iter().find(|refused| refused.key == key.name) {
            assert!(refused.contains(&ends(its.documentation)), "{} refused", key.name);
        } else {
            let rest = own
                .split_once(&beginning)
                .unwrap_or_else(|| panic!("{}", key.name))
                .1;
            let row = rest.split_once('\n').unwrap().0;
            let default = match &key.default {
                DefaultValue::Required => "required | ".to_owned(),
                DefaultValue::Null => " | ".to_owned(),
                DefaultValue::Value(value) => format!("`{value}`"),
            };
            assert!(row.starts_with(&default), "{}: {row}", key.name);
            assert!(
                row.contains(key.documentation.trim_end_matches('.')),
                "{}: {row}",
                key.name
            );
        }
    }
}
