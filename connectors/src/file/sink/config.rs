//! The sink's keys.
use std::path::PathBuf;
use std::time::Duration;

use millstream_connect::config::{ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};

use super::format::{Compression, Format};
use super::naming::PathFormat;

/// Where records go.
#[derive(Debug, Clone)]
pub(super) enum Target {
    StandardOutput,
    /// One file.
    File(PathBuf),
    /// Files that appear in a folder.
    Folder(Rolling),
}

/// When files are complete, and where they go.
#[derive(Debug, Clone)]
pub(super) struct Rolling {
    pub folder: PathBuf,
    pub path_format: PathFormat,
    pub size_bytes: u64,
    pub records: u64,
    pub interval: Duration,
    pub pad_width: usize,
    pub open_files_max: usize,
    pub buffer_bytes_max: usize,
}

/// What the sink is told.
#[derive(Debug, Clone)]
pub(super) struct SinkConfig {
    pub target: Target,
    pub format: Format,
    pub compression: Compression,
}

/// The keys' declarations.
pub(super) fn definition() -> ConfigDef {
    use ConfigType::{Int, Long, String};
    use Importance::{High, Low, Medium};
    let key = ConfigKey::with_default;
    ConfigDef::new()
        .with(ConfigKey::optional("file", String, High, "Destination filename. If not specified, the standard output will be used"))
        .with(ConfigKey::optional("directory", String, High, "Instead of file: a folder in which files appear when they are complete, named topic+partition+firstOffset-lastOffset"))
        .with(key("format", String, "lines", High, "lines: a value a line, as Java's toString writes it. jsonl: a JSON value a line. csv: structs with a header. parquet: structs in columns").one_of(Format::NAMES))
        .with(key("compression", String, "none", Medium, "How files in directory are compressed").one_of(&["none", "gzip", "zstd"]))
        .with(key("roll.size.bytes", Long, "134217728", Medium, "A file is complete when it has so many bytes, before compression").between(1, i64::MAX))
        .with(key("roll.records", Long, "1000000", Medium, "A file is complete when it has so many records").between(1, i64::MAX))
        .with(key("roll.interval.ms", Long, "60000", Medium, "A file is complete so long after its first record. Offsets are committed when files are complete: what is not is read again after a crash").between(1, i64::MAX))
        .with(key("path.format", String, "", Medium, "Folders below directory, such as {topic}/year={yyyy}/month={MM}/day={dd}: {topic}, {partition}, {yyyy}, {MM}, {dd}, {HH} of the record's time in UTC, {field:name} of its value. What cannot be a folder's name is written %XX"))
        .with(key("filename.offset.zero.pad.width", Int, "10", Low, "How many digits offsets in names have at least").between(0, 19))
        .with(key("max.open.files", Int, "256", Low, "The most files that a task has open; when there are more, some are complete early").between(1, 100_000))
        .with(key("max.buffer.bytes", Long, "134217728", Low, "format=parquet: how much memory the open files of a task may take together. When they take more, the fullest write what they have as a row group, and become complete early where that is not enough. A file alone has row groups of up to 32 MiB").between(1 << 20, i64::MAX))
}

impl SinkConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Each key that is wrong, and why.
    pub fn parse(given: &ConfigMap) -> Result<Self, Vec<(String, String)>> {
        let config = definition().parse(given).map_err(|errors| errors.0)?;
        let mut errors = Vec::new();
        let mut wrong = |key: &str, error: &str| errors.push((key.to_owned(), error.to_owned()));
        let path = |key: &str| {
            config
                .optional_string(key)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        };
        let format = Format::parse(config.string("format"));
        let compression = Compression::parse(config.string("compression"));
        let target = match (path("file"), path("directory")) {
            (Some(_), Some(_)) => {
                wrong(
                    "directory",
                    "file and directory exclude each other: give one of them",
                );
                Target::StandardOutput
            }
            (Some(file), None) => Target::File(file),
            (None, None) => Target::StandardOutput,
            (None, Some(folder)) => Target::Folder(Rolling {
                folder,
                path_format: PathFormat::parse(config.string("path.format")).unwrap_or_else(|error| {
                    wrong("path.format", &error);
                    PathFormat::default()
                }),
                size_bytes: config.long("roll.size.bytes").unsigned_abs(),
                records: config.long("roll.records").unsigned_abs(),
                interval: Duration::from_millis(config.long("roll.interval.ms").unsigned_abs()),
                pad_width: usize::try_from(config.int("filename.offset.zero.pad.width")).unwrap_or(0),
                open_files_max: usize::try_from(config.int("max.open.files")).unwrap_or(1),
                buffer_bytes_max: usize::try_from(config.long("max.buffer.bytes")).unwrap_or(usize::MAX),
            }),
        };
        if !matches!(target, Target::Folder(_)) {
            if compression != Compression::None {
                wrong(
                    "compression",
                    "a single file is not compressed, because it is written at its end; give directory",
                );
            }
            if format.needs_files() {
                wrong(
                    "format",
                    "a single file has lines or jsonl, because it is written at its end; give directory for this format",
                );
            }
        }
        if format == Format::Parquet && compression == Compression::Gzip {
            wrong(
                "compression",
                "Parquet is compressed within: with none by Snappy, with zstd by Zstandard",
            );
        }
        match errors.is_empty() {
            true => Ok(Self {
                target,
                format,
                compression,
            }),
            false => Err(errors),
        }
    }
}
