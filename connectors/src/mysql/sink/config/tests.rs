use millstream_connect::config::ConfigMap;

use super::{InsertMode, KeyMode, SinkConfig};

fn config(keys: &[(&str, &str)]) -> ConfigMap {
    let common = [
        ("name", "sink"),
        ("connection.url", "jdbc:mysql://h:3307/shop"),
        ("connection.username", "writer"),
        ("connection.password", "secret word"),
    ];
    let mut config = ConfigMap::new();
    for (key, value) in common.iter().chain(keys) {
        config.insert((*key).to_owned(), (*value).to_owned());
    }
    config
}

fn parsed(keys: &[(&str, &str)]) -> SinkConfig {
    SinkConfig::parse(&config(keys)).unwrap()
}

fn errors(keys: &[(&str, &str)]) -> Vec<String> {
    let errors = SinkConfig::parse(&config(keys)).unwrap_err();
    errors
        .into_iter()
        .map(|(key, error)| format!("{key}: {error}"))
        .collect()
}

#[test]
fn debezium_s_keys_are_read() {
    let config = parsed(&[
        ("insert.mode", "upsert"),
        ("primary.key.mode", "record_key"),
        ("delete.enabled", "true"),
        ("schema.evolution", "basic"),
        ("connection.pool.max_size", "32"),
        ("use.time.zone", "Europe/Berlin"),
    ]);
    assert_eq!(config.connection.host, "h");
    assert_eq!(config.connection.port, 3307);
    assert_eq!(config.database, "shop");
    assert_eq!(config.insert_mode, InsertMode::Upsert);
    assert_eq!(config.key, KeyMode::RecordKey(Vec::new()));
    assert!(config.deletes && config.evolution.create && config.evolution.alter);
    assert!(!config.literals.connect_in_zone);
    assert!(
        !format!("{config:?}").contains("secret"),
        "passwords are not shown"
    );
}

#[test]
fn the_placeholder_is_known_as_converters_write_bytes() {
    let placeholder = parsed(&[("unavailable.value.placeholder", "a?>")]).placeholder;
    assert_eq!(&*placeholder.plain, "a?>");
    assert_eq!(*placeholder.encoded, ["YT8+", "YT8-", "613f3e"]);
}

#[test]
fn confluent_s_keys_are_read() {
    let config = parsed(&[
        ("connector.class", "io.confluent.connect.jdbc.JdbcSinkConnector"),
        ("insert.mode", "update"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id, region"),
        ("auto.create", "true"),
        ("fields.whitelist", "a,b"),
        ("db.timezone", "GMT+2"),
        ("max.retries", "3"),
        ("quote.sql.identifiers", "always"),
    ]);
    assert_eq!(
        config.key,
        KeyMode::RecordValue(vec!["id".to_owned(), "region".to_owned()])
    );
    assert!(config.evolution.create && !config.evolution.alter);
    assert!(config.literals.connect_in_zone);
    assert_eq!(config.retries, 3);
    let table = config.tables.table("a.b", |_| None, "own").unwrap();
    assert_eq!(table.to_string(), "a.b", "a topic's dot divides");
    assert!(config.fields.has("t", "a") && !config.fields.has("t", "c"));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let found = errors(&[
        ("connection.url", "jdbc:oracle:thin://u:secret@h/x"),
        ("insert.mode", "upsert"),
        ("delete.enabled", "true"),
        ("use.time.zone", "Mars"),
        ("collection.name.format", "${table}"),
        ("column.naming.strategy", "com.example.Mine"),
        ("database.ssl.cert", "/x.pem"),
        ("field.include.list", "a"),
        ("field.exclude.list", "b"),
    ]);
    for key in [
        "connection.url",
        "primary.key.mode",
        "delete.enabled",
        "use.time.zone",
        "collection.name.format",
        "column.naming.strategy",
        "field.exclude.list",
    ] {
        assert_eq!(
            found.iter().filter(|error| error.starts_with(key)).count(),
            1,
            "{key}: {found:?}"
        );
    }
    assert!(!found.concat().contains("secret"));
}

#[test]
fn keys_that_contradict_each_other_are_wrong() {
    let found = errors(&[("pk.mode", "none"), ("primary.key.mode", "record_key")]);
    assert_eq!(
        found,
        ["pk.mode: primary.key.mode says something else: give one of them"]
    );
    let found = errors(&[("connection.url", "mysql://h")]);
    assert!(found[0].contains("has to name a database"), "{found:?}");
    let found = errors(&[("primary.key.mode", "kafka"), ("pk.fields", "a,b")]);
    assert!(found[0].contains("three columns"), "{found:?}");
    let found = errors(&[("database.ssl.cert", "/x.pem"), ("database.ssl.mode", "tls")]);
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn url_and_keys_complete_each_other() {
    let config = parsed(&[
        (
            "connection.url",
            "mysql://reader:word@h/d?sslMode=required&sessionVariables=foreign_key_checks=0&x=1",
        ),
        ("database.ssl.ca", "/ca.pem"),
    ]);
    assert_eq!(config.connection.user, "writer");
    assert_eq!(config.connection.password, "secret word");
    assert_eq!(
        config.connection.initial_statements,
        ["SET SESSION foreign_key_checks=0"]
    );
    assert_eq!(config.warnings, ["x: not known here"]);
    assert_eq!(format!("{:?}", config.connection.tls.mode), "Required");
}
