//! Signals: what a running source is asked for, by rows of a table or over REST. Their types and data are Debezium's.
//!
//! | type | data | |
//! |---|---|---|
//! | `execute-snapshot` | `data-collections`, `additional-conditions`, `surrogate-key`, `type` | reads tables again beside the stream |
//! | `stop-snapshot` | `data-collections`, or nothing | ends that, of these tables or of all |
//! | `pause-snapshot`, `resume-snapshot` | | has it wait, and go on |
//! | `log` | `message` | a line in the log |
//!
//! `set-binlog-position` is refused: positions are set while the connector is stopped (`PATCH /connectors/NAME/offsets`). What Debezium writes
//! into its table for itself (`snapshot-window-open` and so on) is passed over.
//!
//! The table is read in the stream, its first three columns being an id, a type and data; so it works where that is written to. With
//! `read.only` there is REST alone: `POST /connectors/NAME/signals`.
use regex::Regex;
use serde::Deserialize;
use serde_json::Value as Json;

/// The most bytes of a signal's data: it is stored until it is done.
pub const DATA_BYTES_MAX: usize = 64 << 10;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `log`: a line in the log.
    Log {
        /// The line; `{}` stands for the log's place.
        message: String,
    },
    /// `execute-snapshot`.
    Execute(ExecuteSnapshot),
    /// `stop-snapshot`: of the tables of these expressions; of all where there is none.
    Stop(Vec<String>),
    /// `pause-snapshot`.
    Pause,
    /// `resume-snapshot`.
    Resume,
}

/// A snapshot that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecuteSnapshot {
    /// The signal's id.
    pub id: String,
    /// Expressions that are all of `database.table`.
    pub tables: Vec<String>,
    /// Expressions for tables, each with a condition in SQL that rows have to meet; the first that matches rules.
    pub conditions: Vec<(String, String)>,
    /// A column in whose order rows are read instead of the key's.
    pub surrogate_key: Option<String>,
    /// `"type": "blocking"`: its records say `true` and `last`, as those of an initial snapshot do, instead of `incremental`. The stream
    /// goes on beside it all the same.
    pub blocking: bool,
}

/// Why a signal is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// Its type is not known.
    #[error(
        "the signal's type {0:?} is none of execute-snapshot, stop-snapshot, pause-snapshot, resume-snapshot, log"
    )]
    UnknownType(String),
    /// Its type is known, and not done.
    #[error(
        "set-binlog-position is not done while the connector runs: stop it (PUT /connectors/NAME/stop) and set its offset \
         (PATCH /connectors/NAME/offsets)"
    )]
    SetPosition,
    /// Its data are no JSON, or not those of its type.
    #[error("the data of the signal {kind}: {reason}")]
    Data {
        /// Its type.
        kind: String,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be taken now.
    #[error("{0}")]
    Refused(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Data {
    message: Option<String>,
    data_collections: Vec<String>,
    additional_conditions: Vec<Condition>,
    /// Before Debezium 2.3: one for all tables.
    additional_condition: Option<String>,
    surrogate_key: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Condition {
    data_collection: String,
    filter: String,
}

impl Signal {
    /// A signal of these three columns; nothing for those that Debezium writes for itself.
    ///
    /// ```
    /// use millstream_connectors::mysql::signal::Signal;
    ///
    /// let data = r#"{"data-collections": ["shop.orders"], "type": "incremental"}"#;
    /// let Ok(Some(Signal::Execute(asked))) = Signal::parse("1", "execute-snapshot", Some(data)) else { panic!() };
    /// assert_eq!(asked.tables, ["shop.orders"]);
    /// ```
    ///
    /// # Errors
    /// [`SignalError`] with what is wrong.
    pub fn parse(id: &str, kind: &str, data: Option<&str>) -> Result<Option<Self>, SignalError> {
        let data = data.map(str::trim).filter(|data| !data.is_empty());
        let json = match data {
            Some(data) if data.len() > DATA_BYTES_MAX => return Err(too_large(kind)),
            Some(data) => serde_json::from_str(data).map_err(|error| wrong(kind, error.to_string()))?,
            None => Json::Null,
        };
        Self::of(id, kind, json)
    }

    /// A signal whose data are JSON already.
    ///
    /// # Errors
    /// As [`Signal::parse`].
    pub fn from_json(id: &str, kind: &str, data: &Json) -> Result<Option<Self>, SignalError> {
        // As in the table, data may be a text that has the JSON.
        match data {
            Json::String(text) => Self::parse(id, kind, Some(text)),
            data if data.to_string().len() > DATA_BYTES_MAX => Err(too_large(kind)),
            data => Self::of(id, kind, data.clone()),
        }
    }

    fn of(id: &str, kind: &str, data: Json) -> Result<Option<Self>, SignalError> {
        let data = || -> Result<Data, SignalError> {
            match data {
                Json::Null => Ok(Data::default()),
                data => serde_json::from_value(data).map_err(|error| wrong(kind, error.to_string())),
            }
        };
        Ok(Some(match kind.trim() {
            "log" => Self::Log {
                message: data()?.message.ok_or_else(|| wrong(kind, "it has no message"))?,
            },
            "execute-snapshot" => Self::Execute(execute(id, kind, data()?)?),
            "stop-snapshot" => {
                let tables = data()?.data_collections;
                check(kind, &tables)?;
                Self::Stop(tables)
            }
            "pause-snapshot" => Self::Pause,
            "resume-snapshot" => Self::Resume,
            "set-binlog-position" => return Err(SignalError::SetPosition),
            "snapshot-window-open" | "snapshot-window-close" | "schema-changes" => return Ok(None),
            other => return Err(SignalError::UnknownType(other.to_owned())),
        }))
    }
}

fn wrong(kind: &str, reason: impl Into<String>) -> SignalError {
    SignalError::Data {
        kind: kind.to_owned(),
        reason: reason.into(),
    }
}

fn too_large(kind: &str) -> SignalError {
    wrong(kind, format!("they are larger than {DATA_BYTES_MAX} bytes"))
}

/// Expressions are compiled once here, so that later nobody meets one that is none.
fn check(kind: &str, tables: &[String]) -> Result<(), SignalError> {
    let wrong_one = tables.iter().find_map(|table| expression(table).err());
    wrong_one.map_or(Ok(()), |error| Err(wrong(kind, error.to_string())))
}

/// Expressions are anchored and pass over letters' case, as all that name tables.
pub(crate) fn expression(text: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("(?i)^(?:{})$", text.trim()))
}

fn execute(id: &str, kind: &str, data: Data) -> Result<ExecuteSnapshot, SignalError> {
    if data.data_collections.is_empty() {
        return Err(wrong(
            kind,
            "data-collections names no table (\"database.table\")",
        ));
    }
    check(kind, &data.data_collections)?;
    let blocking = match data.kind.as_deref().map(str::trim) {
        None => false,
        Some(text) if text.eq_ignore_ascii_case("incremental") => false,
        Some(text) if text.eq_ignore_ascii_case("blocking") => true,
        Some(other) => {
            let reason = format!("its type {other:?} is neither incremental nor blocking");
            return Err(wrong(kind, reason));
        }
    };
    let conditions = data.additional_conditions.into_iter();
    let mut conditions: Vec<_> = conditions.map(|one| (one.data_collection, one.filter)).collect();
    if let Some(filter) = data
        .additional_condition
        .filter(|filter| !filter.trim().is_empty())
    {
        conditions.push((".*".to_owned(), filter));
    }
    for (table, _) in &conditions {
        expression(table).map_err(|error| wrong(kind, error.to_string()))?;
    }
    Ok(ExecuteSnapshot {
        id: id.to_owned(),
        tables: data.data_collections,
        conditions,
        surrogate_key: data.surrogate_key.filter(|name| !name.trim().is_empty()),
        blocking,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_debeziums_documentation_has_is_understood() {
        let data = r#"{
            "data-collections": ["db1.table1", "db1\\.o.*"], "type": "INCREMENTAL", "surrogate-key": "created",
            "additional-conditions": [{"data-collection": "db1.table1", "filter": "color='blue' AND quantity>1"}]
        }"#;
        let expected = ExecuteSnapshot {
            id: "ad-hoc-1".to_owned(),
            tables: vec!["db1.table1".to_owned(), r"db1\.o.*".to_owned()],
            conditions: vec![("db1.table1".to_owned(), "color='blue' AND quantity>1".to_owned())],
            surrogate_key: Some("created".to_owned()),
            blocking: false,
        };
        let parsed = Signal::parse("ad-hoc-1", "execute-snapshot", Some(data));
        assert_eq!(parsed, Ok(Some(Signal::Execute(expected.clone()))));
        let json = serde_json::from_str(data).unwrap();
        let parsed = Signal::from_json("ad-hoc-1", "execute-snapshot", &json);
        assert_eq!(parsed, Ok(Some(Signal::Execute(expected))));
        let old = r#"{"data-collections": ["a.b"], "type": "blocking", "additional-condition": "id>5"}"#;
        let Ok(Some(Signal::Execute(old))) = Signal::parse("", "execute-snapshot", Some(old)) else {
            panic!("it is one")
        };
        assert!(old.blocking);
        assert_eq!(old.conditions, [(".*".to_owned(), "id>5".to_owned())]);
    }

    #[test]
    fn the_others_are_understood() {
        for (kind, data, signal) in [
            (
                "log",
                Some(r#"{"message": "at {}"}"#),
                Signal::Log {
                    message: "at {}".to_owned(),
                },
            ),
            ("stop-snapshot", None, Signal::Stop(Vec::new())),
            (
                "stop-snapshot",
                Some(r#"{"type": "incremental"}"#),
                Signal::Stop(Vec::new()),
            ),
            (
                "stop-snapshot",
                Some(r#"{"data-collections": ["a.b"], "type": "incremental"}"#),
                Signal::Stop(vec!["a.b".to_owned()]),
            ),
            ("pause-snapshot", Some(""), Signal::Pause),
            ("resume-snapshot", Some("{}"), Signal::Resume),
        ] {
            assert_eq!(Signal::parse("1", kind, data), Ok(Some(signal)), "{kind}");
        }
        assert_eq!(Signal::parse("1", "snapshot-window-open", Some("{}")), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let large = format!(r#"{{"message": "{}"}}"#, "x".repeat(DATA_BYTES_MAX));
        for (kind, data, words) in [
            ("exec", None, "none of execute-snapshot"),
            ("execute-snapshot", None, "names no table"),
            ("execute-snapshot", Some("{"), "EOF"),
            (
                "execute-snapshot",
                Some(r#"{"data-collections": ["a.(b"]}"#),
                "unclosed",
            ),
            (
                "execute-snapshot",
                Some(r#"{"data-collections": ["a.b"], "type": "fast"}"#),
                "neither",
            ),
            ("set-binlog-position", Some("{}"), "PATCH"),
            ("log", Some("{}"), "message"),
            ("log", Some(&large), "larger"),
        ] {
            let error = Signal::parse("1", kind, data).unwrap_err().to_string();
            assert!(error.contains(words), "{kind}: {error}");
        }
    }
}
