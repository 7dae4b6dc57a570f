//! Connector plugins: one folder per external system holding its source, its sink and their tests.
//!
//! * [`mod@file`]: lines and rows of files.
//! * [`mysql`]: MySQL and MariaDB: their logs, so far without a source, and a sink.
//! * [`transforms`]: Debezium's transforms.
//! * [`mysql`]: changes of MySQL and MariaDB.
//!
//! Connectors see only the plugin API of `millstream-connect`; [`register`] adds all of them to a program's registry.
#![deny(unsafe_code)]
pub mod file;
pub mod mysql;
pub mod transforms;

use millstream_connect::plugin::Registry;

/// The same registry and all connectors of this crate.
///
/// ```
/// use millstream_connect::plugin::Registry;
///
/// let registry = millstream_connectors::register(Registry::new());
/// assert!(registry.source("FileStreamSource").is_ok());
/// assert!(registry.transform("io.debezium.transforms.ExtractNewRecordState").is_ok());
/// assert!(registry.sink("org.apache.kafka.connect.file.FileStreamSinkConnector").is_ok());
/// ```
#[must_use]
pub fn register(registry: Registry) -> Registry {
    let registry = transforms::register(registry);
    registry
        .with_source(file::source::FileSource)
        .with_source(mysql::source::MySqlSource)
        .with_source(mysql::source::MariaDbSource)
        .with_sink(file::sink::FileSink)
        .with_sink(mysql::sink::MySqlSink)
}
