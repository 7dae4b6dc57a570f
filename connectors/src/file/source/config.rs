//! The source's keys.
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millstream_connect::config::{Config, ConfigDef, ConfigKey, ConfigMap, ConfigType, Importance};
use regex::bytes::Regex;

use super::csv::{self, CsvRules};
use super::lines::{LineEnd, Splitter};
use super::pattern::Pattern;
use millstream_connect::arrow::Times;

/// How many tasks share the files; the connector tells its tasks.
pub(super) const TASK_COUNT: &str = "file.task.count";

/// What is done about what cannot be read as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invalid {
    Fail,
    /// Bad UTF-8 becomes U+FFFD.
    Replace,
    /// Values are bytes.
    Bytes,
    /// It is left out.
    Skip,
}

/// What a record's value is.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    /// The text.
    Lines,
    Json,
    Csv(CsvRules),
}

/// What is done with a file that was read to its end, once that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finished {
    Keep,
    Delete,
    Move(PathBuf),
}

/// What the source is told.
#[derive(Debug, Clone)]
pub(super) struct SourceConfig {
    /// None: the standard input.
    pub pattern: Option<Pattern>,
    pub topic: Arc<str>,
    pub batch_size: usize,
    pub once: bool,
    pub unpack: bool,
    pub rows: Rows,
    /// Files have columns, and so no lines.
    pub parquet: Option<Times>,
    /// Rows that are not as they should be are left out.
    pub skip_invalid_rows: bool,
    pub splitter: Splitter,
    /// Whether what no line end ends is a record at the end of a file.
    pub emit_last: bool,
    /// After how long without a change it is one where files grow.
    pub last_idle: Option<Duration>,
    pub invalid_text: Invalid,
    pub line_bytes_max: usize,
    pub long_lines: Invalid,
    pub scan_interval: Duration,
    pub open_files_max: usize,
    pub files_max: usize,
    pub rotation_wait: Duration,
    pub rotation_copies: bool,
    pub finished: Finished,
    pub finished_after: Duration,
    pub forget_after: Option<Duration>,
}

const KIB: i64 = 1 << 10;
const GIB: i64 = 1 << 30;

/// The keys' declarations.
pub(super) fn definition() -> ConfigDef {
    use ConfigType::{Boolean, Int, List, Long, String};
    use Importance::{High, Low, Medium};
    let key = ConfigKey::with_default;
    ConfigDef::new()
        .with(ConfigKey::optional("file", String, High, "Source filename, a folder, or a path with wildcards (*, ?, [a-z], {a,b}, and ** for any folders). If not specified, the standard input will be used"))
        .with(ConfigKey::required("topic", String, High, "The topic to publish data to").not_empty())
        .with(key("batch.size", Int, "2000", Low, "The maximum number of records the source task can read from the file each time it is polled").between(1, i32::MAX.into()))
        .with(ConfigKey::optional("file.pattern", String, Medium, "Which files of the folder are read, such as *.log or **/*.csv. By default all that lie in it and whose names do not begin with a dot"))
        .with(key("read.mode", String, "tail", High, "tail: go on reading as files grow and come. once: read what is there, and be finished").one_of(&["tail", "once"]))
        .with(key("format", String, "lines", High, "lines: a record is a line of text. jsonl: a line of JSON, a value without a schema. csv: a row, a struct. parquet: a row, a struct; a file is read when it is finished, that is when it has its footer").one_of(&["lines", "jsonl", "csv", "parquet"]))
        .with(key("invalid.rows", String, "fail", Medium, "What becomes of lines that are no JSON, rows that do not have the columns, or what is damaged of a Parquet file. fail: the task fails. skip: they are left out, with a warning").one_of(&["fail", "skip"]))
        .with(key("csv.delimiter", String, ",", Low, "What is between fields; \\t is a tabulator"))
        .with(key("csv.quote", String, "\"", Low, "What is around fields that have delimiters, quotes (doubled) or line ends"))
        .with(key("csv.header", Boolean, "true", Medium, "Whether the first row of a file has the names of the columns"))
        .with(ConfigKey::optional("csv.names", List, Medium, "The names of the columns, instead of those in files"))
        .with(ConfigKey::optional("csv.types", List, Medium, "Types of columns that are no texts, such as id:int64, price:float64"))
        .with(key("time.precision.mode", String, "adaptive", Low, "What becomes of Parquet's times that are finer than milliseconds. adaptive: they are int64 under Debezium's names, such as io.debezium.time.MicroTimestamp. connect: they are Connect's types, cut to milliseconds").one_of(&["adaptive", "connect"]))
        .with(key("compression", String, "auto", Low, "auto: what begins like a gzip or zstd file is unpacked. none: files are read as they are").one_of(&["auto", "none"]))
        .with(key("line.separator", String, "any", Low, "any: LF, CR LF, or CR alone, as Kafka's connector has it. lf: LF or CR LF").one_of(&["any", "lf"]))
        .with(key("last.line", String, "auto", Medium, "What becomes of a last line that nothing ends. hold: it waits for its end. emit: it is a record at the end of the file. auto: hold in mode tail, emit in mode once").one_of(&["auto", "hold", "emit"]))
        .with(key("last.line.idle.ms", Long, "-1", Low, "In mode tail: a last line that nothing ends is a record once the file has not changed for so long; what is written to it later is a record of its own. -1: never").between(-1, i64::MAX))
        .with(key("invalid.utf8", String, "fail", Medium, "What becomes of lines that are no UTF-8. fail: the task fails. replace: bad bytes become U+FFFD, as with Kafka's connector. skip: such lines are left out. bytes: values are bytes (of all lines)").one_of(&["fail", "replace", "skip", "bytes"]))
        .with(key("max.line.bytes", Int, "16777216", Medium, "The longest record in bytes; memory is needed for two of them").between(KIB, GIB))
        .with(key("long.lines", String, "fail", Medium, "What becomes of longer ones. fail: the task fails. skip: they are left out").one_of(&["fail", "skip"]))
        .with(ConfigKey::optional("multiline.start", String, Medium, "A regular expression: a record begins with a line that matches, and has the lines up to the next such line").checked(regular_expression))
        .with(key("multiline.max.lines", Int, "1000", Low, "The most lines of such a record; further lines begin another").between(1, i32::MAX.into()))
        .with(key("scan.interval.ms", Long, "500", Low, "How often files are looked for and looked at, beside what the operating system reports of them. Where looking takes long it is done less often").between(10, 3_600_000))
        .with(key("max.open.files", Int, "256", Low, "The most files that a task keeps open. A file that is deleted is read to its end only if it is open").between(1, 1_000_000))
        .with(key("max.files", Int, "1000000", Low, "The most files that a task keeps track of; about a kibibyte of memory is needed for each. The task fails where more match").between(1, i32::MAX.into()))
        .with(key("rotation.wait.ms", Long, "10000", Low, "How long a file that was renamed so that it does not match any more, or deleted, is watched for further lines").between(0, 3_600_000))
        .with(key("rotation.copies", Boolean, "true", Low, "Whether a new file app.log.1, app.log-20261231 or app.log.gz that begins with all that was read of app.log is taken for a copy of it, and only read behind that, once app.log is truncated"))
        .with(key("finished.files", String, "keep", Medium, "What is done with a file that was read to its end, once that is stored").one_of(&["keep", "move", "delete"]))
        .with(ConfigKey::optional("finished.directory", String, Medium, "Where files are moved with finished.files=move"))
        .with(key("finished.after.ms", Long, "60000", Low, "In mode tail: after how long without a change a file that was read to its end is finished").between(0, i64::MAX))
        .with(key("forget.gone.after.ms", Long, "86400000", Low, "How long a file has to be gone before its offset is removed from the store. A file that comes back later is read from its beginning. -1: offsets are kept for ever").between(-1, i64::MAX))
        .with(key(TASK_COUNT, Int, "1", Low, "How many tasks share the files; set by the connector").between(1, i32::MAX.into()))
}

fn regular_expression(text: &str) -> Result<(), String> {
    Regex::new(text).map(drop).map_err(|error| error.to_string())
}

impl SourceConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Each key that is wrong, and why.
    pub fn parse(given: &ConfigMap) -> Result<Self, Vec<(String, String)>> {
        let config = definition().parse(given).map_err(|errors| errors.0)?;
        let mut errors = Vec::new();
        let mut wrong = |key: &str, error: String| errors.push((key.to_owned(), error));
        let file = config.optional_string("file").filter(|file| !file.is_empty());
        let below = config
            .optional_string("file.pattern")
            .filter(|below| !below.is_empty());
        let pattern = match (file, below) {
            (Some(file), below) => Pattern::new(file, below)
                .map_err(|error| wrong("file", error))
                .ok(),
            (None, Some(_)) => {
                wrong(
                    "file.pattern",
                    "it needs file, the folder that it is for".to_owned(),
                );
                None
            }
            (None, None) => None,
        };
        let finished = finished(&config).unwrap_or_else(|(key, error)| {
            wrong(key, error);
            Finished::Keep
        });
        let rows = rows(&config).unwrap_or_else(|(key, error)| {
            wrong(key, error);
            Rows::Lines
        });
        errors.extend(not_for_lines(&config));
        if !errors.is_empty() {
            return Err(errors);
        }
        let once = lower(&config, "read.mode") == "once";
        let last = lower(&config, "last.line");
        let parquet = (lower(&config, "format") == "parquet").then(|| times(&config));
        let size =
            |key: &str| usize::try_from(config.int(key)).expect("the declaration asks for a positive number");
        let millis = |key: &str| u64::try_from(config.long(key)).ok().map(Duration::from_millis);
        Ok(Self {
            pattern,
            topic: Arc::from(config.string("topic")),
            batch_size: size("batch.size"),
            once,
            unpack: parquet.is_none() && lower(&config, "compression") == "auto",
            parquet,
            splitter: splitter(&config, &rows),
            rows,
            skip_invalid_rows: lower(&config, "invalid.rows") == "skip",
            emit_last: last == "emit" || (last == "auto" && once),
            last_idle: millis("last.line.idle.ms"),
            invalid_text: invalid(&config, "invalid.utf8"),
            line_bytes_max: size("max.line.bytes"),
            long_lines: invalid(&config, "long.lines"),
            scan_interval: millis("scan.interval.ms").unwrap_or_default(),
            open_files_max: size("max.open.files"),
            files_max: size("max.files"),
            rotation_wait: millis("rotation.wait.ms").unwrap_or_default(),
            rotation_copies: config.boolean("rotation.copies") && !once,
            finished,
            finished_after: match once {
                true => Duration::ZERO,
                false => millis("finished.after.ms").unwrap_or_default(),
            },
            forget_after: millis("forget.gone.after.ms"),
        })
    }
}

fn lower(config: &Config, key: &str) -> String {
    config.string(key).to_lowercase()
}

fn invalid(config: &Config, key: &str) -> Invalid {
    match &*lower(config, key) {
        "replace" => Invalid::Replace,
        "bytes" => Invalid::Bytes,
        "skip" => Invalid::Skip,
        _ => Invalid::Fail,
    }
}

fn finished(config: &Config) -> Result<Finished, (&'static str, String)> {
    let folder = config.optional_string("finished.directory");
    match (&*lower(config, "finished.files"), folder) {
        ("delete", _) => Ok(Finished::Delete),
        ("move", Some(folder)) if !folder.is_empty() => Ok(Finished::Move(PathBuf::from(folder))),
        ("move", _) => Err((
            "finished.directory",
            "finished.files=move needs a folder to move to".to_owned(),
        )),
        _ => Ok(Finished::Keep),
    }
}

/// Keys that are given though they are for lines.
fn not_for_lines(config: &Config) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let mut tell = |key: &str, error: &str| wrong.push((key.to_owned(), error.to_owned()));
    let format = lower(config, "format");
    if format != "lines" {
        let start = config.optional_string("multiline.start");
        if start.is_some_and(|start| !start.is_empty()) {
            tell("multiline.start", "it is for format=lines");
        }
        if lower(config, "invalid.utf8") == "bytes" {
            tell("invalid.utf8", "bytes is for format=lines");
        }
    }
    if format == "parquet" && config.optional_string("file").is_none_or(str::is_empty) {
        tell(
            "file",
            "format=parquet needs files; the standard input cannot be read from its end",
        );
    }
    wrong
}

fn times(config: &Config) -> Times {
    match &*lower(config, "time.precision.mode") {
        "connect" => Times::Connect,
        _ => Times::Adaptive,
    }
}

fn rows(config: &Config) -> Result<Rows, (&'static str, String)> {
    match &*lower(config, "format") {
        "jsonl" => return Ok(Rows::Json),
        "csv" => {}
        _ => return Ok(Rows::Lines),
    }
    let letter = |key: &'static str| match config.string(key) {
        "\\t" => Ok(b'\t'),
        text => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(*byte),
            _ => Err((key, format!("{text:?} is not one ASCII character"))),
        },
    };
    let mut types = std::collections::BTreeMap::new();
    for entry in config.list("csv.types") {
        let parsed = entry
            .rsplit_once(':')
            .and_then(|(name, kind)| Some((name.trim(), csv::kind(kind.trim())?)));
        let Some((name, kind)) = parsed else {
            let names = "string, boolean, int8, int16, int32, int64, float32, float64";
            return Err((
                "csv.types",
                format!("{entry:?} is not name:type with one of the types {names}"),
            ));
        };
        types.insert(name.to_owned(), kind);
    }
    let rules = CsvRules {
        delimiter: letter("csv.delimiter")?,
        quote: letter("csv.quote")?,
        header: config.boolean("csv.header"),
        names: config.list("csv.names").to_vec(),
        types,
    };
    if !rules.header && rules.names.is_empty() {
        return Err((
            "csv.names",
            "without a row of names (csv.header=false) names have to be given".to_owned(),
        ));
    }
    if !rules.names.is_empty() {
        rules.schema(None).map_err(|error| ("csv.names", error))?;
    }
    Ok(Rows::Csv(rules))
}

fn splitter(config: &Config, rows: &Rows) -> Splitter {
    if let Rows::Csv(rules) = rows {
        return Splitter::Quoted {
            quote: rules.quote,
            delimiter: rules.delimiter,
        };
    }
    let end = match &*lower(config, "line.separator") {
        "lf" => LineEnd::LineFeed,
        _ => LineEnd::Any,
    };
    let start = config
        .optional_string("multiline.start")
        .filter(|start| !start.is_empty());
    match start.and_then(|start| Regex::new(start).ok()) {
        Some(start) => Splitter::Blocks {
            end,
            start,
            lines_max: usize::try_from(config.int("multiline.max.lines")).unwrap_or(1),
        },
        None => Splitter::Lines(end),
    }
}
